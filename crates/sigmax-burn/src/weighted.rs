//! One step of the weighted four (T12) on one reshape: the singular vectors and the weights.
//!
//! The best weights often make the two largest singular values equal. A single vector then follows
//! either pair and the weights never settle, so two orthogonal vectors are kept, and the weights
//! move to a blend of both energies in which the smaller singular value counts (σ₂/σ₁)¹⁶ times.

use burn::tensor::Tensor;

use crate::linalg::{normalise, times, transposed_times};

/// How far the weights move in one step, as the exponent of the new energies.
const PACE: f32 = 0.2;

/// Two left vectors `[B, rows]` and the shares α⁻² `[B, held]`, β⁻² `[B, free]`.
pub(crate) struct Weighted {
    pub(crate) u: [Tensor<2>; 2],
    pub(crate) shares: [Tensor<2>; 2],
}

/// What a step leaves: the next state, and D_α u and D_β v of the larger pair with its norm.
pub(crate) struct Stepped {
    pub(crate) next: Weighted,
    pub(crate) left: Tensor<2>,
    pub(crate) right: Tensor<2>,
    pub(crate) norms: Tensor<2>,
}

impl Weighted {
    pub(crate) fn step(self, matrix: &Tensor<3>) -> Stepped {
        let [old1, old2] = self.u;
        let [alpha, beta] = self.shares;
        // D_α and D_β act on the vectors: the matrix is never copied.
        let forth = |v: &Tensor<2>| scale(times(matrix, &scale(v.clone(), &beta)), &alpha);
        let back =
            |u: &Tensor<2>| scale(transposed_times(matrix, &scale(u.clone(), &alpha)), &beta);
        let u2 = orthogonal(old2.clone(), &old1);
        let (v1, _) = normalise(back(&old1), None);
        let v2 = orthogonal(back(&u2), &v1);
        let (u1, n1) = normalise(forth(&v1), Some(&old1));
        let (u2, n2) = normalise(forth(&v2), Some(&old2));
        let (u1, u2) = ordered(u1, u2, &n1, &n2);
        let (v1, v2) = ordered(v1, v2, &n1, &n2);
        let (n1, n2) = ordered(n1.clone(), n2.clone(), &n1, &n2);

        let ratio = n2 / n1.clone().clamp_min(f64::from(f32::MIN_POSITIVE));
        let second = ratio.square().square().square().square();
        let first = second.clone().add_scalar(1.0).recip();
        let second = second * first.clone();
        let blend = |x: &Tensor<2>, y: &Tensor<2>, shares: &Tensor<2>| {
            rebalance(
                shares,
                energy(x, shares) * first.clone() + energy(y, shares) * second.clone(),
            )
        };
        Stepped {
            left: scale(u1.clone(), &alpha),
            right: scale(v1.clone(), &beta),
            norms: n1,
            next: Self {
                shares: [blend(&u1, &u2, &alpha), blend(&v1, &v2, &beta)],
                u: [u1, u2],
            },
        }
    }
}

/// The part of `x` that is orthogonal to the unit vector `y`, of norm 1.
fn orthogonal(x: Tensor<2>, y: &Tensor<2>) -> Tensor<2> {
    let along = (x.clone() * y.clone()).sum_dim(1);
    normalise(x - y.clone() * along, None).0
}

/// (x, y) where n_1 ≥ n_2, else (y, x).
fn ordered(x: Tensor<2>, y: Tensor<2>, n1: &Tensor<2>, n2: &Tensor<2>) -> (Tensor<2>, Tensor<2>) {
    let swap = n2.clone().greater(n1.clone()).expand(x.shape());
    let larger = x.clone().mask_where(swap.clone(), y.clone());
    (larger, y.mask_where(swap, x))
}

/// Multiplies entry (channel, tap) of `[B, channels·taps]` by the weight (share)^−½ of its tap.
fn scale(x: Tensor<2>, shares: &Tensor<2>) -> Tensor<2> {
    let [batch, len] = x.dims();
    let taps = shares.dims()[1];
    if taps == 1 {
        return x;
    }
    let weights = shares.clone().sqrt().recip().reshape([batch, 1, taps]);
    (x.reshape([batch, len / taps, taps]) * weights).reshape([batch, len])
}

/// Energy of a vector on each tap.
fn energy(x: &Tensor<2>, shares: &Tensor<2>) -> Tensor<2> {
    let [batch, taps] = shares.dims();
    let len = x.dims()[1];
    let channels = x.clone().square().reshape([batch, len / taps, taps]);
    channels.sum_dim(1).reshape([batch, taps])
}

/// Moves the shares, geometrically, towards the energies: where they meet, the bound is stationary
/// in the weights.
fn rebalance(shares: &Tensor<2>, energy: Tensor<2>) -> Tensor<2> {
    let taps = shares.dims()[1];
    if taps == 1 {
        return shares.clone();
    }
    let least = 1e-6 / taps as f64;
    let moved = shares.clone().powf_scalar(1.0 - PACE) * energy.clamp_min(1e-30).powf_scalar(PACE);
    let moved = moved.clamp_min(least);
    let total = moved.clone().sum_dim(1);
    moved / total
}
