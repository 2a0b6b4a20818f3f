"""The network of an ONNX file.

A node is a namespace with `op`, `name`, `inputs` (places of nodes), `shape` (of one sample) and parameters; these
are float64 as in the file, or mpmath numbers where they are computed.

A value of the graph has `hidden` axes in front that its node lacks: 1, the batch. Where a model is read without one, all
axes are of the one sample that there is: 0, or a first axis that is 1 long, which those operators leave out that take axis 0
for a batch, and those that go entry by entry.
"""
import itertools, math
from types import SimpleNamespace

import numpy as np, onnx
from mpmath import mp, mpf

from certificate.common import NotCovered, counts, exact, items, need, number
from certificate.layout import is_arranged, per_channel
from certificate.values import P, SMOOTH

NO_BATCH = "the model is read without a batch axis: every axis of its input is of the one input that it takes"
WINDOW = "auto_pad dilations kernel_shape pads strides "
OPERATORS = {  # with the attributes that are understood
    "Conv": WINDOW + "group", "MaxPool": WINDOW + "ceil_mode storage_order", "Gemm": "alpha beta transA transB",
    "AveragePool": WINDOW + "ceil_mode count_include_pad", "BatchNormalization": "epsilon momentum training_mode",
    "LayerNormalization": "axis epsilon stash_type", "GroupNormalization": "epsilon num_groups stash_type",
    "InstanceNormalization": "epsilon", "LeakyRelu": "alpha", "Flatten": "axis", "Reshape": "allowzero", "Dropout": "ratio seed",
    "Concat": "axis", "Split": "axis split num_outputs", "Slice": "axes starts ends", "Gather": "axis", "Squeeze": "axes",
    "Unsqueeze": "axes", "Softmax": "axis", "LogSoftmax": "axis", "Transpose": "perm", "TopK": "axis largest sorted",
    **dict.fromkeys(["ReduceMax", "ReduceMin"], "axes keepdims"),
    "Constant": "value value_int value_ints",
    **dict.fromkeys(["MatMul", "Add", "Sub", "Mul", "Div", "Neg", "Max", "Min", "Relu", "Abs", "Identity", "GlobalAveragePool", *SMOOTH], "")}
INTEGERS = {"Reshape", "Split", "Slice", "Gather", "Squeeze", "Unsqueeze", "TopK", "ReduceMax", "ReduceMin"}  # what they read besides is
BATCHED = {"Conv", "Gemm", "BatchNormalization", "GroupNormalization", "InstanceNormalization", "MaxPool", "AveragePool", "GlobalAveragePool"}
BY_ENTRIES = {"Add", "Sub", "Mul", "Div", "Neg", "Max", "Min", "Identity", "Dropout", "Relu", "LeakyRelu", "Abs", *SMOOTH}


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


