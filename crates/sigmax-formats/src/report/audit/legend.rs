//! What stands below the table: what was found, what was not, and what each column claims.

use sigmax::{Audit, Quantity, Stop};

use crate::model::layer::{GeometrySource, LayerSpec};
use crate::report::audit::column::Column;
use crate::report::ink::decimal::{Rounding, decimal};
use crate::report::ink::paint::{RED, YELLOW, paint};
use crate::report::ink::printable::printable;
use crate::report::ink::words::{listed, plural, seconds};
use crate::report::ink::wrap::wrap;
use crate::report::network::text as network_text;
use crate::report::{Gate, LipschitzGate, Report};

/// The text for a table with these columns.
pub(crate) struct Text<'a> {
    pub(crate) columns: &'a [Column],
    pub(crate) digits: usize,
    pub(crate) width: usize,
    pub(crate) colour: bool,
}

impl Text<'_> {
    pub(crate) fn summary(&self, report: &Report) -> String {
        let mut out = String::from("\n");
        self.totals(report, &mut out);
        self.assumed(report, &mut out);
        self.padded(report, &mut out);
        self.notes(report, &mut out);
        self.early(report, &mut out);
        self.left_out(report, &mut out);
        self.excluded(report, &mut out);
        self.network(report, &mut out);
        if let Some(gate) = report.gate() {
            self.gate(report, &gate, &mut out);
        }
        if let Some(gate) = report.lipschitz_gate() {
            self.lipschitz_gate(&gate, &mut out);
        }
        out.push('\n');
        self.legend(report, &mut out);
        out
    }

    fn paragraph(&self, text: &str, out: &mut String) {
        out.push_str(&wrap(text, self.width, 2));
    }

    fn totals(&self, report: &Report, out: &mut String) {
        let count = report.audited().count();
        let mut text = format!(
            "{} audited in {}",
            plural(count, "layer"),
            seconds(report.seconds)
        );
        let largest = report
            .audited()
            .reduce(|a, b| if upper(b.1) > upper(a.1) { b } else { a });
        if let Some((layer, audit)) = largest {
            let bound = decimal(upper(audit), self.digits, Rounding::Up);
            text.push_str(&format!(
                "; the largest upper end is {bound} ({})",
                printable(&layer.name)
            ));
        }
        text.push('.');
        self.paragraph(&text, out);
    }

    fn assumed(&self, report: &Report, out: &mut String) {
        let assumed = |(layer, _): &(&LayerSpec, &Audit)| {
            layer.geometry == GeometrySource::Assumed && layer.conv.axes() > 0
        };
        let count = report.audited().filter(assumed).count();
        if count > 0 {
            self.paragraph(
                &format!(
                    "Geometry assumed for {}, because the file does not state it: the upper ends \
                     are valid for any stride, dilation, groups and zero padding; the lower ends \
                     are those of stride 1 and one group, and the real layer may lie below them. \
                     State the geometry with --layers FILE.",
                    plural(count, "convolution")
                ),
                out,
            );
        }
    }

    /// Padding modes that copy pixels: their factor depends on the input size.
    fn padded(&self, report: &Report, out: &mut String) {
        let names: Vec<&str> = report
            .audited()
            .filter(|(_, audit)| {
                audit.norm().quantity() == Quantity::Lattice && audit.padding_factor() > 1.0
            })
            .map(|(layer, _)| layer.name.as_str())
            .collect();
        if !names.is_empty() {
            self.paragraph(
                &format!(
                    "Padding that copies pixels: {}. The upper ends include the norm of the \
                     padding, at the input size where it is known (then they hold at that size), \
                     otherwise the largest over all sizes; the lower ends do not include it.",
                    listed(&names)
                ),
                out,
            );
        }
    }

    /// Each note once, with the layers it is about.
    fn notes(&self, report: &Report, out: &mut String) {
        let mut notes: Vec<(&str, Vec<&str>)> = Vec::new();
        for (layer, _) in report.audited() {
            for note in &layer.notes {
                match notes.iter_mut().find(|(text, _)| text == note) {
                    Some((_, names)) => names.push(&layer.name),
                    None => notes.push((note, vec![&layer.name])),
                }
            }
        }
        for (note, names) in notes {
            self.paragraph(
                &format!(
                    "{}: {}.",
                    listed(&names),
                    printable(note.trim_end_matches('.'))
                ),
                out,
            );
        }
    }

    fn early(&self, report: &Report, out: &mut String) {
        for (stop, why) in [
            (Stop::Time, "the time was used up"),
            (
                Stop::Work,
                "it would have taken more than the work that a layer is given without --budget",
            ),
            (
                Stop::Precision,
                "f64 arithmetic proves no more for this kernel",
            ),
        ] {
            let names: Vec<&str> = report
                .audited()
                .filter(|(_, audit)| audit.norm().stop() == stop)
                .map(|(layer, _)| layer.name.as_str())
                .collect();
            if !names.is_empty() {
                let text = format!(
                    "* Stopped before the tolerance was met ({why}; still proved, only wider): {}.",
                    listed(&names)
                );
                let text = wrap(&text, self.width, 2);
                out.push_str(&self.painted(text.trim_end(), YELLOW));
                out.push('\n');
            }
        }
    }

    fn left_out(&self, report: &Report, out: &mut String) {
        let skipped: Vec<String> = report
            .skipped
            .counts()
            .map(|(kind, count)| format!("{count} {}", printable(kind)))
            .collect();
        if !skipped.is_empty() {
            self.paragraph(
                &format!("Skipped, not a layer: {}.", skipped.join(", ")),
                out,
            );
        }
        for (refused, _) in report.refused() {
            let text = format!(
                "Not audited: {} ({}): {}",
                printable(&refused.name),
                printable(&refused.kind),
                printable(&refused.reason)
            );
            let text = wrap(&text, self.width, 2);
            out.push_str(&self.painted(text.trim_end(), RED));
            out.push('\n');
        }
    }

    /// All of them: nobody should have to guess what a gate is not about.
    fn excluded(&self, report: &Report, out: &mut String) {
        for excluded in &report.excluded {
            let text = format!(
                "Excluded by --exclude, not audited: {} ({}).",
                printable(&excluded.name),
                printable(&excluded.kind)
            );
            let text = wrap(&text, self.width, 2);
            out.push_str(&self.painted(text.trim_end(), YELLOW));
            out.push('\n');
        }
        if !report.excluded.is_empty() && report.network.is_some() {
            self.paragraph(
                "The network is looked at as a whole, with what is excluded.",
                out,
            );
        }
    }

    fn network(&self, report: &Report, out: &mut String) {
        if let Some(network) = &report.network {
            for text in network_text::paragraphs(network, self.digits, self.width) {
                self.paragraph(&text, out);
            }
        }
    }

    fn lipschitz_gate(&self, gate: &LipschitzGate, out: &mut String) {
        let limit = gate.limit;
        match &gate.reason {
            None => self.paragraph(
                &format!(
                    "Gate passed: the Lipschitz constant of the network is proved to be at most \
                     {limit}."
                ),
                out,
            ),
            Some(reason) => {
                let text = format!(
                    "! Gate failed: the Lipschitz constant of the network is not proved to be at \
                     most {limit}: {}.",
                    printable(reason)
                );
                let text = wrap(&text, self.width, 2);
                out.push_str(&self.painted(text.trim_end(), RED));
                out.push('\n');
            }
        }
    }

    fn gate(&self, report: &Report, gate: &Gate, out: &mut String) {
        let most = gate.max_norm;
        if gate.passed() {
            let whose = match report.request.only[..] {
                [] => "",
                _ => " of the layers that --only names",
            };
            let text = match gate.excluded.len() {
                0 => format!("Gate passed: every norm{whose} is proved to be at most {most}."),
                n => format!(
                    "Gate passed for the other layers: every norm{whose} but of {} is proved to be at most \
                     {most}; of the excluded nothing is proved: {}.",
                    plural(n, "excluded layer"),
                    listed(&gate.excluded)
                ),
            };
            self.paragraph(&text, out);
            return;
        }
        let mut text = "! Gate failed:".to_owned();
        if !gate.exceeded.is_empty() {
            text.push_str(&format!(
                " not proved to be at most {most}: {}.",
                listed(&gate.exceeded)
            ));
        }
        if !gate.unproved.is_empty() {
            text.push_str(&format!(
                " not audited, so nothing is proved: {}.",
                listed(&gate.unproved)
            ));
        }
        let text = wrap(&text, self.width, 2);
        out.push_str(&self.painted(text.trim_end(), RED));
        out.push('\n');
    }

    fn legend(&self, report: &Report, out: &mut String) {
        let mut norm = "norm      PROVED. at least ≤ norm ≤ at most, rounding included. The norm is \
                        the largest factor by which the layer can stretch any input in ℓ₂, over all \
                        input sizes with zero padding: at one size it may lie below the lower end, \
                        never above the upper."
            .to_owned();
        if report
            .audited()
            .any(|(_, audit)| audit.norm().quantity() == Quantity::Circular)
        {
            norm.push_str(
                " For layers with circular padding and a known input size it is the norm at that \
                 size.",
            );
        }
        self.item(&norm, out);
        if self.columns.contains(&Column::Four) {
            self.item(
                "four      PROVED upper bound, the smallest of the four of Singla & Feizi, and the \
                 reshape of the kernel that gives it.",
                out,
            );
        }
        if self.columns.contains(&Column::Weighted) {
            self.item(
                "weighted  PROVED upper bound, the four with optimised weights.",
                out,
            );
        }
        if self.columns.contains(&Column::Reshape) {
            let mut text = "spectral_norm  ESTIMATE of what the frameworks' spectral_norm reports \
                            for the layer. It is not a bound."
                .to_owned();
            if self.columns.contains(&Column::Ratio) {
                text.push_str(" norm ÷ est.: how many times it is below the lower end.");
            }
            self.item(&text, out);
        }
        self.item(
            "Upper ends are rounded up at the last digit shown, lower ends down, estimates to \
             nearest.",
            out,
        );
    }

    fn item(&self, text: &str, out: &mut String) {
        // The runs of spaces that align the items are not places to break a line.
        let text = text.replace("  ", "\u{a0}\u{a0}");
        out.push_str(&wrap(&text, self.width, 10).replace('\u{a0}', " "));
    }

    fn painted(&self, text: &str, colour: &str) -> String {
        paint(text, Some(colour).filter(|_| self.colour))
    }
}

fn upper(audit: &Audit) -> f64 {
    audit.upper().get()
}
