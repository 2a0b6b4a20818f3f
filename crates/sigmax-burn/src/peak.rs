//! [`Profile`]: the trigonometric polynomial that one singular pair makes of a symbol.
#![allow(
    clippy::disallowed_methods,
    reason = "what is computed here is an estimate"
)]

/// θ, or a tap's offset from the centre, along the three axes.
pub(crate) type Frequency = [f64; 3];

/// g(θ) = Re Σ_t q_t·exp(i⟨o_t, θ⟩) with q_t = u*·K_t·v: Re⟨u, F(θ)v⟩ as a function of θ.
pub(crate) struct Profile<'a> {
    pub(crate) offsets: &'a [Frequency],
    pub(crate) re: &'a [f64],
    pub(crate) im: &'a [f64],
}

/// ⟨t − d, θ⟩.
pub(crate) fn phase(offset: &Frequency, theta: &Frequency) -> f64 {
    (0..3).map(|a| offset[a] * theta[a]).sum()
}

impl Profile<'_> {
    /// Moves θ uphill by a few Newton steps, each replaced by a short gradient step where it would
    /// not gain; returns g there. Never ends below where it began.
    pub(crate) fn climb(&self, theta: &mut Frequency) -> f64 {
        const STEPS: usize = 4;
        // |∂²g| ≤ Σ|q|·|o|²: a gradient step of the inverse length cannot lose.
        let curvature: f64 = self
            .offsets
            .iter()
            .zip(self.re.iter().zip(self.im))
            .map(|(o, (re, im))| re.hypot(*im) * o.iter().map(|x| x * x).sum::<f64>())
            .sum();
        let (mut value, mut gradient, mut hessian) = self.expand(theta);
        if curvature.is_nan() || curvature <= 0.0 {
            return value;
        }
        for _ in 0..STEPS {
            let mut trial = *theta;
            let step = ascent_direction(&gradient, &hessian)
                .unwrap_or_else(|| gradient.map(|g| g / curvature));
            add(&mut trial, &step);
            let mut expanded = self.expand(&trial);
            if expanded.0 < value {
                trial = *theta;
                add(&mut trial, &gradient.map(|g| g / curvature));
                expanded = self.expand(&trial);
                if expanded.0 <= value {
                    break;
                }
            }
            *theta = trial;
            (value, gradient, hessian) = expanded;
        }
        // Half-integer offsets (even kernels): the period is two turns.
        for angle in theta {
            *angle = angle.rem_euclid(2.0 * std::f64::consts::TAU);
        }
        value
    }

    /// g, its gradient and its Hessian.
    fn expand(&self, theta: &Frequency) -> (f64, Frequency, [Frequency; 3]) {
        let (mut value, mut gradient, mut hessian) = (0.0, [0.0; 3], [[0.0; 3]; 3]);
        for (t, o) in self.offsets.iter().enumerate() {
            let (sin, cos) = phase(o, theta).sin_cos();
            let re = self.re[t] * cos - self.im[t] * sin;
            let im = self.re[t] * sin + self.im[t] * cos;
            value += re;
            for a in 0..3 {
                gradient[a] -= o[a] * im;
                for b in 0..3 {
                    hessian[a][b] -= o[a] * o[b] * re;
                }
            }
        }
        (value, gradient, hessian)
    }
}

fn add(theta: &mut Frequency, step: &Frequency) {
    for (angle, step) in theta.iter_mut().zip(step) {
        *angle += step;
    }
}

/// The Newton step −H⁻¹g by elimination, where −H is positive definite on the axes that matter (an
/// axis with one tap has neither gradient nor curvature), and no longer than half a radian.
fn ascent_direction(gradient: &Frequency, hessian: &[Frequency; 3]) -> Option<Frequency> {
    let active: Vec<usize> = (0..3).filter(|&a| hessian[a][a].abs() > 0.0).collect();
    let n = active.len();
    let mut rows: Vec<Vec<f64>> = active
        .iter()
        .map(|&a| {
            let mut row: Vec<f64> = active.iter().map(|&b| -hessian[a][b]).collect();
            row.push(gradient[a]);
            row
        })
        .collect();
    for pivot in 0..n {
        if rows[pivot][pivot].is_nan() || rows[pivot][pivot] <= 0.0 {
            return None;
        }
        for row in pivot + 1..n {
            let factor = rows[row][pivot] / rows[pivot][pivot];
            let above = rows[pivot].clone();
            for (entry, above) in rows[row].iter_mut().zip(&above) {
                *entry -= factor * above;
            }
        }
    }
    let mut step = [0.0; 3];
    for pivot in (0..n).rev() {
        let known: f64 = (pivot + 1..n)
            .map(|b| rows[pivot][b] * step[active[b]])
            .sum();
        step[active[pivot]] = (rows[pivot][n] - known) / rows[pivot][pivot];
    }
    step.iter().all(|s| s.abs() <= 0.5).then_some(step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn climbs_to_the_peak_of_a_cosine() {
        // 2·cos(θ − 0.7), from taps at ±1.
        let offsets = [[0.0, 0.0, -1.0], [0.0, 0.0, 1.0]];
        let (re, im) = ([0.7f64.cos(); 2], [0.7f64.sin(), -(0.7f64.sin())]);
        let profile = Profile {
            offsets: &offsets,
            re: &re,
            im: &im,
        };
        let mut theta = [0.0, 0.0, 3.0];
        let mut before = f64::NEG_INFINITY;
        for _ in 0..20 {
            let value = profile.climb(&mut theta);
            assert!(value >= before - 1e-15);
            before = value;
        }
        assert!((theta[2] - 0.7).abs() < 1e-7);
        assert!((before - 2.0).abs() < 1e-13);
    }
}
