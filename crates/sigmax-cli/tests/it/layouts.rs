//! `sigmax certify` and `sigmax check`: images in the layout of the model, and their units.

use serde_json::{Value, json};

use crate::certify::npy;
use crate::graph::{two_classes, vector};
use crate::run::{Files, Outcome, unwrapped};

/// Colour pictures, black but for the red of the second pixel.
const SQUARE: &str = "89504e470d0a1a0a0000000d4948445200000002000000020802000000fdd49a730000000f49\
    44415478da63606060f8cf0003000a040100e2bfaaf90000000049454e44ae426082";
const CUBE: &str = "89504e470d0a1a0a0000000d4948445200000003000000030802000000d94a22e80000001049\
    44415478da63606060f8cf800b00001a04010093f31a850000000049454e44ae426082";

fn unhex(digits: &str) -> Vec<u8> {
    let byte = |i| u8::from_str_radix(&digits[i..i + 2], 16).unwrap();
    (0..digits.len()).step_by(2).map(byte).collect()
}

/// +1 on red and −1 on green, pixel by pixel.
fn red_or_green(pixels: usize) -> Vec<f32> {
    [1.0, -1.0, 0.0].repeat(pixels)
}

/// A model of this input, and a folder with the picture in class 1.
fn picture(input: &[usize], picture: &str) -> Files {
    let files = Files::new();
    let pixels = input.iter().product::<usize>() / 3;
    files.write("model.onnx", two_classes(input, &red_or_green(pixels)));
    std::fs::create_dir_all(files.path("set/1")).unwrap();
    std::fs::create_dir_all(files.path("set/0")).unwrap();
    files.write("set/1/a.png", unhex(picture));
    files
}

/// A model of this input, and an array of one image of f32 values with label 1.
fn array(input: &[usize], shape: &str, values: &[f32]) -> Files {
    let files = Files::new();
    let count = input.iter().product::<usize>();
    files.write("model.onnx", two_classes(input, &vec![1.0; count]));
    let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    files.write("x.npy", npy("<f4", &format!("(1, {shape})"), &bytes));
    files.write("y.npy", npy("|u1", "(1,)", &[1]));
    files
}

const ARRAY: [&str; 4] = ["--images", "x.npy", "--labels", "y.npy"];

fn certify(files: &Files, images: &[&str], more: &[&str]) -> Outcome {
    let start = ["certify", "model.onnx", "--certificates", "c.jsonl"];
    files.run(&[&start[..], images, more].concat())
}

/// Header and first line of a run that goes well and that the checker confirms.
#[track_caller]
fn certified(files: &Files, images: &[&str], more: &[&str]) -> (Value, Value) {
    let outcome = certify(files, images, more);
    assert_eq!(outcome.code, 0, "{}", outcome.stderr);
    let check = files.run(&["check", "c.jsonl", "model.onnx"]);
    assert_eq!(check.code, 0, "{}", check.stderr);
    let text = std::fs::read_to_string(files.path("c.jsonl")).unwrap();
    let mut lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
    (lines.next().unwrap(), lines.next().unwrap())
}

#[track_caller]
fn refused(files: &Files, images: &[&str], more: &[&str], words: &[&str]) {
    let outcome = certify(files, images, more);
    assert_eq!(outcome.code, 2, "{}", outcome.stdout);
    assert!(!files.path("c.jsonl").exists());
    for word in words {
        assert!(outcome.stderr.contains(word), "{word}: {}", outcome.stderr);
    }
}

fn close(found: &Value, expected: f64) -> bool {
    (found.as_f64().unwrap() / expected - 1.0).abs() < 1e-5
}

/// Poured in plane by plane, the picture would be of class 0.
#[test]
fn a_picture_is_certified_in_the_layout_of_the_model() {
    for input in [&[2, 2, 3][..], &[12]] {
        let files = picture(input, SQUARE);
        let more: &[&str] = if input.len() == 1 {
            &["--layout", "hwc"]
        } else {
            &[]
        };
        let (header, line) = certified(&files, &["--images", "set"], more);
        assert_eq!(line["bytes"], "000000ff0000000000000000");
        assert_eq!(
            (&line["label"], &line["prediction"]),
            (&json!(1), &json!(1))
        );
        assert_eq!(line["logits"], json!([-1.0, 1.0]));
        // The logits differ by 2, and the rows by 2√8.
        assert!(close(&line["radius"], 1.0 / 8f64.sqrt()), "{line}");
        assert_eq!(header["layout"], "hwc");
        assert_eq!(header["picture"], json!([3, 2, 2]));
    }
    // Channels first, the model sees the red of the second pixel as its green.
    let (header, line) = certified(&picture(&[3, 2, 2], SQUARE), &["--images", "set"], &[]);
    assert_eq!(line["bytes"], "00ff00000000000000000000");
    assert_eq!(
        (&line["prediction"], &line["radius"]),
        (&json!(0), &json!(0.0))
    );
    assert_eq!(header["layout"], "chw");
}

