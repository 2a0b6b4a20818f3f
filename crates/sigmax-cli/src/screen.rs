//! What is known about the terminal, and text made fit for it.

use std::io::IsTerminal;

use sigmax_formats::report::Style;

use crate::args::Color;

/// How to draw a table on standard output, or into a file.
pub(crate) fn style(color: Color, to_file: bool) -> Style {
    let terminal = !to_file && std::io::stdout().is_terminal();
    Style {
        width: width(terminal),
        colour: match color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => terminal && !colour_is_refused(),
        },
    }
}

/// COLUMNS where it is set; otherwise the width of the terminal, if it is one.
fn width(terminal: bool) -> Option<usize> {
    let stated = std::env::var("COLUMNS").ok();
    stated
        .and_then(|text| text.parse().ok())
        .filter(|&columns: &usize| columns > 0)
        .or_else(|| measured(terminal))
}

fn measured(terminal: bool) -> Option<usize> {
    let (columns, _) = terminal.then(|| terminal_size::terminal_size_of(std::io::stdout()))??;
    Some(usize::from(columns.0))
}

/// <https://no-color.org>: set and not empty. A dumb terminal shows no colours.
fn colour_is_refused() -> bool {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    set("NO_COLOR").is_some() || set("TERM").is_some_and(|term| term == "dumb")
}

/// One line of an error text, which may quote a file: whatever acts on a terminal is escaped, and so
/// are line ends, so that no file can write a line of its own.
pub(crate) fn escaped(text: &str) -> String {
    text.chars().fold(String::new(), |mut out, c| {
        if matches!(c, '\'' | '"' | '\\') {
            out.push(c);
        } else {
            out.extend(c.escape_debug());
        }
        out
    })
}
