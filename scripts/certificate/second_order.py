"""Curvature that is stated, and radii that follow from it by tangents: networks that are a chain with one layer of
activations at most.

Before and behind the activations stand matrices of float64, (value, Frobenius error), that are built from the nodes:
J = d units / d input and A = d logits / d units. Nothing here is taken from the file but m, and the points.
"""
import math

import numpy as np
from mpmath import mp, mpf

from certificate.bounds import U
from certificate.common import INF, NotCovered, bound, need, record
from certificate.values import P, fixed, windows

CURVED = {  # derivative, and the range of the second derivative, a little wider than it is
    "Softplus": (lambda x: 1 / (1 + mp.exp(-x)), (0.0, 0.25)),
    "Sigmoid": (lambda x: mp.sech(x / 2)**2 / 4, (-0.0962250449, 0.0962250449)),
    "Tanh": (lambda x: mp.sech(x)**2, (-0.7698003590, 0.7698003590))}
DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
TANGENT = "rival exponent steps"


def rounded(n):
    """Relative error of NumPy's sums of n products, in terms of the sum of their magnitudes."""
    return 16 * (n + 50) * U


def fro(a):
    return float(np.linalg.norm(a)) * (1 + 1e-9)


def product(a, b):
    """(value, error) of a product: those of the factors and of its rounding."""
    (x, e), (y, f) = a, b
    size = fro(x) * fro(y)
    return x @ y, (rounded(x.shape[1]) * size + e * (fro(y) + f) + fro(x) * f) * (1 + 1e-9) + 1e-290


