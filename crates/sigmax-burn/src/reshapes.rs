//! The bounds from reshapes, and their gradients: T9, T11, T12.

use burn::tensor::Tensor;
use sigmax::bound::Reshape;

use crate::buffer::Buffer;
use crate::error::Error;
use crate::layer::Layer;
use crate::linalg::{Order, decisive, normalise, times, transposed_times};
use crate::measure::Measure;
use crate::state::{State, start_vectors};
use crate::unfolding::Unfolding;
use crate::weighted::Weighted;

/// The reshapes of a shape group that take part.
#[derive(Clone, Debug)]
pub(crate) struct Reshapes {
    splits: Vec<Split>,
    weighted: bool,
}

/// One subset A of the three (lifted) axes.
#[derive(Clone, Debug)]
struct Split {
    held: [bool; 3],
    name: &'static str,
}

impl Reshapes {
    /// All distinct reshapes, or the one with the name that the measure gives.
    pub(crate) fn new(
        measure: &Measure,
        unfolding: &Unfolding,
        layer: &Layer,
    ) -> Result<Self, Error> {
        let first = 3 - unfolding.axes;
        let mut splits: Vec<Split> = Vec::new();
        for reshape in Reshape::all(unfolding.axes) {
            // The weights of a transposed layer are those of its adjoint, whose reshape with A on
            // its rows is the layer's reshape with the complement.
            let named = if layer.conv.transposed {
                reshape.complement()
            } else {
                reshape
            };
            let held: [bool; 3] = std::array::from_fn(|a| a >= first && reshape.holds(a - first));
            let split = Split {
                held,
                name: named.name(),
            };
            match measure {
                Measure::Reshape(name) if name != split.name => {}
                Measure::Reshape(_) => splits.push(split),
                // An axis with one tap makes no difference.
                _ if (0..3).any(|a| held[a] && unfolding.k[a] == 1) => {}
                _ => splits.push(split),
            }
        }
        if splits.is_empty() {
            let known: Vec<&str> = Reshape::all(unfolding.axes)
                .iter()
                .map(|r| r.name())
                .collect();
            return Err(Error::layer(
                &layer.path,
                format!("expected one of the reshapes {known:?}, got {measure}"),
            ));
        }
        Ok(Self {
            splits,
            weighted: *measure == Measure::WeightedFour,
        })
    }

    /// Fresh vectors and equal shares.
    pub(crate) fn start(
        &self,
        state: &mut State,
        unfolding: &Unfolding,
        layers: &[Layer],
        seed: u64,
        like: &Tensor<6>,
    ) {
        let (device, dtype) = (like.device(), like.dtype());
        let batch = layers.len() * unfolding.groups;
        state.vectors.clear();
        state.shares.clear();
        for split in &self.splits {
            let (held, free) = split.counts(unfolding);
            let size = (unfolding.groups, unfolding.rows * held);
            let vectors = |name| start_vectors(layers, size, (seed, name), (&device, dtype));
            let (first, _) = normalise(vectors(split.name), None);
            state.vectors.push(Buffer::new(first));
            if self.weighted {
                let (second, _) = normalise(vectors("second"), None);
                state.vectors.push(Buffer::new(second));
                for taps in [held, free] {
                    let equal = Tensor::full([batch, taps], 1.0 / taps as f64, (&device, dtype));
                    state.shares.push(Buffer::new(equal));
                }
            }
        }
    }

