"""The values of a network, in integers of unit 2^-P, with a bound of all that is rounded."""
import functools, math

import numpy as np
from mpmath import mp, mpf

from certificate.common import NotCovered, exact, need

P = 192
SMOOTH = {"Softplus": lambda x: mp.log1p(mp.exp(x)), "Sigmoid": lambda x: 1 / (1 + mp.exp(-x)), "Tanh": mp.tanh}
fixed = np.frompyfunc(lambda v, bits: int(mp.floor(mp.ldexp(v, int(bits)))), 2, 1)  # at most one unit too small


def windows(x, node, fill):
    """The pixels under every tap: [channels, taps, outputs...]."""
    padded = np.full([len(x), *(n + sum(p) for n, p in zip(x.shape[1:], node.pads))], fill, object)
    padded[(slice(None), *(slice(p, p + n) for n, (p, _) in zip(x.shape[1:], node.pads)))] = x
    steps = list(zip(node.out, node.stride, node.dilation))
    return np.stack([padded[(slice(None), *(slice(t * d, t * d + (o - 1) * s + 1, s) for t, (o, s, d) in zip(tap, steps)))]
                     for tap in np.ndindex(*node.kernel)], 1)


def integers(w):
    """Integers n and e with w = n 2^-e, exactly."""
    mantissa, power = np.frexp(w)
    low = int(power[w != 0].min(initial=0)) - 53
    shift = np.maximum(power - 53 - low, 0).astype(object)
    return np.ldexp(mantissa, 53).astype(np.int64).astype(object) << shift, -low


def value(node, inputs):
    """Every entry is off by at most 4 units 2^-P, for the given inputs."""
    x, op = inputs[0], node.op
    if op in ("convolution", "dense"):
        if not hasattr(node, "integers"):
            node.integers = integers(node.weight)
        (w, e), groups = node.integers, getattr(node, "groups", 1)
        x = windows(x, node, 0) if op == "convolution" else x
        w, x = w.reshape(groups, w.shape[0] // groups, -1), x.reshape(groups, w[0].size, -1)
        y = np.concatenate([a.dot(b) for a, b in zip(w, x)])
        y = y >> e if e >= 0 else y << -e
        if node.bias is not None:
            y = y + fixed(exact(node.bias), P)[:, None]
        return y.reshape(node.shape)
    if op == "affine":  # |x| < 2^P, so that the error of the scale's last digit is below a unit
        # What 512 bits lose of scale, times x, and shift is far below a unit: both are below 2^(P + 1), as is their sum.
        need(all(abs(v) < mp.ldexp(1, P) for v in node.shift.flat), "a shift is too large", NotCovered)
        return (x * fixed(node.scale, 2 * P) >> 2 * P) + fixed(node.shift, P)
    if op in ("Relu", "Abs", "LeakyRelu"):
        return np.where(x >= 0, x, x * fixed(node.slope, 2 * P) >> 2 * P)
    if op in SMOOTH:
        need(all(abs(v) < 1 << P + 40 for v in x.flat), "a value is too large", NotCovered)
        return np.frompyfunc(lambda v: int(mp.floor(mp.ldexp(SMOOTH[op](mp.ldexp(mpf(v), -P)), P))), 1, 1)(x)
    if op == "max-pool":
        return windows(x, node, x.min()).max(1)
    if op == "separable":
        ones = np.ones(x.shape, object)
        return windows(x, node, 0).sum(1) // (math.prod(node.kernel) if node.count else windows(ones, node, 0).sum(1))
    if op == "pick":
        return picked(node, x.ravel()).reshape(node.shape)
    if op == "concatenation":
        return np.concatenate([x.ravel() for x in inputs])[node.order].reshape(node.shape)
    if op == "sort":
        return np.flip(np.sort(x, node.axis), node.axis) if node.descending else np.sort(x, node.axis)
    if op == "normalisation":
        return normalised(x, node)
    need(op in ("sum", "maximum", "minimum"), f"a value of {node.name!r} ({op})", NotCovered)
    return functools.reduce({"sum": np.add, "maximum": np.maximum, "minimum": np.minimum}[op], inputs)


def picked(node, entries):
    """The entries of a node that moves them."""
    return entries[node.index] if hasattr(node, "index") else entries


def normalised(x, node):
    """z/sqrt(|z|^2/n + epsilon) along an axis, z = x - mean. With n z for z, in the same unit, it is
    n z/sqrt(|n z|^2/n + epsilon n^2 4^P): whole numbers, and no entry is off by a unit."""
    lanes = np.moveaxis(x, node.axis, -1)
    n, (above, below) = lanes.shape[-1], node.epsilon.as_integer_ratio()
    z = n * lanes - (lanes.sum(-1, keepdims=True) if node.centred else 0)
    squares = below * (z * z).sum(-1, keepdims=True) + (above * n**3 << 2 * P)
    size = np.frompyfunc(math.isqrt, 1, 1)((z * z * (n * below) << 2 * P) // squares)
    return np.moveaxis(np.where(z < 0, -size, size), -1, node.axis)


def evaluate(nodes, owns, last, pixels, error):
    """(value, l2 error) of every node up to `last`; `error` is that of the pixels.

    All values are below 2^P, so that they are numbers of mpmath without rounding, and so are differences of them."""
    def small(x):
        need(all(abs(v) < 1 << 2 * P for v in x.flat), "a value is too large", NotCovered)
        return x
    found = [(small(pixels), error)]
    for node, own in zip(nodes[1:last + 1], owns[1:]):
        inputs = [found[i] for i in node.inputs]
        result = small(value(node, [x for x, _ in inputs]))
        assert all(type(v) is int for v in result.flat)  # not NumPy's, which overflow
        rounding = mp.ldexp(4 * mp.sqrt(result.size), -P)
        spread = mp.sqrt(sum(e**2 for _, e in inputs))
        found.append((result, (own * spread if own else 0) + rounding))  # infinity times 0 is 0 here
    return found
