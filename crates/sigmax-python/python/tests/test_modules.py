"""Certifications by modules."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import sigmax


def classifier() -> nn.Module:
    torch.manual_seed(4)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Softplus(), nn.Flatten(), nn.Linear(4 * 36, 3))


def images(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(5)
    return torch.rand(count, 3, 8, 8), torch.randint(3, (count,))


@pytest.mark.parametrize("method", ["global", "curvature", "local", "best"])
def test_gradient_attacks_find_nothing_inside_of_a_radius(method: str) -> None:
    module = classifier()
    mean, std = [0.4, 0.5, 0.6], [0.2, 0.25, 0.3]
    pixels, _ = images(6)
    space = [torch.tensor(v).reshape(3, 1, 1).double() for v in (mean, std)]
    exact = classifier().double()

    def logits(x: torch.Tensor) -> torch.Tensor:
        return exact((x - space[0]) / space[1])

    with torch.no_grad():
        labels = logits(pixels.double()).argmax(1)
    found = sigmax.certify(module, pixels, labels, eps=[0.01, 0.1], mean=mean, std=std, method=method)
    assert found.correct.all()
    assert (found.radius > 0).all()
    assert module.training
    for image, label, radius in zip(pixels.double(), labels, found.radius, strict=True):
        step = torch.zeros_like(image)
        for _ in range(20):
            step.requires_grad_(True)
            z = logits((image + step)[None])[0]
            others = torch.cat([z[:label], z[label + 1 :]])
            (gradient,) = torch.autograd.grad(others.max() - z[label], step)
            step = (step + 0.3 * radius * gradient / gradient.norm()).detach()
            step = step * min(1.0, radius / float(step.norm()))
            assert int(logits((image + step)[None]).argmax()) == int(label)


def test_a_pickled_certifier_needs_no_torch(tmp_path: Path) -> None:
    module = classifier()
    pixels, labels = images(3)
    certifier = sigmax.Certifier(module, pixels[:1], eps=[0.1], method="global")
    wanted = certifier({"image": pixels, "label": labels})
    kept = pickle.dumps(certifier)
    with torch.no_grad():
        module[0].weight.zero_()
    # What becomes of the module does not change it.
    again = pickle.loads(kept)({"image": pixels, "label": labels})
    assert np.array_equal(again["radius"], wanted["radius"])
    (tmp_path / "certifier").write_bytes(kept)
    np.savez(tmp_path / "batch.npz", image=pixels.numpy(), label=labels.numpy(), radius=wanted["radius"])
    code = """
import pickle, sys, numpy as np
sys.modules["torch"] = None
certifier = pickle.load(open("certifier", "rb"))
batch = np.load("batch.npz")
out = certifier({"image": batch["image"], "label": batch["label"]})
assert np.array_equal(out["radius"], batch["radius"])
"""
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)


def test_what_a_module_cannot_be_certified_for() -> None:
    pixels, labels = images(2)
    with pytest.raises(sigmax.Error, match="statistics of the batch"):
        broken = nn.Sequential(nn.BatchNorm2d(3, track_running_stats=False), nn.Flatten(), nn.Linear(192, 3))
        sigmax.certify(broken, pixels, labels)
    with pytest.raises(sigmax.Error, match="method"):
        sigmax.certify(classifier(), pixels, labels, method="all")
    relu = nn.Sequential(nn.Flatten(), nn.Linear(192, 8), nn.ReLU(), nn.Linear(8, 3))
    with pytest.raises(sigmax.Error, match="Relu"):
        sigmax.certify(relu, pixels, labels, method="curvature")
    assert "Relu" in str(sigmax.certify(relu, pixels, labels).no_curvature)
    with pytest.raises(sigmax.Error, match="mean"):
        sigmax.certify(relu, pixels, labels, mean=[0.1, 0.2], std=[1.0, 1.0, 1.0])


def test_bytes_and_floats_of_half_precision() -> None:
    module = classifier()
    pixels, labels = images(2)
    bytes_ = (pixels * 255).round().to(torch.uint8)
    a = sigmax.certify(module, bytes_, labels, method="global")
    b = sigmax.certify(module, bytes_.double() / 255, labels, method="global")
    assert a.radius == pytest.approx(b.radius, rel=1e-6)
    sigmax.certify(module, pixels.half(), labels, method="global")


def test_two_modules_are_compared() -> None:
    a, b = classifier(), classifier()
    with torch.no_grad():
        b[3].weight.mul_(2)
    found = sigmax.compare(a, b, torch.zeros(1, 3, 8, 8)).to_dict()
    pair = next(pair for pair in found["layers"] if pair["name"] == "3")
    assert pair["quotient"][0] == pytest.approx(2, rel=1e-2)
