//! Confirms a file of certificates from itself and the model file alone.
//!
//! The bounds of the nodes are confirmed by [`confirm_bounds`], without the search that found them, and
//! the curvature is proved anew; then every image is evaluated again and what is stated of it compared with what that proves.

use std::io::BufRead;
use std::path::Path;
use std::time::Instant;

use sigmax::network::{
    Arithmetic, Certificate, Certifier, Channels, Network, confirm_bounds_until,
};

use super::lines::Lines;
use super::tangent::misfit;
use super::{Header, Line, ModelFile, assumptions_of, claim, slopes};
use crate::error::Error;
use crate::images::is_arranged;
use crate::model::Model;
use crate::model::format::Format;
use crate::model::network::{NO_BATCH, NetworkError};

/// Lines that are confirmed at a time, and their length.
const BLOCK: usize = 256;
const BLOCK_BYTES: usize = 1 << 27;

/// What was confirmed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Confirmed {
    /// Images; 0 where the first line is alone, of which nothing but what it states of the model is confirmed.
    pub images: usize,
    /// Images with a radius above 0.
    pub certified: usize,
    /// Between which the pixels lie of the inputs that the radii speak of; `None`: of all inputs.
    pub range: Option<[f64; 2]>,
    /// The arithmetic that they speak of.
    pub arithmetic: Arithmetic,
}

/// Confirms the certificates that `input`, called `name`, holds for the model at `model`.
///
/// # Guarantee
/// If it returns, every claim in the file follows from its assumptions, whoever wrote the file.
///
/// # Errors
/// [`Error::NotConfirmed`] for the first line that is not confirmed: another model, altered
/// assumptions, bounds, pixels, or radii. [`Error::NoCertificate`] for text that is not that of
/// certificates; and as [`Model::open`].
pub fn confirm(name: &Path, input: &mut dyn BufRead, model: &Path) -> Result<Confirmed, Error> {
    confirm_until(name, input, model, None)
}

/// The same until a point in time, if there is one: what is not confirmed by then is not confirmed.
///
/// # Errors
/// As [`confirm`].
pub fn confirm_until(
    name: &Path,
    input: &mut dyn BufRead,
    model: &Path,
    deadline: Option<Instant>,
) -> Result<Confirmed, Error> {
    let mut lines = Lines::new(name, input);
    let certifier = confirm_first(&mut lines, model, deadline)?.0;
    let mut confirmed = Confirmed {
        images: 0,
        certified: 0,
        range: certifier.range(),
        arithmetic: certifier.arithmetic(),
    };
    let mut last = None;
    loop {
        let start = lines.number;
        let (mut block, mut bytes) = (Vec::new(), 0);
        while block.len() < BLOCK && bytes < BLOCK_BYTES {
            let Some(text) = lines.next()? else { break };
            bytes += text.len();
            let line = Line::parse(&text).map_err(|reason| lines.malformed(reason))?;
            if last.is_some_and(|last| line.index <= last) {
                return Err(lines.refuse(format!(
                    "image {} comes after one of that number or a larger one",
                    line.index
                )));
            }
            last = Some(line.index);
            block.push(line);
        }
        if block.is_empty() {
            return Ok(confirmed);
        }
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return Err(lines.refuse(sigmax::Error::OutOfTime.to_string()));
        }
        if let Err((place, reason)) = confirm_lines(&certifier, &block, deadline) {
            lines.number = start + place + 1;
            return Err(lines.refuse(reason));
        }
        let certified = block.iter().filter(|line| line.radius > 0.0);
        confirmed.images += block.len();
        confirmed.certified += certified.count();
    }
}

/// Confirms what the first line of a file of certificates states of the model at `model`: a certifier with these
/// constants, and the line.
///
/// # Errors
/// As [`confirm`].
pub fn confirm_constants(
    name: &Path,
    input: &mut dyn BufRead,
    model: &Path,
    deadline: Option<Instant>,
) -> Result<(Certifier, String), Error> {
    confirm_first(&mut Lines::new(name, input), model, deadline)
}

fn confirm_first(
    lines: &mut Lines<'_>,
    model: &Path,
    deadline: Option<Instant>,
) -> Result<(Certifier, String), Error> {
    let Some(first) = lines.next()? else {
        return Err(lines.malformed("it is empty"));
    };
    let header = Header::parse(&first).map_err(|reason| lines.malformed(reason))?;
    let arithmetic = check_header(lines, &header)?;
    let network = rebuild(lines, &header, arithmetic, model)?;
    check_nodes(lines, &header, &network)?;
    let refuse = |error: sigmax::Error| lines.refuse(error.to_string());
    let bounds = confirm_bounds_until(&network, &header.stated(), deadline).map_err(refuse)?;
    if header.lipschitz < bounds.upper().get() {
        return Err(lines.refuse("its constant is smaller than that of its nodes"));
    }
    let mut certifier = Certifier::with_bounds(bounds, arithmetic).map_err(refuse)?;
    if let Some(range) = header.range {
        certifier = certifier.within(range).map_err(refuse)?;
    }
    let logits = &network.node(certifier.logits()).name;
    if (logits, certifier.classes()) != (&header.logits, header.classes) {
        return Err(lines.refuse(format!(
            "it compares {} entries of node {:?}; the classes are the {} entries of {logits:?}",
            header.classes,
            header.logits,
            certifier.classes()
        )));
    }
    let stated = header.stated_curvature(certifier.classes());
    if let Some(stated) = stated.map_err(|reason| lines.refuse(reason))? {
        certifier
            .confirm_curvature(&stated, deadline)
            .map_err(refuse)?;
    }
    Ok((certifier, first))
}

