//! Proofs of "‖F(θ)‖₂² ≤ t" at many frequencies at once: the work horse of branch and bound.

use rayon::prelude::*;

use crate::linalg::{Cholesky, Mat, c64};
use crate::rounding::{self, sub_down};
use crate::side_by_side;
use crate::symbol::autocorrelation::{Autocorrelation, Frequency};
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
    let several = of.n <= side_by_side::MAX_ORDER;
    let multiple = if several { side_by_side::MULTIPLE } else { 1 };
    let rows = claims.len().next_multiple_of(multiple);
    let (re, im) = of.negated_grams(&frequencies, rows);
    if of.n == 1 {
        let shown = |(j, claim): (usize, &Claim)| -re[(j, 0)] <= sub_down(claim.square, of.error);
        return claims.iter().enumerate().map(shown).collect();
    }
    let squares: Vec<f64> = claims.iter().map(|claim| claim.square).collect();
    if several {
        return verify::hermitians_at_most(of.n, re.as_ref(), im.as_ref(), of.error, &squares);
    }
    let mut workspace = Cholesky::new::<c64>(of.n);
    let mut a = Mat::<c64>::zeros(of.n, of.n);
    let mut proved = Vec::with_capacity(claims.len());
    for (j, &square) in squares.iter().enumerate() {
        let mut p = 0;
        for row in 0..of.n {
            for col in 0..=row {
                a[(row, col)] = c64::new(re[(j, p + col)], im[(j, p + col)]);
            }
            p += row + 1;
        }
        proved.push(verify::hermitian_at_most(
            a.as_mut(),
            of.error,
            square,
            &mut workspace,
        ));
    }
    proved
}
