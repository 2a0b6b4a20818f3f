"""Single ONNX operators against the reference of ONNX: their values, and their slopes against the constant.

Each stands between layers of random weights, so that one that was taken for another function, an identity
for instance, has other values or a larger slope than what is proved.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import sigmax

onnx = pytest.importorskip("onnx")
reference = pytest.importorskip("onnx.reference")

RNG = np.random.default_rng(0)
IMAGE = (2, 5, 6)
Array = npt.NDArray[Any]


def weights(*shape: int) -> Array:
    return RNG.normal(size=shape).astype(np.float32)


def integers(*values: int) -> Array:
    return np.array(values, dtype=np.int64)


def scalar(value: float) -> Array:
    return np.array(value, dtype=np.float32)


def floats(*values: float) -> Array:
    return np.array(values, dtype=np.float32)


class Case:
    """An operator with its constants and attributes, for samples of a shape."""

    def __init__(
        self,
        op: str,
        *constants: Array | None,
        shape: tuple[int, ...] = IMAGE,
        opset: int = 18,
        **attributes: Any,
    ) -> None:
        self.op, self.constants, self.shape, self.opset, self.attributes = (
            op,
            constants,
            shape,
            opset,
            attributes,
        )

    def __repr__(self) -> str:
        inputs = ["_" if c is None else "x".join(map(str, c.shape)) for c in self.constants]
        stated = [f"{k}={v}" for k, v in self.attributes.items()]
        return f"{self.op}-{self.opset}({', '.join([*inputs, *stated])})"

    def graph(self, outputs: int | None) -> Any:
        """The operator alone, or with layers before and behind it."""
        constants = {f"c{i}": c for i, c in enumerate(self.constants) if c is not None}
        names = ["u", *(f"c{i}" if c is not None else "" for i, c in enumerate(self.constants))]
        make = onnx.helper.make_node
        scale = np.linspace(0.5, 1.5, self.shape[0], dtype=np.float32)
        constants["scale"] = scale.reshape(-1, *[1] * (len(self.shape) - 1))
        nodes = [make("Mul", ["x", "scale"], ["u"]), make(self.op, names, ["v"], **self.attributes)]
        if outputs is not None:
            constants["head"] = np.random.default_rng(1).normal(size=(outputs, 3)).astype(np.float32)
            nodes += [make("Flatten", ["v"], ["f"]), make("Gemm", ["f", "head"], ["y"])]
        value, kind = onnx.helper.make_tensor_value_info, onnx.TensorProto.FLOAT
        graph = onnx.helper.make_graph(
            nodes,
            "g",
            [value("x", kind, ["N", *self.shape])],
            [value("v" if outputs is None else "y", kind, None)],
            [onnx.numpy_helper.from_array(c, name) for name, c in constants.items()],
        )
        opset = onnx.helper.make_opsetid("", self.opset)
        return onnx.helper.make_model(graph, opset_imports=[opset], ir_version=8)


AXES = [
    Case(op, integers(*axes) if as_input else None, opset=18, **({"keepdims": keeps} | more))
    for op in ("ReduceMean", "ReduceMax", "ReduceMin", "ReduceL2", "ReduceLogSumExp")
    for keeps in (0, 1)
    for axes, as_input, more in (
        ((-1,), True, {}),
        ((1, 3), True, {}),
        ((), True, {"noop_with_empty_axes": 1}),
        ((), False, {"noop_with_empty_axes": 1}),
    )
]
SUMS = [
    Case("ReduceSum", integers(2), keepdims=keeps, noop_with_empty_axes=noop)
    for keeps in (0, 1)
    for noop in (0, 1)
]
POOLS = [
    Case(op, kernel_shape=[2, 3], strides=strides, opset=19, **more)
    for op in ("MaxPool", "AveragePool")
    for strides in ([1, 2], [2, 2])
    for more in (
        {},
        {"pads": [1, 1, 0, 1]},
        {"auto_pad": "SAME_UPPER"},
        {"auto_pad": "VALID"},
        *([{"pads": [1, 1, 0, 1], "count_include_pad": 1}] if op == "AveragePool" else []),
    )
]
CONVOLUTIONS = [
    Case("Conv", weights(4, 2, 3, 2), weights(4), **more)
    for more in (
        {},
        {"pads": [1, 0, 2, 1], "strides": [2, 1]},
        {"dilations": [2, 3]},
        {"auto_pad": "SAME_UPPER", "strides": [2, 2]},
        {"auto_pad": "SAME_LOWER"},
    )
]
CONVOLUTIONS += [
    Case("Conv", weights(4, 1, 3, 3), group=2, pads=[1, 1, 1, 1]),
    Case("ConvTranspose", weights(2, 3, 3, 2), weights(3), strides=[2, 3], pads=[1, 0, 0, 1]),
    Case("ConvTranspose", weights(2, 3, 2, 2), strides=[2, 2], output_padding=[1, 0]),
    Case("ConvTranspose", weights(2, 3, 3, 3), dilations=[2, 1]),
]
ACTIVATIONS = [
    Case(op, **more)
    for op, more in (
        ("Relu", {}),
        ("LeakyRelu", {"alpha": 0.3}),
        ("LeakyRelu", {}),
        ("Elu", {"alpha": 1.7}),
        ("Selu", {}),
        ("Celu", {"alpha": 0.5}),
        ("HardSigmoid", {}),
        ("HardSigmoid", {"alpha": 0.4, "beta": 0.1}),
        ("HardSwish", {}),
        ("Softplus", {}),
        ("Softsign", {}),
        ("Sigmoid", {}),
        ("Tanh", {}),
        ("Atan", {}),
        ("Erf", {}),
        ("Abs", {}),
        ("Neg", {}),
        ("Mish", {}),
        ("Softmax", {"axis": 1}),
        ("Softmax", {}),
        ("LogSoftmax", {"axis": 2}),
        ("Identity", {}),
        ("GlobalAveragePool", {}),
        ("GlobalMaxPool", {}),
    )
]
ACTIVATIONS += [
    Case("Gelu", opset=20),
    Case("Gelu", opset=20, approximate="tanh"),
    Case("Clip", scalar(-0.5), scalar(1)),
    Case("Clip", None, scalar(0.5)),
    Case("PRelu", weights(2, 1, 1)),
]
SHAPES = [
    Case("Transpose", perm=[0, 3, 1, 2]),
    Case("Flatten"),
    Case("Reshape", integers(0, -1, 3)),
    Case("Squeeze", integers(1), shape=(1, 5, 6)),
    Case("Unsqueeze", integers(2)),
    Case("Slice", integers(4, 0), integers(-9, 4), integers(2, 3), integers(-2, 3)),
    Case("Gather", integers(3, 0, 0, -1), axis=2),
    Case("Pad", integers(0, 0, 1, 2, 0, 1, 0, 1)),
    Case("Pad", integers(0, 0, 1, 2, 0, 0, 2, 1), mode="reflect"),
    Case("Pad", integers(0, 0, 1, 2, 0, 0, 2, 1), mode="edge"),
    Case("Pad", integers(0, 0, 0, 1, 0, 0, 2, 1), scalar(0.5)),
    Case("Tile", integers(1, 2, 1, 3)),
    Case("Expand", integers(1, 3, 5, 6), shape=(1, 5, 6)),
    Case("DepthToSpace", shape=(8, 2, 3), blocksize=2),
    Case("DepthToSpace", shape=(8, 2, 3), blocksize=2, mode="CRD"),
    Case("SpaceToDepth", shape=(2, 4, 6), blocksize=2),
    Case("Resize", None, floats(1, 1, 2, 3), mode="nearest"),
    Case("Resize", None, floats(1, 1, 2, 0.5), mode="linear"),
    Case("Resize", None, floats(1, 1, 2, 2), mode="linear", coordinate_transformation_mode="align_corners"),
    Case("Resize", None, floats(1, 1, 2, 2), mode="cubic", cubic_coeff_a=-0.5),
]
AFFINE = [
    Case("Add", weights(2, 1, 6)),
    Case("Sub", weights(5, 1)),
    Case("Mul", weights(6)),
    Case("Div", weights(2, 1, 1)),
    Case("MatMul", weights(6, 4)),
    Case("MatMul", weights(2, 6, 3)),
    Case("Gemm", weights(4, 7), weights(4), shape=(7,), alpha=0.5, beta=2.0, transB=1),
    Case("BatchNormalization", weights(2), weights(2), weights(2), np.abs(weights(2)) + 0.1, epsilon=1e-2),
    Case("InstanceNormalization", weights(2), weights(2), epsilon=0.3),
    Case("LayerNormalization", weights(6), weights(6), epsilon=0.3),
    Case("LayerNormalization", weights(5, 6), axis=2, epsilon=0.2),
    Case("LayerNormalization", weights(2, 5, 6), axis=1, epsilon=0.2),
]
CASES = [*AXES, *SUMS, *POOLS, *CONVOLUTIONS, *ACTIVATIONS, *SHAPES, *AFFINE]


@pytest.mark.parametrize("case", CASES, ids=repr)
def test_an_operator_is_what_the_reference_says(case: Case) -> None:
    alone = reference.ReferenceEvaluator(case.graph(None))
    points = np.random.default_rng(2).uniform(-2, 2, size=(3, *case.shape)).astype(np.float32)
    outputs = int(np.prod(alone.run(None, {"x": points})[0].shape[1:]))
    model = case.graph(outputs)
    content = model.SerializeToString()
    evaluator = reference.ReferenceEvaluator(model)

    def values(x: Array) -> Array:
        return np.asarray(evaluator.run(None, {"x": x})[0], dtype=np.float64)

    logits = values(points)
    found = sigmax.certify(content, points, logits.argmax(1), method="global", pixel_range=(-2, 2))
    assert isinstance(found, sigmax.Certification)
    assert found.prediction.tolist() == logits.argmax(1).tolist()
    best = np.sort(logits, 1)
    margin = best[:, -1] - best[:, -2]
    assert found.margin == pytest.approx(margin, rel=1e-3, abs=1e-4 * np.abs(logits).max())

    constant = sigmax.audit(content).lipschitz
    assert constant is not None
    step = 2.0**-7
    entries = int(np.prod(case.shape))
    moves = (step * np.eye(entries, dtype=np.float32)).reshape(entries, *case.shape)
    for point in points:
        slopes = (values(point + moves) - values(point - moves)) / (2 * step)
        assert np.linalg.norm(slopes, 2) <= constant * 1.01 + 1e-3
