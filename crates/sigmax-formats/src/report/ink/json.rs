//! JSON with one entry a line, exact numbers, and no invisible characters.

use std::io;

use serde::{Serialize, Serializer};
use serde_json::ser::Formatter;

use crate::report::ink::printable::is_hidden;

/// An object of values that are JSON already, one per line.
pub(crate) fn document(entries: &[(&str, String)]) -> String {
    let entries: Vec<String> = entries
        .iter()
        .map(|(key, value)| format!("  \"{key}\": {value}"))
        .collect();
    format!("{{\n{}\n}}\n", entries.join(",\n"))
}

/// Values that are JSON already, one per line.
pub(crate) fn list(items: &[String]) -> String {
    if items.is_empty() {
        return "[]".to_owned();
    }
    format!("[\n    {}\n  ]", items.join(",\n    "))
}

/// A value as JSON on one line.
pub(crate) fn line<T: Serialize>(value: &T) -> String {
    let mut bytes = Vec::new();
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, OneLine);
    let done = value.serialize(&mut serializer);
    // Half a report, or none, must not pass for one.
    match (done, String::from_utf8(bytes)) {
        (Ok(()), Ok(text)) => text,
        _ => unreachable!("writing to memory does not fail, all keys are strings, JSON is UTF-8"),
    }
}

/// A bound or an estimate: `"inf"` and `"nan"` where JSON has no number.
#[derive(Clone, Copy)]
pub(crate) struct Number(pub(crate) f64);

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.is_nan() {
            serializer.serialize_str("nan")
        } else if self.0.is_infinite() {
            serializer.serialize_str(if self.0 > 0.0 { "inf" } else { "-inf" })
        } else {
            serializer.serialize_f64(self.0)
        }
    }
}

/// One line, a space after colons and commas, and invisible characters as `\u....`.
struct OneLine;

impl Formatter for OneLine {
    fn begin_array_value<W: io::Write + ?Sized>(
        &mut self,
        out: &mut W,
        first: bool,
    ) -> io::Result<()> {
        out.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_key<W: io::Write + ?Sized>(
        &mut self,
        out: &mut W,
        first: bool,
    ) -> io::Result<()> {
        out.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_value<W: io::Write + ?Sized>(&mut self, out: &mut W) -> io::Result<()> {
        out.write_all(b": ")
    }

    fn write_string_fragment<W: io::Write + ?Sized>(
        &mut self,
        out: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        for c in fragment.chars() {
            if is_hidden(c) {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    write!(out, "\\u{unit:04x}")?;
                }
            } else {
                out.write_all(c.encode_utf8(&mut [0; 4]).as_bytes())?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_back_exactly_and_infinity_is_a_word() {
        for x in [
            5e-324,
            f64::MAX,
            0.1 + 0.2,
            9.0,
            1e-7,
            1e16,
            123_456_789.123,
        ] {
            let back: f64 = serde_json::from_str(&line(&Number(x))).unwrap();
            assert_eq!(back.to_bits(), x.to_bits());
        }
        assert_eq!(line(&Number(f64::INFINITY)), "\"inf\"");
        assert_eq!(line(&Number(f64::NAN)), "\"nan\"");
    }

    #[test]
    fn hidden_characters_are_escaped_and_read_back() {
        let name = "a\u{9b}31m\u{202e}\u{7f}\u{1b}\n\"\\\u{e0020}層";
        let text = line(&name);
        assert!(!text.chars().any(is_hidden), "{text}");
        assert_eq!(serde_json::from_str::<String>(&text).unwrap(), name);
    }
}
