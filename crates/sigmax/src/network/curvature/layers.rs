//! Curvature through several layers of activations: ranges of ∂f/∂h by interval arithmetic from behind,
//! and weighted norms of what activations read (T35).

use crate::bound::four::four_bounds;
use crate::bound::options::Options;
use crate::claim::Upper;
use crate::conv::Conv;
use crate::error::Error;
use crate::kernel::Kernel;
use crate::network::bounds::{Lipschitz, NodeBound, Rule};
use crate::network::curvature::kappa::{Factor, kappa};
use crate::network::eval::forward::Forward;
use crate::network::eval::gradient::Path;
use crate::network::eval::linear::apply_transpose;
use crate::network::eval::rounds::norm_up;
use crate::network::graph::{Network, Node, NodeId};
use crate::network::op::Op;
use crate::network::op::affine::{Affine, PerEntry};
use crate::network::rule::lattice_map::LatticeMap;
use crate::network::rule::scaling::Chain;
use crate::network::rule::slack::Slack;
use crate::rounding::{add_up, larger, mul_up, sqrt_up, sub_down};

/// Most nodes that are looked at for the norm of what one activation reads.
const MOST_NODES: usize = 256;

/// How norms of convolutions and dense layers are bounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Norms {
    /// To the tolerance of the options, with a weight per channel.
    Tight,
    /// The same with factors between layers, where they gain (T37).
    Scaled,
    /// By the four bounds, as published.
    Four,
}

/// What bounds of all pairs share.
pub(crate) struct Layers<'f> {
    bounds: &'f Lipschitz,
    forward: &'f Forward,
    /// The same network with the magnitudes of all factors.
    magnitudes: Forward,
    activations: Vec<NodeId>,
    /// The layers before each that factors may stand between.
    chains: Vec<Option<Chain>>,
    logits: NodeId,
    options: Options,
    norms: Norms,
}

/// Numbers known to within a radius each.
struct Ball {
    middle: Vec<f64>,
    radius: Vec<f64>,
}

impl<'f> Layers<'f> {
    pub(crate) fn new(
        bounds: &'f Lipschitz,
        forward: &'f Forward,
        path: &Path<'_>,
        options: &Options,
        norms: Norms,
    ) -> Result<Self, Error> {
        let network = magnitudes(bounds.network())?;
        let unknown = NodeBound {
            own: Upper::claim(f64::INFINITY),
            through: Upper::claim(f64::INFINITY),
            rule: Rule::Norm,
        };
        let nodes = vec![unknown; network.nodes().len()];
        let activations: Vec<NodeId> = path.activations().collect();
        let chain = |id: &NodeId| match norms {
            Norms::Scaled => Chain::before(bounds.network(), bounds.network().node(*id).inputs[0]),
            Norms::Tight | Norms::Four => Ok(None),
        };
        Ok(Self {
            chains: activations.iter().map(chain).collect::<Result<_, _>>()?,
            bounds,
            forward,
            magnitudes: Forward::new(&Lipschitz::of(&network, nodes))?,
            activations,
            logits: path.logits(),
            options: options.clone(),
            norms,
        })
    }

    /// An upper bound of λ_max(−∇²f) over all x, f = z_plus − z_minus (or z_plus alone); with `sign` −1,
    /// of −f.
    pub(crate) fn concavity(
        &self,
        plus: usize,
        minus: Option<usize>,
        sign: f64,
    ) -> Result<f64, Error> {
        let factors = self.factors(plus, minus, sign);
        let network = self.bounds.network();
        let mut sum = 0.0;
        let places = self.activations.iter().zip(&self.chains);
        for ((id, chain), factors) in places.zip(factors) {
            let node = network.node(*id);
            let Op::Activation(activation) = &node.op else {
                continue;
            };
            let range = activation
                .curvature()
                .unwrap_or((f64::NEG_INFINITY, f64::INFINITY));
            let Some(factors) = factors else { continue };
            let weights: Vec<f64> = match self.norms {
                Norms::Tight | Norms::Scaled => {
                    let factors = factors.middle.iter().zip(&factors.radius);
                    factors
                        .map(|(&m, &r)| sqrt_up(kappa(Factor::near(m, r), range)))
                        .collect()
                }
                // sup|σ''|·max|F|, as published.
                Norms::Four => {
                    let factors_of = factors.middle.iter().zip(&factors.radius);
                    let sizes = factors_of.map(|(&c, &r)| add_up(c.abs(), r));
                    let largest = sizes.fold(0.0, larger);
                    let curved = range.1.max(-range.0);
                    vec![sqrt_up(mul_up(curved, largest)); factors.middle.len()]
                }
            };
            let before = node.inputs[0];
            let mut norm = self.weighted(before, &weights, MOST_NODES)?;
            if let Some(chain) = chain
                && let Some(scaled) = self.by_factors(before, chain, &weights)?
                && scaled < norm
            {
                norm = scaled;
            }
            sum = add_up(sum, mul_up(norm, norm));
        }
        Ok(if sum.is_nan() { f64::INFINITY } else { sum })
    }

