//! ‖F(θ)‖ over the frequencies: a map for two spatial axes, a curve for one.

use sigmax::Audit;

use crate::model::layer::LayerSpec;
use crate::report::audit::cells::stride;
use crate::report::ink::curve::{Curve, Shape};
use crate::report::ink::page::section;
use crate::report::ink::svg::Linear;
use crate::report::ink::text::{est, name, norm};
use crate::report::ink::words::by;
use crate::report::{Report, Spectrum};

/// Steps of grey, light to dark: each is darker than the one before.
const RAMP: [&str; 12] = [
    "#f6f3ea", "#ebe6d3", "#dcdcc0", "#c6d0b4", "#abc2ae", "#8db2aa", "#6f9fa5", "#558a9c",
    "#41738f", "#325a7c", "#274263", "#1b2a45",
];

pub(super) fn spectra(report: &Report, spectra: &[Spectrum], digits: usize) -> String {
    let figures: String = spectra
        .iter()
        .filter_map(|spectrum| figure(report, spectrum, digits))
        .collect();
    if figures.is_empty() {
        return String::new();
    }
    section(
        "frequencies",
        "Which frequencies are stretched most",
        "The layers with the largest norms, frequency by frequency: how much a pattern of spatial \
         frequency θ can grow. θ = 0, a constant image, is in the middle, the finest checkerboard \
         at the corners. All values here are estimates; what is proved is the maximum over all \
         frequencies.",
        &format!("<div class=\"maps\">\n{figures}</div>\n"),
    )
}

fn figure(report: &Report, spectrum: &Spectrum, digits: usize) -> Option<String> {
    let row = report.rows.get(spectrum.layer)?;
    let audit = row.audit()?;
    let grid = spectrum.grid;
    let drawing = match row.layer.conv.axes() {
        2 if grid > 0 && grid.checked_mul(grid) == Some(spectrum.values.len()) => map(spectrum)?,
        1 if grid > 0 && grid == spectrum.values.len() => line(spectrum)?,
        _ => return None,
    };
    Some(format!(
        "<figure>\n{}{drawing}</figure>\n",
        caption(&row.layer, audit, digits)
    ))
}

fn caption(layer: &LayerSpec, audit: &Audit, digits: usize) -> String {
    format!(
        "<figcaption><b>{}</b>{} stride {}: norm {} (proved)</figcaption>\n",
        name(&layer.name),
        by(&layer.shape),
        stride(layer),
        norm(layer, audit, digits)
    )
}

/// Least value, largest value and its place; `None` unless all are finite.
fn range(spectrum: &Spectrum) -> Option<(f64, f64, usize)> {
    let mut found = (f64::INFINITY, f64::NEG_INFINITY, 0);
    for (i, value) in spectrum.values.iter().enumerate() {
        let value = Some(value.get()).filter(|v| v.is_finite())?;
        found.0 = found.0.min(value);
        if value > found.1 {
            (found.1, found.2) = (value, i);
        }
    }
    Some(found)
}

/// The place of frequency `j` with 0 in the middle.
fn centred(j: usize, grid: usize) -> usize {
    (j + grid / 2) % grid
}

