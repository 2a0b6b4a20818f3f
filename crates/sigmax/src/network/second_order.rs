//! Certificates by curvature: closed forms, the search for tangents, and their proof (T36).

use std::time::Instant;

use rayon::prelude::*;

use crate::bound::options::{Budget, Options};
use crate::claim::Upper;
use crate::error::{Error, Misfit};
use crate::network::certificate::Certificate;
use crate::network::certify::{AtImage, Certifier, Errors, Evidence, RADIUS_SLACK, inexactness};
use crate::network::curvature::{self, Curvature, Ways};
use crate::network::eval::forward::Inexact;
use crate::network::eval::gradient::{Path, Seed};
use crate::network::eval::rounds::norm_up;
use crate::network::tangent::search::{Effort, Found, Start, search};
use crate::network::tangent::{MOST_DIGITS, Parabola, Tangent, point};
use crate::rounding::sub_down;

/// By how much offsets are longer, where none to another class was met: 1 stands for that one.
const BEYOND: [f64; 3] = [1.0, 1.001, 1.003];

/// Images that one thread works on.
const TASK: usize = 256;

/// What leaving digits away may take from a radius, relatively: no more than it is made smaller by when it
/// is stated.
const LOSS: f64 = RADIUS_SLACK;

/// A gradient that is asked for: of z_y − z_rival for image `image`, at an offset from it (none: at the
/// image).
struct Request<'t> {
    image: usize,
    rival: usize,
    tangent: Option<&'t Tangent>,
}

impl<'t> Request<'t> {
    fn of(image: usize, tangent: &'t Tangent) -> Self {
        Self {
            image,
            rival: tangent.rival(),
            tangent: Some(tangent),
        }
    }
}

/// Against a class, or to it.
type Offset = (usize, Vec<f64>);

/// Images that are worked on together.
#[derive(Clone, Copy)]
struct Set<'i> {
    images: &'i [f64],
    exact: bool,
    all: &'i [AtImage],
}

impl<'i> Set<'i> {
    fn image(self, index: usize, length: usize) -> &'i [f64] {
        &self.images[index * length..][..length]
    }
}

impl Certifier {
    /// Uses the curvature of the network too: it is bounded now in this budget, and enlarged so that
    /// [`Certifier::confirm_curvature`] confirms it elsewhere.
    ///
    /// # Errors
    /// As [`curvature`](crate::network::curvature).
    pub fn bound_curvature(&mut self, options: &Options) -> Result<(), Error> {
        self.curvature = Some(self.proved_curvature(options.budget)?.enlarged());
        Ok(())
    }

    /// To the usual tolerance, whatever norms are proved to: two proofs differ by no more.
    fn proved_curvature(&self, budget: Budget) -> Result<Curvature, Error> {
        let options = Options {
            budget,
            ..Options::default()
        };
        curvature::of_forward(self.bounds(), &self.forward, &options, Ways::Best)
    }

    /// Uses a curvature that somebody states, once it is confirmed: `stated` has m for every ordered pair
    /// of classes, row by row, and 0 on the diagonal. It is proved anew, until a point in time.
    ///
    /// # Guarantee
    /// What is used is proved, whatever was stated.
    ///
    /// # Errors
    /// [`Error::Node`] where a number is smaller than what is proved, or there are more or fewer of them;
    /// [`Error::OutOfTime`]; and as [`curvature`](crate::network::curvature).
    pub fn confirm_curvature(
        &mut self,
        stated: &[f64],
        deadline: Option<Instant>,
    ) -> Result<(), Error> {
        let name = &self.bounds().network().node(self.logits).name;
        let (found, pairs) = (stated.len(), self.classes * self.classes);
        if found != pairs {
            let stated = found;
            return Err(Error::node(name, Misfit::StatedPairs { stated, pairs }));
        }
        let time = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        if time.is_some_and(|time| time.is_zero()) {
            return Err(Error::OutOfTime);
        }
        let budget = Budget {
            time,
            ..Budget::default()
        };
        let proved = self.proved_curvature(budget)?;
        let replaced = proved.replaced(stated).map_err(|[y, t]| {
            let value = stated[y * self.classes + t];
            Error::node(name, Misfit::Curvature { y, t, value })
        })?;
        self.curvature = Some(replaced);
        Ok(())
    }

