"""What the estimates converge to: the golden suite, singular value decompositions, and the layers
themselves."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch_helpers import (
    QUANTITIES,
    golden,
    golden_module,
    lattice_kernels,
    least_of_four,
    norm_on_grid,
    operator_norm,
    zoo,
)

from sigmax.torch import SpectralPenalty

# f32 holds the number, and its fourth power is not a subnormal.
CASES = [case for case in golden() if 1e-9 < case["norm_upper"] < 1e9 or case["norm_upper"] == 0]


def converged(model: nn.Module, quantity: str, steps: int = 150) -> list[float]:
    penalty = SpectralPenalty(model, quantity=quantity, linear=True, initial_steps=steps)
    return list(penalty.estimates(model).values())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["f32", "f64"])
def test_golden_suite(dtype: torch.dtype) -> None:
    assert len(CASES) >= 50
    model = nn.Sequential(*map(golden_module, CASES))
    truth = [least_of_four(module) for module in model]
    found = [converged(model.to(dtype), quantity) for quantity in QUANTITIES]
    room = 1 + 1e-5
    for case, expected, four, weighted, norm in zip(CASES, truth, *found, strict=True):
        assert four == pytest.approx(expected, rel=1e-5, abs=1e-12), case["name"]
        assert norm <= weighted * room <= four * room**2, case["name"]
        if case["padding_mode"] == "zeros":
            # The suite's ends are those of the layer on the infinite lattice, as is the quantity.
            assert case["norm_lower"] / room <= norm <= case["norm_upper"] * room, case["name"]


def test_every_geometry_against_decompositions() -> None:
    model = zoo().double()
    found = [converged(model, quantity, 500) for quantity in QUANTITIES]
    peaks = 0
    for module, four, weighted, norm in zip(model, *found, strict=True):
        assert four == pytest.approx(least_of_four(module), rel=1e-6)
        grid = norm_on_grid(module)
        slack = math.prod(math.cos(math.pi * (k - 1) / 64) for k in lattice_kernels(module).shape[3:])
        # What is tracked is a peak; that it is the highest one is likely, and not certain.
        assert grid * 0.95 <= norm <= grid / slack * (1 + 1e-9)
        peaks += norm >= grid * (1 - 1e-6)
        assert norm * (1 - 1e-6) <= weighted <= four * (1 + 1e-6)
    assert peaks >= len(model) - 1


def test_no_estimate_of_the_norm_is_below_the_layer() -> None:
    """The layer at one input size has at most the norm on the lattice (T2), and most of it."""
    model = zoo().double()
    for module, norm in zip(model, converged(model, "norm", 300), strict=True):
        axes = module.weight.ndim - 2
        actual = operator_norm(module, size=9 if axes == 3 else 33, steps=150)
        assert 0.75 * norm <= actual <= norm * (1 + 1e-6), module


@pytest.mark.parametrize("quantity", QUANTITIES)
def test_one_step_follows_moving_weights(quantity: str) -> None:
    """A step per call is enough while the weights move slowly."""
    model = zoo().double()
    penalty = SpectralPenalty(model, 1.0, quantity=quantity, linear=True)
    torch.manual_seed(1)
    drift = [0.003 * torch.randn_like(module.weight) * module.weight.std() for module in model]
    with torch.no_grad():
        for _ in range(100):
            for module, change in zip(model, drift, strict=True):
                module.weight += change
            penalty(model)
    tracked = list(penalty.estimates(model).values())
    for value, truth in zip(tracked, converged(model, quantity, 400), strict=True):
        assert value == pytest.approx(truth, rel=0.03)


def test_evaluation_leaves_the_state() -> None:
    model = zoo()
    penalty = SpectralPenalty(model, quantity="weighted").eval()
    before = {name: value.clone() for name, value in penalty.named_buffers()}
    first, second = penalty(model), penalty(model)
    penalty.estimates(model)
    assert torch.equal(first, second)
    assert all(torch.equal(before[name], value) for name, value in penalty.named_buffers())


@pytest.mark.parametrize("quantity", QUANTITIES)
def test_zero_weights(quantity: str) -> None:
    """Zero weights give zero, and the vectors live on."""
    model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.Conv2d(3, 3, 3))
    kept = model[0].weight.detach().clone()
    nn.init.zeros_(model[0].weight)
    penalty = SpectralPenalty(model, 1.0, quantity=quantity)
    for _ in range(30):
        penalty(model).backward()
    assert penalty.estimates(model)["0"] == 0
    assert all(parameter.grad is None or parameter.grad.isfinite().all() for parameter in model.parameters())
    with torch.no_grad():
        model[0].weight.copy_(kept)
    for _ in range(100):
        penalty(model)
    assert penalty.estimates(model)["0"] == pytest.approx(converged(model, quantity)[0], rel=1e-3)


def test_depthwise_layers_beside_wide_ones() -> None:
    """Tables are split where padding would be most of them."""
    model = nn.Sequential(
        nn.Conv2d(64, 64, 3, groups=64),
        nn.Conv2d(64, 512, 1),
        nn.Conv2d(512, 64, 1),
        nn.Conv2d(96, 96, 7, groups=96),
    )
    penalty = SpectralPenalty(model, quantity="four", initial_steps=200)
    for module, value in zip(model, penalty.estimates(model).values(), strict=True):
        assert value == pytest.approx(least_of_four(module), rel=1e-2)
    assert sum(buffer.numel() for buffer in penalty.buffers()) < 2**23
