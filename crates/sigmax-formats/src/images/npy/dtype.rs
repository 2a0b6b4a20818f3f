//! [`Dtype`]: NumPy's names of types.

use std::fmt;

use crate::bytes::element::Element;

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Signed,
    Unsigned,
    Float,
}

/// The type of an array of numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Dtype {
    pub(super) kind: Kind,
    /// Bytes of an entry.
    pub(super) size: usize,
    pub(super) big_endian: bool,
}

impl Dtype {
    /// Reads a name like `<f4`; where it is none, what was expected and found.
    pub(super) fn parse(name: &str) -> Result<Self, (&'static str, String)> {
        let (big_endian, rest) = match name.as_bytes() {
            [b'>', rest @ ..] => (true, rest),
            [b'<' | b'|', rest @ ..] => (false, rest),
            rest => (false, rest),
        };
        let (kind, size) = match rest {
            [b'O', ..] => {
                let found = format!("objects ({name:?}), which are pickles and are not read");
                return Err(("an array of numbers", found));
            }
            [b'i', size] => (Kind::Signed, size),
            [b'u', size] => (Kind::Unsigned, size),
            [b'f', size] => (Kind::Float, size),
            _ => return Err(("a dtype of integers or floats", format!("{name:?}"))),
        };
        let size = match (kind, size) {
            (Kind::Signed | Kind::Unsigned, b'1') => 1,
            (_, b'2') => 2,
            (_, b'4') => 4,
            (_, b'8') => 8,
            _ => return Err(("a dtype of integers or floats", format!("{name:?}"))),
        };
        Ok(Self {
            kind,
            size,
            big_endian,
        })
    }

    /// `None` for bytes, a float type otherwise; nothing for what pixels are not.
    pub(super) fn pixels(self) -> Option<Option<Element>> {
        match (self.kind, self.size) {
            (Kind::Unsigned, 1) => Some(None),
            (Kind::Float, 2) => Some(Some(Element::F16)),
            (Kind::Float, 4) => Some(Some(Element::F32)),
            (Kind::Float, _) => Some(Some(Element::F64)),
            _ => None,
        }
    }

    /// The value of a little-endian entry of an integer type.
    pub(super) fn integer(self, entry: &[u8]) -> i128 {
        let negative = self.kind == Kind::Signed && entry.last().is_some_and(|&top| top >= 0x80);
        let mut wide = [if negative { 0xff } else { 0 }; 16];
        wide[..entry.len()].copy_from_slice(entry);
        i128::from_le_bytes(wide)
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Signed => 'i',
            Kind::Unsigned => 'u',
            Kind::Float => 'f',
        };
        let order = if self.big_endian { ">" } else { "" };
        write!(f, "{order}{kind}{}", self.size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_by_hand() {
        let integer = |name: &str, entry: &[u8]| Dtype::parse(name).unwrap().integer(entry);
        assert_eq!(integer("|i1", &[0xff]), -1);
        assert_eq!(integer("|u1", &[0xff]), 255);
        assert_eq!(integer("<i2", &[0, 0x80]), -32768);
        assert_eq!(integer("<u8", &[0xff; 8]), i128::from(u64::MAX));
        assert_eq!(integer("<i8", &[7, 0, 0, 0, 0, 0, 0, 0]), 7);
    }
}
