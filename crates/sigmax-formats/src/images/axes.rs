//! [`Axes`]: how the entries of an image are arranged.

use std::fmt;

/// How the entries of every image of a set are arranged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Axes {
    /// Channels, height and width, in this order: known from the format.
    Picture([usize; 3]),
    /// An array of which only the shape is known.
    Array(Vec<usize>),
}

impl Axes {
    /// The extents, the last one running fastest.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        match self {
            Self::Picture(shape) => shape,
            Self::Array(shape) => shape,
        }
    }
}

impl fmt::Display for Axes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Picture([channels, height, width]) => {
                let plural = if *channels == 1 { "" } else { "s" };
                write!(
                    f,
                    "pictures of {channels} channel{plural}, height {height} and width {width}"
                )
            }
            Self::Array(shape) => write!(f, "arrays of shape {shape:?}"),
        }
    }
}
