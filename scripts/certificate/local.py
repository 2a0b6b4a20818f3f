"""Radii by bounds around an image (T38): the ball and the box of every node in one Lagrangian.

For node i, xhat its exact value at the image (values.py) rounded to float64, and d the difference of its value at an
input within the radius and xhat: |d|_2 <= ball, low <= d <= high. A linear function of the logits goes back node by node,
and at a node that bends

    sum c (sigma(xhat + t) - yhat) >= <g, t> - lambda/2 ball^2 + sum min over [low, high] of c (sigma(xhat + t) - yhat) - g t + lambda/2 t^2

holds for ALL g and lambda >= 0. So neither is confirmed: g follows from the slopes that are stated, or from the rule
of T38, and the multipliers lambda from fixed-point steps that end after a stated number of tries; what they prove counts.

Rounding. A computed number that is the result of at most 40 operations is off by at most ROOM of the sum of the magnitudes
that went in (`rounded(1)` each), and TINY for what underflows. Sums have `rounded(n)` besides. Of the minimum of a
parabola a + b t + d/2 t^2 on a piece, `size` adds up the magnitudes; every monomial has at most five products, so all of it
and the sum over n functions is off by at most 8 rounded(n) sum(size). A vertex that is off by a relative r costs
r^2 d/2 t^2, far less. What is NaN or infinite proves nothing: no comparison with NaN is true.
"""
import math, re

import numpy as np
from mpmath import mp, mpf

from certificate.common import NotCovered, U, items, need, record, whole
from certificate.second_order import CURVED, DIGITS, TINY, rounded
from certificate.values import P, SMOOTH, picked, windows

ROOM = 2.0**-38
SLOPES = "rival node steps"
RULE, MOST = 63, 62  # the steps that stand for the rule, and for the largest slope
TRIES, CAREFUL = (6, 0.05), (16, 0.005)  # multipliers that are tried, and how near t of the last one is to the ball
PASS = 2**21  # numbers in the rows of a pass back
PAIRS = ("maximum", "minimum")
LINES, AFFINE = ("Relu", "Abs", "LeakyRelu"), ("convolution", "dense", "affine", "pick", "separable", "sum", "concatenation")
floats = np.frompyfunc(lambda v: float(mp.ldexp(mpf(v), -P)), 1, 1)


def share(n):
    """`rounded` as a float64, from above."""
    return float(rounded(n)) * (1 + ROOM)


def up(v):
    return v * (1 + ROOM) + TINY


def norms(rows):
    """The l2 norm of every row, from above."""
    n = rows.shape[-1]
    return up(np.sqrt((rows * rows).sum(-1)) * (1 + share(n))) + math.sqrt(n * TINY)


def less(a, b):
    """a - b, from below."""
    return a - b - ROOM * (np.abs(a) + np.abs(b)) - TINY


# Functions of one variable around a value. Eight arrays [pieces, functions] for what sigma(xhat + t) - yhat is for
# start <= t <= end: value + slope (t - at) + kappa/2 (t - at)^2 with low <= kappa <= high, off by at most `error`.

def lines(x, y, low, high, left, right=1.0, kink=0.0):
    """max or min of two lines through 0 at `kink`; and which of these functions are no straight line."""
    bend = kink - x
    bent = (low < bend) & (bend < high) & (left != right)
    only = np.where(bend >= high, left, right)
    slope = np.array([np.where(bent, left, only), np.where(bent, right, only)])
    start = np.array([low, np.where(bent, bend, low)])
    end = np.array([np.where(bent, bend, high), high])
    exact = (kink == 0) & np.isin(slope, (-1.0, 0.0, 1.0)) & ((y == 0) | (np.abs(y) == np.abs(x)))
    size = (1 + np.abs(slope).max(0)) * (np.abs(x) + np.abs(kink) + np.abs(low) + np.abs(high)) + np.abs(y)
    zero = np.zeros_like(slope)
    return np.array([start, end, zero, slope * (x - kink) - y, slope, zero, zero, np.where(exact, 0, up(8 * ROOM * size))]), bent


