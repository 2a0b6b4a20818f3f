"""Curvature that is stated, and radii that follow from it by tangents: networks that are a chain with one layer of
activations at most.

Before and behind the activations stand matrices of float64 that are built from the nodes: J = d units / d input and
A = d logits / d units. Nothing here is taken from the file but m, and the points.

Ranges of float64. Every matrix is divided by a power of two, so that its largest entry is in [1/2, 1) (`Scaled`), and has
at most 2^27 entries. So no sum of products, below 2^27 each, and no sum of squares overflows. What is smaller
than 2^-1022 may be lost: each product, and each entry that is divided, loses at most TINY (2^-1074 by IEEE 754, and 2^-1022
from a library that flushes to zero), and TINY per product is in the error of every product, norm and Gram matrix. Norms, errors,
powers and m are numbers of mpmath, whose exponents have no end, and so are the vectors of a radius. A NaN makes no
comparison true, and an infinity in a matrix is not covered.
"""
import math

import numpy as np
from mpmath import mp, mpf

from certificate.common import INF, NotCovered, U, bound, items, need, record, whole
from certificate.values import P, fixed, windows

CURVED = {  # derivative, and the range of the second derivative, a little wider than it is
    "Softplus": (lambda x: 1 / (1 + mp.exp(-x)), (0.0, 0.25)),
    "Sigmoid": (lambda x: mp.sech(x / 2)**2 / 4, (-0.0962250449, 0.0962250449)),
    "Tanh": (lambda x: mp.sech(x)**2, (-0.7698003590, 0.7698003590))}
DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
TANGENT = "rival exponent steps"
TINY = 1e-300
ENTRIES = 2**26


def rounded(n):
    """Relative error of NumPy's sums of n products, in terms of the sum of their magnitudes."""
    return mpf(16 * (n + 50) * U)


def fro(a):
    """Frobenius' norm from above. The sum of n squares is off by at most rounded(n) of itself, and TINY for each."""
    flat, n = a.ravel(), a.size
    return mp.sqrt((mpf(float(flat @ flat)) + n * mpf(TINY)) / (1 - rounded(n)))


class Scaled:
    """A matrix or vector: `value` 2^power, off by at most `error` 2^power in Frobenius' norm."""

    def __init__(self, value, error=0, power=0):
        need(value.size <= 2 * ENTRIES and np.isfinite(value).all(), "a matrix that is too large", NotCovered)
        shift = int(np.frexp(np.abs(value).max(initial=0))[1])
        self.value, self.power = np.ldexp(value, -shift), power + shift
        kept = (np.ldexp(self.value, shift) == value).all()
        self.error = mp.ldexp(error, -shift) + (0 if kept else value.size * mpf(TINY))


def product(a, b):
    """Of the errors: that of the sums of products; (A - A')B and A'(B - B') for what A' and B' are off."""
    x, y = a.value, b.value
    off = rounded(x.shape[1]) * fro(x) * fro(y) + x.size * y.shape[1] * mpf(TINY)
    return Scaled(x @ y, off + a.error * (fro(y) + b.error) + fro(x) * b.error, a.power + b.power)


def diagonal(scale):
    """Factors of mpmath as a vector with the largest in [1/2, 1], each off by 2 U of itself and TINY; and its power."""
    power = max((mp.frexp(v)[1] for v in scale if v), default=0)
    return np.array([float(mp.ldexp(v, -power)) for v in scale]), power


def after(node, before, found):
    """A linear node, without its bias, after a matrix; None is the identity."""
    n, outs = math.prod(before.shape), math.prod(node.shape)
    if node.op == "pick":
        if not hasattr(node, "index"):
            return found
        need(found is not None or n * n <= ENTRIES, f"a matrix of {n} rows and columns", NotCovered)
        return Scaled(np.eye(n)[node.index]) if found is None else Scaled(found.value[node.index], found.error, found.power)
    if node.op == "affine":
        need(found is not None or n * n <= ENTRIES, f"a matrix of {n} rows and columns", NotCovered)
        scale, power = diagonal(np.broadcast_to(node.scale, before.shape).ravel())
        found = Scaled(np.eye(n)) if found is None else found
        value = scale[:, None] * found.value  # factors and entries are at most 1
        return Scaled(value, found.error + 8 * U * fro(value) + 4 * value.size * mpf(TINY), found.power + power)
    step = matrix(node, n, outs, before)
    return step if found is None else product(step, found)


