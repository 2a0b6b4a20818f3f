#!/usr/bin/env python3
"""Enclose the slopes of the activations (crates/sigmax/docs/theory.md, T26) by interval arithmetic.

sup |f'| over the whole real line is enclosed: on |x| <= END by subdivision, f'(cell) being in
f'(mid) + f''(cell)(cell - mid), and beyond by TAIL. The derivatives come from the definition, by the
rules of differentiation on (f, f', f''). The exit status is 1 if a literal in the Rust source is
below the upper end of its enclosure, or more than 1e-11 above the lower. Needs mpmath.
"""

import heapq
import pathlib
import re
import sys

from mpmath import iv, mp

iv.dps = mp.dps = 25
END = 32
TAIL = 1 + mp.mpf("1e-10")  # of |f'| for |x| >= END: 1 + 8·32·e^-32 at most, see T26
SOURCE = pathlib.Path(__file__).parent.parent / "crates/sigmax/src/network/op/activation.rs"


def ends(x):  # exactly
    return [mp.make_mpf(end) for end in x._mpi_]


class Jet:
    """(f, f', f'') of a function of x, each an interval."""

    def __init__(self, *parts):
        self.parts = parts

    def chain(self, g, g1, g2):  # g, g' and g'' at self
        _, a1, a2 = self.parts
        return Jet(g, g1 * a1, g2 * a1**2 + g1 * a2)

    def __add__(self, number):
        a, a1, a2 = self.parts
        return Jet(a + number, a1, a2)

    def __mul__(self, other):
        (a, a1, a2), (b, b1, b2) = self.parts, other.parts if isinstance(other, Jet) else (other, 0, 0)
        return Jet(a * b, a1 * b + a * b1, a2 * b + 2 * a1 * b1 + a * b2)


def exp(a):
    e = iv.exp(a.parts[0])
    return a.chain(e, e, e)


def inverse(a):
    r = 1 / a.parts[0]
    return a.chain(r, -(r**2), 2 * r**3)


def erf_at(x):
    """erf of a number: a series of positive terms, falling by 1/2 at least after the 150th for x <= 6."""
    if x < 0:
        return -erf_at(-x)
    if x > 6:
        return iv.mpf([1 - iv.exp(-36), 1])
    square = iv.mpf(x) ** 2
    total = term = iv.mpf(x)
    for n in range(1, 151):
        term *= 2 * square / (2 * n + 1)
        total += term
    return 2 / iv.sqrt(iv.pi) * iv.exp(-square) * (total + term * iv.mpf([0, 1]))


def erf(a):
    x = a.parts[0]
    density = 2 / iv.sqrt(iv.pi) * iv.exp(-(x**2))
    low, high = (erf_at(end) for end in ends(x))
    return a.chain(iv.mpf([low.a, high.b]), density, -2 * x * density)


def sigmoid(a):
    return inverse(exp(a * -1) + 1)


# (1 + tanh y)/2 = sigmoid(2y), and tanh(ln(1 + e^x)) = 1 - 2/(1 + (1 + e^x)²).
FUNCTIONS = {
    "GELU_SLOPE": lambda x: x * (erf(x * (1 / iv.sqrt(2))) + 1) * iv.mpf(0.5),
    "GELU_TANH_SLOPE":
        lambda x: x * sigmoid(x * (x * x * iv.mpf("0.044715") + 1) * (2 * iv.sqrt(2 / iv.pi))),
    "SILU_SLOPE": lambda x: x * sigmoid(x),
    "MISH_SLOPE": lambda x: x * (inverse((exp(x) + 1) * (exp(x) + 1) + 1) * -2 + 1),
}


def cell(function, a, b):
    """-(upper end of |f'| on the cell), a lower end of its maximum, and the cell."""
    one, zero, middle = iv.mpf(1), iv.mpf(0), (a + b) / 2
    at_middle = abs(function(Jet(iv.mpf(middle), one, zero)).parts[1])
    _, first, second = (abs(part) for part in function(Jet(iv.mpf([a, b]), one, zero)).parts)
    upper = min(ends(first)[1], ends(at_middle + second * ((b - a) / 2))[1])
    return -upper, ends(at_middle)[0], a, b


def enclose(function):
    """The cell with the largest upper end is halved until the ends are close."""
    heap = [cell(function, float(j), float(j + 1)) for j in range(-END, END)]
    heapq.heapify(heap)
    lower = max(entry[1] for entry in heap)
    while -heap[0][0] > lower + mp.mpf("1e-13"):
        _, _, a, b = heapq.heappop(heap)
        for half in (cell(function, a, (a + b) / 2), cell(function, (a + b) / 2, b)):
            lower = max(lower, half[1])
            heapq.heappush(heap, half)
    return lower, max(-heap[0][0], TAIL)


good = True
for name, function in FUNCTIONS.items():
    literal = float(re.search(rf"const {name}: f64 = (.*);", SOURCE.read_text()).group(1).replace("_", ""))
    lower, upper = enclose(function)
    fits = upper <= literal <= lower + mp.mpf("1e-11")
    good &= fits
    print(f"{name:15} [{mp.nstr(lower, 17)}, {mp.nstr(upper, 17)}] <= {literal!r}: {'yes' if fits else 'NO'}")
sys.exit(not good)
