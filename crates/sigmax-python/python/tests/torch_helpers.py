"""Networks, references and an operation counter for the tests of `sigmax.torch`."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

try:
    import tomllib
except ImportError:  # Python 3.10, where pytest brings it
    import tomli as tomllib

torch.set_num_threads(1)  # the operations are small: more threads only wait for each other

REPOSITORY = Path(__file__).parents[4]
QUANTITIES = ("four", "weighted", "norm")


class Block(nn.Module):
    """Two convolutions and a shortcut without parameters."""

    def __init__(self, inside: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inside, out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.stride, self.more = stride, out - inside

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x)))))
        x = x[:, :, :: self.stride, :: self.stride]
        return functional.relu(
            y + functional.pad(x, (0, 0, 0, 0, self.more // 2, self.more - self.more // 2))
        )


class ResNet(nn.Module):
    """The CIFAR ResNet with 6n + 2 layers."""

    def __init__(self, n: int, width: int = 16) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        blocks = []
        inside = width
        for stage in range(3):
            for block in range(n):
                out = width << stage
                blocks.append(Block(inside, out, 2 if stage > 0 and block == 0 else 1))
                inside = out
        self.blocks = nn.Sequential(*blocks)
        self.linear = nn.Linear(inside, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(functional.relu(self.bn1(self.conv1(x))))
        return self.linear(x.mean((2, 3)))


def zoo() -> nn.Sequential:
    """Layers of many geometries, one after the other in the list, not in a network."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3),
        nn.Conv2d(4, 4, 3, padding=1),
        nn.Conv2d(2, 5, (2, 3)),
        nn.Conv2d(4, 3, 1),
        nn.Conv2d(4, 6, 3, stride=2, groups=2),
        nn.Conv2d(2, 2, 5, stride=3),
        nn.Conv2d(3, 2, 3, dilation=2),
        nn.Conv2d(2, 3, 5, stride=(4, 2), dilation=(2, 3)),
        nn.Conv2d(4, 4, 3, groups=4),
        nn.Conv2d(1, 2, 2, stride=3),
        nn.Conv2d(2, 2, 9),
        nn.ConvTranspose2d(4, 2, (3, 4), stride=2, output_padding=1),
        nn.ConvTranspose2d(4, 4, 3, groups=2, stride=2, dilation=2),
        nn.Conv1d(3, 4, 5, stride=2),
        nn.Conv1d(2, 2, 4),
        nn.ConvTranspose1d(4, 2, 3, stride=2),
        nn.Conv3d(2, 2, (3, 2, 2), stride=(2, 1, 1)),
        nn.ConvTranspose3d(2, 2, 2),
        nn.Linear(5, 7),
    )


def lattice_kernels(module: nn.Module) -> Tensor:
    """`[groups, R, C, q…]` by T3, T5 and T6, written out entry by entry."""
    weight = module.weight.detach().double()
    groups = getattr(module, "groups", 1)
    axes = weight.ndim - 2
    stride, dilation = (list(getattr(module, name, ())) for name in ("stride", "dilation"))
    stride = [s // math.gcd(s, e) for s, e in zip(stride, dilation, strict=True)]
    taps = weight.shape[2:]
    q = [-(-k // s) for k, s in zip(taps, stride, strict=True)]
    phases = list(itertools.product(*map(range, stride)))
    rows = weight.shape[0] // groups
    out = torch.zeros(groups, rows, weight.shape[1], len(phases), *q, dtype=torch.float64)
    for place, phase in enumerate(phases):
        for cell in itertools.product(*map(range, q)):
            tap = tuple(s * c + r for s, c, r in zip(stride, cell, phase, strict=True))
            if all(t < k for t, k in zip(tap, taps, strict=True)):
                kernel = weight[(..., *tap)].view(groups, rows, -1)
                out[(slice(None), slice(None), slice(None), place, *cell)] = kernel
    return out.view(groups, rows, -1, *q) if axes else out.view(groups, rows, -1)


def least_of_four(module: nn.Module) -> float:
    """min over A of max over groups of √q·‖M_A‖, by singular value decompositions."""
    kernels = lattice_kernels(module)
    axes = range(3, kernels.ndim)
    found = []
    for n in range(len(axes) + 1):
        for held in itertools.combinations(axes, n):
            free = [axis for axis in axes if axis not in held]
            rows = kernels.shape[1] * math.prod(kernels.shape[axis] for axis in held)
            matrices = kernels.permute(0, 1, *held, 2, *free).reshape(len(kernels), rows, -1)
            found.append(torch.linalg.matrix_norm(matrices, 2).max().item())
    return min(found) * math.sqrt(math.prod(kernels.shape[3:]))


def norm_on_grid(module: nn.Module, points: int = 32) -> float:
    """max ‖F(θ)‖ on a grid: at most the norm, and at least cos(π(k − 1)/(2·points)) per axis of it (T15)."""
    kernels = lattice_kernels(module)
    axes = list(range(3, kernels.ndim))
    symbols = torch.fft.fftn(kernels, s=[points] * len(axes), dim=axes) if axes else kernels
    return (
        torch.linalg.matrix_norm(symbols.flatten(3).permute(0, 3, 1, 2) if axes else symbols, 2).max().item()
    )


def operator_norm(module: nn.Module, size: int = 17, steps: int = 400) -> float:
    """The norm of the layer itself at one input size, from below, by power iteration with the layer."""
    axes = module.weight.ndim - 2
    shape = (1, module.in_features) if axes == 0 else (1, module.in_channels, *[size] * axes)
    x = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    value = 0.0
    for _ in range(steps):
        x = (x / x.norm()).requires_grad_()
        y = module(x) - module(torch.zeros_like(x))
        value = y.norm().item()
        (x,) = torch.autograd.grad(y, x, y.detach())
    return value


def golden() -> list[dict[str, Any]]:
    """The cases of the golden suite."""
    with (REPOSITORY / "testdata" / "cases.toml").open("rb") as file:
        return tomllib.load(file)["case"]


def golden_module(case: dict[str, Any]) -> nn.Module:
    """The layer of a case, in f64."""
    shape, groups = case["shape"], case["groups"]
    axes = len(shape) - 2
    name = f"Conv{'Transpose' if case['transposed'] else ''}{axes}d"
    channels = (shape[0], shape[1] * groups) if case["transposed"] else (shape[1] * groups, shape[0])
    settings = {key: tuple(case[key]) for key in ("stride", "dilation")}
    module = getattr(nn, name)(*channels, tuple(shape[2:]), groups=groups, bias=False, **settings).double()
    with torch.no_grad():
        module.weight.copy_(torch.tensor(case["values"], dtype=torch.float64).view(shape))
    return module


VIEWS = frozenset(
    "view _unsafe_view permute transpose t expand slice select squeeze unsqueeze split split_with_sizes "
    "unbind detach alias as_strided unfold view_as_complex view_as_real _conj".split()
)
SYNCHRONISING = frozenset("_local_scalar_dense item nonzero is_nonzero equal masked_select".split())


class Operations(TorchDispatchMode):
    """Counts the ATen operations that are not views."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name = function.overloadpacket.__name__
        if name not in VIEWS:
            self.counts[name] += 1
        return function(*args, **(kwargs or {}))

    @property
    def total(self) -> int:
        return sum(self.counts.values())


def counted(function: Callable[[], Any]) -> tuple[Any, Operations]:
    """What a function returns, and the operations that it ran."""
    with Operations() as operations:
        result = function()
    return result, operations
