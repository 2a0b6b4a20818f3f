"""Lipschitz constants that are stated, and whether they hold."""
import math

import numpy as np
from mpmath import mp, mpf

from certificate.common import INF, NotCovered, bound, counts, need, record, whole
from certificate.values import SMOOTH

U = 2.0**-53
ENTRY = "name op inputs shape own through together_from"


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
    least = {"affine": lambda: max(abs(v) for v in node.scale.flat), "sum": lambda: mp.sqrt(2),
             "LeakyRelu": lambda: max(abs(node.slope), 1), "softmax": lambda: mpf(n > 1) / 2, "Sigmoid": lambda: mpf(1) / 4,
             "log-softmax": lambda: mp.sqrt(n) if n > 1 else 0}.get(op, lambda: 1)()
    return least <= bound


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


def per_channel(node):
    """The factors of a diagonal node as one per channel, which is the first axis of a sample."""
    full = np.broadcast_to(node.scale, node.shape)
    rows = full.reshape(len(full), -1)
    need((rows == rows[:, :1]).all(), f"{node.name!r} does not have one factor per channel")
    return rows[:, 0]


def times(own, before):
    """Their product: a map that is constant is so behind any other."""
    return own * before if own else mpf(0)


def together(nodes, start, at):
    """A convolution or matrix with the diagonal nodes around it as one layer (T24); its weight is to be multiplied by
    2^power, the last of what is returned.

    The factors of a channel are multiplied by mpmath, whose exponents have no end, and then mantissas and exponents are
    taken apart. So nothing is lost but entries below 2^-1022 times the largest, of which norm_at_most speaks: for a
    group without larger ones, too, as the bound is for all groups."""
    chain = [nodes[at]]
    while at > start:
        need(len(nodes[at].inputs) == 1, "nodes with two inputs are not taken together")
        at = nodes[at].inputs[0]
        chain.insert(0, nodes[at])
    need(at == start > 0, "its group does not start where it says")
    ops = [node.op for node in chain]
    need(len(chain) <= 8, "a group of more than 8 nodes", NotCovered)
    need(set(ops) <= {"convolution", "dense", "affine"} and len(ops) - ops.count("affine") == 1,
         f"{' and '.join(ops)} together", NotCovered)
    core = next(i for i, op in enumerate(ops) if op != "affine")
    w, stride, dilation, groups = layer(chain[core])
    rows, columns = np.full(w.shape[0], mpf(1)), np.full(w.shape[1] * groups, mpf(1))
    for i, node in enumerate(chain):
        if i != core:
            s, before = per_channel(node), rows if i > core else columns
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


FOLLOWED = {"affine", "Relu", "Abs", "LeakyRelu", *SMOOTH, "pick", "concatenation"}


def reached(nodes, ends):
    """These nodes, and what they are functions of, entry by entry."""
    seen, stack = set(ends), list(ends)
    while stack:
        node = nodes[stack.pop()]
        new = [i for i in node.inputs if i not in seen] if node.op in FOLLOWED else []
        seen.update(new)
        stack += new
    return seen


def shared_entries(nodes, at):
    """What the entries of a node are functions of, one by one (T43), as far as two nodes side by side meet: the nodes, and
    of each the largest sum of squared slopes over its entries. None: they do not meet."""
    join = at
    while len(nodes[join].inputs) == 1 and nodes[join].op in FOLLOWED:
        join = nodes[join].inputs[0]
    if nodes[join].op != "concatenation":
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
    roots, parts, start = sorted(ends), {}, 0
    for root in roots:  # of every entry its place, the side of 0 (0: either), and the slopes below and above 0
        n = math.prod(nodes[root].shape)
        parts[root] = np.arange(start, start + n), np.ones(n, int), np.full((2, n), mpf(1))
        start += n
    def part(at):
        if at not in parts:
            node = nodes[at]
            inputs = [part(i) for i in node.inputs]
            place, side, slopes = inputs[0]
            if node.op == "affine":
                s, t = (np.broadcast_to(v, node.shape).reshape(-1) for v in (node.scale, node.shift))
                kept = np.array([0 if b else (a > 0) - (a < 0) for a, b in zip(s, t)])
                side, slopes = side * kept, slopes * abs(s)
            elif node.op == "concatenation":
                place, side, slopes = (np.concatenate(v, -1) for v in zip(*inputs))
            elif node.op != "pick":  # which reshapes
                below, above = {"Relu": (0, 1), "LeakyRelu": (abs(getattr(node, "slope", 0)), 1),
                                "Sigmoid": (mpf(1) / 4, mpf(1) / 4)}.get(node.op, (1, 1))
                steepest = max(below, above)
                slopes = slopes * np.array([[(below, above, steepest)[i] for i in np.where(side > 0, 0, np.where(side < 0, 1, 2))],
                                            [(below, above, steepest)[i] for i in np.where(side > 0, 1, np.where(side < 0, 0, 2))]])
                side = 0 * side
            parts[at] = place, side, slopes
        return parts[at]
    sums = np.full((2, start), mpf(0))
    place, _, slopes = part(at)
    for i, j in enumerate(place):
        sums[:, j] += slopes[:, i]**2
    largest = list(sums.max(0))
    return [(root, max(largest.pop(0) for _ in range(math.prod(nodes[root].shape)))) for root in roots]


def by_shared_entries(nodes, at, throughs, least, stated):
    """The constant from the input to a node, by that of each it reads; where less is stated, by the entries that they share."""
    if least <= stated or nodes[at].op not in FOLLOWED:
        return least
    found = shared_entries(nodes, at)
    if found is not None and all(throughs[root] < INF for root, _ in found):
        least = min(least, mp.sqrt(mp.fsum(w * throughs[root]**2 for root, w in found)))
    pools = [nodes[i].name for i in reached(nodes, [at]) if nodes[i].op == "max-pool"]
    need(least <= stated or not pools, f"entries that {pools} share with others", NotCovered)
    return least


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
            least = {"input": lambda: own, "sum": lambda: mp.fsum(before), "concatenation": lambda: mp.norm(before)}.get(
                node.op, lambda: times(own, before[0]))()
            least = by_shared_entries(nodes, at, throughs, least, through)
            check(least <= through, f"constant {stated.through} from the input")
        else:
            check(0 < start, "group")
            (*map, power), first = together(nodes, start, at), throughs[nodes[start].inputs[0]]
            check(first == 0 or through == INF or norm_at_most(*map, mp.ldexp(through / first, -power)),
                  f"constant {stated.through} from the input")
        owns.append(own)
        throughs.append(through)
    return owns, throughs
