//! [`PoolBends`]: max-pooling around an image, with a ReLU before it.
//!
//! max_w x_w = x_{w*}, exactly, where the largest entry of a window stays the largest. Elsewhere, for any θ,
//! x_{w*} ≤ max_w x_w ≤ θ + Σ_w max(x_w − θ, 0): each term is a function of one entry. Behind a ReLU, x is
//! what that reads, x_{w*} is max(x_{w*}, 0), and θ ≥ 0.

use crate::network::local::bend::{Steps, Touch, bend, value};
use crate::network::local::pieces::Bends;
use crate::network::local::reach::Reach;
use crate::rounding::{U, add_up, gamma, mul_up, sqrt_int_up, sqrt_up};

/// How the windows of a max-pool bend around an image.
pub(super) struct PoolBends<'p> {
    /// Behind a ReLU, which is taken together with the pool.
    pub(super) floor: bool,
    /// Of every term, the entry it is a function of: first the largest one of every window, then all
    /// that may be the largest where several may.
    entries: Vec<u32>,
    /// Where the latter begin, window after window.
    starts: Vec<u32>,
    /// Of every window where several may be the largest, θ less the value that was computed, from above.
    above: Vec<f64>,
    terms: Bends,
    /// Most windows that hold one entry.
    held: usize,
    windows: &'p [Vec<u32>],
}

impl<'p> PoolBends<'p> {
    /// Of windows `all` of values that are `x`, largest at `winners`, and between `x + low` and `x + high`
    /// around the image.
    pub(super) fn new(
        all: &'p [Vec<u32>],
        winners: Vec<u32>,
        floor: bool,
        x: &[f64],
        [low, high]: [&[f64]; 2],
    ) -> Self {
        let mut places = winners;
        let mut kinks: Vec<Option<f64>> = vec![floor.then_some(0.0); places.len()];
        let (mut starts, mut above) = (vec![places.len() as u32], Vec::new());
        let mut held = vec![0usize; x.len()];
        for (i, window) in all.iter().enumerate() {
            window.iter().for_each(|&w| held[w as usize] += 1);
            let winner = places[i] as usize;
            let least = if floor { 0.0 } else { f64::NEG_INFINITY };
            let surely = window
                .iter()
                .map(|&w| x[w as usize] + low[w as usize])
                .fold(least, f64::max);
            // The sums are rounded: nothing is left out that may be the largest.
            let may_win = |w: u32| {
                let w = w as usize;
                let size = 4.0 * U * (surely.abs() + x[w].abs() + high[w].abs());
                !(x[w] + high[w] + size < surely)
            };
            let rivals: Vec<u32> = window.iter().copied().filter(|&w| may_win(w)).collect();
            if rivals.iter().all(|&w| w as usize == winner) {
                above.push(0.0);
            } else {
                let second = rivals
                    .iter()
                    .filter(|&&w| w as usize != winner)
                    .map(|&w| x[w as usize])
                    .fold(least, f64::max);
                let theta = 0.5 * (x[winner].max(least) + second);
                let value = x[winner].max(least);
                above.push(add_up(theta - value, 0.0));
                for w in rivals {
                    places.push(w);
                    kinks.push(Some(theta));
                }
            }
            starts.push(places.len() as u32);
        }
        let terms = Bends::above(&kinks, &places, all.len(), x, [low, high]);
        Self {
            floor,
            entries: places,
            starts,
            above,
            terms,
            held: held.into_iter().max().unwrap_or(1),
            windows: all,
        }
    }

    /// The box of the result, whose values are `y`.
    pub(super) fn ranges(&self, y: &[f64], x: &[f64], reach: &Reach) -> (Vec<f64>, Vec<f64>) {
        let least = if self.floor { 0.0 } else { f64::NEG_INFINITY };
        self.windows
            .iter()
            .zip(y)
            .map(|(window, y)| {
                let side = |of: &[f64]| {
                    let all = window.iter().map(|&w| x[w as usize] + of[w as usize]);
                    all.fold(least, f64::max) - y
                };
                let size = window.iter().fold(y.abs(), |m, &w| {
                    let w = w as usize;
                    m.max(x[w].abs() + reach.low[w].abs().max(reach.high[w].abs()))
                });
                let off = 8.0 * U * size;
                (side(&reach.low) - off, add_up(side(&reach.high), off))
            })
            .unzip()
    }

