//! The tables: layers, nodes, what was refused.

use crate::report::Report;
use crate::report::audit::cells::{is_early, op, stride};
use crate::report::ink::page::{section, table};
use crate::report::ink::text::{down, est, is_assumed, name, plain, plural, sentence, up};
use crate::report::ink::words::{by, ratio, seconds};
use sigmax::Quantity;

pub(super) fn layers(report: &Report, digits: usize) -> String {
    let heads = [
        "layer",
        "op",
        "shape",
        "stride",
        "#norm\nat least",
        "#norm\nat most",
        "#four\nat most",
        "",
        "#weighted\nat most",
        "#spectral_norm\n",
        "#norm\n÷ est.",
        "#time\n",
    ];
    let mut rows = Vec::new();
    for row in &report.rows {
        let Some(audit) = row.audit() else { continue };
        let bracket = audit.norm().bracket();
        let early = if is_early(audit) { "*" } else { "" };
        rows.push(vec![
            name(&row.layer.name),
            plain(&op(&row.layer)),
            by(&row.layer.shape),
            stride(&row.layer),
            down(bracket.lower().get(), digits),
            format!("{}{early}", up(bracket.upper().get(), digits)),
            up(audit.four().min().get(), digits),
            audit.four().winner().name().to_owned(),
            up(audit.weighted_four().upper().get(), digits),
            est(audit.reshape_norm()),
            ratio(bracket.lower().get() / audit.reshape_norm().get()),
            seconds(row.seconds),
        ]);
    }
    if rows.is_empty() {
        return String::new();
    }
    let mut content = table(&heads, &rows);
    if report.audited().any(|(_, audit)| is_early(audit)) {
        content += "<p>* The search ended before the tolerance was met: still proved, only \
                    wider.</p>\n";
    }
    let assumed = report
        .audited()
        .filter(|(layer, _)| is_assumed(layer))
        .count();
    if assumed > 0 {
        content += &format!(
            "<p>Geometry assumed for {}, because the file does not state it: the upper ends are \
             valid for any stride, dilation, groups and zero padding; the lower ends are those of \
             stride 1 and one group, and the real layer may lie below them.</p>\n",
            plural(assumed, "convolution")
        );
    }
    if report.audited().any(|(_, audit)| {
        audit.norm().quantity() == Quantity::Lattice && audit.padding_factor() > 1.0
    }) {
        content += "<p>Where padding copies pixels the upper ends include the norm of the padding; \
                    the lower ends do not.</p>\n";
    }
    content += &notes(report);
    section(
        "numbers",
        "Layer by layer",
        "“At least” and “at most” are proved; upper ends are rounded up, lower ends down. The \
         letter after the four names the reshape of the kernel that gives it. \
         <code>spectral_norm</code> is an estimate of what the frameworks report, not a bound; \
         norm ÷ est. is how many times it is below the lower end.",
        &content,
    )
}

/// Each note once, with the layers it is about.
fn notes(report: &Report) -> String {
    let mut notes: Vec<(&str, Vec<&str>)> = Vec::new();
    for (layer, _) in report.audited() {
        for note in &layer.notes {
            match notes.iter_mut().find(|(text, _)| text == note) {
                Some((_, names)) => names.push(&layer.name),
                None => notes.push((note, vec![&layer.name])),
            }
        }
    }
    notes
        .iter()
        .map(|(note, names)| {
            format!(
                "<p>{}: {}</p>\n",
                crate::report::ink::text::names(names),
                sentence(note)
            )
        })
        .collect()
}

pub(super) fn refused(report: &Report) -> String {
    let mut rows: Vec<Vec<String>> = report
        .refused()
        .iter()
        .map(|(refused, bad)| {
            let reason = sentence(&refused.reason);
            vec![
                name(&refused.name),
                plain(&refused.kind),
                if *bad { "bad input" } else { "not covered" }.to_owned(),
                format!("<div class=\"why\">{reason}</div>"),
            ]
        })
        .collect();
    rows.extend(report.excluded.iter().map(|excluded| {
        vec![
            name(&excluded.name),
            plain(&excluded.kind),
            "excluded".to_owned(),
            "left out by name (--exclude), and so out of any gate on layers; the network has it all the \
             same"
                .to_owned(),
        ]
    }));
    let blockers = report
        .network
        .as_ref()
        .and_then(|n| n.bounds.as_ref().err());
    for blocker in blockers
        .into_iter()
        .flatten()
        .filter(|b| !b.name.is_empty())
    {
        rows.push(vec![
            name(&blocker.name),
            plain(&blocker.kind),
            "no rule for the network".to_owned(),
            format!("<div class=\"why\">{}</div>", sentence(&blocker.reason)),
        ]);
    }
    let skipped: Vec<String> = report
        .skipped
        .counts()
        .map(|(kind, count)| format!("{count} {}", plain(kind)))
        .collect();
    let skipped = if skipped.is_empty() {
        String::new()
    } else {
        format!("<p>Not a layer, skipped: {}.</p>\n", skipped.join(", "))
    };
    if rows.is_empty() {
        let nothing = "<p>Nothing was refused.</p>\n";
        return section(
            "refused",
            "What is not covered",
            "",
            &format!("{nothing}{skipped}"),
        );
    }
    section(
        "refused",
        "What is not covered",
        "Of these nothing is proved.",
        &format!("{}{skipped}", table(&["name", "kind", "", "reason"], &rows)),
    )
}
