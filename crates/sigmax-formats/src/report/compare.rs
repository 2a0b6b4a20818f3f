//! [`Comparison`]: two models layer by layer.

use serde::Serialize;
use sigmax::{Bracket, Upper};

use super::decimal::{Rounding, decimal};
use super::json::{document, line, list};
use super::printable::printable;
use super::wrap::{shorten, width, wrap};

/// Two models layer by layer.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// The two files.
    pub files: [String; 2],
    /// The layers, in the order of the first file, then those that only the second one has.
    pub pairs: Vec<Pair>,
    /// The proved Lipschitz constants of the two networks, or why there is none.
    pub lipschitz: [Result<Upper, String>; 2],
}

/// A layer of either model.
#[derive(Clone, Debug)]
pub struct Pair {
    /// Its name.
    pub name: String,
    /// Its norm in each model, or why there is none.
    pub norms: [Result<Bracket, Missing>; 2],
    /// Its shape in each model that has it.
    pub shapes: [Option<Vec<usize>>; 2],
    /// What its lower ends are of.
    pub lower: LowerEnd,
}

/// What the lower ends of a pair are lower bounds of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LowerEnd {
    /// The norm that the upper ends bound.
    Norm,
    /// The norm with stride 1 and one group, because a file does not state the geometry.
    Stride1,
    /// Different things, or the norm without padding that copies pixels: no quotient follows.
    Incomparable,
}

/// Why a model has no norm of a layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Missing {
    /// It does not have the layer.
    Absent,
    /// The layer is not audited, for this reason.
    Refused(String),
}

impl Missing {
    fn text(&self) -> &str {
        match self {
            Self::Absent => "it is not there",
            Self::Refused(reason) => reason,
        }
    }
}

impl Pair {
    /// The second norm over the first, between two proved ends: of the norms over all input sizes
    /// (or of those with stride 1 and one group, [`LowerEnd::Stride1`]). `None` where either is
    /// missing, or where the lower ends do not tell.
    #[must_use]
    pub fn quotient(&self) -> Option<(f64, f64)> {
        let [Ok(a), Ok(b)] = &self.norms else {
            return None;
        };
        if a.lower().get() <= 0.0 || self.lower == LowerEnd::Incomparable {
            return None;
        }
        // A quotient is rounded to nearest: one float further is outward.
        let low = (b.lower().get() / a.upper().get()).next_down().max(0.0);
        let high = (b.upper().get() / a.lower().get()).next_up();
        Some((low, high))
    }
}

/// Digits of norms, and columns of one.
const DIGITS: usize = 5;
const NUMBER: usize = 10;

impl Comparison {
    /// The comparison as text for a terminal of this width.
    #[must_use]
    pub fn text(&self, columns: Option<usize>) -> String {
        let room = columns.unwrap_or(100).clamp(20, 100);
        let names = self.pairs.iter().map(|p| width(&printable(&p.name))).max();
        let fixed = 4 * (NUMBER + 2);
        let name = names
            .unwrap_or(0)
            .clamp(5, room.saturating_sub(fixed).max(12));
        let mut out = format!(
            "A  {}\nB  {}\n\n",
            printable(&self.files[0]),
            printable(&self.files[1])
        );
        out += &row(
            name,
            "",
            ["A at most", "B at most", "B/A from", "to"].map(str::to_owned),
        );
        for pair in &self.pairs {
            let norm = |i: usize| match &pair.norms[i] {
                Ok(norm) => decimal(norm.upper().get(), DIGITS, Rounding::Up),
                Err(_) => "none".to_owned(),
            };
            let (low, high) = match pair.quotient() {
                Some((low, high)) => (
                    decimal(low, DIGITS, Rounding::Down),
                    decimal(high, DIGITS, Rounding::Up),
                ),
                None => ("-".to_owned(), "-".to_owned()),
            };
            let shown = shorten(&printable(&pair.name), name);
            out += &row(name, &shown, [norm(0), norm(1), low, high]);
        }
        out.push('\n');
        for (which, side) in [("A", 1), ("B", 0)] {
            let only = self
                .pairs
                .iter()
                .filter(|p| p.norms[side] == Err(Missing::Absent));
            let names: Vec<String> = only.map(|pair| printable(&pair.name)).collect();
            if !names.is_empty() {
                out += &wrap(&format!("Only in {which}: {}.", names.join(", ")), room, 2);
            }
        }
        for pair in &self.pairs {
            for (which, norm) in ["A", "B"].iter().zip(&pair.norms) {
                if let Err(Missing::Refused(reason)) = norm {
                    let name = printable(&pair.name);
                    out += &wrap(
                        &format!("{name} in {which}: {}", printable(reason)),
                        room,
                        2,
                    );
                }
            }
            if let [Some(a), Some(b)] = &pair.shapes
                && a != b
            {
                let text = format!(
                    "{} has shape {a:?} in A and {b:?} in B.",
                    printable(&pair.name)
                );
                out += &wrap(&text, room, 2);
            }
        }
        for (which, constant) in ["A", "B"].iter().zip(&self.lipschitz) {
            let text = match constant {
                Ok(upper) => format!(
                    "Network {which}: Lipschitz constant PROVED at most {}.",
                    decimal(upper.get(), DIGITS, Rounding::Up)
                ),
                Err(reason) => {
                    format!(
                        "Network {which}: no Lipschitz constant: {}.",
                        printable(reason)
                    )
                }
            };
            out += &wrap(&text, room, 2);
        }
        let mut text = "Norms are PROVED upper ends, rounded up; B/A, of the norms over all input \
                        sizes (at the input size where padding is circular), lies between its two \
                        ends, which are proved too."
            .to_owned();
        if self
            .pairs
            .iter()
            .any(|pair| pair.lower == LowerEnd::Stride1)
        {
            text += " Where a file does not state the geometry of a convolution, the upper ends hold \
                     for any stride, dilation, groups and zero padding, and B/A is that of the \
                     layers with stride 1 and one group.";
        }
        out += &wrap(&text, room, 2);
        out
    }

