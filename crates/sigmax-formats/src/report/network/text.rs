//! The network as a whole, as paragraphs below the table.

use crate::report::ink::decimal::{Rounding, decimal};
use crate::report::ink::printable::printable;
use crate::report::ink::wrap::{shorten, width};
use crate::report::{NetworkBounds, NetworkReport, NetworkRow};

/// Most nodes that are listed.
const NODES: usize = 8;

/// What is proved of the network, in paragraphs that fit `columns` when they are wrapped.
pub(crate) fn paragraphs(network: &NetworkReport, digits: usize, columns: usize) -> Vec<String> {
    let mut out = Vec::new();
    match (network.constant(), network.reason()) {
        (Some(upper), _) => out.push(format!(
            "Network: PROVED Lipschitz constant (ℓ₂) at most {}.",
            decimal(upper.get(), digits, Rounding::Up)
        )),
        (None, reason) => out.push(format!(
            "Network: none, no Lipschitz constant is proved: {}.",
            printable(&reason.unwrap_or_default())
        )),
    }
    match &network.bounds {
        Ok(bounds) => of_bounds(bounds, digits, columns, &mut out),
        Err(blockers) => {
            for blocker in blockers.iter().filter(|b| !b.name.is_empty()).take(NODES) {
                out.push(format!(
                    "- {} ({}): {}",
                    printable(&blocker.name),
                    printable(&blocker.kind),
                    printable(&blocker.reason)
                ));
            }
        }
    }
    out
}

fn of_bounds(bounds: &NetworkBounds, digits: usize, columns: usize, out: &mut Vec<String>) {
    if let Some(norm) = bounds.jacobian {
        out.push(format!(
            "The norm of its Jacobian reaches {} (est., not a bound{}).",
            decimal(norm.get(), 4, Rounding::Nearest),
            at(bounds)
        ));
    }
    match &bounds.curvature {
        Some(Ok(report)) => out.extend(report.paragraph(digits)),
        Some(Err(reason)) => out.push(format!("Curvature: none. {}.", printable(reason))),
        None => {}
    }
    let largest = largest_factors(bounds, NODES);
    if !largest.is_empty() {
        out.push("Nodes with the largest constants of their own (at most):".to_owned());
    }
    for row in largest {
        let end = format!(
            " ({}) {}",
            row.op,
            decimal(row.own.get(), digits, Rounding::Up)
        );
        let room = columns.saturating_sub(width(&end) + 2).max(8);
        out.push(format!("- {}{end}", shorten(&printable(&row.name), room)));
    }
    for note in &bounds.notes {
        out.push(printable(note));
    }
}

/// ", at …", where it is known.
pub(crate) fn at(bounds: &NetworkBounds) -> String {
    if bounds.jacobian_at.is_empty() {
        String::new()
    } else {
        format!(", {}", printable(&bounds.jacobian_at))
    }
}

/// The nodes with the largest constants above 1, largest first.
fn largest_factors(bounds: &NetworkBounds, most: usize) -> Vec<&NetworkRow> {
    let mut rows: Vec<&NetworkRow> = bounds.nodes.iter().filter(|n| n.own.get() > 1.0).collect();
    rows.sort_by(|a, b| b.own.get().total_cmp(&a.own.get()));
    rows.truncate(most);
    rows
}