#[test]
fn cifar_records_are_certified_in_the_layout_of_the_model() {
    let files = Files::new();
    files.write(
        "model.onnx",
        two_classes(&[32, 32, 3], &red_or_green(32 * 32)),
    );
    let mut record = vec![0; 3073];
    (record[0], record[2]) = (1, 255);
    files.write("test_batch.bin", record);
    let (_, line) = certified(&files, &["--images", "test_batch.bin"], &[]);
    assert!(line["bytes"].as_str().unwrap().starts_with("000000ff0000"));
    assert_eq!(line["logits"], json!([-1.0, 1.0]));
    assert!(close(&line["radius"], 1.0 / 2048f64.sqrt()), "{line}");
}

#[test]
fn a_layout_that_nothing_says_has_to_be_stated() {
    for input in [&[3, 3, 3][..], &[27]] {
        let files = picture(input, CUBE);
        let images = ["--images", "set"];
        refused(&files, &images, &[], &["chw", "hwc", "--layout"]);
        for (layout, prediction) in [("chw", 0), ("hwc", 1)] {
            let (header, line) = certified(&files, &images, &["--layout", layout]);
            assert_eq!(line["prediction"], prediction);
            assert_eq!(header["layout"], layout);
        }
    }
}

#[test]
fn as_many_entries_are_not_enough() {
    let values = [0.5; 72];
    for shape in ["24, 3", "6, 4, 3", "3, 6, 4", "72"] {
        let files = array(&[3, 4, 6], shape, &values);
        refused(&files, &ARRAY, &[], &["x.npy", shape, "[3, 4, 6]"]);
    }
    // Either order of an array, told by its shape.
    for shape in ["3, 4, 6", "4, 6, 3"] {
        certified(&array(&[3, 4, 6], shape, &values), &ARRAY, &[]);
    }
    let both = ["[3, 2, 2] (chw)", "[2, 2, 3] (hwc)", "[3, 1, 4]"];
    refused(
        &picture(&[3, 1, 4], SQUARE),
        &["--images", "set"],
        &[],
        &both,
    );
}

/// (x − mean)/std along the last axis: the red of one pixel is (1 − 0.5)/0.5 = 1, that of the
/// others −1.
#[test]
fn normalisation_is_along_the_channels() {
    let normalise = ["--mean", "0.5,0,0", "--std", "0.5,1,1"];
    let expected = json!([2.0, -2.0]);
    let files = picture(&[2, 2, 3], SQUARE);
    let (header, line) = certified(&files, &["--images", "set"], &normalise);
    assert_eq!(line["logits"], expected);
    assert_eq!(header["mean"], json!([0.5, 0.0, 0.0]));
    let flat = picture(&[12], SQUARE);
    let layout = [&normalise[..], &["--layout", "hwc"]].concat();
    let (_, line) = certified(&flat, &["--images", "set"], &layout);
    assert_eq!(line["logits"], expected);
    // One channel after the other, red is −1, 1, −1, −1 at the weights 1, −1, 0, 1.
    let images = ["--images", "set"];
    let layout = [&normalise[..], &["--layout", "chw"]].concat();
    let (_, line) = certified(&flat, &images, &layout);
    assert_eq!(line["logits"], json!([3.0, -3.0]));
    let files = picture(&[2, 2, 3], SQUARE);
    refused(
        &files,
        &images,
        &["--mean", "1,2"],
        &["--mean has 2", "3 channels"],
    );
    let unequal = ["--mean", "1,2", "--std", "1,2,3"];
    refused(
        &files,
        &images,
        &unequal,
        &["--mean has 2 values and --std 3"],
    );
}

