//! Pages: well formed, escaped, honest, and complete in themselves.

use std::collections::BTreeMap;
use std::path::Path;

use sigmax::estimate::spectrum;
use sigmax::network::{Activation, NetworkBuilder, NodeId, Op, lipschitz};
use sigmax::{Conv, Estimate, Kernel, Options, audit};
use sigmax_formats::Model;
use sigmax_formats::report::{
    CertifyReport, Ends, NetworkBounds, NetworkReport, Outcome, Report, Request, Row, SecondOrder,
    Spectrum, Style, Table, certify_html, html, json, worst_layers,
};

use sigmax_formats::images::{Fit, Units};

use crate::images::{idx, read};

const HOSTILE: &str = "<script>alert(1)</script>\u{202e}\"'&\u{1b}[31m";

/// A safetensors file with these layers, each with a fixed weight without structure.
fn safetensors(layers: &[(&str, &[usize])]) -> Vec<u8> {
    let mut header = BTreeMap::new();
    let mut data = Vec::new();
    for (name, shape) in layers {
        let start = data.len();
        let count: usize = shape.iter().product();
        for i in 0..count {
            let value = ((i * 7919 + start) % 101) as f32 / 101.0 - 0.4;
            data.extend(value.to_le_bytes());
        }
        let entry = serde_json::json!({
            "dtype": "F32", "shape": shape, "data_offsets": [start, data.len()]
        });
        header.insert(format!("{name}.weight"), entry);
    }
    let header = serde_json::to_vec(&header).unwrap();
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header);
    bytes.extend(data);
    bytes
}

/// An audit of a model without its network.
fn report(model: &Model) -> Report {
    let rows = model
        .layers
        .iter()
        .map(|layer| {
            let kernel = model.read_kernel(layer).unwrap();
            let found = audit(&kernel, &layer.conv, &Options::default());
            Row {
                layer: layer.clone(),
                outcome: match found {
                    Ok(found) => Outcome::Audited(Box::new(found.scaled(layer.scale))),
                    Err(error) => Outcome::Refused(error.to_string()),
                },
                seconds: 0.01,
            }
        })
        .collect();
    Report {
        version: "0.1.0".to_owned(),
        file: model.file().display().to_string(),
        sha256: None,
        format: model.format,
        request: Request {
            tolerance: 1e-3,
            ..Request::default()
        },
        rows,
        skipped: model.skipped.clone(),
        excluded: Vec::new(),
        network: None,
        seconds: 1.0,
    }
}

fn spectra(model: &Model, report: &Report, grid: usize) -> Vec<Spectrum> {
    worst_layers(report, 6)
        .into_iter()
        .map(|layer| {
            let spec = &report.rows[layer].layer;
            let kernel = model.read_kernel(spec).unwrap();
            Spectrum {
                layer,
                grid,
                values: spectrum(&kernel, &spec.conv, grid).unwrap(),
            }
        })
        .collect()
}

/// Blocks of two convolutions with a shortcut around them.
fn residual(blocks: usize, name: &str) -> NetworkBounds {
    let mut net = NetworkBuilder::new(&[2, 8, 8]).unwrap();
    let mut x = net.input();
    let relu = || Op::Activation(Activation::Relu);
    for block in 0..blocks {
        let mut y = x;
        for conv in 0..2 {
            let values: Vec<f64> = (0..36)
                .map(|i| f64::from((i * 17 + 5 * conv + block as u32) % 23) / 40.0 - 0.25)
                .collect();
            let kernel = Kernel::new(&[2, 2, 3, 3], values).unwrap();
            let conv2d = Conv::new(2).with_padding(&[(1, 1), (1, 1)]);
            let title = format!("{name}.{block}.conv{conv}");
            y = net.add(&title, Op::conv(kernel, conv2d), &[y]).unwrap();
            if conv == 0 {
                y = net
                    .add(&format!("{name}.{block}.relu"), relu(), &[y])
                    .unwrap();
            }
        }
        let sum = net
            .add(&format!("{name}.{block}.sum"), Op::Add, &[x, y])
            .unwrap();
        x = net
            .add(&format!("{name}.{block}.out"), relu(), &[sum])
            .unwrap();
    }
    let net = net.finish(&[x]).unwrap();
    let bounds = lipschitz(&net, &Options::default()).unwrap();
    let none: Vec<Option<NodeId>> = Vec::new();
    let mut bounds = NetworkBounds::new(&bounds, &none, &["A note <b>.".to_owned()]);
    bounds.jacobian = Some(Estimate::new(3.21));
    bounds.jacobian_at = "8 inputs of noise".to_owned();
    bounds
}

