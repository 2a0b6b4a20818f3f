"""Networks of one hidden layer and softplus, and how they are written as ONNX.

z = lin(x) + bias, logits = last(softplus(z)). Images are flat and in the order that suits the layer: `image` brings
them into it, which permutes pixels, adds zeros and leaves out pixels that no window reaches; `pixel` is 1 where an
entry is a pixel. A norm of a difference of two images that agree elsewhere is what it was.
"""
import math
import pathlib

import onnx
import torch
from onnx import helper, numpy_helper
from torch import nn
from torch.nn import functional

from curvature.data import BadInput
from curvature.options import write_whole

CURVATURE = 0.25  # sup of softplus'', attained at 0; inf is 0
CLASSES = 10


class Hidden(nn.Module):
    """A hidden layer with softplus between the linear maps of a subclass."""

    products = None  # the type to which both factors of the hidden layer's products are rounded; None: their own

    def __init__(self, width: int):
        super().__init__()
        self.last = nn.Linear(width, CLASSES)

    def prepare(self, images) -> None:
        """Look at the training images before the first step."""

    def factors(self, *values):
        return [v if v is None else v.to(self.products or v.dtype) for v in values]

    def pre(self, x):
        return self.lin(x, self.bias)

    def forward(self, x):
        return self.last(functional.softplus(self.pre(x)))


class Matrix(Hidden):
    """A hidden layer that is calculated with its matrix, `weight`."""

    pixel = None

    def image(self, x):
        return x.flatten(1)

    def lin(self, x, bias=None):
        return functional.linear(*self.factors(x, self.weight, bias)).to(x.dtype)

    def adjoint(self, u):
        return functional.linear(*self.factors(u, self.weight.T)).to(u.dtype)

    def matrices(self):
        """The matrices whose norms bound that of the layer, and the factor in front of the smallest."""
        return [self.weight], 1.0


class Dense(Matrix):
    def __init__(self, inputs: int, width: int):
        super().__init__(width)
        layer = nn.Linear(inputs, width)
        self.weight, self.bias = layer.weight, layer.bias

    def plain(self):
        """Attributes of the first layer, its weight and bias, and the weight of the last one, as ONNX has them."""
        return {}, self.weight, self.bias, self.last.weight


class Principal(Dense):
    """A dense layer on the `count` coordinates in which the training images vary most: an orthogonal map and no more.

    What an image has outside of them does not reach the layer, so a norm of a difference is at least what it is here.
    """

    def __init__(self, shape: tuple[int, int, int], width: int, count: int):
        super().__init__(count, width)
        self.register_buffer("mean", torch.zeros(math.prod(shape)))
        self.register_buffer("basis", torch.eye(math.prod(shape))[:, :count])

    def prepare(self, images):
        _, vectors = torch.linalg.eigh(torch.cov(images.flatten(1).T.double()))
        self.mean, self.basis = images.flatten(1).mean(0), vectors[:, -self.basis.shape[1] :].float().contiguous()

    def image(self, x):
        return (x.flatten(1) - self.mean) @ self.basis

    def plain(self):
        weight = self.weight @ self.basis.T
        return {}, weight, self.bias - weight @ self.mean, self.last.weight


def reshapes(kernel):
    """The four of a kernel, and the square root of its number of taps (Singla & Feizi 2021)."""
    o, c, h, w = kernel.shape
    orders = ((0, 2, 1, 3), o * h), ((0, 3, 1, 2), o * w), ((0, 1, 2, 3), o), ((0, 2, 3, 1), o * h * w)
    return [kernel.permute(p).reshape(rows, -1) for p, rows in orders], (h * w) ** 0.5


class Windows(Matrix):
    """A convolution without padding whose windows are so large that its matrix is the faster way.

    Rows of the matrix are in the order channel, row, column.
    """

    def __init__(self, shape: tuple[int, int, int], channels: int, size: int, stride: int):
        places = range(0, shape[1] - size + 1, stride)
        super().__init__(channels * len(places) ** 2)
        self.side, self.size, self.stride, self.places = shape[1], size, stride, places
        layer = nn.Conv2d(shape[0], channels, size, stride)
        self.kernel, self.channel_bias = layer.weight, layer.bias

    @property
    def weight(self):
        room = self.side - self.size
        moved = [functional.pad(self.kernel, (j, room - j, i, room - i)) for i in self.places for j in self.places]
        return torch.stack(moved, 1).flatten(0, 1).flatten(1)

    @property
    def bias(self):
        return self.channel_bias.repeat_interleave(len(self.places) ** 2)

    def matrices(self):
        return reshapes(self.kernel)

    def plain(self):
        return {"strides": [self.stride] * 2, "pads": [0] * 4}, self.kernel, self.channel_bias, self.last.weight


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
        z = functional.conv2d(*self.factors(x, kernel, bias))
        return z.permute(0, 2, 3, 1).reshape(len(x), -1).to(x.dtype)

    def adjoint(self, u):
        u = u.view(-1, self.out, self.out, len(self.weight)).permute(0, 3, 1, 2)
        kernel = self.kernel().transpose(0, 1).flip(2, 3).contiguous(memory_format=torch.channels_last)
        x = functional.conv2d(*self.factors(u, kernel), padding=self.folded - 1)
        x = x.permute(0, 2, 3, 1).reshape(len(u), -1).to(u.dtype)
        return x if self.pixel is None else x * self.pixel

    def matrices(self):
        return reshapes(self.weight)

    def plain(self):
        last = self.last.weight.view(CLASSES, self.out, self.out, -1).permute(0, 3, 1, 2).reshape(CLASSES, -1)
        return {"strides": [self.stride] * 2, "pads": [self.padding] * 4}, self.weight, self.bias, last