    /// Per activation, ∂f/∂h for every entry of its value and every x.
    fn factors(&self, plus: usize, minus: Option<usize>, sign: f64) -> Vec<Option<Ball>> {
        let nodes = self.bounds.network().nodes();
        let mut received: Vec<Option<Ball>> = Vec::new();
        received.resize_with(nodes.len(), || None);
        let classes = nodes[self.logits.0].len();
        let mut seed = vec![0.0; classes];
        seed[plus] += sign;
        if let Some(minus) = minus {
            seed[minus] -= sign;
        }
        received[self.logits.0] = Some(Ball {
            middle: seed,
            radius: vec![0.0; classes],
        });
        let mut found: Vec<Option<Ball>> = self.activations.iter().map(|_| None).collect();
        for i in (1..=self.logits.0).rev() {
            let Some(ball) = received[i].take() else {
                continue;
            };
            let node = &nodes[i];
            if let Op::Activation(activation) = &node.op {
                let slopes = activation.slopes_on(f64::NEG_INFINITY, f64::INFINITY);
                let before = ball.times(slopes);
                if let Some(place) = self.activations.iter().position(|id| id.0 == i) {
                    found[place] = Some(ball);
                }
                add(&mut received[node.inputs[0].0], before);
                continue;
            }
            for (place, input) in node.inputs.iter().enumerate() {
                let part = self.through_affine(i, place, nodes[input.0].len(), &ball);
                add(&mut received[input.0], part);
            }
        }
        found
    }

    /// What input `place` receives: Wᵀ of the middle, |W|ᵀ of the radius and of the roundings.
    fn through_affine(&self, i: usize, place: usize, entries: usize, ball: &Ball) -> Ball {
        let rounds = self.forward.rounds(i);
        let (relative, unknown, tiny) = rounds.reversed_entry();
        let mut middle = vec![0.0; entries];
        apply_transpose(self.forward, i, place, &ball.middle, &mut middle);
        let spread: Vec<f64> = ball
            .middle
            .iter()
            .zip(&ball.radius)
            .map(|(c, &r)| add_up(r, mul_up(relative, c.abs())))
            .collect();
        let mut radius = vec![0.0; entries];
        apply_transpose(&self.magnitudes, i, place, &spread, &mut radius);
        let whole = mul_up(
            unknown,
            add_up(norm_up(&ball.middle), norm_up(&ball.radius)),
        );
        let whole = add_up(whole, tiny);
        // Sums of non-negative terms: their error is relative.
        for r in &mut radius {
            *r = add_up(mul_up(*r, 1.0 + 2.0 * relative), whole);
        }
        Ball { middle, radius }
    }

    /// sup_x ‖diag(w)·Dv(x)‖ from above, v the value of a node, looking at up to `nodes` of those before
    /// it: branches share them.
    fn weighted(&self, id: NodeId, weights: &[f64], nodes: usize) -> Result<f64, Error> {
        let node = self.bounds.network().node(id);
        let largest = weights.iter().copied().fold(0.0, larger);
        if largest <= 0.0 {
            return Ok(0.0);
        }
        if !largest.is_finite() {
            return Ok(f64::INFINITY);
        }
        let through = self.bounds.node(id).through.get();
        let plain = mul_up(largest, through);
        if nodes == 0 {
            return Ok(plain);
        }
        let rest = nodes.saturating_sub(1) / node.inputs.len().max(1);
        let better = match &node.op {
            Op::Input => largest,
            Op::Conv { kernel, conv, .. } => {
                self.through_layer(node, kernel, conv, weights, largest)?
            }
            Op::Dense { kernel, .. } => {
                self.through_layer(node, kernel, &Conv::new(0), weights, largest)?
            }
            Op::Affine(affine) => {
                let size = affine.scale.expanded(&node.shape);
                let most = 1.0 + 2.0 * crate::rounding::gamma(affine.roundings + 2);
                let weights: Vec<f64> = weights
                    .iter()
                    .zip(size)
                    .map(|(&w, s)| mul_up(mul_up(w, s.abs()), most))
                    .collect();
                self.weighted(node.inputs[0], &weights, rest)?
            }
            Op::Pick(pick) => {
                let input = self.bounds.network().node(node.inputs[0]).len();
                self.weighted(node.inputs[0], &pick.weights_before(weights, input), rest)?
            }
            Op::Activation(activation) => mul_up(
                activation.slope(),
                self.weighted(node.inputs[0], weights, rest)?,
            ),
            Op::Add => {
                let mut sum = 0.0;
                for &input in &node.inputs {
                    sum = add_up(sum, self.weighted(input, weights, rest)?);
                }
                sum
            }
            _ => plain,
        };
        Ok(match self.norms {
            Norms::Tight | Norms::Scaled if !(better <= plain) => plain,
            _ => better,
        })
    }

