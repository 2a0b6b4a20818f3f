//! What is known of a graph: its links, and in one pass a fact for every value.

use std::sync::Arc;

use crate::bytes::source::Source;
use crate::error::Error;
use crate::model::tensor::Tensor;

use super::facts::{Constant, Context, Fact};
use super::integers::Open;
use super::limits;
use super::literal::{Literal, element, type_name};
use super::order::{Producer, label, link};
use super::parsed::{Node, Parsed};
use super::size::{self, Dims, Size};
use super::{arguments, numbers, shapes};

impl<'a> Context<'a> {
    /// Links the graph and goes through it once; `size` replaces the spatial axes of one value.
    ///
    /// Shapes are those of the graph's inputs and what follows from them. What the file states about
    /// other values (value_info, outputs) is not checked by anybody and not used.
    pub(super) fn new(
        source: &'a Source,
        parsed: &'a Parsed,
        size: Option<&(usize, Vec<usize>)>,
    ) -> Result<Self, Error> {
        let mut context = Self {
            source,
            parsed,
            functions: &parsed.functions,
            links: Arc::new(link(source, parsed)?),
            facts: vec![Fact::default(); parsed.names.len()],
        };
        for input in &parsed.inputs {
            context.facts[input.value].element = Some(input.element).filter(|&element| element > 0);
            context.facts[input.value].dims = input.dims.as_ref().map(|dims| {
                let mut dims: Dims = dims.iter().copied().map(Size::from).collect();
                if let Some(first @ Size::Unknown) = dims.first_mut() {
                    *first = Size::Batch(input.value);
                }
                dims
            });
        }
        if let Some((value, size)) = size
            && let Some(dims) = &mut context.facts[*value].dims
        {
            for (axis, &n) in dims.iter_mut().skip(2).zip(size) {
                *axis = Size::Known(n);
            }
        }
        context.follow();
        Ok(context)
    }

    /// The same for a subgraph or a function, with what is known of values from outside. Of its other
    /// inputs nothing is known.
    pub(super) fn inside(
        &self,
        body: &'a Parsed,
        known: Vec<(usize, Fact)>,
    ) -> Result<Self, Error> {
        let mut context = Self {
            source: self.source,
            parsed: body,
            functions: self.functions,
            links: Arc::new(link(self.source, body)?),
            facts: vec![Fact::default(); body.names.len()],
        };
        if let Some(twice) = context
            .links
            .producers
            .iter()
            .position(|producer| *producer == Producer::Replaceable)
        {
            return Err(self.source.bad_tensor(
                &body.names[twice],
                "it is an input of a subgraph and initialised in it",
            ));
        }
        for (value, fact) in known {
            context.facts[value] = fact;
        }
        context.follow();
        Ok(context)
    }

    /// Facts about initializers, then about what nodes make.
    fn follow(&mut self) {
        let parsed = self.parsed;
        for (value, literal) in &parsed.initializers {
            self.initial(*value, literal);
        }
        for &value in &parsed.sparse {
            self.facts[value].constant =
                Constant::Opaque("is a sparse initializer, which is not read".into());
        }
        for step in 0..self.links.order.len() {
            let index = self.links.order[step];
            let facts = self.evaluate(index);
            for (&output, fact) in parsed.nodes[index].outputs.iter().zip(facts) {
                let Some(output) = output else { continue };
                self.facts[output] = fact;
            }
        }
    }

    /// The fact about an initializer. Where that is a graph input too, a caller may replace it by
    /// anything of the shape that the input has. Before IR version 4 every initializer had to be
    /// listed as an input, and stood for itself.
    fn initial(&mut self, value: usize, literal: &Literal) {
        let mut fact = Fact::of(literal);
        if self.links.producers[value] == Producer::Replaceable
            && !(1..4).contains(&self.parsed.ir_version)
        {
            fact.replaceable = Some(value);
            fact.integers = None;
            fact.dims = self.facts[value].dims.take();
        }
        self.facts[value] = fact;
    }

