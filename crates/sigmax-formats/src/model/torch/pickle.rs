//! The pickle machine: opcodes of protocols 0 to 5 in, a [`Heap`] out. It calls nothing.

use std::collections::HashMap;

use crate::bytes::cursor::Cursor;
use crate::error::Error;
use crate::model::torch::heap::{Heap, Id, Value};

/// Most opcodes, plus what they copy.
const MAX_WORK: u64 = 1 << 25;
/// Most values that are stored to be fetched again.
const MAX_MEMO: u64 = 1 << 22;
/// Longest text that is kept: longer ones name nothing.
const MAX_TEXT: u64 = 1024;

/// Reads one pickle and returns its values and the one on top at the end.
pub(super) fn read(cursor: &mut Cursor<'_>) -> Result<(Heap, Id), Error> {
    let mut machine = Machine {
        at: cursor.position(),
        cursor,
        heap: Heap::new(),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
        work: 0,
    };
    while machine.step()? {}
    let top = machine.pop()?;
    Ok((machine.heap, top))
}

/// The state between two opcodes.
struct Machine<'c, 's> {
    cursor: &'c mut Cursor<'s>,
    /// Where the current opcode is.
    at: u64,
    heap: Heap,
    stack: Vec<Id>,
    /// Heights of the stack at the open marks.
    marks: Vec<usize>,
    memo: HashMap<u64, Id>,
    work: u64,
}

impl Machine<'_, '_> {
    /// One opcode; `false` after STOP.
    fn step(&mut self) -> Result<bool, Error> {
        self.at = self.cursor.position();
        self.charge(1)?;
        let opcode = self.cursor.byte()?;
        match opcode {
            b'.' => return Ok(false),
            // PROTO, FRAME: nothing depends on them.
            0x80 => self.protocol()?,
            0x95 => {
                let length = u64::from_le_bytes(self.cursor.array()?);
                if length > self.cursor.left() {
                    return Err(self.wrong(format!(
                        "a pickle frame of {length} bytes, of which {} are there",
                        self.cursor.left()
                    )));
                }
            }
            b'(' => self.marks.push(self.stack.len()),
            b'0' => self.discard()?,
            b'1' => drop(self.pop_mark()?),
            b'2' => {
                let top = self.top()?;
                self.stack.push(top);
            }
            b'g' | b'h' | b'j' | b'p' | b'q' | b'r' | 0x94 => self.memoise(opcode)?,
            b'c' | 0x93 | b'i' | b'o' | b'R' | b'b' | 0x81 | 0x92 | b'Q' | b'P' => {
                self.object(opcode)?;
            }
            b']' | b'}' | b')' | 0x8f | b't' | 0x85..=0x87 | b'l' | b'd' | 0x91 => {
                self.container(opcode)?;
            }
            b'a' | b'e' | 0x90 | b's' | b'u' => self.fill(opcode)?,
            _ => self.scalar(opcode)?,
        }
        Ok(true)
    }

    fn protocol(&mut self) -> Result<(), Error> {
        match self.cursor.byte()? {
            0..=5 => Ok(()),
            other => Err(self.wrong(format!("pickle protocol {other}; expected 0 to 5"))),
        }
    }

    fn memoise(&mut self, opcode: u8) -> Result<(), Error> {
        let key = match opcode {
            b'h' | b'q' => u64::from(self.cursor.byte()?),
            b'j' | b'r' => u64::from(u32::from_le_bytes(self.cursor.array()?)),
            0x94 => self.memo.len() as u64,
            _ => {
                let line = self.line()?;
                line.as_deref()
                    .and_then(|line| line.parse().ok())
                    .ok_or_else(|| self.wrong("a memo index that is not a number"))?
            }
        };
        if matches!(opcode, b'g' | b'h' | b'j') {
            let id =
                self.memo.get(&key).copied().ok_or_else(|| {
                    self.wrong(format!("memo {key} is fetched and was never stored"))
                })?;
            self.stack.push(id);
        } else {
            let top = self.top()?;
            self.memo.insert(key, top);
            let stored = self.memo.len() as u64;
            let source = self.cursor.source();
            source.limit("the size of the pickle's memo", MAX_MEMO, stored)?;
        }
        Ok(())
    }

    fn container(&mut self, opcode: u8) -> Result<(), Error> {
        let value = match opcode {
            b')' => {
                self.stack.push(Id::EMPTY);
                return Ok(());
            }
            b']' | 0x8f => Value::List(Vec::new()),
            b'}' => Value::Dict(Vec::new()),
            0x85..=0x87 => {
                let mut items = [Id::OPAQUE; 3];
                let items = &mut items[..usize::from(opcode - 0x84)];
                for item in items.iter_mut().rev() {
                    *item = self.pop()?;
                }
                Value::Tuple((&*items).into())
            }
            b't' => Value::Tuple(self.pop_mark()?.into()),
            b'd' => {
                let items = self.pop_mark()?;
                Value::Dict(self.pairs(&items)?)
            }
            _ => Value::List(self.pop_mark()?),
        };
        self.push(value)
    }

