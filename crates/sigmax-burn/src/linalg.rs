//! Small batched pieces of linear algebra on tensors without autodiff.

use burn::tensor::{DType, Int, Tensor, TensorData};

/// Norms at or below this are taken for zero: their squares vanish in f32.
const TINY: f64 = 1e-22;

/// Norm of every row of `[B, n]`, as `[B, 1]`.
pub(crate) fn row_norms(x: &Tensor<2>) -> Tensor<2> {
    x.clone().square().sum_dim(1).sqrt()
}

/// Rows of norm 1 and the norms before. A row of zeros stays one, unless `fallback` takes its place.
pub(crate) fn normalise(x: Tensor<2>, fallback: Option<&Tensor<2>>) -> (Tensor<2>, Tensor<2>) {
    let norms = row_norms(&x);
    let unit = x / norms.clone().clamp_min(TINY);
    let unit = match fallback {
        None => unit,
        Some(old) => {
            let dead = norms.clone().lower_equal_elem(TINY);
            let shape = unit.shape();
            unit.mask_where(dead.expand(shape), old.clone())
        }
    };
    (unit, norms)
}

/// M·v for `[B, m, n]` and `[B, n]`.
pub(crate) fn times(m: &Tensor<3>, v: &Tensor<2>) -> Tensor<2> {
    let [b, rows, cols] = m.dims();
    m.clone()
        .matmul(v.clone().reshape([b, cols, 1]))
        .reshape([b, rows])
}

/// Mᵀ·u for `[B, m, n]` and `[B, m]`.
pub(crate) fn transposed_times(m: &Tensor<3>, u: &Tensor<2>) -> Tensor<2> {
    let [b, rows, cols] = m.dims();
    u.clone()
        .reshape([b, 1, rows])
        .matmul(m.clone())
        .reshape([b, cols])
}

/// Whether entry (l, g, r) of `[L, G, R]` is the one that decides the bound of layer l, as 0 or 1:
/// exactly one per layer, the first where several tie.
pub(crate) fn decisive(values: Tensor<3>, order: Order) -> Tensor<3> {
    let [_, groups, reshapes] = values.dims();
    if groups == 1 && reshapes == 1 {
        return values.ones_like();
    }
    let shape = values.shape();
    let dtype = values.dtype();
    let (chosen_group, chosen_reshape) = match order {
        Order::MinOfMax => {
            let groups = values.clone().argmax(1);
            let reshapes = values.max_dim(1).argmin(2);
            (groups, reshapes)
        }
        Order::MaxOfMin => {
            let reshapes = values.clone().argmin(2);
            let groups = values.min_dim(2).argmax(1);
            (groups, reshapes)
        }
    };
    let places = |n: usize, axis: usize, like: &Tensor<3, Int>| {
        let mut dims = [1; 3];
        dims[axis] = n;
        let data = TensorData::new((0..n as i64).collect::<Vec<_>>(), dims);
        Tensor::<3, Int>::from_data(data, (&like.device(), like.dtype()))
    };
    let at_group = places(groups, 1, &chosen_group)
        .expand(shape.clone())
        .equal(chosen_group.expand(shape.clone()));
    let at_reshape = places(reshapes, 2, &chosen_reshape)
        .expand(shape.clone())
        .equal(chosen_reshape.expand(shape));
    at_group.bool_and(at_reshape).float().cast(dtype)
}

/// In which order the bounds of the groups and reshapes of a layer are combined; both are valid.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Order {
    /// One reshape for all groups: min over reshapes of max over groups.
    MinOfMax,
    /// The best reshape of every group: max over groups of min over reshapes.
    MaxOfMin,
}

/// The values of a tensor as f64 numbers.
pub(crate) fn read<const D: usize>(x: &Tensor<D>) -> Vec<f64> {
    let data = x.to_data().convert_dtype(DType::F64);
    data.try_to_vec().unwrap_or_default()
}
