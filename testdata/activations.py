#!/usr/bin/env python3
"""Write `activations.toml`: values of activation functions, and their derivatives where these are
continuous, correctly rounded, without sigmax.

    python3 testdata/activations.py            writes testdata/activations.toml
    python3 testdata/activations.py --check    compares with what is there, exit status 1 if it differs

`x` holds the points; every [[activation]] has its parameters and one value, and derivative, per point. Every
[[axis]] has a vector and its softmax and logarithm of softmax. Needs mpmath.
"""

import pathlib
import random
import sys
import textwrap

import mpmath
from mpmath import mpf

mpmath.mp.dps = 50
FILE = pathlib.Path(__file__).with_name("activations.toml")


def points():
    kinks = [0.5, 1.0, 2.0, 2.5, 3.0, 6.0, 0.34, 0.17, 2 * 2**0.5, 4.0, 8.5, 37.3, 699.9, 700.1, 745.2, 800.0]
    scales = [5e-324, 2.3e-308, 1e-300, 1e-100, 1e-20, 1e-8, 1e-4, 1e4, 1e100, 1e155, 1e308]
    draw = random.Random(1)
    positive = kinks + scales + [draw.uniform(0, top) for top in (1, 3, 6, 12, 40, 800) for _ in range(12)]
    return sorted(-x for x in positive) + [-0.0, 0.0] + sorted(positive)


def to_float(value):
    """The nearest float; mpmath has one digit too few of sense in the subnormal range."""
    if abs(value) >= mpf(2) ** -1021:
        return float(value)
    return float(int(mpmath.nint(value * mpf(2) ** 1074))) * 5e-324


def small(f, x, low):
    """f(x), or 0 where it is far below the smallest float and slow to evaluate."""
    return mpf(0) if x < low else f(x)


def normal_below(x):
    return mpmath.erfc(-x / mpmath.sqrt(2)) / 2


def sigmoid(x):
    return mpf(1) if x > 1e5 else small(lambda x: 1 / (1 + mpmath.exp(-x)), x, -1e5)


def softplus(x):
    return x + small(lambda y: mpmath.log1p(mpmath.exp(y)), -abs(x), -1e5) if x > 0 else \
        small(lambda y: mpmath.log1p(mpmath.exp(y)), x, -1e5)


def expm1(x):
    return mpf(-1) if x < -1e5 else mpmath.expm1(x)


def tanh(x):
    return mpmath.sign(x) if abs(x) > 1e5 else mpmath.tanh(x)


def cut(x, low, high):
    return max(low, min(x, high))


def gelu_tanh(x):
    """Not by 1 + tanh, which cancels."""
    return x * sigmoid(2 * mpmath.sqrt(2 / mpmath.pi) * (x + mpf("0.044715") * x**3))


def mish(x):
    return small(lambda x: x * tanh(softplus(x)), x, -1e5)


def erf(x):
    return mpmath.sign(x) if abs(x) > 1e5 else mpmath.erf(x)


def gelu(x):
    return x if x > 1e5 else small(lambda x: x * normal_below(x), x, -1e5)


def bell(x):
    """s(x)·s(-x), s the sigmoid."""
    return sigmoid(x) * sigmoid(-x)


def normal_density(x):
    return small(lambda y: mpmath.exp(-y * y / 2) / mpmath.sqrt(2 * mpmath.pi), -abs(x), -1e5)


def gelu_derivative(x):
    return (mpf(1) if x > 1e5 else small(normal_below, x, -1e5)) + x * normal_density(x)


def gelu_tanh_derivative(x):
    c, a = 2 * mpmath.sqrt(2 / mpmath.pi), mpf("0.044715")
    y = c * (x + a * x**3)
    return sigmoid(y) + x * c * (1 + 3 * a * x * x) * bell(y)


def mish_derivative(x):
    t = tanh(softplus(x))
    if abs(x) > 1e5:
        return t
    # 1 - t² without cancelling: 1/cosh².
    return t + x * sigmoid(x) / mpmath.cosh(softplus(x)) ** 2


