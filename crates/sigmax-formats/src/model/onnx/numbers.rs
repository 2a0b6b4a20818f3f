//! Folding of the integers that shapes, axes and padding are computed from.

use std::rc::Rc;

use crate::model::repeated::{Entry, Repeated};
use crate::model::tensor::{Place, Tensor};

use super::attribute::Attribute;
use super::facts::{Constant, Context, Fact};
use super::integers::{Integers, slice};
use super::limits;
use super::literal::Content;
use super::proto::{Dims, Node};
use super::shapes;

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
                dims: Some(dims.into_iter().map(Some).collect()),
                constant: Constant::Float(Rc::new(tensor), 0),
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
        ("value_int", Attribute::Int(value)) => Integers::scalar(*value),
        ("value_ints", Attribute::Ints(values)) => Integers::list(values.clone())?,
        _ => return None,
    };
    Some(Fact {
        dims: Some(numbers.dims.iter().copied().map(Some).collect()),
        integers: Some(Rc::new(numbers)),
        constant: Constant::Opaque("holds integers".into()),
        replaceable: None,
    })
}

/// The integers that a node of ONNX's own domain gives, whose output has shape `dims`; `None` where
/// they are not known, not integers or too many.
pub(super) fn fold(
    context: &Context<'_>,
    node: &Node,
    dims: Option<&Dims>,
) -> Option<Rc<Integers>> {
    match node.op.as_str() {
        "Shape" => return shape(context, node).map(Rc::new),
        "Size" => {
            let dims: Option<Vec<_>> = context
                .input(node, 0)?
                .dims
                .as_ref()?
                .iter()
                .copied()
                .collect();
            let size = crate::model::tensor::count(&dims?)?;
            return Some(Rc::new(Integers::scalar(i64::try_from(size).ok()?)));
        }
        "ConstantOfShape" => return filled(node, dims?).map(Rc::new),
        "Concat" => return concat(context, node).map(Rc::new),
        _ => {}
    }
    let data = context.input(node, 0)?.integers.as_ref()?;
    let folded = match node.op.as_str() {
        "Identity" => return Some(data.clone()),
        "Cast" => {
            let fits = match node.int("to", 0).ok()? {
                6 => data.values.iter().all(|&v| i32::try_from(v).is_ok()),
                to => to == 7,
            };
            return fits.then(|| data.clone());
        }
        "Reshape" | "Squeeze" | "Unsqueeze" | "Flatten" => {
            let dims: Option<Vec<_>> = dims?.iter().copied().collect();
            data.reshaped(dims?)
        }
        "Transpose" => data.permuted(&shapes::permutation(node, data.dims.len())?),
        "Slice" => sliced(context, node, data),
        "Gather" => gathered(context, node, data),
        "Neg" => data.zip(&Integers::scalar(-1), i64::checked_mul),
        "Add" => data.zip(context.integers(node, 1)?, i64::checked_add),
        "Sub" => data.zip(context.integers(node, 1)?, i64::checked_sub),
        "Mul" => data.zip(context.integers(node, 1)?, i64::checked_mul),
        "Div" => data.zip(context.integers(node, 1)?, i64::checked_div),
        _ => None,
    };
    folded.map(Rc::new)
}

fn shape(context: &Context<'_>, node: &Node) -> Option<Integers> {
    let dims = context.input(node, 0)?.dims.as_ref()?;
    let start = node.int("start", 0).ok()?;
    let end = node.int("end", i64::MAX).ok()?;
    let (first, count, _) = slice(dims.len(), start, end, 1)?;
    let axes = dims.iter().skip(usize::try_from(first).ok()?).take(count);
    let sizes: Option<Vec<_>> = axes.map(|&n| i64::try_from(n?).ok()).collect();
    Integers::list(sizes?)
}

fn filled(node: &Node, dims: &Dims) -> Option<Integers> {
    let Some(Attribute::Tensor(literal)) = node.attribute("value") else {
        return None;
    };
    let Content::Integers(value) = &literal.content else {
        return None;
    };
    let [value] = value.values[..] else {
        return None;
    };
    let dims: Vec<usize> = dims.iter().copied().collect::<Option<_>>()?;
    let count = crate::model::tensor::count(&dims).filter(|&n| n <= limits::INTEGERS)?;
    Some(Integers {
        dims,
        values: vec![value; count],
    })
}

/// Lists, one after another.
fn concat(context: &Context<'_>, node: &Node) -> Option<Integers> {
    if !matches!(node.int("axis", 0).ok()?, 0 | -1) {
        return None;
    }
    let mut values = Vec::new();
    for place in 0..node.inputs.len() {
        let part = context.integers(node, place)?;
        if part.dims.len() != 1 || values.len() > limits::INTEGERS {
            return None;
        }
        values.extend_from_slice(&part.values);
    }
    Integers::list(values)
}

fn sliced(context: &Context<'_>, node: &Node, data: &Integers) -> Option<Integers> {
    let cuts = shapes::cuts(context, node, data.dims.len())?;
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

/// Entries of a list.
fn gathered(context: &Context<'_>, node: &Node, data: &Integers) -> Option<Integers> {
    let indices = context.integers(node, 1)?;
    let [n] = data.dims[..] else { return None };
    if !matches!(node.int("axis", 0).ok()?, 0 | -1) {
        return None;
    }
    let n = i64::try_from(n).ok()?;
    let at = |&i: &i64| {
        let i = if i < 0 { i.checked_add(n)? } else { i };
        data.values.get(usize::try_from(i).ok()?).copied()
    };
    let values: Option<_> = indices.values.iter().map(at).collect();
    Some(Integers {
        dims: indices.dims.clone(),
        values: values?,
    })
}
