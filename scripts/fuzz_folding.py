#!/usr/bin/env python3
"""Compares what sigmax folds before a model runs with what onnxruntime computes, at batch 1 and 2.

A graph may compute numbers from shapes: sigmax folds them, and a number that is folded wrongly makes
a wrong constant. Every model of this program is a random graph of that kind:

    value   y = x·k or x/k with a number k that is computed from constants and from shapes of x and of
            values made from x. Where sigmax gives a constant, it has to be at least |y/x|, and hardly
            more, at batch 1 and at batch 2.
    target  y = Reshape, Expand, Slice, Resize or Tile of x with computed arguments. Where sigmax
            gives a network, a sample has to give the same output in a batch of 2 as in one of 1.

Half of the models leave the batch open; some state shapes of values between the nodes that are
wrong. A model that onnxruntime does not run at a batch says nothing about that batch.

    python3 scripts/fuzz_folding.py --sigmax target/debug/sigmax --models 300 --seed 1

Exits with 1 at the first model where the two disagree, which is kept.
"""

import argparse
import json
import math
import random
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

onnxruntime.set_default_logger_severity(4)
NAMES = {np.dtype(np.int32): TensorProto.INT32, np.dtype(np.int64): TensorProto.INT64}
NUMBERS = [0, 1, 1, 2, 2, 3, 4, 5, 7, -1, -1, -2, 65521, 65521, 65536, 2**20, 2**31 - 1, 2**31, -(2**31), 2**62]


