//! Weights made ready to be applied: convolutions as matrix products over blocks of pixels.

use crate::conv::Conv;
use crate::error::Error;
use crate::kernel::Kernel;
use crate::layout::multi_index;
use crate::linalg::{self, MatMut, MatRef};
use crate::network::graph::Network;
use crate::network::op::Op;
use crate::network::op::pool::{Windows, entries};
use crate::reads::Reads;

/// Entries of a block of columns.
const BLOCK: usize = 1 << 16;
/// Most entries of all windows of a node.
const MAX_ENTRIES: usize = 1 << 26;

/// What a node applies.
pub(crate) enum Map {
    Conv(ConvMap, Option<Vec<f64>>),
    Dense(DenseMap, Option<Vec<f64>>),
    Affine(Vec<f64>, Vec<f64>),
    PRelu(Vec<f64>),
    MaxPool(Vec<Windows>),
    /// The entries of every window.
    Fold(Vec<Vec<u32>>),
    Plain,
}

impl Map {
    pub(crate) fn new(network: &Network, index: usize) -> Result<Self, Error> {
        let node = &network.nodes[index];
        let shape = &node.shape;
        Ok(match &node.op {
            Op::Conv { kernel, conv, bias } => {
                Self::Conv(ConvMap::new(kernel, conv)?, bias.clone())
            }
            Op::Dense { kernel, bias } => Self::Dense(DenseMap::new(kernel), bias.clone()),
            Op::Affine(affine) => {
                Self::Affine(affine.scale.expanded(shape), affine.shift.expanded(shape))
            }
            Op::PRelu(slopes) => Self::PRelu(slopes.expanded(shape)),
            Op::MaxPool(pool) => {
                let input = &network.nodes[node.inputs[0].0].shape;
                Self::MaxPool(
                    pool.all_windows(input)
                        .map_err(|reason| Error::node(&node.name, reason))?,
                )
            }
            Op::Fold(fold) => {
                let input = &network.nodes[node.inputs[0].0].shape;
                let windows = fold.pool().all_windows(input);
                let windows = windows.map_err(|reason| Error::node(&node.name, reason))?;
                let pixels = windows.iter().zip(&input[1..]).map(|(windows, &n)| {
                    let all: usize = windows.iter().map(Vec::len).sum();
                    all.max(n)
                });
                let reads = pixels.fold(input[0], usize::saturating_mul);
                if reads > MAX_ENTRIES {
                    return Err(Error::too_large(
                        format!("the windows of node {:?} hold {reads} entries", node.name),
                        "2^26 are evaluated",
                    ));
                }
                Self::Fold(entries(&windows, input))
            }
            _ => Self::Plain,
        })
    }
}

/// A convolution at its input size. `gather` is the direction in which the kernel's first axis is
/// the output, `scatter` its transpose; which of them is the layer depends on whether it is a
/// transposed convolution.
#[derive(Clone, Debug)]
pub(crate) struct ConvMap {
    weights: Vec<f64>,
    groups: usize,
    rows: usize,
    cols: usize,
    taps: usize,
    row_pixels: usize,
    col_pixels: usize,
    transposed: bool,
    /// `source[tap·row_pixels + pixel]`: the pixel on the column side; `col_pixels` for a zero.
    source: Vec<u32>,
    /// Whether `source` is 0, 1, 2, …: a 1×1 convolution.
    plain: bool,
}

impl ConvMap {
    pub(crate) fn new(kernel: &Kernel, conv: &Conv) -> Result<Self, Error> {
        let reads = Reads::new(kernel.spatial(), conv)?;
        let (taps, row_pixels, col_pixels) = (reads.taps(), reads.row_pixels(), reads.col_pixels());
        if taps.saturating_mul(row_pixels) > 1 << 28 || col_pixels >= u32::MAX as usize {
            return Err(Error::too_large(
                format!("{row_pixels} pixels that read {taps} taps each"),
                "2^28 reads",
            ));
        }
        let mut source = Vec::with_capacity(taps * row_pixels);
        for tap in 0..taps {
            let t = multi_index(tap, &reads.k);
            for pixel in 0..row_pixels {
                let o = multi_index(pixel, &reads.row_size);
                source.push(reads.pixel(o, t).unwrap_or(col_pixels) as u32);
            }
        }
        let plain = row_pixels == col_pixels
            && taps == 1
            && source.iter().enumerate().all(|(i, &s)| i == s as usize);
        Ok(Self {
            weights: kernel.values(),
            groups: conv.groups,
            rows: kernel.shape()[0],
            cols: kernel.shape()[1],
            taps,
            row_pixels,
            col_pixels,
            transposed: conv.transposed,
            source,
            plain,
        })
    }

    /// Pixels of the output.
    pub(crate) fn pixels(&self) -> usize {
        if self.transposed {
            self.col_pixels
        } else {
            self.row_pixels
        }
    }

    /// Whether the layer is a transposed convolution.
    pub(crate) fn is_transposed(&self) -> bool {
        self.transposed
    }

    /// Groups, the kernel's first axis, its second, and taps.
    pub(crate) fn extent(&self) -> (usize, usize, usize, usize) {
        (self.groups, self.rows, self.cols, self.taps)
    }

    /// The kernel, row-major.
    pub(crate) fn weights(&self) -> &[f64] {
        &self.weights
    }

    /// Of a convolution, pixels of the input.
    pub(crate) fn input_pixels(&self) -> usize {
        self.col_pixels
    }

