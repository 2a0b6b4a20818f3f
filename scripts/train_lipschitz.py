#!/usr/bin/env python3
"""Train a small classifier whose layers have norm 1, so that its margins are certificates.

    python3 scripts/train_lipschitz.py --data DIR --out FILE.onnx [--arch LAYERS] [--certificates FILE.jsonl]

DIR holds the four official files of MNIST or Fashion-MNIST (idx format, gzipped or not), or the six binary files
of CIFAR-10. Pixels are value/255. The last --validation of the training images are not trained on, reported
like the test images, and estimated after each epoch too: choose settings by them. --shift moves every image by
up to so many pixels, and those of CIFAR-10 are mirrored by chance.

The features are dense layers and strided convolutions with orthonormal columns or rows, and |x| in
between, which keeps every length: the Lipschitz constant of the features is the product of the norms,
1. A convolution is a product of factors P + (1 - P)z along the two axes, P an orthogonal projection
(as in Li et al., NeurIPS 2019), which has norm 1 at every frequency. The optimizer sees the tangent
part of the gradient, and after its step one of Newton and Schulz makes the matrices orthonormal again.
--optimizer muon moves every orthonormal matrix by --rate times its momentum with all singular values made
about 1 (Jordan et al. 2024), and what else there is by Adam with a rate of 0.002; adam moves all by Adam with
--rate. The rates rise for 15 % of the steps and fall along a cosine.

The loss is the cross-entropy of (z_t - z_y) / |w_t - w_y|, w the rows of the last layer, which bounds
the distance to the other class, after the true class has been set back by --margin, all divided by
--temperature. The last layer is free: only the directions of w_t - w_y count.

At the end it prints the clean accuracy and an ESTIMATE of the certified accuracy: norms by NumPy's SVD
in f64, of a convolution on a grid of 32 x 32 frequencies; nothing is proved. The file has Conv, Abs,
Flatten and Gemm with f32 constants, from images [N,1,28,28] or [N,3,32,32] to logits [N,10]. The result depends on
--seed and, as rounding does, on the machine, the number of threads and PyTorch.
"""

import argparse
import json
import math
import pathlib
import re
import sys

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper
from torch import nn
from torch.nn import functional

from curvature import data
from curvature.data import BadInput
from curvature.options import at_least, built, check_place, repeatable, seed, write_whole

RATES = {"muon": 0.03, "adam": 2e-3}
EPS = {"mnist": (0.3, 0.5, 1.0, 1.58), "cifar10": (36 / 255, 72 / 255, 108 / 255, 1.0)}


def orthonormal(rows: int, columns: int) -> nn.Parameter:
    """A random matrix with orthonormal rows or columns, whichever are fewer."""
    w = nn.Parameter(nn.init.orthogonal_(torch.empty(rows, columns)))
    w.is_orthonormal = True
    return w


class Dense(nn.Module):
    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.w, self.bias = orthonormal(outputs, inputs), nn.Parameter(torch.zeros(outputs))

    def forward(self, x):
        return functional.linear(x.flatten(1), self.w, self.bias)


