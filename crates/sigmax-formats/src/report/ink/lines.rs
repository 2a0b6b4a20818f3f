//! [`LineChart`]: lines over common axes, as one inline SVG of a fixed shape.

use std::fmt::Write;

use crate::report::ink::svg::{Linear, escape};

/// A line.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// For the legend.
    pub name: String,
    /// (x, y), in the order of x. Points that are not finite are left out.
    pub points: Vec<(f64, f64)>,
}

/// A chart of lines with axes and a legend.
///
/// # Example
/// ```
/// use sigmax_formats::report::{LineChart, Series};
/// let loss = Series { name: "loss".into(), points: vec![(1.0, 2.3), (2.0, 0.7)] };
/// let chart = LineChart { title: "Loss".into(), x: "epoch".into(), y: "mean".into(), series: vec![loss] };
/// assert!(chart.svg().starts_with("<svg"));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct LineChart {
    /// Above it.
    pub title: String,
    /// Below the horizontal axis, which counts something: its ticks are whole numbers.
    pub x: String,
    /// Beside the vertical axis.
    pub y: String,
    /// The lines.
    pub series: Vec<Series>,
}

const WIDTH: f64 = 760.0;
const PLOT: [f64; 4] = [64.0, 40.0, 540.0, 300.0]; // left, top, right, bottom
const FEW: [&str; 5] = ["#0b6e99", "#c0392b", "#2e7d32", "#8e44ad", "#b9770e"];

/// The colour of line `i` of `count`: distinct for few, a scale from the first to the last for many.
fn colour(i: usize, count: usize) -> String {
    if count <= FEW.len() {
        return FEW[i].to_owned();
    }
    let hue = 220.0 - 220.0 * i as f64 / (count - 1) as f64;
    format!("hsl({hue:.0} 75% 42%)")
}

/// The axis from the smallest value to the largest.
fn axis(values: impl Iterator<Item = f64>) -> Linear {
    let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| {
        (l.min(v), h.max(v))
    });
    Linear::new(low, high)
}

impl LineChart {
    /// The chart as an `<svg>` element.
    #[must_use]
    pub fn svg(&self) -> String {
        let finite = |p: &&(f64, f64)| p.0.is_finite() && p.1.is_finite();
        let points = || {
            self.series
                .iter()
                .flat_map(|s| s.points.iter().filter(finite))
        };
        let horizontal = axis(points().map(|p| p.0));
        let vertical = axis(points().map(|p| p.1));
        let [left, top, right, bottom] = PLOT;
        let x_at = |share: f64| left + (right - left) * share;
        let y_at = |share: f64| bottom - (bottom - top) * share;
        let row = 15.0;
        let height = (bottom + 50.0).max(top + row * self.series.len() as f64 + 10.0);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" \
             aria-label=\"{0}\"><title>{0}</title>\
             <text x=\"{left}\" y=\"22\" class=\"title\">{0}</text>",
            escape(&self.title)
        );
        // Writing to a String does not fail.
        for tick in vertical.ticks(5) {
            let at = y_at(tick.share);
            let _ = write!(
                svg,
                "<line x1=\"{left}\" y1=\"{at:.1}\" x2=\"{right}\" y2=\"{at:.1}\" class=\"grid\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                left - 6.0,
                at + 4.0,
                tick.label
            );
        }
        for tick in horizontal.whole_ticks(5) {
            let at = x_at(tick.share);
            let _ = write!(
                svg,
                "<line x1=\"{at:.1}\" y1=\"{bottom}\" x2=\"{at:.1}\" y2=\"{:.1}\" class=\"axis\"/>\
                 <text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
                bottom + 4.0,
                bottom + 18.0,
                tick.label
            );
        }
        let _ = write!(
            svg,
            "<path d=\"M{left} {top}V{bottom}H{right}\" class=\"axis\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>\
             <text transform=\"translate(16 {:.1}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
            f64::midpoint(left, right),
            bottom + 38.0,
            escape(&self.x),
            f64::midpoint(top, bottom),
            escape(&self.y)
        );
        for (i, series) in self.series.iter().enumerate() {
            let colour = colour(i, self.series.len());
            let shown: Vec<_> = series.points.iter().filter(finite).collect();
            let line: Vec<String> = shown
                .iter()
                .map(|p| {
                    format!(
                        "{:.1},{:.1}",
                        x_at(horizontal.share(p.0)),
                        y_at(vertical.share(p.1))
                    )
                })
                .collect();
            let _ = write!(
                svg,
                "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.8\">\
                 <title>{}</title></polyline>",
                line.join(" "),
                escape(&series.name)
            );
            // A line of one point is invisible.
            if let [only] = shown[..] {
                let _ = write!(
                    svg,
                    "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\" fill=\"{colour}\"/>",
                    x_at(horizontal.share(only.0)),
                    y_at(vertical.share(only.1))
                );
            }
            let at = top + row * i as f64;
            let _ = write!(
                svg,
                "<line x1=\"{:.1}\" y1=\"{at:.1}\" x2=\"{:.1}\" y2=\"{at:.1}\" stroke=\"{colour}\" \
                 stroke-width=\"3\"/><text x=\"{:.1}\" y=\"{:.1}\">{}</text>",
                right + 16.0,
                right + 34.0,
                right + 40.0,
                at + 4.0,
                escape(&series.name)
            );
        }
        svg + "</svg>"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chart_of_anything_has_no_nan_in_it() {
        for points in [
            vec![],
            vec![(1.0, 2.0)],
            vec![(1.0, f64::NAN), (2.0, 3.0)],
            vec![(0.0, 0.0), (1.0, 0.0)],
        ] {
            let chart = LineChart {
                title: "a < b".into(),
                x: "x".into(),
                y: "y".into(),
                series: vec![Series {
                    name: "s & t".into(),
                    points,
                }],
            };
            let svg = chart.svg();
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
            assert!(svg.contains("a &lt; b") && svg.contains("s &amp; t"));
        }
    }

    #[test]
    fn the_horizontal_axis_counts() {
        let points = vec![(1.0, 0.5), (3.0, 0.25)];
        let series = vec![Series {
            name: String::new(),
            points,
        }];
        let chart = LineChart {
            title: String::new(),
            x: "epoch".into(),
            y: String::new(),
            series,
        };
        let svg = chart.svg();
        let middle: Vec<&str> = svg
            .split("text-anchor=\"middle\">")
            .skip(1)
            .map(|rest| rest.split('<').next().unwrap())
            .collect();
        assert_eq!(middle, ["1", "2", "3", "epoch", ""]);
    }
}
