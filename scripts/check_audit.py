#!/usr/bin/env python3
"""Check the numbers of an audit against NumPy, without sigmax.

    sigmax audit MODEL --format json > MODEL_JSON
    python3 scripts/check_audit.py MODEL_JSON MODEL

MODEL is an ONNX file or a PyTorch state dict (.th, .pt, .pth), nested in a dict or not.

For every layer, the symbol is evaluated on a full regular grid of frequencies (256x256 for a 2D
layer) and the largest singular value over all of them is taken, so that (crates/sigmax/docs/theory.md, T15)

    grid <= S <= grid * factor,      factor = product over the axes of 1/cos(pi (k-1) / (2N)).

Checked are: norm.upper >= grid; norm.lower <= grid * factor; every one of the four bounds against
the SVD of its matrix, from above and within 1e-6; weighted_four between grid and the best of the
four; reshape_norm; and, in an ONNX file, stride, dilation and groups against the node.
The exit status is 1 if a check fails.
"""

import argparse
import concurrent.futures
import dataclasses
import itertools
import json
import math
import os
import pathlib
import sys
import threading
import time

import numpy as np

ROUNDING = 1e-12  # relative; of our own eigenvalues, which are good to about 1e-14
AGREEMENT = 1e-6  # relative; of the four bounds and of reshape_norm
BATCH = 1 << 21   # complex numbers evaluated at a time


# --- reading the weights -------------------------------------------------------------------------

@dataclasses.dataclass
class Weight:
    """A layer's weight, and what the file says about its geometry (None: nothing)."""

    values: np.ndarray
    attributes: dict | None = None


def torch_weights(path):
    """Weights by layer and by tensor name."""
    import torch

    def tensors(tree, prefix=""):
        for key, value in tree.items():
            if isinstance(value, torch.Tensor) and value.is_floating_point():
                yield prefix + key, value.detach().double().numpy()
            elif isinstance(value, dict):
                yield from tensors(value, f"{prefix}{key}.")

    weights = {}
    for name, values in tensors(torch.load(path, weights_only=True, map_location="cpu")):
        short = name.removeprefix("state_dict.")
        for alias in (name, short, short.removeprefix("module.")):
            weights[alias] = weights[alias.removesuffix(".weight")] = Weight(values)
    return weights


def onnx_weights(path):
    """Weights by the name of their node and of their tensor, found behind Identity and Constant."""
    import onnx

    graph = onnx.load(path).graph
    constants = {t.name: onnx.numpy_helper.to_array(t) for t in graph.initializer}
    weights = {}
    for node in graph.node:
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        if node.op_type == "Constant" and "value" in attributes:
            constants[node.output[0]] = onnx.numpy_helper.to_array(attributes["value"])
        elif node.op_type == "Identity" and node.input[0] in constants:
            constants[node.output[0]] = constants[node.input[0]]
        elif node.op_type == "Transpose" and node.input[0] in constants:
            constants[node.output[0]] = constants[node.input[0]].transpose(attributes.get("perm"))
        elif node.op_type in ("Conv", "ConvTranspose", "Gemm", "MatMul"):
            slots = [1, 0] if node.op_type in ("Gemm", "MatMul") else [1]
            tensor = next((node.input[s] for s in slots if node.input[s] in constants), None)
            if tensor is not None:
                weight = Weight(constants[tensor].astype(float) * attributes.get("alpha", 1.0), attributes)
                for name in (node.name, node.output[0], tensor, tensor.removesuffix(".weight")):
                    weights.setdefault(name, weight)
    return weights


def load_weights(path):
    """`Weight`s of the file by name."""
    return onnx_weights(path) if path.suffix == ".onnx" else torch_weights(path)


def weight_of(layer, weights):
    """The `Weight` of a layer of the audit, or None."""
    return next((weights[n] for n in (layer.get("tensor"), layer["name"]) if n in weights), None)


# --- the mathematics -----------------------------------------------------------------------------

