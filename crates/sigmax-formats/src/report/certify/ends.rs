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
    /// The same from bounds of the whole network: the constants, and its curvature.
    pub by_network: f64,
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
            by_network: certificate.radius_by_network().get().min(line.radius),
            adversarial: certificate.adversarial().map(|bound| bound.get()),
        }
    }
}

impl CertifyReport {
    /// The number of images that [`CertifyReport::certified`] counts and that need the curvature.
    #[must_use]
    pub fn certified_by_curvature(&self, eps: f64) -> usize {
        self.certified_only_by(eps, |ends| ends.by_network, |ends| ends.by_constants)
    }

    /// The number of images that [`CertifyReport::certified`] counts and that need bounds around them.
    #[must_use]
    pub fn certified_locally(&self, eps: f64) -> usize {
        self.certified_only_by(eps, |ends| ends.radius, |ends| ends.by_network)
    }

    /// The number of images whose radius by `better` is large enough, and by `worse` is not.
    fn certified_only_by(
        &self,
        eps: f64,
        better: fn(&Ends) -> f64,
        worse: fn(&Ends) -> f64,
    ) -> usize {
        let distance = least(eps);
        let reaches = |radius: f64| radius > 0.0 && radius >= distance;
        let needed = |ends: &&Ends| reaches(better(ends)) && !reaches(worse(ends));
        self.ends.iter().filter(needed).count()
    }

    /// Whether inputs of another class were looked for.
    pub(crate) fn is_searched(&self) -> bool {
        self.second_order == SecondOrder::Used && self.range.is_none()
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
    /// mean of its distance over the radius, rounded up.
    #[must_use]
    pub fn two_sided(&self) -> (usize, f64) {
        let ratios: Vec<f64> = self
            .ends
            .iter()
            .filter(|ends| ends.radius > 0.0)
            .filter_map(|ends| Some(ends.adversarial? / ends.radius))
            .collect();
        // Quotients, sum and mean have as many roundings as there are images, and two.
        let rounding = 1.0 + (ratios.len() + 4) as f64 * f64::EPSILON;
        let mean = ratios.iter().sum::<f64>() / ratios.len().max(1) as f64 * rounding;
        (ratios.len(), mean)
    }

    /// What follows from both ends, in words; none where nothing was searched.
    pub(crate) fn two_sided_text(&self) -> Option<String> {
        let (count, mean) = self.two_sided();
        if !self.is_searched() {
            return None;
        }
        let mut text = match count {
            0 => "Both ends: of no image with a radius above 0 was an input of another class met"
                .to_owned(),
            _ => format!(
                "Both ends: of {count} of {} images the nearest input of another class is proved to lie \
             between two distances",
                self.total
            ),
        };
        if count > 0 {
            text += &format!(
                ", the larger one at most {} times the smaller one on average. PROVED",
                decimal(mean, 6, Rounding::Up)
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