    /// The facts about the outputs of a node whose inputs are known.
    fn evaluate(&self, index: usize) -> Vec<Fact> {
        let node = &self.parsed.nodes[index];
        let mut facts = vec![Fact::default(); node.outputs.len()];
        let own = node.domain.is_empty() && !self.is_function(node);
        if own && node.op == "Constant" {
            if let Some(first) = facts.first_mut() {
                *first = self.constant(index);
            }
            return facts;
        }
        if own {
            for (fact, dims) in facts.iter_mut().zip(shapes::infer(self, node)) {
                fact.dims = dims.filter(|dims| dims.len() <= limits::RANK);
            }
            if let Some(first) = facts.first_mut() {
                first.integers = numbers::fold(self, node, first.dims.as_ref());
            }
        }
        // A shape does not depend on the data, whether it is known or not.
        if own
            && matches!(node.op.as_str(), "Shape" | "Size")
            && let [first, ..] = &mut facts[..]
            && first.integers.is_none()
            && let Some(value) = node.inputs.first().copied().flatten()
        {
            let open = Open::Length(value);
            first.open = Some(open);
            first.constant = Constant::Opaque(open.text(self.parsed).into());
            return facts;
        }
        if own
            && node.op == "CastLike"
            && let Some(first) = facts.first_mut()
            && let Some(same) = self.same_type(node).or_else(|| self.zero(node))
        {
            *first = same;
            return facts;
        }
        let inputs = || {
            node.inputs
                .iter()
                .flatten()
                .map(|&value| &self.facts[value])
        };
        let replaceable = inputs().find_map(|fact| fact.replaceable);
        let constant = inputs().next().is_some() && inputs().all(Fact::is_constant);
        let open = inputs().find_map(|fact| fact.open);
        for (place, fact) in facts.iter_mut().enumerate() {
            fact.replaceable = replaceable;

            if let Some(numbers) = &fact.integers {
                fact.dims = Some(size::dims(&numbers.dims));
                fact.open = numbers.open();
            } else if constant {
                fact.open = open;
            }
            if constant {
                fact.constant = match fact.open {
                    Some(open) => Constant::Opaque(open.text(self.parsed).into()),
                    None if own && place == 0 => self.moved(index, fact.dims.as_ref()),
                    None => self.computed(index),
                };
            }
        }
        if own
            && !constant
            && let Some(first) = facts.first_mut()
        {
            first.element = self.element(node);
        }
        let unknown = |fact: &Fact| {
            let opaque = matches!(fact.constant, Constant::Opaque(_));
            opaque && fact.open.is_none() && fact.integers.is_none()
        };
        if constant && own && open.is_none() && facts.iter().any(unknown) {
            for (computed, fact) in self.computation(index, &facts).into_iter().zip(&mut facts) {
                if unknown(fact) {
                    computed.enter(fact);
                }
            }
        }
        facts
    }

    /// The type of the first output of a node that depends on the data, where that follows from its inputs.
    fn element(&self, node: &Node) -> Option<u64> {
        let of = |place: usize| self.input(node, place)?.element;
        match node.op.as_str() {
            "Cast" => u64::try_from(node.int("to", 0).ok()?).ok(),
            "CastLike" => of(1),
            "Add" | "Sub" | "Mul" | "Div" | "Max" | "Min" | "Sum" | "Mean" | "MatMul" | "Gemm"
            | "Conv" | "ConvTranspose" | "Concat" => (0..node.inputs.len()).find_map(of),
            "Abs"
            | "AveragePool"
            | "BatchNormalization"
            | "Clip"
            | "Dropout"
            | "Elu"
            | "Erf"
            | "Exp"
            | "Expand"
            | "Flatten"
            | "Gather"
            | "Gelu"
            | "GlobalAveragePool"
            | "GlobalMaxPool"
            | "GroupNormalization"
            | "HardSigmoid"
            | "HardSwish"
            | "Identity"
            | "InstanceNormalization"
            | "LayerNormalization"
            | "LeakyRelu"
            | "Log"
            | "LogSoftmax"
            | "MaxPool"
            | "Mish"
            | "Neg"
            | "PRelu"
            | "Pad"
            | "Pow"
            | "ReduceMax"
            | "ReduceMean"
            | "ReduceMin"
            | "ReduceSum"
            | "Relu"
            | "Reshape"
            | "Resize"
            | "Selu"
            | "Sigmoid"
            | "Slice"
            | "Softmax"
            | "Softplus"
            | "Softsign"
            | "Split"
            | "Sqrt"
            | "Squeeze"
            | "Tanh"
            | "Tile"
            | "Transpose"
            | "Unsqueeze" => of(0),
            _ => None,
        }
    }