/// Every tag is closed in order, every attribute is quoted, and no `<` or `&` stands alone.
fn assert_well_formed(page: &str) {
    let mut open: Vec<&str> = Vec::new();
    let mut rest = page.strip_prefix("<!DOCTYPE html>").expect("a doctype");
    while let Some(start) = rest.find('<') {
        let (text, tag) = rest.split_at(start);
        assert!(
            !text.contains('>') || open.last() == Some(&"style"),
            "{text}"
        );
        assert_entities(text);
        let end = tag.find('>').expect("a tag ends");
        let inside = &tag[1..end];
        rest = &tag[end + 1..];
        if let Some(name) = inside.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name), "{page}");
            continue;
        }
        let name = inside.split([' ', '/']).next().unwrap();
        assert!(name.chars().all(char::is_alphanumeric), "<{inside}>");
        assert_eq!(inside.matches('"').count() % 2, 0, "<{inside}>");
        assert_eq!(
            inside.matches('=').count(),
            inside.matches("=\"").count()
                + inside.matches("width=device").count()
                + inside.matches("scale=1").count(),
            "<{inside}>"
        );
        assert_entities(inside);
        if !inside.ends_with('/') && name != "meta" {
            open.push(name);
        }
    }
    assert!(open.is_empty() && rest.trim().is_empty(), "{open:?}");
}

fn assert_entities(text: &str) {
    for part in text.split('&').skip(1) {
        let known = ["lt;", "gt;", "amp;", "quot;", "#39;"];
        assert!(known.iter().any(|k| part.starts_with(k)), "&{part}");
    }
}

/// Nothing runs, nothing is loaded, nothing hidden is in it.
fn assert_self_contained(page: &str) {
    for part in [
        "<script", "http:", "https:", "src=", "@import", "url(h", "href=\"h", "<img",
    ] {
        assert!(!page.contains(part), "{part}");
    }
    for on in [" onload", " onclick", " onerror", "javascript:"] {
        assert!(!page.contains(on), "{on}");
    }
    let hidden = |c: char| c != '\n' && (c.is_control() || ('\u{202a}'..='\u{202e}').contains(&c));
    assert!(!page.contains(hidden));
}

fn page(report: &Report, spectra: &[Spectrum]) -> String {
    let page = html(report, spectra);
    assert_well_formed(&page);
    assert_self_contained(&page);
    page
}

fn small() -> Model {
    let bytes = safetensors(&[
        (HOSTILE, &[3, 2, 3, 3]),
        ("line", &[2, 2, 5]),
        ("volume", &[1, 2, 2, 2, 2]),
        ("head", &[4, 3]),
    ]);
    Model::from_bytes("models/a <b>.safetensors", bytes).unwrap()
}

#[test]
fn names_are_text_and_nothing_else() {
    let model = small();
    let mut report = report(&model);
    report.network = Some(NetworkReport {
        bounds: Ok(residual(2, HOSTILE)),
    });
    report.request.max_norm = Some(1.0);
    report.request.only = vec![HOSTILE.to_owned()];
    report.request.geometry_file = Some(HOSTILE.to_owned());
    let page = page(&report, &spectra(&model, &report, 9));
    assert!(page.contains("&lt;script&gt;alert(1)"), "{page}");
    assert!(page.contains("u{202e}") && page.contains("u{1b}"));
    assert!(page.contains("a &lt;b&gt;.safetensors"));
}

