//! The report as JSON; `docs/json.md` documents it.

use serde::ser::{SerializeMap, SerializeStruct};
use serde::{Serialize, Serializer};
use sigmax::bound::FourBounds;
use sigmax::{Audit, Timing};

use crate::model::layer::LayerSpec;
use crate::report::ink::json::{Number, document, line, list};
use crate::report::{
    CurvatureReport, CurvatureRow, Gate, LipschitzGate, NetworkBounds, NetworkReport, NetworkRow,
    Report, Row,
};

/// Version of the schema: raised when a key changes its meaning or goes away.
const SCHEMA: u32 = 1;

/// The report as a JSON document: one key per line, one layer per line.
///
/// Numbers are the shortest decimal text that reads back as the same f64, so bounds stay proved.
#[must_use]
pub fn json(report: &Report) -> String {
    let gate = report.gate();
    let refused: Vec<String> = report
        .refused()
        .iter()
        .map(|(refused, bad_input)| {
            line(&RefusedEntry {
                name: &refused.name,
                kind: &refused.kind,
                reason: &refused.reason,
                bad_input: *bad_input,
            })
        })
        .collect();
    let excluded: Vec<String> = report
        .excluded
        .iter()
        .map(|excluded| {
            line(&ExcludedEntry {
                name: &excluded.name,
                kind: &excluded.kind,
            })
        })
        .collect();
    let layers: Vec<String> = report
        .rows
        .iter()
        .filter_map(|row| Some(line(&Layer(row, row.audit()?))))
        .collect();
    let entries = [
        (
            "sigmax",
            line(&Program {
                version: &report.version,
            }),
        ),
        ("schema", line(&SCHEMA)),
        (
            "model",
            line(&ModelEntry {
                file: &report.file,
                format: report.format.name(),
            }),
        ),
        ("options", line(&Options(report))),
        (
            "estimates",
            line(&["reshape_norm", "jacobian_norm", "hessian_norm"]),
        ),
        ("layers", list(&layers)),
        ("skipped", line(&Counts(report))),
        ("refused", list(&refused)),
        ("excluded", list(&excluded)),
        (
            "network",
            report.network.as_ref().map_or("null".to_owned(), network),
        ),
        ("gate", line(&gate.as_ref().map(GateEntry))),
        (
            "lipschitz_gate",
            line(&report.lipschitz_gate().as_ref().map(LipschitzGateEntry)),
        ),
        ("seconds", line(&report.seconds)),
    ];
    document(&entries)
}

/// The network, one node per line.
fn network(network: &NetworkReport) -> String {
    let bounds = network.bounds.as_ref().ok();
    let blockers: Vec<String> = match &network.bounds {
        Ok(_) => Vec::new(),
        Err(blockers) => blockers
            .iter()
            .map(|blocker| {
                line(&BlockerEntry {
                    name: &blocker.name,
                    kind: &blocker.kind,
                    reason: &blocker.reason,
                })
            })
            .collect(),
    };
    let nodes: Vec<String> = bounds
        .map_or(&[][..], |b| &b.nodes)
        .iter()
        .map(|node| line(&NodeEntry(node)))
        .collect();
    let entries = [
        ("lipschitz", line(&bounds.map(ConstantEntry))),
        ("reason", line(&network.reason())),
        ("blockers", list(&blockers)),
        (
            "jacobian_norm",
            line(&bounds.and_then(|b| b.jacobian).map(|e| Number(e.get()))),
        ),
        (
            "jacobian_at",
            line(
                &bounds
                    .filter(|b| b.jacobian.is_some())
                    .map(|b| &b.jacobian_at),
            ),
        ),
        (
            "curvature",
            line(
                &bounds
                    .and_then(|b| b.curvature.as_ref())
                    .map(CurvatureEntry::new),
            ),
        ),
        ("nodes", list(&nodes)),
        ("notes", line(&bounds.map_or(&[][..], |b| &b.notes))),
    ];
    let entries: Vec<String> = entries
        .iter()
        .map(|(key, value)| format!("\"{key}\": {}", value.replace('\n', "\n  ")))
        .collect();
    format!("{{\n    {}\n  }}", entries.join(",\n    "))
}

