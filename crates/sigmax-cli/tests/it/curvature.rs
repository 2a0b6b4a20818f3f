//! `sigmax certify` and `sigmax check` for networks without kinks: curvature, tangents, and what was found
//! on the other side.

use serde_json::{Value, json};

use crate::certify::npy;
use crate::graph::{chain, hidden};
use crate::run::{Files, Outcome};

/// Entries of an image, units and images.
const INPUTS: usize = 6;
const UNITS: usize = 9;
pub(crate) const COUNT: usize = 30;

/// Numbers from −1 to 1 from a seed.
fn draws(seed: u32, count: usize) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// A network with this activation, and images with the labels that it gives them, but for two.
pub(crate) fn files(activation: &str) -> Files {
    let first: Vec<f32> = draws(1, UNITS * INPUTS).iter().map(|w| 2.0 * w).collect();
    let model = hidden(INPUTS, &first, activation, &draws(2, 3 * UNITS));
    files_of(model, |x| (127.5 * (x + 1.0)) as u8)
}

/// The same with pixels that are about black or white.
pub(crate) fn files_of_extremes(activation: &str) -> Files {
    let first: Vec<f32> = draws(1, UNITS * INPUTS).iter().map(|w| 2.0 * w).collect();
    let model = hidden(INPUTS, &first, activation, &draws(2, 3 * UNITS));
    files_of(model, |x| if x < 0.0 { 1 } else { 254 })
}

/// The same of a network of three hidden layers.
pub(crate) fn deep_files(activation: &str) -> Files {
    let first = draws(1, 8 * UNITS * INPUTS);
    let (second, third) = (draws(4, 64 * UNITS * UNITS), draws(5, 64 * UNITS * UNITS));
    let layers = [&first[..], &second, &third, &draws(2, 3 * 8 * UNITS)];
    let model = chain(INPUTS, &layers, activation);
    files_of(model, |x| (127.5 * (x + 1.0)) as u8)
}

fn files_of(model: Vec<u8>, pixel: fn(f32) -> u8) -> Files {
    let files = Files::new();
    files.write("model.onnx", model);
    let pixels: Vec<u8> = draws(3, COUNT * INPUTS).iter().map(|&x| pixel(x)).collect();
    let shape = format!("({COUNT}, {INPUTS})");
    files.write("x.npy", npy("|u1", &shape, &pixels));
    let shape = format!("({COUNT},)");
    files.write("y.npy", npy("|u1", &shape, &[0; COUNT]));
    let lines = certified(&files, &[]);
    let class = |line: &Value| u8::try_from(line["prediction"].as_u64().unwrap()).unwrap();
    let mut labels: Vec<u8> = lines[1..].iter().map(class).collect();
    for label in &mut labels[..2] {
        *label = (*label + 1) % 3;
    }
    files.write("y.npy", npy("|u1", &shape, &labels));
    files
}

pub(crate) fn certify(files: &Files, args: &[&str]) -> Outcome {
    let usual = [
        "certify",
        "model.onnx",
        "--images",
        "x.npy",
        "--labels",
        "y.npy",
    ];
    files.run(&[&usual[..], args].concat())
}

/// All lines of a run that must go well, the header first.
pub(crate) fn certified(files: &Files, args: &[&str]) -> Vec<Value> {
    let outcome = certify(files, &[&["--certificates", "c.jsonl"], args].concat());
    assert_eq!(outcome.code, 0, "{}", outcome.stderr);
    let text = std::fs::read_to_string(files.path("c.jsonl")).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

pub(crate) fn check(files: &Files, lines: &[Value]) -> Outcome {
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    files.write("changed.jsonl", text);
    files.run(&["check", "changed.jsonl", "model.onnx"])
}

pub(crate) fn radius(line: &Value) -> f64 {
    line["radius"].as_f64().unwrap()
}

/// A line with a tangent without which its radius would be smaller.
fn with_tangent(lines: &[Value]) -> usize {
    let place = lines
        .iter()
        .position(|line| line.get("tangents").is_some() && radius(line) > 0.01);
    place.unwrap()
}

#[test]
fn radii_by_curvature_are_confirmed_from_their_tangents() {
    for activation in ["Softplus", "Tanh", "Sigmoid"] {
        for arithmetic in [&[][..], &["--float32"]] {
            let files = files(activation);
            let global = certified(&files, &[arithmetic, &["--method", "global"]].concat());
            assert_eq!(global[0]["curvature"], Value::Null);
            assert!(global.iter().all(|line| line.get("tangents").is_none()));
            assert_eq!(check(&files, &global).code, 0);
            let both = certified(&files, arithmetic);
            let outcome = check(&files, &both);
            assert_eq!(outcome.code, 0, "{activation}: {}", outcome.stderr);
            let larger = |(a, b): &(&Value, &Value)| radius(a) > 1.1 * radius(b);
            let pairs = || both[1..].iter().zip(&global[1..]);
            assert!(pairs().filter(larger).count() > COUNT / 2, "{activation}");
            assert!(pairs().all(|(a, b)| radius(a) >= radius(b)));
            let line = &both[with_tangent(&both)];
            // One evaluation at the image does not give it.
            let mut without = both.clone();
            without[with_tangent(&both)]
                .as_object_mut()
                .unwrap()
                .remove("tangents");
            let outcome = check(&files, &without);
            assert_eq!(outcome.code, 1, "{activation}: {line}");
            assert!(outcome.stderr.contains("radius is not confirmed"));
        }
    }
}

type Edit = Box<dyn Fn(&mut Vec<Value>)>;
type Change<'a> = (&'a str, i32, Edit);

