"""The network of an ONNX file.

A node is a namespace with `op`, `name`, `inputs` (places of nodes), `shape` (of one sample) and parameters; these
are float64 as in the file, or mpmath numbers where they are computed.
"""
import itertools, math
from types import SimpleNamespace

import numpy as np, onnx
from mpmath import mp, mpf

from certificate.common import NotCovered, counts, exact, items, need, number
from certificate.layout import is_arranged, per_channel
from certificate.values import P, SMOOTH

WINDOW = "auto_pad dilations kernel_shape pads strides "
OPERATORS = {  # with the attributes that are understood
    "Conv": WINDOW + "group", "MaxPool": WINDOW + "ceil_mode storage_order", "Gemm": "alpha beta transA transB",
    "AveragePool": WINDOW + "ceil_mode count_include_pad", "BatchNormalization": "epsilon momentum training_mode",
    "LeakyRelu": "alpha", "Flatten": "axis", "Reshape": "allowzero", "Dropout": "ratio seed", "Concat": "axis",
    "Softmax": "axis", "LogSoftmax": "axis", "Transpose": "perm", "Constant": "value",
    **dict.fromkeys(["MatMul", "Add", "Sub", "Mul", "Div", "Neg", "Relu", "Abs", "Identity", "GlobalAveragePool", *SMOOTH], "")}


def affine(scale, shift, **more):
    return dict(op="affine", scale=scale, shift=shift, **more)


