//! K + E: a weight whose entries are known to within an error each (T40).

use crate::claim::Enclosure;
use crate::enclosed::Enclosed;
use crate::error::{Error, NotCovered};
use crate::kernel::Kernel;
use crate::rounding::scale_up;
use crate::verify::magnitude;
use crate::weight::Weight;

impl Weight {
    /// The weight of this shape, row-major, whose entries lie in `entries`.
    ///
    /// # Errors
    /// [`Error`] for a midpoint or an error that is not finite, or as [`Kernel::new`].
    ///
    /// # Source
    /// T30, T40: S(E) ≤ √(‖B‖₁‖B‖_∞) or ‖B‖_F, B = Σ_t|E_t| with the errors of the entries in E.
    pub fn enclosed(shape: &[usize], entries: &[Enclosed]) -> Result<Self, Error> {
        let kernel = Kernel::new(shape, entries.iter().map(|entry| entry.value()).collect())?;
        let errors: Vec<f64> = entries.iter().map(|entry| entry.error()).collect();
        if let Some(&value) = errors.iter().find(|error| !error.is_finite()) {
            let what = "the error of the weight";
            return Err(NotCovered::NotFinite { what, value }.into());
        }
        let errors = Kernel::new(shape, errors)?;
        let error = if errors.is_zero() {
            0.0
        } else {
            scale_up(magnitude(&errors), errors.exponent())
        };
        Ok(Self {
            kernel,
            factor: Enclosure::ONE,
            error,
        })
    }

    /// S(E) from above, where the weight is K + E with no factor.
    pub(crate) fn error_alone(&self) -> Option<f64> {
        (self.factor == Enclosure::ONE).then_some(self.error)
    }

    /// The kernel, where the weight is exactly that.
    #[must_use]
    pub fn as_exact(&self) -> Option<&Kernel> {
        (self.factor == Enclosure::ONE && self.error <= 0.0).then_some(&self.kernel)
    }
}
