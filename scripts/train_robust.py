#!/usr/bin/env python3
"""Train an ordinary CNN with ReLU against l2 attacks, as a network to certify that was not built for certificates.

    python3 scripts/train_robust.py --data DIR --output FILE.onnx [--dataset mnist] [--eps 36/255] [--epochs 20]

DIR holds the six binary files of CIFAR-10, or with --dataset mnist the four official files of MNIST; or it
is the folder in which their folders lie, cifar-10-batches-bin and mnist. Pixels are value/255, and the
network has them as they are, without normalisation. --widths are the channels of two convolutions, 4x4
with stride 2 and padding 1, and the outputs of the dense layers but the last one; ReLU in between.

Adversarial training (Madry et al., ICLR 2018): the loss is the cross-entropy at an image x' that --steps
normalised gradient steps find within --eps of the image, 2-norm, all pixels in [0, 1]. With --margin the
logit of the true class is set back by that much first, so that the loss asks for a lead. SGD with
momentum, --decay as weight decay, which keeps the norms of the layers small, and one cycle to --rate; eps
grows over the first fifth of the steps. CIFAR-10 is mirrored by chance and moved by up to --shift pixels.

At the end: the clean accuracy on all test images; the accuracy that is left by an attack with --attack
steps and two restarts at eps on the first 1,000, which is no certificate: better attacks leave less; and
ESTIMATES of the norms of the layers by power iteration. Training is in f32, these numbers too. The result
depends on --seed and, as rounding does, on the machine, --threads and PyTorch.

On CIFAR-10 as it is: 54.81 % clean, 50.5 % under attack, norms 2.74, 2.24, 1.52 and 1.52, in 20 minutes of a
core shared with others; with --decay 4e-3 --epochs 12 63.50 and 58.5 %, norms 3.93, 2.50, 1.99 and 2.03.
"""

import argparse
import pathlib
import sys
import time

import onnx
import torch
from onnx import helper, numpy_helper
from torch import nn
from torch.nn import functional

from curvature import data
from curvature.data import BadInput
from curvature.options import at_least, built, check_place, repeatable, seed, write_whole

FOLDERS = {"cifar10": "cifar-10-batches-bin", "mnist": "mnist"}
CLASSES, ATTACKED, RESTARTS = 10, 1000, 2
RAMP = 0.2  # share of the steps over which eps and the rate grow


def network(shape: tuple[int, int, int], widths: list[int]) -> nn.Sequential:
    (channels, side, _), layers = shape, []
    for width in widths[:2]:
        layers += [nn.Conv2d(channels, width, 4, 2, 1), nn.ReLU()]
        channels, side = width, side // 2
    layers.append(nn.Flatten())
    inputs = channels * side**2
    for width in widths[2:]:
        layers += [nn.Linear(inputs, width), nn.ReLU()]
        inputs = width
    return nn.Sequential(*layers, nn.Linear(inputs, CLASSES))


# --- the attack ----------------------------------------------------------------------------------

def scaled(d, length):
    """Each row of `d` with the 2-norm `length`."""
    return d * (length / (d.flatten(1).norm(dim=1) + 1e-12))[:, None, None, None]


def inside(x, d, eps: float):
    """The image next to x + d that is within eps of x and has all pixels in [0, 1]."""
    length = d.flatten(1).norm(dim=1)
    return (x + scaled(d, length.clamp_max(eps))).clamp(0, 1)  # x is in [0, 1]: this makes no entry of d larger


def start(x, eps: float):
    """A random image within eps, at all distances alike."""
    return inside(x, scaled(torch.randn_like(x), eps * torch.rand(len(x))), eps)


def attack(net, x, y, eps: float, steps: int, loss, first):
    """Images at the end of `steps` gradient steps up on `loss` from `first`, and whether the class held all along."""
    held, length = torch.ones(len(x), dtype=torch.bool), torch.full((len(x),), 2 * eps / steps)
    z = first
    for _ in range(steps):
        z = z.detach().requires_grad_()
        logits = net(z)
        held &= logits.argmax(1) == y
        g, = torch.autograd.grad(loss(logits, y), z)
        z = inside(x, z.detach() + scaled(g, length) - x, eps)
    return z, held