/// What states a radius that does not follow is refused; and what is no certificate is bad input.
#[test]
fn forged_curvature_and_tangents_are_refused() {
    let files = files("Softplus");
    let lines = certified(&files, &[]);
    let at = with_tangent(&lines);
    let other = with_tangent(&lines[at + 1..]) + at + 1;
    let rival = lines[at]["tangents"][0]["rival"].as_u64().unwrap();
    let label = lines[at]["label"].as_u64().unwrap();
    let (y, t) = (label as usize, rival as usize);
    let m = move |lines: &[Value], y: usize, t: usize| lines[0]["curvature"][y][t].clone();
    assert_ne!(m(&lines, y, t), m(&lines, t, y));
    let tangent = move |key: &'static str, value: Value| -> Edit {
        Box::new(move |l| l[at]["tangents"][0][key] = value.clone())
    };
    let steps = lines[at]["tangents"][0]["steps"]
        .as_str()
        .unwrap()
        .to_owned();
    let changes: Vec<Change<'_>> = vec![
        (
            "a smaller m",
            1,
            Box::new(move |l| {
                let less = 0.9999 * m(l, y, t).as_f64().unwrap();
                l[0]["curvature"][y][t] = json!(less);
            }),
        ),
        (
            "the m of the pair the other way round",
            1,
            Box::new(move |l| {
                let (a, b) = (m(l, y, t), m(l, t, y));
                l[0]["curvature"][y][t] = b;
                l[0]["curvature"][t][y] = a;
            }),
        ),
        (
            "m below 0",
            1,
            Box::new(move |l| l[0]["curvature"][y][t] = json!(-1.0)),
        ),
        // It proves nothing, and so not the radius.
        (
            "m of ∞",
            1,
            Box::new(move |l| l[0]["curvature"][y][t] = Value::from("inf")),
        ),
        (
            "m that is null",
            2,
            Box::new(move |l| l[0]["curvature"][y][t] = Value::Null),
        ),
        (
            "m as text",
            2,
            Box::new(move |l| l[0]["curvature"][y][t] = json!("NaN")),
        ),
        (
            "a diagonal",
            1,
            Box::new(move |l| l[0]["curvature"][y][y] = json!(1.0)),
        ),
        (
            "fewer rows",
            1,
            Box::new(|l| {
                l[0]["curvature"].as_array_mut().unwrap().pop();
            }),
        ),
        (
            "a longer and a shorter row",
            1,
            Box::new(|l| {
                let number = l[0]["curvature"][0].as_array_mut().unwrap().pop().unwrap();
                l[0]["curvature"][1].as_array_mut().unwrap().push(number);
            }),
        ),
        (
            "no curvature",
            1,
            Box::new(|l| l[0]["curvature"] = Value::Null),
        ),
        (
            "no key for it",
            2,
            Box::new(|l| {
                l[0].as_object_mut().unwrap().remove("curvature");
            }),
        ),
        (
            "version 2 with it",
            2,
            Box::new(|l| l[0]["certificates"] = json!(2)),
        ),
        (
            "version 2 with tangents",
            1,
            Box::new(|l| {
                l[0]["certificates"] = json!(2);
                l[0].as_object_mut().unwrap().remove("curvature");
            }),
        ),
        (
            "tangents of another image",
            1,
            Box::new(move |l| l[at]["tangents"] = l[other]["tangents"].clone()),
        ),
        ("rival = label", 1, tangent("rival", json!(label))),
        ("a rival that is no class", 1, tangent("rival", json!(3))),
        ("a rival below 0", 2, tangent("rival", json!(-1))),
        (
            "another rival",
            1,
            tangent("rival", json!(3 - label - rival)),
        ),
        ("exponent 2000", 1, tangent("exponent", json!(2000))),
        ("exponent −2000", 1, tangent("exponent", json!(-2000))),
        ("exponent 400", 1, tangent("exponent", json!(400))),
        (
            "an exponent that is no i32",
            2,
            tangent("exponent", json!(1e300)),
        ),
        ("exponent 0.5", 2, tangent("exponent", json!(0.5))),
        ("a digit too few", 2, tangent("steps", json!(steps[1..]))),
        (
            "a digit too many",
            2,
            tangent("steps", json!(format!("{steps}g"))),
        ),
        (
            "five digits for every pixel",
            2,
            tangent("steps", json!("g".repeat(5 * INPUTS))),
        ),
        (
            "other steps",
            1,
            tangent("steps", json!("gA".repeat(INPUTS))),
        ),
        ("no steps", 2, tangent("steps", json!(""))),
        (
            "no digits",
            2,
            tangent("steps", json!(steps.replace(|_: char| true, "="))),
        ),
        (
            "a list of steps",
            2,
            tangent("steps", json!([1, 2, 3, 4, 5, 6])),
        ),
        ("another key", 2, tangent("bits", json!(8))),
        (
            "a tangent twice",
            1,
            Box::new(move |l| {
                let first = l[at]["tangents"][0].clone();
                l[at]["tangents"].as_array_mut().unwrap().insert(0, first);
            }),
        ),
        (
            "a list for a tangent",
            2,
            Box::new(move |l| l[at]["tangents"][0] = json!([rival, 0, steps])),
        ),
        (
            "tangents of null",
            2,
            Box::new(move |l| l[at]["tangents"] = Value::Null),
        ),
        (
            "a radius that is slightly larger",
            1,
            Box::new(move |l| l[at]["radius"] = json!(radius(&l[at]) * (1.0 + 1e-5))),
        ),
        (
            "an adversarial distance, which is not in the format",
            2,
            Box::new(move |l| l[at]["adversarial"] = json!(1.0)),
        ),
        (
            "float32",
            1,
            Box::new(|l| l[0]["arithmetic"] = json!("float32")),
        ),
    ];
    assert_eq!(check(&files, &lines).code, 0);
    for (what, code, change) in changes {
        let mut changed = lines.clone();
        change(&mut changed);
        assert_ne!(changed, lines, "{what} was changed");
        let outcome = check(&files, &changed);
        assert_eq!(
            (outcome.code, &*outcome.stdout),
            (code, ""),
            "{what}: {}",
            outcome.stderr
        );
    }
    // Another point proves less, or as much.
    let mut far = lines.clone();
    far[at]["tangents"][0]["exponent"] =
        json!(lines[at]["tangents"][0]["exponent"].as_i64().unwrap() + 3);
    far[at]["radius"] = json!(0);
    assert_eq!(check(&files, &far).code, 0);
    let mut larger = lines.clone();
    larger[0]["curvature"][y][t] = json!(2.0 * m(&lines, y, t).as_f64().unwrap());
    larger[at]["radius"] = json!(0.3 * radius(&lines[at]));
    let alone: Vec<Value> = vec![larger[0].clone(), larger[at].clone()];
    assert_eq!(check(&files, &alone).code, 0, "a larger m is true");
}

