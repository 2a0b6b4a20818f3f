"""Trains a CIFAR ResNet-20 for one pass over some images in PyTorch and in Burn, with the same settings, with
and without the penalty of the four bounds, and prints what became of the bounds, as Markdown.

    cargo build --release -p sigmax-train
    python benchmarks/beside_burn.py --data cifar-10-batches-bin --sigmax-train target/release/sigmax-train

Both start from the same weights. Images, their order and their augmentation are drawn by each program for
itself. The sum, the product and the largest of the smallest of the four bounds of all convolutions are proved
by the core, and rounded up.
"""

from __future__ import annotations

import argparse
import csv
import decimal
import math
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

import sigmax
from sigmax.torch import SpectralPenalty

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)


class Block(nn.Module):
    """Two convolutions and a shortcut without parameters (He et al. 2016, option A)."""

    def __init__(self, inside: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inside, out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.stride, self.more = stride, (out - inside) // 2

    def forward(self, x: Tensor) -> Tensor:
        """The branch and the shortcut."""
        y = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x)))))
        x = x[:, :, :: self.stride, :: self.stride]
        return functional.relu(y + functional.pad(x, (0, 0, 0, 0, self.more, self.more)))


class ResNet20(nn.Module):
    """Three stages of three blocks with 16, 32 and 64 channels."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = nn.Sequential(*(Block(16, 16, 1) for _ in range(3)))
        self.layer2 = nn.Sequential(Block(16, 32, 2), Block(32, 32, 1), Block(32, 32, 1))
        self.layer3 = nn.Sequential(Block(32, 64, 2), Block(64, 64, 1), Block(64, 64, 1))
        self.linear = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        """The logits."""
        x = functional.relu(self.bn1(self.conv1(x)))
        return self.linear(self.layer3(self.layer2(self.layer1(x))).mean((2, 3)))


def initial() -> ResNet20:
    """The network that all runs start from."""
    torch.manual_seed(0)
    model = ResNet20()
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
    return model


def images(folder: Path) -> tuple[Tensor, Tensor]:
    """All training images as they are fed, and their labels."""
    records = [np.fromfile(folder / f"data_batch_{i}.bin", np.uint8).reshape(-1, 3073) for i in range(1, 6)]
    data = torch.from_numpy(np.concatenate(records))
    mean, std = torch.tensor(MEAN).view(3, 1, 1), torch.tensor(STD).view(3, 1, 1)
    return (data[:, 1:].reshape(-1, 3, 32, 32) / 255 - mean) / std, data[:, 0].long()


def augmented(x: Tensor, generator: torch.Generator) -> Tensor:
    """Flipped, and cut out of a black border of four pixels."""
    black = (-torch.tensor(MEAN) / torch.tensor(STD)).view(1, 3, 1, 1)
    bordered = black.expand(len(x), 3, 40, 40).clone()
    bordered[:, :, 4:36, 4:36] = x
    cut = []
    for image in bordered:
        down, right, flip = (int(torch.randint(n, (), generator=generator)) for n in (9, 9, 2))
        part = image[:, down : down + 32, right : right + 32]
        cut.append(part.flip(-1) if flip else part)
    return torch.stack(cut)


def bounds(model: nn.Module) -> list[float]:
    """The smallest of the four bounds of every convolution, proved."""
    # The bracket of the norm, which is not asked for, need not be narrow.
    layers = sigmax.audit(model, torch.zeros(1, 3, 32, 32), network=False, tolerance=0.5).layers
    return [layer.four for name, layer in layers.items() if name != "linear"]


def in_torch(options: argparse.Namespace, beta: float) -> tuple[list[float], float]:
    """Bounds after the last step, and the mean loss without the penalty."""
    model = initial()
    x, labels = images(options.data)
    generator = torch.Generator().manual_seed(0)
    chosen = torch.randperm(len(x), generator=generator)[: options.limit]
    penalty = SpectralPenalty(model, beta, quantity="four") if beta else None
    optimiser = torch.optim.SGD(
        model.parameters(), options.rate, momentum=0.9, weight_decay=options.weight_decay
    )
    losses = []
    model.train()
    for pick in chosen.split(options.batch):
        loss = functional.cross_entropy(model(augmented(x[pick], generator)), labels[pick])
        losses.append(loss.item())
        if penalty is not None:
            loss = loss + penalty(model)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return bounds(model), sum(losses) / len(losses)


def in_burn(options: argparse.Namespace, beta: float, folder: Path) -> tuple[list[float], float]:
    """The same of `sigmax-train`."""
    start, out = folder / "start.pt", folder / f"burn-{beta}"
    torch.save(initial().state_dict(), start)
    command = [options.sigmax_train, "cifar10", "--data", options.data, "--init", start, "--out", out]
    command += ["--epochs", 1, "--limit", options.limit, "--batch", options.batch, "--rate", options.rate]
    command += ["--weight-decay", options.weight_decay]
    command += ["--penalty", "four", "--beta", beta] if beta else ["--penalty", "none"]
    subprocess.run([str(word) for word in command], check=True, stdout=subprocess.DEVNULL)
    with (out / "metrics.csv").open(newline="", encoding="utf-8") as file:
        row = list(csv.DictReader(file))[-1]
    found = [float(value) for key, value in row.items() if key.startswith("bound ") and key != "bound linear"]
    return found, float(row["train_loss"])


def rounded_up(value: float) -> str:
    """Four digits that are not below."""
    context = decimal.Context(prec=4, rounding=decimal.ROUND_CEILING)
    return f"{context.create_decimal(value):g}"


def main() -> None:
    """Runs all four, and prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="the folder of CIFAR-10's binary files")
    parser.add_argument("--sigmax-train", type=Path, required=True)
    parser.add_argument("--limit", type=int, default=9600, help="training images")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rate", type=float, default=0.05)
    parser.add_argument("--weight-decay", type=float, default=1e-4)
    parser.add_argument("--beta", type=float, default=0.01)
    options = parser.parse_args()
    steps = math.ceil(options.limit / options.batch)
    print(f"{steps} steps of {options.batch} images, rate {options.rate:g}, ", end="")
    print(
        f"weight decay {options.weight_decay:g}, penalty {options.beta:g} times the sum of the four bounds\n"
    )
    print("| | sum of bounds | product | largest | loss of the epoch |")
    print("|---|---|---|---|---|")

    def row(name: str, found: list[float], loss: float | None) -> None:
        shown = "–" if loss is None else f"{loss:.3f}"
        product = 1.0
        for bound in found:
            product = math.nextafter(product * bound, math.inf)
        total = math.nextafter(math.fsum(found), math.inf)
        numbers = " | ".join(rounded_up(value) for value in (total, product, max(found)))
        print(f"| {name} | {numbers} | {shown} |", flush=True)

    row("before the first step", bounds(initial()), None)
    with tempfile.TemporaryDirectory() as folder:
        for beta, name in ((0.0, "without penalty"), (options.beta, "with penalty")):
            row(f"PyTorch, {name}", *in_torch(options, beta))
            row(f"Burn, {name}", *in_burn(options, beta, Path(folder)))


if __name__ == "__main__":
    main()
