"""The convolutions and linear layers of a model, and their names."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sigmax.torch.lattice import Lattice

Convolution = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
Transposed = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)

WRAPPERS = frozenset({"module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"})
"""Attributes in which DataParallel, DDP, `torch.compile`, FSDP and activation checkpointing keep what they
wrap."""


@dataclass(frozen=True)
class Layer:
    """A layer whose norm is looked at."""

    name: str
    """Path of the module, without the names of wrappers."""
    lattice: Lattice

    @property
    def parameter(self) -> str:
        """Path of the weight."""
        return f"{self.name}.weight" if self.name else "weight"


def lattice(module: nn.Module) -> Lattice | None:
    """The lattice of a convolution, transposed convolution or linear layer; `None` for other modules."""
    if isinstance(module, Convolution + Transposed):
        in_, out = module.in_channels, module.out_channels
        first, second = (in_, out) if isinstance(module, Transposed) else (out, in_)
        shape = (first, second // module.groups, *module.kernel_size)
        return Lattice.of(shape, module.stride, module.dilation, module.groups)
    if isinstance(module, nn.Linear):
        return Lattice.of((module.out_features, module.in_features), (), (), 1)
    return None


def walk(module: nn.Module, path: str, seen: set[nn.Module]) -> Iterator[tuple[str, nn.Module]]:
    """All modules, each once, by their paths without the names of wrappers."""
    module = unwrapped(module)
    if module in seen:
        return
    seen.add(module)
    yield path, module
    for name, child in module._modules.items():
        if child is not None:
            yield from walk(child, f"{path}.{name}" if path else name, seen)


def select(
    model: nn.Module, include: str | Sequence[str], exclude: str | Sequence[str], *, linear: bool
) -> list[tuple[Layer, nn.Module]]:
    """The convolutions of a model, and its linear layers if `linear`, that match a pattern of `include` and
    none of `exclude`. A module that occurs several times counts once.

    Raises:
        ValueError: a pattern matches no layer, or no layer is left.
    """
    found: list[tuple[Layer, nn.Module]] = []
    for path, module in walk(model, "", set()):
        geometry = lattice(module)
        if geometry is not None:
            found.append((Layer(path, geometry), module))
    names = [layer.name for layer, _ in found]
    wanted, unwanted = matching(include, names), matching(exclude, names)
    selected = [
        (layer, module)
        for layer, module in found
        if layer.name in wanted
        and layer.name not in unwanted
        and (linear or not isinstance(module, nn.Linear))
    ]
    if not selected:
        kinds = "convolution or linear layer" if linear else "convolution"
        raise ValueError(f"the model has no {kinds} that is selected; its layers are {names}")
    return selected


def distinct(selected: list[tuple[Layer, nn.Module]]) -> list[tuple[Layer, nn.Module]]:
    """One of all layers that share a weight and a lattice."""
    found: dict[tuple[int, Lattice], tuple[Layer, nn.Module]] = {}
    for layer, module in selected:
        shared = module._parameters.get("weight", module)
        found.setdefault((id(shared), layer.lattice), (layer, module))
    return list(found.values())


def matching(patterns: str | Iterable[str], names: list[str]) -> set[str]:
    """The names that match one of the patterns; `*` also crosses dots."""
    matched: set[str] = set()
    for pattern in [patterns] if isinstance(patterns, str) else patterns:
        hits = [name for name in names if fnmatch.fnmatchcase(name, pattern)]
        if not hits:
            raise ValueError(f"the pattern {pattern!r} matches no layer; the layers are {names}")
        matched.update(hits)
    return matched


def module_at(model: nn.Module, name: str) -> nn.Module:
    """The module with this name, whatever wraps it or its parents."""
    module = unwrapped(model)
    for part in name.split(".") if name else ():
        child = module._modules.get(part)
        if child is None:
            raise ValueError(
                f"the model has no layer {name!r}: it is not the one that the penalty was made for"
            )
        module = unwrapped(child)
    return module


def unwrapped(module: nn.Module) -> nn.Module:
    """What is inside all wrappers around a module. A wrapper has nothing but what it wraps."""
    while len(module._modules) == 1:
        ((name, inner),) = module._modules.items()
        if name not in WRAPPERS or inner is None:
            break
        module = inner
    return module


def weight_of(module: nn.Module, layer: Layer) -> Tensor:
    """The weight of a module, whole, on the autograd graph of its parameters.

    A sharded weight (FSDP2, tensor parallel) is gathered; its gradient goes back to the shards.

    Raises:
        ValueError: the weight has not the shape that the layer's geometry says.
    """
    weight = module.weight
    assert isinstance(weight, Tensor)
    if tuple(weight.shape) != layer.lattice.shape:
        raise ValueError(
            f"{layer.parameter}: expected the shape {list(layer.lattice.shape)}, found {list(weight.shape)}. "
            "Lazy layers must have seen a batch; FSDP1 hides weights outside of the forward pass: "
            "use fully_shard"
        )
    return whole(weight)


def whole(tensor: Tensor) -> Tensor:
    """A DTensor's full tensor; any other tensor as it is."""
    gather: Callable[[], Tensor] | None = getattr(tensor, "full_tensor", None)
    return tensor if gather is None else gather()


def working_dtype(dtype: torch.dtype) -> torch.dtype:
    """In which type numbers of weights of this type are computed: f64 for f64, f32 for all others."""
    return torch.promote_types(dtype, torch.float32)


def trainable(modules: Iterable[nn.Module]) -> list[nn.Parameter]:
    """The parameters behind the modules' weights that require gradients, each once."""
    found: dict[int, nn.Parameter] = {}
    for module in modules:
        behind = module._parameters.get("weight")
        sources = [behind] if behind is not None else parametrize_sources(module)
        for parameter in sources:
            if parameter.requires_grad:
                found.setdefault(id(parameter), parameter)
    return list(found.values())


def parametrize_sources(module: nn.Module) -> list[nn.Parameter]:
    """The parameters of the parametrization of a module's weight."""
    parametrizations = module._modules.get("parametrizations")
    if parametrizations is None:
        return []
    return list(parametrizations.get_submodule("weight").parameters())
