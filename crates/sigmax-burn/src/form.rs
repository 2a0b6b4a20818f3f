//! [`Form`]: how the numbers of the layers make one penalty.

use std::fmt;
use std::str::FromStr;

use burn::tensor::Tensor;

use crate::error::Error;

/// How the numbers of the layers make one penalty, with β in front.
///
/// # Example
/// ```
/// use sigmax_burn::Form;
/// let form: Form = "hinge:1.5".parse()?;
/// assert_eq!(form, Form::Hinge { target: 1.5 });
/// assert_eq!(Form::SumLog.to_string(), "sum-log");
/// # Ok::<(), sigmax_burn::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum Form {
    /// β·Σ b.
    #[default]
    Sum,
    /// β·Σ log b.
    SumLog,
    /// β·Σ max(0, b − target).
    Hinge {
        /// Where the penalty begins.
        target: f64,
    },
    /// β·log Π b. The same number as [`Form::SumLog`], and computed as that sum: the product itself
    /// overflows for deep networks. It is the logarithm of the Lipschitz bound of a plain chain.
    LogProduct,
}

impl Form {
    /// Sums up the numbers of a group, without β.
    pub(crate) fn apply(self, numbers: Tensor<1>) -> Tensor<1> {
        match self {
            Self::Sum => numbers.sum(),
            Self::SumLog | Self::LogProduct => {
                numbers.clamp_min(f64::from(f32::MIN_POSITIVE)).log().sum()
            }
            Self::Hinge { target } => numbers.sub_scalar(target).clamp_min(0.0).sum(),
        }
    }
}

/// `sum`, `sum-log`, `hinge:TARGET`, `log-product`.
impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sum => f.write_str("sum"),
            Self::SumLog => f.write_str("sum-log"),
            Self::Hinge { target } => write!(f, "hinge:{target}"),
            Self::LogProduct => f.write_str("log-product"),
        }
    }
}

/// As it is displayed. The target is checked where the form is used.
impl FromStr for Form {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let target = text.strip_prefix("hinge:").map(str::parse);
        match (text, target) {
            ("sum", _) => Ok(Self::Sum),
            ("sum-log", _) => Ok(Self::SumLog),
            ("log-product", _) => Ok(Self::LogProduct),
            (_, Some(Ok(target))) => Ok(Self::Hinge { target }),
            _ => Err(Error::Setting {
                setting: "form",
                expected: "sum, sum-log, hinge:TARGET or log-product",
                got: format!("{text:?}"),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read_as_it_is_written() {
        for form in [
            Form::Sum,
            Form::SumLog,
            Form::Hinge { target: 0.1 },
            Form::LogProduct,
        ] {
            assert_eq!(form.to_string().parse::<Form>().unwrap(), form);
        }
        for text in ["", "Sum", "hinge", "hinge:", "hinge:x"] {
            let error = text.parse::<Form>().unwrap_err().to_string();
            assert!(error.contains("hinge:TARGET"), "{error}");
        }
    }
}
