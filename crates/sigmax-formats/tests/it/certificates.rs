//! Certificates: what is written is confirmed, and nothing else that matters is.

mod keys;

use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use sigmax::Options;
use sigmax::network::{Arithmetic, Certifier, Channels, Effort};
use sigmax_formats::certificate::{Confirmed, Header, Line, ModelFile, assumptions_of, confirm};
use sigmax_formats::{Error, Images, Model};
use tempfile::TempDir;

use crate::onnx::graph;
use crate::proto::{Message, f32s, model, node, tensor};

/// Small integers from a seed.
pub(crate) struct Draw(u64);

impl Draw {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 20) % n
    }

    /// Multiples of 1/2 up to 2, so that rivals tie often.
    fn weights(&mut self, name: &str, dims: &[i64]) -> Message {
        let count = dims.iter().product::<i64>();
        let values: Vec<f32> = (0..count)
            .map(|_| self.below(9) as f32 / 2.0 - 2.0)
            .collect();
        tensor(name, 1, dims, &f32s(&values))
    }
}

/// A classifier, and images of it with their certificates.
pub(crate) struct Case {
    folder: TempDir,
    pub(crate) header: Value,
    pub(crate) lines: Vec<Value>,
}

/// A graph, the shape of its input and the number of classes. One MatMul of one number is the first.
fn network(draw: &mut Draw) -> (Message, Vec<i64>, u64) {
    let classes = 2 + draw.below(4);
    let to = classes as i64;
    let activation = ["Relu", "Softplus"][draw.below(2) as usize];
    if draw.below(3) == 0 {
        let input = vec![2, 2, 3];
        let initializers = [
            draw.weights("s", &[1, 2, 1, 1]),
            draw.weights("k", &[2, 2, 2, 2]),
            draw.weights("w", &[4, to]),
        ];
        let nodes = [
            node("Mul", "x s", "a", &[]),
            node("Conv", "a k", "b", &[]),
            node(activation, "b", "c", &[]),
            node("Flatten", "c", "d", &[]),
            node("MatMul", "d w", "y", &[]),
        ];
        return (graph(&[-1, 2, 2, 3], &initializers, &nodes), input, classes);
    }
    let d = 1 + draw.below(3) as i64;
    if draw.below(2) == 0 {
        let initializers = [draw.weights("w", &[d, to])];
        let nodes = [node("MatMul", "x w", "y", &[])];
        return (graph(&[-1, d], &initializers, &nodes), vec![d], classes);
    }
    let initializers = [
        draw.weights("v", &[d, 3]),
        draw.weights("b", &[3]),
        draw.weights("w", &[3, to]),
    ];
    let nodes = [
        node("MatMul", "x v", "a", &[]),
        node("Add", "a b", "b1", &[]),
        node(activation, "b1", "c", &[]),
        node("MatMul", "c w", "z", &[]),
        node("Softmax", "z", "y", &[]),
    ];
    (graph(&[-1, d], &initializers, &nodes), vec![d], classes)
}

/// A file in the format of NumPy.
fn npy(kind: &str, sizes: &[i64], bytes: &[u8]) -> Vec<u8> {
    let sizes: String = sizes.iter().map(|n| format!("{n}, ")).collect();
    let dict = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': ({sizes}), }}\n");
    let length = u16::try_from(dict.len()).unwrap().to_le_bytes();
    [&b"\x93NUMPY\x01\x00"[..], &length, dict.as_bytes(), bytes].concat()
}

impl Case {
    /// A random network and `count` random images, with labels of which some are wrong.
    pub(crate) fn random(seed: u64, arithmetic: Arithmetic, count: i64) -> Self {
        let mut draw = Draw::new(seed);
        let folder = tempfile::tempdir().unwrap();
        let (graph, input, classes) = network(&mut draw);
        let graph = graph.message(12, &Message::new().text(1, "y"));
        fs::write(folder.path().join("m.onnx"), model(17, &graph).0).unwrap();
        let sizes: Vec<i64> = std::iter::once(count)
            .chain(input.iter().copied())
            .collect();
        let entries = sizes.iter().product::<i64>();
        let pixels = if draw.below(2) == 0 {
            let bytes: Vec<u8> = (0..entries).map(|_| (draw.below(5) * 51) as u8).collect();
            npy("|u1", &sizes, &bytes)
        } else {
            let mut quarter = |_| draw.below(5) as f64 / 4.0;
            let bytes: Vec<u8> = (0..entries)
                .flat_map(|i| f64::to_le_bytes(quarter(i)))
                .collect();
            npy("<f8", &sizes, &bytes)
        };
        fs::write(folder.path().join("x.npy"), pixels).unwrap();
        let mut case = Self {
            folder,
            header: Value::Null,
            lines: Vec::new(),
        };
        let normalised = draw.below(3) == 0;
        // First for any labels, then for those that are predicted, but for a few.
        for labels in 0..2 {
            let labels: Vec<u8> = (0..count as usize)
                .map(|i| {
                    match case
                        .lines
                        .get(i)
                        .and_then(|line| line["prediction"].as_u64())
                    {
                        Some(p) if labels > 0 && draw.below(5) > 0 => p as u8,
                        _ => draw.below(classes) as u8,
                    }
                })
                .collect();
            fs::write(case.path("l.npy"), npy("|u1", &[count], &labels)).unwrap();
            case.certify(arithmetic, normalised);
        }
        case
    }

