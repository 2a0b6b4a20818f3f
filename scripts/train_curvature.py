#!/usr/bin/env python3
"""Train a network of one hidden layer and softplus whose curvature certifies its margins.

    python3 scripts/train_curvature.py --data DIR --out FILE.onnx [--arch dense:1024] [--objective adv2]

DIR holds the four official MNIST files (idx format, gzipped or not), or the six binary files of CIFAR-10.
Pixels are value/255. --arch is dense:WIDTH, dense:WIDTH,COMPONENTS (on as many principal components of the training
images; the file has a matrix for the pixels) or conv:CHANNELS,SIZE,STRIDE,PADDING.

m(y,t) is the largest eigenvalue of W^T diag(max(0, w_t - w_y)/4) W, W the hidden layer and w the rows of
the last: z_y - z_t + (m/2)|x - x0|^2 is convex. While training, m is a Rayleigh quotient of a vector that
takes one step of power iteration per batch, and its gradient goes through that quotient. Objectives:

adv2     for the --rivals largest other logits, x' from --steps projected gradient steps on
         z_y - z_t + (m/2)|x - x0|^2 within rho; cross-entropy of the logits at the first x', in which
         the gap to each of these rivals is replaced by what the tangent at its x' certifies within rho.
crt      cross-entropy at an attack within rho on the largest other logit, plus gamma times the mean m of
         that pair (Singla & Feizi 2020).
penalty  cross-entropy plus gamma times the mean m of the true class and the largest other one (Singla &
         Feizi 2021). For this and crt, --m four takes sup softplus'' * four^2 * max|w_y - w_t| as m, with
         the smallest of the four bounds on the norm of the hidden layer, as published; --m exact the m above.
plain    cross-entropy.

--power q takes (1 - p^q)/q instead of the cross-entropy -log p of the true class (Zhang & Sabuncu 2018): images that
cannot be certified count less.

rho grows linearly to --rho over the first fifth of the steps, except from --init; Adam, one cycle to --lr. The last
--validation of the training images are not trained on, and what is reported is about them: choose
settings by these lines. --test reports the test images too, which no choice may depend on.

What is printed in the end is an ESTIMATE, of all other classes: m by Lanczos in f64, which comes from
below, and a search in f32; nothing is proved (`sigmax certify` proves). The result depends on --seed and,
as rounding does, on the machine, --threads and PyTorch.
"""

import argparse
import pathlib
import sys
import time

import torch
from torch.nn import functional

from curvature import data, estimate
from curvature.data import BadInput
from curvature.network import CLASSES, CURVATURE, Hidden, average, network, save
from curvature.options import at_least, built, check_place, repeatable, seed

EPS = {"mnist": [0.3, 0.5, 1.0, 1.58], "cifar10": [36 / 255, 72 / 255, 108 / 255]}
RHO = {"mnist": 1.58, "cifar10": 0.5}
RAMP = 0.2  # share of the steps over which rho and the rate grow


def unit(v):
    return v / (v.norm(dim=1, keepdim=True) + 1e-12)


class Curvature:
    """m of every ordered pair of classes, differentiable, from vectors that are kept from batch to batch."""

    def __init__(self, net: Hidden, method: str):
        self.net, self.method = net, method
        self.pairs = (~torch.eye(CLASSES, dtype=torch.bool)).flatten().nonzero()[:, 0]
        self.vectors = unit(torch.randn_like(net.adjoint(torch.zeros(len(self.pairs), net.last.in_features))))
        self.columns = [unit(torch.randn(1, m.shape[1]))[0] for m in net.matrices()[0]]

    def __call__(self) -> torch.Tensor:
        """[y, t], 0 where y = t."""
        return self.exact() if self.method == "exact" else self.four()

    def exact(self):
        net = self.net
        parts = estimate.negative_parts(net.last.weight).flatten(0, 1)[self.pairs]
        with torch.no_grad():
            self.vectors = unit(net.adjoint(parts * net.lin(self.vectors)))
        values = CURVATURE * (parts * net.lin(self.vectors).square()).sum(1)
        return torch.zeros(CLASSES**2).index_put((self.pairs,), values).view(CLASSES, CLASSES)

    def four(self):
        matrices, factor = self.net.matrices()
        with torch.no_grad():
            self.columns = [functional.normalize(m.T @ (m @ v), dim=0) for m, v in zip(matrices, self.columns)]
        norms = torch.stack([(m @ v).norm() for m, v in zip(matrices, self.columns)])
        w = self.net.last.weight
        return CURVATURE * (factor * norms.min()) ** 2 * (w[:, None] - w[None]).abs().amax(2)