def smooth(x, y, low, high, op, count=4):
    """Taylor's formula at the middle of every piece."""
    derivative, (least, most) = CURVED[op]
    ends = low + np.linspace(0, 1, count + 1)[:, None] * (high - low)
    ends[0], ends[-1] = low, high
    start, end = ends[:-1], np.maximum(ends[:-1], ends[1:])
    point = x + (0.5 * start + 0.5 * end)
    def at(f):
        with mp.workprec(100):  # far below the rounding to float64
            return np.array([[float(f(mpf(float(v)))) for v in row] for row in point])
    need(np.isfinite(point).all(), "a value that is too large", NotCovered)
    value, slope = at(SMOOTH[op]), at(derivative)
    off = 4 * U * (np.abs(point) + np.abs(x))  # of x + (point - x) from the point
    reach, curved = up(end - start) + off, max(most, -least)
    # Values and slopes are rounded once, and no slope is above 1.
    error = up((1 + curved * reach) * off + 2 * U * reach + 4 * U * (np.abs(value) + np.abs(y))) + (1 + reach) * TINY
    full = np.ones_like(value)
    return np.array([start, end, point - x, value - y, slope, least * full, most * full, error]), np.full(x.shape, True)


def near(pieces, t):
    """About the values at t."""
    start, end, at, value, slope, low, high, _ = pieces
    found = None
    for k in reversed(range(len(start))):
        s = t - at[k]
        here = value[k] + s * (slope[k] + 0.25 * (low[k] + high[k]) * s)
        found = here if found is None else np.where(end[k] >= t, here, found)
    return found


def ranges(pieces):
    """The least and the largest value, outwards."""
    start, end, at, value, slope, low, high, error = pieces
    reach = np.maximum(np.abs(start - at), np.abs(end - at))
    ends = np.array([slope * (start - at), slope * (end - at)])
    square = 0.5 * reach * reach
    off = up(error + ROOM * (np.abs(value) + np.abs(slope) * reach + square * np.maximum(np.abs(low), np.abs(high))))
    return ((value + ends.min(0) + square * np.minimum(low, 0) - off).min(0),
            (value + ends.max(0) + square * np.maximum(high, 0) + off).max(0))


def rule(pieces, c, steps):
    """The slopes of the linear functions that stand for coefficients [rows, functions] times the functions, for a
    multiplier: where the product is convex as stated, or the slope at the image, and where it is concave the chord."""
    start, end, at, value, slope, low, high, _ = pieces
    turn = slope[-1] - slope[0]
    middle = slope[-1]
    for k in reversed(range(len(start))):
        middle = np.where(end[k] >= 0, slope[k], middle)
    open_ = np.broadcast_to(middle, c.shape)
    if steps is not None:
        curved = 0.5 * (low + high)
        ends = np.concatenate([slope + curved * (start - at), slope + curved * (end - at)])
        least, most = ends.min(0), ends.max(0)
        open_ = np.where(steps < RULE, least + steps / MOST * (most - least), open_)
    def slopes(multiplier):
        width = np.where(multiplier > 0, 0.5 * np.abs(c * turn) / multiplier, np.inf)
        left, right = np.maximum(start[0], -width), np.minimum(end[-1], width)
        chord = (near(pieces, right) - near(pieces, left)) / (right - left)
        return np.where(c * turn > 0, open_, np.where(right > left, chord, middle))
    return slopes, c * turn


