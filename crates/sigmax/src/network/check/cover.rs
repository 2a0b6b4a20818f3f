//! "The norm of a layer is at most U", confirmed on a cover of the torus (T16).
//!
//! U is given, so nothing is searched for: a box of frequencies is closed at U or cut in two. The
//! bounds that a certificate states leave room for every box of a known size
//! ([`CERTIFICATE_SLACK`]), and one of that size that cannot be closed ends the attempt.

use std::time::Instant;

use rayon::prelude::*;

use crate::bound::four::{ReshapeNorms, root_of_taps};
use crate::bound::search::prove::{Claim, prove};
use crate::conv::Conv;
use crate::error::Error;
use crate::kernel::Kernel;
use crate::network::rule::slack::{CERTIFICATE_SLACK, folded, has_cover};
use crate::rounding::{self, cos_turns_down, div_down, mul_down, mul_up, scale_down, sub_down};
use crate::symbol::Lattice;
use crate::symbol::autocorrelation::{Autocorrelation, Frequency};

/// A turn, in the unit of frequencies.
const TURN: i64 = 1 << 40;
/// Boxes that are worked on independently of each other.
const FIRST: usize = 64;
/// Boxes whose symbols are computed together.
const BATCH: usize = 16;

/// Whether the layer's norm is at most `bound`.
pub(super) fn norm_holds(
    kernel: &Kernel,
    conv: &Conv,
    bound: f64,
    deadline: Option<Instant>,
) -> Result<bool, Error> {
    let lattice = Lattice::new(kernel, conv)?;
    // Squares are compared below: a negative number has one too.
    if !(bound >= 0.0) {
        return Ok(false);
    }
    if kernel.is_zero() || bound.is_infinite() {
        return Ok(true);
    }
    let upper = scale_down(div_down(bound, conv.padding_factor()), -lattice.exponent);
    if !has_cover(&lattice) {
        // Then T9 is what a certificate states.
        let four = ReshapeNorms::compute(&lattice);
        let root = root_of_taps(lattice.taps());
        return Ok((0..lattice.groups).all(|group| mul_up(root, four.group_min(group)) <= upper));
    }
    for group in 0..lattice.groups {
        let of = Autocorrelation::new(&folded(&lattice, group))?;
        let mut first = vec![Cell::half_torus(of.k.len())];
        while !of.k.is_empty() && first.len() < FIRST {
            first = first.iter().flat_map(|cell| cell.halves(&of.k)).collect();
        }
        let closed = first
            .into_par_iter()
            .try_for_each(|cell| close(&of, cell, upper, deadline));
        match closed {
            Ok(()) => {}
            Err(Open::Refuted) => return Ok(false),
            Err(Open::Late) => return Err(Error::OutOfTime),
        }
    }
    Ok(true)
}

/// Why a box stays open.
enum Open {
    /// A part of it cannot be closed.
    Refuted,
    /// The time ran out.
    Late,
}

/// Proves ‖F(θ)‖ ≤ `upper` for every θ of the box.
fn close(
    of: &Autocorrelation,
    cell: Cell,
    upper: f64,
    deadline: Option<Instant>,
) -> Result<(), Open> {
    rounding::assert_ieee();
    let square = mul_down(upper, upper);
    let mut open = vec![cell];
    while !open.is_empty() {
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return Err(Open::Late);
        }
        let cells = open.split_off(open.len().saturating_sub(BATCH));
        let cosines: Vec<f64> = cells.iter().map(|cell| cell.cosine(&of.k)).collect();
        let claims: Vec<Claim> = cells
            .iter()
            .zip(&cosines)
            .map(|(cell, &cosine)| {
                let still = mul_down(upper, cosine);
                Claim {
                    at: cell.frequency(),
                    square: mul_down(still, still).max(sub_down(square, cell.drift(of))),
                }
            })
            .collect();
        let proved = prove(of, &claims);
        for ((cell, cosine), proved) in cells.iter().zip(cosines).zip(proved) {
            if proved {
                continue;
            }
            if cosine >= 1.0 - CERTIFICATE_SLACK / 4.0 {
                return Err(Open::Refuted);
            }
            open.extend(cell.halves(&of.k));
        }
    }
    Ok(())
}

