"""What spectral penalties cost beside a training step: a table, on the CPU, one thread.

Every row is timed in turn, round by round, and the medians are compared: ratios from one run. Gradients are
included everywhere. "naive" is the least of the four bounds as it is usually written, layer by layer and
reshape by reshape; "torch spectral_norm" is `torch.nn.utils.parametrizations.spectral_norm` on every
convolution, which divides by the norm of one reshape. Operations are ATen operations that are not views,
forward and backward.

    python benchmarks/penalty_overhead.py
"""

from __future__ import annotations

import argparse
import copy
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from torch_helpers import ResNet, counted

from sigmax.torch import SpectralPenalty, spectral_norm

RESHAPES = {"R": (0, 2, 1, 3), "S": (0, 3, 1, 2), "T": (0, 1, 2, 3), "U": (0, 2, 3, 1)}


class Naive(nn.Module):
    """The least of the four bounds of every convolution (stride ignored), with one power step per call."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.convolutions = [module for module in model.modules() if isinstance(module, nn.Conv2d)]
        self.vectors = {
            (n, name): nn.functional.normalize(torch.randn(self.matrix(conv.weight, name).shape[0]), dim=0)
            for n, conv in enumerate(self.convolutions)
            for name in RESHAPES
        }

    @staticmethod
    def matrix(weight: Tensor, name: str) -> Tensor:
        """M_A."""
        rows = {"R": 2, "S": 2, "T": 1, "U": 3}[name]
        permuted = weight.permute(RESHAPES[name])
        return permuted.reshape(permuted.shape[:rows].numel(), -1)

    def forward(self) -> Tensor:
        """The penalty."""
        total = torch.zeros(())
        for n, conv in enumerate(self.convolutions):
            bounds = []
            for name in RESHAPES:
                matrix = self.matrix(conv.weight, name)
                with torch.no_grad():
                    v = nn.functional.normalize(matrix.mT @ self.vectors[n, name], dim=0)
                    u = nn.functional.normalize(matrix @ v, dim=0)
                    self.vectors[n, name] = u
                bounds.append(u @ matrix @ v)
            taps = conv.kernel_size[0] * conv.kernel_size[1]
            total = total + taps**0.5 * torch.stack(bounds).min()
        return 1e-3 * total


def parametrized(model: nn.Module, register: Callable[[nn.Module], nn.Module]) -> Callable[[], None]:
    """Computes the weights of all convolutions, parametrized, and their gradients."""
    model = copy.deepcopy(model)
    convolutions = [register(module) for module in list(model.modules()) if isinstance(module, nn.Conv2d)]
    gradients = [torch.randn_like(module.weight) for module in convolutions]
    return lambda: torch.autograd.backward([module.weight for module in convolutions], gradients)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--blocks", type=int, default=5, help="n of a ResNet with 6n + 2 layers")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = ResNet(options.blocks)
    images, labels = torch.randn(options.batch, 3, 32, 32), torch.randint(10, (options.batch,))
    optimiser = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)

    def step() -> None:
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(images), labels).backward()
        optimiser.step()

    penalties = {q: SpectralPenalty(model, quantity=q) for q in ("four", "weighted", "norm")}
    naive = Naive(model)
    # A whole period of the searches for peaks, so that their share is in the mean; all other rows as often.
    times = penalties["norm"].rescan_every
    rows: dict[str, tuple[int, Callable[[], object]]] = {"training step": (1, step)}
    for quantity, penalty in penalties.items():
        rows[f"SpectralPenalty, {quantity}"] = (times, lambda p=penalty: p(model).backward())
    rows["naive, four"] = (5, lambda: naive().backward())
    rows["sigmax spectral_norm"] = (times, parametrized(model, spectral_norm))
    rows["torch spectral_norm"] = (5, parametrized(model, parametrizations.spectral_norm))

    for _, run in rows.values():
        run()
    operations = {name: counted(run)[1].total for name, (_, run) in rows.items()}
    split = {}
    for quantity, penalty in penalties.items():
        value, forward = counted(lambda p=penalty: p(model))
        _, backward = counted(value.backward)
        split[f"SpectralPenalty, {quantity}"] = f" ({forward.total} + {backward.total})"
    seconds: dict[str, list[float]] = {name: [] for name in rows}
    for _ in range(options.rounds):
        for name, (repeats, run) in rows.items():
            start = time.perf_counter()
            for _ in range(repeats):
                run()
            seconds[name].append((time.perf_counter() - start) / repeats)
    whole = statistics.median(seconds["training step"])
    print(
        f"ResNet-{6 * options.blocks + 2}, batch {options.batch}, f32, one thread, torch {torch.__version__}"
    )
    print("| | operations | ms | of the step |\n|---|---|---|---|")
    for name, measured in seconds.items():
        median = statistics.median(measured)
        count = f"{operations[name]}{split.get(name, '')}"
        print(f"| {name} | {count} | {median * 1e3:.1f} | {median / whole:.2%} |")


if __name__ == "__main__":
    main()
