//! [`Affine`]: `s·x + t` entry by entry, with how exactly s and t are known.

use crate::enclosed::Enclosed;
use crate::error::{Error, Misfit};
use crate::network::op::channels::Channels;
use crate::rounding::{U, div_up, gamma, larger, mul_up};

/// Largest relative error of a factor: what rules take for small beside errors of errors.
const LARGEST_ERROR: f64 = 1e-10;

/// A tensor that is repeated along the axes on which it is 1 long.
#[derive(Clone, Debug, PartialEq)]
pub struct PerEntry {
    shape: Vec<usize>,
    values: Vec<f64>,
}

impl PerEntry {
    /// `values`, row-major, of `shape`.
    ///
    /// # Errors
    /// A length that does not fit, NaN or ∞.
    pub fn new(shape: &[usize], values: Vec<f64>) -> Result<Self, Error> {
        let expected = shape.iter().try_fold(1usize, |n, &k| n.checked_mul(k));
        if expected != Some(values.len()) {
            return Err(Error::Length {
                shape: shape.to_vec(),
                expected: expected.unwrap_or(usize::MAX),
                got: values.len(),
            });
        }
        if let Some(flat) = values.iter().position(|v| !v.is_finite()) {
            return Err(Error::NotFinite {
                index: vec![flat],
                flat,
                value: values[flat],
            });
        }
        Ok(Self {
            shape: shape.to_vec(),
            values,
        })
    }

    /// One number for every entry of a tensor of this rank.
    ///
    /// # Errors
    /// NaN or ∞.
    pub fn uniform(rank: usize, value: f64) -> Result<Self, Error> {
        Self::new(&vec![1; rank], vec![value])
    }

    /// One number per entry of axis 0 of a tensor of this rank: per channel.
    ///
    /// # Errors
    /// NaN or ∞.
    pub fn channels(rank: usize, values: Vec<f64>) -> Result<Self, Error> {
        let mut shape = vec![1; rank];
        if let Some(first) = shape.first_mut() {
            *first = values.len();
        }
        Self::new(&shape, values)
    }

    /// One number, or one per channel of an input of this shape, where `layout` has that many.
    fn per_input_channel(
        shape: &[usize],
        layout: Channels,
        values: Vec<f64>,
    ) -> Result<Self, Error> {
        let (rank, count) = (shape.len(), values.len());
        if count == 1 || layout == Channels::First && shape[0] == count {
            return Self::channels(rank, values);
        }
        if layout == Channels::Last && shape[rank - 1] == count {
            let mut axes = vec![1; rank];
            axes[rank - 1] = count;
            return Self::new(&axes, values);
        }
        // A flat input.
        let channels = layout.channels(shape.iter().product(), count);
        Self::new(shape, channels.map(|channel| values[channel]).collect())
    }

    /// The values as given.
    #[must_use]
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    pub(crate) fn check(&self, what: &'static str, input: &[usize]) -> Result<(), Misfit> {
        let fits = self.shape.len() == input.len()
            && self
                .shape
                .iter()
                .zip(input)
                .all(|(&k, &n)| k == 1 || k == n);
        if fits {
            Ok(())
        } else {
            Err(Misfit::PerEntry {
                what,
                shape: self.shape.clone(),
                input: input.to_vec(),
            })
        }
    }

    /// The magnitudes.
    pub(crate) fn magnitudes(&self) -> Self {
        Self {
            shape: self.shape.clone(),
            values: self.values.iter().map(|v| v.abs()).collect(),
        }
    }

    /// The largest magnitude.
    pub(crate) fn largest(&self) -> f64 {
        self.values.iter().fold(0.0, |m, v| v.abs().max(m))
    }

    /// One value per entry of a tensor of shape `to`.
    pub(crate) fn expanded(&self, to: &[usize]) -> Vec<f64> {
        let mut strides = vec![0; to.len()];
        let mut stride = 1;
        for axis in (0..to.len()).rev() {
            if self.shape[axis] > 1 {
                strides[axis] = stride;
            }
            stride *= self.shape[axis];
        }
        let mut flat = vec![0usize];
        for (&n, &stride) in to.iter().zip(&strides) {
            flat = flat
                .iter()
                .flat_map(|&base| (0..n).map(move |i| base + i * stride))
                .collect();
        }
        flat.into_iter().map(|i| self.values[i]).collect()
    }

