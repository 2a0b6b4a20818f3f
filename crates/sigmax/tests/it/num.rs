//! Numbers in which a network can be evaluated without the code that is tested.

use sigmax::network::Activation;

/// What the oracle needs of a number.
pub(crate) trait Num: Copy {
    fn of(x: f64) -> Self;
    fn get(self) -> f64;
    fn add(self, y: Self) -> Self;
    fn mul(self, y: Self) -> Self;
    fn div(self, y: Self) -> Self;
    fn sqrt(self) -> Self;
    /// A function that is not algebraic.
    fn function(self, f: impl Fn(f64) -> f64) -> Self;
    fn less(self, y: Self) -> bool;
    /// A smooth activation, where the number has its own functions for it.
    fn smooth(self, _: &Activation) -> Option<Self> {
        None
    }

    fn neg(self) -> Self {
        self.mul(Self::of(-1.0))
    }

    fn max(self, y: Self) -> Self {
        if self.less(y) { y } else { self }
    }

    fn min(self, y: Self) -> Self {
        if y.less(self) { y } else { self }
    }

    fn int(n: usize) -> Self {
        Self::of(n as f64)
    }
}

/// An unevaluated sum of two f64: about 31 digits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Double {
    pub(crate) high: f64,
    pub(crate) low: f64,
}

fn two_sum(a: f64, b: f64) -> Double {
    let high = a + b;
    let c = high - a;
    Double {
        high,
        low: (a - (high - c)) + (b - c),
    }
}

impl Num for Double {
    fn of(x: f64) -> Self {
        Self { high: x, low: 0.0 }
    }

    fn get(self) -> f64 {
        self.high
    }

    fn add(self, y: Self) -> Self {
        let (s, t) = (two_sum(self.high, y.high), two_sum(self.low, y.low));
        let first = two_sum(s.high, s.low + t.high);
        two_sum(first.high, first.low + t.low)
    }

    fn mul(self, y: Self) -> Self {
        let high = self.high * y.high;
        let low = self.high.mul_add(y.high, -high);
        two_sum(high, low + (self.high * y.low + self.low * y.high))
    }

    fn div(self, y: Self) -> Self {
        let q1 = self.high / y.high;
        let r = self.add(y.mul(Self::of(q1)).neg());
        let q2 = r.high / y.high;
        let r = r.add(y.mul(Self::of(q2)).neg());
        two_sum(q1, q2).add(Self::of(r.high / y.high))
    }

    fn sqrt(self) -> Self {
        let s = Self::of(self.high.sqrt());
        // One step of Newton's method doubles the digits.
        s.add(self.div(s)).mul(Self::of(0.5))
    }

    fn function(self, _: impl Fn(f64) -> f64) -> Self {
        unreachable!("the exact oracle is asked for algebraic functions only")
    }

    fn less(self, y: Self) -> bool {
        self.add(y.neg()).high < 0.0
    }
}

impl Num for f64 {
    fn of(x: f64) -> Self {
        x
    }
    fn get(self) -> f64 {
        self
    }
    fn add(self, y: Self) -> Self {
        self + y
    }
    fn mul(self, y: Self) -> Self {
        self * y
    }
    fn div(self, y: Self) -> Self {
        self / y
    }
    fn sqrt(self) -> Self {
        self.sqrt()
    }
    fn function(self, f: impl Fn(f64) -> f64) -> Self {
        f(self)
    }
    fn less(self, y: Self) -> bool {
        self < y
    }
}

impl Num for f32 {
    fn of(x: f64) -> Self {
        x as Self
    }
    fn get(self) -> f64 {
        f64::from(self)
    }
    fn add(self, y: Self) -> Self {
        self + y
    }
    fn mul(self, y: Self) -> Self {
        self * y
    }
    fn div(self, y: Self) -> Self {
        self / y
    }
    fn sqrt(self) -> Self {
        self.sqrt()
    }
    fn function(self, f: impl Fn(f64) -> f64) -> Self {
        f(f64::from(self)) as Self
    }
    fn less(self, y: Self) -> bool {
        self < y
    }
}
