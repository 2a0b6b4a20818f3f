//! Image sets: reading the official files, splitting, batching.

mod augment;
mod cifar;
mod mnist;
pub mod synthetic;

use std::path::{Path, PathBuf};

pub use augment::Augment;

use crate::error::Error;
use crate::rng::{Purpose, Rng};

/// Which data set, and with it which files, normalisation and augmentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, clap::ValueEnum)]
pub enum Source {
    /// Handwritten digits, 28×28 grey, idx files.
    Mnist,
    /// Clothing, 28×28 grey, idx files.
    FashionMnist,
    /// Ten kinds of objects, 32×32 colour, binary batches.
    Cifar10,
}

impl Source {
    /// The name as on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Mnist => "mnist",
            Self::FashionMnist => "fashion-mnist",
            Self::Cifar10 => "cifar10",
        }
    }

    /// Where the files are if the user does not say: only Debian's package has a fixed place.
    #[must_use]
    pub fn default_folder(self) -> Option<PathBuf> {
        match self {
            Self::FashionMnist => Some("/usr/share/datasets/fashion-mnist".into()),
            Self::Mnist | Self::Cifar10 => None,
        }
    }

    /// What the files are and where they come from.
    #[must_use]
    pub fn hint(self) -> &'static str {
        match self {
            Self::Mnist => {
                "MNIST is four files, {train,t10k}-{images-idx3,labels-idx1}-ubyte(.gz), from the \
                 MNIST database of Y. LeCun, C. Cortes and C. Burges; put them into one folder \
                 and name it with --data"
            }
            Self::FashionMnist => {
                "Fashion-MNIST is Debian's package dataset-fashion-mnist, or four files from the \
                 repository zalandoresearch/fashion-mnist (data/fashion); name their folder with \
                 --data"
            }
            Self::Cifar10 => {
                "CIFAR-10 is the archive cifar-10-binary.tar.gz (\"binary version\") from the \
                 CIFAR page of A. Krizhevsky, University of Toronto; unpack it and name the \
                 folder cifar-10-batches-bin with --data"
            }
        }
    }

    /// Mean and standard deviation per channel, of pixels scaled to [0, 1].
    #[must_use]
    pub fn normalisation(self) -> (&'static [f32], &'static [f32]) {
        match self {
            Self::Mnist => (&[0.1307], &[0.3081]),
            Self::FashionMnist => (&[0.2860], &[0.3530]),
            Self::Cifar10 => (&[0.485, 0.456, 0.406], &[0.229, 0.224, 0.225]),
        }
    }

    /// The augmentation that is usual for the set.
    #[must_use]
    pub fn augment(self) -> Augment {
        match self {
            Self::Cifar10 => Augment::FlipAndCrop { padding: 4 },
            Self::Mnist | Self::FashionMnist => Augment::None,
        }
    }

    /// Reads training and test images from `folder`.
    ///
    /// # Errors
    /// A file that is missing, truncated, too long, of another format, or with labels above 9.
    pub fn read(self, folder: &Path) -> Result<Data, Error> {
        let (train, test) = match self {
            Self::Mnist | Self::FashionMnist => mnist::read(folder, self.hint())?,
            Self::Cifar10 => cifar::read(folder, self.hint())?,
        };
        Ok(Data { train, test })
    }

    /// Reads the test images only.
    ///
    /// # Errors
    /// As [`Source::read`].
    pub fn read_test(self, folder: &Path) -> Result<Images, Error> {
        match self {
            Self::Mnist | Self::FashionMnist => mnist::read_part(folder, "t10k", self.hint()),
            Self::Cifar10 => cifar::read_files(folder, &["test_batch.bin"], self.hint()),
        }
    }
}

/// The first of `names` that is in `folder`.
fn found(folder: &Path, names: &[&str], hint: &'static str) -> Result<PathBuf, Error> {
    let mut paths = names.iter().map(|name| folder.join(name));
    paths.find(|path| path.exists()).ok_or_else(|| {
        let path = folder.join(names[0]);
        Error::Missing { path, hint }
    })
}

