//! [`Scatter`]: the transpose of a convolution, for rows that need some pixels only.

use crate::linalg::{self, MatMut, MatRef};
use crate::network::eval::apply::ConvMap;
use crate::network::local::rows::Rows;

/// Entries of a block of products.
const BLOCK: usize = 1 << 17;

/// The weights of a convolution, ordered for this.
pub(super) struct Scatter {
    groups: usize,
    /// Channels of a group: what is written, what is read.
    rows: usize,
    cols: usize,
    taps: usize,
    /// Per group `rows` × (`taps`·`cols`).
    weights: Vec<f64>,
}

impl Scatter {
    /// Of a layer that is no transposed convolution.
    pub(super) fn new(map: &ConvMap) -> Option<Self> {
        if map.is_transposed() {
            return None;
        }
        let (groups, all_rows, cols, taps) = map.extent();
        let mut weights = Vec::with_capacity(map.weights().len());
        for row in map.weights().chunks(cols * taps) {
            for tap in 0..taps {
                weights.extend((0..cols).map(|col| row[col * taps + tap]));
            }
        }
        Some(Self {
            groups,
            rows: all_rows / groups,
            cols,
            taps,
            weights,
        })
    }

    /// Wᵀy for every row y: per entry a sum over the channels, for every pixel that is read, and then
    /// one over the reads, as [`ConvMap::apply_transpose`] does.
    pub(super) fn back(&self, map: &ConvMap, y: &Rows) -> Rows {
        let (rows, cols, taps) = (self.rows, self.cols, self.taps);
        let inner = taps * cols;
        // Where the pixels that are read are kept.
        let mut place = vec![u32::MAX; map.input_pixels()];
        for tap in 0..taps {
            let source = map.source(tap);
            for &pixel in &y.pixels {
                if let Some(place) = place.get_mut(source[pixel as usize] as usize) {
                    *place = 0;
                }
            }
        }
        let mut pixels = Vec::new();
        for (pixel, place) in place.iter_mut().enumerate() {
            if *place == 0 {
                *place = pixels.len() as u32;
                pixels.push(pixel as u32);
            }
        }
        let channels = cols * self.groups;
        let mut out = Rows::zeros(y.count, channels, pixels);
        let width = out.width();
        // `reads[pixel·taps + tap]`: where it is kept.
        let reads: Vec<u32> = y
            .pixels
            .iter()
            .flat_map(|&pixel| (0..taps).map(move |tap| (pixel, tap)))
            .map(|(pixel, tap)| {
                let source = map.source(tap)[pixel as usize] as usize;
                place.get(source).copied().unwrap_or(u32::MAX)
            })
            .collect();
        let count = y.pixels.len();
        let block = (BLOCK / inner.max(1)).clamp(1, (y.count * count).max(1));
        let mut products = vec![0.0; block * inner];
        let mut part = vec![0.0; if self.groups > 1 { block * rows } else { 0 }];
        for group in 0..self.groups {
            let weights = &self.weights[group * rows * inner..][..rows * inner];
            let weights = MatRef::from_row_major_slice(weights, rows, inner);
            for start in (0..y.count * count).step_by(block) {
                let end = (start + block).min(y.count * count);
                let left = if self.groups > 1 {
                    for (to, i) in part.chunks_mut(rows).zip(start..end) {
                        to.copy_from_slice(&y.values[i * y.channels + group * rows..][..rows]);
                    }
                    &part[..(end - start) * rows]
                } else {
                    &y.values[start * rows..end * rows]
                };
                let left = MatRef::from_row_major_slice(left, end - start, rows);
                let products = &mut products[..(end - start) * inner];
                linalg::product(
                    MatMut::from_row_major_slice_mut(products, end - start, inner),
                    left,
                    weights,
                );
                for (products, i) in products.chunks(inner).zip(start..end) {
                    let (row, pixel) = (i / count, i % count);
                    let out = &mut out.values[row * width..][..width];
                    let reads = &reads[pixel * taps..][..taps];
                    for (products, &read) in products.chunks(cols).zip(reads) {
                        if read != u32::MAX {
                            let to = &mut out[read as usize * channels + group * cols..][..cols];
                            to.iter_mut().zip(products).for_each(|(to, v)| *to += v);
                        }
                    }
                }
            }
        }
        out
    }
}
