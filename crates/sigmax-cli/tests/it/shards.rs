//! Parts of a set of images, put together again; and constants that are proved once.

use serde_json::json;

use crate::curvature::{
    COUNT, certified, certify, check, deep_files, files, files_of_extremes, radius,
};

/// Parts, with constants that were proved before, make the file of a run over all images.
#[test]
fn parts_make_the_whole() {
    for activation in ["Relu", "Softplus"] {
        let files = files(activation);
        let eps = ["--eps", "0.05"];
        let whole = certified(&files, &eps);
        let text = std::fs::read(files.path("c.jsonl")).unwrap();
        files.write("whole.jsonl", &text);
        let mut names = Vec::new();
        for part in 1..=3 {
            let (name, shard) = (format!("part{part}.jsonl"), format!("{part}/3"));
            let args = [
                "--shard",
                &shard,
                "--constants",
                "whole.jsonl",
                "--certificates",
                &name,
            ];
            let outcome = certify(&files, &[&eps[..], &args].concat());
            assert_eq!(outcome.code, 0, "{}", outcome.stderr);
            names.push(name);
        }
        let merge =
            |names: &[&str]| files.run(&[&["merge", "--output", "all.jsonl"], names].concat());
        let all: Vec<&str> = names.iter().map(String::as_str).collect();
        // In any order.
        let outcome = merge(&[all[2], all[0], all[1]]);
        assert_eq!(outcome.code, 0, "{}", outcome.stderr);
        assert!(
            outcome
                .stderr
                .contains(&format!("{COUNT} images in 3 files; not confirmed"))
        );
        assert_eq!(std::fs::read(files.path("all.jsonl")).unwrap(), text);
        // The last image is missed only by who knows how many there are.
        let counted =
            |number: usize| merge(&[&all[..], &["--images", &number.to_string()]].concat());
        assert_eq!(counted(COUNT).code, 0);
        let outcome = counted(COUNT + 1);
        assert!(
            outcome.code == 2 && outcome.stderr.contains(&COUNT.to_string()),
            "{}",
            outcome.stderr
        );
        // An interrupted part is taken up again.
        let lines: Vec<&str> = std::str::from_utf8(&text).unwrap().lines().collect();
        let begun = [lines[0], lines[2], ""].join("\n");
        files.write("part2.jsonl", begun);
        let args = [
            "--shard",
            "2/3",
            "--constants",
            "whole.jsonl",
            "--certificates",
            "part2.jsonl",
            "--resume",
        ];
        assert_eq!(certify(&files, &[&eps[..], &args].concat()).code, 0);
        assert_eq!(merge(&all).code, 0);
        assert_eq!(std::fs::read(files.path("all.jsonl")).unwrap(), text);
        // Two of the same image, and one in none of the files.
        for (parts, image) in [
            (&[all[0], all[1], all[1], all[2]][..], "1"),
            (&[all[0], all[2]], "1"),
        ] {
            let outcome = merge(parts);
            assert_eq!(outcome.code, 2);
            assert!(
                outcome.stderr.contains(&format!("image {image} ")),
                "{}",
                outcome.stderr
            );
        }
        // Another first line.
        let other = certified(&files, &[&eps[..], &["--float32"]].concat());
        let outcome = merge(&[all[0], "c.jsonl"]);
        assert!(
            outcome.code == 2 && outcome.stderr.contains("first line"),
            "{}",
            outcome.stderr
        );
        assert_eq!(merge(&["model.onnx"]).code, 2);
        // Constants of another arithmetic, altered ones, or none.
        let with = |name: &str| certify(&files, &["--constants", name]);
        assert_eq!(with("c.jsonl").code, 2);
        assert_eq!(other[0]["arithmetic"], "float32");
        let mut altered = whole[0].clone();
        altered["nodes"][1]["own"] = json!(1e-3);
        files.write("altered.jsonl", format!("{altered}\n"));
        let outcome = with("altered.jsonl");
        assert!(
            outcome.code == 2 && outcome.stderr.contains("altered.jsonl"),
            "{}",
            outcome.stderr
        );
        assert_eq!(with("missing.jsonl").code, 2);
        for shard in ["0/3", "4/3", "1/0", "1", "a/b", "-1/3"] {
            assert_eq!(
                certify(&files, &[&format!("--shard={shard}")]).code,
                2,
                "{shard}"
            );
        }
    }
}

