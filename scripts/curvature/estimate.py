"""ESTIMATES of curvature and of certified accuracy: f64 Lanczos and float32 search. Nothing here is proved.

For an ordered pair of classes (y, t), f = z_y - z_t and a = w_y - w_t: with m at least the largest eigenvalue of
W^T diag(max(0, -a)/4) W, f + (m/2)|x - x0|² is convex (softplus'' lies in [0, 1/4]), and lies above its tangent at
any x̂: with d = x̂ - x0 and p = grad f(x̂) + m d, f(x0 + e) >= f(x̂) - p.d + (m/2)|d|² - |p| |e| - (m/2) |e|².
"""
import dataclasses

import torch
from torch.nn import functional

from curvature.network import CLASSES, CURVATURE, Hidden

CHUNK = 500  # pairs of an image and a class that are searched together


def negative_parts(w):
    """max(0, w_t - w_y) for every ordered pair of classes, [y, t, features]."""
    return (w[None] - w[:, None]).clamp(min=0)


@torch.no_grad()
def largest(net: Hidden, weights: torch.Tensor, steps: int = 48, tolerance: float = 1e-9, restarts: int = 8) -> torch.Tensor:
    """Largest eigenvalue of W^T diag(weights) W for each row of weights, by restarted Lanczos of all rows at once."""
    start = torch.ones(len(weights), len(net.adjoint(weights[:1])[0]), dtype=weights.dtype)
    start += torch.rand(start.shape, generator=torch.Generator().manual_seed(0), dtype=weights.dtype)
    v = start if net.pixel is None else start * net.pixel
    for _ in range(restarts):
        basis, diagonal, beside = [v / v.norm(dim=1, keepdim=True)], [], []
        for _ in range(steps):
            w = net.adjoint(weights * net.lin(basis[-1]))
            diagonal.append((w * basis[-1]).sum(1))
            q = torch.stack(basis, 1)
            for _ in range(2):
                w = w - ((q @ w[:, :, None]).transpose(1, 2) @ q)[:, 0]
            length = w.norm(dim=1)
            full = length <= 1e-10 * torch.stack(diagonal).amax(0)  # the space is exhausted: 0 from here on
            beside.append(length.masked_fill(full, 0.0))
            basis.append((w / length[:, None]).masked_fill(full[:, None], 0.0))
        t = torch.diag_embed(torch.stack(diagonal, 1)) + torch.diag_embed(torch.stack(beside[:-1], 1), -1)
        values, vectors = torch.linalg.eigh(t)  # of the lower triangle
        top = vectors[:, :, -1]
        v = (top[:, None] @ torch.stack(basis[:-1], 1))[:, 0]
        if (beside[-1] * top[:, -1].abs() <= tolerance * values[:, -1].abs()).all():
            break
    return values[:, -1]


@dataclasses.dataclass
class Constants:
    """Of each ordered pair, [y, t]: m exactly, m by the four bounds, and the Lipschitz constant of f."""

    exact: torch.Tensor
    four: torch.Tensor
    slope: torch.Tensor


@torch.no_grad()
def constants(net: Hidden) -> Constants:
    """`net` is f64."""
    w, pairs = net.last.weight, ~torch.eye(CLASSES, dtype=torch.bool)
    exact = torch.zeros(CLASSES, CLASSES, dtype=w.dtype)
    exact[pairs] = CURVATURE * largest(net, negative_parts(w)[pairs])
    square = largest(net, torch.ones(1, w.shape[1], dtype=w.dtype))
    matrices, factor = net.matrices()
    four = factor * min(torch.linalg.matrix_norm(m, 2) for m in matrices)
    gaps = w[:, None] - w[None]
    return Constants(exact, CURVATURE * four**2 * gaps.abs().amax(2), square.sqrt() * gaps.norm(dim=2))