/// A file with the claims that curvature of one network gives says nothing of another one.
#[test]
fn curvature_of_a_network_with_kinks_is_refused() {
    let smooth = files("Softplus");
    let kinks = files("Relu");
    let curvature = certified(&smooth, &[])[0]["curvature"].clone();
    let mut lines = certified(&kinks, &[]);
    assert_eq!(lines[0]["curvature"], Value::Null);
    assert_eq!(check(&kinks, &lines).code, 0);
    lines[0]["curvature"] = curvature;
    let outcome = check(&kinks, &lines);
    assert_eq!(outcome.code, 1);
    assert!(outcome.stderr.contains("Relu"), "{}", outcome.stderr);
}

#[test]
fn certificates_of_version_2_are_still_confirmed() {
    let files = files("Softplus");
    let mut lines = certified(&files, &["--method", "global"]);
    lines[0]["certificates"] = json!(2);
    lines[0].as_object_mut().unwrap().remove("curvature");
    let outcome = check(&files, &lines);
    assert_eq!(outcome.code, 0, "{}", outcome.stderr);
}

#[test]
fn a_network_without_curvature_says_why() {
    let files = files("Relu");
    let outcome = certify(&files, &["--method", "curvature"]);
    assert_eq!((outcome.code, &*outcome.stdout), (2, ""));
    for part in ["model.onnx", "Relu"] {
        assert!(outcome.stderr.contains(part), "{}", outcome.stderr);
    }
    let best = certify(&files, &["--eps", "0.1"]).stdout;
    assert!(best.contains("No curvature: "), "{best}");
    assert!(!best.contains("by curvature"), "{best}");
    let global = certify(&files, &["--eps", "0.1", "--method", "global"]).stdout;
    assert!(!global.contains("curvature"), "{global}");
    let json: Value = serde_json::from_str(&certify(&files, &["--format", "json"]).stdout).unwrap();
    assert_eq!(json["curvature"]["used"], json!(false));
    assert!(
        json["curvature"]["reason"]
            .as_str()
            .unwrap()
            .contains("Relu")
    );
}