def tangent(net: Hidden, x, d, sides, m, rho: float):
    """The features at x + d, and what the tangent there certifies within rho of x. `sides` has 1 at y and -1 at t."""
    z, a = net.pre(x + d), sides @ net.last.weight
    features = functional.softplus(z)
    p = net.adjoint(a * torch.sigmoid(z)) + m[:, None] * d
    f = (a * features).sum(1) + sides @ net.last.bias
    length = (p.square().sum(1) + 1e-12).sqrt()
    return features, f - (p * d).sum(1) - rho * length - 0.5 * m * (rho**2 - d.square().sum(1))


@torch.no_grad()
def descend(net: Hidden, x, z, sides, step, m, rho: float, steps: int):
    """d after projected gradient steps from 0 on z_y - z_t + (m/2)|d|²; `z` are the pre-activations at x.

    A number as `step` is the length of each one, a tensor the factor of the gradient.
    """
    a, d = sides @ net.last.weight, torch.zeros_like(x)
    for i in range(steps):
        slopes = torch.sigmoid_(net.pre(x + d)) if i else torch.sigmoid(z)
        g = net.adjoint(slopes.mul_(a)).addcmul_(m[:, None], d)
        d = estimate.projected(d - (step * unit(g) if isinstance(step, float) else step[:, None] * g), rho)
    return d


def graded(logits, y, args):
    """The cross-entropy of logits, or what --power makes of it."""
    loss = functional.cross_entropy(logits / args.temperature, y, reduction="none")
    if args.power:
        loss = -torch.expm1(-args.power * loss) / args.power
    return loss.mean() * args.temperature


class Objective:
    """The loss of a batch, and how many of its images were certified for the rivals that were looked at."""

    def __init__(self, net: Hidden, args):
        self.net, self.args = net, args
        self.curvature = Curvature(net, "exact" if args.objective == "adv2" else args.m)

    def rivals(self, logits, true, count: int):
        """The largest other logits: t, and rows with 1 at y and -1 at t, all images for the first rival, then the next."""
        t = logits.masked_fill(true.bool(), -torch.inf).topk(count, 1).indices.T.flatten()
        return t, true.repeat(count, 1) - functional.one_hot(t, CLASSES)

    def __call__(self, x, y, rho: float):
        net, args, true = self.net, self.args, functional.one_hot(y, CLASSES).float()
        if args.objective in ("plain", "penalty"):
            logits = net(x)
            loss, certified = graded(logits, y, args), 0
            if args.objective == "penalty":
                t, _ = self.rivals(logits.detach(), true, 1)
                loss = loss + args.gamma * self.curvature()[y, t].mean()
            return loss, (logits.argmax(1) == y).sum(), certified
        m = self.curvature()
        with torch.no_grad():
            z = net.pre(x)
            logits = net.last(functional.softplus(z))
            count = args.rivals if args.objective == "adv2" else 1
            t, sides = self.rivals(logits, true, count)
        right, pair = (logits.argmax(1) == y).sum(), m[y.repeat(count), t]
        if args.objective == "crt":
            d = descend(net, x, z, sides, 2 * rho / args.steps, torch.zeros(len(x)), rho, args.steps)
            return graded(net(x + d), y, args) + args.gamma * pair.mean(), right, 0
        x, z, flat = x.repeat(count, 1), z.repeat(count, 1), pair.detach()
        d = descend(net, x, z, sides, 1.5 / (flat + m.detach()[t, y.repeat(count)]), flat, rho, args.steps)
        features, low = tangent(net, x, d, sides, pair, rho)
        logits = net.last(features[: len(y)])
        low = low.view(count, -1).T
        gaps = (logits - logits.gather(1, y[:, None])).scatter(1, t.view(count, -1).T, -low)
        return graded(gaps, y, args), right, (low > 0).all(1).sum()


