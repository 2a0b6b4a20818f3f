//! [`Spectrum`]: ‖F(θ)‖ of one layer over the frequencies, for a picture.

use sigmax::Estimate;

use crate::report::Report;

/// ‖F(θ)‖ of one layer on a grid of frequencies, as
/// [`sigmax::estimate::spectrum`] gives it: estimates.
#[derive(Clone, Debug)]
pub struct Spectrum {
    /// The place of the layer in [`Report::rows`].
    pub layer: usize,
    /// Frequencies per axis.
    pub grid: usize,
    /// The values, row-major; [`crate::LayerSpec::scale`] is multiplied in.
    pub values: Vec<Estimate>,
}

/// Places in [`Report::rows`] of the layers with one or two spatial axes whose upper ends are
/// largest, largest first, at most `most` of them: those worth a [`Spectrum`].
#[must_use]
pub fn worst_layers(report: &Report, most: usize) -> Vec<usize> {
    let mut found: Vec<(usize, f64)> = report
        .rows
        .iter()
        .enumerate()
        .filter(|(_, row)| (1..=2).contains(&row.layer.conv.axes()))
        .filter_map(|(i, row)| Some((i, row.audit()?.upper().get())))
        .collect();
    found.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    found.iter().take(most).map(|&(i, _)| i).collect()
}