@torch.no_grad()
def search(net: Hidden, x0, y, t, m, opposite, rho: float, steps: int, attack: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Which f stay positive within rho of x0, and for which an x with f <= 0 was met there.

    No tangent certifies rho once f + (m/2)|d|² <= (m/2) rho² was met: only an `attack` goes on then.

    Accelerated projected gradient with restarts on f + (m/2)|d|². Its step is 1/(m + opposite), `opposite` the m of
    the pair (t, y), as the gradient of what is minimised has that Lipschitz constant.
    """
    certified, attacked = torch.zeros(len(x0), dtype=torch.bool), torch.zeros(len(x0), dtype=torch.bool)
    w, b = net.last.weight, net.last.bias
    for some in torch.arange(len(x0)).split(CHUNK):
        here, at, a, base = some, x0[some], w[y[some]] - w[t[some]], b[y[some]] - b[t[some]]
        mk, step = m[some], 1 / (m[some] + opposite[some])
        d = old = torch.zeros_like(at)
        momentum = torch.ones_like(mk)
        for _ in range(steps):
            z = net.pre(at + d)
            f = (a * functional.softplus(z)).sum(1) + base
            p = net.adjoint(a * torch.sigmoid(z)) + mk[:, None] * d
            squares = d.square().sum(1)
            low = f - (p * d).sum(1) - rho * p.norm(dim=1) - 0.5 * mk * (rho**2 - squares)
            certified[here] |= low > 0
            attacked[here] |= f <= 0
            going = (low <= 0) & (f > (0 if attack else 0.5 * mk * (rho**2 - squares)))
            if not going.any():
                break
            if going.float().mean() < 0.9:
                state = here, at, a, base, mk, step, d, old, momentum, p
                here, at, a, base, mk, step, d, old, momentum, p = (v[going] for v in state)
            new = projected(d - step[:, None] * p, rho)
            restart = ((d - new) * (new - old)).sum(1) > 0
            momentum = torch.where(restart, 1.0, momentum)
            following = (1 + (1 + 4 * momentum**2).sqrt()) / 2
            pull = torch.where(restart, 0.0, (momentum - 1) / following)
            old, d, momentum = new, projected(new + pull[:, None] * (new - old), rho), following
    return certified, attacked


def projected(d, rho: float):
    """The nearest vectors of norm at most rho."""
    return d * (rho / d.norm(dim=1, keepdim=True).clamp(min=max(rho, 1e-30)))


@dataclasses.dataclass
class Accuracy:
    """Percentages of all images; the lists have one entry for each eps."""

    clean: float
    first: list[float]  # by the Lipschitz constant
    closed: list[float]  # by the tangent at the image itself
    tangent: list[float]  # by the search
    unbroken: list[float]  # right, and the search met no adversarial point; means little without `attack`


@torch.no_grad()
def accuracy(net: Hidden, images, labels, m, slope, eps: list[float], steps: int, attack: bool) -> Accuracy:
    """All classes against every image; `net`, `m` and `slope` are f32, the images as `net.image` makes them."""
    n, m, back = len(images), m[labels], m.T[labels]
    gaps, lengths = map(torch.cat, zip(*(margins(net, x, y) for x, y in zip(images.split(200), labels.split(200)))))
    true = functional.one_hot(labels, CLASSES).bool()
    right = (gaps.masked_fill(true, torch.inf) > 0).all(1)
    over = lambda radii: radii.masked_fill(true, torch.inf)
    closed = over(2 * gaps.clamp(min=0) / (lengths + (lengths**2 + 2 * m * gaps.clamp(min=0)).sqrt()).clamp(min=1e-30))
    first = over(gaps.clamp(min=0) / slope[labels].clamp(min=1e-30)).min(1).values
    order = closed.argsort(1)  # the nearest class first
    share = lambda mask: 100 * mask.float().mean().item()
    nearest, known, tangent, unbroken = closed.min(1).values, torch.zeros(n, dtype=torch.bool), {}, {}
    for e in sorted(eps, reverse=True):  # what is certified at a larger one need not be searched again
        certified, broken = right & ((nearest > e) | known), torch.zeros(n, dtype=torch.bool)
        live = (right & ~certified).nonzero()[:, 0]
        for rank in range(CLASSES - 1):
            t = order[live, rank]
            done = closed[live, t] > e
            certified[live[done]] = True  # the classes behind it are farther
            live, t = live[~done], t[~done]
            if len(live) == 0:
                break
            good, bad = search(net, images[live], labels[live], t, m[live, t], back[live, t], e, steps, attack)
            broken[live[bad]] = True
            live = live[good]
        certified[live] = True
        known, tangent[e], unbroken[e] = certified, share(certified), share(right & ~broken)
    by_slope, at_image = ([share(right & (radii > e)) for e in eps] for radii in (first, nearest))
    return Accuracy(share(right), by_slope, at_image, [tangent[e] for e in eps], [unbroken[e] for e in eps])


def margins(net: Hidden, x, y) -> tuple[torch.Tensor, torch.Tensor]:
    """f and the norm of its gradient at `x` for all t, 0 at t = y."""
    z = net.pre(x)
    logits = net.last(functional.softplus(z))
    slopes = torch.sigmoid(z)[:, None] * net.last.weight
    rows = net.adjoint(slopes.flatten(0, 1)).unflatten(0, (len(x), CLASSES))
    own = torch.arange(len(x)), y
    return logits[own][:, None] - logits, (rows[own][:, None] - rows).norm(dim=2)