/// A box of frequencies, in units of 2⁻⁴⁰ of a turn; axes with one tap are left out.
#[derive(Clone, Copy, Debug)]
struct Cell {
    centre: [i64; 3],
    half: [i64; 3],
}

impl Cell {
    /// Half a turn of the first axis and a turn of the others: what is left are negatives.
    fn half_torus(axes: usize) -> Self {
        let half = std::array::from_fn(|a| match a {
            _ if a >= axes => 0,
            0 => TURN / 4,
            _ => TURN / 2,
        });
        Self { centre: half, half }
    }

    /// Two boxes that cover it, cut across the axis along which ‖F‖ may fall most.
    fn halves(&self, k: &[usize]) -> [Self; 2] {
        let reach = |&a: &usize| (k[a] as i64 - 1) * self.half[a];
        let axis = (0..k.len()).max_by_key(reach).unwrap_or(0);
        [-1, 1].map(|side| {
            let mut part = *self;
            part.half[axis] /= 2;
            part.centre[axis] += side * part.half[axis];
            part
        })
    }

    /// A lower bound of cos r, r the largest Σ d_a|θ_a − c_a| in the box (T14); 0 beyond a quarter
    /// of a turn.
    fn cosine(&self, k: &[usize]) -> f64 {
        // Twice d is k − 1, so these are 2r. Taps are at most 2²², so nothing overflows.
        let twice: i64 = k
            .iter()
            .zip(self.half)
            .map(|(&k, h)| (k as i64 - 1) * h)
            .sum();
        if twice > TURN / 2 {
            return 0.0;
        }
        cos_turns_down(twice, 2 * TURN as u64).max(0.0)
    }

    /// An upper bound of ‖G(θ) − G(c)‖ in the box (T20).
    fn drift(&self, of: &Autocorrelation) -> f64 {
        of.drift(|shift| {
            let reach: i64 = shift.iter().zip(self.half).map(|(s, h)| s.abs() * h).sum();
            // Both are rounded, and may be above 2⁵³.
            mul_up(reach as f64 / TURN as f64, 1.0 + f64::EPSILON)
        })
    }

    fn frequency(&self) -> Frequency {
        Frequency {
            numerator: self.centre,
            denominator: [TURN as u64; 3],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every box is covered by its halves, and the first one holds θ or −θ for every θ.
    #[test]
    fn boxes_cover_the_torus() {
        let k = [3, 2, 5];
        let mut cells = vec![Cell::half_torus(3)];
        for _ in 0..7 {
            cells = cells.iter().flat_map(|cell| cell.halves(&k)).collect();
        }
        let holds = |cell: &Cell, theta: [i64; 3]| {
            (0..3).all(|a| (theta[a] - cell.centre[a]).abs() <= cell.half[a])
        };
        for j in 0..11i64.pow(3) {
            let theta = [j % 11, j / 11 % 11, j / 121].map(|j| j * (TURN / 11));
            let mirrored = theta.map(|t| (TURN - t) % TURN);
            let found = cells
                .iter()
                .any(|cell| holds(cell, theta) || holds(cell, mirrored));
            assert!(found, "{theta:?}");
        }
        assert_eq!(cells.len(), 128);
    }

    /// 1, −2, 1 has its norm 4 at θ = π, on the border of the half torus.
    #[test]
    fn a_bound_is_confirmed_above_the_norm_and_not_below() {
        let kernel = Kernel::new(&[1, 1, 3], vec![1.0, -2.0, 1.0]).unwrap();
        let holds = |bound| norm_holds(&kernel, &Conv::new(1), bound, None).unwrap();
        assert!(holds(4.0 * (1.0 + CERTIFICATE_SLACK)) && holds(f64::INFINITY));
        for bound in [3.999_999, 3.9, 0.1, 0.0, -1.0, f64::NAN, f64::NEG_INFINITY] {
            assert!(!holds(bound), "{bound}");
        }
    }

    /// The symbol of a single tap is constant: the whole torus is one box.
    #[test]
    fn what_does_not_move_is_closed_at_once() {
        let mut taps = vec![0.0; 125];
        taps[31] = 0.75;
        let kernel = Kernel::new(&[1, 1, 5, 5, 5], taps).unwrap();
        let holds = |bound| norm_holds(&kernel, &Conv::new(3), bound, None).unwrap();
        assert!(holds(0.750_001) && !holds(0.749_999));
    }
}