    /// One value per entry of axis 0 if it depends on nothing else.
    pub(crate) fn per_channel(&self, channels: usize) -> Option<Vec<f64>> {
        match (self.values.len(), self.shape.first()) {
            (1, _) => Some(vec![self.values[0]; channels]),
            (n, Some(&first)) if n == first => Some(self.values.clone()),
            _ => None,
        }
    }
}

/// `s·x + t` entry by entry. The exact s and t lie within relative γ_k of the stored ones (of
/// `size`, for t), k = `roundings`.
#[derive(Clone, Debug, PartialEq)]
pub struct Affine {
    pub(crate) scale: PerEntry,
    pub(crate) shift: PerEntry,
    /// Per entry of `shift`, a magnitude that its error is relative to.
    pub(crate) size: PerEntry,
    pub(crate) roundings: usize,
}

impl Affine {
    /// `scale·x + shift`, both known exactly.
    #[must_use]
    pub fn exact(scale: PerEntry, shift: PerEntry) -> Self {
        let mut size = shift.clone();
        size.values.iter_mut().for_each(|v| *v = v.abs());
        Self {
            scale,
            shift,
            size,
            roundings: 0,
        }
    }

    /// `scale·x`, where the exact factors lie within relative γ_k of `scale`, k = `roundings`: what
    /// that many roundings, none of them an underflow, leave of them.
    #[must_use]
    pub fn rounded(scale: PerEntry, roundings: usize) -> Self {
        let zero = PerEntry {
            shape: vec![1; scale.shape.len()],
            values: vec![0.0],
        };
        Self {
            scale,
            shift: zero.clone(),
            size: zero,
            roundings,
        }
    }

    /// `s·x + t` with factors and shifts that are known to within an error each.
    ///
    /// # Errors
    /// Lengths that do not fit, a number that is not finite, or a factor with an error of more than
    /// 10⁻¹⁰ of it.
    ///
    /// # Source
    /// T40: with k ≥ e/(u·|s|), e ≤ γ_k·|s|; and a shift counts with the size that makes its error γ_k of
    /// it.
    pub fn enclosed(
        (scale_shape, scale): (&[usize], &[Enclosed]),
        (shift_shape, shift): (&[usize], &[Enclosed]),
    ) -> Result<Self, Error> {
        let mut most = 0.0f64;
        for (i, s) in scale.iter().enumerate() {
            let (value, error) = (s.value().abs(), s.error());
            if error > 0.0 {
                let relative = div_up(error, value);
                if !(relative <= LARGEST_ERROR && value.is_normal()) {
                    return Err(Error::Geometry {
                        field: "scale",
                        expected: "factors with an error of at most 1e-10 of them".to_owned(),
                        got: format!("{value:e} ± {error:e} at {i}"),
                    });
                }
                most = larger(most, relative);
            }
        }
        // Small: at most 10⁻¹⁰·2⁵³. A quotient of 0 is none that was rounded up.
        let mut roundings = match most {
            0.0 => 0,
            most => div_up(most, U).ceil() as usize,
        };
        if shift.iter().any(|t| t.error() > 0.0) {
            roundings = roundings.max(1);
        }
        let size = shift.iter().map(|t| {
            let value = t.value().abs();
            if t.error() > 0.0 {
                value.max(div_up(t.error(), U))
            } else {
                value
            }
        });
        let values = |list: &[Enclosed]| list.iter().map(|x| x.value()).collect();
        Ok(Self {
            scale: PerEntry::new(scale_shape, values(scale))?,
            shift: PerEntry::new(shift_shape, values(shift))?,
            size: PerEntry::new(shift_shape, size.collect())?,
            roundings,
        })
    }

    /// BatchNorm at inference, `γ·(x − μ)/√(σ² + ε) + β` per channel, for inputs of this rank.
    ///
    /// # Errors
    /// Lengths that differ, values that are not finite, or a variance with σ² + ε ≤ 0.
    pub fn batch_norm(
        rank: usize,
        [gamma, beta, mean, variance]: [&[f64]; 4],
        epsilon: f64,
    ) -> Result<Self, Error> {
        let n = gamma.len();
        for (values, what) in [(beta, "beta"), (mean, "mean"), (variance, "variance")] {
            if values.len() != n {
                return Err(Error::Geometry {
                    field: what,
                    expected: format!("{n} values, as many as gamma has"),
                    got: values.len().to_string(),
                });
            }
        }
        let (mut scale, mut shift, mut size) = (Vec::new(), Vec::new(), Vec::new());
        for i in 0..n {
            let spread = variance[i] + epsilon;
            if !(spread > 0.0) {
                return Err(Error::Geometry {
                    field: "variance",
                    expected: "variance + epsilon above 0".to_owned(),
                    got: format!("{} + {epsilon} in channel {i}", variance[i]),
                });
            }
            // Three roundings, the first one under a root.
            let s = gamma[i] / spread.sqrt();
            check_factor("gamma", i, gamma[i], s)?;
            scale.push(s);
            // |β − μs| is off by the roundings of s, of the product and of the difference, each
            // relative to |β| + |μs|, whose own two roundings are covered by the eighth.
            shift.push(beta[i] - mean[i] * s);
            size.push(beta[i].abs() + (mean[i] * s).abs());
        }
        Ok(Self {
            scale: PerEntry::channels(rank, scale)?,
            shift: PerEntry::channels(rank, shift)?,
            size: PerEntry::channels(rank, size)?,
            roundings: 8,
        })
    }

