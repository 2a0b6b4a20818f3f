//! [`Tangent`]: a point whose tangent proves a radius (T36).

pub(crate) mod search;

use crate::krylov::dot;
use crate::network::eval::gradient::Inexactly;
use crate::network::eval::rounds::{Linear, norm_up};
use crate::rounding::{
    U, add_up, div_down, exponent, gamma, ldexp, mul_down, mul_up, sqrt_up, sub_down,
};

/// The evidence against one class: a point x̂ = image + offset. Any offset proves something; the search
/// proposes one that proves much.
///
/// An offset is integers times a power of two, so that it is the same for everybody who reads it.
#[derive(Clone, Debug, PartialEq)]
pub struct Tangent {
    pub(crate) rival: usize,
    exponent: i32,
    steps: Vec<i32>,
}

/// Most digits of base 64 that a step is written with. Errors of the offset of a relative size d take up to
/// about d from a radius, in the first order where the radius ends at p = 0: with two digits 2·10⁻³ was seen,
/// with three 3·10⁻⁵.
pub(crate) const MOST_DIGITS: u32 = 4;

impl Tangent {
    /// The offset `steps`·2^`exponent`, against class `rival`. Steps beyond −2²³ and 2²³ − 1 are taken as
    /// these.
    #[must_use]
    pub fn new(rival: usize, exponent: i32, mut steps: Vec<i32>) -> Self {
        let end = half(MOST_DIGITS);
        for step in &mut steps {
            *step = (*step).clamp(-end, end - 1);
        }
        Self {
            rival,
            exponent,
            steps,
        }
    }

    /// The nearest to an offset that can be written with so many digits a step.
    pub(crate) fn near(rival: usize, offset: &[f64], digits: u32) -> Self {
        let largest = offset.iter().fold(0.0f64, |m, v| m.max(v.abs()));
        let exponent = if largest > 1e-250 && largest.is_finite() {
            exponent(largest / f64::from(half(digits) - 1))
        } else {
            0
        };
        let step = |&v: &f64| ldexp(v, -exponent).round() as i32;
        Self::new(rival, exponent, offset.iter().map(step).collect())
    }

    /// The class that the tangent speaks against.
    #[must_use]
    pub fn rival(&self) -> usize {
        self.rival
    }

    /// The exponent of the power of two.
    #[must_use]
    pub fn exponent(&self) -> i32 {
        self.exponent
    }

    /// The integers.
    #[must_use]
    pub fn steps(&self) -> &[i32] {
        &self.steps
    }

    /// The offset; exact unless it leaves the normal range of f64, which the error of a point counts.
    pub(crate) fn offset(&self) -> Vec<f64> {
        let step = |&s: &i32| ldexp(f64::from(s), self.exponent);
        self.steps.iter().map(step).collect()
    }
}

/// Half of what so many digits of base 64 count: steps go from minus that to less than it.
fn half(digits: u32) -> i32 {
    64i32.pow(digits) / 2
}

/// The point image + offset in f64, and a bound of its ℓ₂ distance from the exact one, for an image of
/// this size whose entries have a relative error of at most `inexact`.
pub(crate) fn point(image: &[f64], offset: &[f64], inexact: f64) -> (Vec<f64>, f64) {
    let point: Vec<f64> = image.iter().zip(offset).map(|(x, d)| x + d).collect();
    let image = mul_up(mul_up(inexact, 1.0 + 2.0 * inexact), norm_up(image));
    let rounding = mul_up(U, norm_up(&point));
    let tiny = image_tiny(offset.len());
    (point, add_up(add_up(image, rounding), tiny))
}

/// Offsets below the normal range may be off by 2⁻¹⁰⁷⁴ each.
fn image_tiny(entries: usize) -> f64 {
    entries as f64 * 1e-322
}

/// What a point says of f = z_y − z_t: f ≥ c − p·ρ − (m/2)·ρ² within ρ of the image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Parabola {
    pub(crate) c: f64,
    pub(crate) p: f64,
    pub(crate) m: f64,
}

