#!/usr/bin/env python3
"""Attack the certificates of an ONNX classifier with projected gradient descent.

    python3 scripts/attack.py MODEL.onnx --certificates CERTS.jsonl [--limit N] [--steps 50] [--restarts 5]
            [--scale 1] [--images FILE --labels FILE]

CERTS.jsonl is what `sigmax certify --certificates` writes: a line that speaks of the model, then one per
image with index, label, prediction, radius and the pixels, in the order of the model's input: the claim
that no image within that distance (2-norm, in the units of the pixels) gets another class than
`prediction`. Radius 0 claims nothing. The normalisation that the first line states is put before the
model. For lines without pixels (those of train_lipschitz.py), --images and --labels are idx files,
gzipped or not, of images with one channel. The centre of a ball is value/255 in f64: a claim about the
pixels rounded to f32, 2e-7 away, can fail by 1e-8.

Every claim is attacked inside its ball by --restarts runs of --steps normalised gradient steps on a
difference of logits z_p - z_t, t in turn the classes nearest to p. The first run starts at the image,
the others at random points of the ball. An image that is reached need not be in [0, 1], if the claim
does not ask for it (`range` in the first line). All is in f64, in PyTorch; the graph is run by the interpreter below.

An attack that fails proves nothing by itself, so it is repeated at 1.5, 2 and 4 times the radius, where
it should succeed. --scale multiplies all claimed radii first, to see a false claim found.

Exit code 0: no image inside a claimed radius changes its class. 1: one does, or a claim's prediction
or label is wrong.
"""

import argparse
import functools
import json
import math
import pathlib
import sys

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch.nn import functional

from certificate.layout import pixels, per_channel
from curvature.data import read_idx

FACTORS = [1.0, 1.5, 2.0, 4.0]


# --- ONNX in PyTorch -----------------------------------------------------------------------------

def tensor(proto) -> torch.Tensor:
    """f64 for any float, else as it is."""
    value = torch.from_numpy(np.array(numpy_helper.to_array(proto)))
    return value.double() if value.is_floating_point() else value


def padded(x, a, window, value=0.0):
    """`x` with the padding that the attributes `a` of a convolution or pool ask for."""
    if a.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID"):
        raise ValueError(f"auto_pad {a['auto_pad'].decode()} is not known here")
    n = len(window)
    pads = a.get("pads", [0] * 2 * n)
    flat = [p for i in reversed(range(n)) for p in (pads[i], pads[n + i])]
    return functional.pad(x, flat, value=value) if any(flat) else x


def conv(a, x, w, bias=None):
    f = [None, functional.conv1d, functional.conv2d, functional.conv3d][w.ndim - 2]
    n = w.ndim - 2
    return f(padded(x, a, w.shape[2:]), w, bias, a.get("strides", [1] * n), 0, a.get("dilations", [1] * n), a.get("group", 1))


def pool(a, x, largest):
    if a.get("ceil_mode", 0) or len(a["kernel_shape"]) != 2:
        raise ValueError("only 2-d pools without ceil_mode")
    k, strides = a["kernel_shape"], a.get("strides", [1, 1])
    if largest:
        return functional.max_pool2d(padded(x, a, k, -math.inf), k, strides, 0, a.get("dilations", [1, 1]))
    if any(d != 1 for d in a.get("dilations", [1])):
        raise ValueError("dilated AveragePool")
    mean = functional.avg_pool2d(padded(x, a, k), k, strides)
    if a.get("count_include_pad", 0):
        return mean
    return mean / functional.avg_pool2d(padded(torch.ones_like(x), a, k), k, strides)


def gemm(a, x, w, bias=None):
    x, w = (x.T if a.get("transA") else x), (w.T if a.get("transB") else w)
    out = a.get("alpha", 1.0) * (x @ w)
    return out if bias is None else out + a.get("beta", 1.0) * bias


def reshape(a, x, shape):
    if a.get("allowzero") and 0 in shape:
        raise ValueError("Reshape with allowzero")
    sizes = [x.shape[i] if n == 0 else int(n) for i, n in enumerate(shape.tolist())]
    if sizes[0] == 1:  # a graph of a fixed batch of one
        sizes[0] = len(x)
    return x.reshape(sizes)


def flatten(a, x):
    axis = a.get("axis", 1) % (x.ndim + 1)
    return x.reshape(math.prod(x.shape[:axis]), -1)