    /// The curvature that is used, if one is.
    #[must_use]
    pub fn curvature(&self) -> Option<&Curvature> {
        self.curvature.as_ref()
    }

    /// As [`Certifier::certify`], and searches for the points that prove the largest radii; what it
    /// finds on the other side is in [`Certificate::adversarial`], if inputs may be anything. Without a
    /// curvature nothing is searched.
    ///
    /// # Errors
    /// As [`Certifier::certify`].
    pub fn search(
        &self,
        images: &[f64],
        labels: &[usize],
        exact: bool,
        effort: Effort,
    ) -> Result<Vec<Certificate>, Error> {
        let Some((curvature, path)) = self.smooth() else {
            return self.certify(images, labels, exact);
        };
        let task = |images: &[f64], all: Vec<AtImage>| {
            let set = Set {
                images,
                exact,
                all: &all,
            };
            let closed = self.closed(&path, curvature, set, effort.enough);
            let found = self.proposals(&path, curvature, set, &closed, effort);
            let adversarial = match self.range {
                None => self.adversarial(set, &found),
                // What is found has entries beyond any range.
                Some(_) => vec![None; set.all.len()],
            };
            let (evidence, tangents) = self.written(&path, curvature, set, closed, &found, effort);
            let certificates = self.certificates(all, evidence, tangents);
            certificates
                .into_iter()
                .zip(adversarial)
                .map(|(mut certificate, found)| {
                    certificate.adversarial = certificate.adversarial.or(found);
                    certificate
                })
                .collect()
        };
        self.in_tasks(images, labels, exact, task)
    }

    /// As [`Certifier::certify`], with tangents for every image.
    ///
    /// # Errors
    /// As [`Certifier::certify`]; [`Error::Length`] for a tangent that does not fit the input,
    /// [`Error::Label`] for one against a class that does not exist.
    pub fn certify_by(
        &self,
        images: &[f64],
        labels: &[usize],
        exact: bool,
        tangents: &[Vec<Tangent>],
    ) -> Result<Vec<Certificate>, Error> {
        let length = self.bounds().network().input().len();
        for tangent in tangents.iter().flatten() {
            if tangent.steps().len() != length {
                return Err(Error::Length {
                    shape: self.bounds().network().input().shape.clone(),
                    expected: length,
                    got: tangent.steps().len(),
                });
            }
            if tangent.rival() >= self.classes() {
                return Err(Error::Label {
                    label: tangent.rival(),
                    classes: self.classes(),
                });
            }
        }
        let Some((curvature, path)) = self.smooth() else {
            return self.certify(images, labels, exact);
        };
        if tangents.len() * length != images.len() {
            return Err(Error::Labels {
                labels: tangents.len(),
                images: images.len() / length,
            });
        }
        let all = self.at_images(images, labels, exact)?;
        let set = Set {
            images,
            exact,
            all: &all,
        };
        let closed = self.closed(&path, curvature, set, f64::INFINITY);
        let evidence = self.with_tangents(&path, curvature, set, closed, tangents);
        Ok(self.certificates(all, evidence, tangents.to_vec()))
    }

    fn smooth(&self) -> Option<(&Curvature, Path<'_>)> {
        let curvature = self.curvature.as_ref()?;
        Some((curvature, Path::new(&self.forward, self.logits).ok()?))
    }

