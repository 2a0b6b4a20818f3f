//! Bounds around images: what they add, and what `check` confirms of it.

use serde_json::{Value, json};

use crate::curvature::{COUNT, certified, certify, check, files, radius};

/// They certify more than the constants, `check` confirms what they say, and nothing beyond.
#[test]
fn bounds_around_images_are_confirmed() {
    for activation in ["Relu", "Softplus"] {
        let files = files(activation);
        let global = certified(&files, &["--method", "global"]);
        let lines = certified(&files, &["--method", "local"]);
        let larger = |line: &Value, than: &Value| radius(line) > radius(than);
        let pairs = || lines[1..].iter().zip(&global[1..]);
        assert!(pairs().filter(|(a, b)| larger(a, b)).count() > COUNT / 2);
        for (line, global) in pairs() {
            assert!(radius(line) >= radius(global));
            assert_eq!(line.get("local").is_some(), larger(line, global));
        }
        assert_eq!(check(&files, &lines).code, 0);
        let forged = |change: &dyn Fn(&mut Value)| {
            let mut lines = lines.clone();
            let local = lines.iter_mut().filter(|line| line.get("local").is_some());
            local.for_each(change);
            check(&files, &lines).code
        };
        let scaled =
            |factor: f64| forged(&|line: &mut Value| line["radius"] = json!(radius(line) * factor));
        // The next radius that was tried is 2 % larger, and not proved.
        assert_eq!(scaled(1.05), 1);
        for factor in [1e6, 1e150, 1e300] {
            assert_eq!(scaled(factor), 1);
        }
        // Without the word, the constants would have to prove it.
        let without = |line: &mut Value| {
            line.as_object_mut().unwrap().remove("local");
        };
        assert_eq!(forged(&without), 1);
        // Whoever is of another class has no radius.
        let label = |line: &mut Value| {
            line["label"] = json!((line["label"].as_u64().unwrap() + 1) % 3);
            line["margin"] = json!(0.0);
        };
        assert_eq!(forged(&label), 1);
        for (key, value) in [
            ("radius", json!(0.0)),
            ("local", json!(1)),
            ("local", json!(null)),
        ] {
            assert_eq!(
                forged(&|line| line[key] = value.clone()),
                2,
                "{key} {value}"
            );
        }
    }
}

/// Only the distances that were asked for are tried by default, and the summary says what they add.
#[test]
fn distances_that_are_asked_for_are_tried_around_images() {
    let files = files("Relu");
    let global = certified(&files, &["--method", "global"]);
    let mut radii: Vec<f64> = global[1..].iter().map(radius).collect();
    radii.sort_by(f64::total_cmp);
    // A hair beyond what the constants prove of half of the images.
    let eps = (1.001 * radii[COUNT / 2]).to_string();
    let outcome = certify(&files, &["--eps", &eps, "--format", "json"]);
    let summary: Value = serde_json::from_str(&outcome.stdout).unwrap();
    let found = &summary["certified"][0];
    assert!(found["by_bounds_around"].as_u64().unwrap() > 0, "{summary}");
    assert!(summary["local_seconds"].as_f64().unwrap() >= 0.0);
    let text = certify(&files, &["--eps", &eps]).stdout;
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("by bounds around them. PROVED."), "{text}");
    // The constants alone do not say so.
    let text = certify(&files, &["--eps", &eps, "--method", "global"]).stdout;
    assert!(!text.contains("bounds around"), "{text}");
    let float32 = certified(&files, &["--float32", "--eps", &eps]);
    assert_eq!(check(&files, &float32).code, 0);
}
