//! `sigmax certify` and `sigmax check`.

use serde_json::Value;

use crate::run::{Files, Outcome};

/// A classifier with Lipschitz features that comes with the repository.
const MODEL: &[u8] = include_bytes!("../../../../examples/mnist-lipschitz.onnx");

/// Images in the test set.
const COUNT: usize = 40;

/// An array in the format of NumPy.
pub(crate) fn npy(kind: &str, shape: &str, bytes: &[u8]) -> Vec<u8> {
    let header = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}");
    let mut out = b"\x93NUMPY\x01\x00".to_vec();
    let padding = (64 - (10 + header.len() + 1) % 64) % 64;
    let length = u16::try_from(header.len() + padding + 1).unwrap();
    out.extend(length.to_le_bytes());
    out.extend(header.bytes());
    out.extend(std::iter::repeat_n(b' ', padding));
    out.push(b'\n');
    out.extend(bytes);
    out
}

/// 0 to 255 and back, in steps that make a period of 2·`half`.
fn triangle(i: usize, half: usize) -> usize {
    let place = i % (2 * half);
    255 * place.min(2 * half - place) / half
}

/// Smooth blobs, and for each the class that the model gives it: so all predictions are right.
fn files() -> Files {
    let files = Files::new();
    files.write("model.onnx", MODEL);
    let mut pixels = Vec::new();
    for image in 0..COUNT {
        for y in 0..28 {
            for x in 0..28 {
                let (along, across) = (triangle(x, 9 + image % 7), triangle(y, 6 + image % 5));
                pixels.push(u8::try_from(along * across / 255).unwrap());
            }
        }
    }
    files.write("x.npy", npy("|u1", &format!("({COUNT}, 28, 28)"), &pixels));
    labels(&files, &[0; COUNT]);
    let lines = certified(&files, &[]);
    let predictions: Vec<u8> = lines
        .iter()
        .map(|line| u8::try_from(line["prediction"].as_u64().unwrap()).unwrap())
        .collect();
    labels(&files, &predictions);
    files
}

fn labels(files: &Files, labels: &[u8]) {
    files.write("y.npy", npy("|u1", &format!("({COUNT},)"), labels));
}

fn certify(files: &Files, args: &[&str]) -> Outcome {
    let mut all = vec![
        "certify",
        "model.onnx",
        "--images",
        "x.npy",
        "--labels",
        "y.npy",
    ];
    all.extend(args);
    files.run(&all)
}

