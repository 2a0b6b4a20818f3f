//! [`Reads`]: which pixel every tap of every output pixel reads, padding modes included.

use crate::conv::{Conv, PaddingMode};
use crate::error::Error;

/// Most reads per axis.
const MAX_READS: usize = 1 << 26;

/// The reads of a layer at its input size. Rows are the output side of the convolution that has the
/// kernel (the input side of a transposed one), columns the other side.
#[derive(Clone, Debug)]
pub(crate) struct Reads {
    pub(crate) k: [usize; 3],
    pub(crate) col_size: [usize; 3],
    pub(crate) row_size: [usize; 3],
    /// Per axis, `along[o·k + t]`: the pixel on the column side that tap t of pixel o reads.
    along: [Vec<Option<usize>>; 3],
}

impl Reads {
    /// The reads of a kernel with extents `spatial` at `conv.input_size`.
    pub(crate) fn new(spatial: &[usize], conv: &Conv) -> Result<Self, Error> {
        let size = match (&conv.input_size, spatial.len()) {
            (Some(size), _) => size.clone(),
            (None, 0) => Vec::new(),
            (None, axes) => {
                return Err(Error::Geometry {
                    field: "input_size",
                    expected: format!("{axes} values"),
                    got: "none".into(),
                });
            }
        };
        let mut reads = Self {
            k: [1; 3],
            col_size: [1; 3],
            row_size: [1; 3],
            along: std::array::from_fn(|_| vec![Some(0)]),
        };
        for axis in 0..spatial.len() {
            let (n, k) = (size[axis], spatial[axis]);
            let out = conv
                .output_size(axis, n, k)
                .ok_or_else(|| Error::too_large("the output of this layer", "2^64 pixels"))?;
            let (cols, rows) = if conv.transposed { (out, n) } else { (n, out) };
            if rows.checked_mul(k).is_none_or(|reads| reads > MAX_READS) {
                return Err(Error::too_large(
                    format!("{rows} pixels that read {k} taps each on axis {axis}"),
                    "2^26 reads",
                ));
            }
            reads.k[axis] = k;
            reads.col_size[axis] = cols;
            reads.row_size[axis] = rows;
            reads.along[axis] = (0..rows)
                .flat_map(|o| (0..k).map(move |t| (o, t)))
                .map(|(o, t)| {
                    let at = (o * conv.stride[axis] + t * conv.dilation[axis]) as i64
                        - conv.padding[axis].0 as i64;
                    source_pixel(at, cols as i64, conv.padding_mode)
                })
                .collect();
        }
        Ok(reads)
    }

    /// Number of taps.
    pub(crate) fn taps(&self) -> usize {
        self.k.iter().product()
    }

    /// Number of pixels on the row side.
    pub(crate) fn row_pixels(&self) -> usize {
        self.row_size.iter().product()
    }

    /// Number of pixels on the column side.
    pub(crate) fn col_pixels(&self) -> usize {
        self.col_size.iter().product()
    }

    /// The pixel that tap `t` of pixel `o` reads; `None` for a zero.
    pub(crate) fn pixel(&self, o: [usize; 3], t: [usize; 3]) -> Option<usize> {
        let mut place = 0;
        for axis in 0..3 {
            let read = self.along[axis][o[axis] * self.k[axis] + t[axis]]?;
            place = place * self.col_size[axis] + read;
        }
        Some(place)
    }
}

/// The pixel that position `at` shows, for n pixels; `None` for a zero.
pub(crate) fn source_pixel(at: i64, n: i64, mode: PaddingMode) -> Option<usize> {
    let inside = (0..n).contains(&at);
    let pixel = match mode {
        PaddingMode::Zeros if !inside => return None,
        PaddingMode::Zeros => at,
        PaddingMode::Circular => at.rem_euclid(n),
        PaddingMode::Replicate => at.clamp(0, n - 1),
        PaddingMode::Reflect if at < 0 => -at,
        PaddingMode::Reflect if at >= n => 2 * (n - 1) - at,
        PaddingMode::Reflect => at,
    };
    Some(pixel as usize)
}
