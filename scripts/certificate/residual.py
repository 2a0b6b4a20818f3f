"""Residuals x + B sigma(A x + b) + c of a monotone branch (T42), between dense layers.

With D >= 0 diagonal and B = R - A^T D the constant is max(1, |D^1/2 A|^2 - 1) + |R| |A|. Any D is valid: d_j = r_j^2 for
a float64 r_j near the root of -<b_j, a_j>/|a_j|^2. A and B are products in float64 with a bound of all that is rounded
(`Scaled`), R is bounded by Frobenius' norm, and |A| by the constants of its nodes, which are confirmed.
"""
import numpy as np
from mpmath import mp, mpf

from certificate.common import INF, NotCovered, U, need
from certificate.second_order import TINY, Scaled, after, fro, square_at_most

LINEAR = ("dense", "affine", "pick")
LONGEST = 8


def rises(node):
    """Whether the slopes of a function are from 0 to 1."""
    return node.op in ("Relu", "Softplus", "Sigmoid", "Tanh") or node.op == "LeakyRelu" and 0 <= node.slope <= 1


def chain(nodes, at, kept):
    """The linear nodes that end at `at`, and what the first one of them reads: if need be, the one that is kept."""
    found = []
    while at != kept and nodes[at].op in LINEAR and len(found) < LONGEST:
        found.insert(0, at)
        at = nodes[at].inputs[0]
    return found, at


def matrix(nodes, places):
    found = None
    for i in places:
        found = after(nodes[i], nodes[nodes[i].inputs[0]], found)
    return found


def residual_at_most(nodes, at, kept, owns, limit):
    """Whether a sum of two nodes is such a residual of the one that is kept, of a constant of at most `limit`."""
    branch = nodes[at].inputs[nodes[at].inputs[0] == kept]
    second, bent = chain(nodes, branch, None)
    if not second or not rises(nodes[bent]):
        return False
    first, start = chain(nodes, nodes[bent].inputs[0], kept)
    if not first or start != kept or not all(owns[i] < INF for i in first):
        return False
    a, b = matrix(nodes, first), matrix(nodes, second)
    return a is not None and b is not None and holds(a, b, mp.fprod(owns[i] for i in first), limit)


@np.errstate(all="ignore")  # what is infinite or NaN is not covered
def holds(a, b, norm, limit):
    x, y = a.value, b.value  # times 2^a.power and 2^b.power
    squares = (x * x).sum(1)
    r = np.sqrt(np.maximum(np.where(squares > 0, -(x * y.T).sum(1) / np.where(squares > 0, squares, 1), 0), 0))
    need(np.isfinite(r).all() and (r < 2.0**100).all(), "factors of a residual", NotCovered)
    turned = x.T * (r * r)
    rest = y + turned
    # Three roundings of the second term, and one of the sum.
    off = 4 * U * (fro(y) + fro(turned)) + 4 * rest.size * mpf(TINY) + b.error + mpf(float((r * r).max(initial=0))) * (1 + 4 * U) * a.error
    room = limit * (1 - mp.ldexp(1, -480)) - mp.ldexp(fro(rest) + off, b.power) * norm * (1 + mp.ldexp(1, -480))
    if not room >= 1:
        return False
    value = r[:, None] * x
    scaled = Scaled(value, 2 * U * fro(value) + value.size * mpf(TINY) + mpf(float(r.max(initial=0))) * a.error)
    left = mp.sqrt(mp.ldexp(1 + room, -a.power - b.power - 2 * scaled.power)) * (1 - mp.ldexp(1, -480)) - scaled.error
    return bool(left > 0 and (not scaled.value.any() or square_at_most(scaled.value, left**2)))
