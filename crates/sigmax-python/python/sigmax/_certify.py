"""Radii inside which a classification cannot change."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from sigmax import _core
from sigmax._numbers import Upper, upper
from sigmax._program import Array, Program

__all__ = ["Certification", "Certifier", "FileCertification"]

FloatArray = npt.NDArray[np.float64]

_Floats = Sequence[float] | float


def numbers(values: _Floats | None) -> list[float]:
    if values is None:
        return []
    if isinstance(values, (int, float)):
        return [float(values)]
    return [float(value) for value in values]


def as_array(values: Any) -> Array:
    """An array of images as numpy has it: tensors of torch go without a copy where they can."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        if str(values.dtype) in ("torch.bfloat16", "torch.float16"):
            values = values.float()
        values = values.numpy()
    found = np.asarray(values)
    return found.astype(np.float32) if found.dtype == np.float16 else found


class Certification:
    """What was proved of arrays of images: one entry of each array per image."""

    def __init__(
        self,
        columns: Mapping[str, Any],
        labels: Array,
        eps: list[float],
        lipschitz: float,
        no_curvature: str | None,
    ) -> None:
        self.radius: FloatArray = columns["radius"]
        """A proved lower bound of the l2 distance to an input of another class; 0: nothing is proved."""
        self.radius_by_constants: FloatArray = columns["radius_by_constants"]
        """The same from Lipschitz constants alone."""
        self.adversarial: FloatArray = columns["adversarial"]
        """A proved upper bound of the distance to an input of another class; NaN: none is known."""
        self.margin: FloatArray = columns["margin"]
        """A proved lower bound of the logit of the label minus any other."""
        self.prediction: npt.NDArray[np.int64] = columns["prediction"]
        """The class as evaluated."""
        self.method: list[str] = list(columns["method"])
        """What each radius follows from: ``global``, ``curvature`` or ``local``."""
        self.labels = labels
        self.eps = eps
        self.lipschitz: Upper = upper(lipschitz)
        self.no_curvature: str | None = no_curvature
        """Why the curvature of the network is not used, where it was asked for."""

    def __len__(self) -> int:
        return len(self.radius)

    @property
    def correct(self) -> npt.NDArray[np.bool_]:
        """Which images are given their label, as evaluated."""
        return np.asarray(self.prediction == self.labels)

    def certified(self, eps: float) -> npt.NDArray[np.bool_]:
        """Which images are proved to keep their class within ``eps``; 0: at the image itself."""
        return np.asarray((self.radius > 0.0) & (self.radius >= eps))

    def summary(self) -> dict[str, Any]:
        """Counts, as a dict."""
        return {
            "images": len(self),
            "correct": int(self.correct.sum()),
            "certified": {eps: int(self.certified(eps).sum()) for eps in [0.0, *self.eps]},
            "lipschitz": self.lipschitz,
        }

    def __repr__(self) -> str:
        return f"<Certification {self.summary()}>"


class FileCertification:
    """What was proved of a file or folder of images, by a model file."""

    def __init__(self, found: _core.Certification, eps: list[float]) -> None:
        self._found = found
        self.eps = eps
        self.radius: FloatArray = found.radii()
        """A proved lower bound of the distance to an input of another class; 0: nothing is proved."""
        self.adversarial: FloatArray = found.adversarial()
        """A proved upper bound of it; NaN: none is known."""
        self.lipschitz: Upper = upper(found.lipschitz)

    def __len__(self) -> int:
        return self._found.total

    def certified(self, eps: float) -> int:
        """The number of images that are proved to keep their class within ``eps``."""
        return self._found.certified(eps)

    def summary(self) -> dict[str, Any]:
        """Counts, as a dict."""
        return {
            "images": len(self),
            "correct": self._found.correct,
            "certified": {eps: self.certified(eps) for eps in [0.0, *self.eps]},
            "lipschitz": self.lipschitz,
        }

    def to_json(self) -> str:
        """The summary as JSON (docs/json.md)."""
        return self._found.json()

    def to_dict(self) -> dict[str, Any]:
        """The parsed JSON."""
        parsed: dict[str, Any] = json.loads(self._found.json())
        return parsed

    def to_html(self) -> str:
        """The summary as one HTML page."""
        return self._found.html()

    def __str__(self) -> str:
        return self._found.text(100)

    def __repr__(self) -> str:
        return f"<FileCertification {self.summary()}>"


