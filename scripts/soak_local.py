#!/usr/bin/env python3
"""Try to have false bounds around images confirmed by scripts/certificate, on networks whose true distances are known.

    python3 scripts/soak_local.py [--seed 0] [--networks 100] [--sigmax target/release/sigmax]

Inputs have two entries. Every second network is of dense layers with Relu, LeakyRelu or Abs between them, and its distance
to an input of another class is exact: all patterns of signs are enumerated, and within each the network is affine, so that
the nearest point of a polygon remains, the image itself, on one line, or where two meet. The others have convolutions,
pools, sums, concatenations and smooth activations, and points on 120 rays tell how far away another class is at most. Half
of the inputs are confined to a range.

1. Radii from 0.2 to 1.2 times the distance are stated, by the rule and by random slopes. None beyond it may be confirmed.
2. With --sigmax, `sigmax certify` writes certificates by bounds around the images. None may have a radius beyond the distance, the
   checker may confirm none of them with more, and should confirm what was written: how often it does not is counted.
   Slopes, range, label and pixels are changed; nothing may be confirmed beyond the distance of what is spoken of then.
Exit status: 0 nothing false was confirmed; 1 otherwise, or where nothing true was.
"""
import argparse, collections, itertools, json, math, pathlib, subprocess, sys, tempfile
from types import SimpleNamespace

import numpy as np, onnx

from certificate.common import NotCovered, Rejected, parse, record
from certificate.network import build
from certificate.second_order import DIGITS
from check_certificate import HEADER, LINE, MORE_OF_HEADER, MORE_OF_LINE, Checker
from soak_certificate import Graph, own_bound

SIGNS = {"Relu": 0.0, "LeakyRelu": 0.25, "Abs": -1.0}


class Dense(Graph):
    """Dense layers with kinks between them."""

    def __init__(self, draw):
        self.draw, self.nodes, self.constants, self.last, self.shape, self.input = draw, [], [], "x", [2], [2]
        self.layers = []
        for rows in draw.integers(2, 5, draw.integers(1, 3)):
            self.dense(int(rows), str(draw.choice(list(SIGNS))))
        self.dense(int(draw.integers(2, 4)), None)
        self.nodes[-1].output[0] = "y"

    def dense(self, rows, op):
        w = self.draw.standard_normal((self.shape[0], rows)).astype(np.float32)
        b = self.draw.standard_normal(rows).astype(np.float32)
        self.add("Gemm", [w, b], [rows])
        self.layers.append((w.T.astype(float), b.astype(float), op))
        if op:
            self.add(op, [], [rows], **({"alpha": 0.25} if op == "LeakyRelu" else {}))

    def distance(self, x, y, limits):
        """The distance to an input of another class than y; infinite where there is none."""
        found = math.inf
        for signs in itertools.product(*(itertools.product((0, 1), repeat=len(w)) for w, _, op in self.layers if op)):
            a, c, lines = np.eye(2), np.zeros(2), []  # the value is a x + c; lines: <p, x> >= q
            for (w, b, op), of in itertools.zip_longest(self.layers, signs):
                a, c = w @ a, w @ c + b
                if op:
                    side = np.where(of, 1.0, -1.0)
                    lines += [(s * p, -s * q) for s, p, q in zip(side, a, c)]
                    factor = np.where(of, 1.0, SIGNS[op])
                    a, c = factor[:, None] * a, factor * c
            if limits:
                lines += [(s * e, s * v) for e in np.eye(2) for s, v in ((1, limits[0]), (-1, limits[1]))]
            for t in set(range(len(c))) - {y}:
                found = min(found, nearest(x, lines + [(a[t] - a[y], c[y] - c[t])]))
        return found


def nearest(x, lines):
    """The distance from x to the polygon of points with <p, x> >= q for all lines."""
    p, q = np.array([p for p, _ in lines]), np.array([q for _, q in lines])
    points = [x]
    squares = (p * p).sum(1)
    points += [x + (q[i] - p[i] @ x) / squares[i] * p[i] for i in np.flatnonzero(squares > 1e-20)]
    for i, j in itertools.combinations(range(len(p)), 2):
        det = p[i, 0] * p[j, 1] - p[i, 1] * p[j, 0]
        if abs(det) > 1e-12:
            points.append(np.array([q[i] * p[j, 1] - q[j] * p[i, 1], p[i, 0] * q[j] - p[j, 0] * q[i]]) / det)
    points = np.array(points)
    inside = (points @ p.T >= q - 1e-9 * (1 + np.abs(q))).all(1)
    return float(np.sqrt(((points[inside] - x)**2).sum(1)).min(initial=math.inf))


