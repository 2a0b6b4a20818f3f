//! [`Zip`]: the directory of a zip archive, every entry inside the file and none over another.

use std::collections::HashMap;
use std::ops::Range;

use crate::bytes::cursor::Cursor;
use crate::bytes::source::Source;
use crate::error::Error;

/// The longest end of an archive: record, comment, and the locator of the 64-bit record.
const END: u64 = 22 + 0xffff + 20;
const LOCAL: [u8; 4] = *b"PK\x03\x04";
const CENTRAL: [u8; 4] = *b"PK\x01\x02";
const END_32: [u8; 4] = *b"PK\x05\x06";
const LOCATOR: [u8; 4] = *b"PK\x06\x07";
const END_64: [u8; 4] = *b"PK\x06\x06";

/// The directory of a zip archive.
#[derive(Debug)]
pub(crate) struct Zip {
    pub(crate) entries: HashMap<String, Entry>,
    /// Names in the order of the directory.
    pub(crate) names: Vec<String>,
}

/// One line of the directory.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// Where its line of the directory is.
    pub(crate) at: u64,
    /// Where its local header is.
    pub(crate) header: u64,
    /// How it is compressed: 0 is not at all, 8 is deflate.
    pub(crate) method: u16,
    pub(crate) encrypted: bool,
    /// Of the content, as the directory states it.
    pub(crate) crc: u32,
    pub(crate) compressed: u64,
    /// Of the content, as the directory states it.
    pub(crate) size: u64,
    /// Where its bytes are, compressed or not.
    pub(crate) data: Range<u64>,
}

impl Zip {
    /// Reads the directory and the header of every entry, and checks that all lie inside the file
    /// and that no two overlap.
    pub(crate) fn read(source: &Source) -> Result<Self, Error> {
        let (count, directory) = directory(source)?;
        let mut cursor = Cursor::new(source, directory.clone())?;
        let mut archive = Self {
            entries: HashMap::new(),
            names: Vec::new(),
        };
        for _ in 0..count {
            let (name, entry) = central(&mut cursor)?;
            let at = entry.at;
            archive.names.push(name.clone());
            if archive.entries.insert(name.clone(), entry).is_some() {
                return Err(source.malformed(at, format!("the zip entry {name:?} occurs twice")));
            }
        }
        for (name, entry) in &mut archive.entries {
            entry.data = local(source, name, entry)?;
        }
        let mut order: Vec<_> = archive.entries.iter().collect();
        order.sort_by_key(|(_, entry)| (entry.header, entry.data.end));
        let mut end = 0;
        for (name, entry) in order {
            if entry.header < end || entry.data.end > directory.start {
                return Err(source.malformed(
                    entry.header,
                    format!("the zip entry {name:?} overlaps another one or the directory"),
                ));
            }
            end = entry.data.end;
        }
        Ok(archive)
    }
}

/// Number of entries and place of the central directory.
fn directory(source: &Source) -> Result<(u64, Range<u64>), Error> {
    let start = source.len().saturating_sub(END);
    let tail = source.read(start, source.len() - start)?;
    // The record that is followed by a comment of exactly the length it states.
    let record = (0..tail.len().saturating_sub(21))
        .rev()
        .find(|&i| {
            tail[i..].starts_with(&END_32)
                && usize::from(u16::from_le_bytes([tail[i + 20], tail[i + 21]]))
                    == tail.len() - i - 22
        })
        .ok_or_else(|| {
            source.malformed(
                source.len(),
                "the zip archive has no end record; the file is cut short or damaged",
            )
        })?;
    let at = start + record as u64;
    let mut cursor = Cursor::new(source, at..source.len())?;
    cursor.skip(10)?;
    let mut count = u64::from(u16::from_le_bytes(cursor.array()?));
    let mut length = u64::from(u32::from_le_bytes(cursor.array()?));
    let mut offset = u64::from(u32::from_le_bytes(cursor.array()?));
    if let Some(wide) = wide_record(source, at)? {
        let mut cursor = Cursor::new(source, wide..at)?;
        if cursor.array()? != END_64 {
            return Err(source.malformed(wide, "no 64-bit end record of a zip archive is here"));
        }
        cursor.skip(28)?;
        count = u64::from_le_bytes(cursor.array()?);
        length = u64::from_le_bytes(cursor.array()?);
        offset = u64::from_le_bytes(cursor.array()?);
    }
    let end = offset
        .checked_add(length)
        .filter(|&end| end <= at && count <= length / 46)
        .ok_or_else(|| {
            source.malformed(
                at,
                format!(
                    "a zip directory of {count} entries and {length} bytes at offset {offset} \
                     does not fit before this end record"
                ),
            )
        })?;
    Ok((count, offset..end))
}

