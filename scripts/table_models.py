"""What sigmax says of real architectures as PyTorch exports them: prints the table of docs/models.md.

Every model has random weights, is exported by `torch.onnx.export(..., dynamo=True)`, with and without the
optimisation of the graph, and audited; exports go into a temporary folder, one at a time. Results are kept in a
file of JSON lines: what is in it from the same program with the same budget is not done again, and a table is of one
program and one budget.

    python scripts/table_models.py --sigmax target/release/sigmax --results models.jsonl

needs torch, torchvision, onnx and onnxscript, and timm for the models that are its own (they are left out without).
"""

import argparse
import decimal
import hashlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

# Name: where it is from, and the length of both sides of its input.
TORCHVISION = {
    "alexnet": 64,
    "vgg11": 64,
    "vgg16_bn": 64,
    "resnet18": 64,
    "resnet34": 64,
    "resnet50": 64,
    "wide_resnet50_2": 64,
    "resnext50_32x4d": 64,
    "squeezenet1_0": 64,
    "squeezenet1_1": 64,
    "densenet121": 64,
    "mobilenet_v2": 64,
    "mobilenet_v3_small": 64,
    "mobilenet_v3_large": 64,
    "shufflenet_v2_x0_5": 64,
    "shufflenet_v2_x1_0": 64,
    "mnasnet0_5": 64,
    "mnasnet1_0": 64,
    "efficientnet_b0": 64,
    "efficientnet_v2_s": 64,
    "regnet_x_400mf": 64,
    "regnet_y_400mf": 64,
    "googlenet": 64,
    "inception_v3": 96,
    "convnext_tiny": 64,
    "vit_b_32": 64,
    "swin_t": 64,
    "lraspp_mobilenet_v3_large": 64,
    "fcn_resnet50": 64,
    "deeplabv3_mobilenet_v3_large": 64,
}
TIMM = {
    "convnext_atto": 64,
    "convnextv2_atto": 64,
    "resnetv2_50": 64,
    "resnetv2_50x1_bit": 64,
    "mixer_s32_224": 224,
    "resmlp_12_224": 224,
    "repvgg_a0": 64,
    "ghostnet_100": 64,
    "dla34": 64,
    "res2net50_14w_8s": 64,
    "hrnet_w18_small": 64,
    "darknet53": 64,
    "nf_resnet50": 64,
    "edgenext_xx_small": 64,
    "convmixer_768_32": 64,
}
OWN = {"unet_groupnorm": 64, "cifar_resnet20": 32}


