//! [`Conv`]: the geometry of a layer, and what its padding does to the norm.

use crate::error::{Error, NotCovered};
use crate::kernel::Kernel;
use crate::named::named;
use crate::rounding;

/// How a layer fills the pixels outside its input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum PaddingMode {
    /// With zeros.
    #[default]
    Zeros,
    /// With the opposite edge (periodic).
    Circular,
    /// With the mirror image, edge pixel not repeated.
    Reflect,
    /// With the edge pixel (`edge` in ONNX and NumPy).
    Replicate,
}

impl PaddingMode {
    /// The name that PyTorch gives the mode.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Zeros => "zeros",
            Self::Circular => "circular",
            Self::Reflect => "reflect",
            Self::Replicate => "replicate",
        }
    }
}

named!(
    PaddingMode,
    "padding mode",
    [Zeros, Circular, Reflect, Replicate]
);

/// The geometry of a convolution with m = 0 to 3 spatial axes (m = 0: a dense layer).
///
/// The default is stride 1, no padding, dilation 1, one group, not transposed, unknown input size.
///
/// # Example
/// ```
/// use sigmax::{Conv, PaddingMode};
/// let conv = Conv::new(2).with_stride(&[2, 2]).with_padding(&[(1, 1), (1, 1)]);
/// assert_eq!(conv.padding_mode, PaddingMode::Zeros);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Conv {
    /// Step of the output grid per axis (of the input grid, if transposed).
    pub stride: Vec<usize>,
    /// Pixels added before and after each axis (removed from the output, if transposed).
    pub padding: Vec<(usize, usize)>,
    /// What the added pixels hold.
    pub padding_mode: PaddingMode,
    /// Distance of neighbouring kernel taps per axis.
    pub dilation: Vec<usize>,
    /// Number of channel groups.
    pub groups: usize,
    /// Whether the layer is a transposed convolution.
    pub transposed: bool,
    /// Rows added after each output axis of a transposed convolution.
    pub output_padding: Vec<usize>,
    /// Spatial input size, where it is known.
    pub input_size: Option<Vec<usize>>,
}

impl Conv {
    /// The default geometry for `axes` spatial axes.
    #[must_use]
    pub fn new(axes: usize) -> Self {
        Self {
            stride: vec![1; axes],
            padding: vec![(0, 0); axes],
            padding_mode: PaddingMode::Zeros,
            dilation: vec![1; axes],
            groups: 1,
            transposed: false,
            output_padding: vec![0; axes],
            input_size: None,
        }
    }

    /// Sets the stride per axis.
    #[must_use]
    pub fn with_stride(mut self, stride: &[usize]) -> Self {
        self.stride = stride.to_vec();
        self
    }

    /// Sets the padding before and after each axis.
    #[must_use]
    pub fn with_padding(mut self, padding: &[(usize, usize)]) -> Self {
        self.padding = padding.to_vec();
        self
    }

    /// Sets the padding mode.
    #[must_use]
    pub fn with_padding_mode(mut self, mode: PaddingMode) -> Self {
        self.padding_mode = mode;
        self
    }

    /// Sets the dilation per axis.
    #[must_use]
    pub fn with_dilation(mut self, dilation: &[usize]) -> Self {
        self.dilation = dilation.to_vec();
        self
    }

    /// Sets the number of groups.
    #[must_use]
    pub fn with_groups(mut self, groups: usize) -> Self {
        self.groups = groups;
        self
    }

    /// Makes it a transposed convolution with the given output padding per axis.
    #[must_use]
    pub fn transposed(mut self, output_padding: &[usize]) -> Self {
        self.transposed = true;
        self.output_padding = output_padding.to_vec();
        self
    }

    /// Sets the spatial input size.
    #[must_use]
    pub fn with_input_size(mut self, size: &[usize]) -> Self {
        self.input_size = Some(size.to_vec());
        self
    }

    /// Number of spatial axes.
    #[must_use]
    pub fn axes(&self) -> usize {
        self.stride.len()
    }

    /// Checks that this geometry and `kernel` make a layer that sigmax covers.
    ///
    /// # Errors
    /// A field of the wrong length, a zero, groups that do not divide the channels, padding that
    /// its mode does not allow, an input too small to give any output, or a combination that is
    /// not covered (padding modes other than zeros on transposed convolutions).
    pub fn check(&self, kernel: &Kernel) -> Result<(), Error> {
        self.check_shape(kernel.shape())
    }

