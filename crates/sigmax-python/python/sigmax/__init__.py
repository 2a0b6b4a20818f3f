"""Proved bounds on the norms of layers, the Lipschitz constants of networks, and radii of images.

    report = sigmax.audit(model, example)        # a torch.nn.Module, a path, or the bytes of a file
    report.layers["layer1.0.conv1"].norm.upper   # floats that know what they claim
    report.lipschitz, report.blockers

``sigmax.torch`` has a penalty and a parametrization for training; it needs torch, the rest does not.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

from sigmax import _core
from sigmax._certify import Certification, Certifier, FileCertification, file_certification, numbers
from sigmax._core import Error, NotConfirmed, __version__
from sigmax._numbers import Bracket, Estimate, Lower, Upper
from sigmax._open import core_model
from sigmax._report import Blocker, Comparison, Layer, Report

__all__ = [
    "Blocker",
    "Bracket",
    "Certification",
    "Certifier",
    "Comparison",
    "Error",
    "Estimate",
    "FileCertification",
    "Layer",
    "Lower",
    "NotConfirmed",
    "Report",
    "Upper",
    "__version__",
    "audit",
    "certify",
    "check",
    "compare",
    "merge",
]

_Path = str | os.PathLike[str]
_Floats = Sequence[float] | float
_Progress = Callable[[int, int], object]


def audit(
    model: object,
    example: object | None = None,
    *,
    tolerance: float = 1e-3,
    budget: float | None = None,
    threads: int | None = None,
    only: Sequence[str] = (),
    exclude: Sequence[str] = (),
    network: bool = True,
    input_size: Sequence[int] | None = None,
    no_batch: bool = False,
    layers: _Path | None = None,
    progress: _Progress | None = None,
) -> Report:
    """Norms of all layers between two proved ends, and the Lipschitz constant of the network.

    Args:
        model: a path or the bytes of an ONNX, safetensors or PyTorch file, or a ``torch.nn.Module``.
        example: for a module, a batch of inputs that it takes; its values do not matter. Without one
            only the layers are audited.
        tolerance: the relative width to which norms are proved.
        budget: seconds for the whole run; what is not finished then is proved, only wider.
        threads: how many to use; all cores by default.
        only: names or patterns of the layers to audit.
        exclude: names or patterns of layers to leave out of these, a mask for instance; the network has them
            all the same.
        network: whether the network as a whole is looked at.
        input_size: for ONNX files, the spatial size of the input where the file leaves it open.
        no_batch: for ONNX files, that axis 0 of the input is no batch: every axis is one of the sample.
        layers: for files without a graph, a TOML file that states strides, groups and so on.
        progress: called with the number of layers that are done, and of all.

    A module is looked at in eval mode, and every submodule is left in the mode that it was in. What is
    proved is about real arithmetic with the parameters as they are stored.

    Raises:
        Error: what was given is wrong; the text says what is expected.
    """
    options: dict[str, Any] = {
        "tolerance": tolerance,
        "budget": budget,
        "threads": threads,
        "only": list(only),
        "exclude": list(exclude),
        "network": network,
    }
    found = core_model(model, example, input_size=input_size, no_batch=no_batch, layers=layers)
    return Report(_core.audit(found, progress=progress, **options))


def compare(
    a: object,
    b: object,
    example: object | None = None,
    *,
    tolerance: float = 1e-3,
    budget: float | None = None,
    threads: int | None = None,
    layers: _Path | None = None,
    progress: _Progress | None = None,
) -> Comparison:
    """Two models layer by layer; ``example`` is for those that are modules."""
    from sigmax._open import is_module

    first, second = (
        core_model(model, example if is_module(model) else None, layers=layers) for model in (a, b)
    )
    options: dict[str, Any] = {"tolerance": tolerance, "budget": budget, "threads": threads}
    return Comparison(_core.compare(first, second, progress=progress, **options))


def certify(
    model: object,
    images: Any,
    labels: Any = None,
    *,
    example: object | None = None,
    eps: _Floats = (),
    mean: _Floats | None = None,
    std: _Floats | None = None,
    method: str = "best",
    only_eps: bool = False,
    layout: str | None = None,
    pixel_range: tuple[float, float] | None = None,
    valid_pixels: bool = False,
    input_size: Sequence[int] | None = None,
    no_batch: bool = False,
    tolerance: float = 1e-3,
    budget: float | None = None,
    image_budget: float | None = None,
    threads: int | None = None,
    float32: bool = False,
    limit: int | None = None,
    shard: tuple[int, int] | None = None,
    constants: _Path | None = None,
    certificates: _Path | None = None,
    resume: bool = False,
    progress: _Progress | None = None,
) -> Certification | FileCertification:
    """Proved lower bounds of the l2 distances from images to inputs of another class.

    With arrays of images, ``[n, ...]`` of the shape of the network's input, the model may be a module
    (images of its own input stand for the ``example`` where none is given), a path or bytes; see
    :class:`Certifier`. With the path of a file or folder of images the model is an ONNX file: then
    ``certificates`` names a file that ``check`` confirms later, which ``shard``, ``constants`` and
    ``resume`` go with.
    """
    if isinstance(images, (str, os.PathLike)):
        if labels is not None and not isinstance(labels, (str, os.PathLike)):
            raise _core.Error("the labels of a file of images are a file too, or with the images")
        found = core_model(model, example, input_size=input_size, no_batch=no_batch)
        asked = {
            "limit": limit,
            "shard": shard,
            "constants": constants,
            "eps": numbers(eps),
            "mean": numbers(mean),
            "std": numbers(std),
            "layout": layout,
            "pixel_range": None if pixel_range is None else list(pixel_range),
            "valid_pixels": valid_pixels,
            "tolerance": tolerance,
            "float32": float32,
            "method": method,
            "only_eps": only_eps,
            "image_budget": image_budget,
        }
        run = {
            "certificates": certificates,
            "resume": resume,
            "budget": budget,
            "threads": threads,
            "progress": progress,
        }
        return file_certification(found, images, labels, asked, run)
    of_files = {
        "certificates": certificates,
        "constants": constants,
        "shard": shard,
        "limit": limit,
        "float32": float32 or None,
        "resume": resume or None,
    }
    given = [name for name, value in of_files.items() if value is not None]
    if given:
        raise _core.Error(
            f"{', '.join(given)}: certificates name files by their digests; give a file or folder of images "
            "and an ONNX file"
        )
    if labels is None:
        raise _core.Error("arrays of images need labels")
    from sigmax._open import is_module

    if is_module(model) and example is None:
        import torch

        from sigmax._certify import as_array

        # Of images of bytes too, the network takes floats.
        like = next((p for p in model.parameters() if p.is_floating_point()), torch.zeros(1))  # type: ignore[attr-defined]
        example = torch.zeros(as_array(images[:1]).shape, dtype=like.dtype, device=like.device)
    certifier = Certifier(
        model,
        example,
        eps=eps,
        mean=mean,
        std=std,
        method=method,
        only_eps=only_eps,
        layout=layout or "chw",
        pixel_range=pixel_range,
        valid_pixels=valid_pixels,
        tolerance=tolerance,
        budget=budget,
        image_budget=image_budget,
        threads=threads,
        input_size=input_size,
        no_batch=no_batch,
    )
    return certifier.certify(images, labels, progress)


def check(
    certificates: _Path,
    model: _Path,
    *,
    budget: float | None = None,
    threads: int | None = None,
) -> tuple[int, int]:
    """Confirms a file of certificates by other means than it was made with.

    Returns:
        The number of its images, and of those with a radius above 0.

    Raises:
        NotConfirmed: something in the file does not follow.
    """
    return _core.check(certificates, model, budget=budget, threads=threads)


def merge(parts: Sequence[_Path], output: _Path) -> int:
    """Puts the certificates of all shards together; returns the number of images."""
    return _core.merge(list(parts), output)
