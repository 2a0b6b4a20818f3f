//! Certificates as lines of JSON: what is claimed, what is assumed, and the evidence.
//!
//! The first line ([`Header`]) speaks of the model: its digest, the normalisation that belongs to it,
//! and a proved constant for every node. Every other line ([`Line`]) is one image with its pixels.
//! Together with the model file they say everything that is needed to confirm them ([`confirm`]).

//!
//! Every key is confirmed, or says what the others speak of (the label, the pixels, the index).
//! What cannot be confirmed is not in the format.

mod bound;
mod confirm;
mod digits;
mod lines;
mod merge;
mod object;
mod slopes;
mod tangent;

pub use confirm::{Confirmed, confirm, confirm_constants, confirm_lines, confirm_until};
pub use merge::merge;
pub use slopes::SlopesEntry;
pub use tangent::TangentEntry;

use serde::{Deserialize, Serialize};
use sigmax::network::{
    Arithmetic, Certificate, Certifier, Curvature, Method, NodeId, Rule, Slopes, StatedBound,
    Tangent,
};

use crate::bytes::digest::{hex, sha256, unhex};
use crate::error::Error;
use crate::images::{Fit, Inputs};
use crate::model::Model;
use crate::model::network::{NO_BATCH, NetworkModel};

/// Version of the format: raised when a key changes its meaning or goes away.
pub const CERTIFICATE_SCHEMA: u32 = 3;

/// The version without a curvature, of which every file says the same in the present one.
const WITHOUT_CURVATURE: u32 = 2;

/// What every certificate claims.
pub const CLAIM: &str = "for every x with ‖x − image‖₂ ≤ radius, in the units of the network's input \
                         before the normalisation, the largest logit of x is that of label; nothing \
                         is claimed where radius is 0";

/// The same of inputs whose pixels are those of pictures.
pub const CLAIM_WITHIN: &str = "for every x with ‖x − image‖₂ ≤ radius, in the units of the network's input before \
                                the normalisation, whose entries are all between the two numbers of range, the largest \
                                logit of x is that of label; nothing is claimed where radius is 0";

/// What speaks of the model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// [`CERTIFICATE_SCHEMA`], or an earlier version that is still read.
    pub certificates: u32,
    /// [`CLAIM`], or [`CLAIM_WITHIN`] where there is a range.
    pub claim: String,
    /// Between which the pixels are of the inputs that are spoken of; not there: of all inputs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<[f64; 2]>,
    /// What is assumed, one sentence each.
    pub assumptions: Vec<String>,
    /// `real` or `float32`.
    pub arithmetic: String,
    /// The model file.
    #[serde(deserialize_with = "object::object")]
    pub model: ModelFile,
    /// Mean per channel that the input normalisation subtracts; none: no normalisation.
    #[serde(deserialize_with = "object::stated")]
    pub mean: Option<Vec<f64>>,
    /// What it divides by.
    #[serde(deserialize_with = "object::stated")]
    pub std: Option<Vec<f64>>,
    /// Spatial input size, where the model leaves it open.
    #[serde(deserialize_with = "object::stated")]
    pub input_size: Option<Vec<usize>>,
    /// Where the channels of the input are, `chw` or `hwc`; none where neither pictures nor values per
    /// channel have a use for it.
    #[serde(deserialize_with = "object::stated")]
    pub layout: Option<String>,
    /// Channels, height and width of every image, where they are known; in the layout above they
    /// make the input.
    #[serde(deserialize_with = "object::stated")]
    pub picture: Option<[usize; 3]>,
    /// The node whose entries are compared.
    pub logits: String,
    /// Number of classes.
    pub classes: usize,
    /// Lipschitz constant from the input to all outputs.
    #[serde(with = "bound")]
    pub lipschitz: f64,
    /// The evidence of second order: for every ordered pair (y, t) of classes, by rows, a number m such
    /// that z_y − z_t + (m/2)·‖x‖² is convex. None where it is not used.
    #[serde(default, deserialize_with = "object::stated")]
    pub curvature: Option<Vec<Vec<Convexity>>>,
    /// The evidence: a constant for every node.
    #[serde(deserialize_with = "object::objects")]
    pub nodes: Vec<NodeEntry>,
}

/// A number m such that the difference of two logits plus (m/2)·‖x‖² is convex.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Convexity(
    #[serde(serialize_with = "bound::serialize", deserialize_with = "bound::newer")] pub f64,
);

/// The model file, and the files its weights are in, by content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelFile {
    /// Of the file as it is on disk.
    pub sha256: String,
    /// Files of external data: name and digest.
    pub external: Vec<(String, String)>,
}

