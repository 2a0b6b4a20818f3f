//! [`PairBends`]: the larger or the smaller one of two nodes around an image, entry by entry.
//!
//! max(a, b) = b + max(a − b, 0) and min(a, b) = a − max(a − b, 0): one function of one variable, v = a − b.

use crate::network::eval::rounds::norm_up;
use crate::network::local::bend::{Steps, Touch, bend, value};
use crate::network::local::pieces::Bends;
use crate::network::local::reach::Reach;
use crate::network::op::activation::Activation;
use crate::rounding::{U, add_up, mul_up, sub_down};

/// Which of two it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Of {
    Larger,
    Smaller,
}

/// How the larger or the smaller one of two nodes bends around an image.
pub(super) struct PairBends {
    of: Of,
    /// max(v, 0) of every entry.
    terms: Bends,
    /// ‖d‖ of v, from above.
    ball: f64,
    /// What the rounding of v at the image may cost, per length of a row.
    pub(super) off: f64,
}

/// v at the image, up to a rounding of each, and between which numbers it is around it, less that.
pub(super) struct Difference {
    pub(super) at: Vec<f64>,
    pub(super) low: Vec<f64>,
    pub(super) high: Vec<f64>,
}

impl Difference {
    /// Of two nodes with these values and boxes.
    pub(super) fn new([a, b]: [&[f64]; 2], [of_a, of_b]: [&Reach; 2]) -> Self {
        let less = |from: &[f64], by: &[f64], rounded: fn(f64, f64) -> f64| {
            let pairs = from.iter().zip(by);
            pairs.map(|(a, b)| rounded(*a, *b)).collect()
        };
        Self {
            at: less(a, b, |a, b| a - b),
            low: less(&of_a.low, &of_b.high, sub_down),
            high: less(&of_a.high, &of_b.low, |a, b| add_up(a, -b)),
        }
    }
}

impl PairBends {
    /// Of two nodes whose difference is known, and whose balls are these.
    pub(super) fn new(of: Of, v: &Difference, balls: [f64; 2]) -> Self {
        let positive: Vec<f64> = v.at.iter().map(|v| v.max(0.0)).collect();
        let sides = [&v.low[..], &v.high[..]];
        Self {
            of,
            terms: Bends::of_activation(&Activation::Relu, [&v.at, &positive], sides),
            ball: add_up(balls[0], balls[1]),
            // max(v, 0) changes by as much as v at most, here and at the other input.
            off: mul_up(4.0 * U, norm_up(&v.at)),
        }
    }

    /// Whether an entry may be of either node.
    pub(super) fn is_bent(&self, entry: usize) -> bool {
        self.terms.is_bent(entry)
    }

    /// The box of the result, which was computed to be `y`, of nodes with these values and boxes.
    pub(super) fn ranges(
        &self,
        y: &[f64],
        [a, b]: [&[f64]; 2],
        reaches: [&Reach; 2],
    ) -> (Vec<f64>, Vec<f64>) {
        let pick = |a: f64, b: f64| match self.of {
            Of::Larger => a.max(b),
            Of::Smaller => a.min(b),
        };
        (0..y.len())
            .map(|i| {
                let far = reaches.map(|reach| reach.low[i].abs().max(reach.high[i].abs()));
                let size = [a[i], b[i], far[0], far[1]];
                let off = 8.0 * U * size.iter().fold(y[i].abs(), |m, v| m.max(v.abs()));
                let side = |of: fn(&Reach) -> &[f64]| {
                    pick(a[i] + of(reaches[0])[i], b[i] + of(reaches[1])[i]) - y[i]
                };
                let (low, high) = (side(|reach| &reach.low), side(|reach| &reach.high));
                (sub_down(low, off), add_up(high, off))
            })
            .unzip()
    }

    /// As [`bend`] of max(v, 0), for coefficients `c` of the result: adds up to those of a, and to the negative of
    /// those of b.
    pub(super) fn bend(
        &self,
        c: &[f64],
        places: &[u32],
        g: &mut [f64],
        chosen: Option<(&Steps, &mut Vec<Touch>)>,
    ) -> f64 {
        let c: Vec<f64> = c.iter().map(|c| self.sign() * c).collect();
        bend(&self.terms, &c, places, self.ball, g, chosen)
    }

    fn sign(&self) -> f64 {
        match self.of {
            Of::Larger => 1.0,
            Of::Smaller => -1.0,
        }
    }

    /// Which of the two inputs stands beside max(v, 0).
    pub(super) fn beside(&self) -> usize {
        match self.of {
            Of::Larger => 1,
            Of::Smaller => 0,
        }
    }

    /// How a bound changes with the coefficients, where it changes by these with those of the two nodes.
    pub(super) fn change(&self, ahead: [&[f64]; 2], touches: &[Touch], out: &mut [f64]) {
        let v = |i: usize| ahead[0][i] - ahead[1][i];
        let beside = ahead[self.beside()];
        for (i, out) in out.iter_mut().enumerate() {
            *out = beside[i] + self.sign() * value(self.terms.of(i), v(i));
        }
        for touch in touches {
            let i = touch.term;
            out[i] = beside[i] + self.sign() * touch.ahead(v(i));
        }
    }
}
