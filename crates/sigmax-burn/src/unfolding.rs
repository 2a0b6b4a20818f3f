//! [`Unfolding`]: the weights of a shape group as stride-1 kernels on the infinite lattice.

use burn::tensor::{Int, Tensor, TensorData};

use crate::error::Error;
use crate::layer::Layer;

/// How stacked weights `[L, rows·cols·taps]` become lattice kernels `[B, R, C, q_1, q_2, q_3]`: one
/// per layer and channel group, by the maps of the core (T3 to T6). Missing spatial axes are axes of
/// length 1 in front.
#[derive(Clone, Debug)]
pub(crate) struct Unfolding {
    /// Channel groups g: B = L·g.
    pub(crate) groups: usize,
    /// R: rows of one group.
    pub(crate) rows: usize,
    /// C: columns, times the phases.
    pub(crate) cols: usize,
    /// Taps per axis.
    pub(crate) k: [usize; 3],
    /// Spatial axes of the layer.
    pub(crate) axes: usize,
    /// Where the taps go, if there is a stride that matters.
    polyphase: Option<Maps>,
}

/// The core's index maps between a row of the kernel and of its polyphase form, as Burn takes them.
#[derive(Clone, Debug)]
struct Maps {
    /// Per entry of the polyphase form: the entry of the kernel, or the zero after its last.
    gather: Vec<i64>,
    /// Per entry of the kernel: its place in the polyphase form.
    scatter: Vec<i64>,
}

impl Unfolding {
    pub(crate) fn new(layer: &Layer) -> Result<Self, Error> {
        let layout = layer.layout()?;
        let mut k = [1; 3];
        k[3 - layout.k().len()..].copy_from_slice(layout.k());
        let indices = |map: &[usize]| map.iter().map(|&i| i as i64).collect();
        Ok(Self {
            groups: layout.groups(),
            rows: layout.rows(),
            cols: layout.cols(),
            k,
            axes: layout.k().len(),
            polyphase: layout.polyphase().map(|polyphase| Maps {
                gather: indices(polyphase.sources()),
                scatter: indices(polyphase.places()),
            }),
        })
    }

    /// Π q.
    pub(crate) fn taps(&self) -> usize {
        self.k.iter().product()
    }

    /// `[L, n]` to `[B, R, C, q…]`.
    pub(crate) fn unfold(&self, weights: Tensor<2>) -> Tensor<6> {
        let [layers, len] = weights.dims();
        let batch = layers * self.groups;
        let [q1, q2, q3] = self.k;
        let shape = [batch, self.rows, self.cols, q1, q2, q3];
        let Some(polyphase) = &self.polyphase else {
            return weights.reshape(shape);
        };
        let rows = batch * self.rows;
        let flat = weights.reshape([rows, layers * len / rows]);
        let zero = Tensor::<2>::zeros([rows, 1], (&flat.device(), flat.dtype()));
        let index = Self::index(&polyphase.gather, &flat);
        Tensor::cat(vec![flat, zero], 1)
            .select(1, index)
            .reshape(shape)
    }

    /// `[B, R, C, q…]` back to `[L, n]`: the transpose of [`Unfolding::unfold`].
    pub(crate) fn fold(&self, kernels: Tensor<6>) -> Tensor<2> {
        let [batch, ..] = kernels.dims();
        let layers = batch / self.groups;
        let rows = batch * self.rows;
        match &self.polyphase {
            None => {
                let len = self.groups * self.rows * self.cols * self.taps();
                kernels.reshape([layers, len])
            }
            Some(polyphase) => {
                let flat = kernels.reshape([rows, self.cols * self.taps()]);
                let index = Self::index(&polyphase.scatter, &flat);
                let len = self.groups * self.rows * polyphase.scatter.len();
                flat.select(1, index).reshape([layers, len])
            }
        }
    }

    fn index(values: &[i64], like: &Tensor<2>) -> Tensor<1, Int> {
        let data = TensorData::new(values.to_vec(), [values.len()]);
        Tensor::from_data(data, &like.device().without_autodiff())
    }
}

/// All index triples below `extents`, row-major.
pub(crate) fn cells(extents: [usize; 3]) -> impl Iterator<Item = [usize; 3]> {
    let [n1, n2, n3] = extents;
    (0..n1 * n2 * n3).map(move |i| [i / (n2 * n3), i / n3 % n2, i % n3])
}

#[cfg(test)]
mod tests {
    use sigmax::Conv;

    use super::*;
    use crate::layer::{LayerKind, assumed};

    #[test]
    fn fold_undoes_unfold() {
        let conv = |stride: &[usize], dilation: &[usize]| {
            let conv = Conv::new(stride.len());
            conv.with_stride(stride).with_dilation(dilation)
        };
        for (shape, conv) in [
            (vec![4, 2, 3, 3], conv(&[2, 2], &[1, 1]).with_groups(2)),
            (vec![4, 2, 3, 3], conv(&[4, 6], &[2, 3]).with_groups(2)),
            (vec![2, 3, 5], conv(&[3], &[1])),
            (vec![2, 2, 2, 1, 3], conv(&[1, 4, 2], &[1, 1, 2])),
            (vec![3, 4], conv(&[], &[])),
        ] {
            let mut layer = assumed("l".into(), LayerKind::Conv, shape.clone());
            layer.conv = conv;
            let unfolding = Unfolding::new(&layer).unwrap();
            let len: usize = shape.iter().product();
            let values: Vec<f32> = (0..2 * len).map(|i| i as f32 + 1.0).collect();
            let data = TensorData::new(values.clone(), [2, len]);
            let weights = Tensor::<2>::from_data(data, &Default::default());
            let unfolded = unfolding.unfold(weights);
            // Whole numbers below 2²⁴: the sum is exact in any order.
            let sum = f64::from(unfolded.clone().sum().into_scalar::<f32>());
            let expected: f64 = values.iter().map(|&v| f64::from(v)).sum();
            assert!((sum - expected).abs() < 0.5);
            let back = unfolding.fold(unfolded).into_data();
            assert_eq!(back.try_to_vec::<f32>().unwrap(), values);
        }
    }
}