    /// Works on blocks of images in parallel.
    fn in_tasks(
        &self,
        images: &[f64],
        labels: &[usize],
        exact: bool,
        task: impl Fn(&[f64], Vec<AtImage>) -> Vec<Certificate> + Sync,
    ) -> Result<Vec<Certificate>, Error> {
        let length = self.bounds().network().input().len();
        let mut all = self.at_images(images, labels, exact)?;
        let mut blocks = Vec::new();
        while all.len() > TASK {
            let rest = all.split_off(TASK);
            blocks.push(std::mem::replace(&mut all, rest));
        }
        blocks.push(all);
        Ok(blocks
            .into_par_iter()
            .zip(images.par_chunks(TASK * length).chain([&[][..]]))
            .flat_map_iter(|(all, images)| task(images, all))
            .collect())
    }

    /// Evidence with that of tangents.
    fn with_tangents(
        &self,
        path: &Path<'_>,
        curvature: &Curvature,
        set: Set<'_>,
        mut evidence: Vec<Vec<Evidence>>,
        tangents: &[Vec<Tangent>],
    ) -> Vec<Vec<Evidence>> {
        let requests: Vec<Request<'_>> = tangents
            .iter()
            .enumerate()
            .flat_map(|(image, tangents)| tangents.iter().map(move |t| Request::of(image, t)))
            .filter(|request| request.rival != set.all[request.image].prediction)
            .collect();
        let found = self.parabolas(path, curvature, set, &requests);
        for (request, found) in requests.iter().zip(found) {
            evidence[request.image].push(found);
        }
        evidence
    }

    /// Tangents at the offsets that were found, and the evidence with them. Each has as few digits as keep
    /// its radius at the image's target.
    fn written(
        &self,
        path: &Path<'_>,
        curvature: &Curvature,
        set: Set<'_>,
        mut evidence: Vec<Vec<Evidence>>,
        found: &[Found],
        effort: Effort,
    ) -> (Vec<Vec<Evidence>>, Vec<Vec<Tangent>>) {
        let targets = self.targets(path, curvature, set, &evidence, found, effort);
        let mut tangents: Vec<Vec<Tangent>> = set.all.iter().map(|_| Vec::new()).collect();
        let mut open: Vec<(usize, &Offset)> = Vec::new();
        for (image, found) in found.iter().enumerate() {
            open.extend(found.offsets.iter().map(|offset| (image, offset)));
        }
        for digits in 1..=MOST_DIGITS {
            let tried: Vec<Tangent> = open
                .iter()
                .map(|(_, (rival, offset))| Tangent::near(*rival, offset, digits))
                .collect();
            let requests = open.iter().zip(&tried);
            let requests: Vec<Request<'_>> = requests
                .map(|(&(image, _), tangent)| Request::of(image, tangent))
                .collect();
            let said = self.parabolas(path, curvature, set, &requests);
            let mut left = Vec::new();
            for ((place, tangent), said) in open.into_iter().zip(tried).zip(said) {
                let (image, (rival, _)) = place;
                let alone = std::slice::from_ref(&said);
                let proved = self.against(&set.all[image], *rival, alone, Errors::Thrice);
                if proved.radius >= targets[image] || digits == MOST_DIGITS {
                    evidence[image].push(said);
                    tangents[image].push(tangent);
                } else {
                    left.push(place);
                }
            }
            open = left;
        }
        for tangents in &mut tangents {
            tangents.sort_by_key(Tangent::rival);
        }
        (evidence, tangents)
    }

    /// The radius that the tangents of every image should have: what the nearest class has with all digits,
    /// or what is enough, but for what leaving digits away may take.
    fn targets(
        &self,
        path: &Path<'_>,
        curvature: &Curvature,
        set: Set<'_>,
        evidence: &[Vec<Evidence>],
        found: &[Found],
        effort: Effort,
    ) -> Vec<f64> {
        let finest = found.iter().map(|found| {
            let of_nearest = found
                .offsets
                .iter()
                .filter(|(t, _)| found.nearest.is_some_and(|(nearest, _)| nearest == *t));
            let finest = of_nearest.map(|(t, offset)| Tangent::near(*t, offset, MOST_DIGITS));
            finest.collect()
        });
        let finest: Vec<Vec<Tangent>> = finest.collect();
        let evidence = self.with_tangents(path, curvature, set, evidence.to_vec(), &finest);
        let all = found.iter().zip(&evidence).zip(set.all);
        all.map(|((found, evidence), at)| {
            let against = |t| self.against(at, t, evidence, Errors::Thrice).radius;
            let least = found.nearest.map_or(0.0, |(t, _)| against(t));
            least.min(effort.enough) * (1.0 - LOSS)
        })
        .collect()
    }

