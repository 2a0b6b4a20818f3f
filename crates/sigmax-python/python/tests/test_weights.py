"""Weights that are computed from factors: as the readers of files compute them."""

from __future__ import annotations

import copy
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune, spectral_norm, weight_norm

import sigmax
from sigmax._open import core_model

X = torch.randn(1, 3, 6, 6)


def spectral(module: nn.Module) -> nn.Module:
    return parametrizations.spectral_norm(module, n_power_iterations=30)


def old_spectral(module: nn.Module) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = nn.utils.spectral_norm(module, n_power_iterations=30)
    module(torch.randn(2, *((3, 6, 6) if isinstance(module, nn.Conv2d) else (4 * 36,))))
    return module


def old_weight_norm(module: nn.Module) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return nn.utils.weight_norm(module)


KINDS = {
    "spectral_norm": spectral,
    "spectral_norm by hooks": old_spectral,
    "weight_norm": parametrizations.weight_norm,
    "weight_norm by hooks": old_weight_norm,
}


def network(kind) -> nn.Module:
    torch.manual_seed(0)
    conv, dense = kind(nn.Conv2d(3, 4, 3, padding=1)), kind(nn.Linear(4 * 36, 5))
    return nn.Sequential(conv, nn.Tanh(), nn.Flatten(), dense).eval()


@pytest.mark.parametrize("name", KINDS)
def test_norms_and_values_are_those_of_the_folded_weight(name: str) -> None:
    module = network(KINDS[name])
    report = sigmax.audit(module, X, tolerance=1e-7)
    assert type(module[0].weight) in (nn.Parameter, torch.Tensor)
    with torch.no_grad():
        module(X)
    # In f64 the folded weight is the exact one to 1e-14.
    folded = copy.deepcopy(module).double()
    with torch.no_grad():
        folded(X.double())
    weights = [folded[0].weight.detach().clone(), folded[3].weight.detach().clone()]
    plain = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.Tanh(), nn.Flatten(), nn.Linear(4 * 36, 5)
    ).double()
    with torch.no_grad():
        for place, weight in zip((0, 3), weights, strict=True):
            plain[place].weight.copy_(weight)
            plain[place].bias.copy_(folded[place].bias)
    wanted = sigmax.audit(plain, X.double(), tolerance=1e-7)
    for layer in ("0", "3"):
        found, truth = report.layers[layer].norm, wanted.layers[layer].norm
        assert found.upper >= truth.lower * (1 - 1e-12)
        assert found.upper == pytest.approx(truth.upper, rel=1e-6)
        assert any("real arithmetic" in note for note in report.layers[layer].details["notes"])
    assert report.lipschitz is not None and wanted.lipschitz is not None
    assert report.lipschitz == pytest.approx(wanted.lipschitz, rel=1e-5)
    inputs = np.random.default_rng(0).normal(size=(2, 3, 6, 6))
    rows, _ = core_model(module, X).evaluate(inputs)
    with torch.no_grad():
        truth = plain(torch.from_numpy(inputs)).numpy()
    np.testing.assert_allclose(np.stack(rows), truth, atol=1e-9)
    # Without a graph the same.
    assert sigmax.audit(module, tolerance=1e-7).layers["0"].norm == report.layers["0"].norm


def test_spectral_norm_is_one_for_dense_layers_and_not_for_convolutions() -> None:
    report = sigmax.audit(network(spectral), X, tolerance=1e-7)
    assert report.layers["3"].norm.upper == pytest.approx(1.0, abs=1e-4)
    assert report.layers["0"].norm.lower > 1.05


def test_a_negative_sigma_is_refused() -> None:
    module = network(spectral)
    step = module[3].parametrizations.weight[0]
    with torch.no_grad():
        step._u.neg_()
    report = sigmax.audit(module, X)
    assert report.lipschitz is None
    assert "not clearly positive" in report.refused[0].reason


def test_masks_of_pruning_are_exact() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    prune.l1_unstructured(module[0], "weight", amount=0.5)
    report = sigmax.audit(module, X, tolerance=1e-9)
    plain = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    with torch.no_grad():
        plain[0].weight.copy_(module[0].weight)
    wanted = sigmax.audit(plain, X, tolerance=1e-9)
    assert report.lipschitz == wanted.lipschitz
    assert [layer.norm for layer in report.layers.values()] == [wanted.layers["0"].norm]


