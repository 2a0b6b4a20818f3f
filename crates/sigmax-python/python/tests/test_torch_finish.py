"""`finish`: weights rescaled by what the core proves."""

from __future__ import annotations

import copy
import sys

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize
from torch_helpers import norm_on_grid, zoo

from sigmax.torch import finish, spectral_norm
from sigmax.torch.finishing import geometry


def test_geometry_is_read_from_the_modules() -> None:
    same = nn.Conv2d(2, 4, (4, 3), padding="same", dilation=(1, 2), groups=2, padding_mode="reflect")
    assert geometry(same) == {
        "stride": [1, 1],
        "padding": [(1, 2), (2, 2)],
        "dilation": [1, 2],
        "groups": 2,
        "transposed": False,
        "output_padding": [0, 0],
        "padding_mode": "reflect",
    }
    assert geometry(nn.Conv1d(1, 1, 3, padding="valid"))["padding"] == [(0, 0)]
    transposed = nn.ConvTranspose2d(4, 2, 3, stride=2, padding=(0, 1), output_padding=1)
    assert geometry(transposed) | {"stride": None} == {
        "stride": None,
        "padding": [(0, 0), (1, 1)],
        "dilation": [1, 1],
        "groups": 1,
        "transposed": True,
        "output_padding": [1, 1],
        "padding_mode": "zeros",
    }
    assert geometry(nn.Linear(2, 3))["stride"] == [1]


class Prover:
    """In place of the core: the norm on a grid, with some room above it."""

    def __init__(self, room: float = 1.001) -> None:
        self.room = room
        self.fixed: float | None = None

    def conv_norm(self, weight, *, padding_mode="zeros", groups, transposed, stride, dilation, **_):
        if self.fixed is not None:
            return 0.0, self.fixed
        axes = weight.ndim - 2
        kind = getattr(nn, f"Conv{'Transpose' if transposed else ''}{axes}d")
        channels = (weight.shape[0], weight.shape[1] * groups)
        module = kind(
            *(channels if transposed else channels[::-1]), weight.shape[2:], stride, 0, groups=groups
        )
        module.dilation = tuple(dilation)
        module.weight = nn.Parameter(torch.from_numpy(weight.copy()))
        norm = norm_on_grid(module) * (2 if padding_mode != "zeros" else 1)
        return norm, norm * self.room


@pytest.fixture
def prover(monkeypatch: pytest.MonkeyPatch) -> Prover:
    fake = Prover()
    monkeypatch.setitem(sys.modules, "sigmax._core", fake)
    return fake


def test_weights_above_the_target_are_rescaled(prover: Prover) -> None:
    model = zoo()
    with torch.no_grad():
        model[3].weight *= 1e-3
    before = copy.deepcopy(model)
    proved = finish(model, 0.9)
    assert list(proved) == [str(n) for n in range(len(model))]
    for (lower, upper), module, old in zip(proved.values(), model, before, strict=True):
        norm = norm_on_grid(module)
        assert lower <= norm * (1 + 1e-6)
        assert norm <= upper <= 0.9
        if norm_on_grid(old) * prover.room > 0.9:
            torch.testing.assert_close(module.weight / module.weight.norm(), old.weight / old.weight.norm())
            assert upper > 0.9 * (1 - 1e-5)
        else:
            assert torch.equal(module.weight, old.weight)


def test_parametrizations_are_removed_and_copies_keep_theirs(prover: Prover) -> None:
    model = nn.Sequential(spectral_norm(nn.Conv2d(4, 4, 3), 0.5), nn.ReLU())
    other = copy.deepcopy(model)
    finish(model, 0.5)
    assert not parametrize.is_parametrized(model[0])
    assert type(model[0]) is nn.Conv2d
    assert norm_on_grid(model[0]) <= 0.5
    assert parametrize.is_parametrized(other[0])
    assert other(torch.randn(1, 4, 5, 5)).isfinite().all()


def test_a_shared_weight_is_proved_for_every_layer(prover: Prover) -> None:
    first, second = nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect")
    second.weight = first.weight
    proved = finish(nn.Sequential(first, second), 0.5)
    assert proved["1"][1] <= 0.5
    assert proved["0"][1] == pytest.approx(proved["1"][1] / 2)
    assert second.weight is first.weight


def test_what_cannot_be_finished_is_refused(prover: Prover) -> None:
    conv = nn.Conv2d(1, 1, 1)
    with pytest.raises(ValueError, match="positive finite"):
        finish(conv, 0.0)
    with torch.no_grad():
        conv.weight.fill_(float("nan"))
    with pytest.raises(ValueError, match=r"weight: a weight is not finite"):
        finish(conv)
    for prover.room in (float("inf"), float("nan"), 1e30):
        conv = nn.Conv2d(1, 1, 1)
        before = conv.weight.detach().clone()
        prover.fixed = prover.room
        with pytest.raises(ValueError, match="no multiple of the weight"):
            finish(conv)
        assert torch.equal(conv.weight, before)


def test_by_the_core() -> None:
    core = pytest.importorskip("sigmax._core")
    model = zoo().append(nn.Conv2d(3, 3, 3, padding=1, padding_mode="reflect"))
    for module in model:
        spectral_norm(module, 0.7)
    proved = finish(model, 0.7)
    for (lower, upper), module in zip(proved.values(), model, strict=True):
        # With padding by copies the lower end is that of zero padding.
        least = 0.2 if getattr(module, "padding_mode", "zeros") != "zeros" else 0.6
        assert least <= lower <= upper <= 0.7
        again = core.conv_norm(
            module.weight.detach()
            .double()
            .reshape(*module.weight.shape, *[1] * (module.weight.ndim == 2))
            .numpy(),
            **geometry(module),
        )
        assert again == (lower, upper)
        assert norm_on_grid(module) <= 0.7