#[test]
fn normalisation_of_arrays_goes_along_the_axis_that_fits() {
    let three = ["--mean", "0,0,1", "--std", "1,1,2"];
    let layout = |input: &[usize], shape: &str, more: &[&str]| {
        let files = array(input, shape, &vec![0.5; input.iter().product()]);
        let all = [&three[..], more].concat();
        certified(&files, &ARRAY, &all).0["layout"].clone()
    };
    assert_eq!(layout(&[2, 2, 3], "2, 2, 3", &[]), "hwc");
    assert_eq!(layout(&[3, 2, 2], "3, 2, 2", &[]), "chw");
    assert_eq!(layout(&[3, 2, 2], "2, 2, 3", &[]), "chw");
    assert_eq!(layout(&[3, 2, 3], "3, 2, 3", &["--layout", "hwc"]), "hwc");
    assert_eq!(layout(&[12], "12", &["--layout", "chw"]), "chw");
    for (input, shape) in [(&[3, 2, 3][..], "3, 2, 3"), (&[12], "12")] {
        let files = array(input, shape, &vec![0.5; input.iter().product()]);
        refused(&files, &ARRAY, &three, &["chw", "hwc", "--layout"]);
    }
    let files = array(&[2, 3, 2], "2, 3, 2", &[0.5; 12]);
    refused(&files, &ARRAY, &three, &["[2, 3, 2]", "3 channels"]);
    let files = array(&[2, 3, 2], "2, 3, 2", &[0.5; 12]);
    let (header, _) = certified(&files, &ARRAY, &["--mean", "0.5"]);
    assert_eq!(
        (&header["layout"], &header["picture"]),
        (&Value::Null, &Value::Null)
    );
}

#[test]
fn values_outside_of_0_and_1_are_refused_unless_somebody_says_so() {
    let files = array(&[4], "4", &[0.0, 255.0, 3.0, 4.0]);
    refused(&files, &ARRAY, &[], &["0 to 255", "--pixel-range", "--std"]);
    refused(
        &files,
        &ARRAY,
        &["--pixel-range", "0,254"],
        &["0 to 255", "0 to 254"],
    );
    for more in [["--pixel-range", "0,255"], ["--std", "255"]] {
        let outcome = certify(&files, &ARRAY, &more);
        assert_eq!(outcome.code, 0, "{}", outcome.stderr);
        let text = unwrapped(&outcome.stdout);
        assert!(
            text.contains("Pixels: floats from 0 to 255; radii"),
            "{text}"
        );
    }
    let files = array(&[4], "4", &[-0.5, 0.0, 1.0, 1.0]);
    refused(&files, &ARRAY, &[], &["-0.5 to 1"]);
    let files = array(&[4], "4", &[0.0, 0.0, 1.0, 1.0]);
    certified(&files, &ARRAY, &[]);
    let files = picture(&[2, 2, 3], SQUARE);
    let range = ["--pixel-range", "0,255"];
    refused(&files, &["--images", "set"], &range, &["bytes over 255"]);
}

#[test]
fn the_summary_states_units_and_layout() {
    let files = picture(&[2, 2, 3], SQUARE);
    let json = ["--format", "json", "--html", "page.html"];
    let outcome = certify(&files, &["--images", "set"], &json);
    let summary: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(summary["units"]["pixels"], "bytes/255");
    assert_eq!(summary["input"], json!([2, 2, 3]));
    assert_eq!(summary["layout"], "hwc");
    assert_eq!(summary["picture"], json!([3, 2, 2]));
    let text = unwrapped(&certify(&files, &["--images", "set"], &[]).stdout);
    let layout = "pictures of 3 channels, height 2 and width 2 as inputs of shape [2, 2, 3] (hwc), \
                  transposed";
    let page = std::fs::read_to_string(files.path("page.html")).unwrap();
    for text in [text, unwrapped(&page.to_lowercase())] {
        assert!(text.to_lowercase().contains(layout), "{text}");
        assert!(text.contains("ytes over 255"), "{text}");
    }
}

/// What the header says of the layout has to be possible.
#[test]
fn a_layout_that_contradicts_the_model_is_not_confirmed() {
    let files = picture(&[2, 2, 3], SQUARE);
    certified(&files, &["--images", "set"], &["--mean", "0.5,0,0"]);
    let text = std::fs::read_to_string(files.path("c.jsonl")).unwrap();
    let (first, rest) = text.split_once('\n').unwrap();
    for (layout, picture) in [
        (json!("chw"), json!([3, 2, 2])),
        (json!("whc"), json!([3, 2, 2])),
        (Value::Null, json!([3, 2, 2])),
        (json!("hwc"), json!([2, 2, 3])),
        (json!("hwc"), json!([3, 1, 4])),
        (json!("hwc"), json!([3, u64::MAX, u64::MAX])),
        (json!("chw"), Value::Null),
        (Value::Null, Value::Null),
    ] {
        let mut header: Value = serde_json::from_str(first).unwrap();
        header["layout"] = layout.clone();
        header["picture"] = picture.clone();
        files.write("changed.jsonl", format!("{header}\n{rest}"));
        let outcome = files.run(&["check", "changed.jsonl", "model.onnx"]);
        let code = if layout == "whc" { 2 } else { 1 };
        assert_eq!(outcome.code, code, "{layout} {picture}: {}", outcome.stdout);
    }
}

