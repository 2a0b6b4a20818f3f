//! [`Forward`]: the values of a network in f64, with a proved bound of their error (T27).

use rayon::prelude::*;

use crate::claim::Upper;
use crate::error::Error;
use crate::network::bounds::Lipschitz;
use crate::network::eval::apply::Map;
use crate::network::eval::rounds::{Linear, Rounds, SINGLE_TINY, U32, norm_up};
use crate::network::graph::{Network, Node, NodeId};
use crate::network::op::Op;
use crate::network::op::activation::softmax::{log_softmax, softmax};
use crate::network::op::pool::argmax;
use crate::rounding::{self, add_up, mul_up, sqrt_up};

/// Entries that the values of a chunk of samples may take at one node.
const CHUNK_ENTRIES: usize = 1 << 21;
/// Most entries of a node, and most reads of all convolutions for one channel.
const MAX_ENTRIES: usize = 1 << 26;
const MAX_READS: usize = 1 << 28;
/// Most samples in a chunk.
const CHUNK: usize = 64;

/// A network made ready to be evaluated.
///
/// # Guarantee
/// Every value comes with a bound of its distance, in ℓ₂ over all entries of the node, from the
/// value of the network with real arithmetic and the given parameters.
pub struct Forward {
    network: Network,
    steps: Vec<Step>,
    own: Vec<f64>,
    through: Vec<f64>,
    /// The last node that reads each node.
    last_use: Vec<usize>,
    chunk: usize,
}

/// How far the entries of images are off.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Inexact<'a> {
    /// Each by at most this relative error.
    Relative(f64),
    /// Those of each image together, in ℓ₂.
    Each(&'a [f64]),
}

impl Inexact<'_> {
    /// The ℓ₂ error of an image of size up to `size`.
    fn of(self, image: usize, size: f64) -> f64 {
        match self {
            Self::Relative(error) => mul_up(mul_up(error, 1.0 + 2.0 * error), size),
            Self::Each(errors) => errors[image],
        }
    }

    /// Without the first images.
    fn after(self, images: usize) -> Self {
        match self {
            Self::Relative(error) => Self::Relative(error),
            Self::Each(errors) => Self::Each(&errors[images..]),
        }
    }
}

/// A node made ready.
struct Step {
    map: Map,
    rounds: Rounds,
}

/// The value of a node for one sample.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluated {
    pub(crate) values: Vec<f64>,
    pub(crate) error: Upper,
    /// ‖values‖₂ from above.
    pub(crate) size: f64,
    /// The distance of a float32 execution from the exact value, at an input that is up to ε away.
    pub(crate) single: Linear,
    /// A magnitude that nothing exceeds in such an execution, up to here.
    pub(crate) peak: Linear,
}

impl Evaluated {
    /// The entries, row-major.
    #[must_use]
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// An upper bound of the ℓ₂ distance to the exact value; so every entry is off by at most it.
    #[must_use]
    pub fn error(&self) -> Upper {
        self.error
    }
}

/// A node's values for a chunk of samples.
struct Chunk {
    values: Vec<f64>,
    states: Vec<State>,
}

#[derive(Clone, Copy)]
struct State {
    /// ‖x̂‖₂ from above.
    size: f64,
    /// ‖x̂ − x‖₂ from above.
    error: f64,
    single: Linear,
    peak: Linear,
}

/// Without the weights.
impl std::fmt::Debug for Forward {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Forward")
            .field("nodes", &self.steps.len())
            .finish_non_exhaustive()
    }
}