def window(a, kernel, shape):
    """Stride, dilation, padding and output size of windows (ONNX: Conv, pooling)."""
    m = len(kernel)
    s, d, pads = a.get("strides", [1] * m), a.get("dilations", [1] * m), a.get("pads", [0] * 2 * m)
    auto, reach = a.get("auto_pad", b"NOTSET").decode(), [(k - 1) * e + 1 for k, e in zip(kernel, d)]
    need(m == len(shape) - 1 > 0 and min(pads) >= 0 and auto in ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER")
         and list(a.get("kernel_shape", kernel)) == list(kernel) and not a.get("ceil_mode"), "its windows", NotCovered)
    pads = list(zip(pads[:m], pads[m:])) if auto == "NOTSET" else [(0, 0)] * m
    if auto.startswith("SAME"):
        total = [max((-(-n // t) - 1) * t + r - n, 0) for n, t, r in zip(shape[1:], s, reach)]
        pads = [(p // 2, p - p // 2) if auto == "SAME_UPPER" else (p - p // 2, p // 2) for p in total]
    out = [(n + sum(p) - r) // t + 1 for n, p, r, t in zip(shape[1:], pads, reach, s)]
    need(min(out) > 0, "it has no window", NotCovered)
    return dict(kernel=list(kernel), stride=list(s), dilation=list(d), pads=pads, out=out)


def lower(op, a, x, constants, batch):
    """The node that computes an operator from nodes x and constants by place, less name and inputs; None: x itself."""
    shape, c = x[0].shape, [constants.get(i) for i in range(6)]
    flat, rank = len(shape) == 1, len(shape) + 1
    def beside(array):  # a constant beside one sample
        full = array.reshape((1,) * (rank - array.ndim) + array.shape) if array.ndim <= rank else np.zeros((2, 2))
        need(full.shape[0] == 1 and all(n in (1, k) for n, k in zip(full.shape[1:], shape)), "its constant", NotCovered)
        return exact(full[0])
    ones = np.full((1,) * len(shape), mpf(1))
    if op == "Conv" and c[1] is not None:
        w, g = c[1], a.get("group", 1)
        win = window(a, w.shape[2:], shape)
        need(w.shape[1] * g == shape[0] and w.shape[0] % g == 0, "its weight", NotCovered)
        return dict(op="convolution", weight=w, groups=g, bias=c[2], shape=[w.shape[0], *win["out"]], **win)
    if op in ("Gemm", "MatMul") and c[1] is not None and flat and len(x) == 1:
        need(c[1].ndim == 2 and a.get("alpha", 1) == a.get("beta", 1) == 1 and not a.get("transA"), "its factors", NotCovered)
        w = c[1] if a.get("transB") else c[1].T
        bias = None if c[2] is None else np.broadcast_to(c[2], (1, len(w)))[0]
        need(w.shape[1] == shape[0], "its weight", NotCovered)
        return dict(op="dense", weight=w, bias=bias, shape=[len(w)])
    if op == "BatchNormalization" and not a.get("training_mode") and len(constants) == 4:
        need(all(v.shape == (shape[0],) for v in c[1:5]), "its parameters", NotCovered)
        gamma, beta, mean, variance = (exact(v).reshape(-1, *[1] * (len(shape) - 1)) for v in c[1:5])
        spread = variance + mpf(a.get("epsilon", float(np.float32(1e-5))))
        need(all(v > 0 for v in spread.flat), "its variance", NotCovered)
        scale = gamma / np.frompyfunc(mp.sqrt, 1, 1)(spread)
        need(all(abs(v) < mp.ldexp(1, P) for v in (mean * scale).flat), "its mean", NotCovered)
        return affine(scale, beta - mean * scale)
    if op in ("Add", "Sub") and len(x) == 1 and len(constants) == 1:
        place, array = next(iter(constants.items()))
        array, minus = beside(array), op == "Sub"
        return affine(-ones if minus and place == 0 else ones, -array if minus and place == 1 else array, step="constant")
    if op == "Add" and len(x) == 2:
        need(x[0].shape == x[1].shape, "its shapes", NotCovered)
        return dict(op="sum")
    if (op == "Mul" or op == "Div" and 1 in constants) and len(x) == 1 and len(constants) == 1:
        array = beside(next(iter(constants.values())))
        need(op == "Mul" or all(array.flat), "it divides by 0", NotCovered)
        return affine(array if op == "Mul" else 1 / array, 0 * ones)
    if op == "Neg":
        return affine(-ones, 0 * ones)
    if op in ("Relu", "Abs", "LeakyRelu"):
        return dict(op=op, slope=mpf({"Relu": 0, "Abs": -1}.get(op, a.get("alpha", float(np.float32(0.01))))))
    if op in SMOOTH:
        return dict(op=op)
    if op in ("MaxPool", "AveragePool"):
        win = window(a, a["kernel_shape"], shape)
        return dict(op="max-pool" if op == "MaxPool" else "separable", shape=[shape[0], *win["out"]],
                    count=bool(a.get("count_include_pad")), **win)
    if op == "GlobalAveragePool":
        one = [1] * (len(shape) - 1)
        return dict(op="separable", kernel=shape[1:], stride=one, dilation=one, pads=[(0, 0)] * len(one), count=False,
                    shape=[shape[0], *one], out=one, whole=True)
    entries = math.prod(shape)
    if op == "Flatten" and a.get("axis", 1) == 1:
        return None if flat else dict(op="pick", shape=[entries])
    if op == "Reshape" and c[1] is not None and not a.get("allowzero"):
        first, *rest = (int(n) for n in c[1])
        rest = [shape[i] if n == 0 and i < len(shape) else n for i, n in enumerate(rest)]
        if rest.count(-1) == 1 and first in (0, batch):
            rest[rest.index(-1)] = entries // abs(math.prod(rest))
        need(math.prod(rest) == entries and min(rest) > 0 and first >= -1, "its shape", NotCovered)
        return None if rest == shape else dict(op="pick", shape=rest)
    if op == "Concat" and a["axis"] == 1 and not constants:
        need(all(y.shape[1:] == shape[1:] for y in x), "its shapes", NotCovered)
        return dict(op="concatenation", shape=[sum(y.shape[0] for y in x), *shape[1:]])
    if op in ("Softmax", "LogSoftmax") and flat and a.get("axis", 1) in (1, -1):
        return dict(op="softmax" if op == "Softmax" else "log-softmax")
    need(op == "Identity" or op == "Dropout" and 2 not in constants, "not in this form", NotCovered)


def build(model, header):
    graph, taken, nodes, values = model.graph, set(), [], {}
    need(not model.functions and not graph.sparse_initializer and len(graph.output) == 1, "the form of the model", NotCovered)
    constants = {t.name: onnx.numpy_helper.to_array(t) for t in graph.initializer}
    def unique(name):
        name = next(n for n in itertools.chain([name], (f"{name}#{i}" for i in itertools.count(2))) if n not in taken)
        return taken.add(name) or name
    def add(name, inputs, parts):
        nodes.append(SimpleNamespace(**{"shape": nodes[inputs[0]].shape if inputs else None, **parts}, name=name, inputs=inputs))
        return len(nodes) - 1
    inputs = [i for i in graph.input if i.name not in constants]
    need(len(inputs) == 1, "more than one input", NotCovered)
    stated = items(header.nodes)
    need(stated and type(stated[0]) is dict, "no node is stated", NotCovered)
    dims, sample = [d.dim_value for d in inputs[0].type.tensor_type.shape.dim], counts(stated[0].get("shape"))
    need(dims[1:] and len(dims) == len(sample) + 1 and all(n > 0 and d in (0, n) for d, n in zip(dims[1:], sample)),
         "the shape of the input is not that of the model")
    need(header.input_size is None or sample[1:] == counts(header.input_size) != [], "the size of the input is not that of the model")
    at = add(unique("input"), [], dict(op="input", shape=sample))
    picture = None if header.picture is None else counts(header.picture)
    need(header.layout in (None, "chw", "hwc") and (picture is None or len(picture) == 3), "the layout or the picture", NotCovered)
    need(picture is None or is_arranged(picture, header.layout, sample), "the layout is not one of the input")
    mean, std = (v if v is None else [number(x) for x in items(v)] for v in (header.mean, header.std))
    need((mean is None) == (std is None), "only one of mean and std is stated")
    need(header.layout is None or picture is not None or mean is not None and len(mean) > 1,
         "a layout is stated, and neither pictures nor values per channel that have one")
    if mean is not None:
        need(len(mean) == len(std) > 0 and min(std) > 0, "mean or std")
        need(picture is None or len(mean) in (1, picture[0]), "as many means as channels")
        try:
            mean, std = (per_channel(np.array(v, dtype=object), sample, header.layout) for v in (mean, std))
        except ValueError as error:
            need(False, str(error))
        at = add("normalisation", [at], affine(1 / std, -mean / std))
    values[inputs[0].name] = at
    needed = {graph.output[0].name}
    for node in reversed(graph.node):
        needed |= set(node.input) if needed & set(node.output) else set()
    for place, node in enumerate(graph.node):
        a = {t.name: onnx.helper.get_attribute_value(t) for t in node.attribute}
        label, read = node.name or node.output[0], [n for n in node.input if n]
        try:
            if not needed & set(node.output):
                continue
            need(node.domain in ("", "ai.onnx") and set(a) <= set(OPERATORS.get(node.op_type, "-").split())
                 and (len(node.output) == 1 or node.op_type == "Dropout"), "not covered", NotCovered)
            fixed_inputs = {i: constants[n] for i, n in enumerate(node.input) if n in constants}
            if len(fixed_inputs) == len(read):  # a constant
                value = onnx.numpy_helper.to_array(a["value"]) if node.op_type == "Constant" else fixed_inputs[0]
                need(node.op_type in ("Constant", "Identity", "Transpose"), "a computed constant", NotCovered)
                constants[node.output[0]] = value.transpose(a.get("perm")) if node.op_type == "Transpose" else value
                continue
            for v in fixed_inputs.values():
                need(v.dtype in (np.int64, np.float16, np.float32, np.float64) and (np.abs(v.astype(float)) < 1e100).all(), "a constant", NotCovered)
            sources = [values[n] for n in read if n not in constants]
            name = unique(label)
            floats = {i: v if node.op_type == "Reshape" else v.astype(float) for i, v in fixed_inputs.items()}
            parts = lower(node.op_type, a, [nodes[i] for i in sources], floats, dims[0])
            values[node.output[0]] = sources[0] if parts is None else add(name, sources, parts)
        except NotCovered as error:
            raise NotCovered(f"node {label!r} ({node.op_type}): {error}") from None
    return nodes, values[graph.output[0].name]