def matrix(node, n, outs, before):
    """A node as a matrix; it has no error where nothing is rounded."""
    if node.op == "dense":
        return Scaled(node.weight)
    need(node.op in ("convolution", "separable") and n * outs <= ENTRIES, f"curvature behind {node.name!r} ({node.op})", NotCovered)
    under = windows(np.arange(1, n + 1).astype(object).reshape(before.shape), node, 0).astype(int)
    channels, taps, *out = under.shape
    under = under.reshape(channels, taps, -1)
    found, places = np.zeros((node.shape[0], math.prod(out), n + 1)), np.arange(math.prod(out))
    groups = getattr(node, "groups", 1)
    for o in range(node.shape[0]):
        for c in range(channels):
            if node.op == "separable":
                if c != o:
                    continue
                count = taps if node.count else np.maximum((under[c] > 0).sum(0), 1)
                weight = np.broadcast_to(1.0 / count, (taps, len(places)))
            else:
                per, rows = channels // groups, node.shape[0] // groups
                if c // per != o // rows:
                    continue
                weight = node.weight[o, c % per].reshape(taps, 1) * np.ones(len(places))
            for tap in range(taps):  # a pixel is under a window once
                found[o, places, under[c, tap]] += weight[tap]
    found = found[:, :, 1:].reshape(outs, n)
    return Scaled(found, 4 * U * fro(found) if node.op == "separable" else 0)


def has_kink(node):
    """Whether a node has a kink, so that no m is right; some that could have one do not."""
    return node.op in ("Relu", "Abs") or node.op == "LeakyRelu" and node.slope != 1 or (
        node.op == "max-pool" and math.prod(node.kernel) > 1)


