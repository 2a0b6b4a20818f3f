"""`spectral_norm`: the parametrization by the norm of the convolution."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize
from torch_helpers import QUANTITIES, least_of_four, norm_on_grid, zoo

from sigmax.torch import SpectralPenalty, spectral_norm


@pytest.mark.parametrize("target", [0.5, 1.0])
def test_every_geometry_gets_its_norm(target: float) -> None:
    model = zoo().double()
    model.eval()
    before = [norm_on_grid(module) for module in model]
    for module, norm in zip(model, before, strict=True):
        assert spectral_norm(module, target, initial_steps=300) is module
        after = norm_on_grid(module)
        assert after <= target * (1 + 1e-6)
        assert after >= 0.93 * min(norm, target)


def test_the_norm_of_the_convolution_and_not_of_a_reshape() -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(8, 8, 3, padding=1)
    with torch.no_grad():
        conv.weight *= 4
    other = parametrizations.spectral_norm(copy.deepcopy(conv), n_power_iterations=100)
    spectral_norm(conv)
    assert norm_on_grid(conv) <= 1 + 1e-4
    assert norm_on_grid(other) > 1.2


@pytest.mark.parametrize("quantity", QUANTITIES)
def test_gradient_through_the_norm(quantity: str) -> None:
    conv = spectral_norm(nn.Conv2d(2, 3, 3).double(), 0.25, quantity, initial_steps=1000).eval()
    weight = conv.parametrizations.weight.original
    way = torch.randn(3, 2, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    direction = torch.randn(3, 2, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    (conv.weight * way).sum().backward()
    # The quotient is of degree 0: the gradient has no component along the weight.
    assert (weight.grad * weight).sum().abs() < 1e-12
    if quantity == "weighted":
        return
    ends = []
    for sign in (1, -1):
        with torch.no_grad():
            weight += sign * 1e-6 * direction
            ends.append((conv.weight * way).sum())
            weight -= sign * 1e-6 * direction
    slope = (ends[0] - ends[1]) / 2e-6
    torch.testing.assert_close((weight.grad * direction).sum(), slope, rtol=1e-4, atol=1e-6)


def test_small_weights_stay_as_they_are() -> None:
    conv = nn.Conv2d(2, 2, 3)
    with torch.no_grad():
        conv.weight *= 1e-3
    before = conv.weight.detach().clone()
    spectral_norm(conv)
    assert torch.equal(conv.weight, before)


def test_right_inverse() -> None:
    """A weight can be assigned; vectors start anew for it."""
    conv = spectral_norm(nn.Conv2d(4, 4, 3), 0.5, initial_steps=200)
    weight = torch.randn(4, 4, 3, 3)
    conv.weight = weight
    assert torch.equal(conv.parametrizations.weight.original, weight)
    assert norm_on_grid(conv) == pytest.approx(0.5, rel=1e-2)


def test_evaluation_is_deterministic_and_training_moves() -> None:
    conv = spectral_norm(nn.Conv2d(8, 8, 3), 0.1, initial_steps=1)
    conv.eval()
    first = conv.weight
    assert torch.equal(first, conv.weight)
    conv.train()
    _ = conv.weight
    assert not torch.equal(first, conv.weight)


@pytest.mark.parametrize("quantity", QUANTITIES)
def test_state_dict(quantity: str) -> None:
    """The same keys always, and the same outputs after a round trip."""
    build = lambda: spectral_norm(nn.Conv2d(4, 4, 3), 0.3, quantity)  # noqa: E731
    conv = build()
    keys = list(conv.state_dict())
    for _ in range(5):
        conv(torch.randn(1, 4, 5, 5)).sum().backward()
    assert list(conv.state_dict()) == keys
    assert all("parametrizations.weight" in key or key == "bias" for key in keys)
    other = build()
    other.load_state_dict(conv.state_dict())
    other.eval()
    conv.eval()
    assert torch.equal(other.weight, conv.weight)


def test_fresh_after_weights_without_vectors_are_loaded() -> None:
    conv = spectral_norm(nn.Conv2d(4, 4, 3), 0.3)
    weight = torch.randn(4, 4, 3, 3)
    state = {"parametrizations.weight.original": weight, "bias": torch.zeros(4)}
    missing, _ = conv.load_state_dict(state, strict=False)
    assert missing
    conv.eval()
    fresh = nn.Conv2d(4, 4, 3)
    fresh.load_state_dict({"weight": weight, "bias": torch.zeros(4)})
    torch.testing.assert_close(conv.weight, spectral_norm(fresh, 0.3).eval().weight, rtol=1e-3, atol=1e-4)
    assert norm_on_grid(conv) == pytest.approx(0.3, rel=1e-2)


def test_copies_are_independent() -> None:
    conv = spectral_norm(nn.Conv2d(4, 4, 3), 0.3)
    other = copy.deepcopy(conv)
    before = other.state_dict()["parametrizations.weight.0.engine.buckets.0.vectors"].clone()
    for _ in range(3):
        with torch.no_grad():
            conv.parametrizations.weight.original.add_(torch.randn(4, 4, 3, 3))
        _ = conv.weight
    assert torch.equal(before, other.state_dict()["parametrizations.weight.0.engine.buckets.0.vectors"])
    other.eval()
    assert norm_on_grid(other) == pytest.approx(0.3, rel=1e-2)


def test_cached() -> None:
    conv = spectral_norm(nn.Conv2d(4, 4, 3), 0.3)
    with parametrize.cached():
        assert conv.weight is conv.weight


@pytest.mark.parametrize("quantity", QUANTITIES)
def test_two_forwards_and_one_backward(quantity: str) -> None:
    """As in adversarial training: no vector that the first pass saved is overwritten by the second."""
    conv = spectral_norm(nn.Conv2d(2, 2, 3), 0.3, quantity)
    real, fake = torch.randn(2, 1, 2, 5, 5)
    (conv(real).mean() - conv(fake).mean()).backward()
    assert conv.parametrizations.weight.original.grad.isfinite().all()


def test_penalty_on_the_gradient_of_the_input() -> None:
    """The gradient with respect to the input may be differentiated: it does not pass through the norm."""
    conv = spectral_norm(nn.Conv2d(2, 2, 3), 0.3)
    x = torch.randn(1, 2, 5, 5, requires_grad=True)
    (slope,) = torch.autograd.grad(conv(x).square().sum(), x, create_graph=True)
    slope.square().sum().backward()
    assert conv.parametrizations.weight.original.grad.isfinite().all()


def test_second_derivatives_in_the_weight_are_refused() -> None:
    conv = spectral_norm(nn.Conv2d(2, 2, 3), 0.3)
    original = conv.parametrizations.weight.original
    with pytest.raises(RuntimeError, match="not differentiable again"):
        torch.autograd.grad(conv.weight.square().sum(), original, create_graph=True)


@pytest.mark.parametrize("quantity", QUANTITIES)
def test_zero_weights(quantity: str) -> None:
    conv = nn.Conv2d(2, 3, 3)
    nn.init.zeros_(conv.weight)
    spectral_norm(conv, 1.0, quantity)
    conv(torch.randn(1, 2, 5, 5)).sum().backward()
    assert torch.equal(conv.weight, torch.zeros(3, 2, 3, 3))
    assert conv.parametrizations.weight.original.grad.isfinite().all()


@pytest.mark.parametrize("quantity", QUANTITIES)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision(quantity: str, dtype: torch.dtype) -> None:
    """State in f32, the weight in the module's type, before and after a cast."""
    conv = nn.Conv2d(4, 4, 3).to(dtype)
    cast_before = spectral_norm(copy.deepcopy(conv), 0.3, quantity)
    cast_after = spectral_norm(copy.deepcopy(conv).float(), 0.3, quantity).to(dtype)
    for module in (cast_before, cast_after):
        assert module.weight.dtype == dtype
        state = {key: value for key, value in module.state_dict().items() if "engine" in key}
        assert {value.dtype for value in state.values()} == {torch.float32}
        module.eval()
        assert norm_on_grid(module) <= 0.3 * 1.1
        module.weight.sum().backward()
        assert module.parametrizations.weight.original.grad.dtype == dtype
    with torch.autocast("cpu", torch.bfloat16):
        assert cast_after(torch.randn(1, 4, 5, 5)).isfinite().all()


