#!/usr/bin/env python3
"""Write `cases.toml`: kernels with an enclosure of the true norm, computed without sigmax.

    python3 testdata/generate.py            writes testdata/cases.toml
    python3 testdata/generate.py --check    compares with what is there, exit status 1 if it differs

For every case, `norm_lower <= S <= norm_upper`, where S is the norm of the layer on the infinite
lattice: the supremum over all frequencies of the spectral norm of the symbol F. Strides and groups
are part of S, what non-zero padding adds is not (crates/sigmax/docs/theory.md, T3 to T7).

Shapes are `[c_out, c_in/groups, k...]`, or `[c_in, c_out/groups, k...]` where `transposed` is true;
values are row-major. There are two kinds of enclosures:

* known by hand: exact, rounded outwards to neighbouring f64 numbers;
* computed: the lower end is the norm of F in 50 digits at a maximiser, the upper end comes from a
  subdivision of the torus with the Riesz step (T14, T16), with 1e-12 of slack for its rounding.

Every case known by hand is also computed, and the two enclosures have to overlap.

A computed case is reproducible byte for byte with the versions in scripts/requirements.txt: its
enclosure is rounded outwards to 10 digits, far above the last bits that a machine may change.
"""

import argparse
import decimal
import itertools
import math
import pathlib
import sys
import textwrap

import mpmath
import numpy as np
import scipy.optimize

mpmath.mp.dps = 50
ROUNDING = 1e-12  # generous: the SVD of a matrix of this size is good to about 1e-15
TOLERANCE = 1e-7  # relative width of a computed enclosure, where the cell budget allows
MAX_CELLS = 100_000


# --- from a layer to stride-1 kernels ------------------------------------------------------------