    /// The output of a CastLike of constant floats to a value of their own type, or of a number to one that has
    /// it: no cast.
    fn same_type(&self, node: &Node) -> Option<Fact> {
        let [data, like] = [self.input(node, 0)?, self.input(node, 1)?];
        let like = like.element.filter(|_| !like.is_constant())?;
        if data.replaceable.is_some() || !data.is_constant() {
            return None;
        }
        // The type of what is computed is not told by its operands alone.
        if let Constant::Float(tensor, _) = &data.constant
            && tensor.expression().is_none()
        {
            return (element(like) == Some(tensor.element())).then(|| data.clone());
        }
        let value = node.inputs.first().copied().flatten()?;
        let number = matches!(like, 1 | 11) && self.small_values(value).is_some();
        number.then(|| Fact {
            dims: data.dims.clone(),
            constant: Constant::Opaque("is a number of a type that does not hold it".into()),
            ..Fact::default()
        })
    }

    /// The output of a CastLike of the constant 0: 0 in every type, whatever that of the second input is.
    fn zero(&self, node: &Node) -> Option<Fact> {
        let data = self.input(node, 0)?;
        let Constant::Float(tensor, steps) = &data.constant else {
            return None;
        };
        let plain = data.replaceable.is_none() && tensor.expression().is_none();
        if !plain || tensor.shape().iter().any(|&n| n != 1) {
            return None;
        }
        let values = tensor.read(self.source).ok()?;
        (values[..].first()?.to_bits() == 0).then(|| Fact {
            dims: Some(size::dims(tensor.shape())),
            constant: Constant::Float(tensor.clone(), *steps),
            ..Fact::default()
        })
    }

    /// The output of a node all of whose inputs are constant, where it only moves or casts them.
    fn moved(&self, index: usize, dims: Option<&Dims>) -> Constant {
        let node = &self.parsed.nodes[index];
        let Some(data) = self.input(node, 0) else {
            return self.computed(index);
        };
        let (tensor, steps) = match &data.constant {
            Constant::Float(tensor, steps) => (tensor, *steps),
            // The reason why it is opaque is worth more than that it was moved.
            Constant::Opaque(reason) if is_move(node) => return Constant::Opaque(reason.clone()),
            Constant::Opaque(_) | Constant::No => return self.computed(index),
        };
        let known = || size::lengths(dims?);
        let moved = match node.op.as_str() {
            "Identity" => return Constant::Float(tensor.clone(), steps),
            _ if steps >= limits::CHAIN => None,
            "Reshape" | "Squeeze" | "Unsqueeze" | "Flatten" => {
                known().and_then(|dims| Tensor::clone(tensor).reshaped(dims))
            }
            "Transpose" => arguments::permutation(node, tensor.shape().len())
                .and_then(|axes| Tensor::clone(tensor).permuted(&axes)),
            "Cast" => {
                let to = node.int("to", 0).ok().and_then(|to| u64::try_from(to).ok());
                match to.map(|to| (to, element(to))) {
                    Some((_, Some(to))) => Tensor::clone(tensor).cast(to),
                    Some((to, None)) => {
                        let reason = format!("is cast to {}, not a float type", type_name(to));
                        return Constant::Opaque(reason.into());
                    }
                    None => None,
                }
            }
            _ => None,
        };
        match moved {
            Some(tensor) => Constant::Float(Arc::new(tensor), steps + 1),
            None => self.computed(index),
        }
    }

    fn computed(&self, index: usize) -> Constant {
        let op = self.parsed.nodes[index].op.as_str();
        let name = label(self.parsed, index);
        let reason = match op {
            "DynamicQuantizeLinear" | "QuantizeLinear" => {
                format!("is quantised (node {name:?}, {op}); audit the model before quantisation")
            }
            _ if is_move(&self.parsed.nodes[index]) => {
                format!("is moved or cast by node {name:?} ({op}) in a way that is not followed")
            }
            "RandomNormalLike" | "RandomUniformLike" | "Bernoulli" | "Multinomial" => {
                format!("is random (node {name:?}, {op})")
            }
            _ => format!(
                "is computed by node {name:?} ({op}), which is not folded; fold the constants of the \
                 model first (onnxsim, or the optimised model that onnxruntime saves)"
            ),
        };
        Constant::Opaque(reason.into())
    }

    /// The value of a Constant node.
    fn constant(&self, index: usize) -> Fact {
        let node = &self.parsed.nodes[index];
        numbers::constant(node, &label(self.parsed, index)).unwrap_or_else(|| Fact {
            constant: Constant::Opaque("is a Constant node of a kind that is not read".into()),
            ..Fact::default()
        })
    }
}

fn is_move(node: &Node) -> bool {
    matches!(
        node.op.as_str(),
        "Identity" | "Reshape" | "Squeeze" | "Unsqueeze" | "Flatten" | "Transpose" | "Cast"
    )
}