def search(pieces, c, ball, slopes, first, care):
    """For every row g and k so that sum c f(t) >= <g, t> + k in ball and box, the best of the multipliers that are tried."""
    start, end, at, value, slope, low, high, error = pieces[:, :, None]
    n, (tries, close) = c.shape[1], care
    curved = np.where(c > 0, c * low, c * high)
    a = c * value - np.abs(c) * error - c * slope * at + 0.5 * curved * at * at
    b = c * slope - curved * at
    far = np.maximum(np.abs(start), np.abs(end)) + np.abs(at)
    fixed = np.abs(c) * (np.abs(value) + error) + far * (np.abs(c * slope) + far * np.abs(curved))
    most = far.max(0)
    best, chosen, multiplier = np.full(len(c), -np.inf), np.zeros_like(c), first
    for _ in range(tries):
        lam = multiplier[:, None]
        g = c * slopes(lam)
        inner, d = b - g, curved + lam
        t = np.where(d > 0, np.clip(-inner / np.where(d > 0, d, 1), start, end), start)
        found = a + t * (inner + 0.5 * d * t)
        if not (d > 0).all():
            other = np.where(d > 0, t, end)
            at_end = a + other * (inner + 0.5 * d * other)
            t, found = np.where(at_end < found, other, t), np.fmin(found, at_end) + 0 * at_end
        place = found.argmin(0)[None]  # a NaN is the least
        least, t = (np.take_along_axis(v, place, 0)[0] for v in (found, t))
        size = fixed.max(0) + most * (np.abs(g) + most * lam)
        paid = up(up(ball * ball) * multiplier) * 0.5
        k = less(least.sum(1) - 8 * share(n) * size.sum(1), paid) - 4 * share(n) * size.sum(1) - (n + 1) * TINY * (1 + ball) * (1 + ball)
        better = k > best
        best, chosen = np.where(better, k, best), np.where(better[:, None], g, chosen)
        ratio = np.sqrt((np.where(c == 0, 0, t)**2).sum(1)) / ball
        if not (np.abs(ratio - 1) > close).any() or not multiplier.any() and (ratio <= 1).all():
            break
        multiplier = multiplier * ratio
        multiplier = np.where((multiplier > 0) & np.isfinite(multiplier), multiplier, 0)
    return chosen, best


def bend(pieces, bent, c, ball, steps, care):
    """As `search`, for functions of which some are straight lines."""
    g, n = np.zeros_like(c), c.shape[1]
    _, _, _, value, slope, _, _, error = pieces[:, 0]
    flat, size = ~bent, np.abs(c) * (np.abs(value) + error)
    g[:, flat] = c[:, flat] * slope[flat]
    k = (c * value - np.abs(c) * error)[:, flat].sum(1) - 8 * share(n) * size[:, flat].sum(1) - (n + 1) * TINY * (1 + ball) * (1 + ball)
    inexact = flat & ~np.isin(slope, (-1.0, 0.0, 1.0))
    if inexact.any():
        k = less(k, up(ROOM * norms(g[:, inexact])) * ball)
    if bent.any():
        slopes, turns = rule(pieces[:, :, bent], c[:, bent], None if steps is None else steps[:, bent])
        first = 0.25 * np.sqrt((turns**2).sum(1)) / ball if ball > 0 else np.zeros(len(c))
        g[:, bent], more = search(pieces[:, :, bent], c[:, bent], ball, slopes, first, care)
        k = less(k, -more)
    return g, k


class Pool:
    """Max-pooling, with the ReLU before it, as functions of one entry each: the largest entry of every window, and, where
    others may be the largest, of all that may max(x - theta, 0)."""

    def __init__(self, under, floor, x, low, high):
        self.count, bottom = len(under), 0.0 if floor else -np.inf
        there = under >= 0
        def of(values):
            return np.where(there, values[under], -np.inf)
        value = of(x)
        self.winner = under[np.arange(self.count), value.argmax(1)]
        top = np.maximum(value.max(1), bottom)
        surely = np.maximum(of(x + low).max(1), bottom)[:, None]
        size = 4 * U * (np.abs(surely) + np.abs(value) + np.abs(of(high)))
        may = there & ~(of(x + high) + size < surely)
        others = may & (under != self.winner[:, None])
        self.undecided = others.any(1)
        second = np.maximum(np.where(others, value, -np.inf).max(1), bottom)
        theta = np.where(self.undecided, 0.5 * (top + second), 0.0)
        self.above = np.where(self.undecided, theta - top + ROOM * (np.abs(theta) + np.abs(top)), 0.0)
        window, place = np.nonzero(may & self.undecided[:, None])
        self.entry = np.concatenate([self.winner, under[window, place]])
        self.window = np.concatenate([np.arange(self.count), window])
        self.floor, self.under = floor, under
        self.held = int(np.bincount(under[there]).max())
        x, low, high, first = x[self.entry], low[self.entry], high[self.entry], np.arange(len(self.entry)) < self.count
        y = np.where(first, np.maximum(x, bottom), 0.0)
        left = np.where(first & (not floor), 1.0, 0.0)
        self.pieces, self.bent = lines(x, y, low, high, left, kink=np.where(first, 0.0, theta[self.window]))

    def ranges(self, x, y, low, high):
        there, bottom = self.under >= 0, 0.0 if self.floor else -np.inf
        def side(of):
            return np.maximum(np.where(there, (x + of)[self.under], -np.inf).max(1), bottom) - y
        size = np.where(there, (np.abs(x) + np.maximum(np.abs(low), np.abs(high)))[self.under], 0).max(1) + np.abs(y)
        return side(low) - ROOM * size - TINY, side(high) + ROOM * size + TINY

    def open(self, n):
        """Which of n entries are not decided."""
        found = np.full(n, False)
        found[self.entry[self.bent]] = found[self.entry[self.count:]] = True
        return found

    def bend(self, c, ball, steps, care, n):
        terms = np.flatnonzero(c.any(0)[self.window])
        window, first = self.window[terms], terms < self.count
        of = c[:, window]
        of = np.where(first, np.where(self.undecided[window], np.maximum(of, 0), of), np.minimum(of, 0))
        many = up(math.sqrt(self.held)) * ball
        slopes, k = bend(self.pieces[:, :, terms], self.bent[terms], of, many, None if steps is None else steps[:, terms], care)
        # theta - value once for every window whose coefficient is below 0.
        fixed = np.minimum(c, 0) * self.above
        k = less(k, -fixed.sum(1)) - 8 * share(c.shape[1]) * np.abs(fixed).sum(1)
        out = np.zeros((n, len(c)))
        np.add.at(out, self.entry[terms], slopes.T)
        return out.T, less(k, up(2 * ROOM * (self.held + 1) * norms(slopes)) * ball)


