#!/usr/bin/env python3
"""Enclose the slopes and curvatures of the activations (crates/sigmax/docs/theory.md, T26 and T31) by
interval arithmetic.

The largest f^(k), or -f^(k), over the whole real line is enclosed: on |x| <= END by subdivision, f^(k)(cell)
being in f^(k)(mid) + f^(k+1)(cell)(cell - mid), and beyond by a bound that T26 and T31 derive. The
derivatives come from the definition, by the rules of differentiation on four-tuples. The exit status
is 1 if a literal in the Rust source is inside of its enclosure, or more than 1e-11 outside of it, or if a
sign of f'' is not the one that T31 states. Needs mpmath.
"""

import heapq
import pathlib
import re
import sys

from mpmath import iv, mp

iv.dps = mp.dps = 25
END = 32
SLOPE_TAIL = 1 + mp.mpf("1e-10")  # of |f'| for |x| >= END: 1 + 8·32·e^-32 at most, see T26
LEAST_TAIL = mp.mpf("1e-10")  # of -f' there, see T31
CURVATURE_TAIL = mp.mpf("1e-4")  # of |f''| there, see T31
SOURCES = pathlib.Path(__file__).parent.parent / "crates/sigmax/src/network/op"
SOURCE = "".join((SOURCES / name).read_text() for name in ("activation.rs", "activation/curvature.rs"))


def ends(x):  # exactly
    return [mp.make_mpf(end) for end in x._mpi_]


class Jet:
    """A function of x and three derivatives, each an interval."""

    def __init__(self, *parts):
        self.parts = parts

    def chain(self, g, g1, g2, g3):  # g and its derivatives at self
        _, a1, a2, a3 = self.parts
        return Jet(g, g1 * a1, g2 * a1**2 + g1 * a2, g3 * a1**3 + 3 * g2 * a1 * a2 + g1 * a3)

    def __add__(self, number):
        a, *rest = self.parts
        return Jet(a + number, *rest)

    def __mul__(self, other):
        (a, a1, a2, a3), (b, b1, b2, b3) = self.parts, other.parts if isinstance(other, Jet) else (other, 0, 0, 0)
        third = a3 * b + 3 * (a2 * b1 + a1 * b2) + a * b3
        return Jet(a * b, a1 * b + a * b1, a2 * b + 2 * a1 * b1 + a * b2, third)


def exp(a):
    e = iv.exp(a.parts[0])
    return a.chain(e, e, e, e)


def inverse(a):
    r = 1 / a.parts[0]
    return a.chain(r, -(r**2), 2 * r**3, -6 * r**4)


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
    return a.chain(iv.mpf([low.a, high.b]), density, -2 * x * density, (4 * x**2 - 2) * density)


def sigmoid(a):
    return inverse(exp(a * -1) + 1)


def atan(a):
    x = a.parts[0]
    r = 1 / (x**2 + 1)
    return a.chain(iv.mpf([-2, 2]), r, -2 * x * r**2, (6 * x**2 - 2) * r**3)  # no value is asked for


def gelu_tanh(x, linear=iv.mpf(1), cubic=iv.mpf(1)):  # these times what the definition has
    a, c = iv.mpf("0.044715"), 2 * iv.sqrt(2 / iv.pi)
    return x * sigmoid(x * (x * x * (a * cubic / linear) + 1) * (c * linear))


# (1 + tanh y)/2 = sigmoid(2y), and tanh(ln(1 + e^x)) = 1 - 2/(1 + (1 + e^x)²).
FUNCTIONS = {
    "SIGMOID": sigmoid,
    "TANH": lambda x: sigmoid(x * 2) * 2 + (-1),
    "ERF": erf,
    "ATAN": atan,
    "GELU": lambda x: x * (erf(x * (1 / iv.sqrt(2))) + 1) * iv.mpf(0.5),
    "GELU_TANH": gelu_tanh,
    "SILU": lambda x: x * sigmoid(x),
    "MISH": lambda x: x * (inverse((exp(x) + 1) * (exp(x) + 1) + 1) * -2 + 1),
}


def jet(function, x):
    return function(Jet(x, iv.mpf(1), iv.mpf(0), iv.mpf(0))).parts


