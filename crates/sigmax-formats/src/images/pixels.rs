//! [`Pixels`]: what images are made of, as narrow as it comes.

use std::fmt;
use std::path::PathBuf;

use crate::bytes::element::Element;
use crate::images::Axes;

/// What the values of images are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Units {
    /// Bytes over 255.
    Bytes,
    /// 16-bit samples over 65535.
    Words,
    /// Floats as the file has them.
    Floats {
        /// The smallest value.
        least: f64,
        /// The largest one.
        most: f64,
    },
}

impl fmt::Display for Units {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes => write!(f, "bytes over 255"),
            Self::Words => write!(f, "16-bit samples over 65535"),
            Self::Floats { least, most } => write!(f, "floats from {least} to {most}"),
        }
    }
}

/// The entries of images of one size, image by image.
#[derive(Clone, Debug)]
pub(super) enum Pixels {
    /// Over 255.
    Bytes(Vec<u8>),
    /// Over 65535.
    Words(Vec<u16>),
    /// Little-endian entries of this type, all finite and in this range.
    Floats {
        element: Element,
        bytes: Vec<u8>,
        range: [f64; 2],
    },
}

impl Pixels {
    /// What the values are.
    pub(super) fn units(&self) -> Units {
        match *self {
            Self::Bytes(_) => Units::Bytes,
            Self::Words(_) => Units::Words,
            Self::Floats {
                range: [least, most],
                ..
            } => Units::Floats { least, most },
        }
    }

    /// The values of image `index` of `size` entries.
    pub(super) fn values(&self, index: usize, size: usize) -> Vec<f64> {
        let range = index * size..(index + 1) * size;
        match self {
            Self::Bytes(bytes) => bytes[range].iter().map(|&b| f64::from(b) / 255.0).collect(),
            Self::Words(words) => words[range]
                .iter()
                .map(|&w| f64::from(w) / 65535.0)
                .collect(),
            Self::Floats { element, bytes, .. } => {
                let mut values = Vec::with_capacity(size);
                let width = element.size();
                element.widen(&bytes[width * range.start..width * range.end], &mut values);
                values
            }
        }
    }

    /// Appends a picture. b/255 = 257·b/65535: pictures of both depths fit together.
    pub(super) fn push(&mut self, picture: Self) {
        let wide = |bytes: &[u8]| {
            bytes
                .iter()
                .map(|&b| 257 * u16::from(b))
                .collect::<Vec<_>>()
        };
        match (&mut *self, picture) {
            (Self::Bytes(all), Self::Bytes(bytes)) => all.extend(bytes),
            (Self::Words(all), Self::Words(words)) => all.extend(words),
            (Self::Words(all), Self::Bytes(bytes)) => all.extend(wide(&bytes)),
            (Self::Bytes(all), Self::Words(words)) => {
                let mut all = wide(all);
                all.extend(words);
                *self = Self::Words(all);
            }
            (Self::Floats { .. }, _) | (_, Self::Floats { .. }) => {
                unreachable!("pictures are no floats")
            }
        }
    }
}

/// The first images of a file.
#[derive(Debug)]
pub(super) struct Stack {
    /// The file.
    pub(super) file: PathBuf,
    /// How many images it has.
    pub(super) total: usize,
    /// How many of them are here.
    pub(super) take: usize,
    /// How the entries of each are arranged.
    pub(super) axes: Axes,
    pub(super) pixels: Pixels,
}
