//! Nodes side by side whose entries are functions of entries of the same nodes, or the largest and the
//! smallest of a group of them (T43): CReLU, MaxMin, stacked activations.

use std::collections::{BTreeSet, HashMap};

use crate::claim::Upper;
use crate::network::bounds::NodeBound;
use crate::network::graph::{Network, Node, NodeId};
use crate::network::op::Op;
use crate::network::op::affine::Affine;
use crate::network::op::pool::entries;
use crate::rounding::{add_up, gamma, larger, mul_up, sqrt_int_up, sqrt_up};

/// Most nodes between those that share entries and what they share.
const LONGEST: usize = 64;
/// Most entries of these nodes together, and most members of all groups.
const MOST: usize = 1 << 22;

/// The constant from the input to a node, by what the entries of the nodes share that it reads side by side,
/// at once or behind functions of single entries; `None` where they share nothing that is followed.
pub(crate) fn by_shared_entries(
    network: &Network,
    node: &Node,
    nodes: &[NodeBound],
) -> Option<Upper> {
    let roots = roots(network, joined(network, node)?)?;
    let weights = Shared::new(network, &roots)?.weights(node)?;
    let parts: Vec<Upper> = roots
        .iter()
        .zip(weights)
        .map(|(root, weight)| Upper::claim(root_up(weight)).times(nodes[root.0].through))
        .collect();
    Some(Upper::root_sum_square(&parts))
}

/// The inputs of the last node with several that a node is a function of, entry by entry.
fn joined<'n>(network: &'n Network, node: &'n Node) -> Option<&'n [NodeId]> {
    let mut node = node;
    for _ in 0..LONGEST {
        match node.inputs[..] {
            [only] if is_followed(node) => node = network.node(only),
            [_, _, ..] if is_followed(node) => return Some(&node.inputs),
            _ => return None,
        }
    }
    None
}

/// Whether entries are followed through a node.
fn is_followed(node: &Node) -> bool {
    matches!(
        node.op,
        Op::Pick(_)
            | Op::Affine(_)
            | Op::Activation(_)
            | Op::PRelu(_)
            | Op::MaxPool(_)
            | Op::Max
            | Op::Min
            | Op::Concat { .. }
    )
}

/// The nodes that all entries are functions of, where at least two of `ids` meet in one of them.
fn roots(network: &Network, ids: &[NodeId]) -> Option<Vec<NodeId>> {
    let mut ends: BTreeSet<usize> = ids.iter().map(|id| id.0).collect();
    let mut steps = 0;
    while let Some(next) = meets(network, &ends)? {
        steps += 1;
        if steps > LONGEST {
            return None;
        }
        ends.remove(&next);
        ends.extend(network.nodes[next].inputs.iter().map(|id| id.0));
    }
    (steps > 0).then(|| ends.into_iter().map(NodeId).collect())
}

/// The last of some nodes that is a function of what another one is a function of too; `None` outside
/// where that takes too long.
fn meets(network: &Network, ends: &BTreeSet<usize>) -> Option<Option<usize>> {
    let mut reached: Vec<(usize, BTreeSet<usize>)> = Vec::new();
    for &end in ends {
        let (mut seen, mut stack) = (BTreeSet::from([end]), vec![end]);
        while let Some(at) = stack.pop() {
            let node = &network.nodes[at];
            if is_followed(node) {
                stack.extend(
                    node.inputs
                        .iter()
                        .map(|id| id.0)
                        .filter(|&i| seen.insert(i)),
                );
            }
            if seen.len() > LONGEST {
                return None;
            }
        }
        reached.push((end, seen));
    }
    let mut uses: HashMap<usize, usize> = HashMap::new();
    for &at in reached.iter().flat_map(|(_, seen)| seen) {
        *uses.entry(at).or_default() += 1;
    }
    let meet =
        |(end, seen): &&(usize, BTreeSet<usize>)| seen.iter().any(|at| at != end && uses[at] > 1);
    Some(reached.iter().rev().find(meet).map(|&(end, _)| end))
}

/// Which of a group of entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// The only one.
    Only,
    Largest,
    Smallest,
}

/// An entry as a function g of one number o.
#[derive(Clone, Copy, Debug)]
struct Part {
    /// What o is one of: an entry of a root, or a group of them.
    group: usize,
    place: Place,
    /// 1 or −1 where g(o) is a multiple of o of that sign, else 0.
    sign: i8,
    /// Whether that multiple is o or −o.
    unit: bool,
    /// Bounds of |g'| for o < 0 and for o > 0.
    slopes: [f64; 2],
}

/// What the entries of the nodes that are followed are; `None` for a constant.
type Parts = Vec<Option<Part>>;

struct Shared<'n> {
    network: &'n Network,
    roots: &'n [NodeId],
    /// Entries of all roots; groups count on from there.
    singles: usize,
    groups: Vec<Vec<usize>>,
    known: HashMap<Vec<usize>, usize>,
    parts: HashMap<usize, Parts>,
    /// Entries and members that may still be made.
    room: usize,
}

