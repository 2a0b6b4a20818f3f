//! Weight files: PyTorch checkpoints in, safetensors in and out. Writing is atomic.

use std::collections::HashMap;
use std::io::Write;
use std::path::Path;

use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};

use crate::error::Error;
use crate::state::{Array, StateDict};

/// Reads the float tensors of a safetensors or PyTorch file; which it is, the content says. The prefix
/// `module.` of PyTorch's `DataParallel` is dropped.
///
/// # Errors
/// A file that cannot be read, has no float tensors, or holds a value that is not an f32 number.
pub fn read_weights(path: &Path) -> Result<StateDict, Error> {
    let model = sigmax_formats::Model::open(path)?;
    let mut state = StateDict::new();
    for tensor in model.read_tensors()? {
        let name = tensor.name.strip_prefix("module.").unwrap_or(&tensor.name);
        let values = tensor.values.iter().map(|&value| narrow(name, value));
        let array = Array {
            shape: tensor.shape.clone(),
            values: values
                .collect::<Result<_, _>>()
                .map_err(Error::in_file(path))?,
        };
        state.insert(name.to_owned(), array);
    }
    if state.is_empty() {
        return Err(Error::checkpoint(path, "no float tensors in this file"));
    }
    Ok(state)
}

/// The f32 that `value` is; NaN stays NaN and is found when the tensor is loaded.
#[allow(clippy::cast_possible_truncation, reason = "checked right below")]
fn narrow(name: &str, value: f64) -> Result<f32, Error> {
    let narrowed = value as f32;
    if f64::from(narrowed).total_cmp(&value).is_ne() && !value.is_nan() {
        return Err(Error::Tensor {
            name: name.to_owned(),
            expected: "values that are 32-bit floats".into(),
            found: format!("{value:?}"),
        });
    }
    Ok(narrowed)
}

/// Reads all tensors of a safetensors file of our own, and the text under `sigmax` in its metadata.
///
/// # Errors
/// As [`read_weights`].
pub fn read_safetensors(path: &Path) -> Result<(StateDict, Option<String>), Error> {
    let wrong = |reason: &dyn std::fmt::Display| Error::checkpoint(path, reason);
    let bytes = std::fs::read(path).map_err(Error::io(path))?;
    let file = SafeTensors::deserialize(&bytes).map_err(|error| wrong(&error))?;
    let (_, metadata) = SafeTensors::read_metadata(&bytes).map_err(|error| wrong(&error))?;
    let note = metadata
        .metadata()
        .as_ref()
        .and_then(|map| map.get(NOTE).cloned());
    let mut state = StateDict::new();
    for (name, view) in file.tensors() {
        if view.dtype() != Dtype::F32 {
            return Err(Error::Tensor {
                name,
                expected: "32-bit floats".into(),
                found: format!("{:?}", view.dtype()),
            });
        }
        let (values, _) = view.data().as_chunks();
        let array = Array {
            shape: view.shape().to_vec(),
            values: values.iter().copied().map(f32::from_le_bytes).collect(),
        };
        state.insert(name, array);
    }
    Ok((state, note))
}

const NOTE: &str = "sigmax";

/// Writes tensors as safetensors, with an optional text. The file appears whole or not at all.
///
/// # Errors
/// Where the file cannot be written.
pub fn write_safetensors(
    path: &Path,
    state: &StateDict,
    note: Option<String>,
) -> Result<(), Error> {
    let wrong = |reason: &dyn std::fmt::Display| Error::checkpoint(path, reason);
    let bytes: Vec<(&String, &Array, Vec<u8>)> = state
        .iter()
        .map(|(name, array)| {
            let bytes = array.values.iter().flat_map(|v| v.to_le_bytes()).collect();
            (name, array, bytes)
        })
        .collect();
    let mut views = Vec::with_capacity(bytes.len());
    for (name, array, bytes) in &bytes {
        let view = TensorView::new(Dtype::F32, array.shape.clone(), bytes)
            .map_err(|error| wrong(&error))?;
        views.push((name.as_str(), view));
    }
    let metadata = note.map(|note| HashMap::from([(NOTE.to_owned(), note)]));
    let file = safetensors::serialize(views, metadata).map_err(|error| wrong(&error))?;
    write_atomically(path, &file)
}

/// Writes a file so that it is seen whole or not at all: beside its place, then renamed.
///
/// # Errors
/// Where the file cannot be written.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(Error::io(path))?;
    file.write_all(bytes).map_err(Error::io(path))?;
    file.as_file().sync_all().map_err(Error::io(path))?;
    // A temporary file is readable by its owner alone; results are for everybody.
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::Permissions::from_mode(0o644);
        file.as_file()
            .set_permissions(mode)
            .map_err(Error::io(path))?;
    }
    file.persist(path)
        .map_err(|error| Error::io(path)(error.error))?;
    Ok(())
}