/// What is proved of a node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeEntry {
    /// Its name.
    pub name: String,
    /// What it computes.
    pub op: String,
    /// Places of the nodes it reads.
    pub inputs: Vec<usize>,
    /// Shape of one sample.
    pub shape: Vec<usize>,
    /// Lipschitz constant of the node alone.
    #[serde(with = "bound")]
    pub own: f64,
    /// Lipschitz constant from the input to it.
    #[serde(with = "bound")]
    pub through: f64,
    /// Where a group of nodes starts that ends here and whose norm, taken as a whole, gives
    /// `through`; null where it follows from `own`.
    #[serde(deserialize_with = "object::stated")]
    pub together_from: Option<usize>,
}

/// What is proved of an image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// Its number: larger than that of the line before, so that no image counts twice.
    pub index: usize,
    /// The class that the radius and the margin are of.
    pub label: usize,
    /// The class that the image itself is proved to have; null where none is.
    #[serde(deserialize_with = "object::stated")]
    pub prediction: Option<usize>,
    /// A lower bound of the distance to an image of another class than `label`; ∞ where the class is
    /// the same for all images.
    #[serde(with = "bound")]
    pub radius: f64,
    /// A lower bound of z_label − z_t at the image, for every other class t.
    pub margin: f64,
    /// The logits as evaluated; null where nothing is known of them.
    #[serde(deserialize_with = "object::stated")]
    pub logits: Option<Vec<f64>>,
    /// An upper bound of their ℓ₂ distance from the exact ones; null where there are none.
    #[serde(deserialize_with = "object::stated")]
    pub error: Option<f64>,
    /// Points whose tangents prove the radius, where the image itself says too little; their classes rise.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "object::objects"
    )]
    pub tangents: Vec<TangentEntry>,
    /// Whether the radius follows from bounds around the image (T38); not there where it does not need
    /// them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub local: bool,
    /// The slopes that these bounds go back by, where a rule for them says too little.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "object::objects"
    )]
    pub slopes: Vec<SlopesEntry>,
    /// The pixels in the order of the network's input, as bytes, each to be divided by 255, in
    /// hexadecimal digits; or
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub bytes: Option<String>,
    /// the pixels as numbers.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub values: Option<Vec<f64>>,
    /// Whether these are exact; otherwise they are quotients that were rounded.
    pub exact: bool,
}

/// What the certificates of an arithmetic assume, one sentence each.
#[must_use]
fn assumptions(arithmetic: Arithmetic) -> Vec<String> {
    let mut list = vec![
        "the network is the function that the model file defines, in inference mode, with its \
         parameters as exact numbers; each image is mapped alone"
            .to_owned(),
        "the input is (pixels − mean)/std per channel, in real arithmetic; bytes stand for \
         byte/255"
            .to_owned(),
    ];
    match arithmetic {
        Arithmetic::Real => list.push(
            "the network is evaluated in real arithmetic: rounding in another program may change \
             the class of an image whose margin is as small as that rounding"
                .to_owned(),
        ),
        Arithmetic::Float32 => list.extend([
            "real arithmetic, and also any execution in IEEE float32 (results below 2^-126 may be \
             flushed to zero) that forms inner products by sums of products in any order, fused or \
             not, with parameters rounded to float32, at most 12 roundings beyond the plain \
             formulas per layer (BatchNorm folded or not), with nothing that is computed from \
             parameters alone outside of float32's normal range, and without Winograd's or Fourier's methods"
                .to_owned(),
            "a float32 function that needs an exponential is off by at most 2^-20 times (slope·|x| \
             + |σ(0)| + 1) per entry"
                .to_owned(),
        ]),
    }
    list
}

/// What the certificates of a model assume in an arithmetic: what all of them do, what its precision
/// adds, and that there is no batch axis where it is read so.
#[must_use]
pub fn assumptions_of(model: &NetworkModel, arithmetic: Arithmetic) -> Vec<String> {
    let mut list = assumptions(arithmetic);
    list.extend(model.precision.note().map(str::to_owned));
    if model.notes.iter().any(|note| note == NO_BATCH) {
        list.push(NO_BATCH.to_owned());
    }
    list
}

/// What certificates claim, of all inputs or within a range.
pub(crate) fn claim(range: Option<[f64; 2]>) -> &'static str {
    match range {
        None => CLAIM,
        Some(_) => CLAIM_WITHIN,
    }
}

impl ModelFile {
    /// The digests of an open model.
    ///
    /// # Errors
    /// [`Error::Io`] where a file cannot be read (any more).
    pub fn of(model: &Model) -> Result<Self, Error> {
        let external = model
            .external_files()
            .into_iter()
            .map(|(name, path)| Ok((name, sha256(&path)?)))
            .collect::<Result<_, Error>>()?;
        Ok(Self {
            sha256: sha256(model.file())?,
            external,
        })
    }
}