impl<'n> Shared<'n> {
    fn new(network: &'n Network, roots: &'n [NodeId]) -> Option<Self> {
        let mut shared = Self {
            network,
            roots,
            singles: 0,
            groups: Vec::new(),
            known: HashMap::new(),
            parts: HashMap::new(),
            room: MOST,
        };
        for root in roots {
            let n = network.node(*root).len();
            shared.take(n)?;
            let before = shared.singles;
            let itself = |i| {
                Some(Part {
                    group: before + i,
                    place: Place::Only,
                    sign: 1,
                    unit: true,
                    slopes: [1.0; 2],
                })
            };
            let parts = (0..n).map(itself).collect();
            shared.parts.insert(root.0, parts);
            shared.singles += n;
        }
        Some(shared)
    }

    fn take(&mut self, n: usize) -> Option<()> {
        self.room = self.room.checked_sub(n)?;
        Some(())
    }

    /// For every root the largest sum of squared slopes of a node over its entries, from above.
    fn weights(mut self, node: &Node) -> Option<Vec<f64>> {
        let before: Vec<usize> = node.inputs.iter().map(|id| id.0).collect();
        for &i in &before {
            self.follow(i)?;
        }
        let parts = match (self.node(node, &before), &node.op) {
            (Some(parts), _) => parts,
            // An extremum moves no further than all that it is one of, side by side.
            (None, Op::Max | Op::Min) => before
                .iter()
                .flat_map(|i| self.parts[i].iter().copied())
                .collect(),
            (None, _) => return None,
        };
        // Per group and place, below and above 0.
        let mut sums = vec![[[0.0; 2]; 3]; self.singles + self.groups.len()];
        for part in parts.iter().flatten() {
            let slots = &mut sums[part.group][part.place as usize];
            for (slot, slope) in slots.iter_mut().zip(part.slopes) {
                *slot = sum_up(*slot, product_up(slope, slope));
            }
        }
        let largest = |sums: &[[f64; 2]; 3]| sums.as_flattened().iter().copied().fold(0.0, larger);
        let mut weights: Vec<f64> = sums[..self.singles].iter().map(largest).collect();
        for (group, sums) in self.groups.iter().zip(&sums[self.singles..]) {
            let weight = largest(sums);
            for &i in group {
                weights[i] = sum_up(weights[i], weight);
            }
        }
        let mut rest = &weights[..];
        let largest = self.roots.iter().map(|root| {
            let (own, after) = rest.split_at(self.network.node(*root).len());
            rest = after;
            own.iter().copied().fold(0.0, larger)
        });
        Some(largest.collect())
    }

    /// Enters what the entries of a node are. Nodes come after those they read, so the least number that
    /// is missing has all it needs.
    fn follow(&mut self, at: usize) -> Option<()> {
        let mut missing = BTreeSet::from([at]);
        while let Some(&least) = missing.first() {
            let node = &self.network.nodes[least];
            let before: Vec<usize> = node.inputs.iter().map(|id| id.0).collect();
            if self.parts.contains_key(&least) {
                missing.remove(&least);
            } else if before.iter().all(|i| self.parts.contains_key(i)) {
                let parts = self.node(node, &before)?;
                self.parts.insert(least, parts);
                missing.remove(&least);
            } else if is_followed(node) {
                missing.extend(before);
            } else {
                return None;
            }
        }
        Some(())
    }

    fn node(&mut self, node: &Node, before: &[usize]) -> Option<Parts> {
        self.take(node.len())?;
        let &first = before.first()?;
        let network = self.network;
        let x = &self.parts[&first];
        let shape = &network.nodes[first].shape;
        Some(match &node.op {
            Op::Pick(pick) => pick.picked(x, None),
            Op::Affine(affine) => {
                let scale = affine.scale.expanded(shape);
                let size = affine.size.expanded(shape);
                let factors = scale.into_iter().zip(size);
                let all = x.iter().zip(factors);
                all.map(|(part, (s, size))| Some(part.as_ref()?.scaled(affine, s, size)))
                    .collect()
            }
            Op::Activation(activation) => {
                let (slopes, slope) = (activation.slopes_beside_0(), activation.slope());
                let bent = |part: &Option<Part>| Some(part.as_ref()?.bent(slopes, slope));
                x.iter().map(bent).collect()
            }
            Op::PRelu(slopes) => {
                let slopes = slopes.expanded(shape);
                let all = x.iter().zip(slopes);
                all.map(|(part, a)| Some(part.as_ref()?.bent([a.abs(), 1.0], a.abs().max(1.0))))
                    .collect()
            }
            Op::MaxPool(pool) => {
                let windows = pool.all_windows(shape).ok()?;
                let counts = windows.iter().enumerate().map(|(axis, windows)| {
                    let pixels: usize = windows.iter().map(Vec::len).sum();
                    pixels.max(shape[axis + 1])
                });
                let members = counts.fold(shape[0], usize::saturating_mul);
                self.take(members)?;
                let x = self.parts[&first].clone();
                let windows = entries(&windows, shape);
                let windows = windows.into_iter().map(|window| {
                    let parts: Parts = window.iter().map(|&i| x[i as usize]).collect();
                    self.extremum(&parts, true)
                });
                windows.collect::<Option<_>>()?
            }
            Op::Max | Op::Min => {
                let largest = node.op == Op::Max;
                let inputs: Vec<Parts> = before.iter().map(|i| self.parts[i].clone()).collect();
                let entries = (0..node.len()).map(|i| {
                    let parts: Parts = inputs.iter().map(|parts| parts[i]).collect();
                    self.extremum(&parts, largest)
                });
                entries.collect::<Option<_>>()?
            }
            &Op::Concat { axis } => {
                let blocks: usize = node.shape[..axis].iter().product();
                let mut all = Vec::with_capacity(node.len());
                for block in 0..blocks {
                    for i in before {
                        let parts = &self.parts[i];
                        let width = parts.len() / blocks;
                        all.extend_from_slice(&parts[block * width..][..width]);
                    }
                }
                all
            }
            _ => return None,
        })
    }