class Certifier:
    """Certifies batches of images: a callable from dicts of arrays to dicts of arrays.

    That is what Ray Data's ``map_batches``, Dask and Spark workers take. It can be pickled; the constants
    of the network are proved once in each process, when the first batch comes.

    Args:
        model: an ONNX file (a path or its bytes), or a module with an ``example`` input.
        example: a batch that the module takes.
        eps: distances at which bounds around images are tried, and the columns ``certified_EPS``.
        mean, std: the normalisation that the network is behind: one number, or one per channel.
        method: ``best``, ``global``, ``curvature`` or ``local``.
        only_eps: whether radii are only searched up to the largest of ``eps``.
        layout: ``chw`` or ``hwc``: where the channels of ``mean`` and ``std`` are.
        pixel_range: between which numbers floats lie; the default is 0 to 1, or with ``mean`` or ``std``
            anything.
        valid_pixels: whether only inputs count whose values are in that range, as those of pictures are.
        image, label, prefix: the names of the columns that are read, and what those that are added begin
            with.

    Images are ``[n, ...]`` with the shape of the network's input: uint8, which is divided by 255, or
    float32 or float64 as they are. Radii are distances in these units, before the normalisation.
    """

    def __init__(
        self,
        model: object,
        example: object | None = None,
        *,
        eps: _Floats = (),
        mean: _Floats | None = None,
        std: _Floats | None = None,
        method: str = "best",
        only_eps: bool = False,
        layout: str = "chw",
        pixel_range: tuple[float, float] | None = None,
        valid_pixels: bool = False,
        tolerance: float = 1e-3,
        budget: float | None = None,
        image_budget: float | None = None,
        threads: int | None = None,
        input_size: Sequence[int] | None = None,
        no_batch: bool = False,
        image: str = "image",
        label: str = "label",
        prefix: str = "",
    ) -> None:
        from sigmax._open import source_of

        self._source = source_of(model, example, input_size=input_size, no_batch=no_batch)
        if isinstance(self._source, Program):
            self._source = self._source.detached()
        self.eps = numbers(eps)
        means, stds = numbers(mean), numbers(std)
        count = max(len(means), len(stds))
        means, stds = _spread(means, 0.0, count, "mean"), _spread(stds, 1.0, count, "std")
        self._range = pixel_range
        self._normalised = count > 0
        low, high = pixel_range or (0.0, 1.0)
        self._options: dict[str, Any] = {
            "mean": means,
            "std": stds,
            "layout": layout,
            "method": method,
            "eps": self.eps,
            "only_eps": only_eps,
            "valid_range": [low, high] if valid_pixels else None,
            "tolerance": tolerance,
            "budget": budget,
            "image_budget": image_budget,
            "threads": threads,
        }
        self._columns = (image, label, prefix)
        self._core: _core.Certifier | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_core": None}

    def prove(self, progress: Callable[[int, int], object] | None = None) -> Upper:
        """Proves the constants now, if that is not done: the Lipschitz constant of the network."""
        if self._core is None:
            model = self._source.model()
            self._core = _core.Certifier(model, progress=progress, **self._options)
        return upper(self._core.lipschitz)

    def certify(
        self,
        images: Any,
        labels: Any,
        progress: Callable[[int, int], object] | None = None,
    ) -> Certification:
        """Certifies images with their labels."""
        constant = self.prove(progress)
        assert self._core is not None
        pixels = np.ascontiguousarray(as_array(images))
        self._check_range(pixels)
        classes = as_array(labels).reshape(-1)
        if not np.issubdtype(classes.dtype, np.integer):
            raise _core.Error(f"labels are {classes.dtype}; expected integers")
        if classes.size and int(classes.min()) < 0:
            raise _core.Error("a label is negative")
        found = self._core.certify(pixels, [int(c) for c in classes], progress)
        return Certification(found, classes, self.eps, constant, self._core.no_curvature)

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """The batch with the columns ``radius``, ``prediction``, ``correct``, ``margin``, and
        ``certified_EPS`` for each distance."""
        image, label, prefix = self._columns
        found = self.certify(batch[image], batch[label])
        added: dict[str, Any] = {
            "radius": found.radius,
            "prediction": found.prediction,
            "correct": found.correct,
            "margin": found.margin,
        }
        for eps in self.eps:
            added[f"certified_{eps:g}"] = found.certified(eps)
        return {**batch, **{prefix + name: column for name, column in added.items()}}

    def _check_range(self, pixels: Array) -> None:
        if pixels.dtype == np.uint8 or pixels.size == 0:
            if self._range is not None and pixels.dtype == np.uint8:
                raise _core.Error("pixel_range is for floats; bytes are divided by 255")
            return
        if self._range is None and self._normalised:
            return
        low, high = self._range or (0.0, 1.0)
        least, most = float(pixels.min()), float(pixels.max())
        if least < low or most > high:
            raise _core.Error(
                f"the values of the images go from {least} to {most}, and distances are meant for pixels "
                f"from {low} to {high}: divide them, or say that these are the units by pixel_range"
            )


def _spread(values: list[float], usual: float, count: int, name: str) -> list[float]:
    if not values:
        return [usual] * count
    if len(values) == 1:
        return values * count
    if len(values) != count:
        raise _core.Error(f"{name} has {len(values)} values; expected one, or {count}")
    return values


def file_certification(
    model: _core.Model,
    images: str | os.PathLike[str],
    labels: str | os.PathLike[str] | None,
    asked: dict[str, Any],
    run: dict[str, Any],
) -> FileCertification:
    asked = {**asked, "labels": labels}
    return FileCertification(_core.certify(model, images, asked, **run), asked["eps"])
