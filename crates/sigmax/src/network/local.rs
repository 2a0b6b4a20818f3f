//! Radii from bounds around one image: the ball and the box of every node in one Lagrangian (T38).

mod around;
mod ascent;
mod back;
mod bend;
mod boxes;
mod guide;
mod pair;
mod pieces;
mod pool;
pub(crate) mod prepared;
mod reach;
mod rows;
mod scatter;
mod share;
pub(crate) mod slopes;
#[cfg(test)]
mod tests;

use std::cell::{Cell, OnceCell};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rayon::prelude::*;

use crate::claim::Lower;
use crate::deadline::is_past;
use crate::error::Error;
use crate::network::certificate::{Certificate, Method};
use crate::network::certify::{Certifier, RADIUS_SLACK, inexactness, largest};
use crate::network::eval::backward::{Differential, differentials};
use crate::network::eval::forward::{Evaluated, Inexact};
use crate::network::eval::rounds::norm_up;
use crate::network::graph::NodeId;
use crate::network::local::around::Around;
use crate::network::local::boxes::Narrowed;
use crate::network::local::prepared::Prepared;
use crate::network::local::rows::Rows;
use crate::network::local::share::Share;
use crate::network::local::slopes::Slopes;
use crate::network::op::Op;
use crate::rounding::{larger, mul_up, sub_down};

/// Most distances that are tried for one image.
const MOST_TRIES: usize = 64;
/// Steps of the attack before a proof is tried.
const STEPS: usize = 3;

/// All numbers.
const EVERYWHERE: [f64; 2] = [f64::NEG_INFINITY, f64::INFINITY];

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

/// A radius, and the slopes that prove it where a rule does not.
#[derive(Default)]
struct Proof {
    radius: f64,
    slopes: Vec<Slopes>,
}

/// How long bounds around images may take, and how much memory: what is proved within it counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// A point in time that ends all of them.
    pub until: Option<Instant>,
    /// For each image.
    pub each: Option<Duration>,
    /// Bytes, besides those of the network, its constants and the images: fewer images, and fewer rows of each, are worked
    /// on at once.
    pub memory: Option<usize>,
}

/// Whether margins leave room for others to confirm them, who round in other places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Room {
    None,
    Some,
}

/// Images, and how they are worked on.
#[derive(Clone, Copy)]
struct Task<'a> {
    pixels: &'a [f64],
    exact: bool,
    room: Room,
    /// When to give up all images, and after what time each.
    deadline: Option<Instant>,
    each: Option<Duration>,
    share: Share,
}

impl Task<'_> {
    /// When to give up an image that is begun now.
    fn deadline_of_image(&self) -> Option<Instant> {
        let own = self.each.and_then(|each| Instant::now().checked_add(each));
        self.deadline.into_iter().chain(own).min()
    }
}

/// An image whose certificate may be made better.
struct Image<'a> {
    certifier: &'a Certifier,
    certificate: &'a Certificate,
    pixels: &'a [f64],
    task: Task<'a>,
    /// The values of all nodes, once they are needed.
    at: OnceCell<Vec<Evaluated>>,
    /// When to give it up.
    deadline: Option<Instant>,
    /// Whether that was so.
    is_given_up: Cell<bool>,
}

