//! [`CurvatureReport`]: the Hessians of the logits.

use sigmax::network::{Hessian, LogitHessian};
use sigmax::{Estimate, Upper};

use crate::report::ink::decimal::{Rounding, decimal};
use crate::report::ink::page::table;
use crate::report::ink::printable::printable;
use crate::report::ink::text::{est, sentence, up};

/// What is proved of the Hessians of the logits over all inputs, and what they reach at some.
#[derive(Clone, Debug)]
pub struct CurvatureReport {
    /// Per class.
    pub rows: Vec<CurvatureRow>,
    /// The rule that the bounds follow from.
    pub rule: &'static str,
    /// At how many inputs the estimates are, and which.
    pub at: String,
}

/// A logit.
#[derive(Clone, Copy, Debug)]
pub struct CurvatureRow {
    /// The bounds.
    pub hessian: LogitHessian,
    /// The largest norm of the Hessian at some inputs: an estimate from below.
    pub reached: Option<Estimate>,
}

impl CurvatureReport {
    /// Puts bounds and estimates together, where there are any.
    #[must_use]
    pub fn new(hessian: &Hessian, reached: &[Estimate], at: &str) -> Self {
        let rows = hessian.logits().iter().enumerate();
        Self {
            rows: rows
                .map(|(class, &hessian)| CurvatureRow {
                    hessian,
                    reached: reached.get(class).copied(),
                })
                .collect(),
            rule: hessian.rule().text(),
            at: at.to_owned(),
        }
    }

    /// The largest bounds of all logits, and what they reach.
    fn largest(&self) -> Option<(Upper, Upper, Option<Estimate>)> {
        let all = self.rows.iter().map(|row| {
            let hessian = row.hessian;
            (hessian.most_negative, hessian.largest, row.reached)
        });
        all.reduce(|a, b| {
            let reached = match (a.2, b.2) {
                (Some(a), Some(b)) => Some(if b > a { b } else { a }),
                (a, b) => a.or(b),
            };
            (a.0.max(b.0), a.1.max(b.1), reached)
        })
    }

    /// A paragraph.
    pub(crate) fn paragraph(&self, digits: usize) -> Option<String> {
        let (negative, largest, reached) = self.largest()?;
        let end = |bound: Upper| decimal(bound.get(), digits, Rounding::Up);
        let mut text = format!(
            "Curvature: PROVED, at every input the eigenvalues of the Hessian of every logit lie \
             between −{} and {} ({}).",
            end(negative),
            end(largest),
            self.rule
        );
        if let Some(reached) = reached {
            text += &format!(
                " Its norm reaches {} (est., not a bound, {}).",
                decimal(reached.get(), 4, Rounding::Nearest),
                printable(&self.at)
            );
        }
        Some(text)
    }
}

/// A section of a page: the bounds of every logit, or why there are none.
pub(crate) fn section(curvature: &Result<CurvatureReport, String>, digits: usize) -> String {
    let content = match curvature {
        Ok(report) => {
            let heads = [
                "#logit",
                "#least eigenvalue\nat least",
                "#largest eigenvalue\nat most",
                "#norm reached",
            ];
            let row = |(class, row): (usize, &CurvatureRow)| {
                vec![
                    class.to_string(),
                    format!("−{}", up(row.hessian.most_negative.get(), digits)),
                    up(row.hessian.largest.get(), digits),
                    row.reached.map_or_else(String::new, est),
                ]
            };
            let rows: Vec<Vec<String>> = report.rows.iter().enumerate().map(row).collect();
            table(&heads, &rows)
                + &format!(
                    "<p>Bounds hold at every input and are proved: {}. {}</p>\n",
                    report.rule,
                    sentence(&format!("What is reached is an estimate, {}", report.at))
                )
        }
        Err(reason) => format!("<p>{}</p>\n", sentence(reason)),
    };
    format!(
        "<section id=\"curvature\">\n<details><summary>The curvature of the logits: eigenvalues of \
         their Hessians</summary>\n{content}</details>\n</section>\n"
    )
}
