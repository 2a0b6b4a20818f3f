//! A curve over a horizontal axis: text keeps its size, the plot takes the width that there is.

use crate::report::ink::svg::{Linear, percent};

/// How points are joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// By straight lines.
    Line,
    /// Each value holds from the point before up to its own point.
    Steps,
}

pub(crate) struct Curve<'a> {
    pub(crate) x: Linear,
    pub(crate) y: Linear,
    /// Shares of the width, and labels.
    pub(crate) x_ticks: Vec<(f64, String)>,
    /// Behind every label of the vertical axis.
    pub(crate) y_unit: &'a str,
    pub(crate) x_title: &'a str,
    /// In pixels, labels below included.
    pub(crate) height: usize,
    pub(crate) shape: Shape,
    pub(crate) points: &'a [(f64, f64)],
    /// More curves of the same shape, each with a class of the style sheet.
    pub(crate) more: &'a [(&'static str, Vec<(f64, f64)>)],
    /// Points that get a ring.
    pub(crate) marks: &'a [(f64, f64)],
}

impl Curve<'_> {
    pub(crate) fn svg(&self, title: &str) -> String {
        let plot = self.height - 42;
        let mut inner = String::new();
        for tick in self.y.ticks(5) {
            let y = percent(1.0 - tick.share);
            inner += &format!("<line class=\"grid\" x1=\"0\" x2=\"100%\" y1=\"{y}\" y2=\"{y}\"/>");
        }
        inner += &format!(
            "<svg width=\"100%\" height=\"100%\" viewBox=\"0 0 1000 1000\" \
             preserveAspectRatio=\"none\"><path class=\"area\" d=\"{0}V1000H{1:.1}z\"/><path \
             class=\"line\" d=\"{0}\"/>{2}</svg>",
            self.path(self.points),
            self.points
                .first()
                .map_or(0.0, |p| 1000.0 * self.x.share(p.0)),
            self.more
                .iter()
                .map(|(class, points)| format!(
                    "<path class=\"line {class}\" d=\"{}\"/>",
                    self.path(points)
                ))
                .collect::<String>()
        );
        for tick in self.y.ticks(5) {
            let y = percent(1.0 - tick.share);
            inner += &format!(
                "<text class=\"halo\" x=\"2\" y=\"{y}\" dy=\"-3\">{}{}</text>",
                tick.label, self.y_unit
            );
        }
        for &(x, y) in self.marks {
            inner += &format!(
                "<circle class=\"open\" cx=\"{}\" cy=\"{}\" r=\"4.5\"/>",
                percent(self.x.share(x)),
                percent(1.0 - self.y.share(y))
            );
        }
        inner += "<line class=\"join\" x1=\"0\" x2=\"100%\" y1=\"100%\" y2=\"100%\"/>";
        let mut below = String::new();
        for (share, label) in &self.x_ticks {
            let anchor = match *share {
                s if s < 0.02 => "start",
                s if s > 0.98 => "end",
                _ => "middle",
            };
            below += &format!(
                "<text x=\"{}\" y=\"{}\" text-anchor=\"{anchor}\">{label}</text>",
                percent(*share),
                plot + 23
            );
        }
        format!(
            "<div class=\"plotbox\"><svg class=\"curve\" height=\"{height}\" role=\"img\">\
             <title>{title}</title><svg y=\"8\" width=\"100%\" height=\"{plot}\" \
             overflow=\"visible\">{inner}</svg>{below}<text x=\"50%\" y=\"{last}\" \
             text-anchor=\"middle\">{}</text></svg></div>\n",
            self.x_title,
            height = self.height,
            last = self.height - 4,
        )
    }

    fn path(&self, points: &[(f64, f64)]) -> String {
        let mut out = String::new();
        for (i, &(x, y)) in points.iter().enumerate() {
            let (x, y) = (1000.0 * self.x.share(x), 1000.0 * (1.0 - self.y.share(y)));
            out += &match (i, self.shape) {
                (0, _) => format!("M{x:.1},{y:.1}"),
                (_, Shape::Line) => format!("L{x:.1},{y:.1}"),
                (_, Shape::Steps) => format!("V{y:.1}H{x:.1}"),
            };
        }
        out
    }
}
