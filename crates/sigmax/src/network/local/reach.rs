//! [`Reach`]: how far the value of a node may be from the one at an image.

use crate::network::eval::rounds::norm_up;

/// What is known of the difference d of a node's value, at an input up to ε away, and the one that was
/// computed.
#[derive(Clone, Debug)]
pub(super) struct Reach {
    /// ‖d‖₂ is at most this.
    pub(super) ball: f64,
    /// d is between these, entry by entry.
    pub(super) low: Vec<f64>,
    pub(super) high: Vec<f64>,
}

impl Reach {
    /// Makes use of each for the other: no entry is beyond the ball, and the ball is within the box.
    pub(super) fn cut(&mut self) {
        let ball = self.ball;
        if ball >= 0.0 {
            // Bounds that are not known are NaN, or infinite, and give way.
            self.low.iter_mut().for_each(|low| *low = low.max(-ball));
            self.high.iter_mut().for_each(|high| *high = high.min(ball));
        }
        let furthest: Vec<f64> = self
            .low
            .iter()
            .zip(&self.high)
            .map(|(low, high)| low.abs().max(high.abs()))
            .collect();
        self.ball = smaller(ball, norm_up(&furthest));
    }
}

/// The smaller one of two bounds, where one that is NaN says nothing.
pub(super) fn smaller(a: f64, b: f64) -> f64 {
    if a <= b || b.is_nan() { a } else { b }
}