    /// A network whose logits are (1, 0) at any input, and one image.
    fn constant() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let initializers = [
            tensor("w", 1, &[2, 2], &f32s(&[0.0; 4])),
            tensor("b", 1, &[2], &f32s(&[1.0, 0.0])),
        ];
        let nodes = [
            node("MatMul", "x w", "z", &[]),
            node("Add", "z b", "y", &[]),
        ];
        let graph = graph(&[-1, 2], &initializers, &nodes);
        let graph = graph.message(12, &Message::new().text(1, "y"));
        fs::write(folder.path().join("m.onnx"), model(17, &graph).0).unwrap();
        let pixels = npy("|u1", &[1, 2], &[51, 204]);
        fs::write(folder.path().join("x.npy"), pixels).unwrap();
        fs::write(folder.path().join("l.npy"), npy("|u1", &[1], &[0])).unwrap();
        let mut case = Self {
            folder,
            header: Value::Null,
            lines: Vec::new(),
        };
        case.certify(Arithmetic::Real, false);
        case
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn certify(&mut self, arithmetic: Arithmetic, normalised: bool) {
        let model = Model::open(&self.path("m.onnx")).unwrap();
        let images = Images::open(&self.path("x.npy"), Some(&self.path("l.npy")), None).unwrap();
        let found = model.network().unwrap();
        let assumptions = assumptions_of(&found, arithmetic);
        let mut network = found.network;
        // One value for all entries: nothing says where the channels of an array are.
        let normalisation = normalised.then_some((&[0.25][..], &[0.5][..]));
        if let Some((mean, std)) = normalisation {
            network = network.normalised(Channels::First, mean, std).unwrap();
        }
        let inputs = images.fit(&network.input().shape, None).unwrap();
        let images = inputs.images();
        let options = Options::default();
        let mut certifier = Certifier::new(&network, &options, arithmetic).unwrap();
        // Relu has none.
        let smooth = certifier.bound_curvature(&options).is_ok();
        assert_eq!(
            smooth,
            network.nodes().iter().all(|n| n.op.name() != "Relu")
        );
        let file = ModelFile::of(&model).unwrap();
        let fit = inputs.fit();
        let header = Header::new(&certifier, file, assumptions, normalisation, None, fit);
        let labels: Vec<usize> = (0..images.len()).map(|i| images.label(i)).collect();
        let pixels: Vec<f64> = (0..images.len()).flat_map(|i| inputs.values(i)).collect();
        let found = certifier
            .search(&pixels, &labels, images.is_exact(), Effort::full())
            .unwrap();
        let read = |text: String| serde_json::from_str(&text).unwrap();
        self.header = read(header.line());
        self.lines = (0..images.len())
            .map(|i| read(Line::new(&found[i], &inputs, i).line()))
            .collect();
    }

    /// What `sigmax check` says of a text.
    pub(crate) fn check_text(&self, text: &str) -> Result<Confirmed, Error> {
        confirm(
            "c.jsonl".as_ref(),
            &mut text.as_bytes(),
            &self.path("m.onnx"),
        )
    }

    /// What it says of these lines.
    pub(crate) fn check(&self, header: &Value, lines: &[Value]) -> Result<Confirmed, Error> {
        let lines = std::iter::once(header).chain(lines);
        self.check_text(&lines.map(|line| format!("{line}\n")).collect::<String>())
    }
}

