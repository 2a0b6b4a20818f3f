"""Rescaling by what the core proves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from sigmax.torch.layers import Convolution, Layer, Transposed, select

ATTEMPTS = 8
"""How often a weight is rescaled before it counts as unreachable."""


@torch.no_grad()
def finish(
    model: nn.Module,
    target: float = 1.0,
    *,
    include: str | Sequence[str] = "*",
    exclude: str | Sequence[str] = (),
    linear: bool = True,
) -> dict[str, tuple[float, float]]:
    """Rescales weights in place until the proved norm of every layer is at most `target`.

    Parametrizations of the weights are removed, and their values left. Each weight whose proved upper end u
    exceeds the target is multiplied by target/u, rounded to its type, and proved again, until u ≤ target.
    Weights that are proved to be at most the target already do not change. A weight that several layers share
    is proved for each of them.

    Returns:
        The proved lower and upper end of every layer's norm, by name, for the weights as they are now and for
        every input size, padding mode included.

    Raises:
        ImportError: the package was installed without its extension.
        ValueError: a weight is not finite, sharded, or does not reach the target; patterns as for
            :class:`SpectralPenalty`.
    """
    if not 0 < target < math.inf:
        raise ValueError(f"target: expected a positive finite number, got {target}")
    shared: dict[int, list[tuple[Layer, nn.Module]]] = {}
    for layer, module in select(model, include, exclude, linear=linear):
        if parametrize.is_parametrized(module, "weight"):
            unparametrize(module)
        shared.setdefault(id(module.weight), []).append((layer, module))
    proved: dict[str, tuple[float, float]] = {}
    for users in shared.values():
        settings = [geometry(module) for _, module in users]
        ends = rescale(users[0][0].parameter, users[0][1].weight, settings, target)
        proved.update(zip((layer.name for layer, _ in users), ends, strict=True))
    return proved


def unparametrize(module: nn.Module) -> None:
    """Leaves the value of a weight in place of its parametrization.

    Copies of a parametrized module share the class that holds the property, and PyTorch removes it there: for
    all of them. So the module gets a class of its own first.
    """
    shared = type(module)
    own = {name: value for name, value in vars(shared).items() if name not in ("__dict__", "__weakref__")}
    module.__class__ = type(shared.__name__, shared.__bases__, own)
    parametrize.remove_parametrizations(module, "weight")


def rescale(
    name: str, weight: Tensor | nn.Module, settings: list[dict[str, Any]], target: float
) -> list[tuple[float, float]]:
    """Rescales a weight; the proved ends under each of the geometries with which it is used."""
    from sigmax._core import conv_norm

    assert isinstance(weight, Tensor)
    if hasattr(weight, "full_tensor"):
        raise ValueError(f"{name} is sharded: finish a model that holds whole weights")
    if not weight.isfinite().all():
        raise ValueError(f"{name}: a weight is not finite")

    def prove() -> list[tuple[float, float]]:
        kernel = weight.to("cpu", torch.float64)
        array = (kernel if kernel.ndim > 2 else kernel.unsqueeze(2)).contiguous().numpy()
        return [conv_norm(array, **some) for some in settings]

    original = weight.to(torch.float64, copy=True)
    # Relative room for the rounding of the rescaled weights; grows until it suffices.
    factor, room = 1.0, torch.finfo(torch.float64).eps
    for _ in range(ATTEMPTS):
        ends = prove()
        upper = max(upper for _, upper in ends)
        if upper <= target:
            return ends
        if not math.isfinite(upper):
            break
        factor *= target / upper * (1 - room)
        room *= 64
        weight.copy_(original * factor)
    weight.copy_(original)
    raise ValueError(f"{name}: no multiple of the weight was proved to have a norm of at most {target}")


def geometry(module: nn.Module) -> dict[str, Any]:
    """A layer's geometry as the core takes it; a linear layer is a convolution with one tap."""
    if not isinstance(module, Convolution + Transposed):
        return {
            "stride": [1],
            "padding": [(0, 0)],
            "dilation": [1],
            "groups": 1,
            "transposed": False,
            "output_padding": [0],
            "padding_mode": "zeros",
        }
    padding = module.padding
    if isinstance(padding, str):
        # Both sides of the last axis first.
        sides = module._reversed_padding_repeated_twice
        pairs = list(zip(sides[::2], sides[1::2], strict=True))[::-1]
    else:
        pairs = [(p, p) for p in padding]
    return {
        "stride": list(module.stride),
        "padding": pairs,
        "dilation": list(module.dilation),
        "groups": module.groups,
        "transposed": isinstance(module, Transposed),
        "output_padding": list(module.output_padding),
        "padding_mode": module.padding_mode,
    }
