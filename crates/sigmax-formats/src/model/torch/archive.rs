//! [`Archive`]: the entries of a zip archive, each stored without compression inside the file.

use crate::bytes::source::Source;
use crate::bytes::zip::Zip;
use crate::error::Error;
use crate::model::torch::Bytes;

/// The directory of an archive of `torch.save`.
#[derive(Debug)]
pub(super) struct Archive(Zip);

impl Archive {
    /// Reads the directory.
    pub(super) fn read(source: &Source) -> Result<Self, Error> {
        Ok(Self(Zip::read(source)?))
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
        if entry.method != 0 || entry.encrypted {
            return Err(source.unsupported(
                format!(
                    "the zip entry {name:?} at offset {} is compressed or encrypted; torch.save \
                     stores entries as they are",
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
