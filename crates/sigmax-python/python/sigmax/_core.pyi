"""The compiled part of sigmax."""

from collections.abc import Callable, Sequence
from os import PathLike
from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt

__version__: str

_Path = str | PathLike[str]
_Progress = Callable[[int, int], object] | None
_Array = npt.NDArray[Any]

class Error(ValueError):
    """What was given is wrong, or is not covered: the text says what, and what helps."""

class NotConfirmed(Error):
    """A file of certificates states something that does not follow."""

class Geometry(TypedDict):
    """The geometry of a convolution; of a dense layer all lists are empty."""

    stride: Sequence[int]
    padding: Sequence[tuple[int, int]]
    padding_mode: str
    dilation: Sequence[int]
    groups: int
    transposed: bool
    output_padding: Sequence[int]
    input_size: Sequence[int] | None

class Weight:
    """The weight of a layer: an array, or computed from factors with the error of that enclosed."""

    @staticmethod
    def exact(array: _Array) -> Weight: ...
    @staticmethod
    def spectral_norm(array: _Array, u: _Array, v: _Array) -> Weight: ...
    @staticmethod
    def weight_norm(v: _Array, g: _Array, axis: int | None, transposed: bool) -> Weight: ...
    @property
    def shape(self) -> list[int]: ...

class Model:
    """A model: a file, the bytes of one, or what a builder made."""

    @staticmethod
    def from_path(
        path: _Path,
        *,
        input_size: Sequence[int] | None = None,
        no_batch: bool = False,
        geometry: str | None = None,
    ) -> Model: ...
    @staticmethod
    def from_bytes(
        name: str,
        bytes: bytes,
        *,
        input_size: Sequence[int] | None = None,
        no_batch: bool = False,
        geometry: str | None = None,
    ) -> Model: ...
    def evaluate(self, inputs: _Array) -> tuple[list[npt.NDArray[np.float64]], list[float]]:
        """The first output of the network in f64 for inputs ``[n, ...]``, one flat row each, and a proved
        bound of the l2 distance of each row to the exact value."""

class Builder:
    """Builds a model. Nodes are numbers, the input is 0; shapes are those of one sample."""

    def __init__(self, shape: Sequence[int] | None = None) -> None: ...
    def shape(self, x: int) -> list[int]: ...
    def conv(
        self,
        name: str,
        tensor: str,
        x: int | None,
        weight: Weight,
        bias: _Array | None,
        geometry: Geometry,
        notes: Sequence[str] = (),
    ) -> int | None: ...
    def dense(
        self,
        name: str,
        tensor: str,
        x: int | None,
        weight: Weight,
        bias: _Array | None,
        notes: Sequence[str] = (),
    ) -> int | None: ...
    def batch_norm(
        self,
        name: str,
        x: int,
        gamma: _Array,
        beta: _Array,
        mean: _Array,
        variance: _Array,
        epsilon: float,
    ) -> int: ...
    def affine(self, name: str, x: int, scale: _Array, shift: _Array) -> int: ...
    def quotient(self, name: str, x: int, by: _Array) -> int: ...
    def reshape(self, name: str, x: int, shape: Sequence[int]) -> int: ...
    def transpose(self, name: str, x: int, axes: Sequence[int]) -> int: ...
    def pick(self, name: str, x: int, along: Sequence[Sequence[int | None]], fill: float) -> int: ...
    def pad(self, name: str, x: int, amounts: Sequence[tuple[int, int]], mode: str, fill: float) -> int: ...
    def max_pool(
        self,
        name: str,
        x: int,
        kernel: Sequence[int],
        stride: Sequence[int],
        padding: Sequence[int],
        dilation: Sequence[int],
        ceil: bool,
    ) -> int: ...
    def average_pool(
        self,
        name: str,
        x: int,
        kernel: Sequence[int],
        stride: Sequence[int],
        padding: Sequence[int],
        ceil: bool,
        count_padding: bool,
    ) -> int: ...
    def means(self, name: str, x: int, groups: Sequence[Sequence[Sequence[int]] | None]) -> int: ...
    def mean(self, name: str, x: int, axes: Sequence[int]) -> int: ...
    def sum(self, name: str, x: int, axes: Sequence[int]) -> int: ...
    def interpolate(
        self,
        name: str,
        x: int,
        size: Sequence[int],
        align_corners: bool,
        cubic: float | None = None,
        antialias: bool = False,
    ) -> int: ...
    def activation(self, name: str, x: int, function: str, parameters: Sequence[float] = ()) -> int: ...
    def prelu(self, name: str, x: int, slopes: _Array) -> int: ...
    def normalise(self, name: str, x: int, axis: int, centred: bool, epsilon: float) -> int: ...
    def softmax(self, name: str, x: int, axis: int, logarithm: bool) -> int: ...
    def combine(self, name: str, inputs: Sequence[int], how: str) -> int: ...
    def concat(self, name: str, inputs: Sequence[int], axis: int) -> int: ...
    def skip(self, kind: str, name: str) -> None: ...
    def refuse(self, name: str, kind: str, reason: str) -> None: ...
    def block(self, name: str, kind: str, reason: str) -> None: ...
    def model(self, name: str, outputs: Sequence[int], precision: int, notes: Sequence[str]) -> Model: ...