def lattice_kernels(weight, stride, dilation, groups):
    """One stride-1 kernel per group with the same norm: zeros between dilated taps, then T3.

    A transposed layer is the adjoint of the convolution with the same weights (T6): no change."""
    axes = range(weight.ndim - 2)
    reach = [(k - 1) * d + 1 for k, d in zip(weight.shape[2:], dilation)]
    full = [-(-r // s) * s for r, s in zip(reach, stride)]
    spread = np.zeros((*weight.shape[:2], *full))
    spread[(..., *(slice(0, r, d) for r, d in zip(reach, dilation)))] = weight
    split = spread.reshape(*weight.shape[:2], *itertools.chain(*((f // s, s) for f, s in zip(full, stride))))
    phases_first = split.transpose(0, 1, *(3 + 2 * a for a in axes), *(2 + 2 * a for a in axes))
    kernel = phases_first.reshape(weight.shape[0], -1, *(f // s for f, s in zip(full, stride)))
    return np.split(kernel, groups)


# --- the norm of a stride-1 kernel ---------------------------------------------------------------

def norms(kernel, theta):
    """The norm of F at each row of `theta`."""
    rows, cols, *k = kernel.shape
    taps = np.indices(k).reshape(len(k), -1)
    symbol = np.exp(1j * theta @ taps) @ kernel.reshape(rows * cols, -1).T
    return np.linalg.svd(symbol.reshape(-1, rows, cols), compute_uv=False)[:, 0]


def norm_50_digits(kernel, theta):
    """The norm of F at one frequency."""
    rows, cols, *k = kernel.shape
    symbol = mpmath.zeros(rows, cols)
    for tap in itertools.product(*map(range, k)):
        phase = mpmath.expj(mpmath.fsum(t * mpmath.mpf(float(a)) for t, a in zip(tap, theta)))
        symbol += phase * mpmath.matrix(kernel[(..., *tap)].tolist())
    return max(mpmath.svd_c(symbol, compute_uv=False))


def maximiser(kernel, starts):
    """The best frequency that local searches from `starts` find."""
    found = [
        scipy.optimize.minimize(
            lambda t: -norms(kernel, t[None])[0], start, method="Nelder-Mead",
            options={"xatol": 1e-9, "fatol": 0, "maxiter": 400},
        ) for start in starts
    ]
    return min(found, key=lambda result: result.fun).x


def bracket(kernel):
    """(lower, upper) of S: the cells that T14 cannot rule out are split until they prove enough."""
    if not kernel.any():
        return mpmath.mpf(0), mpmath.mpf(0)
    exponent = int(np.frexp(np.abs(kernel).max())[1])
    kernel = np.ldexp(kernel, -exponent)
    k = np.array(kernel.shape[2:])
    cells = np.maximum(4 * (k - 1), 1)
    half_width = math.pi / cells
    cells[0] = (cells[0] + 1) // 2  # F(-theta) is the conjugate of F(theta)
    centres = (np.indices(cells).reshape(len(k), -1).T + 0.5) * 2 * half_width
    values = norms(kernel, centres)
    best = maximiser(kernel, centres[np.argsort(-values, kind="stable")[:3]])
    lower = norm_50_digits(kernel, best)
    while True:
        cosine = math.cos((k - 1) / 2 @ half_width)
        kept = centres[values * (1 + ROUNDING) >= float(lower) * cosine]
        upper = values.max() / cosine * (1 + ROUNDING)
        if upper <= lower * (1 + TOLERANCE) or len(kept) * 2 ** len(k) > MAX_CELLS:
            break
        half_width = half_width / 2
        corners = np.array(list(itertools.product((-1, 1), repeat=len(k))))
        centres = (kept[:, None] + corners * half_width).reshape(-1, len(k))
        values = norms(kernel, centres)
    return mpmath.ldexp(lower, exponent), mpmath.ldexp(mpmath.mpf(upper), exponent)


def computed(layer):
    """(lower, upper) of S: the largest over the groups (T5)."""
    kernels = lattice_kernels(layer["weight"], layer["stride"], layer["dilation"], layer["groups"])
    brackets = [bracket(kernel) for kernel in kernels]
    return max(b[0] for b in brackets), max(b[1] for b in brackets)


# --- outward rounding ----------------------------------------------------------------------------

def neighbours(exact):
    """The largest f64 <= exact <= the smallest f64."""
    near = float(exact)
    lower = upper = near
    while mpmath.mpf(lower) > exact:
        lower = math.nextafter(lower, -math.inf)
    while mpmath.mpf(upper) < exact:
        upper = math.nextafter(upper, math.inf)
    return lower, upper


def ten_digits(lower, upper):
    """The enclosure with ten digits or so, rounded outwards."""
    def rounded(x, mode):
        context = decimal.Context(prec=10, rounding=mode)
        return float(context.create_decimal(mpmath.nstr(x, 40)))
    return (rounded(lower * (1 - ROUNDING), decimal.ROUND_FLOOR),
            rounded(upper * (1 + ROUNDING), decimal.ROUND_CEILING))


# --- the cases -----------------------------------------------------------------------------------

CASES = []


def add(name, shape, values, norm, source, **geometry):
    """One case; `norm` is exact (int, float or mpf), or None to compute an enclosure."""
    axes = len(shape) - 2
    layer = {
        "name": name,
        "weight": np.array(values, dtype=float).reshape(shape),
        "stride": [1] * axes, "padding": [[0, 0]] * axes, "padding_mode": "zeros",
        "dilation": [1] * axes, "groups": 1, "transposed": False, "input_size": None,
    }
    unknown = geometry.keys() - layer.keys()
    assert not unknown, unknown
    CASES.append((layer | geometry, norm, source))


def absolute_sum(values):
    """Sum of absolute values, exactly: the norm of one channel whose terms align at one frequency."""
    return mpmath.fsum(values, absolute=True)


def known_by_hand():
    sqrt = mpmath.sqrt
    ones = np.ones
    same = [[1, 1], [1, 1]]
    laplace = [1, -2, 1]
    laplace_2d = [0, 1, 0, 1, -4, 1, 0, 1, 0]
    delta = [0, 0, 0, 0, 1, 0, 0, 0, 0]
    triangular = [3, 0, 4, 5]

    # One tap: the norm is that of a matrix.
    add("scalar", [1, 1, 1, 1], [-3.5], 3.5, "|-3.5|")
    add("row", [1, 2, 1, 1], [3, 4], 5, "sqrt(3^2 + 4^2)")
    add("triangular", [2, 2, 1, 1], triangular, 3 * sqrt(5), "A A^T has the eigenvalues 45 and 5")
    add("hilbert", [3, 3, 1], [1 / (i + j + 1) for i in range(3) for j in range(3)], None,
        "norm of the 3x3 Hilbert matrix, as rounded to f64, in 50 digits")
    add("zero", [2, 3, 3, 3], np.zeros(54), 0, "zero kernel", padding=same)

    # One channel: the largest absolute value of a trigonometric polynomial.
    add("delta", [1, 1, 3, 3], delta, 1, "identity", padding=same)
    add("delta_corner", [1, 1, 5, 5], [0] * 24 + [2], 2, "twice a shift")
    add("difference", [1, 1, 2], [1, -1], 2, "|1 - e^it|, at pi")
    add("difference_2d", [1, 1, 2, 2], [1, -1, -1, 1], 4, "product of two differences")
    add("laplace", [1, 1, 3], laplace, 4, "|2 cos t - 2|, at pi", padding=[[1, 1]])
    add("laplace_2d", [1, 1, 3, 3], laplace_2d, 8, "|2 cos s + 2 cos t - 4|, at (pi, pi)", padding=same)
    add("laplace_3d", [1, 1, 3, 3, 3], [laplace_3d(*t) for t in itertools.product((-1, 0, 1), repeat=3)], 12,
        "|2 cos r + 2 cos s + 2 cos t - 6|, at (pi, pi, pi)", padding=[[1, 1]] * 3)
    add("sobel", [1, 1, 3, 3], [1, 0, -1, 2, 0, -2, 1, 0, -1], 8, "(2 + 2 cos s) * 2 |sin t|, at (0, pi/2)")
    add("average", [1, 1, 3, 3], [1 / 9] * 9, absolute_sum([1 / 9] * 9), "nine times the f64 nearest 1/9, at 0")
    add("quadrature", [1, 1, 3], [1, 2, -1], 2 * sqrt(2), "|F|^2 = 6 - 2 cos 2t, at pi/2")
    add("off_grid", [1, 1, 3], [2, 1, -1], 9 / (2 * sqrt(2)),
        "|F|^2 = 10 + 2c - 8c^2 with c = cos t, at c = 1/8, on no regular grid")

    # Several channels.
    permutation = np.zeros((3, 3, 3, 3))
    permutation[[0, 1, 2], [2, 0, 1], [0, 1, 2], [1, 2, 0]] = 1
    add("permutation", [3, 3, 3, 3], permutation, 1, "permutes the channels and shifts each")
    add("ones", [2, 3, 3, 3], ones(54), 9 * sqrt(6), "taps * sqrt(c_out * c_in), at 0")
    add("ones_3d", [1, 2, 2, 3, 2], ones(24), 12 * sqrt(2), "taps * sqrt(c_out * c_in), at 0")
    rank_one = np.einsum("o,i,h,w->oihw", [1, 2, 2], [3, 4], [1, 2, 1], laplace)
    add("rank_one", [3, 2, 3, 3], rank_one, 240, "product of 3, 5, 4 and 4, the norms of its four factors")
    flat = np.zeros((2, 2, 2))
    flat[:, 0, 0], flat[:, 1, 1] = [3, 4], [-4, 3]
    add("flat", [2, 2, 2], flat, 5, "5 times a rotation times diag(1, e^it): 5 at every frequency")

    # Scales at which squares leave the range of f64.
    tiny, huge = [1e-300, -2e-300, 1e-300], [1e300, -2e300, 1e300]
    add("tiny", [1, 1, 3], tiny, absolute_sum(tiny), "sum of the absolute values, at pi")
    add("huge", [1, 1, 3], huge, absolute_sum(huge), "sum of the absolute values, at pi")
    add("subnormal", [1, 1, 3], [5e-324] * 3, absolute_sum([5e-324] * 3), "three times the smallest f64, at 0")
    add("subnormal_matrix", [2, 2, 1], [5e-324, 0, 0, -5e-324], 5e-324, "the smallest f64 times an isometry")

    # Groups: the largest block.
    add("depthwise", [3, 1, 3, 3], [delta, laplace_2d, [1] * 9], 9, "largest of 1, 8 and 9", groups=3, padding=same)
    add("groups", [4, 2, 1, 1], triangular + [1, 0, 0, 1], 3 * sqrt(5), "larger of 3 sqrt(5) and 1", groups=2)

    # Strides.
    add("patches", [1, 1, 3, 3], ones(9), 3, "disjoint patches: sqrt(9)", stride=[3, 3])
    add("patches_average", [1, 1, 2, 2], [0.25] * 4, 0.5, "disjoint patches: sqrt(4)/4", stride=[2, 2])
    add("overlap", [1, 1, 4], ones(4), 2 * sqrt(2), "two phases of [1, 1]: sqrt(2) * 2", stride=[2])
    add("skip", [1, 1, 2], [3, 4], 5, "stride beyond the kernel: sqrt(3^2 + 4^2)", stride=[3])

    # Dilation.
    add("laplace_dilated", [1, 1, 3, 3], laplace_2d, 8, "as laplace_2d on each of nine sublattices",
        dilation=[3, 3], padding=[[3, 3], [3, 3]])
    add("stride_equals_dilation", [1, 1, 3], laplace, 4, "reads one of two sublattices, there as laplace",
        stride=[2], dilation=[2])

    # Transposed: the norm of the adjoint.
    add("transposed", [1, 1, 3], laplace, 4, "adjoint of laplace", transposed=True, padding=[[1, 1]])
    add("transposed_patches", [2, 1, 2, 2], [1, 1, 1, 1, 1, -1, 1, -1], 2,
        "adjoint of disjoint patches: two orthogonal rows of norm 2", transposed=True, stride=[2, 2])
    add("transposed_groups", [2, 1, 2], [1, -1, 3, 0], 3, "larger of 2 and 3", transposed=True, groups=2)

    # Padding that copies pixels: the norm here is that of the kernel alone.
    add("circular_odd", [1, 1, 3], laplace, 4, "as laplace; the circular layer on 5 pixels stays below",
        padding=[[1, 1]], padding_mode="circular", input_size=[5])
    add("reflect", [1, 1, 3, 3], delta, 1, "identity on the padded image", padding=same, padding_mode="reflect",
        input_size=[6, 6])
    add("replicate", [1, 1, 3], [0.25, 0.5, 0.25], 1, "sum, at 0", padding=[[1, 1]], padding_mode="replicate")


def laplace_3d(*tap):
    """The 7-point Laplacian: -6 in the centre, 1 at its six neighbours."""
    return {0: -6, 1: 1}.get(sum(map(abs, tap)), 0)


def random():
    same = [[1, 1], [1, 1]]
    specs = [
        ("1d", [3, 2, 5], 1, {}),
        ("1d_even", [2, 3, 4], 1, {"padding": [[1, 2]]}),
        ("1d_long", [1, 1, 11], 1, {}),
        ("2d", [4, 3, 3, 3], 1, {"padding": same}),
        ("2d_wide", [2, 5, 3, 3], 1, {"padding": same, "input_size": [8, 8]}),
        ("2d_tall_kernel", [3, 2, 7, 1], 1, {"padding": [[3, 3], [0, 0]]}),
        ("2d_rectangular", [2, 3, 2, 3], 1, {}),
        ("2d_tiny", [2, 2, 3, 3], 1e-200, {}),
        ("2d_huge", [2, 2, 3, 3], 1e200, {}),
        ("groups", [6, 2, 3, 3], 1, {"groups": 3, "padding": same}),
        ("stride_2", [3, 4, 3, 3], 1, {"stride": [2, 2], "padding": same}),
        ("stride_3", [2, 2, 5, 5], 1, {"stride": [3, 3]}),
        ("stride_1_2", [2, 2, 3, 3], 1, {"stride": [1, 2]}),
        ("stem", [6, 3, 7, 7], 1, {"stride": [2, 2], "padding": [[3, 3], [3, 3]]}),
        ("dilation_2", [2, 2, 3, 3], 1, {"dilation": [2, 2], "padding": [[2, 2], [2, 2]]}),
        ("stride_2_dilation_3", [2, 2, 3, 3], 1, {"stride": [2, 2], "dilation": [3, 3]}),
        ("stride_4_dilation_2", [2, 1, 5], 1, {"stride": [4], "dilation": [2]}),
        ("transposed_stride_2", [3, 2, 4, 4], 1, {"transposed": True, "stride": [2, 2], "padding": same}),
        ("transposed_groups", [4, 2, 3], 1, {"transposed": True, "stride": [2], "groups": 2}),
        ("3d", [2, 2, 2, 2, 2], 1, {}),
        ("3d_stride", [2, 1, 3, 2, 3], 1, {"stride": [2, 1, 1]}),
    ]
    for seed, (name, shape, scale, geometry) in enumerate(specs):
        values = np.random.default_rng(seed).standard_normal(shape) * scale
        add(f"random_{name}", shape, values, None,
            f"normal entries, seed {seed}; 50 digits at the maximiser, cells with the Riesz step", **geometry)


def enclosure(layer, norm):
    """(norm_lower, norm_upper) as f64."""
    lower, upper = computed(layer)
    if norm is None:
        return ten_digits(lower, upper)
    exact = mpmath.mpf(norm)
    assert lower * (1 - ROUNDING) <= exact <= upper * (1 + ROUNDING), (layer["name"], lower, exact, upper)
    return neighbours(exact)


def toml(layer, bounds, source):
    """One `[[case]]`."""
    values = ", ".join(map(repr, layer["weight"].ravel().tolist()))
    lines = ["[[case]]", f'name = "{layer["name"]}"', f"shape = {list(layer['weight'].shape)}"]
    if len(values) > 88:
        lines += ["values = [", textwrap.fill(values, 98, initial_indent="  ", subsequent_indent="  ",
                                              break_on_hyphens=False) + ",", "]"]
    else:
        lines.append(f"values = [{values}]")
    for key in ("stride", "padding"):
        lines.append(f"{key} = {layer[key]}")
    lines += [f'padding_mode = "{layer["padding_mode"]}"', f"dilation = {layer['dilation']}",
              f"groups = {layer['groups']}", f"transposed = {str(layer['transposed']).lower()}"]
    if layer["input_size"]:
        lines.append(f"input_size = {layer['input_size']}")
    lines += [f"norm_lower = {bounds[0]!r}", f"norm_upper = {bounds[1]!r}", f'source = "{source}"']
    return "\n".join(lines)


HEADER = """\
# Kernels with an enclosure of their norm on the infinite lattice, computed without sigmax.
# Written by testdata/generate.py, which says what the fields mean. Do not edit.
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    args = parser.parse_args()
    known_by_hand()
    random()
    text = "\n\n".join([HEADER.strip(), *(toml(c, enclosure(c, norm), source) for c, norm, source in CASES)]) + "\n"
    path = pathlib.Path(__file__).with_name("cases.toml")
    if not args.check:
        path.write_text(text)
    elif not path.exists() or path.read_text() != text:
        sys.exit(f"{path.name} differs from what {pathlib.Path(__file__).name} generates")
    print(f"{len(CASES)} cases, {len(text)} bytes")


if __name__ == "__main__":
    main()