impl Header {
    /// Describes a certifier, and how images become inputs of it. `assumptions` are those of
    /// [`assumptions_of`]: others are refused when the certificates are checked.
    #[must_use]
    pub fn new(
        certifier: &Certifier,
        model: ModelFile,
        assumptions: Vec<String>,
        normalisation: Option<(&[f64], &[f64])>,
        input_size: Option<&[usize]>,
        fit: &Fit,
    ) -> Self {
        let bounds = certifier.bounds();
        let nodes = bounds.network().nodes();
        let arithmetic = certifier.arithmetic();
        let name = |id: NodeId| nodes[id.index()].name.as_str();
        // Of images without axes, and one value for all channels, a layout says nothing.
        let per_channel = normalisation.is_some_and(|(mean, std)| mean.len().max(std.len()) > 1);
        let has_layout = fit.picture().is_some() || per_channel;
        let layout = fit.layout().filter(|_| has_layout);
        let entry =
            |(node, bound): (&sigmax::network::Node, &sigmax::network::NodeBound)| NodeEntry {
                name: node.name.clone(),
                op: node.op.name().to_owned(),
                inputs: node.inputs.iter().map(|id| id.index()).collect(),
                shape: node.shape.clone(),
                own: bound.own().get(),
                through: bound.through().get(),
                together_from: match bound.rule() {
                    Rule::Fused(from) => Some(from.index()),
                    _ => None,
                },
            };
        Self {
            certificates: CERTIFICATE_SCHEMA,
            claim: claim(certifier.range()).to_owned(),
            range: certifier.range(),
            assumptions,
            arithmetic: arithmetic.name().to_owned(),
            model,
            mean: normalisation.map(|(mean, _)| mean.to_vec()),
            std: normalisation.map(|(_, std)| std.to_vec()),
            input_size: input_size.map(<[usize]>::to_vec),
            layout: layout.map(|layout| layout.name().to_owned()),
            picture: fit.picture(),
            logits: name(certifier.logits()).to_owned(),
            classes: certifier.classes(),
            lipschitz: bounds.upper().get(),
            curvature: certifier.curvature().map(rows),
            nodes: nodes.iter().zip(bounds.nodes()).map(entry).collect(),
        }
    }

    /// The line of JSON.
    #[must_use]
    pub fn line(&self) -> String {
        json_line(self)
    }

    /// Reads the line.
    ///
    /// # Errors
    /// Why it is not the first line of a file of certificates.
    pub fn parse(text: &str) -> Result<Self, String> {
        // Another version may have other keys, which says less than its number.
        #[derive(Deserialize)]
        struct Version {
            certificates: u32,
            #[serde(default, deserialize_with = "object::present")]
            curvature: bool,
        }
        match object::parse::<Version>(text) {
            Ok(found) => match (found.certificates, found.curvature) {
                (CERTIFICATE_SCHEMA, true) | (WITHOUT_CURVATURE, false) => object::parse(text),
                (CERTIFICATE_SCHEMA, false) => Err("missing field `curvature`".to_owned()),
                (WITHOUT_CURVATURE, true) => Err(format!(
                    "its certificates are of version {WITHOUT_CURVATURE}, which has no key `curvature`"
                )),
                (other, _) => Err(format!(
                    "its certificates are of version {other}; this program reads version \
                     {CERTIFICATE_SCHEMA}, and {WITHOUT_CURVATURE}: certify the images again"
                )),
            },
            Err(_) => object::parse(text),
        }
    }

    /// The curvature that is stated, row by row, if one is; or why it is none of so many classes.
    pub(crate) fn stated_curvature(&self, classes: usize) -> Result<Option<Vec<f64>>, String> {
        let Some(rows) = &self.curvature else {
            return Ok(None);
        };
        if rows.len() != classes {
            return Err(format!(
                "its curvature has {} rows; there are {classes} classes",
                rows.len()
            ));
        }
        if let Some(y) = rows.iter().position(|row| row.len() != classes) {
            return Err(format!(
                "row {y} of its curvature has {} numbers; there are {classes} classes",
                rows[y].len()
            ));
        }
        Ok(Some(rows.iter().flatten().map(|m| m.0).collect()))
    }

    /// What is stated about the nodes.
    pub(crate) fn stated(&self) -> Vec<StatedBound> {
        let stated = |node: &NodeEntry| StatedBound {
            own: node.own,
            through: node.through,
            together_from: node.together_from.map(NodeId::new),
        };
        self.nodes.iter().map(stated).collect()
    }
}

