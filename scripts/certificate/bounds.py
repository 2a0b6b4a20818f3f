"""Lipschitz constants that are stated, and whether they hold."""
import math

import numpy as np
from mpmath import mp, mpf

from certificate.common import NotCovered, bound, need, record

U = 2.0**-53
ENTRY = "name op inputs shape own through together_from"


def norm_at_most(weight, stride, dilation, groups, bound):
    """Whether S <= bound is proved; entries of the weight may be off by 32 U, relatively."""
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
        flat, taps = unit.reshape(rows * cols, -1).T.astype(complex), np.indices(k).reshape(len(k), math.prod(k))
        reach, small = np.linalg.norm(flat, axis=1).sum() * 1.001, min(rows, cols)
        if limit >= reach:  # S <= sum ||K_t||_F
            continue
        slack = 1e-9 * small * float(limit**2)  # of the residual; the other one is of G, at most `reach`^2
        t = float(limit**2) * (1 - 1e-12) - slack - 16 * U * (max(rows, cols) + len(flat) + 50) * reach**2
        if t <= 0:
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
            if not (off * 1.001 + 16 * U * (small + 50) * size <= slack).all():
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
    return rows[:, 0].astype(float)


def together(nodes, start, at):
    """A convolution or matrix with the diagonal nodes around it as one layer (T24)."""
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
    for i, node in enumerate(chain):
        if i != core:
            s = per_channel(node)
            need(len(s) == (w.shape[0] if i > core else w.shape[1] * groups), "its factors are not those of the channels")
            s = s[:, None] if i > core else np.repeat(s.reshape(groups, -1), len(w) // groups, 0)
            w = w * s.reshape(*s.shape, *[1] * (w.ndim - 2))
    need(np.abs(w).max() > 1e-200, "factors that are too small", NotCovered)
    return w, stride, dilation, groups


def check_bounds(nodes, header):
    """What is stated of the nodes: (own, through) of each."""
    need(len(nodes) == len(header.nodes), f"{len(header.nodes)} nodes are stated, the model has {len(nodes)}")
    owns, throughs = [], []
    for at, (node, entry) in enumerate(zip(nodes, header.nodes)):
        stated = record(entry, ENTRY)
        own, through, start = bound(stated.own), bound(stated.through), stated.together_from
        def check(condition, what):
            need(condition, f"node {at}, {node.name!r}: its {what} is not confirmed")
        check((stated.name, stated.op, stated.inputs) == (node.name, node.op, node.inputs), "name, operation or input")
        check(stated.shape == node.shape, "shape")
        check(own >= 0 and through >= 0, "sign")
        check(own_at_most(node, nodes, own), f"own constant {stated.own}")
        before = [throughs[i] for i in node.inputs]
        if start is None:
            least = {"input": lambda: own, "sum": lambda: mp.fsum(before), "concatenation": lambda: mp.norm(before)}.get(
                node.op, lambda: own * before[0])()
            check(least <= through, f"constant {stated.through} from the input")
        else:
            check(type(start) is int and 0 < start < at, "group")
            map, first = together(nodes, start, at), throughs[nodes[start].inputs[0]]
            check(first == 0 or norm_at_most(*map, through / first), f"constant {stated.through} from the input")
        owns.append(own)
        throughs.append(through)
    return owns, throughs
