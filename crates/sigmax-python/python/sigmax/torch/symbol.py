"""The norm itself, from below: ‖F(θ)‖ at a frequency that follows the peak of the symbol (T13).

F(θ) = Σ_t K_t·exp(i⟨o_t, θ⟩) with o_t the tap's offset from the centre. A unit pair (u, v) makes of it the
function g(θ) = Re⟨u, F(θ)v⟩ = Re Σ_t q_t·exp(i⟨o_t, θ⟩), nowhere above ‖F(θ)‖. A step is a power step at θ
and one move uphill on g. Complex numbers are kept as pairs of real ones, because modules are cast between
real types.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sigmax.torch.engine import Engine, Saved, decisive, share, table_of
from sigmax.torch.lattice import Group
from sigmax.torch.layers import Layer

TINY = 1e-30
SCAN_STEPS = 5
"""Power steps per point of the coarse search."""
CANDIDATES = 5
CANDIDATE_STEPS = 8
"""Peaks of the coarse search that are followed up, and the steps of each."""
SCAN_BLOCK = 2**21
"""Most numbers of a block of symbols in the coarse search."""
LONGEST = 0.5
"""Longest Newton step along an axis, in radians."""


@dataclass(frozen=True)
class Rows:
    """The kernels of a group, in the rows `first` … of their bucket's table."""

    group: int
    batch: int
    rows: int
    cols: int
    taps: tuple[int, ...]
    """On three axes."""
    first: int

    @property
    def here(self) -> slice:
        """The rows."""
        return slice(self.first, self.first + self.batch)

    @property
    def offsets(self) -> Tensor:
        """`[taps, 3]`: t − d."""
        return torch.tensor(
            [
                [t - (k - 1) / 2 for t, k in zip(tap, self.taps, strict=True)]
                for tap in itertools.product(*map(range, self.taps))
            ]
        )

    def grid(self) -> tuple[Tensor, Tensor]:
        """Half of the torus, coarsely, `[P, 3]`: F(−θ) is the conjugate of F(θ). And which points are
        neighbours, `[P, P]`."""
        counts = [1 if k == 1 else max(8, 4 * (k - 1)) for k in self.taps]
        points = [
            point
            for point in itertools.product(*map(range, counts))
            if point <= tuple(-i % n for i, n in zip(point, counts, strict=True))
        ]
        index, size = torch.tensor(points), torch.tensor(counts)
        apart = (index.unsqueeze(0) - index.unsqueeze(1)) % size
        near = torch.minimum(apart, size - apart).sum(-1) <= 1
        return index * (2 * math.pi / size), near