impl Forward {
    /// Prepares the weights of the network that the bounds are of.
    ///
    /// # Errors
    /// [`Error::TooLarge`] for a node with more than 2²⁶ entries, or layers with more than 2²⁸ reads
    /// in all.
    pub fn new(bounds: &Lipschitz) -> Result<Self, Error> {
        if !rounding::is_ieee() {
            return Err(Error::Arithmetic);
        }
        let network = bounds.network();
        check_size(network)?;
        let steps = (0..network.nodes.len())
            .into_par_iter()
            .map(|i| {
                Ok(Step {
                    map: Map::new(network, i)?,
                    rounds: Rounds::new(network, i, bounds.nodes()[i].own.get()),
                })
            })
            .collect::<Result<_, Error>>()?;
        let mut last_use: Vec<usize> = (0..network.nodes.len()).collect();
        for (i, node) in network.nodes.iter().enumerate() {
            for input in &node.inputs {
                last_use[input.0] = i;
            }
        }
        let longest = network.nodes.iter().map(Node::len).max();
        let through = bounds.nodes().iter().map(|n| n.through.get()).collect();
        Ok(Self {
            network: network.clone(),
            steps,
            through,
            own: bounds.nodes().iter().map(|n| n.own.get()).collect(),
            last_use,
            chunk: (CHUNK_ENTRIES / longest.unwrap_or(1)).clamp(1, CHUNK),
        })
    }

    /// Evaluates the first output for every image in `images`, one after the other.
    ///
    /// # Errors
    /// [`Error::Length`] where `images` is no whole number of inputs, [`Error::NotFinite`].
    pub fn evaluate(&self, images: &[f64]) -> Result<Vec<Evaluated>, Error> {
        let output = self.network.outputs[0];
        let all = self.run(images, Inexact::Relative(0.0), &[output])?;
        Ok(all.into_iter().flatten().collect())
    }

    /// The values of the nodes in `keep` for every image.
    pub(crate) fn run(
        &self,
        images: &[f64],
        inexact: Inexact<'_>,
        keep: &[NodeId],
    ) -> Result<Vec<Vec<Evaluated>>, Error> {
        self.check_images(images)?;
        let length = self.network.input().len();
        let chunks: Vec<Vec<Vec<Evaluated>>> = images
            .par_chunks(self.chunk * length)
            .enumerate()
            .map(|(i, images)| self.run_chunk(images, inexact.after(i * self.chunk), keep))
            .collect();
        Ok(chunks.into_iter().flatten().collect())
    }

    /// Whether these are finite images.
    pub(crate) fn check_images(&self, images: &[f64]) -> Result<(), Error> {
        let input = self.network.input();
        let length = input.len();
        if !images.len().is_multiple_of(length) {
            return Err(Error::Length {
                shape: input.shape.clone(),
                expected: images.len().next_multiple_of(length),
                got: images.len(),
            });
        }
        if let Some(flat) = images.iter().position(|v| !v.is_finite()) {
            return Err(Error::NotFinite {
                index: vec![flat / length, flat % length],
                flat,
                value: images[flat],
            });
        }
        Ok(())
    }

    /// The same on this thread alone, for images that are known to fit and to be finite.
    pub(crate) fn evaluated(
        &self,
        images: &[f64],
        inexact: Inexact<'_>,
        keep: &[NodeId],
    ) -> Vec<Vec<Evaluated>> {
        let length = self.network.input().len();
        images
            .chunks(self.chunk * length)
            .enumerate()
            .flat_map(|(i, images)| self.run_chunk(images, inexact.after(i * self.chunk), keep))
            .collect()
    }

    fn run_chunk(
        &self,
        images: &[f64],
        inexact: Inexact<'_>,
        keep: &[NodeId],
    ) -> Vec<Vec<Evaluated>> {
        rounding::assert_ieee();
        let count = images.len() / self.network.input().len();
        let mut values: Vec<Option<Chunk>> = Vec::new();
        values.resize_with(self.steps.len(), || None);
        let mut kept: Vec<Vec<Evaluated>> = (0..count).map(|_| Vec::new()).collect();
        let mut wanted = vec![false; self.steps.len()];
        keep.iter().for_each(|id| wanted[id.0] = true);
        values[0] = Some(self.input(images, inexact));
        for i in 1..self.steps.len() {
            let chunk = self.node(i, count, &values);
            values[i] = Some(chunk);
            for input in &self.network.nodes[i].inputs {
                if self.last_use[input.0] == i && !wanted[input.0] {
                    values[input.0] = None;
                }
            }
        }
        for id in keep {
            let Some(chunk) = &values[id.0] else { continue };
            let samples = chunk.values.chunks(self.network.nodes[id.0].len());
            for ((sample, state), kept) in samples.zip(&chunk.states).zip(&mut kept) {
                kept.push(Evaluated {
                    values: sample.to_vec(),
                    error: Upper::claim(state.error),
                    size: state.size,
                    single: state.single,
                    peak: state.peak,
                });
            }
        }
        kept
    }