    /// Of a convolution, the pixel of the input that every output reads by a tap; their number for a
    /// zero.
    pub(crate) fn source(&self, tap: usize) -> &[u32] {
        &self.source[tap * self.row_pixels..][..self.row_pixels]
    }

    /// The linear part of the layer.
    pub(crate) fn apply(&self, x: &[f64], out: &mut [f64]) {
        if self.transposed {
            self.scatter(x, out);
        } else {
            self.gather(x, out);
        }
    }

    /// Its transpose.
    pub(crate) fn apply_transpose(&self, y: &[f64], out: &mut [f64]) {
        if self.transposed {
            self.gather(y, out);
        } else {
            self.scatter(y, out);
        }
    }

    fn block(&self) -> usize {
        (BLOCK / (self.cols * self.taps)).clamp(16, self.row_pixels.max(16))
    }

    fn group(&self, group: usize) -> MatRef<'_, f64> {
        let (rows, inner) = (self.rows / self.groups, self.cols * self.taps);
        let values = &self.weights[group * rows * inner..][..rows * inner];
        MatRef::from_row_major_slice(values, rows, inner)
    }

    fn gather(&self, x: &[f64], out: &mut [f64]) {
        let (rows, inner) = (self.rows / self.groups, self.cols * self.taps);
        let block = self.block();
        let mut columns = vec![0.0; if self.plain { 0 } else { inner * block }];
        let mut padded = vec![0.0; self.col_pixels + 1];
        for group in 0..self.groups {
            let x = &x[group * self.cols * self.col_pixels..][..self.cols * self.col_pixels];
            let out = &mut out[group * rows * self.row_pixels..][..rows * self.row_pixels];
            let mut out = MatMut::from_row_major_slice_mut(out, rows, self.row_pixels);
            if self.plain {
                let x = MatRef::from_row_major_slice(x, self.cols, self.col_pixels);
                linalg::product(out, self.group(group), x);
                continue;
            }
            for start in (0..self.row_pixels).step_by(block) {
                let width = block.min(self.row_pixels - start);
                for col in 0..self.cols {
                    padded[..self.col_pixels]
                        .copy_from_slice(&x[col * self.col_pixels..][..self.col_pixels]);
                    for tap in 0..self.taps {
                        let source = &self.source[tap * self.row_pixels + start..][..width];
                        let row = &mut columns[(col * self.taps + tap) * width..][..width];
                        for (slot, &i) in row.iter_mut().zip(source) {
                            *slot = padded[i as usize];
                        }
                    }
                }
                let columns = MatRef::from_row_major_slice(&columns[..inner * width], inner, width);
                let out = out.as_mut().submatrix_mut(0, start, rows, width);
                linalg::product(out, self.group(group), columns);
            }
        }
    }

    fn scatter(&self, y: &[f64], out: &mut [f64]) {
        let (rows, inner) = (self.rows / self.groups, self.cols * self.taps);
        let block = self.block();
        let mut columns = vec![0.0; inner * block];
        let mut padded = vec![0.0; self.col_pixels + 1];
        out.fill(0.0);
        for group in 0..self.groups {
            let y = &y[group * rows * self.row_pixels..][..rows * self.row_pixels];
            let y = MatRef::from_row_major_slice(y, rows, self.row_pixels);
            let out =
                &mut out[group * self.cols * self.col_pixels..][..self.cols * self.col_pixels];
            for start in (0..self.row_pixels).step_by(block) {
                let width = block.min(self.row_pixels - start);
                let product =
                    MatMut::from_row_major_slice_mut(&mut columns[..inner * width], inner, width);
                let y = y.submatrix(0, start, rows, width);
                linalg::product(product, self.group(group).transpose(), y);
                for col in 0..self.cols {
                    let image = &mut out[col * self.col_pixels..][..self.col_pixels];
                    padded[..self.col_pixels].copy_from_slice(image);
                    for tap in 0..self.taps {
                        let source = &self.source[tap * self.row_pixels + start..][..width];
                        let row = &columns[(col * self.taps + tap) * width..][..width];
                        for (value, &i) in row.iter().zip(source) {
                            padded[i as usize] += value;
                        }
                    }
                    image.copy_from_slice(&padded[..self.col_pixels]);
                }
            }
        }
    }
}

/// A dense layer.
#[derive(Clone, Debug)]
pub(crate) struct DenseMap {
    weights: Vec<f64>,
    rows: usize,
    cols: usize,
}

impl DenseMap {
    pub(crate) fn new(kernel: &Kernel) -> Self {
        Self {
            weights: kernel.values(),
            rows: kernel.shape()[0],
            cols: kernel.shape()[1],
        }
    }

    /// The linear part for all vectors in `x`, one after the other.
    pub(crate) fn apply(&self, x: &[f64], out: &mut [f64]) {
        let count = x.len() / self.cols;
        let x = MatRef::from_row_major_slice(x, count, self.cols);
        let out = MatMut::from_row_major_slice_mut(out, count, self.rows);
        let weights = MatRef::from_row_major_slice(&self.weights, self.rows, self.cols);
        linalg::product(out, x, weights.transpose());
    }

    /// Its transpose.
    pub(crate) fn apply_transpose(&self, y: &[f64], out: &mut [f64]) {
        let count = y.len() / self.rows;
        let y = MatRef::from_row_major_slice(y, count, self.rows);
        let out = MatMut::from_row_major_slice_mut(out, count, self.cols);
        let weights = MatRef::from_row_major_slice(&self.weights, self.rows, self.cols);
        linalg::product(out, y, weights);
    }
}
