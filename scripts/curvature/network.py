"""Networks of one hidden layer and softplus, and how they are written as ONNX.

z = lin(x) + bias, logits = last(softplus(z)). Images are flat and in the order that suits the layer: `image` brings
them into it, which permutes pixels, adds zeros and leaves out pixels that no window reaches; `pixel` is 1 where an
entry is a pixel. A norm of a difference of two images that agree elsewhere is what it was.
"""
import os
import pathlib
import tempfile

import onnx
import torch
from onnx import helper, numpy_helper
from torch import nn
from torch.nn import functional

from curvature.data import BadInput

CURVATURE = 0.25  # sup of softplus'', attained at 0; inf is 0
CLASSES = 10


class Hidden(nn.Module):
    """A hidden layer with softplus between the linear maps of a subclass."""

    def __init__(self, width: int):
        super().__init__()
        self.last = nn.Linear(width, CLASSES)

    def pre(self, x):
        return self.lin(x, self.bias)

    def forward(self, x):
        return self.last(functional.softplus(self.pre(x)))


class Dense(Hidden):
    def __init__(self, shape: tuple[int, int, int], width: int):
        super().__init__(width)
        layer = nn.Linear(shape[0] * shape[1] * shape[2], width)
        self.weight, self.bias = layer.weight, layer.bias
        self.pixel = None

    def image(self, x):
        return x.flatten(1)

    def lin(self, x, bias=None):
        return functional.linear(x, self.weight, bias)

    def adjoint(self, u):
        return u @ self.weight

    def matrices(self):
        """The matrices whose norms bound that of the layer, and the factor in front of the smallest."""
        return [self.weight], 1.0

    def plain(self):
        """Attributes of the first layer, its weight, and the weight of the last one, as ONNX has them."""
        return {}, self.weight, self.last.weight


class Conv(Hidden):
    """A convolution, calculated as one of stride 1 with stride² as many channels, channels last: CPUs prefer both."""

    def __init__(self, shape: tuple[int, int, int], channels: int, size: int, stride: int, padding: int):
        c_in, side, _ = shape
        out = (side + 2 * padding - size) // stride + 1
        super().__init__(channels * out**2)
        layer = nn.Conv2d(c_in, channels, size, stride, padding)
        self.weight, self.bias = layer.weight, layer.bias
        self.stride, self.padding, self.size = stride, padding, size
        self.side, self.out, self.folded = side, out, -(-size // stride)
        self.blocks, self.depth = out + self.folded - 1, c_in * stride**2
        self.register_buffer("pixel", self.image(torch.ones(1, *shape)) if padding else None, persistent=False)

    def image(self, x):
        """[n, rows of blocks, columns of blocks, channels * stride²], flat."""
        n, c, s, p, b = len(x), x.shape[1], self.stride, self.padding, self.blocks
        far = b * s - self.side - p
        x = functional.pad(x, (p, far, p, far)).reshape(n, c, b, s, b, s)
        return x.permute(0, 2, 4, 1, 3, 5).reshape(n, -1)

    def kernel(self):
        s, q = self.stride, self.folded
        k = functional.pad(self.weight, [0, q * s - self.size] * 2)
        o, c = k.shape[:2]
        return k.reshape(o, c, q, s, q, s).permute(0, 1, 3, 5, 2, 4).reshape(o, c * s * s, q, q)

    def lin(self, x, bias=None):
        x = x.view(-1, self.blocks, self.blocks, self.depth).permute(0, 3, 1, 2)
        kernel = self.kernel().contiguous(memory_format=torch.channels_last)
        return functional.conv2d(x, kernel, bias).permute(0, 2, 3, 1).reshape(len(x), -1)

    def adjoint(self, u):
        u = u.view(-1, self.out, self.out, len(self.weight)).permute(0, 3, 1, 2)
        kernel = self.kernel().transpose(0, 1).flip(2, 3).contiguous(memory_format=torch.channels_last)
        x = functional.conv2d(u, kernel, padding=self.folded - 1).permute(0, 2, 3, 1).reshape(len(u), -1)
        return x if self.pixel is None else x * self.pixel

    def matrices(self):
        """The four reshapes of the kernel, and the square root of its number of taps (Singla & Feizi 2021)."""
        o, c, h, w = self.weight.shape
        orders = ((0, 2, 1, 3), o * h), ((0, 3, 1, 2), o * w), ((0, 1, 2, 3), o), ((0, 2, 3, 1), o * h * w)
        return [self.weight.permute(p).reshape(rows, -1) for p, rows in orders], (h * w) ** 0.5

    def plain(self):
        last = self.last.weight.view(CLASSES, self.out, self.out, -1).permute(0, 3, 1, 2).reshape(CLASSES, -1)
        return {"strides": [self.stride] * 2, "pads": [self.padding] * 4}, self.weight, last


def network(text: str, shape: tuple[int, int, int]) -> Hidden:
    """The network that `dense:WIDTH` or `conv:CHANNELS,SIZE,STRIDE,PADDING` describes."""
    word, _, rest = text.partition(":")
    numbers = [int(n) if n.isdecimal() else -1 for n in rest.split(",")]
    if word == "dense" and len(numbers) == 1 and numbers[0] > 0:
        return Dense(shape, *numbers)
    if word == "conv" and len(numbers) == 4 and min(numbers[:3]) > 0 and 0 <= numbers[3] < numbers[1] <= shape[1] + 2 * numbers[3]:
        return Conv(shape, *numbers)
    raise BadInput(f"--arch {text}: expected dense:WIDTH or conv:CHANNELS,SIZE,STRIDE,PADDING, with a window inside the padded image and a padding below its size")


def check_place(path: pathlib.Path) -> None:
    """Whether `path` can be written, before hours are spent."""
    try:
        tempfile.TemporaryFile(dir=path.parent).close()
    except OSError as error:
        raise BadInput(f"--out {path}: {error.strerror} in {path.parent}") from error
    if path.is_dir():
        raise BadInput(f"--out {path}: a folder, expected a file")


@torch.no_grad()
def save(net: Hidden, shape: tuple[int, int, int], name: str, path: pathlib.Path) -> None:
    """Write `net` with f32 constants; the file is there whole or not at all."""
    attributes, weight, last = net.plain()
    first = ("conv", "Conv", ["image"], attributes) if attributes else ("dense", "Gemm", ["flat"], {"transB": 1})
    steps = [(*first[:3], "hidden", first[3]), ("softplus", "Softplus", ["hidden"], "features", {})]
    flatten = ("flatten", "Flatten", ["features" if attributes else "image"], "flat", {})
    steps.insert(2 if attributes else 0, flatten)
    steps.append(("classifier", "Gemm", ["flat" if attributes else "features"], "logits", {"transB": 1}))
    values = {first[0]: (weight, net.bias), "classifier": (last, net.last.bias)}
    constants, nodes = [], []
    for node, operator, inputs, output, options in steps:
        for part, value in zip(("weight", "bias"), values.get(node, ())):
            constants.append(numpy_helper.from_array(value.float().contiguous().numpy(), f"{node}.{part}"))
            inputs = [*inputs, f"{node}.{part}"]
        nodes.append(helper.make_node(operator, inputs, [output], node, **options))
    ends = {"image": ["N", *shape], "logits": ["N", CLASSES]}
    ends = [[helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, dims)] for n, dims in ends.items()]
    graph = helper.make_graph(nodes, name, *ends, constants)
    file = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(file, full_check=True)
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        scratch.write_bytes(file.SerializeToString())
        os.replace(scratch, path)
    finally:
        scratch.unlink(missing_ok=True)
