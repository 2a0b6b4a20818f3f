"""Networks from modules: their values are those of torch, their constants are true."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import sigmax
from sigmax._open import core_model


def evaluated(module: nn.Module, inputs: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """The first output by torch in f64, and by the core with the bound of its error."""
    rows, errors = core_model(module, inputs[:1]).evaluate(inputs.double().numpy())
    exact = copy.deepcopy(module).double().eval()
    with torch.no_grad():
        truth = exact(inputs.double())
    if isinstance(truth, (tuple, list)):
        truth = truth[0]
    wanted = truth.flatten(1).numpy()
    assert max(errors) < 1e-6
    return np.stack(rows), wanted


def same_values(module: nn.Module, inputs: torch.Tensor) -> None:
    # The numbers of the program are those that float32 operators take, so up to 6e-8 off in f64.
    rows, wanted = evaluated(module, inputs)
    np.testing.assert_allclose(rows, wanted, rtol=2e-6, atol=2e-6)


class Of(nn.Module):
    """A function."""

    def __init__(self, function, *modules: nn.Module) -> None:
        super().__init__()
        self.function = function
        self.parts = nn.ModuleList(modules)
        self.register_buffer("constant", torch.linspace(-1.0, 2.0, 4).reshape(4, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(x, *self.parts)


def resized(x: torch.Tensor, mode: str, **options) -> torch.Tensor:
    return nn.functional.interpolate(x, mode=mode, **options)


IMAGES = {
    "conv": nn.Conv2d(4, 6, 3, stride=2, padding=1, dilation=2, groups=2),
    "conv same": nn.Conv2d(4, 3, (4, 3), padding="same"),
    "conv valid": nn.Conv2d(4, 3, 3, padding="valid"),
    "conv circular": nn.Conv2d(4, 3, 3, padding=1, padding_mode="circular"),
    "conv reflect": nn.Conv2d(4, 3, 5, padding=2, padding_mode="reflect"),
    "conv replicate": nn.Conv2d(4, 3, (3, 1), padding=(1, 0), padding_mode="replicate"),
    "transposed": nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=1, groups=2),
    "transposed dilated": nn.ConvTranspose2d(4, 2, 3, dilation=2, bias=False),
    "batch norm": nn.BatchNorm2d(4),
    "batch norm without affine": nn.BatchNorm2d(4, affine=False),
    "layer norm": nn.LayerNorm(8),
    "root mean square": nn.RMSNorm(8, eps=1e-3),
    "group norm": nn.GroupNorm(2, 4),
    "instance norm": nn.InstanceNorm2d(4, affine=True),
    "max-pool": nn.MaxPool2d(3, stride=2, padding=1, dilation=1, ceil_mode=True),
    "max-pool dilated": nn.MaxPool2d(2, stride=1, dilation=2),
    "average": nn.AvgPool2d(3, stride=2, padding=1),
    "average without padding": nn.AvgPool2d(3, stride=2, padding=1, count_include_pad=False),
    "adaptive": nn.AdaptiveAvgPool2d((3, 4)),
    "adaptive uneven": nn.AdaptiveAvgPool2d((5, 3)),
    "adaptive one": nn.AdaptiveAvgPool2d(1),
    "bilinear": nn.Upsample(scale_factor=2, mode="bilinear"),
    "bilinear to a size": nn.Upsample(size=(5, 12), mode="bilinear"),
    "bilinear aligned": nn.Upsample(size=(7, 11), mode="bilinear", align_corners=True),
    "bicubic": nn.Upsample(size=(5, 12), mode="bicubic"),
    "bicubic aligned": nn.Upsample(size=(7, 11), mode="bicubic", align_corners=True),
    "bilinear antialiased": Of(lambda x: resized(x, "bilinear", size=(3, 11), antialias=True)),
    "bicubic antialiased": Of(lambda x: resized(x, "bicubic", size=(3, 5), antialias=True)),
    "nearest": nn.Upsample(scale_factor=3),
    "pixel shuffle": nn.PixelShuffle(2),
    "channel shuffle": nn.ChannelShuffle(2),
    "zero padding": nn.ZeroPad2d((1, 2, 0, 3)),
    "constant padding": nn.ConstantPad2d((1, -1, 2, 0), 0.7),
    "reflection padding": nn.ReflectionPad2d(2),
    "dense on the last axis": nn.Linear(8, 3),
    "prelu": nn.PReLU(4, 0.3),
    "prelu one": nn.PReLU(),
    "softmax": nn.Softmax(1),
    "log softmax": nn.LogSoftmax(2),
    "relu": nn.ReLU(),
    "relu6": nn.ReLU6(),
    "leaky": nn.LeakyReLU(0.2),
    "elu": nn.ELU(0.7),
    "celu": nn.CELU(0.7),
    "selu": nn.SELU(),
    "sigmoid": nn.Sigmoid(),
    "tanh": nn.Tanh(),
    "softplus": nn.Softplus(),
    "gelu": nn.GELU(),
    "gelu tanh": nn.GELU(approximate="tanh"),
    "silu": nn.SiLU(),
    "mish": nn.Mish(),
    "hardsigmoid": nn.Hardsigmoid(),
    "hardswish": nn.Hardswish(),
    "hardtanh": nn.Hardtanh(-0.4, 0.9),
    "clamp": Of(lambda x: x.clamp(-0.3, 0.4)),
    "clamp from below": Of(lambda x: x.clamp(min=-0.3)),
    "clamp from above": Of(lambda x: x.clamp(max=0.3)),
    "waves": Of(lambda x: x.asinh() + x.sin() - x.cos()),
    "absolute": Of(lambda x: x.abs().atan() - torch.erf(x)),
    "residual": Of(lambda x, f: x + f(x), nn.Conv2d(4, 4, 3, padding=1)),
    "broadcast": Of(lambda x: x + x.mean((2, 3), keepdim=True)),
    "arithmetic": Of(lambda x: (2.5 - x) * 0.3 / 1.7 + 1 - (-x)),
    "in place": Of(lambda x: x.clone().mul_(0.5).add_(1).relu_()),
    "in place by module": nn.Sequential(nn.Conv2d(4, 4, 1), nn.ReLU(inplace=True)),
    "concatenation": Of(lambda x: torch.cat([x, x.relu(), -x], 1)),
    "stack": Of(lambda x: torch.stack([x, x.relu()], 2)),
    "chunks": Of(lambda x: x.chunk(2, 1)[1] - x.chunk(2, 1)[0]),
    "split": Of(lambda x: x.split([1, 3], 1)[1]),
    "unbind": Of(lambda x: torch.add(*x.unbind(1)[:2])),
    "slice": Of(lambda x: x[:, 1:, ::2, -3:]),
    "select": Of(lambda x: x[:, -1]),
    "flip": Of(lambda x: x.flip(-1, 1)),
    "roll": Of(lambda x: x.roll((1, -2), (2, 3))),
    "transpose": Of(lambda x: x.transpose(1, 2).permute(0, 3, 1, 2)),
    "reshape": Of(lambda x: x.reshape(x.shape[0], 2, -1).unsqueeze(2).squeeze(2)),
    "view by the batch": Of(lambda x: x.view(-1, 4 * 64)),
    "flatten": nn.Flatten(),
    "maximum": Of(lambda x: torch.maximum(x, -2 * x) - torch.minimum(x, x.relu())),
    "amax": Of(lambda x: x.amax((1, 3))),
    "sum": Of(lambda x: x.sum((1, 3)) + x.mean((1, 3))),
    "expand": Of(lambda x: x[:, :1].expand(-1, 4, -1, -1) + x),
    "dropout": nn.Dropout(),
    "no gradient": Of(lambda x: x.detach() + x),
    "index": Of(lambda x: x.index_select(1, torch.tensor([2, 0, 0]))),
    "matrix": Of(lambda x, f: x @ f.weight.t(), nn.Linear(8, 5)),
}


@pytest.mark.parametrize("name", IMAGES)
def test_values_are_those_of_torch(name: str) -> None:
    torch.manual_seed(1)
    module = IMAGES[name]
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.normal_()
            part.running_var.uniform_(0.5, 2.0)
    same_values(module, torch.randn(3, 4, 8, 8))


class WithConstant(nn.Module):
    """Constants beside the input."""

    def __init__(self) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.randn(4, 1, 1))
        self.register_buffer("std", torch.rand(1, 4, 1, 1) + 0.5)
        self.mask = torch.tensor([1.0, 0.0, 1.0, 1.0])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = (x - self.mean) / self.std
        return x * self.mask.reshape(1, 4, 1, 1) + torch.ones(8)


def test_constants_of_the_module() -> None:
    same_values(WithConstant(), torch.randn(2, 4, 8, 8))


def test_other_ranks() -> None:
    torch.manual_seed(2)
    same_values(
        nn.Sequential(nn.Linear(5, 7), nn.BatchNorm1d(7), nn.ReLU(), nn.Linear(7, 2)).eval(),
        torch.randn(2, 5),
    )
    line = nn.Sequential(nn.Conv1d(2, 3, 3, padding=1), nn.MaxPool1d(2), nn.ConvTranspose1d(3, 2, 2))
    same_values(line, torch.randn(2, 2, 8))
    volume = nn.Sequential(nn.Conv3d(1, 2, 2), nn.AvgPool3d(2), nn.Flatten(), nn.Linear(2 * 8, 3))
    same_values(volume, torch.randn(2, 1, 5, 5, 5))


class Block(nn.Module):
    """A residual block."""

    def __init__(self, channels: int, out: int, stride: int, bias: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, out, 3, stride, 1, bias=bias)
        self.bn1 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=bias)
        self.bn2 = nn.BatchNorm2d(out)
        self.shortcut = stride != 1 or channels != out
        self.extra = (out - channels) // 2

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.shortcut:
            x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.extra, self.extra))
        return F.relu(x + y)


def resnet(blocks: int, width: int = 16, bias: bool = False) -> nn.Module:
    """The ResNet for CIFAR-10 with 6·blocks + 2 layers."""
    layers: list[nn.Module] = [nn.Conv2d(3, width, 3, 1, 1, bias=bias), nn.BatchNorm2d(width), nn.ReLU()]
    channels = width
    for out, stride in ((width, 1), (2 * width, 2), (4 * width, 2)):
        for place in range(blocks):
            layers.append(Block(channels, out, stride if place == 0 else 1, bias))
            channels = out
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10))


def settled(module: nn.Module, seed: int = 0) -> nn.Module:
    """With statistics in its BatchNorms."""
    torch.manual_seed(seed)
    for part in module.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            part.running_mean.normal_(0, 0.1)
            part.running_var.uniform_(0.5, 2.0)
    return module.eval()


def test_a_residual_network() -> None:
    module = settled(resnet(1, 4))
    same_values(module, torch.randn(2, 3, 16, 16))
    report = sigmax.audit(module, torch.randn(1, 3, 16, 16))
    assert report.lipschitz is not None
    assert list(report.layers)[:3] == ["0", "3.conv1", "3.conv2"]
    # No pair of inputs is stretched further.
    x = torch.randn(1, 3, 16, 16, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(copy.deepcopy(module).double(), x).reshape(10, -1)
    assert float(torch.linalg.matrix_norm(jacobian, 2)) <= report.lipschitz


def test_a_file_and_a_module_have_the_same_constant(tmp_path) -> None:
    pytest.importorskip("onnx")
    # With biases: the exporter makes up zeros for those that are missing, by operators without a rule.
    module = settled(resnet(5, bias=True))
    path = tmp_path / "resnet32.onnx"
    x = torch.randn(1, 3, 32, 32)
    _export(module, x, path)
    a = sigmax.audit(module, x, tolerance=0.05)
    b = sigmax.audit(path, tolerance=0.05)
    assert a.lipschitz is not None and b.lipschitz is not None
    assert len(a.layers) == len(b.layers) == 32
    assert a.lipschitz == pytest.approx(b.lipschitz, rel=1e-9)


def _export(module: nn.Module, x: torch.Tensor, path) -> None:
    pytest.importorskip("onnxscript")
    torch.onnx.export(
        module, (x,), path, dynamo=True, optimize=False, external_data=False, verbose=False, opset_version=18
    )


def test_narrow_floats_widen_exactly() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 2)).bfloat16()
    report = sigmax.audit(module, torch.randn(1, 3, 8, 8, dtype=torch.bfloat16), tolerance=1e-6)
    wide = sigmax.audit(module.float(), torch.randn(1, 3, 8, 8), tolerance=1e-6)
    assert report.lipschitz is not None
    assert report.lipschitz == wide.lipschitz
    assert any("16 bits" in note for note in report.notes)
    assert not any("16 bits" in note for note in wide.notes)


def test_a_layer_that_is_used_twice() -> None:
    shared = nn.Linear(4, 4)
    module = nn.Sequential(shared, nn.ReLU(), shared)
    report = sigmax.audit(module, torch.randn(1, 4), tolerance=1e-9)
    assert list(report.layers) == ["0", "0#2"]
    once = sigmax.audit(nn.Sequential(shared), torch.randn(1, 4), tolerance=1e-9)
    assert 0.0 < report.lipschitz <= once.lipschitz**2 * (1 + 1e-9)


def test_without_an_example_layers_are_audited() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.ReLU(), nn.Linear(4, 2))
    report = sigmax.audit(module)
    assert list(report.layers) == ["0", "2"]
    assert report.layers["0"].details["stride"] == [2, 2]
    assert report.lipschitz is None
    assert "example" in report.blockers[0].reason
    graph = sigmax.audit(module[:2], torch.randn(1, 3, 8, 8))
    assert graph.layers["0"].norm == report.layers["0"].norm


def test_wrappers_do_not_enter_names() -> None:
    module = nn.DataParallel(nn.Sequential(nn.Linear(4, 4)))
    assert list(sigmax.audit(module, torch.randn(1, 4)).layers) == ["0"]


def test_layers_that_are_not_used_are_named() -> None:
    class Part(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used = nn.Linear(4, 4)
            self.unused = nn.Linear(4, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.unused(x)
            return self.used(x)

    report = sigmax.audit(Part(), torch.randn(1, 4))
    assert list(report.layers) == ["used"]
    assert report.skipped == {"layer that no output is computed with": 1}


def test_a_weight_that_is_not_finite_is_refused() -> None:
    module = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))
    with torch.no_grad():
        module[0].weight[1, 2] = float("nan")
    report = sigmax.audit(module, torch.randn(1, 4))
    assert report.lipschitz is None
    assert list(report.layers) == ["1"]
    assert [blocker.name for blocker in report.refused] == ["0"]
