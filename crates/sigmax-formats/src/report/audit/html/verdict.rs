//! The verdict of an audit: what somebody who must decide reads first.

use crate::report::Report;
use crate::report::ink::page::{self, answer};
use crate::report::ink::svg::escape;
use crate::report::ink::text::{est, name, names, norm, plain, sentence, up};
use crate::report::ink::words::seconds;
use crate::report::network::text::at;

/// Most reasons that are listed here; all are in the table of what was refused.
const REASONS: usize = 6;

pub(super) fn verdict(report: &Report, digits: usize) -> String {
    let mut out = String::from("<section class=\"verdict\" id=\"verdict\">\n");
    out += &network(report, digits);
    out += &gates(report);
    out += &facts(report, digits);
    out + "</section>\n"
}

fn network(report: &Report, digits: usize) -> String {
    let Some(network) = &report.network else {
        return answer(
            "Network: none.",
            "The network as a whole was not looked at.",
        );
    };
    if let Some(upper) = network.constant() {
        let number = format!("Lipschitz constant ≤ {}", up(upper.get(), digits));
        return answer(
            &number,
            "proved for the whole network, from its input to its output, in ℓ₂",
        );
    }
    let reason = network.reason().unwrap_or_default();
    let mut out = answer(
        "Network: none.",
        &format!(
            "No Lipschitz constant of the network is proved: {}",
            sentence(&reason)
        ),
    );
    if let Err(blockers) = &network.bounds {
        let named: Vec<_> = blockers.iter().filter(|b| !b.name.is_empty()).collect();
        let items: String = named
            .iter()
            .take(REASONS)
            .map(|b| {
                format!(
                    "<li>{} ({}): {}</li>\n",
                    name(&b.name),
                    plain(&b.kind),
                    sentence(&b.reason)
                )
            })
            .collect();
        if !items.is_empty() {
            out += &format!("<ul>\n{items}");
            if named.len() > REASONS {
                out += &format!("<li>and {} more</li>\n", named.len() - REASONS);
            }
            out += "</ul>\n";
        }
    }
    out
}

fn gates(report: &Report) -> String {
    let mut out = String::new();
    if let Some(gate) = report.gate() {
        let most = gate.max_norm;
        let (only, excluded) = (&report.request.only, &gate.excluded);
        let mut text = match (gate.passed(), only.is_empty(), excluded.is_empty()) {
            (true, true, true) => format!("Every layer’s norm is proved to be at most {most}."),
            (true, true, false) => format!(
                "Of the layers that are not excluded, every norm is proved to be at most {most}. "
            ),
            (true, false, _) => format!(
                "Of the layers that --only names and that are not excluded, every norm is proved to be \
                 at most {most}. "
            ),
            (false, ..) => String::new(),
        };
        if !gate.exceeded.is_empty() {
            text += &format!(
                "Not proved to have a norm of at most {most}: {}. ",
                names(&gate.exceeded)
            );
        }
        if !gate.unproved.is_empty() {
            text += &format!(
                "Not audited, so nothing is proved: {}.",
                names(&gate.unproved)
            );
        }
        if !gate.excluded.is_empty() {
            text += &format!(
                " Excluded, so nothing is proved: {}.",
                names(&gate.excluded)
            );
        }
        out += &gate_line(gate.passed(), &text);
    }
    if let Some(gate) = report.lipschitz_gate() {
        let text = match &gate.reason {
            None => format!(
                "The network’s Lipschitz constant is proved to be at most {}.",
                gate.limit
            ),
            Some(reason) => format!(
                "The network’s Lipschitz constant is not proved to be at most {}: {}",
                gate.limit,
                sentence(reason)
            ),
        };
        out += &gate_line(gate.passed, &text);
    }
    out
}

fn gate_line(passed: bool, text: &str) -> String {
    let (class, word) = if passed {
        ("passed", "✓ GATE PASSED")
    } else {
        ("failed", "✗ GATE FAILED")
    };
    format!("<p class=\"gate {class}\"><b>{word}</b><span>{text}</span></p>\n")
}

fn facts(report: &Report, digits: usize) -> String {
    let refused = report.refused().len();
    let audited = report.audited().count();
    let mut counts = format!("{audited} audited, {refused} refused");
    if !report.excluded.is_empty() {
        counts += &format!(", {} excluded", report.excluded.len());
    }
    let mut facts = vec![("layers", counts)];
    let largest = report
        .audited()
        .reduce(|a, b| if b.1.upper() > a.1.upper() { b } else { a });
    if let Some((layer, audit)) = largest {
        facts.push((
            "largest layer norm (proved)",
            format!("{} · {}", norm(layer, audit, digits), name(&layer.name)),
        ));
    }
    let bounds = report.network.as_ref().and_then(|n| n.bounds.as_ref().ok());
    if let Some((bounds, jacobian)) = bounds.and_then(|b| Some((b, b.jacobian?))) {
        let place = escape(&at(bounds));
        facts.push((
            "norm of the network’s Jacobian",
            format!("{}{place}", est(jacobian)),
        ));
    }
    facts.push(("time", seconds(report.seconds)));
    page::facts(&facts)
}
