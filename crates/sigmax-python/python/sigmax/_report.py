"""What an audit found."""

from __future__ import annotations

import html
import json
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from sigmax import _core
from sigmax._numbers import Bracket, Estimate, Lower, Upper, lower, upper

if TYPE_CHECKING:
    import pandas

__all__ = ["Blocker", "Comparison", "Layer", "Report"]


class Blocker(NamedTuple):
    """What has no rule, or is refused: its name, its kind, the reason and what helps."""

    name: str
    kind: str
    reason: str

    def __str__(self) -> str:
        return f"{self.name} ({self.kind}): {self.reason}"


@dataclass(frozen=True)
class Layer:
    """A layer and the norms of it."""

    name: str
    """The name of the module or node."""
    op: str
    """``Conv``, ``ConvTranspose`` or ``Dense``."""
    shape: tuple[int, ...]
    """The weight's shape."""
    norm: Bracket
    """The l2 norm, which is the Lipschitz constant, between two proved ends."""
    quantity: str
    """What the ends enclose: ``lattice``, over all input sizes, or ``circular``, at the input size."""
    four: Upper
    """The smallest of the four bounds (Singla & Feizi 2021)."""
    weighted_four: Upper
    """A tighter relative of the four."""
    spectral_norm: Estimate
    """What the ``spectral_norm`` of the frameworks controls: for a convolution not its norm."""
    details: dict[str, Any] = field(repr=False)
    """The entry of the JSON report (docs/json.md): geometry, notes, times."""


class Report:
    """What an audit found. Its numbers are :class:`Upper`, :class:`Lower` and :class:`Estimate`."""

    def __init__(self, found: _core.Report) -> None:
        self._found = found

    @cached_property
    def _json(self) -> dict[str, Any]:
        parsed: dict[str, Any] = json.loads(self._found.json())
        return parsed

    @cached_property
    def layers(self) -> dict[str, Layer]:
        """The layers that were audited, by name, in the order of the model."""
        return {entry["name"]: _layer(entry) for entry in self._json["layers"]}

    @property
    def lipschitz(self) -> Upper | None:
        """The proved Lipschitz constant of the network; ``None`` where :attr:`blockers` has reasons."""
        network = self._json["network"]
        if network is None or network["lipschitz"] is None:
            return None
        return upper(network["lipschitz"]["upper"])

    @property
    def blockers(self) -> list[Blocker]:
        """Why the network has no constant; empty where it has one."""
        network = self._json["network"]
        if network is not None:
            return [_blocker(entry) for entry in network["blockers"]]
        model = self._json["model"]
        reason = "no graph tells how its layers follow one another, or it was left out"
        return [Blocker(model["file"], model["format"], reason)]

    @property
    def refused(self) -> list[Blocker]:
        """Layers, or what may be one, that could not be audited."""
        return [_blocker(entry) for entry in self._json["refused"]]

    @property
    def skipped(self) -> dict[str, int]:
        """What is not a layer: how many of each kind."""
        return dict(self._json["skipped"])

    @property
    def notes(self) -> list[str]:
        """What a reader of the constant should know."""
        network = self._json["network"]
        return [] if network is None else list(network["notes"])

    @property
    def jacobian_norm(self) -> Estimate | None:
        """What the norm of the network's Jacobian reaches at random inputs, where it was looked at."""
        network = self._json["network"]
        if network is None or network["jacobian_norm"] is None:
            return None
        return Estimate(network["jacobian_norm"])

    def summary(self) -> dict[str, Any]:
        """The report in a few entries."""
        largest = max(self.layers.values(), key=lambda layer: layer.norm.upper, default=None)
        return {
            "model": self._json["model"]["file"],
            "layers": len(self.layers),
            "refused": len(self.refused),
            "largest_norm": None if largest is None else largest.norm.upper,
            "largest_norm_layer": None if largest is None else largest.name,
            "lipschitz": self.lipschitz,
            "blockers": [str(blocker) for blocker in self.blockers],
            "seconds": self._json["seconds"],
        }

    def to_json(self) -> str:
        """The report as JSON, numbers exact (docs/json.md)."""
        return self._found.json()

    def to_csv(self) -> str:
        """One row per layer as CSV, numbers exact."""
        return self._found.csv()

    def to_html(self) -> str:
        """The report as one HTML page, which loads and runs nothing."""
        return self._found.html()

    def to_dataframe(self) -> pandas.DataFrame:
        """One row per layer, for which pandas is needed.

        Beside the bounds, two estimates that people know from elsewhere: the Frobenius norm of the
        weight, and the stable rank ``frobenius**2 / norm**2``, for a convolution per pixel.
        """
        import pandas

        frobenius = dict(self._found.frobenius())
        rows = []
        for layer in self.layers.values():
            size, norm = frobenius[layer.name], float(layer.norm.upper)
            rows.append(
                {
                    "name": layer.name,
                    "op": layer.op,
                    "shape": layer.shape,
                    "norm_lower": float(layer.norm.lower),
                    "norm_upper": norm,
                    "four": float(layer.four),
                    "weighted_four": float(layer.weighted_four),
                    "spectral_norm_estimate": float(layer.spectral_norm),
                    "frobenius_estimate": size,
                    "stable_rank_estimate": (size / norm) ** 2 if norm > 0.0 else 0.0,
                    "seconds": layer.details["seconds"],
                }
            )
        return pandas.DataFrame(rows)

    def __str__(self) -> str:
        return self._found.text(100)

    def __repr__(self) -> str:
        constant = self.lipschitz
        outcome = f"{len(self.blockers)} blockers" if constant is None else f"lipschitz={constant!r}"
        return f"<Report of {self._json['model']['file']}: {len(self.layers)} layers, {outcome}>"

    def _repr_html_(self) -> str:
        page = html.escape(self.to_html(), quote=True)
        return f'<iframe srcdoc="{page}" style="width:100%;height:40em;border:0"></iframe>'


class Comparison:
    """Two models layer by layer."""

    def __init__(self, found: _core.Comparison) -> None:
        self._found = found

    def to_json(self) -> str:
        """The comparison as JSON (docs/json.md)."""
        return self._found.json()

    def to_dict(self) -> dict[str, Any]:
        """The parsed JSON."""
        parsed: dict[str, Any] = json.loads(self._found.json())
        return parsed

    def __str__(self) -> str:
        return self._found.text(100)


def _blocker(entry: dict[str, str]) -> Blocker:
    return Blocker(entry["name"], entry["kind"], entry["reason"])


def _layer(entry: dict[str, Any]) -> Layer:
    norm: dict[str, Any] = entry["norm"]
    low: Lower = lower(norm["lower"])
    return Layer(
        name=entry["name"],
        op=entry["op"],
        shape=tuple(entry["shape"]),
        norm=Bracket(low, upper(norm["upper"])),
        quantity=norm["quantity"],
        four=upper(entry["four"]["min"]),
        weighted_four=upper(entry["weighted_four"]),
        spectral_norm=Estimate(entry["reshape_norm"]),
        details=entry,
    )
