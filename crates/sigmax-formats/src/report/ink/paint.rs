//! [`Style`]: how text for a terminal is drawn.

/// How a table is drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Style {
    /// Columns of the terminal; none: as wide as it needs to be.
    pub width: Option<usize>,
    /// Whether to colour (ANSI escape codes).
    pub colour: bool,
}

pub(crate) const RED: &str = "\u{1b}[31m";
pub(crate) const YELLOW: &str = "\u{1b}[33m";

pub(crate) fn paint(text: &str, colour: Option<&str>) -> String {
    match colour {
        Some(code) => format!("{code}{text}\u{1b}[0m"),
        None => text.to_owned(),
    }
}
