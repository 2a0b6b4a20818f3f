//! Every key of a certificate has a rule: how it could state more, and that this is refused.

use serde_json::{Value, json};
use sigmax::network::Arithmetic;

use super::{BOTH, Case};

/// What has to become of a change.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Outcome {
    /// It states something else, which does not follow.
    Refused,
    /// It states less.
    Confirmed,
}
use Outcome::{Confirmed, Refused};

type Changes = Vec<(Value, Outcome)>;

fn refused<const N: usize>(values: [Value; N]) -> Changes {
    values.into_iter().map(|value| (value, Refused)).collect()
}

/// A number that bounds from above: less is refused, more is not.
fn upper(value: &Value, more: Outcome) -> Changes {
    let mut changes = refused([json!(-1.0), json!("1")]);
    match value.as_f64() {
        Some(x) if x > 0.0 => {
            changes.extend(refused([json!(0.98 * x), json!(-x), json!(0.0)]));
            if more == Confirmed {
                let infinite = [json!("inf"), Value::Null];
                changes.push((json!(2.0 * x), more));
                changes.extend(infinite.map(|change| (change, more)));
            }
        }
        // 0, or nothing at all, is stated.
        _ => {}
    }
    changes
}

/// How the key of a header may be changed.
fn of_header(key: &str, value: &Value) -> Changes {
    match key {
        "certificates" => refused([json!(1), json!(2), json!(4), json!(3.0), json!("3")]),
        "claim" => refused([json!(""), json!(format!("{} ", value.as_str().unwrap()))]),
        "assumptions" => {
            let list = value.as_array().unwrap();
            let more: Vec<_> = list.iter().cloned().chain([json!("or so")]).collect();
            refused([json!(list[1..]), json!(more), json!([]), json!("none")])
        }
        "arithmetic" if value == "real" => refused([json!("float32"), json!("")]),
        "arithmetic" => refused([json!("real"), json!("float16")]),
        "model" => {
            let with = |key: &str, change: Value| {
                let mut model = value.clone();
                model[key] = change;
                model
            };
            assert_eq!(value.as_object().unwrap().keys().count(), 2, "{value}");
            refused([
                with("sha256", json!("0".repeat(64))),
                with(
                    "sha256",
                    json!(value["sha256"].as_str().unwrap().to_uppercase()),
                ),
                with("external", json!([["w.bin", "0".repeat(64)]])),
                with("file", json!("m.onnx")),
                json!([value["external"], value["sha256"]]),
            ])
        }
        // Alone, each of them.
        "mean" if value.is_null() => refused([json!([0.0]), json!([])]),
        "std" if value.is_null() => refused([json!([1.0]), json!([])]),
        // Other values are another network, which may have the same logits.
        "mean" | "std" => refused([Value::Null, json!([]), json!([0.5, 0.5, 0.5]), json!(0.25)]),
        "input_size" => refused([json!([7, 7]), json!([1]), json!([]), json!([0, 0])]),
        "layout" => refused([
            json!(""),
            json!("CHW"),
            json!(0),
            json!("chw"),
            json!("hwc"),
        ]),
        "picture" => refused([
            json!([1000, 1, 1]),
            json!([0, 0, 0]),
            json!([1, 1]),
            json!(""),
        ]),
        "logits" => refused([json!(""), json!("input"), json!("y2")]),
        "classes" => {
            let classes = value.as_u64().unwrap();
            refused([json!(classes + 1), json!(classes - 1), json!(0)])
        }
        "lipschitz" => upper(value, Confirmed),
        "curvature" => {
            let mut changes = refused([json!([]), json!([[0.0]]), json!(0.0)]);
            let Some(rows) = value.as_array() else {
                return changes;
            };
            for (y, row) in rows.iter().enumerate() {
                for t in 0..rows.len() {
                    let mut changed = value.clone();
                    let m = row[t].as_f64().unwrap();
                    changed[y][t] = json!(if y == t { 1.0 } else { 0.98 * m });
                    if y == t || m > 1e-200 {
                        changes.push((changed, Refused));
                    }
                    let mut below = value.clone();
                    below[y][t] = json!(-1e-15);
                    changes.push((below, Refused));
                }
            }
            changes
        }
        "nodes" => {
            let nodes = value.as_array().unwrap();
            let (last, twice) = (nodes.len() - 1, [&nodes[..], &nodes[..1]].concat());
            refused([
                json!(nodes[..last]),
                json!(nodes[1..]),
                json!(twice),
                json!([]),
            ])
        }
        _ => panic!("the key {key:?} of a header has no rule"),
    }
}