#[derive(Serialize)]
struct ExcludedEntry<'a> {
    name: &'a str,
    kind: &'a str,
}

#[derive(Serialize)]
struct CurvatureEntry<'a> {
    logits: Option<Vec<HessianEntry>>,
    rule: Option<&'a str>,
    hessian_norm_at: Option<&'a str>,
    reason: Option<&'a str>,
}

#[derive(Serialize)]
struct HessianEntry {
    most_negative: Number,
    largest: Number,
    hessian_norm: Option<Number>,
}

impl<'a> CurvatureEntry<'a> {
    fn new(curvature: &'a Result<CurvatureReport, String>) -> Self {
        let report = curvature.as_ref().ok();
        let entry = |row: &CurvatureRow| HessianEntry {
            most_negative: Number(row.hessian.most_negative.get()),
            largest: Number(row.hessian.largest.get()),
            hessian_norm: row.reached.map(|reached| Number(reached.get())),
        };
        Self {
            logits: report.map(|report| report.rows.iter().map(entry).collect()),
            rule: report.map(|report| report.rule),
            hessian_norm_at: report.map(|report| &report.at[..]),
            reason: curvature.as_ref().err().map(|reason| &reason[..]),
        }
    }
}

#[derive(Serialize)]
struct Program<'a> {
    version: &'a str,
}

#[derive(Serialize)]
struct ModelEntry<'a> {
    file: &'a str,
    format: &'a str,
}

#[derive(Serialize)]
struct RefusedEntry<'a> {
    name: &'a str,
    kind: &'a str,
    reason: &'a str,
    bad_input: bool,
}

#[derive(Serialize)]
struct BlockerEntry<'a> {
    name: &'a str,
    kind: &'a str,
    reason: &'a str,
}

struct ConstantEntry<'a>(&'a NetworkBounds);

impl Serialize for ConstantEntry<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_struct("lipschitz", 1)?;
        out.serialize_field("upper", &Number(self.0.upper.get()))?;
        out.end()
    }
}

struct NodeEntry<'a>(&'a NetworkRow);

impl Serialize for NodeEntry<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_struct("node", 8)?;
        out.serialize_field("name", &self.0.name)?;
        out.serialize_field("op", self.0.op)?;
        out.serialize_field("inputs", &self.0.inputs)?;
        out.serialize_field("shape", &self.0.shape)?;
        out.serialize_field("own", &Number(self.0.own.get()))?;
        out.serialize_field("through", &Number(self.0.through.get()))?;
        out.serialize_field("rule", &self.0.rule)?;
        out.serialize_field("layer", &self.0.layer)?;
        out.end()
    }
}

struct LipschitzGateEntry<'a>(&'a LipschitzGate);

impl Serialize for LipschitzGateEntry<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_struct("lipschitz_gate", 3)?;
        out.serialize_field("max_lipschitz", &self.0.limit)?;
        out.serialize_field("passed", &self.0.passed)?;
        out.serialize_field("reason", &self.0.reason)?;
        out.end()
    }
}

struct Options<'a>(&'a Report);

impl Serialize for Options<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let request = &self.0.request;
        let mut out = serializer.serialize_struct("options", 8)?;
        out.serialize_field("tolerance", &request.tolerance)?;
        out.serialize_field("input_size", &request.input_size)?;
        out.serialize_field("geometry_file", &request.geometry_file)?;
        out.serialize_field("only", &request.only)?;
        out.serialize_field("exclude", &request.exclude)?;
        out.serialize_field("max_norm", &request.max_norm)?;
        out.serialize_field("max_lipschitz", &request.max_lipschitz)?;
        out.serialize_field("budget", &request.budget)?;
        out.end()
    }
}

struct Counts<'a>(&'a Report);