impl Image<'_> {
    /// The largest of the distances that are reached; as they rise, the first that is not ends it.
    fn reached(&self, distances: &[f64]) -> Proof {
        let mut proved = self.known();
        let mut rising = distances.to_vec();
        rising.sort_by(f64::total_cmp);
        for distance in rising {
            // Whatever its decimal digits are rounded to.
            let enough = distance * (1.0 + 4.0 * RADIUS_SLACK);
            if proved.radius >= enough {
                continue;
            }
            let Some(proof) = self.gets(enough) else {
                break;
            };
            proved = proof;
        }
        proved
    }

    /// What is known before.
    fn known(&self) -> Proof {
        Proof {
            radius: self.certificate.radius.get(),
            slopes: Vec::new(),
        }
    }

    /// A radius between which and the next that was tried there is this relative distance.
    fn full(&self, resolution: f64) -> Proof {
        let (mut proved, mut high) = (self.known(), self.lost());
        for _ in 0..MOST_TRIES {
            let low = proved.radius;
            if low <= 0.0 || high <= low * (1.0 + resolution.max(1e-6)) {
                break;
            }
            let next = if high < 3.0 * low {
                0.5 * (low + high)
            } else {
                2.0 * low
            };
            match self.gets(next) {
                Some(proof) => proved = proof,
                None => high = next,
            }
        }
        proved
    }

    /// A proof of a radius, where there is time for it and it succeeds.
    fn gets(&self, radius: f64) -> Option<Proof> {
        let open = radius < self.lost() && !self.is_lost(radius);
        let tried = open && !is_past(self.deadline);
        let slopes = tried.then(|| self.keeps(radius, None)).flatten();
        if open && slopes.is_none() && is_past(self.deadline) {
            self.is_given_up.set(true);
        }
        Some(Proof {
            radius,
            slopes: slopes?,
        })
    }

    /// A distance at which an input of another class is known.
    fn lost(&self) -> f64 {
        let known = self.certificate.adversarial;
        known.map_or(f64::INFINITY, |distance| distance.get())
    }

    /// Whether an input of another class seems to be near, so that a proof need not be tried: a few steps
    /// down the gradient of the margin.
    fn is_lost(&self, radius: f64) -> bool {
        let y = self.certificate.prediction;
        let mut x = self.pixels.to_vec();
        for left in (0..=STEPS).rev() {
            // What leaves the range of f64 is an error.
            let found = differentials(&self.certifier.forward, &x);
            let Some(at) = found.ok().and_then(|mut found| found.pop()) else {
                return false;
            };
            if largest(at.value(self.certifier.logits)) != y {
                return true;
            }
            let Some(slope) = self.slope(&at).filter(|_| left > 0) else {
                return false;
            };
            let ahead = x.iter().zip(&slope).zip(self.pixels);
            let step: Vec<f64> = ahead.map(|((x, s), from)| x - from - radius * s).collect();
            let factor = radius / norm_up(&step);
            let moved = self.pixels.iter().zip(step);
            let [least, most] = self.certifier.range.unwrap_or(EVERYWHERE);
            x = moved
                .map(|(from, d)| (from + factor * d).max(least).min(most))
                .collect();
        }
        false
    }

    /// The gradient of the margin over the nearest class, of length 1, as far as it is known.
    fn slope(&self, at: &Differential<'_>) -> Option<Vec<f64>> {
        let y = self.certificate.prediction;
        let values = at.value(self.certifier.bounds().network().outputs()[0]);
        let rival = (0..values.len())
            .filter(|&t| t != y)
            .max_by(|&a, &b| values[a].total_cmp(&values[b]))?;
        let mut direction = vec![0.0; values.len()];
        (direction[y], direction[rival]) = (1.0, -1.0);
        let mut slope = at.apply_transpose(&direction);
        let length = norm_up(&slope);
        if !(length > 1e-200 && length < 1e200) {
            return None;
        }
        slope.iter_mut().for_each(|s| *s /= length);
        Some(slope)
    }

    /// The slopes that prove the class to be the same within `radius` (T38), in the arithmetic of the
    /// certificate; none where it is not proved. Those that are stated, or what a search finds.
    fn keeps(&self, radius: f64, stated: Option<&[Slopes]>) -> Option<Vec<Slopes>> {
        if !(radius > 0.0 && radius.is_finite()) {
            return None;
        }
        let at = self.at.get_or_init(|| {
            let all: Vec<NodeId> = (0..=self.certifier.logits.0).map(NodeId).collect();
            let inexact = Inexact::Relative(inexactness(self.task.exact));
            let mut found = self.certifier.forward.evaluated(self.pixels, inexact, &all);
            found.pop().unwrap_or_default()
        });
        self.certifier.keeps(at, self, radius, stated)
    }
}