/// How the key of a node may be changed.
fn of_node(key: &str, value: &Value, place: usize) -> Changes {
    match key {
        "name" => refused([json!(""), json!(format!("{}\n", value.as_str().unwrap()))]),
        "op" => refused([json!("input"), json!("sum"), json!("")])
            .into_iter()
            .filter(|(change, _)| change != value)
            .collect(),
        "inputs" => refused([json!([place]), json!([7]), json!([0, 0])]),
        "shape" => refused([json!([]), json!([1000]), json!(3)]),
        // More of it may need a larger `through`.
        "own" | "through" => upper(value, Refused).into_iter().collect(),
        "together_from" => refused([json!(place), json!(place + 1), json!(-1), json!("0")]),
        _ => panic!("the key {key:?} of a node has no rule"),
    }
}

/// How the key of an image's line may be changed.
fn of_line(key: &str, line: &Value, header: &Value) -> Changes {
    let classes = header["classes"].as_u64().unwrap();
    let value = &line[key];
    let classes_but = |p: Option<u64>| {
        let others = (0..=classes).filter(move |&t| Some(t) != p);
        others.map(|t| (json!(t), Refused))
    };
    let claims = line["radius"] != 0.0 || line["margin"] != 0.0;
    match key {
        // See `an_image_counts_once`.
        "index" => refused([json!(-1), json!(0.0), json!("0")]),
        // A label is given, not found. If nothing is claimed of it, none is wrong.
        "label" if claims => classes_but(value.as_u64()).collect(),
        "label" => refused([json!(classes), json!(-1)]),
        "prediction" => {
            let mut changes: Changes = classes_but(value.as_u64()).collect();
            changes.push((Value::Null, Confirmed));
            changes
        }
        "radius" => {
            let mut changes = refused([json!(-1e-15), json!(-1)]);
            if let Some(radius) = value.as_f64() {
                // What is stated subtracts the errors three times, what is confirmed once. Where m is
                // 10⁻¹⁵ the search goes so far that z_y − z_t is not much larger than these.
                let label = line["label"].as_u64().unwrap() as usize;
                let flat = header["curvature"][label].as_array().is_some_and(|row| {
                    let m = |t: usize| row[t].as_f64().unwrap_or(f64::INFINITY);
                    (0..row.len()).any(|t| t != label && m(t) > 0.0 && m(t) < 1e-12)
                });
                let beyond = if flat { 2e-2 } else { 1e-5 };
                changes.extend(refused([
                    json!(radius * (1.0 + beyond) + 1e-9),
                    json!(1e9),
                    json!("inf"),
                    json!("-inf"),
                    Value::Null,
                ]));
            }
            changes.push((json!(0), Confirmed));
            changes
        }
        "margin" => {
            let margin = value.as_f64().unwrap();
            let more = json!(margin * (1.0 + 1e-5) + 1e-9);
            let mut changes = refused([more, json!(1e9), json!("inf"), json!(-1e-15), Value::Null]);
            changes.push((json!(0.0), Confirmed));
            changes
        }
        "logits" => {
            let logits = value.as_array().unwrap();
            let mut changes = refused([json!([]), json!(logits[1..]), Value::Null]);
            for t in 0..logits.len() {
                let mut moved = value.clone();
                let far = 1e-9 + 10.0 * line["error"].as_f64().unwrap();
                moved[t] = json!(moved[t].as_f64().unwrap() + far);
                changes.push((moved, Refused));
            }
            changes
        }
        "error" => {
            let error = value.as_f64().unwrap();
            let mut changes = refused([
                json!(-1e-15),
                json!(0.0),
                json!(-error),
                json!("inf"),
                Value::Null,
            ]);
            changes.push((json!(2.0 * error), Confirmed));
            changes
        }
        // See also `forged_curvature_and_tangents_are_refused` of sigmax-cli.
        "tangents" => {
            let first = &value[0];
            let with = |key: &str, change: Value| {
                let mut tangent = first.clone();
                tangent[key] = change;
                json!([tangent])
            };
            let steps = first["steps"].as_str().unwrap();
            let pixels = match &line["bytes"] {
                Value::String(digits) => digits.len() / 2,
                _ => line["values"].as_array().unwrap().len(),
            };
            let mut changes = refused([
                with("rival", line["label"].clone()),
                with("rival", json!(classes)),
                with("exponent", json!(501)),
                with("exponent", json!(-1001)),
                with("steps", json!("")),
                with("steps", json!("g".repeat(4 * pixels + 1))),
                with("steps", json!("g".repeat(5 * pixels))),
                with("steps", json!(steps.replacen(|_: char| true, "?", 1))),
                with("note", json!("trust me")),
                json!([first, first]),
                Value::Null,
            ]);
            // Of one pixel, other numbers of digits are other steps.
            if pixels > 1 {
                changes.extend(refused([
                    with("steps", json!(steps[1..])),
                    with("steps", json!(format!("{steps}g"))),
                ]));
            }
            changes
        }
        "bytes" => {
            let digits = value.as_str().unwrap();
            refused([
                json!(""),
                json!(digits[2..]),
                json!(format!("{digits}00")),
                json!(digits.replacen(|_: char| true, "g", 1)),
                json!([0]),
            ])
        }
        "values" => {
            let values = value.as_array().unwrap();
            let more = [&values[..], &values[..1]].concat();
            refused([json!([]), json!(values[1..]), json!(more), json!("00")])
        }
        "exact" if line["bytes"].is_string() => refused([json!(true), json!(0)]),
        "exact" => refused([json!(1), Value::Null]),
        _ => panic!("the key {key:?} of a line has no rule"),
    }
}