    fn input(&self, images: &[f64], inexact: Inexact<'_>) -> Chunk {
        let length = self.network.input().len();
        let states = images
            .chunks(length)
            .enumerate()
            .map(|(i, image)| {
                let size = norm_up(image);
                let error = inexact.of(i, size);
                // A float32 execution rounds the input, and may flush it to zero.
                let reach = Linear::new(add_up(size, error), 1.0);
                State {
                    size,
                    error,
                    single: reach
                        .times(U32)
                        .plus(Linear::new(mul_up(length as f64, SINGLE_TINY), 0.0)),
                    peak: reach,
                }
            })
            .collect();
        Chunk {
            values: images.to_vec(),
            states,
        }
    }

    fn node(&self, index: usize, count: usize, values: &[Option<Chunk>]) -> Chunk {
        let node = &self.network.nodes[index];
        let length = node.len();
        let inputs: Vec<(&Chunk, usize)> = node
            .inputs
            .iter()
            .filter_map(|id| Some((values[id.0].as_ref()?, id.0)))
            .collect();
        let mut out = vec![0.0; count * length];
        let mut states = Vec::with_capacity(count);
        if let Map::Dense(map, _) = &self.steps[index].map {
            map.apply(&inputs[0].0.values, &mut out);
        }
        for (sample, out) in out.chunks_mut(length).enumerate() {
            let parts: Vec<&[f64]> = inputs
                .iter()
                .map(|&(chunk, id)| {
                    let length = self.network.nodes[id].len();
                    &chunk.values[sample * length..][..length]
                })
                .collect();
            let mut local = self.apply(index, &parts, out);
            let size = norm_up(out);
            // Nothing is known of a value that is not finite, even where its factor is 0.
            if !size.is_finite() && out.iter().any(|v| !v.is_finite()) {
                local = f64::INFINITY;
            }
            let before: Vec<(State, f64)> = inputs
                .iter()
                .map(|&(chunk, id)| (chunk.states[sample], self.through[id]))
                .collect();
            states.push(self.state(index, &before, size, local));
        }
        Chunk {
            values: out,
            states,
        }
    }

