"""Modules that a network of one sample would misrepresent: each is refused, by name and with a reason."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import sigmax


class Of(nn.Module):
    """A module of a function."""

    def __init__(self, function: Callable[[torch.Tensor], object]) -> None:
        super().__init__()
        self.function = function
        self.linear = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> object:
        return self.function(self.linear(x))


def refusal(module: nn.Module, example: object) -> str:
    report = sigmax.audit(module, example)
    assert report.lipschitz is None
    assert report.blockers
    return " | ".join(str(blocker) for blocker in report.blockers)


X = torch.randn(3, 4, 4)

MIXED = {
    "mean over the batch": lambda x: x.mean(0, keepdim=True) + x,
    "mean of all": lambda x: x.mean() + x,
    "softmax over the batch": lambda x: x.softmax(0),
    "flatten the batch": lambda x: x.flatten(start_dim=0),
    "view mixes": lambda x: x.view(-1, 4),
    "view mixes and goes back": lambda x: x.view(-1, 4).flip(0).view(-1, 4, 4),
    "transposed batch": lambda x: x.transpose(0, 1),
    "there and back": lambda x: x.transpose(0, 1).contiguous().transpose(0, 1),
    "flipped batch": lambda x: x.flip(0),
    "rolled batch": lambda x: x.roll(1, 0),
    "rolled flat": lambda x: x.roll(1),
    "first sample": lambda x: x[:1] + x,
    "another sample": lambda x: x[0] + x,
    "all but the first": lambda x: x[1:],
    "concatenated batch": lambda x: torch.cat([x, x]),
    "repeated batch": lambda x: x.repeat(2, 1, 1),
    "batch of products": lambda x: x.flatten(1) @ x.flatten(1).t(),
    "broadcast against the batch": lambda x: x + x[:, 0, 0].unsqueeze(0).unsqueeze(0),
    "cumulative": lambda x: x.cumsum(0),
    "sorted": lambda x: x.sort(0)[0],
    "batch statistics": lambda x: F.batch_norm(x, None, None, training=True),
    "centred on the batch": lambda x: x - x.mean(0),
    "squeezed": lambda x: x.squeeze(),
    "in place on a sample": lambda x: _set(x),
    "expanded": lambda x: x.expand(2, *x.shape),
}


def _set(x: torch.Tensor) -> torch.Tensor:
    x = x.clone()
    x[0] = x[1]
    return x


@pytest.mark.parametrize("name", MIXED)
def test_samples_are_not_mixed(name: str) -> None:
    refusal(Of(MIXED[name]), X)


SIZES = {
    "product with the batch size": lambda x: x * x.shape[0],
    "sum with the batch size": lambda x: x + x.shape[0],
    "quotient by the batch size": lambda x: x / x.shape[0],
    "a float of it": lambda x: x * float(x.shape[0] + 1),
    "branch on one sample": lambda x: x if x.shape[0] == 1 else 2 * x,
    "clamp on one sample": lambda x: x.clamp(max=1.0) if x.shape[0] == 1 else x.clamp(max=2.0),
    "branch on three": lambda x: x if x.shape[0] == 3 else 2 * x,
    "branch on many": lambda x: x if x.shape[0] < 100 else 2 * x,
    "a tensor of it": lambda x: x * torch.full((4,), float(x.shape[0])),
    "a constant size": lambda x: x.view(2, 4, 4),
    "an index": lambda x: x[:, x.shape[0] - 2],
    "a slice": lambda x: x[:, : x.shape[0]],
    "an average": lambda x: x.sum(1) / x.numel(),
}


@pytest.mark.parametrize("name", SIZES)
def test_the_batch_size_enters_no_value(name: str) -> None:
    refusal(Of(SIZES[name]), X)


RANDOM = {
    "dropout that is always on": lambda x: F.dropout(x, 0.5, training=True),
    "noise": lambda x: x + torch.randn(4),
    "noise like it": lambda x: x + torch.randn_like(x),
    "bernoulli": lambda x: x * torch.bernoulli(torch.full((4,), 0.5)),
    "rrelu": lambda x: F.rrelu(x, training=True),
}


@pytest.mark.parametrize("name", RANDOM)
def test_what_is_random_is_refused(name: str) -> None:
    refusal(Of(RANDOM[name]), X)


JUMPS = {
    "data-dependent branch": lambda x: x if x.sum() > 0 else -x,
    "where": lambda x: torch.where(x > 0, x, x + 1),
    "argmax": lambda x: x.argmax(1),
    "rounded": lambda x: x.round(),
    "sign": lambda x: x.sign(),
    "half": lambda x: x.half(),
    "mean in half": lambda x: x.mean(1, dtype=torch.bfloat16),
    "int": lambda x: x.int(),
    "integer division": lambda x: torch.div(x, 2.0, rounding_mode="floor"),
    "product": lambda x: x * x,
    "square": lambda x: x**2,
    "quotient": lambda x: x / (1 + x.abs()),
    "reciprocal": lambda x: 1 / x,
    "norm": lambda x: x / x.norm(dim=1, keepdim=True),
    "topk": lambda x: x.topk(2, 1)[0],
    "root": lambda x: x.abs().sqrt(),
    "steep softplus": lambda x: F.softplus(x, threshold=1),
}


def test_an_epsilon_that_torch_chooses_is_refused_in_16_bits() -> None:
    for dtype in (torch.float16, torch.bfloat16):
        assert "eps" in refusal(nn.Sequential(nn.Linear(4, 4), nn.RMSNorm(4)).to(dtype), X.to(dtype))
    for eps in (None, 1e-3):
        model = nn.Sequential(nn.Linear(4, 4), nn.RMSNorm(4, eps=eps))
        assert sigmax.audit(model, X).lipschitz is not None


def test_a_jump_of_softplus_is_below_rounding_or_refused() -> None:
    for double, threshold, jumps in ((True, 20, True), (True, 37, False), (False, 20, False)):
        model = nn.Sequential(nn.Linear(4, 4), nn.Softplus(threshold=threshold))
        model, x = (model.double(), X.double()) if double else (model, X)
        if jumps:
            assert "threshold" in refusal(model, x)
        else:
            assert sigmax.audit(model, x).lipschitz is not None


@pytest.mark.parametrize("name", JUMPS)
def test_what_has_no_constant_is_refused(name: str) -> None:
    refusal(Of(JUMPS[name]), X)


class Counter(nn.Module):
    """Its output depends on earlier inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(4))
        self.linear = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.seen += x.detach().mean(0)
        return self.linear(x) + self.seen