def own(name):
    import torch
    from torch import nn

    def block(a, b):
        return nn.Sequential(
            nn.Conv2d(a, b, 3, padding=1), nn.GroupNorm(8, b), nn.SiLU(),
            nn.Conv2d(b, b, 3, padding=1), nn.GroupNorm(8, b), nn.SiLU(),
        )

    class UNet(nn.Module):
        """Two levels, as diffusion models have them, without attention."""

        def __init__(self):
            super().__init__()
            self.first, self.down, self.middle = block(3, 32), nn.Conv2d(32, 64, 3, 2, 1), block(64, 64)
            self.lower, self.deepest = nn.Conv2d(64, 128, 3, 2, 1), block(128, 128)
            self.up, self.joined = nn.ConvTranspose2d(128, 64, 2, 2), block(128, 64)
            self.last, self.merged, self.out = nn.Conv2d(64, 32, 3, padding=1), block(64, 32), nn.Conv2d(32, 3, 1)

        def forward(self, x):
            a = self.first(x)
            b = self.middle(self.down(a))
            c = self.deepest(self.lower(b))
            d = self.joined(torch.cat([self.up(c), b], 1))
            d = self.last(nn.functional.interpolate(d, scale_factor=2, mode="nearest"))
            return self.out(self.merged(torch.cat([d, a], 1)))

    class Residual(nn.Module):
        def __init__(self, a, b, stride):
            super().__init__()
            self.one, self.two = nn.Conv2d(a, b, 3, stride, 1, bias=False), nn.Conv2d(b, b, 3, 1, 1, bias=False)
            self.n1, self.n2, self.skip = nn.BatchNorm2d(b), nn.BatchNorm2d(b), (a, b, stride)

        def forward(self, x):
            y = self.n2(self.two(torch.relu(self.n1(self.one(x)))))
            a, b, stride = self.skip
            if a != b:
                x = nn.functional.pad(x[:, :, ::stride, ::stride], (0, 0, 0, 0, (b - a) // 2, (b - a) // 2))
            return torch.relu(x + y)

    if name == "unet_groupnorm":
        return UNet()
    blocks, a = [], 16
    for b in (16, 32, 64):
        for place in range(3):
            blocks.append(Residual(a, b, 2 if place == 0 and b > 16 else 1))
            a = b
    start = [nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
    return nn.Sequential(*start, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


def model(source, name, side):
    import torch

    torch.manual_seed(0)
    if source == "own":
        return own(name)
    if source == "timm":
        import timm

        return timm.create_model(name, pretrained=False)
    import torchvision

    options = {"weights": None}
    if name.startswith(("fcn", "deeplab", "lraspp")):
        options["weights_backbone"] = None
    if name.startswith("vit"):
        options["image_size"] = side
    if name in ("googlenet", "inception_v3"):
        options |= {"init_weights": False, "aux_logits": True}
    return torchvision.models.get_model(name, **options)


def path_of(folder, name, optimize):
    return pathlib.Path(folder) / f"{name}-{'optimised' if optimize else 'plain'}.onnx"


def export(source, name, side, folder):
    """Both exports of a model: `optimize=True` is that of `optimize=False` and then `optimize()`."""
    import torch

    net = model(source, name, side).eval()
    x = torch.zeros(1, 3, side, side)
    program = torch.onnx.export(net, (x,), dynamo=True, optimize=False, verbose=False)
    program.save(path_of(folder, name, False), external_data=False)
    program.optimize()
    program.save(path_of(folder, name, True), external_data=False)


# A child's peak counts what its parent held when it was started: so it is started by an interpreter that holds little.
STARTER = """
import os, sys
pid = os.spawnvp(os.P_NOWAIT, sys.argv[2], sys.argv[2:])
_, status, usage = os.wait4(pid, 0)
with open(sys.argv[1], "w") as file:
    print(usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, file=file)
sys.exit(os.waitstatus_to_exitcode(status))
"""


def measured(command, output):
    """Of a command: exit code, errors, seconds by the clock and of all cores, peak of resident memory in MiB."""
    used = f"{output}.used"
    starter = [sys.executable, "-I", "-S", "-c", STARTER, used, *(str(word) for word in command)]
    start = time.monotonic()
    with open(output, "wb") as out:
        process = subprocess.run(starter, stdout=out, stderr=subprocess.PIPE, check=False)
    seconds = time.monotonic() - start
    cpu, memory = (float(number) for number in pathlib.Path(used).read_text().split())
    return process.returncode, process.stderr.decode(errors="replace"), seconds, cpu, memory


def one(args, source, name, side, optimize, folder):
    made_in = args.keep or folder
    path = path_of(made_in, name, optimize)
    row = {"source": source, "model": name, "side": side, "optimize": optimize, "by": args.by}
    if not path.exists():
        command = [sys.executable, __file__, "--export", source, name, str(side), str(made_in)]
        made = subprocess.run(command, capture_output=True, text=True, check=False)
        if made.returncode:
            return row | {"error": "not exported: " + (made.stderr.strip().splitlines() or ["?"])[-1][:300]}
    if args.only_export:
        return None
    report = pathlib.Path(folder) / "report.json"
    command = [args.sigmax, "audit", str(path), "--format", "json"]
    if args.budget:
        command += ["--budget", str(args.budget)]
    code, errors, seconds, cpu, memory = measured(command, report)
    row |= {"code": code, "seconds": seconds, "cpu": cpu, "memory": memory, "bytes": path.stat().st_size}
    try:
        found = json.loads(report.read_text())
    except ValueError:
        return row | {"error": errors.strip()[:500] or f"exit code {code}"}
    network = found["network"] or {}
    constant = network.get("lipschitz") or {}
    row |= {
        "layers": len(found["layers"]),
        "refused": [[r["name"], r["kind"], r["reason"]] for r in found["refused"]],
        "constant": constant.get("upper"),
        "blockers": [[b["name"], b["kind"], b["reason"]] for b in network.get("blockers", [])],
        "largest": max((layer["norm"]["upper"] for layer in found["layers"]), default=None),
    }
    return row


def above(x):
    """A proved upper end with three digits, rounded up."""
    if x == 0:
        return "0"
    exact = decimal.Decimal(x)
    up = decimal.Context(prec=3, rounding=decimal.ROUND_CEILING).plus(exact)
    assert up >= exact
    return f"{up:.2e}" if up >= 1000 else str(up)


def text(row):
    if "error" in row:
        return row["error"].replace("|", "\\|").replace("\n", " ")
    if row["constant"] is not None:
        return f"≤ {above(row['constant'])}" if row["constant"] != "inf" else "overflow"
    kinds = {}
    for name, kind, reason in row["blockers"]:
        kinds.setdefault((kind, reason), []).append(name)
    parts = [f"{len(names)} {kind} (`{names[0]}`): {reason}" for (kind, reason), names in kinds.items()]
    return "none: " + "; ".join(parts[:3]) + (f"; {len(parts) - 3} more kinds" if len(parts) > 3 else "")


def table(rows):
    lines = ["| model | input | export | layers | constant of the network, or what has none | s | CPU s | MiB |",
             "|---|---|---|---|---|---|---|---|"]
    for row in rows:
        layers = str(row.get("layers", ""))
        if row.get("refused"):
            layers += f", {len(row['refused'])} refused"
        name = row["model"] if row["source"] == "own" else f"{row['source']} {row['model']}"
        cells = [name, f"{row['side']}²", "optimised" if row["optimize"] else "plain", layers, text(row),
                 f"{row['seconds']:.1f}" if "seconds" in row else "", f"{row['cpu']:.1f}" if "cpu" in row else "",
                 f"{row['memory']:.0f}" if "memory" in row else ""]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sigmax", default="target/release/sigmax")
    parser.add_argument("--results", default="models.jsonl", help="where results are kept and found again")
    parser.add_argument("--models", nargs="*", help="only these")
    parser.add_argument("--exports", nargs="+", choices=["optimised", "plain"], default=["optimised", "plain"])
    parser.add_argument("--budget", type=float, help="seconds for each audit")
    parser.add_argument("--keep", help="a folder for the exports, which are not made again then")
    parser.add_argument("--only-export", action="store_true", help="audit nothing (with --keep)")
    parser.add_argument("--print", action="store_true", help="only the table of what is there")
    parser.add_argument("--export", nargs=4, help=argparse.SUPPRESS)
    parser.set_defaults(by=None)
    args = parser.parse_args()
    if args.export:
        source, name, side, folder = args.export
        return export(source, name, int(side), folder)
    results = pathlib.Path(args.results)
    rows = [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []
    if args.print:
        if len({json.dumps(row.get("by")) for row in rows}) > 1:
            sys.exit(f"error: {results} has rows of several programs or budgets; run it again without --print")
    elif not args.only_export:
        digest = hashlib.sha256(pathlib.Path(args.sigmax).read_bytes()).hexdigest()
        args.by = [digest, args.budget]
        rows = [row for row in rows if row.get("by") == args.by]
    done = {(row["model"], row["optimize"]) for row in rows}
    groups = [("torchvision", TORCHVISION), ("timm", TIMM), ("own", OWN)]
    wanted = [(s, n, side) for s, group in groups for n, side in group.items() if not args.models or n in args.models]
    for source, name, side in [] if args.print else wanted:
        with tempfile.TemporaryDirectory() as folder:
            for optimize in (True, False):
                if (name, optimize) in done or ("optimised" if optimize else "plain") not in args.exports:
                    continue
                row = one(args, source, name, side, optimize, folder)
                if row is None:
                    continue
                rows.append(row)
                with results.open("a") as file:
                    file.write(json.dumps(row) + "\n")
                print(f"{name} {'optimised' if optimize else 'plain'}: {text(row)[:200]}", file=sys.stderr, flush=True)
    wanted = [(s, n, side, o) for s, n, side in wanted for o in (True, False)]
    place = {(n, o): i for i, (_, n, _, o) in enumerate(wanted)}
    print(table(sorted(rows, key=lambda row: place.get((row["model"], row["optimize"]), len(place)))))


if __name__ == "__main__":
    main()