fn check_header(lines: &Lines<'_>, header: &Header) -> Result<Arithmetic, Error> {
    let arithmetic = match header.arithmetic.as_str() {
        "real" => Arithmetic::Real,
        "float32" => Arithmetic::Float32,
        other => return Err(lines.malformed(format!("its arithmetic {other:?} is not known"))),
    };
    if header.claim != claim(header.range) {
        return Err(lines.refuse("its claim is not the one that certificates make"));
    }
    Ok(arithmetic)
}

fn rebuild(
    lines: &Lines<'_>,
    header: &Header,
    arithmetic: Arithmetic,
    path: &Path,
) -> Result<Network, Error> {
    let mut model = Model::open(path)?;
    if model.format != Format::Onnx {
        return Err(Error::Unsupported {
            file: path.to_owned(),
            reason: format!("a {} file has no graph", model.format.name()),
            advice: "give the ONNX file that the certificates are about".to_owned(),
        });
    }
    let found = ModelFile::of(&model)?;
    if (&found.sha256, &found.external) != (&header.model.sha256, &header.model.external) {
        return Err(lines.refuse(format!(
            "it is about another model: it names the SHA-256 {:?}, {} has {}{}",
            header.model.sha256,
            path.display(),
            found.sha256,
            if found.external == header.model.external {
                ""
            } else {
                ", and their external data differ"
            }
        )));
    }
    if let Some(size) = &header.input_size {
        model
            .set_input_size(size)
            .map_err(|error| lines.refuse(error.to_string()))?;
    }
    // They are about this reading then: the whole input, whatever its axes are.
    if header.assumptions.iter().any(|text| text == NO_BATCH) {
        model
            .set_no_batch()
            .map_err(|error| lines.refuse(error.to_string()))?;
    }
    let network = match model.network() {
        Ok(found) => {
            if let Err(reason) = found.precision.check(arithmetic) {
                return Err(lines.refuse(reason));
            }
            if header.assumptions != assumptions_of(&found, arithmetic) {
                return Err(lines.refuse(format!(
                    "its assumptions are not those of certificates of this model for {} arithmetic",
                    arithmetic.name()
                )));
            }
            found.network
        }
        Err(NetworkError::File(error)) => return Err(error),
        Err(NetworkError::NoRule(reason)) => {
            return Err(lines.refuse(format!("the model has no Lipschitz constant: {reason}")));
        }
    };
    let layout = check_layout(lines, header, &network.input().shape)?;
    match (&header.mean, &header.std) {
        (None, None) => Ok(network),
        (Some(mean), Some(std)) => {
            // One value for all channels needs no layout.
            let layout = match layout {
                None if mean.len() == 1 => Channels::First,
                None => return Err(lines.refuse("its mean is per channel, but it has no layout")),
                Some(layout) => layout,
            };
            network
                .normalised(layout, mean, std)
                .map_err(|error| lines.refuse(error.to_string()))
        }
        _ => Err(lines.refuse("it states only one of mean and std")),
    }
}

/// The layout that is stated, if the input of the model can have it.
fn check_layout(
    lines: &Lines<'_>,
    header: &Header,
    input: &[usize],
) -> Result<Option<Channels>, Error> {
    let layout = match header.layout.as_deref() {
        None => None,
        Some(name) => Some(
            Channels::named(name)
                .ok_or_else(|| lines.malformed(format!("its layout {name:?} is not known")))?,
        ),
    };
    if let (Some([channels, ..]), Some(mean)) = (header.picture, &header.mean)
        && mean.len() != 1
        && mean.len() != channels
    {
        return Err(lines.refuse(format!(
            "its mean has {} values, its pictures {channels} channels",
            mean.len()
        )));
    }
    let long = |values: &Option<Vec<f64>>| values.as_ref().is_some_and(|v| v.len() > 1);
    match (header.picture, layout) {
        (None, Some(_)) if !long(&header.mean) && !long(&header.std) => Err(lines.refuse(
            "it states a layout, and neither pictures nor values per channel that have one",
        )),
        (None, _) => Ok(layout),
        (Some(picture), Some(layout)) if is_arranged(picture, layout, input) => Ok(Some(layout)),
        (Some([channels, height, width]), _) => Err(lines.refuse(format!(
            "its pictures of {channels} channels, height {height} and width {width} in the layout \
             {} are no inputs of shape {input:?}",
            header.layout.as_deref().unwrap_or("null")
        ))),
    }
}

