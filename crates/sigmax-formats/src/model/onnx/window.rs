//! [`Window`]: kernel, stride, dilation and padding of a convolution or pool, and the sizes that
//! follow from them.

use super::limits;
use super::parsed::Node;

/// How the padding is stated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AutoPad {
    /// By `pads`.
    Explicit,
    /// None.
    Valid,
    /// As much as makes the output ⌈input/stride⌉ long, the odd pixel at the end.
    SameUpper,
    /// The same, the odd pixel at the beginning.
    SameLower,
}

/// The geometry attributes of a convolution or pool.
#[derive(Clone, Debug)]
pub(super) struct Window {
    pub(super) kernel: Vec<usize>,
    pub(super) stride: Vec<usize>,
    pub(super) dilation: Vec<usize>,
    pub(super) auto_pad: AutoPad,
    pub(super) pads: Vec<(usize, usize)>,
}

impl Window {
    /// Reads the attributes of a node whose kernel has the given extents.
    pub(super) fn new(node: &Node, kernel: &[usize]) -> Result<Self, String> {
        let axes = kernel.len();
        if let Some(&most) = kernel.iter().max().filter(|&&k| k > limits::EXTENT) {
            return Err(format!(
                "its kernel is {most} long; expected at most {}",
                limits::EXTENT
            ));
        }
        let auto_pad = match node.text("auto_pad", "NOTSET")? {
            "NOTSET" | "" => AutoPad::Explicit,
            "VALID" => AutoPad::Valid,
            "SAME_UPPER" => AutoPad::SameUpper,
            "SAME_LOWER" => AutoPad::SameLower,
            other => {
                return Err(format!(
                    "auto_pad = {other:?}; expected NOTSET, VALID, SAME_UPPER or SAME_LOWER"
                ));
            }
        };
        let pads = node.extents("pads", 2 * axes, 0)?;
        let (before, after) = pads.split_at(axes);
        let pads = match auto_pad {
            AutoPad::Explicit => before.iter().copied().zip(after.iter().copied()).collect(),
            _ => vec![(0, 0); axes],
        };
        Ok(Self {
            kernel: kernel.to_vec(),
            stride: node.extents("strides", axes, 1)?,
            dilation: node.extents("dilations", axes, 1)?,
            auto_pad,
            pads,
        })
    }

    /// Pixels that one output sees along `axis`, from the first to the last.
    pub(super) fn reach(&self, axis: usize) -> usize {
        (self.kernel[axis].max(1) - 1) * self.dilation[axis] + 1
    }

    /// The padding along `axis` of an input of `n` pixels; `None` where it depends on an unknown
    /// `n`.
    pub(super) fn padding(&self, axis: usize, n: Option<usize>) -> Option<(usize, usize)> {
        if !matches!(self.auto_pad, AutoPad::SameUpper | AutoPad::SameLower) {
            return Some(self.pads[axis]);
        }
        let stride = self.stride[axis];
        let total = match n {
            // With stride 1 the output is as long as the input, whatever that is.
            _ if stride == 1 => self.reach(axis) - 1,
            Some(n) if n <= limits::EXTENT => {
                let out = n.div_ceil(stride).max(1);
                ((out - 1) * stride + self.reach(axis)).saturating_sub(n)
            }
            _ => return None,
        };
        Some(self.split(total))
    }

    /// A total amount of padding in two halves.
    pub(super) fn split(&self, total: usize) -> (usize, usize) {
        let (small, large) = (total / 2, total.div_ceil(2));
        if self.auto_pad == AutoPad::SameUpper {
            (small, large)
        } else {
            (large, small)
        }
    }

    /// Outputs along `axis` for `n` inputs. `ceil` is the rounding of pools: up, but for a window that would
    /// hold nothing but padding, as of no pixel there is no largest one and no mean. Older releases of the
    /// standard count it; onnxruntime does not for any of them.
    pub(super) fn output(&self, axis: usize, n: usize, ceil: bool) -> Option<usize> {
        if n == 0 || n > limits::EXTENT {
            return None;
        }
        let (before, after) = self.padding(axis, Some(n))?;
        let stride = self.stride[axis];
        let room = (n + before + after).checked_sub(self.reach(axis))?;
        let floor = room / stride + 1;
        if !ceil || self.auto_pad != AutoPad::Explicit || room.is_multiple_of(stride) {
            return Some(floor);
        }
        // Rounded up there is one more window, unless it starts in the padding behind the input.
        Some(floor + usize::from(floor * stride < n + before))
    }

    /// The same of a pool; `None` also where runtimes do not agree about its windows: the padding of
    /// SAME with dilation (some take the kernel without it) or where it would be negative (some move
    /// the windows), and VALID rounded up.
    pub(super) fn pool_output(&self, axis: usize, n: usize, ceil: bool) -> Option<usize> {
        let out = self.output(axis, n, ceil)?;
        let (stride, reach) = (self.stride[axis], self.reach(axis));
        let agreed = match self.auto_pad {
            AutoPad::Explicit => true,
            AutoPad::Valid => !ceil || n.checked_sub(reach)?.is_multiple_of(stride),
            AutoPad::SameUpper | AutoPad::SameLower => {
                self.dilation[axis] == 1 && (n.div_ceil(stride) - 1) * stride + reach >= n
            }
        };
        agreed.then_some(out)
    }

    /// Outputs along `axis` of a transposed convolution with `n` inputs.
    pub(super) fn transposed_output(
        &self,
        axis: usize,
        n: usize,
        padding: (usize, usize),
        output_padding: usize,
    ) -> Option<usize> {
        if n == 0 || n > limits::EXTENT {
            return None;
        }
        let full = (n - 1) * self.stride[axis] + self.reach(axis) + output_padding;
        full.checked_sub(padding.0 + padding.1)
            .filter(|&out| out > 0)
    }
}
