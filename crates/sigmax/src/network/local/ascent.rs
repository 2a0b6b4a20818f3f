//! Slopes of the linear functions that a bound goes back by, chosen by ascent.
//!
//! Any slopes prove something (T38). Where a function times its coefficient c is concave, the chord is about
//! the best; where it is convex, the slope s is open, and the bound is a function of it that is
//! differentiable but for ties. Let t be the point where the function and the linear one are closest, and v the derivative
//! of the bound by the coefficients of a node: at the input, where the row is least; through an affine node v
//! goes forward as any difference does; and at a function v_out = σ(x̂ + t) − ŷ + s·(v_in − t). Then the
//! derivative by s is c·(v_in − t).

use std::collections::BTreeMap;

use crate::network::eval::linear;
use crate::network::eval::rounds::norm_up;
use crate::network::graph::Node;
use crate::network::local::around::{Around, Bent};
use crate::network::local::bend::{Touch, value};
use crate::network::local::guide::{Chosen, Guide, Met};
use crate::network::local::rows::Rows;
use crate::network::local::slopes::Slopes;

/// Passes of an ascent, at most.
const ROUNDS: usize = 16;
/// Of the step that would make up for what is missing, if the bound rose as it does where it is: what the
/// first one is, and what each is of the one before.
const STEP: f64 = 0.5;
const DECAY: f64 = 0.93;
/// How much of the last step goes on.
const HEAVY: f64 = 0.7;
/// What is missing at least, as a share of the bound: what is nearly enough is overshot.
const OVERSHOT: f64 = 0.03;
/// As many passes raise a bound by about this share of it, so that more need not be tried.
const HOPE: [(usize, f64); 3] = [(0, 0.25), (4, 0.1), (8, 0.04)];

/// How a bound changes with a slope.
struct Change {
    node: usize,
    terms: usize,
    touch: Touch,
    by: f64,
}

impl Change {
    /// By how much the bound bends, about, so that steps are long where it bends little.
    fn weight(&self) -> f64 {
        let (low, high) = self.touch.slopes;
        1.0 / (self.touch.c.abs() * (high - low))
    }
}

/// A row that is not proved yet: the share of every slope, and how it moved last.
struct Open {
    row: usize,
    shares: BTreeMap<usize, Vec<Option<(f64, f64)>>>,
}

impl Open {
    fn chosen(&self) -> Chosen {
        let step = |share: &Option<(f64, f64)>| match share {
            Some((share, _)) => (share * f64::from(Slopes::MOST)).round() as u8,
            None => Slopes::NONE,
        };
        let steps = |all: &Vec<_>| all.iter().map(step).collect();
        self.shares
            .iter()
            .map(|(&node, all)| (node, steps(all)))
            .collect()
    }

    /// Moves the shares up the bound.
    fn climb(&mut self, changes: &[Change], missing: f64, round: usize) {
        let squares: f64 = changes.iter().map(|c| c.by * c.by * c.weight()).sum();
        let length = STEP * DECAY.powi(round as i32) * missing / squares;
        for change in changes {
            let step = length * change.weight() * change.by;
            let all = self
                .shares
                .entry(change.node)
                .or_insert_with(|| vec![None; change.terms]);
            let share = &mut all[change.touch.term];
            let (at, last) = share.unwrap_or((change.touch.share(), 0.0));
            let step = HEAVY * last + step;
            if step.is_finite() {
                *share = Some(((at + step).clamp(0.0, 1.0), step));
            }
        }
    }
}