fn check_nodes(lines: &Lines<'_>, header: &Header, network: &Network) -> Result<(), Error> {
    let nodes = network.nodes();
    if nodes.len() != header.nodes.len() {
        return Err(lines.refuse(format!(
            "it speaks of {} nodes; the model has {}",
            header.nodes.len(),
            nodes.len()
        )));
    }
    for (i, (node, stated)) in nodes.iter().zip(&header.nodes).enumerate() {
        let inputs: Vec<usize> = node.inputs.iter().map(|id| id.index()).collect();
        let same = node.name == stated.name
            && node.op.name() == stated.op
            && inputs == stated.inputs
            && node.shape == stated.shape
            && stated.together_from.is_none_or(|from| from < i);
        if !same {
            return Err(lines.refuse(format!(
                "its node {i}, {:?}, is not that of the model, {:?}",
                stated.name, node.name
            )));
        }
    }
    Ok(())
}

/// Confirms what lines state, for bounds that are proved; the evaluations that it follows from. Bounds
/// around images are tried until a point in time.
///
/// # Errors
/// The place of a line that is not confirmed, and what of it is not.
pub fn confirm_lines(
    certifier: &Certifier,
    lines: &[Line],
    deadline: Option<Instant>,
) -> Result<Vec<Certificate>, (usize, String)> {
    let expected = certifier.bounds().network().input().len();
    let mut all = Vec::with_capacity(lines.len());
    for run in lines.chunk_by(|a, b| a.exact == b.exact) {
        let start = all.len();
        let (mut pixels, mut labels, mut tangents) = (Vec::new(), Vec::new(), Vec::new());
        let mut stated = Vec::new();
        for (place, line) in run.iter().enumerate() {
            let refuse = |reason| Err((start + place, format!("image {}: {reason}", line.index)));
            let image = line.pixels().unwrap_or_default();
            if image.len() != expected {
                return refuse(format!(
                    "it has {} pixels; the model takes {expected}",
                    image.len()
                ));
            }
            if line.label >= certifier.classes() {
                return refuse(format!(
                    "its label is {}; the model has {} classes",
                    line.label,
                    certifier.classes()
                ));
            }
            let points = line.tangents(expected).unwrap_or_default();
            if !points.is_empty() && certifier.curvature().is_none() {
                return refuse("it has tangents, and no curvature is stated".to_owned());
            }
            if let Some(reason) = misfit(&points, line.label, certifier.classes()) {
                return refuse(reason);
            }
            if let Some([least, most]) = certifier.range()
                && let Some(v) = image.iter().find(|v| !(least..=most).contains(v))
            {
                return refuse(format!("its pixel {v} is not between {least} and {most}"));
            }
            if let Some(reason) = slopes::misfit(&line.slopes, line.label, certifier) {
                return refuse(reason);
            }
            let slopes = line.slopes().unwrap_or_default();
            pixels.extend(image);
            labels.push(line.label);
            tangents.push(points);
            stated.push((if line.local { line.radius } else { 0.0 }, slopes));
        }
        let exact = run[0].exact;
        let failed = |error: sigmax::Error| (start, error.to_string());
        let mut found = certifier
            .certify_by(&pixels, &labels, exact, &tangents)
            .map_err(failed)?;
        if stated.iter().any(|(radius, _)| *radius > 0.0) {
            certifier
                .confirm_around(&pixels, exact, &mut found, &stated, deadline)
                .map_err(failed)?;
        }
        for (place, (line, found)) in run.iter().zip(&found).enumerate() {
            if let Some(what) = unconfirmed(line, found) {
                let reason = format!("image {}: its {what} is not confirmed", line.index);
                return Err((start + place, reason));
            }
        }
        all.extend(found);
    }
    Ok(all)
}

/// What of a line does not follow from the evaluation of its pixels, if anything.
fn unconfirmed(line: &Line, found: &Certificate) -> Option<&'static str> {
    let radius = line.radius;
    let logits = line.logits.as_deref();
    if !(radius >= 0.0 && found.confirms_radius(radius)) {
        Some("radius")
    } else if !(line.margin >= 0.0 && found.confirms_margin(line.margin)) {
        Some("margin")
    } else if line.prediction.is_some_and(|p| !found.confirms_class(p)) {
        Some("prediction")
    } else if logits.is_some_and(|z| !found.confirms_logits(z, line.error.unwrap_or(0.0))) {
        Some("list of logits, or their error,")
    } else {
        None
    }
}
