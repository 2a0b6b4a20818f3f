#!/usr/bin/env python3
"""Try to have false constants confirmed by scripts/certificate, on small random networks.

    python3 scripts/soak_certificate.py [--seed 0] [--networks 200] [--sigmax target/release/sigmax]

The networks are linear, so that a dense matrix is the truth: the one that onnx's reference implementation gives at the unit
vectors. They have factors per channel, per row, per column and per entry, on inputs [C, H, W], [H, W, C], and flat, with as
many rows as channels more often than not, before and after convolutions and matrices, with groups and strides.

1. For every node, 0.98 times the norm of the map into it is stated, as following from its own constant and as that of a
   group from every place. Nothing of this may be confirmed. What is stated of the nodes before is true.
2. With --sigmax, `sigmax certify` writes certificates of every network, of images of which classes tie. Its constant must
   not be below the truth, and the checker may say that it does not cover a network, but not that it is wrong. Then one key
   of a line at a time states more, which may not be confirmed.
Exit status: 0 nothing false was confirmed and nothing true refused; 1 otherwise.
"""
import argparse, json, pathlib, subprocess, sys, tempfile
from types import SimpleNamespace

import numpy as np, onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from certificate.bounds import check_bounds
from certificate.common import NotCovered, Rejected, record
from certificate.network import build
from check_certificate import HEADER, LINE, Checker

HERE = pathlib.Path(__file__).parent


class Graph:
    """A random network of the input `x` and the output `y`, of which every node is linear."""

    def __init__(self, draw):
        self.draw, self.nodes, self.constants = draw, [], []
        self.last = "x"
        c = int(draw.integers(1, 4))
        h = c if draw.random() < 0.6 else int(draw.integers(1, 5))
        w = c if draw.random() < 0.3 else int(draw.integers(1, 5))
        self.shape = self.input = [[c, h, w], [h, w, c], [c * h]][draw.choice(3, p=[0.6, 0.2, 0.2])]
        for _ in range(draw.integers(1, 5)):
            draw.choice([self.factor, self.factor, self.layer, self.shift])()
        if draw.random() < 0.5:
            self.factor()
        if len(self.shape) > 1:
            self.add("Flatten", [], [int(np.prod(self.shape))])
        if np.prod(self.shape) < 2 or draw.random() < 0.5:
            self.matrix(int(draw.integers(2, 5)))
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

    def model(self, every=False):
        inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", *self.input])]
        names = [node.output[0] for node in self.nodes] if every else ["y"]
        outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names]
        graph = helper.make_graph(self.nodes, "soak", inputs, outputs, self.constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)

    def norms(self):
        """The norm of the map from the input to the output of every node, by name."""
        n = int(np.prod(self.input))
        x = np.concatenate([np.zeros((1, n)), np.eye(n)]).astype(np.float32).reshape(-1, *self.input)
        values = ReferenceEvaluator(self.model(every=True)).run(None, {"x": x})
        flat = [v.reshape(n + 1, -1).astype(float) for v in values]
        return {node.output[0]: np.linalg.norm(v[1:] - v[0], 2) for node, v in zip(self.nodes, flat)}


def own_bound(node):
    """A true constant of a node alone, not a tight one."""
    if node.op == "affine":
        return float(max(abs(v) for v in node.scale.flat))
    if node.op in ("convolution", "dense"):  # the sum of the taps' norms, all groups side by side
        w = node.weight.reshape(*node.weight.shape[:2], -1)
        return float(1.001 * sum(np.linalg.norm(w[:, :, t]) for t in range(w.shape[2])) + 1e-9)
    return 1.0


def confirmed(nodes, entries):
    try:
        check_bounds(nodes, SimpleNamespace(nodes=entries))
        return True
    except (Rejected, NotCovered):
        return False


def forge(graph):
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


def write(folder, graph, draw):
    onnx.save(graph.model(), folder / "m.onnx")
    np.save(folder / "x.npy", draw.integers(0, 3, (4, *graph.input)) / 2)
    np.save(folder / "y.npy", draw.integers(0, 2, 4).astype(np.uint8))