def lower(op, a, x, constants, graph, step):
    """The node that computes an operator from nodes x and constants by place, less name and inputs; None: x[0] itself; or the
    places of nodes, of which `step` adds one after the other."""
    shape, c, hidden = x[0].shape, [constants.get(i) for i in range(6)], graph.hidden
    flat, rank = math.prod(shape) == shape[-1], len(shape) + hidden
    def covered(holds, what):
        need(holds, what, NotCovered)
    covered(len(x) == 1 or op in ("Add", "Sub", "Max", "Min", "Concat"), "it reads several values")
    def beside(array):  # a constant beside one sample
        covered(array.ndim <= rank, "its constant")
        full = array.reshape((1,) * (rank - array.ndim) + array.shape)
        covered(not hidden or full.shape[0] == 1, "its constant")
        full = full[0] if hidden else full
        covered(all(n in (1, k) for n, k in zip(full.shape, shape)), "its constant")
        return exact(full)
    def axis(i, rank=rank):  # of a sample
        covered(type(i) is int and -rank <= i < rank and i % rank >= hidden, "its axis")
        return i % rank - hidden
    def integers(name, i):
        found = a.get(name, c[i])
        return None if found is None else [int(n) for n in np.ravel(found)]
    def picked(along):
        """The entries with these places along some axes; none of them twice."""
        covered(all(len(v) == len(set(v)) > 0 for v in along.values()), "entries that are repeated, or none")
        lists = [along.get(i, range(n)) for i, n in enumerate(shape)]
        places = np.arange(math.prod(shape)).reshape(shape)[np.ix_(*lists)]
        return dict(op="pick", shape=list(places.shape), index=places.ravel())
    def reshaped(to, at=None, before=shape):
        if at is None:
            return None if to == before else dict(op="pick", shape=to, step="reshape")
        return at if to == before else step("reshape", [at], dict(op="pick", shape=to))
    ones = np.full((1,) * len(shape), mpf(1))
    if op == "Conv" and c[1] is not None:
        w, g = c[1], a.get("group", 1)
        win = window(a, w.shape[2:], shape)
        covered(w.shape[1] * g == shape[0] and w.shape[0] % g == 0, "its weight")
        return dict(op="convolution", weight=w, groups=g, bias=c[2], shape=[w.shape[0], *win["out"]], step="product", **win)
    if op in ("Gemm", "MatMul") and c[1] is not None and flat:
        covered(c[1].ndim == 2 and (op == "MatMul" or len(shape) == 1), "its axes")
        covered(a.get("alpha", 1) == a.get("beta", 1) == 1 and not a.get("transA"), "its factors")
        w = c[1] if a.get("transB") else c[1].T
        bias = None if c[2] is None else np.broadcast_to(c[2], (1, len(w)))[0]
        covered(w.shape[1] == shape[-1], "its weight")
        return dict(op="dense", weight=w, bias=bias, shape=[*shape[:-1], len(w)], step="product")
    if op == "BatchNormalization" and not a.get("training_mode") and len(constants) == 4:
        covered(all(v.shape == (shape[0],) for v in c[1:5]), "its parameters")
        gamma, beta, mean, variance = (exact(v).reshape(-1, *[1] * (len(shape) - 1)) for v in c[1:5])
        spread = variance + mpf(a.get("epsilon", float(np.float32(1e-5))))
        covered(all(v > 0 for v in spread.flat), "its variance")
        scale = gamma / np.frompyfunc(mp.sqrt, 1, 1)(spread)
        covered(all(abs(v) < mp.ldexp(1, P) for v in (mean * scale).flat), "its mean")
        return affine(scale, beta - mean * scale, rounded=True)
    if op in ("LayerNormalization", "GroupNormalization", "InstanceNormalization") and 1 in constants and set(constants) <= {1, 2}:
        return normalised(op, a, shape, c, graph, step, reshaped, beside, axis)
    if op in ("Add", "Sub") and len(x) == 1 and len(constants) == 1:
        place, array = next(iter(constants.items()))
        array, minus = beside(array), op == "Sub"
        return affine(-ones if minus and place == 0 else ones, -array if minus and place == 1 else array, step="constant")
    if op in ("Max", "Min") and len(x) == 1 and not constants:
        return None
    if op in ("Add", "Sub", "Max", "Min") and len(x) > 1 and not constants:
        covered(all(y.shape == shape for y in x), "its shapes")
        if op == "Sub":
            return [step("sum", [graph.sources[0], step("scale", graph.sources[1:], affine(-ones, 0 * ones))], dict(op="sum"))]
        return dict(op={"Add": "sum", "Max": "maximum", "Min": "minimum"}[op])
    if (op == "Mul" or op == "Div" and 1 in constants) and len(x) == 1 and len(constants) == 1:
        array = beside(next(iter(constants.values())))
        covered(op == "Mul" or all(array.flat), "it divides by 0")
        return affine(array if op == "Mul" else 1 / array, 0 * ones)
    if op == "Neg":
        return affine(-ones, 0 * ones, step="scale")
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
    if op == "Flatten":
        at = a.get("axis", 1)
        covered(hidden <= at <= rank, "its axis")
        outer, inner = math.prod(shape[:at - hidden]), math.prod(shape[at - hidden:])
        covered(not hidden or outer == 1, "its axis")
        return reshaped([inner] if hidden else [outer, inner])
    if op == "Reshape" and c[1] is not None and not a.get("allowzero"):
        front, rest = ([int(n) for n in part] for part in np.split(c[1], [hidden]))
        rest = [shape[i] if n == 0 and i < len(shape) else n for i, n in enumerate(rest)]
        if rest.count(-1) == 1 and front in ([], [0], [graph.batch]):
            rest[rest.index(-1)] = entries // abs(math.prod(rest))
        covered(rest and math.prod(rest) == entries and min(rest) > 0 and (not hidden or front[0] >= -1), "its shape")
        return reshaped(rest)
    if op in ("Squeeze", "Unsqueeze"):
        axes = integers("axes", 1)
        covered(axes, "its axes")
        longer = rank if op == "Squeeze" else rank + len(axes)
        axes = {axis(i, longer) for i in axes}
        covered(all(shape[i] == 1 for i in axes) if op == "Squeeze" else len(axes) == longer - rank, "its axes")
        if op == "Squeeze":
            covered(len(axes) < len(shape), "its axes")
            return reshaped([n for i, n in enumerate(shape) if i not in axes])
        old = iter(shape)
        return reshaped([1 if i in axes else next(old) for i in range(longer - hidden)])
    if op == "Transpose":
        perm = list(a.get("perm", range(rank)[::-1]))
        covered(sorted(perm) == list(range(rank)) and perm[:hidden] == [0] * hidden, "its axes")
        places = np.arange(entries).reshape(shape).transpose([i - hidden for i in perm[hidden:]])
        return dict(op="pick", shape=list(places.shape), index=places.ravel(), step="transpose")
    if op == "Slice":
        starts, ends, axes = integers("starts", 1), integers("ends", 2), integers("axes", 3)
        covered(starts is not None and ends is not None, "where it cuts")
        axes, steps = list(range(len(starts))) if axes is None else axes, [1] * len(starts) if c[4] is None else integers("", 4)
        covered(len(starts) == len(ends) == len(axes) == len(steps) and len({i % rank for i in axes}) == len(axes)
                and all(-rank <= i < rank for i in axes) and min(steps, default=1) > 0, "where it cuts")
        along = {}
        for i, start, end, by in zip(axes, starts, ends, steps):
            if i % rank < hidden:
                n = graph.batch
                covered(start == 0 and by == 1 and end >= 2**31 - 1 or n > 0 and range(n)[start:end:by] == range(n), "it cuts the batch")
            elif (kept := range(shape[i % rank - hidden])[start:end:by]) != range(shape[i % rank - hidden]):
                along[axis(i)] = kept
        return picked(along) if along else None
    if op == "Split":
        at, count = axis(a.get("axis", 0)), len(graph.outputs)
        n, parts = shape[at], integers("split", 1)
        if parts is None:
            each = -(-n // count)
            covered(a.get("num_outputs", count) == count and (n % count == 0 or graph.opset >= 18), "its parts")
            parts = [min(each, n - i * each) for i in range(count)]
        covered(len(parts) == count and min(parts) > 0 and sum(parts) == n, "its parts")
        starts = np.cumsum([0, *parts])
        return [step("pick", graph.sources, picked({at: range(s, s + n)})) for s, n in zip(starts.tolist(), parts)]
    if op == "Gather" and c[1] is not None:
        at = axis(a.get("axis", 0))
        n, indices = shape[at], integers("", 1)
        covered(all(-n <= i < n for i in indices), "its indices")
        found = step("pick", graph.sources, picked({at: [i % n for i in indices]}))
        return [reshaped([*shape[:at], *c[1].shape, *shape[at + 1:]], found, [*shape[:at], len(indices), *shape[at + 1:]])]
    if op == "TopK":
        at, k = axis(a.get("axis", -1)), integers("", 1)
        covered(k == [shape[at]] and a.get("sorted", 1) == 1, "some of the entries in order")
        return dict(op="sort", axis=at, descending=bool(a.get("largest", 1)))
    if op in ("ReduceMax", "ReduceMin"):
        axes = integers("axes", 1)
        covered(axes, "its axes")
        axes = {axis(i) for i in axes}
        kept, one, start = [1 if i in axes else n for i, n in enumerate(shape)], [1] * len(shape), graph.sources[0]
        def turned(at):
            return step("scale", [at], affine(-ones, 0 * ones)) if op == "ReduceMin" else at
        at = reshaped([1, *shape], turned(start), shape)  # a picture of one channel
        at = step("max-pool", [at], dict(op="max-pool", shape=[1, *kept], kernel=[n if i in axes else 1 for i, n in enumerate(shape)],
                                         stride=one, dilation=one, pads=[(0, 0)] * len(one), out=kept, count=False))
        at = turned(reshaped(kept, at, [1, *kept]))
        return [at if a.get("keepdims", 1) else reshaped([n for i, n in enumerate(shape) if i not in axes], at, kept)]
    if op == "Concat" and not constants:
        at = axis(a["axis"])
        covered(all([*y.shape[:at], *y.shape[at + 1:]] == [*shape[:at], *shape[at + 1:]] for y in x), "its shapes")
        if len(x) == 1:
            return None
        starts = np.cumsum([0, *(math.prod(y.shape) for y in x)]).tolist()
        places = np.concatenate([np.arange(s, t).reshape(y.shape) for s, t, y in zip(starts, starts[1:], x)], at)
        return dict(op="concatenation", axis=at, order=places.ravel(), shape=list(places.shape))
    if op in ("Softmax", "LogSoftmax") and flat and axis(a.get("axis", -1)) == len(shape) - 1:
        return dict(op="softmax" if op == "Softmax" else "log-softmax")
    covered(op == "Identity" or op == "Dropout" and 2 not in constants, "not in this form")


def normalised(op, a, shape, c, graph, step, reshaped, beside, axis):
    """(x - mean)/sqrt(variance + epsilon), and factors and shifts behind it."""
    full, factors = None, c[1:3]
    need(op == "LayerNormalization" or c[2] is not None, "its parameters", NotCovered)
    if op == "LayerNormalization":
        first = axis(a.get("axis", -1))
        factors = [None if v is None else beside(v) for v in factors]
        full = shape if first + 1 == len(shape) else [*shape[:first], math.prod(shape[first:])]
    else:
        groups = a["num_groups"] if op == "GroupNormalization" else shape[0]
        need(len(shape) > (op == "InstanceNormalization") and groups > 0 and shape[0] % groups == 0, "its groups", NotCovered)
        count = groups if op == "GroupNormalization" and graph.opset < 21 else shape[0]
        need(all(v.shape == (count,) for v in factors), "its parameters", NotCovered)
        factors = [exact(v.repeat(shape[0] // count)).reshape(-1, *[1] * (len(shape) - 1)) for v in factors]
        full = [groups, math.prod(shape) // groups]
    epsilon = a.get("epsilon", float(np.float32(1e-5)))
    need(0 < epsilon < 1e100, "its epsilon", NotCovered)
    at = reshaped(full, graph.sources[0], shape)
    at = step("normalisation", [at], dict(op="normalisation", axis=len(full) - 1, centred=True, epsilon=epsilon))
    at = reshaped(shape, at, full)
    scale, shift = (np.full((1,) * len(shape), mpf(0)) if v is None else v for v in factors)
    return [step("scale", [at], affine(scale, shift))]


def build(model, header):
    graph, taken, nodes = model.graph, set(), []
    whole = NO_BATCH in items(getattr(header, "assumptions", []))
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
    hidden = 1 if not whole or dims[0:1] == [1] and len(dims) > 1 else 0
    need(dims[hidden:] and len(dims) == len(sample) + hidden and all(n > 0 and d in (0, n) for d, n in zip(dims[hidden:], sample))
         and (hidden or dims[0] > 0), "the shape of the input is not that of the model")
    need(header.input_size is None or sample[2 - hidden:] == counts(header.input_size) != [], "the size of the input is not that of the model")
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
    values = {}, {}  # by the axes that a node lacks
    values[hidden][inputs[0].name] = at
    opset = max((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), default=1)
    needed = {graph.output[0].name}
    for node in reversed(graph.node):
        needed |= set(node.input) - {""} if needed & set(node.output) else set()
    for place, node in enumerate(graph.node):
        a = {t.name: onnx.helper.get_attribute_value(t) for t in node.attribute}
        label, read = node.name or node.output[0], [n for n in node.input if n]
        try:
            if not needed & set(node.output):
                continue
            op = node.op_type
            need(node.domain in ("", "ai.onnx") and set(a) <= set(OPERATORS.get(op, "-").split())
                 and (len(node.output) == 1 or op in ("Dropout", "Split", "TopK")), "not covered", NotCovered)
            fixed_inputs = {i: constants[n] for i, n in enumerate(node.input) if n in constants}
            if len(fixed_inputs) == len(read):  # a constant
                plain = op == "Transpose" or op in ("Constant", "Identity") and len(a) == (op == "Constant")
                need(plain, "a computed constant", NotCovered)
                value = fixed_inputs[0] if fixed_inputs else next(iter(a.values()))
                value = onnx.numpy_helper.to_array(value) if "value" in a else np.array(value)
                constants[node.output[0]] = value.transpose(a.get("perm")) if op == "Transpose" else value
                continue
            for v in fixed_inputs.values():
                kinds = (np.int64, np.int32) if op in INTEGERS else (np.int64, np.float16, np.float32, np.float64)
                need(v.dtype in kinds and (np.abs(v.astype(float)) < 1e100).all(), "a constant", NotCovered)
            sources = [n for n in read if n not in constants]
            fresh = True
            def step(what, inputs, parts):
                nonlocal fresh
                name, fresh = unique(label if fresh else f"{label}/{what}"), False
                return add(name, inputs, parts)
            hidden = 1
            if whole and op not in BATCHED:
                ready = all(n in values[1] for n in sources)
                most = max((len(nodes[values[1][n]].shape) for n in sources if n in values[1]), default=0)
                fits = all(v.ndim <= most or v.ndim == most + 1 and v.shape[0] == 1 for v in fixed_inputs.values())
                rows = op == "MatMul" and 0 not in fixed_inputs
                hidden = int((op in BY_ENTRIES or rows) and ready and fits)
            for n in sources:
                need(n in values[0] or n in values[1], f"its input {n!r}", NotCovered)
                if n not in values[hidden]:
                    before = values[1 - hidden][n]
                    shape = nodes[before].shape
                    need(not hidden or len(shape) > 1 and shape[0] == 1, "it takes axis 0 for a batch", NotCovered)
                    values[hidden][n] = step("reshape", [before], dict(op="pick", shape=shape[1:] if hidden else [1, *shape]))
            sources = [values[hidden][n] for n in sources]
            exacts = {i: v if op in INTEGERS else v.astype(float) for i, v in fixed_inputs.items()}
            about = SimpleNamespace(hidden=hidden, batch=1 if whole else dims[0], opset=opset, outputs=node.output, sources=sources)
            parts = lower(op, a, [nodes[i] for i in sources], exacts, about, step)
            if isinstance(parts, dict):
                parts = [step(parts.pop("step", parts["op"]), sources, parts)]
            twice = any(n in constants or n in values[0] or n in values[1] for n in node.output)
            need(not twice, "a value that is made twice", NotCovered)
            values[hidden].update(zip(node.output, parts or sources[:1]))
        except NotCovered as error:
            raise NotCovered(f"node {label!r} ({node.op_type}): {error}") from None
    last = graph.output[0].name
    need(last in values[0] or last in values[1], "its output", NotCovered)
    return nodes, values[last in values[1]][last]