class Pair:
    """max(a, b) = b + max(v, 0) or min(a, b) = a - max(v, 0) with v = a - b, which goes from `low` to `high` around the image."""

    def __init__(self, op, v, low, high, ball):
        self.sign, self.beside = (1.0, 1) if op == "maximum" else (-1.0, 0)
        self.pieces, self.bent = lines(v, np.maximum(v, 0), low, high, 0.0)
        size = float(norms(np.maximum(np.abs(low), np.abs(high))))
        self.ball = size if size < ball else ball
        self.off = up(4 * U * float(norms(v)))  # v is rounded, and max(v, 0) changes by as much, at the image and elsewhere

    def ranges(self, y, x, low, high):
        """Of x = (a, b) and of their boxes."""
        size = np.abs([y, *x, *low, *high]).sum(0)
        pick = np.maximum if self.sign > 0 else np.minimum
        return pick(x[0] + low[0], x[1] + low[1]) - y - ROOM * size - TINY, pick(x[0] + high[0], x[1] + high[1]) - y + ROOM * size + TINY

    def bend(self, c, steps, care):
        """What a and b receive, and what is left."""
        some = np.flatnonzero(c.any(0))
        g = np.zeros_like(c)
        g[:, some], k = bend(self.pieces[:, :, some], self.bent[some], self.sign * c[:, some], self.ball,
                             None if steps is None else steps[:, some], care)
        parts = [g, -g]
        parts[self.beside] = c + parts[self.beside]
        return parts, less(k, up(norms(c) * self.off))


