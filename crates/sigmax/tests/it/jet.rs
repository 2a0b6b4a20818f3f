//! Elementary functions in twice the precision, and numbers that carry their first two derivatives along
//! a direction: the oracle of gradients and curvatures.

#![allow(
    clippy::disallowed_methods,
    reason = "the oracle may use the platform's functions: no proof rests on them"
)]

use sigmax::network::Activation;

use crate::num::{Double, Num};

const PI: Double = Double {
    high: std::f64::consts::PI,
    low: 1.224_646_799_147_353_2e-16,
};
const LN_2: Double = Double {
    high: std::f64::consts::LN_2,
    low: 2.319_046_813_846_299_6e-17,
};

fn of(x: f64) -> Double {
    Double::of(x)
}

fn minus(a: Double, b: Double) -> Double {
    a.add(b.neg())
}

fn scaled(x: Double, factor: f64) -> Double {
    Double {
        high: x.high * factor,
        low: x.low * factor,
    }
}

/// e^x: with x = k·ln 2 + 256·r, the series of e^r, squared eight times.
fn exp(x: Double) -> Double {
    if x.high < -690.0 {
        return of(0.0);
    }
    let k = (x.high / LN_2.high).round();
    let r = scaled(minus(x, LN_2.mul(of(k))), 1.0 / 256.0);
    let series = (1..=14).rev().fold(of(1.0), |sum, j| {
        of(1.0).add(sum.mul(r).div(of(f64::from(j))))
    });
    let power = (0..8).fold(series, |e, _| e.mul(e));
    scaled(power, 2f64.powi(k as i32))
}

/// ln x: one step of Newton's method doubles the digits.
fn ln(x: Double) -> Double {
    let first = of(x.high.ln());
    first.add(minus(x.mul(exp(first.neg())), of(1.0)))
}

/// By its series with e^{−x²} in front, whose terms have one sign.
fn erf(x: Double) -> Double {
    if x.high.abs() > 9.0 {
        return of(x.high.signum());
    }
    let square = x.mul(x);
    let (mut term, mut sum) = (x, x);
    for n in 1..400 {
        term = term.mul(scaled(square, 2.0)).div(of(f64::from(2 * n + 1)));
        sum = sum.add(term);
    }
    slope_of_erf(x).mul(sum)
}

/// 2/√π·e^{−x²}.
fn slope_of_erf(x: Double) -> Double {
    of(2.0).div(PI.sqrt()).mul(exp(x.mul(x).neg()))
}

/// atan(x) = z + atan((x − tan z)/(1 + x·tan z)), z the f64 nearby.
fn atan(x: Double) -> Double {
    let z = of(x.high.atan());
    let square = z.mul(z).neg();
    let (mut sin, mut cos) = (of(1.0), of(1.0));
    for j in (1..=16).rev() {
        let j = f64::from(j);
        sin = of(1.0).add(sin.mul(square).div(of(2.0 * j * (2.0 * j + 1.0))));
        cos = of(1.0).add(cos.mul(square).div(of(2.0 * j * (2.0 * j - 1.0))));
    }
    let sin = sin.mul(z);
    z.add(minus(x.mul(cos), sin).div(cos.add(x.mul(sin))))
}

/// f, f' and f'' along a line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Jet {
    pub(crate) value: Double,
    pub(crate) first: Double,
    pub(crate) second: Double,
}

impl Jet {
    pub(crate) fn new(value: Double, first: f64) -> Self {
        Self {
            value,
            first: of(first),
            second: of(0.0),
        }
    }

    /// g(f), with g' and g'' at f.
    fn chain(self, value: Double, slope: Double, curvature: Double) -> Self {
        let square = self.first.mul(self.first);
        Self {
            value,
            first: slope.mul(self.first),
            second: slope.mul(self.second).add(curvature.mul(square)),
        }
    }

    fn exp(self) -> Self {
        let e = exp(self.value);
        self.chain(e, e, e)
    }

    fn ln(self) -> Self {
        let slope = of(1.0).div(self.value);
        self.chain(ln(self.value), slope, slope.mul(slope).neg())
    }

    fn erf(self) -> Self {
        let slope = slope_of_erf(self.value);
        let curvature = slope.mul(scaled(self.value, -2.0));
        self.chain(erf(self.value), slope, curvature)
    }

    fn atan(self) -> Self {
        let slope = of(1.0).div(of(1.0).add(self.value.mul(self.value)));
        let curvature = scaled(self.value, -2.0).mul(slope).mul(slope);
        self.chain(atan(self.value), slope, curvature)
    }

    fn sigmoid(self) -> Self {
        let one = Self::of(1.0);
        if self.value.high < 0.0 {
            let e = self.exp();
            e.div(one.add(e))
        } else {
            one.div(one.add(self.neg().exp()))
        }
    }

    fn softplus(self) -> Self {
        let above = |x: Self| Self::of(1.0).add(x.exp()).ln();
        if self.value.high < 0.0 {
            above(self)
        } else {
            self.add(above(self.neg()))
        }
    }
}

impl Num for Jet {
    fn of(x: f64) -> Self {
        Self::new(of(x), 0.0)
    }

    fn get(self) -> f64 {
        self.value.get()
    }

    fn add(self, y: Self) -> Self {
        Self {
            value: self.value.add(y.value),
            first: self.first.add(y.first),
            second: self.second.add(y.second),
        }
    }

    fn mul(self, y: Self) -> Self {
        let twice = scaled(self.first.mul(y.first), 2.0);
        let sides = self.second.mul(y.value).add(self.value.mul(y.second));
        Self {
            value: self.value.mul(y.value),
            first: self.first.mul(y.value).add(self.value.mul(y.first)),
            second: sides.add(twice),
        }
    }