/// Both ends are in the summary, and an interrupted run says of which images one was not searched.
#[test]
fn the_summary_has_both_ends() {
    let files = files("Softplus");
    let lines = certified(&files, &[]);
    let largest = lines[1..].iter().map(radius).fold(0.0, f64::max);
    let eps = format!("{},{}", 0.5 * largest, 1e3);
    let args = ["--eps", &eps, "--html", "page.html"];
    let text = certify(&files, &args).stdout;
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in [
        "by curvature. PROVED.",
        "for which an input there is another class in real arithmetic",
        "% can be certified. PROVED.",
        "Both ends: of ",
        "times the smaller one on average. PROVED.",
    ] {
        assert!(words.contains(part), "{part}: {words}");
    }
    let page = std::fs::read_to_string(files.path("page.html")).unwrap();
    for part in [
        "class=\"line above\" d=\"M",
        "certifiable at most",
        "Both ends: of ",
    ] {
        assert!(page.contains(part), "{part}");
    }
    let json = |args: &[&str]| -> Value {
        let all = [args, &["--format", "json", "--eps", &eps]].concat();
        serde_json::from_str(&certify(&files, &all).stdout).unwrap()
    };
    let summary = json(&[]);
    for entry in summary["certified"].as_array().unwrap() {
        let count = |key: &str| entry[key].as_u64().unwrap() as usize;
        assert!(
            count("certified") + count("adversarial") <= COUNT,
            "{entry}"
        );
        assert!(count("by_curvature") <= count("certified"), "{entry}");
        // The two wrong ones have another class at distance 0.
        assert!(count("adversarial") >= 2, "{entry}");
    }
    assert!(summary["certified"][0]["by_curvature"].as_u64().unwrap() > 0);
    assert_eq!(summary["certified"][1]["certified"], json!(0));
    let images = summary["two_sided"]["images"].as_u64().unwrap();
    let ratio = summary["two_sided"]["mean_ratio"].as_f64().unwrap();
    assert!(
        images > 10 && (1.0..1.2).contains(&ratio),
        "{images} {ratio}"
    );
    // The same radii from the file, without a search.
    let resumed = json(&["--certificates", "c.jsonl", "--resume"]);
    assert_eq!(resumed["resumed"], json!(COUNT));
    assert_eq!(resumed["two_sided"]["images"], json!(0));
    for place in 0..2 {
        for key in ["certified", "by_curvature"] {
            let of = |summary: &Value| summary["certified"][place][key].clone();
            assert_eq!(of(&resumed), of(&summary), "{key}");
        }
    }
    let text = certify(&files, &["--certificates", "c.jsonl", "--resume"]).stdout;
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        words.contains("30 images that were in the file already"),
        "{words}"
    );
}

/// What is taken up again is confirmed with its tangents.
#[test]
fn a_resumed_run_confirms_tangents() {
    let files = files("Softplus");
    let lines = certified(&files, &[]);
    let whole = std::fs::read_to_string(files.path("c.jsonl")).unwrap();
    let half: Vec<&str> = whole.lines().take(COUNT / 2).collect();
    files.write("c.jsonl", half.join("\n") + "\n" + "{\"index\":");
    assert_eq!(certified(&files, &["--resume"]), lines);
    let at = with_tangent(&lines);
    let mut forged = lines.clone();
    forged[at]["radius"] = json!(1.01 * radius(&lines[at]));
    let text: String = forged.iter().map(|line| format!("{line}\n")).collect();
    let first = whole.lines().next().unwrap();
    let (_, rest) = text.split_once('\n').unwrap();
    files.write("c.jsonl", format!("{first}\n{rest}"));
    let outcome = certify(&files, &["--certificates", "c.jsonl", "--resume"]);
    assert_eq!((outcome.code, &*outcome.stdout), (2, ""));
    assert!(
        outcome.stderr.contains("radius is not confirmed"),
        "{}",
        outcome.stderr
    );
}