    /// The same by factors between the layers before the node (T37), where they gain.
    fn by_factors(&self, id: NodeId, chain: &Chain, weights: &[f64]) -> Result<Option<f64>, Error> {
        let network = self.bounds.network();
        let affine = per_channel(network.node(id), weights);
        let Some(affine) = affine.filter(|_| weights.iter().all(|w| w.is_finite())) else {
            return Ok(None);
        };
        let Some(scaled) = chain.weighted(&affine, &self.options)? else {
            return Ok(None);
        };
        let before = self.bounds.node(network.node(scaled.start).inputs[0]);
        Ok(Some(mul_up(scaled.norm.get(), before.through.get())))
    }

    /// The same for a layer: with a weight per channel of its output, then as before it.
    fn through_layer(
        &self,
        node: &Node,
        kernel: &Kernel,
        conv: &Conv,
        weights: &[f64],
        largest: f64,
    ) -> Result<f64, Error> {
        let before = self.bounds.node(node.inputs[0]).through.get();
        if self.norms == Norms::Four {
            let four = four_bounds(kernel, conv)?.min().get();
            return Ok(mul_up(mul_up(four, largest), before));
        }
        let Some(map) = LatticeMap::of_node(self.bounds.network(), node) else {
            return Ok(f64::INFINITY);
        };
        let Some(affine) = per_channel(node, weights) else {
            return Ok(f64::INFINITY);
        };
        match map.before_affine(&affine) {
            Some(map) => {
                let norm = map.norm(&self.options, Slack::None)?;
                Ok(mul_up(norm.get(), before))
            }
            None => Ok(f64::INFINITY),
        }
    }
}

impl Ball {
    /// Times an unknown factor per entry.
    fn times(&self, (low, high): (f64, f64)) -> Self {
        let mut times = Self {
            middle: Vec::new(),
            radius: Vec::new(),
        };
        for (&c, &r) in self.middle.iter().zip(&self.radius) {
            let (from, to) = match (sub_down(c, r), add_up(c, r)) {
                // Of what overflowed nothing is known, its sign neither.
                (from, to) if from.is_nan() || to.is_nan() => (f64::NEG_INFINITY, f64::INFINITY),
                ends => ends,
            };
            let corners = [from, to].into_iter().flat_map(|f| [(f, low), (f, high)]);
            let (mut least, mut most) = (f64::INFINITY, f64::NEG_INFINITY);
            for (f, s) in corners {
                least = least.min(-mul_up(-f, s));
                most = most.max(mul_up(f, s));
            }
            let middle = 0.5 * (least + most);
            let radius = add_up(most, -middle).max(add_up(middle, -least));
            times.middle.push(middle);
            times
                .radius
                .push(if radius >= 0.0 { radius } else { f64::INFINITY });
        }
        times
    }
}

/// The largest weight in every channel, as a factor of each.
fn per_channel(node: &Node, weights: &[f64]) -> Option<Affine> {
    let channels = node.shape[0];
    let per_channel: Vec<f64> = weights
        .chunks(weights.len() / channels)
        .map(|w| w.iter().copied().fold(0.0, f64::max))
        .collect();
    let scale = PerEntry::channels(node.shape.len(), per_channel).ok()?;
    Some(Affine::rounded(scale, 0))
}

fn add(to: &mut Option<Ball>, part: Ball) {
    let Some(sum) = to else {
        *to = Some(part);
        return;
    };
    for i in 0..part.middle.len() {
        let middle = sum.middle[i] + part.middle[i];
        let rounding = mul_up(crate::rounding::U, middle.abs());
        sum.middle[i] = middle;
        sum.radius[i] = add_up(add_up(sum.radius[i], part.radius[i]), rounding);
    }
}

/// The network with the magnitudes of all factors.
fn magnitudes(network: &Network) -> Result<Network, Error> {
    let mut nodes = network.nodes().to_vec();
    for node in &mut nodes {
        match &mut node.op {
            Op::Conv { kernel, .. } | Op::Dense { kernel, .. } => {
                let values = kernel.scaled().iter().map(|v| v.abs()).collect();
                *kernel = Kernel::from_scaled(kernel.shape(), values, kernel.exponent())?;
            }
            Op::Affine(affine) => affine.scale = affine.scale.magnitudes(),
            Op::Separable(separable) => *separable = separable.magnitudes(),
            _ => {}
        }
    }
    Ok(Network {
        nodes: std::sync::Arc::new(nodes),
        outputs: network.outputs.clone(),
    })
}
