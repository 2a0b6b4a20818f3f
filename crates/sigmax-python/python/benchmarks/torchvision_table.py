"""What sigmax says of models of torchvision, audited as modules: prints the table of docs/torchvision.md.

Every model has random weights (seed 0) and is audited by `sigmax.audit(model, example)` in a process of its
own. Seconds are those of this call. "MiB" is the peak of the memory of the process when the call is done,
"beyond" what of it came after the imports of torch, torchvision and sigmax, also in units of the weights in
f64. Constants are rounded up. Rows are kept in a file of JSON lines as they are found: what is in it from the
same package, versions and options is not done again, and a table is of one of these.

    pip install "sigmax[torch]" torchvision
    python torchvision_table.py --budget 60 --results torchvision.jsonl

Needs a POSIX system, which says how much memory a process took.
"""

from __future__ import annotations

import argparse
import decimal
import hashlib
import importlib.metadata
import json
import logging
import math
import os
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import sigmax

# The length of both sides of the input. The first is one number times another: what the least audit takes.
LEAST = "nn.Linear(1, 1)"
MODELS = {
    LEAST: 1,
    "alexnet": 224,
    "vgg11_bn": 224,
    "vgg16": 224,
    "resnet18": 224,
    "resnet50": 224,
    "wide_resnet50_2": 224,
    "resnext50_32x4d": 224,
    "squeezenet1_1": 224,
    "densenet121": 224,
    "mobilenet_v2": 224,
    "mobilenet_v3_small": 224,
    "mnasnet1_0": 224,
    "shufflenet_v2_x1_0": 224,
    "efficientnet_b0": 224,
    "regnet_x_400mf": 224,
    "regnet_y_400mf": 224,
    "googlenet": 224,
    "inception_v3": 299,
    "convnext_tiny": 224,
    "vit_b_32": 224,
    "swin_t": 224,
    "maxvit_t": 224,
}
Row = dict[str, Any]


def mebibytes(usage: resource.struct_rusage) -> float:
    """The peak of resident memory, in MiB."""
    return usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def one(name: str, budget: float | None, threads: int | None) -> None:
    """Audits a model and prints a line of JSON."""
    import torch
    import torchvision

    imported = mebibytes(resource.getrusage(resource.RUSAGE_SELF))
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    if threads is not None:
        torch.set_num_threads(threads)
    torch.manual_seed(0)
    if name == LEAST:
        model, example = torch.nn.Linear(1, 1), torch.zeros(1, 1)
    else:
        model = torchvision.models.get_model(name, weights=None)
        example = torch.zeros(1, 3, MODELS[name], MODELS[name])
    weights = sum(parameter.numel() for parameter in model.parameters()) * 8 / 2**20
    wall, cpu = time.perf_counter(), time.process_time()
    report = sigmax.audit(model, example, budget=budget, threads=threads)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    found = {
        "imported": imported,
        # Here, since torch takes more when the process ends.
        "memory": mebibytes(resource.getrusage(resource.RUSAGE_SELF)),
        "weights": weights,
        "seconds": wall,
        "cpu": cpu,
        "audit": report.summary()["seconds"],
        "layers": len(report.layers),
        "refused": [[r.name, r.kind, r.reason] for r in report.refused],
        # As text, since JSON has no infinity.
        "constant": None if report.lipschitz is None else float(report.lipschitz).hex(),
        "blockers": [[b.name, b.kind, b.reason] for b in report.blockers],
    }
    print(json.dumps(found))


def measured(name: str, args: argparse.Namespace) -> Row:
    """The row of a model, from a process of its own."""
    command = [sys.executable, __file__, "--one", name]
    for option in ("budget", "threads"):
        if getattr(args, option) is not None:
            command += [f"--{option}", str(getattr(args, option))]
    row: Row = {"model": name, "side": MODELS[name], "by": args.by}
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors)
        assert process.stdout is not None
        printed = process.stdout.read().decode()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        errors.seek(0)
        said = errors.read().decode(errors="replace").strip().splitlines()
    row |= {"code": process.returncode, "memory": mebibytes(usage)}
    if process.returncode != 0 or not printed.strip():
        return row | {"error": (said or [f"exit code {process.returncode}"])[-1], "said": said}
    found: Row = json.loads(printed.splitlines()[-1])
    return row | found


