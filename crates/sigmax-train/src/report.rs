//! The page of a finished run: curves and proved numbers in one HTML file without scripts.

use std::fmt::Write;

use sigmax_burn::ProvedLayer;
use sigmax_formats::report::{LineChart, Series, escape};

use crate::metrics::Epoch;
use crate::norms::{self, Row};
use crate::recipe::Recipe;

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;color:#1d2733;background:#fff;\
max-width:860px;margin:2rem auto;padding:0 1rem}h1{font-size:1.4rem}h2{font-size:1.1rem;\
margin-top:2rem}svg{width:100%;height:auto;font:12px system-ui,sans-serif;fill:#1d2733}\
.title{font-weight:600;font-size:14px}.grid{stroke:#e3e8ee}.axis{stroke:#5b6775;fill:none}\
table{border-collapse:collapse;font-size:14px}td,th{padding:.2rem .7rem;text-align:right;\
border-bottom:1px solid #e3e8ee}td:first-child,th:first-child{text-align:left}";

#[allow(clippy::cast_precision_loss, reason = "epochs")]
fn line(name: &str, history: &[Epoch], value: impl Fn(&Epoch) -> f64) -> Series {
    Series {
        name: name.to_owned(),
        points: history.iter().map(|e| (e.epoch as f64, value(e))).collect(),
    }
}

fn charts(history: &[Epoch], layers: &[String], penalised: bool) -> Vec<LineChart> {
    let chart = |title: &str, y: &str, series: Vec<Series>| LineChart {
        title: title.to_owned(),
        x: "epoch".to_owned(),
        y: y.to_owned(),
        series,
    };
    let percent = |value: f64| 100.0 * value;
    let mut accuracy = vec![
        line("training", history, |e| percent(e.train_accuracy)),
        line("test", history, |e| percent(e.test_accuracy)),
    ];
    if history.iter().any(|e| !e.validation_accuracy.is_nan()) {
        accuracy.push(line("validation", history, |e| {
            percent(e.validation_accuracy)
        }));
    }
    let mut all = vec![
        chart("Accuracy", "right answers in %", accuracy),
        chart(
            "Loss, without the penalty",
            "mean cross entropy",
            vec![
                line("training", history, |e| e.train_loss),
                line("test", history, |e| e.test_loss),
            ],
        ),
    ];
    if penalised {
        let penalty = vec![line("penalty", history, |e| e.penalty)];
        all.push(chart(
            "Penalty, β included (an estimate)",
            "mean over the epoch",
            penalty,
        ));
    }
    let bounds = layers
        .iter()
        .enumerate()
        .map(|(i, layer)| {
            line(layer, history, |e| {
                e.bounds.get(i).copied().unwrap_or(f64::NAN)
            })
        })
        .collect();
    all.push(chart(
        "Smallest of the four bounds of every layer (proved)",
        "bound of the norm",
        bounds,
    ));
    all
}

fn table(layers: &[ProvedLayer]) -> String {
    let mut html = "<table><tr><th>layer</th><th>weight</th><th>stride</th><th>four</th>\
        <th>weighted four</th><th>norm ≥</th><th>norm ≤</th></tr>"
        .to_owned();
    for row in layers.iter().map(Row::new) {
        // Writing to a String does not fail.
        let _ = write!(
            html,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            escape(row.path),
            row.shape,
            row.stride.as_deref().unwrap_or("–"),
            row.four,
            row.weighted,
            row.lower,
            row.upper,
        );
    }
    html + "</table>"
}

/// The page. `other` is a run to compare with: its name and its proved numbers.
#[must_use]
pub fn page(
    recipe: &Recipe,
    history: &[Epoch],
    layers: &[ProvedLayer],
    other: Option<(&str, &[ProvedLayer])>,
) -> String {
    let title = escape(&recipe.title());
    let paths: Vec<String> = layers
        .iter()
        .map(|proved| proved.layer().path.clone())
        .collect();
    let mut html = format!(
        "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width\"><title>{title}</title><style>{STYLE}</style></head><body>\
         <h1>{title}</h1>"
    );
    // Writing to a String does not fail.
    if let Some(last) = history.last() {
        let _ = write!(
            html,
            "<p>After {} epoch{} of {} images a step (SGD, first rate {}, momentum {}): test accuracy \
             {:.2} %, training accuracy {:.2} %.</p>",
            last.epoch,
            if last.epoch == 1 { "" } else { "s" },
            recipe.batch,
            recipe.rate,
            recipe.momentum,
            100.0 * last.test_accuracy,
            100.0 * last.train_accuracy
        );
    }
    // One epoch makes no curve.
    if history.len() > 1 {
        html += "<h2>Curves</h2>";
        let penalised = recipe.penalty != crate::recipe::PenaltyKind::None;
        for chart in charts(history, &paths, penalised) {
            html += &chart.svg();
        }
    }
    html += "<h2>Layers at the end</h2><p>Every number is proved, rounding included: uppers are \
        rounded up, lowers down. ";
    html += &escape(norms::NORM_NOTE);
    html += "</p>";
    html += &table(layers);
    let product =
        |layers: &[ProvedLayer]| norms::product(layers).map_or("–".into(), norms::at_most);
    let _ = write!(
        html,
        "<p>Product of the proved upper ends: {}",
        product(layers)
    );
    if let Some((name, other)) = other {
        let _ = write!(html, "; of {}: {}", escape(name), product(other));
    }
    let _ = write!(
        html,
        ".</p><p>{}</p></body></html>",
        escape(norms::PRODUCT_NOTE)
    );
    html
}