    /// The same for a weight of a valid shape, without its values.
    pub(crate) fn check_shape(&self, shape: &[usize]) -> Result<(), Error> {
        let axes = shape.len() - 2;
        let geometry = |field, expected: String, got: String| {
            Err(Error::Geometry {
                field,
                expected,
                got,
            })
        };
        let lengths = [
            ("stride", self.stride.len()),
            ("padding", self.padding.len()),
            ("dilation", self.dilation.len()),
            ("output_padding", self.output_padding.len()),
            (
                "input_size",
                self.input_size.as_ref().map_or(axes, Vec::len),
            ),
        ];
        for (field, length) in lengths {
            if length != axes {
                return geometry(
                    field,
                    format!("{axes} values, one per spatial axis of the kernel"),
                    length.to_string(),
                );
            }
        }
        let positive = [
            ("stride", &self.stride),
            ("dilation", &self.dilation),
            (
                "input_size",
                self.input_size.as_ref().unwrap_or(&self.stride),
            ),
        ];
        for (field, values) in positive {
            if values.contains(&0) {
                return geometry(field, "values of at least 1".into(), format!("{values:?}"));
            }
            if values.iter().any(|&v| v > MAX_EXTENT) {
                return geometry(
                    field,
                    format!("values of at most {MAX_EXTENT}"),
                    format!("{values:?}"),
                );
            }
        }
        if self
            .padding
            .iter()
            .any(|&(before, after)| before > MAX_EXTENT || after > MAX_EXTENT)
        {
            return geometry(
                "padding",
                format!("values of at most {MAX_EXTENT}"),
                format!("{:?}", self.padding),
            );
        }
        let channels = shape[0];
        if self.groups == 0 || !channels.is_multiple_of(self.groups) {
            return geometry(
                "groups",
                format!("a divisor of the {channels} channels on the kernel's first axis"),
                self.groups.to_string(),
            );
        }
        if self.transposed {
            if self.padding_mode != PaddingMode::Zeros {
                let mode = self.padding_mode.name();
                return Err(NotCovered::TransposedPadding { mode }.into());
            }
            for axis in 0..axes {
                let limit = self.stride[axis].max(self.dilation[axis]);
                if self.output_padding[axis] >= limit {
                    return geometry(
                        "output_padding",
                        format!("less than the stride or the dilation ({limit})"),
                        self.output_padding[axis].to_string(),
                    );
                }
            }
        } else if self.output_padding.iter().any(|&p| p > 0) {
            return geometry(
                "output_padding",
                "0 unless the convolution is transposed".into(),
                format!("{:?}", self.output_padding),
            );
        }
        if let Some(size) = &self.input_size {
            for axis in 0..axes {
                self.check_axis(axis, size[axis], shape[2 + axis])?;
            }
        }
        Ok(())
    }

    fn check_axis(&self, axis: usize, n: usize, k: usize) -> Result<(), Error> {
        let (before, after) = self.padding[axis];
        let limit = match self.padding_mode {
            PaddingMode::Zeros | PaddingMode::Replicate => usize::MAX,
            PaddingMode::Circular => n,
            PaddingMode::Reflect => n - 1,
        };
        if before.max(after) > limit {
            return Err(Error::Geometry {
                field: "padding",
                expected: format!(
                    "at most {limit} for {} padding of {n} pixels",
                    self.padding_mode.name()
                ),
                got: before.max(after).to_string(),
            });
        }
        if self.output_size(axis, n, k).is_none() {
            return Err(Error::Geometry {
                field: "input_size",
                expected: format!(
                    "an input that gives at least one output on axis {axis} \
                     (kernel {k}, dilation {}, padding {before}+{after})",
                    self.dilation[axis]
                ),
                got: n.to_string(),
            });
        }
        Ok(())
    }

    /// Outputs along `axis` for `n` inputs and `k` taps; `None` where there are none.
    pub(crate) fn output_size(&self, axis: usize, n: usize, k: usize) -> Option<usize> {
        let (before, after) = self.padding[axis];
        let reach = self.dilation[axis].checked_mul(k - 1)?;
        if self.transposed {
            let full = (n - 1)
                .checked_mul(self.stride[axis])?
                .checked_add(reach)?
                .checked_add(1 + self.output_padding[axis])?;
            full.checked_sub(before + after).filter(|&out| out > 0)
        } else {
            let padded = n.checked_add(before)?.checked_add(after)?;
            Some(padded.checked_sub(reach + 1)? / self.stride[axis] + 1)
        }
    }

    /// Along `axis`, the most copies of one input pixel in the padded input: ‖P‖² of T7, with the
    /// worst case over all input sizes where the size is unknown.
    pub(crate) fn most_copies(&self, axis: usize) -> usize {
        let (before, after) = self.padding[axis];
        let sides = usize::from(before > 0) + usize::from(after > 0);
        let size = self.input_size.as_ref().map(|size| size[axis]);
        match (self.padding_mode, size) {
            (PaddingMode::Zeros, _) => 1,
            // Pixel j is copied to the left iff 1 ≤ j ≤ before, to the right iff
            // n−1−after ≤ j ≤ n−2: twice where both intervals meet.
            (PaddingMode::Reflect, Some(n)) => {
                let both = 1.max((n - 1).saturating_sub(after)) <= before.min(n.saturating_sub(2));
                if sides == 2 && !both { 2 } else { 1 + sides }
            }
            // Pixel j is copied to the right iff j < after, to the left iff j ≥ n − before.
            (PaddingMode::Circular, Some(n)) => {
                let both = before + after > n;
                if sides == 2 && !both { 2 } else { 1 + sides }
            }
            (PaddingMode::Reflect | PaddingMode::Circular, None) => 1 + sides,
            // A single pixel is both edges.
            (PaddingMode::Replicate, None | Some(1)) => 1 + before + after,
            (PaddingMode::Replicate, Some(_)) => 1 + before.max(after),
        }
    }

    /// An upper bound of ‖P‖₂ over all axes (T7): √ of the most copies of one pixel.
    pub(crate) fn padding_factor(&self) -> f64 {
        (0..self.axes()).fold(1.0, |factor, axis| match self.most_copies(axis) {
            1 => factor,
            copies if factor <= 1.0 => rounding::sqrt_int_up(copies),
            copies => rounding::mul_up(factor, rounding::sqrt_int_up(copies)),
        })
    }
}

/// Largest stride, dilation, padding or input size: keeps every product far from overflow.
pub(crate) const MAX_EXTENT: usize = 1 << 24;