/// ∞ is `"inf"` as in reports; null, which older files have, is read as ∞ where a bound is expected.
#[test]
fn an_infinite_bound_is_written_in_one_way_and_read_in_two() {
    let case = Case::constant();
    assert_eq!(case.lines[0]["radius"], "inf");
    assert_eq!(case.header["lipschitz"], 0.0);
    let claimed = |value: &Value| {
        let (mut header, mut lines) = (case.header.clone(), case.lines.clone());
        header["lipschitz"] = value.clone();
        lines[0]["radius"] = value.clone();
        case.check(&header, &lines).map(|found| found.certified)
    };
    // Constants of ∞ leave nothing to claim of an image.
    let weaker = |value: &Value| {
        let (mut header, mut lines) = (case.header.clone(), case.lines.clone());
        for node in header["nodes"].as_array_mut().unwrap() {
            node["own"] = value.clone();
            node["through"] = value.clone();
        }
        header["lipschitz"] = value.clone();
        for (key, nothing) in [
            ("radius", Value::from(0)),
            ("margin", Value::from(0)),
            ("prediction", Value::Null),
            ("logits", Value::Null),
            ("error", Value::Null),
        ] {
            lines[0][key] = nothing;
        }
        case.check(&header, &lines).map(|found| found.images)
    };
    for infinite in [Value::from("inf"), Value::Null] {
        assert_eq!(claimed(&infinite).unwrap(), 1);
        assert_eq!(weaker(&infinite).unwrap(), 1);
    }
    for wrong in ["Infinity", "-inf", "nan", ""] {
        for found in [claimed(&wrong.into()), weaker(&wrong.into())] {
            let refused = matches!(found, Err(Error::NoCertificate { .. }));
            assert!(refused, "{wrong:?}: {found:?}");
        }
    }
}

const BOTH: [Arithmetic; 2] = [Arithmetic::Real, Arithmetic::Float32];

/// Rivals that tie among them: several classes are equally near, or the image has two.
#[test]
fn what_is_certified_is_confirmed() {
    let (mut certified, mut undecided, mut tangents) = (0, 0, 0);
    for seed in 0..200 {
        for arithmetic in BOTH {
            let case = Case::random(seed, arithmetic, 6);
            let confirmed = case
                .check(&case.header, &case.lines)
                .unwrap_or_else(|error| panic!("seed {seed}, {arithmetic:?}: {error}"));
            certified += confirmed.certified;
            let null = |line: &&Value| line["prediction"].is_null();
            undecided += case.lines.iter().filter(null).count();
            let curved = |line: &&Value| line.get("tangents").is_some();
            tangents += case.lines.iter().filter(curved).count();
        }
    }
    assert!(
        certified > 500 && undecided > 50 && tangents > 100,
        "{certified} {undecided} {tangents}"
    );
}

#[test]
fn what_is_no_certificate_is_told_from_what_is_not_confirmed() {
    let case = Case::random(1, Arithmetic::Real, 3);
    let header = case.header.to_string();
    let line = case.lines[0].to_string();
    let nodes = case.header["nodes"].to_string();
    let array = header.replace(&nodes, &nodes.replace('{', "[").replace('}', "]"));
    for malformed in [
        String::new(),
        "\n".to_owned(),
        "confirmed\n".to_owned(),
        "\u{feff}{}\n".to_owned(),
        "{}\n".to_owned(),
        header.clone(),
        format!("{line}\n"),
        format!("{header}\n{header}\n"),
        format!("{header}\n{line}\n\n"),
        format!("{header}\n{line}"),
        format!("{header}\n[{line}]\n"),
        format!(
            "{}\n",
            header.replace("\"certificates\":3", "\"certificates\":1")
        ),
        format!("{array}\n"),
        format!("{header}\n{}\n", line.replacen('{', "{\"index\":0,", 1)),
        format!("{header}\n{}\n", line.replace("\"margin\"", "\"margins\"")),
    ] {
        let error = case.check_text(&malformed).unwrap_err();
        assert!(
            matches!(error, Error::NoCertificate { .. }),
            "{error}: {malformed}"
        );
    }
    let other = Case::random(2, Arithmetic::Real, 3);
    for unconfirmed in [
        format!(
            "{}\n",
            header.replacen("largest logit", "smallest logit", 1)
        ),
        format!("{header}\n{line}\n{line}\n"),
        format!("{}\n", other.header),
    ] {
        let error = case.check_text(&unconfirmed).unwrap_err();
        assert!(
            matches!(error, Error::NotConfirmed { .. }),
            "{error}: {unconfirmed}"
        );
    }
    let text = format!("{header}\n{line}\n");
    assert!(case.check_text(&text).is_ok());
    for model in ["x.npy", "none.onnx", "."] {
        let model = case.path(model);
        let error = confirm("c".as_ref(), &mut text.as_bytes(), &model).unwrap_err();
        let not = matches!(
            error,
            Error::NotConfirmed { .. } | Error::NoCertificate { .. }
        );
        assert!(!not, "{error}");
    }
}
