#!/usr/bin/env python3
"""Compare three certificates around an image, and sigmax: by the box alone, the ball alone, and both.

    python3 scripts/compare_local.py MODEL.onnx --data DIR [--limit 20] [--eps 0.1] [--sigmax target/release/sigmax]

DIR holds the four official files of MNIST or the six binary files of CIFAR-10; the first --limit test images
are taken, pixels value/255. MODEL is a sequence of Conv (two axes), Gemm, Relu, MaxPool, Flatten and Reshape.
An image counts if every input within --eps, 2-norm, pixels beyond 0 and 1 included, has its right class. All
methods go from z_y - z_t back to the input with linear bounds, and know two things of the input z of a ReLU:
it is within R of its value z0 at the image, R = eps times the norms of the layers (the ball), and in [l, u]
(the box). For every g and every lambda >= 0

    c relu(z) >= g z - lambda/2 R^2 + sum of min over t of c_i relu(t) - g_i t + lambda/2 (t - z0_i)^2

box   lambda = 0, t in [l, u]: CROWN (Zhang et al., NeurIPS 2018) with a ball as the input set
ball  t anywhere: theorem 4.1 of SDP-CROWN (Chiu et al., ICML 2025)
both  t in [l, u], the best lambda (T38 in crates/sigmax/docs/theory.md)

All have CROWN's slopes: g_i is, for c_i >= 0, c_i where u > -l and else 0, for c_i < 0 c_i times the slope of
the chord. Nothing is optimised but lambda, in one dimension. Boxes are the best of: norms of the rows of a
layer times R of what it reads; the value +- R; interval arithmetic, not for `ball`; and where the sign is
then open in front of a ReLU, the same bounds from there back to the input. For `box` only the image has a
ball; for `ball` boxes serve for slopes and max-pools alone. A max-pool moves an entry that is certainly the
largest; else c_i >= 0 takes the one that is largest at the image, c_i < 0 the largest u as a constant.

All but sigmax are ESTIMATES: f64 without error bounds, and norms by power iteration, from below; nothing is
proved. Their time is that of these few lines in PyTorch without the norms, over the images of the right
class. sigmax has slopes and boxes of its own, and proves. `not attacked` is what an attack with pixels in
[0, 1] leaves (that of train_robust.py): no valid certificate has more.
"""

import argparse
import functools
import json
import math
import pathlib
import subprocess
import sys
import time
from collections import namedtuple

import onnx
import torch
from torch.nn import functional
from torch.nn.grad import conv2d_input

from attack import OPERATORS, padded, tensor
from curvature import data
from curvature.data import BadInput
from train_robust import attacked_accuracy, quotient

METHODS = ["box", "ball", "both"]
INF, ROWS = math.inf, 64  # rows: entries from which bounds go back together

State = namedtuple("State", "value low high radius")  # of a place: its value at the image, box and ball within eps


# --- operators: tensors are [rows, entries]; back(c) is g and k, with c f(x) >= g x + k -----------