class Conv(nn.Module):
    """Convolution whose kernel size is a multiple of its stride."""

    def __init__(self, inputs: int, outputs: int, size: int, stride: int, padding: int):
        super().__init__()
        self.inputs, self.stride, self.padding = inputs, stride, padding
        folded = inputs * stride**2  # channels of the same map with stride 1
        width = max(folded, outputs)
        self.w, self.bias = orthonormal(outputs, folded), nn.Parameter(torch.zeros(outputs))
        self.frames = nn.ParameterList(orthonormal(width, width // 2) for _ in range(2 * (size // stride - 1)))

    def kernel(self):
        (outputs, folded), expands = self.w.shape, self.w.shape[0] >= self.w.shape[1]
        taps = (self.w if expands else torch.eye(folded).to(self.w))[None, None]  # [row, column, width, folded]
        for i, frame in enumerate(self.frames):
            low, axis = frame @ (frame.T @ taps), i % 2
            none = torch.zeros_like(taps.narrow(axis, 0, 1))
            taps = torch.cat((low, none), axis) + torch.cat((none, taps - low), axis)
        taps, k, s = taps if expands else self.w @ taps, len(taps), self.stride
        return taps.reshape(k, k, outputs, -1, s, s).permute(2, 3, 0, 4, 1, 5).reshape(outputs, self.inputs, k * s, k * s)

    def forward(self, x):
        return functional.conv2d(x, self.kernel(), self.bias, self.stride, self.padding)


def check_geometry(word: str, side: int, size: int, stride: int, padding: int) -> None:
    """Whether a convolution of the command line can be had on maps of `side` pixels, 0 after a dense layer."""
    if not side:
        raise BadInput(f"--arch: {word} stands behind a dense layer; convolutions come first")
    if stride < 1 or size < stride or size % stride:
        raise BadInput(f"--arch: {word} has kernels of {size} pixels and stride {stride}; a multiple of the stride is needed")
    if size > side + 2 * padding:
        raise BadInput(f"--arch: {word} has kernels of {size} pixels, larger than its padded input of {side + 2 * padding}")


class Network(nn.Module):
    def __init__(self, text: str, shape: tuple[int, int, int]):
        super().__init__()
        self.layers, (channels, side, _) = nn.ModuleList(), shape
        for word in text.split():
            if not re.fullmatch(r"d\d+|c\d+(,\d+){3}", word):
                raise BadInput(f"--arch: {word!r} is neither dWIDTH nor cCHANNELS,SIZE,STRIDE,PADDING")
            width, *geometry = map(int, word[1:].split(","))
            if width < 1:
                raise BadInput(f"--arch: {word} has no channels")
            if geometry:
                check_geometry(word, side, *geometry)
            self.layers.append(Conv(channels, width, *geometry) if geometry else Dense(channels * max(side, 1) ** 2, width))
            size, stride, padding = geometry or (side, 1, 0)
            channels, side = width, (side + 2 * padding - size) // stride + 1 if geometry else 0
        if not self.layers:
            raise BadInput("--arch: no layer")
        self.last = nn.Linear(channels * max(side, 1) ** 2, 10)

    def forward(self, x):
        for layer in self.layers:
            x = layer(x).abs()
        return self.last(x.flatten(1))

    def weights(self) -> list[torch.Tensor]:
        """Of every layer, as a file holds them."""
        return [layer.kernel() if isinstance(layer, Conv) else layer.w for layer in self.layers] + [self.last.weight]

    def orthonormal(self) -> list[nn.Parameter]:
        return [p for p in self.parameters() if hasattr(p, "is_orthonormal")]

    @torch.no_grad()
    def project_gradient(self):
        """Leave the part of the gradient along which the matrices stay orthonormal to first order."""
        for p in self.orthonormal():
            w, g = (p, p.grad) if p.shape[0] >= p.shape[1] else (p.T, p.grad.T)
            k = w.T @ g
            g -= w @ (k + k.T) / 2

    @torch.no_grad()
    def retract(self):
        """A Newton-Schulz step towards the nearest orthonormal matrix."""
        for p in self.orthonormal():
            w = p if p.shape[0] >= p.shape[1] else p.T
            w.copy_(1.5 * w - 0.5 * w @ (w.T @ w))


def distances(logits, w, y):
    """(z_t - z_y) / |w_t - w_y| for all t, 0 at t = y."""
    gaps = w[y][:, None] - w[None]
    return (logits - logits.gather(1, y[:, None])) / (gaps.square().sum(2) + 1e-12).sqrt()


class Muon(torch.optim.Optimizer):
    """Steps along Nesterov's momentum with its singular values moved into about [0.7, 1.2] (Jordan et al. 2024)."""

    def __init__(self, matrices, rate: float, momentum: float = 0.9):
        super().__init__(matrices, {"lr": rate, "momentum": momentum})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                momentum = self.state[p].setdefault("momentum", torch.zeros_like(p)).mul_(group["momentum"]).add_(p.grad)
                step = p.grad + group["momentum"] * momentum
                p.sub_(group["lr"] * (levelled(step) if len(step) <= step.shape[1] else levelled(step.T).T))


def levelled(w):
    """w with its singular values moved to about 1 by Muon's polynomial, five times; rows not more than columns."""
    w = w / (w.norm() + 1e-12)
    gram, one = w @ w.T, torch.eye(len(w))
    factor = one  # the polynomials commute with w·wᵀ: the long side is needed twice, not ten times
    for _ in range(5):
        p = 3.4445 * one - 4.7750 * gram + 2.0315 * gram @ gram
        factor, gram = p @ factor, p @ gram @ p
    return factor @ w


def shares(right, radius, name: str) -> str:
    """Which shares of the images are right within each ε of the data set."""
    return ", ".join(f"{100 * (right & (radius >= e)).mean():.2f} % at {e:.4g}" for e in EPS[name])


@torch.no_grad()
def held_out(model, images, labels, name: str) -> str:
    """Estimated shares of the held-out images, the norm of the features taken as 1, in f32."""
    gaps = torch.cat([distances(model(x), model.last.weight, y) for x, y in zip(images.split(1000), labels.split(1000))])
    radius = -gaps.scatter(1, labels[:, None], -torch.inf).max(1).values.double().numpy()
    return f"ESTIMATED, held out: clean {100 * (radius > 0).mean():.2f} %, {shares(radius > 0, radius, name)}"


def optimizers(model, args) -> list[torch.optim.Optimizer]:
    """One or two, which share out the parameters."""
    adam = lambda parameters, rate: torch.optim.Adam(parameters, rate, betas=(0.9, 0.99))
    rate = RATES[args.optimizer] if args.rate is None else args.rate
    if args.optimizer == "adam":
        return [adam(model.parameters(), rate)]
    matrices = model.orthonormal()
    rest = [p for p in model.parameters() if not hasattr(p, "is_orthonormal")]
    return [Muon(matrices, rate), adam(rest, RATES["adam"])]


def train(model, images, labels, kept: int, name: str, args) -> None:
    """On the tangent part of the gradient, with a one-cycle schedule; the images after the first `kept` are held out."""
    flip, (held, held_labels) = name == "cifar10", (images[kept:], labels[kept:])
    images, labels = images[:kept], labels[:kept]
    steps = len(images) // args.batch
    used = optimizers(model, args)
    schedules = [torch.optim.lr_scheduler.OneCycleLR(one, one.param_groups[0]["lr"], args.epochs * steps, pct_start=0.15,
                                                     cycle_momentum=isinstance(one, torch.optim.Adam)) for one in used]
    for epoch in range(args.epochs):
        order, total = torch.randperm(len(images)), 0.0
        for pick in order.split(args.batch)[:steps]:
            y = labels[pick]
            gaps = distances(model(data.augmented(images[pick], args.shift, flip)), model.last.weight, y) - args.margin * functional.one_hot(y, 10)
            loss = args.temperature * functional.cross_entropy(gaps / args.temperature, y)
            model.zero_grad()
            loss.backward()
            model.project_gradient()
            for one in (*used, *schedules):
                one.step()
            model.retract()
            total += loss.item()
        if not math.isfinite(total):
            raise BadInput(f"epoch {epoch + 1}: the loss is no longer finite; --rate has to be smaller")
        curve = f"; {held_out(model, held, held_labels, name)}" if len(held) else ""
        print(f"epoch {epoch + 1}: mean loss {total / steps:.4f}{curve}", flush=True)


@torch.no_grad()
def plain_layers(model: Network) -> list[tuple[np.ndarray, np.ndarray, dict]]:
    """Weight, bias and attributes of each layer; the orthonormal matrices are exact up to rounding."""
    for p in model.double().orthonormal():
        u, _, v = torch.linalg.svd(p, full_matrices=False)
        p.copy_(u @ v)
    layers = []
    for layer, weight in zip([*model.layers, model.last], model.weights()):
        attributes = {"strides": [layer.stride] * 2, "pads": [layer.padding] * 4} if isinstance(layer, Conv) else {}
        layers.append((weight.float().numpy(), layer.bias.float().numpy(), attributes))
    return layers


def save(layers, shape: tuple[int, int, int], name: str, path: pathlib.Path) -> None:
    """Write Conv or Gemm and Abs for each layer."""
    nodes, constants, last, spatial = [], [], "image", True
    for i, (weight, bias, attributes) in enumerate(layers, 1):
        if spatial and not attributes:
            nodes.append(helper.make_node("Flatten", [last], ["flat"], "flatten"))
            last, spatial = "flat", False
        layer = f"conv{i}" if spatial else f"dense{i}"
        inputs, output = [last, f"{layer}.weight", f"{layer}.bias"], "logits" if i == len(layers) else f"{layer}_out"
        constants += [numpy_helper.from_array(x, n) for x, n in zip((weight, bias), inputs[1:])]
        nodes.append(helper.make_node("Conv" if spatial else "Gemm", inputs, [output], layer, **attributes or {"transB": 1}))
        if i < len(layers):
            last = f"abs{i}_out"
            nodes.append(helper.make_node("Abs", [output], [last], f"abs{i}"))
    ends = {"image": ["N", *shape], "logits": ["N", 10]}
    ends = [[helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, shape)] for n, shape in ends.items()]
    graph = helper.make_graph(nodes, f"{name}-lipschitz", *ends, constants)
    file = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(file, full_check=True)
    write_whole(path, file.SerializeToString())


def norm_estimate(w: np.ndarray, attributes: dict) -> float:
    """Largest singular value; for a convolution the largest of a grid of frequencies, not a bound."""
    w = w.astype(np.float64)
    if attributes:  # as a convolution of stride 1 with more channels
        o, c, size, s = *w.shape[:3], attributes["strides"][0]
        w = w.reshape(o, c, size // s, s, size // s, s).transpose(2, 4, 0, 1, 3, 5)
        w = np.fft.fft2(w.reshape(size // s, size // s, o, c * s * s), (32, 32), (0, 1))
    return float(np.linalg.svd(w, compute_uv=False).max())


@torch.no_grad()
def radii(layers, images: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Prediction and estimated radius of each image, its pixels value/255 in f64 and not in f32."""
    constant = np.prod([norm_estimate(w, attributes) for w, _, attributes in layers[:-1]])
    print(f"estimated Lipschitz constant of the features: {constant:.9f}")
    results = []
    for x in ((images.double() * 255).round() / 255).split(1000):
        for weight, bias, attributes in layers:
            w, b = torch.from_numpy(weight).double(), torch.from_numpy(bias).double()
            if attributes:
                z = functional.conv2d(x, w, b, attributes["strides"], attributes["pads"][:2])
            else:
                z = functional.linear(x.flatten(1), w, b)
            x = z.abs()
        y = z.argmax(1)
        gaps = distances(z, w, y).scatter(1, y[:, None], -torch.inf)
        results.append((y.numpy(), -gaps.max(1).values.clamp_max(0).numpy() / constant))
    return tuple(map(np.concatenate, zip(*results)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=pathlib.Path, required=True, help="folder of the image files")
    parser.add_argument("--out", type=pathlib.Path, required=True, help="ONNX file to write")
    parser.add_argument("--certificates", type=pathlib.Path, help="JSON lines, the estimated radius of each test image")
    parser.add_argument("--arch", default="d256 d256", help="layers: dWIDTH or cCHANNELS,SIZE,STRIDE,PADDING")
    parser.add_argument("--optimizer", choices=("muon", "adam"), default="muon", help="(default muon)")
    positive, natural = at_least(float, 1e-12), at_least(int, 0)
    parser.add_argument("--rate", type=positive, help="largest rate of the optimizer (default 0.03 for muon, 0.002 for adam)")
    for option, kind, default in (
        ("epochs", at_least(int, 1), 24),
        ("batch", at_least(int, 1), 256),
        ("margin", float, 1.58),
        ("temperature", positive, 0.25),
        ("shift", natural, 0),
        ("validation", natural, 0),
        ("seed", seed, 0),
        ("threads", at_least(int, 1), 1),
    ):
        parser.add_argument(f"--{option}", type=kind, default=default, help="(default %(default)s)")
    args = parser.parse_args()

    try:
        run(args)
    except BadInput as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


def run(args) -> None:
    torch.manual_seed(args.seed)
    repeatable(args.threads)
    check_place("--out", args.out)
    if args.certificates:
        check_place("--certificates", args.certificates)
    name, (images, labels), test = data.kind(args.data), data.load(args.data, "train"), data.load(args.data, "test")
    kept, shape = len(images) - args.validation, tuple(images.shape[1:])
    if kept < args.batch:
        raise BadInput(f"--validation {args.validation} leaves {kept} of {len(images)} images, and a batch has {args.batch}")
    model = built(f"--arch {args.arch}", lambda: Network(args.arch, shape), Network.weights)
    train(model, images, labels, kept, name, args)
    layers = plain_layers(model)
    save(layers, shape, name, args.out)
    parts = {"validation": (images[kept:], labels[kept:])} if args.validation else {}
    for part, (images, labels) in (parts | {"test": test}).items():
        predictions, radius = radii(layers, images)
        right = predictions == labels.numpy()
        print(f"{part}: {args.out.stat().st_size} bytes; clean accuracy {100 * right.mean():.2f} %")
        print(f"ESTIMATED certified accuracy (nothing proved): {shares(right, radius, name)}")
    if args.certificates:
        rows = zip(range(len(labels)), labels.tolist(), predictions.tolist(), radius.tolist())
        lines = [json.dumps(dict(zip(("index", "label", "prediction", "radius"), row))) + "\n" for row in rows]
        write_whole(args.certificates, "".join(lines).encode())


if __name__ == "__main__":
    main()