/// Where the 64-bit end record is, if its locator precedes the end record.
fn wide_record(source: &Source, end: u64) -> Result<Option<u64>, Error> {
    let Some(at) = end.checked_sub(20) else {
        return Ok(None);
    };
    let mut cursor = Cursor::new(source, at..end)?;
    if cursor.array()? != LOCATOR {
        return Ok(None);
    }
    cursor.skip(4)?;
    let wide = u64::from_le_bytes(cursor.array()?);
    if wide.checked_add(56).is_none_or(|wide_end| wide_end > at) {
        return Err(source.malformed(
            at,
            format!("the 64-bit end record at offset {wide} is not before its locator"),
        ));
    }
    Ok(Some(wide))
}

/// One line of the directory.
fn central(cursor: &mut Cursor<'_>) -> Result<(String, Entry), Error> {
    let at = cursor.position();
    let source = cursor.source();
    if cursor.array()? != CENTRAL {
        return Err(source.malformed(at, "no entry of the zip directory is here"));
    }
    cursor.skip(4)?;
    let flags = u16::from_le_bytes(cursor.array()?);
    let method = u16::from_le_bytes(cursor.array()?);
    cursor.skip(4)?;
    let crc = u32::from_le_bytes(cursor.array()?);
    let mut compressed = u64::from(u32::from_le_bytes(cursor.array()?));
    let mut size = u64::from(u32::from_le_bytes(cursor.array()?));
    let [name, extra, comment] = [(); 3].map(|()| cursor.array().map(u16::from_le_bytes));
    let (name, extra, comment) = (name?, extra?, comment?);
    cursor.skip(8)?;
    let mut header = u64::from(u32::from_le_bytes(cursor.array()?));
    let name = String::from_utf8_lossy(&cursor.bytes(name.into())?).into_owned();
    let extra = cursor.skip(extra.into())?;
    cursor.skip(comment.into())?;
    cursor.inside(extra, |cursor| {
        while cursor.left() >= 4 {
            let id = u16::from_le_bytes(cursor.array()?);
            let length = u16::from_le_bytes(cursor.array()?);
            let field = cursor.skip(length.into())?;
            if id == 1 {
                cursor.inside(field, |cursor| {
                    for value in [&mut size, &mut compressed, &mut header] {
                        if *value == 0xffff_ffff {
                            *value = u64::from_le_bytes(cursor.array()?);
                        }
                    }
                    Ok(())
                })?;
            }
        }
        Ok(())
    })?;
    let encrypted = flags & 1 != 0;
    let entry = Entry {
        at,
        header,
        method,
        encrypted,
        crc,
        compressed,
        size,
        data: 0..0,
    };
    Ok((name, entry))
}

/// Reads the local header of an entry and returns where its data is.
fn local(source: &Source, name: &str, entry: &Entry) -> Result<Range<u64>, Error> {
    let header = source.read(entry.header, 30)?;
    let short = |i: usize| u64::from(u16::from_le_bytes([header[i], header[i + 1]]));
    if !header.starts_with(&LOCAL) {
        return Err(source.malformed(
            entry.header,
            format!("the header of the zip entry {name:?} is not here"),
        ));
    }
    let start = entry.header + 30 + short(26) + short(28);
    source.check(start, entry.compressed)?;
    Ok(start..start + entry.compressed)
}
