//! The idx format of MNIST and Fashion-MNIST, plain or gzip.

use std::fs::File;
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;

use super::Images;
use crate::error::Error;

const SIDE: usize = 28;
/// More images than any set in this format has; a header that claims more is not believed.
const MOST: usize = 1_000_000;

/// Reads training and test images.
pub(super) fn read(folder: &Path, hint: &'static str) -> Result<(Images, Images), Error> {
    Ok((
        read_part(folder, "train", hint)?,
        read_part(folder, "t10k", hint)?,
    ))
}

/// Reads the images and labels of one part, `train` or `t10k`.
pub(super) fn read_part(folder: &Path, part: &str, hint: &'static str) -> Result<Images, Error> {
    let (path, mut file) = open(folder, &format!("{part}-images-idx3-ubyte"), hint)?;
    let [count, rows, columns] = header(&path, &mut file, 0x803)?;
    if (rows, columns) != (SIDE, SIDE) {
        let found = format!("{rows}×{columns}");
        return Err(Error::data(&path, "images of 28×28 pixels", found));
    }
    let pixels = body(&path, file, count * SIDE * SIDE)?;
    let (label_path, mut file) = open(folder, &format!("{part}-labels-idx1-ubyte"), hint)?;
    let [labels_count] = header(&label_path, &mut file, 0x801)?;
    if labels_count != count {
        let expected = format!("{count} labels, as many as {} has images", path.display());
        return Err(Error::data(&label_path, expected, labels_count));
    }
    let labels = body(&label_path, file, count)?;
    check_labels(&label_path, &labels)?;
    Ok(Images {
        shape: [1, SIDE, SIDE],
        pixels,
        labels,
    })
}

/// Refuses labels that are not 0 to 9.
pub(super) fn check_labels(path: &Path, labels: &[u8]) -> Result<(), Error> {
    match labels.iter().position(|&label| label > 9) {
        Some(i) => Err(Error::data(
            path,
            "labels from 0 to 9",
            format!("{} for image {i}", labels[i]),
        )),
        None => Ok(()),
    }
}

/// Opens `name` or `name.gz`; which of the two it is, the content says.
fn open(folder: &Path, name: &str, hint: &'static str) -> Result<(PathBuf, Box<dyn Read>), Error> {
    for candidate in [name.to_owned(), format!("{name}.gz")] {
        let path = folder.join(candidate);
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(Error::io(&path)(error)),
        };
        let mut magic = [0; 2];
        let gzip = file.read_exact(&mut magic).is_ok() && magic == [0x1f, 0x8b];
        file.rewind().map_err(Error::io(&path))?;
        let buffered = std::io::BufReader::new(file);
        let reader: Box<dyn Read> = if gzip {
            Box::new(GzDecoder::new(buffered))
        } else {
            Box::new(buffered)
        };
        return Ok((path, reader));
    }
    Err(Error::Missing {
        path: folder.join(name),
        hint,
    })
}

/// Reads magic number and `N` sizes, big endian; the first is the number of images.
fn header<const N: usize>(
    path: &Path,
    file: &mut dyn Read,
    magic: u32,
) -> Result<[usize; N], Error> {
    let mut word = || -> Result<u32, Error> {
        let mut bytes = [0; 4];
        match file.read_exact(&mut bytes) {
            Ok(()) => Ok(u32::from_be_bytes(bytes)),
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                let expected = format!("an idx header of {} bytes", 4 * (N + 1));
                Err(Error::data(path, expected, "a shorter file"))
            }
            Err(error) => Err(Error::io(path)(error)),
        }
    };
    let found = word()?;
    if found != magic {
        let expected = format!("the magic number {magic:#010x} (unsigned bytes, {N} axes)");
        return Err(Error::data(path, expected, format!("{found:#010x}")));
    }
    let mut sizes = [0; N];
    for size in &mut sizes {
        *size = word()? as usize;
    }
    if sizes[0] == 0 || sizes[0] > MOST {
        return Err(Error::data(path, format!("1 to {MOST} entries"), sizes[0]));
    }
    Ok(sizes)
}

/// Reads exactly `length` bytes and sees that nothing follows. Memory grows with what is there,
/// not with what the header claims.
fn body(path: &Path, file: Box<dyn Read>, length: usize) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    file.take(length as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(Error::io(path))?;
    if bytes.len() == length {
        return Ok(bytes);
    }
    let expected = format!("{length} bytes after the header");
    let found = if bytes.len() > length {
        "more".to_owned()
    } else {
        format!("{} bytes", bytes.len())
    };
    Err(Error::data(path, expected, found))
}
