//! [`CertifyRun`]: how far every image of a set must move to become another class.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::time::Instant;

use sigmax::network::{Certifier, Distances, Effort, Limits, Network};
use sigmax::{Budget, Options};
use sigmax_formats::certificate::{Header, Line, ModelFile, assumptions_of, confirm_constants};
use sigmax_formats::images::{Images, Inputs};
use sigmax_formats::report::{CertifyReport, Ends, NetworkBounds, SecondOrder};
use sigmax_formats::{Model, NetworkError};

use crate::error::Error;
use crate::inputs::{self, Normalisation};
use crate::ledger::{Ledger, refuse_other_files};
use crate::request::{CertificateFile, CertifyRequest, Methods, Radii, Shard};
use crate::resources::Resources;
use crate::share::per_node;
use crate::watch::Watch;

/// Images that are certified between two looks at the clock.
const BLOCK: usize = 1024;
/// The same where bounds around them are tried, which may take a second each.
const LOCAL_BLOCK: usize = 32;
/// Relative distance between radii by bounds around images and the next that was tried.
const RESOLUTION: f64 = 0.02;
/// Values of a block of images.
const BLOCK_VALUES: usize = 1 << 23;

/// A certification that is ready to run: network and images are read, and they fit.
#[derive(Debug)]
pub struct CertifyRun {
    model: Model,
    request: CertifyRequest,
    network: Network,
    inputs: Inputs,
    /// The images that are certified.
    selected: Vec<usize>,
    normalisation: Option<Normalisation>,
    assumptions: Vec<String>,
}

impl CertifyRun {
    /// Reads network and images.
    ///
    /// # Errors
    /// [`Error::File`] and [`Error::Network`] where they cannot be read; [`Error::NoConstant`] for a network
    /// without a rule for every node; [`Error::PixelRange`], [`Error::Normalisation`],
    /// [`Error::Precision`] and the like where the images, the normalisation or the arithmetic do not
    /// fit the model.
    pub fn new(mut model: Model, request: CertifyRequest) -> Result<Self, Error> {
        if let Some(size) = &request.input_size {
            model.set_input_size(size)?;
        }
        if request.no_batch {
            model.set_no_batch()?;
        }
        let images = Images::open(&request.images, request.labels.as_deref(), request.limit)?;
        let found = match model.network() {
            Ok(found) => found,
            Err(NetworkError::NoRule(reason)) => {
                return Err(Error::NoConstant {
                    file: model.file().to_owned(),
                    blockers: reason.blockers,
                });
            }
            Err(error) => return Err(error.into()),
        };
        if let Err(reason) = found.precision.check(request.arithmetic) {
            let file = model.file().to_owned();
            return Err(Error::Precision { file, reason });
        }
        let assumptions = assumptions_of(&found, request.arithmetic);
        let (network, inputs, normalisation) = inputs::prepare(&request, found.network, images)?;
        let count = inputs.images().len();
        let selected = match request.shard {
            Some(shard) => shard.images(count).collect(),
            None => (0..count).collect(),
        };
        Ok(Self {
            selected,
            model,
            request,
            network,
            inputs,
            normalisation,
            assumptions,
        })
    }

