//! The page of a certification: how many images are proved to keep their class, against distance.

use crate::report::certify::{percent_down, percent_up};
use crate::report::ink::curve::{Curve, Shape};
use crate::report::ink::page::{self, section, table};
use crate::report::ink::page::{answer, facts};
use crate::report::ink::svg::Linear;
use crate::report::ink::text::{down, name, plain, sentence, up};
use crate::report::ink::words::seconds;
use crate::report::network::tables::nodes;
use crate::report::network::waterfall::waterfall;
use crate::report::{CertifyReport, Ends, SecondOrder};

/// Digits of constants and radii.
const DIGITS: usize = 5;

/// Most steps of the curve.
const STEPS: usize = 240;

/// Bars of the histogram.
const BINS: usize = 24;

/// A certification as a page. It has no script and nothing from elsewhere in it.
#[must_use]
pub fn certify_html(report: &CertifyReport) -> String {
    let mut body = page::header("Certification", &report.file, report.sha256.as_deref());
    body.push_str(&verdict(report));
    body.push_str(&curve(report));
    body.push_str(&radii(report));
    body.push_str(&waterfall(&report.network, DIGITS));
    body.push_str(&nodes(&report.network, DIGITS));
    body.push_str(&about(report));
    page::page(&format!("sigmax: {}, certified", report.file), &body)
}

fn about(report: &CertifyReport) -> String {
    let mut entries = vec![
        ("Proved", page::PROVED.to_owned()),
        (
            "Radius of an image",
            "Every input of those named below within that distance in ℓ₂ is given the correct class. That is proved, not \
             sampled. Radii are those of the images in the input units named below."
                .to_owned(),
        ),
        ("Pixels", sentence(&report.units_text())),
        ("Inputs", sentence(&report.range_text())),
        ("Layout", sentence(&report.fit.to_string())),
        ("Arithmetic", sentence(&report.arithmetic_text())),
    ];
    if !report.mean.is_empty() || !report.std.is_empty() {
        entries.push((
            "Normalisation",
            format!(
                "mean {:?}, standard deviation {:?}, per channel.",
                report.mean, report.std
            ),
        ));
    }
    for assumption in &report.assumptions {
        entries.push(("Assumption", sentence(assumption)));
    }
    for note in &report.network.notes {
        entries.push(("Note", sentence(note)));
    }
    entries.push(("Estimates", page::ESTIMATE.to_owned()));
    entries.push(page::file(&report.file, report.sha256.as_deref(), ""));
    entries.push(("Images", plain(&report.images)));
    entries.push(("Made by", format!("sigmax {}", plain(&report.version))));
    page::about(&entries)
}

fn verdict(report: &CertifyReport) -> String {
    let total = report.total;
    let share = |count: usize| format!("{} %", percent_down(count, total));
    let asked = report
        .eps
        .iter()
        .copied()
        .filter(|eps| *eps > 0.0)
        .reduce(f64::max);
    let mut out = String::from("<section class=\"verdict\" id=\"verdict\">\n");
    let eps = asked.unwrap_or(0.0);
    let count = report.certified(eps);
    let within = match asked {
        Some(eps) => format!("for every change up to ε = {eps} in ℓ₂"),
        None => "for some distance above 0 in ℓ₂".to_owned(),
    } + &report.among(", to ");
    out += &answer(
        &format!("{} certified", share(count)),
        &format!("{count} of {total} images are proved to keep their correct class {within}"),
    );
    if !report.complete {
        out += &format!(
            "<p class=\"gate failed\"><b>✗ STOPPED EARLY</b><span>{} of {} images were not done; \
             every count here is of those that were.</span></p>\n",
            report.asked.saturating_sub(total),
            report.asked
        );
    }
    out += &facts(&[
        (
            "clean accuracy, as evaluated",
            format!("{} · {} of {total}", share(report.correct), report.correct),
        ),
        (
            "median radius (proved of at least half)",
            down(report.median_radius(), DIGITS),
        ),
        (
            "Lipschitz constant (proved)",
            format!("≤ {}", up(report.lipschitz.get(), DIGITS)),
        ),
        ("arithmetic", plain(&report.arithmetic)),
        ("images", name(&report.images)),
        ("time", seconds(report.seconds)),
    ]);
    out + "</section>\n"
}

/// The radii above 0, in increasing order, by one of the ways to prove them.
fn positive(report: &CertifyReport, by: fn(&Ends) -> f64) -> Vec<f64> {
    let radii = report.ends.iter().map(by);
    let mut radii: Vec<f64> = radii.filter(|radius| *radius > 0.0).collect();
    radii.sort_by(f64::total_cmp);
    radii
}

