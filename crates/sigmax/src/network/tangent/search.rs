//! The search for tangents: projected gradients on f + (m/2)·‖δ‖² over a ball that grows with what is
//! found, and steps of minimal residual between them. Nothing here is proved, or needs to be.
//!
//! The least value in the ball is where the projected step d ↦ P(d − s·p) moves nothing. Were the step
//! affine, so would be its residual P(d − s·p) − d, and the last two steps say how it changes along the line
//! through both: the next point is where the residual is the shortest on that line, beside the one before, as
//! in GCR with one direction kept. Where that does not help, the plain step is taken.

use std::collections::VecDeque;

use crate::krylov::dot;
use crate::network::curvature::Curvature;
use crate::network::eval::forward::Inexact;
use crate::network::eval::gradient::{Path, Seed};

/// Images that are searched together.
const TOGETHER: usize = 64;
/// Most gradients for one image and class.
const MOST_STEPS: u32 = 300;
/// Steps without progress after which a class is given up.
const PATIENCE: u32 = 4;
/// Steps without progress after which a plain step is taken.
const RESTART: u32 = 2;
/// Length of a gradient step, in units of 1/(largest curvature that f + (m/2)·‖δ‖² may have). Below 2 it
/// approaches the minimum; that curvature is less nearly everywhere.
const STEP: f64 = 1.3;
/// By how much the ball is larger than what is proved so far.
const REACH: f64 = 1.002;

/// What writing a tangent in steps and stating its radius take from that, relatively, and more.
const SPARE: f64 = 1e-5;

/// How much a search should find.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Effort {
    /// What is asked for: stop at an adversarial image within it.
    pub(crate) asked: f64,
    /// Stop at a radius of this size: a little more than what is asked for, as tangents are written in steps.
    pub(crate) enough: f64,
    /// Relative gain that counts as progress.
    pub(crate) gain: f64,
}

impl Effort {
    /// Full radii.
    #[must_use]
    pub fn full() -> Self {
        Self {
            asked: f64::INFINITY,
            enough: f64::INFINITY,
            gain: 1e-6,
        }
    }

    /// Only whether radii reach `radius`.
    #[must_use]
    pub fn up_to(radius: f64) -> Self {
        Self {
            asked: radius,
            enough: radius * (1.0 + SPARE),
            ..Self::full()
        }
    }
}

/// An image to search, of which its class is proved.
pub(crate) struct Start<'i> {
    pub(crate) image: &'i [f64],
    pub(crate) label: usize,
    /// Radii against all classes that are known already; ∞ for the label itself.
    pub(crate) radii: Vec<f64>,
}

/// What was found for an image.
#[derive(Clone, Debug, Default)]
pub(crate) struct Found {
    /// Offsets against classes.
    pub(crate) offsets: Vec<(usize, Vec<f64>)>,
    /// One to another class.
    pub(crate) adversarial: Option<(usize, Vec<f64>)>,
    /// The class with the least radius, and that radius.
    pub(crate) nearest: Option<(usize, f64)>,
    /// Where the search for it ended.
    pub(crate) towards: Option<Vec<f64>>,
}

/// A class of an image.
struct Rival {
    /// The largest radius so far, and where it was found.
    radius: f64,
    best: Option<Vec<f64>>,
    /// Where the next gradient is taken.
    at: Vec<f64>,
    /// The last projected step.
    last: Option<Step>,
    /// How steps change along a line, with a residual of length 1.
    secant: Option<Step>,
    stalled: u32,
    steps: u32,
    /// Length of the shortest offset with f ≤ 0.
    adversarial: f64,
    done: bool,
}

struct Image<'i> {
    place: usize,
    start: &'i Start<'i>,
    rivals: Vec<Option<Rival>>,
    adversarial: Option<(f64, usize, Vec<f64>)>,
}

