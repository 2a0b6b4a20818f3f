//! The end of a page: what "proved" means, and what the report rests on.

use super::page::section;
use super::text::{plain, sentence};
use crate::report::table::by;
use crate::report::{CertifyReport, Report};

const PROVED: &str = "A number called proved, and every “at least” and “at most”, is the \
                      conclusion of a theorem about the layer or network as the file defines it, \
                      with the rounding of this program’s own arithmetic included. Upper ends are \
                      rounded up at the last digit shown, lower ends down.";
const ESTIMATE: &str = "A number marked “est.” was computed without a proof and may be wrong \
                        in either direction. No decision about a limit rests on one.";

pub(super) fn audit(report: &Report) -> String {
    let request = &report.request;
    let mut options = vec![format!("tolerance {}", request.tolerance)];
    if let Some(size) = &request.input_size {
        options.push(format!("input size {}", by(size)));
    }
    if let Some(file) = &request.geometry_file {
        options.push(format!("geometry from {}", plain(file)));
    }
    if !request.only.is_empty() {
        let patterns: Vec<String> = request.only.iter().map(|p| plain(p)).collect();
        options.push(format!("only {}", patterns.join(", ")));
    }
    if let Some(most) = request.max_norm {
        options.push(format!("layer norms at most {most}"));
    }
    if let Some(most) = request.max_lipschitz {
        options.push(format!("network constant at most {most}"));
    }
    if let Some(budget) = request.budget {
        options.push(format!("at most {budget} s"));
    }
    let mut entries = vec![
        ("Proved", PROVED.to_owned()),
        ("Estimates", ESTIMATE.to_owned()),
        (
            "Norm of a layer",
            "The largest factor by which it can stretch any input in ℓ₂, over all input sizes \
             with zero padding: at one size it may lie below the lower end, never above the upper. \
             With circular padding and a known input size, the norm at that size."
                .to_owned(),
        ),
        (
            "Constant of the network",
            "For any two inputs, the outputs are at most that many times as far apart as the \
             inputs, in ℓ₂, in the units of the network’s input. A constant is not the behaviour \
             at your data: it holds everywhere."
                .to_owned(),
        ),
        (
            "Arithmetic",
            "The statements are about the parameters in the file and real arithmetic; running the \
             network in floating point adds rounding that is not part of them."
                .to_owned(),
        ),
    ];
    if let Some(Ok(bounds)) = report.network.as_ref().map(|n| &n.bounds) {
        for note in &bounds.notes {
            entries.push(("Note", sentence(note)));
        }
    }
    entries.push(file(
        &report.file,
        report.sha256.as_deref(),
        report.format.name(),
    ));
    entries.push(("Options", options.join(", ")));
    entries.push(("Made by", format!("sigmax {}", plain(&report.version))));
    definitions(&entries)
}

pub(super) fn certify(report: &CertifyReport) -> String {
    let mut entries = vec![
        ("Proved", PROVED.to_owned()),
        (
            "Radius of an image",
            "Every image within that distance in ℓ₂ is given the correct class: no search, no \
             attack, no sampling. Radii are those of the images in the input units named below."
                .to_owned(),
        ),
        ("Arithmetic", sentence(&report.arithmetic_text())),
    ];
    if !report.mean.is_empty() || !report.std.is_empty() {
        entries.push((
            "Normalisation",
            format!(
                "mean {:?}, standard deviation {:?}, per channel.",
                report.mean, report.std
            ),
        ));
    }
    for assumption in &report.assumptions {
        entries.push(("Assumption", sentence(assumption)));
    }
    for note in &report.network.notes {
        entries.push(("Note", sentence(note)));
    }
    entries.push(("Estimates", ESTIMATE.to_owned()));
    entries.push(file(&report.file, report.sha256.as_deref(), ""));
    entries.push(("Images", plain(&report.images)));
    entries.push(("Made by", format!("sigmax {}", plain(&report.version))));
    definitions(&entries)
}

fn file(file: &str, sha256: Option<&str>, format: &str) -> (&'static str, String) {
    let mut text = plain(file);
    if !format.is_empty() {
        text += &format!(" ({format})");
    }
    if let Some(hash) = sha256 {
        text += &format!(", SHA-256 {}", plain(hash));
    }
    ("File", text)
}

fn definitions(entries: &[(&str, String)]) -> String {
    let mut items = String::new();
    let mut last = "";
    for (term, text) in entries {
        if *term != last {
            items += &format!("<dt>{term}</dt>");
        }
        items += &format!("<dd>{text}</dd>\n");
        last = term;
    }
    section(
        "about",
        "What this rests on",
        "",
        &format!("<dl class=\"about\">\n{items}</dl>\n"),
    )
}
