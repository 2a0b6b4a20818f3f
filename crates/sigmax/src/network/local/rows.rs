//! [`Rows`]: linear functions of the entries of a node, on the pixels that they read.

use crate::network::eval::rounds::norm_up;
use crate::network::graph::Node;

/// Several linear functions of the entries of one node, which have the same pixels in common.
///
/// The first axis of a node is that of its channels, all others together are its pixels; a flat node
/// is one pixel.
#[derive(Clone, Debug)]
pub(super) struct Rows {
    pub(super) count: usize,
    pub(super) channels: usize,
    /// The pixels, in increasing order; the coefficients of all others are 0.
    pub(super) pixels: Vec<u32>,
    /// `values[(row·pixels + pixel)·channels + channel]`.
    pub(super) values: Vec<f64>,
}

/// Channels and pixels of a node.
pub(super) fn extent(node: &Node) -> (usize, usize) {
    let channels = node.shape.first().copied().unwrap_or(1);
    (channels, node.len() / channels.max(1))
}

impl Rows {
    pub(super) fn zeros(count: usize, channels: usize, pixels: Vec<u32>) -> Self {
        let values = vec![0.0; count * channels * pixels.len()];
        Self {
            count,
            channels,
            pixels,
            values,
        }
    }

    /// Rows of all entries of a node, each in the order of the node.
    pub(super) fn of_entries(node: &Node, values: &[f64]) -> Self {
        let (channels, pixels) = extent(node);
        let count = values.len() / (channels * pixels);
        let mut rows = Self::zeros(count, channels, (0..pixels as u32).collect());
        if pixels == 1 {
            rows.values.copy_from_slice(values);
            return rows;
        }
        let sizes = channels * pixels;
        for (to, from) in rows.values.chunks_mut(sizes).zip(values.chunks(sizes)) {
            for (channel, from) in from.chunks(pixels).enumerate() {
                for (to, &value) in to.chunks_mut(channels).zip(from) {
                    to[channel] = value;
                }
            }
        }
        rows
    }

    /// All entries in the order of the node, row after row.
    pub(super) fn entries(&self, node: &Node) -> Vec<f64> {
        let (channels, pixels) = extent(node);
        let mut all = vec![0.0; self.count * channels * pixels];
        for (to, from) in all.chunks_mut(channels * pixels).zip(self.rows()) {
            for (&pixel, from) in self.pixels.iter().zip(from.chunks(channels)) {
                for (channel, &value) in from.iter().enumerate() {
                    to[channel * pixels + pixel as usize] = value;
                }
            }
        }
        all
    }

    /// Coefficients of a row.
    pub(super) fn width(&self) -> usize {
        self.channels * self.pixels.len()
    }

    pub(super) fn rows(&self) -> std::slice::Chunks<'_, f64> {
        self.values.chunks(self.width().max(1))
    }

    pub(super) fn rows_mut(&mut self) -> std::slice::ChunksMut<'_, f64> {
        let width = self.width().max(1);
        self.values.chunks_mut(width)
    }

    /// ‖row‖₂ of every row, from above.
    pub(super) fn norms(&self) -> Vec<f64> {
        self.rows().map(norm_up).collect()
    }

    /// For every coefficient of a row, which entry of the node it belongs to.
    pub(super) fn places(&self, node: &Node) -> Vec<u32> {
        let (channels, pixels) = extent(node);
        self.pixels
            .iter()
            .flat_map(|&pixel| (0..channels as u32).map(move |c| c * pixels as u32 + pixel))
            .collect()
    }

    /// The sum, and whether anything was added up.
    pub(super) fn plus(self, other: &Self) -> Self {
        let mut sum = if self.pixels == other.pixels {
            self
        } else {
            let mut pixels = [&self.pixels[..], &other.pixels].concat();
            pixels.sort_unstable();
            pixels.dedup();
            let mut sum = Self::zeros(self.count, self.channels, pixels);
            sum.add(&self);
            sum
        };
        sum.add(other);
        sum
    }

    /// Adds rows on some of these pixels.
    fn add(&mut self, other: &Self) {
        let channels = self.channels;
        let places: Vec<usize> = other
            .pixels
            .iter()
            .map(|pixel| self.pixels.partition_point(|p| p < pixel) * channels)
            .collect();
        for (to, from) in self.rows_mut().zip(other.rows()) {
            for (&place, from) in places.iter().zip(from.chunks(channels)) {
                let to = &mut to[place..place + channels];
                to.iter_mut().zip(from).for_each(|(to, from)| *to += from);
            }
        }
    }
}