    fn div(self, y: Self) -> Self {
        let inverse = of(1.0).div(y.value);
        let square = inverse.mul(inverse);
        let curvature = scaled(square.mul(inverse), 2.0);
        self.mul(y.chain(inverse, square.neg(), curvature))
    }

    fn sqrt(self) -> Self {
        let root = self.value.sqrt();
        let slope = of(0.5).div(root);
        let curvature = scaled(slope.div(self.value), -0.5);
        self.chain(root, slope, curvature)
    }

    fn function(self, _: impl Fn(f64) -> f64) -> Self {
        // A final softmax, whose values nobody reads.
        Self::of(f64::NAN)
    }

    fn less(self, y: Self) -> bool {
        self.value.less(y.value)
    }

    fn smooth(self, activation: &Activation) -> Option<Self> {
        let (x, one) = (self, Self::of(1.0));
        let half = Self::of(0.5);
        let negative = x.value.high < 0.0;
        let root_of_two = Self::of(2.0).sqrt();
        let below = |alpha: f64| {
            let alpha = Self::of(alpha);
            alpha.mul(x.div(alpha).exp().add(one.neg()))
        };
        let gate = |linear: Self, cubic: Self| {
            let y = cubic.mul(x).mul(x).add(linear).mul(x);
            x.mul(y.add(y).sigmoid())
        };
        Some(match *activation {
            Activation::Sigmoid => x.sigmoid(),
            Activation::Tanh => {
                let s = x.add(x).sigmoid();
                s.add(s).add(one.neg())
            }
            Activation::Softplus => x.softplus(),
            Activation::Softsign if negative => x.div(one.add(x.neg())),
            Activation::Softsign => x.div(one.add(x)),
            Activation::Celu { alpha } if negative => below(alpha),
            Activation::Elu { alpha: 1.0 } if negative => below(1.0),
            Activation::Celu { .. } | Activation::Elu { alpha: 1.0 } => x,
            Activation::Selu { alpha: 1.0, gamma } => {
                Self::of(gamma).mul(if negative { below(1.0) } else { x })
            }
            Activation::Gelu => x.mul(half).mul(one.add(x.div(root_of_two).erf())),
            Activation::GeluTanh => {
                let linear = Self::of(2.0).div(Self::new(PI, 0.0)).sqrt();
                let cubic = Self::of(44_715.0).div(Self::of(1e6)).mul(linear);
                gate(linear, cubic)
            }
            Activation::GeluTanhNear { linear, cubic } => gate(Self::of(linear), Self::of(cubic)),
            Activation::Silu => x.mul(x.sigmoid()),
            // tanh(ln(1 + e^x)) = n/(n + 2), n = e^x·(e^x + 2).
            Activation::Mish if negative => {
                let e = x.exp();
                let n = e.mul(e.add(Self::of(2.0)));
                x.mul(n.div(n.add(Self::of(2.0))))
            }
            Activation::Mish => {
                let e = x.neg().exp();
                let n = one.add(e).add(e);
                x.mul(n.div(n.add(e.mul(e)).add(e.mul(e))))
            }
            Activation::Erf => x.erf(),
            Activation::Atan => x.atan(),
            _ => return None,
        })
    }
}

/// The functions against digits that are known, and derivatives against difference quotients.
#[test]
fn the_oracle_of_derivatives_is_right() {
    let near = |a: Double, high: f64, low: f64| {
        let off = minus(a, Double { high, low }).get();
        assert!(off.abs() < 1e-29, "{a:?}: {off:e}");
    };
    near(
        exp(of(1.0)),
        std::f64::consts::E,
        1.445_646_891_729_250_2e-16,
    );
    near(ln(of(2.0)), LN_2.high, LN_2.low);
    near(scaled(atan(of(1.0)), 4.0), PI.high, PI.low);
    for x in [-3.0, -0.7, 0.2, 1.9, 4.0] {
        near(ln(exp(of(x))), x, 0.0);
        near(erf(of(x)).add(erf(of(-x))), 0.0, 0.0);
    }
    for activation in SMOOTH {
        for x in [-6.1, -1.3, -0.2, 0.3, 1.7, 5.3] {
            let at = |h: f64| {
                let x = of(x).add(of(h));
                Jet::new(x, 1.0).smooth(&activation).unwrap()
            };
            let (h, jet) = (2f64.powi(-20), at(0.0));
            let (above, below) = (at(h), at(-h));
            let slope = minus(above.value, below.value).div(of(2.0 * h));
            let curvature = minus(above.first, below.first).div(of(2.0 * h));
            let near = |a: Double, b: Double| minus(a, b).get().abs() < 1e-10;
            assert!(near(slope, jet.first), "{activation} at {x}: {jet:?}");
            assert!(near(curvature, jet.second), "{activation} at {x}: {jet:?}");
        }
    }
}

/// All activations of T31.
pub(crate) const SMOOTH: [Activation; 16] = [
    Activation::Sigmoid,
    Activation::Tanh,
    Activation::Softplus,
    Activation::Softsign,
    Activation::Gelu,
    Activation::GeluTanh,
    Activation::Silu,
    Activation::Mish,
    Activation::Erf,
    Activation::Atan,
    Activation::Elu { alpha: 1.0 },
    Activation::Celu { alpha: 0.25 },
    Activation::Celu { alpha: 3.0 },
    Activation::Selu {
        alpha: 1.0,
        gamma: 1.7,
    },
    Activation::Selu {
        alpha: 1.0,
        gamma: -0.6,
    },
    Activation::GeluTanhNear {
        linear: 0.797_884_6,
        cubic: 0.035_677_407,
    },
];
