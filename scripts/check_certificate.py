#!/usr/bin/env python3
"""Check certificates of `sigmax certify` from the definitions, without sigmax: for those who trust nothing.

    python3 scripts/check_certificate.py CERTS.jsonl MODEL.onnx [--lines 0,5,17 | --first N] [--norms-only]

1. The SHA-256 of the model, the claim and the assumptions are the known ones.
2. The network is built anew from the ONNX file; the nodes that the certificates list have to be its nodes.
3. Norms S of convolutions and matrices, taken together with diagonal nodes where the file says so: T3, T5, and T15
   of crates/sigmax/docs/theory.md, S <= max ||F|| over a grid / prod cos(pi (k-1)/(2N)). At each of its points, for G = F F* and
   ANY matrix L, G <= (t + ||t - G - L L*||_F) I; L is the Cholesky factor that LAPACK proposes. All else is
   computed anew by its rule, with 150 digits, and has to be at most what is stated.
4. Curvature, where it is stated, of a chain with one layer of activations (T34): J = d units / d input and A = d logits /
   d units as matrices; J* diag(kappa) J <= m I by the same inequality for its Cholesky factor, for every pair of classes.
5. Every image is evaluated in integers of unit 2^-192 (58 digits), with a bound of all that is rounded. The exact
   logits have to be within `error` of those stated, radius and margin at most what follows, and the prediction the class
   that the image has. Smaller bounds are weaker claims, and true. A radius may follow from tangents, too (T36): one such
   evaluation and one gradient, in float64 with a bound of all that is rounded, at the image and at each stated point. Indices have to rise, so that no image counts twice.

6. A radius that is `local` follows from bounds around the image (T38): balls and boxes of all nodes, with the slopes that are
   stated or those of a rule, in float64 with a bound of all that is rounded (certificate/local.py). Nothing is searched for.

Trusted are the theorems T1 to T36, T38 and T41 to T43, Python's integers, json, hashlib, mpmath, the parser of onnx, and of NumPy: a sum of
two float64, a root and a product by a power of two are those of IEEE 754, and where nothing overflows, products and sums
of n products have errors of at most 16 (n + 50) 2^-53 sum |a||b| + n 10^-300, if what underflows is below 2^30. Matrices
and vectors are divided by powers of two, so that nothing overflows; second_order.py says how.
A sample is [channels, ...] for convolutions; constants beside it are broadcast by the rules of ONNX, from shapes. Where the
assumptions say that the model is read without a batch axis, all axes of its input are of the one sample.
Covered are the arithmetic "real" and the operators of certificate/network.py.
Exit status: 0 all is confirmed; 1 something is not; 2 not covered, or no certificates.
"""
import argparse, hashlib, math, pathlib, re, sys

import numpy as np, onnx
from mpmath import mp, mpf

from certificate.bounds import check_bounds
from certificate.common import INF, NotCovered, Rejected, U, bound, items, need, number, parse, record, whole
from certificate.local import Local
from certificate.network import NO_BATCH, build
from certificate.second_order import SecondOrder
from certificate.values import P, evaluate, fixed, integers

CLAIM = ("for every x with ‖x − image‖₂ ≤ radius, in the units of the network's input before the normalisation, the "
         "largest logit of x is that of label; nothing is claimed where radius is 0")
CLAIM_WITHIN = CLAIM.replace("normalisation, the", "normalisation, whose entries are all between the two numbers of range, the")
ASSUMPTIONS = [
    "the network is the function that the model file defines, in inference mode, with its parameters as exact numbers; "
    "each image is mapped alone",
    "the input is (pixels − mean)/std per channel, in real arithmetic; bytes stand for byte/255",
    "the network is evaluated in real arithmetic: rounding in another program may change the class of an image whose "
    "margin is as small as that rounding"]
HEADER = "certificates claim assumptions arithmetic model mean std input_size layout picture logits classes lipschitz nodes"
VERSIONS = {2: False, 3: True}  # whether the header has a key `curvature`
LINE = "index label prediction radius margin logits error exact"
MORE_OF_HEADER, MORE_OF_LINE = ["curvature", "range"], ["bytes", "values", "tangents", "local", "slopes"]


def limits(header):
    """The two numbers between which the entries of inputs lie; None: they may be anything."""
    if not hasattr(header, "range"):
        return None
    least, most = (float(number(v)) for v in items(header.range)) if len(items(header.range)) == 2 else (0, 0)
    need(least < most, "the range")
    return least, most