    /// One sample of a node; returns a bound of the ℓ₂ error of the functions that were evaluated,
    /// besides what [`Rounds`] counts.
    fn apply(&self, index: usize, inputs: &[&[f64]], out: &mut [f64]) -> f64 {
        let node = &self.network.nodes[index];
        let x = inputs[0];
        match (&node.op, &self.steps[index].map) {
            (_, Map::Conv(map, bias)) => {
                map.apply(x, out);
                if let Some(bias) = bias {
                    for (channel, b) in out.chunks_mut(map.pixels()).zip(bias) {
                        channel.iter_mut().for_each(|v| *v += b);
                    }
                }
            }
            (_, Map::Dense(_, bias)) => {
                // The products of the whole chunk are there already.
                if let Some(bias) = bias {
                    for row in out.chunks_mut(bias.len()) {
                        row.iter_mut().zip(bias).for_each(|(v, b)| *v += b);
                    }
                }
            }
            (_, Map::Affine(scale, shift)) => {
                for (((out, x), s), t) in out.iter_mut().zip(x).zip(scale).zip(shift) {
                    *out = s * x + t;
                }
            }
            (_, Map::PRelu(slopes)) => {
                for ((out, &x), a) in out.iter_mut().zip(x).zip(slopes) {
                    *out = if x >= 0.0 { x } else { a * x };
                }
            }
            (Op::Pick(pick), _) => pick.apply(x, out, false),
            (Op::Separable(separable), _) => {
                out.copy_from_slice(&separable.apply(x, self.input_shape(index)));
            }
            (_, Map::MaxPool(windows)) => {
                let places = argmax(windows, x, self.input_shape(index));
                for (out, i) in out.iter_mut().zip(places) {
                    *out = x[i as usize];
                }
            }
            (Op::Fold(fold), Map::Fold(windows)) => {
                let mut squares = 0.0;
                for (out, window) in out.iter_mut().zip(windows) {
                    let window: Vec<f64> = window.iter().map(|&i| x[i as usize]).collect();
                    let (value, error) = fold.value(&window);
                    *out = value;
                    squares = add_up(squares, add_up(mul_up(error, error), 1e-300));
                }
                return sqrt_up(squares);
            }
            (Op::Activation(activation), _) => return activation.values(x, out),
            (Op::Softmax { axis }, _) => return lanes(x, &node.shape, *axis, out, softmax),
            (Op::LogSoftmax { axis }, _) => return lanes(x, &node.shape, *axis, out, log_softmax),
            (&Op::Sort { axis, descending }, _) => {
                return lanes(x, &node.shape, axis, out, |x, y| {
                    for (y, i) in y.iter_mut().zip(order(x, descending)) {
                        *y = x[i];
                    }
                    0.0
                });
            }
            (Op::Normalisation(normalisation), _) => {
                let axis = normalisation.axis();
                return lanes(x, &node.shape, axis, out, |x, y| normalisation.lane(x, y));
            }
            (Op::Add, _) => {
                out.copy_from_slice(x);
                for other in &inputs[1..] {
                    out.iter_mut().zip(*other).for_each(|(v, y)| *v += y);
                }
            }
            (Op::Max, _) => select(inputs, out, |a, b| a > b),
            (Op::Min, _) => select(inputs, out, |a, b| a < b),
            (Op::Concat { axis }, _) => self.concatenate(index, *axis, inputs, out),
            (
                Op::Input
                | Op::Conv { .. }
                | Op::Dense { .. }
                | Op::Affine(_)
                | Op::PRelu(_)
                | Op::MaxPool(_)
                | Op::Fold(_),
                _,
            ) => unreachable!("the input is not evaluated, and the others have maps of their own"),
        }
        0.0
    }

    /// The inputs of a node side by side.
    pub(crate) fn concatenate(
        &self,
        index: usize,
        axis: usize,
        inputs: &[&[f64]],
        out: &mut [f64],
    ) {
        let node = &self.network.nodes[index];
        let inner: usize = node.shape[axis + 1..].iter().product();
        let widths: Vec<usize> = node
            .inputs
            .iter()
            .map(|id| self.network.nodes[id.0].shape[axis] * inner)
            .collect();
        let mut rest = out;
        for block in 0..node.shape[..axis].iter().product() {
            for (input, &width) in inputs.iter().zip(&widths) {
                let (to, after) = rest.split_at_mut(width);
                to.copy_from_slice(&input[block * width..][..width]);
                rest = after;
            }
        }
    }

    /// The network.
    pub(crate) fn network(&self) -> &Network {
        &self.network
    }

    /// How errors pass through a node.
    pub(crate) fn rounds(&self, index: usize) -> &Rounds {
        &self.steps[index].rounds
    }

    /// Most samples that are worked on together.
    pub(crate) fn chunk(&self) -> usize {
        self.chunk
    }

    /// The constant of a node alone.
    pub(crate) fn own(&self, index: usize) -> f64 {
        self.own[index]
    }

    /// The constant of the map from the input to a node.
    pub(crate) fn through(&self, index: usize) -> f64 {
        self.through[index]
    }

    /// What a node applies.
    pub(crate) fn map(&self, index: usize) -> &Map {
        &self.steps[index].map
    }