class Affine:
    """A convolution, with attributes, or a dense layer, without."""

    def __init__(self, w, bias, shape, a=None):
        self.w, self.shape, self.a = w, shape, a
        ones = torch.ones(1, math.prod(shape))
        self.out = (len(w),) if a is None else tuple(OPERATORS["Conv"](a, ones.view(1, *shape), w).shape[1:])
        bias = torch.zeros(len(w)) if bias is None else bias
        self.bias = bias.repeat_interleave(math.prod(self.out[1:]))
        self.rows = self.linear(ones, w.square())[0].sqrt()  # their norms
        v = torch.randn_like(ones)
        for _ in range(200):
            v = self.adjoint(self.linear(v / v.norm(), w))
        self.norm = v.norm().sqrt().item()

    def linear(self, x, w):
        return x @ w.T if self.a is None else OPERATORS["Conv"](self.a, x.view(-1, *self.shape), w).flatten(1)

    def adjoint(self, c):
        if self.a is None:
            return c @ self.w
        (top, left), (channels, high, wide) = self.a.get("pads", [0, 0])[:2], self.shape
        sizes = padded(torch.empty(1, *self.shape), self.a, self.w.shape[2:]).shape[1:]
        geometry = self.a.get("strides", [1, 1]), 0, self.a.get("dilations", [1, 1]), self.a.get("group", 1)
        x = conv2d_input((len(c), *sizes), self.w, c.view(-1, *self.out), *geometry)
        return x[:, :, top : top + high, left : left + wide].flatten(1)

    def __call__(self, x):
        return self.linear(x, self.w) + self.bias

    def box(self, s, method):
        middle, reach = s.value, torch.where(self.rows > 0, self.rows * s.radius, 0.0)
        low, high = self(middle[None])[0] - reach, self(middle[None])[0] + reach
        if method != "ball":
            middle, spread = (s.low + s.high) / 2, (s.high - s.low) / 2
            middle, spread = self(middle[None])[0], self.linear(spread[None], self.w.abs())[0]
            low, high = torch.maximum(low, middle - spread), torch.minimum(high, middle + spread)
        return low, high

    def back(self, c, s, method):
        return self.adjoint(c), c @ self.bias


class Relu:
    norm = 1.0

    def __call__(self, x):
        return x.relu()

    def box(self, s, method):
        return s.low.relu(), s.high.relu()

    def back(self, c, s, method):
        undecided, ball = (s.low < 0) & (s.high > 0), method == "ball"
        lower = (s.high > -s.low).to(c)
        upper = torch.where(undecided, s.high / (s.high - s.low), lower)
        g = c * torch.where(c >= 0, lower, upper)
        pick = ((undecided | ball) & (c != 0).any(0)).nonzero()[:, 0]  # of the others the minimum is 0
        low, high = (torch.full((len(pick),), end) if ball else box[pick] for box, end in ((s.low, -INF), (s.high, INF)))
        return g, best_lambda(c[:, pick], g[:, pick], s.value[pick], low, high, s.radius)


def minima(c, g, value, low, high, weight):
    """Sum of min over t of c relu(t) - g t + weight/2 (t - value)^2, and of (t - value)^2 there; low <= 0 <= high."""
    results = []
    for a, least, most in ((c - g, 0 * value, high), (-g, low, 0 * value)):
        t = (value - a / weight).clamp(least, most)
        results.append((a * t + weight / 2 * (t - value).square(), (t - value).square()))
    (right, moved_right), (left, moved_left) = results
    return torch.minimum(right, left).sum(1), torch.where(right < left, moved_right, moved_left).sum(1)


def best_lambda(c, g, value, low, high, radius, steps=14):
    """The largest of the bounds at some lambda: nearly 0, and those of a bisection, as they are concave in it."""
    best = torch.full((len(c),), -INF)
    if low.isfinite().all():
        best = minima(c, g, value, low, high, torch.full((len(c), 1), 1e-300))[0]
    unit = (c.norm(dim=1) / max(radius, 1e-30)).clamp_min(1e-30)
    below, above = unit * 1e-6, unit * 1e2
    for _ in range(steps if math.isfinite(radius) else 0):
        middle = (below * above).sqrt()
        total, moved = minima(c, g, value, low, high, middle[:, None])
        best = torch.maximum(best, total - middle / 2 * radius**2)
        grows = moved > radius**2
        below, above = torch.where(grows, middle, below), torch.where(grows, above, middle)
    return best


