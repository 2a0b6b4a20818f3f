//! Radii from bounds around one image: the ball and the box of every node in one Lagrangian (T38).

mod around;
mod back;
mod bend;
mod boxes;
mod pieces;
mod pool;
pub(crate) mod prepared;
mod reach;
mod rows;
mod scatter;
#[cfg(test)]
mod tests;

use std::cell::OnceCell;
use std::time::Instant;

use rayon::prelude::*;

use crate::claim::Lower;
use crate::error::Error;
use crate::network::certificate::{Certificate, Method};
use crate::network::certify::{Certifier, RADIUS_SLACK, inexactness, largest};
use crate::network::eval::backward::differentials;
use crate::network::eval::forward::{Evaluated, Inexact};
use crate::network::eval::rounds::norm_up;
use crate::network::graph::NodeId;
use crate::network::local::around::Around;
use crate::network::local::prepared::Prepared;
use crate::network::local::rows::Rows;
use crate::rounding::{mul_up, sub_down};

/// Most distances that are tried for one image.
const MOST_TRIES: usize = 64;
/// Steps of the attack before a proof is tried.
const STEPS: usize = 3;

/// What is asked of bounds around images.
#[derive(Clone, Debug, PartialEq)]
pub enum Distances {
    /// Whether the class stays the same within each of these: as few are tried as possible.
    Only(Vec<f64>),
    /// The largest radius, up to this relative resolution, of at most 64 that are tried.
    Largest {
        /// 0.01: the next larger radius that was tried and not proved is at most 1 % larger.
        resolution: f64,
    },
}

/// Whether margins leave room for others to confirm them, who round in other places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Room {
    None,
    Some,
}

/// An image whose certificate may be made better.
struct Image<'a> {
    certifier: &'a Certifier,
    certificate: &'a Certificate,
    pixels: &'a [f64],
    exact: bool,
    room: Room,
    /// The values of all nodes, once they are needed.
    at: OnceCell<Vec<Evaluated>>,
}

impl Image<'_> {
    /// The largest of the distances that are reached; as they rise, the first that is not ends it.
    fn reached(&self, distances: &[f64], late: &dyn Fn() -> bool) -> f64 {
        let mut proved = self.certificate.radius.get();
        let mut rising = distances.to_vec();
        rising.sort_by(f64::total_cmp);
        for distance in rising {
            // Whatever its decimal digits are rounded to.
            let enough = distance * (1.0 + 4.0 * RADIUS_SLACK);
            if proved >= enough {
                continue;
            }
            if late() || self.is_lost(enough) || !self.keeps(enough) {
                break;
            }
            proved = enough;
        }
        proved
    }

    /// A radius between which and the next that was tried there is this relative distance.
    fn largest(&self, resolution: f64, late: &dyn Fn() -> bool) -> f64 {
        let most = self
            .certificate
            .adversarial
            .map_or(f64::INFINITY, |a| a.get());
        let (mut low, mut high) = (self.certificate.radius.get(), most);
        for _ in 0..MOST_TRIES {
            if late() || low <= 0.0 || high <= low * (1.0 + resolution.max(1e-6)) {
                break;
            }
            let next = if high < 3.0 * low {
                0.5 * (low + high)
            } else {
                2.0 * low
            };
            if !self.is_lost(next) && self.keeps(next) {
                low = next;
            } else {
                high = next;
            }
        }
        low
    }

    /// Whether an input of another class seems to be near, so that a proof need not be tried: a few steps
    /// down the gradient of the margin.
    fn is_lost(&self, radius: f64) -> bool {
        let certifier = self.certifier;
        let y = self.certificate.prediction;
        let mut x = self.pixels.to_vec();
        for _ in 0..STEPS {
            let Some(slope) = certifier.slope(&x, y) else {
                return false;
            };
            let ahead = x.iter().zip(&slope).zip(self.pixels);
            let step: Vec<f64> = ahead.map(|((x, s), from)| x - from - radius * s).collect();
            let length = norm_up(&step);
            if !(length > 0.0) {
                return false;
            }
            x = self
                .pixels
                .iter()
                .zip(step)
                .map(|(from, d)| from + d * (radius / length))
                .collect();
            let inexact = Inexact::Relative(0.0);
            let found = certifier
                .forward
                .evaluated(&x, inexact, &[certifier.logits]);
            let logits = found.first().and_then(|kept| kept.first());
            if logits.is_some_and(|logits| largest(&logits.values) != y) {
                return true;
            }
        }
        false
    }

    /// Whether the class is proved to be the same within `radius` (T38), in the arithmetic of the
    /// certificate.
    fn keeps(&self, radius: f64) -> bool {
        if !(radius > 0.0 && radius.is_finite()) {
            return false;
        }
        let at = self.at.get_or_init(|| {
            let all: Vec<NodeId> = (0..=self.certifier.logits.0).map(NodeId).collect();
            let inexact = Inexact::Relative(inexactness(self.exact));
            let mut found = self.certifier.forward.evaluated(self.pixels, inexact, &all);
            found.pop().unwrap_or_default()
        });
        let y = self.certificate.prediction;
        self.certifier.is_kept(at, y, radius, self.room)
    }
}

