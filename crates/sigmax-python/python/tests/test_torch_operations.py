"""How many operations a step takes, and that it is static: the times are in
`benchmarks/penalty_overhead.py`."""

from __future__ import annotations

import pytest
import torch
from torch_helpers import QUANTITIES, SYNCHRONISING, ResNet, counted

from sigmax.torch import SpectralPenalty


@pytest.mark.parametrize("quantity", QUANTITIES)
def test_at_most_80_and_80_operations_for_a_resnet_32(quantity: str) -> None:
    model = ResNet(5)
    penalty = SpectralPenalty(model, quantity=quantity, initial_steps=2)
    addresses = [buffer.data_ptr() for buffer in penalty.buffers()]
    penalty(model).backward()
    # Gradients are there, as after the backward pass of a loss.
    value, forward = counted(lambda: penalty(model))
    _, backward = counted(value.backward)
    assert forward.total <= 80, forward.counts
    assert backward.total <= 80, backward.counts
    assert not SYNCHRONISING & (forward.counts.keys() | backward.counts.keys())
    assert addresses == [buffer.data_ptr() for buffer in penalty.buffers()]


@pytest.mark.parametrize("quantity", QUANTITIES)
@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_compiles_without_breaks(quantity: str, backend: str) -> None:
    torch._dynamo.reset()
    model = ResNet(1, 8)
    eager, compiled = (SpectralPenalty(model, quantity=quantity) for _ in range(2))
    step = torch.compile(lambda: compiled(model), fullgraph=True, backend=backend)
    for _ in range(3):
        model.zero_grad()
        expected = eager(model)
        expected.backward()
        gradients = [p.grad.clone() for p in model.parameters() if p.grad is not None]
        model.zero_grad()
        value = step()
        value.backward()
        torch.testing.assert_close(value, expected)
        for x, y in zip(gradients, (p.grad for p in model.parameters() if p.grad is not None), strict=True):
            torch.testing.assert_close(x, y)


def test_compiles_with_the_loss_once() -> None:
    """One graph for loss and penalty, and no recompilation from step to step."""
    torch._dynamo.reset()
    torch.manual_seed(0)
    model = ResNet(1, 8)
    penalty = SpectralPenalty(model, quantity="norm", rescan_every=2)
    graphs = []

    def backend(graph, example):
        graphs.append(graph)
        return graph

    @torch.compile(fullgraph=True, backend=backend)
    def loss(images):
        return model(images).square().mean() + penalty(model)

    for _ in range(5):
        loss(torch.randn(2, 3, 8, 8)).backward()
    assert len(graphs) == 1