/// The lines of a run that must go well, without the header.
fn certified(files: &Files, args: &[&str]) -> Vec<Value> {
    let mut all = vec!["--certificates", "c.jsonl"];
    all.extend(args);
    let outcome = certify(files, &all);
    assert_eq!(outcome.code, 0, "{}", outcome.stderr);
    let text = std::fs::read_to_string(files.path("c.jsonl")).unwrap();
    text.lines()
        .skip(1)
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn radius(line: &Value) -> f64 {
    line["radius"].as_f64().unwrap()
}

fn check(files: &Files, name: &str) -> Outcome {
    files.run(&["check", name, "model.onnx"])
}

#[test]
fn right_answers_have_radii_that_the_checker_confirms() {
    let files = files();
    let lines = certified(&files, &[]);
    assert_eq!(lines.len(), COUNT);
    assert!(lines.iter().filter(|line| radius(line) > 0.01).count() > COUNT / 2);
    let outcome = check(&files, "c.jsonl");
    assert_eq!(outcome.code, 0, "{}", outcome.stderr);
    let certified = lines.iter().filter(|line| radius(line) > 0.0).count();
    let expected = format!("confirmed: {COUNT} images, {certified} with a radius above 0\n");
    assert_eq!(outcome.stdout, expected);
}

#[test]
fn what_is_not_confirmed_in_its_time_is_not_confirmed() {
    let files = files();
    certified(&files, &[]);
    let args = ["check", "c.jsonl", "model.onnx", "--budget"];
    let outcome = files.run(&[&args[..], &["1e-9"]].concat());
    assert_eq!((outcome.code, &*outcome.stdout), (1, ""));
    assert!(outcome.stderr.contains("in the time"), "{}", outcome.stderr);
    let outcome = files.run(&[&args[..], &["1e9"]].concat());
    assert_eq!(outcome.code, 0, "{}", outcome.stderr);
}

#[test]
fn wrong_answers_have_radius_zero() {
    let files = files();
    let lines = certified(&files, &[]);
    let wrong: Vec<u8> = lines
        .iter()
        .map(|line| u8::try_from((line["prediction"].as_u64().unwrap() + 1) % 10).unwrap())
        .collect();
    labels(&files, &wrong);
    for line in certified(&files, &[]) {
        assert_eq!((radius(&line), line["margin"].as_f64()), (0.0, Some(0.0)));
    }
    let summary: Value =
        serde_json::from_str(&certify(&files, &["--format", "json", "--eps", "0"]).stdout).unwrap();
    assert_eq!(summary["correct"], 0);
}

#[test]
fn float32_costs_a_part_of_the_radius() {
    let files = files();
    let real = certified(&files, &[]);
    let single = certified(&files, &["--float32"]);
    assert_eq!(check(&files, "c.jsonl").code, 0);
    let mut smaller = 0;
    for (real, single) in real.iter().zip(&single) {
        assert!(radius(single) <= radius(real));
        smaller += usize::from(radius(single) > 0.0 && radius(single) < radius(real));
    }
    assert!(smaller > COUNT / 2, "{smaller}");
}

#[test]
fn normalisation_belongs_to_the_network() {
    let files = files();
    let plain = certified(&files, &[]);
    // (x − 0)/1 changes nothing; a network that sees x/2 needs twice the change, but predicts
    // something else, so only the constant is compared.
    let same = certified(&files, &["--mean", "0", "--std", "1"]);
    assert_eq!(check(&files, "c.jsonl").code, 0);
    for (plain, same) in plain.iter().zip(&same) {
        assert!((radius(plain) - radius(same)).abs() <= 1e-6 * radius(plain));
    }
    let constant = |args: &[&str]| {
        certified(&files, args);
        let text = std::fs::read_to_string(files.path("c.jsonl")).unwrap();
        let header: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
        header["lipschitz"].as_f64().unwrap()
    };
    let (whole, half) = (constant(&[]), constant(&["--std", "2"]));
    assert!((whole / half - 2.0).abs() < 1e-6, "{whole} {half}");
}

#[test]
fn an_interrupted_run_goes_on() {
    let files = files();
    certified(&files, &["--eps", "0.1"]);
    let whole = std::fs::read(files.path("c.jsonl")).unwrap();
    // Cut in the middle of a line, as a full disk or a power cut would.
    let line_ends: Vec<usize> = (0..whole.len()).filter(|&i| whole[i] == b'\n').collect();
    for cut in [
        0,
        10,
        line_ends[0] + 1,
        line_ends[5] + 1,
        line_ends[7] + 200,
    ] {
        files.write("c.jsonl", &whole[..cut]);
        let outcome = certify(
            &files,
            &["--certificates", "c.jsonl", "--resume", "--eps", "0.1"],
        );
        assert_eq!(outcome.code, 0, "{}", outcome.stderr);
        let again = std::fs::read(files.path("c.jsonl")).unwrap();
        assert_eq!(again.len(), whole.len(), "cut at {cut}");
        assert!(again == whole, "cut at {cut}");
    }
    let outcome = certify(
        &files,
        &["--certificates", "c.jsonl", "--resume", "--float32"],
    );
    assert_eq!(outcome.code, 2);
    assert!(
        outcome.stderr.contains("other options"),
        "{}",
        outcome.stderr
    );
    let kept = std::fs::read(files.path("c.jsonl")).unwrap();
    assert!(kept == whole, "a refused run changes nothing");
}

/// Another file is lost by a mistyped name; certificates, whole or cut short, are there to be replaced.
#[test]
fn only_certificates_are_overwritten() {
    let files = files();
    certified(&files, &[]);
    let whole = std::fs::read(files.path("c.jsonl")).unwrap();
    let others: [&[u8]; 6] = [
        b"my notes\n",
        b"my notes",
        b"\n",
        b"{\"index\":0}\n",
        &whole[1..],
        MODEL,
    ];
    for other in others {
        files.write("other", other);
        for more in [&[][..], &["--resume"]] {
            let args = [&["--certificates", "other"], more].concat();
            let outcome = certify(&files, &args);
            assert_eq!((outcome.code, &*outcome.stdout), (2, ""), "{more:?}");
            for word in ["--certificates other:", "not overwritten", "another name"] {
                assert!(outcome.stderr.contains(word), "{word}: {}", outcome.stderr);
            }
            assert!(std::fs::read(files.path("other")).unwrap() == other);
        }
    }
    let older = b"{\"certificates\":1,\"claim\":\"\"}\n";
    for ours in [&[][..], &whole[..9], &whole[..100], &whole, older] {
        files.write("c.jsonl", ours);
        certified(&files, &[]);
        assert!(std::fs::read(files.path("c.jsonl")).unwrap() == whole);
    }
}

/// What `certify` leaves where there was no time for an image, and what is left of a file that lost
/// its end.
#[test]
fn a_first_line_alone_confirms_no_image() {
    let files = files();
    certified(&files, &[]);
    let text = std::fs::read_to_string(files.path("c.jsonl")).unwrap();
    let first = text.lines().next().unwrap();
    files.write("first.jsonl", format!("{first}\n"));
    let outcome = check(&files, "first.jsonl");
    assert_eq!((outcome.code, &*outcome.stdout), (2, ""));
    for word in ["nothing to confirm", "first.jsonl states no image"] {
        assert!(outcome.stderr.contains(word), "{word}: {}", outcome.stderr);
    }
    // What it states of the model is not confirmed by being alone.
    let wrong = first.replacen("\"lipschitz\":2.39", "\"lipschitz\":0.39", 1);
    assert_ne!(wrong, first);
    files.write("first.jsonl", format!("{wrong}\n"));
    let outcome = check(&files, "first.jsonl");
    assert_eq!((outcome.code, &*outcome.stdout), (1, ""));
}

/// What is taken up again is confirmed first: nothing that was altered is printed as proved.
#[test]
fn a_resumed_run_believes_nothing_that_was_altered() {
    let files = files();
    certified(&files, &[]);
    let text = std::fs::read_to_string(files.path("c.jsonl")).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let altered = |place: usize, change: &dyn Fn(&mut Value)| {
        let mut line: Value = serde_json::from_str(lines[place]).unwrap();
        change(&mut line);
        let mut all: Vec<String> = lines.iter().map(|&line| line.to_owned()).collect();
        all[place] = line.to_string();
        all.join("\n") + "\n"
    };
    let header = |from: &str, to: &str| {
        assert!(lines[0].contains(from), "{from}");
        lines[0].replacen(from, to, 1) + "\n" + lines[1] + "\n"
    };
    let cases = [
        (altered(3, &|l| l["radius"] = Value::from(123)), "line 4"),
        (altered(40, &|l| l["radius"] = Value::Null), "line 41"),
        (
            altered(40, &|l| l["radius"] = Value::from("inf")),
            "line 41",
        ),
        (altered(2, &|l| l["prediction"] = Value::from(11)), "line 3"),
        (altered(7, &|l| l["margin"] = Value::from(1e9)), "line 8"),
        (altered(7, &|l| l["label"] = Value::from(11)), "line 8"),
        (altered(7, &|l| l["exact"] = Value::from(true)), "line 8"),
        (altered(9, &|l| l["index"] = Value::from(9)), "line 10"),
        (
            altered(9, &|l| l["bytes"] = Value::from("00".repeat(784))),
            "line 10",
        ),
        (altered(9, &|l| l["note"] = Value::from("right")), "line 10"),
        (header("\"sha256\":\"6", "\"sha256\":\"7"), "line 1:"),
        (header("\"real\"", "\"float32\""), "line 1:"),
        (header("\"mean\":null", "\"mean\":[0.5]"), "line 1:"),
        (
            header("\"lipschitz\":2.39", "\"lipschitz\":0.39"),
            "line 1:",
        ),
        (
            header("\"input_size\":null", "\"input_size\":[28,28]"),
            "line 1:",
        ),
    ];
    for (text, place) in cases {
        files.write("c.jsonl", &text);
        let resume = ["--certificates", "c.jsonl", "--resume", "--eps", "100"];
        let outcome = certify(&files, &resume);
        assert_eq!((outcome.code, &*outcome.stdout), (2, ""), "{place}");
        for word in ["c.jsonl", place, "start without --resume"] {
            assert!(outcome.stderr.contains(word), "{word}: {}", outcome.stderr);
        }
        let kept = std::fs::read_to_string(files.path("c.jsonl")).unwrap();
        assert!(kept == text, "a refused run changes nothing");
    }
}

/// No text of a file ends the line that tells of it.
#[test]
fn text_of_a_file_writes_no_line_of_its_own() {
    let files = files();
    certified(&files, &[]);
    let text = std::fs::read_to_string(files.path("c.jsonl")).unwrap();
    let forged = "\\nconfirmed: 10000 images, 10000 with a radius above 0\\u001b[31m";
    let header: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    let first = |key: &str| header["nodes"][0][key].as_str().unwrap().to_owned();
    for (from, to) in [
        (
            header["model"]["sha256"].as_str().unwrap().to_owned(),
            forged.to_owned(),
        ),
        ("\"claim\"".to_owned(), format!("\"{forged}\"")),
        ("\"real\"".to_owned(), format!("\"{forged}\"")),
        (format!("\"{}\"", first("name")), format!("\"{forged}\"")),
        ("\"logits\":\"".to_owned(), format!("\"logits\":\"{forged}")),
    ] {
        assert!(text.contains(&from), "{from}");
        files.write("c.jsonl", text.replacen(&from, &to, 1));
        let outcome = check(&files, "c.jsonl");
        assert!(outcome.code > 0 && outcome.stdout.is_empty());
        assert_eq!(outcome.stderr.lines().count(), 1, "{}", outcome.stderr);
        assert!(!outcome.stderr.contains('\u{1b}'), "{}", outcome.stderr);
    }
}

/// Every number, name and text of a certificate is confirmed or refused.
#[test]
fn what_was_tampered_with_is_refused() {
    let files = files();
    certified(&files, &[]);
    let text = std::fs::read_to_string(files.path("c.jsonl")).unwrap();
    let lines: Vec<Value> = text
        .lines()
        .take(4)
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let scale = |value: &mut Value, factor: f64| {
        *value = Value::from(value.as_f64().unwrap() * factor);
    };
    type Change<'a> = (&'a str, Box<dyn Fn(&mut Vec<Value>)>);
    let node = |lines: &[Value], op: &str| {
        let nodes = lines[0]["nodes"].as_array().unwrap();
        nodes.iter().position(|node| node["op"] == op).unwrap()
    };
    let (conv, dense) = (node(&lines, "convolution"), node(&lines, "dense"));
    let changes: Vec<Change<'_>> = vec![
        (
            "radius",
            Box::new(move |l| scale(&mut l[1]["radius"], 1.0001)),
        ),
        (
            "margin",
            Box::new(move |l| scale(&mut l[2]["margin"], 1.0001)),
        ),
        (
            "logits",
            Box::new(move |l| scale(&mut l[2]["logits"][3], 1.0001)),
        ),
        (
            "prediction",
            Box::new(|l| l[3]["prediction"] = Value::from(11)),
        ),
        (
            "label",
            Box::new(|l| {
                l[1]["label"] = Value::from((l[1]["label"].as_u64().unwrap() + 1) % 10);
            }),
        ),
        (
            "label beyond",
            Box::new(|l| l[1]["label"] = Value::from(10)),
        ),
        (
            "pixels",
            Box::new(|l| {
                let digits = l[2]["bytes"].as_str().unwrap();
                let (from, to) = if digits.starts_with('0') {
                    ("0", "f")
                } else {
                    ("", "0")
                };
                let changed = format!("{to}{}", &digits[from.len().max(1)..]);
                l[2]["bytes"] = Value::from(changed.replace("7", "0"));
            }),
        ),
        (
            "fewer pixels",
            Box::new(|l| l[2]["bytes"] = Value::from("00")),
        ),
        (
            "radius below 0",
            Box::new(|l| l[1]["radius"] = Value::from(-1.0)),
        ),
        (
            "radius of ∞",
            Box::new(|l| l[1]["radius"] = Value::from("inf")),
        ),
        (
            "radius of ∞ as older files have it",
            Box::new(|l| l[1]["radius"] = Value::Null),
        ),
        (
            "own of a convolution",
            Box::new(move |l| scale(&mut l[0]["nodes"][conv]["own"], 0.998)),
        ),
        (
            "own of a matrix",
            Box::new(move |l| scale(&mut l[0]["nodes"][dense]["own"], 0.998)),
        ),
        (
            "through",
            Box::new(move |l| scale(&mut l[0]["nodes"][dense]["through"], 0.998)),
        ),
        (
            "constant",
            Box::new(move |l| scale(&mut l[0]["lipschitz"], 0.99)),
        ),
        (
            "rule",
            Box::new(move |l| l[0]["nodes"][dense]["together_from"] = Value::from(conv)),
        ),
        (
            "node name",
            Box::new(move |l| l[0]["nodes"][conv]["name"] = Value::from("other")),
        ),
        (
            "node shape",
            Box::new(move |l| l[0]["nodes"][conv]["shape"][0] = Value::from(1)),
        ),
        (
            "fewer nodes",
            Box::new(|l| {
                l[0]["nodes"].as_array_mut().unwrap().pop();
            }),
        ),
        (
            "digest",
            Box::new(|l| l[0]["model"]["sha256"] = Value::from("0".repeat(64))),
        ),
        (
            "assumption left out",
            Box::new(|l| {
                l[0]["assumptions"].as_array_mut().unwrap().pop();
            }),
        ),
        (
            "assumption",
            Box::new(|l| l[0]["assumptions"][0] = Value::from("the moon is a cheese")),
        ),
        (
            "claim",
            Box::new(|l| l[0]["claim"] = Value::from("everything is safe")),
        ),
        (
            "arithmetic",
            Box::new(|l| l[0]["arithmetic"] = Value::from("float32")),
        ),
        (
            "normalisation",
            Box::new(|l| {
                l[0]["mean"] = serde_json::json!([0.0]);
                l[0]["std"] = serde_json::json!([2.0]);
            }),
        ),
        ("classes", Box::new(|l| l[0]["classes"] = Value::from(9))),
        (
            "logits node",
            Box::new(|l| l[0]["logits"] = Value::from("flatten")),
        ),
        (
            "margin of 1e9",
            Box::new(|l| l[1]["margin"] = Value::from(1e9)),
        ),
        (
            "margin of another class",
            Box::new(|l| {
                l[1]["label"] = Value::from((l[1]["label"].as_u64().unwrap() + 1) % 10);
                l[1]["radius"] = Value::from(0);
            }),
        ),
        ("error of 0", Box::new(|l| l[1]["error"] = Value::from(0))),
        (
            "error below 0",
            Box::new(|l| l[1]["error"] = Value::from(-1e-15)),
        ),
        (
            "a misclassified image restated as right",
            Box::new(|l| {
                let other = (l[1]["label"].as_u64().unwrap() + 1) % 10;
                l[1]["label"] = Value::from(other);
                l[1]["prediction"] = Value::from(other);
                l[1]["radius"] = Value::from(0);
                l[1]["margin"] = Value::from(0);
                l[1]["error"] = Value::from(1e300);
            }),
        ),
        (
            "own below 0",
            Box::new(move |l| scale(&mut l[0]["nodes"][conv]["own"], -1.0)),
        ),
        ("an image twice", Box::new(|l| l[2] = l[1].clone())),
    ];
    let write = |lines: &[Value]| {
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        files.write("changed.jsonl", text);
    };
    write(&lines);
    let outcome = check(&files, "changed.jsonl");
    assert_eq!(outcome.code, 0, "unchanged: {}", outcome.stderr);
    for (what, change) in changes {
        let mut changed = lines.clone();
        change(&mut changed);
        assert_ne!(changed, lines, "{what} was changed");
        write(&changed);
        let outcome = check(&files, "changed.jsonl");
        assert_eq!(
            outcome.code, 1,
            "{what}: {}{}",
            outcome.stdout, outcome.stderr
        );
        assert!(
            outcome
                .stderr
                .starts_with("not confirmed: changed.jsonl: line "),
            "{what}: {}",
            outcome.stderr
        );
        assert_eq!(outcome.stdout, "", "{what}");
    }
}

