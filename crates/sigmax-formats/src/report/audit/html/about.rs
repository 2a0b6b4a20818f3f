//! The end of a page: what "proved" means, and what the report rests on.

use crate::report::Report;
use crate::report::ink::page;
use crate::report::ink::text::{plain, sentence};
use crate::report::ink::words::by;

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
    if !request.exclude.is_empty() {
        let patterns: Vec<String> = request.exclude.iter().map(|p| plain(p)).collect();
        options.push(format!("excluded {}", patterns.join(", ")));
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
        ("Proved", page::PROVED.to_owned()),
        ("Estimates", page::ESTIMATE.to_owned()),
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
    entries.push(page::file(
        &report.file,
        report.sha256.as_deref(),
        report.format.name(),
    ));
    entries.push(("Options", options.join(", ")));
    entries.push(("Made by", format!("sigmax {}", plain(&report.version))));
    page::about(&entries)
}