impl Certifier {
    /// Enlarges the radii of certificates by bounds around their images (T38), as long as there is time. One
    /// certificate for every image, as [`Certifier::search`] returns them.
    ///
    /// Returns of how many images time was over before this was finished. A radius is only replaced by one
    /// that is proved: whatever is not covered, or not reached in time, stays as it is.
    ///
    /// # Cost
    /// For every distance that is tried, about as many evaluations of the network back from a node as
    /// entries of it are not decided by what is known cheaply.
    ///
    /// # Errors
    /// As [`Certifier::certify`]; [`Error::TooLarge`] where the memory is not enough for one image.
    ///
    /// # Source
    /// T38.
    pub fn enlarge(
        &self,
        images: &[f64],
        exact: bool,
        certificates: &mut [Certificate],
        distances: &Distances,
        limits: Limits,
    ) -> Result<usize, Error> {
        let task = Task {
            pixels: images,
            exact,
            room: Room::Some,
            deadline: limits.until,
            each: limits.each,
            share: Share::new(&self.forward, self.prepared(), limits.memory)?,
        };
        self.around_all(task, certificates, |_, image| match distances {
            Distances::Only(all) => image.reached(all),
            Distances::Largest { resolution } => image.full(*resolution),
        })
    }

    /// At most how many functions of one variable a node is made of where it bends, for which a certificate may
    /// state slopes; 0 for a node that does not, and for none.
    #[must_use]
    pub fn functions(&self, node: usize) -> usize {
        let Some(found) = self.bounds().network().nodes().get(node) else {
            return 0;
        };
        match &found.op {
            Op::Activation(_) | Op::PRelu(_) | Op::Max | Op::Min => found.len(),
            Op::MaxPool(_) => {
                let windows = &self.prepared().windows[node];
                windows.iter().map(|window| window.len() + 1).sum()
            }
            _ => 0,
        }
    }

    fn prepared(&self) -> &Prepared {
        self.prepared
            .get_or_init(|| Prepared::new(&self.forward, self.logits))
    }

    /// Confirms radii that others state by bounds around the images, one for every certificate: where one
    /// is larger than what a certificate proves, and follows from them, it counts as proved. A radius of 0
    /// states nothing.
    ///
    /// # Errors
    /// As [`Certifier::certify`]; [`Error::OutOfTime`] where a radius is not confirmed until the deadline.
    pub fn confirm_around(
        &self,
        images: &[f64],
        exact: bool,
        certificates: &mut [Certificate],
        stated: &[(f64, Vec<Slopes>)],
        deadline: Option<Instant>,
    ) -> Result<(), Error> {
        let task = Task {
            pixels: images,
            exact,
            room: Room::None,
            deadline,
            each: None,
            share: Share::new(&self.forward, self.prepared(), None)?,
        };
        self.around_all(task, certificates, |place, image| {
            let Some((radius, slopes)) = stated.get(place) else {
                return Proof::default();
            };
            let known = image.certificate.confirms_radius(*radius);
            let proof = (!known).then(|| image.keeps(*radius, Some(slopes)));
            match proof.flatten() {
                Some(slopes) => Proof {
                    radius: *radius,
                    slopes,
                },
                None => Proof::default(),
            }
        })?;
        let mut pairs = certificates.iter().zip(stated);
        match is_past(deadline) && pairs.any(|(found, (radius, _))| !found.confirms_radius(*radius))
        {
            true => Err(Error::OutOfTime),
            false => Ok(()),
        }
    }

