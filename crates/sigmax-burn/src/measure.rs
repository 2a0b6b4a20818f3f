//! [`Measure`]: which number is taken of every layer.

use std::fmt;
use std::str::FromStr;

use crate::error::Error;

/// Which number is taken of every layer.
///
/// All of them are computed by power iteration in floating point: they are estimates. What is
/// estimated is, for the first three, an upper bound of the layer's norm.
///
/// # Example
/// ```
/// use sigmax_burn::Measure;
/// let measure: Measure = "reshape:T".parse()?;
/// assert_eq!(measure, Measure::Reshape("T".into()));
/// assert_eq!(measure.to_string(), "reshape:T");
/// # Ok::<(), sigmax_burn::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Measure {
    /// The smallest of the four bounds `√(Πk)·‖M_A‖₂` (T9; 2^m of them for m spatial axes): the
    /// penalty of Singla & Feizi.
    #[default]
    Four,
    /// `√(Πk)·‖M_A‖₂` for the reshape with this name (`"R"`, `"S"`, `"T"`, `"U"`, …, see
    /// [`sigmax::bound::Reshape::name`]). `"T"` and `"U"` exist for every convolution; a linear layer has
    /// `"T"` only.
    Reshape(String),
    /// The smallest of the weighted four `√(Σα⁻²)·√(Σβ⁻²)·‖D_α M_A D_β‖₂` (T12), the weights
    /// being improved by one fixed-point step per training step.
    WeightedFour,
    /// An estimate of the norm itself, from below: ‖F(θ)‖₂ at a frequency θ that follows the peak
    /// by one ascent per step, with a coarse search of the whole torus now and then (T13). Only one
    /// frequency is pushed down at a time: where the penalty moves the norms fast, another peak is
    /// the highest before the next search, and a smaller
    /// [`rescan_every`](crate::SpectralPenaltyConfig::with_rescan_every) shrinks the norms better.
    TrackedNorm,
    /// An estimate from below of the norm of the zero-padded layer at its input size, by power
    /// iteration with the convolution itself. Needs the geometry, input size included, of every
    /// convolution.
    TrackedOperator,
}

/// `four`, `reshape:NAME`, `weighted-four`, `tracked-norm`, `tracked-operator`.
impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Four => f.write_str("four"),
            Self::Reshape(name) => write!(f, "reshape:{name}"),
            Self::WeightedFour => f.write_str("weighted-four"),
            Self::TrackedNorm => f.write_str("tracked-norm"),
            Self::TrackedOperator => f.write_str("tracked-operator"),
        }
    }
}

/// As it is displayed.
impl FromStr for Measure {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match (text, text.strip_prefix("reshape:")) {
            ("four", _) => Ok(Self::Four),
            ("weighted-four", _) => Ok(Self::WeightedFour),
            ("tracked-norm", _) => Ok(Self::TrackedNorm),
            ("tracked-operator", _) => Ok(Self::TrackedOperator),
            (_, Some(name)) if !name.is_empty() => Ok(Self::Reshape(name.to_owned())),
            _ => Err(Error::Setting {
                setting: "measure",
                expected: "four, reshape:NAME, weighted-four, tracked-norm or tracked-operator",
                got: format!("{text:?}"),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_measure_is_read_as_it_is_written() {
        for measure in [
            Measure::Four,
            Measure::Reshape("DW".into()),
            Measure::WeightedFour,
            Measure::TrackedNorm,
            Measure::TrackedOperator,
        ] {
            assert_eq!(measure.to_string().parse::<Measure>().unwrap(), measure);
        }
        for text in ["", "Four", "reshape", "reshape:", "norm"] {
            let error = text.parse::<Measure>().unwrap_err().to_string();
            assert!(error.contains("weighted-four"), "{error}");
        }
    }
}