impl Serialize for Counts<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.skipped.counts())
    }
}

struct GateEntry<'a>(&'a Gate);

impl Serialize for GateEntry<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_struct("gate", 5)?;
        out.serialize_field("max_norm", &self.0.max_norm)?;
        out.serialize_field("passed", &self.0.passed())?;
        out.serialize_field("exceeded", &self.0.exceeded)?;
        out.serialize_field("excluded", &self.0.excluded)?;
        out.serialize_field("unproved", &self.0.unproved)?;
        out.end()
    }
}

struct Layer<'a>(&'a Row, &'a Audit);

impl Serialize for Layer<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(row, audit) = *self;
        let LayerSpec {
            name,
            tensor,
            op,
            op_type,
            shape,
            conv,
            geometry,
            scale,
            notes,
            ..
        } = &row.layer;
        let mut out = serializer.serialize_struct("layer", 24)?;
        out.serialize_field("name", name)?;
        out.serialize_field("op", op.name())?;
        out.serialize_field("op_type", op_type)?;
        out.serialize_field("tensor", tensor)?;
        out.serialize_field("shape", shape)?;
        out.serialize_field("stride", &conv.stride)?;
        out.serialize_field("padding", &conv.padding)?;
        out.serialize_field("padding_mode", conv.padding_mode.name())?;
        out.serialize_field("dilation", &conv.dilation)?;
        out.serialize_field("groups", &conv.groups)?;
        out.serialize_field("transposed", &conv.transposed)?;
        out.serialize_field("output_padding", &conv.output_padding)?;
        out.serialize_field("geometry", geometry.name())?;
        out.serialize_field("input_size", &conv.input_size)?;
        out.serialize_field("four", &Four(audit.four()))?;
        out.serialize_field(
            "weighted_four",
            &Number(audit.weighted_four().upper().get()),
        )?;
        out.serialize_field("reshape_norm", &Number(audit.reshape_norm().get()))?;
        out.serialize_field("norm", &Norm(audit))?;
        out.serialize_field("padding_factor", &Number(audit.padding_factor()))?;
        out.serialize_field("scale", &Number(*scale))?;
        out.serialize_field("notes", notes)?;
        out.serialize_field("seconds", &row.seconds)?;
        out.serialize_field("timing", &Parts(audit.timing()))?;
        out.end()
    }
}

/// Seconds per part of an audit.
struct Parts(Timing);

impl Serialize for Parts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_struct("timing", 3)?;
        out.serialize_field("four", &self.0.four.as_secs_f64())?;
        out.serialize_field("weighted_four", &self.0.weighted_four.as_secs_f64())?;
        out.serialize_field("norm", &self.0.norm.as_secs_f64())?;
        out.end()
    }
}

struct Four<'a>(&'a FourBounds);

impl Serialize for Four<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut bounds: Vec<_> = self.0.bounds().iter().collect();
        bounds.sort_by_key(|(reshape, _)| (reshape.name().len(), reshape.name()));
        let mut out = serializer.serialize_map(None)?;
        for (reshape, upper) in bounds {
            out.serialize_entry(reshape.name(), &Number(upper.get()))?;
        }
        out.serialize_entry("min", &Number(self.0.min().get()))?;
        out.serialize_entry("winner", self.0.winner().name())?;
        out.end()
    }
}

struct Norm<'a>(&'a Audit);

impl Serialize for Norm<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let norm = &self.0.norm();
        let mut out = serializer.serialize_struct("norm", 6)?;
        out.serialize_field("lower", &Number(norm.bracket().lower().get()))?;
        out.serialize_field("upper", &Number(norm.bracket().upper().get()))?;
        out.serialize_field("quantity", norm.quantity().name())?;
        out.serialize_field("stop", norm.stop().name())?;
        out.serialize_field("tests", &norm.tests())?;
        out.serialize_field("relative_width", &Number(norm.bracket().relative_width()))?;
        out.end()
    }
}
