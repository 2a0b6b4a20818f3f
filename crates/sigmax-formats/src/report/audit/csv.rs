//! The report as CSV: RFC 4180 with `\n` line ends, one row per layer, exact numbers.
//!
//! Text that a spreadsheet would run as a formula (it starts with `=`, `+`, `-` or `@`) gets a `'`
//! in front, and invisible characters are escaped as on the terminal; the JSON has names as they are.

use sigmax::Audit;

use crate::model::layer::LayerSpec;
use crate::model::skipped::Refused;
use crate::report::{Excluded, Outcome, Row, printable};

/// The reshapes that have a column, in order (three axes have eight, two four, one two).
const RESHAPES: [&str; 10] = ["R", "S", "T", "U", "D", "H", "W", "DH", "DW", "HW"];

/// The columns.
const COLUMNS: [&str; 38] = [
    "name",
    "op",
    "op_type",
    "tensor",
    "shape",
    "stride",
    "padding",
    "padding_mode",
    "dilation",
    "groups",
    "transposed",
    "output_padding",
    "geometry",
    "input_size",
    "four_R",
    "four_S",
    "four_T",
    "four_U",
    "four_D",
    "four_H",
    "four_W",
    "four_DH",
    "four_DW",
    "four_HW",
    "four_min",
    "four_winner",
    "weighted_four",
    "reshape_norm_estimate",
    "norm_lower",
    "norm_upper",
    "quantity",
    "stop",
    "tests",
    "relative_width",
    "padding_factor",
    "scale",
    "seconds",
    "refused",
];

/// The first line.
#[must_use]
pub fn header() -> String {
    record(COLUMNS.map(str::to_owned))
}

/// The line of a layer. One that was not audited has no numbers, and the reason in `refused`.
#[must_use]
pub fn row(row: &Row) -> String {
    let fields = geometry(&row.layer).into_iter();
    match &row.outcome {
        Outcome::Audited(audit) => {
            let rest = [
                row.layer.scale.to_string(),
                row.seconds.to_string(),
                String::new(),
            ];
            record(fields.chain(numbers(audit)).chain(rest))
        }
        Outcome::Refused(reason) | Outcome::Bad(reason) => {
            let empty = COLUMNS.len() - 14 - 1;
            let empty = std::iter::repeat_n(String::new(), empty);
            record(fields.chain(empty).chain([text(reason)]))
        }
    }
}

/// The line of a layer that the reader refused.
#[must_use]
pub fn refused(refused: &Refused) -> String {
    nothing(&refused.name, &refused.kind, &refused.reason)
}

/// The line of a layer that was left out by name.
#[must_use]
pub fn excluded(excluded: &Excluded) -> String {
    nothing(
        &excluded.name,
        &excluded.kind,
        "excluded by --exclude, not audited",
    )
}

fn nothing(name: &str, kind: &str, reason: &str) -> String {
    let mut fields = vec![String::new(); COLUMNS.len()];
    fields[0] = text(name);
    fields[2] = text(kind);
    fields[COLUMNS.len() - 1] = text(reason);
    record(fields)
}

fn geometry(layer: &LayerSpec) -> [String; 14] {
    let conv = &layer.conv;
    let padding: Vec<_> = conv
        .padding
        .iter()
        .map(|(a, b)| format!("{a}+{b}"))
        .collect();
    [
        text(&layer.name),
        layer.op.name().to_owned(),
        text(&layer.op_type),
        text(&layer.tensor),
        extents(&layer.shape),
        extents(&conv.stride),
        padding.join("x"),
        conv.padding_mode.name().to_owned(),
        extents(&conv.dilation),
        conv.groups.to_string(),
        conv.transposed.to_string(),
        extents(&conv.output_padding),
        layer.geometry.name().to_owned(),
        conv.input_size.as_deref().map(extents).unwrap_or_default(),
    ]
}

fn numbers(audit: &Audit) -> impl Iterator<Item = String> {
    let reshapes: Vec<String> = RESHAPES
        .iter()
        .map(|name| {
            audit
                .four()
                .get(name)
                .map_or_else(String::new, |u| number(u.get()))
        })
        .collect();
    let norm = &audit.norm();
    reshapes.into_iter().chain([
        number(audit.four().min().get()),
        audit.four().winner().name().to_owned(),
        number(audit.weighted_four().upper().get()),
        number(audit.reshape_norm().get()),
        number(norm.bracket().lower().get()),
        number(norm.bracket().upper().get()),
        norm.quantity().name().to_owned(),
        norm.stop().name().to_owned(),
        norm.tests().to_string(),
        number(norm.bracket().relative_width()),
        number(audit.padding_factor()),
    ])
}

/// The shortest text that reads back as the same f64; `inf` for infinity.
fn number(x: f64) -> String {
    format!("{x:?}")
}

fn extents(values: &[usize]) -> String {
    let values: Vec<_> = values.iter().map(ToString::to_string).collect();
    values.join("x")
}

/// Text from the file.
fn text(value: &str) -> String {
    let guard = if value.starts_with(['=', '+', '-', '@']) {
        "'"
    } else {
        ""
    };
    format!("{guard}{}", printable(value))
}

fn record(fields: impl IntoIterator<Item = String>) -> String {
    let fields: Vec<_> = fields.into_iter().map(|field| quoted(&field)).collect();
    format!("{}\n", fields.join(","))
}

fn quoted(field: &str) -> String {
    if field.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_quoted_where_they_must_be() {
        assert_eq!(quoted("a,b"), "\"a,b\"");
        assert_eq!(quoted("say \"x\""), "\"say \"\"x\"\"\"");
        assert_eq!(quoted("plain"), "plain");
    }

    #[test]
    fn text_from_the_file_is_no_formula() {
        for name in ["=1+1", "+1", "-1", "@SUM(A1)"] {
            assert_eq!(text(name), format!("'{name}"));
        }
        assert_eq!(text("/conv1/Conv"), "/conv1/Conv");
        assert_eq!(text("\t=1"), "\\t=1");
        assert_eq!(text("a\r\nb"), "a\\r\\nb");
    }

    #[test]
    fn numbers_read_back_exactly() {
        for x in [5e-324, f64::MAX, 0.1 + 0.2, 9.0, f64::INFINITY] {
            assert_eq!(number(x).parse::<f64>().unwrap().to_bits(), x.to_bits());
        }
    }

    #[test]
    fn every_line_has_every_column() {
        let commas = COLUMNS.len() - 1;
        let line = refused(&Refused {
            name: "a".into(),
            kind: "Conv".into(),
            reason: "because".into(),
        });
        assert_eq!(line.matches(',').count(), commas);
        assert_eq!(header().matches(',').count(), commas);
        assert_eq!(14 + RESHAPES.len() + 11 + 3, COLUMNS.len());
    }
}
