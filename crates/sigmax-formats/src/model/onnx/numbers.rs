//! Folding of the integers that shapes, axes and padding are computed from.

use std::sync::Arc;

use crate::model::repeated::{Entry, Repeated};
use crate::model::tensor::{Place, Tensor};

use super::arguments;
use super::attribute::Attribute;
use super::computed::broadcast;
use super::facts::{Constant, Context, Fact};
use super::integers::{Integers, Open, Operator, Whole, slice};
use super::limits;
use super::literal::Content;
use super::parsed::Node;
use super::size::{self, Dims, Size};

/// The fact about the output of a Constant node.
pub(super) fn constant(node: &Node, label: &str) -> Option<Fact> {
    let [(name, value)] = &node.attributes[..] else {
        return None;
    };
    let numbers = match (name.as_str(), value) {
        ("value", Attribute::Tensor(literal)) => {
            let mut literal = literal.clone();
            if let Content::Float(tensor) = &mut literal.content
                && tensor.name.is_empty()
            {
                label.clone_into(&mut tensor.name);
            }
            return Some(Fact::of(&literal));
        }
        ("value_floats", Attribute::Floats(range, count)) => {
            let field = Repeated {
                number: 7,
                entry: Entry::F32,
            };
            let place = Place::Field(range.clone(), field);
            let dims = vec![usize::try_from(*count).ok()?];
            let element = crate::bytes::element::Element::F32;
            let tensor = Tensor::row_major(label, element, place, dims.clone())?;
            return Some(Fact {
                dims: Some(size::dims(&dims)),
                constant: Constant::Float(Arc::new(tensor), 0),
                ..Fact::default()
            });
        }
        ("value_float", Attribute::Float(_)) => {
            return Some(Fact {
                dims: Some(Vec::new()),
                constant: Constant::Opaque("is a single number".into()),
                ..Fact::default()
            });
        }
        ("value_int", Attribute::Int(value)) => Integers::scalar(Ok(*value)),
        ("value_ints", Attribute::Ints(values)) => Integers::list(values.clone())?,
        _ => return None,
    };
    Some(Fact {
        dims: Some(size::dims(&numbers.dims)),
        integers: Some(Arc::new(numbers)),
        constant: Constant::Opaque("holds integers".into()),
        ..Fact::default()
    })
}

/// The integers that a node of ONNX's own domain gives, whose output has shape `dims`; `None` where
/// they are not known, not integers or too many.
pub(super) fn fold(
    context: &Context<'_>,
    node: &Node,
    dims: Option<&Dims>,
) -> Option<Arc<Integers>> {
    match node.op.as_str() {
        "Shape" => return shape(context, node).map(Arc::new),
        "Size" => return entries(context, node).map(Arc::new),
        "ConstantOfShape" => return filled(node, dims?).map(Arc::new),
        "Concat" => return concat(context, node).map(Arc::new),
        _ => {}
    }
    let data = context.input(node, 0)?.integers.as_ref()?;
    let folded = match node.op.as_str() {
        "Identity" => return Some(data.clone()),
        "Cast" => Some(data.cast(Whole::of(node.int("to", 0).ok()?)?)),
        "Reshape" | "Squeeze" | "Unsqueeze" | "Flatten" => data.reshaped(size::lengths(dims?)?),
        "Transpose" => data.permuted(&arguments::permutation(node, data.dims.len())?),
        "Slice" => sliced(context, node, data),
        "Gather" => gathered(context, node, data),
        "Expand" => repeated(context, node, data),
        "Range" => counted(context, node, data),
        "Neg" => Some(data.map(i64::checked_neg)),
        op => data.zip(context.integers(node, 1)?, Operator::of(op)?),
    };
    folded.map(Arc::new)
}

/// The lengths of the axes of a value.
fn shape(context: &Context<'_>, node: &Node) -> Option<Integers> {
    let value = node.inputs.first().copied().flatten()?;
    let dims = context.facts[value].dims.as_ref()?;
    let start = node.int("start", 0).ok()?;
    let end = node.int("end", i64::MAX).ok()?;
    let (first, count, _) = slice(dims.len(), start, end, 1)?;
    let axes = dims.iter().skip(usize::try_from(first).ok()?).take(count);
    let entry = |&size: &Size| match size {
        Size::Known(n) => i64::try_from(n).map_err(|_| Open::Overflow(Whole::Int64)),
        Size::Batch(input) => Err(Open::Batch(input)),
        Size::Unknown => Err(Open::Length(value)),
    };
    Integers::entries(axes.map(entry).collect())
}