impl Around<'_> {
    /// Whether all rows of node `from` have lower bounds of which nothing is `missing`, and the slopes that
    /// prove it where the rule for them does not.
    pub(super) fn ascend(
        &self,
        from: usize,
        rows: &[usize],
        seeds: impl Fn(&[usize]) -> Rows,
        missing: impl Fn(usize, f64) -> f64,
    ) -> Option<Vec<Slopes>> {
        let mut found = Vec::new();
        let mut open: Vec<Open> = rows
            .iter()
            .map(|&row| Open {
                row,
                shares: BTreeMap::new(),
            })
            .collect();
        for round in 0..ROUNDS {
            let chosen: Vec<Chosen> = open.iter().map(Open::chosen).collect();
            let mut guide = Guide::new(&chosen);
            let left: Vec<usize> = open.iter().map(|open| open.row).collect();
            let pending = BTreeMap::from([(from, seeds(&left))]);
            let bounds = self.lower_by(pending, Some(&mut guide));
            let met = guide.met;
            let hope = HOPE.iter().rev().find(|(first, _)| *first <= round);
            let mut still = Vec::new();
            for (place, (mut open, chosen)) in open.into_iter().zip(chosen).enumerate() {
                let size = bounds[place].abs();
                let missing = missing(open.row, bounds[place]);
                if missing <= 0.0 {
                    let of = |(node, steps)| Slopes::new(open.row, node, steps);
                    found.extend(chosen.into_iter().map(of));
                    continue;
                }
                if !(missing <= hope.map_or(0.0, |hope| hope.1 * size)) {
                    return None;
                }
                let changes = self.changes(from, place, &met);
                open.climb(&changes, missing.max(OVERSHOT * size), round);
                still.push(open);
            }
            open = still;
            if open.is_empty() {
                return Some(found);
            }
            if self.is_late() {
                return None;
            }
        }
        None
    }

    /// Lower bounds of rows of node `from`, by slopes that somebody states; nothing is known of a row whose
    /// slopes are not those of nodes that bend, one for every function.
    pub(super) fn lower_with(
        &self,
        from: usize,
        rows: &[usize],
        seeds: impl Fn(&[usize]) -> Rows,
        stated: &[Slopes],
    ) -> Vec<f64> {
        let of_row = |row: &usize| {
            let own = stated.iter().filter(|slopes| slopes.rival() == *row);
            own.map(|slopes| (slopes.node(), slopes.steps().to_vec()))
                .collect()
        };
        let chosen: Vec<Chosen> = rows.iter().map(of_row).collect();
        let mut guide = Guide::new(&chosen);
        let pending = BTreeMap::from([(from, seeds(rows))]);
        let bounds = self.lower_by(pending, Some(&mut guide));
        let fits = |chosen: &Chosen| {
            let mut nodes = chosen.iter();
            nodes.all(|(&node, steps)| self.functions(node) == Some(steps.len()))
        };
        let pairs = bounds.into_iter().zip(&chosen);
        pairs
            .map(|(bound, chosen)| match fits(chosen) {
                true => bound,
                false => f64::NEG_INFINITY,
            })
            .collect()
    }

    /// How many functions a node is made of that bends.
    fn functions(&self, node: usize) -> Option<usize> {
        match self.bent.get(node)? {
            Bent::No => None,
            Bent::Entries(_) | Bent::Pair(_) => Some(self.forward.network().nodes()[node].len()),
            Bent::Pool(pool) => Some(pool.terms()),
        }
    }

    /// How the bound of a row, which is number `place` of those that a pass met, changes with its slopes.
    fn changes(&self, from: usize, place: usize, met: &BTreeMap<usize, Met>) -> Vec<Change> {
        let nodes = self.forward.network().nodes();
        let mut changes = Vec::new();
        let mut ahead: Vec<Vec<f64>> = Vec::with_capacity(from);
        for (i, node) in nodes.iter().enumerate().take(from) {
            let mut out = vec![0.0; node.len()];
            let met = met.get(&i);
            let touches = met.and_then(|met| met.touches.get(place));
            let touches = touches.map_or(&[][..], |touches| &touches[..]);
            let mut change = |terms: usize, touch: &Touch, before: f64| {
                if touch.is_open {
                    changes.push(Change {
                        node: i,
                        terms,
                        touch: *touch,
                        by: touch.by_share(before),
                    });
                }
            };
            match (&self.bent[i], met) {
                (Bent::No, Some(met)) => self.fall(i, node, met, place, &mut out),
                (Bent::No, None) => {
                    let inputs = node.inputs.iter().map(|id| &ahead[id.0][..]);
                    let inputs: Vec<&[f64]> = inputs.collect();
                    if self.prepared.used[i] && !inputs.is_empty() {
                        linear::apply(self.forward, i, &inputs, &mut out);
                    }
                }
                (Bent::Entries(bends), _) => {
                    let before = &ahead[self.source(i).0];
                    for (entry, (out, &before)) in out.iter_mut().zip(before).enumerate() {
                        *out = value(bends.of(entry), before);
                    }
                    for touch in touches {
                        let before = before[touch.term];
                        out[touch.term] = touch.ahead(before);
                        change(node.len(), touch, before);
                    }
                }
                (Bent::Pair(pair), _) => {
                    let before = [0, 1].map(|place| &ahead[node.inputs[place].0][..]);
                    pair.change(before, touches, &mut out);
                    for touch in touches {
                        let [a, b] = before.map(|of| of[touch.term]);
                        change(node.len(), touch, a - b);
                    }
                }
                (Bent::Pool(pool), Some(met)) => {
                    let before = &ahead[self.source(i).0];
                    let c = met.rows.rows().nth(place).unwrap_or(&[]);
                    pool.change([c, before], &met.rows.places(node), touches, &mut out);
                    for touch in touches {
                        change(pool.terms(), touch, before[pool.entry(touch.term)]);
                    }
                }
                (Bent::Pool(_), None) => {}
            }
            ahead.push(out);
        }
        changes
    }

    /// How a bound changes with the coefficients of a node where it ends.
    fn fall(&self, i: usize, node: &Node, met: &Met, place: usize, out: &mut [f64]) {
        let row = met.rows.rows().nth(place).unwrap_or(&[]);
        let places = met.rows.places(node);
        let at = match self.by_box(i, row, &places) {
            Some((_, at)) => at,
            None => {
                let factor = -self.reaches[i].ball / norm_up(row);
                let factor = if factor.is_finite() { factor } else { 0.0 };
                row.iter().map(|v| factor * v).collect()
            }
        };
        for (place, at) in places.into_iter().zip(at) {
            out[place as usize] = at;
        }
    }
}
