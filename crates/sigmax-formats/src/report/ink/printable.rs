//! Names from a file, made fit for a terminal.

/// `text` with control characters, other invisible characters and backslashes escaped
/// (`\u{1b}`, `\n`, `\\`), so that no name moves the cursor, changes colours or reorders a line.
///
/// # Example
/// ```
/// use sigmax_formats::report::printable;
/// assert_eq!(printable("conv\u{1b}[31m"), r"conv\u{1b}[31m");
/// assert_eq!(printable("features.0"), "features.0");
/// ```
#[must_use]
pub fn printable(text: &str) -> String {
    text.chars().fold(String::new(), |mut out, c| {
        if matches!(c, '\'' | '"') {
            out.push(c);
        } else {
            out.extend(c.escape_debug());
        }
        out
    })
}

/// Whether a character changes what a terminal shows of others, or shows nothing itself.
pub(crate) fn is_hidden(c: char) -> bool {
    !matches!(c, '\'' | '"' | '\\') && c.escape_debug().len() > 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_acts_on_a_terminal_is_escaped() {
        for c in [
            '\0', '\u{7}', '\u{8}', '\t', '\n', '\r', '\u{1b}', '\u{7f}', '\u{9b}',
        ] {
            assert!(is_hidden(c), "{c:?}");
            let text = printable(&format!("a{c}b"));
            assert!(!text.contains(c) && text.starts_with("a\\"), "{text:?}");
        }
        // Right-to-left override, zero width space, line separator, byte order mark, tag space.
        for c in [
            '\u{202e}',
            '\u{200b}',
            '\u{2028}',
            '\u{feff}',
            '\u{2066}',
            '\u{e0020}',
        ] {
            assert!(is_hidden(c), "{c:?}");
            assert!(!printable(&c.to_string()).contains(c), "{c:?}");
        }
    }

    #[test]
    fn escapes_are_not_ambiguous() {
        assert_eq!(printable("a\nb"), r"a\nb");
        assert_eq!(printable(r"a\nb"), r"a\\nb");
    }

    #[test]
    fn letters_of_any_script_and_quotes_stay() {
        let name = "層.0/\"Größe\"'s 卷积";
        assert_eq!(printable(name), name);
    }
}