#[test]
fn every_part_is_there() {
    let model = small();
    let mut report = report(&model);
    report.sha256 = Some("ab".repeat(32));
    report.request.max_norm = Some(1e6);
    report.request.max_lipschitz = Some(1e-3);
    report.network = Some(NetworkReport {
        bounds: Ok(residual(2, "block")),
    });
    let text = page(&report, &spectra(&model, &report, 8));
    for part in [
        "Lipschitz constant ≤ ",
        "GATE PASSED",
        "GATE FAILED",
        "4 audited, 0 refused",
        "href=\"#four\"",
        "href=\"#least\"",
        "href=\"#weighted\"",
        "href=\"#frame\"",
        "class=\"bracket\"",
        "class=\"map\"",
        "class=\"curve\"",
        "class=\"ring2\"",
        "3.210\u{a0}est.",
        "(sum of 2)",
        "the network",
        "<details>",
        "Nothing was refused",
        "SHA-256 abab",
        "sigmax 0.1.0",
    ] {
        assert!(text.contains(part), "{part}");
    }
    // What is estimated is marked wherever its number stands.
    assert_eq!(
        text.matches("3.210").count(),
        text.matches("3.210\u{a0}est.").count()
    );
}

#[test]
fn without_a_constant_there_is_no_number() {
    let model = small();
    let mut report = report(&model);
    report.request.max_lipschitz = Some(5.0);
    let verdict = |report: &Report| {
        let page = page(report, &[]);
        assert!(!page.contains("Lipschitz constant ≤"), "{page}");
        assert!(!page.contains("id=\"network\""));
        let start = page.find("id=\"verdict\"").unwrap();
        let end = page[start..].find("</section>").unwrap();
        page[start..start + end].to_owned()
    };
    let text = verdict(&report);
    assert!(
        text.contains("Network: none.") && text.contains("not looked at"),
        "{text}"
    );
    assert!(text.contains("GATE FAILED"), "{text}");
    let mut blocked = small().skipped.refused;
    let reader = Model::from_bytes("x", safetensors(&[("w", &[1, 1, 3])])).unwrap();
    blocked.extend(reader.skipped.refused);
    report.network = Some(NetworkReport {
        bounds: Err(blocked),
    });
    let text = verdict(&report);
    assert!(
        text.contains("Network: none.") && text.contains("not understood"),
        "{text}"
    );
    let mut gate = report.lipschitz_gate().unwrap();
    assert!(!gate.passed);
    report.network = Some(NetworkReport {
        bounds: Ok(residual(1, "block")),
    });
    report.request.max_lipschitz = Some(1e9);
    gate = report.lipschitz_gate().unwrap();
    assert!(gate.passed && gate.reason.is_none());
}

#[test]
fn a_product_beyond_f64_is_no_constant() {
    let mut net = NetworkBuilder::new(&[1]).unwrap();
    let mut x = net.input();
    for i in 0..3 {
        let kernel = Kernel::new(&[1, 1], vec![1e200]).unwrap();
        x = net.add(&format!("d{i}"), Op::dense(kernel), &[x]).unwrap();
    }
    let net = net.finish(&[x]).unwrap();
    let bounds = lipschitz(&net, &Options::default()).unwrap();
    let mut report = report(&small());
    report.request.max_lipschitz = Some(f64::MAX);
    report.network = Some(NetworkReport {
        bounds: Ok(NetworkBounds::new(&bounds, &[], &[])),
    });
    let page = page(&report, &[]);
    assert!(page.contains("Network: none.") && page.contains("range of f64"));
    assert!(!report.lipschitz_gate().unwrap().passed);
    let value: serde_json::Value = serde_json::from_str(&json(&report)).unwrap();
    assert_eq!(value["network"]["lipschitz"]["upper"], "inf");
    assert_eq!(value["lipschitz_gate"]["passed"], false);
}

