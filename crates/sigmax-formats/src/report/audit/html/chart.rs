//! One row per layer: the proved bracket, the other bounds and the frameworks' estimate on a common
//! logarithmic axis.

use sigmax::Audit;

use crate::model::layer::LayerSpec;
use crate::report::ink::chart::{grid, key_list, line, row_height, scale};
use crate::report::ink::decimal::most;
use crate::report::ink::page::section;
use crate::report::ink::printable::printable;
use crate::report::ink::svg::{Log, Tick, escape, percent};
use crate::report::ink::text::{est, is_assumed, norm, plain, up};
use crate::report::ink::wrap::shorten;
use crate::report::{Report, Row};

/// Columns of a layer's name.
const NAME: usize = 34;

/// After how many rows the axis is drawn again.
const REPEAT: usize = 40;

pub(super) fn layers(report: &Report, digits: usize) -> String {
    if report.rows.is_empty() {
        return String::new();
    }
    let limit = report.request.max_norm;
    let audits: Vec<&Audit> = report.audited().map(|(_, audit)| audit).collect();
    let values = audits.iter().flat_map(|audit| numbers(audit)).chain(limit);
    let Some(axis) = Log::around(values) else {
        return String::new();
    };
    let chart = Chart {
        ticks: axis.ticks(),
        axis,
        limit,
        height: row_height(report.rows.len()),
        digits,
    };
    let mut rows = String::new();
    for (i, row) in report.rows.iter().enumerate() {
        if i % REPEAT == 0 {
            rows += &chart.scale();
        }
        rows += &chart.row(row);
    }
    rows += &chart.scale();
    let dense = if chart.height < 18 { " dense" } else { "" };
    let content = format!("{}<div class=\"rows{dense}\">\n{rows}</div>\n", key(limit));
    let mut lead =
        "The norm of a layer is the largest factor by which it can stretch its input. It \
                    lies inside the black bar; what the other marks add is how much looser cheaper \
                    bounds are, and how far a framework’s <code>spectral_norm</code> is from the \
                    truth."
            .to_owned();
    if report.audited().any(|(layer, _)| is_assumed(layer)) {
        lead += " Where the file does not state the geometry of a convolution, its norm may lie \
                 below the bar, never above it.";
    }
    section("layers", "The layers", &lead, &content)
}

/// Every number of an audit that is drawn.
fn numbers(audit: &Audit) -> Vec<f64> {
    let bracket = audit.norm().bracket();
    let mut all: Vec<f64> = audit.four().bounds().iter().map(|(_, b)| b.get()).collect();
    all.extend([
        bracket.lower().get(),
        bracket.upper().get(),
        audit.weighted_four().upper().get(),
        audit.reshape_norm().get(),
    ]);
    all
}

struct Chart {
    axis: Log,
    ticks: Vec<Tick>,
    limit: Option<f64>,
    height: usize,
    digits: usize,
}

impl Chart {
    fn scale(&self) -> String {
        scale(&self.ticks, "layer", "norm at most", "")
    }

    fn row(&self, row: &Row) -> String {
        let mut drawing = grid(&self.ticks);
        if let Some(limit) = self.limit {
            drawing += &line("limit", self.axis.share(limit), "0", "100%");
        }
        let (value, words) = match row.audit() {
            Some(audit) => {
                drawing += &self.marks(audit);
                let upper = audit.upper().get();
                let mark = if self.limit.is_some_and(|limit| upper > most(limit)) {
                    "✗ "
                } else {
                    ""
                };
                (
                    format!("{mark}{}", up(upper, self.digits)),
                    self.words(&row.layer, audit),
                )
            }
            None => {
                drawing += "<text class=\"refusal\" x=\"0\" y=\"50%\" dy=\".35em\">not audited: \
                            nothing is proved</text>";
                ("none".to_owned(), "not audited".to_owned())
            }
        };
        let name = printable(&row.layer.name);
        format!(
            "<div class=\"row\"><div class=\"label\" title=\"{full}\"><bdi>{short}</bdi></div>\
             <svg height=\"{height}\" role=\"img\"><title>{full}: {words}</title>{drawing}</svg>\
             <div class=\"value\">{value}</div></div>\n",
            full = plain(&row.layer.name),
            short = escape(&shorten(&name, NAME)),
            height = self.height,
        )
    }

    fn marks(&self, audit: &Audit) -> String {
        let at = |x: f64| percent(self.axis.share(x));
        let mark = |class: &str, x: f64| {
            format!(
                "<use href=\"#{class}\" class=\"{class}\" x=\"{}\" y=\"50%\"/>",
                at(x)
            )
        };
        let mut out = String::new();
        for (_, bound) in audit.four().bounds() {
            out += &mark("four", bound.get());
        }
        out += &mark("least", audit.four().min().get());
        out += &mark("weighted", audit.weighted_four().upper().get());
        out += &mark("frame", audit.reshape_norm().get());
        let bracket = audit.norm().bracket();
        let (lower, upper) = (
            self.axis.share(bracket.lower().get()),
            self.axis.share(bracket.upper().get()),
        );
        out += &format!(
            "<rect class=\"bracket\" x=\"{}\" y=\"14%\" width=\"{}\" height=\"72%\"/>",
            percent(lower),
            // A rectangle without width is not drawn.
            percent((upper - lower).max(2e-4))
        );
        out
    }

    fn words(&self, layer: &LayerSpec, audit: &Audit) -> String {
        format!(
            "norm {} (proved); four at most {}; weighted four at most {}; spectral_norm {}",
            norm(layer, audit, self.digits),
            up(audit.four().min().get(), self.digits),
            up(audit.weighted_four().upper().get(), self.digits),
            est(audit.reshape_norm())
        )
    }
}

fn key(limit: Option<f64>) -> String {
    let shape =
        |class: &str| format!("<use href=\"#{class}\" class=\"{class}\" x=\"11\" y=\"8\"/>");
    let mut items = vec![
        (
            "<rect class=\"bracket\" x=\"10\" y=\"2\" width=\"2\" height=\"12\"/>".to_owned(),
            "norm, between two proved ends".to_owned(),
        ),
        (
            shape("weighted"),
            "weighted four: proved upper bound".to_owned(),
        ),
        (
            shape("least"),
            "smallest of the four: proved upper bound".to_owned(),
        ),
        (
            shape("four"),
            "each of the four: proved upper bound".to_owned(),
        ),
        (
            shape("frame"),
            "<code>spectral_norm</code> of the frameworks: est., not a bound".to_owned(),
        ),
    ];
    if let Some(limit) = limit {
        items.push((
            "<line class=\"limit\" x1=\"11\" x2=\"11\" y1=\"0\" y2=\"16\"/>".to_owned(),
            format!("limit of the gate, {limit}"),
        ));
    }
    key_list(&items)
}