    /// Input normalisation `(x − mean)/std`, one value for all or one per channel, for inputs of
    /// this shape whose channels are where `layout` says.
    ///
    /// # Errors
    /// Lengths that differ or are not the number of channels, values that are not finite, or a
    /// standard deviation ≤ 0.
    pub fn normalisation(
        shape: &[usize],
        layout: Channels,
        mean: &[f64],
        std: &[f64],
    ) -> Result<Self, Error> {
        if mean.len() != std.len() || std.iter().any(|&s| !(s > 0.0)) {
            return Err(Error::Geometry {
                field: "std",
                expected: format!("{} positive values, as many as mean has", mean.len()),
                got: format!("{std:?}"),
            });
        }
        if mean.len() != 1 && !layout.has_channels(shape, mean.len()) {
            return Err(Error::Geometry {
                field: "mean",
                expected: format!(
                    "one value, or one per channel of an input of shape {shape:?} ({})",
                    layout.name()
                ),
                got: format!("{} values", mean.len()),
            });
        }
        for (i, &s) in std.iter().enumerate() {
            check_factor("std", i, 1.0, 1.0 / s)?;
        }
        let spread = |values: Vec<f64>| PerEntry::per_input_channel(shape, layout, values);
        let shift: Vec<f64> = mean.iter().zip(std).map(|(m, s)| -m / s).collect();
        let size = shift.iter().map(|t| t.abs()).collect();
        Ok(Self {
            scale: spread(std.iter().map(|s| 1.0 / s).collect())?,
            shift: spread(shift)?,
            size: spread(size)?,
            roundings: 2,
        })
    }

    pub(crate) fn check(&self, input: &[usize]) -> Result<(), Misfit> {
        self.scale.check("scale", input)?;
        self.shift.check("shift", input)
    }

    /// max |s| from above: the norm of the linear part (T24).
    pub(crate) fn norm(&self) -> f64 {
        let largest = self.scale.largest();
        match self.roundings {
            0 => largest,
            k => mul_up(largest, 1.0 + 2.0 * gamma(k + 1)),
        }
    }

    /// Whether all factors are 1.
    pub(crate) fn is_shift(&self) -> bool {
        self.roundings == 0 && self.scale.values.iter().all(|s| (s - 1.0).abs() <= 0.0)
    }

    /// `factor` > 0 where the map is `factor·x + t` with one t for all entries: it keeps the order
    /// of the entries.
    pub(crate) fn keeps_order(&self) -> bool {
        self.scale.values.len() == 1 && self.scale.values[0] > 0.0 && self.shift.values.len() == 1
    }
}

/// Refuses a quotient that left the normal range, where its error is not relative to it.
fn check_factor(field: &'static str, channel: usize, numerator: f64, s: f64) -> Result<(), Error> {
    if s.is_normal() || numerator == 0.0 && s == 0.0 {
        return Ok(());
    }
    Err(Error::Geometry {
        field,
        expected: "factors that are 0 or normal f64 numbers".to_owned(),
        got: format!("{s:e} in channel {channel}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_exact_is_not_rounded() {
        let one = (&[1][..], &[Enclosed::exact(1.0)][..]);
        let shift = |t: Enclosed| Affine::enclosed(one, (&[1], &[t])).unwrap();
        assert!(shift(Enclosed::exact(0.1)).is_shift());
        assert!(!shift(Enclosed::new(0.1, 1e-20)).is_shift());
        let scale = [Enclosed::new(1.0, 1e-16)];
        let scaled = Affine::enclosed((&[1], &scale), (&[1], &[Enclosed::exact(0.0)])).unwrap();
        assert!(scaled.norm() > 1.0 && !scaled.is_shift());
    }
}
