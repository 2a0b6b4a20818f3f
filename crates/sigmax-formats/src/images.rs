//! [`Images`]: labelled test images, from the files and folders that data sets come in.
//!
//! | content | images | labels |
//! |---|---|---|
//! | idx (MNIST), plain or gzip | unsigned bytes `[n, h, w]`, or `[n, …]` with three axes more | a file of labels |
//! | CIFAR-10, binary version | records of 1 + 3·32·32 bytes | in the file |
//! | `.npy` | `u1`, `f2`, `f4` or `f8`, `[n, h, w]`, `[n, d]`, or `[n, …]` with three axes more | a file of labels |
//! | `.npz` | the member `images`, `x`, `x_test` or `data`, or the only one that can be images | a file of labels, or the member `labels`, `y` or `y_test` |
//! | a PNG or JPEG picture | one image | a file of one label |
//! | a folder with `t10k-images-idx3-ubyte` or `test_batch.bin` | that file | `t10k-labels-idx1-ubyte`, or in the file |
//! | a folder `CLASS/*.png`, `*.jpg`, `*.jpeg` | the pictures | the folders |
//!
//! A file of labels is idx (one axis of unsigned bytes), `.npy` (integers, `[n]` or `[n, 1]`) or
//! `.npz` (the member as above), plain or gzip. Files are recognised by content.
//!
//! Of pictures, CIFAR-10 and idx files with three axes, the format says which axis is which
//! ([`Axes::Picture`]); of arrays only their shape is known. [`Images::fit`] makes them inputs of a
//! model.

use std::path::{Path, PathBuf};

use sigmax::network::Channels;

mod axes;
mod bytes;
mod cifar;
mod content;
mod decoded;
mod fit;
mod folder;
mod idx;
mod inputs;
mod jpeg;
mod labels;
mod npy;
mod npz;
mod open;
mod pixels;
mod png;

pub use axes::Axes;
pub use cifar::Cifar10;
pub use fit::Fit;
pub use idx::Idx;
pub use inputs::Inputs;
pub use pixels::Units;

pub(crate) use fit::is_arranged;

use crate::bytes::source::Source;
use crate::error::Error;
use content::Content;
use pixels::Pixels;

/// What is read as images, for errors.
const EXPECTED: &str = "labelled images: idx (MNIST), CIFAR-10 records, .npy, .npz, a PNG or JPEG \
                        picture, or a folder of pictures by class";

/// Labelled images of one shape.
///
/// # Units
/// Bytes are divided by 255, and 16-bit samples of PNG pictures by 65535; float data is taken as it
/// is. Nothing else is done: no gamma, no colour profile, no orientation, no normalisation. JPEG is
/// lossy: another decoder may give other pixels.
#[derive(Clone, Debug)]
pub struct Images {
    file: PathBuf,
    axes: Axes,
    pixels: Pixels,
    labels: Vec<usize>,
    names: Option<Vec<String>>,
    classes: Option<Vec<String>>,
}

impl Images {
    /// Reads at most `limit` images, the first ones; of a folder of pictures by class, as many of
    /// each class as of the others, as far as they go.
    ///
    /// In a folder by class, classes are sorted by name and numbered from 0; if all names are
    /// numbers, they are the numbers. In a class, pictures are sorted by name; the pictures are
    /// recognised by content and are 8-bit or 16-bit, grey or colour, opaque.
    ///
    /// # Errors
    /// Content that is none of what is read, or malformed; labels that are missing, given twice,
    /// not as many as the images, negative or no integers; no images; images of different shapes;
    /// values that are not finite; more than a limit of this crate.
    pub fn open(images: &Path, labels: Option<&Path>, limit: Option<usize>) -> Result<Self, Error> {
        some(images, limit)?;
        if images.is_dir() {
            return folder::read(images, labels, limit);
        }
        let labels = labels.map(labels::open).transpose()?;
        Self::read(open::file(images, EXPECTED)?, labels, limit)
    }

    /// Reads images and labels from memory; the names stand for the files in errors.
    ///
    /// # Errors
    /// As [`Images::open`].
    pub fn from_bytes(
        images: (&str, Vec<u8>),
        labels: Option<(&str, Vec<u8>)>,
        limit: Option<usize>,
    ) -> Result<Self, Error> {
        some(images.0.as_ref(), limit)?;
        let source = |(name, bytes): (&str, Vec<u8>)| {
            let len = bytes.len() as u64;
            Source::new(name.into(), len, std::io::Cursor::new(bytes))
        };
        let labels = labels.map(|labels| labels::plain(source(labels)));
        let images = open::plain(source(images), EXPECTED)?;
        Self::read(images, labels.transpose()?, limit)
    }