def train(net: Hidden, images, labels, flip: bool, args) -> float:
    """Seconds of this process, of an epoch."""
    steps = len(images) // args.batch
    total = args.epochs * steps
    ramp = 0.0 if args.init else RAMP * total
    optimizer = torch.optim.Adam(net.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, args.lr, max(total, 10), pct_start=RAMP)
    objective, step, start = Objective(net, args), 0, time.process_time()
    for epoch in range(args.epochs):
        sums = torch.zeros(3)
        for pick in torch.randperm(len(images)).split(args.batch)[:steps]:
            x = net.image(data.augmented(images[pick], args.shift, flip))
            loss, right, certified = objective(x, labels[pick], args.rho * min(1.0, step / ramp if ramp else 1.0))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            step += 1
            sums += torch.tensor([loss.item() / steps, right / (steps * args.batch), certified / (steps * args.batch)])
        if not sums.isfinite().all():
            raise BadInput(f"epoch {epoch + 1}: the loss is not finite; lower --lr or --gamma")
        line = f"epoch {epoch + 1}: mean loss {sums[0]:.4f}, right {100 * sums[1]:.2f} %"
        print(line + (f", ESTIMATED certified for the rivals {100 * sums[2]:.2f} %" if args.objective == "adv2" else ""), flush=True)
    return (time.process_time() - start) / max(args.epochs, 1)


def report(net: Hidden, parts: dict, args) -> None:
    """Print the estimates for each part: a name, images and labels."""
    known = estimate.constants(net.double())
    net.float()
    off = ~torch.eye(CLASSES, dtype=torch.bool)
    print(f"ESTIMATED m of the pairs: mean {known.exact[off].mean():.5g}; by the four bounds {(known.four / known.exact)[off].mean():.4g} times that")
    print("ESTIMATED accuracy in % (f32 search, nothing proved), all classes, at eps " + ", ".join(f"{e:.4g}" for e in args.eps))
    row = lambda values: " ".join(f"{v:6.2f}" for v in values)
    for name, (images, labels) in parts.items():
        images = torch.cat([net.image(x) for x in images.split(1000)])
        results = {
            kind: estimate.accuracy(net, images, labels, m.float(), known.slope.float(), args.eps, args.search, kind == "exact m")
            for kind, m in (("exact m", known.exact), ("four bounds", known.four))
        }
        print(f"{name}: {len(labels)} images, clean {results['exact m'].clean:.2f} %")
        print(f"  first order            {row(results['exact m'].first)}")
        for kind, result in results.items():
            print(f"  {kind + ', closed':22} {row(result.closed)}")
            print(f"  {kind + ', tangent':22} {row(result.tangent)}")
        print(f"  not attacked           {row(results['exact m'].unbroken)}", flush=True)


