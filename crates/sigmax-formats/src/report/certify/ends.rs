//! [`Ends`]: between what the distance of an image to the nearest input of another class lies.

use sigmax::network::Certificate;

use crate::certificate::Line;
use crate::report::CertifyReport;
use crate::report::ink::decimal::{Rounding, decimal, least, most};

/// What is proved of the distance from an image to the nearest input of another class than its label.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ends {
    /// From below: 0 where nothing is proved, or the class is wrong.
    pub radius: f64,
    /// The same from the Lipschitz constants alone.
    pub by_constants: f64,
    /// From above, in real arithmetic, where such an input was found: 0 where it is the image itself.
    pub adversarial: Option<f64>,
}

/// Whether curvature was used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SecondOrder {
    /// It was not asked for.
    #[default]
    NotAsked,
    /// It was, and points beside the images were searched.
    Used,
    /// The network has no known bound of it, and why.
    NotKnown(String),
}

impl Ends {
    /// Those of a certificate and what is stated of it.
    #[must_use]
    pub fn new(certificate: &Certificate, line: &Line) -> Self {
        Self {
            radius: line.radius.min(f64::MAX),
            by_constants: certificate.radius_by_constants().get(),
            adversarial: certificate.adversarial().map(|bound| bound.get()),
        }
    }
}

impl CertifyReport {
    /// The number of images that [`CertifyReport::certified`] counts and that need the curvature.
    #[must_use]
    pub fn certified_by_curvature(&self, eps: f64) -> usize {
        let distance = least(eps);
        let by_constants = |ends: &&Ends| ends.by_constants > 0.0 && ends.by_constants >= distance;
        let both = self.ends.iter().filter(|ends| ends.reaches(distance));
        both.clone().count() - both.filter(by_constants).count()
    }

    /// The number of images for which an input of another class, in real arithmetic, is proved to lie
    /// within distance `eps`, the decimal number as which it is printed.
    #[must_use]
    pub fn adversarial(&self, eps: f64) -> usize {
        let distance = most(eps);
        let within = |ends: &&Ends| ends.adversarial.is_some_and(|a| a <= distance);
        self.ends.iter().filter(within).count()
    }

    /// The number of images with a radius above 0 for which such an input was found at all, and the
    /// mean of its distance over the radius.
    #[must_use]
    pub fn two_sided(&self) -> (usize, f64) {
        let ratios: Vec<f64> = self
            .ends
            .iter()
            .filter(|ends| ends.radius > 0.0)
            .filter_map(|ends| Some(ends.adversarial? / ends.radius))
            .collect();
        let mean = ratios.iter().sum::<f64>() / ratios.len().max(1) as f64;
        (ratios.len(), mean)
    }

    /// What follows from both ends, in words; none where nothing was searched.
    pub(crate) fn two_sided_text(&self) -> Option<String> {
        let (count, mean) = self.two_sided();
        if self.second_order != SecondOrder::Used {
            return None;
        }
        let mut text = match count {
            0 => "Both ends: the search met no input of another class".to_owned(),
            _ => format!(
                "Both ends: of {count} of {} images the nearest input of another class is proved to lie \
             between two distances",
                self.total
            ),
        };
        if count > 0 {
            // The sum of the quotients is rounded, too.
            let most = mean * (1.0 + 1e-12);
            text += &format!(
                ", the larger one at most {} times the smaller one on average",
                decimal(most, 6, Rounding::Up)
            );
        }
        if self.resumed > 0 {
            text += &format!(
                "; of the {} images that were in the file already, such inputs were not searched",
                self.resumed
            );
        }
        Some(text)
    }

    /// Why curvature is of no use, in words, where it was to be used.
    pub(crate) fn first_order_text(&self) -> Option<String> {
        match &self.second_order {
            SecondOrder::NotKnown(reason) => Some(format!("No curvature: {reason}")),
            _ => None,
        }
    }
}

impl Ends {
    /// Whether the radius is above 0 and at least `distance`.
    pub(crate) fn reaches(&self, distance: f64) -> bool {
        self.radius > 0.0 && self.radius >= distance
    }
}
