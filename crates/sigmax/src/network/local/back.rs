//! Lower bounds of linear functions of a node around an image, node by node back to the input (T38).

use std::collections::BTreeMap;

use crate::network::eval::apply::Map;
use crate::network::eval::linear;
use crate::network::local::around::{Around, Bent};
use crate::network::local::bend::{Steps, Touch, bend, least};
use crate::network::local::guide::{Guide, Met};
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
    /// - an activation is replaced by a linear function that is below;
    /// - anything else, and the input, by −‖row‖·ball.
    ///
    /// Wherever one node alone is pending, k − ‖row‖·ball is a bound too: the best one counts.
    pub(super) fn lower(&self, from: usize, rows: Rows) -> Vec<f64> {
        self.lower_by(BTreeMap::from([(from, rows)]), None)
    }

    /// The same of sums over several nodes, with slopes that somebody chose, and what came of them.
    pub(super) fn lower_by(
        &self,
        mut pending: BTreeMap<usize, Rows>,
        mut guide: Option<&mut Guide<'_>>,
    ) -> Vec<f64> {
        let forward = self.forward;
        let nodes = forward.network().nodes();
        let count = pending.values().next().map_or(0, |rows| rows.count);
        let mut sums = vec![0.0; count];
        let mut best = vec![f64::NEG_INFINITY; count];
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
                        let mut cost = mul_up(norm, self.rounding[i]);
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
                    let places = rows.places(node);
                    for (row, (sum, &norm)) in rows.rows().zip(sums.iter_mut().zip(&norms)) {
                        let by_box = self.by_box(i, row, &places);
                        let by_box = by_box.map(|(bound, _)| sub_down(*sum, -bound));
                        *sum = by_ball(*sum, norm);
                        if let Some(bound) = by_box.filter(|bound| *bound > *sum) {
                            *sum = bound;
                        }
                    }
                    if let Some(guide) = &mut guide {
                        let touches = Vec::new();
                        guide.met.insert(i, Met { rows, touches });
                    }
                }
                Bent::Entries(bends) => {
                    let ball = self.reaches[node.inputs[0].0].ball;
                    let places = rows.places(node);
                    let mut part = Rows::zeros(rows.count, rows.channels, rows.pixels.clone());
                    bend_rows(i, rows, &mut part, &mut sums, &mut guide, |c, g, chosen| {
                        bend(bends, c, &places, ball, g, chosen)
                    });
                    parts.push(part);
                }
                Bent::Pair(pair) => {
                    for (sum, &norm) in sums.iter_mut().zip(&norms) {
                        *sum = sub_down(*sum, mul_up(norm, pair.off));
                    }
                    let places = rows.places(node);
                    let mut part = Rows::zeros(rows.count, rows.channels, rows.pixels.clone());
                    let beside = rows.clone();
                    bend_rows(i, rows, &mut part, &mut sums, &mut guide, |c, g, chosen| {
                        pair.bend(c, &places, g, chosen)
                    });
                    let mut other = part.clone();
                    other.values.iter_mut().for_each(|v| *v = -*v);
                    parts = vec![part, other];
                    // |fl(a + b) − (a + b)| ≤ u·|fl(a + b)|.
                    let to = pair.beside();
                    let values = parts[to].values.iter_mut().zip(&beside.values);
                    values.for_each(|(v, c)| *v += c);
                    let ball = mul_up(2.0 * U, self.reaches[node.inputs[to].0].ball);
                    for (sum, norm) in sums.iter_mut().zip(parts[to].norms()) {
                        *sum = sub_down(*sum, mul_up(ball, norm));
                    }
                }
                Bent::Pool(pool) => {
                    let input = self.source(i);
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
                    bend_rows(i, rows, &mut part, &mut sums, &mut guide, |c, g, chosen| {
                        pool.bend(c, &places, &at, ball, g, chosen)
                    });
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

    /// A lower bound of ⟨row, d⟩ in ball and box of the input, and about where it is attained; only where
    /// the input has a box that says more than its ball.
    pub(super) fn by_box(&self, i: usize, row: &[f64], places: &[u32]) -> Option<(f64, Vec<f64>)> {
        if i > 0 || self.range.is_none() {
            return None;
        }
        let reach = &self.reaches[i];
        let side = |of: &[f64]| -> Vec<f64> { places.iter().map(|&p| of[p as usize]).collect() };
        let sides = [&side(&reach.low)[..], &side(&reach.high)];
        Some(least(row, sides, reach.ball))
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

/// Replaces a node that bends, row by row: `bound` writes a linear function of what it reads, and returns the
/// number that goes with it.
fn bend_rows(
    i: usize,
    rows: Rows,
    part: &mut Rows,
    sums: &mut [f64],
    guide: &mut Option<&mut Guide<'_>>,
    bound: impl Fn(&[f64], &mut [f64], Option<(&Steps, &mut Vec<Touch>)>) -> f64,
) {
    let mut touches = vec![Vec::new(); rows.count];
    let each = rows.rows().zip(part.rows_mut()).zip(sums);
    for (row, ((c, g), sum)) in each.enumerate() {
        let chosen = guide.as_ref().map(|guide| guide.steps(row, i));
        let number = bound(c, g, chosen.zip(touches.get_mut(row)));
        *sum = sub_down(*sum, -number);
    }
    if let Some(guide) = guide {
        guide.met.insert(i, Met { rows, touches });
    }
}
