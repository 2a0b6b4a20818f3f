//! [`Inputs`]: images in the order of a model's input.

use std::borrow::Cow;

use crate::images::{Fit, Images};

/// Images that are inputs of a model.
#[derive(Clone, Debug)]
pub struct Inputs {
    images: Images,
    fit: Fit,
}

impl Inputs {
    pub(super) fn new(images: Images, fit: Fit) -> Self {
        Self { images, fit }
    }

    /// The images as the file has them.
    #[must_use]
    pub fn images(&self) -> &Images {
        &self.images
    }

    /// How they become inputs.
    #[must_use]
    pub fn fit(&self) -> &Fit {
        &self.fit
    }

    /// [`Images::values`] in the order of the model's input.
    ///
    /// # Panics
    /// An index beyond the last image.
    #[must_use]
    pub fn values(&self, index: usize) -> Vec<f64> {
        match self.fit.apply(&self.images.values(index)) {
            Cow::Owned(values) => values,
            Cow::Borrowed(values) => values.to_vec(),
        }
    }

    /// [`Images::bytes`] in the order of the model's input.
    ///
    /// # Panics
    /// An index beyond the last image.
    #[must_use]
    pub fn bytes(&self, index: usize) -> Option<Cow<'_, [u8]>> {
        Some(self.fit.apply(self.images.bytes(index)?))
    }
}