/// What is no certificate, or no model, is bad input; only a certificate can fail to be confirmed.
#[test]
fn garbage_is_bad_input() {
    let files = files();
    certified(&files, &[]);
    let text = std::fs::read_to_string(files.path("c.jsonl")).unwrap();
    let (first, rest) = text.split_once('\n').unwrap();
    let (line, _) = rest.split_once('\n').unwrap();
    let changed = |from: &str, to: &str| {
        assert!(line.contains(from), "{from}");
        format!("{first}\n{}\n", line.replacen(from, to, 1))
    };
    for (what, text) in [
        ("empty", String::new()),
        ("no text", "\u{0}\n".to_owned()),
        ("no JSON", "radius: 7\n".to_owned()),
        ("a list", "[1, 2]\n".to_owned()),
        ("cut", text[..text.len() - 9].to_owned()),
        ("no first line", rest.to_owned()),
        (
            "another version",
            text.replacen("\"certificates\":3", "\"certificates\":1", 1),
        ),
        (
            "unknown arithmetic",
            text.replacen("\"real\"", "\"float16\"", 1),
        ),
        ("no digits", changed("\"bytes\":\"", "\"bytes\":\"zz")),
        ("exactness", changed("\"exact\":false", "\"exact\":true")),
        (
            "a list for an object",
            changed(line, "[0,0,0,1,1,null,null,\"00\",null,false]"),
        ),
        ("another key", changed("{", "{\"note\":\"trust me\",")),
        ("a key twice", changed("{", "{\"index\":0,")),
        (
            "a key that is missing",
            changed("\"margin\":", "\"margins\":"),
        ),
    ] {
        files.write("changed.jsonl", text);
        let outcome = check(&files, "changed.jsonl");
        assert_eq!(
            (outcome.code, &*outcome.stdout),
            (2, ""),
            "{what}: {}",
            outcome.stderr
        );
        assert!(
            outcome.stderr.starts_with("error: changed.jsonl: line "),
            "{}",
            outcome.stderr
        );
    }
    files.model(&[("head.weight", &[2, 2], vec![3.0, 0.0, 0.0, 5.0])]);
    for model in ["none.onnx", "x.npy", "c.jsonl", "model.safetensors", "."] {
        let outcome = files.run(&["check", "c.jsonl", model]);
        assert_eq!(
            (outcome.code, &*outcome.stdout),
            (2, ""),
            "{model}: {}",
            outcome.stderr
        );
    }
    assert_eq!(files.run(&["check", "none.jsonl", "model.onnx"]).code, 2);
}