/// (ε, images without a proved adversarial input within ε) for a curve that is never below the truth.
fn steps_above(report: &CertifyReport, right: f64) -> Vec<(f64, usize)> {
    let found = report.ends.iter().filter_map(|ends| ends.adversarial);
    let mut distances: Vec<f64> = found.filter(|a| *a <= right).collect();
    distances.sort_by(f64::total_cmp);
    let every = distances.len().div_ceil(STEPS).max(1);
    let mut points = vec![(0.0, report.total)];
    for (i, chunk) in distances.chunks(every).enumerate() {
        // The count before any of them, until the last.
        if let Some(&last) = chunk.last() {
            points.push((last, report.total - i * every));
        }
    }
    points.push((right, report.total.saturating_sub(distances.len())));
    points
}

/// (ε, images certified at ε) for a curve that is never above the truth: each count holds from the
/// point before up to its own. Beyond the largest radius nothing is certified, up to `right`.
fn steps(radii: &[f64], right: f64) -> Vec<(f64, usize)> {
    let count = radii.len();
    let every = count.div_ceil(STEPS).max(1);
    let reach = |radius: f64| count - radii.partition_point(|r| *r < radius);
    let last = radii.last().copied().unwrap_or(0.0);
    let mut points = vec![(0.0, count)];
    let chosen = (every - 1..count).step_by(every).map(|at| radii[at]);
    points.extend(chosen.chain([last]).map(|radius| (radius, reach(radius))));
    points.extend([(last, 0), (right.max(last), 0)]);
    points
}

fn curve(report: &CertifyReport) -> String {
    let total = report.total.max(1) as f64;
    let share = |count: usize| 100.0 * count as f64 / total;
    let shares = |points: Vec<(f64, usize)>| -> Vec<(f64, f64)> {
        let all = points.into_iter();
        all.map(|(eps, count)| (eps, share(count))).collect()
    };
    let radii = positive(report, |ends| ends.radius);
    let largest = radii.last().copied().unwrap_or(0.0);
    let asked = report.eps.iter().copied().filter(|eps| eps.is_finite());
    let right = 1.04 * asked.fold(largest, f64::max);
    let x = Linear::new(0.0, if right > 0.0 { right } else { 1.0 });
    let path = shares(steps(&radii, right));
    let mut more = Vec::new();
    let mut words = String::new();
    let mut beside = |class: &'static str, by: fn(&Ends) -> f64, text: &str| {
        more.push((class, shares(steps(&positive(report, by), right))));
        words += text;
    };
    let (curved, local) = (
        report.second_order == SecondOrder::Used,
        report.local.is_some(),
    );
    if curved || local {
        let text = " The dotted curve is what the Lipschitz constants alone prove.";
        beside("constants", |ends| ends.by_constants, text);
    }
    if curved && local {
        let text =
            " The thin one is what constants and curvature prove, without bounds around images.";
        beside("network", |ends| ends.by_network, text);
    }
    if report.is_searched() {
        more.push(("above", shares(steps_above(report, right))));
        words += " The dashed curve is the share that can be certified at most: for all other images an \
                  input within ε was found and is proved to be another class in real arithmetic. It may \
                  lie beyond the range of pixels.";
    }
    let drawing = Curve {
        x,
        y: Linear::new(0.0, 100.0),
        x_ticks: x
            .ticks(6)
            .into_iter()
            .map(|tick| (tick.share, tick.label))
            .collect(),
        y_unit: " %",
        x_title: "distance ε in ℓ₂",
        height: 300,
        shape: Shape::Steps,
        points: &path,
        more: &more,
        marks: &[(0.0, share(report.correct))],
    }
    .svg("certified accuracy against distance");
    section(
        "accuracy",
        "Certified accuracy",
        &format!(
            "The share of images whose correct class is proved to be kept by every change of at most \
             ε{}. The ring at ε = 0 is the clean accuracy as evaluated; the curve is never above what is \
             proved.{words}",
            report.among(", to "),
        ),
        &format!("{drawing}{}{}", accuracies(report), second_order(report)),
    )
}

