//! Proofs of "‖F(θ)‖₂² ≤ t" at many frequencies at once: the work horse of branch and bound.

use rayon::prelude::*;

use crate::linalg::{Cholesky, Mat, c64};
use crate::rounding::{self, sub_down};
use crate::symbol::autocorrelation::{Autocorrelation, Frequency, unpack};
use crate::verify;

/// "‖F(θ)‖₂² ≤ t" at one frequency, where t = `square` may be any number.
#[derive(Clone, Copy)]
pub(crate) struct Claim {
    pub(crate) at: Frequency,
    pub(crate) square: f64,
}

/// For every claim, whether it is proved (T17). The answers do not depend on the number of
/// threads: chunks have a fixed size and are independent.
pub(crate) fn prove(of: &Autocorrelation, claims: &[Claim]) -> Vec<bool> {
    let packed = of.n * (of.n + 1) / 2;
    // Bounded buffers: two packed triangles per frequency, at most about 4 MB per chunk.
    let chunk = (250_000 / packed).clamp(1, 16);
    if of.n < 24 || claims.len() <= chunk {
        claims
            .chunks(chunk)
            .flat_map(|chunk| prove_chunk(of, chunk))
            .collect()
    } else {
        claims
            .par_chunks(chunk)
            .flat_map_iter(|chunk| prove_chunk(of, chunk))
            .collect()
    }
}

fn prove_chunk(of: &Autocorrelation, claims: &[Claim]) -> Vec<bool> {
    rounding::assert_ieee();
    let frequencies: Vec<Frequency> = claims.iter().map(|claim| claim.at).collect();
    let (re, im) = of.negated_grams(&frequencies);
    let mut workspace = Cholesky::new::<c64>(of.n);
    let mut a = Mat::<c64>::zeros(of.n, of.n);
    claims
        .iter()
        .enumerate()
        .map(|(j, claim)| {
            if of.n == 1 {
                return -re[(0, j)] <= sub_down(claim.square, of.error);
            }
            unpack(re.col_as_slice(j), im.col_as_slice(j), &mut a);
            verify::hermitian_at_most(a.as_mut(), of.error, claim.square, &mut workspace)
        })
        .collect()
}
