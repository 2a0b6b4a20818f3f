"""A penalty on the norms of a model's layers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from sigmax.torch.engine import Engine
from sigmax.torch.layers import Layer, distinct, module_at, select, trainable, weight_of
from sigmax.torch.reshapes import Reshapes
from sigmax.torch.symbol import Symbol

Quantity = Literal["four", "weighted", "norm"]
Reduction = Literal["sum", "sumlog", "hinge"]


def engine(quantity: Quantity, layers: Sequence[Layer], like: Tensor, seed: int) -> Engine:
    """The engine of a quantity, for weights with the type and on the device of `like`."""
    one_of("quantity", quantity, get_args(Quantity))
    if quantity == "norm":
        return Symbol(layers, like.dtype, seed).to(like.device)
    return Reshapes(layers, like.dtype, seed, weighted=quantity == "weighted").to(like.device)


def one_of(name: str, value: str, expected: tuple[str, ...]) -> None:
    """Checks a setting."""
    if value not in expected:
        raise ValueError(f"{name}: expected one of {', '.join(expected)}; got {value!r}")


class SpectralPenalty(nn.Module):
    """β times the norms of a model's convolutions, to be added to the loss.

    ``penalty(model)`` takes one power step per layer, with vectors that stay warm from call to call, and
    returns the penalty on the graph of the model's weights. Its gradient is exact for the singular vectors of
    that step, which are held fixed (T11). What is returned is an estimate, from below, of what ``quantity``
    names: not a bound.

    The quantities of a layer with kernel K, q taps after the reduction of its stride, and reshapes M_A:

    - ``"four"``: min over A of √q·‖M_A‖₂, the least of the four bounds (Singla and Feizi 2021; 2^m of them
      with m axes);
    - ``"weighted"``: min over A of √(Σα⁻²)·√(Σβ⁻²)·‖D_α M_A D_β‖₂, the weights moved by one fixed-point step
      per power step: closer to the norm;
    - ``"norm"``: ‖F(θ)‖₂ at a frequency θ that follows the peak of the symbol: the norm itself.

    Stride, groups, dilation and transposition are read from the modules. Padding is not: the norm is that
    over all input sizes with zero padding, which for other padding modes is without the factor of the
    padding.

    Vectors are a function of the seed and the layer's name, and no random state is touched: all ranks of a
    data-parallel training have the same ones. Keep the penalty beside the model, not inside it.

    Args:
        model: the model, wrapped (DDP, FSDP2, ``torch.compile``) or not.
        beta: the factor β; may be set at any time.
        quantity: ``"four"``, ``"weighted"`` or ``"norm"``.
        reduction: over layers: ``"sum"`` Σb, ``"sumlog"`` Σ log b, or ``"hinge"`` Σ max(0, b − target).
        target: where the hinge begins.
        include: patterns of layer names, of which one has to match; ``*`` also crosses dots.
        exclude: patterns of layer names, of which none may match.
        linear: whether linear layers count too.
        initial_steps: power steps at the start.
        rescan_every: after how many training steps ``"norm"`` searches all frequencies again. Inside
            ``torch.compile`` and CUDA graphs there are no such searches: call :meth:`rescan`.
        seed: of the start vectors.

    Raises:
        ValueError: a pattern matches no layer, no layer is selected, or a setting is out of range.
    """

    def __init__(
        self,
        model: nn.Module,
        beta: float = 1e-3,
        *,
        quantity: Quantity = "four",
        reduction: Reduction = "sum",
        target: float | None = None,
        include: str | Sequence[str] = "*",
        exclude: str | Sequence[str] = (),
        linear: bool = False,
        initial_steps: int = 30,
        rescan_every: int = 50,
        seed: int = 0,
    ) -> None:
        super().__init__()
        one_of("reduction", reduction, get_args(Reduction))
        if (reduction == "hinge") != (target is not None):
            raise ValueError("target: expected with the reduction hinge, and only there")
        if target is not None and not 0 <= target < math.inf:
            raise ValueError(f"target: expected a finite number of at least 0, got {target}")
        if not math.isfinite(beta):
            raise ValueError(f"beta: expected a finite number, got {beta}")
        if initial_steps < 1 or rescan_every < 1:
            raise ValueError("initial_steps and rescan_every: expected at least 1")
        self.beta = beta
        self.quantity = quantity
        self.reduction = reduction
        self.target = target
        self.rescan_every = rescan_every
        self.steps = 0
        selected = select(model, include, exclude, linear=linear)
        self.layers = [layer for layer, _ in distinct(selected)]
        places: dict[tuple[torch.device, torch.dtype], list[int]] = {}
        with torch.no_grad():
            weights = self.weights(model)
        for place, weight in enumerate(weights):
            places.setdefault((weight.device, weight.dtype), []).append(place)
        self.places = list(places.values())
        self.engines = nn.ModuleList(
            engine(quantity, [self.layers[place] for place in some], weights[some[0]], seed)
            for some in self.places
        )
        for some, part in self.parts(weights):
            some.restart(part, initial_steps)

    def forward(self, model: nn.Module) -> Tensor:
        """The penalty at the model's weights. In training mode the state moves by one power step."""
        if self.training and self.quantity == "norm" and not static():
            if self.steps > 0 and self.steps % self.rescan_every == 0:
                self.rescan(model)
            self.steps += 1
        values = [engine(part, self.training) for engine, part in self.parts(self.weights(model))]
        total = self.reduce(values[0])
        for more in values[1:]:
            total = total + self.reduce(more).to(total.device, total.dtype)
        return total * self.beta

    def reduce(self, values: Tensor) -> Tensor:
        """The reduction over layers, without β."""
        if self.reduction == "sumlog":
            return values.clamp_min(torch.finfo(torch.float32).tiny).log().sum()
        if self.target is not None:
            return (values - self.target).clamp_min(0).sum()
        return values.sum()

    def add_grad_(self, model: nn.Module, scale: float | Tensor = 1.0) -> Tensor:
        """Adds `scale` times the penalty's gradient to the gradients of the model's parameters, and returns
        the penalty. For use after ``loss.backward()``: no hooks of parameters run, so that under DDP and
        FSDP2 it comes after the reduction over ranks. With a `GradScaler`, `scale` is its scale, or the
        gradients are unscaled."""
        parameters = trainable(self.modules_of(model))
        with torch.enable_grad():
            penalty: Tensor = self(model)
        if not parameters:
            return penalty.detach()
        gradients = torch.autograd.grad(penalty, parameters, allow_unused=True)
        into, added = [], []
        for parameter, gradient in zip(parameters, gradients, strict=True):
            if gradient is None:
                continue
            if parameter.grad is None:
                parameter.grad = gradient * scale
            else:
                into.append(local(parameter.grad))
                added.append(local(gradient))
        if into:
            if isinstance(scale, Tensor):
                torch._foreach_mul_(added, scale)
                torch._foreach_add_(into, added)
            else:
                torch._foreach_add_(into, added, alpha=scale)
        return penalty.detach()

    @torch.no_grad()
    def estimates(self, model: nn.Module) -> dict[str, float]:
        """The quantity of every layer at the model's weights, by name, as :meth:`forward` would see it. The
        state stays as it is. Estimates, from below: not bounds."""
        names = [self.layers[place].name for places in self.places for place in places]
        parts = self.parts(self.weights(model))
        values = [value for engine, part in parts for value in engine(part, False).tolist()]
        found = dict(zip(names, values, strict=True))
        return {layer.name: found[layer.name] for layer in self.layers}

    @torch.no_grad()
    def rescan(self, model: nn.Module) -> None:
        """Searches all frequencies for higher peaks, for the quantity ``"norm"``; does nothing for the
        others."""
        for engine, part in self.parts(self.weights(model)):
            engine.search(part)

    @torch.no_grad()
    def restart(self, model: nn.Module, steps: int = 30) -> None:
        """Forgets the vectors, and takes `steps` power steps from fresh ones."""
        for engine, part in self.parts(self.weights(model)):
            engine.restart(part, steps)

    def modules_of(self, model: nn.Module) -> list[nn.Module]:
        """The modules of the layers."""
        return [module_at(model, layer.name) for layer in self.layers]

    def weights(self, model: nn.Module) -> list[Tensor]:
        """The weights of the layers, on the graph of the model's parameters."""
        modules = self.modules_of(model)
        return [weight_of(module, layer) for module, layer in zip(modules, self.layers, strict=True)]

    def parts(self, weights: list[Tensor]) -> list[tuple[Engine, list[Tensor]]]:
        """The engines, one per device and type, with their weights."""
        return [
            (engine, [weights[place] for place in places])
            for engine, places in zip(self.engines, self.places, strict=True)
            if isinstance(engine, Engine)
        ]

    def get_extra_state(self) -> dict[str, Any]:
        """What the state belongs to, and the number of steps."""
        layers = [[layer.name, *layer.lattice.shape] for layer in self.layers]
        return {"quantity": self.quantity, "layers": layers, "steps": self.steps}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Takes the number of steps, where the state belongs to these layers.

        Raises:
            ValueError: it belongs to others.
        """
        mine = self.get_extra_state()
        for key in ("quantity", "layers"):
            if state[key] != mine[key]:
                raise ValueError(
                    "the state is that of another penalty: "
                    f"expected the {key} {mine[key]}, found {state[key]}"
                )
        self.steps = state["steps"]

    def extra_repr(self) -> str:
        """The settings."""
        target = "" if self.target is None else f", target={self.target}"
        settings = f"beta={self.beta}, quantity={self.quantity!r}, reduction={self.reduction!r}{target}"
        return f"{len(self.layers)} layers, {settings}"


def static() -> bool:
    """Whether this call is recorded, by `torch.compile` or into a CUDA graph, to be replayed as it is."""
    if torch.compiler.is_compiling():
        return True
    return torch.cuda.is_available() and torch.cuda.is_current_stream_capturing()


def local(tensor: Tensor) -> Tensor:
    """The local shard of a DTensor; any other tensor as it is."""
    shard = getattr(tensor, "to_local", None)
    return tensor if shard is None else shard()
