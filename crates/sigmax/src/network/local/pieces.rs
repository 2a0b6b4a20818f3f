//! [`Bends`]: what an activation does around the values that it has at an image, in pieces.

use crate::network::op::activation::Activation;
use crate::rounding::{U, add_up, larger, mul_up, sub_down};

/// Pieces of the interval of an entry where the function is known by its slope and its curvature.
const SMOOTH_PIECES: usize = 4;
/// The same where only its slope is known.
const STEEP_PIECES: usize = 32;

/// Most pieces of an activation, as [`Bends::of_activation`] makes them.
pub(super) fn most_pieces(activation: &Activation) -> usize {
    match activation {
        Activation::Relu | Activation::LeakyRelu { .. } | Activation::Abs => 2,
        Activation::Clip { .. } | Activation::SoftShrink { .. } => 3,
        _ if activation.curvature().is_ok() => SMOOTH_PIECES,
        _ => STEEP_PIECES,
    }
}

/// σ(x̂ + t) − ŷ = value + slope·(t − at) + ½·κ·(t − at)², up to ±error, with a κ between `low` and
/// `high`, for all t between `from` and `to`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece {
    pub(super) from: f64,
    pub(super) to: f64,
    pub(super) at: f64,
    pub(super) value: f64,
    pub(super) slope: f64,
    pub(super) low: f64,
    pub(super) high: f64,
    pub(super) error: f64,
}

impl Piece {
    /// A line: slope·t + value.
    pub(super) fn line(from: f64, to: f64, slope: f64, value: f64, error: f64) -> Self {
        Self {
            from,
            to,
            at: 0.0,
            value,
            slope,
            low: 0.0,
            high: 0.0,
            error,
        }
    }

    /// Whether it is a straight line.
    pub(super) fn is_straight(&self) -> bool {
        self.low >= 0.0 && self.high <= 0.0
    }

    /// About its value.
    pub(super) fn near(&self, t: f64) -> f64 {
        let s = t - self.at;
        self.value + s * (self.slope + 0.25 * (self.low + self.high) * s)
    }

    /// The least and the largest value, outwards.
    fn range(&self) -> (f64, f64) {
        let reach = (self.from - self.at).abs().max((self.to - self.at).abs());
        let ends = [self.from, self.to].map(|t| self.slope * (t - self.at));
        let square = 0.5 * reach * reach;
        let size = self.value.abs() + self.slope.abs() * reach;
        let curved = square * self.low.abs().max(self.high.abs());
        // Five roundings of numbers up to this.
        let error = self.error + 8.0 * U * (size + curved) + 1e-300;
        let low = self.value + ends[0].min(ends[1]) + square * self.low.min(0.0);
        let high = self.value + ends[0].max(ends[1]) + square * self.high.max(0.0);
        (sub_down(low, error), add_up(high, error))
    }
}

/// An entry: the value x that was computed, the result y, and where x + t may be.
#[derive(Clone, Copy)]
struct Entry {
    x: f64,
    y: f64,
    low: f64,
    high: f64,
}

/// The pieces of all entries of an activation, one after the other.
#[derive(Default)]
pub(super) struct Bends {
    starts: Vec<u32>,
    pieces: Vec<Piece>,
    /// ‖σ(x̂) − ŷ‖₂ from above.
    pub(super) error: f64,
}

impl Bends {
    /// Whether an entry is more than one straight line.
    pub(super) fn is_bent(&self, entry: usize) -> bool {
        !matches!(self.of(entry), [piece] if piece.is_straight())
    }

    /// The pieces of an entry.
    pub(super) fn of(&self, entry: usize) -> &[Piece] {
        &self.pieces[self.starts[entry] as usize..self.starts[entry + 1] as usize]
    }

    /// Of values that are `x` and between `x + low` and `x + high` around the image, where `y` was
    /// computed.
    pub(super) fn of_activation(
        activation: &Activation,
        [x, y]: [&[f64]; 2],
        [low, high]: [&[f64]; 2],
    ) -> Self {
        let mut bends = Self::default();
        for (((&x, &y), &low), &high) in x.iter().zip(y).zip(low).zip(high) {
            bends.start();
            bends.activation(activation, x, y, low, high);
            let (value, error) = activation.value(x);
            bends.error = add_up(bends.error, add_up((value - y).abs(), error));
        }
        bends.start();
        bends
    }

