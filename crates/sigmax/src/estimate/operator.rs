//! The layer itself at a given input size: applied, transposed, or written out as a matrix.

use crate::conv::Conv;
use crate::error::Error;
use crate::kernel::Kernel;
use crate::layout::multi_index;
use crate::reads::Reads;

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
    reads: Reads,
    transposed: bool,
}

/// Most values of an image.
const MAX_IMAGE: usize = 1 << 32;

impl Operator {
    /// The layer at `conv.input_size`.
    ///
    /// # Errors
    /// [`Error`] where kernel and geometry do not fit or the input size is missing.
    pub fn new(kernel: &Kernel, conv: &Conv) -> Result<Self, Error> {
        conv.check(kernel)?;
        let operator = Self {
            values: kernel.values(),
            groups: conv.groups,
            rows: kernel.shape()[0],
            cols: kernel.shape()[1],
            reads: Reads::new(kernel.spatial(), conv)?,
            transposed: conv.transposed,
        };
        let image = |channels: usize, size: &[usize; 3]| {
            size.iter()
                .try_fold(channels, |p, &n| p.checked_mul(n))
                .filter(|&n| n <= MAX_IMAGE)
        };
        let channels = operator.groups * operator.cols;
        if image(operator.rows, &operator.reads.row_size).is_none()
            || image(channels, &operator.reads.col_size).is_none()
        {
            return Err(Error::too_large("the images of this layer", "2^32 values"));
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
        self.rows * self.reads.row_pixels()
    }

    fn col_len(&self) -> usize {
        self.groups * self.cols * self.reads.col_pixels()
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
        let (row_pixels, col_pixels) = (self.reads.row_pixels(), self.reads.col_pixels());
        let taps = self.reads.taps();
        for pixel in 0..row_pixels {
            let o = multi_index(pixel, &self.reads.row_size);
            for tap in 0..taps {
                let t = multi_index(tap, &self.reads.k);
                let Some(place) = self.reads.pixel(o, t) else {
                    continue;
                };
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
