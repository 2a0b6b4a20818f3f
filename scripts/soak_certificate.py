#!/usr/bin/env python3
"""Try to have false constants confirmed by scripts/certificate, on small random networks.

    python3 scripts/soak_certificate.py [--seed 0] [--networks 200] [--sigmax target/release/sigmax]

Of the networks every third one is linear, so that a dense matrix is the truth: the one that onnx's reference implementation
gives at the unit vectors. They have factors per channel, per row, per column and per entry, on inputs [C, H, W], [H, W, C],
and flat, with as many rows as channels more often than not, before and after convolutions and matrices, with groups and
strides. The next ones have one layer of softplus, sigmoid or tanh amid such nodes, and a dense matrix before and behind it.
The others have values that are cut up, moved, sorted, normalised, put side by side and compared with one another, with a batch
axis or without. Their truth is approached from below by quotients of differences.

1. Of linear networks, 0.98 times the norm of the map into every node is stated, as following from its own constant and as
   that of a group from every place. Nothing of this may be confirmed. What is stated of the nodes before is true.
   Of those with values that meet again, 0.99 times the largest quotient of differences is stated of each node, and 0.98 times a
   constant that is attained by the node alone. The values have to be those of onnx's reference implementation. Likewise residuals of
   a branch between dense layers, monotone or not. Within a distance no input may leave the bounds around an image.
   Of the smooth ones, 0.98 times the curvature of T34 is stated, and much less, down to 0, behind a normalisation with std from
   10^-300 to 10^300. Nothing of this may be confirmed; 1 + 10^-6 times it is, unless not covered.
2. With --sigmax, `sigmax certify` writes certificates of every network, of images of which classes tie, some with mean and
   std. Its constant must not be below the truth, and the checker may say that it does not cover a network, but not that it
   is wrong. Then one key of a line at a time states more, and a radius is beyond an input of another class that was met, with
   any tangents; of the header keys are what the format does not have. Nothing of this may be confirmed.
3. A few cases with numbers that no network has, and small nodes that meet again, whose constants are known, whatever the options.
Exit status: 0 nothing false was confirmed and nothing true refused; 1 otherwise.
"""
import argparse, copy, functools, json, math, pathlib, subprocess, sys, tempfile
from types import SimpleNamespace

import numpy as np, onnx
from mpmath import mp, mpf
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from certificate.bounds import check_bounds
from certificate.common import INF, NotCovered, Rejected, exact, parse, record, whole
from certificate.local import Around, Prepared
from certificate.network import NO_BATCH, build
from certificate.second_order import CURVED, DIGITS, SecondOrder
from certificate.values import P, evaluate, fixed
from check_certificate import HEADER, LINE, MORE_OF_HEADER, MORE_OF_LINE, Checker, check

HERE = pathlib.Path(__file__).parent