def test_global_random_state_is_left_alone() -> None:
    conv = nn.Conv2d(4, 4, 3)
    before = torch.random.get_rng_state()
    _ = spectral_norm(conv).weight
    assert torch.equal(before, torch.random.get_rng_state())


def test_under_a_penalty() -> None:
    """The penalty sees the divided weight."""
    model = nn.Sequential(spectral_norm(nn.Conv2d(4, 4, 3), 0.3, "four", initial_steps=300)).eval()
    assert SpectralPenalty(model, initial_steps=300).estimates(model)["0"] == pytest.approx(0.3, rel=1e-5)
    assert least_of_four(model[0]) == pytest.approx(0.3, rel=1e-5)


def test_other_modules_and_targets_are_refused() -> None:
    with pytest.raises(ValueError, match="got BatchNorm2d"):
        spectral_norm(nn.BatchNorm2d(2))
    for target in (0.0, -1.0, float("inf"), float("nan")):
        with pytest.raises(ValueError, match="positive finite number"):
            spectral_norm(nn.Conv2d(1, 1, 1), target)


@pytest.mark.parametrize("quantity", QUANTITIES)
def test_compiles_without_breaks(quantity: str) -> None:
    torch._dynamo.reset()
    conv = spectral_norm(nn.Conv2d(4, 4, 3), 0.3, quantity)
    other = copy.deepcopy(conv)
    compiled = torch.compile(conv, fullgraph=True, backend="aot_eager")

    def outputs(module: nn.Module) -> list[Tensor]:
        images = torch.randn(3, 1, 4, 5, 5, generator=torch.Generator().manual_seed(0))
        return [module(image) for image in images]

    for x, y in zip(outputs(compiled), outputs(other), strict=True):
        torch.testing.assert_close(x, y)