    /// Marks the entries of windows that are not straight.
    pub(super) fn undecided(&self, found: &mut [bool]) {
        for (term, &entry) in self.entries.iter().enumerate() {
            found[entry as usize] |= self.terms.is_bent(term);
        }
        for &entry in &self.entries[self.windows.len()..] {
            found[entry as usize] = true;
        }
    }

    /// How many terms there are.
    pub(super) fn terms(&self) -> usize {
        self.entries.len()
    }

    /// The entry that a term is a function of.
    pub(super) fn entry(&self, term: usize) -> usize {
        self.entries[term] as usize
    }

    /// For every row that was bent at `touches`, with coefficients `c` of the windows in `places`, how its
    /// bound changes with them, where it changes by `ahead` with those of what the pool reads.
    pub(super) fn change(
        &self,
        [c, ahead]: [&[f64]; 2],
        places: &[u32],
        touches: &[Touch],
        out: &mut [f64],
    ) {
        let mut of_terms: Vec<f64> = (0..self.entries.len())
            .map(|term| value(self.terms.of(term), ahead[self.entry(term)]))
            .collect();
        for touch in touches {
            of_terms[touch.term] = touch.ahead(ahead[self.entry(touch.term)]);
        }
        // Of the largest entry, as where a coefficient is above 0.
        out.copy_from_slice(&of_terms[..self.windows.len()]);
        for (&c, &place) in c.iter().zip(places) {
            let window = place as usize;
            let range = self.starts[window] as usize..self.starts[window + 1] as usize;
            if c < 0.0 && !range.is_empty() {
                out[window] = self.above[window] + of_terms[range].iter().sum::<f64>();
            }
        }
    }

    /// The entries of a window.
    pub(super) fn window(&self, window: u32) -> &'p [u32] {
        &self.windows[window as usize]
    }

    /// As [`bend`], for coefficients `c` of the windows in `places`: adds to the coefficients of the
    /// entries, each of which is kept at `at[entry]`.
    pub(super) fn bend(
        &self,
        c: &[f64],
        places: &[u32],
        at: &[u32],
        ball: f64,
        g: &mut [f64],
        chosen: Option<(&Steps, &mut Vec<Touch>)>,
    ) -> f64 {
        let (mut terms, mut factors) = (Vec::new(), Vec::new());
        let (mut constant, mut size) = (0.0, 0.0);
        for (&c, &place) in c.iter().zip(places) {
            let window = place as usize;
            let range = self.starts[window]..self.starts[window + 1];
            if c > 0.0 || range.is_empty() {
                terms.push(place);
                factors.push(c);
            } else if c < 0.0 {
                constant += c * self.above[window];
                size += c.abs() * self.above[window].abs();
                factors.extend(range.clone().map(|_| c));
                terms.extend(range);
            }
        }
        let mut slopes = vec![0.0; factors.len()];
        // Every entry may occur in as many terms as windows hold it.
        let ball_of_terms = mul_up(sqrt_int_up(self.held), ball);
        let bound = bend(
            &self.terms,
            &factors,
            &terms,
            ball_of_terms,
            &mut slopes,
            chosen,
        );
        let mut squares = 0.0;
        for (&term, slope) in terms.iter().zip(&slopes) {
            g[at[self.entries[term as usize] as usize] as usize] += slope;
            squares += slope * slope;
        }
        // Sums of at most as many numbers as windows hold an entry.
        let roundings = mul_up(2.0 * gamma(self.held + 1), sqrt_int_up(self.held + 1));
        let n = places.len() + factors.len() + 8;
        let spread = sqrt_up(squares * (1.0 + 4.0 * gamma(n)) + n as f64 * 1e-300);
        let lost = mul_up(mul_up(roundings, spread), ball);
        let more = add_up(lost, add_up(mul_up(4.0 * gamma(n), size), 1e-300));
        let bound = bound + constant - more;
        // The two sums are rounded.
        bound - 8.0 * U * (bound.abs() + constant.abs() + more)
    }
}