def lead(logits, y):
    """How far the largest other logit is ahead of the true one."""
    others = logits.masked_fill(functional.one_hot(y, CLASSES).bool(), -torch.inf)
    return (others.max(1).values - logits.gather(1, y[:, None])[:, 0]).sum()


@torch.no_grad()
def accuracy(net, images, labels) -> float:
    return 100 * torch.cat([net(x).argmax(1) for x in images.split(1000)]).eq(labels).double().mean().item()


def attacked_accuracy(net, images, labels, eps: float, steps: int) -> float:
    """In %: what an attack from the image and from random images within eps leaves."""
    held = torch.ones(len(images), dtype=torch.bool)
    for restart in range(RESTARTS):
        first = start(images, eps) if restart else images
        z, whole = attack(net, images, labels, eps, steps, lead, first)
        held &= whole & (net(z).argmax(1) == labels)
    return 100 * held.double().mean().item()


# --- training ------------------------------------------------------------------------------------

def train(net, images, labels, args) -> None:
    net.train()
    steps = len(images) // args.batch
    total, step, began = args.epochs * steps, 0, time.perf_counter()
    optimizer = torch.optim.SGD(net.parameters(), args.rate, momentum=0.9, nesterov=True, weight_decay=args.decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, args.rate, max(total, 10), pct_start=RAMP, cycle_momentum=False)
    for epoch in range(args.epochs):
        loss_sum = right = 0.0
        for pick in torch.randperm(len(images)).split(args.batch)[:steps]:
            y, cifar = labels[pick], args.dataset == "cifar10"
            x = data.augmented(images[pick], args.shift if cifar else 0, cifar)
            eps = args.eps * min(1.0, (step + 1) / (RAMP * total))
            if args.steps:
                x, _ = attack(net, x, y, eps, args.steps, functional.cross_entropy, start(x, eps))
            logits = net(x)
            right += (logits.argmax(1) == y).sum().item()
            loss = functional.cross_entropy(logits - args.margin * functional.one_hot(y, CLASSES), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            step += 1
            loss_sum += loss.item()
        if loss_sum != loss_sum:
            raise BadInput(f"epoch {epoch + 1}: the loss is not finite; lower --rate")
        spent = time.perf_counter() - began
        print(f"epoch {epoch + 1}: mean loss {loss_sum / steps:.4f}, right under attack {100 * right / (steps * args.batch):.2f} %, {spent:.0f} s", flush=True)


def norms(net, shape, iterations: int = 200) -> list[float]:
    """Norms of the layers at their size in the network, from below."""
    results, x = [], torch.zeros(1, *shape)
    for layer in net:
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            v = torch.randn_like(x)
            for _ in range(iterations):
                v = (v / v.norm()).detach().requires_grad_()
                w = layer(v) - layer(torch.zeros_like(v))
                length = w.norm().item()
                v, = torch.autograd.grad(w.square().sum() / 2, v)
            results.append(length)
        x = layer(x).detach()
    return results


def save(net, shape, name: str, path: pathlib.Path) -> None:
    """Write Conv or Gemm, Relu and Flatten with f32 constants, from images [N, ...] to logits [N, 10]."""
    nodes, constants, last = [], [], "image"
    for i, layer in enumerate(net, 1):
        kind = {nn.Conv2d: "Conv", nn.Linear: "Gemm", nn.ReLU: "Relu", nn.Flatten: "Flatten"}[type(layer)]
        inputs, output, attributes = [last], "logits" if i == len(net) else f"{kind.lower()}{i}_out", {}
        if kind in ("Conv", "Gemm"):
            inputs += [f"{kind.lower()}{i}.weight", f"{kind.lower()}{i}.bias"]
            constants += [numpy_helper.from_array(p.detach().numpy(), n) for p, n in zip((layer.weight, layer.bias), inputs[1:])]
            attributes = {"transB": 1}
        if kind == "Conv":
            attributes = {"kernel_shape": [*layer.kernel_size], "strides": [*layer.stride], "pads": [*layer.padding] * 2}
        nodes.append(helper.make_node(kind, inputs, [output], f"{kind.lower()}{i}", **attributes))
        last = output
    ends = {"image": ["N", *shape], "logits": ["N", CLASSES]}
    ends = [[helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, dims)] for n, dims in ends.items()]
    graph = helper.make_graph(nodes, name, *ends, constants)
    file = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(file, full_check=True)
    write_whole(path, file.SerializeToString())


