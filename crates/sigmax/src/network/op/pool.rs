//! [`Pool`]: windows of a pooling layer, and max-pooling.

use crate::error::Misfit;
use crate::rounding::{mul_up, sqrt_int_up};

/// The windows of a pooling layer over `[channels, n_1, …, n_m]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// Extent per spatial axis.
    pub kernel: Vec<usize>,
    /// Step per axis.
    pub stride: Vec<usize>,
    /// Distance of neighbouring pixels of a window.
    pub dilation: Vec<usize>,
    /// Pixels added before and after each axis.
    pub padding: Vec<(usize, usize)>,
    /// Whether an incomplete last window counts, unless it starts in the padding behind the image.
    pub ceil: bool,
}

/// Largest extent, and most reads along an axis.
const MAX_EXTENT: usize = 1 << 24;
const MAX_READS: usize = 1 << 26;

impl Pool {
    /// Windows of this extent, side by side, without padding.
    #[must_use]
    pub fn new(kernel: &[usize]) -> Self {
        Self {
            kernel: kernel.to_vec(),
            stride: kernel.to_vec(),
            dilation: vec![1; kernel.len()],
            padding: vec![(0, 0); kernel.len()],
            ceil: false,
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

    /// Sets the dilation per axis.
    #[must_use]
    pub fn with_dilation(mut self, dilation: &[usize]) -> Self {
        self.dilation = dilation.to_vec();
        self
    }

    /// Counts incomplete last windows.
    #[must_use]
    pub fn with_ceil(mut self) -> Self {
        self.ceil = true;
        self
    }

    /// The shape of the output.
    pub(crate) fn output(&self, input: &[usize]) -> Result<Vec<usize>, Misfit> {
        let axes = self.kernel.len();
        let lengths = [self.stride.len(), self.dilation.len(), self.padding.len()];
        if axes == 0 || input.len() != axes + 1 || lengths != [axes; 3] {
            return Err(Misfit::Windows {
                kernel: self.kernel.clone(),
                input: input.to_vec(),
            });
        }
        let mut shape = vec![input[0]];
        for axis in 0..axes {
            shape.push(self.windows(axis, input[axis + 1])?);
        }
        Ok(shape)
    }

    /// Pixels from the first to the last of a window.
    fn reach(&self, axis: usize) -> usize {
        (self.kernel[axis] - 1) * self.dilation[axis] + 1
    }

    /// Number of windows along an axis of n pixels.
    pub(crate) fn windows(&self, axis: usize, n: usize) -> Result<usize, Misfit> {
        let (k, s, d) = (self.kernel[axis], self.stride[axis], self.dilation[axis]);
        let (before, after) = self.padding[axis];
        let all = [k, s, d, before.max(1), after.max(1), n];
        if all.iter().any(|v| !(1..=MAX_EXTENT).contains(v)) || k.saturating_mul(d) > MAX_EXTENT {
            return Err(Misfit::Window {
                extent: k,
                stride: s,
                dilation: d,
                padding: (before, after),
                axis,
            });
        }
        let room = (n + before + after)
            .checked_sub(self.reach(axis))
            .ok_or(Misfit::NoWindow {
                pixels: n,
                axis,
                extent: k,
            })?;
        let whole = room / s + 1;
        let more = self.ceil && !room.is_multiple_of(s) && whole * s < n + before;
        let count = whole + usize::from(more);
        if count.saturating_mul(k) > MAX_READS {
            return Err(Misfit::TooManyWindows {
                count,
                extent: k,
                axis,
            });
        }
        Ok(count)
    }

    /// Along an axis of n pixels, the pixels that every window holds.
    pub(crate) fn holds(&self, axis: usize, n: usize) -> Result<Vec<Vec<usize>>, Misfit> {
        let before = self.padding[axis].0;
        (0..self.windows(axis, n)?)
            .map(|o| {
                let pixels: Vec<usize> = (0..self.kernel[axis])
                    .filter_map(|t| {
                        let at = o * self.stride[axis] + t * self.dilation[axis];
                        at.checked_sub(before).filter(|&i| i < n)
                    })
                    .collect();
                if pixels.is_empty() {
                    Err(Misfit::EmptyWindow { window: o, axis })
                } else {
                    Ok(pixels)
                }
            })
            .collect()
    }

    /// √(most windows that hold one pixel) from above: the Lipschitz constant of max-pooling (T23).
    pub(crate) fn max_norm(&self, input: &[usize]) -> Result<f64, Misfit> {
        let mut norm = 1.0;
        for axis in 0..self.kernel.len() {
            let n = input[axis + 1];
            let mut counts = vec![0usize; n];
            for pixel in self.holds(axis, n)?.into_iter().flatten() {
                counts[pixel] += 1;
            }
            let most = counts.into_iter().max().unwrap_or(0);
            if most != 1 {
                norm = mul_up(norm, sqrt_int_up(most));
            }
        }
        Ok(norm)
    }

    /// The pixels of every window, per axis.
    pub(crate) fn all_windows(&self, input: &[usize]) -> Result<Vec<Windows>, Misfit> {
        (0..self.kernel.len())
            .map(|axis| self.holds(axis, input[axis + 1]))
            .collect()
    }
}

/// Along an axis, the pixels of every window.
pub(crate) type Windows = Vec<Vec<usize>>;

/// For every output entry, the input entry that is the largest of its window.
pub(crate) fn argmax(windows: &[Windows], x: &[f64], input: &[usize]) -> Vec<u32> {
    let places = (0..x.len() as u32).collect();
    over(windows, input, places, |best: &mut u32, &place| {
        // A NaN wins, so that it is not lost.
        if !(x[place as usize] <= x[*best as usize]) {
            *best = place;
        }
    })
}

/// For every output entry, all entries of its window.
pub(crate) fn entries(windows: &[Windows], input: &[usize]) -> Vec<Vec<u32>> {
    let count = input.iter().product::<usize>() as u32;
    let each = (0..count).map(|i| vec![i]).collect();
    over(windows, input, each, |all: &mut Vec<u32>, more| {
        all.extend(more)
    })
}

/// Combines what belongs to the pixels of every window, axis by axis.
fn over<T: Clone>(
    windows: &[Windows],
    input: &[usize],
    mut values: Vec<T>,
    combine: impl Fn(&mut T, &T),
) -> Vec<T> {
    let mut shape = input.to_vec();
    for (axis, windows) in windows.iter().enumerate() {
        let outer: usize = shape[..=axis].iter().product();
        let inner: usize = shape[axis + 2..].iter().product();
        let n = shape[axis + 1];
        let mut next = Vec::with_capacity(outer * windows.len() * inner);
        for block in 0..outer {
            for window in windows {
                for offset in 0..inner {
                    let mut pixels = window
                        .iter()
                        .map(|i| &values[(block * n + i) * inner + offset]);
                    // A window holds at least one pixel.
                    let Some(first) = pixels.next() else {
                        unreachable!("a window without a pixel was refused when the node was added")
                    };
                    let mut all = first.clone();
                    pixels.for_each(|pixel| combine(&mut all, pixel));
                    next.push(all);
                }
            }
        }
        shape[axis + 1] = windows.len();
        values = next;
    }
    values
}
