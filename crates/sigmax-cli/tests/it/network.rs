//! The network section of an audit, and `sigmax compare`.

use serde_json::Value;

use crate::run::Files;

const MODEL: &[u8] = include_bytes!("../../examples/mnist-cnn.onnx");

fn example() -> Files {
    let files = Files::new();
    files.write("model.onnx", MODEL);
    files
}

#[test]
fn an_audit_has_the_constant_of_the_network_and_where_it_comes_from() {
    let files = example();
    let outcome = files.run(&["audit", "model.onnx", "--format", "json"]);
    assert_eq!(outcome.code, 0, "{}", outcome.stderr);
    let report: Value = serde_json::from_str(&outcome.stdout).unwrap();
    let network = &report["network"];
    let upper = network["lipschitz"]["upper"].as_f64().unwrap();
    // The layers are a chain with average pooling, whose constant is one half; factors between them take
    // away more than the half of the product.
    let layers = report["layers"].as_array().unwrap().iter();
    let product: f64 = layers
        .map(|layer| layer["norm"]["upper"].as_f64().unwrap())
        .product();
    assert!(upper < product / 4.0, "{upper} {product}");
    assert!(network["reason"].is_null());
    let nodes = network["nodes"].as_array().unwrap();
    assert_eq!(nodes.len(), 14);
    assert_eq!(nodes.last().unwrap()["through"].as_f64(), Some(upper));
    assert_eq!(
        nodes.last().unwrap()["rule"],
        "scaled between layers, from stem"
    );
    let jacobian = network["jacobian_norm"].as_f64().unwrap();
    assert!(jacobian > 0.0 && jacobian <= upper);
    let estimates = report["estimates"].as_array().unwrap();
    assert!(
        estimates
            .iter()
            .any(|key| key.as_str().unwrap().contains("jacobian_norm"))
    );
}

#[test]
fn the_constant_can_gate_a_release() {
    let files = example();
    let gate = |limit: &str| files.run(&["audit", "model.onnx", "--max-lipschitz", limit]);
    let passed = gate("4000");
    assert_eq!((passed.code, passed.stderr.as_str()), (0, ""));
    let failed = gate("3000");
    assert_eq!(failed.code, 1);
    assert!(failed.stderr.contains("3000"), "{}", failed.stderr);
}

#[test]
fn a_file_without_a_graph_passes_no_gate_on_its_network() {
    let files = Files::usual();
    let outcome = files.audit(&["--max-lipschitz", "1e300"]);
    assert_eq!(outcome.code, 1);
    assert!(outcome.stderr.contains("gate failed"), "{}", outcome.stderr);
}

#[test]
fn a_report_to_look_at_appears_whole() {
    let files = example();
    let outcome = files.run(&["audit", "model.onnx", "--html", "report.html"]);
    assert_eq!(outcome.code, 0, "{}", outcome.stderr);
    let page = std::fs::read_to_string(files.path("report.html")).unwrap();
    assert!(page.starts_with("<!DOCTYPE html>") && page.trim_end().ends_with("</html>"));
    assert!(!page.contains("<script"));
    // It may not take the place of an input, and nothing is left behind.
    let outcome = files.run(&["audit", "model.onnx", "--html", "model.onnx"]);
    assert_eq!(outcome.code, 2);
    assert_eq!(std::fs::read(files.path("model.onnx")).unwrap(), MODEL);
    let left = std::fs::read_dir(files.folder.path()).unwrap().count();
    assert_eq!(left, 2);
}

#[test]
fn two_models_side_by_side() {
    let files = Files::usual();
    std::fs::rename(files.path("model.safetensors"), files.path("a.safetensors")).unwrap();
    files.model(&[
        ("blur.weight", &[1, 1, 3, 3], vec![0.5; 9]),
        ("head.weight", &[2, 2], vec![3.0, 0.0, 0.0, 5.0]),
        ("new.weight", &[1, 1], vec![2.0]),
    ]);
    let args = ["compare", "a.safetensors", "model.safetensors"];
    let text = files.run(&args);
    assert_eq!(text.code, 0, "{}", text.stderr);
    assert!(
        text.stdout.contains("Only in A: edge.") && text.stdout.contains("Only in B: new."),
        "{}",
        text.stdout
    );
    let outcome = files.run(&[&args[..], &["--format", "json"]].concat());
    let report: Value = serde_json::from_str(&outcome.stdout).unwrap();
    let layers = report["layers"].as_array().unwrap();
    let names: Vec<&str> = layers.iter().map(|l| l["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["blur", "edge", "head", "new"]);
    let quotient = |i: usize, end: usize| layers[i]["quotient"][end].as_f64().unwrap();
    // ½ and 1 lie between the ends.
    assert!(quotient(0, 0) <= 0.5 && 0.5 <= quotient(0, 1) && quotient(0, 1) < 0.502);
    assert!(quotient(2, 0) <= 1.0 && 1.0 <= quotient(2, 1));
    assert!(layers[1]["quotient"].is_null() && layers[1]["b"].is_null());
    for columns in [20, 40, 60, 100] {
        let narrow = files.run_wide(&args, Some(columns));
        let widest = narrow
            .stdout
            .lines()
            .map(|l| l.chars().count())
            .max()
            .unwrap();
        assert!(widest <= columns.max(68), "{columns}: {}", narrow.stdout);
    }
}

#[test]
fn a_quotient_says_of_what_it_is() {
    let files = Files::usual();
    files.write("model.onnx", MODEL);
    let same = ["compare", "model.safetensors", "model.safetensors"];
    let json = |args: &[&str]| -> Value {
        let outcome = files.run(&[args, &["--format", "json"]].concat());
        assert_eq!(outcome.code, 0, "{}", outcome.stderr);
        serde_json::from_str(&outcome.stdout).unwrap()
    };
    // The file does not state strides: what is proved is of the layers with stride 1.
    let report = json(&same);
    assert_eq!(report["layers"][0]["quotient_of"], "stride 1, one group");
    assert_eq!(
        report["layers"][2]["quotient_of"], "norm",
        "a matrix has no stride"
    );
    let text = files.run(&same).stdout.replace("\n  ", " ");
    assert!(text.contains("with stride 1 and one group"), "{text}");
    // Stated for one and not for the other: no quotient.
    let report = json(&["compare", "model.onnx", "model.onnx"]);
    assert_eq!(report["layers"][0]["quotient_of"], "norm");
    let text = files.run(&["compare", "model.onnx", "model.onnx"]).stdout;
    assert!(!text.contains("stride 1"), "{text}");
}

#[test]
fn two_outputs_are_two_files() {
    let files = example();
    let outcome = files.run(&["audit", "model.onnx", "-o", "r.txt", "--html", "r.txt"]);
    assert_eq!(outcome.code, 2);
    assert!(
        outcome
            .stderr
            .contains("--output and --html name the same file"),
        "{}",
        outcome.stderr
    );
    assert!(!files.path("r.txt").exists());
}