class Mixed(Graph):
    """All kinds of nodes."""

    def __init__(self, draw):
        self.draw, self.nodes, self.constants, self.last = draw, [], [], "x"
        self.shape = self.input = [[1, 1, 2], [2, 1, 1]][draw.integers(2)]
        self.conv(int(draw.integers(2, 4)), 1)
        self.add("Relu", [], self.shape)
        self.conv(int(draw.integers(2, 4)), 3)  # pictures of 3 x 3 or 3 x 4 from here on
        kinks = ["Relu", "Relu", "LeakyRelu", "Abs", "Softplus", "Tanh", "Sigmoid"]
        self.add(str(draw.choice(kinks)), [], self.shape)
        for _ in range(draw.integers(1, 3)):
            draw.choice([self.pool, self.branch, self.norm])()
            self.conv(int(draw.integers(2, 4)), 1)
            self.add(str(draw.choice(kinks)), [], self.shape)
        self.add("Flatten", [], [math.prod(self.shape)])
        self.add("Gemm", [self.weights([self.shape[0], 3]), self.weights([3])], [3])
        self.nodes[-1].output[0] = "y"

    def weights(self, shape):
        return self.draw.standard_normal(shape).astype(np.float32)

    def conv(self, out, k):
        c, h, w = self.shape
        pad = 2 if k == 3 else 0
        shape = [out, h + 2 * pad - k + 1, w + 2 * pad - k + 1]
        self.add("Conv", [self.weights([out, c, k, k]), self.weights([out])], shape, kernel_shape=[k, k], pads=[pad] * 4)

    def pool(self):
        c, h, w = self.shape
        if min(h, w) > 1:
            op, s = self.draw.choice(["MaxPool", "MaxPool", "AveragePool"]), int(self.draw.integers(1, 3))
            self.add(str(op), [], [c, (h - 2) // s + 1, (w - 2) // s + 1], kernel_shape=[2, 2], strides=[s, s])

    def norm(self):
        scale = self.draw.choice([-1.5, -1, 0.5, 2], (self.shape[0], 1, 1)).astype(np.float32)
        self.add("Mul", [scale], self.shape)
        self.add("Add", [self.weights((self.shape[0], 1, 1))], self.shape)

    def branch(self):
        start, shape = self.last, self.shape
        self.conv(shape[0], 1)
        self.add("Relu", [], shape)
        both = [start, self.last]
        if self.draw.random() < 0.5:
            self.add("Add", [], shape)
        else:
            self.add("Concat", [], [2 * shape[0], *shape[1:]], axis=1)
        self.nodes[-1].input[:] = both

    def distance(self, x, y, limits):
        angles = np.linspace(0, 2 * math.pi, 120, endpoint=False)
        rays = np.array([np.cos(angles), np.sin(angles)]).T
        low, high = 10.0**np.arange(-3, 1.5, 0.15), None
        def other(points):
            z = self.values(points.reshape(-1, *self.input)).reshape(*points.shape[:-1], -1)
            inside = ((points >= limits[0]) & (points <= limits[1])).all(-1) if limits else True
            return (np.delete(z, y, -1).max(-1) > z[..., y]) & inside
        hits = other(x + rays[:, None] * low[None, :, None])
        rows = hits.any(1)
        if not rows.any():
            return math.inf
        first = hits[rows].argmax(1)
        high, low, rays = low[first], np.where(first > 0, low[first - 1], 0), rays[rows]
        for _ in range(12):
            middle = (low + high) / 2
            hit = other(x + middle[:, None] * rays)
            high, low = np.where(hit, middle, high), np.where(hit, low, middle)
        return float(high.min())


def stated(nodes, output, limits):
    """A header with true constants."""
    entries = []
    for node in nodes:
        before = [entries[i]["through"] for i in node.inputs]
        own = {"sum": math.sqrt(2), "max-pool": 3.0, "separable": 3.0}.get(node.op) or own_bound(node)
        if node.op == "dense":
            own = float(np.linalg.norm(node.weight, 2)) * (1 + 1e-4) + 1e-9
        own *= 1 + 1e-9
        through = {"sum": sum(before), "concatenation": math.hypot(*before)}.get(node.op, own * before[0] if before else own) * (1 + 1e-9)
        entries.append(dict(name=node.name, op=node.op, inputs=node.inputs, shape=node.shape, own=own, through=through, together_from=None))
    last = nodes[output]
    return SimpleNamespace(nodes=entries, lipschitz=entries[output]["through"], logits=last.name, classes=math.prod(last.shape),
                           **({"range": list(limits)} if limits else {}))


def slopes(draw, checker, label, classes):
    """Slopes that nobody chose."""
    nodes = [i for i, node in enumerate(checker.nodes) if node.op in ("Relu", "LeakyRelu", "Abs", "max-pool") and math.prod(node.shape)]
    found = []
    for t in range(classes):
        for node in nodes:
            if t != label and draw.random() < 0.7:
                found.append(dict(rival=t, node=node, steps="".join(draw.choice(list(DIGITS), math.prod(checker.nodes[node].shape)))))
    return found


def confirmed(checker, line):
    """True, False, or None where it is not covered."""
    try:
        checker.line(record(parse(json.dumps(line)), LINE, MORE_OF_LINE))
        return True
    except NotCovered:
        return None
    except Rejected:
        return False


def image(graph, draw):
    """An image, its class, and perhaps a range."""
    limits = (-1.0, 1.0) if draw.random() < 0.5 else None
    x = np.round(draw.uniform(-1, 1, 2), 3)
    z = graph.values(x.reshape(1, *graph.input))[0]
    return x, int(z.argmax()), limits


def forge(graph, draw, counts, failed):
    x, y, limits = image(graph, draw)
    truth = graph.distance(x, y, limits)
    header = SimpleNamespace(nodes=[{"shape": graph.input}], input_size=None, layout=None, picture=None, mean=None, std=None)
    nodes, output = build(graph.model(), header)
    checker = Checker(nodes, output, stated(nodes, output, limits))
    line = dict(index=0, label=y, prediction=None, margin=0.0, logits=None, error=None, exact=True, values=list(x), local=True)
    scale = truth if math.isfinite(truth) else 1.0
    for factor in (0.2, 0.6, 0.95, 1 + 1e-6, 1.2):
        for more in ({}, {"slopes": slopes(draw, checker, y, checker.classes)}):
            found = confirmed(checker, line | {"radius": factor * scale} | (more if more.get("slopes") else {}))
            judge(found, factor * scale, truth, counts, failed, "stated")


def judge(found, radius, truth, counts, failed, what):
    false = radius > truth * (1 + 1e-7) + 1e-9
    counts[what, "false" if false else "true", {True: "confirmed", False: "refused", None: "not covered"}[found]] += 1
    if false and found:
        failed.append(f"{what}: radius {radius} is confirmed, another class is at {truth}")


def written(sigmax, graph, draw, counts, failed, folder):
    x, y, limits = image(graph, draw)
    onnx.save(graph.model(), folder / "m.onnx")
    np.save(folder / "x.npy", x.reshape(1, *graph.input))
    np.save(folder / "y.npy", np.array([y], np.uint8))
    run = subprocess.run([sigmax, "certify", folder / "m.onnx", "--images", folder / "x.npy", "--labels", folder / "y.npy", "--certificates",
                          folder / "c.jsonl", "--method", "local", "--pixel-range", "-1,1", *(["--valid-pixels"] if limits else [])],
                         capture_output=True, text=True)
    if run.returncode:
        return failed.append(f"sigmax certify: {run.stderr}")
    first, text = (folder / "c.jsonl").read_text(encoding="utf-8").splitlines()
    header, line = parse(first), json.loads(text)
    if not line.get("local"):
        return None
    def checker(header):
        return Checker(*build(graph.model(), record(header, HEADER, MORE_OF_HEADER)), record(header, HEADER, MORE_OF_HEADER))
    truth = graph.distance(x, y, limits)
    try:
        right = checker(header)
    except NotCovered:
        return judge(None, line["radius"], truth, counts, failed, "written")
    judge(confirmed(right, line), line["radius"], truth, counts, failed, "written")
    for factor in (1.02, 1.5, 4):
        judge(confirmed(right, line | {"radius": factor * line["radius"]}), factor * line["radius"], truth, counts, failed, "more")
    others = slopes(draw, right, y, right.classes)
    if others:
        judge(confirmed(right, line | {"slopes": others}), line["radius"], truth, counts, failed, "other slopes")
    wrong = (y + 1) % right.classes
    judge(confirmed(right, line | {"label": wrong, "margin": 0.0, "prediction": None}), line["radius"], 0.0, counts, failed, "label")
    moved = list(np.clip(x + draw.standard_normal(2), -1, 1))
    there = int(graph.values(np.array(moved).reshape(1, *graph.input))[0].argmax())
    far = graph.distance(np.array(moved), y, limits) if there == y else 0.0
    judge(confirmed(right, line | {"values": moved, "margin": 0.0, "prediction": None, "logits": None, "error": None}), line["radius"], far,
          counts, failed, "pixels")
    if limits:
        free = {key: v for key, v in header.items() if key != "range"}
        judge(confirmed(checker(free), line), line["radius"], graph.distance(x, y, None), counts, failed, "range")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--networks", type=int, default=100)
    parser.add_argument("--sigmax", type=pathlib.Path, help="the program, to check what it writes")
    args = parser.parse_args()
    counts, failed = collections.Counter(), []
    for i in range(args.networks):
        draw, before = np.random.default_rng([args.seed, i]), len(failed)
        graph = Mixed(draw) if i % 2 else Dense(draw)
        forge(graph, draw, counts, failed)
        if args.sigmax:
            with tempfile.TemporaryDirectory() as folder:
                written(args.sigmax.resolve(), graph, draw, counts, failed, pathlib.Path(folder))
        failed[before:] = [f"network {i}: {text}" for text in failed[before:]]
    for (what, truth, found), n in sorted(counts.items()):
        print(f"{what}, {truth}: {n} {found}")
    if not counts["stated", "true", "confirmed"]:
        failed.append("nothing true was confirmed")
    print("\n".join(failed + [f"{args.networks} networks, {len(failed)} failures"]))
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
