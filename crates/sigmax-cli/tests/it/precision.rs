//! Certificates of a graph that computes in 16 bits.

use crate::run::{Files, Outcome};

const MODEL: &[u8] = include_bytes!("../../../../examples/mnist-lipschitz.onnx");

/// The example with an input of another type: of float16 in place of float32.
fn sixteen() -> Vec<u8> {
    let float32 = b"\x0a\x05image\x12\x17\x0a\x15\x08\x01";
    let at = MODEL
        .windows(float32.len())
        .position(|bytes| bytes == float32);
    let mut model = MODEL.to_vec();
    model[at.unwrap() + float32.len() - 1] = 10;
    model
}

fn npy(shape: &str, bytes: &[u8]) -> Vec<u8> {
    let mut header = format!("{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}");
    header += &" ".repeat((64 - (11 + header.len()) % 64) % 64);
    header.push('\n');
    let length = u16::try_from(header.len()).unwrap();
    [
        b"\x93NUMPY\x01\x00",
        &length.to_le_bytes()[..],
        header.as_bytes(),
        bytes,
    ]
    .concat()
}

fn certify(files: &Files, model: &str, out: &str, args: &[&str]) -> Outcome {
    let usual = [
        "certify",
        model,
        "--images",
        "x.npy",
        "--labels",
        "y.npy",
        "--certificates",
        out,
    ];
    files.run(&[&usual[..], args].concat())
}

#[test]
fn no_claim_about_float32_is_made_or_confirmed() {
    let files = Files::new();
    files.write("sixteen.onnx", sixteen());
    files.write("single.onnx", MODEL);
    files.write("x.npy", npy("(1, 28, 28)", &[128; 784]));
    files.write("y.npy", npy("(1,)", &[3]));

    let refused = certify(&files, "sixteen.onnx", "no.jsonl", &["--float32"]);
    assert_eq!(refused.code, 2, "{}", refused.stderr);
    for part in ["sixteen.onnx", "16 bits", "leave --float32 out"] {
        assert!(refused.stderr.contains(part), "{}", refused.stderr);
    }

    // In real arithmetic it is certified, and says what that means.
    let real = certify(&files, "sixteen.onnx", "real.jsonl", &["--format", "json"]);
    assert_eq!(real.code, 0, "{}", real.stderr);
    assert!(
        real.stdout.contains("rounding to 16 bits"),
        "{}",
        real.stdout
    );
    let text = std::fs::read_to_string(files.path("real.jsonl")).unwrap();
    assert!(text.lines().next().unwrap().contains("rounding to 16 bits"));
    let confirmed = files.run(&["check", "real.jsonl", "sixteen.onnx"]);
    assert_eq!(confirmed.code, 0, "{}", confirmed.stderr);
    // Without that it is not confirmed.
    let note = text.find(",\"the graph computes in 16 bits").unwrap();
    let end = note + text[note..].find("\"]").unwrap() + 1;
    files.write("silent.jsonl", [&text[..note], &text[end..]].concat());
    let silent = files.run(&["check", "silent.jsonl", "sixteen.onnx"]);
    assert_eq!(silent.code, 1, "{}", silent.stderr);
    assert!(silent.stderr.contains("assumptions"), "{}", silent.stderr);

    // A claim about float32 of the same network, made to be about this file.
    let single = certify(&files, "single.onnx", "single.jsonl", &["--float32"]);
    assert_eq!(single.code, 0, "{}", single.stderr);
    let digest = |text: &str| {
        let start = text.find("\"sha256\":\"").unwrap() + 10;
        text[start..start + 64].to_owned()
    };
    let forged = std::fs::read_to_string(files.path("single.jsonl")).unwrap();
    files.write(
        "forged.jsonl",
        forged.replace(&digest(&forged), &digest(&text)),
    );
    let outcome = files.run(&["check", "forged.jsonl", "sixteen.onnx"]);
    assert_eq!(outcome.code, 1, "{}", outcome.stderr);
    assert!(outcome.stderr.contains("16 bits"), "{}", outcome.stderr);
}