class Graph:
    """A graph that grows; `floats` and `integers` are its values, the latter with rank and type."""

    def __init__(self, rng):
        self.rng = rng
        # sigmax audits models with a layer: x is the input through the identity.
        identity = numpy_helper.from_array(np.eye(2, dtype=np.float32).reshape(2, 2, 1, 1), "eye")
        self.nodes, self.constants, self.stated = [helper.make_node("Conv", ["input", "eye"], ["x"])], [identity], []
        self.names = 0
        self.floats, self.integers = [("x", 4)], []

    def name(self):
        self.names += 1
        return f"v{self.names}"

    def constant(self, values, kind=np.int64):
        array = np.asarray(values, dtype=kind)
        if self.rng.random() < 0.2:
            out = self.name()
            self.nodes.append(helper.make_node("Constant", [], [out], value=numpy_helper.from_array(array)))
            return out
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(array, name))
        return name

    def node(self, op, inputs, **attributes):
        out = self.name()
        self.nodes.append(helper.make_node(op, inputs, [out], **attributes))
        return out

    def made(self, out, rank):
        """A value made from x; the file may state any shape of it."""
        self.floats.append((out, rank))
        if self.rng.random() < 0.2:
            shape = [self.rng.randint(1, 5) for _ in range(rank if self.rng.random() < 0.8 else 2)]
            self.stated.append((out, shape))

    def number(self):
        return self.rng.choice(NUMBERS)

    def some_constant(self):
        kind = self.rng.choice([np.int64, np.int64, np.int32])
        rank = self.rng.choice([0, 1, 1])
        count = 1 if rank == 0 else self.rng.randint(1, 3)
        values = []
        while len(values) < count:
            value = self.number()
            if kind == np.int64 or -(2**31) <= value < 2**31:
                values.append(value)
        return self.constant(values if rank else values[0], kind), rank, np.dtype(kind)

    def grow_float(self):
        """One more value made from x."""
        rng = self.rng
        value, rank = rng.choice(self.floats)
        if rank != 4:
            return
        # Shapes are not followed here: onnxruntime refuses what does not fit.
        op = rng.choice(["Relu", "MaxPool", "AveragePool", "Conv", "ConvTranspose", "Transpose", "Concat", "Flatten",
                         "Pad", "Resize", "Slice", "Reshape", "NonZero", "ReduceMean", "Split", "Squeeze", "Expand",
                         "Tile", "Unsqueeze", "SpaceToDepth", "Gather", "TopK"])
        if op in ("MaxPool", "AveragePool"):
            out = self.node(op, [value], kernel_shape=[2, 2], strides=[rng.randint(1, 3)] * 2,
                            ceil_mode=rng.randint(0, 1), pads=[rng.randint(0, 1)] * 4)
        elif op == "Conv":
            weight = self.constant(np.ones((3, 2, 2, 2)), np.float32)
            auto = rng.choice(["NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"])
            out = self.node(op, [value, weight], strides=[rng.randint(1, 3)] * 2, auto_pad=auto)
        elif op == "ConvTranspose":
            weight = self.constant(np.ones((2, 3, 2, 3)), np.float32)
            out = self.node(op, [value, weight], strides=[rng.randint(1, 2)] * 2)
        elif op == "Transpose":
            out = self.node(op, [value], perm=rng.sample(range(4), 4))
        elif op == "Concat":
            out = self.node(op, [value, rng.choice([v for v, r in self.floats if r == 4])], axis=rng.randint(0, 3))
        elif op == "Flatten":
            self.made(self.node(op, [value], axis=rng.randint(0, 4)), 2)
            return
        elif op == "Pad":
            out = self.node(op, [value, self.constant([0, 0, 1, 0, rng.randint(0, 1), 0, 0, 2])])
        elif op == "Resize":
            if rng.random() < 0.5 and self.lists():
                out = self.node(op, [value, "", "", self.target(4)])
            else:
                scales = [1, 1, rng.choice([0.5, 1.5, 2.0, 1 / 3]), rng.choice([1.0, 2.0, 0.7])]
                out = self.node(op, [value, "", self.constant(scales, np.float32)], mode="nearest")
        elif op == "Slice":
            start, end = self.constant([rng.randint(-2, 1)]), self.constant([rng.choice([1, 2, -1, 2**31 - 1, 2**63 - 1])])
            out = self.node(op, [value, start, end, self.constant([rng.randint(0, 3)])])
        elif op in ("Reshape", "Expand"):
            out = self.node(op, [value, self.target(4)])
        elif op == "Tile":
            out = self.node(op, [value, self.constant([rng.randint(1, 2) for _ in range(4)])])
        elif op == "NonZero":
            self.made(self.node(op, [value]), 2)
            return
        elif op == "ReduceMean":
            keep = rng.randint(0, 1)
            out = self.node(op, [value], axes=[rng.randint(0, 3)], keepdims=keep)
            self.made(out, 4 if keep else 3)
            return
        elif op == "Split":
            out = self.name()
            self.nodes.append(helper.make_node(op, [value], [out, out + "b"], axis=rng.randint(0, 3)))
        elif op == "Squeeze":
            self.made(self.node(op, [value]), 0)
            return
        elif op == "Unsqueeze":
            self.made(self.node(op, [value, self.constant([rng.randint(0, 4)])]), 5)
            return
        elif op == "SpaceToDepth":
            out = self.node(op, [value], blocksize=2)
        elif op == "Gather":
            out = self.node(op, [value, self.constant([rng.randint(-1, 1)])], axis=rng.randint(0, 3))
        elif op == "TopK":
            out = self.name()
            k = self.constant([rng.randint(1, 2)])
            self.nodes.append(helper.make_node(op, [value, k], [out, out + "i"], axis=rng.randint(0, 3)))
        else:
            out = self.node("Relu", [value])
        self.made(out, 4)

    def lists(self):
        return [value for value, rank, kind in self.integers if rank == 1 and kind == np.int64]

    def single(self):
        """A list of one int64."""
        rng = self.rng
        if self.lists() and rng.random() < 0.7:
            at = rng.randint(-1, 1)
            return self.node("Gather", [rng.choice(self.lists()), self.constant([at])])
        return self.constant([rng.choice([0, 1, 2, 3, 4, 6, -1, 65521])])

    def target(self, length):
        rng = self.rng
        if rng.random() < 0.3:
            value, _ = rng.choice(self.floats)
            return self.node("Shape", [value])
        return self.node("Concat", [self.single() for _ in range(length)], axis=0)

    def likely_target(self):
        """A list that a Reshape of x could have."""
        rng = self.rng
        length = self.node("Gather", [self.node("Shape", [self.rng.choice(["x", "input"])]), self.constant([0])])
        if rng.random() < 0.3:
            length = self.node(rng.choice(["Add", "Mul", "Div"]), [length, self.single()])
        if rng.random() < 0.2:
            length = self.node("Cast", [self.node("Cast", [length], to=TensorProto.INT32)], to=TensorProto.INT64)
        first = rng.choice([length, length, self.constant([rng.choice([0, -1, 1, 2, 65521])]), self.single()])
        rest = list(rng.choice([[-1], [24], [2, 12], [6, 4], [2, -1], [3, 2, 4], [0, -1], [2, 3, 4], [0, 0, 0]]))
        rest = [self.constant([n]) if rng.random() < 0.7 else self.single() for n in rest]
        parts = [first, *rest]
        if rng.random() < 0.1:
            rng.shuffle(parts)
        return self.node("Concat", parts, axis=0)

    def grow_integer(self):
        """One more integer tensor."""
        rng = self.rng
        if not self.integers or rng.random() < 0.4:
            roll = rng.random()
            if roll < 0.6:
                self.integers.append((self.node("Shape", [rng.choice(self.floats)[0]]), 1, np.dtype(np.int64)))
            elif roll < 0.7:
                self.integers.append((self.node("Size", [rng.choice(self.floats)[0]]), 0, np.dtype(np.int64)))
            else:
                self.integers.append(self.some_constant())
            return
        value, rank, kind = rng.choice(self.integers)
        same = [v for v, _, k in self.integers if k == kind]
        op = rng.choice(["Add", "Sub", "Mul", "Div", "Neg", "Cast", "Gather", "Gather", "Slice", "Concat", "Unsqueeze",
                         "Squeeze", "Reshape", "Identity", "Abs", "Mod", "Min", "ReduceProd", "Where", "Range",
                         "ConstantOfShape"])
        if op in ("Add", "Sub", "Mul", "Div", "Mod", "Min"):
            other = rng.choice(same)
            ranks = {v: r for v, r, _ in self.integers}
            self.integers.append((self.node(op, [value, other]), max(rank, ranks[other]), kind))
        elif op in ("Neg", "Identity", "Abs"):
            self.integers.append((self.node(op, [value]), rank, kind))
        elif op == "Cast":
            to = rng.choice([np.int32, np.int64])
            self.integers.append((self.node(op, [value], to=NAMES[np.dtype(to)]), rank, np.dtype(to)))
        elif op == "Gather" and rank == 1:
            at = rng.choice([0, 0, 1, -1, 2])
            scalar = rng.random() < 0.5
            index = self.constant(at if scalar else [at])
            self.integers.append((self.node(op, [value, index]), 0 if scalar else 1, kind))
        elif op == "Slice" and rank == 1:
            start, end = self.constant([rng.randint(-2, 2)]), self.constant([rng.choice([1, 2, 3, -1, 2**63 - 1])])
            step = self.constant([rng.choice([1, 1, 2, -1])])
            self.integers.append((self.node(op, [value, start, end, self.constant([0]), step]), 1, kind))
        elif op == "Concat" and rank == 1:
            other = rng.choice([v for v, r, k in self.integers if k == kind and r == 1])
            self.integers.append((self.node(op, [value, other], axis=0), 1, kind))
        elif op == "Unsqueeze" and rank == 0:
            self.integers.append((self.node(op, [value, self.constant([0])]), 1, kind))
        elif op == "Squeeze" and rank == 1:
            self.integers.append((self.node(op, [value, self.constant([0])]), 0, kind))
        elif op == "Reshape":
            self.integers.append((self.node(op, [value, self.constant([-1])]), 1, kind))
        elif op == "ReduceProd" and rank == 1:
            self.integers.append((self.node(op, [value], keepdims=0), 0, kind))
        elif op == "Where":
            other = rng.choice(same)
            test = self.node("Equal", [value, other])
            ranks = {v: r for v, r, _ in self.integers}
            self.integers.append((self.node(op, [test, value, other]), max(rank, ranks[other]), kind))
        elif op == "ConstantOfShape" and rank == 1 and kind == np.int64:
            fill = numpy_helper.from_array(np.array([rng.choice([1, 2, 3])], dtype=np.int64))
            made = self.node(op, [value], value=fill)
            self.integers.append((self.node("Reshape", [made, self.constant([-1])]), 1, kind))

    def model(self, batch, outputs):
        info = lambda name, shape: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        stated = [info(*each) for each in self.stated]
        graph = helper.make_graph(self.nodes, "g", [info("input", [batch, 2, 3, 4])], [info(y, None) for y in outputs],
                                  self.constants, value_info=stated)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def random_model(rng):
    graph = Graph(rng)
    for _ in range(rng.randint(1, 10)):
        rng.choice([graph.grow_float, graph.grow_integer, graph.grow_integer])()
    if rng.random() < 0.6:
        while not graph.integers:
            graph.grow_integer()
        value, rank, _ = graph.integers[-1]
        if rank == 1:
            value = graph.node("Gather", [value, graph.constant(rng.choice([0, 0, -1]))])
        value = graph.node("Cast", [value], to=TensorProto.FLOAT)
        graph.nodes.append(helper.make_node(rng.choice(["Mul", "Div"]), ["x", value], ["y"]))
        kind = "value"
    else:
        op = rng.choice(["Reshape", "Reshape", "Reshape", "Expand", "Slice", "Resize", "Tile", "Squeeze", "last"])
        if op == "Slice":
            inputs = ["x", graph.single(), graph.single(), graph.constant([rng.randint(0, 3)])]
        elif op == "Resize":
            inputs = ["x", "", "", graph.target(4)]
        elif op == "Squeeze":
            inputs = ["x"] if rng.random() < 0.5 else [graph.floats[-1][0]]
        elif op == "last":
            op, inputs = "Relu", [graph.floats[-1][0]]
        else:
            likely = rng.random() < 0.8
            inputs = ["x", graph.likely_target() if likely else graph.target(rng.choice([2, 3, 4, 4]))]
        graph.nodes.append(helper.make_node(op, inputs, ["y"]))
        kind = "target"
    batch = "n" if rng.random() < 0.5 else rng.randint(1, 2)
    # A value that a Split or a TopK makes may not be used; onnxruntime allows that.
    return kind, graph.model(batch, ["y"])


