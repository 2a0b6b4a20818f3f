//! Reports out: what an audit found, as a table for people, a page ([`html`]), JSON or CSV.
//!
//! [`Row`] is one layer, [`Report`] the whole run; [`CertifyReport`] is what was proved of a set of
//! images. [`Table`] and [`csv`] can be written row by row while the audit goes on, [`json`] and
//! [`html`] at its end. JSON and CSV hold exact numbers; the table rounds
//! in decimal, proved upper ends up and lower ends down ([`Rounding`]). Names from a file are
//! escaped before they reach a terminal ([`printable`]).

mod audit;
mod certify;
mod compare;
mod ink;
mod network;

pub use audit::{Excluded, Gate, LipschitzGate, Outcome, Report, Request, Row, Spectrum, Table};
pub use audit::{csv, html, json, worst_layers};
pub use certify::{CertifyReport, Ends, SecondOrder, certify_html, certify_json};
pub use compare::{Comparison, LowerEnd, Missing, Pair};
pub use ink::decimal::{Rounding, decimal, least, limit, most};
pub(crate) use ink::json::Number;
pub use ink::lines::{LineChart, Series};
pub use ink::paint::Style;
pub use ink::printable::printable;
pub use ink::svg::escape;
pub use network::{CurvatureReport, CurvatureRow, NetworkBounds, NetworkReport, NetworkRow};
