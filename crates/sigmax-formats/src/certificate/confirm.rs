//! Confirms a file of certificates from itself and the model file alone.
//!
//! The bounds of the nodes are confirmed by [`confirm_bounds`], on plain grids of frequencies and
//! without the search that found them; then every image is evaluated again and its radius computed
//! anew from the confirmed bounds.

use std::io::BufRead;
use std::path::Path;

use sigmax::network::{Arithmetic, Certificate, Certifier, Network, confirm_bounds};

use super::{CERTIFICATE_SCHEMA, CLAIM, Header, Line, ModelFile, assumptions};
use crate::error::Error;
use crate::model::Model;
use crate::model::network::NetworkError;

/// Longest line.
const MAX_LINE: usize = 1 << 28;
/// Lines that are confirmed at a time.
const BLOCK: usize = 256;

/// What was confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Confirmed {
    /// Images.
    pub images: usize,
    /// Images with a radius above 0.
    pub certified: usize,
}

/// Confirms the certificates that `input`, called `name`, holds for the model at `model`.
///
/// # Guarantee
/// If it returns, every claim in the file follows from its assumptions, whoever wrote the file.
///
/// # Errors
/// [`Error::Certificate`] for the first line that is not confirmed: another model, altered
/// assumptions, bounds, pixels, or radii, or text that is no certificate; and as [`Model::open`].
pub fn confirm(name: &Path, input: &mut dyn BufRead, model: &Path) -> Result<Confirmed, Error> {
    let mut lines = Lines {
        name,
        input,
        number: 0,
    };
    let Some(first) = lines.next()? else {
        return Err(lines.refuse("it is empty; expected certificates of `sigmax certify`"));
    };
    let header: Header = lines.parse(&first)?;
    let arithmetic = check_header(&lines, &header)?;
    let network = rebuild(&lines, &header, model)?;
    check_nodes(&lines, &header, &network)?;
    let refuse = |error: sigmax::Error| lines.refuse(error.to_string());
    let bounds = confirm_bounds(&network, &header.stated()).map_err(refuse)?;
    if header
        .lipschitz
        .is_some_and(|stated| stated < bounds.upper().get())
    {
        return Err(lines.refuse("its constant is smaller than that of its nodes"));
    }
    let certifier = Certifier::with_bounds(bounds, arithmetic).map_err(refuse)?;
    let logits = &network.node(certifier.logits()).name;
    if (logits, certifier.classes()) != (&header.logits, header.classes) {
        return Err(lines.refuse(format!(
            "it compares {} entries of node {:?}; the classes are the {} entries of {logits:?}",
            header.classes,
            header.logits,
            certifier.classes()
        )));
    }
    let mut confirmed = Confirmed {
        images: 0,
        certified: 0,
    };
    loop {
        let start = lines.number;
        let mut block: Vec<Line> = Vec::new();
        while block.len() < BLOCK {
            match lines.next()? {
                Some(text) => block.push(lines.parse(&text)?),
                None => break,
            }
        }
        if block.is_empty() {
            return Ok(confirmed);
        }
        for (offset, result) in check_block(&certifier, &network, &block)
            .into_iter()
            .enumerate()
        {
            lines.number = start + offset + 1;
            confirmed.images += 1;
            confirmed.certified += usize::from(result.map_err(|reason| lines.refuse(reason))?);
        }
    }
}

fn check_header(lines: &Lines<'_>, header: &Header) -> Result<Arithmetic, Error> {
    if header.certificates != CERTIFICATE_SCHEMA {
        return Err(lines.refuse(format!(
            "it is of schema {}; this program reads {CERTIFICATE_SCHEMA}",
            header.certificates
        )));
    }
    let arithmetic = match header.arithmetic.as_str() {
        "real" => Arithmetic::Real,
        "float32" => Arithmetic::Float32,
        other => return Err(lines.refuse(format!("its arithmetic {other:?} is not known"))),
    };
    if header.claim != CLAIM {
        return Err(lines.refuse("its claim is not the one that certificates make"));
    }
    if header.assumptions != assumptions(arithmetic) {
        return Err(lines.refuse(format!(
            "its assumptions are not those of certificates for {} arithmetic",
            arithmetic.name()
        )));
    }
    Ok(arithmetic)
}

