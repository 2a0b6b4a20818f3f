//! [`Report`]: what an audit found.

mod cells;
mod column;
pub mod csv;
mod html;
mod json;
mod legend;
mod lipschitz_gate;
mod spectrum;
mod table;

pub use html::html;
pub use json::json;
pub use lipschitz_gate::LipschitzGate;
pub use spectrum::{Spectrum, worst_layers};
pub use table::Table;

use sigmax::Audit;

use crate::model::format::Format;
use crate::model::layer::LayerSpec;
use crate::model::skipped::{Refused, Skipped};
use crate::report::ink::decimal::most;
use crate::report::network::NetworkReport;

/// What the user asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// Relative width aimed at.
    pub tolerance: f64,
    /// Input size of the model, where one was given.
    pub input_size: Option<Vec<usize>>,
    /// The geometry file, where one was given.
    pub geometry_file: Option<String>,
    /// Patterns of the layers to audit; none: all.
    pub only: Vec<String>,
    /// Patterns of the layers to leave out of these.
    pub exclude: Vec<String>,
    /// The largest norm allowed, where there is a gate; a decimal number, as it is printed.
    pub max_norm: Option<f64>,
    /// The largest Lipschitz constant of the network allowed, where there is a gate; likewise.
    pub max_lipschitz: Option<f64>,
    /// Seconds for the whole run, where there is a limit.
    pub budget: Option<f64>,
}

impl Default for Request {
    /// All layers, to the tolerance of [`sigmax::Options`], without gates or limits.
    fn default() -> Self {
        Self {
            tolerance: sigmax::Options::default().tolerance,
            input_size: None,
            geometry_file: None,
            only: Vec::new(),
            exclude: Vec::new(),
            max_norm: None,
            max_lipschitz: None,
            budget: None,
        }
    }
}

/// A layer, or what may be one, that was left out by name.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Excluded {
    /// The node or tensor.
    pub name: String,
    /// Its operator or kind.
    pub kind: String,
}

impl Excluded {
    /// A layer of this name and operator.
    #[must_use]
    pub fn new(name: &str, kind: &str) -> Self {
        Self {
            name: name.to_owned(),
            kind: kind.to_owned(),
        }
    }
}

/// What became of one layer.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// It was audited.
    Audited(Box<Audit>),
    /// It is outside of what sigmax covers, for this reason.
    Refused(String),
    /// Its weight or its geometry is wrong: bad input.
    Bad(String),
}

/// One layer of a report.
#[derive(Clone, Debug)]
pub struct Row {
    /// The layer.
    pub layer: LayerSpec,
    /// What became of it. [`LayerSpec::scale`] is multiplied in.
    pub outcome: Outcome,
    /// Seconds it took, reading included.
    pub seconds: f64,
}

impl Row {
    /// The audit, where there is one.
    #[must_use]
    pub fn audit(&self) -> Option<&Audit> {
        match &self.outcome {
            Outcome::Audited(audit) => Some(audit),
            Outcome::Refused(_) | Outcome::Bad(_) => None,
        }
    }
}

/// A whole run.
#[derive(Clone, Debug)]
pub struct Report {
    /// The version of the program.
    pub version: String,
    /// The model file, as the user named it.
    pub file: String,
    /// The SHA-256 of the file in hexadecimal, where it was computed.
    pub sha256: Option<String>,
    /// Its format.
    pub format: Format,
    /// What was asked for.
    pub request: Request,
    /// The layers, in the order of the file.
    pub rows: Vec<Row>,
    /// What the reader passed over, and what it refused.
    pub skipped: Skipped,
    /// What was left out by name ([`Request::exclude`]): no gate on layers is about it.
    pub excluded: Vec<Excluded>,
    /// The network as a whole, where it was looked at.
    pub network: Option<NetworkReport>,
    /// Seconds in all.
    pub seconds: f64,
}

/// The answer to "is every layer's norm at most `max_norm`?", of all layers that were not left out by name.
#[derive(Clone, Debug, PartialEq)]
pub struct Gate {
    /// The largest norm allowed.
    pub max_norm: f64,
    /// Layers whose proved upper end is above it.
    pub exceeded: Vec<String>,
    /// Layers about which nothing is proved.
    pub unproved: Vec<String>,
    /// Layers that were left out by name: this is not about them.
    pub excluded: Vec<String>,
}

impl Gate {
    /// Whether every layer that was not left out is proved to be within the limit.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.exceeded.is_empty() && self.unproved.is_empty()
    }
}

impl Report {
    /// The layers that were audited.
    pub fn audited(&self) -> impl Iterator<Item = (&LayerSpec, &Audit)> {
        self.rows
            .iter()
            .filter_map(|row| Some((&row.layer, row.audit()?)))
    }

    /// What could not be audited, each with whether that is because of bad input: first what the
    /// reader refused, then rows.
    #[must_use]
    pub fn refused(&self) -> Vec<(Refused, bool)> {
        let reader = self.skipped.refused.iter().map(|r| (r.clone(), false));
        let rows = self.rows.iter().filter_map(|row| {
            let (reason, bad) = match &row.outcome {
                Outcome::Audited(_) => return None,
                Outcome::Refused(reason) => (reason, false),
                Outcome::Bad(reason) => (reason, true),
            };
            let refused = Refused {
                name: row.layer.name.clone(),
                kind: row.layer.op_type.clone(),
                reason: reason.clone(),
            };
            Some((refused, bad))
        });
        reader.chain(rows).collect()
    }

    /// The gate, where there is one.
    #[must_use]
    pub fn gate(&self) -> Option<Gate> {
        let max_norm = self.request.max_norm?;
        let exceeded = self
            .audited()
            .filter(|(_, audit)| audit.upper().get() > most(max_norm))
            .map(|(layer, _)| layer.name.clone())
            .collect();
        Some(Gate {
            max_norm,
            exceeded,
            unproved: self.refused().into_iter().map(|(r, _)| r.name).collect(),
            excluded: self.excluded.iter().map(|e| e.name.clone()).collect(),
        })
    }
}
