//! Folders: of a known data set, or of pictures by class.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::images::content::{self, Content};
use crate::images::pixels::Stack;
use crate::images::{Axes, Images, bad_file, bytes, jpeg, open, png};

/// What is read in a folder, for errors.
const EXPECTED: &str = "t10k-images-idx3-ubyte(.gz), test_batch.bin, or a folder of PNG or JPEG \
                        pictures for each class";
/// What a picture is, for errors.
const PICTURE: &str = "a PNG or JPEG picture";
const PICTURES: [&str; 3] = ["png", "jpg", "jpeg"];
/// Pictures that are not read, and should not go missing from a set without a word.
const OTHERS: [&str; 10] = [
    "avif", "bmp", "gif", "jp2", "jxl", "pgm", "ppm", "tif", "tiff", "webp",
];

/// Reads what the folder holds.
pub(super) fn read(
    folder: &Path,
    labels: Option<&Path>,
    limit: Option<usize>,
) -> Result<Images, Error> {
    if let Some(images) = either(folder, "t10k-images-idx3-ubyte") {
        let inside = either(folder, "t10k-labels-idx1-ubyte");
        return Images::open(&images, labels.or(inside.as_deref()), limit);
    }
    let batch = folder.join("test_batch.bin");
    if batch.is_file() {
        return Images::open(&batch, labels, limit);
    }
    if let Some(labels) = labels {
        let found = format!("{} too", labels.display());
        return Err(bad_file(folder, "no other labels than the folders", found));
    }
    by_class(folder, limit)
}

/// `name` or `name.gz`, if it is there.
fn either(folder: &Path, name: &str) -> Option<PathBuf> {
    [name.to_owned(), format!("{name}.gz")]
        .into_iter()
        .map(|name| folder.join(name))
        .find(|path| path.is_file())
}

/// A picture on disk.
struct Place {
    /// Position of its class in the list of classes.
    class: usize,
    /// Position in its class.
    rank: usize,
    path: PathBuf,
    name: String,
}

fn by_class(folder: &Path, limit: Option<usize>) -> Result<Images, Error> {
    let (classes, numbers) = classes(folder)?;
    let mut places = Vec::new();
    for (class, name) in classes.iter().enumerate() {
        places.extend(pictures(&folder.join(name), class)?);
    }
    if let Some(limit) = limit {
        places.sort_by_key(|place| (place.rank, place.class));
        places.truncate(limit);
        places.sort_by_key(|place| (place.class, place.rank));
    }
    let [first, rest @ ..] = &places[..] else {
        let found = format!("{} folders without pictures", classes.len());
        return Err(bad_file(folder, EXPECTED, found));
    };
    let mut stack = decode(&first.path)?;
    // Two bytes a sample at most.
    let most = 2 * stack.axes.shape().iter().product::<usize>();
    bytes::total(folder, places.len(), most)?;
    for place in rest {
        let picture = decode(&place.path)?;
        if picture.axes != stack.axes {
            let first = first.path.display();
            let expected = format!("{}, as {first} has", size(&stack.axes));
            return Err(bad_file(&place.path, expected, size(&picture.axes)));
        }
        stack.pixels.push(picture.pixels);
    }
    let class = |place: &Place| classes[place.class].to_string_lossy().into_owned();
    let name = |place: &Place| format!("{}/{}", class(place), place.name);
    Ok(Images {
        file: folder.to_owned(),
        axes: stack.axes,
        pixels: stack.pixels,
        labels: places.iter().map(|place| numbers[place.class]).collect(),
        names: Some(places.iter().map(name).collect()),
        classes: Some(
            classes
                .iter()
                .map(|name| name.to_string_lossy().into_owned())
                .collect(),
        ),
    })
}

/// Names of the classes and their numbers, in order.
fn classes(folder: &Path) -> Result<(Vec<OsString>, Vec<usize>), Error> {
    let mut names = Vec::new();
    for (name, path) in entries(folder)? {
        if path.is_dir() {
            names.push(name);
        } else if has_ending(&path, &PICTURES) {
            let found = format!("the picture {} in no class", path.display());
            return Err(bad_file(folder, EXPECTED, found));
        }
    }
    if names.is_empty() {
        return Err(bad_file(folder, EXPECTED, "no folders"));
    }
    let numbers: Option<Vec<usize>> = names.iter().map(number).collect();
    let Some(numbers) = numbers else {
        let numbers = (0..names.len()).collect();
        return Ok((names, numbers));
    };
    let mut both: Vec<_> = std::iter::zip(numbers, names).collect();
    both.sort();
    if let Some(twice) = both.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        let found = format!("{:?} and {:?}", twice[0].1, twice[1].1);
        return Err(bad_file(folder, "one folder for each class", found));
    }
    let (numbers, names) = both.into_iter().unzip();
    Ok((names, numbers))
}

/// The number that a name is.
fn number(name: &OsString) -> Option<usize> {
    let digits = name.to_str()?;
    let all = digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| all)
}

/// The pictures of one class, in order.
fn pictures(folder: &Path, class: usize) -> Result<Vec<Place>, Error> {
    let mut places = Vec::new();
    for (name, path) in entries(folder)? {
        if path.is_dir() {
            let expected = "the pictures of one class, and no folders";
            return Err(bad_file(folder, expected, format!("{name:?}")));
        }
        if has_ending(&path, &PICTURES) {
            places.push(Place {
                class,
                rank: places.len(),
                path,
                name: name.to_string_lossy().into_owned(),
            });
        } else if has_ending(&path, &OTHERS) {
            return Err(bad_file(&path, PICTURE, "another format"));
        }
    }
    Ok(places)
}

/// Names and paths in a folder, sorted, without hidden ones.
fn entries(folder: &Path) -> Result<Vec<(OsString, PathBuf)>, Error> {
    let io = |source| Error::Io {
        file: folder.to_owned(),
        action: "read",
        source,
    };
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(io)? {
        let entry = entry.map_err(io)?;
        if !entry.file_name().as_encoded_bytes().starts_with(b".") {
            entries.push((entry.file_name(), entry.path()));
        }
    }
    entries.sort();
    Ok(entries)
}

fn has_ending(path: &Path, endings: &[&str]) -> bool {
    let ending = path.extension().unwrap_or_default();
    endings
        .iter()
        .any(|known| ending.eq_ignore_ascii_case(known))
}

fn decode(path: &Path) -> Result<Stack, Error> {
    let source = open::file(path, PICTURE)?;
    match content::recognise(&source, PICTURE)? {
        Content::Png => png::decode(&source),
        Content::Jpeg => jpeg::decode(&source),
        other => Err(bad_file(path, PICTURE, format!("{other:?}"))),
    }
}

fn size(axes: &Axes) -> String {
    match axes {
        Axes::Picture([channels, height, width]) => {
            format!("{channels} channels of {width}×{height} pixels")
        }
        Axes::Array(shape) => format!("{shape:?}"),
    }
}