/// How many entries a value has.
fn entries(context: &Context<'_>, node: &Node) -> Option<Integers> {
    let value = node.inputs.first().copied().flatten()?;
    let dims = context.facts[value].dims.as_ref()?;
    let batch = dims.iter().find_map(|size| match size {
        Size::Batch(input) => Some(Open::FromBatch(*input)),
        _ => None,
    });
    let entry = match size::lengths(dims) {
        Some(lengths) => {
            let count = crate::model::tensor::count(&lengths);
            let count = count.and_then(|count| i64::try_from(count).ok());
            count.ok_or(Open::Overflow(Whole::Int64))
        }
        None => Err(batch.unwrap_or(Open::Length(value))),
    };
    Some(Integers::scalar(entry))
}

fn filled(node: &Node, dims: &Dims) -> Option<Integers> {
    let Some(Attribute::Tensor(literal)) = node.attribute("value") else {
        return None;
    };
    let Content::Integers(value) = &literal.content else {
        return None;
    };
    let [entry] = value.entries[..] else {
        return None;
    };
    let dims = size::lengths(dims)?;
    let count = crate::model::tensor::count(&dims).filter(|&n| n <= limits::INTEGERS)?;
    Some(Integers {
        dims,
        element: value.element,
        entries: vec![entry; count],
    })
}

/// Lists of one type, one after another.
fn concat(context: &Context<'_>, node: &Node) -> Option<Integers> {
    if !matches!(node.int("axis", 0).ok()?, 0 | -1) {
        return None;
    }
    let element = context.integers(node, 0)?.element;
    let mut entries = Vec::new();
    for place in 0..node.inputs.len() {
        let part = context.integers(node, place)?;
        if part.dims.len() != 1 || part.element != element || entries.len() > limits::INTEGERS {
            return None;
        }
        entries.extend_from_slice(&part.entries);
    }
    let joined = Integers::entries(entries)?;
    Some(Integers { element, ..joined })
}

fn sliced(context: &Context<'_>, node: &Node, data: &Integers) -> Option<Integers> {
    let cuts = arguments::cuts(context, node, data.dims.len())?;
    let mut indices: Vec<Vec<usize>> = data.dims.iter().map(|&n| (0..n).collect()).collect();
    for (axis, start, end, step) in cuts {
        let (first, count, step) = slice(data.dims[axis], start, end, step)?;
        indices[axis] = (0..count)
            .map(|i| {
                let offset = i64::try_from(i).ok()?.checked_mul(step)?;
                usize::try_from(first.checked_add(offset)?).ok()
            })
            .collect::<Option<_>>()?;
    }
    data.selected(&indices)
}

/// One entry, as often as a shape asks for; more of them only where they stay as they are.
fn repeated(context: &Context<'_>, node: &Node, data: &Integers) -> Option<Integers> {
    let to = context.numbers(node, 1)?;
    let to: Option<Vec<usize>> = to.iter().map(|&n| usize::try_from(n).ok()).collect();
    let dims = broadcast(&data.dims, &to?)?;
    if dims == data.dims {
        return Some(data.clone());
    }
    let count = crate::model::tensor::count(&dims).filter(|&n| n <= limits::INTEGERS)?;
    let [entry] = data.entries[..] else {
        return None;
    };
    Some(Integers {
        dims,
        element: data.element,
        entries: vec![entry; count],
    })
}

/// From a start to a limit, which is left out, in steps.
fn counted(context: &Context<'_>, node: &Node, data: &Integers) -> Option<Integers> {
    let single = |numbers: Option<Vec<i64>>| match numbers.as_deref() {
        Some(&[n]) => Some(n),
        _ => None,
    };
    let start = single(data.known())?;
    let limit = single(context.numbers(node, 1))?;
    let step = single(context.numbers(node, 2))?;
    let mut entries = Vec::new();
    let mut next = start;
    while (step > 0 && next < limit) || (step < 0 && next > limit) {
        if entries.len() == limits::INTEGERS {
            return None;
        }
        entries.push(Ok(next));
        next = next.checked_add(step)?;
    }
    if step == 0 {
        return None;
    }
    Some(Integers {
        dims: vec![entries.len()],
        element: data.element,
        entries,
    })
}

/// Entries of a list.
fn gathered(context: &Context<'_>, node: &Node, data: &Integers) -> Option<Integers> {
    let indices = context.integers(node, 1)?;
    let [n] = data.dims[..] else { return None };
    if !matches!(node.int("axis", 0).ok()?, 0 | -1) {
        return None;
    }
    let n = i64::try_from(n).ok()?;
    let at = |i: i64| {
        let i = if i < 0 { i.checked_add(n)? } else { i };
        data.entries.get(usize::try_from(i).ok()?).copied()
    };
    let entries: Option<_> = indices.known()?.into_iter().map(at).collect();
    Some(Integers {
        dims: indices.dims.clone(),
        element: data.element,
        entries: entries?,
    })
}
