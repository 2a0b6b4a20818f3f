//! [`TangentEntry`]: a tangent of an image as it is written.

use serde::{Deserialize, Serialize};
use sigmax::network::Tangent;

/// What is added to a step, so that it is a number of two digits of base 64.
const MIDDLE: i16 = 2048;

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Exponents that a step may have: no step is 0, and the square of a length is a number.
const EXPONENTS: std::ops::RangeInclusive<i32> = -1000..=500;

/// A point whose tangent proves a radius against one class (T36).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TangentEntry {
    /// The class.
    pub rival: usize,
    /// The offset of the point from the image is `steps`·2^`exponent`.
    pub exponent: i32,
    /// For every pixel two digits of base 64 (A–Z, a–z, 0–9, +, /), the larger one first, of a step + 2048.
    pub steps: String,
}

impl TangentEntry {
    /// Writes a tangent.
    pub(crate) fn new(tangent: &Tangent) -> Self {
        let digits = |&step: &i16| {
            let step = usize::try_from(step + MIDDLE).unwrap_or(0);
            [DIGITS[step / 64 % 64], DIGITS[step % 64]].map(char::from)
        };
        Self {
            rival: tangent.rival(),
            exponent: tangent.exponent(),
            steps: tangent.steps().iter().flat_map(digits).collect(),
        }
    }

    /// Reads it; `None` where the steps are no digits.
    pub(crate) fn read(&self) -> Option<Tangent> {
        let (pairs, rest) = self.steps.as_bytes().as_chunks::<2>();
        let step = |&[high, low]: &[u8; 2]| Some(64 * value(high)? + value(low)? - MIDDLE);
        let steps: Option<Vec<i16>> = pairs.iter().map(step).collect();
        steps
            .filter(|_| rest.is_empty())
            .map(|steps| Tangent::new(self.rival, self.exponent, steps))
    }
}

/// Of a digit of base 64.
fn value(digit: u8) -> Option<i16> {
    let place = DIGITS.iter().position(|&known| known == digit)?;
    i16::try_from(place).ok()
}

/// Why tangents are none for an image of `label` with so many pixels, if they are not.
pub(crate) fn misfit(
    tangents: &[Tangent],
    label: usize,
    classes: usize,
    pixels: usize,
) -> Option<String> {
    let rivals = tangents.iter().map(Tangent::rival);
    if !rivals.is_sorted_by(|a, b| a < b) {
        return Some("the classes of its tangents do not rise".to_owned());
    }
    tangents.iter().find_map(|tangent| {
        let (rival, exponent) = (tangent.rival(), tangent.exponent());
        if rival >= classes || rival == label {
            return Some(format!(
                "a tangent is against class {rival}, which is not one of the {} others",
                classes - 1
            ));
        }
        if !EXPONENTS.contains(&exponent) {
            let (least, most) = (EXPONENTS.start(), EXPONENTS.end());
            return Some(format!(
                "a tangent has the exponent {exponent}; it lies between {least} and {most}"
            ));
        }
        (tangent.steps().len() != pixels).then(|| {
            format!(
                "a tangent has {} steps; the model takes {pixels} pixels",
                tangent.steps().len()
            )
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_read_as_they_were_written() {
        let steps: Vec<i16> = (-2047..=2047).collect();
        let entry = TangentEntry::new(&Tangent::new(3, -7, steps.clone()));
        assert_eq!(entry.steps.len(), 2 * steps.len());
        let read = entry.read().unwrap();
        assert_eq!(
            (read.rival(), read.exponent(), read.steps()),
            (3, -7, &steps[..])
        );
        let of = |steps: &str| {
            let steps = steps.to_owned();
            let read = TangentEntry {
                steps,
                ..entry.clone()
            }
            .read();
            read.map(|tangent| tangent.steps().to_vec())
        };
        assert_eq!(of("gAf/gB"), Some(vec![0, -1, 1]));
        assert_eq!(of(""), Some(Vec::new()));
        for wrong in ["g", "gAf", "g=", "-A", "gA ", "é"] {
            assert_eq!(of(wrong), None, "{wrong}");
        }
    }
}
