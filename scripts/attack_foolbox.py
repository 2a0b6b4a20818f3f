#!/usr/bin/env python3
"""Attack the certificates of an ONNX classifier with the l2 attacks of Foolbox.

    pip install foolbox
    python3 scripts/attack_foolbox.py MODEL.onnx --certificates CERTS.jsonl [--limit 200] [--attacks fmn,ddn,cw]

scripts/attack.py has gradient descent of its own; here the attacks are somebody else's: fmn (fast minimum
norm), ddn (decoupled direction and norm), cw (Carlini & Wagner) and deepfool, as Foolbox has them by
default, which look for the nearest image of another class in [0, 1]. What they return is evaluated again in
f64 by the graph of attack.py. For every attack: how many images it found within their certified radius,
which must be 0, and how much farther than that radius the images are that it did find.

Exit code 0: none within a certified radius. 1: one is.
"""

import argparse
import json
import math
import pathlib
import sys

import numpy as np
import torch

from attack import Graph, margins
from certificate.layout import pixels

ATTACKS = {"fmn": "L2FMNAttack", "ddn": "DDNAttack", "cw": "L2CarliniWagnerAttack", "deepfool": "L2DeepFoolAttack"}


class Module(torch.nn.Module):
    """The graph for a library that works in f32."""

    def __init__(self, graph):
        super().__init__()
        self.graph = graph

    def forward(self, x):
        return self.graph(x.double()).float()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("--certificates", type=pathlib.Path, required=True)
    parser.add_argument("--limit", type=int, default=200, help="only the first N certified images (default 200)")
    parser.add_argument("--attacks", default="fmn,ddn,cw")
    parser.add_argument("--batch", type=int, default=200)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    try:
        import foolbox
    except ImportError:
        sys.exit("this script needs foolbox: pip install foolbox")
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    wrong = [name for name in args.attacks.split(",") if name not in ATTACKS]
    if wrong:
        sys.exit(f"--attacks: {', '.join(wrong)}; expected some of {', '.join(ATTACKS)}")

    graph = Graph(args.model)
    lines = [json.loads(line) for line in args.certificates.read_text().splitlines() if line.strip()]
    if not lines or "certificates" not in lines[0]:
        sys.exit(f"{args.certificates}: its first line is not that of certificates")
    graph.behind(lines.pop(0))
    claims = [c for c in lines if c.get("radius") not in (0, "inf", None)][: args.limit]
    if not claims:
        sys.exit(f"{args.certificates}: no radius above 0")
    images = torch.from_numpy(np.stack([pixels(c) for c in claims])).reshape(len(claims), *graph.shape)
    labels = torch.tensor([c["label"] for c in claims])
    radius = torch.tensor([c["radius"] for c in claims], dtype=torch.float64)
    model = foolbox.PyTorchModel(Module(graph).eval(), bounds=(0, 1))
    print(f"{len(claims)} claims, median radius {radius.median():.4f}")
    broken = 0
    for name in args.attacks.split(","):
        distances = []
        for start in range(0, len(claims), args.batch):
            part = slice(start, start + args.batch)
            attack = getattr(foolbox.attacks, ATTACKS[name])()
            _, found, _ = attack(model, images[part].float(), labels[part], epsilons=[None])
            x = found[0].double()
            with torch.no_grad():
                other = margins(graph(x), labels[part]) <= 0
            distance = (x - images[part]).flatten(1).norm(dim=1)
            distances.append(torch.where(other, distance, torch.tensor(math.inf, dtype=torch.float64)))
        distance = torch.cat(distances)
        hit = distance.isfinite()
        inside = hit & (distance <= radius)
        broken += int(inside.sum())
        ratio = (distance / radius)[hit]
        far = "" if not hit.any() else f"; they are {ratio.min():.4f} to {ratio.max():.2f} times that radius away, median {ratio.median():.4f}"
        print(f"{name}: another class found for {int(hit.sum())} of {len(claims)}, {int(inside.sum())} within the certified radius{far}", flush=True)
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