class MaxPool:
    def __init__(self, a, shape):
        self.n = math.prod(shape)
        places = padded(torch.arange(float(self.n)).view(shape), a, a["kernel_shape"], self.n)
        for axis, (size, stride) in enumerate(zip(a["kernel_shape"], a.get("strides", [1, 1])), 1):
            places = places.unfold(axis, size, stride)
        self.out, self.windows = tuple(places.shape[:3]), places.flatten(0, 2).flatten(1).long()
        self.norm = math.sqrt(torch.bincount(self.windows.flatten())[: self.n].max())

    def entries(self, x):
        """[..., windows, entries], -inf for padding."""
        return functional.pad(x, (0, 1), value=-INF)[..., self.windows]

    def __call__(self, x):
        return self.entries(x).amax(2)

    def box(self, s, method):
        return self.entries(s.low).amax(1), self.entries(s.high).amax(1)

    def back(self, c, s, method):
        low, high = self.entries(s.low), self.entries(s.high)
        first = low.argmax(1, keepdim=True)
        certain = low.gather(1, first)[:, 0] >= high.scatter(1, first, -INF).amax(1)
        entry = torch.where(certain, first[:, 0], self.entries(s.value).argmax(1))
        moved = torch.where(certain | (c >= 0), c, 0.0)
        g = torch.zeros(len(c), self.n).index_add_(1, self.windows.gather(1, entry[:, None])[:, 0], moved)
        return g, (c - moved) @ high.amax(1)


def read(path, shape):
    """The operators in order; of Flatten and Reshape there is only the shape that the next one reads."""
    graph, operators = onnx.load(path).graph, []
    constants = {t.name: tensor(t) for t in graph.initializer}
    image = next(i for i in graph.input if i.name not in constants)
    sizes, last = [d.dim_value for d in image.type.tensor_type.shape.dim][1:], image.name
    if math.prod(sizes) not in (0, math.prod(shape)):
        raise BadInput(f"{path}: an input of shape {sizes}, the images of --data have {[*shape]}")
    for node in graph.node:
        kind, a = node.op_type, {x.name: onnx.helper.get_attribute_value(x) for x in node.attribute}
        if kind == "Constant" and "value" in a:
            constants[node.output[0]] = tensor(a["value"])
            continue
        odd = a.get("auto_pad", b"NOTSET") != b"NOTSET" or a.get("transA") or a.get("ceil_mode")
        odd = odd or kind in ("Conv", "MaxPool") and len(shape) != 3 or kind == "MaxPool" and set(a.get("dilations", [1])) != {1}
        if odd or node.input[0] != last or any(i not in constants for i in node.input[1:]):
            raise BadInput(f"{path}: {kind} {node.name!r} is not known here as it is, or does not read the node before it")
        w, bias, last = *[*(constants[i] for i in node.input[1:]), None, None][:2], node.output[0]
        if kind == "Conv":
            operators.append(Affine(w, bias, shape, a))
        elif kind == "Gemm":
            w = a.get("alpha", 1.0) * (w if a.get("transB") else w.T)
            operators.append(Affine(w, None if bias is None else a.get("beta", 1.0) * bias.flatten(), shape))
        elif kind in ("Relu", "MaxPool"):
            operators.append(Relu() if kind == "Relu" else MaxPool(a, shape))
        elif kind in ("Flatten", "Reshape"):
            shape = tuple(torch.empty(shape).reshape([-1] if w is None else w.tolist()[1:]).shape)
        else:
            raise BadInput(f"{path}: operator {kind} is not known here")
        shape = operators[-1].out if kind in ("Conv", "Gemm", "MaxPool") else shape
    return operators


def forward(operators, x):
    return functools.reduce(lambda x, f: f(x), operators, x.flatten(1))


# --- bounds --------------------------------------------------------------------------------------

def lower_bounds(operators, states, c, method):
    """Lower bounds of the rows of `c` times what these operators give; `states` are at their inputs."""
    total = torch.zeros(len(c))
    for operator, s in zip(reversed(operators), reversed(states)):
        c, k = operator.back(c, s, method)
        total += k
    return total + c @ states[0].value - states[0].radius * c.norm(dim=1)


