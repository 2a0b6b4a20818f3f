//! Layers after one another, scaled between them: ‖A·D·B‖ ≤ ‖A·Λ⁻¹‖·‖D‖·‖Λ·B‖ (T37).

mod proposal;
mod ties;

use rayon::prelude::*;

use crate::bound::options::Options;
use crate::claim::Upper;
use crate::error::Error;
use crate::network::graph::{Network, NodeId};
use crate::network::op::affine::Affine;
use crate::network::rule::block::longest;
use crate::network::rule::chain::own_by_rule;
use crate::network::rule::lattice_map::{Factor, LatticeMap};
use crate::network::rule::slack::Slack;

use proposal::propose;
use ties::{Ties, commutes};

/// Nodes from `start` to `end`, each but the last read by one node alone, and an upper bound of the
/// constant of all of them together.
pub(crate) struct Scaled {
    pub(crate) start: NodeId,
    pub(crate) end: NodeId,
    pub(crate) norm: Upper,
}

/// The chains of a network whose constant falls with factors between their layers, as far as an
/// estimate tells before anything is proved.
pub(crate) fn scaled_chains(network: &Network, options: &Options) -> Result<Vec<Scaled>, Error> {
    let scaled: Vec<Option<Scaled>> = chains(network)?
        .into_par_iter()
        .map(|chain| chain.scaled(options))
        .collect::<Result<_, Error>>()?;
    Ok(scaled.into_iter().flatten().collect())
}

/// Layers one after the other, with nodes between them that commute with factors.
pub(crate) struct Chain {
    layers: Vec<Layer>,
    /// One fewer than layers.
    ties: Vec<Ties>,
    /// The product of the constants of the nodes between layers.
    between: Upper,
}

/// Linear nodes taken together.
struct Layer {
    map: LatticeMap,
    start: NodeId,
    end: NodeId,
}

/// All chains of two layers and more, as long as they can be; no node is in two of them.
fn chains(network: &Network) -> Result<Vec<Chain>, Error> {
    let mut readers = vec![0usize; network.nodes.len()];
    let read = network.nodes.iter().flat_map(|node| &node.inputs);
    for id in read.chain(network.outputs.iter()) {
        readers[id.0] += 1;
    }
    let single = |id: NodeId| readers[id.0] == 1;
    let mut found = Vec::new();
    // Nodes read earlier ones, and a chain goes back from its end: what it takes comes before it.
    let mut taken = vec![false; network.nodes.len()];
    for end in (0..network.nodes.len()).rev().map(NodeId) {
        if taken[end.0] {
            continue;
        }
        let Some(chain) = chain_to(network, end, single)? else {
            continue;
        };
        let mut at = end;
        while at != chain.layers[0].start {
            taken[at.0] = true;
            at = network.node(at).inputs[0];
        }
        taken[at.0] = true;
        if chain.layers.len() > 1 {
            found.push(chain);
        }
    }
    Ok(found)
}

/// The longest chain that ends at a node, if that is a layer; between its ends are nodes for which `single` holds.
fn chain_to(
    network: &Network,
    end: NodeId,
    single: impl Fn(NodeId) -> bool + Copy,
) -> Result<Option<Chain>, Error> {
    let Some(last) = layer(network, end, single) else {
        return Ok(None);
    };
    let mut chain = Chain {
        layers: vec![last],
        ties: Vec::new(),
        between: Upper::claim(1.0),
    };
    while let Some((before, path)) = layer_before(network, &chain, single) {
        for id in &path {
            let own = own_by_rule(network, id.0)?;
            chain.between = chain.between.times(own);
        }
        let ends = (&before.map, before.end);
        let ties = Ties::new(network, ends, &path, &chain.first().map);
        chain.ties.push(ties);
        chain.layers.push(before);
    }
    chain.layers.reverse();
    chain.ties.reverse();
    Ok(Some(chain))
}