/// Searches all images.
pub(crate) fn search(
    path: &Path<'_>,
    curvature: &Curvature,
    starts: &[Start<'_>],
    effort: Effort,
) -> Vec<Found> {
    let mut found: Vec<Found> = starts.iter().map(|_| Found::default()).collect();
    let mut waiting: VecDeque<usize> = (0..starts.len()).collect();
    let mut active: Vec<Image<'_>> = Vec::new();
    loop {
        while active.len() < TOGETHER {
            let Some(place) = waiting.pop_front() else {
                break;
            };
            active.push(Image::new(place, &starts[place]));
        }
        let mut turns = Vec::new();
        active.retain(|image| match image.next(effort) {
            Some(rival) => {
                turns.push(rival);
                true
            }
            None => {
                found[image.place] = image.found();
                false
            }
        });
        if active.is_empty() {
            if waiting.is_empty() {
                return found;
            }
            continue;
        }
        step(path, curvature, &mut active, &turns, effort);
    }
}

/// One gradient for every image, against the class that is its turn.
fn step(
    path: &Path<'_>,
    curvature: &Curvature,
    active: &mut [Image<'_>],
    turns: &[usize],
    effort: Effort,
) {
    let mut points = Vec::new();
    let mut seeds = Vec::new();
    for (sample, (image, &rival)) in active.iter_mut().zip(turns).enumerate() {
        let known = image.start.radii[rival];
        let length = image.start.image.len();
        let state = image.rivals[rival].get_or_insert_with(|| Rival::new(length, known));
        let pixels = image.start.image.iter().zip(&state.at);
        points.extend(pixels.map(|(x, d)| x + d));
        seeds.push(Seed {
            sample,
            plus: image.start.label,
            minus: Some(rival),
        });
    }
    let evaluated = path.points(&points, Inexact::Relative(0.0), &[path.logits()]);
    let gradients = path.gradients(&evaluated, &seeds);
    for (((image, &rival), point), gradient) in
        active.iter_mut().zip(turns).zip(&evaluated).zip(&gradients)
    {
        let z = &point.kept[0].values;
        let label = image.start.label;
        let f = z[label] - z[rival];
        let (m, opposite) = (
            curvature.pair(label, rival).get(),
            curvature.pair(rival, label).get(),
        );
        let Some(state) = &mut image.rivals[rival] else {
            continue;
        };
        if f <= 0.0 {
            let length = norm(&state.at);
            state.adversarial = state.adversarial.min(length);
            if image
                .adversarial
                .as_ref()
                .is_none_or(|(least, ..)| length < *least)
            {
                image.adversarial = Some((length, rival, state.at.clone()));
            }
        }
        state.advance(f, &gradient.values, [m, opposite], effort);
    }
}

impl<'i> Image<'i> {
    fn new(place: usize, start: &'i Start<'i>) -> Self {
        let rivals = start.radii.iter().map(|_| None).collect();
        Self {
            place,
            start,
            rivals,
            adversarial: None,
        }
    }

    fn radius(&self, rival: usize) -> f64 {
        match &self.rivals[rival] {
            Some(state) => state.radius,
            None => self.start.radii[rival],
        }
    }

    /// The class with the least radius.
    fn nearest(&self) -> Option<usize> {
        (0..self.rivals.len())
            .filter(|&t| t != self.start.label)
            .min_by(|&a, &b| self.radius(a).total_cmp(&self.radius(b)))
    }

    /// The same, unless nothing more can come of it.
    fn next(&self, effort: Effort) -> Option<usize> {
        let least = self.nearest()?;
        let reached = self.radius(least) >= effort.enough;
        let attacked = self
            .adversarial
            .as_ref()
            .is_some_and(|(length, ..)| *length <= effort.asked && effort.asked.is_finite());
        let done = self.rivals[least].as_ref().is_some_and(|state| state.done);
        (!reached && !attacked && !done).then_some(least)
    }

    fn found(&self) -> Found {
        let best = |(t, state): (usize, &Option<Rival>)| {
            state
                .as_ref()
                .and_then(|state| Some((t, state.best.clone()?)))
        };
        let nearest = self.nearest();
        let last = nearest.and_then(|t| self.rivals[t].as_ref()?.last.as_ref());
        Found {
            nearest: nearest.map(|t| (t, self.radius(t))),
            towards: last.map(|last| last.next.clone()),
            offsets: self.rivals.iter().enumerate().filter_map(best).collect(),
            adversarial: self
                .adversarial
                .as_ref()
                .map(|(_, rival, offset)| (*rival, offset.clone())),
        }
    }
}

impl Rival {
    fn new(length: usize, radius: f64) -> Self {
        Self {
            radius,
            best: None,
            at: vec![0.0; length],
            last: None,
            secant: None,
            stalled: 0,
            steps: 0,
            adversarial: f64::INFINITY,
            done: false,
        }
    }

    /// Takes the gradient at `at` into account, and moves on.
    fn advance(&mut self, f: f64, gradient: &[f64], [m, opposite]: [f64; 2], effort: Effort) {
        let d = &self.at;
        let p: Vec<f64> = gradient.iter().zip(d).map(|(g, d)| g + m * d).collect();
        let (inner, squares) = (dot(&p, d), dot(d, d));
        let c = f - inner + 0.5 * m * squares;
        let size = norm(&p);
        let radius = if c > 0.0 {
            2.0 * c / (size + (size * size + 2.0 * m * c).sqrt())
        } else {
            0.0
        };
        if radius > self.radius * (1.0 + effort.gain) {
            self.stalled = 0;
        } else {
            self.stalled += 1;
        }
        if radius > self.radius {
            self.radius = radius;
            self.best = Some(d.clone());
        }
        self.steps += 1;
        let tight = self.adversarial <= self.radius * (1.0 + 4.0 * effort.gain);
        self.done = self.stalled >= PATIENCE
            || self.steps >= MOST_STEPS
            || tight
            || !self.radius.is_finite();
        let step = STEP / (m + opposite).max(1e-300);
        let mut next: Vec<f64> = d.iter().zip(&p).map(|(d, p)| d - step * p).collect();
        // A search that does not get on looks beyond what is proved.
        let reach = if self.stalled < RESTART { 1.0 } else { REACH };
        shorten(&mut next, self.radius * reach);
        let residual = difference(&next, d);
        self.secant = self.last.take().and_then(|last| {
            let mut secant = Step {
                residual: difference(&residual, &last.residual),
                next: difference(&next, &last.next),
            };
            if let Some(before) = &self.secant {
                secant.subtract(dot(&before.residual, &secant.residual), before);
            }
            let length = norm(&secant.residual);
            let useful = self.stalled < RESTART && length > 1e-9 * norm(&residual);
            useful.then(|| secant.scaled(1.0 / length))
        });
        let mut at = Step { residual, next };
        self.last = Some(at.clone());
        if let Some(secant) = &self.secant {
            at.subtract(dot(&secant.residual, &at.residual), secant);
        }
        self.at = at.next;
        if self.stalled + 1 == PATIENCE {
            // A search that has converged ends with a look beyond what is proved.
            let factor = self.radius * REACH / norm(&self.at).max(1e-300);
            self.at.iter_mut().for_each(|v| *v *= factor);
        }
        shorten(&mut self.at, self.radius * REACH);
    }
}

/// A projected step and where it leads, or a combination of such.
#[derive(Clone, Debug)]
struct Step {
    residual: Vec<f64>,
    next: Vec<f64>,
}

impl Step {
    fn subtract(&mut self, factor: f64, other: &Self) {
        for (v, o) in self.residual.iter_mut().zip(&other.residual) {
            *v -= factor * o;
        }
        for (v, o) in self.next.iter_mut().zip(&other.next) {
            *v -= factor * o;
        }
    }

    fn scaled(mut self, factor: f64) -> Self {
        let all = self.residual.iter_mut().chain(&mut self.next);
        all.for_each(|v| *v *= factor);
        self
    }
}

fn difference(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a - b).collect()
}

/// Moves a vector into the ball of this radius.
fn shorten(v: &mut [f64], radius: f64) {
    let length = norm(v);
    if length > radius {
        let factor = radius / length;
        v.iter_mut().for_each(|v| *v *= factor);
    }
}

fn norm(v: &[f64]) -> f64 {
    dot(v, v).sqrt()
}
