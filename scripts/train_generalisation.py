#!/usr/bin/env python3
"""Does a penalty on the norms of convolutions help a network that overfits? One table per configuration.

    python3 scripts/train_generalisation.py run CONFIG.json --data DIR --out RUNS.csv [--jobs 2]
    python3 scripts/train_generalisation.py table CONFIG.json RUNS.csv

Needs the package `sigmax` with PyTorch (`crates/sigmax-python/test.sh --environment` and `maturin develop`).
DIR holds the files of MNIST or Fashion-MNIST (idx, gzipped or not) or the six binary files of CIFAR-10.

A run is one network: `images` training images drawn by its seed, trained for a fixed number of steps by SGD with
momentum and a cosine schedule on the cross-entropy + λ/2 of all squared weights + β times the sum over
convolutions of what `sigmax.torch.SpectralPenalty` measures. What counts is the network after the last step.

`run` works through the plan, in this order for each cell (a number of images):
 1. weight decay alone, every λ of the list, on the first `selection_seeds` seeds; the best mean accuracy on the
    validation images (the last of the training file, never trained on) is the cell's λ. No weight decay is run
    too, but is no candidate: with weight decay means with some;
 2. each quantity with every β of the list, without weight decay and with that λ, on the same seeds; the best
    mean validation accuracy chooses β for each of them;
 3. what was chosen, on all seeds.
Test images have no say in any choice. The same seed has the same images, start and order of batches in every method,
so that differences are paired. Every finished run is a row of RUNS.csv, written at once: a plan that was stopped
goes on from there, and --jobs processes work on different runs with one thread each. A run depends on its row,
the version of PyTorch and the machine's rounding, on nothing else; rows of other settings or images are refused.

Columns: `setting` and `data`, checksums of what the configuration says of a run and of the labels of the training
file; accuracies in %, losses, seconds of processor time; `product`, the product of the PROVED upper ends of
the norms of all layers as the modules have them, and `constant`, the PROVED Lipschitz constant of the whole
network, BatchNorm in it, both rounded up; `jacobian`, the largest norm of the Jacobian at 200 test images: an ESTIMATE of the constant
from below, in float32.
"""

import argparse
import concurrent.futures.process
import csv
import dataclasses
import decimal
import json
import math
import multiprocessing
import os
import pathlib
import re
import signal
import statistics
import sys
import threading
import time
import zlib

import torch
from torch import nn
from torch.nn import functional

from curvature import data
from curvature.data import BadInput
from curvature.options import at_least, check_place, repeatable

QUANTITIES = ("four", "weighted", "norm")
PROVED = ("product", "constant")  # upper bounds: decimals of them are rounded up
# 97.5 % quantiles of Student's t with 1, 2, ... degrees of freedom
STUDENT = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145,
           2.131, 2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045)
JACOBIANS = 200  # test images at which the Jacobian is looked at


@dataclasses.dataclass(frozen=True)
class Run:
    images: int
    quantity: str  # "none" or one of QUANTITIES
    beta: float
    decay: float
    seed: int


@dataclasses.dataclass(frozen=True)
class Config:
    """What a configuration file states."""

    model: str  # lenet, or resnet:BLOCKS:WIDTH with three stages of so many blocks
    images: list[int]
    steps: list[int]  # for each number of images
    batch: int
    rate: float
    decays: list[float]
    betas: dict[str, list[float]]  # of each quantity that is looked at
    seeds: int
    selection_seeds: int
    validation: int
    shift: int = 0  # augmentation: pixels by which images are moved at most
    flip: bool = False
    momentum: float = 0.9
    test_limit: int | None = None  # for a trial: the first test and validation images

    @staticmethod
    def read(path: pathlib.Path) -> "Config":
        try:
            config = Config(**json.loads(path.read_text()))
        except (OSError, ValueError, TypeError) as error:
            raise BadInput(f"{path}: not a configuration ({error})") from error
        for name in ("images", "steps"):
            values = getattr(config, name)
            if not isinstance(values, list) or not values or not all(isinstance(n, int) and n >= 1 for n in values):
                raise BadInput(f"{path}: {name} {values}, expected a list of whole numbers from 1")
        for name in ("batch", "seeds", "selection_seeds", "validation"):
            if not isinstance(value := getattr(config, name), int) or value < 1:
                raise BadInput(f"{path}: {name} {value}, expected a whole number from 1")
        if not re.fullmatch(r"lenet|resnet:[1-9]\d*:[1-9]\d*", str(config.model)):
            raise BadInput(f"{path}: model {config.model}, expected lenet or resnet:BLOCKS:WIDTH")
        if not isinstance(config.betas, dict):
            raise BadInput(f"{path}: betas {config.betas}, expected a list for each quantity")
        for name, values in {"decays": config.decays, **config.betas}.items():
            if not isinstance(values, list) or not all(isinstance(v, int | float) and 0 < v < math.inf for v in values):
                raise BadInput(f"{path}: {name} {values}, expected a list of numbers above 0")
        if unknown := set(config.betas) - set(QUANTITIES):
            raise BadInput(f"{path}: betas of {', '.join(sorted(unknown))}; quantities are {', '.join(QUANTITIES)}")
        if len(config.steps) != len(config.images):
            raise BadInput(f"{path}: {len(config.steps)} numbers of steps for {len(config.images)} numbers of images")
        if not 1 <= config.selection_seeds <= config.seeds:
            raise BadInput(f"{path}: selection_seeds {config.selection_seeds}, expected from 1 to the {config.seeds} seeds")
        return config

    def setting(self, images: int) -> str:
        """A checksum of all that a run with so many images depends on beside its row and the data."""
        names = ("model", "batch", "rate", "validation", "shift", "flip", "momentum", "test_limit")
        values = [getattr(self, name) for name in names] + [self.steps_of(images)]
        return f"{zlib.crc32(json.dumps(values).encode()):08x}"

    def steps_of(self, images: int) -> int:
        return dict(zip(self.images, self.steps))[images]


