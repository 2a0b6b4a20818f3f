//! Batches as tensors; loss and accuracy.

use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Int, Tensor, TensorData};

use crate::data::{Augment, Images, Source};
use crate::model::Network;
use crate::rng::Rng;

/// Mean loss and share of right answers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Score {
    /// Mean cross entropy.
    pub loss: f64,
    /// Right answers / images.
    pub accuracy: f64,
}

const BATCH: usize = 250;

/// Evaluates a model, in inference mode. NaN of no images.
#[allow(clippy::cast_precision_loss, reason = "counts of images")]
pub fn evaluate<N: Network>(model: &N, images: &Images, source: Source, device: &Device) -> Score {
    let model = model.valid();
    let device = device.clone().without_autodiff();
    let (mut loss, mut correct) = (0.0, 0);
    let indices: Vec<usize> = (0..images.len()).collect();
    for chunk in indices.chunks(BATCH) {
        let (x, y) = batch(images, chunk, source, None, &device);
        let logits = model.forward(x);
        correct += right_answers(&logits, images, chunk);
        loss += scalar(&cross_entropy(logits, y)) * chunk.len() as f64;
    }
    let count = images.len() as f64;
    Score {
        loss: loss / count,
        accuracy: correct as f64 / count,
    }
}

/// Images `[b, c, h, w]`, normalised and, given a generator, augmented; and labels `[b, 1]`.
pub(crate) fn batch(
    images: &Images,
    indices: &[usize],
    source: Source,
    augment: Option<&mut Rng>,
    device: &Device,
) -> (Tensor<4>, Tensor<2, Int>) {
    let normalisation = source.normalisation();
    let values = match augment {
        Some(rng) => images.batch(indices, normalisation, source.augment(), rng),
        None => {
            let mut unused = Rng::new(0, crate::rng::Purpose::Augment, [0, 0]);
            images.batch(indices, normalisation, Augment::None, &mut unused)
        }
    };
    let [channels, height, width] = images.shape;
    let shape = [indices.len(), channels, height, width];
    let labels: Vec<i64> = indices
        .iter()
        .map(|&i| i64::from(images.labels[i]))
        .collect();
    (
        Tensor::from_data(TensorData::new(values, shape), device),
        Tensor::from_data(TensorData::new(labels, [indices.len(), 1]), device),
    )
}

/// Mean over the batch of −log softmax(logits)[label].
pub(crate) fn cross_entropy(logits: Tensor<2>, labels: Tensor<2, Int>) -> Tensor<1> {
    log_softmax(logits, 1).gather(1, labels).mean().neg()
}

/// The number in a tensor of one.
pub(crate) fn scalar(tensor: &Tensor<1>) -> f64 {
    let data = tensor.to_data();
    data.iter::<f64>().next().unwrap_or(f64::NAN)
}

/// How many logits are largest at the label; a tie counts for the first class.
pub(crate) fn right_answers(logits: &Tensor<2>, images: &Images, indices: &[usize]) -> usize {
    let data = logits.to_data();
    let values: Vec<f32> = data.iter::<f32>().collect();
    let rows = values.chunks_exact(10);
    rows.zip(indices)
        .filter(|(row, i)| {
            let mut best = 0;
            for (class, value) in row.iter().enumerate() {
                if *value > row[best] {
                    best = class;
                }
            }
            best == usize::from(images.labels[**i])
        })
        .count()
}