class Graph:
    """A random network of the input `x` and the output `y`, of which every node is linear."""

    smooth, options = None, []

    @property
    def sample(self):
        """The shape of one input as sigmax takes it."""
        return self.input

    def __init__(self, draw):
        self.start(draw)
        self.some(1)
        self.end(draw.random() < 0.5)

    def start(self, draw):
        self.draw, self.nodes, self.constants = draw, [], []
        self.last = "x"
        c = int(draw.integers(1, 4))
        h = c if draw.random() < 0.6 else int(draw.integers(1, 5))
        w = c if draw.random() < 0.3 else int(draw.integers(1, 5))
        self.shape = self.input = [[c, h, w], [h, w, c], [c * h]][draw.choice(3, p=[0.6, 0.2, 0.2])]

    def some(self, least):
        for _ in range(self.draw.integers(least, 5)):
            self.draw.choice([self.factor, self.factor, self.layer, self.shift])()

    def end(self, matrix):
        if self.draw.random() < 0.5:
            self.factor()
        if len(self.shape) > 1:
            self.add("Flatten", [], [int(np.prod(self.shape))])
        if np.prod(self.shape) < 2 or matrix:
            self.matrix(int(self.draw.integers(2, 5)))
        self.nodes[-1].output[0] = "y"

    def weights(self, shape):
        """Few different numbers, so that classes tie; sometimes one is much larger than the others."""
        values = self.draw.integers(-2, 3, shape) / 2
        if values.size and self.draw.random() < 0.5:
            values.flat[self.draw.integers(values.size)] = 8
        return values.astype(np.float32)

    def add(self, op, constants, shape, **attributes):
        names = [f"c{len(self.constants) + i}" for i in range(len(constants))]
        self.constants += [numpy_helper.from_array(a, n) for a, n in zip(constants, names)]
        out = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, [self.last, *names], [out], **attributes))
        self.last, self.shape = out, shape

    def beside(self):
        """A constant that is broadcast beside a sample: any of its axes is as long, or 1, or left out in front."""
        dims = [n if self.draw.random() < 0.5 else 1 for n in self.shape]
        return self.weights([1, *dims] if self.draw.random() < 0.3 else dims[self.draw.integers(len(dims)):])

    def factor(self):
        self.add("Mul", [self.beside()], self.shape)

    def shift(self):
        self.add("Add", [self.beside()], self.shape)

    def matrix(self, rows):
        self.add("MatMul", [self.weights([self.shape[0], rows])], [rows])

    def layer(self):
        if len(self.shape) == 1:
            return self.matrix(int(self.draw.integers(1, 4)))
        c, *sizes = self.shape
        groups = c if self.draw.random() < 0.3 else 1
        out = groups * int(self.draw.integers(1, 3))
        k = [int(self.draw.integers(1, n + 1)) for n in sizes]
        s = int(self.draw.integers(1, 3))
        shape = [out, *((n - a) // s + 1 for n, a in zip(sizes, k))]
        self.add("Conv", [self.weights([out, c // groups, *k])], shape, group=groups, strides=[s, s], kernel_shape=k)

    def model(self, every=False, double=False):
        kind, constants = TensorProto.FLOAT, self.constants
        if double:
            kind, constants = TensorProto.DOUBLE, [in_double(t) for t in constants]
        inputs = [helper.make_tensor_value_info("x", kind, ["n", *self.input])]
        names = [node.output[0] for node in self.nodes] if every else ["y"]
        outputs = [helper.make_tensor_value_info(name, kind, None) for name in names]
        graph = helper.make_graph(self.nodes, "soak", inputs, outputs, constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)

    def norms(self):
        """The norm of the map from the input to the output of every node, by name."""
        n = int(np.prod(self.input))
        x = np.concatenate([np.zeros((1, n)), np.eye(n)]).astype(np.float32).reshape(-1, *self.input)
        values = ReferenceEvaluator(self.model(every=True)).run(None, {"x": x})
        flat = [v.reshape(n + 1, -1).astype(float) for v in values]
        return {node.output[0]: np.linalg.norm(v[1:] - v[0], 2) for node, v in zip(self.nodes, flat)}


    def values(self, x):
        """The outputs at inputs [n, ...], in float64."""
        return ReferenceEvaluator(self.model(double=True)).run(None, {"x": x})[0]


class Smooth(Graph):
    """One with a layer of activations."""

    def __init__(self, draw):
        self.start(draw)
        self.some(0)
        self.smooth, self.place, self.units = str(draw.choice(list(CURVED))), len(self.nodes), self.shape
        self.add(self.smooth, [], self.shape)
        self.some(0)
        self.end(True)

    def weights(self, shape):
        """Sometimes all of a kind, or of another scale."""
        values = super().weights(shape)
        if self.draw.random() < 0.3:
            values = self.draw.standard_normal(shape).astype(np.float32)
        return values * np.float32(10.0**self.draw.integers(-20, 21) if self.draw.random() < 0.1 else 1)

    def linear(self, nodes, source, shape):
        """The matrix of some of the nodes, in float64, without shifts: beside them a small difference would be lost."""
        shifts = {node.input[1] for node in nodes if node.op_type == "Add"}
        if not nodes:
            return np.eye(math.prod(shape))
        n, end = math.prod(shape), nodes[-1].output[0]
        ends = [[helper.make_tensor_value_info(name, TensorProto.DOUBLE, dims)] for name, dims in ((source, ["n", *shape]), (end, None))]
        graph = helper.make_graph(nodes, "part", *ends, [in_double(t, 0 if t.name in shifts else 1) for t in self.constants])
        x = np.concatenate([np.zeros((1, n)), np.eye(n)]).reshape(-1, *shape)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        z = ReferenceEvaluator(model).run(None, {source: x})[0].reshape(n + 1, -1)
        return (z[1:] - z[0]).T

    def curvatures(self, spread):
        """The numbers of T34 for all pairs of classes, behind a division by `spread` per pixel."""
        source = self.nodes[self.place - 1].output[0] if self.place else "x"
        j = self.linear(self.nodes[:self.place], "x", self.input) / spread.ravel()
        w = self.linear(self.nodes[self.place + 1:], self.nodes[self.place].output[0], self.units)
        assert source == self.nodes[self.place].input[0]
        low, high = CURVED[self.smooth][1]
        def pair(a):
            size, reach = np.abs(a).max(), np.abs(j).max()
            if not size or not reach:
                return mpf(0)
            kappa = np.maximum(0, np.maximum(-a * low, -a * high)) / size
            return mpf(float(np.linalg.norm(np.sqrt(kappa)[:, None] * j / reach, 2)))**2 * mpf(float(size)) * mpf(float(reach))**2
        return [[pair(a - b) for b in w] for a in w]


class Meeting(Graph):
    """Values that are cut up, moved and compared, and meet again; `front` axes are before a sample's: 1, the batch, or none."""

    def __init__(self, draw):
        self.draw, self.nodes, self.constants, self.opset = draw, [], [], int(draw.choice([17, 21]))
        self.front = int(draw.random() < 0.6)
        self.options = ([] if self.front else ["--no-batch"]) + (["--method", "local"] if draw.random() < 0.4 else [])
        n = int(draw.choice([2, 4, 4, 6]))
        self.input = [[n], [n, 1, 2], [n, 2], [1, n], [1, 2, 2, 1]][draw.integers(5 if not self.front else 3)]
        self.known = [("x", self.input)]
        for _ in range(draw.integers(2, 7)):
            name, shape = self.known[-1 if draw.random() < 0.7 else draw.integers(len(self.known))]
            kinds = [self.sorted_pair, self.extrema, self.extrema, self.both_signs, self.side_by_side, self.cut, self.moved, self.bent,
                     self.bent, self.factor, self.combined, self.ordered, self.reduced, self.pooled, self.normalised, self.mixed]
            kinds[draw.integers(len(kinds))](name, shape)
        self.last, self.shape = self.known[-1]
        if self.front or len(self.shape) > 1:
            self.take("Flatten", [self.last], [int(np.prod(self.shape))] if self.front else [1, int(np.prod(self.shape))], axis=self.front)
        if self.known[-1][1][-1] < 2 or draw.random() < 0.5:
            self.mixed(*self.known[-1])
        self.shape = self.known[-1][1]
        self.nodes[-1].output[0] = "y"

    def constant(self, array):
        self.constants.append(numpy_helper.from_array(np.asarray(array), f"c{len(self.constants)}"))
        return self.constants[-1].name

    def take(self, op, names, shape, outputs=1, **attributes):
        """A node; its value is the last one that is known."""
        names = [name if type(name) is str else self.constant(name) for name in names]
        outs = [f"v{len(self.nodes)}" + (f"_{i}" if i else "") for i in range(outputs)]
        self.nodes.append(helper.make_node(op, names, outs, **attributes))
        self.known.append((outs[0], list(shape)))
        return outs

    def axis(self, i):
        return i + self.front

    def halves(self, name, shape, at):
        """Two parts of an axis, as names; now and then not those that belong together."""
        n, way = shape[at], self.draw.integers(4)
        half = [*shape[:at], n // 2, *shape[at + 1:]]
        if way == 0:
            return self.take("Split", [name], half, 2, axis=self.axis(at)), half
        starts = ((0, 1, 2) if way == 1 else (0, n // 2, 1)) if self.draw.random() < 0.8 else (0, self.draw.integers(n - n // 2 + 1), 1)
        one = lambda v: np.array([v], np.int64)
        def part(start, step):
            return self.take("Slice", [name, one(start), one(min(n, start + step * (n // 2)) if self.draw.random() < 0.5 or step == 1 else 2**62),
                                       one(self.axis(at)), one(step)], half)[0]
        return [part(starts[0], starts[2]), part(starts[1], starts[2])], half

    def even(self, shape):
        return [i for i, n in enumerate(shape) if n % 2 == 0]

    def sorted_pair(self, name, shape):
        if not self.even(shape):
            return
        at = int(self.draw.choice(self.even(shape)))
        both, half = self.halves(name, shape, at)
        others = both if self.draw.random() < 0.7 else self.halves(name, shape, at)[0]
        if others[0] == both[0] and self.draw.random() < 0.3:
            others = others[::-1]
        self.take("Max", both, half)
        large = self.known[-1][0]
        if self.draw.random() < 0.2:
            self.take("Neg", [large], half)
            large = self.known[-1][0]
        self.take("Min" if self.draw.random() < 0.8 else "Max", others, half)
        if self.draw.random() < 0.85:
            self.take("Concat", [large, self.known[-1][0]], [2 * n if i == at else n for i, n in enumerate(half)], axis=self.axis(at))

    def extrema(self, name, shape):
        """Extrema of parts, with signs and factors, side by side with others of the same parts."""
        if not self.even(shape):
            return
        at = int(self.draw.choice(self.even(shape)))
        half = [n // 2 if i == at else n for i, n in enumerate(shape)]
        parts = [*self.halves(name, shape, at)[0], *self.halves(name, shape, at)[0]][:self.draw.integers(2, 5)]
        if self.draw.random() < 0.1:
            parts, half = [name] * 3, shape
        found = []
        for _ in range(self.draw.integers(2, 4)):
            some = [str(v) for v in self.draw.choice(parts, self.draw.integers(1, 4))] if self.draw.random() < 0.4 else parts[:2]
            sign = str(self.draw.choice(["", "", "Neg", "Neg", "Relu", "Mul", "Add"]))
            def signed(v):
                if not sign or self.draw.random() < 0.1:
                    return v
                more = {"Mul": [np.float32(self.draw.choice([2, 0.5, -2]))], "Add": [np.float32(0.25)]}.get(sign, [])
                return self.take(sign, [v, *more], half)[0]
            op = str(self.draw.choice(["Max", "Min"]))
            if self.draw.random() < 0.3:
                first = self.take(op, some, half)[0]
                some = [first, str(self.draw.choice(parts))]
                op = op if self.draw.random() < 0.7 else str(self.draw.choice(["Max", "Min"]))
            found.append(self.take(op, [signed(v) for v in some], half)[0])
            if self.draw.random() < 0.3:
                found[-1] = self.take(str(self.draw.choice(["Neg", "Relu", "Abs"])), [found[-1]], half)[0]
        if self.draw.random() < 0.3:
            found.append(parts[0])
        self.take("Concat", found, [len(found) * n if i == at else n for i, n in enumerate(half)], axis=self.axis(at))

    def both_signs(self, name, shape):
        at = int(self.draw.integers(len(shape)))
        parts = []
        for sign in self.draw.choice([-1, 1, 1, -0.5, 2], 2) if self.draw.random() < 0.4 else (1, -1):
            of = self.take("Mul", [name, np.float32(sign)], shape)[0] if sign != 1 or self.draw.random() < 0.2 else name
            of = self.take("Add", [of, np.float32(0.25)], shape)[0] if self.draw.random() < 0.15 else of
            parts.append(self.take(str(self.draw.choice(["Relu", "Relu", "Relu", "Abs", "LeakyRelu"])), [of], shape)[0])
        self.take("Concat", parts, [2 * n if i == at else n for i, n in enumerate(shape)], axis=self.axis(at))

    def side_by_side(self, name, shape):
        others = [v for v, s in self.known if s == shape]
        some = [name, *(str(self.draw.choice(others)) for _ in range(self.draw.integers(1, 3)))]
        at = int(self.draw.integers(len(shape)))
        self.take("Concat", some, [len(some) * n if i == at else n for i, n in enumerate(shape)], axis=self.axis(at))

    def cut(self, name, shape):
        if self.even(shape):
            self.halves(name, shape, int(self.draw.choice(self.even(shape))))

    def moved(self, name, shape):
        way, n = self.draw.integers(3), int(np.prod(shape))
        if way == 0:
            order = self.draw.permutation(len(shape)).tolist()
            self.take("Transpose", [name], [shape[i] for i in order], perm=[0] * self.front + [self.axis(i) for i in order])
        elif way == 1:
            to = [[n], [n // 2, 2], [1, n], [2, 1, n // 2]][self.draw.integers(4) if n % 2 == 0 else 0]
            self.take("Reshape", [name, np.array([0] * self.front + to, np.int64)], to)
        else:
            at = int(self.draw.integers(len(shape)))
            self.take("Gather", [name, self.draw.permutation(shape[at])], shape, axis=self.axis(at))

    def bent(self, name, shape):
        self.take(str(self.draw.choice(["Relu", "Abs", "LeakyRelu", "Tanh"])), [name], shape)

    def factor(self, name, shape):
        if self.draw.random() < 0.6:
            scale = self.draw.choice([1, -1, 1, 0.5, -2, 0], [n if self.draw.random() < 0.5 else 1 for n in shape]).astype(np.float32)
            self.take("Mul", [name, scale], shape)
        else:
            self.take("Neg", [name], shape)

    def combined(self, name, shape):
        others = [v for v, s in self.known if s == shape]
        self.take(str(self.draw.choice(["Add", "Sub", "Max", "Min"])), [name, str(self.draw.choice(others))], shape)

    def ordered(self, name, shape):
        at = int(self.draw.integers(len(shape)))
        self.take("TopK", [name, np.array([shape[at]])], shape, 2, axis=self.axis(at), largest=int(self.draw.random() < 0.5))

    def reduced(self, name, shape):
        """The largest and the smallest along an axis."""
        at, keep = int(self.draw.integers(len(shape))), self.draw.random() < 0.5
        if len(shape) == 1:
            return
        to = [1 if i == at else n for i, n in enumerate(shape) if i != at or keep]
        where = [[np.array([self.axis(at)])], {}] if self.opset >= 18 else [[], {"axes": [self.axis(at)]}]
        ops = ["ReduceMax", str(self.draw.choice(["ReduceMin", "ReduceMax"]))]
        both = [self.take(op, [name, *where[0]], to, keepdims=int(keep), **where[1])[0] for op in ops]
        beside = int(self.draw.integers(len(to)))
        self.take("Concat", both, [2 * n if i == beside else n for i, n in enumerate(to)], axis=self.axis(beside))

    def pooled(self, name, shape):
        if len(shape) == 3 and self.front and max(shape[1:]) > 1:
            k = [min(2, n) for n in shape[1:]]
            s = int(self.draw.integers(1, 3))
            self.take("MaxPool", [name], [shape[0], *((n - a) // s + 1 for n, a in zip(shape[1:], k))], kernel_shape=k, strides=[s, s])

    def normalised(self, name, shape):
        epsilon, c = float(self.draw.choice([0.01, 0.25, 1])), shape[0]
        if len(shape) == 3 and self.front and self.draw.random() < 0.6:
            of, op, groups = [name, self.weights([c]), self.weights([c])], "InstanceNormalization", {}
            if self.opset == 21 and self.draw.random() < 0.6:
                op, groups = "GroupNormalization", {"num_groups": int(self.draw.choice([g for g in (1, 2, c) if c % g == 0]))}
            self.take(op, of, shape, epsilon=epsilon, **groups)
        else:
            at = int(self.draw.integers(len(shape)))
            self.take("LayerNormalization", [name, self.weights(shape[at:])], shape, axis=self.axis(at), epsilon=epsilon)

    def mixed(self, name, shape):
        if np.prod(shape) == shape[-1]:
            rows = int(self.draw.choice([2, 4]))
            self.take("MatMul", [name, self.weights([shape[-1], rows])], [*shape[:-1], rows])

    def model(self, every=False, double=False):
        kind = TensorProto.DOUBLE if double else TensorProto.FLOAT
        value = lambda name, dims: helper.make_tensor_value_info(name, kind, dims)
        constants = [in_double(t) for t in self.constants] if double else self.constants
        graph = helper.make_graph(self.nodes, "soak", [value("x", ["n"] * self.front + self.input)], [value("y", None)], constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=8)

    def values(self, x):
        run = ReferenceEvaluator(self.model(double=True)).run
        return run(None, {"x": x})[0] if self.front else np.stack([run(None, {"x": one})[0] for one in x])

    def reading(self):
        """The nodes, and the output."""
        header = SimpleNamespace(nodes=[{"shape": self.sample}], input_size=None, layout=None, picture=None, mean=None, std=None,
                                 assumptions=[] if self.front else [NO_BATCH])
        return build(self.model(), header)

    @property
    def sample(self):
        return self.input[1:] if not self.front and len(self.input) > 1 and self.input[0] == 1 else self.input

    def norms(self):
        nodes, output = self.reading()
        return {"y": quotients(nodes[:output + 1], np.random.default_rng(0))[-1]}


def floats(nodes, x):
    """The values of nodes at inputs [n, ...] in float64, by other code than that of the checker."""
    found = [x]
    for node in nodes[1:]:
        v, op = [found[i] for i in node.inputs], node.op
        n = len(x)
        if op == "dense":
            y = v[0] @ node.weight.T + (0 if node.bias is None else node.bias)
        elif op == "affine":
            y = v[0] * node.scale.astype(float) + node.shift.astype(float)
        elif op == "pick":
            y = v[0].reshape(n, -1)
            y = y[:, node.index] if hasattr(node, "index") else y
        elif op == "concatenation":
            y = np.concatenate(v, 1 + node.axis)
        elif op in ("sum", "maximum", "minimum"):
            y = functools.reduce({"sum": np.add, "maximum": np.maximum, "minimum": np.minimum}[op], v)
        elif op == "sort":
            y = np.sort(v[0], 1 + node.axis)
            y = np.flip(y, 1 + node.axis) if node.descending else y
        elif op == "normalisation":
            z = v[0] - v[0].mean(1 + node.axis, keepdims=True)
            y = z / np.sqrt((z * z).mean(1 + node.axis, keepdims=True) + node.epsilon)
        elif op == "max-pool":
            m = len(node.kernel)
            windows = np.lib.stride_tricks.sliding_window_view(v[0], tuple(node.kernel), tuple(range(2, 2 + m)))
            y = windows.max(tuple(range(-m, 0)))[(slice(None), slice(None), *(slice(None, None, s) for s in node.stride))]
        else:
            y = {"Relu": lambda t: np.maximum(t, 0), "Abs": np.abs, "Tanh": np.tanh, "Softplus": lambda t: np.logaddexp(0, t),
                 "Sigmoid": lambda t: 0.5 + 0.5 * np.tanh(t / 2),
                 "LeakyRelu": lambda t: np.where(t < 0, float(getattr(node, "slope", 0)) * t, t)}[op](v[0])
        found.append(y.reshape(n, *node.shape))
    return found


def quotients(nodes, draw, base=24):
    """Of every node a quotient of differences, as large as is found."""
    shape, n = nodes[0].shape, math.prod(nodes[0].shape)
    x = draw.standard_normal((base, n)) * 10.0**draw.choice([0, 0, -1, -2], (base, 1))
    x[::3] = np.round(x[::3])
    x[1::4] -= x[1::4].mean(1, keepdims=True) * 0 + x[1::4] * 0.999
    step = 1e-5
    around = (x[:, None] + step * np.concatenate([np.zeros((1, n)), np.eye(n)])).reshape(-1, *shape)
    best = np.zeros(len(nodes))
    for at, y in enumerate(floats(nodes, around)):
        y = y.reshape(base, n + 1, -1)
        direction = np.linalg.svd((y[:, 1:] - y[:, :1]).swapaxes(1, 2) / step)[2][:, 0]
        for length in (step, -step, 1e-2):
            ends = np.concatenate([x, x + length * direction]).reshape(-1, *shape)
            y = floats(nodes[:at + 1], ends)[-1].reshape(2, base, -1)
            best[at] = max(best[at], np.linalg.norm(y[1] - y[0], axis=1).max() / abs(length))
    return best


ATTAINED = {"maximum": 1.0, "minimum": 1.0, "sort": 1.0, "pick": 1.0, "concatenation": 1.0, "Relu": 1.0, "Abs": 1.0, "LeakyRelu": 1.0, "sum": 2**0.5}


def meet(graph, draw):
    """(attempts, what was confirmed though it is false, or computed otherwise than onnx does)."""
    try:
        nodes, output = graph.reading()
    except NotCovered:
        return 0, []
    wrong, attempts, entries, throughs = [], 1, [], []
    x = draw.integers(-8, 9, (1, *graph.input)) / 4
    wanted = graph.values(x).ravel()
    found = evaluate(nodes, [mpf(1)] * len(nodes), output, fixed(exact(x.reshape(nodes[0].shape)), P), mpf(0))[-1][0].ravel()
    if len(found) != len(wanted) or np.abs(np.array([float(mp.ldexp(mpf(v), -P)) for v in found]) - wanted).max() > 1e-5 * (1 + np.abs(wanted).max()):
        return 1, [f"values {wanted} of onnx, {[float(mp.ldexp(mpf(v), -P)) for v in found]} of the checker"]
    least = quotients(nodes, draw)
    for at, node in enumerate(nodes):
        own = own_bound(node) * (1 + 1e-9)
        before = [throughs[i] for i in node.inputs]
        through = (sum(before) if node.op == "sum" else math.hypot(*before) if len(before) > 1 else own * before[0] if before else 1.0) * (1 + 1e-9)
        entries.append(entry(node, own if at else 1.0, through))
        throughs.append(through)
    assert confirmed(nodes, entries), [vars(node) for node in nodes]
    for at, node in enumerate(nodes[1:], 1):
        def attempt(what, **changes):
            nonlocal attempts
            attempts += 1
            if confirmed(nodes[:at + 1], entries[:at] + [entries[at] | changes]):
                wrong.append(f"{what} of node {at}, {node.name!r} ({node.op}), is confirmed: {changes}; a quotient is {least[at]}")
        for start in (None, *range(1, at + 1)):
            if least[at] > 1e-6:
                attempt("a constant", through=0.99 * least[at], together_from=start)
        attained = node.epsilon**-0.5 if node.op == "normalisation" and node.shape[node.axis] > 1 else ATTAINED.get(node.op)
        if attained:
            attempt("an own constant", own=0.98 * attained)
    # What is stated of all nodes, once as small as the checker takes it.
    for at, node in enumerate(nodes[1:], 1):
        entries[at] = entries[at] | dict(through=(tight := tightest(nodes, entries, at)))
        attempts += 1
        if tight < least[at] * (1 - 1e-7):
            wrong.append(f"{tight} of node {at}, {node.name!r} ({node.op}), is confirmed behind such numbers; a quotient is {least[at]}")
    for more, false in (residuals(draw), around(nodes, output, entries, draw)):
        attempts, wrong = attempts + more, wrong + false
    return attempts, wrong


def around(nodes, output, entries, draw):
    """(attempts, what bounds around an image say that does not hold for an input within the distance)."""
    n, wrong, attempts = math.prod(nodes[0].shape), [], 0
    owns, throughs = ([mpf(e[key]) for e in entries] for key in ("own", "through"))
    prepared, x = Prepared(nodes, output), np.round(draw.standard_normal(n) * 4) / 4
    values = evaluate(nodes, owns, output, fixed(exact(x.reshape(nodes[0].shape)), P), mpf(0))
    for radius in (0.1, 1.0):
        steps = draw.standard_normal((400, n))
        steps *= radius * draw.choice([1, 1, 0.3], (400, 1)) / np.linalg.norm(steps, axis=1, keepdims=True)
        found = floats(nodes[:output + 1], np.concatenate([[x], x + steps]).reshape(-1, *nodes[0].shape))
        moved = [y.reshape(401, -1)[1:] - y.reshape(401, -1)[0] for y in found]
        rows = draw.standard_normal((6, moved[-1].shape[1]))
        for narrowed in (False, True):
            with np.errstate(all="ignore"):
                bounds = Around(prepared, owns, throughs, values, radius, None, narrowed)
                least = bounds.lower({output: rows})
            attempts += len(rows) + len(nodes)
            if (least > (moved[-1] @ rows.T).min(0) + 1e-9 * (1 + np.abs(least))).any():
                wrong.append(f"{least} is proved within {radius}, and {(moved[-1] @ rows.T).min(0)} is met")
            wrong += [f"the box of node {at}, {node.name!r} ({node.op}), within {radius}" for at, node in enumerate(nodes[:output + 1])
                      if (moved[at] < bounds.low[at] - 1e-9).any() or (moved[at] > bounds.high[at] + 1e-9).any()
                      or np.linalg.norm(moved[at], axis=1).max() > bounds.ball[at] + 1e-9]
    return attempts, wrong


def tightest(nodes, entries, at):
    """About the smallest constant from the input to a node that is confirmed."""
    low, high = 0.0, entries[at]["through"]
    for _ in range(12):
        middle = (low + high) / 2
        if confirmed(nodes[:at + 1], entries[:at] + [entries[at] | dict(through=middle)]):
            high = middle
        else:
            low = middle
    return high


def in_double(tensor, factor=1):
    value = numpy_helper.to_array(tensor)
    return numpy_helper.from_array(value.astype(float) * factor if value.dtype == np.float32 else value, tensor.name)


def own_bound(node):
    """A true constant of a node alone, not a tight one."""
    if node.op == "affine":
        return float(max(abs(v) for v in node.scale.flat))
    if node.op in ("convolution", "dense"):  # the sum of the taps' norms, all groups side by side
        w = node.weight.reshape(*node.weight.shape[:2], -1)
        return float(1.001 * sum(np.linalg.norm(w[:, :, t]) for t in range(w.shape[2])) + 1e-9)
    if node.op in ("LeakyRelu", "normalisation"):
        return float(max(1, abs(node.slope))) if node.op == "LeakyRelu" else node.epsilon**-0.5
    return {"sum": 2**0.5, "max-pool": 2.0, "Sigmoid": 0.25}.get(node.op, 1.0)


def entry(node, own, through):
    return dict(name=node.name, op=node.op, inputs=node.inputs, shape=node.shape, own=own, through=through, together_from=None)


def confirmed(nodes, entries):
    try:
        check_bounds(nodes, SimpleNamespace(nodes=entries))
        return True
    except (Rejected, NotCovered):
        return False


def forge(graph, _=None):
    """(attempts, what was confirmed though it is false)."""
    model, norms = graph.model(), graph.norms()
    header = SimpleNamespace(nodes=[{"shape": graph.input}], input_size=None, layout=None, picture=None, mean=None, std=None)
    try:
        nodes, _ = build(model, header)
    except NotCovered:
        return 0, []
    entries = []
    for node in nodes:
        own = own_bound(node)
        through = own * entries[node.inputs[0]]["through"] * (1 + 1e-9) if node.inputs else 1.0
        entries.append(dict(name=node.name, op=node.op, inputs=node.inputs, shape=node.shape, own=own, through=through,
                            together_from=None))
    assert confirmed(nodes, entries), [vars(node) for node in nodes]
    attempts, false = 0, []
    for at, node in enumerate(nodes[1:], 1):
        truth = float(norms["y" if at == len(nodes) - 1 else node.name])
        if truth < 1e-6:
            continue
        for start in (None, *range(at + 1)):
            changed = [dict(entry) for entry in entries[:at + 1]]
            changed[at] |= dict(through=0.98 * truth, together_from=start)
            if start is None:
                changed[at]["own"] = 0.98 * truth / float(changed[at - 1]["through"])
            attempts += 1
            if confirmed(nodes[:at + 1], changed):
                false.append(f"node {node.name!r} from {start}: {0.98 * truth} confirmed, the truth is {truth}")
    return attempts, false


def holds(second, y, t, m):
    """True, False, or None where it is not covered."""
    try:
        return second.holds(y, t, mpf(m))
    except NotCovered:
        return None


def bend(graph, draw):
    """(attempts, what was confirmed of the curvature though it is false, or refused though it is true)."""
    spread = draw.integers(1, 4, graph.input[:1]).repeat(math.prod(graph.input[1:])).reshape(graph.input) / 2
    power, per_channel = int(draw.choice([0, 0, 1, -3, 100, -100, 160, -160, 165, -165, 300, -300])), draw.random() < 0.5
    if not per_channel:
        spread = np.ones(graph.input)
    scale = 10.0**power
    std = (spread.reshape(len(spread), -1)[:, 0] if per_channel and graph.input[0] > 1 else spread.ravel()[:1]) * scale
    header = SimpleNamespace(nodes=[{"shape": graph.input}], input_size=None, picture=None, mean=[0.0] * len(std),
                             layout="chw" if len(std) > 1 else None, std=[float(s) for s in std])
    try:
        nodes, last = build(graph.model(), header)
        header.classes = math.prod(nodes[last].shape)
        header.curvature = [["inf" if y != t else 0.0 for t in range(header.classes)] for y in range(header.classes)]
        second = SecondOrder(nodes, last, header)
    except NotCovered:
        return 0, []
    truths, attempts, wrong = graph.curvatures(spread), 0, []
    for y, row in enumerate(truths):
        for t, truth in enumerate(row):
            truth /= mpf(scale)**2
            if y != t and holds(second, y, t, truth * (1 + mpf(1e-6))) is False:
                wrong.append(f"curvature {mp.nstr(truth, 9)} of {y}, {t} is refused; std {std}")
            if y == t or truth < 1e-9 * max(map(max, truths)) / mpf(scale)**2:
                continue
            for m in (0.98 * truth, truth / 10**10, truth**2, mpf(0), mpf(5e-324)):
                attempts += 1
                if m < 0.99 * truth and holds(second, y, t, m):
                    wrong.append(f"curvature {mp.nstr(m, 9)} of {y}, {t} confirmed, the truth is {mp.nstr(truth, 9)}; std {std}")
    return attempts, wrong


def chain(*weights, smooth):
    """Matrices with a layer of activations behind the first."""
    nodes = [SimpleNamespace(op="input", name="x", inputs=[], shape=[weights[0].shape[1]])]
    def add(shape, **parts):
        nodes.append(SimpleNamespace(name=f"v{len(nodes)}", inputs=[len(nodes) - 1], shape=shape, **parts))
    for i, w in enumerate(weights):
        add([len(w)], op="dense", weight=w, bias=None)
        if i == 0:
            add([len(w)], op=smooth)
    return nodes


def cases():
    """(attempts, what is wrong) with numbers at the ends of float64."""
    attempts, wrong = 0, []
    draw = np.random.default_rng(0)
    w, v, one = draw.standard_normal((4, 2)), draw.standard_normal((3, 4)), np.eye(3)
    free = SimpleNamespace(classes=3, curvature=[["inf" if y != t else 0 for t in range(3)] for y in range(3)])
    def second(*weights, smooth="Tanh"):
        nodes = chain(*weights, smooth=smooth)
        return SecondOrder(nodes, len(nodes) - 1, free)
    def expect(found, wanted, what):
        nonlocal attempts
        attempts += 1
        if found is not wanted:
            wrong.append(f"case {what}: {found} instead of {wanted}")
    plain = second(w, v)
    a = v[0] - v[1]
    truth = np.linalg.norm(np.sqrt(np.abs(a) * 0.7698003590)[:, None] * w, 2)**2
    for k in (0, 100, 200, 300):  # beyond the smallest and the largest squares and products
        for s in (mpf(10)**k, mpf(10)**-k):
            scaled = second(w * float(s), v)
            for m, wanted in ((truth * s**2 * (1 + 1e-6), True), (truth * s**2 * 0.98, False), (mpf(0), False), (INF, True)):
                expect(holds(scaled, 0, 1, m), wanted, f"{m} of a first matrix of scale {s}")
    for many in ([one * 1e99] * 4 + [one * 1e-99] * 4, [one * 1e-99] * 4 + [one * 1e99] * 4):
        scaled = second(w, v, *many)
        for m, wanted in ((truth * (1 + 1e-6), True), (truth * 0.98, False), (0, False), (5e-324, False)):
            expect(holds(scaled, 0, 1, m), wanted, f"{m} of matrices whose product leaves float64")
    for bad in (math.inf, math.nan):
        try:
            expect(second(w, v, np.where(one, bad, 0)), None, f"a matrix of {bad}")
        except NotCovered:
            attempts += 1
    one_way = second(w, np.array([np.zeros(4), np.abs(v[0]), -np.abs(v[0])]), smooth="Softplus")
    for y, t, wanted in ((1, 0, True), (0, 1, False), (1, 2, True), (0, 2, True), (2, 0, False), (2, 1, False)):
        expect(holds(one_way, y, t, 0), wanted, f"curvature 0 of {y}, {t} of softplus")
    # Factors that cancel, beside a channel that sets the scale.
    def diagonal(*s):
        return SimpleNamespace(op="affine", scale=np.array([mpf(x) for x in s], object), shift=np.full(2, mpf(0)), shape=[2], step="")
    for powers in ([-200, -200, 300], [200, 200, -300]):
        nodes = chain(np.eye(2), smooth="Tanh")[:2]
        nodes += [diagonal(mpf(10)**p, mpf(10)**(-150 if i == 0 else 0)) for i, p in enumerate(powers)]
        for i, node in enumerate(nodes):
            node.name, node.inputs = f"v{i}", [i - 1] if i else []
        size = mpf(10)**sum(powers)
        for factor, wanted in ((1 + 1e-6, True), (0.98, False), (1e-40, False)):
            entries = [dict(name=n.name, op=n.op, inputs=n.inputs, shape=n.shape, own="inf", through="inf", together_from=None) for n in nodes]
            entries[0] |= dict(own=1.0, through=1.0)
            entries[-1] |= dict(through=float(size * factor), together_from=1)
            expect(confirmed(nodes, entries), wanted, f"{factor} of the norm of factors 10^{powers} together")
    flat = Graph(draw)
    flat.nodes, flat.constants, flat.last, flat.input, flat.shape = [], [], "x", [3], [3]
    flat.matrix(2)
    flat.nodes[-1].output[0] = "y"
    plain = dict(nodes=[{"shape": [3]}], input_size=None, layout=None, picture=None, mean=None, std=None)
    build(flat.model(), SimpleNamespace(**plain))
    for key, of in (("input_size", []), ("input_size", {}), ("layout", "chw"), ("layout", ""), ("picture", [1, 1, 3.0])):
        try:
            expect(build(flat.model(), SimpleNamespace(**plain | {key: of})), None, f"{key} {of} of a flat input")
        except (Rejected, NotCovered):
            attempts += 1
    for text in ("NaN", "Infinity", "-Infinity", "1e999", "1" + "0" * 400, '{"a":1,"a":1}'):
        try:
            expect(parse(text), None, f"JSON {text[:20]}")
        except NotCovered:
            attempts += 1
    for text, wanted in (("-0", float), ("0", int), (str(2**64 - 1), int), (str(2**64), float), ("1.0", float), ("true", bool)):
        expect(type(parse(text)), wanted, f"JSON {text}")
    return attempts, wrong


def small(*parts):
    """Nodes behind an input of as many entries as the first pick is of; a part is an operation, the places that it reads, and more."""
    n = parts[0][2]["of"]
    nodes = [SimpleNamespace(op="input", name="x", inputs=[], shape=[n])]
    for op, inputs, *more in parts:
        more = more[0] if more else {}
        before = [nodes[i].shape for i in inputs]
        new = SimpleNamespace(op=op, name=f"v{len(nodes)}", inputs=inputs, shape=before[0])
        if op == "pick":
            new.index, new.shape = np.array(more["at"]), [len(more["at"])]
        elif op == "affine":
            new.scale, new.shift = (np.full(1, mpf(more.get(key, 0)), object) for key in ("scale", "shift"))
        elif op == "concatenation":
            new.shape = [sum(s[0] for s in before)]
            new.axis, new.order = 0, np.arange(new.shape[0])
        elif op in ("Relu", "Abs", "LeakyRelu"):
            new.slope = mpf({"Relu": 0, "Abs": -1}.get(op, 0.5))
        elif op == "normalisation":
            new.axis, new.centred, new.epsilon = 0, more.get("centred", True), more["epsilon"]
        nodes.append(new)
    return nodes


def meetings():
    """(attempts, what is wrong) with entries that are shared: the constant of each is known, and attained."""
    root, x = 2**0.5, ("pick", [0], dict(of=1, at=[0]))
    pair = ("pick", [0], dict(of=2, at=[0])), ("pick", [0], dict(of=2, at=[1]))  # nodes 1 and 2
    three = *(("pick", [0], dict(of=3, at=[i])) for i in range(3)),
    minus = lambda i: ("affine", [i], dict(scale=-1))
    join = lambda *of: ("concatenation", list(of))
    pairs = [
        (1, *pair, ("maximum", [1, 2]), ("minimum", [2, 1]), join(3, 4)),
        (root, *pair, ("maximum", [1, 2]), ("maximum", [1, 2]), join(3, 4)),
        (root, *pair, minus(1), minus(2), ("maximum", [3, 4]), ("minimum", [1, 2]), join(5, 6)),
        (1, *pair, minus(1), minus(2), ("maximum", [3, 4]), ("maximum", [1, 2]), join(5, 6)),
        (1, *pair, minus(1), minus(2), ("minimum", [3, 4]), ("minimum", [1, 2]), join(5, 6)),
        (root, *pair, ("maximum", [1, 2]), join(3, 1)),
        (root, *pair, ("maximum", [1, 2]), ("minimum", [1, 2]), ("Abs", [3]), join(4, 5, 3)),
        (1, *pair, ("maximum", [1, 2])),
        (1, *pair, join(2, 1)),
        (root, *three, ("maximum", [1, 2]), ("minimum", [2, 3]), join(4, 5)),
        (1, *three, ("maximum", [1, 2]), ("maximum", [4, 3]), ("minimum", [1, 3]), ("minimum", [6, 2]), join(5, 7)),
        (1, *three, ("maximum", [1, 2, 3]), ("minimum", [3, 2, 1]), join(4, 5)),
        (1, x, minus(1), ("Relu", [1]), ("Relu", [2]), join(3, 4)),
        (1, x, minus(1), join(1, 2), ("Relu", [3])),
        (root, x, minus(1), ("Relu", [1]), ("Abs", [2]), join(3, 4)),
        (root, x, minus(1), minus(2), ("Relu", [1]), ("Relu", [3]), join(4, 5)),
        (root, x, ("Abs", [1]), ("Relu", [2]), minus(1), ("Relu", [4]), join(3, 5)),
        (root, x, ("affine", [1], dict(scale=-1, shift=1)), ("Relu", [1]), ("Relu", [2]), join(3, 4)),
        (2, x, ("affine", [1], dict(scale=-2)), ("Relu", [1]), ("Relu", [2]), join(3, 4)),
        (1.25**0.5, x, minus(1), ("LeakyRelu", [1]), ("LeakyRelu", [2]), join(3, 4)),
        (5**0.5, x, ("affine", [1], dict(scale=2)), ("Relu", [2]), ("Relu", [1]), join(3, 4)),
        (4, x, ("normalisation", [0], dict(epsilon=1 / 16, centred=False))),
        (0, x, ("normalisation", [0], dict(epsilon=1 / 16))),
        (4, *pair, ("normalisation", [0], dict(epsilon=1 / 16))),
    ]
    looser = [  # than what is known of them
        (root, *pair, minus(1), ("maximum", [3, 2]), ("maximum", [1, 2]), join(4, 5)),
        (1, *pair, *(("affine", [i], dict(scale=0.5)) for i in (1, 2)), ("maximum", [3, 4]), ("minimum", [1, 2]), join(5, 6)),
        (root, *pair, ("maximum", [1, 2]), ("minimum", [1, 2]), join(3, 3)),
        (root, *pair, minus(1), ("maximum", [1, 2]), ("minimum", [3, 2]), join(4, 5)),
        (2, *pair, ("affine", [1], dict(scale=2)), ("maximum", [3, 2]), ("minimum", [3, 2]), join(4, 5)),
        (root, *pair, ("affine", [1], dict(scale=0.5)), ("maximum", [3, 2]), ("maximum", [2, 3]), join(4, 5)),
        (root, *pair, ("affine", [1], dict(scale=1, shift=1)), ("maximum", [3, 2]), ("minimum", [1, 2]), join(4, 5)),
        (root, *three, ("minimum", [1, 2]), ("maximum", [4, 3]), ("maximum", [1, 2]), ("minimum", [6, 3]), join(5, 7)),
    ]
    attempts, wrong = 0, []
    for known, (truth, *parts) in [(True, of) for of in pairs] + [(False, of) for of in looser]:
        nodes = small(*parts)
        for factor, wanted in ((1 + 1e-9, True), (0.999, False), (0.7, False)):
            entries = []
            for node in nodes:
                before = [entries[i]["through"] for i in node.inputs]
                own = own_bound(node)
                through = own * before[0] if len(before) == 1 else math.hypot(*before) if before else 1.0
                entries.append(entry(node, own, through * (1 + 1e-12)))
            entries[0]["through"] = 1.0
            if nodes[-1].op == "normalisation":
                entries[-1]["own"] = truth * factor
            entries[-1]["through"] = truth * factor
            asked = known if wanted else truth > 0
            attempts += asked
            if asked and confirmed(nodes, entries) is not wanted:
                wrong.append(f"{truth * factor} of {[(node.op, node.inputs) for node in nodes]} is {'refused' if wanted else 'confirmed'}")
    return attempts, wrong


def residuals(draw):
    """(attempts, what is confirmed though it is false) of x + B sigma(A x + b), B = R - A^T D."""
    n, m = draw.integers(1, 5, 2).tolist()
    a = draw.standard_normal((m, n))
    a = (a / np.linalg.norm(a, 2)).astype(np.float32)
    b = -a.T * np.where(draw.random(m) < 0.9, draw.uniform(0, 2.2, m), 0) * draw.choice([1, 1, 1, 2, -1])
    b = (b + draw.standard_normal((n, m)) * 10.0**draw.choice([-20, -6, -2, -1])).astype(np.float32)
    op, slope = str(draw.choice(["Relu", "Relu", "LeakyRelu", "Abs", "Tanh", "Softplus", "Sigmoid"])), draw.choice([0.5, 1, -0.25, 1.5])
    nodes = [SimpleNamespace(op="input", name="x", inputs=[], shape=[n])]
    def add(op, inputs, size, **parts):
        nodes.append(SimpleNamespace(op=op, name=f"v{len(nodes)}", inputs=inputs, shape=[size], **parts))
    def diagonal(size, *factors):
        if draw.random() < 0.3:
            add("affine", [len(nodes) - 1], size, scale=exact(draw.choice(factors, size)), shift=exact(draw.standard_normal(size)))
    kept = int(draw.random() < 0.15)
    if kept:  # a branch of another node
        add("affine", [0], n, scale=exact(np.full(1, -1)), shift=exact(np.zeros(1)))
    add("dense", [0], m, weight=a.astype(float), bias=draw.standard_normal(m))
    diagonal(m, 1, 0.5, 2, -1)
    add(op, [len(nodes) - 1], m, slope=mpf({"Relu": 0, "Abs": -1}.get(op, slope)))
    diagonal(m, 1, 0.5)
    add("dense", [len(nodes) - 1], n, weight=b.astype(float), bias=None)
    diagonal(n, 1, -1)
    add("sum", [kept, len(nodes) - 1][::draw.choice([1, -1])], n)
    entries = []
    for node in nodes:
        before = [entries[i]["through"] for i in node.inputs]
        own = own_bound(node) * (1 + 1e-9)
        through = (sum(before) if node.op == "sum" else own * before[0] if before else 1.0) * (1 + 1e-9 * len(before))
        entries.append(entry(node, own if before else 1.0, through))
    assert confirmed(nodes, entries)
    tight, least = tightest(nodes, entries, len(nodes) - 1), quotients(nodes, draw)[-1]
    return 12, [f"{tight} of a residual of {op}, of which a quotient is {least}, is confirmed"] if tight < least * (1 - 1e-7) else []


def write(folder, graph, draw):
    onnx.save(graph.model(), folder / "m.onnx")
    np.save(folder / "x.npy", draw.integers(0, 3, (4, *graph.sample)) / 2)
    np.save(folder / "y.npy", draw.integers(0, 2, 4).astype(np.uint8))
    if draw.random() < 0.5:
        return graph.options
    channels = graph.sample[0] if draw.random() < 0.5 else 1
    mean, std = ([repr(float(v)) for v in some] for some in (
        draw.integers(0, 3, channels) / 4, draw.integers(1, 4, channels) * 10.0**draw.choice([0, 0, 0, -3, 5, 100, 160, 165, -30, -160])))
    return [*graph.options, "--mean", ",".join(mean), "--std", ",".join(std), *(["--layout", "chw"] if channels > 1 else [])]


def nearest(graph, header, line, draw):
    """How far away an input of another class than that of a line is, among those on a few rays; None: there is none. The
    class is another one by more than float64 rounds."""
    std, mean = (np.array(v if v else [other], float) for v, other in ((header.std, 1), (header.mean, 0)))
    if not 1e-100 < min(std) <= max(std) < 1e150:
        return None
    std, mean = (v.reshape(-1, *[1] * (len(graph.sample) - 1)) for v in (std, mean))
    x = (np.array(line["values"], float).reshape(graph.sample) - mean) / std
    rays = draw.standard_normal((40, *graph.sample))
    rays[:4] = np.sign(rays[:4])
    rays /= np.sqrt((rays**2).reshape(40, -1).sum(1)).reshape(-1, *[1] * len(graph.sample))
    steps = np.concatenate([[0], 10.0**np.arange(-4, 6, 0.05)])
    points = x + rays[:, None] * steps.reshape(-1, *[1] * len(graph.sample))
    z = graph.values(points.reshape(-1, *graph.input)).reshape(40, len(steps), -1)
    y = line["label"]
    worse = np.delete(z, y, 2).max(2) > z[:, :, y] + 1e-9 * (1 + np.abs(z).max(2)) * 1e3
    lengths = np.sqrt(((rays * std)**2).reshape(40, -1).sum(1))[:, None] * steps
    return float(lengths[worse].min()) if worse.any() else None


def tangents(draw, line, classes, n):
    """Tangents that say nothing in particular."""
    return [dict(rival=t, exponent=int(draw.choice([-1000, -60, -12, -9, -5, 0, 5, 30, 500])),
                 steps="".join(draw.choice(list(DIGITS), int(draw.integers(1, 5)) * n)) if draw.random() < 0.7 else "gA" * n)
            for t in range(classes) if t != line["label"] and draw.random() < 0.7]


def odd(x):
    """What is no such thing, though Python may take some of it for one."""
    kinds = [None, True, False, "", {}, "1", [], [x], -1, 1.0, -0.0, 2.5, 2**70, "Inf"]
    return [v for v in kinds if json.dumps(v) != json.dumps(x)]


def malformed(header):
    """Headers that are none, or state what is false."""
    def at(*path, of):
        changed = copy.deepcopy(header)
        place = changed
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = of
        return changed
    for key in header:
        yield {k: v for k, v in header.items() if k != key}
    yield header | {"more": 1}
    for key in ("certificates", "arithmetic", "claim", "assumptions", "model", "logits", "classes", "nodes"):
        yield from (header | {key: v} for v in odd(header[key]))
    stated = header["assumptions"]
    yield from (header | {"assumptions": v} for v in (stated[:-1], stated + [NO_BATCH] * 2, stated[::-1]))
    yield from (header | {"input_size": v} for v in odd(None) + [[1.0], [n + 1 for n in header["nodes"][0]["shape"][1:]]])
    yield from (header | {"picture": v} for v in odd(header["picture"]) if v is not None)
    yield from (header | {"layout": v} for v in odd(header["layout"]) if v is not None)
    if header["picture"] is None and len(header["mean"] or [0]) == 1:
        yield from (header | {"layout": v} for v in ("chw", "hwc"))
    for key in ("mean", "std"):
        yield from (header | {key: v} for v in odd(header[key]) if v is not None or header[key])
    if header["std"]:
        yield header | {"std": [v / 2 for v in header["std"]]}
    yield from (at("model", "external", of=v) for v in odd([]) + [[["w", "0"]]])
    yield header | {"model": json.dumps(header["model"])}
    yield header | {"lipschitz": True}
    for i, node in enumerate(header["nodes"]):
        yield at("nodes", i, of=json.dumps(node))
        yield at("nodes", i, of=list(node.values()))
        for key in ("inputs", "shape"):
            for k, n in enumerate(node[key]):
                yield from (at("nodes", i, key, k, of=v) for v in (float(n), bool(n), str(n), n + 1, [n]))
            yield from (at("nodes", i, key, of=v) for v in odd(node[key]))
        yield from (at("nodes", i, "together_from", of=v) for v in (True, False, 0, "", 1.0, -0.0, i, -1, []))
        yield from (at("nodes", i, key, of=v) for key in ("own", "through") for v in (-1, True, "", "Inf", [], -1e-300))
    rows = header["curvature"]
    if rows is None:
        return
    yield from (header | {"curvature": v} for v in ({}, "", True, [], rows[1:], [row[1:] for row in rows], rows + rows[:1]))
    most = max((m for row in rows for m in row if m != "inf"), default=0)
    for y, row in enumerate(rows):
        yield from (at("curvature", y, of=v) for v in ({}, "", None))
        for t, m in enumerate(row):
            yield from (at("curvature", y, t, of=v) for v in (None, True, False, "", "Inf", [m], -1, -1e-300))
            if y == t:
                yield at("curvature", y, t, of=1.0)
            elif m != "inf" and m > max(1e-6 * most, 1e-250):  # sigmax states more than needed where float64 ends
                yield from (at("curvature", y, t, of=v) for v in (m * 0.98, m * 1e-10, 0, 5e-324) if v < m * 0.99)


def headers_confirmed(folder, draw, many):
    """(attempts, changed headers that the checker confirms): two of them, or some of all."""
    header, *lines = (folder / "c.jsonl").read_text(encoding="utf-8").removesuffix("\n").split("\n")
    attempts, false = 0, []
    def attempt(text, what):
        nonlocal attempts
        attempts += 1
        (folder / "f.jsonl").write_bytes(text.encode())
        try:
            check(SimpleNamespace(certificates=folder / "f.jsonl", model=folder / "m.onnx", lines=None, first=None, norms_only=False))
            false.append(f"confirmed: {what}")
        except (Rejected, NotCovered):
            pass
        except Exception as error:  # refused, too, but by chance
            false.append(f"{type(error).__name__} {error}: {what}")
    every, first = list(malformed(json.loads(header))), json.loads(header)
    some = [every[i] for i in draw.permutation(len(every))[:150]] if many else []
    for changed in some + [first | {"input_size": []}, first | {"picture": [1.0, 1, 1]}]:
        attempt("".join(f"{line}\n" for line in (json.dumps(changed), lines[0])), json.dumps(changed))
    attempt(f"{header}\n{lines[0]}\n{lines[1]}", "a line that is cut short")
    attempt(f"{header}\n{lines[0]}\n{lines[0]}\n", "an image that counts twice")
    attempt(f"{header}\n", "no image")
    attempt("", "nothing")
    return attempts, false


def more(line, classes, beyond, draw, curved):
    """The line of an image that claims an input of another class that was met, by any tangents."""
    if beyond is not None:
        for radius in (1.01 * beyond or 5e-324, 1e3 * beyond or 1.0, 1e280):
            yield from (line | {"radius": radius, "tangents": tangents(draw, line, classes, len(line["values"])) if curved else []}
                        for _ in range(3))
            yield line | {"radius": radius}


def odd_lines(line, classes, curved):
    """Lines that are none."""
    given, pixels = list(line.get("tangents", [])), len(line["values"])
    yield from (line | {"tangents": v} for v in odd(given) if v != [])
    for i, entry in enumerate(given):
        for key, wrong in dict(rival=[line["label"], classes, True, 1.0, -1, ""], exponent=[501, -1001, True, 1.0, "1"],
                               steps=["", "g" * (5 * pixels), "g" * (4 * pixels + 1), "=" + entry["steps"][1:], None]
                               + [entry["steps"][1:], entry["steps"] + "g"] * (pixels > 1)).items():
            yield from (line | {"tangents": given[:i] + [entry | {key: v}] + given[i + 1:]} for v in wrong if type(v) is not int or v != entry[key])
        yield line | {"tangents": given[:i] + [entry] + given[i:]}
        yield line | {"tangents": given[:i] + [json.dumps(entry)] + given[i + 1:]}
    if not curved:
        yield line | {"tangents": [dict(rival=int(line["label"] == 0), exponent=0, steps="gA" * len(line["values"]))]}
    for key in ("index", "label", "exact"):
        yield from (line | {key: v} for v in odd(line[key]) if key != "exact" or type(v) is not bool)
    yield from (line | {"prediction": v} for v in odd(line["prediction"]) if v is not None)
    yield from (line | {key: v} for key in ("logits", "error", "margin", "values") for v in (True, "", {}, "1", [True], 10**400))
    yield line | {"values": line["values"][1:]}
    yield line | {"logits": line["logits"][1:]}
    yield line | {"logits": None}


def proved_more(line, classes):
    """The line of an image with one key changed so that it states what does not follow."""
    grown = lambda x: x * (1 + 1e-5) + 1e-9
    if line["radius"] != "inf" and "local" not in line:  # another program may prove more
        yield from (line | {"radius": x} for x in (grown(line["radius"]), "inf", None, -1e-15))
    yield from (line | {"margin": x} for x in (grown(line["margin"]), 1e9 + 10 * line["margin"], -1e-15, None))
    first = max(range(classes), key=lambda t: line["logits"][t]) if line["prediction"] is None else None  # 58 digits may prove it
    yield from (line | {"prediction": t} for t in range(-1, classes + 1) if t not in (line["prediction"], first))
    if line["radius"] != 0 or line["margin"] > 0:
        yield from (line | {"label": t} for t in range(-1, classes + 1) if t != line["label"])
    yield from (line | {"error": x} for x in (0, -1e-15, None))
    for t, z in enumerate(line["logits"]):
        yield line | {"logits": [*line["logits"][:t], z + 1e-9 + 2 * line["error"], *line["logits"][t + 1:]]}


def lines_confirmed(folder, graph, draw):
    """(attempts, changed lines that the checker confirms)."""
    header, *lines = (folder / "c.jsonl").read_text(encoding="utf-8").removesuffix("\n").split("\n")
    header = record(parse(header), HEADER, MORE_OF_HEADER)
    checker, attempts, false = Checker(*build(onnx.load(folder / "m.onnx"), header), header), 0, []
    for place, text in enumerate(lines):
        line, curved = json.loads(text), getattr(header, "curvature", None) is not None
        beyond = nearest(graph, header, line, draw)
        if beyond is not None and line["radius"] != "inf" and beyond < line["radius"] * (1 - 1e-6) or beyond is not None and line["radius"] == "inf":
            false.append(f"another class at {beyond}: {text}")
        changes = [*more(line, header.classes, beyond, draw, curved), *proved_more(line, header.classes)]
        for changed in changes + list(odd_lines(line, header.classes, curved) if place == 0 else []):
            attempts += 1
            try:
                read = record(parse(json.dumps(changed)), LINE, MORE_OF_LINE)
                checker.line(read)
                whole(read.index)
                false.append(f"confirmed: {changed}")
            except (Rejected, NotCovered):
                pass
            except Exception as error:
                false.append(f"{type(error).__name__} {error}: {changed}")
    return attempts, false


def compare(sigmax, folder, graph, options, draw, headers):
    """How many changed lines were tried, 0 where the checker does not cover the network, and what is wrong."""
    images = ["--images", folder / "x.npy", "--labels", folder / "y.npy", "--certificates", folder / "c.jsonl"]
    run = subprocess.run([sigmax, "certify", folder / "m.onnx", *images, *options], capture_output=True, text=True)
    if run.returncode:
        return 0, [f"sigmax certify: {run.stderr}"]
    constant = json.loads((folder / "c.jsonl").read_text(encoding="utf-8").split("\n")[0])["lipschitz"]
    truth = 0 if graph.smooth or "--std" in options else graph.norms()["y"]
    wrong = [] if float(constant) >= truth * (1 - 1e-5) else [f"constant {constant} below the truth {truth}"]
    for command in ([sigmax, "check"], [sys.executable, HERE / "check_certificate.py"]):
        run = subprocess.run([*command, folder / "c.jsonl", folder / "m.onnx"], capture_output=True, text=True)
        local = "--method" in options and ": radius" in run.stderr and command[0] != sigmax  # of bounds around an image it proves others
        if run.returncode == 1 and not local or run.returncode and command[0] == sigmax:
            wrong.append(f"{command[-1]}: {run.stderr}")
    if run.returncode:
        return 0, wrong
    attempts, false = lines_confirmed(folder, graph, draw)
    tried, confirmed = headers_confirmed(folder, draw, headers)
    return attempts + tried, wrong + false + confirmed


@np.errstate(all="ignore")  # the reference of ONNX overflows where a network is extreme
def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--networks", type=int, default=200)
    parser.add_argument("--sigmax", type=pathlib.Path, help="the program, to check what it writes")
    parser.add_argument("options", nargs="*", help="further options of `sigmax certify`, after --")
    args = parser.parse_args()
    covered = certified = changed = 0
    attempts, failed = (a + b for a, b in zip(cases(), meetings()))
    for i in range(args.networks):
        draw = np.random.default_rng([args.seed, i])
        graph = [Graph, Smooth, Meeting][i % 3](draw)
        tried, false = [forge, bend, meet][i % 3](graph, draw)
        attempts, covered = attempts + tried, covered + (tried > 0)
        if args.sigmax:
            with tempfile.TemporaryDirectory() as folder:
                options = write(pathlib.Path(folder), graph, draw)
                lines, wrong = compare(args.sigmax, pathlib.Path(folder), graph, args.options + options, draw, i % 4 < 2)
                certified, changed, false = certified + (lines > 0), changed + lines, false + wrong
        failed += [f"network {i}: {text}" for text in false]
    print("\n".join(failed + [f"{args.networks} networks, {covered} covered: {attempts} forgeries, {len(failed)} failures"]))
    if args.sigmax:
        print(f"{certified} networks with certificates of `sigmax certify` that are confirmed, {changed} changed lines")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