#[test]
fn the_network_is_in_the_json_and_below_the_table() {
    let mut report = report(&small());
    let empty: serde_json::Value = serde_json::from_str(&json(&report)).unwrap();
    assert!(empty["network"].is_null() && empty["lipschitz_gate"].is_null());
    let bounds = residual(2, "block");
    let upper = bounds.upper.get();
    report.network = Some(NetworkReport { bounds: Ok(bounds) });
    let value: serde_json::Value = serde_json::from_str(&json(&report)).unwrap();
    let network = &value["network"];
    assert_eq!(
        network["lipschitz"]["upper"].as_f64().unwrap().to_bits(),
        upper.to_bits()
    );
    assert_eq!(network["nodes"].as_array().unwrap().len(), 11);
    assert_eq!(network["nodes"][1]["inputs"], serde_json::json!([0]));
    assert_eq!(network["jacobian_norm"], 3.21);
    assert!(
        value["estimates"]
            .as_array()
            .unwrap()
            .iter()
            .any(|k| k == "jacobian_norm")
    );
    for width in [30, 60, 100] {
        let style = Style {
            width: Some(width),
            colour: false,
        };
        let layers: Vec<_> = report.rows.iter().map(|row| &row.layer).collect();
        let text = Table::new(&layers, &report.request, style).summary(&report);
        assert!(text.contains("Network: PROVED"), "{text}");
        let joined = text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(
            joined.contains("(est., not a bound, 8 inputs of noise)")
                && joined.contains("conv0 (convolution)"),
            "{text}"
        );
        let start = text.find("Network: PROVED").unwrap();
        let network: Vec<&str> = text[start..].lines().take(7).collect();
        assert!(
            network.iter().all(|line| line.chars().count() <= width),
            "{network:?}"
        );
    }
}

/// Of a set like MNIST, and a network like LeNet.
fn fit() -> Fit {
    let images = idx(&[1, 28, 28], &[0; 784]);
    let images = read(images, idx(&[1], &[0]));
    images.fit(&[1, 28, 28], None).unwrap().fit().clone()
}

fn ends(radius: f64) -> Ends {
    Ends {
        radius,
        by_constants: radius,
        by_network: radius,
        adversarial: None,
    }
}

fn certification(radii: Vec<f64>, correct: usize) -> CertifyReport {
    let network = residual(2, "block");
    CertifyReport {
        version: "0.1.0".to_owned(),
        file: "models/mnist.onnx".to_owned(),
        sha256: None,
        images: format!("t10k {HOSTILE}"),
        fit: fit(),
        units: Units::Bytes,
        range: None,
        part: None,
        unfinished: 0,
        arithmetic: "float32".to_owned(),
        mean: vec![0.1307],
        std: vec![0.3081],
        lipschitz: network.upper,
        asked: radii.len(),
        total: radii.len(),
        correct,
        resumed: 0,
        second_order: SecondOrder::NotAsked,
        local: None,
        ends: radii.into_iter().map(ends).collect(),
        eps: vec![0.1, 0.5],
        seconds: 12.0,
        network,
        complete: true,
        assumptions: vec!["Distances are between images with pixels from 0 to 1.".to_owned()],
    }
}

#[test]
fn certified_counts_are_those_of_the_radii() {
    let report = certification(vec![0.0, 0.1, 0.3, 0.5, 0.0, 0.7, 0.2], 6);
    assert_eq!(report.certified(0.0), 5);
    assert_eq!(report.certified(0.1), 5);
    assert_eq!(report.certified(0.5), 2);
    assert_eq!(report.certified(f64::NAN), 0);
    assert!((report.median_radius() - 0.2).abs() < 1e-15);
    let page = certify_html(&report);
    assert_well_formed(&page);
    assert_self_contained(&page);
    for part in [
        "28.57 %",
        "71.42 %",
        "85.71 %",
        "as evaluated",
        "id=\"radii\"",
    ] {
        assert!(page.contains(part), "{part}");
    }
    for width in [24, 60, 100] {
        let style = Style {
            width: Some(width),
            colour: false,
        };
        let text = report.text(style);
        let joined = text.split_whitespace().collect::<Vec<_>>().join(" ");
        for part in ["6 of 7 = 85.71 %", "ε = 0.5: 2 of 7 = 28.57 %", "0.2000"] {
            assert!(joined.contains(part), "{joined}");
        }
    }
}

