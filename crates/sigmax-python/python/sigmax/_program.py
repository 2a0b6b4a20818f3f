"""A model as calls of a builder: made once from a module, replayed wherever the core is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from sigmax import _core

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Recipe:
    """A weight: an array, or factors that it is computed from."""

    kind: str
    arguments: tuple[Any, ...]

    def core(self) -> _core.Weight:
        made: _core.Weight = getattr(_core.Weight, self.kind)(*self.arguments)
        return made


@dataclass
class Program:
    """Calls of :class:`sigmax._core.Builder`, with the arrays that they take."""

    shape: tuple[int, ...] | None
    calls: list[tuple[str, tuple[Any, ...]]] = field(default_factory=list)
    end: tuple[Any, ...] = ()

    def model(self) -> _core.Model:
        """Replays the calls."""
        builder = _core.Builder(self.shape)
        for method, arguments in self.calls:
            try:
                getattr(builder, method)(*(_made(argument) for argument in arguments))
            except _core.Error:
                # It was refused when it was recorded, and recorded as a blocker or a layer after that.
                continue
        return builder.model(*self.end)

    def detached(self) -> Program:
        """The same with arrays of its own: what becomes of the module does not change it."""
        calls = [(method, tuple(_copied(a) for a in arguments)) for method, arguments in self.calls]
        return Program(self.shape, calls, self.end)


class Recorder:
    """A builder that keeps its calls."""

    def __init__(self, shape: tuple[int, ...] | None) -> None:
        self._builder = _core.Builder(shape)
        self.program = Program(shape)

    def __call__(self, method: str, *arguments: Any) -> Any:
        """Calls a method of the builder."""
        made = [_made(argument) for argument in arguments]
        self.program.calls.append((method, arguments))
        return getattr(self._builder, method)(*made)

    def shape(self, node: int) -> list[int]:
        return self._builder.shape(node)

    def finish(self, name: str, outputs: list[int], precision: int, notes: list[str]) -> _core.Model:
        self.program.end = (name, outputs, precision, notes)
        return self._builder.model(*self.program.end)


def _made(argument: Any) -> Any:
    return argument.core() if isinstance(argument, Recipe) else argument


def _copied(argument: Any) -> Any:
    if isinstance(argument, Recipe):
        return Recipe(argument.kind, tuple(_copied(a) for a in argument.arguments))
    return np.array(argument, copy=True) if isinstance(argument, np.ndarray) else argument
