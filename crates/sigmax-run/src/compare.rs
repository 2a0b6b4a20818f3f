//! Two models layer by layer.

use std::collections::BTreeSet;
use std::time::Instant;

use sigmax::{Bracket, Quantity, Upper};
use sigmax_formats::report::{
    Comparison, LowerEnd, Missing, NetworkReport, Outcome, Pair, Report, Request, Row,
};
use sigmax_formats::{GeometrySource, Model};

use crate::audit::{AuditRun, NetworkPart};
use crate::error::Error;
use crate::resources::Resources;
use crate::watch::Watch;

/// Audits two models and pairs their layers by name, without what wrappers of PyTorch put before or into it
/// (`module.`, `_orig_mod.`).
///
/// The first model may take half of the budget, the second all that is left.
///
/// # Errors
/// As [`AuditRun::run`]; [`Error::File`] where a file cannot be read (any more), [`Error::Layer`] for a layer whose weight or geometry is
/// wrong.
pub fn compare<E: From<Error>>(
    models: [Model; 2],
    tolerance: f64,
    resources: &Resources,
    watch: &mut dyn Watch<E>,
) -> Result<Comparison, E> {
    let started = Instant::now();
    let files = [&models[0], &models[1]].map(|model| model.file().display().to_string());
    let [first, second] = models;
    let left = |share: u32| {
        let budget = resources.budget?;
        Some(budget.saturating_sub(started.elapsed()) / share)
    };
    let a = audited(
        first,
        tolerance,
        &resources.clone().with_budget(left(2)),
        watch,
    )?;
    let b = audited(
        second,
        tolerance,
        &resources.clone().with_budget(left(1)),
        watch,
    )?;
    Ok(Comparison {
        files,
        pairs: pairs(&a.0, &b.0),
        lipschitz: [constant(a.1), constant(b.1)],
    })
}

/// A layer of one model.
struct Layer {
    name: String,
    norm: Result<Bracket, Missing>,
    /// None of what could not be read.
    shape: Option<Vec<usize>>,
    lower: LowerEnd,
}

fn audited<E: From<Error>>(
    model: Model,
    tolerance: f64,
    resources: &Resources,
    watch: &mut dyn Watch<E>,
) -> Result<(Vec<Layer>, Option<NetworkReport>), E> {
    let request = Request {
        tolerance,
        ..Request::default()
    };
    let report = AuditRun::of_all(model, request, NetworkPart::Included)?.run(resources, watch)?;
    let Report {
        rows,
        skipped,
        network,
        ..
    } = report;
    let mut layers: Vec<Layer> = Vec::with_capacity(rows.len());
    for row in rows {
        let lower = lower_end(&row);
        let norm = match row.outcome {
            Outcome::Audited(audit) => Ok(audit.norm().bracket()),
            Outcome::Refused(reason) => Err(Missing::Refused(reason)),
            Outcome::Bad(reason) => return Err(Error::Layer(reason).into()),
        };
        layers.push(Layer {
            name: row.layer.name,
            norm,
            shape: Some(row.layer.shape),
            lower,
        });
    }
    layers.extend(skipped.refused.into_iter().map(|refused| Layer {
        name: refused.name,
        norm: Err(Missing::Refused(refused.reason)),
        shape: None,
        lower: LowerEnd::Incomparable,
    }));
    let bare = bare(layers.iter().map(|layer| layer.name.as_str()).collect());
    for (layer, name) in layers.iter_mut().zip(bare) {
        layer.name = name;
    }
    Ok((layers, network))
}

/// Names without those of wrappers: where all begin with `module.`, and parts that only wrappers have. As they are,
/// where two would be one.
fn bare(names: Vec<&str>) -> Vec<String> {
    const PARTS: [&str; 3] = [
        "_orig_mod.",
        "_fsdp_wrapped_module.",
        "_checkpoint_wrapped_module.",
    ];
    let mut found: Vec<String> = names
        .iter()
        .map(|name| {
            PARTS
                .iter()
                .fold((*name).to_owned(), |name, part| name.replace(part, ""))
        })
        .collect();
    while !found.is_empty() && found.iter().all(|name| name.starts_with("module.")) {
        found
            .iter_mut()
            .for_each(|name| *name = name["module.".len()..].to_owned());
    }
    let distinct: BTreeSet<&String> = found.iter().collect();
    match distinct.len() == found.len() {
        true => found,
        false => names.into_iter().map(str::to_owned).collect(),
    }
}

/// What the lower end of a layer's norm is of.
fn lower_end(row: &Row) -> LowerEnd {
    let copies = row.audit().is_some_and(|audit| {
        audit.norm().quantity() == Quantity::Lattice && audit.padding_factor() > 1.0
    });
    if copies {
        LowerEnd::Incomparable
    } else if row.layer.geometry == GeometrySource::Assumed && row.layer.conv.axes() > 0 {
        LowerEnd::Stride1
    } else {
        LowerEnd::Norm
    }
}

fn pairs(a: &[Layer], b: &[Layer]) -> Vec<Pair> {
    let pair = |name: &str, sides: [Option<&Layer>; 2]| Pair {
        name: name.to_owned(),
        norms: sides.map(|side| side.map_or(Err(Missing::Absent), |layer| layer.norm.clone())),
        shapes: sides.map(|side| side.and_then(|layer| layer.shape.clone())),
        lower: match sides.map(|side| side.map(|layer| layer.lower)) {
            [Some(a), Some(b)] if a == b => a,
            _ => LowerEnd::Incomparable,
        },
    };
    let find = |list: &[Layer], name: &str| list.iter().position(|layer| layer.name == name);
    let mut all: Vec<Pair> = a
        .iter()
        .map(|layer| {
            let other = find(b, &layer.name).map(|i| &b[i]);
            pair(&layer.name, [Some(layer), other])
        })
        .collect();
    let only_b = b.iter().filter(|layer| find(a, &layer.name).is_none());
    all.extend(only_b.map(|layer| pair(&layer.name, [None, Some(layer)])));
    all
}

fn constant(network: Option<NetworkReport>) -> Result<Upper, String> {
    match network.map(|network| network.bounds) {
        None => Err("the file has no graph".to_owned()),
        Some(Ok(bounds)) => Ok(bounds.upper),
        Some(Err(blockers)) => Err(blockers
            .iter()
            .map(|blocker| format!("{} ({}): {}", blocker.name, blocker.kind, blocker.reason))
            .collect::<Vec<_>>()
            .join("; ")),
    }
}

#[cfg(test)]
mod tests {
    use super::bare;

    #[test]
    fn wrappers_are_no_part_of_a_name() {
        let cases = [
            (vec!["module.a", "module.b.c"], vec!["a", "b.c"]),
            (vec!["module.a", "b"], vec!["module.a", "b"]),
            (
                vec![
                    "_orig_mod.module.a",
                    "_orig_mod.module.b._checkpoint_wrapped_module.c",
                ],
                vec!["a", "b.c"],
            ),
            // Two that would be one.
            (vec!["_orig_mod.a", "a"], vec!["_orig_mod.a", "a"]),
            (vec![], vec![]),
        ];
        for (names, expected) in cases {
            assert_eq!(bare(names), expected);
        }
    }
}