fn map(spectrum: &Spectrum) -> Option<String> {
    const LEFT: f64 = 22.0;
    const SIDE: f64 = 208.0;
    let (least, largest, peak) = range(spectrum)?;
    let grid = spectrum.grid;
    let cell = SIDE / grid as f64;
    let axis = Linear::new(least, largest);
    let flat = largest <= least;
    let level = |value: f64| {
        let share = if flat { 0.5 } else { axis.share(value) };
        ((share * RAMP.len() as f64) as usize).min(RAMP.len() - 1)
    };
    // Row by row, runs of one level as one rectangle of the path of that level.
    let mut paths = vec![String::new(); RAMP.len()];
    for y in 0..grid {
        let j = (y + grid - grid / 2) % grid;
        let at = |x: usize| level(spectrum.values[j * grid + (x + grid - grid / 2) % grid].get());
        let mut start = 0;
        for x in 1..=grid {
            if x == grid || at(x) != at(start) {
                let length = x - start;
                paths[at(start)] += &format!("M{start},{y}h{length}v1h-{length}z");
                start = x;
            }
        }
    }
    let mut cells = String::new();
    for (path, colour) in paths.iter().zip(RAMP) {
        if !path.is_empty() {
            cells += &format!("<path fill=\"{colour}\" d=\"{path}\"/>");
        }
    }
    let middle = |j: usize| (centred(j, grid) as f64 + 0.5) * cell;
    let (j0, j1) = (peak / grid, peak % grid);
    let mirror = |j: usize| (grid - j) % grid;
    let mut rings = String::new();
    for (y, x) in [(j0, j1), (mirror(j0), mirror(j1))] {
        for class in ["ring", "ring2"] {
            rings += &format!(
                "<circle class=\"{class}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"5.5\"/>",
                LEFT + middle(x),
                middle(y) + 2.0
            );
        }
    }
    let zero = (grid / 2) as f64 * cell + 0.5 * cell;
    let side = SIDE;
    let mut axes =
        format!("<rect class=\"frame2\" x=\"{LEFT}\" y=\"2\" width=\"{side}\" height=\"{side}\"/>");
    for (place, text) in [(0.0, "−π"), (zero, "0"), (side, "π")] {
        let anchor = match text {
            "0" => "middle",
            "π" => "end",
            _ => "start",
        };
        axes += &format!(
            "<text x=\"{:.1}\" y=\"223\" text-anchor=\"{anchor}\">{text}</text>",
            LEFT + place
        );
        let y = (place + 6.0).clamp(11.0, 208.0);
        axes += &format!("<text x=\"17\" y=\"{y:.1}\" text-anchor=\"end\">{text}</text>");
    }
    Some(format!(
        "<svg class=\"map\" viewBox=\"0 0 232 264\" role=\"img\">\
         <title>norm over the frequencies: {} to {}</title>\
         <g transform=\"translate({LEFT},2) scale({cell:.5})\" shape-rendering=\"crispEdges\">\
         {cells}</g>{axes}{rings}{}</svg>\n",
        est(sigmax::Estimate::new(least)),
        est(sigmax::Estimate::new(largest)),
        legend(least, largest)
    ))
}

/// The scale of values below a map.
fn legend(least: f64, largest: f64) -> String {
    let mut out = String::new();
    let width = 136.0 / RAMP.len() as f64;
    for (i, colour) in RAMP.iter().enumerate() {
        out += &format!(
            "<rect x=\"{:.2}\" y=\"234\" width=\"{:.2}\" height=\"10\" fill=\"{colour}\"/>",
            22.0 + i as f64 * width,
            width + 0.1
        );
    }
    let text = |x: f64| est(sigmax::Estimate::new(x));
    out + &format!(
        "<rect class=\"frame2\" x=\"22\" y=\"234\" width=\"136\" height=\"10\"/>\
         <text x=\"22\" y=\"257\">{}</text><text x=\"158\" y=\"257\" \
         text-anchor=\"end\">{}</text>\
         <circle class=\"ring2\" cx=\"180\" cy=\"239\" r=\"5\"/><text x=\"189\" y=\"243\">largest</text>",
        text(least),
        text(largest)
    )
}

fn line(spectrum: &Spectrum) -> Option<String> {
    let (_, largest, peak) = range(spectrum)?;
    let grid = spectrum.grid;
    let turn = |place: f64| 2.0 * place / grid as f64;
    let first = grid / 2;
    let points: Vec<(f64, f64)> = (0..=grid)
        .map(|place| {
            let j = (place + grid - first) % grid;
            let x = place as f64 - first as f64;
            (turn(x), spectrum.values[j].get())
        })
        .collect();
    let x = Linear::new(points[0].0, points[grid].0);
    let y = Linear::new(0.0, 1.08 * largest.max(f64::MIN_POSITIVE));
    let place = centred(peak, grid) as f64 - first as f64;
    Some(
        Curve {
            x,
            y,
            x_ticks: [(-1.0, "−π"), (0.0, "0"), (1.0, "π")]
                .map(|(at, label)| (x.share(at), label.to_owned()))
                .to_vec(),
            y_unit: " est.",
            x_title: "frequency θ",
            height: 210,
            shape: Shape::Line,
            points: &points,
            more: &[],
            marks: &[(turn(place), largest)],
        }
        .svg("norm over the frequencies, estimates"),
    )
}
