//! A comparison as text for a terminal.

use crate::report::ink::decimal::{Rounding, decimal};
use crate::report::ink::printable::printable;
use crate::report::ink::wrap::{shorten, width, wrap};
use crate::report::{Comparison, LowerEnd, Missing};

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
