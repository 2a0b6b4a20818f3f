//! [`AuditRun`]: all layers of a model, and the network that they make.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use sigmax_formats::Model;
use sigmax_formats::report::{Excluded, Report, Request, Row};

use crate::error::Error;
use crate::layers::Audited;
use crate::network::Section;
use crate::resources::Resources;
use crate::select::Selection;
use crate::watch::Watch;

/// Whether an audit looks at the network as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum NetworkPart {
    /// Where the file has a graph.
    #[default]
    Included,
    /// Only the layers are audited.
    LeftOut,
}

/// An audit that is ready to run: the layers are picked, the network is read.
#[derive(Debug)]
pub struct AuditRun {
    model: Arc<Model>,
    section: Option<Section>,
    request: Request,
    excluded: Vec<Excluded>,
}

impl AuditRun {
    /// Picks the layers that `request.only` names, without those that `request.exclude` names, and reads
    /// the network: all of it, whatever is picked.
    ///
    /// # Errors
    /// [`Error::NoLayers`], [`Error::Pattern`], [`Error::NoMatch`] and [`Error::NothingLeft`] where there is
    /// nothing to audit, [`Error::File`] where the file cannot be read (any more).
    pub fn new(mut model: Model, request: Request, network: NetworkPart) -> Result<Self, Error> {
        let selection = Selection::parse(&request.only, &request.exclude)?;
        let section = section(&model, network)?;
        let excluded = selection.apply(&mut model)?;
        Ok(Self {
            model: Arc::new(model),
            section,
            request,
            excluded,
        })
    }

    /// All layers, if there are any.
    pub(crate) fn of_all(
        model: Model,
        request: Request,
        network: NetworkPart,
    ) -> Result<Self, Error> {
        Ok(Self {
            section: section(&model, network)?,
            model: Arc::new(model),
            request,
            excluded: Vec::new(),
        })
    }

    /// The model with the layers that are audited.
    #[must_use]
    pub fn model(&self) -> &Arc<Model> {
        &self.model
    }

    /// What was asked for.
    #[must_use]
    pub fn request(&self) -> &Request {
        &self.request
    }

    /// A report without rows: what is known before the run.
    #[must_use]
    pub fn empty_report(&self) -> Report {
        Report {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            file: self.model.file().display().to_string(),
            sha256: None,
            format: self.model.format,
            request: self.request.clone(),
            rows: Vec::with_capacity(self.model.layers.len()),
            skipped: self.model.skipped.clone(),
            excluded: self.excluded.clone(),
            network: None,
            seconds: 0.0,
        }
    }

    /// Audits the layers, then the network.
    ///
    /// # Errors
    /// An error of the watcher; [`Error::Cancelled`], [`Error::Core`], [`Error::Threads`].
    pub fn run<E: From<Error>>(
        self,
        resources: &Resources,
        watch: &mut dyn Watch<E>,
    ) -> Result<Report, E> {
        let started = Instant::now();
        let deadline = resources.deadline();
        let mut report = self.empty_report();
        let total = self.model.layers.len();
        let kernels = self
            .section
            .as_ref()
            .map(Section::kernels)
            .unwrap_or_default();
        let mut audited = Audited::start(
            Arc::clone(&self.model),
            kernels,
            self.request.tolerance,
            deadline,
            resources,
        )?;
        let mut waiting: BTreeMap<usize, Row> = BTreeMap::new();
        while report.rows.len() < total {
            if let Some((index, row)) = audited.next()? {
                waiting.insert(index, row);
            }
            watch.progress(report.rows.len() + waiting.len(), total)?;
            while let Some(row) = waiting.remove(&report.rows.len()) {
                watch.row(&row)?;
                report.rows.push(row);
            }
        }
        if let Some(section) = self.section {
            let file = self.model.file();
            let bound = || section.bound(file, &report.rows, self.request.tolerance, deadline);
            report.network = Some(audited.pool().install(bound)?);
        }
        report.seconds = started.elapsed().as_secs_f64();
        Ok(report)
    }
}

fn section(model: &Model, network: NetworkPart) -> Result<Option<Section>, Error> {
    if model.has_graph() && network == NetworkPart::Included {
        return Section::read(model).map(Some);
    }
    Ok(None)
}