    /// The same for max(x, 0) + slope·min(x, 0), one slope an entry.
    pub(super) fn of_slopes(slopes: &[f64], [x, y]: [&[f64]; 2], [low, high]: [&[f64]; 2]) -> Self {
        let mut bends = Self::default();
        for (i, &slope) in slopes.iter().enumerate() {
            bends.start();
            let entry = Entry {
                x: x[i],
                y: y[i],
                low: low[i],
                high: high[i],
            };
            bends.lines(&[slope, 1.0], &[(0.0, 0.0)], entry);
            // The product of the slope is one rounding.
            let rounding = if x[i] < 0.0 {
                2.0 * U * y[i].abs() + 1e-300
            } else {
                0.0
            };
            bends.error = add_up(bends.error, rounding);
        }
        bends.start();
        bends
    }

    /// Of max(x − kink, 0), terms of the entries in `places`, each with its kink; where it has none, of x.
    /// Of the first ones, less the value at the image.
    pub(super) fn above(
        kinks: &[Option<f64>],
        places: &[u32],
        first: usize,
        x: &[f64],
        [low, high]: [&[f64]; 2],
    ) -> Self {
        let mut bends = Self::default();
        for (i, (&kink, &place)) in kinks.iter().zip(places).enumerate() {
            bends.start();
            let place = place as usize;
            let (x, low, high) = (x[place], low[place], high[place]);
            let value = kink.map_or(x, |kink| (x - kink).max(0.0));
            let y = if i < first { value } else { 0.0 };
            let entry = Entry { x, y, low, high };
            match kink {
                None => bends.lines(&[1.0], &[(0.0, 0.0)], entry),
                Some(kink) => bends.lines(&[0.0, 1.0], &[(kink, 0.0)], entry),
            }
        }
        bends.start();
        bends
    }

    fn start(&mut self) {
        self.starts.push(self.pieces.len() as u32);
    }

    /// The box of the result.
    pub(super) fn ranges(&self) -> (Vec<f64>, Vec<f64>) {
        let entries = self.starts.len() - 1;
        (0..entries)
            .map(|i| {
                let ranges = self.of(i).iter().map(Piece::range);
                // Of the negative of the low end, so that a NaN stays.
                let (low, high) = ranges.fold(
                    (f64::NEG_INFINITY, f64::NEG_INFINITY),
                    |(l, h), (low, high)| (larger(l, -low), larger(h, high)),
                );
                (-low, high)
            })
            .unzip()
    }

    fn activation(&mut self, activation: &Activation, x: f64, y: f64, low: f64, high: f64) {
        let entry = Entry { x, y, low, high };
        match *activation {
            Activation::Relu => self.lines(&[0.0, 1.0], &[(0.0, 0.0)], entry),
            Activation::LeakyRelu { alpha } => self.lines(&[alpha, 1.0], &[(0.0, 0.0)], entry),
            Activation::Abs => self.lines(&[-1.0, 1.0], &[(0.0, 0.0)], entry),
            Activation::Clip { low, high } if low < high => {
                match (low.is_finite(), high.is_finite()) {
                    (true, true) => {
                        self.lines(&[0.0, 1.0, 0.0], &[(low, low), (high, high)], entry);
                    }
                    (true, false) => self.lines(&[0.0, 1.0], &[(low, low)], entry),
                    (false, true) => self.lines(&[1.0, 0.0], &[(high, high)], entry),
                    (false, false) => self.lines(&[1.0], &[(0.0, 0.0)], entry),
                }
            }
            Activation::SoftShrink { lambd } if lambd > 0.0 => {
                self.lines(&[1.0, 0.0, 1.0], &[(-lambd, 0.0), (lambd, 0.0)], entry);
            }
            _ => match activation.curvature() {
                Ok(range) => self.smooth(activation, range, entry),
                Err(_) => self.steep(activation, entry),
            },
        }
    }