class Prepared:
    """What bounds around images need of a network, whatever the image."""

    def __init__(self, nodes, logits):
        self.nodes, self.logits, self.used = nodes, logits, {logits}
        for i in range(logits, 0, -1):
            self.used |= set(nodes[i].inputs) if i in self.used else set()
        self.read, self.behind, self.wanted, self.under, self.lengths, self.lost, self.factor = [], [], set(), {}, {}, {}, {}
        for i, node in enumerate(nodes[:logits + 1]):
            curved = i > 0 and node.op not in AFFINE
            self.behind.append(curved or any(self.behind[j] for j in node.inputs))
            self.read.append(node.inputs[0] if i else 0)
            if i in self.used and curved and (node.op in LINES or node.op in CURVED or node.op == "max-pool"):
                self.wanted |= {j for j in node.inputs if nodes[j].op in AFFINE}
            if node.op == "max-pool" and nodes[node.inputs[0]].op == "Relu":
                self.read[i] = nodes[node.inputs[0]].inputs[0]
            self.prepare(i, node)

    def prepare(self, i, node):
        shape = self.nodes[node.inputs[0]].shape if i else None
        if node.op in ("convolution", "separable", "max-pool"):  # [channels, taps, outputs], -1 in the padding
            places = np.arange(math.prod(shape)).astype(object).reshape(shape) + 1
            under = windows(places, node, 0).astype(int) - 1
            self.under[i] = under.reshape(*under.shape[:2], -1)
        # Of a matrix W the norm of |W| is at most the root of the largest sums along rows and columns.
        if node.op in ("convolution", "dense"):
            groups = getattr(node, "groups", 1)
            w = np.abs(node.weight).reshape(groups, node.weight.shape[0] // groups, node.weight.shape[1], -1)
            self.lengths[i] = norms(w.reshape(w.shape[0] * w.shape[1], -1))
            size, terms = up(math.sqrt(w.sum((2, 3)).max() * w.sum((1, 3)).max()) * (1 + share(w.size))), w.shape[1] + w.shape[3]
        elif node.op == "separable":
            taps = self.under[i].shape[1]
            held = (self.under[i] >= 0).sum(1)
            self.factor[i] = 1.0 / (np.full(held.shape, taps) if node.count else np.maximum(held, 1))
            size, terms = math.sqrt(taps), taps
        elif node.op == "affine":
            self.factor[i] = np.broadcast_to(np.frompyfunc(float, 1, 1)(node.scale).astype(float), node.shape).ravel()
            need((np.abs(self.factor[i][self.factor[i] != 0]) > 1e-290).all(), "a factor that is too small", NotCovered)
            size, terms = np.abs(self.factor[i]).max(), 1
        else:
            return
        # A root of squares is at most the sum of what underflows.
        self.lost[i] = float(2 * up(share(terms + 2) * size)), terms * TINY * math.sqrt(math.prod(shape))

    def back(self, i, place, rows):
        """What input `place` of an affine node receives from rows [rows, entries]."""
        node, n = self.nodes[i], math.prod(self.nodes[self.nodes[i].inputs[place]].shape)
        if node.op == "dense":
            return rows @ node.weight
        if node.op == "affine":
            return rows * self.factor[i]
        if node.op == "concatenation":
            begin = sum(math.prod(self.nodes[j].shape) for j in node.inputs[:place])
            return rows[:, np.argsort(node.order)[begin:begin + n]]
        if node.op == "pick" and hasattr(node, "index"):
            found = np.zeros((len(rows), n))
            found[:, node.index] = rows  # none of them twice
            return found
        if node.op in ("pick", "sum"):
            return rows
        under, (count, channels) = self.under[i], (len(rows), node.shape[0])
        rows = rows.reshape(count, channels, -1)
        pixels = np.flatnonzero(rows.any((0, 1)))
        rows, found = rows[:, :, pixels], np.zeros((count, n + 1))
        if node.op == "separable":
            rows = rows * self.factor[i][:, pixels]
            for tap in range(under.shape[1]):  # an entry is under a tap once; the last one is the padding
                found[:, under[:, tap, pixels]] += rows
            return found[:, :-1]
        per, group = under.shape[0] // node.groups, channels // node.groups
        for g in range(node.groups):
            w = node.weight[g * group:(g + 1) * group].reshape(group, -1)
            part = rows[:, g * group:(g + 1) * group].transpose(0, 2, 1).reshape(-1, group) @ w
            part = part.reshape(count, len(pixels), per, under.shape[1])
            for tap in range(under.shape[1]):
                found[:, under[g * per:(g + 1) * per, tap][:, pixels]] += part[:, :, :, tap].transpose(0, 2, 1)
        return found[:, :-1]


class Around:
    """Balls and boxes of all nodes within a distance of an image."""

    def __init__(self, prepared, owns, throughs, values, radius, limits, narrowed):
        self.p, self.nodes, self.limits = prepared, prepared.nodes, limits
        self.x = [floats(v).astype(float).ravel() for v, _ in values]
        # How far the exact value at the image, without the error of the pixels, is from the float64s.
        rough = [up(U * float(norms(x))) + 2.0**-P * math.sqrt(len(x)) for x in self.x]
        self.ball, self.low, self.high, self.bent, self.off, self.differences = [], [], [], [], [], {}
        for i, node in enumerate(self.nodes[:prepared.logits + 1]):
            error = up(float(values[i][1]) + rough[i])
            ball = up(up(up(float(throughs[i])) * radius) + error)
            if i == 0:
                least, most = (-np.inf, np.inf) if limits is None else limits
                self.off.append(0.0)
                bent = None
                low = np.minimum(less(least, self.x[0]), 0) if limits else np.full(len(self.x[0]), -np.inf)
                high = np.maximum(-less(-most, -self.x[0]), 0) if limits else np.full(len(self.x[0]), np.inf)
            else:
                before = [self.ball[j] for j in node.inputs]
                spread = up(sum(before)) if node.op == "sum" else up(math.sqrt(sum(v * v for v in before)) + TINY**0.5)
                own = float(owns[i])
                wide = 1.0 if node.op == "sum" else own
                carried = own * up(sum(rough[j] for j in node.inputs)) if own else 0.0
                off = up(carried + rough[i] + 4 * 2.0**-P * math.sqrt(len(self.x[i])))
                ball = min(ball, up((wide * spread if wide else 0.0) + off))
                self.off.append(off)
                bent = self.bends(i)
                if narrowed and isinstance(bent, Pair):
                    self.narrow_difference(i, bent)
                    bent = self.bends(i)
                low, high = self.box(i, bent, off)
            self.ball.append(ball), self.low.append(low), self.high.append(high), self.bent.append(bent)
            self.cut(i)
            if narrowed and i in prepared.wanted and (prepared.behind[i] or limits):
                self.narrow(i)

    def cut(self, i):
        """Makes use of ball and box for each other."""
        ball = self.ball[i]
        self.low[i], self.high[i] = np.fmax(self.low[i], -ball), np.fmin(self.high[i], ball)
        length = float(norms(np.maximum(np.abs(self.low[i]), np.abs(self.high[i]))))
        self.ball[i] = length if length < ball else ball

    def bends(self, i):
        """How a node bends; None where it does not, or nothing is known of what it reads."""
        node, j = self.nodes[i], self.p.read[i]
        if i not in self.p.used or not math.isfinite(self.ball[j]):
            return None
        x, y, low, high = self.x[j], self.x[i], self.low[j], self.high[j]
        if node.op in LINES:
            return lines(x, y, low, high, float(node.slope))
        if node.op in CURVED:
            return smooth(x, y, low, high, node.op)
        if node.op == "max-pool":
            under = self.p.under[i]
            return Pool(under.transpose(0, 2, 1).reshape(-1, under.shape[1]), j != node.inputs[0], x, low, high)
        if node.op in PAIRS and len(node.inputs) == 2 and math.isfinite(self.ball[node.inputs[1]]):
            a, b = node.inputs
            low, high = self.differences.get((a, b)) or (less(self.low[a], self.high[b]), -less(self.low[b], self.high[a]))
            return Pair(node.op, self.x[a] - self.x[b], low, high, up(self.ball[a] + self.ball[b]))
        return None

    def box(self, i, bent, off):
        node, ins = self.nodes[i], self.nodes[i].inputs
        low, high = self.low[ins[0]], self.high[ins[0]]
        if isinstance(bent, Pool):
            j = self.p.read[i]
            return bent.ranges(self.x[j], self.x[i], self.low[j], self.high[j])
        if isinstance(bent, Pair):
            return bent.ranges(self.x[i], *([of[j] for j in ins] for of in (self.x, self.low, self.high)))
        if bent is not None:
            return ranges(bent[0])
        if node.op in ("convolution", "dense"):
            half = up(self.p.lengths[i] * self.ball[ins[0]] + off).repeat(len(self.x[i]) // len(self.p.lengths[i]))
            return -half, half
        if node.op == "affine":
            ends = np.array([self.p.factor[i] * low, self.p.factor[i] * high])
            more = up(off + ROOM * np.abs(ends).max(0))
            return ends.min(0) - more, ends.max(0) + more
        if node.op == "pick":  # rounded as the values are
            return picked(node, low), picked(node, high)
        if node.op == "concatenation":
            return tuple(np.concatenate([side[j] for j in ins])[node.order] for side in (self.low, self.high))
        if node.op == "sum":
            more = up(off + ROOM * sum(np.maximum(np.abs(self.low[j]), np.abs(self.high[j])) for j in ins))
            return sum(self.low[j] for j in ins) - more, sum(self.high[j] for j in ins) + more
        return np.full(len(self.x[i]), -np.inf), np.full(len(self.x[i]), np.inf)

    def narrow(self, i):
        """Bounds of the entries that are not decided by a pass back for those of each pixel."""
        node, undecided = self.nodes[i], np.full(len(self.x[i]), False)
        for k in self.p.used:
            bends = self.nodes[k].op in (*LINES, *CURVED, "max-pool")  # others may read what is not reached yet
            if i in self.nodes[k].inputs and bends and (bent := self.bends(k)) is not None:
                undecided |= bent.open(len(undecided)) if isinstance(bent, Pool) else bent[1]
        self.low[i], self.high[i] = self.ends(undecided, node.shape[0], {i: 1.0}, self.low[i], self.high[i])
        self.cut(i)

    def narrow_difference(self, i, bent):
        """Bounds of the difference of two nodes, where either may be the larger one."""
        a, b = self.nodes[i].inputs
        if a != b and (a, b) not in self.differences and bent.bent.any():
            known = (less(self.low[a], self.high[b]), -less(self.low[b], self.high[a]))
            self.differences[a, b] = self.ends(bent.bent, self.nodes[i].shape[0], {a: 1.0, b: -1.0}, *known)

    def ends(self, undecided, channels, of, low, high):
        """The box of the sum of some nodes, each times a factor, where the known one leaves an entry undecided."""
        pixels, entries = len(undecided) // channels, np.flatnonzero(undecided)
        size = max(1, PASS // 2 // max(len(x) for x in self.x[:max(of) + 1]))
        low, high = low.copy(), high.copy()
        for pixel in np.unique(entries % pixels):
            some = entries[entries % pixels == pixel]
            for part in np.array_split(some, -(-len(some) // size)):
                rows = np.zeros((2 * len(part), len(undecided)))
                rows[np.arange(len(part)), part], rows[len(part) + np.arange(len(part)), part] = 1, -1
                below, above = np.split(self.lower({i: factor * rows for i, factor in of.items()}), 2)
                low[part], high[part] = np.fmax(low[part], below), np.fmin(high[part], -above)
        return low, high

    def lower(self, rows, steps=None, care=TRIES):
        """For all rows by node a lower bound of sum <row, d>; `steps` of the functions, by node: [rows, functions]."""
        pending, count = dict(rows), len(next(iter(rows.values())))
        total, best = np.zeros(count), np.full(count, -np.inf)
        while pending:
            rows = pending.pop(i := max(pending))
            node, length = self.nodes[i], norms(rows)
            by_ball = less(total, length * self.ball[i])
            if not pending:
                best = np.fmax(best, by_ball)
            bent = self.bent[i]
            if bent is None and node.op not in AFFINE:
                box = self.least(rows) if i == 0 and self.limits else -np.inf
                total = np.fmax(by_ball, less(total, -box))
                continue
            if bent is None:
                lost, tiny = self.p.lost.get(i, (0, 0))
                cost = length * self.off[i] + sum((lost * length + tiny) * self.ball[j] for j in node.inputs)
                total = less(total, up(cost))
                parts = [(j, self.p.back(i, place, rows)) for place, j in enumerate(node.inputs)]
            else:
                j, of = self.p.read[i], None if steps is None else steps.get(i)
                if isinstance(bent, Pair):
                    both, k = bent.bend(rows, of, care)
                    k = less(k, up(2 * U * norms(both[bent.beside])) * self.ball[node.inputs[bent.beside]])
                    total, parts = less(total, -k), list(zip(node.inputs, both))
                elif isinstance(bent, Pool):
                    g, k = bent.bend(rows, self.ball[j], of, care, len(self.x[j]))
                    total, parts = less(total, -k), [(j, g)]
                else:
                    some = np.flatnonzero(rows.any(0))
                    g = np.zeros_like(rows)
                    g[:, some], k = bend(bent[0][:, :, some], bent[1][some], rows[:, some], self.ball[j],
                                         None if of is None else of[:, some], care)
                    total, parts = less(total, -k), [(j, g)]
            for j, part in parts:
                if j in pending:
                    part = pending[j] + part
                    total = less(total, up(2 * U * norms(part)) * self.ball[j])
                pending[j] = part
        return np.fmax(best, total)

    def least(self, rows):
        """A lower bound of <row, d> in ball and box of the input."""
        low, high, ball, zero = self.low[0][None], self.high[0][None], self.ball[0], np.zeros((1, len(self.x[0])))
        pieces = np.array([low, high, zero, zero, zero + 1, zero, zero, zero])
        found = [search(pieces, rows, ball, lambda _: 0.0, first, CAREFUL)[1]
                 for first in (np.zeros(len(rows)), norms(rows) / ball)]
        return np.fmax(*found)


def decoded(steps):
    """The steps of all functions; a run of the rule is written as - and two digits."""
    need(type(steps) is str and re.fullmatch("([A-Za-z0-9+/]|-[A-Za-z0-9+/]{2})+", steps), "the steps of slopes")
    found = []
    for run, digits, digit in re.findall("(-)(..)|(.)", steps):
        n = 64 * DIGITS.index(digits[0]) + DIGITS.index(digits[1]) if run else 1
        need(n > 0, "the steps of slopes")
        found += [RULE] * n if run else [DIGITS.index(digit)]
    return np.array(found)


class Local:
    """Bounds around images for confirmed constants."""

    def __init__(self, nodes, owns, throughs, logits, limits):
        self.p, self.known, self.limits = Prepared(nodes, logits), (owns, throughs), limits

    def functions(self, node):
        """At most how many functions of one variable a node is made of."""
        if node >= len(self.p.read):
            return 0
        if self.p.nodes[node].op == "max-pool":
            return int((self.p.under[node] >= 0).sum()) + math.prod(self.p.nodes[node].shape)
        bends = self.p.nodes[node].op in (*LINES, *CURVED) or self.p.nodes[node].op in PAIRS and len(self.p.nodes[node].inputs) == 2
        return math.prod(self.p.nodes[node].shape) if bends else 0

    def slopes(self, line, classes):
        """The slopes that a line states, by class and node."""
        found, last = {}, (-1, -1)
        for entry in items(getattr(line, "slopes", [])):
            entry = record(entry, SLOPES)
            place = whole(entry.rival), whole(entry.node)
            need(last < place and place[0] < classes and place[0] != line.label, f"the class {entry.rival} of slopes")
            steps = decoded(entry.steps)
            need(len(steps) <= self.functions(place[1]), f"the number of slopes at node {entry.node}")
            found.setdefault(place[0], {})[place[1]], last = steps, place
        return found

    @np.errstate(all="ignore")  # what is infinite or NaN proves nothing
    def proved(self, line, values, rivals, radius):
        """Those of the classes that no input within the radius has."""
        stated, y, done = self.slopes(line, len(values[-1][0].ravel())), line.label, set()
        for narrowed in (True,) if stated else (False, True):
            left = [t for t in rivals if t not in done]
            if not left:
                break
            around = Around(self.p, *self.known, values, float(radius), self.limits, narrowed)
            rows = np.zeros((len(left), len(around.x[-1])))
            rows[:, y] = 1
            rows[np.arange(len(left)), left] = -1
            steps, misfits = {}, set()
            for row, t in enumerate(left):
                for node, of in stated.get(t, {}).items():
                    bent = around.bent[node]
                    n = len(bent.entry) if isinstance(bent, Pool) else 0 if bent is None else len(bent.bent if isinstance(bent, Pair) else bent[1])
                    if len(of) == n:
                        steps.setdefault(node, np.full((len(left), n), RULE))[row] = of
                    else:
                        misfits.add(t)
            bounds = around.lower({self.p.logits: rows}, steps, CAREFUL if narrowed else TRIES)
            z = [mpf(float(v)) for v in around.x[-1]]
            done |= {t for t, bound in zip(left, bounds) if t not in misfits and bound > -np.inf and z[y] - z[t] + mpf(float(bound)) > 0}
        return done
