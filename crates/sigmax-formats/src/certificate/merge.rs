//! Puts the certificates of parts of a set of images together.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use super::lines::Lines;
use super::{Header, Line};
use crate::error::Error;

/// Puts the certificates of `files` together, in the order of their images, and hands line after line to
/// `write`; how many images there are. Nothing is confirmed.
///
/// # Errors
/// [`Error::Io`] and [`Error::NoCertificate`] as of each file; [`Error::NotOfOneSet`] where first lines differ,
/// or an image is in two files or, up to the last one, in none; and whatever `write` says.
pub fn merge<E: From<Error>>(
    files: &[PathBuf],
    mut write: impl FnMut(&str) -> Result<(), E>,
) -> Result<usize, E> {
    let mut readers: Vec<(&Path, BufReader<File>)> = Vec::new();
    for path in files {
        let file = File::open(path).map_err(|source| Error::Io {
            file: path.clone(),
            action: "open",
            source,
        })?;
        readers.push((path, BufReader::new(file)));
    }
    let mut parts: Vec<Lines<'_>> = readers
        .iter_mut()
        .map(|(path, reader)| Lines::new(path, reader))
        .collect();
    let mut header: Option<String> = None;
    for part in &mut parts {
        let Some(first) = part.next()? else {
            return Err(part.malformed("it is empty").into());
        };
        Header::parse(&first).map_err(|reason| part.malformed(reason))?;
        match &header {
            None => {
                write(&first)?;
                header = Some(first);
            }
            Some(header) if *header == first => {}
            Some(_) => {
                let reason = "its first line is not that of the first file: parts of one set are of one model, \
                              one version and one set of options, and of the same constants \
                              (sigmax certify --constants)";
                return Err(part.apart(reason).into());
            }
        }
    }
    // The next line of every part, with the number of its image.
    let mut next = Vec::with_capacity(parts.len());
    for part in &mut parts {
        next.push(read(part, None)?);
    }
    let mut images = 0;
    loop {
        let numbers = next.iter().enumerate();
        let first = numbers.filter_map(|(part, line)| Some((line.as_ref()?.0, part)));
        let Some((index, part)) = first.min() else {
            return Ok(images);
        };
        if index < images {
            let reason = format!("image {index} is in another file too");
            return Err(parts[part].apart(reason).into());
        }
        if index > images {
            let reason =
                format!("image {images} is in none of the files, and {index} is in this one");
            return Err(parts[part].apart(reason).into());
        }
        let following = read(&mut parts[part], Some(index))?;
        if let Some((_, line)) = std::mem::replace(&mut next[part], following) {
            write(&line)?;
        }
        images += 1;
    }
}

/// The next line, and the number of its image, which is larger than the last.
fn read(part: &mut Lines<'_>, last: Option<usize>) -> Result<Option<(usize, String)>, Error> {
    let Some(text) = part.next()? else {
        return Ok(None);
    };
    let line = Line::parse(&text).map_err(|reason| part.malformed(reason))?;
    if last.is_some_and(|last| line.index <= last) {
        let reason = format!(
            "image {} comes after one of that number or a larger one",
            line.index
        );
        return Err(part.apart(reason));
    }
    Ok(Some((line.index, text)))
}
