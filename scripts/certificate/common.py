"""What the parts of check_certificate.py share."""
import json
from types import SimpleNamespace

import numpy as np
from mpmath import mp, mpf

mp.prec = 512
INF = mpf("inf")
U = 2.0**-53
exact = np.frompyfunc(lambda v: mpf(float(v)), 1, 1)


class NotCovered(Exception):
    """The file may be right; this program cannot tell."""


class Rejected(Exception):
    """Something that is stated is not confirmed."""


def need(holds, reason, kind=Rejected):
    """Raises unless it holds; a comparison with NaN does not."""
    if not holds:
        raise kind(reason)


def number(x):
    """A number that is given, as the f64 that is nearest to it."""
    need(type(x) in (int, float) and abs(x) < INF, f"{x!r} is no number", NotCovered)
    return mpf(float(x))


def bound(x, older=True):
    """A number or infinity, which older files state as null."""
    return INF if x is None and older or x == "inf" else number(x)


def whole(x):
    """A number that counts something: neither true nor 1.0."""
    need(type(x) is int and 0 <= x < 2**64, f"{x!r} is no number of something", NotCovered)
    return x


def items(x):
    """A list, and no text or object of as many entries."""
    need(type(x) is list, f"{x!r} is no list", NotCovered)
    return x


def counts(x):
    return [whole(n) for n in items(x)]


def parse(text):
    """JSON without NaN and infinities and without keys that occur twice. As for Rust, -0 is a float, and so are integers
    that do not have 64 bits."""
    def finite(word):
        need(abs(found := float(word)) < INF, f"{word} is no number", NotCovered)
        return found
    def integer(word):
        return found if word != "-0" and len(word) <= 20 and -2**63 <= (found := int(word)) < 2**64 else finite(word)
    def unique(pairs):
        need(len(dict(pairs)) == len(pairs), "a key occurs twice", NotCovered)
        return dict(pairs)
    return json.loads(text, object_pairs_hook=unique, parse_constant=finite, parse_float=finite, parse_int=integer)


def record(found, keys, more=()):
    """An object with these keys, and perhaps more of them."""
    need(type(found) is dict and set(keys.split()) <= set(found) <= {*keys.split(), *more},
         f"its keys are {sorted(found) if type(found) is dict else found!r}", NotCovered)
    return SimpleNamespace(**found)
