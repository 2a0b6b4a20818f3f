//! Runs over small files in memory.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod held;

use std::num::NonZeroUsize;
use std::time::Duration;

use sigmax_formats::Model;
use sigmax_formats::report::{Missing, Request, Row};
use sigmax_run::{AuditRun, Error, NetworkPart, Resources, Watch, compare};

/// A safetensors file of dense layers λ·I₂, named l0, l1, …
fn model(factors: &[f32]) -> Model {
    let entries: Vec<String> = (0..factors.len())
        .map(|i| {
            format!(
                "\"l{i}.weight\":{{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[{},{}]}}",
                16 * i,
                16 * (i + 1)
            )
        })
        .collect();
    let header = format!("{{{}}}", entries.join(","));
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.bytes());
    for factor in factors {
        for value in [*factor, 0.0, 0.0, *factor] {
            bytes.extend(value.to_le_bytes());
        }
    }
    Model::from_bytes("test", bytes).unwrap()
}

fn run_of(factors: &[f32]) -> AuditRun {
    AuditRun::new(model(factors), request(), NetworkPart::Included).unwrap()
}

fn request() -> Request {
    Request {
        tolerance: 1e-3,
        ..Request::default()
    }
}

/// Keeps the names of the rows it sees, and ends the run after so many.
struct Names {
    seen: Vec<String>,
    most: usize,
}

/// Why [`Names`] ends.
#[derive(Debug)]
enum Ended {
    Enough,
    Run,
}

impl From<Error> for Ended {
    fn from(_: Error) -> Self {
        Self::Run
    }
}

impl Watch<Ended> for Names {
    fn row(&mut self, row: &Row) -> Result<(), Ended> {
        self.seen.push(row.layer.name.clone());
        if self.seen.len() == self.most {
            return Err(Ended::Enough);
        }
        Ok(())
    }
}

#[test]
fn rows_come_in_the_order_of_the_file_on_any_number_of_threads() {
    let factors: Vec<f32> = (0..40).map(|i| 1.0 + i as f32).collect();
    for threads in [1, 2, 7] {
        let resources = Resources::default().with_threads(NonZeroUsize::new(threads));
        let mut names = Names {
            seen: Vec::new(),
            most: usize::MAX,
        };
        let report = run_of(&factors).run(&resources, &mut names).unwrap();
        let expected: Vec<String> = (0..40).map(|i| format!("l{i}")).collect();
        assert_eq!(names.seen, expected);
        for ((layer, audit), factor) in report.audited().zip(&factors) {
            let norm = f64::from(*factor);
            let upper = audit.upper().get();
            assert!(norm <= upper && upper <= norm * 1.001, "{}", layer.name);
        }
        assert_eq!(report.audited().count(), 40);
    }
}

/// What nobody sets is what the core would take: a request of its own is one that is answered.
#[test]
fn a_request_without_settings_audits_to_the_usual_tolerance() {
    let run = AuditRun::new(model(&[3.0]), Request::default(), NetworkPart::Included).unwrap();
    let report: Result<_, Error> = run.run(&Resources::default(), &mut ());
    let report = report.unwrap();
    let (_, audit) = report.audited().next().unwrap();
    assert!(audit.norm().bracket().relative_width() <= 1e-3);
}

#[test]
fn a_watcher_ends_the_run_with_its_own_error() {
    let mut names = Names {
        seen: Vec::new(),
        most: 2,
    };
    let ended = run_of(&[1.0; 9]).run(&Resources::default(), &mut names);
    assert!(matches!(ended, Err(Ended::Enough)));
    assert_eq!(names.seen, ["l0", "l1"]);
}

#[test]
fn a_cancelled_run_gives_no_report() {
    let resources = Resources::default();
    resources.cancel.cancel();
    let ended: Result<_, Error> = run_of(&[1.0; 9]).run(&resources, &mut ());
    assert!(matches!(ended, Err(Error::Cancelled)));
    let pair = [model(&[1.0]), model(&[1.0])];
    let ended: Result<_, Error> = compare(pair, 1e-3, &resources, &mut ());
    assert!(matches!(ended, Err(Error::Cancelled)));
}

#[test]
fn a_flag_that_is_raised_meanwhile_stops_the_run() {
    struct Raise(Resources);
    impl Watch<Error> for Raise {
        fn row(&mut self, _: &Row) -> Result<(), Error> {
            self.0.cancel.cancel();
            Ok(())
        }
    }
    let resources = Resources::default().with_threads(NonZeroUsize::new(1));
    let ended = run_of(&[1.0; 1000]).run(&resources, &mut Raise(resources.clone()));
    assert!(matches!(ended, Err(Error::Cancelled)));
}

#[test]
fn no_time_at_all_leaves_proved_bounds() {
    let resources = Resources::default().with_budget(Some(Duration::ZERO));
    let report: Result<_, Error> = run_of(&[3.0]).run(&resources, &mut ());
    let report = report.unwrap();
    assert!(
        report
            .audited()
            .all(|(_, audit)| audit.upper().get() >= 3.0)
    );
    assert_eq!(report.audited().count(), 1);
    let pair = [model(&[1.0]), model(&[2.0])];
    let comparison: Result<_, Error> = compare(pair, 1e-3, &resources, &mut ());
    let (low, high) = comparison.unwrap().pairs[0].quotient().unwrap();
    assert!(low <= 2.0 && 2.0 <= high);
}

#[test]
fn a_comparison_pairs_layers_by_name() {
    let pair = [model(&[1.0, 2.0]), model(&[4.0])];
    let comparison: Result<_, Error> = compare(pair, 1e-3, &Resources::default(), &mut ());
    let comparison = comparison.unwrap();
    assert_eq!(comparison.pairs.len(), 2);
    let (low, high) = comparison.pairs[0].quotient().unwrap();
    assert!(low <= 4.0 && 4.0 <= high && high - low < 0.01);
    assert!(matches!(
        &comparison.pairs[1].norms[1],
        Err(Missing::Absent)
    ));
    let nothing = [model(&[]), model(&[])];
    let empty: Result<_, Error> = compare(nothing, 1e-3, &Resources::default(), &mut ());
    assert!(empty.unwrap().pairs.is_empty());
}

#[test]
fn patterns_that_pick_nothing_are_refused_with_the_names_there_are() {
    let pick = |patterns: &[&str]| {
        let mut request = request();
        request.only = patterns.iter().map(|&p| p.to_owned()).collect();
        AuditRun::new(model(&[1.0, 1.0]), request, NetworkPart::LeftOut)
    };
    assert_eq!(pick(&["l1"]).unwrap().model().layers.len(), 1);
    let error = pick(&["l1", "nothing"]).unwrap_err();
    let text = error.to_string();
    assert_eq!(text, "\"nothing\" matches no layer; there are: l0, l1");
    assert!(matches!(pick(&["[a"]), Err(Error::Pattern { .. })));
    let none = AuditRun::new(model(&[]), request(), NetworkPart::Included);
    assert!(matches!(none, Err(Error::NoLayers { .. })));
}
