//! A comparison as JSON; `docs/json.md` documents it.

use serde::Serialize;

use crate::report::ink::json::{Number, document, line, list};
use crate::report::{Comparison, LowerEnd, Missing, Pair};

impl Comparison {
    /// The comparison as JSON, one layer a line.
    #[must_use]
    pub fn json(&self) -> String {
        let pairs: Vec<String> = self
            .pairs
            .iter()
            .map(|pair| line(&PairEntry::of(pair)))
            .collect();
        let constant = |i: usize| {
            let upper = self.lipschitz[i].as_ref().ok();
            upper.map(|upper| Number(upper.get()))
        };
        let reason = |i: usize| self.lipschitz[i].as_ref().err().map(String::as_str);
        let lipschitz = LipschitzEntry {
            a: constant(0),
            b: constant(1),
            reason_a: reason(0),
            reason_b: reason(1),
        };
        document(&[
            ("comparison", line(&2)),
            ("a", line(&self.files[0])),
            ("b", line(&self.files[1])),
            ("lipschitz", line(&lipschitz)),
            ("layers", list(&pairs)),
        ])
    }
}

#[derive(Serialize)]
struct LipschitzEntry<'a> {
    a: Option<Number>,
    b: Option<Number>,
    reason_a: Option<&'a str>,
    reason_b: Option<&'a str>,
}

#[derive(Serialize)]
struct PairEntry<'a> {
    name: &'a str,
    a: Option<[Number; 2]>,
    b: Option<[Number; 2]>,
    quotient: Option<[Number; 2]>,
    quotient_of: Option<&'a str>,
    reason_a: Option<&'a str>,
    reason_b: Option<&'a str>,
}

impl<'a> PairEntry<'a> {
    fn of(pair: &'a Pair) -> Self {
        let ends = |i: usize| {
            let norm = pair.norms[i].as_ref().ok()?;
            Some([norm.lower().get(), norm.upper().get()].map(Number))
        };
        let quotient = pair.quotient().map(|(low, high)| [low, high].map(Number));
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