def test_buffers_that_forward_changes() -> None:
    module = Counter()
    before = module.seen.clone()
    text = refusal(module, torch.randn(2, 4))
    assert "seen (buffer)" in text
    assert torch.equal(module.seen, before)


class Remembers(nn.Module):
    """The same with a plain attribute."""

    def __init__(self) -> None:
        super().__init__()
        self.last = torch.zeros(4)
        self.linear = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.linear(x) + self.last
        self.last = x.detach()[0]
        return y


class Counts(nn.Module):
    """The same with a number."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 1.0
        self.linear = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.count *= 2
        return self.linear(x) * self.count


def test_attributes_that_forward_changes() -> None:
    assert "forward sets self.last" in refusal(Remembers(), torch.randn(2, 4))
    refusal(Counts(), torch.randn(2, 4))


def test_batch_norm_without_running_statistics() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, track_running_stats=False))
    text = refusal(module, torch.randn(2, 3, 8, 8))
    assert "statistics of the batch" in text


def test_a_network_has_one_float_input() -> None:
    module = nn.Bilinear(4, 4, 4)
    assert "2 inputs" in refusal(module, (torch.randn(2, 4), torch.randn(2, 4)))
    tokens = nn.Sequential(nn.Embedding(10, 4), nn.Linear(4, 2))
    assert "int64" in refusal(tokens, torch.randint(10, (2, 3)))
    assert "expected a tensor" in refusal(nn.Linear(4, 4), "four")
    assert "expected a batch" in refusal(nn.Linear(4, 4), torch.randn(4))


def test_norms_that_divide_by_the_input_have_the_root_of_epsilon() -> None:
    def after(norm: nn.Module) -> sigmax.Report:
        linear = nn.Linear(4, 4)
        with torch.no_grad():
            linear.weight.copy_(torch.eye(4))
        return sigmax.audit(nn.Sequential(linear, norm), torch.randn(2, 4))

    norm = nn.LayerNorm(4, eps=0.25)
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([1.0, -3.0, 3.0, 0.5]))
    constant = after(norm).lipschitz
    assert constant is not None and 6.0 <= constant <= 6.0 + 1e-5  # attained at a constant x
    without = after(nn.LayerNorm(4, eps=0.0))
    assert without.lipschitz is None and "epsilon" in without.blockers[0].reason

    # Over the batch it mixes samples.
    class Mixed(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.layer_norm(x.t(), (2,)).t()

    assert after(Mixed()).lipschitz is None


def test_layers_behind_a_blocker_are_audited() -> None:
    module = nn.Sequential(nn.Linear(4, 5), Of(lambda x: x * x), nn.Linear(4, 3))
    module[1].linear = nn.Linear(5, 4)
    report = sigmax.audit(module, torch.randn(2, 4))
    assert list(report.layers) == ["0", "1.linear", "2"]
    assert [(b.name, b.kind) for b in report.blockers] == [("1/mul", "mul")]


def test_modes_are_left_as_they_were() -> None:
    module = nn.Sequential(nn.Linear(4, 4), nn.Dropout(), nn.Sequential(nn.BatchNorm1d(4), nn.Dropout()))
    module[2][0].eval()
    module[0].weight.requires_grad_(False)
    modes = [part.training for part in module.modules()]
    state = {name: value.clone() for name, value in module.state_dict().items()}
    assert sigmax.audit(module, torch.randn(5, 4)).lipschitz is not None
    sigmax.audit(module)
    assert [part.training for part in module.modules()] == modes
    assert all(torch.equal(value, state[name]) for name, value in module.state_dict().items())
    assert torch.is_grad_enabled()


def test_modes_are_left_as_they_were_where_export_fails() -> None:
    module = nn.Sequential(nn.Dropout(), Of(JUMPS["data-dependent branch"]))
    refusal(module, X)
    assert all(part.training for part in module.modules())


def test_the_random_state_is_left_alone() -> None:
    module = Of(RANDOM["noise"])
    torch.manual_seed(3)
    state = torch.get_rng_state()
    sigmax.audit(module, X)
    assert torch.equal(torch.get_rng_state(), state)


class Two(nn.Module):
    """Two outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(4, 3)
        self.b = nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor | None]]:
        return self.a(x), {"b": self.b(x), "none": None}