def above(x: float) -> str:
    """A proved upper end with three digits, rounded up."""
    if math.isinf(x):
        return "overflow"
    exact = decimal.Decimal(x)
    up = decimal.Context(prec=3, rounding=decimal.ROUND_CEILING).plus(exact)
    assert up >= exact
    return f"{up:.2e}" if up >= 1000 else f"{up}"


def said_of(row: Row) -> str:
    """The constant, or what has none."""
    if "error" in row:
        return "failed: " + row["error"].replace("|", "\\|")
    if row["constant"] is not None:
        return f"≤ {above(float.fromhex(row['constant']))}"
    kinds: dict[tuple[str, str], list[str]] = {}
    for name, kind, reason in row["blockers"]:
        kinds.setdefault((kind, reason), []).append(name)
    parts = [f"{len(names)} {kind} (`{names[0]}`): {reason}" for (kind, reason), names in kinds.items()]
    return "none: " + "; ".join(parts).replace("|", "\\|")


def table(rows: list[Row]) -> str:
    """Markdown."""
    lines = [
        "| model | input | layers | constant of the network, or what has none | s | of it export | CPU s "
        "| weights in f64, MiB | MiB | beyond |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        size = "1" if row["model"] == LEAST else f"{row['side']}²"
        if "error" in row:
            cells = [row["model"], size, "", said_of(row), "", "", "", "", f"{row['memory']:.0f}", ""]
        else:
            layers = str(row["layers"]) + (f", {len(row['refused'])} refused" if row["refused"] else "")
            beyond = row["memory"] - row["imported"]
            times = "" if row["model"] == LEAST else f" ({beyond / row['weights']:.2f}×)"
            cells = [
                row["model"],
                size,
                layers,
                said_of(row),
                f"{row['seconds']:.1f}",
                f"{row['seconds'] - row['audit']:.1f}",
                f"{row['cpu']:.1f}",
                f"{row['weights']:.0f}",
                f"{row['memory']:.0f}",
                f"{beyond:.0f}{times}",
            ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def made_by(args: argparse.Namespace) -> Row:
    """What a row depends on: the package, versions, options."""
    core = Path(str(sigmax._core.__file__))
    sources = hashlib.sha256()
    for path in sorted(core.parent.glob("*.py")):
        sources.update(path.read_bytes())
    return {
        "core": hashlib.sha256(core.read_bytes()).hexdigest(),
        "sources": sources.hexdigest(),
        "torch": importlib.metadata.version("torch"),
        "torchvision": importlib.metadata.version("torchvision"),
        "budget": args.budget,
        "threads": args.threads,
    }


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--budget", type=float, help="seconds for each audit")
    parser.add_argument("--threads", type=int, help="of each audit; all cores by default")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS), help="only these")
    parser.add_argument(
        "--results", default="torchvision.jsonl", type=Path, help="where results are kept and found again"
    )
    parser.add_argument("--print", action="store_true", help="only the table of what is there")
    parser.add_argument("--one", choices=MODELS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        one(args.one, args.budget, args.threads)
        return
    kept = args.results.read_text().splitlines() if args.results.exists() else []
    rows: list[Row] = [json.loads(line) for line in kept]
    if args.print:
        if len({json.dumps(row["by"], sort_keys=True) for row in rows}) > 1:
            sys.exit(f"error: {args.results} has rows of several packages, versions or options")
        rows = [row for row in rows if row["model"] in args.models]
    else:
        args.by = made_by(args)
        rows = [row for row in rows if row["by"] == args.by]
        done = {row["model"] for row in rows}
        for name in args.models:
            if name in done:
                continue
            row = measured(name, args)
            rows.append(row)
            with args.results.open("a") as file:
                file.write(json.dumps(row) + "\n")
            print(f"{name}: {said_of(row)[:200]}", file=sys.stderr, flush=True)
    place = {name: n for n, name in enumerate(MODELS)}
    print(table(sorted(rows, key=lambda row: place[row["model"]])))


if __name__ == "__main__":
    main()
