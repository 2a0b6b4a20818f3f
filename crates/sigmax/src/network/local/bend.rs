//! Lower bounds of Σ c_k·(σ(x̂_k + t_k) − ŷ_k) over a ball and a box: a linear function and a number (T38).

use crate::network::eval::rounds::norm_up;
use crate::network::local::pieces::{Bends, Piece};
use crate::network::local::slopes::Slopes;
use crate::rounding::{add_up, gamma, larger, mul_up, sqrt_up, sub_down};

/// Multipliers that are tried for a row, and how near t of the last is to the ball: of one of many rows, and of
/// one whose slopes are chosen.
const TRIES: (usize, f64) = (6, 0.05);
const CAREFUL: (usize, f64) = (16, 0.005);

/// One entry of a row where the function is no straight line.
#[derive(Clone, Copy)]
struct Term<'p> {
    place: usize,
    c: f64,
    g: f64,
    /// Where its minimum is.
    t: f64,
    pieces: &'p [Piece],
}

/// How the linear function of a row was chosen at one of the places where it is no straight line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Touch {
    /// Which of the functions it is.
    pub(super) term: usize,
    /// Its coefficient.
    pub(super) c: f64,
    /// Where the function and the linear one are closest, and the former there.
    pub(super) t: f64,
    pub(super) value: f64,
    /// The slope, and the least and the largest.
    pub(super) slope: f64,
    pub(super) slopes: (f64, f64),
    /// Whether the function times its coefficient is convex: then the slope may be chosen.
    pub(super) is_open: bool,
}

/// Slopes that somebody chose, one for every function, in steps of the way from its least slope to its
/// largest; used where the function times its coefficient is convex. [`Slopes::NONE`], or not there, where
/// nobody did.
pub(super) type Steps = [u8];

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
/// for λ is the secular equation Σ t_k(λ)² = ball². Where slopes are `chosen` it also says where the bound is
/// touched.
pub(super) fn bend(
    bends: &Bends,
    c: &[f64],
    places: &[u32],
    ball: f64,
    g: &mut [f64],
    mut chosen: Option<(&Steps, &mut Vec<Touch>)>,
) -> f64 {
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
                t: 0.0,
                pieces,
            }),
        }
    }
    // Products c·slope of straight lines are off by u·|g| each, which t multiplies.
    let squares = rounded * (1.0 + 4.0 * gamma(places.len() + 8)) + places.len() as f64 * 1e-300;
    let rounded = mul_up(mul_up(2.0 * gamma(2), sqrt_up(squares)), ball);
    let total = |sum: Sum, lambda: f64| {
        let all = Sum {
            value: straight.value + sum.value,
            size: add_up(straight.size, sum.size),
            ..sum
        };
        bound(all, lambda, rounded, places.len(), ball)
    };
    let bent = terms.iter().fold(0.0, |sum, term| {
        let bent = term.c * turn(term.pieces);
        sum + bent * bent
    });
    let start = match ball > 0.0 && ball.is_finite() {
        true => 0.25 * bent.sqrt() / ball,
        false => 0.0,
    };
    let steps = chosen.as_ref().map_or(&[][..], |(steps, _)| *steps);
    let slope_of = |term: &Term<'_>, lambda: f64| match steps.get(places[term.place] as usize) {
        Some(&step) if step < Slopes::NONE && term.c * turn(term.pieces) > 0.0 => {
            let (low, high) = slopes(term.pieces);
            low + f64::from(step) / f64::from(Slopes::MOST) * (high - low)
        }
        _ => slope(term.c, term.pieces, lambda),
    };
    let mut best = f64::NEG_INFINITY;
    let care = if chosen.is_some() { CAREFUL } else { TRIES };
    search(
        &mut terms,
        start,
        care,
        ball,
        slope_of,
        |terms, sum, lambda| {
            let bound = total(sum, lambda);
            if bound > best {
                best = bound;
                terms.iter().for_each(|term| g[term.place] = term.g);
                if let Some((_, touches)) = &mut chosen {
                    touches.clear();
                    let touch = |term: &Term<'_>| term.touch(places[term.place] as usize);
                    touches.extend(terms.iter().map(touch));
                }
            }
        },
    );
    best
}

