"""What the parts of check_certificate.py share."""
import json
from types import SimpleNamespace

import numpy as np
from mpmath import mp, mpf

mp.prec = 512
INF = mpf("inf")
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
    need(type(x) in (int, float) and abs(x) < INF, f"{x!r} is no number", NotCovered)
    return mpf(x)


def bound(x):
    """A number or infinity, which older files state as null."""
    return INF if x is None or x == "inf" else number(x)


def record(text, keys, more=()):
    """An object with these keys, from its text or as it is in another one."""
    def refuse(word):
        raise NotCovered(f"{word} is no number")
    def unique(pairs):
        need(len(dict(pairs)) == len(pairs), "a key occurs twice", NotCovered)
        return dict(pairs)
    found = json.loads(text, object_pairs_hook=unique, parse_constant=refuse) if isinstance(text, str) else text
    need(set(keys.split()) <= set(found) <= {*keys.split(), *more}, f"its keys are {sorted(found)}", NotCovered)
    return SimpleNamespace(**found)
