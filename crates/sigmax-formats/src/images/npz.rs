//! [`File`]: arrays in a zip archive, as `numpy.savez` and `savez_compressed` write them.

use std::ops::Range;

use crate::bytes::gzip;
use crate::bytes::source::Source;
use crate::bytes::zip::Zip;
use crate::error::Error;
use crate::images::bad;
use crate::images::npy::Array;

/// Names of the images, the first that is there.
const IMAGES: [&str; 4] = ["images", "x", "x_test", "data"];
/// Names of the labels, the first that is there.
const LABELS: [&str; 3] = ["labels", "y", "y_test"];
const STORED: u16 = 0;
const DEFLATED: u16 = 8;

/// An archive whose directory is read.
#[derive(Debug)]
pub(super) struct File<'a> {
    source: &'a Source,
    zip: Zip,
}

impl<'a> File<'a> {
    /// Reads the directory.
    pub(super) fn read(source: &'a Source) -> Result<Self, Error> {
        let zip = Zip::read(source)?;
        if zip.names.iter().any(|name| name.ends_with("data.pkl")) {
            return Err(bad(source, "an archive of arrays (.npz)", "a PyTorch file"));
        }
        Ok(Self { source, zip })
    }

    /// The array of images: the one with a name of theirs, or the only one that can be.
    pub(super) fn images(&self) -> Result<Array, Error> {
        if let Some(array) = self.named(&IMAGES)? {
            return Ok(array);
        }
        let mut found = Vec::new();
        for stem in self.stems() {
            if !LABELS.contains(&stem) {
                let array = self.array(stem)?;
                if array.may_be_images() {
                    found.push(array);
                }
            }
        }
        match found.pop() {
            Some(array) if found.is_empty() => Ok(array),
            other => {
                let expected = format!("images in one of the members {}", IMAGES.join(", "));
                let count = found.len() + usize::from(other.is_some());
                let found = format!("{count} others that can be images, in {}", self.list());
                Err(bad(self.source, expected, found))
            }
        }
    }

    /// The array of labels.
    pub(super) fn labels(&self) -> Result<Array, Error> {
        self.named(&LABELS)?.ok_or_else(|| {
            let names = LABELS.join(", ");
            let expected =
                format!("labels, in a file of their own or in one of the members {names}");
            bad(self.source, expected, self.list())
        })
    }

    fn stems(&self) -> impl Iterator<Item = &str> {
        self.zip
            .names
            .iter()
            .filter_map(|name| name.strip_suffix(".npy"))
    }

    fn list(&self) -> String {
        let some: Vec<_> = self.zip.names.iter().take(8).collect();
        format!("{} members, {some:?}", self.zip.names.len())
    }

    fn named(&self, names: &[&str]) -> Result<Option<Array>, Error> {
        let name = names
            .iter()
            .find(|&&name| self.stems().any(|stem| stem == name));
        name.map(|name| self.array(name)).transpose()
    }

    fn array(&self, stem: &str) -> Result<Array, Error> {
        let name = format!("{stem}.npy");
        let entry = &self.zip.entries[&name];
        let range: Range<u64> = entry.data.clone();
        let packed = self.source.part(self.source.file().join(&name), range)?;
        if entry.encrypted {
            return Err(bad(
                &packed,
                "a member that is not encrypted",
                "an encrypted one",
            ));
        }
        let (member, crc) = match entry.method {
            STORED => (packed, entry.crc),
            DEFLATED => gzip::inflate(&packed)?,
            method => {
                let found = format!("zip's method {method}");
                return Err(bad(&packed, "a member that is stored or deflated", found));
            }
        };
        if (member.len(), crc) != (entry.size, entry.crc) {
            let expected = format!("{} bytes with checksum {:08x}", entry.size, entry.crc);
            let found = format!("{} with {crc:08x}", member.len());
            return Err(bad(&member, expected, found));
        }
        Array::read(member)
    }
}
