"""What a model may be given as."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sigmax import _core
from sigmax._program import Program


@dataclass(frozen=True)
class File:
    """A file."""

    path: str
    input_size: list[int] | None = None
    no_batch: bool = False
    geometry: str | None = None

    def model(self) -> _core.Model:
        return _core.Model.from_path(
            self.path, input_size=self.input_size, no_batch=self.no_batch, geometry=self.geometry
        )


@dataclass(frozen=True)
class Bytes:
    """The bytes of a file."""

    content: bytes
    input_size: list[int] | None = None
    no_batch: bool = False
    geometry: str | None = None

    def model(self) -> _core.Model:
        return _core.Model.from_bytes(
            "the given bytes",
            self.content,
            input_size=self.input_size,
            no_batch=self.no_batch,
            geometry=self.geometry,
        )


Source = File | Bytes | Program


def is_module(model: object) -> bool:
    """Whether it is a module of torch, which is not imported for that."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(model, torch.nn.Module)


def source_of(
    model: object,
    example: object | None = None,
    *,
    input_size: Sequence[int] | None = None,
    no_batch: bool = False,
    layers: str | os.PathLike[str] | None = None,
) -> Source:
    """Where a model is read from."""
    size = None if input_size is None else [int(n) for n in input_size]
    if is_module(model):
        if size is not None or no_batch or layers is not None:
            raise _core.Error("a module has its own geometry: input_size, no_batch and layers are for files")
        from sigmax._lower import program_of

        return program_of(model, example)[0].program  # type: ignore[arg-type]
    if example is not None:
        raise _core.Error("an example is for modules; a file has its graph, or none")
    geometry = None if layers is None else Path(layers).read_text(encoding="utf-8")
    if isinstance(model, (bytes, bytearray, memoryview)):
        return Bytes(bytes(model), size, no_batch, geometry)
    if isinstance(model, (str, os.PathLike)):
        return File(os.fspath(model), size, no_batch, geometry)
    raise TypeError(
        f"the model is a {type(model).__name__}; expected a path, the bytes of a file, or a torch.nn.Module"
    )


def core_model(
    model: object,
    example: object | None = None,
    *,
    input_size: Sequence[int] | None = None,
    no_batch: bool = False,
    layers: str | os.PathLike[str] | None = None,
) -> _core.Model:
    """The model, opened once."""
    if is_module(model) and input_size is None and not no_batch and layers is None:
        from sigmax._lower import program_of

        return program_of(model, example)[1]  # type: ignore[arg-type]
    source = source_of(model, example, input_size=input_size, no_batch=no_batch, layers=layers)
    return source.model()
