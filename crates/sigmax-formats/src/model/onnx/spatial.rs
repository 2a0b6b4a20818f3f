//! Shapes of convolutions and pools.

use super::arguments::weight;
use super::facts::Context;
use super::limits;
use super::parsed::Node;
use super::size::{Dims, Size};
use super::window::{AutoPad, Window};

/// The shape of a convolution's output.
pub(super) fn conv(context: &Context<'_>, node: &Node) -> Option<Dims> {
    let dims = context.input(node, 0)?.dims.as_ref()?;
    let shape = weight(context, node)?;
    let window = Window::new(node, shape.get(2..)?).ok()?;
    let axes = window.kernel.len();
    if dims.len() != axes + 2 {
        return None;
    }
    let spatial = (0..axes).map(|axis| dims[axis + 2].and_then(|n| window.output(axis, n, false)));
    Some(
        [dims[0], Size::Known(shape[0])]
            .into_iter()
            .chain(spatial)
            .collect(),
    )
}

/// The shape of a transposed convolution's output.
pub(super) fn conv_transpose(context: &Context<'_>, node: &Node) -> Option<Dims> {
    let dims = context.input(node, 0)?.dims.as_ref()?;
    let shape = weight(context, node)?;
    let window = Window::new(node, shape.get(2..)?).ok()?;
    let axes = window.kernel.len();
    let groups = usize::try_from(node.int("group", 1).ok()?).ok()?;
    if dims.len() != axes + 2 {
        return None;
    }
    let geometry = Transposed::new(node, &window).ok()?;
    let spatial =
        (0..axes).map(|axis| Size::from(geometry.output(&window, axis, dims[axis + 2].known())));
    let channels = Size::from(shape[1].checked_mul(groups));
    Some([dims[0], channels].into_iter().chain(spatial).collect())
}

/// What a transposed convolution has besides its [`Window`].
#[derive(Debug)]
pub(super) struct Transposed {
    pub(super) output_padding: Vec<usize>,
    /// The stated output size.
    pub(super) output_shape: Option<Vec<usize>>,
}

impl Transposed {
    pub(super) fn new(node: &Node, window: &Window) -> Result<Self, String> {
        let axes = window.kernel.len();
        let output_shape = match node.ints("output_shape")? {
            None | Some([]) => None,
            Some(sizes) => {
                // Some writers state batch and channels too.
                let spatial = match sizes.len().checked_sub(axes) {
                    Some(skip @ (0 | 2)) => &sizes[skip..],
                    _ => return Err(format!("output_shape = {sizes:?}; expected {axes} values")),
                };
                let inside = |&n: &i64| {
                    usize::try_from(n)
                        .ok()
                        .filter(|n| (1..=limits::EXTENT).contains(n))
                };
                let spatial: Option<Vec<_>> = spatial.iter().map(inside).collect();
                Some(spatial.ok_or_else(|| {
                    format!("output_shape = {sizes:?}; expected sizes of at least 1")
                })?)
            }
        };
        Ok(Self {
            output_padding: node.extents("output_padding", axes, 0)?,
            output_shape,
        })
    }

    /// The padding along `axis`: `Ok(None)` where it depends on an unknown input size `n`, `Err`
    /// with the number of zeros that would have to be added where the stated output is too long.
    pub(super) fn padding(
        &self,
        window: &Window,
        axis: usize,
        n: Option<usize>,
    ) -> Result<Option<(usize, usize)>, usize> {
        let (stride, reach) = (window.stride[axis], window.reach(axis));
        let full = reach + self.output_padding[axis];
        let (longest, wanted) = match (&self.output_shape, window.auto_pad) {
            (Some(sizes), _) => match n {
                Some(n) if (1..=limits::EXTENT).contains(&n) => {
                    ((n - 1) * stride + full, sizes[axis])
                }
                _ => return Ok(None),
            },
            // The output is stride·n long, which n − 1 steps of the full one are too.
            (None, AutoPad::SameUpper | AutoPad::SameLower) => (full, stride),
            (None, _) => return Ok(Some(window.pads[axis])),
        };
        match longest.checked_sub(wanted) {
            Some(total) => Ok(Some(window.split(total))),
            None => Err(wanted - longest),
        }
    }

    /// Whether so many zeros that a stated output needs beyond what the input gives are at its end. That is what
    /// the reference of ONNX and onnxruntime do with fewer of them than the stride; with `auto_pad` they agree on a
    /// single one, for `SAME_LOWER`.
    pub(super) fn ends_with_zeros(&self, window: &Window, axis: usize, zeros: usize) -> bool {
        let agreed = match window.auto_pad {
            AutoPad::Explicit => true,
            AutoPad::SameLower => zeros == 1,
            _ => false,
        };
        let inside = self.output_padding[axis] + zeros < window.stride[axis];
        self.output_shape.is_some() && agreed && inside
    }

    fn output(&self, window: &Window, axis: usize, n: Option<usize>) -> Option<usize> {
        if let Some(sizes) = &self.output_shape {
            return Some(sizes[axis]);
        }
        let n = n?;
        match self.padding(window, axis, Some(n)) {
            Ok(padding) => window.transposed_output(axis, n, padding?, self.output_padding[axis]),
            Err(_) => n.checked_mul(window.stride[axis]),
        }
    }
}

/// The shape of a pool's output.
pub(super) fn pool(context: &Context<'_>, node: &Node) -> Option<Dims> {
    let dims = context.input(node, 0)?.dims.as_ref()?;
    let axes = dims.len().checked_sub(2)?;
    node.ints("kernel_shape").ok()??;
    let kernel = node.extents("kernel_shape", axes, 1).ok()?;
    let window = Window::new(node, &kernel).ok()?;
    let ceil = node.int("ceil_mode", 0).ok()? != 0;
    let spatial =
        (0..axes).map(|axis| dims[axis + 2].and_then(|n| window.pool_output(axis, n, ceil)));
    Some(dims[..2].iter().copied().chain(spatial).collect())
}