    /// APPEND(S), ADDITEMS, SETITEM(S).
    fn fill(&mut self, opcode: u8) -> Result<(), Error> {
        let items = match opcode {
            b'a' => vec![self.pop()?],
            b's' => {
                let value = self.pop()?;
                vec![self.pop()?, value]
            }
            _ => self.pop_mark()?,
        };
        let target = self.top()?;
        if matches!(opcode, b's' | b'u') {
            let pairs = self.pairs(&items)?;
            match self.heap.get_mut(target) {
                Value::Dict(dict) => dict.extend(pairs),
                Value::Object(object) => object.items.extend(pairs),
                Value::Opaque | Value::Unreadable(_) => {}
                _ => return Err(self.wrong("items are put into something that is no dict")),
            }
        } else {
            match self.heap.get_mut(target) {
                Value::List(list) => list.extend(items),
                Value::Object(object) => object.list.extend(items),
                Value::Opaque | Value::Unreadable(_) => {}
                _ => return Err(self.wrong("values are appended to something that is no list")),
            }
        }
        Ok(())
    }

    /// Globals, instances, calls and persistent ids.
    fn object(&mut self, opcode: u8) -> Result<(), Error> {
        let made = match opcode {
            b'c' => {
                let global = self.global_lines()?;
                return self.push(global);
            }
            0x93 => {
                let name = self.pop()?;
                let module = self.pop()?;
                let global = match (self.heap.text(module), self.heap.text(name)) {
                    (Some(module), Some(name)) => Value::Global(format!("{module}.{name}").into()),
                    _ => return Err(self.wrong("the name of a global is not a short text")),
                };
                return self.push(global);
            }
            b'i' => {
                let class = self.global_lines()?;
                let arguments = self.pop_mark()?;
                let class = self.heap.push(class);
                class.and_then(|class| self.heap.instantiate(class, &arguments))
            }
            b'o' => {
                let items = self.pop_mark()?;
                let Some((&class, arguments)) = items.split_first() else {
                    return Err(self.wrong("an instance without a class"));
                };
                self.heap.instantiate(class, arguments)
            }
            b'b' => {
                let state = self.pop()?;
                let target = self.top()?;
                self.heap.build(target, state);
                return Ok(());
            }
            b'Q' => {
                let persistent = self.pop()?;
                self.heap.persistent(persistent)
            }
            b'P' => return Err(self.wrong("a persistent id that is text; torch.save writes none")),
            _ => {
                if opcode == 0x92 {
                    self.pop()?; // keyword arguments
                }
                let arguments = self.pop()?;
                let callee = self.pop()?;
                self.call(callee, arguments, opcode == b'R')?
            }
        };
        let id = made.map_err(|reason| self.wrong(reason))?;
        self.stack.push(id);
        Ok(())
    }

    fn call(
        &mut self,
        callee: Id,
        arguments: Id,
        reduce: bool,
    ) -> Result<Result<Id, String>, Error> {
        if !reduce {
            let Some(arguments) = self.heap.tuple(arguments) else {
                return Err(self.wrong("the arguments of a class are no tuple"));
            };
            let arguments = arguments.iter().copied().take(8).collect::<Vec<_>>();
            return Ok(self.heap.instantiate(callee, &arguments));
        }
        let copied = self.heap.copied_by(callee, arguments);
        self.charge(copied)?;
        Ok(self.heap.reduce(callee, arguments))
    }

    /// What is left: numbers, texts, bytes.
    fn scalar(&mut self, opcode: u8) -> Result<(), Error> {
        let value = match opcode {
            b'N' => Value::Opaque,
            0x88 => Value::Bool(true),
            0x89 => Value::Bool(false),
            b'K' => Value::Int(self.cursor.byte()?.into()),
            b'M' => Value::Int(u16::from_le_bytes(self.cursor.array()?).into()),
            b'J' => Value::Int(i32::from_le_bytes(self.cursor.array()?).into()),
            b'I' | b'L' => self.decimal(opcode)?,
            0x8a | 0x8b => self.long(opcode)?,
            b'G' => {
                self.cursor.skip(8)?;
                Value::Opaque
            }
            b'F' => {
                self.line()?;
                Value::Opaque
            }
            b'S' | b'V' => match self.line()? {
                Some(line) if opcode == b'S' => Value::Text(unquoted(&line).into()),
                Some(line) => Value::Text(line.into()),
                None => Value::Opaque,
            },
            b'T' | b'U' | b'X' | 0x8c | 0x8d => {
                let length = self.length(opcode)?;
                self.text(length)?
            }
            b'B' | b'C' | 0x8e | 0x96 => {
                let length = self.length(opcode)?;
                self.cursor.skip(length)?;
                Value::Opaque
            }
            _ => {
                return Err(
                    self.wrong(format!("{opcode:#04x} is not a pickle opcode that is read"))
                );
            }
        };
        self.push(value)
    }

