"""Floats that know what they claim."""

from __future__ import annotations

from typing import Any, TypeVar

__all__ = ["Bracket", "Estimate", "Lower", "Upper"]

_T = TypeVar("_T", bound="_Claim")


class _Claim(float):
    """A float of a kind. Arithmetic on it gives plain floats, which claim nothing."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({float(self)!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _claim, (type(self), float(self))


class Upper(_Claim):
    """A proved upper bound, floating-point rounding included: the quantity is at most this.

    Only sigmax makes one.
    """

    __slots__ = ()

    def __new__(cls, value: float = 0.0) -> Upper:
        raise TypeError("only sigmax makes bounds; a number of another origin is an Estimate")


class Lower(_Claim):
    """A proved lower bound, floating-point rounding included: the quantity is at least this.

    Only sigmax makes one.
    """

    __slots__ = ()

    def __new__(cls, value: float = 0.0) -> Lower:
        raise TypeError("only sigmax makes bounds; a number of another origin is an Estimate")


class Estimate(_Claim):
    """A number about which nothing is proved."""

    __slots__ = ()


class Bracket:
    """Two proved ends of a number."""

    __slots__ = ("lower", "upper")

    lower: Lower
    upper: Upper

    def __init__(self, lower: Lower, upper: Upper) -> None:
        self.lower = lower
        self.upper = upper

    def __repr__(self) -> str:
        return f"Bracket({float(self.lower)!r}, {float(self.upper)!r})"

    def __contains__(self, value: float) -> bool:
        return self.lower <= value <= self.upper

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Bracket):
            return NotImplemented
        return self.lower == other.lower and self.upper == other.upper

    def __hash__(self) -> int:
        return hash((self.lower, self.upper))


def _claim(kind: type[_T], value: float | str) -> _T:
    """A number that the core gave: JSON has "inf" and "nan" as text."""
    return float.__new__(kind, value)


def upper(value: float | str) -> Upper:
    return _claim(Upper, value)


def lower(value: float | str) -> Lower:
    return _claim(Lower, value)
