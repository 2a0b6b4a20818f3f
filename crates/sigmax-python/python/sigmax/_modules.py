"""What is known of the modules of torch: their weights, and their layers without a graph."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from sigmax import _core
from sigmax._program import Recipe, Recorder

FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)

_CONVS = {
    nn.Conv1d: 1,
    nn.Conv2d: 2,
    nn.Conv3d: 3,
    nn.ConvTranspose1d: 1,
    nn.ConvTranspose2d: 2,
    nn.ConvTranspose3d: 3,
}


class Refusal(Exception):
    """What is not covered, and what helps."""


def unwrapped(module: nn.Module) -> nn.Module:
    """The module inside of those that ``torch.compile`` and data parallelism put around it."""
    wrappers = {"OptimizedModule": "_orig_mod", "DistributedDataParallel": "module", "DataParallel": "module"}
    while True:
        kind = type(module)
        name = wrappers.get(kind.__name__) if str(kind.__module__).startswith("torch.") else None
        inner = None if name is None else getattr(module, name, None)
        # Hooks of the wrapper change what it computes.
        if not isinstance(inner, nn.Module) or module._forward_hooks or module._forward_pre_hooks:
            return module
        module = inner


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """In eval mode; afterwards every submodule is in the mode that it was in."""
    modes = [(part, part.training) for part in module.modules()]
    try:
        module.eval()
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            yield
    finally:
        for part, training in modes:
            part.training = training


def array(tensor: torch.Tensor) -> npt.NDArray[Any]:
    """The values of a tensor: of float32 and float64 on a CPU as they lie, of narrower floats widened."""
    if tensor.is_meta:
        raise Refusal("it is on the meta device, without values")
    if tensor.dtype not in FLOATS:
        raise Refusal(f"its values are {tensor.dtype}; expected floats")
    if tensor.is_sparse or tensor.is_quantized or tensor.layout is not torch.strided:
        raise Refusal("it is sparse or quantised; make it dense floats first")
    if tensor.dtype in (torch.float16, torch.bfloat16):
        tensor = tensor.float()
    plain: npt.NDArray[Any] = tensor.detach().resolve_conj().resolve_neg().cpu().numpy()
    return plain


def layer_name(parameter: str) -> str:
    """The layer that a parameter is the weight of."""
    return parameter.removesuffix(".weight")


def computed_weight(module: nn.Module) -> tuple[Recipe, str]:
    """The weight of a module that computes it from factors, as the readers of files compute it, and one
    sentence about it."""
    transposed = isinstance(module, nn.modules.conv._ConvTransposeNd)
    if parametrize.is_parametrized(module, "weight"):
        steps: Any = module.parametrizations["weight"]  # type: ignore[index]
        if len(steps) != 1:
            raise Refusal(f"its weight has {len(steps)} parametrizations; {_FINISH}")
        step = steps[0]
        kind = type(step)
        if kind is parametrizations._SpectralNorm:
            weight = steps.original
            if weight.dim() == 1:
                raise Refusal("spectral_norm of a vector")
            u, v = step._u, step._v
            return _spectral_norm(weight, u, v, step.dim)
        if kind is parametrizations._WeightNorm:
            g, v = steps.original0, steps.original1
            return _weight_norm(v, g, step.dim, transposed)
        raise Refusal(f"its weight is computed by {kind.__qualname__}; {_FINISH}")
    hooks: list[Any] = list(module._forward_pre_hooks.values())
    for hook in hooks:
        kind = type(hook)
        if kind is SpectralNorm and hook.name == "weight":
            weight = _stored(module, "weight_orig")
            return _spectral_norm(weight, _stored(module, "weight_u"), _stored(module, "weight_v"), hook.dim)
        if kind is WeightNorm and hook.name == "weight":
            return _weight_norm(
                _stored(module, "weight_v"), _stored(module, "weight_g"), hook.dim, transposed
            )
    raise Refusal(f"its weight is computed in a way that is not known; {_FINISH}")


_FINISH = (
    "make it a plain parameter first, by torch.nn.utils.parametrize.remove_parametrizations(module, "
    '"weight") where it is parametrised'
)


def _stored(module: nn.Module, name: str) -> torch.Tensor:
    """A parameter or buffer: what is neither is computed of others, when the module runs."""
    found: torch.Tensor | None = module._parameters.get(name)
    if found is None:
        found = module._buffers.get(name)
    if found is None:
        raise Refusal(f"{name} is computed of other tensors; {_FINISH}")
    return found


def has_weight_hook(module: nn.Module) -> bool:
    """Whether a hook that is known computes the weight whenever the module runs."""
    kinds = (SpectralNorm, WeightNorm, prune.BasePruningMethod)
    return any(isinstance(hook, kinds) for hook in module._forward_pre_hooks.values())


def is_computed(module: nn.Module) -> bool:
    """Whether the weight of a module is no parameter of it."""
    return "weight" not in module._parameters


def _spectral_norm(weight: torch.Tensor, u: torch.Tensor, v: torch.Tensor, dim: int) -> tuple[Recipe, str]:
    if dim != 0:
        order = [dim, *(d for d in range(weight.dim()) if d != dim)]
        matrix = weight.permute(*order).reshape(weight.shape[dim], -1)
    else:
        matrix = weight.reshape(weight.shape[0], -1)
    left, right = array(u).astype(np.float64), array(v).astype(np.float64)
    values = array(matrix).astype(np.float64)
    sigma = left @ values @ right
    # Rounding moves a sum of n products of size s by less than n*1e-16*s; so its sign is certain.
    size = float(np.linalg.norm(left) * np.linalg.norm(values) * np.linalg.norm(right))
    if not sigma > 1e-6 * size:
        raise Refusal("the sigma of its spectral_norm is not clearly positive; train or run it first")
    recipe = Recipe("spectral_norm", (array(weight), array(u), array(v), int(dim) % weight.dim()))
    return recipe, (
        "The weight is W/(u.M.v) of its spectral_norm, as torch evaluates it, in real arithmetic."
    )


def _weight_norm(v: torch.Tensor, g: torch.Tensor, dim: int | None, transposed: bool) -> tuple[Recipe, str]:
    axis = None if dim is None or dim == -1 else int(dim)
    recipe = Recipe("weight_norm", (array(v), array(g).reshape(-1), axis, transposed))
    return recipe, ("The weight is g*v/|v| of its weight_norm, as torch evaluates it, in real arithmetic.")


def geometry(module: nn.Module) -> dict[str, Any]:
    """The geometry of a convolution, as the module states it."""
    axes = len(module.kernel_size)  # type: ignore[arg-type]
    transposed = isinstance(module, nn.modules.conv._ConvTransposeNd)
    before: Any = module.padding
    dilation: Any = module.dilation
    if before == "same":
        total = [d * (k - 1) for d, k in zip(dilation, module.kernel_size, strict=True)]  # type: ignore[arg-type]
        padding = [(n // 2, n - n // 2) for n in total]
    elif before == "valid":
        padding = [(0, 0)] * axes
    else:
        padding = [(n, n) for n in before]
    return {
        "stride": list(module.stride),  # type: ignore[arg-type]
        "padding": padding,
        "padding_mode": module.padding_mode,
        "dilation": list(dilation),
        "groups": module.groups,
        "transposed": transposed,
        "output_padding": list(module.output_padding) if transposed else [0] * axes,  # type: ignore[arg-type]
        "input_size": None,
    }


def _forward_is_known(module: nn.Module, kind: type[nn.Module]) -> bool:
    known = ("forward", "_conv_forward", "_output_padding")
    if any(name in vars(module) for name in known):
        return False
    return all(getattr(type(module), name, None) is getattr(kind, name, None) for name in known)


def record_layers(record: Recorder, module: nn.Module) -> None:
    """Records the layers of a module without its graph."""
    seen: set[int] = set()
    for name, part in module.named_modules():
        kind = next((k for k in (*_CONVS, nn.Linear) if isinstance(part, k)), None)
        label = name or type(part).__name__
        if kind is None:
            _record_others(record, label, part, seen)
            continue
        try:
            if isinstance(part, nn.modules.lazy.LazyModuleMixin):
                raise Refusal("it is lazy and was never run")
            if not _forward_is_known(part, kind):
                raise Refusal(f"its class overrides what {kind.__name__} computes")
            tensor = f"{name}.weight" if name else "weight"
            notes = []
            if is_computed(part):
                weight, note = computed_weight(part)
                notes.append(note)
            else:
                weight = Recipe("exact", (array(part.weight),))
            if kind is nn.Linear:
                record("dense", label, tensor, None, weight, None, notes)
            else:
                record("conv", label, tensor, None, weight, None, geometry(part), notes)
        except (Refusal, _core.Error) as reason:
            record("refuse", label, type(part).__name__, str(reason))


def _record_others(record: Recorder, label: str, part: nn.Module, seen: set[int]) -> None:
    own = dict(part._parameters)
    matrices = [key for key, value in own.items() if value is not None and value.dim() >= 2]
    known = isinstance(part, (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.Embedding))
    if matrices and not known and not isinstance(part, parametrize.ParametrizationList):
        for key in matrices:
            reason = "without a graph nothing tells what is done with it: give an example input to audit()"
            record("refuse", f"{label}.{key}", type(part).__name__, reason)
    elif not list(part.children()) and id(part) not in seen:
        seen.add(id(part))
        record("skip", type(part).__name__, label)
