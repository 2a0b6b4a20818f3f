//! [`Gradient`]: the derivative of a difference of logits, with a proved error (T33).

use crate::claim::Upper;
use crate::error::Error;
use crate::network::curvature::no_curvature;
use crate::network::eval::forward::{Forward, Inexact};
use crate::network::eval::gradient::{Path, Seed};
use crate::network::logits::logits;

/// The derivative of a logit, or of a difference of two, by the input.
#[derive(Clone, Debug, PartialEq)]
pub struct Gradient {
    values: Vec<f64>,
    error: Upper,
}

impl Gradient {
    /// The entries as computed, row-major in the shape of the network's input.
    #[must_use]
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// An upper bound of the ℓ₂ distance to the exact gradient; so every entry is off by at most it.
    #[must_use]
    pub fn error(&self) -> Upper {
        self.error
    }
}

impl Forward {
    /// ∇(z_plus − z_minus) at an image, or ∇z_plus, z the logits: the output, or what a final softmax
    /// reads.
    ///
    /// Reverse mode: g is the output's unit vectors; through a linear node Wᵀg, through an activation
    /// that read x, σ'(x)∘g.
    ///
    /// # Guarantee
    /// Of the network with real arithmetic and the given parameters, the image taken as exact:
    /// ‖values − ∇f‖₂ ≤ error. With errors β of g and r of x, a linear node leaves ‖W‖·β and its
    /// roundings, an activation sup|σ'|·β + sup|σ''|·r·‖g‖_∞ + (error of σ')·‖g‖₂ and its roundings. +∞
    /// where a value leaves the range of f64.
    ///
    /// # Shapes
    /// `image` has as many entries as the network's input, and so have the values.
    ///
    /// # Errors
    /// [`Error::NotAClassifier`]; [`Error::NoCurvature`] where the logits depend on a node whose
    /// derivative is not Lipschitz (a kink), or is not covered; [`Error::Label`] for a class that does not
    /// exist; [`Error::Length`] for another number of entries; [`Error::NotFinite`].
    ///
    /// # Source
    /// T31, T33.
    ///
    /// # Example
    /// ```
    /// use sigmax::network::{Activation, Forward, NetworkBuilder, Op, lipschitz};
    /// use sigmax::{Kernel, Options};
    /// let mut net = NetworkBuilder::new(&[2])?;
    /// let x = net.add("softplus", Op::Activation(Activation::Softplus), &[net.input()])?;
    /// let kernel = Kernel::new(&[2, 2], vec![6.0, 0.0, 0.0, -8.0])?;
    /// let z = net.add("logits", Op::dense(kernel), &[x])?;
    /// let bounds = lipschitz(&net.finish(&[z])?, &Options::default())?;
    /// // z_0 − z_1 = 6·softplus(x_0) + 8·softplus(x_1), and the slope of softplus at 0 is ½.
    /// let gradient = Forward::new(&bounds)?.gradient(&[0.0, 0.0], 0, Some(1))?;
    /// let off = (gradient.values()[0] - 3.0).hypot(gradient.values()[1] - 4.0);
    /// assert!(off <= gradient.error().get() && gradient.error().get() < 1e-13);
    /// # Ok::<(), sigmax::Error>(())
    /// ```
    pub fn gradient(
        &self,
        image: &[f64],
        plus: usize,
        minus: Option<usize>,
    ) -> Result<Gradient, Error> {
        let network = self.network();
        network.check_exact()?;
        let (logits, classes) = logits(network)?;
        let beyond = [Some(plus), minus]
            .into_iter()
            .flatten()
            .find(|&t| t >= classes);
        if let Some(label) = beyond {
            return Err(Error::Label { label, classes });
        }
        self.check_images(image)?;
        let input = network.input();
        // One image, not several.
        if image.len() != input.len() {
            return Err(Error::Length {
                shape: input.shape.clone(),
                expected: input.len(),
                got: image.len(),
            });
        }
        let path = Path::new(self, logits).map_err(|id| no_curvature(network, id))?;
        let points = path.points(image, Inexact::Relative(0.0), &[]);
        let seed = Seed {
            sample: 0,
            plus,
            minus,
        };
        let Some(found) = path.gradients(&points, &[seed]).pop() else {
            unreachable!("there is one seed")
        };
        // Nothing is known of values that are not finite.
        let known = found.values.iter().all(|v| v.is_finite());
        Ok(Gradient {
            error: Upper::claim(if known { found.error } else { f64::INFINITY }),
            values: found.values,
        })
    }
}