def quotient(text: str) -> float:
    """A number like 0.5 or 36/255."""
    above, _, below = text.partition("/")
    below = float(below or 1)
    value = float(above) / below if below else float("nan")
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a number from 0")
    return value


def run(args) -> None:
    torch.manual_seed(args.seed)
    repeatable(args.threads)
    check_place("--output", args.output)
    folder = args.data / FOLDERS[args.dataset]
    folder = folder if folder.is_dir() else args.data
    if data.kind(folder) != args.dataset:
        raise BadInput(f"{folder} has the files of {data.kind(folder)}; --dataset is {args.dataset}")
    (images, labels), test = data.load(folder, "train"), data.load(folder, "test")
    if len(images) < args.batch:
        raise BadInput(f"{folder}: {len(images)} images, and a batch has {args.batch}")
    shape = tuple(images.shape[1:])
    net = built(f"--widths {args.widths}", lambda: network(shape, args.widths))
    train(net, images, labels, args)
    save(net.eval(), shape, f"{args.dataset}-robust", args.output)
    images, labels = test
    print(f"{args.output}: {args.output.stat().st_size} bytes; clean accuracy {accuracy(net, images, labels):.2f} % of {len(images)}")
    left = attacked_accuracy(net, images[:ATTACKED], labels[:ATTACKED], args.eps, args.attack)
    print(f"accuracy under attack at {args.eps:.6g} ({args.attack} steps, {RESTARTS} restarts) {left:.2f} % of the first {len(images[:ATTACKED])}")
    values = norms(net, shape)
    product = torch.tensor(values).prod().item()
    print("ESTIMATED norms of the layers " + ", ".join(f"{v:.3f}" for v in values) + f"; product {product:.4g}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=pathlib.Path, required=True, help="folder of the files, or of their folders")
    parser.add_argument("--output", type=pathlib.Path, required=True, help="ONNX file to write")
    parser.add_argument("--dataset", choices=[*FOLDERS], default="cifar10", help="(default %(default)s)")
    parser.add_argument("--eps", type=quotient, default="36/255", help="radius of the attacks (default %(default)s)")
    parser.add_argument("--widths", type=lambda text: [int(w) for w in text.split(",")], default="16,32,100", help="(default %(default)s)")
    natural, whole = at_least(int, 0), at_least(int, 1)
    for option, kind, default, text in (
        ("epochs", whole, 20, ""),
        ("steps", natural, 2, "gradient steps of the attack while training, 0 for ordinary training "),
        ("attack", whole, 40, "gradient steps of the attack at the end "),
        ("margin", float, 0.0, "lead that the loss asks for "),
        ("decay", at_least(float, 0.0), 1e-2, "weight decay "),
        ("batch", whole, 128, ""),
        ("rate", at_least(float, 1e-12), 0.05, "largest rate "),
        ("shift", natural, 2, "pixels by which images of CIFAR-10 are moved at most "),
        ("seed", seed, 0, ""),
        ("threads", whole, 1, ""),
    ):
        parser.add_argument(f"--{option}", type=kind, default=default, help=text + "(default %(default)s)")
    args = parser.parse_args()
    if len(args.widths) < 2 or min(args.widths) < 1:
        parser.error("--widths: at least two, the channels of the convolutions")
    try:
        run(args)
    except BadInput as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