def network(text: str, shape: tuple[int, int, int]) -> Hidden:
    """The network that `dense:WIDTH[,COMPONENTS]` or `conv:CHANNELS,SIZE,STRIDE,PADDING` describes."""
    word, _, rest = text.partition(":")
    numbers = [int(n) if n.isdecimal() else -1 for n in rest.split(",")]
    if word == "dense" and len(numbers) == 1 and numbers[0] > 0:
        return Dense(math.prod(shape), *numbers)
    if word == "dense" and len(numbers) == 2 and min(numbers) > 0 and numbers[1] <= math.prod(shape):
        return Principal(shape, *numbers)
    if word == "conv" and len(numbers) == 4 and min(numbers[:3]) > 0 and 0 <= numbers[3] < numbers[1] <= shape[1] + 2 * numbers[3]:
        large = numbers[3] == 0 and 2 * numbers[1] ** 2 >= shape[1] ** 2
        return Windows(shape, *numbers[:3]) if large else Conv(shape, *numbers)
    raise BadInput(
        f"--arch {text}: expected dense:WIDTH, dense:WIDTH,COMPONENTS with at most {math.prod(shape)} components, or "
        "conv:CHANNELS,SIZE,STRIDE,PADDING with a window inside the padded image and a padding below its size"
    )


def listed(tensors) -> str:
    return ", ".join(f"{name} {list(value.shape)}" for name, value in sorted(tensors.items())) or "no constants"


@torch.no_grad()
def load(path: pathlib.Path, shape: tuple[int, int, int]) -> Matrix:
    """A dense network or one of large windows from a file of `save`."""
    try:
        graph = onnx.load(path).graph
        values = {v.name: torch.tensor(numpy_helper.to_array(v)) for v in graph.initializer}
        geometry = {a.name: a.ints[0] for node in graph.node if node.op_type == "Conv" for a in node.attribute}
        if geometry.get("pads"):
            raise ValueError("a convolution with padding has no matrix here")
        kernel = values.get("conv.weight")
        if kernel is not None:
            net, first = Windows(shape, len(kernel), kernel.shape[2], geometry["strides"]), "conv"
            weight, bias = net.kernel, net.channel_bias
        else:
            net, first = Dense(math.prod(shape), max(1, len(values.get("dense.bias", ())))), "dense"
            weight, bias = net.weight, net.bias
    except Exception as error:  # of the file, of its format or of what it holds
        raise BadInput(f"--init {path}: cannot be read as a network of this program in ONNX ({error})") from error
    wanted = {f"{first}.weight": weight, f"{first}.bias": bias, "classifier.weight": net.last.weight, "classifier.bias": net.last.bias}
    if listed(values) != listed(wanted):
        raise BadInput(f"--init {path}: expected a dense network, or a convolution without padding, for these images ({listed(wanted)}), found {listed(values)}")
    for name, parameter in wanted.items():
        parameter.copy_(values[name])
    return net


@torch.no_grad()
def average(paths: list[pathlib.Path], shape: tuple[int, int, int]) -> Dense:
    """The average of networks in files of `save`, as one dense network with the units of all."""
    networks = [load(path, shape) for path in paths]
    net = Dense(math.prod(shape), sum(len(n.bias) for n in networks))
    net.weight.copy_(torch.cat([n.weight for n in networks]))
    net.bias.copy_(torch.cat([n.bias for n in networks]))
    net.last.weight.copy_(torch.cat([n.last.weight for n in networks], 1) / len(networks))
    net.last.bias.copy_(torch.stack([n.last.bias for n in networks]).mean(0))
    return net


@torch.no_grad()
def save(net: Hidden, shape: tuple[int, int, int], name: str, path: pathlib.Path) -> None:
    """Write `net` with f32 constants; the file is there whole or not at all."""
    attributes, weight, bias, last = net.plain()
    first = ("conv", "Conv", ["image"], attributes) if attributes else ("dense", "Gemm", ["flat"], {"transB": 1})
    steps = [(*first[:3], "hidden", first[3]), ("softplus", "Softplus", ["hidden"], "features", {})]
    flatten = ("flatten", "Flatten", ["features" if attributes else "image"], "flat", {})
    steps.insert(2 if attributes else 0, flatten)
    steps.append(("classifier", "Gemm", ["flat" if attributes else "features"], "logits", {"transB": 1}))
    values = {first[0]: (weight, bias), "classifier": (last, net.last.bias)}
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
    write_whole(path, file.SerializeToString())
