//! [`SlopesEntry`]: the slopes of a bound around an image as they are written.

use serde::{Deserialize, Serialize};
use sigmax::network::{Certifier, Slopes};

use super::digits::{DIGITS, value};

/// What a run of functions without a slope of their own begins with; two digits follow, of how many there are.
const RUN: u8 = b'-';
/// The longest run, and the shortest that is shorter to write like that.
const LONGEST: usize = 64 * 64 - 1;
const SHORTEST: usize = 4;
/// Slopes at a node against one class (T38).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SlopesEntry {
    /// The class.
    pub rival: usize,
    /// The place of the node.
    pub node: usize,
    /// For every function of one variable at the node a digit of base 64 (A–Z, a–z, 0–9, +, /): the step from its
    /// least slope, 0, to its largest, 62; 63 where the rule holds. A run of n of the latter may be written as
    /// `-` and two digits of n.
    pub steps: String,
}

impl SlopesEntry {
    pub(crate) fn new(slopes: &Slopes) -> Self {
        let mut steps = String::new();
        for run in slopes.steps().chunk_by(|a, b| a == b) {
            for part in run.chunks(LONGEST) {
                if part[0] == Slopes::NONE && part.len() >= SHORTEST {
                    steps.push(char::from(RUN));
                    for digit in [part.len() / 64, part.len() % 64] {
                        steps.push(char::from(DIGITS[digit]));
                    }
                } else {
                    let digits = part
                        .iter()
                        .map(|&step| char::from(DIGITS[usize::from(step & 63)]));
                    steps.extend(digits);
                }
            }
        }
        Self {
            rival: slopes.rival(),
            node: slopes.node(),
            steps,
        }
    }

    /// How many functions it speaks of; `None` where the steps are not such digits.
    pub(crate) fn functions(&self) -> Option<usize> {
        let mut functions = 0;
        self.walk(|count, _| functions += count)?;
        Some(functions)
    }

    /// Reads it: as many steps as [`SlopesEntry::functions`] says.
    pub(crate) fn read(&self) -> Option<Slopes> {
        let mut steps = Vec::new();
        self.walk(|count, step| steps.resize(steps.len() + count, step))?;
        Some(Slopes::new(self.rival, self.node, steps))
    }

    /// Runs of a step, one after the other.
    fn walk(&self, mut run: impl FnMut(usize, u8)) -> Option<()> {
        let mut digits = self.steps.bytes();
        while let Some(digit) = digits.next() {
            if digit == RUN {
                let count = 64 * value(digits.next()?)? + value(digits.next()?)?;
                run(
                    usize::try_from(count).ok().filter(|&n| n > 0)?,
                    Slopes::NONE,
                );
            } else {
                run(1, u8::try_from(value(digit)?).ok()?);
            }
        }
        Some(())
    }
}

/// Why slopes are none of this certifier for an image of `label`, if they are not.
pub(crate) fn misfit(
    slopes: &[SlopesEntry],
    label: usize,
    certifier: &Certifier,
) -> Option<String> {
    let classes = certifier.classes();
    let places = slopes.iter().map(|slopes| (slopes.rival, slopes.node));
    if !places.is_sorted_by(|a, b| a < b) {
        return Some("the classes and nodes of its slopes do not rise".to_owned());
    }
    slopes.iter().find_map(|entry| {
        let rival = entry.rival;
        if rival >= classes || rival == label {
            return Some(format!(
                "slopes are against class {rival}, which is not one of the {} others",
                classes - 1
            ));
        }
        let (stated, most) = (
            entry.functions().unwrap_or(usize::MAX),
            certifier.functions(entry.node),
        );
        (stated == 0 || stated > most).then(|| {
            format!(
                "it has slopes for {stated} functions at node {}, which is made of at most {most}",
                entry.node
            )
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_read_as_they_were_written() {
        let runs = |counts: &[(u8, usize)]| -> Vec<u8> {
            let steps = counts.iter();
            steps.flat_map(|&(step, n)| vec![step; n]).collect()
        };
        for (steps, written) in [
            (vec![], ""),
            (runs(&[(0, 2), (62, 1), (63, 3), (31, 1)]), "AA+///f"),
            (runs(&[(63, 4), (1, 5)]), "-AEBBBBB"),
            (runs(&[(63, 4095), (63, 3)]), "-//-AD"),
        ] {
            let entry = SlopesEntry::new(&Slopes::new(3, 5, steps.clone()));
            if written != "-//-AD" {
                assert_eq!(entry.steps, written);
            }
            assert_eq!(entry.read().unwrap().steps(), steps);
        }
        let read = |steps: &str| {
            let steps = steps.to_owned();
            SlopesEntry {
                rival: 0,
                node: 0,
                steps,
            }
            .read()
        };
        for wrong in ["-", "-A", "-A!", "-AA", "Aé", "A=", "--AB"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