class Twice(nn.Module):
    """A parametrization that nothing is known of."""

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        return 2.1 * weight


def test_other_parametrizations_are_refused_with_what_helps() -> None:
    module = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))
    parametrize.register_parametrization(module[0], "weight", Twice())
    example = torch.randn(1, 4)
    for report in (sigmax.audit(module, example), sigmax.audit(module)):
        assert list(report.layers) == ["1"]
        assert "remove_parametrizations" in report.refused[0].reason
    parametrize.remove_parametrizations(module[0], "weight")
    assert sigmax.audit(module, example).lipschitz is not None


def test_a_class_that_computes_something_else_is_refused() -> None:
    class Standardised(nn.Conv2d):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self._conv_forward(x, self.weight - self.weight.mean(), self.bias)

    module = nn.Sequential(Standardised(3, 4, 3), nn.Conv2d(4, 2, 1))
    report = sigmax.audit(module)
    assert list(report.layers) == ["1"]
    assert "overrides" in report.refused[0].reason
    graph = sigmax.audit(module, X)
    assert graph.lipschitz is None
    assert "with rounding" in graph.blockers[0].reason


def test_the_axis_of_spectral_norm_is_that_of_the_module() -> None:
    torch.manual_seed(0)
    layer = parametrizations.spectral_norm(nn.Linear(4, 4, bias=False), n_power_iterations=50)
    for _ in range(20):
        layer(torch.randn(2, 4))
    original = layer.parametrizations.weight.original
    with torch.no_grad():
        original.copy_(original.t().clone())
    layer.eval()
    found = sigmax.audit(layer, torch.randn(1, 4)).lipschitz
    assert found is None or found >= torch.linalg.matrix_norm(layer.weight.detach().double(), 2).item()


def pruned(layer: nn.Module, name: str) -> nn.Module:
    prune.l1_unstructured(layer, name, 0.3)
    return layer


class Product(nn.Module):
    """A weight under another name."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel = nn.Parameter(torch.randn(4, 6))


class Masked(nn.Module):
    """A layer whose weight is masked after it was computed."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer
        self.layer.register_buffer("mask", torch.ones(4, 6))


COMPUTED = {
    "pruned direction": lambda: pruned(weight_norm(nn.Linear(6, 4)), "weight_v"),
    "pruned original": lambda: pruned(spectral_norm(nn.Linear(6, 4)), "weight_orig"),
    "length of an original": lambda: weight_norm(spectral_norm(nn.Linear(6, 4)), "weight_orig"),
    "pruned direction of a kernel": lambda: pruned(weight_norm(Product(), "kernel"), "kernel_v"),
    "mask and weight_norm": lambda: Masked(weight_norm(nn.Linear(6, 4))),
    "mask and spectral_norm": lambda: Masked(spectral_norm(nn.Linear(6, 4))),
    "mask and parametrization": lambda: Masked(parametrizations.weight_norm(nn.Linear(6, 4))),
    "mask and pruning": lambda: Masked(pruned(nn.Linear(6, 4), "weight")),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", COMPUTED)
def test_what_is_computed_twice_is_refused_in_files(name: str, tmp_path: Path) -> None:
    file = tmp_path / "weights.pt"
    torch.save(COMPUTED[name]().state_dict(), file)
    found = sigmax.audit(file)
    assert {layer for layer in found.layers if "mask" not in layer} == set()
    assert found.refused


def test_further_factors_beside_an_adapter_are_refused(tmp_path: Path) -> None:
    state = {"x.weight": torch.randn(4, 6), "x.alpha": torch.tensor(2.0)}
    state |= {"x.lora_up.weight": torch.randn(4, 2), "x.lora_down.weight": torch.randn(2, 6)}
    file = tmp_path / "weights.pt"
    torch.save(state, file)
    assert list(sigmax.audit(file).layers) == ["x"]
    for name in ("dora_scale", "scalar", "magnitude"):
        torch.save(state | {f"x.{name}": torch.full((4, 1), 50.0)}, file)
        found = sigmax.audit(file)
        assert list(found.layers) == [] and found.refused