    /// Finds a radius for every certificate of a right prediction with a margin, and takes it where it is
    /// larger.
    fn around_all(
        &self,
        task: Task<'_>,
        certificates: &mut [Certificate],
        find: impl Fn(usize, &Image<'_>) -> Proof + Sync,
    ) -> Result<usize, Error> {
        let length = self.bounds().network().input().len();
        self.forward.check_images(task.pixels)?;
        if task.pixels.len() != certificates.len() * length {
            return Err(Error::Labels {
                labels: certificates.len(),
                images: task.pixels.len() / length,
            });
        }
        let given_up = AtomicUsize::new(0);
        let at_once = task.share.images.min(certificates.len()).max(1);
        let blocks = certificates.chunks_mut(at_once);
        let blocks = blocks.zip(task.pixels.chunks(at_once * length)).enumerate();
        blocks.for_each(|(block, (certificates, pixels))| {
            let images = certificates.par_iter_mut().zip(pixels.par_chunks(length));
            images
                .enumerate()
                .for_each(|(place, (certificate, pixels))| {
                    let place = block * at_once + place;
                    if certificate.label != certificate.prediction
                        || !(certificate.proved.margin > 0.0)
                    {
                        return;
                    }
                    let image = Image {
                        certifier: self,
                        certificate,
                        pixels,
                        task,
                        at: OnceCell::new(),
                        deadline: task.deadline_of_image(),
                        is_given_up: Cell::new(false),
                    };
                    let Proof { radius, slopes } = find(place, &image);
                    given_up.fetch_add(usize::from(image.is_given_up.get()), Ordering::Relaxed);
                    if radius > certificate.radius.get() {
                        certificate.radius = Lower::claim(radius);
                        certificate.method = Method::Local;
                        certificate.slopes = slopes;
                        certificate.range = self.range;
                    }
                    if radius > certificate.proved.radius {
                        certificate.proved.radius = radius;
                    }
                });
        });
        Ok(given_up.into_inner())
    }

    /// The slopes that prove the prediction to be the largest logit for all inputs within `radius` of an image,
    /// the values of whose nodes are `at` (T38), in the arithmetic of the certificates.
    fn keeps(
        &self,
        at: &[Evaluated],
        image: &Image<'_>,
        radius: f64,
        stated: Option<&[Slopes]>,
    ) -> Option<Vec<Slopes>> {
        let y = image.certificate.prediction;
        let prepared = self.prepared();
        let z = &at[self.logits.0].values;
        let mut rivals: Vec<usize> = (0..z.len()).filter(|&t| t != y).collect();
        // The nearest first, which is where a proof fails.
        rivals.sort_by(|&a, &b| z[b].total_cmp(&z[a]));
        let share = image.task.share;
        let node = self.bounds().network().node(self.logits);
        let seeds = |rivals: &[usize]| {
            let mut seeds = vec![0.0; rivals.len() * z.len()];
            for (row, &t) in seeds.chunks_mut(z.len()).zip(rivals) {
                row[y] = 1.0;
                row[t] = -1.0;
            }
            Rows::of_entries(node, &seeds)
        };
        let (features, logits) = (&at[self.features.0], &at[self.logits.0]);
        // How much a bound of z_y − z_t, less its value at the image, is too small.
        let missing = |t: usize, lower: f64| {
            let margin = sub_down(sub_down(z[y], z[t]), -lower);
            let margin = match image.task.room {
                Room::None => margin,
                Room::Some => sub_down(margin, mul_up(RADIUS_SLACK, (z[y] - z[t]).abs())),
            };
            match self.survives(features, logits, [y, t], margin, radius) {
                true => 0.0,
                // More than nothing, also where only rounding is in the way.
                false => (-margin).max(1e-3 * lower.abs()).max(f64::MIN_POSITIVE),
            }
        };
        let around = |narrowed: Narrowed| {
            let (range, deadline) = (self.range, image.deadline);
            let mut around = Around::new(
                &self.forward,
                prepared,
                at,
                radius,
                range,
                share.numbers,
                deadline,
            );
            around.spread(self.logits.0, narrowed).then_some(around)
        };
        if stated.is_none_or(<[Slopes]>::is_empty) {
            // What is known without a pass back may do, or show that nothing will.
            let around = around(Narrowed::None)?;
            let mut worst = 0.0;
            for rivals in rivals.chunks((share.numbers / prepared.widest).max(1)) {
                let lower = around.lower(self.logits.0, seeds(rivals));
                let pairs = rivals.iter().zip(lower);
                let missing = pairs.map(|(&t, lower)| missing(t, lower) / lower.abs());
                worst = missing.fold(worst, larger);
                if stated.is_none() && !(worst <= prepared.hope) {
                    return None;
                }
                if around.is_late() {
                    return None;
                }
            }
            if worst <= 0.0 {
                return Some(Vec::new());
            }
        }
        let around = around(Narrowed::All)?;
        let mut found = Vec::new();
        for rivals in rivals.chunks(share.chosen) {
            let Some(stated) = stated else {
                found.extend(around.ascend(self.logits.0, rivals, seeds, missing)?);
                continue;
            };
            let bounds = around.lower_with(self.logits.0, rivals, seeds, stated);
            let mut pairs = rivals.iter().zip(bounds);
            if around.is_late() || !pairs.all(|(&t, lower)| missing(t, lower) <= 0.0) {
                return None;
            }
        }
        found.sort_by_key(|slopes| (slopes.rival(), slopes.node()));
        Some(stated.map_or(found, <[Slopes]>::to_vec))
    }
}
