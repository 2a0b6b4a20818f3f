"""The gradient: exact, written once, and for every kind of weight."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize
from torch_helpers import QUANTITIES, ResNet, least_of_four, zoo

from sigmax.torch import SpectralPenalty


def gradients(model: nn.Module) -> list[Tensor]:
    return [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]


def moved_values(penalty: SpectralPenalty, model: nn.Module, ways: list[Tensor], step: float) -> list[float]:
    """Values at weights `step` further along `ways`, with warm vectors and the weights of T12 as they are."""
    moved, warm = copy.deepcopy(model), copy.deepcopy(penalty)
    shares = {name: buffer.clone() for name, buffer in warm.named_buffers() if name.endswith("shares")}
    with torch.no_grad():
        for module, way in zip(moved, ways, strict=True):
            module.weight += step * way
        for _ in range(200):
            warm(moved)
            for name, buffer in shares.items():
                warm.get_buffer(name).copy_(buffer)
    return list(warm.estimates(moved).values())


@pytest.mark.parametrize("quantity", QUANTITIES)
def test_against_finite_differences(quantity: str) -> None:
    """Values at both ends of a short segment, for every geometry at once: the layers are independent."""
    model = zoo().double()
    penalty = SpectralPenalty(model, 1.0, quantity=quantity, linear=True, initial_steps=500)
    generator = torch.Generator().manual_seed(3)
    ways = [torch.randn(module.weight.shape, generator=generator, dtype=torch.float64) for module in model]
    step = 1e-5
    middle = moved_values(penalty, model, ways, 0)
    above, below = (moved_values(penalty, model, ways, sign * step) for sign in (1, -1))
    penalty.eval()(model).backward()
    for module, way, *values in zip(model, ways, middle, above, below, strict=True):
        here, up, down = values
        slope = (module.weight.grad * way).sum().item()
        if quantity == "weighted":
            # The best weights make two singular values equal: the gradient is a subgradient of a convex
            # function.
            assert up - here >= step * slope - 2e-3 * step, module
            assert down - here >= -step * slope - 2e-3 * step, module
        else:
            assert slope == pytest.approx((up - down) / (2 * step), rel=1e-3, abs=1e-3), module


@pytest.mark.parametrize("quantity", QUANTITIES)
def test_value_is_the_product_with_its_gradient(quantity: str) -> None:
    """All quantities are homogeneous: b = ⟨W, ∂b/∂W⟩."""
    model = zoo().double()
    penalty = SpectralPenalty(model, 1.0, quantity=quantity, linear=True, initial_steps=1)
    value = penalty(model)
    value.backward()
    inner = sum((module.weight * module.weight.grad).sum() for module in model)
    assert inner.item() == pytest.approx(value.item(), rel=1e-12)


def test_reductions() -> None:
    model = zoo().double()
    plain = SpectralPenalty(model, initial_steps=50).eval()
    values = torch.tensor(list(plain.estimates(model).values()), dtype=torch.float64)
    expected = {
        "sum": values.sum(),
        "sumlog": values.log().sum(),
        "hinge": (values - 1.5).clamp_min(0).sum(),
    }
    assert (values > 1.5).any()
    assert (values < 1.5).any()
    for reduction, number in expected.items():
        target = 1.5 if reduction == "hinge" else None
        penalty = SpectralPenalty(model, 0.5, reduction=reduction, target=target, initial_steps=50).eval()
        model.zero_grad()
        total = penalty(model)
        total.backward()
        assert total.item() == pytest.approx(0.5 * number.item(), rel=1e-9)
        for (name, value), module in zip(plain.estimates(model).items(), model, strict=False):
            factor = {"sum": 1, "sumlog": 1 / value, "hinge": float(value > 1.5)}[reduction]
            inner = (module.weight * module.weight.grad).sum().item()
            assert inner == pytest.approx(0.5 * factor * value, rel=1e-9), name


def test_second_derivatives_are_refused() -> None:
    model = zoo()
    with pytest.raises(RuntimeError, match="not differentiable again"):
        torch.autograd.grad(SpectralPenalty(model)(model), model[0].weight, create_graph=True)


@pytest.mark.parametrize("quantity", QUANTITIES)
def test_two_forwards_and_one_backward(quantity: str) -> None:
    model = zoo().double()
    penalty = SpectralPenalty(model, quantity=quantity)
    first, second = penalty(model), penalty(model)
    (first + second).backward()
    both = gradients(model)
    model.zero_grad()
    again = SpectralPenalty(model, quantity=quantity)
    for _ in range(2):
        again(model).backward()
    for x, y in zip(both, gradients(model), strict=True):
        torch.testing.assert_close(x, y, rtol=1e-12, atol=1e-15)


def test_add_grad_is_the_gradient_of_the_loss() -> None:
    torch.manual_seed(0)
    model = ResNet(1, 8)
    other = copy.deepcopy(model)
    images = torch.randn(4, 3, 16, 16)
    penalties = [SpectralPenalty(m, 1e-2, exclude="blocks.0.*") for m in (model, other)]
    (model(images).square().mean() + penalties[0](model)).backward()
    other(images).square().mean().backward()
    value = penalties[1].add_grad_(other)
    assert not value.requires_grad
    for x, y in zip(gradients(model), gradients(other), strict=True):
        torch.testing.assert_close(x, y)
    # Without a gradient before it, and scaled.
    model.zero_grad()
    other.zero_grad()
    (penalties[0](model) * 4).backward()
    penalties[1].add_grad_(other, torch.tensor(4.0))
    for x, y in zip(gradients(model), gradients(other), strict=True):
        torch.testing.assert_close(x, y)


def test_frozen_layers_count_in_the_value_alone() -> None:
    model = ResNet(1, 8)
    whole = SpectralPenalty(model)(model)
    model.conv1.weight.requires_grad_(False)
    value = SpectralPenalty(model)(model)
    assert torch.equal(whole, value)
    value.backward()
    assert model.conv1.weight.grad is None
    assert model.blocks[0].conv1.weight.grad is not None
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    assert not SpectralPenalty(model)(model).requires_grad
    assert SpectralPenalty(model).add_grad_(model) == value


def test_tied_and_reused_layers_count_once() -> None:
    first, second, third = nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 3, stride=2)
    second.weight = third.weight = first.weight
    model = nn.Sequential(first, first, second, third)
    penalty = SpectralPenalty(model, 1.0, initial_steps=200)
    # The same weight with a stride is another layer.
    assert list(penalty.estimates(model)) == ["0", "3"]
    penalty(model).backward()
    inner = (first.weight * first.weight.grad).sum().item()
    assert inner == pytest.approx(least_of_four(first) + least_of_four(third), rel=1e-5)


def test_over_a_parametrised_convolution() -> None:
    """The penalty is that of the weight that the layer uses; its gradient reaches what is behind it."""
    conv = parametrizations.weight_norm(nn.Conv2d(3, 4, 3))
    model = nn.Sequential(conv, nn.ReLU(), nn.Conv2d(4, 4, 3))
    penalty = SpectralPenalty(model, 1.0, initial_steps=200)
    assert penalty.estimates(model)["0"] == pytest.approx(least_of_four(conv), rel=1e-5)
    penalty(model).backward()
    by_graph = gradients(model)
    assert len(by_graph) == 3
    model.zero_grad()
    SpectralPenalty(model, 1.0, initial_steps=200).add_grad_(model)
    for x, y in zip(by_graph, gradients(model), strict=True):
        torch.testing.assert_close(x, y, rtol=1e-4, atol=1e-6)
    with parametrize.cached():
        penalty(model).backward()


@pytest.mark.parametrize("quantity", QUANTITIES)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_weights(quantity: str, dtype: torch.dtype) -> None:
    """Numbers and state in f32 of the rounded weights, gradients in the type of the weights."""
    model = zoo().to(dtype)
    penalty = SpectralPenalty(model, 1.0, quantity=quantity)
    same = SpectralPenalty(copy.deepcopy(model).float(), 1.0, quantity=quantity)
    value = penalty(model)
    assert value.dtype == torch.float32
    wide = copy.deepcopy(model).float()
    assert value.item() == pytest.approx(same(wide).item(), rel=1e-6)
    value.backward()
    assert model[0].weight.grad.dtype == dtype


@pytest.mark.parametrize("quantity", QUANTITIES)
def test_autocast_changes_nothing(quantity: str) -> None:
    model = zoo()
    one, other = (SpectralPenalty(model, 1.0, quantity=quantity) for _ in range(2))
    expected = one(model)
    expected.backward()
    plain = gradients(model)
    model.zero_grad()
    with torch.autocast("cpu", torch.bfloat16):
        value = other(model)
        value.backward()
    assert value.dtype == torch.float32
    assert torch.equal(value, expected)
    assert all(torch.equal(a, b) for a, b in zip(plain, gradients(model), strict=True))


def test_selection() -> None:
    model = ResNet(1, 8)
    names = list(SpectralPenalty(model, include=["blocks.*"], exclude="*.conv2").estimates(model))
    assert names == ["blocks.0.conv1", "blocks.1.conv1", "blocks.2.conv1"]
    assert "linear" in SpectralPenalty(model, linear=True).estimates(model)
    assert "linear" not in SpectralPenalty(model).estimates(model)
    with pytest.raises(ValueError, match=r"'stem\.\*' matches no layer"):
        SpectralPenalty(model, exclude="stem.*")
    with pytest.raises(ValueError, match="no convolution that is selected"):
        SpectralPenalty(model, include="linear")
    with pytest.raises(ValueError, match=r"conv1\.weight: expected the shape \[8, 3, 3, 3\]"):
        SpectralPenalty(model)(ResNet(1, 16))
    with pytest.raises(ValueError, match=r"no layer 'blocks\.1\.conv1'"):
        SpectralPenalty(model)(nn.ModuleDict({"conv1": model.conv1, "blocks": model.blocks[:1]}))


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"quantity": "five"}, "quantity: expected one of four, weighted, norm"),
        ({"reduction": "mean"}, "reduction: expected one of sum, sumlog, hinge"),
        ({"reduction": "hinge"}, "target"),
        ({"target": 1.0}, "target"),
        ({"reduction": "hinge", "target": -1.0}, "target"),
        ({"beta": float("nan")}, "beta"),
        ({"initial_steps": 0}, "initial_steps"),
    ],
)
def test_settings_out_of_range(settings: dict, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        SpectralPenalty(nn.Conv2d(1, 1, 1), **settings)


def test_state() -> None:
    """A state dict continues where it was saved; that of other layers is refused; copies are independent."""
    model = ResNet(1, 8)
    penalty = SpectralPenalty(model, quantity="norm", rescan_every=3)
    for _ in range(5):
        penalty(model)
    fresh = SpectralPenalty(model, quantity="norm", rescan_every=3, seed=7)
    fresh.load_state_dict(penalty.state_dict())
    copied = copy.deepcopy(penalty)
    values = [[one(model).item() for _ in range(3)] for one in (penalty, fresh, copied)]
    assert values[0] == values[1] == values[2]
    with pytest.raises(ValueError, match="that of another penalty"):
        SpectralPenalty(model, exclude="conv1", quantity="norm").load_state_dict(
            penalty.state_dict(), strict=False
        )


def test_moves_and_casts() -> None:
    """State goes where the model goes, and is never kept in less than f32."""
    model = zoo()
    for quantity in QUANTITIES:
        penalty = SpectralPenalty(model, quantity=quantity)
        for narrow in (torch.bfloat16, torch.float16):
            state = [buffer.clone() for buffer in penalty.buffers()]
            penalty.to(narrow)
            assert all(torch.equal(a, b) for a, b in zip(state, penalty.buffers(), strict=True))
        wide = copy.deepcopy(penalty).double()
        assert {b.dtype for b in wide.buffers() if b.is_floating_point()} == {torch.float64}
        assert wide(copy.deepcopy(model).double()).dtype == torch.float64
        penalty.to("meta")
        assert all(buffer.is_meta for buffer in penalty.buffers())
        with pytest.raises(RuntimeError, match="the vectors are on meta and the weights on cpu"):
            penalty(model)


def test_names_of_wrappers_and_modules_that_are_called_like_them() -> None:
    inner = nn.ModuleDict({"conv": nn.Conv2d(1, 1, 3)})
    model = nn.ModuleDict({"module": inner, "conv": nn.Conv2d(1, 1, 3)})
    wrapped = nn.ModuleDict({"_orig_mod": nn.ModuleDict({"module": model})})
    names = ["module.conv", "conv"]
    assert list(SpectralPenalty(model).estimates(wrapped)) == names
    assert list(SpectralPenalty(wrapped).estimates(model)) == names


def test_global_random_state_is_left_alone() -> None:
    model = zoo()
    before = torch.random.get_rng_state()
    for quantity in QUANTITIES:
        penalty = SpectralPenalty(model, quantity=quantity, rescan_every=1)
        penalty(model)
        penalty(model)
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize("quantity", QUANTITIES)
def test_gradients_of_small_weights(quantity: str) -> None:
    """All quantities are homogeneous: weights t·W have the gradient of W. Layers of different strides share
    tables, in which rows that one of them has not must not count."""
    gradients = []
    for size in (1.0, 2.0**-6, 2.0**-12, 2.0**-24):
        torch.manual_seed(0)
        model = ResNet(1, 8)
        with torch.no_grad():
            for weight in model.parameters():
                weight.mul_(size)
        penalty = SpectralPenalty(model, 1.0, quantity=quantity)
        for _ in range(5):
            model.zero_grad()
            penalty(model).backward()
        found = [p.grad for p in model.parameters() if p.grad is not None]
        assert all(gradient.isfinite().all() for gradient in found)
        gradients.append(torch.cat([gradient.flatten() for gradient in found]))
    for gradient in gradients[1:]:
        torch.testing.assert_close(gradient, gradients[0], rtol=1e-2, atol=1e-3)
