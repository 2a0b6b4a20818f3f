//! Text fitted to a number of terminal columns.

use unicode_width::UnicodeWidthStr;

/// Columns that `text` takes on a terminal.
pub(crate) fn width(text: &str) -> usize {
    text.width()
}

/// Breaks `text` at spaces into lines of at most `columns`; lines after the first are indented by
/// `indent`. A word longer than a line stays whole.
pub(crate) fn wrap(text: &str, columns: usize, indent: usize) -> String {
    let mut out = String::new();
    let mut used = 0;
    for word in text.split(' ') {
        let length = width(word);
        if used > 0 && used + 1 + length > columns {
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', indent));
            used = indent;
        } else if used > 0 {
            out.push(' ');
            used += 1;
        }
        out.push_str(word);
        used += length;
    }
    out.push('\n');
    out
}

/// The end of `text` behind an ellipsis, where it is wider than `columns`: the end of a layer's name
/// tells more than its start.
pub(crate) fn shorten(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut rest = text;
    while width(rest) + 1 > columns {
        let mut characters = rest.chars();
        if characters.next().is_none() {
            break;
        }
        rest = characters.as_str();
    }
    format!("…{rest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_fit_and_no_word_is_lost() {
        let text = "one two three four five six seven eight";
        let wrapped = wrap(text, 14, 2);
        assert!(wrapped.lines().all(|line| width(line) <= 14), "{wrapped}");
        assert!(wrapped.lines().skip(1).all(|line| line.starts_with("  ")));
        let words: Vec<_> = wrapped.split_whitespace().collect();
        assert_eq!(words.join(" "), text);
        assert_eq!(wrap("unbreakable", 4, 2), "unbreakable\n");
    }

    #[test]
    fn shortened_names_keep_their_end_and_fit() {
        assert_eq!(shorten("layer3.4.conv2", 8), "…4.conv2");
        assert_eq!(shorten("conv2", 8), "conv2");
        // Wide characters take two columns each.
        assert_eq!(width(&shorten("卷积卷积卷积", 8)), 7);
    }
}
