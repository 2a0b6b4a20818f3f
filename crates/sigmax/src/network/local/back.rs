//! Lower bounds of linear functions of a node around an image, node by node back to the input (T38).

use std::collections::BTreeMap;

use crate::network::eval::apply::Map;
use crate::network::eval::linear;
use crate::network::local::around::{Around, Bent};
use crate::network::local::bend::bend;
use crate::network::local::rows::{Rows, extent};
use crate::network::op::Op;
use crate::rounding::{U, add_up, mul_up, sub_down};

impl Around<'_> {
    /// For every row, a lower bound of ⟨row, d⟩, d the difference of the value of node `from` and the one
    /// that was computed, over all inputs within the radius.
    ///
    /// What is left is always Σ_i ⟨row_i, d_i⟩ + k over the nodes i that are pending, the last one of which is
    /// replaced by what it reads:
    /// - an affine node has d = Σ W·d_i + δ, ‖δ‖ its own rounding: Wᵀrow goes on, less what its rounding
    ///   and δ may cost;
    /// - an activation is replaced by a linear function that is below (L1);
    /// - anything else, and the input, by −‖row‖·ball.
    ///
    /// Wherever one node alone is pending, k − ‖row‖·ball is a bound too: the best one counts.
    pub(super) fn lower(&self, from: usize, rows: Rows) -> Vec<f64> {
        let forward = self.forward;
        let nodes = forward.network().nodes();
        let mut sums = vec![0.0; rows.count];
        let mut best = vec![f64::NEG_INFINITY; rows.count];
        let mut pending = BTreeMap::from([(from, rows)]);
        while let Some((i, rows)) = pending.pop_last() {
            let norms = rows.norms();
            let ball = self.reaches[i].ball;
            let by_ball = |sum: f64, norm: f64| sub_down(sum, mul_up(norm, ball));
            if pending.is_empty() {
                for ((best, &sum), &norm) in best.iter_mut().zip(&sums).zip(&norms) {
                    // A NaN is not larger.
                    let bound = by_ball(sum, norm);
                    if bound > *best {
                        *best = bound;
                    }
                }
            }
            let node = &nodes[i];
            let mut parts = Vec::new();
            let mut to = node.inputs.clone();
            match &self.bent[i] {
                Bent::No if linear::is_affine(&node.op) => {
                    let rounds = forward.rounds(i);
                    for (sum, &norm) in sums.iter_mut().zip(&norms) {
                        let mut cost = mul_up(norm, self.local[i]);
                        for input in &node.inputs {
                            let off =
                                mul_up(rounds.reversed(0.0, norm), self.reaches[input.0].ball);
                            cost = add_up(cost, off);
                        }
                        *sum = sub_down(*sum, cost);
                    }
                    for place in 0..node.inputs.len() {
                        parts.push(self.through_affine(i, place, &rows));
                    }
                }
                Bent::No => {
                    for (sum, &norm) in sums.iter_mut().zip(&norms) {
                        *sum = by_ball(*sum, norm);
                    }
                }
                Bent::Entries(bends) => {
                    let ball = self.reaches[node.inputs[0].0].ball;
                    let places = rows.places(node);
                    let mut part = Rows::zeros(rows.count, rows.channels, rows.pixels.clone());
                    for ((c, g), sum) in rows.rows().zip(part.rows_mut()).zip(&mut sums) {
                        *sum = sub_down(*sum, -bend(bends, c, &places, ball, g));
                    }
                    parts.push(part);
                }
                Bent::Pool(pool) => {
                    let input = self.pooled(i);
                    to = vec![input];
                    let places = rows.places(node);
                    let (channels, pixels) = extent(&nodes[input.0]);
                    let mut read: Vec<u32> = places
                        .iter()
                        .flat_map(|&place| pool.window(place))
                        .map(|&entry| entry % pixels as u32)
                        .collect();
                    read.sort_unstable();
                    read.dedup();
                    let mut at = vec![u32::MAX; channels * pixels];
                    for (position, &pixel) in read.iter().enumerate() {
                        for channel in 0..channels {
                            at[channel * pixels + pixel as usize] =
                                (position * channels + channel) as u32;
                        }
                    }
                    let ball = self.reaches[input.0].ball;
                    let mut part = Rows::zeros(rows.count, channels, read);
                    for ((c, g), sum) in rows.rows().zip(part.rows_mut()).zip(&mut sums) {
                        *sum = sub_down(*sum, -pool.bend(c, &places, &at, ball, g));
                    }
                    parts.push(part);
                }
            }
            for (part, input) in parts.into_iter().zip(to) {
                let sum = match pending.remove(&input.0) {
                    None => part,
                    Some(before) => {
                        let sum = before.plus(&part);
                        // |fl(a + b) − (a + b)| ≤ u·|fl(a + b)|.
                        let ball = mul_up(2.0 * U, self.reaches[input.0].ball);
                        for (total, norm) in sums.iter_mut().zip(sum.norms()) {
                            *total = sub_down(*total, mul_up(ball, norm));
                        }
                        sum
                    }
                };
                pending.insert(input.0, sum);
            }
        }
        // Everything has been replaced: by the input, or by balls.
        for (best, sum) in best.iter_mut().zip(sums) {
            if sum > *best {
                *best = sum;
            }
        }
        best
    }

    /// What input `place` of an affine node receives.
    fn through_affine(&self, i: usize, place: usize, rows: &Rows) -> Rows {
        let forward = self.forward;
        let nodes = forward.network().nodes();
        let (node, input) = (&nodes[i], &nodes[nodes[i].inputs[place].0]);
        match (&node.op, forward.map(i), &self.prepared.scatters[i]) {
            (_, Map::Conv(map, _), Some(scatter)) => scatter.back(map, rows),
            (Op::Add, ..) => rows.clone(),
            (Op::Affine(_), Map::Affine(scale, _), _) => {
                let mut part = rows.clone();
                let places = rows.places(node);
                for row in part.rows_mut() {
                    for (v, &place) in row.iter_mut().zip(&places) {
                        *v *= scale[place as usize];
                    }
                }
                part
            }
            _ => {
                let all = rows.entries(node);
                let mut values = vec![0.0; rows.count * input.len()];
                if let Map::Dense(map, _) = forward.map(i) {
                    map.apply_transpose(&all, &mut values);
                } else {
                    let chunks = all.chunks(node.len()).zip(values.chunks_mut(input.len()));
                    for (y, out) in chunks {
                        linear::apply_transpose(forward, i, place, y, out);
                    }
                }
                Rows::of_entries(input, &values)
            }
        }
    }
}