    fn certificates(
        &self,
        all: Vec<AtImage>,
        evidence: Vec<Vec<Evidence>>,
        tangents: Vec<Vec<Tangent>>,
    ) -> Vec<Certificate> {
        all.into_iter()
            .zip(evidence)
            .zip(tangents)
            .map(|((at, evidence), tangents)| self.certificate(at, &evidence, tangents))
            .collect()
    }

    /// What the images themselves say of every class against which the constants do not give `enough`.
    fn closed(
        &self,
        path: &Path<'_>,
        curvature: &Curvature,
        set: Set<'_>,
        enough: f64,
    ) -> Vec<Vec<Evidence>> {
        let mut requests = Vec::new();
        for (image, at) in set.all.iter().enumerate() {
            for rival in (0..self.classes()).filter(|&t| t != at.prediction) {
                let first = self.against(at, rival, &[], Errors::Thrice);
                if first.margin > 0.0 && !(first.radius >= enough) {
                    requests.push(Request {
                        image,
                        rival,
                        tangent: None,
                    });
                }
            }
        }
        let mut evidence: Vec<Vec<Evidence>> = set.all.iter().map(|_| Vec::new()).collect();
        let found = self.parabolas(path, curvature, set, &requests);
        for (request, found) in requests.iter().zip(found) {
            evidence[request.image].push(found);
        }
        evidence
    }