    /// A function of straight lines with these slopes, which meet at `kinks`, given with the value there.
    /// A single line goes through the one that is given.
    fn lines(&mut self, slopes: &[f64], kinks: &[(f64, f64)], entry: Entry) {
        let Entry { x, y, low, high } = entry;
        let steepest = slopes.iter().fold(1.0f64, |m, s| m.max(s.abs()));
        let mut from = low;
        for (i, &slope) in slopes.iter().enumerate() {
            let end = match kinks.get(i) {
                Some(&(kink, _)) if i + 1 < slopes.len() => kink - x,
                _ => f64::INFINITY,
            };
            let to = end.min(high);
            // It ends before the interval begins, or where the line before it did.
            if to < from || (to <= from && from > low && to < high) {
                continue;
            }
            let (kink, at_kink) = kinks[i.saturating_sub(1).min(kinks.len() - 1)];
            let value = (at_kink + slope * (x - kink)) - y;
            let zero = |v: f64| v.abs() <= 0.0;
            // x or 0, less y.
            let exact = zero(kink)
                && zero(at_kink)
                && (zero(slope) || (slope.abs() - 1.0).abs() <= 0.0)
                && (zero(slope * x) || zero(y) || (slope * x - y).abs() <= 0.0);
            let size = at_kink.abs() + (slope.abs() + 1.0) * (x.abs() + kink.abs()) + y.abs();
            let error = match exact {
                true => 0.0,
                // Of the value, and of the places of both kinks, between which another line was meant.
                false => 16.0 * U * steepest * (size + from.abs() + to.abs()) + 1e-300,
            };
            self.pieces.push(Piece::line(from, to, slope, value, error));
            from = to;
            if to >= high {
                break;
            }
        }
    }

    /// A function whose difference quotients of σ' are in `curvature`: Taylor's formula at the middle of
    /// every piece.
    fn smooth(&mut self, activation: &Activation, curvature: (f64, f64), entry: Entry) {
        let Entry { x, y, low, high } = entry;
        let steep = activation.slope();
        self.split(SMOOTH_PIECES, low, high, |from, to| {
            let point = x + (0.5 * from + 0.5 * to);
            let (value, value_error) = activation.value(point);
            let (slope, slope_error) = activation.derivative(point);
            let at = point - x;
            // x + at is `point` up to a rounding of each, which σ stretches by its slope.
            let off = mul_up(4.0 * U, add_up(point.abs(), x.abs()));
            let reach = mul_up(0.5 + 4.0 * U, add_up(to, -from));
            let reach = add_up(reach, off);
            let curved = curvature.1.max(-curvature.0);
            let mut error = add_up(
                value_error,
                mul_up(add_up(steep, mul_up(curved, reach)), off),
            );
            error = add_up(error, mul_up(slope_error, reach));
            error = add_up(error, mul_up(4.0 * U, add_up(value.abs(), y.abs())));
            Piece {
                from,
                to,
                at,
                value: value - y,
                slope,
                low: curvature.0,
                high: curvature.1,
                error,
            }
        });
    }

    /// A function of which only the largest slope is known.
    fn steep(&mut self, activation: &Activation, entry: Entry) {
        let Entry { x, y, low, high } = entry;
        let steep = activation.slope();
        self.split(STEEP_PIECES, low, high, |from, to| {
            let point = x + (0.5 * from + 0.5 * to);
            let (value, value_error) = activation.value(point);
            let slope = activation.derivative(point).0.clamp(-steep, steep);
            let off = mul_up(4.0 * U, add_up(point.abs(), x.abs()));
            let reach = add_up(mul_up(0.5 + 4.0 * U, add_up(to, -from)), off);
            // |σ(x̂ + t) − σ(point)| ≤ steep·|t − at|, and so is what the line adds.
            let mut error = add_up(value_error, mul_up(mul_up(2.0, steep), add_up(reach, off)));
            error = add_up(error, mul_up(4.0 * U, add_up(value.abs(), y.abs())));
            Piece::line(from, to, slope, (value - slope * (point - x)) - y, error)
        });
    }

    fn split(&mut self, count: usize, low: f64, high: f64, piece: impl Fn(f64, f64) -> Piece) {
        let mut from = low;
        for i in 1..=count {
            let share = i as f64 / count as f64;
            let to = if i == count {
                high
            } else {
                (low + share * (high - low)).clamp(from, high)
            };
            self.pieces.push(piece(from, to));
            from = to;
        }
    }
}
