"""Audits models of torchvision with random weights: time, peak memory, constant or blockers.

    python python/benchmarks/torchvision_table.py [--size 224] [--budget 120] [MODEL ...]

Each model runs in a process of its own. "weights" is the memory of the parameters in f64, "memory" what the
audit adds to the peak of the process before it, "lowering" the time of torch.export and the rules. Prints
Markdown, a row as it is known.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections import Counter

MODELS = [
    "alexnet",
    "resnet18",
    "resnet50",
    "resnext50_32x4d",
    "wide_resnet50_2",
    "densenet121",
    "googlenet",
    "inception_v3",
    "squeezenet1_1",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "mnasnet1_0",
    "shufflenet_v2_x1_0",
    "efficientnet_b0",
    "regnet_x_400mf",
    "regnet_y_400mf",
    "convnext_tiny",
    "vit_b_16",
    "swin_t",
    "segmentation.fcn_resnet50",
    "segmentation.deeplabv3_mobilenet_v3_large",
    "vgg11_bn",
]


def peak() -> float:
    """The peak memory of this process in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def run(name: str, size: int, budget: float) -> None:
    """Audits one model and prints a line of JSON."""
    import logging
    import warnings

    import torch
    import torchvision

    import sigmax
    from sigmax._open import core_model

    warnings.filterwarnings("ignore")
    logging.disable(logging.CRITICAL)
    torch.manual_seed(0)
    place = torchvision.models
    *folders, last = name.split(".")
    for folder in folders:
        place = getattr(place, folder)
    options = {"weights_backbone": None} if folders else {}
    if last in ("googlenet", "inception_v3"):
        options["init_weights"] = True
    model = getattr(place, last)(weights=None, **options)
    example = torch.zeros(1, 3, size, size)
    weights = sum(p.numel() for p in model.parameters()) * 8 / 2**20
    started = time.perf_counter()
    core_model(model, example)
    lowering = time.perf_counter() - started
    before = peak()
    report = sigmax.audit(model, example, budget=budget)
    seconds = time.perf_counter() - started - lowering
    kinds = Counter(f"{blocker.kind}: {blocker.reason}" for blocker in report.blockers)
    found = {
        "name": name,
        "layers": len(report.layers),
        "refused": len(report.refused),
        "weights": weights,
        "lowering": lowering,
        "seconds": seconds,
        "memory": peak() - before,
        "lipschitz": report.lipschitz,
        "blockers": kinds.most_common(3),
    }
    print(json.dumps(found))


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", default=MODELS)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--budget", type=float, default=120.0)
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        run(args.models[0], args.size, args.budget)
        return
    print("| model | layers | lowering | audit | memory (weights in f64) | constant, or what has no rule |")
    print("|---|---|---|---|---|---|", flush=True)
    for name in args.models:
        command = [sys.executable, __file__, "--one", "--size", str(args.size)]
        command += ["--budget", str(args.budget), name]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            print(f"| {name} | failed: {done.stderr.strip().splitlines()[-1:]} |", flush=True)
            continue
        row = json.loads(done.stdout.strip().splitlines()[-1])
        what = "; ".join(f"{count}x {text}" for text, count in row["blockers"])
        if row["lipschitz"] is not None:
            what = f"{row['lipschitz']:.5g}"
        print(
            f"| {name} | {row['layers']} | {row['lowering']:.1f} s | {row['seconds']:.1f} s "
            f"| {row['memory']:.0f} MiB ({row['weights']:.0f}) | {what} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
