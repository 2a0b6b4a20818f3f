//! What the reports say.

use serde_json::{Value, json};

use crate::run::{Files, unwrapped};

fn layer<'a>(report: &'a Value, name: &str) -> &'a Value {
    let layers = report["layers"].as_array().unwrap();
    layers.iter().find(|layer| layer["name"] == name).unwrap()
}

fn encloses(layer: &Value, norm: f64) {
    let (lower, upper) = (&layer["norm"]["lower"], &layer["norm"]["upper"]);
    assert!(
        lower.as_f64().unwrap() <= norm && norm <= upper.as_f64().unwrap(),
        "{layer}"
    );
    assert!(
        layer["norm"]["relative_width"].as_f64().unwrap() <= 1e-3,
        "{layer}"
    );
}

#[test]
fn json_holds_proved_numbers_known_by_hand() {
    let report = Files::usual().json(&[]);
    assert_eq!(report["schema"], 1);
    assert_eq!(
        report["model"],
        json!({"file": "model.safetensors", "format": "safetensors"})
    );
    assert_eq!(report["skipped"], json!({"rank 1": 1}));
    assert_eq!(report["refused"], json!([]));
    assert_eq!(report["gate"], Value::Null);
    assert_eq!(
        report["estimates"],
        json!(["reshape_norm", "jacobian_norm", "hessian_norm"])
    );
    let names: Vec<_> = report["layers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|l| &l["name"])
        .collect();
    assert_eq!(names, ["blur", "edge", "head"]);
    let blur = layer(&report, "blur");
    encloses(blur, 9.0);
    encloses(layer(&report, "edge"), 4.0);
    encloses(layer(&report, "head"), 5.0);
    assert_eq!(blur["geometry"], "assumed");
    assert_eq!(blur["padding"], json!([[0, 0], [0, 0]]));
    assert!((blur["reshape_norm"].as_f64().unwrap() - 3.0).abs() < 1e-9);
    let keys = |name: &str| -> Vec<String> {
        layer(&report, name)["four"]
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect()
    };
    assert_eq!(keys("blur"), ["R", "S", "T", "U", "min", "winner"]);
    assert_eq!(keys("edge"), ["T", "U", "min", "winner"]);
    assert_eq!(keys("head"), ["T", "min", "winner"]);
}

#[test]
fn csv_has_the_same_numbers_as_json() {
    let files = Files::usual();
    let report = files.json(&[]);
    let csv = files.audit(&["--format", "csv"]).stdout;
    let mut lines = csv.lines();
    let header: Vec<_> = lines.next().unwrap().split(',').collect();
    let column = |name: &str| header.iter().position(|&h| h == name).unwrap();
    assert_eq!(lines.clone().count(), 3);
    for line in lines {
        let fields: Vec<_> = line.split(',').collect();
        assert_eq!(fields.len(), header.len());
        let json = layer(&report, fields[column("name")]);
        let same = |name: &str, value: &Value| {
            let csv: f64 = fields[column(name)].parse().unwrap();
            assert_eq!(csv.to_bits(), value.as_f64().unwrap().to_bits(), "{name}");
        };
        same("norm_lower", &json["norm"]["lower"]);
        same("norm_upper", &json["norm"]["upper"]);
        same("four_min", &json["four"]["min"]);
        same("weighted_four", &json["weighted_four"]);
        same("reshape_norm_estimate", &json["reshape_norm"]);
    }
}

#[test]
fn the_numbers_do_not_depend_on_threads() {
    let files = Files::many(9);
    let strip = |threads: &str| {
        let mut report = files.json(&["--threads", threads]);
        report["seconds"] = Value::Null;
        for layer in report["layers"].as_array_mut().unwrap() {
            assert!(layer["seconds"].take().is_f64());
            assert!(layer["timing"].take()["norm"].is_f64());
        }
        report
    };
    let one = strip("1");
    assert_eq!(one["layers"].as_array().unwrap().len(), 9);
    assert_eq!(one, strip("4"));
}

#[test]
fn the_tolerance_is_met() {
    let files = Files::many(1);
    let width = |tolerance: &str| {
        let report = files.json(&["--tolerance", tolerance]);
        assert_eq!(report["layers"][0]["norm"]["stop"], "tolerance");
        report["layers"][0]["norm"]["relative_width"]
            .as_f64()
            .unwrap()
    };
    assert!(width("1e-6") <= 1e-6);
    assert!(width("0.1") <= 0.1);
}

#[test]
fn a_spent_budget_is_said_and_the_bounds_stay_proved() {
    let files = Files::many(3);
    let report = files.json(&["--budget", "1e-9"]);
    let full = files.json(&[]);
    for (layer, full) in [0, 1, 2].map(|i| (&report["layers"][i], &full["layers"][i])) {
        assert_eq!(layer["norm"]["stop"], "time");
        let (upper, full) = (&layer["norm"]["upper"], &full["norm"]["lower"]);
        assert!(upper.as_f64().unwrap() >= full.as_f64().unwrap());
    }
    let table = files.audit(&["--budget", "1e-9"]);
    assert_eq!(table.code, 0);
    let text = unwrapped(&table.stdout);
    assert!(text.contains("the time was used up"), "{text}");
    assert!(text.contains("conv0, conv1, conv2."), "{text}");
}

#[test]
fn a_geometry_file_sharpens_the_bounds() {
    let files = Files::usual();
    files.write(
        "geometry.toml",
        "[[layer]]\nname = \"bl*\"\nstride = 3\npadding = 1\n",
    );
    let report = files.json(&["--layers", "geometry.toml"]);
    let blur = layer(&report, "blur");
    assert_eq!(blur["geometry"], "given");
    assert_eq!(blur["stride"], json!([3, 3]));
    assert_eq!(blur["padding"], json!([[1, 1], [1, 1]]));
    encloses(blur, 3.0); // every pixel is used once: the norm of nine ones
    assert_eq!(layer(&report, "edge")["geometry"], "assumed");
}

#[test]
fn circular_padding_at_a_known_size_is_said() {
    let files = Files::usual();
    files.write(
        "geometry.toml",
        "[[layer]]\nname = \"edge\"\npadding = 1\npadding_mode = \"circular\"\ninput_size = 3\n",
    );
    let args = ["--layers", "geometry.toml", "--only", "edge"];
    let report = files.json(&args);
    assert_eq!(report["layers"][0]["norm"]["quantity"], "circular");
    encloses(&report["layers"][0], 3.0); // 2 − 2cos(2π/3)
    let table = unwrapped(&files.audit(&args).stdout);
    assert!(table.contains("norm at that size"), "{table}");
}

#[test]
fn only_reads_what_it_picks() {
    let files = Files::new();
    files.model(&[
        ("a.weight", &[1, 1, 3], vec![f32::NAN; 3]),
        ("b.weight", &[1, 1, 3], vec![1.0; 3]),
        ("c.weight", &[1, 1, 3], vec![2.0; 3]),
    ]);
    let report = files.json(&["--only", "b", "--only", "c.w*"]);
    let names: Vec<_> = report["layers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|l| &l["name"])
        .collect();
    assert_eq!(names, ["b", "c"]);
    assert_eq!(report["refused"], json!([]));
}

#[test]
fn help_teaches() {
    let help = Files::new().run(&["audit", "--help"]);
    assert_eq!(help.code, 0);
    for part in [
        "both proved",
        "Exit codes:",
        "Examples:",
        "geometry.toml",
        "[default: 1e-3]",
    ] {
        assert!(help.stdout.contains(part), "{part}: {}", help.stdout);
    }
}

#[test]
fn the_example_comes_with_the_program() {
    let files = Files::new();
    let bare = files.run(&["audit"]);
    assert_eq!(bare.code, 0, "{}", bare.stderr);
    let named = files.run(&["audit", "--example", "--format", "json"]);
    let report: Value = serde_json::from_str(&named.stdout).unwrap();
    assert_eq!(report["model"]["format"], "ONNX");
    assert!(report["layers"].as_array().unwrap().len() > 1);
}
