//! How a time budget is shared among layers.

use std::time::{Duration, Instant};

use sigmax::Budget;
use sigmax::network::Network;
use sigmax_formats::LayerSpec;

/// The time that is left, and the work that is left.
pub(crate) struct Shares {
    deadline: Option<Instant>,
    workers: f64,
    /// Mean cost of a layer: what no cost model knows (caches, hard kernels) is the same for all.
    mean: f64,
    left: f64,
}

/// The same time for each node of a network, of `part` of what is left.
pub(crate) fn per_node(deadline: Option<Instant>, network: &Network, part: u32) -> Budget {
    let nodes = u32::try_from(network.nodes().len()).unwrap_or(u32::MAX);
    Budget {
        time: deadline
            .map(|deadline| deadline.saturating_duration_since(Instant::now()) / part / nodes),
        ..Budget::default()
    }
}

/// Most layers need less than their share; this lets one that needs more have some of it.
const SLACK: f64 = 1.5;

impl Shares {
    pub(crate) fn new(deadline: Option<Instant>, workers: usize, layers: &[LayerSpec]) -> Self {
        let total: f64 = layers.iter().map(cost).sum();
        Self {
            deadline,
            workers: workers as f64,
            mean: total / layers.len().max(1) as f64,
            left: 2.0 * total,
        }
    }

    /// The time for the next layer: its share of what is left, half of it by cost and half the same
    /// for all, times the number of layers that run at once. What a layer does not use goes to those
    /// after it.
    pub(crate) fn next(&mut self, layer: &LayerSpec) -> Option<Duration> {
        let cost = cost(layer) + self.mean;
        let share = (SLACK * self.workers * cost / self.left).clamp(0.0, 1.0);
        self.left = (self.left - cost).max(f64::MIN_POSITIVE);
        let remaining = self.deadline?.saturating_duration_since(Instant::now());
        Some(remaining.mul_f64(share))
    }
}

/// A rough count of operations: Cholesky factorisations of the order of the smaller side and their
/// set-up, at some frequencies per axis. Never 0.
fn cost(layer: &LayerSpec) -> f64 {
    let side = |axis: usize| layer.shape.get(axis).copied().unwrap_or(1) as f64;
    let taps: f64 = layer.shape.iter().skip(2).map(|&k| k as f64).product();
    let order = side(0).min(side(1));
    let frequencies = if taps > 1.0 { 64.0 } else { 1.0 };
    1.0 + frequencies * order * order * (order + taps)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sigmax_formats::Model;

    fn layers(shapes: &[[usize; 2]]) -> Vec<LayerSpec> {
        let mut header = String::new();
        let mut end = 0;
        for (i, [a, b]) in shapes.iter().enumerate() {
            let start = end;
            end += a * b * 2;
            header += &format!(
                "{}\"l{i}\":{{\"dtype\":\"F16\",\"shape\":[{a},{b}],\"data_offsets\":[{start},{end}]}}",
                if i == 0 { "{" } else { "," }
            );
        }
        header.push('}');
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.bytes());
        bytes.resize(bytes.len() + end, 0);
        Model::from_bytes("test", bytes).unwrap().layers
    }

    #[test]
    fn shares_follow_cost_and_use_all_of_the_time() {
        let layers = layers(&[[4, 4], [40, 40], [4, 4]]);
        let start = Instant::now() + Duration::from_secs(1000);
        let mut shares = Shares::new(Some(start), 1, &layers);
        let times: Vec<f64> = layers
            .iter()
            .map(|layer| shares.next(layer).unwrap().as_secs_f64())
            .collect();
        // Costs 81, 65601, 81 and their mean 21921: 1.5·22002/131526 and 1.5·87522/109524 > 1.
        assert!(times[0] > 240.0 && times[0] < 251.0, "{times:?}");
        assert!(times[1] > 990.0 && times[1] <= 1000.0, "{times:?}");
        assert!(
            times[2] > 990.0,
            "the last layer gets what is left: {times:?}"
        );
    }

    #[test]
    fn no_budget_is_no_limit_and_a_past_deadline_is_none_left() {
        let layers = layers(&[[4, 4]]);
        assert_eq!(Shares::new(None, 2, &layers).next(&layers[0]), None);
        let mut late = Shares::new(Some(Instant::now()), 2, &layers);
        assert_eq!(late.next(&layers[0]), Some(Duration::ZERO));
    }
}
