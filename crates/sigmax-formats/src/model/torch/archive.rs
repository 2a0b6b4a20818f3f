//! [`Archive`]: the entries of a zip archive, each as it is inside the file, or inside a temporary one where
//! somebody has packed the archive again with compression.

use std::io::Seek;

use crate::bytes::gzip;
use crate::bytes::source::Source;
use crate::bytes::zip::Zip;
use crate::error::Error;
use crate::model::torch::Bytes;

/// How `torch.save` writes entries, and how zip programs do.
const STORED: u16 = 0;
const DEFLATED: u16 = 8;

/// The directory of an archive of `torch.save`.
#[derive(Debug)]
pub(super) struct Archive(Zip);

impl Archive {
    /// Reads the directory.
    pub(super) fn read(source: &Source) -> Result<Self, Error> {
        Ok(Self(Zip::read(source)?))
    }

    /// The same archive with every entry as it is, and the temporary file that it is in then; `None` where no
    /// entry is deflated. Lengths and checksums of what is copied are compared with the directory.
    ///
    /// # Errors
    /// Also where the entries are larger than what weights compress by allows, which is known before
    /// anything is decompressed.
    pub(super) fn unpacked(&self, source: &Source) -> Result<Option<(Source, Self)>, Error> {
        let Zip { entries, names } = &self.0;
        let copied = |method: u16| method == STORED || method == DEFLATED;
        if !entries
            .values()
            .any(|entry| entry.method == DEFLATED && !entry.encrypted)
        {
            return Ok(None);
        }
        let sizes = entries.values().map(|entry| entry.size);
        let total = sizes.fold(0u64, u64::saturating_add);
        source.limit(
            "the decompressed size in bytes",
            gzip::most(source.len()),
            total,
        )?;
        let mut file = gzip::temporary(source)?;
        let mut plain = Zip {
            entries: entries.clone(),
            names: names.clone(),
        };
        let mut end = 0u64;
        let mut order: Vec<_> = plain.entries.iter_mut().collect();
        order.sort_by_key(|(_, entry)| entry.header);
        for (name, entry) in order {
            if entry.encrypted || !copied(entry.method) {
                continue;
            }
            let part = source.part(source.file().to_owned(), entry.data.clone())?;
            let inflate = entry.method == DEFLATED;
            let wrong = |what: String| {
                source.malformed(entry.header, format!("the zip entry {name:?} {what}"))
            };
            let (length, crc) = gzip::append(&part, inflate, entry.size, &mut file).map_err(
                |error| match error {
                    Error::TooLarge { limit, .. } => wrong(format!(
                        "is longer than the {limit} bytes that the directory states"
                    )),
                    Error::Io { source, .. } if inflate => {
                        wrong(format!("cannot be decompressed: {source}"))
                    }
                    error => error,
                },
            )?;
            if (length, crc) != (entry.size, entry.crc) {
                return Err(wrong(format!(
                    "has {length} bytes with checksum {crc:08x}; expected {} with {:08x}",
                    entry.size, entry.crc
                )));
            }
            entry.data = end..end + length;
            (entry.method, entry.compressed) = (STORED, length);
            end += length;
        }
        file.rewind().map_err(|error| Error::Io {
            file: source.file().to_owned(),
            action: "decompress",
            source: error,
        })?;
        let source = Source::new(source.file().to_owned(), end, file);
        Ok(Some((source, Self(plain))))
    }

    /// What precedes `data.pkl`: empty, or a folder with its `/`.
    pub(super) fn root(&self) -> Option<&str> {
        self.0
            .names
            .iter()
            .filter_map(|name| name.strip_suffix("data.pkl"))
            .filter(|root| root.is_empty() || root.ends_with('/'))
            .min_by_key(|root| root.len())
    }

    /// Whether there is code beside the data.
    pub(super) fn is_torchscript(&self, root: &str) -> bool {
        let code = format!("{root}code/");
        self.0.entries.contains_key(&format!("{root}constants.pkl"))
            || self.0.names.iter().any(|name| name.starts_with(&code))
    }

    /// What an archive without `data.pkl` seems to be.
    pub(super) fn description(&self) -> String {
        let ends = |end: &str| self.0.names.iter().any(|name| name.ends_with(end));
        if self.0.names.is_empty() {
            "an empty zip archive".to_owned()
        } else if ends(".weights.h5") {
            "a Keras archive".to_owned()
        } else if ends(".npy") {
            "a NumPy archive (.npz)".to_owned()
        } else if ends("archive_format") {
            "a program of torch.export (.pt2); save its state_dict with torch.save instead"
                .to_owned()
        } else {
            let first: Vec<_> = self.0.names.iter().take(3).collect();
            format!("a zip archive without data.pkl, with {first:?} in it")
        }
    }

    /// The data of an entry that need not be there.
    pub(super) fn optional(&self, source: &Source, name: &str) -> Result<Option<Bytes>, Error> {
        let Some(entry) = self.0.entries.get(name) else {
            return Ok(None);
        };
        if entry.method != STORED || entry.encrypted {
            let how = match entry.encrypted {
                true => "encrypted".to_owned(),
                false => format!("compressed by zip's method {}", entry.method),
            };
            return Err(source.unsupported(
                format!(
                    "the zip entry {name:?} at offset {} is {how}; entries are read that are stored as \
                     they are, as by torch.save, or deflated",
                    entry.header
                ),
                "unpack it and pack it without compression (zip -0), or save it again in PyTorch",
            ));
        }
        if entry.size != entry.compressed {
            return Err(source.malformed(
                entry.at,
                format!(
                    "the zip entry {name:?} is stored as it is, and {} bytes long in {} bytes",
                    entry.size, entry.compressed
                ),
            ));
        }
        Ok(Some(entry.data.clone()))
    }

    /// The data of an entry.
    pub(super) fn required(&self, source: &Source, name: &str) -> Result<Bytes, Error> {
        self.optional(source, name)?
            .ok_or_else(|| source.malformed(0, format!("the zip archive has no entry {name:?}")))
    }
}