    /// What points say, in the order of the requests, which are sorted by image.
    fn parabolas(
        &self,
        path: &Path<'_>,
        curvature: &Curvature,
        set: Set<'_>,
        requests: &[Request<'_>],
    ) -> Vec<Evidence> {
        let length = self.bounds().network().input().len();
        requests
            .par_chunks(self.forward.chunk())
            .flat_map_iter(|requests| {
                let (mut points, mut errors, mut seeds) = (Vec::new(), Vec::new(), Vec::new());
                let mut offsets = Vec::with_capacity(requests.len());
                let mut last = None;
                for request in requests {
                    let offset = match request.tangent {
                        Some(tangent) => tangent.offset(),
                        None => vec![0.0; length],
                    };
                    // The same image for several classes.
                    if request.tangent.is_some() || last != Some(request.image) {
                        let (x, error) = point(
                            set.image(request.image, length),
                            &offset,
                            inexactness(set.exact),
                        );
                        points.extend(x);
                        errors.push(error);
                    }
                    last = request.tangent.is_none().then_some(request.image);
                    offsets.push(offset);
                    seeds.push(Seed {
                        sample: errors.len() - 1,
                        plus: set.all[request.image].prediction,
                        minus: Some(request.rival),
                    });
                }
                let keep = [self.features, self.logits];
                let evaluated = path.points(&points, Inexact::Each(&errors), &keep);
                let gradients = path.gradients(&evaluated, &seeds);
                requests
                    .iter()
                    .zip(seeds)
                    .zip(gradients)
                    .zip(offsets)
                    .map(|(((request, seed), gradient), offset)| {
                        let [features, logits] = &evaluated[seed.sample].kept[..] else {
                            unreachable!("both nodes are kept")
                        };
                        let pair = [seed.plus, request.rival];
                        let (value, error) = self.margin(features, logits, pair);
                        let m = curvature.pair(seed.plus, request.rival).get();
                        let parabola = |errors: Errors| {
                            let times = errors.times();
                            Parabola::new(value, error, &gradient, &offset, m, times)
                        };
                        Evidence {
                            rival: request.rival,
                            published: parabola(Errors::Thrice),
                            proved: parabola(Errors::Once),
                        }
                    })
                    .collect::<Vec<_>>()
            })
            .collect()
    }

    /// Offsets that the search proposes, and what it found on the other side.
    fn proposals(
        &self,
        path: &Path<'_>,
        curvature: &Curvature,
        set: Set<'_>,
        closed: &[Vec<Evidence>],
        effort: Effort,
    ) -> Vec<Found> {
        let length = self.bounds().network().input().len();
        let mut places = Vec::new();
        let mut starts = Vec::new();
        for (i, (at, evidence)) in set.all.iter().zip(closed).enumerate() {
            if at.prediction != at.label {
                continue;
            }
            let radii: Vec<f64> = (0..self.classes())
                .map(|t| match t == at.label {
                    true => f64::INFINITY,
                    false => self.against(at, t, evidence, Errors::Thrice).radius,
                })
                .collect();
            let image = set.image(i, length);
            places.push(i);
            starts.push(Start {
                image,
                label: at.label,
                radii,
            });
        }
        let found = search(path, curvature, &starts, effort);
        let mut proposals: Vec<Found> = set.all.iter().map(|_| Found::default()).collect();
        for ((place, start), mut found) in places.into_iter().zip(&starts).zip(found) {
            // An offset whose class has the least radius without it, too, is not needed.
            let least = found.nearest.map_or(f64::INFINITY, |(_, radius)| radius);
            found.offsets.retain(|(t, _)| start.radii[*t] < least);
            proposals[place] = found;
        }
        proposals
    }

    /// Upper bounds of the distance of images of another class, as far as that is proved of what was
    /// found.
    fn adversarial(&self, set: Set<'_>, found: &[Found]) -> Vec<Option<Upper>> {
        let mut bounds = vec![None; set.all.len()];
        for factor in BEYOND {
            let candidates: Vec<(usize, usize, Vec<f64>)> = found
                .iter()
                .enumerate()
                .filter(|(i, _)| bounds[*i].is_none())
                .filter_map(|(i, found)| {
                    let (t, offset) = beyond(found, factor)?;
                    Some((i, t, offset))
                })
                .collect();
            self.of_another_class(set, &candidates, &mut bounds);
        }
        bounds
    }

    /// Which of these offsets are proved to lead to their class.
    fn of_another_class(
        &self,
        set: Set<'_>,
        candidates: &[(usize, usize, Vec<f64>)],
        bounds: &mut [Option<Upper>],
    ) {
        let length = self.bounds().network().input().len();
        let (mut points, mut errors) = (Vec::new(), Vec::new());
        for (i, _, offset) in candidates {
            let (x, error) = point(set.image(*i, length), offset, inexactness(set.exact));
            points.extend(x);
            errors.push(error);
        }
        let keep = [self.features, self.logits];
        let evaluated = self
            .forward
            .evaluated(&points, Inexact::Each(&errors), &keep);
        for ((i, t, offset), kept) in candidates.iter().zip(&evaluated) {
            let [features, logits] = &kept[..] else {
                continue;
            };
            let (computed, error) = self.margin(features, logits, [*t, set.all[*i].label]);
            if sub_down(computed, error) > 0.0 {
                bounds[*i] = Some(Upper::claim(norm_up(offset)));
            }
        }
    }
}

/// An offset to another class: the one that was met, or one that is longer by a factor than the least
/// radius, in the direction in which that was found.
fn beyond(found: &Found, factor: f64) -> Option<Offset> {
    if found.adversarial.is_some() {
        return found.adversarial.clone().filter(|_| factor <= 1.0);
    }
    let ((t, radius), offset) = found.nearest.zip(found.towards.as_ref())?;
    let scale = factor * radius / norm_up(offset);
    let longer = factor > 1.0 && scale.is_finite();
    longer.then(|| (t, offset.iter().map(|d| scale * d).collect()))
}
