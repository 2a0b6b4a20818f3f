//! The report as one page: the verdict first, then what it comes from.
//!
//! A page is one file without scripts and without anything from elsewhere: its style and its
//! drawings are in it. What the drawings say is also there as text, shapes differ besides colours,
//! and nothing but proved numbers is called proved.

mod about;
mod chart;
mod heat;
mod tables;
mod verdict;

use crate::report::ink::page;
use crate::report::ink::words::digits;
use crate::report::network::{curvature, tables as network, waterfall};
use crate::report::{Report, Spectrum};

/// The report of an audit as a page; `spectra` are the layers whose norms over the frequencies are
/// drawn ([`worst_layers`](crate::report::worst_layers)).
///
/// All text from the file is escaped. The page loads nothing and runs nothing.
#[must_use]
pub fn html(report: &Report, spectra: &[Spectrum]) -> String {
    let digits = digits(report.request.tolerance);
    let mut body = page::header("Audit", &report.file, report.sha256.as_deref());
    body.push_str(&verdict::verdict(report, digits));
    body.push_str(&chart::layers(report, digits));
    body.push_str(&heat::spectra(report, spectra, digits));
    if let Some(bounds) = report.network.as_ref().and_then(|n| n.bounds.as_ref().ok()) {
        body.push_str(&waterfall::waterfall(bounds, digits));
    }
    body.push_str(&tables::layers(report, digits));
    if let Some(bounds) = report.network.as_ref().and_then(|n| n.bounds.as_ref().ok()) {
        if let Some(found) = &bounds.curvature {
            body.push_str(&curvature::section(found, digits));
        }
        body.push_str(&network::nodes(bounds, digits));
    }
    body.push_str(&tables::refused(report));
    body.push_str(&about::audit(report));
    page::page(&format!("sigmax: {}", report.file), &body)
}