    /// One power step on every reshape. Returns the gradient of every layer's bound with respect to
    /// its lattice kernel, `[B, R, C, q…]`: zero outside the deciding group, and such that its inner
    /// product with the kernel is the bound.
    pub(crate) fn step(
        &self,
        kernels: &Tensor<6>,
        unfolding: &Unfolding,
        state: &State,
        keep: bool,
    ) -> Tensor<6> {
        let mut pairs = Vec::with_capacity(self.splits.len());
        let mut bounds = Vec::with_capacity(self.splits.len());
        for (r, split) in self.splits.iter().enumerate() {
            let matrix = split.matrix(kernels, unfolding);
            let (pair, norms) = if self.weighted {
                weighted_step(r, &matrix, state, keep)
            } else {
                plain_step(r, &matrix, state, keep, (unfolding.taps() as f64).sqrt())
            };
            pairs.push(pair);
            bounds.push(norms);
        }
        let order = if self.weighted {
            Order::MaxOfMin
        } else {
            Order::MinOfMax
        };
        let [batch, ..] = kernels.dims();
        let reshapes = pairs.len();
        let values =
            Tensor::cat(bounds, 1).reshape([batch / unfolding.groups, unfolding.groups, reshapes]);
        let chosen = decisive(values, order).reshape([batch, reshapes]);
        let mut gradient: Option<Tensor<6>> = None;
        for (r, (split, (u, v))) in self.splits.iter().zip(pairs).enumerate() {
            let u = u * chosen.clone().narrow(1, r, 1);
            let term = split.outer(u, v, unfolding);
            gradient = Some(match gradient {
                None => term,
                Some(sum) => sum + term,
            });
        }
        gradient.unwrap_or_else(|| kernels.zeros_like())
    }
}

/// One power step: √(Πk)·u and v, and the bound.
fn plain_step(
    r: usize,
    matrix: &Tensor<3>,
    state: &State,
    keep: bool,
    factor: f64,
) -> ((Tensor<2>, Tensor<2>), Tensor<2>) {
    let old = state.vectors[r].get_on(&matrix.device());
    let (v, _) = normalise(transposed_times(matrix, &old), None);
    let (u, norms) = normalise(times(matrix, &v), Some(&old));
    if keep {
        state.vectors[r].set(u.clone());
    }
    ((u.mul_scalar(factor), v), norms.mul_scalar(factor))
}

/// One step of the weighted bound, in which √(Σα⁻²)·√(Σβ⁻²) = 1: D_α u and D_β v, and the bound.
fn weighted_step(
    r: usize,
    matrix: &Tensor<3>,
    state: &State,
    keep: bool,
) -> ((Tensor<2>, Tensor<2>), Tensor<2>) {
    let device = matrix.device();
    let places = [2 * r, 2 * r + 1];
    let stepped = Weighted {
        u: places.map(|i| state.vectors[i].get_on(&device)),
        shares: places.map(|i| state.shares[i].get_on(&device)),
    }
    .step(matrix);
    if keep {
        for ((i, u), shares) in places
            .into_iter()
            .zip(stepped.next.u)
            .zip(stepped.next.shares)
        {
            state.vectors[i].set(u);
            state.shares[i].set(shares);
        }
    }
    ((stepped.left, stepped.right), stepped.norms)
}

impl Split {
    /// Taps of A and of the other axes.
    fn counts(&self, unfolding: &Unfolding) -> (usize, usize) {
        let held: usize = (0..3)
            .filter(|&a| self.held[a])
            .map(|a| unfolding.k[a])
            .product();
        (held, unfolding.taps() / held)
    }

    /// M_A: `[B, R·held, C·free]`.
    fn matrix(&self, kernels: &Tensor<6>, unfolding: &Unfolding) -> Tensor<3> {
        let (held, free) = self.counts(unfolding);
        let shape = [
            kernels.dims()[0],
            unfolding.rows * held,
            unfolding.cols * free,
        ];
        if held == 1 {
            return kernels.clone().reshape(shape);
        }
        let mut order = vec![0, 1];
        order.extend((0..3).filter(|&a| self.held[a]).map(|a| a + 3));
        order.push(2);
        order.extend((0..3).filter(|&a| !self.held[a]).map(|a| a + 3));
        let order: [usize; 6] = std::array::from_fn(|i| order[i]);
        kernels.clone().permute(order).reshape(shape)
    }

    /// fold(u vᵀ): `[B, R, C, q…]`.
    fn outer(&self, u: Tensor<2>, v: Tensor<2>, unfolding: &Unfolding) -> Tensor<6> {
        let batch = u.dims()[0];
        let q = |held: bool| -> [usize; 3] {
            std::array::from_fn(|a| {
                if self.held[a] == held {
                    unfolding.k[a]
                } else {
                    1
                }
            })
        };
        let ([u1, u2, u3], [v1, v2, v3]) = (q(true), q(false));
        u.reshape([batch, unfolding.rows, 1, u1, u2, u3])
            * v.reshape([batch, 1, unfolding.cols, v1, v2, v3])
    }
}
