"""The least of the four bounds (T9, T11) and of the weighted four (T12), for all layers of a model at once.

No reshape M_A is written out. With taps t = (a, f), a on the axes of A and f on the others, the kernel is
kept as one matrix `[R, C·Q]`. The left vectors of all reshapes lie below each other, one row per (A, a), and
the right vectors are expanded to one row per (A, a) that is zero at the taps with another a. Then, for all
reshapes at once,

- Mᵀu is the product of the left rows and the kernel, read where a is that of the row, summed over a;
- M v is the product of the expanded right rows and the kernel;
- the gradient, Σ u vᵀ, is the product of left and expanded right rows.

Three batched products per group of layers; norms, choice, weights and the update of the vectors are done in
tables that hold the rows of all groups.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sigmax.torch.engine import Engine, Saved, decisive, share, table_of
from sigmax.torch.lattice import Group, Index
from sigmax.torch.layers import Layer

TINY = 1e-36
"""Squared norms below this are taken for zero."""
PACE = 0.2
"""How far the weights of T12 move in one step, as the exponent of the new energies."""
FLOOR = 1e-6
"""Least share of a tap, relative to the mean."""
SMALL = 25
"""Most taps for which all reshapes share a panel."""

Subset = tuple[int, ...]
"""A, among three axes; missing axes come first and have one tap."""


def reshapes(taps: tuple[int, ...]) -> list[Subset]:
    """The different reshapes: an axis with one tap makes no difference."""
    wide = [axis for axis, q in enumerate(taps) if q > 1]
    return [held for n in range(len(wide) + 1) for held in itertools.combinations(wide, n)]


@dataclass(frozen=True)
class Panel:
    """The kernels of a group as matrices `[B, R, C·Q]`, or flipped as `[B, C, R·Q]`, and the reshapes that
    are taken of them. The flipped kernel's reshape with A on the rows is the transpose of M for the other
    axes."""

    group: int
    batch: int
    rows: int
    cols: int
    taps: tuple[int, ...]
    """On three axes."""
    held: tuple[Subset, ...]
    flipped: bool

    @property
    def numel(self) -> int:
        """Numbers of the matrices."""
        return self.batch * self.rows * self.cols * math.prod(self.taps)

    def matrix(self, kernel: Tensor) -> Tensor:
        """`[B, rows, cols·Q]`, of a kernel `[B, R, C, q…]`: a view unless flipped."""
        if self.flipped:
            kernel = kernel.transpose(1, 2)
        return kernel.reshape(self.batch, self.rows, -1)

    def kernel(self, matrix: Tensor, shape: tuple[int, ...]) -> Tensor:
        """The transpose of :meth:`matrix`."""
        if not self.flipped:
            return matrix.view(shape)
        return matrix.view(shape[0], shape[2], shape[1], *shape[3:]).transpose(1, 2)


def panels(place: int, group: Group) -> list[Panel]:
    """The panels of a group. Rows and zeros of a panel grow with the taps of A: where there are many taps,
    reshapes that hold more than half of them, on a logarithmic scale, are taken of the flipped kernel."""
    lattice = group.lattice
    taps = lattice.lifted
    kept, flipped = [], []
    for held in reshapes(taps):
        free = tuple(axis for axis in range(3) if axis not in held and taps[axis] > 1)
        large = math.prod(taps[a] for a in held) > math.prod(taps[a] for a in free)
        if large and math.prod(taps) > SMALL:
            flipped.append(free)
        else:
            kept.append(held)
    found = [Panel(place, group.batch, lattice.rows, lattice.cols, taps, tuple(kept), False)]
    if flipped:
        turned = (lattice.cols, lattice.rows, taps, tuple(flipped), True)
        found.append(Panel(place, group.batch, *turned))
    return found


class Layout:
    """Rows and taps of a table: those of all its panels, on common axes."""

    def __init__(self, members: Sequence[Panel]) -> None:
        self.taps = tuple(max(panel.taps[axis] for panel in members) for axis in range(3))
        self.held = sorted({held for panel in members for held in panel.held}, key=lambda h: (len(h), h))
        cells = list(itertools.product(*map(range, self.taps)))
        self.left: dict[tuple[int, tuple[int, ...]], int] = {}
        self.right: dict[tuple[int, tuple[int, ...]], int] = {}
        """Row of (A, a), and of (A, f); a and f as taps that are 0 on the other axes."""
        for n, held in enumerate(self.held):
            for tap in cells:
                self.left.setdefault((n, part(tap, held)), len(self.left))
                self.right.setdefault((n, rest(tap, held)), len(self.right))
        self.entries = [(n, tap) for n in range(len(self.held)) for tap in cells]


def part(tap: tuple[int, ...], held: Subset) -> tuple[int, ...]:
    """The tap on the axes of A."""
    return tuple(t if axis in held else 0 for axis, t in enumerate(tap))


def rest(tap: tuple[int, ...], held: Subset) -> tuple[int, ...]:
    """The tap on the other axes."""
    return tuple(0 if axis in held else t for axis, t in enumerate(tap))


class Bucket(nn.Module):
    """The tables of several panels: left vectors `[N, J, rows (A, a), channels]`, right ones `[N, J,
    channels, rows (A, f)]`. J is the number of vectors per reshape: 1, or 2 where weighted."""

    vectors: Tensor
    shares: Tensor
    diagonal: Tensor
    collapse: Tensor
    expand: Tensor
    assemble: Tensor
    sums: Tensor
    owner: Tensor
    split: Tensor
    floor: Tensor
    zero: Tensor

    def __init__(self, members: Sequence[Panel], count: int, dtype: torch.dtype) -> None:
        super().__init__()
        self.members = list(members)
        self.count = count
        layout = Layout(members)
        self.held = layout.held
        starts = list(itertools.accumulate((panel.batch for panel in members), initial=0))
        self.here = [slice(a, b) for a, b in itertools.pairwise(starts)]
        n, channels = starts[-1], (max(p.rows for p in members), max(p.cols for p in members))
        self.left, self.right = len(layout.left), len(layout.right)
        splits, entries = len(layout.held), layout.entries

        # From the products [B, J, left, C, Q] of all panels: where a is that of the row.
        total = sum(p.batch * count * self.left * p.cols * math.prod(p.taps) for p in members)
        diagonal = torch.full((n, count, channels[1], len(entries)), total)
        expand = []
        blank = n * count * channels[1] * self.right
        right = torch.arange(blank).view(n, count, channels[1], self.right)
        assemble = torch.full(
            (n, count, self.left, channels[0]), sum(p.batch * p.rows for p in members) * count * self.left
        )
        mean = torch.zeros(n, self.left + self.right, dtype=dtype)
        first = (0, 0)
        for panel, here in zip(members, self.here, strict=True):
            shape = (panel.batch, count, self.left, panel.cols, *panel.taps)
            product = torch.arange(first[0], first[0] + math.prod(shape)).view(shape)
            expanded = torch.full(shape, blank)
            for e, (split, tap) in enumerate(entries):
                held = layout.held[split]
                if held in panel.held and all(t < q for t, q in zip(tap, panel.taps, strict=True)):
                    row, column = layout.left[split, part(tap, held)], layout.right[split, rest(tap, held)]
                    cell: Index = (slice(None), slice(None), row, slice(None), *tap)
                    diagonal[here, :, : panel.cols, e] = product[cell]
                    expanded[cell] = right[here, :, : panel.cols, column]
                    inside = math.prod(panel.taps[axis] for axis in held)
                    mean[here, row] = 1 / inside
                    mean[here, self.left + column] = inside / math.prod(panel.taps)
            expand.append(expanded.flatten())
            size = panel.batch * count * self.left * panel.rows
            images = torch.arange(first[1], first[1] + size).view(panel.batch, count, self.left, panel.rows)
            assemble[here, :, :, : panel.rows] = images
            first = (first[0] + math.prod(shape), first[1] + size)
        collapse = torch.zeros(len(entries), self.right)
        for e, (split, tap) in enumerate(entries):
            collapse[e, layout.right[split, rest(tap, layout.held[split])]] = 1
        owner = torch.tensor([s for s, _ in layout.left] + [splits + s for s, _ in layout.right])
        constants = {
            "diagonal": diagonal,
            "collapse": collapse.to(dtype),
            "expand": torch.cat(expand),
            "assemble": assemble,
            "owner": owner,
            "split": owner % splits,
            "sums": nn.functional.one_hot(owner, 2 * splits).to(dtype),
            "floor": FLOOR * mean,
            "zero": torch.zeros(1, dtype=dtype),
        }
        for name, constant in constants.items():
            self.register_buffer(name, constant, persistent=False)
        self.register_buffer("vectors", torch.zeros(n, count, self.left, channels[0], dtype=dtype))
        if count > 1:
            self.register_buffer("shares", mean)

    def products(self, left: Tensor, matrices: list[Tensor]) -> Tensor:
        """Mᵀu for a table of left vectors, as a table of right ones."""
        found = [
            torch.bmm(left[here, ..., : panel.rows].flatten(1, 2), matrix).flatten()
            for panel, here, matrix in zip(self.members, self.here, matrices, strict=True)
        ]
        return pick([*found, self.zero], self.diagonal) @ self.collapse

    def images(self, right: list[Tensor], matrices: list[Tensor]) -> Tensor:
        """M v for expanded right vectors, as a table of left ones."""
        found = [torch.bmm(x, matrix.mT).flatten() for x, matrix in zip(right, matrices, strict=True)]
        return pick([*found, self.zero], self.assemble)

    def expanded(self, right: Tensor) -> list[Tensor]:
        """A table of right vectors, expanded: `[B, J·left, C·Q]` per panel."""
        shapes = [(p.batch, self.count * self.left, p.cols * math.prod(p.taps)) for p in self.members]
        parts = torch.split_with_sizes(
            pick([right.flatten(), self.zero], self.expand), [math.prod(shape) for shape in shapes]
        )
        return [part.view(shape) for part, shape in zip(parts, shapes, strict=True)]

    def step(self, matrices: list[Tensor], keep: bool) -> tuple[Tensor, Saved]:
        """One power step: (‖M v‖/‖v‖)² `[N, J, splits]`, and what the gradient needs."""
        left = self.vectors
        weighted = self.count > 1
        if weighted:
            # 0 for the rows that a layer has not: products with 1/TINY would leave f32.
            inverse = self.shares.clamp_min(TINY).reciprocal() * (self.shares > 0)
            outer, inner = inverse[:, None, : self.left, None], inverse[:, None, None, self.left :]
            left = left * outer
        right = self.products(left, matrices)
        if weighted:
            right = self.orthogonal(right, inner)
        sizes = torch.linalg.vector_norm(right, dim=2)
        if weighted:
            right = right * inner
        expanded = self.expanded(right)
        image = self.images(expanded, matrices)
        energy = torch.cat([torch.linalg.vector_norm(image, dim=3), sizes], 2).square()
        if weighted:
            energy = energy * inverse.unsqueeze(1)
        total = energy @ self.sums
        nonzero = total.clamp_min(TINY)
        splits = len(self.held)
        squares = total[..., :splits] / nonzero[..., splits:]
        inverse_norms = nonzero.rsqrt()
        if keep:
            # Where the weights are zero, the vectors stay as they are.
            new = image.add(self.vectors, alpha=TINY**0.5)
            lengths = inverse_norms[..., self.owner[: self.left]]
            self.vectors.copy_(new * lengths.unsqueeze(-1))
            if weighted:
                self.rebalance(energy / nonzero[..., self.owner], squares)
        saved = [image, inverse_norms, *expanded]
        return squares, [*saved, inverse] if weighted else saved

    def orthogonal(self, right: Tensor, inner: Tensor) -> Tensor:
        """Makes the second vectors orthogonal to the first, in the inner product with the weights β⁻¹."""
        first = right[:, :1]
        overlaps = (right * (first * inner)).sum(2) @ self.sums[self.left :]
        along = overlaps[:, 1:] / overlaps[:, :1].clamp_min(TINY)
        along = along[..., self.owner[self.left :]].unsqueeze(2)
        right[:, 1:].addcmul_(first, along, value=-1)
        return right

    def rebalance(self, energy: Tensor, squares: Tensor) -> None:
        """Moves the shares, geometrically, towards the taps' energies: where they meet, the bound is
        stationary in the weights. The best weights often make the two largest singular values equal, so both
        vectors count, the smaller one (σ₂/σ₁)¹⁶ times."""
        blend = torch.softmax(8 * squares.clamp_min(TINY).log(), 1)
        energy = (energy * blend[..., self.split]).sum(1) + self.floor
        moved = self.shares.pow(1 - PACE) * energy.pow(PACE)
        lengths = (moved @ self.sums).clamp_min(TINY)
        self.shares.copy_(moved / lengths[:, self.owner])

    def pull(self, saved: Saved, scale: Tensor) -> list[Tensor]:
        """`scale` (`[N, J, splits]`) times the gradients of the reshapes' norms, per panel as its
        matrices."""
        image, inverse_norms, *expanded = saved
        splits = len(self.held)
        scale = scale * inverse_norms[..., :splits] * inverse_norms[..., splits:]
        scale = scale[..., self.owner[: self.left]]
        if self.count > 1:
            scale = scale * expanded.pop()[:, None, : self.left]
        left = image * scale.unsqueeze(-1)
        return [
            torch.bmm(left[here, ..., : panel.rows].flatten(1, 2).mT, right)
            for panel, here, right in zip(self.members, self.here, expanded, strict=True)
        ]


def pick(parts: list[Tensor], index: Tensor) -> Tensor:
    """Entries of flat tensors, one after the other."""
    return torch.cat(parts).index_select(0, index.flatten()).view(index.shape)


class Reshapes(Engine):
    """Values of the four bounds, or of the weighted four."""

    limits: Tensor
    factor: Tensor

    def __init__(self, layers: Sequence[Layer], dtype: torch.dtype, seed: int, *, weighted: bool) -> None:
        super().__init__(layers, dtype, seed)
        self.weighted = weighted
        self.count = 2 if weighted else 1
        every = [panel for place, group in enumerate(self.groups) for panel in panels(place, group)]
        self.buckets = nn.ModuleList()
        entries: dict[tuple[int, int], list[int]] = {}
        total = 0
        for members in share(every, padded, lambda panel: panel.rows + panel.cols):
            bucket = Bucket(members, self.count, self.dtype)
            self.buckets.append(bucket)
            for panel, here in zip(members, bucket.here, strict=True):
                for b in range(panel.batch):
                    row = total + (here.start + b) * len(bucket.held)
                    columns = [row + bucket.held.index(held) for held in panel.held]
                    entries.setdefault((panel.group, b), []).extend(columns)
            total += len(bucket.vectors) * len(bucket.held)
        per_layer: list[list[list[int]]] = [[] for _ in layers]
        factor = torch.ones(len(layers), dtype=self.dtype)
        for place, group in enumerate(self.groups):
            g = group.lattice.groups
            for n, layer in enumerate(group.layers):
                per_layer[layer] = [entries[place, n * g + b] for b in range(g)]
                if not weighted:
                    factor[layer] = math.sqrt(math.prod(group.lattice.taps))
        self.register_buffer("table", table_of(per_layer, total), persistent=False)
        limits = torch.tensor([math.inf, -math.inf], dtype=self.dtype)
        self.register_buffer("limits", limits, persistent=False)
        self.register_buffer("factor", factor, persistent=False)

    def start(self) -> None:
        """As the base class says."""
        for bucket in self.each():
            bucket.vectors.zero_()
            layout = Layout(bucket.members)
            for panel, here in zip(bucket.members, bucket.here, strict=True):
                for split, held in enumerate(bucket.held):
                    if held not in panel.held:
                        continue
                    rows = [
                        row
                        for (s, tap), row in layout.left.items()
                        if s == split and all(t < q for t, q in zip(tap, panel.taps, strict=True))
                    ]
                    size = (self.count, len(rows), panel.rows)
                    name = f"reshape {held} {panel.flipped}"
                    vectors = self.random(self.groups[panel.group], name, size).to(bucket.vectors)
                    vectors /= torch.linalg.vector_norm(vectors, dim=(2, 3), keepdim=True)
                    bucket.vectors[here, :, rows, : panel.rows] = vectors
            if self.weighted:
                bucket.shares.copy_(bucket.floor / FLOOR)

    def each(self) -> Iterable[Bucket]:
        """The buckets."""
        return (bucket for bucket in self.buckets if isinstance(bucket, Bucket))

    def step(self, kernels: list[Tensor], keep: bool) -> tuple[Tensor, Saved]:
        """As the base class says."""
        squares, saved = [], []
        for bucket in self.each():
            matrices = [panel.matrix(kernels[panel.group]) for panel in bucket.members]
            values, kept = bucket.step(matrices, keep)
            squares.append(values)
            saved += kept
        best = [values.max(1) for values in squares]
        every = torch.cat([*(values.flatten() for values, _ in best), self.limits])
        value, entry = decisive(every[self.table], min_of_max=not self.weighted)
        return value.sqrt() * self.factor, [entry, *(which for _, which in best), *saved]

    def pull(self, saved: Saved, scale: Tensor) -> list[Tensor]:
        """As the base class says."""
        entry, *saved = saved
        each = list(self.each())
        which, saved = saved[: len(each)], saved[len(each) :]
        place = self.table.flatten(1).gather(1, entry.unsqueeze(1)).squeeze(1)
        sizes = [values.numel() for values in which]
        scales = scale.new_zeros(sum(sizes), dtype=self.dtype)
        scales.scatter_(0, place, scale.to(self.dtype) * self.factor)
        gradients: list[list[Tensor]] = [[] for _ in self.groups]
        for bucket, winner, part in zip(each, which, torch.split_with_sizes(scales, sizes), strict=True):
            scale = part.view(winner.shape).unsqueeze(1)
            if self.weighted:
                pair = torch.arange(2, device=winner.device).view(1, -1, 1)
                scale = scale * (winner.unsqueeze(1) == pair)
            size = 2 + len(bucket.members) + (self.count - 1)
            kept, saved = saved[:size], saved[size:]
            for panel, matrix in zip(bucket.members, bucket.pull(kept, scale), strict=True):
                gradients[panel.group].append(panel.kernel(matrix, self.groups[panel.group].shape))
        return [sum(more, first) for first, *more in gradients]


def padded(members: Sequence[Panel]) -> int:
    """Numbers of the expanded vectors in the tables that these panels would share."""
    layout = Layout(members)
    channels = max(p.rows for p in members) + max(p.cols for p in members)
    return sum(p.batch for p in members) * len(layout.left) * channels