/// No time at all: the norms are proved, no image is reached, and the summary says so.
#[test]
fn a_budget_leaves_images_out_and_says_so() {
    let files = picture(&[2, 2, 3], SQUARE);
    let images = ["--images", "set"];
    let budget = ["--budget", "1e-9", "--format", "json", "--eps", "0.1"];
    let outcome = certify(&files, &images, &budget);
    assert_eq!(outcome.code, 0, "{}", outcome.stderr);
    let summary: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(summary["complete"], false);
    assert_eq!(
        (&summary["asked"], &summary["total"]),
        (&json!(1), &json!(0))
    );
    assert_eq!(summary["certified"][0]["certified"], 0);
    let check = files.run(&["check", "c.jsonl", "model.onnx"]);
    assert_eq!((check.code, &*check.stdout), (2, ""));
    let nothing = "nothing to confirm: c.jsonl states no image";
    assert!(check.stderr.contains(nothing), "{}", check.stderr);
    let text = unwrapped(&certify(&files, &images, &["--budget", "1e-9"]).stdout);
    assert!(text.contains("1 of 1 images were not done"), "{text}");
    let outcome = certify(&files, &images, &["--budget", "1e9", "--format", "json"]);
    let summary: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(
        (&summary["complete"], &summary["total"]),
        (&json!(true), &json!(1))
    );
}

#[test]
fn a_model_without_a_batch_axis_is_certified_and_its_certificates_say_so() {
    let files = Files::new();
    let last = [1.0, -1.0, -1.0, 1.0, 0.5, 0.5];
    files.write(
        "model.onnx",
        vector(2, &[2.0, 0.0, 0.0, 1.0], "Relu", &last),
    );
    let bytes: Vec<u8> = [0.75f32, 0.25]
        .iter()
        .flat_map(|v| v.to_le_bytes())
        .collect();
    files.write("x.npy", npy("<f4", "(1, 2)", &bytes));
    files.write("y.npy", npy("|u1", "(1,)", &[0]));
    let (header, line) = certified(&files, &ARRAY, &[]);
    assert!(line["radius"].as_f64().unwrap() > 0.0, "{line}");
    let stated = header["assumptions"].as_array().unwrap();
    assert!(
        stated
            .iter()
            .any(|text| text.as_str().unwrap().contains("without a batch axis")),
        "{header}"
    );
    // The same is read where somebody says it.
    let (again, _) = certified(&files, &ARRAY, &["--no-batch"]);
    assert_eq!(again, header);
    // Who leaves it out speaks of something else.
    let text = std::fs::read_to_string(files.path("c.jsonl")).unwrap();
    let mut first: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    let kept: Vec<Value> = stated
        .iter()
        .filter(|text| !text.as_str().unwrap().contains("batch"))
        .cloned()
        .collect();
    first["assumptions"] = Value::Array(kept);
    let rest: Vec<&str> = text.lines().skip(1).collect();
    files.write("c.jsonl", format!("{first}\n{}\n", rest.join("\n")));
    assert_eq!(files.run(&["check", "c.jsonl", "model.onnx"]).code, 1);
}

#[test]
fn a_batch_that_is_stated_of_certificates_of_one_without_is_refused() {
    // Certificates of a model with an open batch that claim there is none.
    let files = array(&[2], "2", &[0.75, 0.25]);
    certified(&files, &ARRAY, &[]);
    let text = std::fs::read_to_string(files.path("c.jsonl")).unwrap();
    let mut first: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    let stated = first["assumptions"].as_array_mut().unwrap();
    stated.push(json!(
        "the model is read without a batch axis: every axis of its input is of the one input that it takes"
    ));
    let rest: Vec<&str> = text.lines().skip(1).collect();
    files.write("c.jsonl", format!("{first}\n{}\n", rest.join("\n")));
    assert_eq!(files.run(&["check", "c.jsonl", "model.onnx"]).code, 1);
    let refused = files.run(&["audit", "model.onnx", "--no-batch"]);
    assert!(
        unwrapped(&refused.stdout).contains("axis 0 is not known"),
        "{}",
        refused.stdout
    );
    let plain = Files::usual();
    let outcome = plain.audit(&["--no-batch"]);
    assert_eq!(outcome.code, 2);
    assert!(outcome.stderr.contains("no graph"), "{}", outcome.stderr);
}
