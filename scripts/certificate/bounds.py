"""Lipschitz constants that are stated, and whether they hold."""
import math

import numpy as np
from mpmath import mp, mpf

from certificate.common import INF, NotCovered, U, bound, counts, need, record, whole
from certificate.residual import matrix, residual_at_most
from certificate.second_order import square_at_most
from certificate.values import SMOOTH, picked, windows

ENTRY = "name op inputs shape own through together_from"
ONE = {"input", "pick", "concatenation", "maximum", "minimum", "sort", "Relu", "Abs", "Softplus", "Tanh"}  # of constant 1


def norm_at_most(weight, stride, dilation, groups, bound):
    """Whether S <= bound is proved; entries of the weight may be off by 32 U, relatively.

    Every group is divided by a power of two, so that its largest entry is in [1/2, 1) and S at least 1/2. What is then
    smaller than 2^-1022 may be lost: of a norm of a tap, whose squares are, 2^-511 for each entry, far below the factor
    1.001; of an entry of G or L L*, 1e-290; of an entry of the weight, far below 32 U reach."""
    if bound == INF:
        return True
    for part in np.split(weight, groups):
        for axis in range(part.ndim - 2):  # T3: phases of the stride as further input channels
            s = stride[axis] // math.gcd(stride[axis], dilation[axis])
            k = part.shape[2 + axis]
            part = np.pad(part, [(0, -k % s if i == 2 + axis else 0) for i in range(part.ndim)])
            part = np.concatenate([part.take(range(r, part.shape[2 + axis], s), 2 + axis) for r in range(min(s, k))], 1)
        unit = np.ldexp(part, -(power := int(np.frexp(np.abs(part).max())[1])))
        (rows, cols, *k), limit = part.shape, mp.ldexp(bound, -power)
        if not unit.any():
            continue
        m = sum(n > 1 for n in k)
        sizes = [math.ceil(math.pi / 2 * (n - 1) * math.sqrt(m * 1024)) + 1 if n > 1 else 1 for n in k]
        for n, size in zip(k, sizes):
            limit *= mp.cos(mp.pi * (n - 1) / (2 * size))
        need(np.isfinite(unit).all(), "a weight that is too large", NotCovered)
        flat, taps = unit.reshape(rows * cols, -1).T.astype(complex), np.indices(k).reshape(len(k), math.prod(k))
        reach, small = np.linalg.norm(flat, axis=1).sum() * 1.001, min(rows, cols)
        if limit >= reach:  # S <= sum ||K_t||_F
            continue
        slack = 1e-9 * small * float(limit**2)  # of the residual; the other one is of G, at most `reach`^2
        t = float(limit**2) * (1 - 1e-12) - slack - 16 * U * (max(rows, cols) + len(flat) + 50) * reach**2 - 1e-290
        if not t > 0:
            return False
        tables = [np.array([complex(mp.expjpi(mpf(2 * j) / n)) for j in range(n)]) for n in sizes]
        counts = [*sizes[:-1], sizes[-1] // 2 + 1] if sizes else []  # half of them: F(-x) = conj F(x)
        points = np.indices(counts).reshape(len(k), math.prod(counts)).T
        for some in np.array_split(points, -(-len(points) * rows * cols // 2**20)):
            phases = np.ones((len(some), len(flat)), complex)
            for axis, table in enumerate(tables):
                phases *= table[np.outer(some[:, axis], taps[axis]) % sizes[axis]]
            f = (phases @ flat).reshape(-1, rows, cols)
            adjoint = f.conj().swapaxes(1, 2)
            gram = f @ adjoint if rows <= cols else adjoint @ f
            left = t * np.eye(small) - gram
            try:
                factor = np.linalg.cholesky(left)
            except np.linalg.LinAlgError:
                return False
            off = np.linalg.norm(left - factor @ factor.conj().swapaxes(1, 2), axis=(1, 2))
            size = (np.abs(factor)**2).sum((1, 2)) + np.linalg.norm(gram, axis=(1, 2)) + small * t
            if not (off * 1.001 + 16 * U * (small + 50) * size + 1e-290 <= slack).all():
                return False
    return True


def own_at_most(node, nodes, bound):
    """Whether the constant of a node alone is at most `bound`."""
    op, n = node.op, math.prod(node.shape)
    if op in ("convolution", "dense"):
        return norm_at_most(*layer(node), bound)
    if op in ("max-pool", "separable"):
        axes = [holds(node, axis, nodes[node.inputs[0]].shape[1 + axis]) for axis in range(len(node.kernel))]
        return windows_at_most(node, axes, bound)
    least = {"affine": lambda: max(abs(v) for v in node.scale.flat), "sum": lambda: mp.sqrt(len(node.inputs)),
             "LeakyRelu": lambda: max(abs(node.slope), 1), "softmax": lambda: mpf(n > 1) / 2, "Sigmoid": lambda: mpf(1) / 4,
             "log-softmax": lambda: mp.sqrt(n) if n > 1 else 0,
             "normalisation": lambda: 1 / mp.sqrt(node.epsilon) if not node.centred or node.shape[node.axis] > 1 else 0}  # T41
    need(op in least or op in ONE, f"the constant of {node.name!r} ({op})", NotCovered)
    return (least[op]() if op in least else 1) <= bound


def holds(node, axis, n):
    """The pixels of every window along an axis, and how much each weighs in a mean."""
    k, s, d, (before, _) = (v[axis] for v in (node.kernel, node.stride, node.dilation, node.pads))
    groups = [[i for t in range(k) if 0 <= (i := o * s + t * d - before) < n] for o in range(node.out[axis])]
    need(all(groups), f"{node.name!r}: an empty window", NotCovered)
    matrix = np.full((len(groups), n), mpf(0))
    for row, group in zip(matrix, groups):
        row[group] = mpf(1) / (k if node.count else len(group)) if node.op == "separable" else mpf(1)
    return matrix


def windows_at_most(node, axes, bound):
    """T23: the root of the product of the most windows per pixel; norms of the means along the axes."""
    if node.op == "max-pool":
        return mp.sqrt(mp.fprod(max(a.sum(0)) for a in axes)) <= bound
    if mp.fprod(max(a.sum(0)) * max(a.sum(1)) for a in axes) <= bound**2:
        return True
    need(all(min(a.shape) <= 64 for a in axes), f"{node.name!r}: overlapping means on long axes", NotCovered)
    norms = [mpf(float(np.linalg.norm(a.astype(float), 2))) for a in axes]
    share = mp.root(bound / mp.fprod(norms), len(axes))
    try:
        for a, norm in zip(axes, norms):
            mp.cholesky(mp.matrix((norm * share)**2 * np.eye(len(a), dtype=int).astype(object) - a.dot(a.T)))
        return True
    except ValueError:
        return False


def layer(node):
    """Weight, stride, dilation and groups."""
    if node.op == "dense":
        return node.weight, [], [], 1
    return node.weight, node.stride, node.dilation, node.groups


def per_channel(node, flat):
    """The factors of a diagonal node as one per channel, which is the first axis of a sample, or one per entry."""
    full = np.broadcast_to(node.scale, node.shape)
    if flat:
        return full.ravel()
    rows = full.reshape(len(full), -1)
    need((rows == rows[:, :1]).all(), f"{node.name!r} does not have one factor per channel")
    return rows[:, 0]


def times(own, before):
    """Their product: a map that is constant is so behind any other."""
    return own * before if own else mpf(0)


def group(nodes, start, at):
    """The places from one to another, each reading the one before."""
    places = [at]
    while places[0] > start:
        need(len(nodes[places[0]].inputs) == 1, "nodes with two inputs are not taken together")
        places.insert(0, nodes[places[0]].inputs[0])
    need(places[0] == start > 0, "its group does not start where it says")
    need(len(places) <= 8, "a group of more than 8 nodes", NotCovered)
    return places


def together_at_most(nodes, start, at, before, bound):
    """Whether nodes that are taken together have a constant that gives at most `bound`, behind one of a constant `before`."""
    if before == 0 or bound == INF:
        return bool(group(nodes, start, at))
    places = group(nodes, start, at)
    ops = [nodes[i].op for i in places]
    if ops.count("dense") > 1 and set(ops) <= {"dense", "affine", "pick"}:
        found = matrix(nodes, places)
        left = mp.ldexp(bound / before * (1 - mp.ldexp(1, -480)), -found.power) - found.error
        return bool(left > 0 and (not found.value.any() or square_at_most(found.value, left**2)))
    *map, power = together(nodes, start, at)
    return norm_at_most(*map, mp.ldexp(bound / before, -power))


def together(nodes, start, at):
    """A convolution or matrix with the diagonal nodes around it as one layer (T24); its weight is to be multiplied by
    2^power, the last of what is returned.

    The factors of a channel are multiplied by mpmath, whose exponents have no end, and then mantissas and exponents are
    taken apart. So nothing is lost but entries below 2^-1022 times the largest, of which norm_at_most speaks: for a
    group without larger ones, too, as the bound is for all groups."""
    chain = [nodes[i] for i in group(nodes, start, at)]
    ops = [node.op for node in chain]
    shaped = [node.op == "pick" and not hasattr(node, "index") for node in chain]
    need(set(ops) <= {"convolution", "dense", "affine", "pick"} and len(ops) - ops.count("affine") - sum(shaped) == 1
         and ("dense" in ops or not any(shaped)), f"{' and '.join(ops)} together", NotCovered)
    core = next(i for i, op in enumerate(ops) if op in ("convolution", "dense"))
    w, stride, dilation, groups = layer(chain[core])
    rows, columns = np.full(w.shape[0], mpf(1)), np.full(w.shape[1] * groups, mpf(1))
    for i, node in enumerate(chain):
        if node.op == "affine":
            s, before = per_channel(node, ops[core] == "dense"), rows if i > core else columns
            need(len(s) == len(before), "its factors are not those of the channels")
            before *= s
    w, power = np.frexp(w)
    power = power.astype(int)
    for s in (rows[:, None], np.repeat(columns.reshape(groups, -1), len(w) // groups, 0)):
        parts = [mp.frexp(v) for v in s.flat]
        shape = *s.shape, *[1] * (w.ndim - 2)
        w = w * np.array([float(v) for v, _ in parts]).reshape(shape)
        power = power + np.array([int(e) for _, e in parts]).reshape(shape)
    largest = int(power[w != 0].max(initial=-2**60))
    return np.ldexp(w, np.maximum(power - largest, -2000)), stride, dilation, groups, largest


FOLLOWED = {"affine", "Relu", "Abs", "LeakyRelu", *SMOOTH, "pick", "concatenation", "maximum", "minimum", "max-pool"}
ONLY, LARGEST, SMALLEST = range(3)


def reached(nodes, ends):
    """These nodes, and what they are functions of, entry by entry."""
    seen, stack = set(ends), list(ends)
    while stack:
        node = nodes[stack.pop()]
        new = [i for i in node.inputs if i not in seen] if node.op in FOLLOWED else []
        seen.update(new)
        stack += new
    return seen


class NotFollowed(Exception):
    """T43 says nothing of a node."""


class Parts:
    """Entries y = g(o), o an entry of the roots or the largest or smallest of a group of them (T43): of every y the number of
    its group and its place there, the sign where g(o) is a multiple of o (0: of neither), whether that is o or -o, and bounds of
    |g'| for o < 0 and o > 0."""

    def __init__(self, nodes, roots):
        self.nodes, self.groups, self.known, self.parts, start = nodes, [], {}, {}, 0
        for root in roots:
            n = math.prod(nodes[root].shape)
            self.parts[root] = self.of(np.arange(start, start + n), np.full(n, ONLY), np.ones(n, int), np.full(n, True), np.full((2, n), mpf(1)))
            start += n
        self.groups = [(i,) for i in range(start)]
        self.known = {group: i for i, group in enumerate(self.groups)}

    @staticmethod
    def of(*fields):
        return dict(zip(("group", "place", "sign", "unit", "slopes"), fields))

    def at(self, at):
        if at in self.parts:
            return self.parts[at]
        node = self.nodes[at]
        if node.op not in FOLLOWED:
            raise NotFollowed
        inputs = [self.at(i) for i in node.inputs]
        part, n = dict(inputs[0]), len(inputs[0]["group"])
        if node.op == "pick":
            part = {key: picked(node, v.T).T if v.ndim == 1 else v[:, picked(node, np.arange(n))] for key, v in part.items()}
        elif node.op == "concatenation":
            part = {key: np.concatenate([p[key] for p in inputs], -1)[..., node.order] for key in part}
        elif node.op == "affine":
            s, t = (np.broadcast_to(v, node.shape).reshape(-1) for v in (node.scale, node.shift))
            kept = np.array([0 if b else (a > 0) - (a < 0) for a, b in zip(s, t)])
            one = np.array([abs(a) == 1 for a in s]) & (kept != 0) & (not getattr(node, "rounded", False))
            part |= dict(sign=part["sign"] * kept, unit=part["unit"] & one, slopes=part["slopes"] * abs(s))
        elif node.op in ("maximum", "minimum"):
            part = self.extrema(self.beside(inputs), [[k * n + i for k in range(len(inputs))] for i in range(n)], node.op == "maximum")
        elif node.op == "max-pool":
            places = np.arange(1, n + 1).astype(object).reshape(self.nodes[node.inputs[0]].shape)
            under = windows(places, node, 0)
            under = np.moveaxis(under, 1, -1).reshape(-1, under.shape[1])
            part = self.extrema(part, [[i - 1 for i in of if i] for of in under], True)
        else:
            below, above = {"Relu": (0, 1), "LeakyRelu": (abs(getattr(node, "slope", 0)), 1),
                            "Sigmoid": (mpf(1) / 4, mpf(1) / 4)}.get(node.op, (1, 1))
            sign, steepest = part["sign"], max(below, above)
            beside = np.array([[(below, above, steepest)[i] for i in np.where(sign > 0, 0, np.where(sign < 0, 1, 2))],
                               [(below, above, steepest)[i] for i in np.where(sign > 0, 1, np.where(sign < 0, 0, 2))]])
            part |= dict(sign=0 * sign, unit=part["unit"] & False, slopes=part["slopes"] * beside)
        self.parts[at] = part
        return part

    def beside(self, inputs):
        return {key: np.concatenate([p[key] for p in inputs], -1) for key in inputs[0]}

    def extrema(self, part, members, largest):
        """The largest or the smallest of some entries each: of o_1, o_2, ... or of -o_1, -o_2, ..., where these are entries or
        extrema of that kind themselves. The largest -o is minus the smallest o."""
        found = {key: [] for key in part}
        slopes = part["slopes"].T
        for of in members:
            if len(of) == 1:
                new = part["group"][of[0]], part["place"][of[0]], part["sign"][of[0]], part["unit"][of[0]], slopes[of[0]]
            else:
                sign = part["sign"][of[0]]
                place = LARGEST if largest == (sign > 0) else SMALLEST
                if not all(part["unit"][i] and part["sign"][i] == sign != 0 and part["place"][i] in (ONLY, place) for i in of):
                    raise NotFollowed
                group = tuple(sorted({j for i in of for j in self.groups[part["group"][i]]}))
                if group not in self.known:
                    self.known[group] = len(self.groups)
                    self.groups.append(group)
                new = self.known[group], place if len(group) > 1 else ONLY, sign, True, np.full(2, mpf(1))
            for key, v in zip(found, new):
                found[key].append(v)
        return {key: np.array(v).T for key, v in found.items()}

    def weights(self, part, roots):
        """Of each root the largest sum over its entries."""
        sums = np.full((len(self.groups), 3, 2), mpf(0))
        for group, place, below, above in zip(part["group"], part["place"], *part["slopes"]):
            sums[group, place] += [below**2, above**2]
        weights = [mpf(0)] * sum(math.prod(self.nodes[root].shape) for root in roots)
        for group, of in zip(self.groups, sums):
            for i in group:
                weights[i] += max(of.flat)
        ends = np.cumsum([math.prod(self.nodes[root].shape) for root in roots])
        return [max(of) for of in np.split(np.array(weights, object), ends[:-1])]


def shared_entries(nodes, at):
    """What the entries of a node are functions of, one by one (T43), as far as two nodes side by side meet: the nodes, and
    of each the largest sum of squared slopes over its entries. None: they do not meet, or T43 says nothing."""
    join = at
    while len(nodes[join].inputs) == 1 and nodes[join].op in FOLLOWED:
        join = nodes[join].inputs[0]
    if len(nodes[join].inputs) < 2 or nodes[join].op not in FOLLOWED:
        return None
    ends, steps = set(nodes[join].inputs), 0
    while True:
        all_seen = {end: reached(nodes, [end]) for end in ends}
        meeting = [a for a in ends if any((all_seen[a] - {a}) & all_seen[b] for b in ends - {a})]
        if not meeting:
            break
        steps += 1
        need(steps <= 64, "entries that are shared far back", NotCovered)
        ends.remove(max(meeting))
        ends.update(nodes[max(meeting)].inputs)
    if not steps:
        return None
    roots = sorted(ends)
    parts = Parts(nodes, roots)
    try:
        try:
            part = parts.at(at)
        except NotFollowed:
            if nodes[at].op not in ("maximum", "minimum"):
                return None
            part = parts.beside([parts.at(i) for i in nodes[at].inputs])  # it moves no further than all of these (T21)
    except NotFollowed:
        return None
    return list(zip(roots, parts.weights(part, roots)))


def by_shared_entries(nodes, at, throughs, least, stated):
    """The constant from the input to a node, by that of each it reads; where less is stated, by the entries that they share."""
    if least <= stated or nodes[at].op not in FOLLOWED:
        return least
    found = shared_entries(nodes, at)
    if found is not None and all(throughs[root] < INF for root, _ in found):
        least = min(least, mp.sqrt(mp.fsum(w * throughs[root]**2 for root, w in found)))
    return least


def side_by_side(nodes, at, throughs):
    """The constant of what a node reads, side by side; of the larger and the smaller of two nodes, that of these (T21)."""
    inputs = nodes[at].inputs
    if nodes[at].op == "concatenation" and len(inputs) == 2:
        first, second = (nodes[i] for i in inputs)
        if {first.op, second.op} == {"maximum", "minimum"} and sorted(first.inputs) == sorted(second.inputs):
            inputs = first.inputs if len(first.inputs) == 2 else inputs
    return mp.norm([throughs[i] for i in inputs])


def check_bounds(nodes, header):
    """What is stated of the nodes: (own, through) of each."""
    need(len(nodes) == len(header.nodes), f"{len(header.nodes)} nodes are stated, the model has {len(nodes)}")
    owns, throughs = [], []
    for at, (node, entry) in enumerate(zip(nodes, header.nodes)):
        stated = record(entry, ENTRY)
        own, through, start = bound(stated.own), bound(stated.through), stated.together_from
        need(start is None or whole(start) < at, f"node {at} ends a group that starts behind it")
        def check(condition, what):
            need(condition, f"node {at}, {node.name!r}: its {what} is not confirmed")
        check((stated.name, stated.op, counts(stated.inputs)) == (node.name, node.op, node.inputs), "name, operation or input")
        check(counts(stated.shape) == node.shape, "shape")
        check(own >= 0 and through >= 0, "sign")
        check(own_at_most(node, nodes, own), f"own constant {stated.own}")
        before = [throughs[i] for i in node.inputs]
        if start is None:
            extremum = node.op in ("concatenation", "maximum", "minimum")
            need(extremum or node.op == "sum" or len(before) == (node.op != "input"), "its inputs", NotCovered)
            least = (own if node.op == "input" else mp.fsum(before) if node.op == "sum" else side_by_side(nodes, at, throughs) if extremum
                     else times(own, before[0]))
            least = by_shared_entries(nodes, at, throughs, least, through)
            check(least <= through or node.op == "sum" and len(before) == 2 and any(
                residual_at_most(nodes, at, kept, owns, through / throughs[kept]) for kept in node.inputs if throughs[kept] > 0),
                f"constant {stated.through} from the input")
        else:
            check(0 < start, "group")
            check(len(nodes[start].inputs) == 1 and together_at_most(nodes, start, at, throughs[nodes[start].inputs[0]], through),
                  f"constant {stated.through} from the input")
        owns.append(own)
        throughs.append(through)
    return owns, throughs