    fn input_shape(&self, index: usize) -> &[usize] {
        let input = self.network.nodes[index].inputs[0];
        &self.network.nodes[input.0].shape
    }

    /// Error bounds after a node, from those of its inputs (T27).
    fn state(&self, index: usize, before: &[(State, f64)], size: f64, local: f64) -> State {
        let rounds = &self.steps[index].rounds;
        let errors: Vec<f64> = before.iter().map(|(state, _)| state.error).collect();
        let sizes: f64 = before.iter().fold(0.0, |sum, (s, _)| add_up(sum, s.size));
        let carried = rounds.carried(&errors);
        let error = add_up(add_up(carried, rounds.local(sizes)), local);
        let singles: Vec<Linear> = before.iter().map(|(state, _)| state.single).collect();
        // What the float32 execution holds is at most the exact value, here or ε away, and its
        // own error.
        let reach = before
            .iter()
            .fold(Linear::new(0.0, 0.0), |sum, (state, through)| {
                let exact = Linear::new(add_up(state.size, state.error), *through);
                sum.plus(exact.plus(state.single))
            });
        let peaks = before.iter().map(|(state, _)| state.peak);
        State {
            size,
            error,
            single: rounds
                .carried_single(&singles)
                .plus(rounds.local_single(reach)),
            peak: peaks.fold(reach.max(rounds.spread(reach)), Linear::max),
        }
    }
}

/// Refuses what would take gigabytes.
fn check_size(network: &Network) -> Result<(), Error> {
    let mut reads = 0usize;
    for node in network.nodes() {
        if node.len() > MAX_ENTRIES {
            return Err(Error::too_large(
                format!("node {:?} has {} entries", node.name, node.len()),
                "2^26 are evaluated",
            ));
        }
        if let Op::Conv { kernel, conv, .. } = &node.op {
            let input = network.node(node.inputs[0]);
            let rows = if conv.transposed { input } else { node };
            let pixels: usize = rows.shape[1..].iter().product();
            let taps: usize = kernel.spatial().iter().product();
            reads = reads.saturating_add(pixels.saturating_mul(taps));
        }
    }
    if reads > MAX_READS {
        return Err(Error::too_large(
            format!("the convolutions read {reads} pixels"),
            "2^28 are evaluated",
        ));
    }
    Ok(())
}

/// Entry by entry the input that wins.
fn select(inputs: &[&[f64]], out: &mut [f64], wins: impl Fn(f64, f64) -> bool) {
    out.copy_from_slice(inputs[0]);
    for other in &inputs[1..] {
        for (out, &y) in out.iter_mut().zip(*other) {
            if wins(y, *out) {
                *out = y;
            }
        }
    }
}

/// The places of a lane's entries in the order of size.
pub(crate) fn order(x: &[f64], descending: bool) -> Vec<usize> {
    let mut places: Vec<usize> = (0..x.len()).collect();
    places.sort_by(|&i, &j| x[i].total_cmp(&x[j]));
    if descending {
        places.reverse();
    }
    places
}

/// Applies `f` to every lane along `axis`; the ℓ₂ norm of all errors.
fn lanes(
    x: &[f64],
    shape: &[usize],
    axis: usize,
    out: &mut [f64],
    f: impl Fn(&[f64], &mut [f64]) -> f64,
) -> f64 {
    let n = shape[axis];
    let inner: usize = shape[axis + 1..].iter().product();
    let (mut lane, mut image) = (vec![0.0; n], vec![0.0; n]);
    let mut squares = 0.0;
    for block in 0..shape[..axis].iter().product::<usize>() {
        for offset in 0..inner {
            let place = |i: usize| (block * n + i) * inner + offset;
            for (i, slot) in lane.iter_mut().enumerate() {
                *slot = x[place(i)];
            }
            let error = f(&lane, &mut image);
            squares = add_up(squares, add_up(mul_up(error, error), 1e-300));
            for (i, value) in image.iter().enumerate() {
                out[place(i)] = *value;
            }
        }
    }
    sqrt_up(squares)
}