/// What is not certifiable is counted from above, at the decimal number that was typed, and the curve of
/// it is never below the one from below.
#[test]
fn both_ends_are_counted() {
    let mut report = certification(vec![0.0, 0.1, 0.3, 0.5, 0.0, 0.7, 0.2], 6);
    report.second_order = SecondOrder::Used;
    report.eps = vec![0.1, 0.2, 0.3, 0.5];
    // One radius follows from bounds around the image.
    report.local = Some(3.0);
    report.ends[5].by_network = 0.35;
    for (ends, adversarial) in report.ends.iter_mut().zip([
        Some(0.0),
        Some(0.1),
        Some(0.31),
        None,
        Some(0.1_f64.next_up()),
        Some(0.8),
        Some(0.25),
    ]) {
        ends.adversarial = adversarial;
        ends.by_constants = 0.5 * ends.radius;
    }
    // The float 0.1 lies above one tenth.
    let counts = |eps| {
        (
            report.certified(eps),
            report.certified_by_curvature(eps),
            report.adversarial(eps),
        )
    };
    assert_eq!(counts(0.0), (5, 0, 1));
    assert_eq!(counts(0.1), (5, 1, 1));
    assert_eq!(counts(0.2), (4, 2, 3));
    assert_eq!(counts(0.3), (2, 1, 4));
    assert_eq!(counts(0.5), (2, 1, 5));
    let (images, ratio) = report.two_sided();
    let expected = (1.0 + 0.31 / 0.3 + 0.8 / 0.7 + 0.25 / 0.2) / 4.0;
    assert!(images == 4 && (ratio - expected).abs() < 1e-12, "{ratio}");
    let text = report.text(Style::default());
    for part in [
        "2 of 7 = 28.57 %, 1 by curvature, 1 by bounds around them",
        "5 of 7, for which",
        "28.58 %",
    ] {
        let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words.contains(part), "{part}: {words}");
    }
    assert_eq!(
        [0.0, 0.3, 0.5].map(|eps| report.certified_locally(eps)),
        [0, 0, 1]
    );
    let page = certify_html(&report);
    assert_well_formed(&page);
    assert_self_contained(&page);
    for part in [
        "class=\"line above\" d=\"M",
        "28.58 %",
        "Both ends: of 4",
        "by bounds around them",
        "certifiable at most",
    ] {
        assert!(page.contains(part), "{part}");
    }
}

#[test]
fn nothing_certified_is_said_plainly() {
    for (radii, correct) in [(vec![], 0), (vec![0.0; 3], 2)] {
        let mut report = certification(radii, correct);
        report.complete = false;
        let page = certify_html(&report);
        assert_well_formed(&page);
        assert!(page.contains("0.00 % certified") && page.contains("STOPPED EARLY"));
        assert!(page.contains("No image has a proved radius"));
        assert!(report.median_radius() <= 0.0 && !report.text(Style::default()).is_empty());
    }
}

#[test]
#[ignore = "writes pages to look at: SIGMAX_MODEL and SIGMAX_PAGES"]
fn pages_to_look_at() {
    let out = std::env::var("SIGMAX_PAGES").unwrap();
    let write = |name: &str, text: &str| std::fs::write(Path::new(&out).join(name), text).unwrap();
    let model = Model::open(std::env::var("SIGMAX_MODEL").unwrap().as_ref()).unwrap();
    let mut audit = report(&model);
    audit.request.max_norm = Some(20.0);
    let spectra = spectra(&model, &audit, 32);
    audit.network = Some(NetworkReport {
        bounds: Ok(residual(15, "layer")),
    });
    write("audit.html", &page(&audit, &spectra));
    let rows: Vec<Row> = audit.rows.iter().cycle().take(200).cloned().collect();
    audit.rows = rows;
    write("many.html", &page(&audit, &spectra));
    let model = small();
    write(
        "small.html",
        &page(&report(&model), &self::spectra(&model, &report(&model), 32)),
    );
    let radii = (0..10_000u32).map(|i| {
        let u = f64::from(i.wrapping_mul(2_654_435_761) >> 8) / f64::from(1u32 << 24);
        (2.2 * u.sqrt() - 0.25).max(0.0)
    });
    write(
        "certify.html",
        &certify_html(&certification(radii.collect(), 9876)),
    );
}
