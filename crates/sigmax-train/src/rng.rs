//! [`Rng`]: random numbers that depend on nothing but a key.
//!
//! Every use takes a fresh generator keyed by (seed, purpose, epoch, step). A training run then
//! has no generator state: whoever knows the seed and the step can go on from there.

/// SplitMix64 (Steele, Lea & Flood 2014).
#[derive(Clone, Debug)]
pub struct Rng(u64);

/// What a generator is for; two purposes never share a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Initial weights.
    Weights = 1,
    /// Which training images are used.
    Subset = 2,
    /// The order of an epoch.
    Order = 3,
    /// Flips and crops of a batch.
    Augment = 4,
    /// Images made for tests and benchmarks.
    Synthetic = 5,
}

impl Rng {
    /// The generator for `purpose` and two counters.
    #[must_use]
    pub fn new(seed: u64, purpose: Purpose, counters: [u64; 2]) -> Self {
        let mut state = 0;
        for word in [seed, purpose as u64, counters[0], counters[1]] {
            state = mix(state ^ word).wrapping_add(0x9E37_79B9_7F4A_7C15);
        }
        Self(state)
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.0)
    }

    /// Uniform on `0..n` (multiply-shift: the bias is below n/2⁶⁴).
    #[allow(
        clippy::cast_possible_truncation,
        reason = "the product shifted by 64 is below n"
    )]
    pub fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.next_u64()) * n as u128) >> 64) as usize
    }

    /// Uniform on [0, 1), a multiple of 2⁻⁵³.
    #[allow(clippy::cast_precision_loss, reason = "53 bits fit")]
    pub fn uniform(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Standard normal (Marsaglia's polar method).
    #[allow(
        clippy::disallowed_methods,
        reason = "initial weights: nothing is claimed about them"
    )]
    pub fn normal(&mut self) -> f64 {
        loop {
            let (x, y) = (2.0 * self.uniform() - 1.0, 2.0 * self.uniform() - 1.0);
            let r = x * x + y * y;
            if r > 0.0 && r < 1.0 {
                return x * (-2.0 * r.ln() / r).sqrt();
            }
        }
    }

    /// A random order of `0..n` (Fisher–Yates).
    pub fn permutation(&mut self, n: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..n).collect();
        for i in (1..n).rev() {
            order.swap(i, self.below(i + 1));
        }
        order
    }
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_permutation_holds_every_index_once() {
        let mut order = Rng::new(7, Purpose::Order, [0, 0]).permutation(1000);
        assert_ne!(order[..10], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
        order.sort_unstable();
        assert!(order.iter().enumerate().all(|(i, &j)| i == j));
    }

    #[test]
    fn keys_make_different_streams() {
        let first = |s, p, c| Rng::new(s, p, c).next_u64();
        let all = [
            first(0, Purpose::Order, [0, 0]),
            first(1, Purpose::Order, [0, 0]),
            first(0, Purpose::Augment, [0, 0]),
            first(0, Purpose::Order, [1, 0]),
            first(0, Purpose::Order, [0, 1]),
        ];
        for (i, a) in all.iter().enumerate() {
            assert!(all[..i].iter().all(|b| a != b));
        }
    }

    #[test]
    fn normal_numbers_have_mean_0_and_variance_1() {
        let mut rng = Rng::new(3, Purpose::Weights, [0, 0]);
        let values: Vec<f64> = (0..100_000).map(|_| rng.normal()).collect();
        let mean = values.iter().sum::<f64>() / 1e5;
        let variance = values.iter().map(|v| v * v).sum::<f64>() / 1e5;
        // Five standard errors: 5/√100000 and 5·√2/√100000.
        assert!(mean.abs() < 0.016, "{mean}");
        assert!((variance - 1.0).abs() < 0.023, "{variance}");
    }
}