fn keys(object: &Value) -> Vec<String> {
    object.as_object().unwrap().keys().cloned().collect()
}

/// What every key does not take.
fn of_any() -> Changes {
    refused([json!({"a": 1}), json!([[[]]]), json!("?"), json!(true)])
}

#[test]
fn every_key_is_confirmed() {
    let mut tried = [0; 2];
    for seed in 0..24 {
        for arithmetic in BOTH {
            try_all(&Case::random(seed, arithmetic, 3), seed, &mut tried);
        }
    }
    assert!(tried[0] > 10_000 && tried[1] > 500, "{tried:?}");
}

fn try_all(case: &Case, seed: u64, tried: &mut [usize; 2]) {
    let mut attempt = |what: &str, header: &Value, lines: &[Value], outcome| {
        let found = case.check(header, lines);
        assert_eq!(
            found.is_ok(),
            outcome == Confirmed,
            "seed {seed}, {what}: {found:?}"
        );
        tried[usize::from(outcome == Confirmed)] += 1;
    };
    // Changes of a value, of its kind, and its absence; `put` makes the file of a changed object.
    let mut of_object = |what: &str,
                         object: &Value,
                         changes: &dyn Fn(&str) -> Changes,
                         put: &dyn Fn(Value) -> _| {
        for key in keys(object) {
            for (change, outcome) in changes(&key).into_iter().chain(of_any()) {
                let mut changed = object.clone();
                changed[&key] = change;
                if changed == *object {
                    continue;
                }
                let (header, lines): (Value, Vec<Value>) = put(changed.clone());
                let what = format!("{what}.{key} = {}", changed[&key]);
                attempt(&what, &header, &lines, outcome);
            }
            // An image without them is one that may need none.
            if key == "tangents" {
                continue;
            }
            let mut less = object.clone();
            less.as_object_mut().unwrap().remove(&key);
            let (header, lines) = put(less);
            attempt(&format!("{what} without {key}"), &header, &lines, Refused);
        }
        let mut more = object.clone();
        more["note"] = json!("trust me");
        let (header, lines) = put(more);
        attempt(&format!("{what} with a note"), &header, &lines, Refused);
    };
    let header = &case.header;
    of_object(
        "header",
        header,
        &|key| of_header(key, &header[key]),
        &|changed| (changed, case.lines.clone()),
    );
    for (place, node) in header["nodes"].as_array().unwrap().iter().enumerate() {
        let what = format!("node {place}");
        of_object(
            &what,
            node,
            &|key| of_node(key, &node[key], place),
            &|changed| {
                let mut header = header.clone();
                header["nodes"][place] = changed;
                (header, case.lines.clone())
            },
        );
    }
    for (place, line) in case.lines.iter().enumerate() {
        let what = format!("image {place}");
        of_object(&what, line, &|key| of_line(key, line, header), &|changed| {
            let mut lines = case.lines.clone();
            lines[place] = changed;
            (header.clone(), lines)
        });
    }
}

/// Numbers rise; they may leave some out, for a selection of certificates is one.
#[test]
fn an_image_counts_once() {
    let case = Case::random(3, Arithmetic::Real, 3);
    let numbered = |numbers: [u64; 3]| {
        let mut lines = case.lines.clone();
        for (line, number) in lines.iter_mut().zip(numbers) {
            line["index"] = json!(number);
        }
        case.check(&case.header, &lines)
    };
    assert_eq!(numbered([0, 5, 9]).unwrap().images, 3);
    for wrong in [[0, 0, 1], [0, 1, 1], [1, 0, 2], [0, 2, 1], [7, 7, 7]] {
        let error = numbered(wrong).unwrap_err().to_string();
        assert!(error.contains("comes after one of that number"), "{error}");
    }
}
