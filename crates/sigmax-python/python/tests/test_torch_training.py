"""Training with a penalty: norms fall, and stay where the hinge begins."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch_helpers import QUANTITIES, ResNet, norm_on_grid

from sigmax.torch import SpectralPenalty, spectral_norm


def images(generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """A batch that can be learnt: a colour and an orientation per class, and noise."""
    labels = torch.randint(10, (32,), generator=generator)
    angle = labels * torch.pi / 10
    y, x = torch.meshgrid(torch.arange(16.0), torch.arange(16.0), indexing="ij")
    wave = torch.cos(angle.cos().view(-1, 1, 1) * x + angle.sin().view(-1, 1, 1) * y)
    colour = torch.stack([angle.cos(), angle.sin(), torch.ones(len(labels))], 1)
    noise = torch.randn(32, 3, 16, 16, generator=generator)
    return colour.view(-1, 3, 1, 1) * wave.unsqueeze(1) + noise, labels


def train(model: nn.Module, penalty: SpectralPenalty | None, steps: int = 60) -> float:
    generator = torch.Generator().manual_seed(0)
    optimiser = torch.optim.SGD(model.parameters(), 0.05, momentum=0.9)
    loss = torch.tensor(0.0)
    for _ in range(steps):
        x, y = images(generator)
        optimiser.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        (loss if penalty is None else loss + penalty(model)).backward()
        optimiser.step()
    return loss.item()


def norms(model: nn.Module) -> list[float]:
    return [norm_on_grid(module) for module in model.modules() if isinstance(module, nn.Conv2d)]


def fresh() -> ResNet:
    torch.manual_seed(0)
    return ResNet(1, 8)


@pytest.mark.parametrize("quantity", QUANTITIES)
def test_penalised_norms_fall(quantity: str) -> None:
    plain, model = fresh(), fresh()
    train(plain, None)
    penalty = SpectralPenalty(model, 5e-2, quantity=quantity, reduction="sumlog", rescan_every=10)
    loss = train(model, penalty)
    assert loss < 2.0  # chance is log 10 = 2.3
    assert sum(norms(model)) < 0.8 * sum(norms(plain))
    # What the penalty saw is what there is; the norm follows one peak between searches.
    penalty.rescan(model)
    estimates = list(penalty.estimates(model).values())
    for estimate, norm in zip(estimates, norms(model), strict=True):
        assert norm * 0.9 <= estimate <= norm * (1.1 if quantity == "norm" else 3)


def test_a_hinge_keeps_norms_at_its_target() -> None:
    model = fresh()
    penalty = SpectralPenalty(model, 0.1, quantity="norm", reduction="hinge", target=1.0, rescan_every=5)
    assert train(model, penalty, 100) < 2.0
    assert max(norms(model)) < 1.25


def test_training_under_the_parametrization() -> None:
    model = fresh()
    for module in list(model.modules()):
        if isinstance(module, nn.Conv2d):
            spectral_norm(module, 0.5)
    assert train(model, None) < 2.0
    assert max(norms(model.eval())) <= 0.5 * 1.05
