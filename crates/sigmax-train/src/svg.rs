//! [`Chart`]: line charts as inline SVG.

use std::fmt::Write;

/// A line.
#[derive(Clone, Debug)]
pub struct Series {
    /// For the legend.
    pub name: String,
    /// (x, y), in the order of x. Points that are not finite are left out.
    pub points: Vec<(f64, f64)>,
}

/// A chart with axes and a legend.
#[derive(Clone, Debug)]
pub struct Chart {
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

/// Text with the characters that mark up replaced.
#[must_use]
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

/// A step of 1, 2 or 5 times a power of ten, about a fifth of `span`.
fn tick_step(span: f64) -> f64 {
    let mut power = 1.0;
    while power * 10.0 <= span / 5.0 {
        power *= 10.0;
    }
    while power > span / 5.0 {
        power /= 10.0;
    }
    let factor = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .find(|f| power * f >= span / 5.0);
    power * factor.unwrap_or(10.0)
}

/// Multiples of a round step, or of `least` if that is larger, within [low, high].
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "a handful of ticks"
)]
fn ticks(low: f64, high: f64, least: f64) -> Vec<f64> {
    let step = tick_step(high - low).max(least);
    let first = (low / step).ceil() as i64;
    let last = (high / step).floor() as i64;
    (first..=last).map(|i| i as f64 * step).collect()
}

fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| {
        (l.min(v), h.max(v))
    });
    if low > high {
        (0.0, 1.0)
    } else if high - low < 1e-9 * high.abs().max(1e-3) {
        (
            low - 0.5 * low.abs().max(1e-3),
            high + 0.5 * high.abs().max(1e-3),
        )
    } else {
        (low, high)
    }
}

/// A number as short as four digits make it.
fn label(value: f64) -> String {
    if value.abs() >= 1e5 || (value.abs() < 1e-3 && value.abs() > 0.0) {
        return format!("{value:.0e}");
    }
    let text = format!("{value:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

impl Chart {
    /// The colour of line `i` of `count`: distinct for few, a scale from the first to the last
    /// layer for many.
    #[allow(clippy::cast_precision_loss, reason = "a handful of lines")]
    fn colour(i: usize, count: usize) -> String {
        if count <= FEW.len() {
            return FEW[i].to_owned();
        }
        let hue = 220.0 - 220.0 * i as f64 / (count - 1) as f64;
        format!("hsl({hue:.0} 75% 42%)")
    }

    /// The chart as an `<svg>` element.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "a handful of lines")]
    pub fn to_svg(&self) -> String {
        let finite = |p: &&(f64, f64)| p.0.is_finite() && p.1.is_finite();
        let points = || {
            self.series
                .iter()
                .flat_map(|s| s.points.iter().filter(finite))
        };
        let (x_low, x_high) = range(points().map(|p| p.0));
        let (y_low, y_high) = range(points().map(|p| p.1));
        let [left, top, right, bottom] = PLOT;
        let x_of = |x: f64| left + (right - left) * (x - x_low) / (x_high - x_low);
        let y_of = |y: f64| bottom - (bottom - top) * (y - y_low) / (y_high - y_low);
        let row = 15.0;
        let height = (bottom + 50.0).max(top + row * self.series.len() as f64 + 10.0);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" \
             aria-label=\"{0}\"><title>{0}</title>\
             <text x=\"{left}\" y=\"22\" class=\"title\">{0}</text>",
            escape(&self.title)
        );
        // Writing to a String does not fail.
        for y in ticks(y_low, y_high, 0.0) {
            let at = y_of(y);
            let _ = write!(
                svg,
                "<line x1=\"{left}\" y1=\"{at:.1}\" x2=\"{right}\" y2=\"{at:.1}\" class=\"grid\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                left - 6.0,
                at + 4.0,
                label(y)
            );
        }
        for x in ticks(x_low, x_high, 1.0) {
            let at = x_of(x);
            let _ = write!(
                svg,
                "<line x1=\"{at:.1}\" y1=\"{bottom}\" x2=\"{at:.1}\" y2=\"{:.1}\" class=\"axis\"/>\
                 <text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
                bottom + 4.0,
                bottom + 18.0,
                label(x)
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
            let colour = Self::colour(i, self.series.len());
            let shown: Vec<_> = series.points.iter().filter(finite).collect();
            let line: Vec<String> = shown
                .iter()
                .map(|p| format!("{:.1},{:.1}", x_of(p.0), y_of(p.1)))
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
                    x_of(only.0),
                    y_of(only.1)
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
    fn ticks_are_round_and_inside() {
        let near = |ticks: Vec<f64>, expected: &[f64]| {
            assert_eq!(ticks.len(), expected.len(), "{ticks:?}");
            for (t, e) in ticks.iter().zip(expected) {
                assert!((t - e).abs() < 1e-9, "{ticks:?}");
            }
        };
        near(ticks(0.0, 10.0, 0.0), &[0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
        near(ticks(0.13, 0.61, 0.0), &[0.2, 0.3, 0.4, 0.5, 0.6]);
        near(ticks(1.0, 3.0, 1.0), &[1.0, 2.0, 3.0]);
    }

    #[test]
    fn a_chart_of_anything_has_no_nan_in_it() {
        for points in [
            vec![],
            vec![(1.0, 2.0)],
            vec![(1.0, f64::NAN), (2.0, 3.0)],
            vec![(0.0, 0.0), (1.0, 0.0)],
        ] {
            let chart = Chart {
                title: "a < b".into(),
                x: "x".into(),
                y: "y".into(),
                series: vec![Series {
                    name: "s & t".into(),
                    points,
                }],
            };
            let svg = chart.to_svg();
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
            assert!(svg.contains("a &lt; b") && svg.contains("s &amp; t"));
        }
    }
}