def matrix(node, before):
    """(value, error) of a linear node as a matrix, without its bias; 0 where nothing is rounded."""
    n, outs = math.prod(before.shape), math.prod(node.shape)
    if node.op == "dense":
        return node.weight, 0.0
    if node.op == "affine":
        scale = np.broadcast_to(node.scale, before.shape).astype(float).ravel()
        return np.diag(scale), 2 * U * fro(scale)
    if node.op == "pick":
        return np.eye(n), 0.0
    need(node.op in ("convolution", "separable") and n * outs <= 2**26, f"curvature behind {node.name!r} ({node.op})", NotCovered)
    under = windows(np.arange(1, n + 1).astype(object).reshape(before.shape), node, 0).astype(int)
    channels, taps, *out = under.shape
    under = under.reshape(channels, taps, -1)
    found, places = np.zeros((node.shape[0], math.prod(out), n + 1)), np.arange(math.prod(out))
    groups, error = getattr(node, "groups", 1), 0.0
    for o in range(node.shape[0]):
        for c in range(channels):
            if node.op == "separable":
                if c != o:
                    continue
                count = taps if node.count else np.maximum((under[c] > 0).sum(0), 1)
                weight = np.broadcast_to(1.0 / count, (taps, len(places)))
                error = 4 * U
            else:
                per, rows = channels // groups, node.shape[0] // groups
                if c // per != o // rows:
                    continue
                weight = node.weight[o, c % per].reshape(taps, 1) * np.ones(len(places))
            for tap in range(taps):  # a pixel is under a window once
                found[o, places, under[c, tap]] += weight[tap]
    found = found[:, :, 1:].reshape(outs, n)
    return found, error * fro(found)


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
            need(nodes[i].op not in ("Relu", "Abs", "LeakyRelu", "max-pool"), f"{nodes[i].name!r}, a {nodes[i].op}, has no curvature")
        need(len(curved) <= 1, "curvature of more than one layer of activations", NotCovered)
        self.unit = curved[0] if curved else None
        first = chain if self.unit is None else chain[:chain.index(self.unit)]
        def linear(places, size):
            # In one piece where that is exact.
            found = None
            for i in places:
                if nodes[i].op == "pick":
                    continue
                step = matrix(nodes[i], nodes[nodes[i].inputs[0]])
                found = step if found is None else product(step, found)
            return (np.eye(size), 0.0) if found is None else found
        self.before = linear(first, math.prod(nodes[0].shape))
        self.behind = self.slope = None
        if self.unit is not None:
            self.behind = linear(chain[chain.index(self.unit) + 1:], math.prod(nodes[self.unit].shape))
            self.read = nodes[self.unit].inputs[0]
            self.slope, self.range = CURVED[nodes[self.unit].op]
        classes = header.classes
        need(type(header.curvature) is list and len(header.curvature) == classes
             and all(type(row) is list and len(row) == classes for row in header.curvature), "the shape of the curvature")
        self.m = [[bound(m) for m in row] for row in header.curvature]
        for y in range(classes):
            for t in range(classes):
                m = self.m[y][t]
                need(m >= 0 and (y != t or m == 0), f"curvature {m} of classes {y} and {t}")
                need(y == t or self.holds(y, t, m), f"the curvature {float(m)} of classes {y} and {t} is not confirmed")

    def holds(self, y, t, m):
        """Whether the largest eigenvalue of J* diag(kappa) J is at most m; kappa at least sup (-F q)+."""
        if m == INF or self.unit is None:
            return True
        (w, error), (low, high) = self.behind, self.range
        a = w[y] - w[t]
        off = (2 * error + 2 * U * np.abs(a)) * max(high, -low)
        roots = np.sqrt(np.maximum(0, np.maximum(-a * low, -a * high)) + off) * (1 + 16 * U)
        rows = roots > 0
        if not rows.any():
            return True
        j, wrong = self.before
        b = roots[rows, None] * j[rows]
        # ||B|| <= ||fl(B)|| + U ||B||_F + max root ||error of J||.
        loose = 2 * U * fro(b) + float(roots.max()) * wrong * 1.001
        left = mp.sqrt(m) - mpf(loose)
        return left > 0 and square_at_most(b, left**2)

    def tangents(self, checker, line, values, pixels):
        """Radii by tangents, per class: at the image itself, and at the points that are stated."""
        y, best = line.label, {}
        def add(t, at, offset):
            gradient, e = self.gradient(at, y, t)
            margin, _ = checker.margins(at, y)[t]
            best[t] = max(best.get(t, 0), self.radius(margin, gradient, e, offset, self.m[y][t]))
        n = len(pixels[0].ravel())
        for t in set(range(checker.classes)) - {y}:
            add(t, values, np.zeros(n))
        last = -1
        for entry in getattr(line, "tangents", []):
            entry = record(entry, TANGENT)
            t, power = entry.rival, entry.exponent
            need(type(t) is int and last < t < checker.classes and t != y, f"the class {t} of a tangent")
            need(type(power) is int and -1000 <= power <= 500, f"the exponent {power} of a tangent")
            need(type(entry.steps) is str and set(entry.steps) <= set(DIGITS), "the steps of a tangent")
            k, rest = divmod(len(entry.steps), n)
            need(1 <= k <= 4 and rest == 0, "the number of steps of a tangent")
            digits = np.array([DIGITS.index(c) for c in entry.steps]).reshape(n, k)
            offset = np.ldexp(digits @ 64.0**np.arange(k)[::-1] - 64**k / 2, power)
            moved = pixels[0] + fixed(np.array([mpf(d) for d in offset], dtype=object), P).reshape(pixels[0].shape)
            add(t, checker.values(moved, pixels[1] + mp.ldexp(mp.sqrt(n), -P)), offset)
            last = t
        return best

    def gradient(self, values, y, t):
        """(value, error) of the gradient of z_y - z_t at a point."""
        (j, wrong) = self.before
        if self.unit is None:
            row = j[y] - j[t]
            return row, 2 * wrong + 4 * U * fro(row) + 1e-290
        w, off = self.behind
        z, r = values[self.read]
        slopes = np.array([float(self.slope(mp.ldexp(mpf(int(v)), -P))) for v in z.ravel()])
        a = w[y] - w[t]
        # A slope is at most 1; it is rounded, and off by at most the curvature times the error of z.
        back = a * slopes
        e_back = 2 * off + 8 * U * fro(a) + float(r) * fro(a) + 1e-290
        found, e = product((back[None, :], e_back), (j, wrong))
        return found[0], e

    def radius(self, f, gradient, error, d, m):
        """The root of c - ||p|| rho - m/2 rho^2, from below (T36, T33)."""
        if m == INF:
            return mpf(0)
        m64, n = float(m), len(d)
        p, length = gradient + m64 * d, fro(d)
        off = mpf(error) + 4 * U * (fro(p) + 2 * m64 * length)
        inner = mpf(float(p @ d)) + mpf(rounded(n)) * fro(p) * length + off * length
        c = f - inner + m / 2 * mpf(float(d @ d)) * (1 - mpf(rounded(n)))
        size = mpf(fro(p)) + off
        if c <= 0:
            return mpf(0)
        slope = size + mp.sqrt(size**2 + 2 * m * c)
        return 2 * c / slope if slope else INF


def square_at_most(b, limit):
    """Whether ||B||^2 <= limit: limit - G = L L* + R for G = B* B and ANY L, so G <= limit + ||R||_F."""
    rows, cols = b.shape
    gram = b.T @ b if cols <= rows else b @ b.T
    small, reach = len(gram), fro(b)**2
    t = float(limit) * (1 - 1e-15)
    slack = rounded(max(rows, cols)) * reach + 4 * rounded(small) * small * t
    t -= slack
    if t <= 0:
        return False
    left = t * np.eye(small) - gram
    try:
        factor = np.linalg.cholesky(left)
    except np.linalg.LinAlgError:
        return False
    # Its own rounding: sums of at most `small` products, and the subtraction.
    size = fro(factor)**2 + fro(gram) + small * t
    off = fro(left - factor @ factor.T) + rounded(small) * size
    return rounded(max(rows, cols)) * reach + off <= slack
