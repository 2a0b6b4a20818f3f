"""From a module to a network: ``torch.export``, and a rule for each ATen operator.

A network is a function of one sample. The module is exported with an open batch size, and every value
that depends on the input must have the batch, and only it, as its first axis; an operator that could mix
samples, or let the batch size into a value, is refused. Parameters go as they are: float16 and bfloat16
widen exactly, and nothing is folded in floating point.
"""

from __future__ import annotations

import contextlib
import math
import operator
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import fx, nn

from sigmax import _core
from sigmax._modules import (
    FLOATS,
    Refusal,
    array,
    computed_weight,
    evaluating,
    has_weight_hook,
    is_computed,
    layer_name,
    record_layers,
    unwrapped,
)
from sigmax._program import Array, Recipe, Recorder

A = torch.ops.aten

BATCH = "it moves the batch axis, or mixes the samples of a batch; leave the first axis alone"
PRODUCT = "a product of two values that depend on the input has no Lipschitz bound over all inputs"
RANDOM = "it is random; remove it, or make it depend on self.training"


def program_of(
    module: nn.Module, example: object | None, *, name: str | None = None
) -> tuple[Recorder, _core.Model]:
    """The model of a module: its network where there is an example and all goes well, otherwise its
    layers and the reason."""
    module = unwrapped(module)
    label = name or type(module).__name__
    with evaluating(module):
        reasons: list[tuple[str, str, str]]
        if example is None:
            text = "without an example input there is no graph: give one to audit(module, example)"
            reasons = [(label, "module", text)]
        else:
            try:
                program, one = _exported(module, example)
                lowering = _Lowering(module, program)
                found = lowering.run(label)
                if not lowering.blocked:
                    _compared(module, program, one)
                return lowering.record, found
            except _NoGraph as reason:
                reasons = [(label, reason.kind, str(reason))]
        record = Recorder(None)
        record_layers(record, module)
        for reason_ in reasons:
            record("block", *reason_)
        return record, record.finish(label, [], 32, [])


class _NoGraph(Exception):
    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind


def _exported(module: nn.Module, example: object) -> tuple[torch.export.ExportedProgram, torch.Tensor]:
    if isinstance(example, (tuple, list)):
        if len(example) != 1:
            text = f"the module has {len(example)} inputs; a network here has one"
            raise _NoGraph("inputs", text)
        example = example[0]
    if not isinstance(example, torch.Tensor):
        raise _NoGraph("inputs", f"the example is a {type(example).__name__}; expected a tensor")
    if example.dtype not in FLOATS:
        text = f"the example is {example.dtype}; only floats have distances: start behind the embedding"
        raise _NoGraph("inputs", text)
    if example.dim() < 2 or 0 in example.shape:
        shape = tuple(example.shape)
        raise _NoGraph("inputs", f"the example has shape {shape}; expected a batch of samples")
    one = example[:1]
    batch = torch.export.Dim("batch")
    program: torch.export.ExportedProgram
    try:
        with warnings.catch_warnings(record=True) as said, _watched(module) as changed:
            warnings.simplefilter("always")
            # A size of 0 or 1 counts as a constant, and an open size as none of them: both are looked at.
            program = torch.export.export(
                module, (torch.cat([one, one]),), dynamic_shapes=({0: batch},), strict=False
            ).run_decompositions({})
            single = torch.export.export(module, (one,), strict=False).run_decompositions({})
    except Exception as error:  # whatever stops it is the reason
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        text = " ".join(lines[:3])[:400] or type(error).__name__
        kind = type(error).__name__
        if "batch" in text or "pecializ" in text or "0].size()[0]" in text:
            text = f"its graph depends on the batch size: {text}"
        raise _NoGraph(kind, f"torch.export: {text}") from error
    changed.update(name for warning in said for name in _assigned(str(warning.message)))
    for name in sorted(changed):
        owner, _, last = name.rpartition(".")
        if last != "weight" or not has_weight_hook(module.get_submodule(owner)):
            text = f"forward sets self.{name}, so that outputs may depend on earlier inputs"
            raise _NoGraph("attribute", text)
    if _signature(program) != _signature(single):
        text = "its graph for one sample differs from that for several: it depends on the batch size"
        raise _NoGraph("batch", text)
    return program, one


def _compared(module: nn.Module, program: torch.export.ExportedProgram, one: torch.Tensor) -> None:
    """Refuses a graph that computes other values than the module: code may ask whether it is exported, or
    whether gradients are wanted."""
    x = torch.cat([one, torch.linspace(-1, 1, one.numel()).to(one).view_as(one)])
    try:
        exported, eager = program.module()(x), module(x)
    except Exception as error:  # whatever stops it is the reason
        raise _NoGraph(type(error).__name__, f"a batch of two: {error}") from error
    found = [eager]
    with torch.enable_grad(), contextlib.suppress(RuntimeError):  # of inference tensors, say
        found.append(module(x))
    for other in found:
        ours, theirs = _results(exported), _results(other)
        if len(ours) != len(theirs) or not all(map(_near, ours, theirs)):
            text = (
                "the exported graph computes other values than the module itself: its code asks how it is run"
            )
            raise _NoGraph("values", text)


def _results(outputs: Any) -> list[torch.Tensor]:
    return [y for y in torch.utils._pytree.tree_leaves(outputs) if isinstance(y, torch.Tensor)]