    fn length(&mut self, opcode: u8) -> Result<u64, Error> {
        Ok(match opcode {
            b'U' | 0x8c | b'C' => self.cursor.byte()?.into(),
            0x8d | 0x8e | 0x96 => u64::from_le_bytes(self.cursor.array()?),
            _ => u32::from_le_bytes(self.cursor.array()?).into(),
        })
    }

    fn text(&mut self, length: u64) -> Result<Value, Error> {
        if length > MAX_TEXT {
            self.cursor.skip(length)?;
            return Ok(Value::Opaque);
        }
        let bytes = self.cursor.bytes(length)?;
        Ok(String::from_utf8(bytes).map_or(Value::Opaque, |text| Value::Text(text.into())))
    }

    /// LONG1, LONG4: two's complement of any length.
    fn long(&mut self, opcode: u8) -> Result<Value, Error> {
        let length = if opcode == 0x8a {
            i64::from(self.cursor.byte()?)
        } else {
            i64::from(i32::from_le_bytes(self.cursor.array()?))
        };
        let length = u64::try_from(length)
            .map_err(|_| self.wrong(format!("an integer of {length} bytes")))?;
        if length > 16 {
            self.cursor.skip(length)?;
            return Ok(Value::Opaque);
        }
        let bytes = self.cursor.bytes(length)?;
        let negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
        let mut wide = [if negative { 0xff } else { 0 }; 16];
        wide[..bytes.len()].copy_from_slice(&bytes);
        Ok(Value::Int(i128::from_le_bytes(wide)))
    }

    fn decimal(&mut self, opcode: u8) -> Result<Value, Error> {
        let Some(line) = self.line()? else {
            return Ok(Value::Opaque);
        };
        match (opcode, &*line) {
            (b'I', "00") => return Ok(Value::Bool(false)),
            (b'I', "01") => return Ok(Value::Bool(true)),
            _ => {}
        }
        let digits = line.strip_suffix('L').unwrap_or(&line);
        if digits.len() > 30 {
            return Ok(Value::Opaque);
        }
        let value = digits
            .parse()
            .map_err(|_| self.wrong(format!("{line:?} is not an integer")))?;
        Ok(Value::Int(value))
    }

    fn global_lines(&mut self) -> Result<Value, Error> {
        let module = self.line()?;
        let name = self.line()?;
        match (module, name) {
            (Some(module), Some(name)) => Ok(Value::Global(format!("{module}.{name}").into())),
            _ => Err(self.wrong(format!(
                "the name of a global is longer than {MAX_TEXT} bytes"
            ))),
        }
    }

    /// The text up to the next end of line; `None` if it is long or not UTF-8.
    fn line(&mut self) -> Result<Option<String>, Error> {
        let mut bytes = Vec::new();
        loop {
            match self.cursor.byte()? {
                b'\n' => break,
                byte if bytes.len() as u64 <= MAX_TEXT => bytes.push(byte),
                _ => {}
            }
        }
        if bytes.len() as u64 > MAX_TEXT {
            return Ok(None);
        }
        Ok(String::from_utf8(bytes).ok())
    }

    fn push(&mut self, value: Value) -> Result<(), Error> {
        let id = match value {
            Value::Opaque => Id::OPAQUE,
            Value::Bool(true) => Id::TRUE,
            Value::Bool(false) => Id::FALSE,
            value => self.heap.push(value).map_err(|reason| self.wrong(reason))?,
        };
        self.stack.push(id);
        Ok(())
    }

    /// Height below which nothing may be popped.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn top(&self) -> Result<Id, Error> {
        match self.stack.last() {
            Some(&id) if self.stack.len() > self.floor() => Ok(id),
            _ => Err(self.wrong("the pickle takes a value that is not there")),
        }
    }

    fn pop(&mut self) -> Result<Id, Error> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    /// POP, which also takes a mark.
    fn discard(&mut self) -> Result<(), Error> {
        if self.marks.last() == Some(&self.stack.len()) {
            self.marks.pop();
            return Ok(());
        }
        self.pop().map(|_| ())
    }

    /// Everything above the last mark.
    fn pop_mark(&mut self) -> Result<Vec<Id>, Error> {
        let Some(height) = self.marks.pop() else {
            return Err(self.wrong("the pickle goes back to a mark that is not there"));
        };
        Ok(self.stack.split_off(height))
    }

    fn pairs(&self, items: &[Id]) -> Result<Vec<(Id, Id)>, Error> {
        let (pairs, rest) = items.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(self.wrong("a key without a value"));
        }
        Ok(pairs.iter().map(|&[key, value]| (key, value)).collect())
    }

    fn charge(&mut self, work: u64) -> Result<(), Error> {
        self.work = self.work.saturating_add(work);
        self.cursor
            .source()
            .limit("the number of pickle operations", MAX_WORK, self.work)
    }

    fn wrong(&self, reason: impl Into<String>) -> Error {
        self.cursor.source().malformed(self.at, reason)
    }
}

/// A protocol 0 string without its quotes.
fn unquoted(line: &str) -> &str {
    ['\'', '"']
        .iter()
        .find_map(|&quote| line.strip_prefix(quote)?.strip_suffix(quote))
        .unwrap_or(line)
}