fn rebuild(lines: &Lines<'_>, header: &Header, path: &Path) -> Result<Network, Error> {
    let mut model = Model::open(path)?;
    let found = ModelFile::of(&model)?;
    if (&found.sha256, &found.external) != (&header.model.sha256, &header.model.external) {
        return Err(lines.refuse(format!(
            "it is about another model: it names the SHA-256 {}, {} has {}{}",
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
        model.set_input_size(size)?;
    }
    let network = match model.network() {
        Ok(found) => found.network,
        Err(NetworkError::File(error)) => return Err(error),
        Err(NetworkError::NoRule(reason)) => {
            return Err(lines.refuse(format!("the model has no Lipschitz constant: {reason}")));
        }
    };
    match (&header.mean, &header.std) {
        (None, None) => Ok(network),
        (Some(mean), Some(std)) => network
            .normalised(mean, std)
            .map_err(|error| lines.refuse(error.to_string())),
        _ => Err(lines.refuse("it states only one of mean and std")),
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

/// For every line, whether a radius above 0 is confirmed; `Err` with what is not. Nothing follows the
/// first error.
fn check_block(
    certifier: &Certifier,
    network: &Network,
    block: &[Line],
) -> Vec<Result<bool, String>> {
    let expected = network.input().len();
    let (mut results, mut pixels, mut labels) = (Vec::new(), Vec::new(), Vec::new());
    for line in block {
        let image = line.pixels().filter(|image| image.len() == expected);
        match image {
            Some(image) if line.label < certifier.classes() && line.exact == block[0].exact => {
                pixels.extend(image);
                labels.push(line.label);
            }
            _ => break,
        }
    }
    let evaluated = certifier.certify(&pixels, &labels, block[0].exact);
    match evaluated {
        Ok(all) => {
            let pairs = block.iter().zip(&all);
            results.extend(pairs.map(|(line, found)| check_line(line, found)));
        }
        Err(error) => results.push(Err(error.to_string())),
    }
    if let Some(line) = block.get(labels.len()) {
        results.push(Err(format!(
            "image {}: expected {expected} pixels, given as all others are, and a label below {}",
            line.index,
            certifier.classes()
        )));
    }
    results
}

/// Whether a radius above 0 is confirmed; `Err` with what is not.
fn check_line(line: &Line, found: &Certificate) -> Result<bool, String> {
    let wrong = |what: &str| Err(format!("image {}: its {what} is not confirmed", line.index));
    let radius = line.radius.unwrap_or(f64::INFINITY);
    if !found.confirms_radius(radius) || radius < 0.0 {
        return wrong("radius");
    }
    let spread = line.error.unwrap_or(f64::INFINITY) + found.error().get();
    // Where two logits are nearly equal, either may come out as the larger one.
    let largest = found.logits()[found.prediction()];
    if !found
        .logits()
        .get(line.prediction)
        .is_some_and(|z| *z >= largest - 2.0 * spread)
    {
        return wrong("prediction");
    }
    // The margin against a rival is confirmed where that rival limits the radius here too; where two
    // classes are equally near, either may.
    if line.rival == found.rival() && !found.confirms_margin(line.margin) {
        return wrong("margin");
    }
    if let Some(logits) = &line.logits {
        let near = logits.len() == found.logits().len()
            && logits
                .iter()
                .zip(found.logits())
                .all(|(a, b)| (a - b).abs() <= spread);
        if !near {
            return wrong("list of logits");
        }
    }
    Ok(radius > 0.0)
}

/// The lines of a file, one at a time, with the number of the current one.
struct Lines<'a> {
    name: &'a Path,
    input: &'a mut dyn BufRead,
    number: usize,
}

impl Lines<'_> {
    fn next(&mut self) -> Result<Option<String>, Error> {
        let mut line = Vec::new();
        let io = |source| Error::Io {
            file: self.name.to_owned(),
            action: "read",
            source,
        };
        let mut limited = std::io::Read::take(&mut *self.input, MAX_LINE as u64);
        limited.read_until(b'\n', &mut line).map_err(io)?;
        if line.is_empty() {
            return Ok(None);
        }
        self.number += 1;
        if line.last() != Some(&b'\n') {
            return Err(self.refuse("the line is cut short, or longer than any certificate"));
        }
        match String::from_utf8(line) {
            Ok(text) => Ok(Some(text)),
            Err(_) => Err(self.refuse("it is no text in UTF-8")),
        }
    }

    fn parse<T: serde::de::DeserializeOwned>(&self, line: &str) -> Result<T, Error> {
        serde_json::from_str(line).map_err(|error| self.refuse(format!("no certificate: {error}")))
    }

    fn refuse(&self, reason: impl Into<String>) -> Error {
        Error::Certificate {
            file: self.name.to_owned(),
            line: self.number.max(1),
            reason: reason.into(),
        }
    }
}
