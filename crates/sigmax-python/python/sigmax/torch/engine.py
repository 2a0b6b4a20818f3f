"""What the estimates of all quantities have in common: state, selection over channel groups, gradient."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from sigmax.torch.lattice import Group, fold, unfold
from sigmax.torch.layers import Layer, working_dtype

Saved = list[Tensor]
"""What a step keeps for the gradient."""


class Engine(nn.Module):
    """Estimates of one quantity for a list of layers, by power iterations whose vectors stay warm.

    The state is in buffers that are written in place. Each step reads the weights, and from the state gives
    every layer's value b = ⟨W, G⟩; G, with the singular vectors held fixed, is the gradient of b.
    """

    table: Tensor
    """Where the values of a layer's channel groups and reshapes are, see :func:`table_of`."""

    def __init__(self, layers: Sequence[Layer], dtype: torch.dtype, seed: int) -> None:
        super().__init__()
        self.layers = list(layers)
        self.seed = seed
        self.dtype = working_dtype(dtype)
        places: dict[Any, list[int]] = {}
        for place, layer in enumerate(layers):
            places.setdefault(layer.lattice, []).append(place)
        self.groups = [Group(lattice, tuple(members)) for lattice, members in places.items()]

    # What a quantity defines.

    def start(self) -> None:
        """Sets the state to the start vectors."""
        raise NotImplementedError

    def rescan(self, kernels: list[Tensor]) -> None:
        """Searches anew for what a power iteration does not find. Nothing by default."""

    def step(self, kernels: list[Tensor], keep: bool) -> tuple[Tensor, Saved]:
        """One power step: the values `[layers]`, and what :meth:`pull` needs. `keep` writes the state."""
        raise NotImplementedError

    def pull(self, saved: Saved, scale: Tensor) -> list[Tensor]:
        """`scale` (`[layers]`) times the gradient with respect to the kernels of every group."""
        raise NotImplementedError

    # What is common.

    @torch.no_grad()
    def restart(self, weights: list[Tensor], steps: int) -> None:
        """Start vectors, a search, and then `steps` power steps."""
        self.start()
        kernels = unfold(self.groups, weights, self.dtype)
        self.rescan(kernels)
        for _ in range(steps):
            self.step(kernels, True)

    @torch.no_grad()
    def search(self, weights: list[Tensor]) -> None:
        """:meth:`rescan`, for weights."""
        self.rescan(unfold(self.groups, weights, self.dtype))

    def forward(self, weights: list[Tensor], keep: bool) -> Tensor:
        """The values `[layers]`, differentiable once in the weights."""
        if weights[0].device != self.table.device:
            raise RuntimeError(
                f"the vectors are on {self.table.device} and the weights on {weights[0].device}: "
                "move the penalty as the model, with .to()"
            )
        values: Tensor = _Values.apply(self, keep, *weights)
        return values

    def random(self, group: Group, name: str, size: tuple[int, ...]) -> Tensor:
        """Start vectors `[B, …]`: a function of the seed, the layers' names and `name` alone."""
        each = (group.lattice.groups, *size)
        vectors = []
        for place in group.layers:
            text = f"{self.seed}/{self.layers[place].parameter}/{name}"
            digest = hashlib.sha256(text.encode()).digest()
            generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)
            vectors.append(torch.randn(each, generator=generator, dtype=torch.float32))
        return torch.cat(vectors).to(self.dtype)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Engine:
        """As for every module, but state is never kept in less than f32."""
        for module in self.modules():
            for name, buffer in module._buffers.items():
                if buffer is None:
                    continue
                moved = fn(buffer)
                if moved.is_floating_point():
                    self.dtype = working_dtype(moved.dtype)
                    moved = buffer.to(moved.device, self.dtype)
                module._buffers[name] = moved
        return self


class _Values(torch.autograd.Function):
    """Values of an engine; the gradient is written down, and only made when asked for."""

    @staticmethod
    def forward(ctx: Any, engine: Engine, keep: bool, *weights: Tensor) -> Tensor:
        with torch.autocast(weights[0].device.type, enabled=False):
            kernels = unfold(engine.groups, [weight.detach() for weight in weights], engine.dtype)
            values, saved = engine.step(kernels, keep)
        ctx.engine = engine
        ctx.dtypes = [weight.dtype for weight in weights]
        ctx.save_for_backward(*saved)
        return values

    @staticmethod
    def backward(ctx: Any, scale: Tensor) -> Any:
        if torch.is_grad_enabled():
            raise RuntimeError(
                "the gradient of a spectral norm is not differentiable again: "
                "singular vectors are held fixed in it"
            )
        engine = ctx.engine
        with torch.autocast(scale.device.type, enabled=False):
            gradients = fold(engine.groups, engine.pull(list(ctx.saved_tensors), scale))
        needed = ctx.needs_input_grad[2:]
        out = [
            gradient.to(dtype) if need else None
            for gradient, dtype, need in zip(gradients, ctx.dtypes, needed, strict=True)
        ]
        return None, None, *out


def decisive(table: Tensor, *, min_of_max: bool) -> tuple[Tensor, Tensor]:
    """Value and place of the entry of `[layers, groups, splits]` that decides each layer: max over the groups
    of the min over the splits, or the other way round. Both are valid: T5 holds of the norms of the
    groups."""
    if min_of_max:
        largest, group = table.max(1)
        value, split = largest.min(1)
        chosen = group.gather(1, split.unsqueeze(1)).squeeze(1)
        return value, chosen * table.shape[2] + split
    least, split = table.min(2)
    value, group = least.max(1)
    chosen = split.gather(1, group.unsqueeze(1)).squeeze(1)
    return value, group * table.shape[2] + chosen


def table_of(rows: list[list[list[int]]], count: int) -> Tensor:
    """`[layers, groups, splits]` of rows among `count`, filled up with `count` (to hold +∞) where a split and
    with `count` + 1 (−∞) where a group is missing."""
    groups = max(len(layer) for layer in rows)
    splits = max(len(group) for layer in rows for group in layer)
    table = torch.full((len(rows), groups, splits), count + 1)
    for place, layer in enumerate(rows):
        for g, group in enumerate(layer):
            table[place, g] = count
            table[place, g, : len(group)] = torch.tensor(group)
    return table


Member = TypeVar("Member")


def share(
    members: Iterable[Member],
    padded: Callable[[Sequence[Member]], int],
    size: Callable[[Member], int],
) -> list[list[Member]]:
    """Sorts members into few tables none of which, unless it is small, is mostly padding: `padded` gives the
    numbers in the table of some members."""
    tables: list[list[Member]] = []
    for member in sorted(members, key=size, reverse=True):
        for table in tables:
            joined = [*table, member]
            if padded(joined) <= 4 * sum(padded([one]) for one in joined) + 2**15:
                table.append(member)
                break
        else:
            tables.append([member])
    return tables