class Report:
    """What an audit found."""

    def json(self) -> str: ...
    def html(self) -> str: ...
    def csv(self) -> str: ...
    def text(self, width: int | None = None) -> str: ...
    def frobenius(self) -> list[tuple[str, float]]: ...

class Comparison:
    """Two models layer by layer."""

    def json(self) -> str: ...
    def text(self, width: int | None = None) -> str: ...

class Certifier:
    """A network whose constants are proved."""

    def __init__(
        self,
        model: Model,
        *,
        mean: Sequence[float],
        std: Sequence[float],
        layout: str,
        method: str,
        eps: Sequence[float],
        only_eps: bool = False,
        valid_range: Sequence[float] | None = None,
        tolerance: float = 1e-3,
        budget: float | None = None,
        image_budget: float | None = None,
        threads: int | None = None,
        progress: _Progress = None,
    ) -> None: ...
    @property
    def classes(self) -> int: ...
    @property
    def input(self) -> list[int]: ...
    @property
    def lipschitz(self) -> float: ...
    @property
    def no_curvature(self) -> str | None: ...
    def certify(
        self, images: _Array, labels: Sequence[int], progress: _Progress = None
    ) -> dict[str, Any]: ...

class Certification:
    """What was proved of a set of images."""

    def json(self) -> str: ...
    def html(self) -> str: ...
    def text(self, width: int | None = None) -> str: ...
    def radii(self) -> npt.NDArray[np.float64]: ...
    def adversarial(self) -> npt.NDArray[np.float64]: ...
    @property
    def total(self) -> int: ...
    @property
    def correct(self) -> int: ...
    @property
    def lipschitz(self) -> float: ...
    def certified(self, eps: float) -> int: ...

def audit(
    model: Model,
    *,
    tolerance: float = 1e-3,
    budget: float | None = None,
    threads: int | None = None,
    only: Sequence[str] = (),
    exclude: Sequence[str] = (),
    max_norm: float | None = None,
    max_lipschitz: float | None = None,
    network: bool = True,
    progress: _Progress = None,
) -> Report: ...
def compare(
    a: Model,
    b: Model,
    *,
    tolerance: float = 1e-3,
    budget: float | None = None,
    threads: int | None = None,
    progress: _Progress = None,
) -> Comparison: ...
def certify(
    model: Model,
    images: _Path,
    asked: dict[str, Any],
    *,
    certificates: _Path | None = None,
    resume: bool = False,
    budget: float | None = None,
    threads: int | None = None,
    progress: _Progress = None,
) -> Certification: ...
def check(
    certificates: _Path, model: _Path, *, budget: float | None = None, threads: int | None = None
) -> tuple[int, int]: ...
def merge(parts: Sequence[_Path], output: _Path) -> int: ...
def conv_norm(
    weight: _Array,
    *,
    stride: Sequence[int],
    padding: Sequence[int | tuple[int, int]],
    dilation: Sequence[int],
    groups: int,
    transposed: bool,
    output_padding: Sequence[int],
    padding_mode: str,
    input_size: Sequence[int] | None = None,
    tolerance: float = 1e-3,
) -> tuple[float, float]:
    """The l2 norm of a layer between two proved ends; a 2D array is a dense layer.

    Over all input sizes with zero padding, at ``input_size`` with circular padding; with the other modes the
    upper end bounds the layer and the lower end is that of zero padding.
    """

def main(args: Sequence[str]) -> int:
    """The command ``sigmax`` with these arguments, the first of which is its own name."""
