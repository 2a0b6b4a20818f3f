//! [`State`]: what is kept of a shape group from one step to the next.

use burn::module::Module;
use burn::tensor::{DType, Device, Tensor, TensorData};

use crate::buffer::Buffer;
use crate::layer::Layer;

/// Vectors, weights and frequencies of one shape group.
#[derive(Module, Debug)]
pub(crate) struct State {
    /// `[steps taken, fingerprint of every layer]`: all integers below 2²⁴, exact in f32.
    pub(crate) ledger: Buffer<1>,
    /// Left singular vectors `[B, rows]`, one per reshape, two where weighted; or the right one of the symbol, real part
    /// before imaginary part; or the image.
    pub(crate) vectors: Vec<Buffer<2>>,
    /// Per reshape the shares α⁻² `[B, held]`, then the shares β⁻² `[B, free]`.
    pub(crate) shares: Vec<Buffer<2>>,
    /// Frequency of the peak, `[B, 3]`.
    pub(crate) theta: Vec<Buffer<2>>,
}

impl State {
    pub(crate) fn new(fingerprints: &[f32], device: &Device) -> Self {
        Self {
            ledger: Buffer::new(ledger(0, fingerprints, device)),
            vectors: Vec::new(),
            shares: Vec::new(),
            theta: Vec::new(),
        }
    }

    /// Steps and fingerprints as they are stored.
    pub(crate) fn read_ledger(&self) -> Vec<f32> {
        let data = self.ledger.get().into_data().convert::<f32>();
        data.try_to_vec().unwrap_or_default()
    }

    /// Stores the number of steps.
    pub(crate) fn write_ledger(&self, steps: u32, fingerprints: &[f32]) {
        let device = self.ledger.get().device();
        self.ledger.set(ledger(steps, fingerprints, &device));
    }
}

/// Steps are kept modulo 2²⁴.
fn ledger(steps: u32, fingerprints: &[f32], device: &Device) -> Tensor<1> {
    let mut values = vec![(steps & 0xff_ffff) as f32];
    values.extend_from_slice(fingerprints);
    let len = values.len();
    let options = (&device.clone().without_autodiff(), DType::F32);
    Tensor::from_data(TensorData::new(values, [len]), options)
}

/// A 24-bit hash (FNV-1a, folded) of a layer's path, shape and geometry.
pub(crate) fn fingerprint(layer: &Layer) -> f32 {
    let text = format!(
        "{} {:?} {:?} {:?}",
        layer.path, layer.kind, layer.shape, layer.conv
    );
    let hash = hash(text.as_bytes());
    ((hash ^ hash >> 24 ^ hash >> 48) & 0xff_ffff) as f32
}

fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// Start vectors `[L·groups, len]`, from the seed, the layer's path and the vector's name alone.
pub(crate) fn start_vectors(
    layers: &[Layer],
    (groups, len): (usize, usize),
    (seed, name): (u64, &str),
    (device, dtype): (&Device, DType),
) -> Tensor<2> {
    let mut values = Vec::with_capacity(layers.len() * groups * len);
    for layer in layers {
        let mut state = hash(layer.path.as_bytes()) ^ hash(name.as_bytes()).rotate_left(17) ^ seed;
        for _ in 0..groups * len {
            values.push(uniform(&mut state));
        }
    }
    let data = TensorData::new(values, [layers.len() * groups, len]);
    Tensor::from_data(data, (&device.clone().without_autodiff(), dtype))
}

/// The next number of a splitmix64 sequence, in [−1, 1), never 0.
fn uniform(state: &mut u64) -> f32 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^= z >> 31;
    ((z >> 41 | 1) as f32) / (1u32 << 22) as f32 - 1.0
}