def around(operators, x, eps, method):
    """The states in front of every operator, and in the end of the logits."""
    states = [State(x, x - eps, x + eps, eps)]
    for i, operator in enumerate(operators):
        value, radius = operator(states[-1].value[None])[0], states[-1].radius * operator.norm
        if method == "box":
            radius = INF
        low, high = operator.box(states[-1], method)
        s = State(value, torch.maximum(low, value - radius), torch.minimum(high, value + radius), radius)
        exact = all(isinstance(f, Affine) for f in operators[:i])
        if i + 1 < len(operators) and isinstance(operators[i + 1], Relu) and not exact:
            for part in ((s.low < 0) & (s.high > 0)).nonzero()[:, 0].split(ROWS):
                c, path = functional.one_hot(part, len(value)).to(value), (operators[: i + 1], states)
                s.low[part] = torch.maximum(s.low[part], lower_bounds(*path, c, method))
                s.high[part] = torch.minimum(s.high[part], -lower_bounds(*path, -c, method))
        states.append(s)
    return states


def margin(operators, x, label, eps, method):
    """The smallest lower bound of z_y - z_t."""
    states = around(operators, x, eps, method)
    c = -torch.eye(len(states[-1].value))
    c[:, label] += 1
    return lower_bounds(operators, states[:-1], c[torch.arange(len(c)) != label], method).min().item()


# --- side by side --------------------------------------------------------------------------------

def sigmax(args) -> None:
    files = ["--images", args.data / "test_batch.bin"]
    if data.kind(args.data) == "mnist":
        images, labels = (next(args.data.glob(f"t10k-{part}-ubyte*")) for part in ("images-idx3", "labels-idx1"))
        files = ["--images", images, "--labels", labels]
    options = f"--limit {args.limit} --eps {args.eps!r} --method local --only-eps --format json --threads {args.threads}"
    result = subprocess.run([args.sigmax.resolve(), "certify", args.model, *files, *options.split()], capture_output=True, text=True)
    if result.returncode:
        raise BadInput(f"{args.sigmax}: {result.stderr.strip()}")
    answer = json.loads(result.stdout)
    certified, seconds = answer["certified"][0], answer["local_seconds"] or 0.0
    print(f"{'sigmax':9}{certified['certified']:10}{seconds / max(answer['correct'], 1):12.3f}   PROVED; {answer['seconds']:.1f} s with the norms")


def run(args) -> None:
    torch.manual_seed(0)
    torch.set_num_threads(args.threads)
    images, labels = (part[: args.limit] for part in data.load(args.data, "test"))
    torch.set_default_dtype(torch.float64)
    images = (images.double() * 255).round() / 255
    operators = read(args.model, tuple(images.shape[1:]))
    print("ESTIMATED norms of the layers " + ", ".join(f"{f.norm:.3f}" for f in operators if isinstance(f, Affine)))
    right = (forward(operators, images).argmax(1) == labels).nonzero()[:, 0].tolist()
    left = attacked_accuracy(lambda x: forward(operators, x), images, labels, args.eps, 40) / 100 * len(images)
    print(f"{len(images)} images, {len(right)} of the right class, {left:.0f} not attacked within {args.eps:.6g}\n")
    print("method    certified   s per image")
    for method in args.methods:
        began = time.perf_counter()
        with torch.no_grad():
            count = sum(margin(operators, images[i].flatten(), labels[i], args.eps, method) > 0 for i in right)
        print(f"{method:9}{count:10}{(time.perf_counter() - began) / max(len(right), 1):12.3f}   estimate", flush=True)
    if args.sigmax:
        sigmax(args)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path, help="ONNX file")
    parser.add_argument("--data", type=pathlib.Path, required=True, help="folder of the files of MNIST or CIFAR-10")
    parser.add_argument("--limit", type=int, default=20, help="first test images (default %(default)s)")
    parser.add_argument("--eps", type=quotient, default="0.1", help="distance, also as a quotient: 36/255 (default %(default)s)")
    parser.add_argument("--methods", nargs="*", choices=METHODS, default=METHODS, help="(default: all)")
    parser.add_argument("--sigmax", type=pathlib.Path, help="the binary, to run beside")
    parser.add_argument("--threads", type=int, default=1, help="(default %(default)s)")
    args = parser.parse_args()
    try:
        run(args)
    except BadInput as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