def test_outputs_of_a_tuple_count_together() -> None:
    module = Two()
    report = sigmax.audit(module, torch.randn(2, 4), tolerance=1e-9)
    both = torch.cat([module.a.weight, module.b.weight]).double()
    truth = float(torch.linalg.matrix_norm(both.detach(), 2))
    assert report.lipschitz is not None
    assert report.lipschitz >= truth * (1 - 1e-12)


def test_a_constant_that_is_rounded_is_refused() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(4, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return F.linear(x, self.linear.weight * 0.1)

    assert "with rounding" in refusal(Scaled(), torch.randn(2, 4))


def test_a_computed_weight_is_not_taken_for_another() -> None:
    class Doubled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.utils.parametrizations.spectral_norm(nn.Linear(4, 4))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return F.linear(x, self.linear.weight * 3.0)

    assert "with rounding" in refusal(Doubled(), torch.randn(2, 4))


def scaled(constant: torch.Tensor, dtype: torch.dtype) -> tuple[nn.Module, torch.Tensor]:
    return Of(lambda x: x * constant).to(dtype), torch.ones(2, 4, dtype=dtype)


def test_a_constant_that_torch_rounds_is_refused() -> None:
    for constant, dtype in (
        (torch.tensor([259, 1, 1, 1]), torch.bfloat16),
        (torch.tensor([2**24 + 1, 1, 1, 1]), torch.float32),
        (torch.tensor(0.1, dtype=torch.float64), torch.float32),
        (torch.tensor(1e-46, dtype=torch.float64), torch.float32),
    ):
        assert "rounded" in refusal(*scaled(constant, dtype))
    for constant, dtype in (
        (torch.tensor([256, 1, 1, 1]), torch.bfloat16),
        (torch.tensor(0.5, dtype=torch.float64), torch.float32),
        (torch.tensor(0.1), torch.float32),
    ):
        assert sigmax.audit(*scaled(constant, dtype)).lipschitz is not None


def test_positions_that_torch_rounds_are_refused() -> None:
    x = torch.randn(1, 1, 3)
    assert "41" in refusal(nn.Sequential(nn.Conv1d(1, 1, 1), nn.Upsample(scale_factor=41)), x)
    assert sigmax.audit(nn.Sequential(nn.Conv1d(1, 1, 1), nn.Upsample(scale_factor=4)), x).lipschitz > 0


class DataParallel(nn.Module):
    """Named as a wrapper of torch, and none."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 10 * self.module(x)


def test_only_wrappers_of_torch_are_taken_off() -> None:
    inner = nn.Linear(4, 4)
    norm = torch.linalg.matrix_norm(inner.weight.double(), 2).item()
    assert sigmax.audit(DataParallel(inner), X).lipschitz >= 10 * norm
    wrapped = nn.DataParallel(inner)
    assert sigmax.audit(wrapped, X).lipschitz < 1.01 * norm
    wrapped.register_forward_hook(lambda module, x, y: 10 * y)
    found = sigmax.audit(wrapped, X).lipschitz
    assert found is None or found >= 10 * norm


ASKS = {
    "export": lambda x: x if torch.compiler.is_exporting() or torch.compiler.is_compiling() else 100 * x,
    "gradients": lambda x: 3 * x if torch.is_grad_enabled() else x,
    "how many": lambda x: x if torch.compiler.is_exporting() or torch.compiler.is_compiling() else (x, x),
}


@pytest.mark.parametrize("name", ASKS)
def test_a_graph_of_other_values_is_refused(name: str) -> None:
    assert "other values" in refusal(Of(ASKS[name]), X)


def test_a_forward_of_an_instance_is_not_that_of_its_class() -> None:
    layer = nn.Linear(4, 4)
    assert sigmax.audit(nn.Sequential(layer)).layers
    layer.forward = lambda x: 5 * x  # type: ignore[method-assign]
    assert not sigmax.audit(nn.Sequential(layer)).layers