/// Looks for the multiplier by the secular equation: every one that is tried is handed on, with the terms and
/// their sum.
fn search<'p>(
    terms: &mut [Term<'p>],
    start: f64,
    (tries, near): (usize, f64),
    ball: f64,
    slope_of: impl Fn(&Term<'p>, f64) -> f64,
    mut found: impl FnMut(&[Term<'p>], Sum, f64),
) {
    let mut lambda = start;
    for _ in 0..tries {
        let mut sum = Sum::zero();
        for term in terms.iter_mut() {
            term.g = term.c * slope_of(term, lambda);
            term.t = sum.add(*term, lambda);
        }
        found(terms, sum, lambda);
        let ratio = sum.squares.sqrt() / ball;
        if terms.is_empty() || (lambda <= 0.0 && ratio <= 1.0) || !(ratio - 1.0).abs().gt(&near) {
            break;
        }
        lambda *= ratio;
        if !(lambda > 0.0 && lambda.is_finite()) {
            break;
        }
    }
}

/// A lower bound of ⟨c, t⟩ for all t with ‖t‖ ≤ `ball` and `low` ≤ t ≤ `high`; and about where it is attained.
pub(super) fn least(c: &[f64], [low, high]: [&[f64]; 2], ball: f64) -> (f64, Vec<f64>) {
    let lines: Vec<Piece> = low
        .iter()
        .zip(high)
        .map(|(&low, &high)| Piece::line(low, high, 1.0, 0.0, 0.0))
        .collect();
    let mut terms: Vec<Term<'_>> = c
        .iter()
        .zip(&lines)
        .enumerate()
        .map(|(place, (&c, line))| Term {
            place,
            c,
            g: 0.0,
            t: 0.0,
            pieces: std::slice::from_ref(line),
        })
        .collect();
    let (mut best, mut at) = (f64::NEG_INFINITY, vec![0.0; c.len()]);
    // Without the ball, or about what the ball alone needs.
    for start in [0.0, norm_up(c) / ball] {
        if !start.is_finite() {
            continue;
        }
        search(
            &mut terms,
            start,
            CAREFUL,
            ball,
            |_, _| 0.0,
            |terms, sum, lambda| {
                let bound = bound(sum, lambda, 0.0, c.len(), ball);
                if bound > best {
                    best = bound;
                    at.iter_mut().zip(terms).for_each(|(at, term)| *at = term.t);
                }
            },
        );
    }
    (best, at)
}

/// What a sum of terms proves with a multiplier, less its rounding, and less `more`.
fn bound(sum: Sum, lambda: f64, more: f64, count: usize, ball: f64) -> f64 {
    let rounding = mul_up(mul_up(4.0, gamma(count + 24)), sum.size);
    // Products that underflow lose less than 2⁻¹⁰⁷³, before they are multiplied by t² at most.
    let far = add_up(1.0, ball);
    let tiny = mul_up((count + 1) as f64 * 1e-300, mul_up(far, far));
    let paid = mul_up(0.5, mul_up(lambda, mul_up(ball, ball)));
    let paid = if lambda > 0.0 { paid } else { 0.0 };
    let bound = sub_down(
        sum.value,
        add_up(add_up(rounding, more), add_up(paid, tiny)),
    );
    // What is not known proves nothing.
    if bound.is_nan() {
        f64::NEG_INFINITY
    } else {
        bound
    }
}

/// The change of the slope.
fn turn(pieces: &[Piece]) -> f64 {
    match pieces {
        [first, .., last] => last.slope - first.slope,
        [only] => (only.high - only.low) * (only.to - only.from),
        [] => 0.0,
    }
}

/// The least and the largest slope, as far as the middles and ends of pieces say.
fn slopes(pieces: &[Piece]) -> (f64, f64) {
    let start = (f64::INFINITY, f64::NEG_INFINITY);
    pieces.iter().fold(start, |(low, high), piece| {
        let curved = 0.5 * (piece.low + piece.high);
        let ends = [piece.from, piece.to].map(|t| piece.slope + curved * (t - piece.at));
        (
            low.min(ends[0]).min(ends[1]),
            high.max(ends[0]).max(ends[1]),
        )
    })
}

impl Touch {
    /// How the bound changes with the coefficient, where it changes by `ahead` with that of what the
    /// function reads.
    pub(super) fn ahead(&self, ahead: f64) -> f64 {
        self.value + self.slope * (ahead - self.t)
    }

    /// How it changes with the share of the slope.
    pub(super) fn by_share(&self, ahead: f64) -> f64 {
        self.c * (self.slopes.1 - self.slopes.0) * (ahead - self.t)
    }

    /// The share of the slope.
    pub(super) fn share(&self) -> f64 {
        let (low, high) = self.slopes;
        ((self.slope - low) / (high - low)).clamp(0.0, 1.0)
    }
}

impl Term<'_> {
    fn touch(&self, term: usize) -> Touch {
        Touch {
            term,
            c: self.c,
            t: self.t,
            value: value(self.pieces, self.t),
            slope: self.g / self.c,
            slopes: slopes(self.pieces),
            is_open: self.c * turn(self.pieces) > 0.0,
        }
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

    /// Adds the least of c·(σ(x̂ + t) − ŷ) − g·t + ½λt² over the pieces; where it is.
    ///
    /// On each piece that is at least a + b·t + ½d·t² with coefficients that are computed, up to
    /// roundings of numbers that together are at most `size`: the products and sums of every
    /// coefficient, times powers of the largest |t|. The vertex is off by a relative u, which costs
    /// u² of ½d·t².
    fn add(&mut self, term: Term<'_>, lambda: f64) -> f64 {
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
            size = larger(size, own);
        }
        self.value += least;
        self.size += size;
        self.squares += at * at;
        at
    }
}

/// The slope of the linear function that stands for the one of an entry.
fn slope(c: f64, pieces: &[Piece], lambda: f64) -> f64 {
    let (Some(first), Some(last)) = (pieces.first(), pieces.last()) else {
        return 0.0;
    };
    let (mut from, mut to) = (first.from, last.to);
    if c * (last.slope - first.slope) > 0.0 {
        // Convex: the tangent at the image, which costs nothing.
        return piece_at(pieces, last, 0.0).slope;
    }
    // Concave: the chord.
    if lambda > 0.0 {
        let width = 0.5 * (c * turn(pieces)).abs() / lambda;
        from = from.max(-width);
        to = to.min(width);
    }
    let at = |t: f64| piece_at(pieces, last, t).near(t);
    if to > from {
        (at(to) - at(from)) / (to - from)
    } else {
        piece_at(pieces, last, 0.0).slope
    }
}

/// About the value of a function at a number; of one that is no straight line, where its pieces end before.
pub(super) fn value(pieces: &[Piece], t: f64) -> f64 {
    match pieces {
        [] => 0.0,
        [only] if only.is_straight() => only.near(t),
        [first, ..] => {
            let last = pieces.last().unwrap_or(first);
            let t = t.max(first.from).min(last.to);
            piece_at(pieces, last, t).near(t)
        }
    }
}

/// The piece that a number is in.
fn piece_at<'p>(pieces: &'p [Piece], last: &'p Piece, t: f64) -> &'p Piece {
    pieces.iter().find(|piece| piece.to >= t).unwrap_or(last)
}