fn accuracies(report: &CertifyReport) -> String {
    let used = report.second_order == SecondOrder::Used;
    let mut head = vec!["within", "#images", "#share, rounded down"];
    if used {
        head.push("#by curvature");
    }
    if report.local.is_some() {
        head.push("#by bounds around them");
    }
    if report.is_searched() {
        head.extend(["#adversarial", "#certifiable at most"]);
    }
    let mut rows = vec![vec![
        "clean, as evaluated".to_owned(),
        report.correct.to_string(),
        format!("{} %", percent_down(report.correct, report.total)),
    ]];
    for (eps, _) in report.claims() {
        let count = report.certified(eps);
        let mut row = vec![
            if eps > 0.0 {
                format!("ε = {eps}")
            } else {
                "the image itself (radius above 0)".to_owned()
            },
            count.to_string(),
            format!("{} %", percent_down(count, report.total)),
        ];
        if used {
            row.push(report.certified_by_curvature(eps).to_string());
        }
        if report.local.is_some() {
            row.push(report.certified_locally(eps).to_string());
        }
        if report.is_searched() {
            let found = report.adversarial(eps);
            let most = percent_up(report.total.saturating_sub(found), report.total);
            row.push(found.to_string());
            row.push(format!("{most} %"));
        }
        rows.push(row);
    }
    if let Some(first) = rows.first_mut() {
        first.resize(head.len(), String::new());
    }
    table(&head, &rows)
}

/// What curvature gives beside the table, or why it gives nothing.
fn second_order(report: &CertifyReport) -> String {
    let ends = report.two_sided_text().map(|text| format!("{text}."));
    [
        ends.or_else(|| report.first_order_text()),
        report.local_text(),
    ]
    .into_iter()
    .flatten()
    .map(|text| format!("<p>{}</p>\n", plain(&text)))
    .collect()
}

fn radii(report: &CertifyReport) -> String {
    let positive = positive(report, |ends| ends.radius);
    let largest = positive.iter().copied().fold(0.0, f64::max);
    if positive.is_empty() || !largest.is_finite() {
        return section(
            "radii",
            "Radii",
            "",
            "<p>No image has a proved radius above 0.</p>\n",
        );
    }
    let mut counts = [0usize; BINS];
    for radius in &positive {
        counts[((radius / largest * BINS as f64) as usize).min(BINS - 1)] += 1;
    }
    let rows: Vec<Vec<String>> = [(9, 10), (3, 4), (1, 2), (1, 4), (1, 10), (1, 100)]
        .iter()
        .map(|&(of, parts)| {
            vec![
                format!("{} %", 100 * of / parts),
                down(report.quantile(of, parts), DIGITS),
            ]
        })
        .collect();
    let none = report.total - positive.len().min(report.total);
    let x = Linear::new(0.0, largest);
    section(
        "radii",
        "Radii",
        &format!(
            "How far images are proved to be from another class. {none} of {} images have radius 0: \
             wrong, or nothing is proved of them; they are not in the drawing.",
            report.total
        ),
        &format!(
            "{}{}",
            histogram(&counts, &x),
            table(
                &["of all images at least", "#have a radius of at least"],
                &rows
            )
        ),
    )
}

fn histogram(counts: &[usize; BINS], x: &Linear) -> String {
    use crate::report::ink::svg::percent;
    let most = counts.iter().copied().max().unwrap_or(0).max(1);
    let mut bars = String::new();
    for (i, &count) in counts.iter().enumerate() {
        let height = count as f64 / most as f64;
        bars += &format!(
            "<rect class=\"bar\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"><title>{count} \
             images</title></rect>",
            percent((i as f64 + 0.06) / BINS as f64),
            percent(1.0 - height),
            percent(0.88 / BINS as f64),
            percent(height)
        );
    }
    let mut labels = String::new();
    for tick in x.ticks(6) {
        let anchor = match tick.share {
            s if s < 0.02 => "start",
            s if s > 0.98 => "end",
            _ => "middle",
        };
        labels += &format!(
            "<text x=\"{}\" y=\"150\" text-anchor=\"{anchor}\">{}</text>",
            percent(tick.share),
            tick.label
        );
    }
    format!(
        "<div class=\"plotbox\"><svg class=\"curve\" height=\"172\" role=\"img\"><title>number of \
         images by radius</title><svg y=\"16\" width=\"100%\" height=\"118\" \
         overflow=\"visible\">{bars}<line class=\"join\" x1=\"0\" x2=\"100%\" y1=\"100%\" \
         y2=\"100%\"/></svg>{labels}<text x=\"0\" y=\"10\">highest bar: {most} images</text><text \
         x=\"50%\" y=\"168\" text-anchor=\"middle\">radius</text></svg></div>\n"
    )
}
