//! Lower bounds of Σ c_k·(σ(x̂_k + t_k) − ŷ_k) over a ball and a box: a linear function and a number (T38).

use crate::network::local::pieces::{Bends, Piece};
use crate::rounding::{add_up, gamma, mul_up, sqrt_up, sub_down};

/// Multipliers that are tried for a row.
const TRIES: usize = 6;

/// One entry of a row where the function is no straight line.
#[derive(Clone, Copy)]
struct Term<'p> {
    place: usize,
    c: f64,
    g: f64,
    pieces: &'p [Piece],
}

/// A bound from below, in parts that are added up in the end.
#[derive(Clone, Copy)]
struct Sum {
    value: f64,
    /// Σ of the magnitudes of what was added up.
    size: f64,
    /// Σ t², t where the minimum of every term is: twice the derivative by the multiplier, and R².
    squares: f64,
}

/// A bound Σ c_k·(σ(x̂_k + t_k) − ŷ_k) ≥ ⟨g, t⟩ + k for all t with ‖t‖ ≤ `ball` that are in the box of
/// the pieces; writes g, and returns k.
///
/// For all g and λ ≥ 0, k = Σ min_t (c_k·(σ(x̂_k + t) − ŷ_k) − g_k·t + ½λt²) − ½λ·ball² is one. The search
/// for λ is the secular equation Σ t_k(λ)² = ball².
pub(super) fn bend(bends: &Bends, c: &[f64], places: &[u32], ball: f64, g: &mut [f64]) -> f64 {
    let mut terms = Vec::new();
    let (mut straight, mut rounded) = (Sum::zero(), 0.0);
    for (i, ((&c, &place), g)) in c.iter().zip(places).zip(g.iter_mut()).enumerate() {
        *g = 0.0;
        if c.abs() <= 0.0 {
            continue;
        }
        match bends.of(place as usize) {
            [piece] if piece.is_straight() => {
                *g = c * piece.slope;
                if piece.slope.abs() > 0.0 && (piece.slope.abs() - 1.0).abs() > 0.0 {
                    rounded += *g * *g;
                }
                if piece.value.abs() > 0.0 || piece.error > 0.0 {
                    straight.value += c * piece.value - c.abs() * piece.error;
                    straight.size += c.abs() * (piece.value.abs() + piece.error);
                }
            }
            pieces => terms.push(Term {
                place: i,
                c,
                g: 0.0,
                pieces,
            }),
        }
    }
    // Products c·slope of straight lines are off by u·|g| each, which t multiplies.
    let squares = rounded * (1.0 + 4.0 * gamma(places.len() + 8)) + places.len() as f64 * 1e-300;
    let rounded = mul_up(mul_up(2.0 * gamma(2), sqrt_up(squares)), ball);
    let mut best = f64::NEG_INFINITY;
    let total = |sum: Sum, lambda: f64| {
        let value = straight.value + sum.value;
        let size = add_up(straight.size, sum.size);
        let rounding = mul_up(mul_up(4.0, gamma(places.len() + 24)), size);
        // Products that underflow lose less than 2⁻¹⁰⁷³, before they are multiplied by t² at most.
        let far = add_up(1.0, ball);
        let tiny = mul_up((places.len() + 1) as f64 * 1e-300, mul_up(far, far));
        let paid = mul_up(0.5, mul_up(lambda, mul_up(ball, ball)));
        let paid = if lambda > 0.0 { paid } else { 0.0 };
        let bound = sub_down(value, add_up(add_up(rounding, rounded), add_up(paid, tiny)));
        // What is not known proves nothing.
        if bound.is_nan() {
            f64::NEG_INFINITY
        } else {
            bound
        }
    };
    let mut lambda = 0.0;
    let bent = terms.iter().fold(0.0, |sum, term| {
        let bent = term.c * turn(term.pieces);
        sum + bent * bent
    });
    if ball > 0.0 && ball.is_finite() {
        lambda = 0.25 * bent.sqrt() / ball;
    }
    for _ in 0..TRIES {
        for term in &mut terms {
            term.g = term.c * slope(term.c, term.pieces, lambda);
        }
        let mut sum = Sum::zero();
        for term in &terms {
            sum.add(*term, lambda);
        }
        let bound = total(sum, lambda);
        if bound > best {
            best = bound;
            terms.iter().for_each(|term| g[term.place] = term.g);
        }
        let ratio = sum.squares.sqrt() / ball;
        if terms.is_empty() || (lambda <= 0.0 && ratio <= 1.0) || !(ratio - 1.0).abs().gt(&0.05) {
            break;
        }
        lambda *= ratio;
        if !(lambda > 0.0 && lambda.is_finite()) {
            break;
        }
    }
    best
}