impl Parabola {
    /// T36 for the value of f at image + offset, known to within `error`, and the gradient there. Errors
    /// of the evaluation count `times`.
    pub(crate) fn new(
        value: f64,
        error: f64,
        gradient: &Inexactly,
        offset: &[f64],
        m: f64,
        times: f64,
    ) -> Self {
        let n = offset.len();
        let g = &gradient.values;
        let p: Vec<f64> = g.iter().zip(offset).map(|(g, d)| g + m * d).collect();
        let (size, length) = (norm_up(&p), norm_up(offset));
        let rounding = mul_up(2.0 * U, add_up(size, mul_up(m, length)));
        let wrong = add_up(add_up(gradient.error, rounding), image_tiny(n));
        let inner: f64 = dot(&p, offset);
        let dot_error = add_up(mul_up(mul_up(gamma(n + 2), size), length), 1e-300);
        let squares = mul_down(dot(offset, offset), 1.0 - 2.0 * gamma(n + 2));
        let lost = add_up(add_up(error, dot_error), mul_up(wrong, length));
        let half = mul_down(0.5 * m, squares - n as f64 * 1e-300);
        let c = sub_down(sub_down(value, inner), mul_up(times, lost));
        Self {
            c: if half > 0.0 { -add_up(-c, -half) } else { c },
            p: add_up(size, mul_up(times, wrong)),
            m,
        }
    }

    /// Less by `loss.at` + `loss.per`·ρ (T29).
    pub(crate) fn less(self, loss: Linear) -> Self {
        Self {
            c: sub_down(self.c, loss.at),
            p: add_up(self.p, loss.per),
            m: self.m,
        }
    }

    /// A ρ from below such that c − p·ρ' − (m/2)·ρ'² > 0 for all ρ' < ρ; 0 where c is not positive.
    pub(crate) fn radius(self) -> f64 {
        if !(self.c > 0.0) {
            return 0.0;
        }
        let root = sqrt_up(add_up(
            mul_up(self.p, self.p),
            mul_up(mul_up(2.0, self.m), self.c),
        ));
        let slope = add_up(self.p, root);
        // p² and 2mc may underflow where both are tiny: then the quotient is of no use anyway.
        // 2c may overflow, which half of the slope does not.
        let radius = div_down(self.c, add_up(mul_up(0.5, slope), 1e-150));
        if radius > 0.0 { radius } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_is_written_to_its_last_step() {
        let offset = [0.3, -0.7, 1e-9, 0.0];
        for digits in 1..=MOST_DIGITS {
            let tangent = Tangent::near(3, &offset, digits);
            let end = half(digits);
            assert!(tangent.steps().iter().all(|step| step.abs() < end));
            for (read, exact) in tangent.offset().iter().zip(offset) {
                assert!((read - exact).abs() <= 0.7 / f64::from(end - 1));
            }
            assert_eq!(tangent.rival(), 3);
        }
        let none = Tangent::near(0, &[0.0, 0.0], 1);
        assert_eq!(none.offset(), [0.0, 0.0]);
    }

    #[test]
    fn a_parabola_ends_at_its_root() {
        let parabola = Parabola {
            c: 1.0,
            p: 2.0,
            m: 3.0,
        };
        let rho = parabola.radius();
        assert!((1.0 - 2.0 * rho - 1.5 * rho * rho).abs() < 1e-12);
        let nothing = Parabola {
            c: -1.0,
            ..parabola
        };
        assert!(nothing.radius() <= 0.0);
        let nan = Parabola {
            c: f64::NAN,
            ..parabola
        };
        assert!(nan.radius() <= 0.0);
        let huge = Parabola {
            c: f64::MAX,
            p: 4.0,
            m: 0.0,
        };
        assert!(huge.radius() <= f64::MAX / 4.0);
        let steep = Parabola {
            p: f64::INFINITY,
            ..parabola
        };
        assert!(steep.radius() <= 0.0);
    }
}