def more(line, classes):
    """The line of an image with one key changed so that it states what does not follow."""
    grown = lambda x: x * (1 + 1e-5) + 1e-9
    if line["radius"] != "inf":
        yield from (line | {"radius": x} for x in (grown(line["radius"]), "inf", None, -1e-15))
    yield from (line | {"margin": x} for x in (grown(line["margin"]), 1e9, -1e-15, None))
    yield from (line | {"prediction": t} for t in range(-1, classes + 1) if t != line["prediction"])
    if line["radius"] != 0 or line["margin"] > 0:
        yield from (line | {"label": t} for t in range(-1, classes + 1) if t != line["label"])
    yield from (line | {"error": x} for x in (0, -1e-15, None))
    for t, z in enumerate(line["logits"]):
        yield line | {"logits": [*line["logits"][:t], z + 1e-9 + 2 * line["error"], *line["logits"][t + 1:]]}
    yield line | {"logits": None}
    yield line | {"logits": line["logits"][1:]}
    yield line | {"values": line["values"][1:]}
    yield line | {"exact": 1}


def lines_confirmed(folder):
    """(attempts, changed lines that the checker confirms)."""
    header, *lines = (folder / "c.jsonl").read_text(encoding="utf-8").removesuffix("\n").split("\n")
    header = record(header, HEADER)
    checker, attempts, false = Checker(*build(onnx.load(folder / "m.onnx"), header), header), 0, []
    for text in lines:
        for changed in more(json.loads(text), header.classes):
            attempts += 1
            try:
                checker.line(record(json.dumps(changed), LINE, ["bytes", "values"]))
                false.append(f"confirmed: {changed}")
            except (Rejected, NotCovered):
                pass
    return attempts, false


def compare(sigmax, folder, graph, options):
    """How many changed lines were tried, 0 where the checker does not cover the network, and what is wrong."""
    images = ["--images", folder / "x.npy", "--labels", folder / "y.npy", "--certificates", folder / "c.jsonl"]
    run = subprocess.run([sigmax, "certify", folder / "m.onnx", *images, *options], capture_output=True, text=True)
    if run.returncode:
        return 0, [f"sigmax certify: {run.stderr}"]
    constant = json.loads((folder / "c.jsonl").read_text(encoding="utf-8").split("\n")[0])["lipschitz"]
    truth = graph.norms()["y"]
    wrong = [] if float(constant) >= truth * (1 - 1e-5) else [f"constant {constant} below the truth {truth}"]
    for command in ([sigmax, "check"], [sys.executable, HERE / "check_certificate.py"]):
        run = subprocess.run([*command, folder / "c.jsonl", folder / "m.onnx"], capture_output=True, text=True)
        if run.returncode == 1 or run.returncode and command[0] == sigmax:
            wrong.append(f"{command[-1]}: {run.stderr}")
    if run.returncode:
        return 0, wrong
    attempts, false = lines_confirmed(folder)
    return attempts, wrong + false


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--networks", type=int, default=200)
    parser.add_argument("--sigmax", type=pathlib.Path, help="the program, to check what it writes")
    parser.add_argument("options", nargs="*", help="further options of `sigmax certify`, after --")
    args = parser.parse_args()
    attempts = covered = certified = changed = 0
    failed = []
    for i in range(args.networks):
        draw = np.random.default_rng([args.seed, i])
        graph = Graph(draw)
        tried, false = forge(graph)
        attempts, covered = attempts + tried, covered + (tried > 0)
        if args.sigmax:
            with tempfile.TemporaryDirectory() as folder:
                write(pathlib.Path(folder), graph, draw)
                lines, wrong = compare(args.sigmax, pathlib.Path(folder), graph, args.options)
                certified, changed, false = certified + (lines > 0), changed + lines, false + wrong
        failed += [f"network {i}: {text}" for text in false]
    print("\n".join(failed + [f"{args.networks} networks, {covered} covered: {attempts} forgeries, {len(failed)} failures"]))
    if args.sigmax:
        print(f"{certified} networks with certificates of `sigmax certify` that are confirmed, {changed} changed lines")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