def split(a, x, sizes=None):
    axis = a.get("axis", 0)
    sizes = a.get("split") if sizes is None else sizes.tolist()
    if sizes is None:
        sizes = -(-x.shape[axis] // a["outputs"])
    return torch.split(x, sizes, axis)


OPERATORS = {
    "Conv": conv, "Gemm": gemm, "MatMul": lambda a, x, w: x @ w, 
    "BatchNormalization": lambda a, x, w, b, mean, var: functional.batch_norm(x, mean, var, w, b, eps=a.get("epsilon", 1e-5)),
    "Add": lambda a, x, y: x + y, "Sub": lambda a, x, y: x - y, "Mul": lambda a, x, y: x * y, "Div": lambda a, x, y: x / y,
    "Neg": lambda a, x: -x, "Sum": lambda a, *x: sum(x),
    "Max": lambda a, *x: functools.reduce(torch.maximum, x), "Min": lambda a, *x: functools.reduce(torch.minimum, x),
    "Relu": lambda a, x: x.relu(), "Abs": lambda a, x: x.abs(), "Sigmoid": lambda a, x: x.sigmoid(), "Tanh": lambda a, x: x.tanh(),
    "LeakyRelu": lambda a, x: functional.leaky_relu(x, a.get("alpha", 0.01)), "Elu": lambda a, x: functional.elu(x, a.get("alpha", 1.0)),
    "PRelu": lambda a, x, slope: torch.where(x < 0, x * slope, x), "Softplus": lambda a, x: functional.softplus(x),
    "Identity": lambda a, x: x, "Dropout": lambda a, x, *_: x, "Flatten": flatten, "Reshape": reshape,
    "Transpose": lambda a, x: x.permute(a.get("perm", list(range(x.ndim))[::-1])),
    "MaxPool": lambda a, x: pool(a, x, True), "AveragePool": lambda a, x: pool(a, x, False),
    "GlobalAveragePool": lambda a, x: x.mean(tuple(range(2, x.ndim)), keepdim=True),
    "Split": split, "Concat": lambda a, *x: torch.cat(x, a["axis"]),
    "Softmax": lambda a, x: x.softmax(a.get("axis", -1)), "LogSoftmax": lambda a, x: x.log_softmax(a.get("axis", -1)),
}


class Graph:
    """An ONNX graph of one input and one output as a function of a batch."""

    def __init__(self, path: pathlib.Path):
        graph = onnx.load(path).graph
        self.constants = {t.name: tensor(t) for t in graph.initializer}
        inputs = [i for i in graph.input if i.name not in self.constants]
        if len(inputs) != 1:
            sys.exit(f"{path}: {len(inputs)} inputs, expected one")
        self.input, self.output = inputs[0].name, graph.output[0].name
        self.mean, self.std = torch.zeros(1).double(), torch.ones(1).double()
        self.range = -math.inf, math.inf
        self.shape = [d.dim_value for d in inputs[0].type.tensor_type.shape.dim][1:]
        self.nodes = []
        for node in graph.node:
            a = {x.name: onnx.helper.get_attribute_value(x) for x in node.attribute}
            if node.op_type == "Constant":
                value = a["value"] if "value" in a else numpy_helper.from_array(np.array(next(iter(a.values()))))
                self.constants[node.output[0]] = tensor(value)
            elif node.op_type not in OPERATORS:
                sys.exit(f"{path}: node {node.name!r}: operator {node.op_type} is not known here")
            else:
                self.nodes.append((OPERATORS[node.op_type], a | {"outputs": len(node.output)}, list(node.input), list(node.output)))

    def behind(self, header):
        """Puts the normalisation of the first line before the graph, and takes the input's shape from it."""
        self.shape = header["nodes"][0]["shape"]
        self.range = header.get("range", self.range)
        if header["mean"] is not None:
            self.mean, self.std = (torch.from_numpy(per_channel(header[k], self.shape, header["layout"])).double() for k in ("mean", "std"))

    def __call__(self, x):
        x = (x - self.mean) / self.std
        values = self.constants | {self.input: x, "": None}
        for f, a, inputs, outputs in self.nodes:
            result = f(a, *(values[i] for i in inputs))
            values.update(zip(outputs, result if isinstance(result, tuple) else (result,)))
        return values[self.output].flatten(1)


# --- the attack ----------------------------------------------------------------------------------

def margins(logits, p):
    """z_p minus the largest other logit."""
    others = logits.scatter(1, p[:, None], -math.inf)
    return logits.gather(1, p[:, None])[:, 0] - others.max(1).values


def row_norms(x):
    return x.flatten(1).norm(dim=1).clamp_min(1e-300).reshape(-1, *[1] * (x.ndim - 1))


def inside(model, x, delta):
    """What leaves no range that the claim is restricted to."""
    least, most = getattr(model, "range", (-math.inf, math.inf))
    return (x + delta).clamp(least, most) - x if least > -math.inf else delta


def attack(model, x, p, radius, steps, restarts):
    """The smallest margin found for each image within `radius`; 0 or less is a success."""
    radius = radius.reshape(-1, *[1] * (x.ndim - 1))
    with torch.no_grad():
        logits = model(x)
        best = margins(logits, p)
    nearest = logits.scatter(1, p[:, None], -math.inf).argsort(1, descending=True)
    for restart in range(restarts):
        target = nearest[:, restart % (logits.shape[1] - 1)][:, None]
        delta = torch.randn_like(x)
        length = torch.rand(len(x), dtype=x.dtype).reshape(radius.shape) if restart else 0.0
        delta = inside(model, x, delta / row_norms(delta) * radius * length)
        for step in range(steps + 1):
            delta.requires_grad_()
            logits = model(x + delta)
            best = torch.minimum(best, margins(logits.detach(), p))
            if step == steps:
                break
            loss = (logits.gather(1, p[:, None]) - logits.gather(1, target)).sum()
            gradient, = torch.autograd.grad(loss, delta)
            size = radius * (1 + math.cos(math.pi * step / steps)) / 4  # falls from radius / 2 to 0
            delta = delta.detach() - size * gradient / row_norms(gradient)
            delta = delta * (radius * (1 - 1e-12) / row_norms(delta)).clamp_max(1)  # despite rounding inside
            delta = inside(model, x, delta)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("--images", type=pathlib.Path, help="for lines without pixels")
    parser.add_argument("--labels", type=pathlib.Path)
    parser.add_argument("--certificates", type=pathlib.Path, required=True)
    parser.add_argument("--limit", type=int, help="attack only the first N certified images")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--restarts", type=int, default=5)
    parser.add_argument("--scale", type=float, default=1.0, help="multiplies every claimed radius")
    parser.add_argument("--batch", type=int, default=250)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)

    model = Graph(args.model)
    lines = [json.loads(line) for line in args.certificates.read_text().splitlines() if line.strip()]
    if lines and "certificates" in lines[0]:
        model.behind(lines.pop(0))
    # An infinite radius, "inf" or null, has no edge to attack.
    claims = [c for c in lines if c.get("radius") not in (0, "inf", None)][: args.limit]
    if not claims:
        sys.exit(f"{args.certificates}: no radius above 0")
    index = [c["index"] for c in claims]
    labels = np.array([c["label"] for c in claims])
    if pixels(claims[0]) is not None:
        images = torch.from_numpy(np.stack([pixels(c) for c in claims])).reshape(len(claims), *model.shape)
    elif args.images and args.labels:
        images = torch.from_numpy(read_idx(args.images)[index].astype(np.float64) / 255)
        size = list(images.shape[1:])
        shape = model.shape if all(model.shape) else [1, *size]
        if shape not in ([1, *size], [*size, 1], [math.prod(size)]):
            sys.exit(f"{args.images}: images of shape {size}; the model takes {shape}")
        images = images.reshape(len(index), *shape)
        labels = read_idx(args.labels)[index].astype(np.int64)
    else:
        sys.exit(f"{args.certificates}: its lines have no pixels; name the files by --images and --labels")
    p = torch.tensor([c["prediction"] for c in claims])
    radius = torch.tensor([c["radius"] for c in claims], dtype=torch.float64) * args.scale

    clean = torch.cat([margins(model(x), q).detach() for x, q in zip(images.split(args.batch), p.split(args.batch))])
    wrong = int((clean <= 0).sum()) + int((torch.tensor([c["label"] for c in claims]).numpy() != labels).sum())
    print(f"{len(lines)} lines, {len(claims)} claims attacked, {wrong} with a wrong prediction or label")
    print(f"radius: smallest {radius.min():.4f}, median {radius.median():.4f}, largest {radius.max():.4f}")

    reached = torch.zeros(len(claims), dtype=torch.bool)
    inside = 0
    for factor in FACTORS:
        margin = torch.full_like(clean, -math.inf)
        todo = (~reached).nonzero()[:, 0]  # what a smaller ball contains a larger one does too
        for i in todo.split(args.batch) if len(todo) else []:
            margin[i] = attack(model, images[i], p[i], factor * radius[i], args.steps, args.restarts)
        reached |= margin <= 0
        if factor == 1:
            inside = int(reached.sum())
            for i in reached.nonzero()[:10, 0].tolist():
                print(f"  image {index[i]}: class {p[i]} lost within {radius[i]:.6f}, margin {margin[i]:.3e}")
            kept = margin / clean
            quantiles = torch.quantile(kept, torch.tensor([0, 0.01, 0.5, 1], dtype=kept.dtype)).tolist()
            print(f"smallest margin found inside: {margin.min():.4e}, median {margin.median():.4e}; as a share of the clean one: "
                  "smallest {:.4f}, 1 % {:.4f}, median {:.4f}, largest {:.4f}".format(*quantiles))
        share = 100 * float(reached.double().mean())
        print(f"{factor:g} x radius: {int(reached.sum())} of {len(claims)} change class ({share:.2f} %)", flush=True)
    sys.exit(1 if inside or wrong else 0)


if __name__ == "__main__":
    main()
