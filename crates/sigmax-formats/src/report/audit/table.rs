//! The table for people: fewer columns on a narrow terminal, never wrapped rows.

use sigmax::Audit;

use crate::model::layer::LayerSpec;
use crate::report::audit::cells::{is_early, op, stride};
use crate::report::audit::column::Column;
use crate::report::audit::legend;
use crate::report::ink::decimal::{Rounding, decimal, most};
use crate::report::ink::paint::{RED, Style, YELLOW, paint};
use crate::report::ink::printable::printable;
use crate::report::ink::words::{by, digits, ratio, seconds};
use crate::report::ink::wrap::{shorten, width};
use crate::report::{Report, Request, Row};

/// A table whose columns are laid out before the first row is known.
#[derive(Clone, Debug)]
pub struct Table {
    columns: Vec<(Column, usize)>,
    digits: usize,
    request: Request,
    style: Style,
}

const ALL: [Column; 11] = [
    Column::Layer,
    Column::Op,
    Column::Shape,
    Column::Stride,
    Column::Lower,
    Column::Upper,
    Column::Four,
    Column::Weighted,
    Column::Reshape,
    Column::Ratio,
    Column::Time,
];

/// Which columns go first where there is no room.
const DROPPED: [Column; 8] = [
    Column::Op,
    Column::Time,
    Column::Stride,
    Column::Weighted,
    Column::Ratio,
    Column::Reshape,
    Column::Shape,
    Column::Four,
];

/// Room for a layer's name that is worth dropping a column for.
const NAME: usize = 14;
const GAP: usize = 2;

impl Table {
    /// Lays out a table of these layers.
    #[must_use]
    pub fn new(layers: &[&LayerSpec], request: &Request, style: Style) -> Self {
        let digits = digits(request.tolerance);
        let mut columns: Vec<(Column, usize)> = ALL
            .iter()
            .map(|&column| (column, column.natural(layers, digits)))
            .collect();
        if let Some(room) = style.width {
            fit(&mut columns, room);
        }
        Self {
            columns,
            digits,
            request: request.clone(),
            style,
        }
    }

    /// The two lines above the rows.
    #[must_use]
    pub fn header(&self) -> String {
        let line = |pick: fn(Column) -> &'static str| {
            let cells = self.columns.iter().map(|&(column, _)| {
                // The number of `four` is followed by two places for the winner, that of the upper
                // end by one for a mark.
                let after = match column {
                    Column::Four => "   ",
                    Column::Upper => " ",
                    _ => "",
                };
                (format!("{}{after}", pick(column)), None)
            });
            self.line(cells)
        };
        format!(
            "{}{}",
            line(|column| column.heads().0),
            line(|column| column.heads().1)
        )
    }

    /// The line of a layer.
    #[must_use]
    pub fn row(&self, row: &Row) -> String {
        if let Some(audit) = row.audit() {
            return self.line(self.columns.iter().map(|&(column, width)| {
                (
                    self.cell(column, width, row, audit),
                    self.colour(column, audit),
                )
            }));
        }
        let cells = self.columns.iter().map(|&(column, width)| match column {
            Column::Lower => ("not audited, see below".to_owned(), Some(RED)),
            column if column.is_text() => (name_cell(column, width, &row.layer), None),
            _ => (String::new(), None),
        });
        self.line(cells)
    }

    /// What follows the rows: what was found, what was not, and what the columns claim.
    #[must_use]
    pub fn summary(&self, report: &Report) -> String {
        let columns: Vec<Column> = self.columns.iter().map(|&(column, _)| column).collect();
        let text = legend::Text {
            columns: &columns,
            digits: self.digits,
            width: self.style.width.unwrap_or(100).clamp(20, 100),
            colour: self.style.colour,
        };
        text.summary(report)
    }

    fn cell(&self, column: Column, width: usize, row: &Row, audit: &Audit) -> String {
        let upper = |x: f64| decimal(x, self.digits, Rounding::Up);
        let bracket = audit.norm().bracket();
        match column {
            Column::Layer | Column::Op | Column::Shape | Column::Stride => {
                name_cell(column, width, &row.layer)
            }
            Column::Lower => decimal(bracket.lower().get(), self.digits, Rounding::Down),
            Column::Upper => {
                let mark = match (self.fails(audit), is_early(audit)) {
                    (true, _) => '!',
                    (false, true) => '*',
                    (false, false) => ' ',
                };
                format!("{}{mark}", upper(bracket.upper().get()))
            }
            Column::Four => {
                let (min, winner) = (audit.four().min().get(), audit.four().winner().name());
                format!("{} {winner:<2}", upper(min))
            }
            Column::Weighted => upper(audit.weighted_four().upper().get()),
            Column::Reshape => decimal(audit.reshape_norm().get(), self.digits, Rounding::Nearest),
            Column::Ratio => ratio(bracket.lower().get() / audit.reshape_norm().get()),
            Column::Time => seconds(row.seconds),
        }
    }

    fn fails(&self, audit: &Audit) -> bool {
        self.request
            .max_norm
            .is_some_and(|limit| audit.upper().get() > most(limit))
    }

    fn colour(&self, column: Column, audit: &Audit) -> Option<&'static str> {
        if column != Column::Upper {
            None
        } else if self.fails(audit) {
            Some(RED)
        } else if audit.norm().bracket().relative_width() > 1.5 * self.request.tolerance {
            Some(YELLOW)
        } else {
            None
        }
    }

    /// Pads and joins cells, text to the left and numbers to the right.
    fn line(&self, cells: impl Iterator<Item = (String, Option<&'static str>)>) -> String {
        let mut out = String::new();
        let mut owed = 0;
        for (&(column, columns), (cell, colour)) in self.columns.iter().zip(cells) {
            let space = columns.saturating_sub(width(&cell));
            let (before, after) = if column.is_text() {
                (0, space)
            } else {
                (space, 0)
            };
            // Spaces are owed and paid by the next visible cell: no line ends in spaces.
            owed += before;
            let visible = cell.trim_end();
            if !visible.is_empty() {
                out.extend(std::iter::repeat_n(' ', owed));
                out.push_str(&paint(visible, colour.filter(|_| self.style.colour)));
                owed = 0;
            }
            owed += cell.len() - visible.len() + after + GAP;
        }
        out.push('\n');
        out
    }
}

/// Drops columns until the rest fits, and gives what is left to the name.
fn fit(columns: &mut Vec<(Column, usize)>, room: usize) {
    let natural = columns[0].1;
    for column in DROPPED {
        columns[0].1 = natural.min(NAME);
        if total(columns) <= room {
            break;
        }
        columns.retain(|&(c, _)| c != column);
    }
    let rest: usize = columns.iter().skip(1).map(|&(_, width)| width + GAP).sum();
    columns[0].1 = natural.min(room.saturating_sub(rest)).max(5);
}

fn total(columns: &[(Column, usize)]) -> usize {
    let widths: usize = columns.iter().map(|&(_, width)| width).sum();
    widths + GAP * columns.len().saturating_sub(1)
}

fn name_cell(column: Column, width: usize, layer: &LayerSpec) -> String {
    match column {
        Column::Layer => shorten(&printable(&layer.name), width),
        Column::Op => op(layer),
        Column::Shape => by(&layer.shape),
        _ => stride(layer),
    }
}