class SecondOrder:
    """The curvature, once it is confirmed."""

    def __init__(self, nodes, logits, header):
        chain, at = [], logits
        while at:
            need(len(nodes[at].inputs) == 1, "curvature of a network that is no chain", NotCovered)
            chain.insert(0, at)
            at = nodes[at].inputs[0]
        curved = [i for i in chain if nodes[i].op in CURVED]
        for i in chain:
            need(not has_kink(nodes[i]), f"{nodes[i].name!r}, a {nodes[i].op}, has no curvature")
        need(len(curved) <= 1, "curvature of more than one layer of activations", NotCovered)
        self.unit = curved[0] if curved else None
        first = chain if self.unit is None else chain[:chain.index(self.unit)]
        def linear(places, size):
            found = None
            for i in places:
                found = after(nodes[i], nodes[nodes[i].inputs[0]], found)
            need(found is not None or size**2 <= ENTRIES, f"a matrix of {size} rows and columns", NotCovered)
            return Scaled(np.eye(size)) if found is None else found
        self.before = linear(first, math.prod(nodes[0].shape))
        self.behind = self.slope = None
        if self.unit is not None:
            self.behind = linear(chain[chain.index(self.unit) + 1:], math.prod(nodes[self.unit].shape))
            self.read = nodes[self.unit].inputs[0]
            self.slope, self.range = CURVED[nodes[self.unit].op]
        classes = header.classes
        need(len(items(header.curvature)) == classes and all(len(items(row)) == classes for row in header.curvature),
             "the shape of the curvature")
        self.m = [[bound(m, older=False) for m in row] for row in header.curvature]
        for y in range(classes):
            for t in range(classes):
                m = self.m[y][t]
                need(m >= 0 and (y != t or m == 0), f"curvature {m} of classes {y} and {t}")
                need(y == t or self.holds(y, t, m), f"the curvature {float(m)} of classes {y} and {t} is not confirmed")

    def holds(self, y, t, m):
        """Whether the largest eigenvalue of J* diag(kappa) J is at most m; kappa at least sup (-F q)+."""
        if m == INF or self.unit is None:
            return True
        w, j = self.behind, self.before
        a = Scaled(w.value[y] - w.value[t], 2 * w.error, w.power)  # and off by U |a|, entry by entry
        error = float(a.error * (1 + 8 * U) + (TINY if a.error > 0 else 0))
        off, known = error + 4 * U * np.abs(a.value), (a.value == 0) & (error == 0)
        # -a q for |a - a'| <= e is at most -a' q + e |q|: 0 at an end that is 0, and where a is known to be 0. The two
        # products lose TINY at most; their rounding, U |a q| each, is in `off`, that of the sums in the roots.
        kappa, sure = np.zeros((2, len(a.value)))
        for end in self.range:
            if end:
                kappa = np.maximum(kappa, np.where(known, 0, off * abs(end) - a.value * end + TINY))
                sure = np.maximum(sure, -a.value * end - 2 * off * abs(end) - TINY)
        need(np.isfinite(kappa).all(), "an error that is too large", NotCovered)
        roots = np.sqrt(kappa) * (1 + 16 * U)
        rows = roots > 0
        if not rows.any():
            return True
        value = roots[rows, None] * j.value[rows]
        # ||B|| <= ||fl(B)|| + U ||B||_F + TINY per entry + max root ||error of J||.
        b = Scaled(value, 2 * U * fro(value) + value.size * mpf(TINY) + mpf(float(roots.max())) * j.error)
        left = mp.sqrt(mp.ldexp(m, -a.power - 2 * (j.power + b.power))) - b.error
        if left > 0 and square_at_most(b.value, left**2):
            return True
        # Refused where the curvature is above 0 beyond rounding; `fro` of zeros is the root of TINY per entry.
        bent = fro(np.sqrt(sure)[:, None] * j.value) > 2 * (mpf(float(np.sqrt(sure).max())) * j.error + j.value.size * mpf(TINY)**0.5)
        need(bent, f"a curvature {float(m)} where that of classes {y} and {t} is 0 up to rounding", NotCovered)
        return False

    def tangents(self, checker, line, values, pixels):
        """Radii by tangents, per class: at the image itself, and at the points that are stated."""
        y, best = line.label, {}
        def add(t, at, offset):
            margin, _ = checker.margins(at, y)[t]
            best[t] = max(best.get(t, 0), radius(margin, self.gradient(at, y, t), offset, self.m[y][t]))
        n = len(pixels[0].ravel())
        for t in set(range(checker.classes)) - {y}:
            add(t, values, np.full(n, mpf(0)))
        last = -1
        for entry in getattr(line, "tangents", []):
            entry = record(entry, TANGENT)
            t, power = whole(entry.rival), entry.exponent
            need(last < t < checker.classes and t != y, f"the class {t} of a tangent")
            need(type(power) is int and -1000 <= power <= 500, f"the exponent {power} of a tangent")
            need(type(entry.steps) is str and set(entry.steps) <= set(DIGITS), "the steps of a tangent")
            k, rest = divmod(len(entry.steps), n)
            need(1 <= k <= 4 and rest == 0, "the number of steps of a tangent")
            digits = np.array([DIGITS.index(c) for c in entry.steps], int).reshape(n, k) @ 64**np.arange(k)[::-1]
            offset = np.array([mp.ldexp(int(d), power) for d in digits - 64**k // 2], object)
            moved = pixels[0] + fixed(offset, P).reshape(pixels[0].shape)
            add(t, checker.values(moved, pixels[1] + mp.ldexp(mp.sqrt(n), -P)), offset)
            last = t
        return best

    def gradient(self, values, y, t):
        """The gradient of z_y - z_t at a point."""
        j, w = self.before, self.behind
        def difference(of):
            row = of.value[y] - of.value[t]
            return Scaled(row, 2 * of.error + 2 * U * fro(row), of.power)
        if self.unit is None:
            return difference(j)
        z, r = values[self.read]
        slopes = np.array([float(self.slope(mp.ldexp(mpf(int(v)), -P))) for v in z.ravel()])
        a = difference(w)
        # A slope is at most 1; it is rounded, and off by at most the curvature, below 1, times the error of z.
        off = a.error + (8 * U + r) * fro(a.value) + 2 * len(slopes) * mpf(TINY)
        back = Scaled(a.value * slopes, off, a.power)
        back.value = back.value[None, :]
        found = product(back, j)
        found.value = found.value[0]
        return found


def radius(f, gradient, d, m):
    """The root of c - ||p|| rho - m/2 rho^2, from below (T36, T33). All of this has 512 bits; what they lose is below
    2^-480 of the terms."""
    if m == INF:
        return mpf(0)
    g, loss = np.array([mp.ldexp(mpf(float(v)), gradient.power) for v in gradient.value], object), mp.ldexp(1, -480)
    p, off, square = g + m * d, mp.ldexp(gradient.error, gradient.power), mpf(d.dot(d))
    size, length = mp.sqrt(p.dot(p)), mp.sqrt(square)
    c = f - p.dot(d) + m / 2 * square - off * length - loss * (abs(f) + size * length + m * square)
    if not c > 0:
        return mpf(0)
    size = (size + off) * (1 + loss)
    slope = size + mp.sqrt(size**2 + 2 * m * c)
    return 2 * c / slope * (1 - loss) if slope else INF


def square_at_most(b, limit):
    """Whether ||B||^2 <= limit: limit - G = L L* + R for G = B* B and ANY L, so G <= limit + ||R||_F.

    The largest entry of B is in [1/2, 1), so nothing is proved for a limit below 1/4, and t is between 1/5 and 2^27."""
    reach, (rows, cols) = fro(b)**2, b.shape
    if limit >= reach:
        return True
    if not limit >= 0.25:
        return False
    gram = b.T @ b if cols <= rows else b @ b.T
    small = len(gram)
    t, lost = float(limit) * (1 - 1e-15), (rows * cols + small**2) * small * mpf(TINY)
    slack = rounded(max(rows, cols)) * reach + 4 * rounded(small) * small * t + 2 * lost
    t -= float(slack) * (1 + 4 * U)
    if not t > 0.2:
        return False
    left = t * np.eye(small) - gram
    try:
        factor = np.linalg.cholesky(left)
    except np.linalg.LinAlgError:
        return False
    # Of G, and of the residual: sums of at most `small` products, and two subtractions.
    size = fro(factor)**2 + fro(gram) + small * t
    off = fro(left - factor @ factor.T) + rounded(small) * size + lost
    return bool(rounded(max(rows, cols)) * reach + off <= slack)
