//! [`TangentEntry`]: a tangent of an image as it is written.

use serde::{Deserialize, Serialize};
use sigmax::network::Tangent;

use super::digits::{DIGITS, value};

/// Most digits of a step.
const MOST_DIGITS: usize = 4;

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
    /// For every pixel k digits of base 64 (A–Z, a–z, 0–9, +, /), the largest one first, of a step + 64^k/2;
    /// k is 1 to 4, the same for all.
    pub steps: String,
}

impl TangentEntry {
    /// Writes a tangent with as few digits as hold all its steps.
    pub(crate) fn new(tangent: &Tangent) -> Self {
        let holds = |count: &usize| {
            let range = -middle(*count)..middle(*count);
            tangent.steps().iter().all(|step| range.contains(step))
        };
        let count = (1..MOST_DIGITS).find(holds).unwrap_or(MOST_DIGITS);
        let digits = |&step: &i32| {
            let above = step + middle(count);
            (0..count).rev().map(move |place| {
                let digit = above >> (6 * place) & 63;
                char::from(DIGITS[digit as usize])
            })
        };
        Self {
            rival: tangent.rival(),
            exponent: tangent.exponent(),
            steps: tangent.steps().iter().flat_map(digits).collect(),
        }
    }

    /// Reads it for an image of so many pixels; `None` where the steps are not 1 to 4 digits for each.
    pub(crate) fn read(&self, pixels: usize) -> Option<Tangent> {
        let digits = self.steps.as_bytes();
        let count = digits.len().checked_div(pixels)?;
        if !(1..=MOST_DIGITS).contains(&count) || digits.len() != count * pixels {
            return None;
        }
        let step = |digits: &[u8]| {
            let number = digits
                .iter()
                .try_fold(0, |sum, &digit| Some(64 * sum + value(digit)?));
            Some(number? - middle(count))
        };
        let steps: Option<Vec<i32>> = digits.chunks(count).map(step).collect();
        Some(Tangent::new(self.rival, self.exponent, steps?))
    }
}

/// What is added to a step of so many digits, so that it is a number.
fn middle(digits: usize) -> i32 {
    1 << (6 * digits - 1)
}

/// Why tangents are none for an image of `label`, if they are not.
pub(crate) fn misfit(tangents: &[Tangent], label: usize, classes: usize) -> Option<String> {
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
        let (least, most) = (EXPONENTS.start(), EXPONENTS.end());
        (!EXPONENTS.contains(&exponent)).then(|| {
            format!("a tangent has the exponent {exponent}; it lies between {least} and {most}")
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_read_as_they_were_written() {
        for count in 1..=MOST_DIGITS {
            let end = middle(count);
            let steps = vec![-end, 1 - end, -1, 0, 1, end / 3, end - 2, end - 1];
            let entry = TangentEntry::new(&Tangent::new(3, -7, steps.clone()));
            assert_eq!(entry.steps.len(), count * steps.len());
            let read = entry.read(steps.len()).unwrap();
            assert_eq!(
                (read.rival(), read.exponent(), read.steps()),
                (3, -7, &steps[..])
            );
        }
    }

    #[test]
    fn as_many_digits_are_read_for_every_pixel() {
        let of = |steps: &str, pixels| {
            let entry = TangentEntry {
                rival: 0,
                exponent: 0,
                steps: steps.to_owned(),
            };
            let read = entry.read(pixels);
            read.map(|tangent| tangent.steps().to_vec())
        };
        assert_eq!(of("fgh", 3), Some(vec![-1, 0, 1]));
        assert_eq!(of("gAf/gBAA", 4), Some(vec![0, -1, 1, -2048]));
        assert_eq!(of("gAAf//", 2), Some(vec![0, -1]));
        assert_eq!(of("gAAA////", 2), Some(vec![0, (1 << 23) - 1]));
        for wrong in [
            "",
            "g",
            "gAf",
            "g=",
            "-A",
            "gA ",
            "é",
            "gAgAgAgAg",
            "gAgAgAgAgA",
        ] {
            assert_eq!(of(wrong, 2), None, "{wrong}");
        }
        assert_eq!(of("", 0), None);
    }
}
