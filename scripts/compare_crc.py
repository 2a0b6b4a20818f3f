#!/usr/bin/env python3
"""Compare the radii and the time of `sigmax certify` with a plain curvature certificate in PyTorch.

    python3 scripts/compare_crc.py --sigmax target/release/sigmax --model NET.onnx --images DIR [--limit 100]

The other side is the dual of Singla & Feizi (Second-Order Provable Defenses, ICML 2020) as one writes it
down: for every image and every other class t, with f = z_y - z_t and m the largest eigenvalue of
W^T diag(max(0, w_t - w_y)/4) W,

    radius^2 / 2  =  max over 0 <= eta <= 1/m of  min over x of  |x - x0|^2 / 2 + eta f(x),

by 30 bisections of eta with 20 gradient steps for x each, in f32, all pairs in one batch. It has no bound
of its rounding, and an x that has not converged makes its radius too large: nothing is proved there. Where
its radius is larger by more than 1e-5, it is computed again in f64 from an x that every bisection improves by
40 steps, for the classes that are within 0.1 % of the nearest. The time that it takes to find m is not
counted. The time of sigmax is that of the whole process, from reading the model to the last radius, m and
all proofs included.

NET.onnx has one hidden layer (convolution or dense), softplus, and a dense layer behind it, as
scripts/train_curvature.py writes them; the images are those of MNIST or CIFAR-10.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--sigmax", type=pathlib.Path, required=True, help="the binary")
parser.add_argument("--model", type=pathlib.Path, required=True)
parser.add_argument("--images", required=True, help="as for sigmax certify")
parser.add_argument("--limit", type=int, default=100, help="only so many images (default 100)")
parser.add_argument("--threads", type=int, default=2)
ARGS = parser.parse_args()
os.environ |= {"OMP_NUM_THREADS": str(ARGS.threads), "MKL_NUM_THREADS": str(ARGS.threads)}

import numpy as np  # noqa: E402
import onnx  # noqa: E402
import torch  # noqa: E402
from onnx import numpy_helper  # noqa: E402
from torch.nn.functional import conv2d, softplus  # noqa: E402

torch.set_num_threads(ARGS.threads)
BISECTIONS, STEPS = 30, 20
MORE_STEPS = 40
CLOSE = 1e-5


class Net:
    """One hidden layer as a matrix."""

    def __init__(self, path):
        graph = onnx.load(path).graph
        values = {t.name: torch.tensor(numpy_helper.to_array(t)).double() for t in graph.initializer}
        shape = [d.dim_value for d in graph.input[0].type.tensor_type.shape.dim][1:]
        nodes = [n for n in graph.node if n.op_type != "Flatten"]
        if [n.op_type for n in nodes][1:] != ["Softplus", "Gemm"] or nodes[0].op_type not in ("Conv", "Gemm"):
            sys.exit(f"{path}: not one hidden layer and softplus, but {[n.op_type for n in nodes]}")
        first, _, last = nodes
        a = {x.name: onnx.helper.get_attribute_value(x) for x in first.attribute}
        weight, bias = (values[name] for name in first.input[1:3])
        if first.op_type == "Conv":
            basis = torch.eye(int(np.prod(shape)), dtype=torch.float64).reshape(-1, *shape)
            pads = a.get("pads", [0] * 4)
            out = conv2d(torch.nn.functional.pad(basis, (pads[1], pads[3], pads[0], pads[2])), weight,
                         stride=a.get("strides", [1, 1]))
            bias = bias.repeat_interleave(out[0, 0].numel())
            weight = out.flatten(1).T.contiguous()
        elif not a.get("transB", 0):
            weight = weight.T
        b = {x.name: onnx.helper.get_attribute_value(x) for x in last.attribute}
        self.w1, self.b1 = weight, bias
        self.w2 = values[last.input[1]] if b.get("transB", 0) else values[last.input[1]].T
        self.b2 = values[last.input[2]]

    def m(self):
        """m of every ordered pair, and how convex f can be: m of the pair in the other order."""
        classes = len(self.w2)
        m = torch.zeros(classes, classes, dtype=torch.float64)
        for y in range(classes):
            for t in range(classes):
                kappa = (self.w2[t] - self.w2[y]).clamp(min=0) / 4
                rows = kappa > 0
                if y != t and rows.any():
                    b = kappa[rows].sqrt()[:, None] * self.w1[rows]
                    gram = b @ b.T if len(b) < b.shape[1] else b.T @ b
                    m[y, t] = torch.linalg.eigvalsh(gram)[-1]
        return m


@torch.no_grad()
def crc(net, m, x0, image, y, t, dtype=torch.float32, steps=STEPS, restart=True):
    """A radius for every x0[image] of class y against t."""
    w1, b1 = net.w1.to(dtype), net.b1.to(dtype)
    a, shift = (net.w2[y] - net.w2[t]).to(dtype), (net.b2[y] - net.b2[t]).to(dtype)
    x0, m, convex = x0.to(dtype)[image], m[y, t].to(dtype), m[t, y].to(dtype)
    low, high = torch.zeros_like(m), 1 / m
    best, x = torch.zeros_like(m), x0
    for _ in range(BISECTIONS):
        eta = (low + high) / 2
        if restart:
            x = x0
        step = (1 / (1 + eta * convex))[:, None]
        for _ in range(steps):
            g = (a * torch.sigmoid(x @ w1.T + b1)) @ w1
            x = x - step * (x - x0 + eta[:, None] * g)
        f = (a * softplus(x @ w1.T + b1)).sum(1) + shift
        value = (x - x0).square().sum(1) / 2 + eta * f
        best = torch.maximum(best, value)
        # The derivative of the dual by eta is f.
        low, high = torch.where(f > 0, eta, low), torch.where(f > 0, high, eta)
    return (2 * best).sqrt()


def nearest(radii, image, count):
    """The least radius of every image; infinite where there is none."""
    return torch.full((count,), torch.inf, dtype=radii.dtype).scatter_reduce(0, image, radii, "amin")


def main():
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "c.jsonl"
        base = [ARGS.sigmax, "certify", ARGS.model, "--images", ARGS.images, "--limit", str(ARGS.limit),
                "--threads", str(ARGS.threads)]
        started = time.perf_counter()
        subprocess.run([*base, "--format", "json"], check=True, capture_output=True)
        ours = time.perf_counter() - started
        subprocess.run([*base, "--certificates", out], check=True, capture_output=True)
        lines = [json.loads(line) for line in out.read_text().splitlines()[1:]]
    net = Net(ARGS.model)
    m = net.m()
    right = [line for line in lines if line["prediction"] == line["label"]]
    labels = torch.tensor([line["label"] for line in right])
    pairs = [(i, y, t) for i, y in enumerate(labels.tolist()) for t in range(len(net.w2)) if t != y]
    image, y, t = torch.tensor(pairs).T
    pixels = torch.tensor([list(bytes.fromhex(line["bytes"])) for line in right]).double() / 255
    started = time.perf_counter()
    each_pair = crc(net, m, pixels, image, y, t)
    theirs = nearest(each_pair, image, len(right))
    seconds = time.perf_counter() - started
    radii = torch.tensor([line["radius"] for line in right]).double()
    ratios = radii / theirs
    smaller = ratios < 1 - CLOSE
    again = smaller[image] & (each_pair <= theirs[image] * 1.001)
    each = ours / len(lines), seconds / len(right)
    print(f"{ARGS.model.name}: {len(right)} images classified right of {len(lines)}, {ARGS.threads} threads")
    print(f"plain dual in PyTorch: {seconds:.2f} s, {1e3 * each[1]:.1f} ms an image, m not counted")
    print(f"sigmax certify, the whole process: {ours:.2f} s, {1e3 * each[0]:.1f} ms an image: "
          f"{each[1] / each[0]:.1f} times as fast")
    print(f"radius of sigmax over that of the dual: 1 - {1 - ratios.min():.1e} at least, 1 - {1 - ratios.mean():.1e} "
          f"on average; smaller by more than {CLOSE:g}: {smaller.sum()} images")
    if smaller.any():
        exact = crc(net, m, pixels, image[again], y[again], t[again], torch.float64, MORE_STEPS, restart=False)
        ratios = (radii / nearest(exact, image[again], len(right)))[smaller]
        print(f"of these, over that of the dual in f64 with {MORE_STEPS} steps a bisection: "
              f"1 - {1 - ratios.min():.1e} at least")


if __name__ == "__main__":
    main()
