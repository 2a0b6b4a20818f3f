//! Local maximisation of ‖F(θ)‖: finds good frequencies and vectors, proves nothing.
//!
//! A branch and bound is as fast as its lower bound is good. What comes out of here is turned into
//! a claim by T13 elsewhere.

#![allow(
    clippy::disallowed_methods,
    reason = "an estimate: the frequency it returns is exact, its value is recomputed with a proof"
)]

use crate::krylov;
use crate::symbol::autocorrelation::{Autocorrelation, Frequency, Phases, QuadraticForm, TURN};

/// A frequency and a vector with a large ‖F(θ)*v‖/‖v‖.
#[derive(Clone)]
pub(crate) struct Peak {
    pub(crate) at: Frequency,
    /// (real part, imaginary part).
    pub(crate) vector: Vec<f64>,
    /// v*G(θ)v/‖v‖², approximately ‖F(θ)‖².
    pub(crate) value: f64,
}

/// The approximate top eigenpair of G at one frequency.
pub(crate) fn top(
    of: &Autocorrelation,
    at: Frequency,
    start: Option<&[f64]>,
    steps: usize,
    tolerance: f64,
) -> Peak {
    if of.n == 1 {
        let vector = vec![1.0, 0.0];
        let value = of.quadratic_form(&vector).at(of, &at);
        return Peak { at, vector, value };
    }
    let gram = of.gram(&at);
    let fresh;
    let start = match start {
        Some(vector) => vector,
        None => {
            fresh = krylov::quasi_random(2 * of.n, 3);
            &fresh
        }
    };
    let ritz = krylov::lanczos(start, steps, tolerance, |x, y| gram.apply(x, y));
    Peak {
        at,
        vector: ritz.vector,
        value: ritz.value,
    }
}

/// Climbs from a peak: in turns the best θ for the vector (a trigonometric polynomial, by damped
/// Newton steps) and the best vector for θ (Lanczos), until a round gains less than `gain` relative.
pub(crate) fn ascend(of: &Autocorrelation, from: Peak, gain: f64) -> Peak {
    const ROUNDS: usize = 40;
    let mut peak = from;
    for _ in 0..ROUNDS {
        let form = of.quadratic_form(&peak.vector);
        let at = form.climb(of, &peak.at);
        let next = top(of, at, Some(&peak.vector), 12, 0.05 * gain);
        let rise = next.value - peak.value;
        if next.value > peak.value {
            peak = next;
        }
        if !(rise > gain * peak.value) {
            break;
        }
    }
    peak
}

impl QuadraticForm {
    /// p(θ).
    pub(crate) fn at(&self, of: &Autocorrelation, at: &Frequency) -> f64 {
        self.with(&of.phases(at))
    }

    /// p(θ) from the phases of θ.
    pub(crate) fn with(&self, (cos, sin): &Phases) -> f64 {
        krylov::dot(&self.cosine, cos) + krylov::dot(&self.sine, sin)
    }

    /// A local maximum of p near `from`, rounded to a multiple of 1/[`TURN`].
    fn climb(&self, of: &Autocorrelation, from: &Frequency) -> Frequency {
        let axes = of.k.len();
        let mut theta = [0.0; 3];
        for a in 0..axes {
            theta[a] =
                std::f64::consts::TAU * from.numerator[a] as f64 / from.denominator[a] as f64;
        }
        let mut here = self.expand(of, &theta);
        let mut damping = 0.0;
        for _ in 0..25 {
            let step = here.step(axes, damping);
            let length = step.iter().map(|s| s.abs()).fold(0.0, f64::max);
            if !(length > 1e-9) {
                break;
            }
            let mut candidate = theta;
            for a in 0..axes {
                candidate[a] += step[a];
            }
            let there = self.expand(of, &candidate);
            if there.value > here.value {
                (theta, here) = (candidate, there);
                damping *= 0.25;
            } else {
                damping = (4.0 * damping).max(0.25 * here.curvature(axes));
                if length < 1e-7 {
                    break;
                }
            }
        }
        let mut at = Frequency {
            numerator: [0; 3],
            denominator: [TURN; 3],
        };
        for a in 0..axes {
            let turns = (theta[a] / std::f64::consts::TAU).rem_euclid(1.0);
            at.numerator[a] = (turns * TURN as f64).round() as i64;
        }
        at
    }

    /// Value, gradient and Hessian of p at θ.
    fn expand(&self, of: &Autocorrelation, theta: &[f64; 3]) -> Expansion {
        let mut e = Expansion::default();
        for ((s, &a), &b) in of.shifts().iter().zip(&self.cosine).zip(&self.sine) {
            let s = s.map(|x| x as f64);
            let (sin, cos) = (s[0] * theta[0] + s[1] * theta[1] + s[2] * theta[2]).sin_cos();
            let (value, slope) = (a * cos + b * sin, b * cos - a * sin);
            e.value += value;
            for i in 0..3 {
                e.gradient[i] += s[i] * slope;
                for j in 0..3 {
                    e.hessian[i][j] -= s[i] * s[j] * value;
                }
            }
        }
        e
    }
}

#[derive(Default)]
struct Expansion {
    value: f64,
    gradient: [f64; 3],
    hessian: [[f64; 3]; 3],
}

impl Expansion {
    /// Largest absolute row sum of the Hessian.
    fn curvature(&self, axes: usize) -> f64 {
        (0..axes)
            .map(|i| (0..axes).map(|j| self.hessian[i][j].abs()).sum())
            .fold(0.0, f64::max)
    }

    /// (damping·I − H)⁻¹·gradient, with more damping until that matrix is positive definite.
    fn step(&self, axes: usize, damping: f64) -> [f64; 3] {
        let mut damping = damping;
        let least = 1e-3 * self.curvature(axes) + f64::MIN_POSITIVE;
        loop {
            if let Some(step) = self.solve(axes, damping) {
                return step;
            }
            damping = (2.0 * damping).max(least);
            if !damping.is_finite() {
                return [0.0; 3];
            }
        }
    }

    /// Gaussian elimination without pivoting; `None` unless every pivot is positive.
    fn solve(&self, axes: usize, damping: f64) -> Option<[f64; 3]> {
        let mut m = [[0.0; 3]; 3];
        let mut x = self.gradient;
        for i in 0..axes {
            for j in 0..axes {
                m[i][j] = -self.hessian[i][j] + if i == j { damping } else { 0.0 };
            }
        }
        for i in 0..axes {
            if !(m[i][i] > 0.0) {
                return None;
            }
            for r in i + 1..axes {
                let f = m[r][i] / m[i][i];
                for c in i..axes {
                    m[r][c] -= f * m[i][c];
                }
                x[r] -= f * x[i];
            }
        }
        for i in (0..axes).rev() {
            for c in i + 1..axes {
                x[i] -= m[i][c] * x[c];
            }
            x[i] /= m[i][i];
        }
        Some(x)
    }
}
