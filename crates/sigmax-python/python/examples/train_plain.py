"""Trains a small network with a spectral penalty in plain PyTorch, and rescales it to a proved norm of 1 per
layer.

python examples/train_plain.py --quantity four --beta 0.1
"""

from __future__ import annotations

import argparse

import torch
from torch import Tensor, nn

from sigmax.torch import SpectralPenalty, finish


def network() -> nn.Sequential:
    """Four convolutions, one of them strided and one grouped."""
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, stride=2, padding=1),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.Conv2d(32, 32, 3, padding=1, groups=4),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.Conv2d(32, 32, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(32, 10),
    )


def batch(size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Noisy gratings; the class is the orientation. In place of your data."""
    labels = torch.randint(10, (size,), generator=generator)
    angles = (labels * torch.pi / 10).view(-1, 1, 1, 1)
    y, x = torch.meshgrid(torch.arange(16.0), torch.arange(16.0), indexing="ij")
    gratings = torch.cos(angles.cos() * x + angles.sin() * y)
    return gratings + torch.randn(size, 3, 16, 16, generator=generator), labels


def main() -> None:
    """Trains, and prints estimates and proved norms."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quantity", choices=["four", "weighted", "norm"], default="four")
    parser.add_argument("--beta", type=float, default=0.1)
    parser.add_argument("--steps", type=int, default=200)
    options = parser.parse_args()
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(1)
    model = network()
    optimiser = torch.optim.SGD(model.parameters(), 0.05, momentum=0.9)
    penalty = SpectralPenalty(model, options.beta, quantity=options.quantity, reduction="hinge", target=1.0)
    for step in range(options.steps):
        images, labels = batch(64, generator)
        optimiser.zero_grad()
        loss = nn.functional.cross_entropy(model(images), labels)
        (loss + penalty(model)).backward()
        optimiser.step()
        if step % 50 == 0 or step == options.steps - 1:
            estimates = penalty.estimates(model)
            print(f"step {step}: loss {loss.item():.3f}, largest estimate {max(estimates.values()):.3f}")
    try:
        proved = finish(model, 1.0)
    except ImportError:
        print("the extension is not installed: nothing is proved")
        return
    for name, (lower, upper) in proved.items():
        print(f"layer {name}: {lower:.6f} <= norm <= {upper:.6f}")


if __name__ == "__main__":
    main()
