//! MaxPool, AveragePool, LpPool and their global forms.

use sigmax::network::{Fold, NodeId, Op, Pool, Separable};

use super::super::parsed::Node;
use super::super::window::{AutoPad, Window};
use super::lowering::{Halt, Lowering, refuse};

/// The windows of a pooling node over an input of shape `[channels, n_1, …]`.
fn windows(lowering: &mut Lowering<'_>, node: &Node, shape: &[usize]) -> Result<Pool, Halt> {
    let Some(axes) = shape.len().checked_sub(1).filter(|&axes| axes > 0) else {
        return refuse("its input has no spatial axes");
    };
    if node.ints("kernel_shape")?.is_none() {
        return refuse("it has no kernel_shape");
    }
    let window = Window::new(node, &node.extents("kernel_shape", axes, 1)?)?;
    let ceil = node.int("ceil_mode", 0)? != 0;
    let mut pool = Pool::new(&window.kernel)
        .with_stride(&window.stride)
        .with_dilation(&window.dilation);
    pool.ceil = ceil && window.auto_pad == AutoPad::Explicit;
    for axis in 0..axes {
        let n = shape[axis + 1];
        let Some(padding) = window.padding(axis, Some(n)) else {
            return refuse(format!("its padding of {n} pixels is not known"));
        };
        pool.padding[axis] = padding;
        let Some(out) = window.pool_output(axis, n, ceil) else {
            return refuse(format!(
                "{n} pixels on spatial axis {axis} give no window, or windows on which releases of ONNX \
                 and runtimes differ (auto_pad with dilations, with strides beyond the kernel or with \
                 ceil_mode); state pads explicitly"
            ));
        };
        lowering.room(&[out, window.kernel[axis], 4])?;
        lowering.room(&[n])?;
    }
    Ok(pool)
}

/// `MaxPool`.
pub(super) fn max_pool(
    lowering: &mut Lowering<'_>,
    node: &Node,
    name: &str,
) -> Result<NodeId, Halt> {
    let id = lowering.data(node, 0)?;
    let shape = lowering.shape(id);
    let pool = windows(lowering, node, &shape)?;
    lowering.add(name, Op::MaxPool(pool), &[id])
}

/// `AveragePool`.
pub(super) fn average_pool(
    lowering: &mut Lowering<'_>,
    node: &Node,
    name: &str,
) -> Result<NodeId, Halt> {
    let id = lowering.data(node, 0)?;
    let shape = lowering.shape(id);
    let pool = windows(lowering, node, &shape)?;
    let padding = node.int("count_include_pad", 0)? != 0;
    let means = Separable::average_pool(&shape, &pool, padding)?;
    lowering.add(name, Op::Separable(means), &[id])
}

/// Refuses another norm than that of squares.
fn squares(node: &Node) -> Result<(), Halt> {
    // A number of any kind in the first release.
    let p = match node.int("p", 2) {
        Ok(p) => p,
        Err(_) => return refuse("its p is no integer: only p = 2 is covered"),
    };
    match p {
        2 => Ok(()),
        p => refuse(format!("p = {p}: only p = 2 is covered")),
    }
}

/// `LpPool`.
pub(super) fn lp_pool(
    lowering: &mut Lowering<'_>,
    node: &Node,
    name: &str,
) -> Result<NodeId, Halt> {
    squares(node)?;
    let id = lowering.data(node, 0)?;
    let shape = lowering.shape(id);
    let pool = windows(lowering, node, &shape)?;
    lowering.add(name, Op::Fold(Fold::norm(pool)), &[id])
}

/// `GlobalAveragePool`, `GlobalMaxPool` and `GlobalLpPool`.
pub(super) fn global(lowering: &mut Lowering<'_>, node: &Node, name: &str) -> Result<NodeId, Halt> {
    let id = lowering.data(node, 0)?;
    let shape = lowering.shape(id);
    let Some(spatial) = shape.get(1..).filter(|spatial| !spatial.is_empty()) else {
        return refuse("its input has no spatial axes");
    };
    for &n in spatial {
        lowering.room(&[n, 4])?;
    }
    let op = if node.op == "GlobalMaxPool" {
        Op::MaxPool(Pool::new(spatial))
    } else if node.op == "GlobalLpPool" {
        squares(node)?;
        Op::Fold(Fold::norm(Pool::new(spatial)))
    } else {
        let over: Vec<usize> = (1..shape.len()).collect();
        Op::Separable(Separable::mean(&shape, &over)?)
    };
    lowering.add(name, op, &[id])
}