FUNCTIONS = [
    ("Relu", {}, lambda x: max(x, 0)),
    ("LeakyRelu", {"alpha": 0.01}, lambda x, alpha: x if x > 0 else alpha * x),
    ("LeakyRelu", {"alpha": -1.7}, lambda x, alpha: x if x > 0 else alpha * x),
    ("Elu", {"alpha": 1.3}, lambda x, alpha: x if x > 0 else alpha * expm1(x)),
    ("Elu", {"alpha": -0.7}, lambda x, alpha: x if x > 0 else alpha * expm1(x)),
    ("Celu", {"alpha": 0.3}, lambda x, alpha: x if x > 0 else alpha * expm1(x / alpha)),
    ("Selu", {"alpha": 1.6732632423543772, "gamma": 1.0507009873554805},
     lambda x, alpha, gamma: gamma * (x if x > 0 else alpha * expm1(x))),
    ("Sigmoid", {}, sigmoid),
    ("Tanh", {}, tanh),
    ("Softplus", {}, softplus),
    ("Softsign", {}, lambda x: x / (1 + abs(x))),
    ("Gelu", {}, gelu),
    ("GeluTanh", {}, gelu_tanh),
    ("Silu", {}, lambda x: x * sigmoid(x)),
    ("Mish", {}, mish),
    ("HardSigmoid", {"alpha": 0.2, "beta": 0.5}, lambda x, alpha, beta: cut(alpha * x + beta, 0, 1)),
    ("HardSwish", {}, lambda x: x * cut(x / 6 + mpf("0.5"), 0, 1)),
    ("Clip", {"low": -1.5, "high": 6.0}, lambda x, low, high: cut(x, low, high)),
    ("Clip", {"low": float("-inf"), "high": 0.25}, lambda x, low, high: cut(x, low, high)),
    ("Abs", {}, abs),
    ("Erf", {}, erf),
    ("Atan", {}, mpmath.atan),
    ("Asinh", {}, mpmath.asinh),
    ("Sin", {}, mpmath.sin),
    ("Cos", {}, mpmath.cos),
    ("Elu", {"alpha": 1.0}, lambda x, alpha: x if x > 0 else expm1(x)),
    ("Celu", {"alpha": 0.003}, lambda x, alpha: x if x > 0 else alpha * expm1(x / alpha)),
    ("Celu", {"alpha": 300.0}, lambda x, alpha: x if x > 0 else alpha * expm1(x / alpha)),
    ("Selu", {"alpha": 1.0, "gamma": -1.7}, lambda x, alpha, gamma: gamma * (x if x > 0 else expm1(x))),
]


def celu_derivative(x, alpha):
    return mpf(1) if x > 0 else small(mpmath.exp, x / alpha, -1e5)


DERIVATIVES = {
    "Celu": celu_derivative,
    "Sigmoid": bell,
    "Tanh": lambda x: 4 * bell(2 * x),
    "Softplus": sigmoid,
    "Softsign": lambda x: (1 + abs(x)) ** -2,
    "Gelu": gelu_derivative,
    "GeluTanh": gelu_tanh_derivative,
    "Silu": lambda x: sigmoid(x) + x * bell(x),
    "Mish": mish_derivative,
    "Erf": lambda x: 2 / mpmath.sqrt(mpmath.pi) * small(mpmath.exp, -x * x, -1e5),
    "Atan": lambda x: 1 / (1 + x * x),
    "Asinh": lambda x: 1 / mpmath.sqrt(1 + x * x),
    "Sin": mpmath.cos,
    "Cos": lambda x: -mpmath.sin(x),
}
# Where the parameter has no kink.
DERIVATIVES_AT_1 = {
    "Elu": celu_derivative,
    "Selu": lambda x, alpha, gamma: gamma * celu_derivative(x, alpha),
}


def derivative(name, parameters):
    at_1 = DERIVATIVES_AT_1 if parameters.get("alpha") == 1 else {}
    return DERIVATIVES.get(name, at_1.get(name))


def vectors():
    draw = random.Random(2)
    yield [0.7]
    yield [1e308, -1e300]
    yield [-3.0, -3.0]
    yield [0.1, 0.2, -800.0, 750.3]
    yield [1e15, 1e15 - 2.0, 1e15 - 700.5]
    for n, width in ((10, 1), (10, 30), (40, 5)):
        yield [draw.uniform(-width, width) for _ in range(n)]


def axis(x):
    exact = [mpf(v) - max(x) for v in x]
    log = mpmath.log(mpmath.fsum(small(mpmath.exp, d, -1e5) for d in exact))
    return [small(mpmath.exp, d - log, -1e5) for d in exact], [d - log for d in exact]


def array(name, values):
    body = ", ".join(repr(to_float(v)) for v in values)
    return f"{name} = [\n" + textwrap.fill(body, 118, initial_indent="  ", subsequent_indent="  ") + "\n]\n"


def text():
    parts = ["# Written by testdata/activations.py; see there.\n", array("x", points())]
    for name, parameters, f in FUNCTIONS:
        exact = {key: mpf(value) for key, value in parameters.items()}
        values = [f(mpf(x), **exact) for x in points()]
        lines = [f"{key} = {value!r}\n" for key, value in parameters.items()]
        part = "[[activation]]\n" + f'name = "{name}"\n' + "".join(lines) + array("values", values)
        if slope := derivative(name, parameters):
            part += array("derivatives", [slope(mpf(x), **exact) for x in points()])
        parts.append(part)
    for x in vectors():
        softmax, log_softmax = axis(x)
        parts.append("[[axis]]\n" + array("x", x) + array("softmax", softmax) + array("log_softmax", log_softmax))
    return "\n".join(parts)


if __name__ == "__main__":
    if sys.argv[1:] == ["--check"]:
        sys.exit(FILE.read_text() != text())
    FILE.write_text(text())