impl Certifier {
    /// Enlarges the radii of certificates by bounds around their images (T38), until a point in time. One
    /// certificate for every image, as [`Certifier::search`] returns them.
    ///
    /// A radius is only replaced by one that is proved: whatever is not covered, or not reached in time,
    /// stays as it is.
    ///
    /// # Cost
    /// For every distance that is tried, about as many evaluations of the network back from a node as
    /// entries of it are not decided by what is known cheaply.
    ///
    /// # Errors
    /// As [`Certifier::certify`].
    pub fn enlarge(
        &self,
        images: &[f64],
        exact: bool,
        certificates: &mut [Certificate],
        distances: &Distances,
        deadline: Option<Instant>,
    ) -> Result<(), Error> {
        self.around_all(images, exact, certificates, Room::Some, |_, image| {
            let late = || deadline.is_some_and(|deadline| Instant::now() >= deadline);
            match distances {
                Distances::Only(all) => image.reached(all, &late),
                Distances::Largest { resolution } => image.largest(*resolution, &late),
            }
        })
    }

    /// Confirms radii that others state by bounds around the images, one for every certificate: where one
    /// is larger than what a certificate proves, and follows from them, it counts as proved. A radius of 0
    /// states nothing.
    ///
    /// # Errors
    /// As [`Certifier::certify`].
    pub fn confirm_around(
        &self,
        images: &[f64],
        exact: bool,
        certificates: &mut [Certificate],
        stated: &[f64],
    ) -> Result<(), Error> {
        self.around_all(images, exact, certificates, Room::None, |place, around| {
            let radius = stated.get(place).copied().unwrap_or(0.0);
            let known = around.certificate.confirms_radius(radius);
            if !known && around.keeps(radius) {
                radius
            } else {
                0.0
            }
        })
    }

    /// Finds a radius for every certificate of a right prediction with a margin, and takes it where it is
    /// larger.
    fn around_all(
        &self,
        images: &[f64],
        exact: bool,
        certificates: &mut [Certificate],
        room: Room,
        find: impl Fn(usize, &Image<'_>) -> f64 + Sync,
    ) -> Result<(), Error> {
        let length = self.bounds().network().input().len();
        self.forward.check_images(images)?;
        if images.len() != certificates.len() * length {
            return Err(Error::Labels {
                labels: certificates.len(),
                images: images.len() / length,
            });
        }
        certificates
            .par_iter_mut()
            .zip(images.par_chunks(length))
            .enumerate()
            .for_each(|(place, (certificate, pixels))| {
                if certificate.label != certificate.prediction || !(certificate.proved.margin > 0.0)
                {
                    return;
                }
                let image = Image {
                    certifier: self,
                    certificate,
                    pixels,
                    exact,
                    room,
                    at: OnceCell::new(),
                };
                let radius = find(place, &image);
                if radius > certificate.radius.get() {
                    certificate.radius = Lower::claim(radius);
                    certificate.method = Method::Local;
                }
                if radius > certificate.proved.radius {
                    certificate.proved.radius = radius;
                }
            });
        Ok(())
    }

    /// Whether class y is proved to be the largest logit for all inputs within `radius` of an image, the
    /// values of whose nodes are `at` (T38), in the arithmetic of the certificates.
    fn is_kept(&self, at: &[Evaluated], y: usize, radius: f64, room: Room) -> bool {
        let prepared = self
            .prepared
            .get_or_init(|| Prepared::new(&self.forward, self.logits));
        let mut around = Around::new(&self.forward, prepared, at, radius);
        around.spread(self.logits.0);
        let z = &at[self.logits.0].values;
        let rivals: Vec<usize> = (0..z.len()).filter(|&t| t != y).collect();
        let mut seeds = vec![0.0; rivals.len() * z.len()];
        for (row, &t) in seeds.chunks_mut(z.len()).zip(&rivals) {
            row[y] = 1.0;
            row[t] = -1.0;
        }
        let node = self.bounds().network().node(self.logits);
        let lower = around.lower(self.logits.0, Rows::of_entries(node, &seeds));
        let (features, logits) = (&at[self.features.0], &at[self.logits.0]);
        rivals.iter().zip(lower).all(|(&t, lower)| {
            let margin = sub_down(sub_down(z[y], z[t]), -lower);
            let margin = match room {
                Room::None => margin,
                Room::Some => sub_down(margin, mul_up(RADIUS_SLACK, (z[y] - z[t]).abs())),
            };
            self.survives(features, logits, [y, t], margin, radius)
        })
    }

    /// The gradient of the margin over the nearest class, of length 1, as far as it is known.
    fn slope(&self, x: &[f64], y: usize) -> Option<Vec<f64>> {
        let network = self.bounds().network();
        let differential = differentials(&self.forward, x).ok()?.pop()?;
        let output = network.outputs()[0];
        let values = differential.value(output);
        let rival = (0..values.len())
            .filter(|&t| t != y)
            .max_by(|&a, &b| values[a].total_cmp(&values[b]))?;
        let mut direction = vec![0.0; values.len()];
        (direction[y], direction[rival]) = (1.0, -1.0);
        let mut slope = differential.apply_transpose(&direction);
        let length = norm_up(&slope);
        if !(length > 1e-200 && length < 1e200) {
            return None;
        }
        slope.iter_mut().for_each(|s| *s /= length);
        Some(slope)
    }
}