    /// The largest, or the smallest, of some entries; `None` outside where it is not followed.
    fn extremum(&mut self, parts: &[Option<Part>], largest: bool) -> Option<Option<Part>> {
        let constant = parts.iter().any(Option::is_none);
        let varying: Vec<Part> = parts.iter().copied().flatten().collect();
        let Some(&first) = varying.first() else {
            return Some(None);
        };
        if let [only] = varying[..] {
            let kept = !constant;
            return Some(Some(Part {
                sign: if kept { only.sign } else { 0 },
                unit: kept && only.unit,
                ..only
            }));
        }
        // The largest −o is minus the smallest o.
        let place = match largest == (first.sign > 0) {
            true => Place::Largest,
            false => Place::Smallest,
        };
        let fits = |part: &Part| {
            part.unit && part.sign == first.sign && [Place::Only, place].contains(&part.place)
        };
        if !varying.iter().all(fits) {
            return None;
        }
        let members = varying.iter().flat_map(|part| self.members(part.group));
        let members: BTreeSet<usize> = members.collect();
        let (group, place) = match members.first() {
            Some(&only) if members.len() == 1 => (only, Place::Only),
            _ => (self.group(members.into_iter().collect())?, place),
        };
        Some(Some(Part {
            group,
            place,
            sign: if constant { 0 } else { first.sign },
            unit: !constant,
            slopes: [1.0; 2],
        }))
    }

    fn members(&self, group: usize) -> Vec<usize> {
        match group.checked_sub(self.singles) {
            Some(i) => self.groups[i].clone(),
            None => vec![group],
        }
    }

    fn group(&mut self, members: Vec<usize>) -> Option<usize> {
        if let Some(&group) = self.known.get(&members) {
            return Some(group);
        }
        self.take(members.len())?;
        let group = self.singles + self.groups.len();
        self.groups.push(members.clone());
        self.known.insert(members, group);
        Some(group)
    }
}

impl Part {
    /// s·g(o) + t, t = 0 where `size` is.
    fn scaled(&self, affine: &Affine, s: f64, size: f64) -> Self {
        let exact = affine.roundings == 0;
        let factor = match exact {
            true => s.abs(),
            false => mul_up(s.abs(), 1.0 + 2.0 * gamma(affine.roundings + 1)),
        };
        // The exact factor has the sign of the stored one, as they differ by less than that.
        let sign = match (size > 0.0, s > 0.0, s < 0.0) {
            (false, true, _) => self.sign,
            (false, _, true) => -self.sign,
            _ => 0,
        };
        Self {
            sign,
            unit: self.unit && exact && sign != 0 && (factor - 1.0).abs() <= 0.0,
            slopes: self.slopes.map(|slope| product_up(slope, factor)),
            ..*self
        }
    }

    /// σ(g(o)), |σ'| being at most these below and above 0, and at most `slope` everywhere.
    fn bent(&self, [below, above]: [f64; 2], slope: f64) -> Self {
        let beside = match self.sign {
            1 => [below, above],
            -1 => [above, below],
            _ => [slope; 2],
        };
        let [first, second] = self.slopes;
        Self {
            sign: 0,
            unit: false,
            slopes: [product_up(first, beside[0]), product_up(second, beside[1])],
            ..*self
        }
    }
}

/// a·b, exact where one of them is 1.
fn product_up(a: f64, b: f64) -> f64 {
    let is_one = |x: f64| (x - 1.0).abs() <= 0.0;
    match (is_one(a), is_one(b)) {
        (true, _) => b,
        (_, true) => a,
        _ => mul_up(a, b),
    }
}

/// Whether a number is an integer whose sums with others below that are exact.
fn is_count(x: f64) -> bool {
    (0.0..1e15).contains(&x) && x.fract() <= 0.0
}

/// a + b, exact where both are small integers.
fn sum_up(a: f64, b: f64) -> f64 {
    match is_count(a) && is_count(b) {
        true => a + b,
        false => add_up(a, b),
    }
}

/// √x, exact where x is a square of a small integer.
fn root_up(x: f64) -> f64 {
    match is_count(x) {
        true => sqrt_int_up(x as usize),
        false => sqrt_up(x),
    }
}
