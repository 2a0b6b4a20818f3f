//! The header of an array: a dictionary in Python's notation, of the few kinds of values it has.

/// A value.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Value {
    Text(String),
    Truth(bool),
    Sizes(Vec<usize>),
    /// The fields of a structured type, not read.
    List,
}

/// Where it is wrong, and why.
type Wrong = (usize, String);

/// Reads a dictionary; only blanks may follow.
pub(super) fn dict(text: &[u8]) -> Result<Vec<(String, Value)>, Wrong> {
    let mut reader = Reader { text, at: 0 };
    let mut entries = Vec::new();
    reader.expect(b'{')?;
    while !reader.take(b'}') {
        let key = reader.quoted()?;
        reader.expect(b':')?;
        let value = reader.value()?;
        let list = value == Value::List;
        entries.push((key, value));
        if list {
            return Ok(entries);
        }
        if !reader.take(b',') {
            reader.expect(b'}')?;
            break;
        }
    }
    match reader.peek() {
        None => Ok(entries),
        Some(_) => Err(reader.wrong("nothing after the dictionary")),
    }
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    /// The next byte that is not blank.
    fn peek(&mut self) -> Option<u8> {
        while self.text.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
        self.text.get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let is = self.peek() == Some(byte);
        self.at += usize::from(is);
        is
    }

    fn expect(&mut self, byte: u8) -> Result<(), Wrong> {
        if self.take(byte) {
            return Ok(());
        }
        Err(self.wrong(&format!("{:?}", char::from(byte))))
    }

    fn wrong(&self, expected: &str) -> Wrong {
        let found = match self.text.get(self.at) {
            Some(&byte) => format!("{:?}", char::from(byte)),
            None => "the end".to_owned(),
        };
        (
            self.at,
            format!("the array's header should have {expected} here, and has {found}"),
        )
    }

    fn quoted(&mut self) -> Result<String, Wrong> {
        let quote = match self.peek() {
            Some(quote @ (b'\'' | b'"')) => quote,
            _ => return Err(self.wrong("a text in quotes")),
        };
        let rest = &self.text[self.at + 1..];
        let Some(end) = rest.iter().position(|&byte| byte == quote) else {
            return Err(self.wrong("a text that ends"));
        };
        self.at += end + 2;
        Ok(String::from_utf8_lossy(&rest[..end]).into_owned())
    }

    fn value(&mut self) -> Result<Value, Wrong> {
        match self.peek() {
            Some(b'\'' | b'"') => self.quoted().map(Value::Text),
            Some(b'[') => Ok(Value::List),
            Some(b'(') => self.sizes().map(Value::Sizes),
            _ => {
                for (word, truth) in [(&b"True"[..], true), (b"False", false)] {
                    if self.text[self.at..].starts_with(word) {
                        self.at += word.len();
                        return Ok(Value::Truth(truth));
                    }
                }
                Err(self.wrong("a text, True, False or a tuple"))
            }
        }
    }

    fn sizes(&mut self) -> Result<Vec<usize>, Wrong> {
        let mut sizes = Vec::new();
        self.expect(b'(')?;
        while !self.take(b')') {
            sizes.push(self.size()?);
            if !self.take(b',') {
                self.expect(b')')?;
                break;
            }
        }
        Ok(sizes)
    }

    fn size(&mut self) -> Result<usize, Wrong> {
        self.peek();
        let digits = self.text[self.at..]
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        let text = std::str::from_utf8(&self.text[self.at..self.at + digits]);
        let size = text.ok().and_then(|text| text.parse().ok());
        let Some(size) = size else {
            return Err(self.wrong("a size that is not negative and can be"));
        };
        self.at += digits;
        // As Python 2 wrote it.
        self.at += usize::from(self.text.get(self.at) == Some(&b'L'));
        Ok(size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_numpy_writes() {
        let text = b"{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }          \n";
        let expected = [
            ("descr", Value::Text("<f4".to_owned())),
            ("fortran_order", Value::Truth(false)),
            ("shape", Value::Sizes(vec![3, 4])),
        ];
        let expected = expected.map(|(key, value)| (key.to_owned(), value));
        assert_eq!(dict(text).unwrap(), expected);
        let sizes =
            |text: &str| dict(format!("{{'s':{text}}}").as_bytes()).map(|mut d| d.remove(0).1);
        assert_eq!(sizes("()"), Ok(Value::Sizes(vec![])));
        assert_eq!(sizes("(7L,)"), Ok(Value::Sizes(vec![7])));
        assert_eq!(sizes("[('a', '<f4')]"), Ok(Value::List));
        for wrong in [
            "",
            "(",
            "(-1,)",
            "(99999999999999999999,)",
            "(1 2)",
            "None",
            "'x",
            "(,)",
        ] {
            assert!(sizes(wrong).is_err(), "{wrong}");
        }
        assert!(dict(b"{} x").is_err());
        assert!(dict(b"").is_err());
    }
}
