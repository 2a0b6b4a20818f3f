"""Weights divided by what their layer's norm exceeds a target by."""

from __future__ import annotations

import math
from typing import Any, TypeVar

from torch import Tensor, nn
from torch.nn.utils import parametrize

from sigmax.torch.layers import Layer, lattice, weight_of, whole
from sigmax.torch.penalty import Quantity, engine, static

Module = TypeVar("Module", bound=nn.Module)


class SpectralNorm(nn.Module):
    """W ↦ W / max(1, b(W)/target), with the gradient through the norm b.

    In training mode each call takes one power step; in evaluation mode none is kept, and the result depends
    on the weights and the state alone. The state is in f32 or f64 buffers whatever type the module is cast
    to. See :func:`spectral_norm`.
    """

    def __init__(
        self, layer: Layer, weight: Tensor, target: float, quantity: Quantity, initial_steps: int, seed: int
    ) -> None:
        super().__init__()
        self.target = target
        self.quantity = quantity
        self.initial_steps = initial_steps
        self.engine = engine(quantity, [layer], weight, seed)
        self.steps = 0
        self.stale = True

    rescan_every = 50
    """After how many training steps ``"norm"`` searches all frequencies again, except inside
    `torch.compile`."""

    def forward(self, weight: Tensor) -> Tensor:
        """The divided weight."""
        weight = whole(weight)
        if self.stale:
            self.engine.restart([weight.detach()], self.initial_steps)
            self.stale = False
        if self.training and self.quantity == "norm" and not static():
            if self.steps > 0 and self.steps % self.rescan_every == 0:
                self.engine.search([weight.detach()])
            self.steps += 1
        norm: Tensor = self.engine([weight], self.training)[0]
        return (weight / (norm / self.target).clamp_min(1)).to(weight.dtype)

    def right_inverse(self, weight: Tensor) -> Tensor:
        """The weight itself: it is what the division leaves where its norm is at most the target."""
        self.stale = True
        return weight

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *args: Any) -> None:
        # A state dict of another kind of model, loaded with strict=False, has weights and no vectors for
        # them.
        super()._load_from_state_dict(state_dict, prefix, *args)
        self.stale = not any(key.startswith(f"{prefix}engine.") for key in state_dict)

    def extra_repr(self) -> str:
        """The settings."""
        return f"target={self.target}, quantity={self.quantity!r}"


def spectral_norm(
    module: Module,
    target: float = 1.0,
    quantity: Quantity = "norm",
    *,
    initial_steps: int = 30,
    seed: int = 0,
) -> Module:
    """Registers a parametrization that keeps the norm of a convolution or linear layer at about `target`.

    The weight becomes W / max(1, b(W)/target), where b is the norm of the *convolution* (stride, dilation,
    groups and transposition included), and not that of one reshape of its weight, which
    :func:`torch.nn.utils.parametrizations.spectral_norm` takes: that leaves a convolution with q taps at a
    norm of up to √q times the target (T10). Weights whose norm is below the target stay as they are.

    b is an estimate, from below for ``"norm"``: the layer may exceed the target a little, until
    :func:`finish` rescales it by a proved bound. Padding is not looked at: with padding modes other than
    zeros the layer's norm may be larger by a factor that :func:`finish` takes into account.

    Args:
        module: a convolution, transposed convolution (1D to 3D) or linear layer; returned, changed in place.
        target: the norm, positive.
        quantity: ``"norm"``; or ``"four"`` or ``"weighted"``, estimates of upper bounds: see
            :class:`SpectralPenalty`.
        initial_steps: power steps at the start.
        seed: of the start vectors. The global random state is not touched.

    Raises:
        ValueError: another kind of module, or a target that is not positive.
        RuntimeError: at a second derivative through the norm.

    Source: Miyato et al. 2018 for the division; T9, T12 and T13 of the project's theory for b.
    """
    geometry = lattice(module)
    if geometry is None:
        raise ValueError(
            f"spectral_norm: expected a convolution or linear layer, got {type(module).__name__}"
        )
    if not 0 < target < math.inf:
        raise ValueError(f"target: expected a positive finite number, got {target}")
    layer = Layer("", geometry)
    weight = weight_of(module, layer)
    scale = SpectralNorm(layer, weight, target, quantity, initial_steps, seed)
    scale.train(module.training)
    parametrize.register_parametrization(module, "weight", scale)
    return module