class Checker:
    """Checks lines, for confirmed bounds."""

    def __init__(self, nodes, output, header):
        self.nodes, self.differences = nodes, {}
        self.owns, self.throughs = check_bounds(nodes, header)
        stated, least = bound(header.lipschitz), self.throughs[output]
        need(least <= stated, f"lipschitz {header.lipschitz} is not confirmed")
        while (node := nodes[output]).op in ("softmax", "log-softmax") or node.op == "pick" and not hasattr(node, "index") or (
                node.op == "affine" and node.scale.size == node.shift.size == 1 and node.scale.flat[0] > 0):
            output = node.inputs[0]
        self.logits, self.classes = output, math.prod(nodes[output].shape)
        need((nodes[output].name, self.classes) == (header.logits, whole(header.classes)) and self.classes > 1, "logits or classes")
        self.rows = nodes[output].op == "dense" and len(nodes[output].shape) == 1
        stated = getattr(header, "curvature", None)
        self.second = None if stated is None else SecondOrder(nodes, output, header)
        self.limits = limits(header)
        self.around = None

    def slopes(self, y):
        """||w_y - w_t|| of the last layer, for all t; None where that is no matrix."""
        node = self.nodes[self.logits]
        if self.rows and y not in self.differences:
            w, e = integers(node.weight)
            self.differences[y] = [mp.ldexp(mp.sqrt(v), -e) for v in ((w - w[y])**2).sum(1)]
        return self.differences.get(y)

    def pixels(self, line):
        """The pixels of a line, and their error."""
        n, shape = math.prod(self.nodes[0].shape), self.nodes[0].shape
        rounding = mp.ldexp(mp.sqrt(n), -P)
        if hasattr(line, "bytes"):
            need(type(line.bytes) is str and re.fullmatch("([0-9a-f]{2})*", line.bytes), "the digits of its pixels")
            pixels = np.array([(byte << P) // 255 for byte in bytes.fromhex(line.bytes)], dtype=object)
            need(line.exact is False and not hasattr(line, "values"), "exactness of its pixels")
        else:
            given = [number(v) for v in items(line.values)]
            need(type(line.exact) is bool and all(abs(v) < 1e100 for v in given), "values of its pixels")
            pixels = fixed(np.array(given, dtype=object), P)
            rounding += 0 if line.exact else mp.norm(given) * U * (1 + 4 * U)
        need(pixels.size == n, f"number of pixels, {pixels.size} instead of {n}")
        if self.limits:
            least, most = self.limits
            need(all(least <= float(mp.ldexp(mpf(v), -P)) <= most for v in pixels), "a pixel that is not in the range")
        return pixels.reshape(shape), rounding

    def values(self, pixels, error):
        """(value, error) of the nodes up to the logits."""
        return evaluate(self.nodes, self.owns, self.logits, pixels, error)

    def margins(self, values, y):
        """m_t, and what it is divided by, for all t but y, by class (T25, T28)."""
        z, last = [mp.ldexp(mpf(v), -P) for v in values[-1][0].ravel()], self.nodes[self.logits]
        found = {}
        for t in set(range(self.classes)) - {y}:
            slope, off = mp.sqrt(2) * self.throughs[self.logits], mp.sqrt(2) * values[-1][1]
            if self.rows:
                spread, before = self.slopes(y)[t], last.inputs[0]
                slope = min(slope, spread * self.throughs[before])
                off = min(off, spread * values[before][1] + mp.ldexp(8, -P))
            found[t] = z[y] - z[t] - off, slope
        return found

    def line(self, line):
        need(all(whole(t) < self.classes for t in (line.label, line.prediction) if t is not None), "label or prediction")
        whole(line.label)
        need(not items(getattr(line, "tangents", [])) or self.second, "tangents without a curvature")
        pixels = self.pixels(line)
        values = self.values(*pixels)
        z, error = [mp.ldexp(mpf(v), -P) for v in values[-1][0].ravel()], values[-1][1]
        # Where the unit of the evaluation, and not the error of the pixels, is more than 2^-60 of the logits.
        coarse = error > max(mp.ldexp(max(abs(v) for v in z), -60), 2 * self.throughs[self.logits] * pixels[1])
        def follows(holds, what):
            need(holds, f"{what}, where values are too small for an evaluation in units of 2^-{P}" if coarse else what,
                 NotCovered if coarse else Rejected)
        if line.prediction is not None:
            follows(all(m > 0 for m, _ in self.margins(values, line.prediction).values()), f"prediction {line.prediction}")
        margins = self.margins(values, line.label)
        radii = {t: 0 if m <= 0 else m / slope if slope else INF for t, (m, slope) in margins.items()}
        if self.second:
            for t, radius in self.second.tangents(self, line, values, pixels).items():
                radii[t] = max(radii[t], radius)
        need(not hasattr(line, "local") or line.local is True and bound(line.radius) > 0, "local without a radius", NotCovered)
        need(not hasattr(line, "slopes") or hasattr(line, "local"), "slopes without bounds around the image", NotCovered)
        if hasattr(line, "local"):
            self.around = self.around or Local(self.nodes, self.owns, self.throughs, self.logits, self.limits)
            left = [t for t, r in radii.items() if not bound(line.radius) <= r]
            need(bound(line.radius) < INF, "an infinite radius by bounds around the image")
            radii |= dict.fromkeys(self.around.proved(line, values, left, line.radius), bound(line.radius))
        # For each of them, as the least of several may not be that where one is NaN.
        need(bound(line.radius) >= 0 and number(line.margin) >= 0, "a radius or a margin below 0")
        follows(all(bound(line.radius) <= r for r in radii.values()), f"radius {line.radius}")
        follows(all(number(line.margin) <= max(0, m) for m, _ in margins.values()), f"margin {line.margin}")
        need((line.logits is None) == (line.error is None), "logits without an error, or an error without logits")
        if line.logits is not None:
            need(len(items(line.logits)) == self.classes, "number of logits")
            follows(mp.norm([number(a) - b for a, b in zip(line.logits, z)]) + error <= number(line.error), "logits or their error")
        return bound(line.radius) > 0


def check(args):
    """A summary."""
    *lines, rest = args.certificates.read_bytes().decode("utf-8").split("\n")
    need(lines and not rest, "a line that is cut short", NotCovered)
    header, content = record(parse(lines[0]), HEADER, MORE_OF_HEADER), args.model.read_bytes()
    need(type(header.certificates) is int and header.certificates in VERSIONS and header.arithmetic == "real",
         f"certificates of version {header.certificates} for arithmetic {header.arithmetic!r}; covered are 2 and 3, 'real'", NotCovered)
    need(VERSIONS[header.certificates] == hasattr(header, "curvature"), "its keys are those of another version", NotCovered)
    claim = CLAIM_WITHIN if limits(header) else CLAIM
    need(header.claim == claim and header.assumptions in (ASSUMPTIONS, [*ASSUMPTIONS, NO_BATCH]),
         "the claim or the assumptions are not the known ones")
    stated, model = record(header.model, "sha256 external"), onnx.load_model_from_string(content)
    tensors = [*model.graph.initializer, *(a.t for node in model.graph.node for a in node.attribute)]
    external = {e.value for t in tensors for e in t.external_data if e.key == "location"}
    digests = [[name, hashlib.sha256((args.model.parent / name).read_bytes()).hexdigest()] for name in sorted(external)]
    need(stated.sha256 == hashlib.sha256(content).hexdigest() and items(stated.external) == digests, "it is about another model")
    onnx.load_external_data_for_model(model, str(args.model.parent))
    checker = Checker(*build(model, header), header)
    summary = f"{len(checker.nodes)} nodes, Lipschitz constant {header.lipschitz}"
    if args.norms_only:
        return summary
    chosen = args.lines if args.lines is not None else range(len(lines) - 1 if args.first is None else args.first)
    need(all(0 <= i < len(lines) - 1 for i in chosen), f"there are {len(lines) - 1} images", NotCovered)
    need(chosen, f"nothing to confirm: no image is stated, or none was chosen; of the model is confirmed: {summary}", NotCovered)
    images = [record(parse(line), LINE, MORE_OF_LINE) for line in lines[1:]]
    indices = [whole(image.index) for image in images]
    need(all(a < b for a, b in zip(indices, indices[1:])), "the indices do not rise")
    certified = 0
    for i in chosen:
        try:
            certified += checker.line(images[i])
        except Rejected as error:
            raise Rejected(f"image line {i}: not confirmed: {error}") from None
    return f"{summary}, {len(chosen)} images, {certified} of them with a radius above 0"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("certificates", metavar="CERTS.jsonl", type=pathlib.Path)
    parser.add_argument("model", metavar="MODEL.onnx", type=pathlib.Path)
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument("--lines", type=lambda text: [int(i) for i in text.split(",")], help="only these images, from 0")
    chosen.add_argument("--first", type=int, metavar="N", help="only the first N images")
    parser.add_argument("--norms-only", action="store_true", help="only what is stated of the model")
    try:
        print("confirmed:", check(parser.parse_args()))
    except Rejected as error:
        sys.exit(print(error, file=sys.stderr) or 1)
    except NotCovered as error:
        sys.exit(print(f"not covered: {error}", file=sys.stderr) or 2)
    except Exception as error:  # of a file that is none of these
        sys.exit(print(f"cannot be read: {type(error).__name__}: {error}", file=sys.stderr) or 2)


if __name__ == "__main__":
    main()