/// The error of the reader, as one of this crate.
fn refused(error: sigmax_formats::Error) -> Error {
    match error {
        sigmax_formats::Error::Images {
            file,
            expected,
            found,
        } => Error::data(&file, expected, found),
        sigmax_formats::Error::Io { file, source, .. } => Error::io(&file)(source),
        other => other.into(),
    }
}

/// Training and test images.
#[derive(Clone, Debug)]
pub struct Data {
    /// For training (and validation).
    pub train: Images,
    /// For the final number only.
    pub test: Images,
}

/// Labelled images of one size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Images {
    /// Channels, height, width.
    pub shape: [usize; 3],
    /// Pixels, image by image, channel by channel, row by row.
    pub pixels: Vec<u8>,
    /// One per image, 0 to 9.
    pub labels: Vec<u8>,
}

impl Images {
    /// Number of images.
    #[must_use]
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The images at `indices`, in that order.
    ///
    /// # Panics
    /// An index beyond the last image.
    #[must_use]
    pub fn select(&self, indices: &[usize]) -> Self {
        let size: usize = self.shape.iter().product();
        let mut pixels = Vec::with_capacity(indices.len() * size);
        for &i in indices {
            pixels.extend_from_slice(&self.pixels[i * size..(i + 1) * size]);
        }
        Self {
            shape: self.shape,
            pixels,
            labels: indices.iter().map(|&i| self.labels[i]).collect(),
        }
    }

    /// The first `n`, or all if there are fewer.
    #[must_use]
    pub fn first(&self, n: usize) -> Self {
        let n = n.min(self.len());
        let size: usize = self.shape.iter().product();
        Self {
            shape: self.shape,
            pixels: self.pixels[..n * size].to_vec(),
            labels: self.labels[..n].to_vec(),
        }
    }

    /// Holds back the last `held` images, and of the others takes `limit` at random (all if
    /// `None`): (training, validation). The subset depends on the seed alone.
    #[must_use]
    pub fn split(&self, held: usize, limit: Option<usize>, seed: u64) -> (Self, Self) {
        let rest = self.len().saturating_sub(held);
        let validation: Vec<usize> = (rest..self.len()).collect();
        let order = Rng::new(seed, Purpose::Subset, [0, 0]).permutation(rest);
        let train = match limit {
            Some(n) if n < rest => self.select(&order[..n]),
            _ if held == 0 => self.clone(),
            _ => self.first(rest),
        };
        (train, self.select(&validation))
    }

    /// Writes image `index`, normalised, to `out`.
    fn normalise(&self, index: usize, normalisation: (&[f32], &[f32]), out: &mut [f32]) {
        let [channels, height, width] = self.shape;
        let plane = height * width;
        let image = &self.pixels[index * channels * plane..(index + 1) * channels * plane];
        for channel in 0..channels {
            let (mean, scale) = (
                normalisation.0[channel],
                1.0 / (255.0 * normalisation.1[channel]),
            );
            let offset = mean / normalisation.1[channel];
            let range = channel * plane..(channel + 1) * plane;
            for (value, &pixel) in out[range.clone()].iter_mut().zip(&image[range]) {
                *value = f32::from(pixel) * scale - offset;
            }
        }
    }

    /// Normalised values `[indices.len(), c, h, w]`, augmented by the given generator.
    pub(crate) fn batch(
        &self,
        indices: &[usize],
        normalisation: (&[f32], &[f32]),
        augment: Augment,
        rng: &mut Rng,
    ) -> Vec<f32> {
        let size: usize = self.shape.iter().product();
        let black: Vec<f32> = std::iter::zip(normalisation.0, normalisation.1)
            .map(|(mean, std)| -mean / std)
            .collect();
        let mut values = vec![0.0; indices.len() * size];
        for (&index, out) in indices.iter().zip(values.chunks_exact_mut(size)) {
            self.normalise(index, normalisation, out);
            augment.apply(self.shape, out, &black, rng);
        }
        values
    }
}