impl Line {
    /// The line of image `index`.
    #[must_use]
    pub fn new(certificate: &Certificate, inputs: &Inputs, index: usize) -> Self {
        let images = inputs.images();
        let bytes = inputs.bytes(index).map(|bytes| hex(&bytes));
        let logits = certificate.logits();
        let error = certificate.stated_error().get();
        let known = error.is_finite() && logits.iter().all(|z| z.is_finite());
        Self {
            index,
            label: certificate.label(),
            prediction: certificate.class(),
            radius: match certificate.radius().get() {
                radius if radius < f64::MAX => radius,
                _ => f64::INFINITY,
            },
            margin: certificate.margin().get(),
            logits: known.then(|| logits.to_vec()),
            error: known.then_some(error),
            tangents: certificate
                .tangents()
                .iter()
                .map(TangentEntry::new)
                .collect(),
            local: certificate.method() == Method::Local,
            slopes: certificate.slopes().iter().map(SlopesEntry::new).collect(),
            values: bytes.is_none().then(|| inputs.values(index)),
            bytes,
            exact: images.is_exact(),
        }
    }

    /// The line of JSON.
    #[must_use]
    pub fn line(&self) -> String {
        json_line(self)
    }

    /// Reads a line.
    ///
    /// # Errors
    /// Why it is not that of an image.
    pub fn parse(text: &str) -> Result<Self, String> {
        let line: Self = object::parse(text)?;
        let Some(pixels) = line.pixels() else {
            return Err(
                "its pixels are not given as they should be: either `bytes`, two hexadecimal digits \
                 each and not `exact`, or `values`"
                    .to_owned(),
            );
        };
        if line.tangents(pixels.len()).is_none() {
            return Err(
                "the steps of a tangent are not one to four digits of base 64, as many for every pixel"
                    .to_owned(),
            );
        }
        if line.local && (line.radius <= 0.0 || line.radius.is_nan()) {
            return Err("it is `local` and has no radius".to_owned());
        }
        if !line.local && !line.slopes.is_empty() {
            return Err("it has slopes and is not `local`".to_owned());
        }
        if line
            .slopes
            .iter()
            .any(|slopes| slopes.functions().is_none())
        {
            return Err("the steps of slopes are not digits of base 64, and runs".to_owned());
        }
        if line.logits.is_some() != line.error.is_some() {
            return Err(
                "it has `logits` without an `error`, or an `error` without `logits`".into(),
            );
        }
        Ok(line)
    }

    /// Whether it was made of image `index`.
    #[must_use]
    pub fn has_pixels_of(&self, inputs: &Inputs, index: usize) -> bool {
        match (&self.bytes, inputs.bytes(index)) {
            (Some(digits), Some(bytes)) => *digits == hex(&bytes),
            (None, None) => self.values.as_deref().is_some_and(|values| {
                let expected = inputs.values(index);
                let bits = |values: &[f64]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
                bits(values) == bits(&expected)
            }),
            _ => false,
        }
    }

    /// The tangents, for an image of so many pixels.
    pub(crate) fn tangents(&self, pixels: usize) -> Option<Vec<Tangent>> {
        let tangents = self.tangents.iter();
        tangents.map(|tangent| tangent.read(pixels)).collect()
    }

    /// The slopes.
    pub(crate) fn slopes(&self) -> Option<Vec<Slopes>> {
        self.slopes.iter().map(SlopesEntry::read).collect()
    }

    /// The pixels.
    pub(crate) fn pixels(&self) -> Option<Vec<f64>> {
        match (&self.bytes, &self.values) {
            (Some(digits), None) if !self.exact => {
                let bytes = unhex(digits)?;
                Some(bytes.iter().map(|&b| f64::from(b) / 255.0).collect())
            }
            (None, Some(values)) => Some(values.clone()),
            _ => None,
        }
    }
}

fn rows(curvature: &Curvature) -> Vec<Vec<Convexity>> {
    let classes = 0..curvature.classes();
    let row = |y| {
        classes
            .clone()
            .map(move |t| Convexity(curvature.pair(y, t).get()))
    };
    classes.clone().map(|y| row(y).collect()).collect()
}

/// One line of JSON, with the shortest text per number that reads back as the same f64.
fn json_line<T: Serialize>(value: &T) -> String {
    let text = serde_json::to_string(value);
    debug_assert!(
        text.is_ok(),
        "bounds are no NaN, other numbers finite, and all keys strings"
    );
    let mut text = text.unwrap_or_default();
    text.push('\n');
    text
}