#[test]
fn another_model_is_refused() {
    let files = files();
    certified(&files, &[]);
    let mut other = MODEL.to_vec();
    // A byte of a weight.
    let last = other.len() - 2000;
    other[last] ^= 1;
    files.write("model.onnx", other);
    let outcome = check(&files, "c.jsonl");
    assert_eq!(outcome.code, 1);
    assert!(
        outcome.stderr.contains("another model"),
        "{}",
        outcome.stderr
    );
}

#[test]
fn bad_input_says_what_is_wrong() {
    let files = files();
    let refused = |args: &[&str], words: &[&str]| {
        let outcome = files.run(args);
        assert_eq!(outcome.code, 2, "{args:?}: {}", outcome.stdout);
        for word in words {
            assert!(
                outcome.stderr.contains(word),
                "{args:?}: {}",
                outcome.stderr
            );
        }
    };
    let usual = [
        "certify",
        "model.onnx",
        "--images",
        "x.npy",
        "--labels",
        "y.npy",
    ];
    refused(
        &["certify", "model.onnx", "--images", "x.npy"],
        &["x.npy", "labels"],
    );
    refused(
        &[
            "certify", "no.onnx", "--images", "x.npy", "--labels", "y.npy",
        ],
        &["no.onnx"],
    );
    refused(
        &[&usual[..], &["--mean", "1,2"]].concat(),
        &["--mean has 2", "1 channels"],
    );
    refused(&[&usual[..], &["--std", "0"]].concat(), &["--std"]);
    refused(&[&usual[..], &["--resume"]].concat(), &["--certificates"]);
    refused(
        &[&usual[..], &["--certificates", "x.npy"]].concat(),
        &["overwrite an input"],
    );
    refused(
        &[&usual[..], &["--html", "model.onnx"]].concat(),
        &["overwrite an input"],
    );
    files.write("small.npy", npy("|u1", "(40, 5, 5)", &[0; 1000]));
    refused(
        &[
            "certify",
            "model.onnx",
            "--images",
            "small.npy",
            "--labels",
            "y.npy",
        ],
        &["small.npy", "[5, 5]", "[1, 28, 28]"],
    );
    let mut far = [0; COUNT];
    far[7] = 10;
    labels(&files, &far);
    refused(&usual, &["y.npy", "label 10", "10 classes"]);
    files.model(&[("head.weight", &[2, 2], vec![3.0, 0.0, 0.0, 5.0])]);
    refused(
        &[
            "certify",
            "model.safetensors",
            "--images",
            "x.npy",
            "--labels",
            "y.npy",
        ],
        &["no graph"],
    );
    refused(&["check", "none.jsonl", "model.onnx"], &["none.jsonl"]);
}