    fn read(images: Source, labels: Option<Source>, limit: Option<usize>) -> Result<Self, Error> {
        let mut inside = None;
        let stack = match content::recognise(&images, EXPECTED)? {
            Content::Cifar10 => {
                if let Some(labels) = labels {
                    let found = format!("{} too", labels.file().display());
                    return Err(bad(
                        &images,
                        "no other labels than those in the file",
                        found,
                    ));
                }
                let file = Cifar10::new(images)?;
                let take = limit.map_or(file.len(), |limit| limit.min(file.len()));
                let (labels, pixels) = file.read(take)?;
                return Ok(Self {
                    file: file.file().to_owned(),
                    axes: Axes::Picture(cifar::SHAPE),
                    pixels: Pixels::Bytes(pixels),
                    labels: labels.into_iter().map(usize::from).collect(),
                    names: None,
                    classes: None,
                });
            }
            Content::Npz => {
                let file = npz::File::read(&images)?;
                let array = file.images()?;
                if labels.is_none() {
                    inside = Some(file.labels()?);
                }
                array.images(limit)?
            }
            content => {
                if labels.is_none() {
                    let found = "no file of labels";
                    return Err(bad(&images, "labels, in a file of their own", found));
                }
                match content {
                    Content::Idx => Idx::new(images, &[3, 4])?.images(limit)?,
                    Content::Npy => npy::Array::read(images)?.images(limit)?,
                    Content::Png => png::decode(&images)?,
                    _ => jpeg::decode(&images)?,
                }
            }
        };
        let labels = match (inside, labels) {
            (Some(array), _) => labels::of_array(&array, &stack)?,
            (None, Some(source)) => labels::read(source, &stack)?,
            (None, None) => Vec::new(),
        };
        Ok(Self {
            file: stack.file,
            axes: stack.axes,
            pixels: stack.pixels,
            labels,
            names: None,
            classes: None,
        })
    }

    /// How the entries of every image are arranged.
    #[must_use]
    pub fn axes(&self) -> &Axes {
        &self.axes
    }

    /// What the values of the images are.
    #[must_use]
    pub fn units(&self) -> Units {
        self.pixels.units()
    }

    /// The images as inputs of this shape (batch axis left out) of a model: by equal shapes, with
    /// an axis of 1 for one channel or without, flattened for a flat input, or transposed for one
    /// with the channels at the other end. `layout` is that of the input, where somebody states it.
    ///
    /// # Errors
    /// [`Error::Images`] for images that do not fit, or that fit in two ways where no layout is
    /// stated; it names both.
    pub fn fit(self, input: &[usize], layout: Option<Channels>) -> Result<Inputs, Error> {
        match Fit::new(&self.axes, input, layout) {
            Ok(fit) => Ok(Inputs::new(self, fit)),
            Err((expected, found)) => Err(bad_file(&self.file, expected, found)),
        }
    }

    /// Number of images, at least 1.
    #[must_use]
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are none: never.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The class of image `index`.
    ///
    /// # Panics
    /// An index beyond the last image.
    #[must_use]
    pub fn label(&self, index: usize) -> usize {
        self.labels[index]
    }

    /// What image `index` is called: `cat/0003.png` in a folder by class, its index elsewhere.
    ///
    /// # Panics
    /// An index beyond the last image.
    #[must_use]
    pub fn name(&self, index: usize) -> String {
        match &self.names {
            Some(names) => names[index].clone(),
            None => index.to_string(),
        }
    }

    /// The values of image `index` in the order of [`Images::axes`].
    ///
    /// # Units
    /// In [0, 1], each rounded once to nearest, where the file has integers; as they are where it
    /// has floats. All are finite.
    ///
    /// # Panics
    /// An index beyond the last image.
    #[must_use]
    pub fn values(&self, index: usize) -> Vec<f64> {
        assert!(index < self.len(), "there are {} images", self.len());
        self.pixels.values(index, self.size())
    }

    /// The entries of image `index` as bytes, to be divided by 255, where the file has bytes.
    ///
    /// # Panics
    /// An index beyond the last image.
    #[must_use]
    pub fn bytes(&self, index: usize) -> Option<&[u8]> {
        let size = self.size();
        match &self.pixels {
            Pixels::Bytes(bytes) => Some(&bytes[index * size..(index + 1) * size]),
            Pixels::Words(_) | Pixels::Floats { .. } => None,
        }
    }

    /// Entries of an image.
    fn size(&self) -> usize {
        self.axes.shape().iter().product()
    }

    /// Whether [`Images::values`] are the values of the file. If not, they are the nearest f64 to
    /// the integers of the file over 255 or 65535: the relative error is at most 2⁻⁵³.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        matches!(self.pixels, Pixels::Floats { .. })
    }

    /// Names of the folders, where pictures come in folders by class: in the order of their
    /// labels, which are the indices unless the names are numbers.
    #[must_use]
    pub fn classes(&self) -> Option<&[String]> {
        self.classes.as_deref()
    }
}

/// [`Error::Images`].
fn bad(source: &Source, expected: impl Into<String>, found: impl Into<String>) -> Error {
    bad_file(source.file(), expected, found)
}

/// [`Error::Images`] of a path.
fn bad_file(file: &Path, expected: impl Into<String>, found: impl Into<String>) -> Error {
    Error::Images {
        file: file.to_owned(),
        expected: expected.into(),
        found: found.into(),
    }
}

/// A limit of 0 asks for nothing.
fn some(images: &Path, limit: Option<usize>) -> Result<(), Error> {
    match limit {
        Some(0) => Err(bad_file(images, "a limit of at least one image", "0")),
        _ => Ok(()),
    }
}
