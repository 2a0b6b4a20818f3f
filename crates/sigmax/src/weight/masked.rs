//! W∘mask: pruning (T30).

use crate::claim::Enclosure;
use crate::error::{Error, Expected};
use crate::kernel::Kernel;
use crate::rounding::{add_up, gamma, mul_up, scale_up};
use crate::verify::magnitude;
use crate::weight::{UNDERFLOW, Weight, scaled, wrong_length};

impl Weight {
    /// The product of a kernel and a mask, entry by entry.
    ///
    /// # Errors
    /// [`Error::NotCovered`] where their lengths differ or the mask has an entry that is not finite.
    ///
    /// # Source
    /// T30.
    pub fn masked(kernel: &Kernel, mask: &[f64]) -> Result<Self, Error> {
        let entries = kernel.scaled().len();
        if entries != mask.len() {
            return Err(wrong_length(
                "the mask",
                Expected::Count(entries),
                mask.len(),
            ));
        }
        let plain = mask
            .iter()
            .all(|&m| m.abs() <= 0.0 || (m - 1.0).abs() <= 0.0);
        let (mask, e) = if plain {
            (mask.to_vec(), 0)
        } else {
            scaled("the mask", mask)?
        };
        let products = kernel.scaled().iter().zip(&mask).map(|(w, m)| w * m);
        let before = kernel.exponent().saturating_add(e);
        let product = Kernel::from_scaled(kernel.shape(), products.collect(), before)?;
        // One rounding, unless every factor is 0 or 1.
        let error = if plain {
            0.0
        } else {
            add_up(
                scale_up(mul_up(gamma(2), magnitude(&product)), product.exponent()),
                scale_up(entries as f64 * UNDERFLOW, before),
            )
        };
        Ok(Self {
            kernel: product,
            factor: Enclosure::ONE,
            error,
        })
    }
}
