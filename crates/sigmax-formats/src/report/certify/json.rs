//! A certification as JSON; `docs/json.md` documents it.

use serde::Serialize;
use sigmax::network::Channels;

use crate::images::Units;
use crate::report::ink::json::{Number, document, line};
use crate::report::{CertifyReport, SecondOrder};

/// The certification as a JSON document, one key per line.
#[must_use]
pub fn certify_json(report: &CertifyReport) -> String {
    // Inputs of another class that are met may lie beyond any range.
    let searched = report.range.is_none();
    let eps: Vec<Eps> = report
        .eps
        .iter()
        .map(|&eps| Eps {
            eps,
            certified: report.certified(eps),
            by_curvature: report.certified_by_curvature(eps),
            by_bounds_around: report.certified_locally(eps),
            adversarial: searched.then(|| report.adversarial(eps)),
        })
        .collect();
    let median = report.median_radius();
    let (count, mean) = report.two_sided();
    let two_sided = searched.then_some(TwoSided {
        images: count,
        mean_ratio: (count > 0).then_some(Number(mean)),
    });
    let (used, reason) = match &report.second_order {
        SecondOrder::NotAsked => (false, None),
        SecondOrder::Used => (true, None),
        SecondOrder::NotKnown(reason) => (false, Some(reason.as_str())),
    };
    let entries = [
        ("certification", line(&2)),
        ("sigmax", line(&report.version)),
        ("model", line(&report.file)),
        ("sha256", line(&report.sha256)),
        ("images", line(&report.images)),
        ("units", line(&units(report.units))),
        ("range", line(&report.range)),
        ("input", line(&report.fit.input())),
        ("layout", line(&report.fit.layout().map(Channels::name))),
        ("picture", line(&report.fit.picture())),
        ("arithmetic", line(&report.arithmetic)),
        ("mean", line(&report.mean)),
        ("std", line(&report.std)),
        ("lipschitz", line(&Number(report.lipschitz.get()))),
        ("asked", line(&report.asked)),
        ("total", line(&report.total)),
        ("correct", line(&report.correct)),
        ("certified", line(&eps)),
        (
            "median_radius",
            line(&Number(if median < f64::MAX {
                median
            } else {
                f64::INFINITY
            })),
        ),
        ("curvature", line(&Curvature { used, reason })),
        ("two_sided", line(&two_sided)),
        ("local_seconds", line(&report.local)),
        (
            "local_unfinished",
            line(&report.local.map(|_| report.unfinished)),
        ),
        ("part", line(&report.part)),
        ("resumed", line(&report.resumed)),
        ("complete", line(&report.complete)),
        ("assumptions", line(&report.assumptions)),
        ("seconds", line(&report.seconds)),
    ];
    document(&entries)
}

/// What the values of the images are.
#[derive(Serialize)]
struct Values {
    pixels: &'static str,
    least: Option<f64>,
    most: Option<f64>,
}

fn units(units: Units) -> Values {
    let (pixels, least, most) = match units {
        Units::Bytes => ("bytes/255", None, None),
        Units::Words => ("words/65535", None, None),
        Units::Floats { least, most } => ("floats", Some(least), Some(most)),
    };
    Values {
        pixels,
        least,
        most,
    }
}

/// How many images are certified at a distance, and for how many that is impossible.
#[derive(Serialize)]
struct Eps {
    eps: f64,
    certified: usize,
    by_curvature: usize,
    by_bounds_around: usize,
    adversarial: Option<usize>,
}

/// Whether curvature was used, and why not where it was to be.
#[derive(Serialize)]
struct Curvature<'a> {
    used: bool,
    reason: Option<&'a str>,
}

/// Of how many images both ends are known, and how far apart they are.
#[derive(Serialize)]
struct TwoSided {
    images: usize,
    mean_ratio: Option<Number>,
}
