//! [`CertifyRequest`]: what a certification is asked for, and where its certificates go.

use std::path::PathBuf;
use std::time::Duration;

use sigmax::network::{Arithmetic, Channels};

/// What is asked for.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CertifyRequest {
    /// The images: a file or a folder.
    pub images: PathBuf,
    /// Their labels, where they are not with the images.
    pub labels: Option<PathBuf>,
    /// Only so many of them, the first.
    pub limit: Option<usize>,
    /// Only a part of them.
    pub shard: Option<Shard>,
    /// A file of certificates, of whose model the first line states the constants to use.
    pub constants: Option<PathBuf>,
    /// Distances at which to count what is certified.
    pub eps: Vec<f64>,
    /// What is subtracted from the pixels: nothing, one value, or one per channel.
    pub mean: Vec<f64>,
    /// What they are divided by then: nothing, one value, or one per channel.
    pub std: Vec<f64>,
    /// Where the channels of the model's input are, where shapes do not say so.
    pub layout: Option<Channels>,
    /// Between which numbers floats lie, where that is not 0 to 1.
    pub pixel_range: Option<[f64; 2]>,
    /// Whether only inputs count whose values are in that range, as those of pictures are.
    pub valid_pixels: bool,
    /// Spatial input size, where the model leaves it open.
    pub input_size: Option<Vec<usize>>,
    /// Whether the model has no batch axis, see [`sigmax_formats::Model::set_no_batch`].
    pub no_batch: bool,
    /// Relative width to which norms are proved.
    pub tolerance: f64,
    /// What the certificates speak of.
    pub arithmetic: Arithmetic,
    /// What radii may follow from.
    pub methods: Methods,
    /// How large the radii should be.
    pub radii: Radii,
    /// Time for bounds around each image.
    pub image_budget: Option<Duration>,
    /// Bytes for them, besides those of the network and the images.
    pub memory: Option<usize>,
}

/// One of several parts of a set of images.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shard {
    part: usize,
    parts: usize,
}

impl Shard {
    /// Part `part` of `parts`, from 1: of images that are numbered from 1, those with number ≡ `part` modulo
    /// `parts`. `None` where there is no such part.
    #[must_use]
    pub fn new(part: usize, parts: usize) -> Option<Self> {
        (1..=parts).contains(&part).then_some(Self { part, parts })
    }

    /// Which part, of how many.
    pub(crate) fn numbers(self) -> (usize, usize) {
        (self.part, self.parts)
    }

    /// The images of so many that are in it, from 0.
    pub(crate) fn images(self, count: usize) -> impl Iterator<Item = usize> {
        (self.part - 1..count).step_by(self.parts)
    }
}

/// What radii may follow from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Methods {
    /// All that apply to the network.
    #[default]
    Best,
    /// Lipschitz constants only.
    Global,
    /// Curvature too, or an error where the network has no bound of it.
    Curvature,
    /// Lipschitz constants, and bounds around every image.
    Local,
}

/// How large the radii should be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Radii {
    /// As large as can be proved; by bounds around images only with [`Methods::Local`], otherwise these
    /// are for the distances that were asked for.
    #[default]
    Full,
    /// Only as large as the largest distance that was asked for.
    UpToEps,
}

/// Where the certificates go.
#[derive(Clone, Debug)]
pub struct CertificateFile {
    /// The file.
    pub path: PathBuf,
    /// What becomes of what is in it.
    pub existing: Existing,
}

/// What becomes of the certificates that a file has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Existing {
    /// They are replaced.
    #[default]
    Replaced,
    /// They are confirmed and counted, and the rest is added.
    Resumed,
}

impl CertifyRequest {
    /// A certification of these images in real arithmetic, norms to 1e-3.
    #[must_use]
    pub fn new(images: PathBuf) -> Self {
        Self {
            images,
            labels: None,
            limit: None,
            shard: None,
            constants: None,
            eps: Vec::new(),
            mean: Vec::new(),
            std: Vec::new(),
            layout: None,
            pixel_range: None,
            valid_pixels: false,
            input_size: None,
            no_batch: false,
            tolerance: 1e-3,
            arithmetic: Arithmetic::Real,
            methods: Methods::Best,
            radii: Radii::Full,
            image_budget: None,
            memory: None,
        }
    }
}