def run(args) -> None:
    torch.manual_seed(args.seed)
    repeatable(args.threads)
    check_place("--out", args.out)
    name = data.kind(args.data)
    args.eps, args.rho = args.eps or EPS[name], RHO[name] if args.rho is None else args.rho
    images, labels = data.load(args.data, "train")
    kept = len(images) - args.validation
    if kept < args.batch:
        raise BadInput(f"--validation {args.validation} leaves {kept} of {len(images)} images, fewer than a batch of {args.batch}")
    parts = {"validation": (images[kept:], labels[kept:])} if args.validation else {}
    if args.test:
        parts["test"] = data.load(args.data, "test")
    images, labels = images[:kept], labels[:kept]
    if args.limit is not None:
        images, labels = images[: args.limit], labels[: args.limit]
        parts = {part: (x[: args.limit], y[: args.limit]) for part, (x, y) in parts.items()}
    if len(images) < args.batch:
        raise BadInput(f"--limit {args.limit}: fewer than a batch of {args.batch}")
    shape = tuple(images.shape[1:])
    if args.init:
        net = average(args.init, shape)
    else:
        net = built(f"--arch {args.arch}", lambda: network(args.arch, shape), lambda net: net.plain()[1:])
    net.prepare(images)
    net.products = torch.bfloat16 if args.bf16 else None
    seconds = train(net, images, labels, name == "cifar10", args)
    net.products = None
    kind = "dense" if args.init else args.arch.split(":")[0]
    save(net, shape, f"{name}-{kind}-{args.objective}", args.out)
    print(f"{args.out}: {args.out.stat().st_size} bytes; {seconds:.1f} s of processor time per epoch of {len(images)} images")
    report(net, parts, args)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=pathlib.Path, required=True, help="folder of the files of MNIST or CIFAR-10")
    parser.add_argument("--out", type=pathlib.Path, required=True, help="ONNX file to write")
    parser.add_argument("--arch", default="dense:1024", help="(default %(default)s)")
    parser.add_argument("--init", type=pathlib.Path, nargs="+", help="networks of this program, dense or of convolutions without padding: start from their average, a dense network with the units of all, and with the whole rho; --arch is not looked at")
    parser.add_argument("--objective", choices=["adv2", "crt", "penalty", "plain"], default="adv2", help="(default %(default)s)")
    parser.add_argument("--m", choices=["exact", "four"], default="four", help="curvature of crt and penalty (default %(default)s)")
    positive, whole = at_least(float, 1e-12), at_least(int, 1)
    for option, kind, default, text in (
        ("epochs", at_least(int, 0), 20, ""),
        ("batch", whole, 256, ""),
        ("lr", positive, 2e-3, "largest rate "),
        ("rho", positive, None, "radius of adv2 and crt (default 1.58, of CIFAR-10 0.5)"),
        ("gamma", at_least(float, 0.0), 0.01, "factor of the curvature in crt and penalty "),
        ("temperature", positive, 1.0, "divides the logits in the loss "),
        ("power", at_least(float, 0.0), 0.0, "q: 0 is the cross-entropy "),
        ("rivals", whole, 2, "classes of adv2 "),
        ("steps", whole, 3, "gradient steps of adv2 and crt "),
        ("shift", at_least(int, 0), 0, "pixels by which images are moved at most "),
        ("validation", at_least(int, 0), 5000, "training images, the last ones, that are kept back "),
        ("limit", whole, None, "first images of each part, for a trial"),
        ("search", whole, 60, "steps of the search in the final estimate "),
        ("seed", seed, 0, ""),
        ("threads", whole, 1, ""),
    ):
        parser.add_argument(f"--{option}", type=kind, default=default, help=text if default is None else text + "(default %(default)s)")
    parser.add_argument("--eps", type=positive, nargs="+", help="radii of the estimate (default 0.3 0.5 1 1.58, of CIFAR-10 36/255, 72/255, 108/255)")
    parser.add_argument("--bf16", action="store_true", help="train with products of bfloat16, faster where the processor has them; the file and the estimates are of f32 as without")
    parser.add_argument("--test", action="store_true", help="report the test images too")
    args = parser.parse_args()
    if args.rivals >= CLASSES:
        parser.error(f"--rivals {args.rivals}: there are {CLASSES - 1} other classes")
    try:
        run(args)
    except BadInput as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
