//! [`LastLayer`]: the rows of the last dense layer, whose differences the margins are.

use crate::kernel::Kernel;
use crate::network::eval::rounds::{Linear, SINGLE_TINY, norm_up, single_gamma, single_loss};
use crate::rounding::{add_up, gamma, mul_up, scale_up};

/// What is needed of the last layer.
pub(crate) struct LastLayer {
    terms: usize,
    /// What the kernel lost of all rows when it was stored, as a norm from above.
    lost: f64,
    /// What float32 may leave out of a row.
    flushed: f64,
    /// ‖w_t‖₂ from above.
    rows: Vec<f64>,
    /// |b_t|.
    bias: Vec<f64>,
    /// ‖w_y − w_t‖₂ from above.
    pub(crate) differences: Vec<f64>,
}

impl LastLayer {
    pub(crate) fn new(kernel: &Kernel, bias: Option<&Vec<f64>>) -> Self {
        let (classes, inputs) = (kernel.shape()[0], kernel.shape()[1]);
        let values = kernel.values();
        let row = |t: usize| &values[t * inputs..][..inputs];
        let lost = scale_up(kernel.lost(), kernel.exponent());
        let mut differences = vec![0.0; classes * classes];
        for y in 0..classes {
            for t in 0..y {
                let difference: Vec<f64> = row(y).iter().zip(row(t)).map(|(a, b)| a - b).collect();
                // Each entry has one rounding.
                let norm = mul_up(norm_up(&difference), 1.0 + 2.0 * gamma(2));
                let norm = if lost > 0.0 {
                    add_up(norm, lost)
                } else if row(y) == row(t) {
                    0.0
                } else {
                    norm
                };
                differences[y * classes + t] = norm;
                differences[t * classes + y] = norm;
            }
        }
        Self {
            terms: inputs + 2,
            flushed: single_loss(kernel),
            lost,
            rows: (0..classes).map(|t| norm_up(row(t))).collect(),
            bias: match bias {
                Some(bias) => bias.iter().map(|b| b.abs()).collect(),
                None => vec![0.0; classes],
            },
            differences,
        }
    }

    fn spread(&self, t: usize, reach: Linear) -> Linear {
        reach
            .times(self.rows[t])
            .plus(Linear::new(self.bias[t], 0.0))
    }

    /// Rounding of logit t in f64, for features of this size.
    pub(crate) fn local(&self, t: usize, size: f64) -> f64 {
        let spread = self.spread(t, Linear::new(size, 0.0)).at;
        let rounding = add_up(
            mul_up(gamma(self.terms), spread),
            self.terms as f64 * 1e-322,
        );
        if self.lost > 0.0 {
            add_up(rounding, mul_up(self.lost, size))
        } else {
            rounding
        }
    }

    /// The same in float32; weights and results below 2⁻¹²⁶ may be flushed to zero.
    pub(crate) fn local_single(&self, t: usize, reach: Linear) -> Linear {
        self.spread(t, reach)
            .times(single_gamma(self.terms))
            .plus(reach.times(self.flushed))
            .plus(Linear::new(mul_up(self.terms as f64, SINGLE_TINY), 0.0))
    }
}