def _near(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Whether two evaluations differ by rounding only, as far as one can tell."""
    if a.shape != b.shape:
        return False
    a, b = a.detach().to(torch.float64), b.detach().to(torch.float64)
    size = a[a.isfinite()].abs().max().item() if a.isfinite().any() else 1.0
    return torch.allclose(a, b, rtol=0.02, atol=0.02 * size, equal_nan=True)


@contextlib.contextmanager
def _watched(module: nn.Module) -> Iterator[set[str]]:
    """The attributes that forward sets, as far as they are no tensors."""
    changed: set[str] = set()
    before: dict[str, Any] = {}

    def attributes() -> dict[str, Any]:
        return {
            f"{name}.{key}".lstrip("."): value
            for name, part in module.named_modules()
            for key, value in part.__dict__.items()
            if isinstance(value, (bool, int, float, complex, str, type(None)))
        }

    def start(*_: Any) -> None:
        before.clear()
        before.update(attributes())

    def end(*_: Any) -> None:
        after = attributes()
        for name in {*before, *after}:
            old, new = before.get(name), after.get(name)
            if old is not new and old != new:
                changed.add(name)

    hooks = [module.register_forward_pre_hook(start), module.register_forward_hook(end)]
    try:
        yield changed
    finally:
        for hook in hooks:
            hook.remove()


def _assigned(warning: str) -> list[str]:
    """The tensors that forward sets, by what torch.export says of it."""
    found = re.search(r"The tensor attributes? (.*?) (?:was|were) assigned during export", warning)
    return re.findall(r"self\.([\w.]+)", found.group(1)) if found else []


def _signature(program: torch.export.ExportedProgram) -> list[tuple[Any, ...]]:
    """What a graph computes, apart from the batch size."""
    places: dict[fx.Node, int] = {}
    rows: list[tuple[Any, ...]] = []
    names = program.graph_signature
    targets = {**names.inputs_to_parameters, **names.inputs_to_buffers}

    def leaf(value: Any) -> Any:
        return f"node {places[value]}" if value in places else "size"

    for node in program.graph.nodes:
        val = node.meta.get("val")
        if node.op == "output":
            rows.append(("output", str(fx.node.map_arg(node.args, leaf))))
            continue
        if not isinstance(val, (torch.Tensor, list, tuple)):
            continue
        if _is_whole(node):
            places[node] = places[node.args[0]]
            continue
        places[node] = len(rows)
        sizes = tuple(v.shape[1:] for v in ([val] if isinstance(val, torch.Tensor) else val))
        # Of the first axis nothing: of a value that depends on the input it is the batch.
        arguments: Any = (node.args, node.kwargs)
        if node.target in _SHAPED:
            arguments = (node.args[:1], {})
        if node.op == "placeholder":
            rows.append(("input", targets.get(node.name, ""), str(sizes)))
        else:
            shown = str(fx.node.map_arg(arguments, leaf))
            rows.append((str(node.target), shown, str(sizes)))
    return rows


def _is_whole(node: Any) -> bool:
    """Whether it is a slice of all of an axis."""
    ends = (_get(node, 2, "start", None), _get(node, 3, "end", None), _get(node, 4, "step", 1))
    return node.target is A.slice.Tensor and ends in ((0, 2**63 - 1, 1), (None, None, 1), (0, None, 1))


# Their arguments are the shape of their result, or how its batch comes about.
_SHAPED = (
    A.view.default, A.reshape.default, A._unsafe_view.default, A.expand.default, A.zeros.default,
    A.ones.default, A.full.default,
)  # fmt: skip


def _tensors(module: nn.Module, remove_duplicate: bool = True) -> list[tuple[str, torch.Tensor]]:
    parameters = module.named_parameters(remove_duplicate=remove_duplicate)
    return [*parameters, *module.named_buffers(remove_duplicate=remove_duplicate)]


Rule = Callable[["_Lowering", Any], int]


class _Lowering:
    def __init__(self, module: nn.Module, program: torch.export.ExportedProgram) -> None:
        self.module = module
        self.program = program
        signature = program.graph_signature
        # Of a tensor with several names the first.
        first = {id(tensor): name for name, tensor in reversed(_tensors(module))}
        found = dict(_tensors(module, remove_duplicate=False))
        targets = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
        self.names = {name: first.get(id(found.get(target)), target) for name, target in targets.items()}
        self.constants: dict[str, torch.Tensor] = {}
        # Why a constant is not known exactly.
        self.inexact: dict[str, str] = {}
        for name, target in targets.items():
            held = program.state_dict.get(target)
            value = program.constants[target] if held is None else held
            self.constants[name] = value.detach()
        for name, target in signature.inputs_to_lifted_tensor_constants.items():
            self.constants[name] = program.constants[target].detach()
        self.nodes: dict[str, int] = {}
        self.lists: dict[str, list[int]] = {}
        # Padding that is not done yet: it may be part of a convolution.
        self.pads: dict[str, tuple[fx.Node, list[tuple[int, int]], str, float]] = {}
        self.layer_names: set[str] = set()
        self.behind: set[str] = set()
        self.blocked = False
        self.precisions: set[torch.dtype] = set()
        inputs = [n for n in program.graph.nodes if n.op == "placeholder"]
        users = [n for n in inputs if n.name in signature.user_inputs]
        if len(users) != 1 or len(signature.user_inputs) != 1:
            raise _NoGraph("inputs", f"the graph has {len(users)} tensor inputs; expected one")
        self.input = users[0]
        shape = self.input.meta["val"].shape
        if not isinstance(shape[0], torch.SymInt):
            raise _NoGraph("batch", "its graph depends on the batch size, which became a constant")
        self.batch = shape[0].node.expr
        self.record = Recorder(tuple(int(n) for n in shape[1:]))
        self.nodes[self.input.name] = 0

    # What the rules read.

    def id(self, node: Any) -> int:
        """The node of a value that depends on the input."""
        if not isinstance(node, fx.Node):
            raise Refusal("an operand that should depend on the input is a number")
        if node.name in self.pads:
            source, amounts, mode, fill = self.pads.pop(node.name)
            x = self.id(source)
            self.nodes[node.name] = self.record("pad", self.label(node), x, amounts, mode, fill)
        if node.name not in self.nodes:
            raise Refusal("an operand that should depend on the input does not, or is no tensor")
        return self.nodes[node.name]

    def shape(self, node: fx.Node) -> list[int]:
        """The shape of a value for one sample."""
        shape = node.meta["val"].shape
        if len(shape) == 0 or not self.is_batch(shape[0]):
            raise Refusal(BATCH)
        if not all(isinstance(n, int) for n in shape[1:]):
            raise Refusal("a size depends on the batch size")
        return [int(n) for n in shape[1:]]

    def is_batch(self, size: Any) -> bool:
        return isinstance(size, torch.SymInt) and size.node.expr == self.batch

    def is_constant(self, value: Any) -> bool:
        return isinstance(value, fx.Node) and value.name in self.constants

    def value(self, node: Any) -> torch.Tensor:
        """A constant that is known exactly."""
        if not self.is_constant(node):
            raise Refusal("an operand that should be a constant depends on the input")
        if node.name in self.inexact:
            raise Refusal(self.inexact[node.name])
        return self.constants[node.name]

    def axis(self, node: fx.Node, dim: int) -> int:
        """An axis of a sample."""
        rank = len(node.meta["val"].shape)
        dim = int(dim)
        dim = dim + rank if dim < 0 else dim
        if dim == 0:
            raise Refusal(BATCH)
        if not 0 < dim < rank:
            raise Refusal(f"axis {dim} of a value of {rank} axes")
        return dim - 1

    def number(self, value: Any, like: fx.Node) -> float:
        """A number of the program, as operators on tensors of this type take it."""
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            raise Refusal("the batch size, or something that is no number, enters a value")
        single = like.meta["val"].dtype is not torch.float64
        return float(np.float32(value)) if single else float(value)

    def factors(self, node: fx.Node) -> tuple[Any, Any]:
        """Factors and shifts of a normalisation, where it has any."""
        if node.target is A.instance_norm.default:
            return node.args[1], node.args[2]
        shift = None if node.target in _RMS else _get(node, 3, "bias", None)
        return _get(node, 2, "weight", None), shift

    def label(self, node: fx.Node) -> str:
        """The module that a node is in, and its own name."""
        stack = node.meta.get("nn_module_stack") or {}
        paths = [path for path, _ in stack.values()]
        path = str(paths[-1]).removeprefix("L['self']").lstrip(".") if paths else ""
        return f"{path}/{node.name}" if path else str(node.name)

    # The walk.

    def run(self, name: str) -> _core.Model:
        for target in self.mutated():
            text = "forward changes it, so that outputs depend on earlier inputs; register no such state"
            self.block(target, "buffer", text)
        output = next(n for n in self.program.graph.nodes if n.op == "output")
        results = [n for n in output.args[0] if isinstance(n, fx.Node)]
        needed = _needed(results)
        for node in self.program.graph.nodes:
            if node.op in ("placeholder", "output") or node not in needed:
                continue
            self.visit(node)
        outputs = [self.result(node) for node in results]
        found = [node for node in outputs if node is not None]
        if not found and not self.blocked:
            self.block(name, "output", "no output depends on the input")
        self.unused()
        used = [p for p in self.precisions if p in FLOATS]
        if torch.float16 in used or torch.bfloat16 in used:
            precision = 16
        else:
            precision = 64 if used and all(p is torch.float64 for p in used) else 32
        return self.record.finish(name, found, precision, [])

    def mutated(self) -> list[str]:
        signature = self.program.graph_signature
        changed: list[str] = list(signature.buffers_to_mutate.values())
        changed += list(getattr(signature, "parameters_to_mutate", {}).values())
        return changed + list(signature.user_inputs_to_mutate.values())

    def result(self, node: fx.Node) -> int | None:
        """An output of the network; none for one that is constant."""
        if node.name in self.behind or self.is_constant(node):
            return None
        try:
            self.check(node)
            return self.id(node)
        except (Refusal, _core.Error) as reason:
            self.block(self.label(node), "output", str(reason))
            return None

    def block(self, name: str, kind: str, reason: str) -> None:
        self.blocked = True
        self.record("block", name, kind, reason)

    def unused(self) -> None:
        for name, part in self.module.named_modules():
            if isinstance(part, (nn.Linear, nn.modules.conv._ConvNd)) and name not in self.layer_names:
                self.record("skip", "layer that no output is computed with", name)

    def visit(self, node: fx.Node) -> None:
        name = node.name
        flat = node.all_input_nodes
        if not isinstance(node.meta.get("val"), (torch.Tensor, list, tuple)):
            # Sizes and assertions; where a size is used as a value, it is refused there.
            return
        if any(n.name in self.behind for n in flat):
            self.behind.add(name)
            self.layer_behind(node)
            return
        try:
            if all(self.is_constant(n) for n in flat):
                self.constants[name] = self.computed(node)
                return
            target = node.target
            rule = RULES.get(target)
            if rule is None:
                raise Refusal(_no_rule(target))
            if isinstance(node.meta["val"], torch.Tensor):
                self.check(node)
            found = self.layer(rule, node) if node.target in _LAYERS else rule(self, node)
            if found >= 0:
                self.nodes[name] = found
                if self.record.shape(found) != self.shape(node):
                    made, wanted = self.record.shape(found), self.shape(node)
                    raise Refusal(f"the rule gives shape {made}, the graph {wanted}")
        except (Refusal, _core.Error) as reason:
            self.nodes.pop(name, None)
            self.behind.add(name)
            self.block(self.label(node), _kind(node), str(reason))

    def check(self, node: fx.Node) -> None:
        """Refuses what no network has: types other than floats, and moved batches."""
        dtype = node.meta["val"].dtype
        if dtype not in FLOATS:
            raise Refusal(f"its result is {dtype}: rounding to it jumps")
        narrow = (torch.float16, torch.bfloat16)
        for source in node.all_input_nodes:
            before = getattr(source.meta.get("val"), "dtype", dtype)
            if dtype in narrow and before not in narrow and not self.is_constant(source):
                raise Refusal(f"it rounds from {before} to {dtype}: the result jumps")
        self.precisions.add(dtype)
        self.shape(node)

    def computed(self, node: fx.Node) -> torch.Tensor:
        """A value that depends on parameters only, as torch computes it; what is rounded is noted."""
        target: Any = node.target
        if not isinstance(target, torch._ops.OpOverload) and target is not operator.getitem:
            raise Refusal(_no_rule(target))
        if torch.Tag.nondeterministic_seeded in getattr(target, "tags", ()):
            raise Refusal(RANDOM)

        def real(n: fx.Node) -> Any:
            return self.constants[n.name]

        args: Any = fx.node.map_arg(node.args, real)
        kwargs: Any = fx.node.map_arg(node.kwargs, real)
        try:
            value: torch.Tensor = target(*args, **kwargs)
        except Exception as error:
            raise Refusal(f"it cannot be computed from the parameters: {error}") from error
        sources = [n.name for n in node.all_input_nodes]
        reason = next((self.inexact[n] for n in sources if n in self.inexact), None)
        if reason is None and not _is_exact(target, args, kwargs, value):
            reason = (
                f"a constant is computed from parameters with rounding ({_kind(node)} {node.name!r}): "
                "compute it before, and store it as a parameter"
            )
        if reason is not None:
            self.inexact[node.name] = reason
        return value

    # Layers.

    def weight(self, node: fx.Node) -> tuple[Recipe, str, str, list[str]]:
        """A weight: how it is made, its name, that of its layer, and notes."""
        if not self.is_constant(node):
            raise Refusal("its weight depends on the input")
        value = self.constants[node.name]
        if node.name in self.inexact:
            owner = self.owner(node, value)
            recipe, note = computed_weight(self.module.get_submodule(owner))
            tensor = f"{owner}.weight" if owner else "weight"
            return recipe, tensor, self.unique(owner or "weight"), [note]
        tensor = self.names.get(node.name) or self.source(node) or node.name
        return Recipe("exact", (array(value),)), tensor, self.unique(layer_name(tensor)), []

    def source(self, node: fx.Node) -> str | None:
        """The only parameter that a constant is made from."""
        found = {self.names[n.name] for n in _needed([node]) if n.name in self.names}
        return found.pop() if len(found) == 1 else None

    def owner(self, node: fx.Node, value: torch.Tensor) -> str:
        """The module whose weight a computed constant is."""
        sources = {self.names[n.name] for n in _needed([node]) if n.name in self.names}
        for name, part in self.module.named_modules():
            inside = f"{name}." if name else ""
            if not isinstance(part, (nn.Linear, nn.modules.conv._ConvNd)) or not is_computed(part):
                continue
            if sources and all(source.startswith(inside) for source in sources):
                # The same weight, and not something that is made from it.
                if torch.equal(part.weight, value):
                    return str(name)
        raise Refusal(self.inexact[node.name])

    def unique(self, name: str) -> str:
        candidate, count = name, 2
        while candidate in self.layer_names:
            candidate, count = f"{name}#{count}", count + 1
        self.layer_names.add(candidate)
        return candidate

    def layer_behind(self, node: fx.Node) -> None:
        """A layer behind a blocker is audited too."""
        rule = _LAYERS.get(node.target)
        if rule is not None and self.is_constant(node.args[1]):
            with contextlib.suppress(Refusal, _core.Error):
                self.layer(rule, node)

    def layer(self, rule: Rule, node: fx.Node) -> int:
        """Applies the rule of a layer; one that it does not get to record is refused by name."""
        before = len(self.record.program.calls)
        try:
            return rule(self, node)
        except (Refusal, _core.Error) as reason:
            weight = node.args[1]
            calls = self.record.program.calls[before:]
            if isinstance(weight, fx.Node) and not any(m in ("conv", "dense") for m, _ in calls):
                tensor = self.names.get(weight.name) or self.source(weight) or weight.name
                self.layer_names.add(layer_name(tensor))
                self.record("refuse", layer_name(tensor), _kind(node), str(reason))
            raise


def _needed(results: Sequence[fx.Node]) -> set[fx.Node]:
    """All nodes that some depend on."""
    seen: set[fx.Node] = set()
    stack = list(results)
    while stack:
        node = stack.pop()
        if node not in seen:
            seen.add(node)
            stack.extend(node.all_input_nodes)
    return seen


def _kind(node: fx.Node) -> str:
    target: Any = node.target
    return str(getattr(target, "__name__", target)).split(".")[0]


def _no_rule(target: Any) -> str:
    name = str(getattr(target, "__name__", target)).split(".")[0]
    tags = getattr(target, "tags", ())
    if isinstance(target, torch._ops.HigherOrderOperator):
        return "control flow, or another operator over graphs, has no rule"
    if torch.Tag.nondeterministic_seeded in tags:
        return RANDOM
    if "batch_norm" in name:
        return "it uses the statistics of the batch: track running statistics, and use them in eval mode"
    if "norm" in name:
        return "it divides by a norm or a standard deviation of the input: no rule for it"
    if name == "scaled_dot_product_attention":
        return "attention has no Lipschitz bound over all inputs"
    return "no rule for this operator"


# Constants.

_EXACT = {
    A.view.default, A.reshape.default, A._unsafe_view.default, A.flatten.using_ints,
    A.unsqueeze.default, A.squeeze.default, A.squeeze.dim, A.squeeze.dims, A.permute.default,
    A.transpose.int, A.t.default, A.expand.default, A.clone.default, A.contiguous.default,
    A.alias.default, A.detach.default, A.detach_.default, A.lift_fresh_copy.default, A.slice.Tensor,
    A.select.int, A.cat.default, A.stack.default, A.neg.default, A.abs.default, A.flip.default,
    A.roll.default, A.index_select.default, A.split.Tensor, A.split_with_sizes.default,
    A.chunk.default, A.unbind.int, A.zeros.default, A.ones.default, A.zeros_like.default,
    A.ones_like.default, A.full.default, A.full_like.default, A.arange.default, A.arange.start,
    A.arange.start_step, A.eye.default, A.tril.default, A.triu.default, A.scalar_tensor.default,
    A.constant_pad_nd.default, A.repeat.default, operator.getitem,
}  # fmt: skip


def _is_exact(target: Any, args: Any, kwargs: Any, value: Any) -> bool:
    """Whether torch computes a constant without rounding."""
    if target in _EXACT:
        # arange and full may round what they make.
        made = target in (A.arange.start_step, A.arange.start, A.arange.default, A.full.default)
        if made or target in (A.full_like.default, A.scalar_tensor.default):
            numbers = [a for a in args if isinstance(a, float)]
            return all(number == int(number) for number in numbers if math.isfinite(number))
        return True
    if target in (A._to_copy.default, A.to.dtype):
        source = args[0]
        return bool(torch.equal(source.to(torch.float64), value.to(torch.float64)))
    if target is A.mul.Tensor and all(isinstance(a, torch.Tensor) for a in args[:2]):
        # A mask, signs, powers of two.
        return any(bool(((a == 0) | (a == 1) | (a == -1)).all()) for a in args[:2])
    return False


# Rules: each gives the node of the result, or -1 where it is kept elsewhere.


def _get(node: fx.Node, place: int, name: str, default: Any) -> Any:
    if len(node.args) > place:
        return node.args[place]
    return node.kwargs.get(name, default)


def _list(value: Any, axes: int) -> list[int]:
    values = list(value) if isinstance(value, (list, tuple)) else [value]
    if not all(isinstance(v, int) for v in values):
        raise Refusal("a size depends on the batch size")
    return values * axes if len(values) == 1 else values


def _bias(low: _Lowering, node: Any) -> Array | None:
    return None if node is None else array(low.value(node))


_CONV_OPS = (
    A.conv1d.default, A.conv2d.default, A.conv3d.default,
    A.conv1d.padding, A.conv2d.padding, A.conv3d.padding,
    A.conv_transpose1d.default, A.conv_transpose2d.input, A.conv_transpose3d.input,
    A.convolution.default,
)  # fmt: skip


def _conv(low: _Lowering, node: Any) -> int:
    target: Any = node.target
    source: Any = node.args[0]
    bias = _bias(low, _get(node, 2, "bias", None))
    recipe, tensor, label, notes = low.weight(node.args[1])
    weight_shape = low.constants[node.args[1].name].shape
    axes = len(weight_shape) - 2
    transposed, output_padding = False, [0] * axes
    if target is A.convolution.default:
        transposed = bool(node.args[6])
        output_padding = _list(node.args[7], axes)
        dilation, groups = _list(node.args[5], axes), node.args[8]
    elif target.__name__.startswith("conv_transpose"):
        transposed = True
        output_padding = _list(_get(node, 5, "output_padding", 0), axes)
        groups = _get(node, 6, "groups", 1)
        dilation = _list(_get(node, 7, "dilation", 1), axes)
    else:
        dilation = _list(_get(node, 5, "dilation", 1), axes)
        groups = _get(node, 6, "groups", 1)
    padding: Any = _get(node, 4, "padding", 0)
    if padding == "same":
        total = [d * (k - 1) for d, k in zip(dilation, weight_shape[2:], strict=True)]
        sides = [(n // 2, n - n // 2) for n in total]
    elif padding == "valid":
        sides = [(0, 0)] * axes
    else:
        sides = [(n, n) for n in _list(padding, axes)]
    mode = "zeros"
    pending = low.pads.get(source.name)
    if pending is not None and pending[2] != "zeros" and not any(a or b for a, b in sides):
        before, amounts, of, _ = pending
        if amounts[0] == (0, 0) and min(min(pair) for pair in amounts) >= 0 and not transposed:
            source, sides, mode = before, list(amounts[1:]), of
            if len(node.args[0].users) == 1:
                low.pads.pop(node.args[0].name)
    known = source.name not in low.behind
    size = None
    if not known and all(isinstance(n, int) for n in source.meta["val"].shape[2:]):
        size = [int(n) for n in source.meta["val"].shape[2:]]
    geometry = {
        "stride": _list(_get(node, 3, "stride", 1), axes),
        "padding": sides,
        "padding_mode": mode,
        "dilation": dilation,
        "groups": groups,
        "transposed": transposed,
        "output_padding": output_padding,
        "input_size": size,
    }
    x = low.id(source) if known else None
    made = low.record("conv", label, tensor, x, recipe, bias, geometry, notes)
    return -1 if made is None else int(made)


def _linear(low: _Lowering, node: Any) -> int:
    source: Any = node.args[0]
    bias = _bias(low, _get(node, 2, "bias", None))
    recipe, tensor, label, notes = low.weight(node.args[1])
    x = None if source.name in low.behind else low.id(source)
    made = low.record("dense", label, tensor, x, recipe, bias, notes)
    return -1 if made is None else int(made)


def _matmul(low: _Lowering, node: Any) -> int:
    """x·W, and x·W + b of addmm."""
    bias = None
    operands = list(node.args[:2])
    if node.target is A.addmm.default:
        if _get(node, 3, "beta", 1) != 1 or _get(node, 4, "alpha", 1) != 1:
            raise Refusal("beta or alpha is not 1")
        bias = _bias(low, node.args[0])
        operands = list(node.args[1:3])
    x, weight = operands
    if not low.is_constant(weight):
        raise Refusal(PRODUCT if not low.is_constant(x) else "a constant matrix on the left: no rule")
    value = low.value(weight)
    if value.dim() != 2:
        raise Refusal(f"a product with a constant of {value.dim()} axes; expected 2")
    if bias is not None and bias.shape != (value.shape[1],):
        raise Refusal("what it adds differs between samples, or is not one number for each output")
    tensor = low.names.get(weight.name) or low.source(weight) or weight.name
    recipe = Recipe("exact", (array(value.t()),))
    label = low.unique(layer_name(tensor))
    return int(low.record("dense", label, tensor, low.id(x), recipe, bias, []))


def _batch_norm(low: _Lowering, node: Any) -> int:
    if node.target is A.batch_norm.default and node.args[5]:
        raise Refusal(
            "it uses the statistics of the batch: track running statistics, and use them in eval mode"
        )
    if node.args[3] is None or node.args[4] is None:
        raise Refusal("it has no running statistics")
    mean, variance = array(low.value(node.args[3])), array(low.value(node.args[4]))
    ones, zeros = np.ones_like(mean), np.zeros_like(mean)
    gamma = ones if node.args[1] is None else array(low.value(node.args[1]))
    beta = zeros if node.args[2] is None else array(low.value(node.args[2]))
    source: Any = node.args[0]
    epsilon = low.number(node.args[7 if node.target is A.batch_norm.default else 6], source)
    x = low.id(source)
    made = low.record("batch_norm", low.label(node), x, gamma, beta, mean, variance, epsilon)
    if node.target is A.batch_norm.default:
        return int(made)
    low.lists[node.name] = [int(made)]
    return -1


def _normalised(
    low: _Lowering, node: Any, groups: list[int], centred: bool, epsilon: float, inner: list[int]
) -> int:
    """Entries of every group less their mean, divided by the root of the mean of squares plus ε (T41); then
    the factors and shifts of a layer, whose shape is `inner`."""
    source: Any = node.args[0]
    name, x, shape = low.label(node), low.id(source), low.shape(source)
    flat = [*groups, math.prod(shape) // math.prod(groups)]
    x = int(low.record("reshape", name + "/groups", x, flat))
    x = int(low.record("normalise", name, x, len(flat) - 1, centred, epsilon))
    x = int(low.record("reshape", name + "/shape", x, shape))
    ones, zeros = np.ones(inner), np.zeros(inner)
    factors = [
        default if given is None else array(low.value(given)).reshape(inner)
        for given, default in zip(low.factors(node), (ones, zeros), strict=True)
    ]
    aligned = [np.asarray(f, dtype=np.float64) for f in factors]
    return int(low.record("affine", name + "/factors", x, *aligned))


def _over_last(low: _Lowering, node: Any, centred: bool, epsilon: float) -> int:
    """Over the last axes, whose lengths are the second argument."""
    shape, last = low.shape(node.args[0]), list(node.args[1])
    first = len(shape) - len(last)
    if not last or first < 0 or shape[first:] != last:
        raise Refusal(BATCH)
    return _normalised(low, node, shape[:first], centred, epsilon, [1] * first + last)


def _layer_norm(low: _Lowering, node: Any) -> int:
    made = _over_last(low, node, True, low.number(_get(node, 4, "eps", 1e-5), node.args[0]))
    if isinstance(node.meta["val"], torch.Tensor):
        return made
    low.lists[node.name] = [made]
    return -1


def _rms_norm(low: _Lowering, node: Any) -> int:
    source: Any = node.args[0]
    given = _get(node, 3, "eps", None)
    dtype = source.meta["val"].dtype
    if given is None and dtype in (torch.float16, torch.bfloat16):
        raise Refusal("it states no eps, and in 16 bits torch takes another one than the type's; state eps")
    epsilon = torch.finfo(dtype).eps if given is None else low.number(given, source)
    return _over_last(low, node, False, epsilon)


def _group_norm(low: _Lowering, node: Any) -> int:
    source: Any = node.args[0]
    shape = low.shape(source)
    groups = node.args[1]
    if not isinstance(groups, int) or len(shape) < 1 or shape[0] % groups:
        raise Refusal("its groups do not divide its channels")
    inner = [shape[0], *[1] * (len(shape) - 1)]
    return _normalised(low, node, [groups], True, low.number(_get(node, 4, "eps", 1e-5), source), inner)


def _instance_norm(low: _Lowering, node: Any) -> int:
    source: Any = node.args[0]
    shape = low.shape(source)
    if not node.args[5] or len(shape) < 2:
        raise Refusal("it uses running statistics: no rule for it")
    inner = [shape[0], *[1] * (len(shape) - 1)]
    return _normalised(low, node, [shape[0]], True, low.number(node.args[7], source), inner)


def _getitem(low: _Lowering, node: Any) -> int:
    of, place = node.args
    found = low.lists.get(of.name, [])
    if not isinstance(place, int) or not 0 <= place < len(found):
        raise Refusal("a result of its operator that has no rule")
    return found[place]


def _operand(low: _Lowering, value: Any, rank: int, like: fx.Node) -> Array:
    """A constant operand of a value of this rank (of a sample), aligned with it."""
    if isinstance(value, fx.Node):
        if not low.is_constant(value):
            raise Refusal("the batch size enters a value")
        constant = low.value(value)
        result = like.meta["val"].dtype
        wide = constant.to(torch.float64)
        if constant.dtype not in FLOATS and not torch.equal(wide.to(constant.dtype), constant):
            raise Refusal(f"a constant of {constant.dtype} is no f64")
        # torch converts operands to the type of the result, and single numbers first of all.
        if constant.dtype is not result and not torch.equal(constant.to(result).to(torch.float64), wide):
            raise Refusal(f"a constant of {constant.dtype} is rounded to {result}; store it as {result}")
        found = array(wide)
    else:
        found = np.array(low.number(value, like))
    if found.ndim > rank + 1 or (found.ndim == rank + 1 and found.shape[0] != 1):
        raise Refusal(BATCH)
    if found.ndim == rank + 1:
        found = found[0]
    return np.asarray(found.reshape((1,) * (rank - found.ndim) + found.shape), dtype=np.float64)


def _repeated(low: _Lowering, node: Any, of: Any, shape: list[int]) -> int:
    """A value with axes of length 1 repeated to a shape."""
    x = low.id(of)
    own = low.record.shape(x)
    if own == shape:
        return x
    if len(own) != len(shape):
        raise Refusal("values of different ranks are broadcast: " + BATCH)
    along = [[0] * n if m == 1 else list(range(n)) for m, n in zip(own, shape, strict=True)]
    return int(low.record("pick", low.label(node) + "/repeated", x, along, 0.0))


def _is_data(low: _Lowering, value: Any) -> bool:
    return isinstance(value, fx.Node) and (value.name in low.nodes or value.name in low.pads)


def _scaled(low: _Lowering, name: str, x: int, factor: float) -> int:
    rank = len(low.record.shape(x))
    ones = (1,) * rank
    return int(low.record("affine", name, x, np.full(ones, factor), np.zeros(ones)))


def _sum(low: _Lowering, node: Any) -> int:
    a, b = node.args[:2]
    name, target = low.label(node), node.target
    if target is A.rsub.Scalar:
        a, b = b, a
    if _get(node, 2, "alpha", 1) != 1:
        raise Refusal("alpha is not 1")
    minus = target is not A.add.Tensor
    shape = low.shape(node)
    if _is_data(low, a) and _is_data(low, b):
        left, right = _repeated(low, node, a, shape), _repeated(low, node, b, shape)
        if minus:
            right = _scaled(low, name + "/minus", right, -1.0)
        return int(low.record("combine", name, [left, right], "sum"))
    data, other = (a, b) if _is_data(low, a) else (b, a)
    shift = _operand(low, other, len(shape), node)
    scale = 1.0
    if minus:
        scale, shift = (1.0, -shift) if data is a else (-1.0, shift)
    x = _repeated(low, node, data, shape)
    return int(low.record("affine", name, x, np.full((1,) * len(shape), scale), shift))


def _product(low: _Lowering, node: Any) -> int:
    a, b = node.args[:2]
    if _is_data(low, a) and _is_data(low, b):
        raise Refusal(PRODUCT)
    data, other = (a, b) if _is_data(low, a) else (b, a)
    shape = low.shape(node)
    factor = _operand(low, other, len(shape), node)
    x = _repeated(low, node, data, shape)
    return int(low.record("affine", low.label(node), x, factor, np.zeros((1,) * len(shape))))


def _quotient(low: _Lowering, node: Any) -> int:
    a, b = node.args[:2]
    if node.kwargs.get("rounding_mode") is not None:
        raise Refusal("it rounds: the result jumps")
    if not _is_data(low, a):
        raise Refusal("a quotient by a value that depends on the input has no Lipschitz bound")
    if _is_data(low, b):
        raise Refusal("a quotient of two values that depend on the input has no Lipschitz bound")
    shape = low.shape(node)
    by = _operand(low, b, len(shape), node)
    x = _repeated(low, node, a, shape)
    return int(low.record("quotient", low.label(node), x, by))


def _negative(low: _Lowering, node: Any) -> int:
    return _scaled(low, low.label(node), low.id(node.args[0]), -1.0)


def _extremum(low: _Lowering, node: Any) -> int:
    how = "max" if node.target is A.maximum.default else "min"
    shape = low.shape(node)
    for of in node.args[:2]:
        if not _is_data(low, of):
            raise Refusal("with a constant: use clamp")
    both = [_repeated(low, node, of, shape) for of in node.args[:2]]
    return int(low.record("combine", low.label(node), both, how))


def _clamp(low: _Lowering, node: Any) -> int:
    source: Any = node.args[0]
    places = {A.clamp_min.default: (1, 9), A.clamp_max.default: (9, 1)}
    first, second = places.get(node.target, (1, 2))
    ends = []
    for place, name, none in ((first, "min", -math.inf), (second, "max", math.inf)):
        value = _get(node, place, name, None)
        ends.append(none if value is None else low.number(value, source))
    return int(low.record("activation", low.label(node), low.id(source), "clip", ends))


def _cat(low: _Lowering, node: Any) -> int:
    parts: Any = node.args[0]
    axis = low.axis(node, _get(node, 1, "dim", 0))
    if not all(_is_data(low, part) for part in parts):
        raise Refusal("a part is a constant: no rule")
    return int(low.record("concat", low.label(node), [low.id(part) for part in parts], axis))


def _stack(low: _Lowering, node: Any) -> int:
    parts: Any = node.args[0]
    axis = low.axis(node, _get(node, 1, "dim", 0))
    if not all(_is_data(low, part) for part in parts):
        raise Refusal("a part is a constant: no rule")
    shape = low.shape(node)
    shape[axis] = 1
    name = low.label(node)
    ids = [low.record("reshape", name + "/axis", low.id(part), shape) for part in parts]
    return int(low.record("concat", name, ids, axis))


def _reshape(low: _Lowering, node: Any) -> int:
    # With the batch first before and after, entries of a sample stay with it: rows are in order.
    low.shape(node.args[0])
    return int(low.record("reshape", low.label(node), low.id(node.args[0]), low.shape(node)))


def _permute(low: _Lowering, node: Any) -> int:
    source: Any = node.args[0]
    rank = len(source.meta["val"].shape)
    order = list(range(rank))
    if node.target is A.permute.default:
        order = [int(d) % rank for d in node.args[1]]
    elif node.target is A.t.default:
        raise Refusal(BATCH)
    else:
        a, b = int(node.args[1]) % rank, int(node.args[2]) % rank
        order[a], order[b] = b, a
    if order[0] != 0:
        raise Refusal(BATCH)
    return int(low.record("transpose", low.label(node), low.id(source), [d - 1 for d in order[1:]]))


def _same(low: _Lowering, node: Any) -> int:
    return low.id(node.args[0])


def _dropout(low: _Lowering, node: Any) -> int:
    if node.args[2]:
        raise Refusal(RANDOM)
    return low.id(node.args[0])


def _pick(low: _Lowering, node: Any, axis: int, taken: list[int], name: str = "") -> int:
    x = low.id(node.args[0])
    along: list[list[int]] = [list(range(n)) for n in low.record.shape(x)]
    along[axis] = taken
    return int(low.record("pick", low.label(node) + name, x, along, 0.0))


def _slice(low: _Lowering, node: Any) -> int:
    source: Any = node.args[0]
    dim = int(_get(node, 1, "dim", 0))
    start, end = _get(node, 2, "start", None), _get(node, 3, "end", None)
    step = _get(node, 4, "step", 1)
    if _is_whole(node):
        return low.id(source)
    if dim % len(source.meta["val"].shape) == 0:
        raise Refusal(BATCH)
    axis = low.axis(source, dim)
    numbers = [n for n in (start, end, step) if n is not None]
    if not all(isinstance(n, int) for n in numbers):
        raise Refusal("a size depends on the batch size")
    taken = list(range(low.shape(source)[axis]))[slice(start, end, step)]
    return _pick(low, node, axis, taken)


def _select(low: _Lowering, node: Any) -> int:
    source: Any = node.args[0]
    axis = low.axis(source, node.args[1])
    n = low.shape(source)[axis]
    if not isinstance(node.args[2], int):
        raise Refusal("an index depends on the batch size")
    picked = _pick(low, node, axis, [node.args[2] % n], "/entry")
    return int(low.record("reshape", low.label(node), picked, low.shape(node)))


def _index_select(low: _Lowering, node: Any) -> int:
    source: Any = node.args[0]
    axis = low.axis(source, node.args[1])
    taken = [int(i) for i in low.value(node.args[2])]
    return _pick(low, node, axis, taken)


def _split(low: _Lowering, node: Any) -> int:
    source: Any = node.args[0]
    axis = low.axis(source, _get(node, 2, "dim", 0))
    at, ids = 0, []
    for place, part in enumerate(node.meta["val"]):
        n = int(part.shape[axis + 1])
        ids.append(_pick(low, node, axis, list(range(at, at + n)), f"/{place}"))
        at += n
    low.lists[node.name] = ids
    return -1


def _unbind(low: _Lowering, node: Any) -> int:
    source: Any = node.args[0]
    axis = low.axis(source, _get(node, 1, "dim", 0))
    shape = low.shape(source)
    ids = []
    for place in range(shape[axis]):
        picked = _pick(low, node, axis, [place], f"/{place}")
        left = [*shape[:axis], *shape[axis + 1 :]]
        ids.append(int(low.record("reshape", f"{low.label(node)}/{place}/shape", picked, left)))
    low.lists[node.name] = ids
    return -1


def _flip(low: _Lowering, node: Any) -> int:
    source: Any = node.args[0]
    x = low.id(source)
    along = [list(range(n)) for n in low.record.shape(x)]
    for dim in node.args[1]:
        axis = low.axis(source, dim)
        along[axis].reverse()
    return int(low.record("pick", low.label(node), x, along, 0.0))


def _roll(low: _Lowering, node: Any) -> int:
    source: Any = node.args[0]
    shifts, dims = node.args[1], _get(node, 2, "dims", [])
    if not dims:
        raise Refusal(BATCH)
    x = low.id(source)
    along = [list(range(n)) for n in low.record.shape(x)]
    for shift, dim in zip(shifts, dims, strict=True):
        axis = low.axis(source, dim)
        along[axis] = [int(i) for i in np.roll(along[axis], shift)]
    return int(low.record("pick", low.label(node), x, along, 0.0))


def _expand(low: _Lowering, node: Any) -> int:
    return _repeated(low, node, node.args[0], low.shape(node))


def _pad(low: _Lowering, node: Any) -> int:
    source: Any = node.args[0]
    amounts = [int(n) for n in node.args[1]]
    plain = node.target is A.constant_pad_nd.default
    mode = "constant" if plain else str(_get(node, 2, "mode", "constant"))
    value = _get(node, 2, "value", 0) if plain else _get(node, 3, "value", None)
    rank = len(low.shape(source))
    if len(amounts) // 2 > rank:
        raise Refusal(BATCH)
    sides = [(0, 0)] * rank
    for place in range(len(amounts) // 2):
        sides[rank - 1 - place] = (amounts[2 * place], amounts[2 * place + 1])
    names = {"constant": "zeros", "reflect": "reflect", "replicate": "replicate", "circular": "circular"}
    if mode not in names:
        raise Refusal(f"mode {mode!r} is not known")
    fill = 0.0 if value is None else low.number(value, source)
    low.pads[node.name] = (source, sides, names[mode], fill)
    return -1


def _max_pool(low: _Lowering, node: Any) -> int:
    source: Any = node.args[0]
    axes = len(low.shape(source)) - 1
    kernel = _list(node.args[1], axes)
    stride = _list(_get(node, 2, "stride", []) or kernel, axes)
    padding = _list(_get(node, 3, "padding", 0), axes)
    dilation = _list(_get(node, 4, "dilation", 1), axes)
    ceil = bool(_get(node, 5, "ceil_mode", False))
    x = low.id(source)
    made = int(low.record("max_pool", low.label(node), x, kernel, stride, padding, dilation, ceil))
    if isinstance(node.meta["val"], torch.Tensor):
        return made
    low.lists[node.name] = [made]
    return -1


def _average_pool(low: _Lowering, node: Any) -> int:
    source: Any = node.args[0]
    axes = len(low.shape(source)) - 1
    kernel = _list(node.args[1], axes)
    stride = _list(_get(node, 2, "stride", []) or kernel, axes)
    padding = _list(_get(node, 3, "padding", 0), axes)
    ceil = bool(_get(node, 4, "ceil_mode", False))
    counted = bool(_get(node, 5, "count_include_pad", True))
    if _get(node, 6, "divisor_override", None) is not None:
        raise Refusal("divisor_override is not covered")
    made = low.record("average_pool", low.label(node), low.id(source), kernel, stride, padding, ceil, counted)
    return int(made)


def _adaptive_average(low: _Lowering, node: Any) -> int:
    source: Any = node.args[0]
    shape, out = low.shape(source), low.shape(node)
    groups: list[list[list[int]] | None] = [None]
    for n, m in zip(shape[1:], out[1:], strict=True):
        windows = [(i * n // m, -(-(i + 1) * n // m)) for i in range(m)]
        groups.append(None if n == m else [list(range(a, b)) for a, b in windows])
    return int(low.record("means", low.label(node), low.id(source), groups))


def _reduction(low: _Lowering, node: Any) -> int:
    source: Any = node.args[0]
    how = "mean" if node.target is A.mean.dim else "sum"
    dims = node.args[1]
    if not dims:
        raise Refusal(BATCH)
    axes = [low.axis(source, d) for d in (dims if isinstance(dims, (list, tuple)) else [dims])]
    x = low.record(how, low.label(node), low.id(source), axes)
    if _get(node, 2, "keepdim", False):
        return int(x)
    return int(low.record("reshape", low.label(node) + "/shape", x, low.shape(node)))


def _largest(low: _Lowering, node: Any) -> int:
    """amax: one window of a max-pool over an image with one channel."""
    source: Any = node.args[0]
    dims = _get(node, 1, "dim", [])
    if not dims:
        raise Refusal(BATCH)
    axes = [low.axis(source, d) for d in dims]
    shape = low.shape(source)
    kernel = [n if a in axes else 1 for a, n in enumerate(shape)]
    name, rank = low.label(node), len(shape)
    image = low.record("reshape", name + "/image", low.id(source), [1, *shape])
    pool = low.record("max_pool", name, image, kernel, kernel, [0] * rank, [1] * rank, False)
    return int(low.record("reshape", name + "/shape", pool, low.shape(node)))


def _softmax(low: _Lowering, node: Any) -> int:
    source: Any = node.args[0]
    axis = low.axis(source, node.args[1])
    logarithm = "log" in _kind(node)
    return int(low.record("softmax", low.label(node), low.id(source), axis, logarithm))


def _interpolated(cubic: float | None = None, antialias: bool = False) -> Rule:
    """Linear interpolation, cubic with this coefficient, or antialiased."""

    def rule(low: _Lowering, node: Any) -> int:
        source: Any = node.args[0]
        size, out = low.shape(source)[1:], low.shape(node)[1:]
        _check_scales(_get(node, 3, "scale_factors", None), size, out)
        aligned = bool(node.args[2])
        if aligned and antialias:
            raise Refusal("align_corners with antialiasing is not covered")
        x = low.id(source)
        return int(low.record("interpolate", low.label(node), x, out, aligned, cubic, antialias))

    return rule


def _nearest(low: _Lowering, node: Any) -> int:
    source: Any = node.args[0]
    size, out = low.shape(source)[1:], low.shape(node)[1:]
    _check_scales(_get(node, 2, "scale_factors", None), size, out)
    if any(m % n for n, m in zip(size, out, strict=True)):
        raise Refusal("nearest resizing by a factor that is no integer: positions are rounded")
    x = low.id(source)
    along = [list(range(low.record.shape(x)[0]))]
    for n, m in zip(size, out, strict=True):
        k = m // n
        places = [i // k for i in range(m)]
        for scale in (np.float32(n) / np.float32(m), np.float32(1 / k)):
            # Positions as torch computes them, in float32.
            if (np.arange(m, dtype=np.float32) * scale).astype(np.int64).tolist() != places:
                raise Refusal(f"nearest resizing by {k}: torch rounds some positions to other entries")
        along.append(places)
    return int(low.record("pick", low.label(node), x, along, 0.0))


def _check_scales(scales: Any, size: list[int], out: list[int]) -> None:
    if scales is not None and any(m != n * s for n, m, s in zip(size, out, scales, strict=True)):
        raise Refusal("a scale that is not the ratio of the sizes is not covered")


def _pixel_shuffle(low: _Lowering, node: Any) -> int:
    source: Any = node.args[0]
    r = node.args[1]
    if not isinstance(r, int):
        raise Refusal("its factor is no number")
    c, h, w = low.shape(source)
    name = low.label(node)
    x = low.record("reshape", name + "/factors", low.id(source), [c // (r * r), r, r, h, w])
    x = low.record("transpose", name + "/moved", x, [0, 3, 1, 4, 2])
    return int(low.record("reshape", name, x, low.shape(node)))


def _channel_shuffle(low: _Lowering, node: Any) -> int:
    source: Any = node.args[0]
    groups = int(node.args[1])
    n = low.shape(source)[0] // groups
    return _pick(low, node, 0, [g * n + i for i in range(n) for g in range(groups)])


def _prelu(low: _Lowering, node: Any) -> int:
    source: Any = node.args[0]
    rank = len(low.shape(source))
    slopes = array(low.value(node.args[1])).reshape(-1)
    shape = (slopes.size, *(1,) * (rank - 1)) if slopes.size > 1 else (1,) * rank
    return int(low.record("prelu", low.label(node), low.id(source), slopes.reshape(shape)))


def _softplus(low: _Lowering, node: Any) -> int:
    # Above its threshold torch returns x, a jump of e^-threshold: less than it rounds by there.
    least = 37 if node.args[0].meta["val"].dtype == torch.float64 else 20
    if _get(node, 1, "beta", 1) != 1 or _get(node, 2, "threshold", 20) < least:
        raise Refusal(f"beta is not 1, or it jumps, as its threshold is below {least}")
    return int(low.record("activation", low.label(node), low.id(node.args[0]), "softplus", []))


def _gelu(low: _Lowering, node: Any) -> int:
    names = {"none": "gelu", "tanh": "gelu_tanh"}
    kind = names[str(node.kwargs.get("approximate", "none"))]
    return int(low.record("activation", low.label(node), low.id(node.args[0]), kind, []))


def _elu(low: _Lowering, node: Any) -> int:
    source: Any = node.args[0]
    alpha = low.number(_get(node, 1, "alpha", 1.0), source)
    scale = low.number(_get(node, 2, "scale", 1.0), source)
    if _get(node, 3, "input_scale", 1) != 1:
        raise Refusal("input_scale is not 1")
    of = ("elu", [alpha]) if scale == 1.0 else ("selu", [alpha, scale])
    return int(low.record("activation", low.label(node), low.id(source), *of))


def _hardsigmoid(low: _Lowering, node: Any) -> int:
    """relu6(x + 3)/6: a sixth is no f64."""
    name, x = low.label(node), low.id(node.args[0])
    ones = (1,) * len(low.record.shape(x))
    x = low.record("affine", name + "/shift", x, np.ones(ones), np.full(ones, 3.0))
    x = low.record("activation", name + "/clip", x, "clip", [0.0, 6.0])
    return int(low.record("quotient", name, x, np.full(ones, 6.0)))


def _fixed(name: str, *defaults: tuple[str, float], given: Sequence[float] = ()) -> Rule:
    """An activation whose parameters are the arguments of its operator, or given."""

    def rule(low: _Lowering, node: Any) -> int:
        source: Any = node.args[0]
        parameters = [
            low.number(_get(node, place + 1, key, default), source)
            for place, (key, default) in enumerate(defaults)
        ]
        x = low.id(source)
        numbers = [*parameters, *(low.number(value, source) for value in given)]
        return int(low.record("activation", low.label(node), x, name, numbers))

    return rule


# The numbers that torch has for selu.
_SELU = (1.6732632423543772848170429916717, 1.0507009873554804934193349852946)


def _by(rule: Rule, *targets: Any) -> dict[Any, Rule]:
    return dict.fromkeys(targets, rule)


_LAYERS: dict[Any, Rule] = {**_by(_conv, *_CONV_OPS), **_by(_linear, A.linear.default)}

_RMS = (A.rms_norm.default,) if hasattr(A, "rms_norm") else ()

RULES: dict[Any, Rule] = {
    **_LAYERS,
    **_by(_layer_norm, A.layer_norm.default, A.native_layer_norm.default),
    **_by(_rms_norm, *_RMS),
    **_by(_group_norm, A.group_norm.default),
    **_by(_instance_norm, A.instance_norm.default),
    **_by(_matmul, A.matmul.default, A.mm.default, A.addmm.default),
    **_by(_batch_norm, A.batch_norm.default, A._native_batch_norm_legit_no_training.default),
    **_by(_getitem, operator.getitem),
    **_by(_sum, A.add.Tensor, A.sub.Tensor, A.rsub.Scalar),
    **_by(_product, A.mul.Tensor),
    **_by(_quotient, A.div.Tensor),
    **_by(_negative, A.neg.default),
    **_by(_extremum, A.maximum.default, A.minimum.default),
    **_by(_clamp, A.clamp.default, A.clamp_min.default, A.clamp_max.default),
    **_by(_cat, A.cat.default),
    **_by(_stack, A.stack.default),
    **_by(
        _reshape, A.view.default, A.reshape.default, A._unsafe_view.default, A.flatten.using_ints,
        A.unsqueeze.default, A.squeeze.dim, A.squeeze.dims,
    ),
    **_by(_permute, A.permute.default, A.transpose.int, A.t.default),
    **_by(
        _same, A.clone.default, A.contiguous.default, A.alias.default, A.detach.default,
        A.detach_.default, A.lift_fresh_copy.default, A._to_copy.default, A.to.dtype,
    ),
    **_by(_dropout, A.dropout.default, A.feature_dropout.default, A.alpha_dropout.default),
    **_by(_slice, A.slice.Tensor),
    **_by(_select, A.select.int),
    **_by(_index_select, A.index_select.default),
    **_by(_split, A.split.Tensor, A.split_with_sizes.default, A.chunk.default),
    **_by(_unbind, A.unbind.int),
    **_by(_flip, A.flip.default),
    **_by(_roll, A.roll.default),
    **_by(_expand, A.expand.default),
    **_by(_pad, A.pad.default, A.constant_pad_nd.default),
    **_by(
        _max_pool, A.max_pool1d.default, A.max_pool2d.default, A.max_pool3d.default,
        A.max_pool2d_with_indices.default, A.max_pool3d_with_indices.default,
    ),
    **_by(_average_pool, A.avg_pool1d.default, A.avg_pool2d.default, A.avg_pool3d.default),
    **_by(
        _adaptive_average, A.adaptive_avg_pool1d.default, A.adaptive_avg_pool2d.default,
        A.adaptive_avg_pool3d.default, A._adaptive_avg_pool2d.default, A._adaptive_avg_pool3d.default,
    ),
    **_by(_reduction, A.mean.dim, A.sum.dim_IntList),
    **_by(_largest, A.amax.default),
    **_by(_softmax, A.softmax.int, A._softmax.default, A.log_softmax.int, A._log_softmax.default),
    **_by(
        _interpolated(), A.upsample_bilinear2d.vec, A.upsample_linear1d.vec, A.upsample_trilinear3d.vec,
    ),
    **_by(_interpolated(-0.75), A.upsample_bicubic2d.vec),
    **_by(_interpolated(None, True), A._upsample_bilinear2d_aa.vec),
    **_by(_interpolated(-0.5, True), A._upsample_bicubic2d_aa.vec),
    **_by(_nearest, A.upsample_nearest1d.vec, A.upsample_nearest2d.vec, A.upsample_nearest3d.vec),
    **_by(_pixel_shuffle, A.pixel_shuffle.default),
    **_by(_channel_shuffle, A.channel_shuffle.default, A.native_channel_shuffle.default),
    **_by(_prelu, A.prelu.default, A._prelu_kernel.default),
    **_by(_softplus, A.softplus.default),
    **_by(_gelu, A.gelu.default),
    **_by(_elu, A.elu.default),
    **_by(_fixed("relu"), A.relu.default),
    **_by(_fixed("clip", given=(0.0, 6.0)), A.relu6.default),
    **_by(_fixed("leaky_relu", ("negative_slope", 0.01)), A.leaky_relu.default),
    **_by(_fixed("celu", ("alpha", 1.0)), A.celu.default),
    **_by(_fixed("selu", given=_SELU), A.selu.default),
    **_by(_fixed("sigmoid"), A.sigmoid.default),
    **_by(_fixed("tanh"), A.tanh.default),
    **_by(_fixed("silu"), A.silu.default),
    **_by(_fixed("mish"), A.mish.default),
    **_by(_hardsigmoid, A.hardsigmoid.default),
    **_by(_fixed("hardswish"), A.hardswish.default),
    **_by(_fixed("clip", ("min_val", -1.0), ("max_val", 1.0)), A.hardtanh.default),
    **_by(_fixed("softshrink", ("lambd", 0.5)), A.softshrink.default),
    **_by(_fixed("abs"), A.abs.default),
    **_by(_fixed("erf"), A.erf.default),
    **_by(_fixed("atan"), A.atan.default),
    **_by(_fixed("asinh"), A.asinh.default),
    **_by(_fixed("sin"), A.sin.default),
    **_by(_fixed("cos"), A.cos.default),
}  # fmt: skip