def cell(size, function, order, a, b):
    """-(upper end of the size of a derivative on the cell), a lower end of its maximum, and the cell."""
    at_middle = jet(function, iv.mpf((a + b) / 2))[order]
    on_cell = jet(function, iv.mpf([a, b]))
    change = abs(on_cell[order + 1]) * iv.mpf([-(b - a) / 2, (b - a) / 2])
    upper = min(ends(size(on_cell[order]))[1], ends(size(at_middle + change))[1])
    return -upper, ends(size(at_middle))[0], a, b


def enclose(size, function, order, tail):
    """The cell with the largest upper end is halved until the ends are close."""
    heap = [cell(size, function, order, float(j), float(j + 1)) for j in range(-END, END)]
    heapq.heapify(heap)
    lower = max(entry[1] for entry in heap)
    while -heap[0][0] > lower + mp.mpf("1e-13"):
        _, _, a, b = heapq.heappop(heap)
        for half in (cell(size, function, order, a, (a + b) / 2), cell(size, function, order, (a + b) / 2, b)):
            lower = max(lower, half[1])
            heapq.heappush(heap, half)
    return lower, max(-heap[0][0], tail)


def literals(name):  # of one number, or of a pair
    text = re.search(rf"const {name}: [^=]* = ([^;]*);", SOURCE).group(1)
    return [float(number) for number in re.findall(r"-?[0-9.]+", text.replace("_", ""))]


def fits(name, literal, size, order, tail):
    lower, upper = enclose(size, FUNCTIONS[name], order, tail)
    good = upper <= literal <= lower + mp.mpf("1e-11")
    print(f"{name:10} [{mp.nstr(lower, 17)}, {mp.nstr(upper, 17)}] <= {literal!r}: {'yes' if good else 'NO'}")
    return good


def sign(function, a, b):
    """That of f'' on all of the interval, by halving; 0 where it has both, or seems to down to 2^-20."""
    second, third = jet(function, iv.mpf([a, b]))[2:]
    half = iv.mpf([-(b - a) / 2, (b - a) / 2])
    for low, high in (ends(second), ends(jet(function, iv.mpf((a + b) / 2))[2] + third * half)):
        if low > 0 or high < 0:
            return 1 if low > 0 else -1
    if b - a < 2**-20:
        return 0
    left = sign(function, a, (a + b) / 2)
    return left if left and left == sign(function, (a + b) / 2, b) else 0


def minus(x):
    return -x


good = True
print("largest |f'|, and -f' of Mish")
for name in ("GELU", "GELU_TANH", "SILU", "MISH"):
    good &= fits(name, literals(f"{name}_SLOPE")[0], abs, 1, SLOPE_TAIL)
good &= fits("MISH", -literals("MISH_LEAST_SLOPE")[0], minus, 1, LEAST_TAIL)

for text, index, size in (("-f''", 0, minus), ("f''", 1, lambda x: x)):
    print("largest", text)
    for name in FUNCTIONS:
        if name == "SILU" and index == 1:
            continue  # it is ½, see T31
        pair = literals(f"{name}_CURVATURE")
        literal = pair[-1] if len(pair) == 1 else size(pair[index])
        good &= fits(name, literal, size, 2, CURVATURE_TAIL)

# Of the gates there is one turn for x > 0, and its negative (T26): signs at two points show where. Of Mish
# it is what the signs of f'' show; beyond END they are derived in T31.
print("signs of f'' before and behind a turn")
near = [iv.mpf(1) + iv.mpf([-1, 1]) / 1024] * 2
GATES = {
    "GELU": [FUNCTIONS["GELU"]],
    "GELU_TANH": [FUNCTIONS["GELU_TANH"], lambda x: gelu_tanh(x, *near)],
    "SILU": [FUNCTIONS["SILU"]],
}
for name, functions in GATES.items():
    turn = literals(f"{name}_TURN")
    signs = [sign(function, x, x) for function in functions for x in turn]
    good &= signs == [1, -1] * len(functions)
    print(f"{name:10} {turn}: {signs}")
at = [-float(END), *literals("MISH_LEAST_AT"), *literals("MISH_TURN"), float(END)]
signs = [sign(FUNCTIONS["MISH"], a, b) for a, b in zip(at[::2], at[1::2])]
least, largest = (jet(FUNCTIONS["MISH"], iv.mpf(gap))[3] for gap in (at[1:3], at[3:5]))
good &= signs == [-1, 1, -1] and ends(least)[0] > 0 and ends(largest)[1] < 0  # one turn in a gap
print(f"{'MISH':10} {at[1:3]} {at[3:5]}: {signs}")
sys.exit(not good)
