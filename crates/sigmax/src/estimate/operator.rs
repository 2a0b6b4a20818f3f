//! The layer itself at a given input size: applied, transposed, or written out as a matrix.

use crate::conv::{Conv, PaddingMode};
use crate::error::Error;
use crate::kernel::Kernel;
use crate::rounding;

/// A layer as a linear map between images, every padding mode included.
///
/// Images are row-major `[channels, n_1, …, n_m]`. Arithmetic is plain f64: what it returns is an
/// approximation.
///
/// # Example
/// ```
/// use sigmax::estimate::Operator;
/// use sigmax::{Conv, Kernel};
/// let kernel = Kernel::new(&[1, 1, 3], vec![1.0, -2.0, 1.0])?;
/// let conv = Conv::new(1).with_padding(&[(1, 1)]).with_input_size(&[4]);
/// let layer = Operator::new(&kernel, &conv)?;
/// assert_eq!(layer.apply(&[1.0, 0.0, 0.0, 0.0]), [-2.0, 1.0, 0.0, 0.0]);
/// # Ok::<(), sigmax::Error>(())
/// ```
pub struct Operator {
    /// Kernel values in the kernel's own scale, `[rows, cols per group, taps]`.
    values: Vec<f64>,
    groups: usize,
    rows: usize,
    cols: usize,
    k: [usize; 3],
    /// Spatial sizes of the sides that columns and rows of the kernel act on.
    col_size: [usize; 3],
    row_size: [usize; 3],
    /// Per axis, `reads[o·k + t]`: the pixel on the column side that tap t of pixel o reads.
    reads: [Vec<Option<usize>>; 3],
    transposed: bool,
}

/// Most reads per axis, and most values of an image.
const MAX_READS: usize = 1 << 26;
const MAX_IMAGE: usize = 1 << 32;

impl Operator {
    /// The layer at `conv.input_size`.
    ///
    /// # Errors
    /// [`Error`] where kernel and geometry do not fit or the input size is missing.
    pub fn new(kernel: &Kernel, conv: &Conv) -> Result<Self, Error> {
        conv.check(kernel)?;
        let spatial = kernel.spatial();
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
        let mut operator = Self {
            values: kernel
                .scaled()
                .iter()
                .map(|&v| rounding::ldexp(v, kernel.exponent()))
                .collect(),
            groups: conv.groups,
            rows: kernel.shape()[0],
            cols: kernel.shape()[1],
            k: [1; 3],
            col_size: [1; 3],
            row_size: [1; 3],
            reads: std::array::from_fn(|_| vec![Some(0)]),
            transposed: conv.transposed,
        };
        for axis in 0..spatial.len() {
            let (n, k) = (size[axis], spatial[axis]);
            let out = conv
                .output_size(axis, n, k)
                .ok_or_else(|| Error::TooLarge("the output of this layer".into()))?;
            let (cols, rows) = if conv.transposed { (out, n) } else { (n, out) };
            if rows.checked_mul(k).is_none_or(|reads| reads > MAX_READS) {
                return Err(Error::TooLarge(format!(
                    "{rows} pixels that read {k} taps each on axis {axis}; at most 2^26 reads"
                )));
            }
            operator.k[axis] = k;
            operator.col_size[axis] = cols;
            operator.row_size[axis] = rows;
            operator.reads[axis] = (0..rows)
                .flat_map(|o| (0..k).map(move |t| (o, t)))
                .map(|(o, t)| {
                    let at = (o * conv.stride[axis] + t * conv.dilation[axis]) as i64
                        - conv.padding[axis].0 as i64;
                    source_pixel(at, cols as i64, conv.padding_mode)
                })
                .collect();
        }
        let image = |channels: usize, size: &[usize; 3]| {
            size.iter()
                .try_fold(channels, |p, &n| p.checked_mul(n))
                .filter(|&n| n <= MAX_IMAGE)
        };
        let channels = operator.groups * operator.cols;
        if image(operator.rows, &operator.row_size).is_none()
            || image(channels, &operator.col_size).is_none()
        {
            return Err(Error::TooLarge(
                "the images of this layer; at most 2^32 values".into(),
            ));
        }
        Ok(operator)
    }

    /// Length of an input image.
    #[must_use]
    pub fn input_len(&self) -> usize {
        if self.transposed {
            self.row_len()
        } else {
            self.col_len()
        }
    }

    /// Length of an output image.
    #[must_use]
    pub fn output_len(&self) -> usize {
        if self.transposed {
            self.col_len()
        } else {
            self.row_len()
        }
    }

    fn row_len(&self) -> usize {
        self.rows * self.row_size.iter().product::<usize>()
    }

    fn col_len(&self) -> usize {
        self.groups * self.cols * self.col_size.iter().product::<usize>()
    }

    /// The layer applied to an image.
    ///
    /// # Panics
    /// If the image has the wrong length.
    #[must_use]
    pub fn apply(&self, image: &[f64]) -> Vec<f64> {
        assert_eq!(image.len(), self.input_len(), "the image fits the layer");
        self.run(image, self.transposed)
    }

    /// The transpose of the layer applied to an output image.
    ///
    /// # Panics
    /// If the image has the wrong length.
    #[must_use]
    pub fn apply_transpose(&self, image: &[f64]) -> Vec<f64> {
        assert_eq!(image.len(), self.output_len(), "the image fits the layer");
        self.run(image, !self.transposed)
    }

    fn run(&self, image: &[f64], from_rows: bool) -> Vec<f64> {
        let mut out = vec![
            0.0;
            if from_rows {
                self.col_len()
            } else {
                self.row_len()
            }
        ];
        self.visit(|row, col, weight| {
            if from_rows {
                out[col] += weight * image[row];
            } else {
                out[row] += weight * image[col];
            }
        });
        out
    }

    /// The matrix of the layer, row-major `[output_len, input_len]`. Slow and large: for tests and
    /// small layers.
    #[must_use]
    pub fn matrix(&self) -> Vec<f64> {
        let (rows, cols) = (self.output_len(), self.input_len());
        let mut matrix = vec![0.0; rows * cols];
        self.visit(|row, col, weight| {
            let (o, i) = if self.transposed {
                (col, row)
            } else {
                (row, col)
            };
            matrix[o * cols + i] += weight;
        });
        matrix
    }

    /// Calls `f(row, col, weight)` for every product that the layer forms.
    fn visit(&self, mut f: impl FnMut(usize, usize, f64)) {
        let rows_per_group = self.rows / self.groups;
        let row_pixels: usize = self.row_size.iter().product();
        let col_pixels: usize = self.col_size.iter().product();
        let taps: usize = self.k.iter().product();
        for pixel in 0..row_pixels {
            let o = crate::symbol::multi_index(pixel, &self.row_size);
            for tap in 0..taps {
                let t = crate::symbol::multi_index(tap, &self.k);
                let mut place = Some(0);
                for axis in 0..3 {
                    let read = self.reads[axis][o[axis] * self.k[axis] + t[axis]];
                    place = place
                        .zip(read)
                        .map(|(place, read)| place * self.col_size[axis] + read);
                }
                let Some(place) = place else { continue };
                for row in 0..self.rows {
                    let first = row / rows_per_group * self.cols;
                    for col in 0..self.cols {
                        f(
                            row * row_pixels + pixel,
                            (first + col) * col_pixels + place,
                            self.values[(row * self.cols + col) * taps + tap],
                        );
                    }
                }
            }
        }
    }
}

/// The pixel that position `at` shows, for n pixels; `None` for a zero.
fn source_pixel(at: i64, n: i64, mode: PaddingMode) -> Option<usize> {
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