class Bucket(nn.Module):
    """State and constants of the kernels that share a table of N rows."""

    theta: Tensor
    vectors: Tensor
    moments: Tensor
    idle: Tensor
    slopes: Tensor
    square: Tensor
    to_table: Tensor
    conjugate: Tensor
    favour: Tensor
    still: Tensor
    zero: Tensor

    def __init__(self, members: Sequence[Rows], dtype: torch.dtype) -> None:
        super().__init__()
        self.members = list(members)
        n = sum(member.batch for member in members)
        self.channels = max(max(member.rows, member.cols) for member in members)
        self.taps = max(math.prod(member.taps) for member in members)
        offsets = torch.zeros(n, self.taps, 3)
        idle = torch.zeros(n, 4, 10)
        # Left vectors, right vectors and q of all groups, in the order of the members; then a zero.
        parts: list[list[int]] = [[], [], []]
        widths = (self.channels, self.channels, self.taps)
        for member in members:
            offsets[member.here, : math.prod(member.taps)] = member.offsets
            for axis in range(3):
                if member.offsets[:, axis].abs().max() == 0:
                    for turned in range(3):
                        idle[member.here, 1 + axis, 1 + 3 * turned + (axis - turned) % 3] = 1
            for part, length in enumerate((member.rows, member.cols, math.prod(member.taps))):
                parts[part].append(length)
        total = sum(m.batch * (m.rows + m.cols + math.prod(m.taps)) for m in members)
        table, at = [], 0
        for some, width in zip(parts, widths, strict=True):
            places = torch.full((n, width), total)
            for member, length in zip(members, some, strict=True):
                count = member.batch * length
                places[member.here, :length] = torch.arange(at, at + count).view(-1, length)
                at += count
            table.append(places)
        one = torch.ones(n, self.taps, 1)
        constants = {
            "moments": torch.cat([one, offsets, offsets.roll(-1, 2), offsets.roll(-2, 2)], 2),
            "idle": idle,
            "slopes": -offsets.mT.contiguous(),
            "square": offsets.square().sum(2).unsqueeze(1),
            # At a peak all trials are equal but for rounding, and Newton's is the accurate one.
            "favour": 1 + torch.tensor([0.0, 4.0, 0.0], dtype=dtype) * torch.finfo(dtype).eps,
            "conjugate": torch.tensor([1.0, -1.0]),
            "still": torch.zeros(n, 1, 3),
            "zero": torch.zeros(1, 2),
        }
        for turns in (2, 3):
            shift = torch.arange(turns) * (-math.pi / 2)
            constants[f"shift{turns}"] = shift.repeat(self.taps).view(1, 1, -1)
            constants[f"waves{turns}"] = offsets.repeat_interleave(turns, 1).mT.contiguous()
        for name, constant in constants.items():
            self.register_buffer(name, constant.to(dtype), persistent=False)
        self.register_buffer("to_table", torch.cat(table, 1), persistent=False)
        self.register_buffer("theta", torch.zeros(n, 1, 3, dtype=dtype))
        columns = max(member.cols for member in members)
        self.register_buffer("vectors", torch.zeros(n, columns, 2, dtype=dtype))

    def phases(self, theta: Tensor, turns: int) -> Tensor:
        """cos φ and sin φ, and −cos φ for three `turns`, of φ = ⟨o, θ⟩: `[N, m, taps, turns]` for m
        frequencies per row. They are cosines of φ less so many quarters of a turn."""
        shift, waves = getattr(self, f"shift{turns}"), getattr(self, f"waves{turns}")
        angles = torch.baddbmm(shift, theta, waves)
        return angles.cos().view(*angles.shape[:2], self.taps, turns)

    def step(
        self, kernels: list[Tensor], theta: Tensor, vectors: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Saved]:
        """A power step and an ascent: g, θ and v afterwards, and what the gradient needs."""
        waves = self.phases(theta, 3)
        v = torch.view_as_complex(vectors)
        lefts, rights, profiles, pairs = [], [], [], []
        for member, kernel in zip(self.members, kernels, strict=True):
            k = kernel.view(member.batch, member.rows * member.cols, -1)
            w = waves[member.here, 0, : k.shape[2], :2]
            symbol = torch.view_as_complex(torch.bmm(k, w))
            symbol = symbol.view(member.batch, member.rows, member.cols)
            left = torch.bmm(symbol, v[member.here, : member.cols].unsqueeze(2))
            right = torch.bmm(left.mH, symbol)  # the conjugate of F*u
            pair = torch.view_as_real(torch.bmm(left, right).flatten(1))
            profiles.append(torch.view_as_complex(torch.bmm(k.mT, pair)).flatten())
            lefts.append(left.flatten())
            rights.append(right.flatten())
            pairs.append(pair)
        zero = torch.view_as_complex(self.zero)
        table = torch.cat([*lefts, *rights, *profiles, zero])[self.to_table]
        both = table[:, : 2 * self.channels].view(-1, 2, self.channels)
        norms = torch.linalg.vector_norm(both, dim=2)
        scale = norms.prod(1, keepdim=True).clamp_min(TINY).unsqueeze(2)
        # The conjugates of the q: Re(q·exp(iφ)) = Re(q̄)·cos φ + Im(q̄)·sin φ.
        q = torch.view_as_real(table[:, 2 * self.channels :]) / scale
        value, theta = self.climb(theta, waves, q)
        unit = self.conjugate / norms[:, 1:].clamp_min(TINY)
        new = torch.view_as_real(both[:, 1, : vectors.shape[1]]) * unit.unsqueeze(1)
        new = new.add(vectors, alpha=TINY)
        return value, theta, new, [theta, scale, *pairs]

    def climb(self, theta: Tensor, waves: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
        """The best of: θ, a Newton step, and a gradient step so short that it cannot lose. Never below where
        it was."""
        # Re and Im of q·exp(iφ): the waves from the first on, and from the second on.
        z = (waves[:, 0].unfold(2, 2, 1) * q.unsqueeze(2)).sum(3)
        # The value, and the negative Hessian with its columns also turned by one and by two axes.
        hessian = torch.baddbmm(self.idle, (self.moments[..., :4] * z[..., :1]).mT, self.moments)
        columns = hessian[:, 1:, 1:].view(-1, 3, 3, 3)
        gradient = torch.bmm(self.slopes, z[..., 1:])
        adjugate = torch.linalg.cross(columns[:, :, 1], columns[:, :, 2], dim=1)
        determinant = (columns[:, :, 0, :1] * adjugate[:, :, :1]).sum(1, keepdim=True)
        newton = torch.bmm(adjugate.mT, gradient) / determinant.clamp_min(TINY)
        newton = newton.clamp(-LONGEST, LONGEST)
        # |∂²g| ≤ Σ|q|·|o|².
        curvature = torch.bmm(self.square, torch.linalg.vector_norm(q, dim=2, keepdim=True))
        short = gradient / curvature.clamp_min(TINY)
        trials = theta + torch.cat([self.still, newton.mT, short.mT], 1)
        values = torch.bmm(self.phases(trials, 2).flatten(2), q.flatten(1).unsqueeze(2)).squeeze(2)
        value, which = (values * self.favour).max(1)
        return value, trials.gather(1, which.view(-1, 1, 1).expand(-1, 1, 3))

    def pull(self, saved: Saved, scale: Tensor) -> list[Tensor]:
        """`scale` (`[N]`) times the gradients of the rows' values, `[B, R·C, taps]` per group."""
        theta, norms, *pairs = saved
        waves = self.phases(theta, 2)[:, 0] * (scale.view(-1, 1, 1) / norms)
        return [
            torch.bmm(pair, waves[member.here, : math.prod(member.taps)].mT)
            for member, pair in zip(self.members, pairs, strict=True)
        ]


class Symbol(Engine):
    """The tracked norm."""

    limits: Tensor

    def __init__(self, layers: Sequence[Layer], dtype: torch.dtype, seed: int) -> None:
        super().__init__(layers, dtype, seed)
        self.buckets = nn.ModuleList()
        per_layer: list[list[list[int]]] = [[] for _ in layers]
        total = 0
        for table in share(self.groups, padded, lambda group: max(group.shape[1:3])):
            members, first = [], 0
            for group in table:
                place = self.groups.index(group)
                lattice = group.lattice
                size = (group.batch, lattice.rows, lattice.cols, lattice.lifted)
                members.append(Rows(place, *size, first))
                g = lattice.groups
                for n, layer in enumerate(group.layers):
                    per_layer[layer] = [[total + first + n * g + b] for b in range(g)]
                first += group.batch
            self.buckets.append(Bucket(members, self.dtype))
            total += first
        self.register_buffer("table", table_of(per_layer, total), persistent=False)
        limits = torch.tensor([math.inf, -math.inf], dtype=self.dtype)
        self.register_buffer("limits", limits, persistent=False)

    def each(self) -> Iterable[Bucket]:
        """The buckets."""
        return (bucket for bucket in self.buckets if isinstance(bucket, Bucket))

    def start(self) -> None:
        """As the base class says."""
        for bucket in self.each():
            bucket.theta.zero_()
            for member in bucket.members:
                vectors = self.random(self.groups[member.group], "symbol", (member.cols, 2))
                norms = torch.linalg.vector_norm(vectors, dim=(1, 2), keepdim=True)
                bucket.vectors[member.here, : member.cols] = vectors / norms

    def step(self, kernels: list[Tensor], keep: bool) -> tuple[Tensor, Saved]:
        """As the base class says."""
        values, saved = [], []
        for bucket in self.each():
            mine = [kernels[member.group] for member in bucket.members]
            value, theta, vectors, kept = bucket.step(mine, bucket.theta, bucket.vectors)
            if keep:
                bucket.theta.copy_(theta.remainder(4 * math.pi))  # the period with half-integer offsets
                bucket.vectors.copy_(vectors)
            values.append(value)
            saved += kept
        table = torch.cat([*values, self.limits])[self.table]
        value, entry = decisive(table, min_of_max=False)
        return value, [entry, *saved]

    def pull(self, saved: Saved, scale: Tensor) -> list[Tensor]:
        """As the base class says."""
        entry, *saved = saved
        row = self.table.flatten(1).gather(1, entry.unsqueeze(1)).squeeze(1)
        sizes = [len(bucket.theta) for bucket in self.each()]
        scales = scale.new_zeros(sum(sizes), dtype=self.dtype)
        scales.scatter_(0, row, scale.to(self.dtype))
        parts = iter(torch.split_with_sizes(scales, sizes))
        gradients: dict[int, Tensor] = {}
        for bucket in self.each():
            size = 2 + len(bucket.members)
            kept, saved = saved[:size], saved[size:]
            for member, gradient in zip(bucket.members, bucket.pull(kept, next(parts)), strict=True):
                gradients[member.group] = gradient.view(self.groups[member.group].shape)
        return [gradients[place] for place in range(len(self.groups))]

    def rescan(self, kernels: list[Tensor]) -> None:
        """Searches the whole torus coarsely, follows up the best peaks, and moves the state to one of them
        where it is higher than what is tracked."""
        for bucket in self.each():
            mine = [kernels[member.group] for member in bucket.members]
            best, theta, vectors, _ = bucket.step(mine, bucket.theta, bucket.vectors)
            scans = [scan(member, kernel) for member, kernel in zip(bucket.members, mine, strict=True)]
            for _ in range(CANDIDATES):
                trial_theta, trial = torch.zeros_like(theta), torch.zeros_like(vectors)
                for member, (grid, near, found) in zip(bucket.members, scans, strict=True):
                    peak = found.argmax(1)
                    found.masked_fill_(near[peak], -math.inf)
                    trial_theta[member.here, 0] = grid[peak]
                    trial[member.here, : member.cols] = scan_vector(member, found)
                value = torch.zeros_like(best)
                for _ in range(CANDIDATE_STEPS):
                    value, trial_theta, trial, _ = bucket.step(mine, trial_theta, trial)
                better = value > best
                best = torch.where(better, value, best)
                theta = torch.where(better.view(-1, 1, 1), trial_theta, theta)
                vectors = torch.where(better.view(-1, 1, 1), trial, vectors)
            bucket.theta.copy_(theta)
            bucket.vectors.copy_(vectors)


def scan_vector(member: Rows, like: Tensor) -> Tensor:
    """`[C, 2]`, the same for every kernel: fractional parts of multiples of the golden ratio, no structure
    that a kernel would have."""
    steps = torch.arange(1, 2 * member.cols + 1, device=like.device, dtype=torch.float64)
    vector = (steps * 0.6180339887498949).frac() - 0.5
    unit: Tensor = vector / torch.linalg.vector_norm(vector)
    return unit.view(-1, 2).to(like.dtype)


def scan(member: Rows, kernel: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The grid, its neighbours, and ‖F‖² estimated at every point, `[B, P]`."""
    grid, near = member.grid()
    k = kernel.view(member.batch, member.rows * member.cols, -1)
    angles = member.offsets @ grid.mT
    waves = torch.stack([angles.cos(), angles.sin()], 2).to(k)  # [taps, P, 2]
    start = torch.view_as_complex(scan_vector(member, k)).view(1, -1, 1)
    block = max(1, SCAN_BLOCK // (2 * k.shape[0] * k.shape[1]))
    found = []
    for at in range(0, waves.shape[1], block):
        some = waves[:, at : at + block]
        points = some.shape[1]
        symbols = (k @ some.flatten(1)).view(member.batch, -1, points, 2).transpose(1, 2)
        symbol = torch.view_as_complex(symbols.contiguous()).view(-1, member.rows, member.cols)
        v = start.expand(len(symbol), -1, -1)
        norms = v.real
        for _ in range(SCAN_STEPS):
            v = torch.bmm(symbol.mH, torch.bmm(symbol, v))
            norms = torch.linalg.vector_norm(v, dim=1, keepdim=True)
            v = v / norms.clamp_min(TINY)
        found.append(norms.view(member.batch, points))
    return grid.to(k), near.to(k.device), torch.cat(found, 1)


def padded(members: Sequence[Group]) -> int:
    """Numbers of the table that these groups would share."""
    widest = max(max(group.shape[1:3]) for group in members)
    taps = max(math.prod(group.shape[3:]) for group in members)
    return sum(group.batch for group in members) * (2 * widest + taps)