def polyphase(kernel, stride):
    """T3: the stride-1 kernel, with the phases as further input channels, of the same norm."""
    k = [-(-n // s) for n, s in zip(kernel.shape[2:], stride)]
    fill = [(0, q * s - n) for q, s, n in zip(k, stride, kernel.shape[2:])]
    split = np.pad(kernel, [(0, 0), (0, 0), *fill]).reshape(
        *kernel.shape[:2], *itertools.chain.from_iterable(zip(k, stride)))
    axes = range(len(k))
    order = [0, 1, *(3 + 2 * a for a in axes), *(2 + 2 * a for a in axes)]
    return split.transpose(order).reshape(kernel.shape[0], -1, *k)


def layer_kernels(layer, values):
    """One stride-1 kernel per group with the norms of a convolution layer of the audit (T3 to T6)."""
    stride = [1] * (values.ndim - 2) if layer["geometry"] == "assumed" else [
        s // math.gcd(s, d) for s, d in zip(layer["stride"], layer["dilation"])]
    return [polyphase(part, stride) for part in np.split(values, layer["groups"])]


def largest_singular_value(matrices, known):
    """The largest singular value in a stack, or `known` if it is larger.

    Eigenvalues are computed only where norm(G) <= trace(G^32)^(1/32), for the Gram matrix G and in single
    precision with 1e-3 to spare, does not rule out that there is a value above `known`."""
    adjoint = matrices.conj().swapaxes(-1, -2)
    wide = matrices.shape[-2] <= matrices.shape[-1]
    gram = matrices @ adjoint if wide else adjoint @ matrices
    power, log_bound = gram.astype(np.complex64), np.zeros(len(gram))
    for step in range(5):
        size = np.linalg.norm(power, axis=(-2, -1))  # trace(G^(2^(step+1)))^(1/2), up to the scaling
        log_bound += np.log(np.maximum(size, 1e-30)) / 2**step
        if step < 4:
            power = power / np.maximum(size, 1e-30)[:, None, None]
            power = power @ power
    left = gram[log_bound >= 2 * math.log(max(known, 1e-30)) - 1e-3]
    if len(left) == 0:
        return known
    return max(known, math.sqrt(max(np.linalg.eigvalsh(left)[..., -1].max(), 0)))


def frequencies(sizes):
    """The points of the grid as rows, half of the torus: a real kernel has F(-t) = conj F(t)."""
    *others, last = sizes
    counts = [*others, last // 2 + 1]
    return np.indices(counts).reshape(len(sizes), -1).T * (2 * math.pi / np.array(sizes))


def grid_norm(kernel, sizes, pool):
    """The largest norm of the symbol of `kernel` on the full grid."""
    rows, cols, *k = kernel.shape
    theta = frequencies(sizes)
    taps = np.indices(k).reshape(len(k), -1)
    flat = kernel.reshape(rows * cols, -1).T.astype(complex)
    known, lock = [0.0], threading.Lock()

    def look(part):
        symbols = (np.exp(1j * part @ taps) @ flat).reshape(-1, rows, cols)
        value = largest_singular_value(symbols, known[0])
        with lock:
            known[0] = max(known[0], value)

    # A coarse part of the grid first: the better `known`, the less is left.
    coarse = theta[:: max(1, len(theta) // 200)]
    parts = [coarse, *np.array_split(theta, -(-len(theta) * rows * cols // BATCH))]
    list(pool.map(look, parts))
    return known[0]


def reshape_matrices(kernel):
    """The matrices M_A of T9 by their letters, axes named from the first to the last."""
    axes = kernel.ndim - 2
    letters = {1: [""], 2: ["h", "w"], 3: ["D", "H", "W"]}[axes]
    names = {"": "T", "h": "R", "w": "S"}
    for held in itertools.chain.from_iterable(itertools.combinations(range(axes), n) for n in range(axes + 1)):
        free = [a for a in range(axes) if a not in held]
        name = "U" if len(held) == axes else "".join(letters[a] for a in held)
        rows = kernel.shape[0] * math.prod(kernel.shape[2 + a] for a in held)
        order = [0, *(2 + a for a in held), 1, *(2 + a for a in free)]
        yield names.get(name, name), kernel.transpose(order).reshape(rows, -1)


def norm(matrix):
    """The spectral norm."""
    return np.linalg.norm(matrix, 2)


def conv_truth(layer, weight, grid, pool):
    """(grid value, T15 factor, four bounds by name, reshape norm)."""
    kernels = layer_kernels(layer, weight)
    k = kernels[0].shape[2:]
    points = round(grid ** (2 / len(k)))  # about as many in all for 1, 2 and 3 axes
    sizes = [max(points, 4 * n) if n > 1 else 1 for n in k]
    value = max(grid_norm(kernel, sizes, pool) for kernel in kernels)
    factor = math.prod(1 / math.cos(math.pi * (n - 1) / (2 * size)) for n, size in zip(k, sizes))
    four = {}
    for kernel in kernels:
        # The stored weight of a transposed layer is that of its adjoint: in and out change places.
        oriented = kernel.swapaxes(0, 1) if layer["transposed"] else kernel
        for name, matrix in reshape_matrices(oriented):
            four[name] = max(four.get(name, 0.0), math.sqrt(math.prod(k)) * norm(matrix))
    rows = weight.swapaxes(0, 1) if layer["transposed"] else weight
    return value, factor, four, norm(rows.reshape(rows.shape[0], -1))


def dense_truth(weight):
    """The same for a matrix."""
    value = norm(weight)
    return value, 1.0, {"T": value}, value


# --- the checks ----------------------------------------------------------------------------------

def violations(layer, value, factor, four, reshape_norm):
    """What is wrong with the numbers of a layer."""
    lower, upper = layer["norm"]["lower"], layer["norm"]["upper"]
    if not upper >= value * (1 - ROUNDING):
        yield f"norm.upper {upper} is below the grid value {value}"
    if not lower <= value * factor * (1 + ROUNDING):
        yield f"norm.lower {lower} is above the grid value times the factor, {value * factor}"
    if not lower <= upper:
        yield f"norm.lower {lower} is above norm.upper {upper}"
    for name, exact in four.items():
        claimed = layer["four"].get(name)
        if claimed is None:
            yield f"four.{name} is missing"
        elif not exact * (1 - ROUNDING) <= claimed <= exact * (1 + AGREEMENT):
            yield f"four.{name} is {claimed}, the SVD gives {exact}"
    best = min(layer["four"][name] for name in four if name in layer["four"])
    if layer["four"]["min"] != best or layer["four"][layer["four"]["winner"]] != best:
        yield f"four.min {layer['four']['min']} with winner {layer['four']['winner']} is not the smallest, {best}"
    if not value * (1 - ROUNDING) <= layer["weighted_four"] <= best * (1 + AGREEMENT):
        yield f"weighted_four {layer['weighted_four']} is outside [{value}, {best}]"
    if not upper <= best:
        yield f"norm.upper {upper} is above the best of the four, {best}"
    if not abs(layer["reshape_norm"] - reshape_norm) <= AGREEMENT * reshape_norm:
        yield f"reshape_norm is {layer['reshape_norm']}, the SVD gives {reshape_norm}"


def geometry_violations(layer, attributes):
    """Where the reported geometry differs from the attributes of the ONNX node."""
    axes = len(layer["shape"]) - 2
    stated = {"stride": list(attributes.get("strides", [1] * axes)),
              "dilation": list(attributes.get("dilations", [1] * axes)),
              "groups": attributes.get("group", 1)}
    for key, value in stated.items():
        if layer[key] != value:
            yield f"{key} is {layer[key]}, the node says {value}"


def check(layer, weights, grid, pool):
    """(summary, violations) of one layer; no violations and a reason where it is skipped."""
    if layer.get("padding_mode", "zeros") != "zeros":
        return f"skipped: {layer['padding_mode']} padding puts a factor into the bounds", []
    found = weight_of(layer, weights)
    if found is None:
        return "not checked", ["no weight of this name in the model"]
    weight, shape = found.values, layer["shape"]
    if len(shape) == 2 and list(weight.T.shape) == shape:
        weight = weight.T
    if list(weight.shape) != shape:
        return "not checked", [f"shape is {shape}, the weight has {list(weight.shape)}"]
    if not weight.any():
        wrong = [] if layer["norm"]["lower"] == 0 else ["norm.lower of a zero kernel is not 0"]
        return "zero kernel", wrong
    exponent = int(np.frexp(np.abs(weight).max())[1])  # exact; squares of what is left are in range
    unit = np.ldexp(weight, -exponent)
    value, factor, four, reshape_norm = dense_truth(unit) if len(shape) == 2 else conv_truth(layer, unit, grid, pool)
    scaled = [float(np.ldexp(x, exponent)) for x in (value, reshape_norm)]
    wrong = list(violations(layer, scaled[0], factor, {n: float(np.ldexp(x, exponent)) for n, x in four.items()},
                            scaled[1]))
    if found.attributes is not None and len(shape) > 2 and layer["geometry"] == "graph":
        wrong += geometry_violations(layer, found.attributes)
    ends = layer["norm"]
    return f"[{ends['lower']:.6g}, {ends['upper']:.6g}]  grid {scaled[0]:.6g} x {factor:.6f}", wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("audit", metavar="MODEL_JSON", type=pathlib.Path)
    parser.add_argument("model", metavar="MODEL", type=pathlib.Path)
    parser.add_argument("--grid", type=int, default=256, help="frequencies per axis of a 2D layer (default 256)")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    args = parser.parse_args()

    report = json.loads(args.audit.read_text())
    if report["schema"] != 1:
        sys.exit(f"schema {report['schema']} of the audit is not known to this script")
    weights = load_weights(args.model)
    layers, failed, skipped = report["layers"], 0, 0
    with concurrent.futures.ThreadPoolExecutor(args.threads) as pool:
        for layer in layers:
            start = time.perf_counter()
            summary, wrong = check(layer, weights, args.grid, pool)
            failed, skipped = failed + bool(wrong), skipped + summary.startswith("skipped")
            print(f"{'FAIL' if wrong else 'ok':4}  {layer['name']}  {summary}  {time.perf_counter() - start:.1f} s", flush=True)
            for line in wrong:
                print(f"      {line}", flush=True)
    print(f"{len(layers)} layers: {len(layers) - failed - skipped} agree, {skipped} skipped, {failed} do not agree")
    sys.exit(1 if failed or not layers else 0)


if __name__ == "__main__":
    main()
