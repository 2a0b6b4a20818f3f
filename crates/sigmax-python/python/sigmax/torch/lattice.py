"""Weights as stride-1 kernels on the infinite lattice (T3 to T6).

A kernel of a layer is `[B, R, C, q_1, …, q_m]`: one matrix `[R, C]` per tap, `B` channel groups. Theorem
numbers refer to the project's `crates/sigmax/docs/theory.md`.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

Index = tuple[Any, ...]
"""An index into a tensor."""


@dataclass(frozen=True)
class Lattice:
    """How the weights of one shape and geometry become lattice kernels."""

    shape: tuple[int, ...]
    """Shape of the weight: `[out, in/groups, k…]`, or `[in, out/groups, k…]` of a transposed layer, which is
    the adjoint of the convolution with the same weight (T6)."""
    stride: tuple[int, ...]
    """Stride divided by its greatest common divisor with the dilation (T3); the dilation then drops out
    (T4)."""
    groups: int

    @classmethod
    def of(
        cls, shape: tuple[int, ...], stride: tuple[int, ...], dilation: tuple[int, ...], groups: int
    ) -> Lattice:
        """The lattice of a layer with this geometry."""
        reduced = tuple(s // math.gcd(s, e) for s, e in zip(stride, dilation, strict=True))
        return cls(tuple(shape), reduced, groups)

    @cached_property
    def kernel(self) -> tuple[int, ...]:
        """Taps of the weight per axis."""
        return self.shape[2:]

    @cached_property
    def phases(self) -> tuple[int, ...]:
        """Phases of the stride that hold a tap, per axis."""
        return tuple(min(s, k) for s, k in zip(self.stride, self.kernel, strict=True))

    @cached_property
    def taps(self) -> tuple[int, ...]:
        """q: taps of the lattice kernel per axis."""
        return tuple(-(-k // s) for s, k in zip(self.stride, self.kernel, strict=True))

    @cached_property
    def rows(self) -> int:
        """R: rows of one group."""
        return self.shape[0] // self.groups

    @cached_property
    def cols(self) -> int:
        """C: columns times phases."""
        return self.shape[1] * math.prod(self.phases)

    @cached_property
    def lifted(self) -> tuple[int, ...]:
        """q on three axes: missing ones come first and have one tap."""
        return (1,) * (3 - len(self.taps)) + self.taps

    @cached_property
    def numel(self) -> int:
        """Numbers of a layer's lattice kernels, the zeros of T3 included."""
        return self.groups * self.rows * self.cols * math.prod(self.taps)

    @cached_property
    def plain(self) -> bool:
        """Whether the weight is its lattice kernel already."""
        return math.prod(self.phases) == 1 and self.taps == self.kernel

    @cached_property
    def pieces(self) -> list[tuple[Index, Index]]:
        """Where the taps go: K̃[.., r, q] = K[.., s·q + r] for every phase r (T3), as pairs of indices into
        a weight and into a kernel of shape `split`."""
        found = []
        for phase in itertools.product(*map(range, self.phases)):
            source = tuple(slice(r, None, s) for r, s in zip(phase, self.stride, strict=True))
            counts = (
                slice(len(range(r, k, s))) for r, s, k in zip(phase, self.stride, self.kernel, strict=True)
            )
            found.append(((..., *source), (..., *phase, *counts)))
        return found

    @cached_property
    def split(self) -> tuple[int, ...]:
        """Shape of a layer's kernels with the phases as axes of their own."""
        return (self.shape[0], self.shape[1], *self.phases, *self.taps)


@dataclass(frozen=True)
class Group:
    """Layers of one lattice, computed together: B = layers · groups kernels."""

    lattice: Lattice
    layers: tuple[int, ...]
    """Their places among all layers."""

    @cached_property
    def batch(self) -> int:
        """B."""
        return len(self.layers) * self.lattice.groups

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """`[B, R, C, q…]`."""
        lattice = self.lattice
        return (self.batch, lattice.rows, lattice.cols, *lattice.taps)


def unfold(groups: list[Group], weights: list[Tensor], dtype: torch.dtype) -> list[Tensor]:
    """The kernels `[B, R, C, q…]` of every group, in `dtype`: two operations for the whole model."""
    sizes = [len(group.layers) * group.lattice.numel for group in groups]
    flat = weights[0].new_zeros(sum(sizes), dtype=dtype)
    parts = torch.split_with_sizes(flat, sizes)
    into, source = [], []
    for group, part in zip(groups, parts, strict=True):
        lattice = group.lattice
        slots = part.view(-1, lattice.numel).unbind(0)
        for layer, slot in zip(group.layers, slots, strict=True):
            if lattice.plain:
                into.append(slot.view(lattice.shape))
                source.append(weights[layer])
                continue
            kernel = slot.view(lattice.split)
            for there, here in lattice.pieces:
                into.append(kernel[here])
                source.append(weights[layer][there])
    torch._foreach_copy_(into, source)
    return [part.view(group.shape) for group, part in zip(groups, parts, strict=True)]


def fold(groups: list[Group], kernels: list[Tensor]) -> list[Tensor]:
    """The transpose of :func:`unfold`: what of the kernels lies at the places of the weights, per layer."""
    weights: dict[int, Tensor] = {}
    into, source = [], []
    for group, kernel in zip(groups, kernels, strict=True):
        lattice = group.lattice
        if lattice.plain:
            stacked = kernel.reshape(len(group.layers), *lattice.shape)
        else:
            stacked = kernel.new_empty(len(group.layers), *lattice.shape)
            split = kernel.reshape(len(group.layers), *lattice.split)
            for there, here in lattice.pieces:
                into.append(stacked[there])
                source.append(split[here])
        weights.update(zip(group.layers, stacked.unbind(0), strict=True))
    if into:
        torch._foreach_copy_(into, source)
    return [weights[layer] for layer in sorted(weights)]