    /// Proves the norms, then certifies the images; certificates are written to `file` as they come.
    ///
    /// Half of a budget is for the norms. Images that are not reached are not counted, and the report
    /// says that it is not complete.
    ///
    /// # Errors
    /// An error of the watcher; [`Error::Cancelled`]; [`Error::Core`] where the network is no classifier;
    /// [`Error::Label`] for labels that are no classes; [`Error::Resume`] for certificates of something
    /// else, [`Error::Occupied`] for a file of something else; [`Error::Write`] where the file cannot be
    /// written.
    pub fn run<E: From<Error>>(
        self,
        file: Option<&CertificateFile>,
        resources: &Resources,
        watch: &mut dyn Watch<E>,
    ) -> Result<CertifyReport, E> {
        let started = Instant::now();
        let deadline = resources.deadline();
        file.map_or(Ok(()), refuse_other_files)?;
        let pool = resources.pool()?;
        let (certifier, second_order) = pool.install(|| self.certifier(deadline))?;
        let header = self.header(&certifier)?;
        let mut ledger = match file {
            Some(file) => {
                let open = || {
                    let (inputs, selected) = (&self.inputs, &self.selected);
                    Ledger::open(file, &header, &certifier, inputs, selected, deadline)
                };
                Some(pool.install(open)?)
            }
            None => None,
        };
        let mut report = self.report(&header, &certifier, second_order);
        for done in ledger.iter().flat_map(|ledger| ledger.done()) {
            count(&mut report, done.right, done.ends);
        }
        report.resumed = report.total;
        let images = &self.selected;
        let length: usize = self.inputs.fit().input().iter().product();
        let most = match (self.distances(), certifier.curvature()) {
            (Some(_), None) => LOCAL_BLOCK,
            // A search by curvature takes many images at once.
            _ => BLOCK,
        };
        let block = (BLOCK_VALUES / length).clamp(1, most);
        let first = report.total;
        while report.total < images.len() {
            resources.cancel.check()?;
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                report.complete = false;
                break;
            }
            // A run that was interrupted goes on with the same blocks.
            let end = (report.total / block + 1) * block;
            let places = &images[report.total..end.min(images.len())];
            let done = pool.install(|| self.lines(&certifier, places, deadline))?;
            report.local = report.local.map(|sum| sum + done.seconds);
            report.unfinished += done.unfinished;
            let mut text = String::new();
            for (right, ends, line) in done.lines {
                count(&mut report, right, ends);
                if ledger.is_some() {
                    text += &line.line();
                }
            }
            if let Some(ledger) = &mut ledger {
                ledger.write(&text)?;
            }
            watch.progress(report.total - first, images.len() - first)?;
        }
        if let Some(ledger) = ledger {
            ledger.finish()?;
        }
        report.seconds = started.elapsed().as_secs_f64();
        Ok(report)
    }

    fn core(&self, source: sigmax::Error) -> Error {
        Error::Core {
            file: self.model.file().to_owned(),
            source,
        }
    }

    /// The certifier, and whether it knows the curvature.
    fn certifier(&self, deadline: Option<Instant>) -> Result<(Certifier, SecondOrder), Error> {
        let found = match &self.request.constants {
            Some(path) => self.stated_certifier(path, deadline)?,
            None => self.own_certifier(deadline)?,
        };
        self.check_labels(found.0.classes())?;
        Ok(found)
    }

    /// One with constants that a file states, once they are confirmed.
    fn stated_certifier(
        &self,
        path: &Path,
        deadline: Option<Instant>,
    ) -> Result<(Certifier, SecondOrder), Error> {
        let file = File::open(path).map_err(|error| Error::read(path, error))?;
        let input = &mut BufReader::new(file);
        let (certifier, line) = confirm_constants(path, input, self.model.file(), deadline)?;
        let wanted = |certifier: &Certifier| {
            certifier.arithmetic() == self.request.arithmetic
                && Some(certifier.range()) == self.range().ok()
                && match self.request.methods {
                    Methods::Best => true,
                    Methods::Curvature => certifier.curvature().is_some(),
                    Methods::Global | Methods::Local => certifier.curvature().is_none(),
                }
        };
        if !wanted(&certifier) || self.header(&certifier)?.line() != line {
            return Err(Error::Constants {
                file: path.to_owned(),
            });
        }
        let second_order = match (certifier.curvature(), self.request.methods) {
            (Some(_), _) => SecondOrder::Used,
            (None, Methods::Best) => SecondOrder::NotKnown("the constants state none".to_owned()),
            (None, _) => SecondOrder::NotAsked,
        };
        Ok((certifier, second_order))
    }

    /// Between which the pixels lie of the inputs that are spoken of.
    fn range(&self) -> Result<Option<[f64; 2]>, Error> {
        inputs::range(&self.request, self.inputs.images().units())
    }

    /// One whose constants are proved now.
    fn own_certifier(&self, deadline: Option<Instant>) -> Result<(Certifier, SecondOrder), Error> {
        let options = Options {
            tolerance: self.request.tolerance,
            // The other half is for the images.
            budget: per_node(deadline, &self.network, 2),
        };
        let mut certifier = Certifier::new(&self.network, &options, self.request.arithmetic)
            .map_err(|error| self.core(error))?;
        if let Some(range) = self.range()? {
            certifier = certifier.within(range).map_err(|error| self.core(error))?;
        }
        let mut second_order = SecondOrder::NotAsked;
        if matches!(self.request.methods, Methods::Best | Methods::Curvature) {
            let left = |deadline: Instant| deadline.saturating_duration_since(Instant::now()) / 2;
            let options = Options {
                budget: Budget {
                    time: deadline.map(left),
                    ..Budget::default()
                },
                ..options
            };
            second_order = match certifier.bound_curvature(&options) {
                Ok(()) => SecondOrder::Used,
                Err(reason @ sigmax::Error::NoCurvature { .. })
                    if self.request.methods == Methods::Best =>
                {
                    SecondOrder::NotKnown(reason.to_string())
                }
                Err(sigmax::Error::OutOfTime) if self.request.methods == Methods::Best => {
                    SecondOrder::NotKnown(
                        "it was not bounded in the time that was given".to_owned(),
                    )
                }
                Err(error) => return Err(self.core(error)),
            }
        }
        Ok((certifier, second_order))
    }

    fn check_labels(&self, classes: usize) -> Result<(), Error> {
        let images = self.inputs.images();
        match (0..images.len()).find(|&i| images.label(i) >= classes) {
            None => Ok(()),
            Some(i) => {
                let file = self.request.labels.as_ref().unwrap_or(&self.request.images);
                Err(Error::Label {
                    file: file.clone(),
                    image: images.name(i),
                    label: images.label(i),
                    classes,
                })
            }
        }
    }

    fn header(&self, certifier: &Certifier) -> Result<Header, Error> {
        let normalisation = self.normalisation.as_ref();
        Ok(Header::new(
            certifier,
            ModelFile::of(&self.model)?,
            self.assumptions.clone(),
            normalisation.map(|(mean, std)| (&mean[..], &std[..])),
            self.request.input_size.as_deref(),
            self.inputs.fit(),
        ))
    }

    /// A report without images.
    fn report(
        &self,
        header: &Header,
        certifier: &Certifier,
        second_order: SecondOrder,
    ) -> CertifyReport {
        CertifyReport {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            file: self.model.file().display().to_string(),
            sha256: Some(header.model.sha256.clone()),
            images: self.request.images.display().to_string(),
            fit: self.inputs.fit().clone(),
            units: self.inputs.images().units(),
            range: certifier.range(),
            arithmetic: self.request.arithmetic.name().to_owned(),
            mean: self.request.mean.clone(),
            std: self.request.std.clone(),
            lipschitz: certifier.bounds().upper(),
            part: self.request.shard.map(Shard::numbers),
            asked: self.selected.len(),
            total: 0,
            resumed: 0,
            correct: 0,
            second_order,
            local: self.distances().map(|_| 0.0),
            unfinished: 0,
            ends: Vec::new(),
            eps: self.request.eps.clone(),
            seconds: 0.0,
            network: NetworkBounds::new(certifier.bounds(), &[], &[]),
            complete: true,
            assumptions: self.assumptions.clone(),
        }
    }

    /// How far radii are searched.
    fn effort(&self) -> Effort {
        let largest = self.request.eps.iter().copied().fold(0.0, f64::max);
        match self.request.radii {
            Radii::UpToEps if largest > 0.0 => Effort::up_to(largest),
            _ => Effort::full(),
        }
    }

    /// What bounds around images are asked for, if anything.
    fn distances(&self) -> Option<Distances> {
        let asked = self.request.eps.iter().copied().filter(|&eps| eps > 0.0);
        let only = Some(Distances::Only(asked.collect()));
        let only = only.filter(|_| self.request.eps.iter().any(|&eps| eps > 0.0));
        match (self.request.methods, self.request.radii) {
            (Methods::Global | Methods::Curvature, _) => None,
            (Methods::Local, Radii::Full) => Some(Distances::Largest {
                resolution: RESOLUTION,
            }),
            _ => only,
        }
    }

    /// Certifies some images.
    fn lines(
        &self,
        certifier: &Certifier,
        places: &[usize],
        deadline: Option<Instant>,
    ) -> Result<Done, Error> {
        let images = self.inputs.images();
        let pixels: Vec<f64> = places.iter().flat_map(|&i| self.inputs.values(i)).collect();
        let labels: Vec<usize> = places.iter().map(|&i| images.label(i)).collect();
        let exact = images.is_exact();
        let mut certificates = certifier
            .search(&pixels, &labels, exact, self.effort())
            .map_err(|error| self.core(error))?;
        let started = Instant::now();
        let mut unfinished = 0;
        if let Some(distances) = self.distances() {
            let limits = Limits {
                until: deadline,
                each: self.request.image_budget,
                memory: self.request.memory,
            };
            unfinished = certifier
                .enlarge(&pixels, exact, &mut certificates, &distances, limits)
                .map_err(|error| self.core(error))?;
        }
        let seconds = started.elapsed().as_secs_f64();
        let lines = places
            .iter()
            .zip(&certificates)
            .map(|(&index, found)| {
                let right = found.prediction() == found.label();
                let line = Line::new(found, &self.inputs, index);
                (right, Ends::new(found, &line), line)
            })
            .collect();
        Ok(Done {
            lines,
            seconds,
            unfinished,
        })
    }
}

/// Images that are done.
struct Done {
    /// Of each, whether its class is right as evaluated, between what the nearest input of another
    /// class lies, and its line.
    lines: Vec<(bool, Ends, Line)>,
    /// What bounds around them took, and of how many they were not finished.
    seconds: f64,
    unfinished: usize,
}

fn count(report: &mut CertifyReport, right: bool, ends: Ends) {
    report.total += 1;
    report.correct += usize::from(right);
    report.ends.push(ends);
}
