//! A certification as JSON; `docs/json.md` documents it.

use serde::Serialize;

use crate::report::CertifyReport;
use crate::report::ink::json::{document, line};

/// The certification as a JSON document, one key per line.
#[must_use]
pub fn certify_json(report: &CertifyReport) -> String {
    let finite = |x: f64| x.is_finite().then_some(x);
    let eps: Vec<Eps> = report
        .eps
        .iter()
        .map(|&eps| Eps {
            eps,
            certified: report.certified(eps),
        })
        .collect();
    let median = report.median_radius();
    let entries = [
        ("certification", line(&1)),
        ("sigmax", line(&report.version)),
        ("model", line(&report.file)),
        ("sha256", line(&report.sha256)),
        ("images", line(&report.images)),
        ("arithmetic", line(&report.arithmetic)),
        ("mean", line(&report.mean)),
        ("std", line(&report.std)),
        ("lipschitz", line(&finite(report.lipschitz.get()))),
        ("total", line(&report.total)),
        ("correct", line(&report.correct)),
        ("certified", line(&eps)),
        (
            "median_radius",
            line(&(median < f64::MAX).then_some(median)),
        ),
        ("complete", line(&report.complete)),
        ("assumptions", line(&report.assumptions)),
        ("seconds", line(&report.seconds)),
    ];
    document(&entries)
}

/// How many images are certified at a distance.
#[derive(Serialize)]
struct Eps {
    eps: f64,
    certified: usize,
}