/// The change of the slope.
fn turn(pieces: &[Piece]) -> f64 {
    match pieces {
        [first, .., last] => last.slope - first.slope,
        [only] => (only.high - only.low) * (only.to - only.from),
        [] => 0.0,
    }
}

impl Sum {
    fn zero() -> Self {
        Self {
            value: 0.0,
            size: 0.0,
            squares: 0.0,
        }
    }

    /// Adds the least of c·(σ(x̂ + t) − ŷ) − g·t + ½λt² over the pieces.
    ///
    /// On each piece that is at least a + b·t + ½d·t² with coefficients that are computed, up to
    /// roundings of numbers that together are at most `size`: the products and sums of every
    /// coefficient, times powers of the largest |t|. The vertex is off by a relative u, which costs
    /// u² of ½d·t².
    fn add(&mut self, term: Term<'_>, lambda: f64) {
        let Term { c, g, pieces, .. } = term;
        let (mut least, mut size, mut at) = (f64::INFINITY, 0.0f64, 0.0);
        for piece in pieces {
            let Piece {
                from,
                to,
                at: p,
                slope,
                ..
            } = *piece;
            let curved = c * if c > 0.0 { piece.low } else { piece.high };
            let a = c * piece.value - c.abs() * piece.error - c * slope * p + 0.5 * curved * p * p;
            let b = c * slope - curved * p - g;
            let d = curved + lambda;
            let value = |t: f64| a + t * (b + 0.5 * d * t);
            let t = if d > 0.0 {
                (-b / d).clamp(from, to)
            } else if value(from) < value(to) {
                from
            } else {
                to
            };
            let found = value(t);
            // A NaN stays.
            if found < least || found.is_nan() {
                (least, at) = (found, t);
            }
            let reach = from.abs().max(to.abs());
            let far = reach + p.abs();
            let own = c.abs() * (piece.value.abs() + piece.error)
                + far * (c.abs() * slope.abs() + g.abs() + far * (curved.abs() + lambda));
            size = size.max(own);
        }
        self.value += least;
        self.size += size;
        self.squares += at * at;
    }
}

/// The slope of the linear function that stands for the one of an entry.
fn slope(c: f64, pieces: &[Piece], lambda: f64) -> f64 {
    let (Some(first), Some(last)) = (pieces.first(), pieces.last()) else {
        return 0.0;
    };
    let (mut from, mut to) = (first.from, last.to);
    if c * (last.slope - first.slope) > 0.0 {
        // Convex: a tangent, at the middle of the box.
        let piece = pieces.iter().find(|piece| piece.to >= 0.0).unwrap_or(last);
        return piece.slope;
    }
    // Concave: the chord.
    if lambda > 0.0 {
        let width = 0.5 * (c * turn(pieces)).abs() / lambda;
        from = from.max(-width);
        to = to.min(width);
    }
    let at = |t: f64| {
        let piece = pieces.iter().find(|piece| piece.to >= t).unwrap_or(last);
        piece.near(t)
    };
    if to > from {
        (at(to) - at(from)) / (to - from)
    } else {
        at_zero(pieces)
    }
}

fn at_zero(pieces: &[Piece]) -> f64 {
    pieces
        .iter()
        .find(|piece| piece.to >= 0.0)
        .or(pieces.last())
        .map_or(0.0, |p| p.slope)
}
