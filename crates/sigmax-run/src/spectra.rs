//! ‖F(θ)‖ over the frequencies for the layers that stretch most, for the report one can look at.

use rayon::prelude::*;
use sigmax_formats::Model;
use sigmax_formats::report::{Report, Spectrum, worst_layers};

/// Layers that are shown.
const SHOWN: usize = 6;
/// Frequencies per axis; for layers with one spatial axis more.
const GRID: usize = 32;
const GRID_1D: usize = 256;

/// The spectra of the layers with the largest proved norms, in their order in the report.
///
/// They are pictures of estimates: a layer whose spectrum cannot be computed is left out.
#[must_use]
pub fn spectra_of_worst(report: &Report, model: &Model) -> Vec<Spectrum> {
    let mut places = worst_layers(report, SHOWN);
    places.sort_unstable();
    places
        .into_par_iter()
        .filter_map(|place| {
            let layer = &report.rows[place].layer;
            let weight = model.read_weight(layer).ok()?;
            let grid = if layer.conv.axes() == 1 {
                GRID_1D
            } else {
                GRID
            };
            let values = sigmax::estimate::spectrum(weight.kernel(), &layer.conv, grid).ok()?;
            let scale = layer.scale.abs() * weight.factor().get();
            Some(Spectrum {
                layer: place,
                grid,
                values: values
                    .into_iter()
                    .map(|value| sigmax::Estimate::new(value.get() * scale))
                    .collect(),
            })
        })
        .collect()
}