fn layer(network: &Network, end: NodeId, single: impl Fn(NodeId) -> bool) -> Option<Layer> {
    let (map, start) = longest(network, end, single)?;
    proposal::is_small(&map).then_some(Layer { map, start, end })
}

/// The layer before those of a chain that is not yet reversed, and the nodes between the two.
fn layer_before(
    network: &Network,
    chain: &Chain,
    single: impl Fn(NodeId) -> bool + Copy,
) -> Option<(Layer, Vec<NodeId>)> {
    let mut path = Vec::new();
    let mut at = network.node(chain.first().start).inputs[0];
    while single(at) {
        if let Some(layer) = layer(network, at, single) {
            path.reverse();
            return Some((layer, path));
        }
        let node = network.node(at);
        if !commutes(&node.op) {
            break;
        }
        path.push(at);
        at = node.inputs[0];
    }
    None
}

impl Chain {
    /// The chain of two layers and more that ends at a node, as far as nothing but that node depends on what is
    /// inside.
    pub(crate) fn before(network: &Network, end: NodeId) -> Result<Option<Self>, Error> {
        let mut readers = vec![0usize; end.0 + 1];
        readers[end.0] = 1;
        // Nodes read earlier ones.
        for i in (0..=end.0).rev() {
            if readers[i] > 0 {
                for id in &network.nodes[i].inputs {
                    readers[id.0] += 1;
                }
            }
        }
        let chain = chain_to(network, end, |id| readers[id.0] == 1)?;
        Ok(chain.filter(|chain| chain.layers.len() > 1))
    }

    /// Its constant with what it gives multiplied by the diagonal of `affine`, one number per channel, where factors
    /// gain by an estimate.
    pub(crate) fn weighted(
        &self,
        affine: &Affine,
        options: &Options,
    ) -> Result<Option<Scaled>, Error> {
        let Some(last) = self.layers[self.layers.len() - 1].map.before_affine(affine) else {
            return Ok(None);
        };
        let before = &self.layers[..self.layers.len() - 1];
        let maps = before.iter().map(|layer| &layer.map).chain([&last]);
        self.scaled_by(&maps.collect::<Vec<_>>(), options)
    }

    /// The first layer, while layers are still in reverse.
    fn first(&self) -> &Layer {
        &self.layers[self.layers.len() - 1]
    }

    fn scaled(&self, options: &Options) -> Result<Option<Scaled>, Error> {
        let maps: Vec<&LatticeMap> = self.layers.iter().map(|layer| &layer.map).collect();
        self.scaled_by(&maps, options)
    }

    fn scaled_by(&self, maps: &[&LatticeMap], options: &Options) -> Result<Option<Scaled>, Error> {
        let Some(powers) = propose(maps, &self.ties, options) else {
            return Ok(None);
        };
        // One factor per class on both sides of what stands between: whatever was proposed, the
        // product of norms is a bound.
        let factors: Vec<Vec<Factor>> = powers
            .into_iter()
            .map(|powers| powers.into_iter().map(Factor::near_power).collect())
            .collect();
        let of = |classes: &[usize], factors: &[Factor]| -> Vec<Factor> {
            classes.iter().map(|&class| factors[class]).collect()
        };
        let one = |channels: usize| vec![Factor::near_power(0.0); channels];
        let mut norm = self.between;
        for (place, map) in maps.iter().enumerate() {
            let before = match place.checked_sub(1) {
                Some(tie) => of(&self.ties[tie].inputs, &factors[tie]),
                None => one(map.inputs()),
            };
            let after = match self.ties.get(place) {
                Some(ties) => of(&ties.outputs, &factors[place]),
                None => one(map.outputs()),
            };
            let Some(scaled) = map.between(&after, &before) else {
                return Ok(None);
            };
            norm = norm.times(scaled.norm(options, Slack::None)?);
        }
        Ok(Some(Scaled {
            start: self.layers[0].start,
            end: self.layers[self.layers.len() - 1].end,
            norm,
        }))
    }
}