def run(model, x):
    """The output of onnxruntime, or None where it does not run."""
    try:
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        session = onnxruntime.InferenceSession(model.SerializeToString(), options)
        return session.run(["y"], {"input": x})[0]
    except Exception:  # noqa: BLE001 (onnxruntime raises its own and RuntimeError)
        return None


def constant(sigmax, path):
    """The proved Lipschitz constant, or None where sigmax refuses; what it says on its error stream."""
    command = [str(sigmax), "audit", str(path), "--format", "json", "--threads", "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode > 2 or "panicked" in done.stderr:
        raise RuntimeError(done.stderr)
    if done.returncode == 2:
        return None
    network = json.loads(done.stdout).get("network") or {}
    return (network.get("lipschitz") or {}).get("upper")


def disagreement(kind, model, upper, rng):
    """What is wrong with a proved constant, or None; and whether anything was compared."""
    x = rng.random((2, 2, 3, 4), dtype=np.float32) + np.float32(0.5)
    single = [run(model, x[i : i + 1]) for i in range(2)]
    both = run(model, x)
    if kind == "value":
        found = [(x[:1], single[0]), (x, both)]
        found = [(x, y) for x, y in found if y is not None and y.shape == x.shape]
        for x, y in found:
            with np.errstate(all="ignore"):
                slope = float(np.max(np.abs(y.astype(np.float64) / x)))
            # One rounding of y in float32.
            if not slope <= upper * (1 + 1e-6):
                return f"batch {len(x)}: |y/x| = {slope}, above the proved {upper}", True
            if math.isfinite(slope) and upper > slope * 1.01 + 1e-30:
                return f"batch {len(x)}: |y/x| = {slope}, far below the proved {upper}", True
        return None, bool(found)
    if both is None or single[0] is None or single[1] is None:
        return None, False
    if len(both) != 2 or any(len(y) != 1 for y in single):
        return f"outputs of shape {both.shape} and {single[0].shape}: axis 0 is not the batch", True
    if not all(np.array_equal(both[i], single[i][0]) for i in range(2)):
        return "a sample gives something else in a batch of 2", True
    return None, True


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sigmax", type=Path, required=True, help="the program")
    parser.add_argument("--models", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, default=Path("fuzz_folding.onnx"), help="where a failure is written")
    args = parser.parse_args()
    counts = {"runs": 0, "network": 0, "value": 0, "target": 0}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        for index in range(args.models):
            seed = args.seed * 1_000_003 + index
            kind, model = random_model(random.Random(seed))
            data = np.random.default_rng(seed)
            x = np.ones((1, 2, 3, 4), dtype=np.float32)
            if run(model, x) is None and run(model, np.repeat(x, 2, axis=0)) is None:
                continue
            counts["runs"] += 1
            path.write_bytes(model.SerializeToString())
            try:
                upper = constant(args.sigmax, path)
                if upper is None:
                    continue
                counts["network"] += 1
                wrong, compared = disagreement(kind, model, upper, data)
            except RuntimeError as error:
                wrong, compared = str(error), True
            counts[kind] += compared
            if wrong:
                args.keep.write_bytes(model.SerializeToString())
                print(f"model {index} (seed {args.seed}, {kind}): {wrong}\n{onnx.printer.to_text(model.graph)}")
                print(f"kept as {args.keep}")
                return 1
    print(
        f"{args.models} models: onnxruntime runs {counts['runs']}; sigmax has a network for {counts['network']}; "
        f"compared {counts['value']} values and {counts['target']} targets, no difference"
    )
    # A soak that compares nothing would show nothing.
    return 0 if counts["value"] and counts["target"] else 1


if __name__ == "__main__":
    sys.exit(main())