/// With less memory the same is proved, one image after the other; with too little nothing is done.
#[test]
fn memory_is_bounded() {
    let files = files("Relu");
    let local = ["--method", "local", "--eps", "0.05"];
    let freely = certified(&files, &local);
    let tightly = certified(&files, &[&local[..], &["--memory", "20M"]].concat());
    let mut pairs = freely[1..].iter().zip(&tightly[1..]);
    // In other blocks, sums are rounded in other places.
    assert!(pairs.all(|(a, b)| (radius(a) - radius(b)).abs() <= 0.05 * radius(b)));
    assert_eq!(check(&files, &tightly).code, 0);
    let outcome = certify(&files, &[&local[..], &["--memory", "64k"]].concat());
    assert!(
        outcome.code == 2 && outcome.stderr.contains("memory"),
        "{}",
        outcome.stderr
    );
    for memory in ["0", "M", "1.5G", "-1", "99999999999G"] {
        let outcome = certify(&files, &[&format!("--memory={memory}")]);
        assert_eq!(outcome.code, 2, "{memory}");
    }
    for option in [["--memory", "1G"], ["--image-budget", "1"]] {
        let outcome = certify(&files, &[&option[..], &["--method", "global"]].concat());
        assert!(
            outcome.code == 2 && outcome.stderr.contains(option[0]),
            "{}",
            outcome.stderr
        );
    }
}

/// Within the range of pixels more is certified, the claim says so, and cannot be taken for that of all inputs.
#[test]
fn claims_about_pictures_say_so() {
    let files = files_of_extremes("Relu");
    let all = certified(&files, &["--method", "local"]);
    let within = certified(&files, &["--method", "local", "--valid-pixels"]);
    assert_eq!(within[0]["range"], json!([0.0, 1.0]));
    assert!(all[0].get("range").is_none() && all[0]["claim"] != within[0]["claim"]);
    let pairs = || within[1..].iter().zip(&all[1..]);
    assert!(pairs().all(|(a, b)| radius(a) >= 0.95 * radius(b)));
    assert!(pairs().filter(|(a, b)| radius(a) > radius(b)).count() > COUNT / 8);
    assert_eq!(check(&files, &within).code, 0);
    let altered = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut lines = within.clone();
        change(&mut lines[0]);
        check(&files, &lines).code
    };
    let without = |header: &mut serde_json::Value| {
        header.as_object_mut().unwrap().remove("range");
    };
    assert_eq!(altered(&without), 1);
    assert_eq!(
        altered(&|header| header["claim"] = all[0]["claim"].clone()),
        1
    );
    for range in [json!([1.0, 0.0]), json!([0.4, 0.4])] {
        assert_eq!(
            altered(&|header| header["range"] = range.clone()),
            1,
            "{range}"
        );
    }
    assert_eq!(altered(&|header| header["range"] = json!([0.0])), 2);
    // As if the claim were of all inputs.
    let both = |header: &mut serde_json::Value| {
        without(header);
        header["claim"] = all[0]["claim"].clone();
    };
    assert_eq!(altered(&both), 1);
    let text = certify(&files, &["--valid-pixels"]).stdout;
    assert!(
        text.contains("only those whose pixels are all between 0 and 1"),
        "{text}"
    );
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let of_pictures = "PROVED of inputs with pixels between 0 and 1.";
    assert!(
        words.contains(of_pictures) && !words.contains("PROVED. "),
        "{text}"
    );
}

/// Slopes are confirmed as they are.
#[test]
fn slopes_are_confirmed() {
    let files = deep_files("Relu");
    let lines = certified(&files, &["--method", "local"]);
    let place = lines
        .iter()
        .position(|line| line.get("slopes").is_some())
        .unwrap();
    let altered = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut lines = lines.clone();
        change(&mut lines[place]);
        check(&files, &lines).code
    };
    let label = lines[place]["label"].clone();
    let first = |key: &'static str, value: serde_json::Value| {
        altered(&move |line| line["slopes"][0][key] = value.clone())
    };
    for (key, value, code) in [
        ("rival", label, 1),
        ("rival", json!(99), 1),
        ("node", json!(0), 1),
        ("node", json!(1 << 20), 1),
        ("steps", json!("-//".repeat(70_000)), 1),
        ("steps", json!(""), 1),
        ("steps", json!("-//"), 1),
        ("steps", json!("-A"), 2),
        ("steps", json!("?"), 2),
        ("steps", json!(7), 2),
        ("other", json!(7), 2),
    ] {
        assert_eq!(first(key, value.clone()), code, "{key} {value}");
    }
    let twice = |line: &mut serde_json::Value| {
        let again = line["slopes"][0].clone();
        line["slopes"].as_array_mut().unwrap().insert(0, again);
    };
    assert_eq!(altered(&twice), 1);
    let alone = |line: &mut serde_json::Value| {
        line.as_object_mut().unwrap().remove("local");
    };
    assert_eq!(altered(&alone), 2);
}
