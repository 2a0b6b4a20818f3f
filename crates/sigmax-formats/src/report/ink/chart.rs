//! Rows of HTML with drawings in percent: what all charts have in common.

use crate::report::ink::svg::{Tick, percent};

/// Rows get thinner where there are many.
pub(crate) fn row_height(rows: usize) -> usize {
    match rows {
        0..=45 => 22,
        46..=110 => 16,
        _ => 13,
    }
}

/// Vertical lines at the ticks.
pub(crate) fn grid(ticks: &[Tick]) -> String {
    ticks
        .iter()
        .map(|tick| line("grid", tick.share, "0", "100%"))
        .collect()
}

/// A vertical line.
pub(crate) fn line(class: &str, share: f64, from: &str, to: &str) -> String {
    let x = percent(share);
    format!("<line class=\"{class}\" x1=\"{x}\" x2=\"{x}\" y1=\"{from}\" y2=\"{to}\"/>")
}

/// The labels of an axis, as a row; `first` and `last` stand above the labels and the values.
pub(crate) fn scale(ticks: &[Tick], first: &str, last: &str, more: &str) -> String {
    let labels: String = ticks
        .iter()
        .map(|tick| {
            format!(
                "<text x=\"{}\" y=\"12\" text-anchor=\"middle\">{}</text>",
                percent(tick.share),
                tick.label
            )
        })
        .collect();
    format!(
        "<div class=\"row scale\"><div class=\"label\">{first}</div>\
         <svg height=\"17\" aria-hidden=\"true\">{labels}{more}</svg>\
         <div class=\"value\">{last}</div></div>\n"
    )
}

/// A legend: drawings and what they mean.
pub(crate) fn key_list(items: &[(String, String)]) -> String {
    let items: String = items
        .iter()
        .map(|(drawing, text)| {
            format!(
                "<li><svg viewBox=\"0 0 22 16\" aria-hidden=\"true\">{drawing}</svg>{text}</li>\n"
            )
        })
        .collect();
    format!("<ul class=\"key\">\n{items}</ul>\n")
}