    /// The comparison as JSON, one layer a line.
    #[must_use]
    pub fn json(&self) -> String {
        let pairs: Vec<String> = self
            .pairs
            .iter()
            .map(|pair| line(&PairEntry::of(pair)))
            .collect();
        let constant = |i: usize| {
            let upper = self.lipschitz[i].as_ref().ok().map(|upper| upper.get());
            upper.filter(|upper| upper.is_finite())
        };
        let reason = |i: usize| self.lipschitz[i].as_ref().err().map(String::as_str);
        let lipschitz = LipschitzEntry {
            a: constant(0),
            b: constant(1),
            reason_a: reason(0),
            reason_b: reason(1),
        };
        document(&[
            ("comparison", line(&1)),
            ("a", line(&self.files[0])),
            ("b", line(&self.files[1])),
            ("lipschitz", line(&lipschitz)),
            ("layers", list(&pairs)),
        ])
    }
}

#[derive(Serialize)]
struct LipschitzEntry<'a> {
    a: Option<f64>,
    b: Option<f64>,
    reason_a: Option<&'a str>,
    reason_b: Option<&'a str>,
}

fn row(name: usize, label: &str, cells: [String; 4]) -> String {
    let mut line = label.to_owned();
    line.extend(std::iter::repeat_n(' ', name.saturating_sub(width(label))));
    for cell in cells {
        let gap = (NUMBER + 2).saturating_sub(width(&cell));
        line.extend(std::iter::repeat_n(' ', gap));
        line += &cell;
    }
    format!("{}\n", line.trim_end())
}

#[derive(Serialize)]
struct PairEntry<'a> {
    name: &'a str,
    a: Option<[f64; 2]>,
    b: Option<[f64; 2]>,
    quotient: Option<[f64; 2]>,
    quotient_of: Option<&'a str>,
    reason_a: Option<&'a str>,
    reason_b: Option<&'a str>,
}

impl<'a> PairEntry<'a> {
    fn of(pair: &'a Pair) -> Self {
        let ends = |i: usize| {
            let norm = pair.norms[i].as_ref().ok()?;
            let ends = [norm.lower().get(), norm.upper().get()];
            ends[1].is_finite().then_some(ends)
        };
        let quotient = pair
            .quotient()
            .map(|(low, high)| [low, high])
            .filter(|ends| ends[1].is_finite());
        let quotient_of = match pair.lower {
            LowerEnd::Stride1 => "stride 1, one group",
            LowerEnd::Norm | LowerEnd::Incomparable => "norm",
        };
        let reason = |i: usize| pair.norms[i].as_ref().err().map(Missing::text);
        Self {
            name: &pair.name,
            a: ends(0),
            b: ends(1),
            quotient_of: quotient.is_some().then_some(quotient_of),
            quotient,
            reason_a: reason(0),
            reason_b: reason(1),
        }
    }
}