# --- networks ------------------------------------------------------------------------------------

class Block(nn.Module):
    """The basic block of He et al. (CVPR 2016); a shortcut that narrows drops pixels and adds channels of 0."""

    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs)
        self.conv2, self.bn2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs)
        self.stride, self.added = stride, outputs - inputs

    def forward(self, x):
        y = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x)))))
        if self.stride > 1 or self.added:
            # pooling of windows of one pixel drops pixels too and its gradient stays in the order of the memory, a slice's does not
            x = functional.pad(functional.avg_pool2d(x, 1, self.stride), (0, 0, 0, 0, self.added // 2, self.added - self.added // 2))
        return functional.relu(y + x)


def network(model: str, shape: tuple[int, int, int]) -> nn.Module:
    channels, side, _ = shape
    if model == "lenet":
        if side not in (28, 32):
            raise BadInput(f"lenet takes images of side 28 or 32, found {side}")
        return nn.Sequential(
            nn.Conv2d(channels, 6, 5, padding=0 if side == 32 else 2), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
            nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
        )
    blocks, width = map(int, model.split(":")[1:])  # of resnet
    layers = [nn.Conv2d(channels, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
    inputs = width
    for stage in range(3):
        for place in range(blocks):
            layers.append(Block(inputs, width << stage, 2 if stage and not place else 1))
            inputs = width << stage
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, 10))


# --- one run -------------------------------------------------------------------------------------

@torch.no_grad()
def score(net: nn.Module, images, labels) -> tuple[float, float]:
    """Accuracy in % and mean loss."""
    net.eval()
    logits = torch.cat([net(x) for x in images.split(500)])
    return 100 * (logits.argmax(1) == labels).sum().item() / len(labels), functional.cross_entropy(logits, labels).item()


def jacobian(net: nn.Module, images) -> float:
    """The largest 2-norm of the Jacobian at the images; ∞ where one has an entry that is no finite number."""
    net.eval()
    x = images.clone().requires_grad_()
    logits = net(x).sum(0)
    rows = torch.stack([torch.autograd.grad(logit, x, retain_graph=True)[0].flatten(1) for logit in logits], 1)
    return torch.linalg.matrix_norm(rows, 2).max().item() if rows.isfinite().all() else math.inf


def proved(net: nn.Module, example) -> tuple[float, float]:
    """Upper ends of the product of all norms and of the constant; ∞ for a network that has diverged."""
    import sigmax

    if not all(value.isfinite().all() for value in net.state_dict().values()):
        return math.inf, math.inf
    audit = sigmax.audit(net, example)
    product = 1.0
    for layer in audit.layers.values():
        product = math.nextafter(product * layer.norm.upper, math.inf)
    return product, audit.lipschitz


def train(config: Config, run: Run, images, labels) -> nn.Module:
    """The network after the last step."""
    from sigmax.torch import SpectralPenalty

    torch.manual_seed(run.seed)
    net = network(config.model, tuple(images.shape[1:])).to(memory_format=torch.channels_last)
    penalty = None if run.quantity == "none" else SpectralPenalty(net, run.beta, quantity=run.quantity, seed=run.seed)
    optimizer = torch.optim.SGD(net.parameters(), config.rate, config.momentum, weight_decay=run.decay)
    steps = config.steps_of(run.images)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    batches = torch.Generator().manual_seed(run.seed)
    order, batch = torch.empty(0, dtype=torch.long), min(config.batch, len(images))
    net.train()
    for _ in range(steps):
        if len(order) < batch:
            order = torch.randperm(len(images), generator=batches)
        pick, order = order[:batch], order[batch:]
        x = data.augmented(images[pick], config.shift, config.flip).contiguous(memory_format=torch.channels_last)
        loss = functional.cross_entropy(net(x), labels[pick])
        if penalty is not None:
            loss = loss + penalty(net)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return net


def load(config: Config, folder: pathlib.Path) -> dict:
    """The parts that all runs share: what may be trained on, the validation and the test images, standardised."""
    images, labels = data.load(folder, "train")
    test, test_labels = data.load(folder, "test")
    kept, digest = len(images) - config.validation, f"{zlib.crc32(labels.numpy()):08x}"
    if kept < max(config.images):
        raise BadInput(f"{folder}: {kept} images beside the validation images, the configuration wants {max(config.images)}")
    mean, std = images[:kept].mean((0, 2, 3), keepdim=True), images[:kept].std((0, 2, 3), keepdim=True)
    parts = {"train": (images[:kept], labels[:kept]), "validation": (images[kept:], labels[kept:]), "test": (test, test_labels)}
    parts = {name: ((x - mean) / std, y) for name, (x, y) in parts.items()}
    if config.test_limit is not None:
        for name in ("validation", "test"):
            x, y = parts[name]
            parts[name] = x[: config.test_limit], y[: config.test_limit]
    return parts | {"data": digest}


def measure(config: Config, run: Run, parts: dict) -> dict:
    """The row of a run."""
    start = time.process_time()
    images, labels = parts["train"]
    pick = torch.randperm(len(images), generator=torch.Generator().manual_seed(1000 + run.seed))[: run.images]
    images, labels = images[pick], labels[pick]
    torch.set_flush_denormal(True)  # with them a run whose weights decay towards 0 takes a hundred times as long
    net = train(config, run, images, labels)
    torch.set_flush_denormal(False)  # no bound is proved in a thread that flushes
    seconds = time.process_time() - start
    row = dataclasses.asdict(run) | {"setting": config.setting(run.images), "data": parts["data"]}
    row["train"], row["train_loss"] = score(net, images, labels)
    row["test"], row["test_loss"] = score(net, *parts["test"])
    row["validation"], _ = score(net, *parts["validation"])
    row["product"], row["constant"] = proved(net, images[:1])
    row["jacobian"] = jacobian(net, parts["test"][0][:JACOBIANS])
    row["seconds"] = seconds
    return row


# --- the plan ------------------------------------------------------------------------------------

class Plan:
    """Which runs a configuration asks for, given those that are done."""

    def __init__(self, config: Config, rows: list[dict]):
        self.config, self.rows = config, {key(row): row for row in rows}

    def mean(self, images: int, quantity: str, beta: float, decay: float) -> float | None:
        """Of the validation accuracy over the seeds that choose; None where one is missing."""
        found = [self.rows.get(Run(images, quantity, beta, decay, seed)) for seed in range(self.config.selection_seeds)]
        # whatever the order of its seeds, an equal mean is equal
        return None if None in found else round(statistics.fmean(row["validation"] for row in found), 6)

    def best(self, images: int, settings: list[tuple[str, float, float]]) -> tuple[str, float, float] | None:
        """The first of the settings whose mean is the best; None where one is missing, or there are none."""
        means = [self.mean(images, *setting) for setting in settings]
        return None if None in means or not means else settings[means.index(max(means))]

    def decay(self, images: int) -> float | None:
        """The cell's λ."""
        best = self.best(images, [("none", 0.0, decay) for decay in self.config.decays])
        return best and best[2]

    def methods(self, images: int) -> dict[tuple[str, bool], tuple[str, float, float] | None]:
        """The chosen setting of every method: a quantity, and whether there is weight decay."""
        decay = self.decay(images)
        methods = {("none", False): ("none", 0.0, 0.0), ("none", True): None if decay is None else ("none", 0.0, decay)}
        for quantity, betas in self.config.betas.items():
            for with_decay, value in ((False, 0.0), (True, decay)):
                settings = [(quantity, beta, value) for beta in betas]
                methods[quantity, with_decay] = None if value is None else self.best(images, settings)
        return methods

    def missing(self) -> list[Run]:
        """What can be run now of the first cell that is not finished."""
        config = self.config
        for images in config.images:
            settings = [("none", 0.0, decay) for decay in (0.0, *config.decays)]
            decay = self.decay(images)
            for quantity, betas in config.betas.items():
                settings += [(quantity, beta, value) for value in (0.0, decay) if value is not None for beta in betas]
            wanted = {Run(images, *setting, seed): None for seed in range(config.selection_seeds) for setting in settings}
            chosen = [setting for setting in self.methods(images).values() if setting is not None]
            wanted |= {Run(images, *setting, seed): None for seed in range(config.seeds) for setting in chosen}
            if missing := [run for run in wanted if run not in self.rows]:
                return missing
        return []


def key(row: dict) -> Run:
    return Run(*(row[field.name] for field in dataclasses.fields(Run)))


def read(path: pathlib.Path, config: Config, digest: str | None = None, mend: bool = False) -> list[dict]:
    """
    The rows of a file, which have to be of this configuration and of one data set, that of the checksum. A last line without
    its end, which is what a killed program leaves, is refused, or taken away if `mend`: nothing is of a file of another kind.
    """
    if not path.exists():
        return []
    try:
        content = path.read_text()
        whole = content[: content.rfind("\n") + 1]
        if whole != content and not mend:
            raise ValueError(f"line {content.count(chr(10)) + 1} is not whole; `run` takes it away and goes on")
        table = csv.DictReader(whole.splitlines())
        names = {field.name for field in dataclasses.fields(Run)}
        if content and not names <= set(table.fieldnames or ()):
            raise ValueError(f"its first line names no columns {', '.join(sorted(names))}")
        rows = [parsed(row) for row in table]
        for row in rows:
            digest = digest or row["data"]
            if row["images"] in config.images and (row["setting"], row["data"]) != (config.setting(row["images"]), digest):
                raise BadInput(f"{path}: its runs with {row['images']} images are of another configuration or of other data; start another file")
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise BadInput(f"{path}: not a table of runs ({error})") from error
    if whole != content:
        print(f"{path}: the last line is not whole and is taken away", file=sys.stderr)
        os.truncate(path, len(whole.encode()))
    return rows


def rounded_up(value: float, digits: int) -> str:
    """A decimal number that is not below."""
    if value == math.inf:
        return "inf"  # of a run that diverged
    context = decimal.Context(prec=digits, rounding=decimal.ROUND_CEILING)
    return f"{context.create_decimal(value):g}"


def text(name: str, value) -> str:
    """An entry of a row."""
    if name in PROVED:
        return rounded_up(value, 6)
    return f"{value:.6g}" if isinstance(value, float) and name not in ("beta", "decay") else str(value)


def parsed(row: dict[str, str]) -> dict:
    types = {field.name: field.type for field in dataclasses.fields(Run)} | {"setting": str, "data": str}
    return {name: types.get(name, float)(value) for name, value in row.items()}


def append(path: pathlib.Path, row: dict[str, str]) -> None:
    with path.open("a", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        if not file.tell():
            writer.writerow(row)
        writer.writerow(row.values())
        file.flush()
        os.fsync(file.fileno())


WORKER: dict = {}


def end_with_parent() -> None:
    """Waits for the parent, which a signal may kill, and ends this process, which would wait for work for ever."""
    multiprocessing.parent_process().join()
    os._exit(1)


def start(config: Config, folder: pathlib.Path) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends its workers
    threading.Thread(target=end_with_parent, daemon=True).start()
    repeatable(1)
    WORKER.update(config=config, parts=load(config, folder))


def work(run: Run) -> dict:
    return measure(WORKER["config"], run, WORKER["parts"])


def run_plan(args) -> None:
    config = Config.read(args.config)
    check_place("--out", args.out)
    rows = read(args.out, config, load(config, args.data)["data"], mend=True)  # errors before any process starts
    spawn = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(args.jobs, spawn, start, (config, args.data)) as pool:
        try:
            go_on(pool, config, rows, args.out)
        except concurrent.futures.process.BrokenProcessPool as error:
            raise BadInput(f"a process ended before its run (killed, or out of memory); the same command goes on from the rows in {args.out}") from error
        except BaseException:
            for process in multiprocessing.active_children():
                process.terminate()
            raise


def go_on(pool, config: Config, rows: list[dict], out: pathlib.Path) -> None:
    while missing := Plan(config, rows).missing():
        for future in concurrent.futures.as_completed([pool.submit(work, run) for run in missing]):
            written = {name: text(name, value) for name, value in future.result().items()}
            append(out, written)
            rows.append(row := parsed(written))  # choices are made from what the file says
            name = f"{row['images']} images, {row['quantity']}, beta {row['beta']:g}, decay {row['decay']:g}, seed {row['seed']}"
            print(f"{name}: train {row['train']:.2f}, validation {row['validation']:.2f} % ({row['seconds']:.0f} s)", flush=True)


# --- the table -----------------------------------------------------------------------------------

def spread(values: list[float]) -> str:
    """Mean ± half the 95 % interval of Student."""
    mean = statistics.fmean(values)
    if len(values) < 2:
        return f"{mean:.2f}"
    half = STUDENT[min(len(values) - 2, len(STUDENT) - 1)] * statistics.stdev(values) / math.sqrt(len(values))
    return f"{mean:.2f} ± {half:.2f}"


def gain(plan: Plan, found: list[dict], against: tuple[str, float, float] | None) -> str:
    """Test accuracy minus that of another setting, seed by seed."""
    pairs = [(row, plan.rows.get(Run(row["images"], *against, row["seed"]))) for row in found] if against else []
    gains = [row["test"] - other["test"] for row, other in pairs if other is not None]
    return spread(gains) if gains else "–"


def listed(chosen: float, values: list[float]) -> str:
    """The settings, the chosen one bold, starred at an end of the list."""
    star = "\\*" if len(values) > 1 and chosen in (values[0], values[-1]) else ""
    return ", ".join(f"**{value:g}**{star}" if value == chosen else f"{value:g}" for value in values)


def ratio(rows: list[dict]) -> str:
    """The mean of the constant over the largest Jacobian, and of how many runs: not of those that diverged or are constant."""
    ratios = [row["constant"] / row["jacobian"] for row in rows if math.isfinite(row["constant"]) and row["jacobian"] > 0]
    of = f" ({len(ratios)} of {len(rows)})" if len(ratios) < len(rows) else ""
    return (f"{statistics.fmean(ratios):.3g}" if ratios else "–") + of


def table(args) -> None:
    config = Config.read(args.config)
    if not args.runs.exists():
        raise BadInput(f"{args.runs}: no such file; `run` writes it")
    rows = read(args.runs, config)
    plan = Plan(config, rows)
    print(f"{args.config.stem}: {config.model}, {'/'.join(map(str, config.steps))} steps of {config.batch} images, rate {config.rate:g}, {config.seeds} seeds")
    print()
    print("| images | method | λ | β | seeds | train | test | test − without penalty | test − weight decay alone | gap | product ≤ | constant ≤ | constant / Jacobian (estimate) |")
    print("|---|---|---|---|---|---|---|---|---|---|---|---|---|")
    for images in config.images:
        methods = plan.methods(images)
        for (quantity, with_decay), setting in methods.items():
            if setting is None:
                continue
            found = [plan.rows.get(Run(images, *setting, seed)) for seed in range(config.seeds)]
            found = [row for row in found if row is not None]
            if not found:
                continue
            base = methods["none", with_decay]
            against = base if quantity != "none" else (("none", 0.0, 0.0) if with_decay else None)
            rival = methods["none", True] if quantity != "none" and not with_decay else None  # with it, it is the same
            _, beta, decay = setting
            cells = [
                str(images),
                (quantity if quantity != "none" else "") + (" + " if quantity != "none" and with_decay else "") + ("weight decay" if with_decay else "") or "none",
                (listed(decay, config.decays) if quantity == "none" else f"{decay:g}") if with_decay else "0",
                "–" if quantity == "none" else listed(beta, config.betas[quantity]),
                str(len(found)),
                f"{statistics.fmean(row['train'] for row in found):.2f}",
                f"{statistics.fmean(row['test'] for row in found):.2f}",
                gain(plan, found, against),
                gain(plan, found, rival),
                f"{statistics.fmean(row['train'] - row['test'] for row in found):.2f}",
                *(rounded_up(max(row[name] for row in found), 3) for name in PROVED),
                ratio(found),
            ]
            print("| " + " | ".join(cells) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("run", help="work through a plan")
    one.add_argument("config", type=pathlib.Path)
    one.add_argument("--data", type=pathlib.Path, required=True, help="folder of the image files")
    one.add_argument("--out", type=pathlib.Path, required=True, help="CSV file, one row a run; goes on from what it holds")
    one.add_argument("--jobs", type=at_least(int, 1), default=1, help="processes (default %(default)s)")
    one.set_defaults(go=run_plan)
    two = commands.add_parser("table", help="print the table of finished runs")
    two.add_argument("config", type=pathlib.Path)
    two.add_argument("runs", type=pathlib.Path)
    two.set_defaults(go=table)
    args = parser.parse_args()
    try:
        args.go(args)
    except BadInput as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        if args.go is run_plan:
            print(f"stopped; the same command goes on from the rows in {args.out}", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
