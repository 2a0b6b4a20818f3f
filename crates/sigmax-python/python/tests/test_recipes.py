"""The programs that train: a few steps each, on generated images."""

from __future__ import annotations

import argparse
import csv
import gzip
import importlib
import io
import json
import math
import os
import re
import signal
import struct
import subprocess
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from onnx.reference import ReferenceEvaluator

import sigmax

SCRIPTS = Path(__file__).parents[4] / "scripts"


@pytest.fixture(scope="module")
def gratings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Noisy gratings of ten orientations in the files of MNIST."""
    folder = tmp_path_factory.mktemp("gratings")
    generator = np.random.default_rng(0)
    y, x = np.mgrid[:28, :28]
    for name, count in (("train", 400), ("t10k", 100)):
        labels = generator.integers(0, 10, count).astype(np.uint8)
        angles = labels[:, None, None] * np.pi / 10
        waves = np.cos(np.cos(angles) * x + np.sin(angles) * y) + generator.normal(0, 0.3, (count, 28, 28))
        images = np.clip(127 + 60 * waves, 0, 255).astype(np.uint8)
        for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
            header = struct.pack(f">I{array.ndim}I", 0x800 + array.ndim, *array.shape)
            (folder / f"{name}-{kind}-ubyte").write_bytes(header + array.tobytes())
    return folder


def program(name: str, *arguments: object, code: int = 0) -> str:
    """What a script prints. It runs in this process, where PyTorch is loaded, if it does not start others."""
    if (name, *arguments[:1]) == ("train_generalisation.py", "run") and code == 0:
        done = subprocess.run(
            [sys.executable, SCRIPTS / name, *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    torch = pytest.importorskip("torch")
    settings = torch.get_deterministic_debug_mode(), torch.get_num_threads()
    printed, status = io.StringIO(), 0
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(printed), redirect_stderr(printed):
        patch.syspath_prepend(str(SCRIPTS))
        patch.setattr(sys, "argv", [name, *map(str, arguments)])
        patch.setattr(torch.utils.deterministic, "fill_uninitialized_memory", True)  # its default, put back
        try:
            importlib.import_module(Path(name).stem).main()
        except SystemExit as end:
            status = end.code
        finally:
            torch.set_deterministic_debug_mode(settings[0])
            torch.set_num_threads(settings[1])
    assert status == code, printed.getvalue()
    return printed.getvalue()


def config(path: Path, **changes: object) -> Path:
    values = {
        "model": "lenet",
        "images": [100],
        "steps": [4],
        "batch": 20,
        "rate": 0.05,
        "decays": [0.001, 0.01],
        "betas": {"four": [0.01, 0.1]},
        "seeds": 2,
        "selection_seeds": 1,
        "validation": 100,
    }
    path.write_text(json.dumps(values | changes))
    return path


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return sorted(csv.DictReader(file), key=lambda row: list(row.values())[:5])


def test_a_plan_is_worked_through_and_goes_on_where_it_stopped(gratings: Path, tmp_path: Path) -> None:
    plan, runs = config(tmp_path / "plan.json"), tmp_path / "runs.csv"
    program("train_generalisation.py", "run", plan, "--data", gratings, "--out", runs)
    done = rows(runs)
    # Seed 0: λ 0 and two more; two β without and with the chosen λ. Seed 1: what was chosen.
    assert [row["seed"] for row in done].count("0") == 3 + 2 * 2
    assert [row["seed"] for row in done].count("1") == 2 + 2
    lines = runs.read_text().splitlines(keepends=True)
    runs.write_text("".join(lines[:-3]))
    program("train_generalisation.py", "run", plan, "--data", gratings, "--out", runs)
    again = rows(runs)
    assert len(again) == len(done)
    for row, other in zip(done, again, strict=True):
        assert row | {"seconds": ""} == other | {"seconds": ""}
    for row in done:
        assert float(row["constant"]) >= float(row["jacobian"]) * (1 - 1e-4)
    table = program("train_generalisation.py", "table", plan, runs)
    assert sum(line.startswith("| 100 |") for line in table.splitlines()) == 4
    assert "four + weight decay" in table
    for changes in ({"rate": 0.1}, {"steps": [5]}):
        other = config(tmp_path / "other.json", **changes)
        for command in (("run", other, "--data", gratings, "--out", runs), ("table", other, runs)):
            assert "another configuration" in program("train_generalisation.py", *command, code=2)


def test_decimals_of_bounds_are_not_below(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    rounded_up = importlib.import_module("train_generalisation").rounded_up
    generator = np.random.default_rng(0)
    for value in [*np.exp(generator.normal(0, 20, 500)).tolist(), 73.84, 28.7, 1.0, 999.9, math.inf]:
        for digits in (3, 6):
            number = rounded_up(value, digits)
            if value == math.inf:
                assert float(number) == math.inf
            else:
                assert value <= Fraction(number) <= Fraction(value) * (1 + Fraction(10) ** (1 - digits))


def test_residual_networks_have_a_constant(gratings: Path, tmp_path: Path) -> None:
    settings = {"decays": [], "betas": {}, "seeds": 1, "shift": 2, "flip": True}
    plan, runs = config(tmp_path / "plan.json", model="resnet:1:4", **settings), tmp_path / "runs.csv"
    program("train_generalisation.py", "run", plan, "--data", gratings, "--out", runs)
    (row,) = rows(runs)
    assert 0 < float(row["jacobian"]) <= float(row["constant"]) * (1 + 1e-4)


def test_a_wrong_plan_is_an_error(gratings: Path, tmp_path: Path) -> None:
    for changes, text in (
        ({"betas": {"five": [1.0]}}, "five"),
        ({"steps": [1, 2]}, "2 numbers of steps"),
        ({"images": [1000], "steps": [4]}, "300 images"),
        ({"selection_seeds": 3}, "selection_seeds 3"),
        ({"rates": 1}, "rates"),
    ):
        plan = config(tmp_path / "plan.json", **changes)
        out = tmp_path / "runs.csv"
        assert text in program(
            "train_generalisation.py", "run", plan, "--data", gratings, "--out", out, code=2
        )
        assert not out.exists()


def test_values_that_no_plan_has(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    module = importlib.import_module("train_generalisation")
    for changes, text in (
        ({"images": 100}, "images 100"),
        ({"images": [], "steps": []}, "images []"),
        ({"validation": 0}, "validation 0"),
        ({"decays": 0.1}, "decays 0.1"),
        ({"betas": ["four"]}, "betas ['four']"),
        ({"betas": {"four": 0.1}}, "four 0.1"),
        ({"model": "resnet:1"}, "model resnet:1"),
    ):
        with pytest.raises(module.BadInput, match=re.escape(text)):
            module.Config.read(config(tmp_path / "plan.json", **changes))


def test_networks_for_certificates_are_trained(gratings: Path, tmp_path: Path) -> None:
    few = ("--data", gratings, "--limit", 100, "--validation", 100, "--batch", 20, "--epochs", 1)
    for name, options in (
        ("dense", ("--arch", "dense:8")),
        ("conv", ("--arch", "conv:2,9,3,0", "--shift", 1)),
        ("padded", ("--arch", "conv:2,9,8,1")),
        ("principal", ("--arch", "dense:8,5", "--bf16")),
        ("windows", ("--arch", "conv:2,24,2,0", "--bf16")),
    ):
        out = tmp_path / f"{name}.onnx"
        assert "ESTIMATED accuracy" in program(
            "train_curvature.py", *few, *options, "--search", 2, "--out", out
        )
        assert out.stat().st_size > 0

    # the average of some of them, before any training
    parts = [tmp_path / f"{name}.onnx" for name in ("dense", "principal", "windows")]
    out = tmp_path / "average.onnx"
    program("train_curvature.py", *few, "--init", *parts, "--epochs", 0, "--search", 2, "--out", out)
    image = np.random.default_rng(1).random((5, 1, 28, 28), dtype=np.float32)
    logits = [ReferenceEvaluator(str(path)).run(None, {"image": image})[0] for path in (out, *parts)]
    np.testing.assert_allclose(logits[0], np.mean(logits[1:], axis=0), atol=1e-5)
    for wrong, text in ((tmp_path / "padded.onnx", "padding"), (tmp_path / "none.onnx", "none.onnx")):
        assert text in program("train_curvature.py", *few, "--init", wrong, "--out", out, code=2)


@pytest.mark.parametrize(
    "script, out, option, large",
    [
        ("train_curvature.py", "--out", "--arch", "dense:1000000"),
        ("train_curvature.py", "--out", "--arch", "dense:1000000,5"),  # the file has its 784 inputs
        ("train_lipschitz.py", "--out", "--arch", "d" + "9" * 30),
        ("train_lipschitz.py", "--out", "--arch", "c900,28,1,14 c900,28,1,14"),  # 28² taps of 56 matrices
        ("train_robust.py", "--output", "--widths", "2,2,9999999"),
    ],
)
def test_a_network_that_no_file_holds(
    script: str, out: str, option: str, large: str, gratings: Path, tmp_path: Path
) -> None:
    few = ("--data", gratings, "--batch", 20, out, tmp_path / "x.onnx")
    few += ("--dataset", "mnist") if script == "train_robust.py" else ("--validation", 100)
    assert "2 GB or more" in program(script, *few, option, large, code=2)


def test_what_an_option_cannot_be(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    options = importlib.import_module("curvature.options")
    assert [options.seed("0"), options.seed(str(2**63 - 1)), options.at_least(float, 0.5)("0.5")] == [
        0,
        2**63 - 1,
        0.5,
    ]
    for kind, least, text in (
        (int, 1, "0"),
        (int, 1, "1.5"),
        (int, 1, "9" * 5000),
        (float, 0.0, "nan"),
        (float, 0.0, "inf"),
    ):
        with pytest.raises(argparse.ArgumentTypeError, match=f"number from {least}$"):
            options.at_least(kind, least)(text)
    printed = program("train_curvature.py", "--data", tmp_path, "--out", tmp_path, "--seed", 2**63, code=2)
    assert f"{2**63} is not a whole number from 0 and below {2**63}" in printed


def trained(program: Any, arch: str, objective: str, m: str, gamma: float = 0.01) -> tuple[dict, dict]:
    """The parameters before and after two steps on random images."""
    torch = pytest.importorskip("torch")
    options = {
        "rivals": 2,
        "steps": 2,
        "temperature": 1.0,
        "power": 0.0,
        "rho": 0.5,
        "epochs": 1,
        "batch": 20,
    }
    options |= {"lr": 1e-3, "shift": 0, "init": None, "objective": objective, "m": m, "gamma": gamma}
    torch.manual_seed(0)
    net = program.network(arch, (1, 28, 28))
    images, labels = torch.rand(40, 1, 28, 28), torch.arange(40) % 10
    net.prepare(images)
    before = {name: parameter.detach().clone() for name, parameter in net.named_parameters()}
    program.train(net, images, labels, False, SimpleNamespace(**options))
    return before, dict(net.named_parameters())


def test_every_parameter_is_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    monkeypatch.syspath_prepend(str(SCRIPTS))
    program = importlib.import_module("train_curvature")
    for arch in ("dense:8", "dense:8,5", "conv:2,9,3,0", "conv:2,9,8,1", "conv:2,24,2,0"):
        for objective, m in (("adv2", "exact"), ("crt", "four"), ("penalty", "exact"), ("plain", "four")):
            before, after = trained(program, arch, objective, m)
            for name, parameter in after.items():
                assert not torch.equal(parameter, before[name]), (arch, objective, name)


def test_an_objective_has_its_curvature_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    monkeypatch.syspath_prepend(str(SCRIPTS))
    program = importlib.import_module("train_curvature")
    for arch in ("dense:8", "conv:2,9,3,0"):
        _, plain = trained(program, arch, "plain", "four")
        for m in ("four", "exact"):
            _, penalised = trained(program, arch, "penalty", m, gamma=1.0)
            assert any(not torch.equal(plain[name], value) for name, value in penalised.items()), (arch, m)


def test_the_recipe_of_an_average(gratings: Path, tmp_path: Path) -> None:
    few = "--limit 20 --validation 20 --batch 20 --epochs 1 --search 1".split()
    recipe = SCRIPTS.parent / "recipes" / "mnist-curvature.sh"
    calls, nets = tmp_path / "calls", tmp_path / "nets"
    python = tmp_path / "python"  # writes down what it is asked for
    python.write_text(f'#!/bin/sh\necho "$@" >> {calls}\nwhile [ "$1" != --out ]; do shift; done\n: > "$2"\n')
    python.chmod(0o755)

    def run(*options: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([recipe, python, gratings, nets, *options], capture_output=True, text=True)

    done = run(*few)
    assert done.returncode == 0, done.stdout + done.stderr
    trainings = calls.read_text().splitlines()
    assert len(trainings) == 6
    for training in trainings:  # by networks of which each is 64 times narrower
        script, *options = re.sub(
            r"(dense|conv):(\d+)", lambda m: f"{m[1]}:{int(m[2]) // 64}", training
        ).split()
        program(Path(script).name, *options)
    with_units = 1024 + 2048 + 4096 + 256 * 3**2
    assert 64 * sigmax.audit(nets / "mnist.onnx").layers["dense"].shape[0] == with_units

    def refused(*options: str) -> bool:
        again = run(*options)
        return again.returncode == 2 and "other data or options" in again.stderr

    assert not refused(*few)  # everything is there
    assert refused()
    (nets / "options.txt").unlink()
    assert refused(*few)  # nothing says of what they are
    assert calls.read_text().splitlines() == trainings


@pytest.mark.parametrize("shape", [(1, 1), (16, 16), (24, 200), (200, 24)])
def test_muon_takes_a_step_of_norm_about_1(shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    monkeypatch.syspath_prepend(str(SCRIPTS))
    lipschitz = importlib.import_module("train_lipschitz")
    torch.manual_seed(0)
    matrix = torch.nn.Parameter(torch.zeros(shape))
    optimizer = lipschitz.Muon([matrix], 1.0)
    gradient = torch.randn(shape)
    matrix.grad = gradient.clone()
    optimizer.step()
    left, _, right = torch.linalg.svd(-gradient, full_matrices=False)
    turned = left.T @ matrix.detach() @ right.T
    values = turned.diagonal()
    assert ((0.6 < values) & (values < 1.3)).all(), values
    assert (turned - values.diag()).abs().max() < 1e-3
    assert (matrix.grad == gradient).all()


@pytest.mark.parametrize("optimizer", ["muon", "adam"])
def test_networks_of_norm_1_are_trained(gratings: Path, tmp_path: Path, optimizer: str) -> None:
    out = tmp_path / "lipschitz.onnx"
    few = ("--data", gratings, "--batch", 50, "--epochs", 2, "--validation", 100, "--margin", 0.2)
    few += ("--optimizer", optimizer, "--out", out)
    printed = program("train_lipschitz.py", *few, "--arch", "c8,4,2,1 d16", "--shift", 1)
    curve = [line for line in printed.splitlines() if line.startswith("epoch ")]
    assert len(curve) == 2 and all("held out: clean" in line for line in curve)
    # the curve ends at the network that is saved, whose features have norm 1 as the curve takes for granted
    end = printed.split("validation: ")[1].splitlines()[:2]
    assert curve[-1].split("clean ")[1].split(",")[0] == end[0].split("accuracy ")[1]
    assert curve[-1].split("%, ")[1].split(" %")[0] == end[1].split("proved): ")[1].split(" %")[0]
    assert "test: " in printed
    report = sigmax.audit(out)
    norms = [layer.norm.upper for layer in report.layers.values()]
    assert all(norm < 1.01 for norm in norms[:-1]), norms
    for wrong, text in ((("--arch", "d4,4"), "d4,4"), (("--rate", 1e3), "--rate has to be smaller")):
        assert text in program("train_lipschitz.py", *few, *wrong, code=2)


def test_half_a_line_and_an_empty_file_of_runs(gratings: Path, tmp_path: Path) -> None:
    plan, runs = config(tmp_path / "plan.json", betas={}, decays=[]), tmp_path / "runs.csv"
    runs.touch()
    program("train_generalisation.py", "run", plan, "--data", gratings, "--out", runs)
    whole = runs.read_text()
    assert len(rows(runs)) == 2
    runs.write_text(whole[:-4])
    assert "line 3 is not whole" in program("train_generalisation.py", "table", plan, runs, code=2)
    printed = program("train_generalisation.py", "run", plan, "--data", gratings, "--out", runs, "--jobs", 2)
    assert "taken away" in printed
    assert [row | {"seconds": ""} for row in rows(runs)] == [
        row | {"seconds": ""} for row in csv.DictReader(whole.splitlines())
    ]
    assert "no such file" in program("train_generalisation.py", "table", plan, tmp_path / "none.csv", code=2)
    for foreign in ("notes", "a,b\n1,2\n3", f"{whole}none,"[3:]):
        runs.write_text(foreign)
        program("train_generalisation.py", "run", plan, "--data", gratings, "--out", runs, code=2)
        assert runs.read_text() == foreign
    nowhere = tmp_path / "none" / "runs.csv"
    assert str(nowhere) in program(
        "train_generalisation.py", "run", plan, "--data", gratings, "--out", nowhere, code=2
    )


def worker(parent: int) -> int:
    """The process that a program has started for its runs."""
    children = Path(f"/proc/{parent}/task/{parent}/children")
    for _ in range(600):
        for child in children.read_text().split():
            if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes():
                return int(child)
        time.sleep(0.1)
    raise AssertionError("no process was started")


def ended(process: int) -> bool:
    """Whether a process has ended within a minute; one whose parent has not looked yet counts."""
    for _ in range(600):
        try:
            if Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.1)
    return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are found in /proc")
def test_no_process_outlives_another(gratings: Path, tmp_path: Path) -> None:
    plan = config(tmp_path / "plan.json", steps=[10**6])
    script = SCRIPTS / "train_generalisation.py"
    command = [sys.executable, script, "run", plan, "--data", gratings, "--out", tmp_path / "runs.csv"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as running:
        os.kill(worker(running.pid), signal.SIGKILL)
        assert "the same command goes on" in running.communicate(timeout=120)[1]
        assert running.returncode == 2
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as running:
        child = worker(running.pid)
        running.terminate()
        running.wait(timeout=120)
        if not ended(child):
            os.kill(child, signal.SIGKILL)
            raise AssertionError("the process of the runs went on without the program")


def test_differences_are_paired_by_seed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    module = importlib.import_module("train_generalisation")
    plan = module.Config.read(config(tmp_path / "plan.json", seeds=3))
    accuracy = {("none", 0.0): (50.0, 70.0, 90.0), ("four", 0.1): (51.0, 73.0, 92.0)}
    found = [
        {"images": 100, "quantity": q, "beta": b, "decay": 0.0, "seed": s, "test": v, "validation": v}
        for (q, b), values in accuracy.items()
        for s, v in enumerate(values)
    ]
    # 1, 3 and 2: mean 2, standard deviation 1, t of two degrees of freedom 4.303
    assert module.gain(module.Plan(plan, found), found[3:], ("none", 0.0, 0.0)) == "2.00 ± 2.48"
    assert module.gain(module.Plan(plan, found), found[3:], ("none", 0.0, 0.01)) == "–"
    assert module.listed(0.1, [0.01, 0.1, 1.0]) == "0.01, **0.1**, 1"
    assert module.listed(1.0, [0.01, 0.1, 1.0]) == "0.01, 0.1, **1**\\*"


def test_layers_of_norm_1(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    monkeypatch.syspath_prepend(str(SCRIPTS))
    lipschitz = importlib.import_module("train_lipschitz")
    torch.manual_seed(0)
    for arch in ("c8,4,2,1", "c4,6,2,2 d9", "c32,3,1,1 c8,4,4,0", "d12 d200"):
        net = lipschitz.Network(arch, (3, 16, 16))
        loss = net(torch.rand(5, 3, 16, 16)).square().sum()
        loss.backward()
        net.project_gradient()
        for p in net.orthonormal():
            w, g = (p, p.grad) if p.shape[0] >= p.shape[1] else (p.T, p.grad.T)
            turn = w.T @ g
            assert (turn + turn.T).abs().max() <= 1e-4 * g.abs().max()
            with torch.no_grad():
                p += 1e-3 * torch.randn_like(p)
                before = (w.T @ w - torch.eye(w.shape[1])).norm()
                net.retract()
                assert (w.T @ w - torch.eye(w.shape[1])).norm() < 0.1 * before
        for weight, _, attributes in lipschitz.plain_layers(net)[:-1]:
            assert abs(lipschitz.norm_estimate(weight, attributes) - 1) < 1e-5, arch
    for wrong in ("c8,1,2,0", "c8,5,2,1", "d16 c8,3,1,0", "c8,40,2,0", "c8,4,0,0", "d0", ""):
        with pytest.raises(lipschitz.BadInput):
            lipschitz.Network(wrong, (3, 16, 16))


def test_distances_to_other_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    monkeypatch.syspath_prepend(str(SCRIPTS))
    lipschitz = importlib.import_module("train_lipschitz")
    logits, w = torch.tensor([[5.0, 2.0, 1.0]]), torch.tensor([[0.0, 0.0], [3.0, 4.0], [0.0, 2.0]])
    found = lipschitz.distances(logits, w, torch.tensor([0]))
    torch.testing.assert_close(found, torch.tensor([[0.0, -3 / 5, -4 / 2]]))


def test_muon_remembers(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    monkeypatch.syspath_prepend(str(SCRIPTS))
    lipschitz = importlib.import_module("train_lipschitz")
    torch.manual_seed(0)
    matrix = torch.nn.Parameter(torch.zeros(6, 9))
    optimizer = lipschitz.Muon([matrix], 0.5, momentum=0.9)
    one, two = torch.randn(2, 6, 9)
    for gradient in (one, two):
        matrix.grad = gradient.clone()
        before = matrix.detach().clone()
        optimizer.step()
    # Nesterov's: the momentum after two steps, looked at one step ahead; the polynomial as published
    x = two + 0.9 * (0.9 * one + two)
    x = x / x.norm()
    for _ in range(5):
        a = x @ x.T
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    torch.testing.assert_close(before - matrix.detach(), 0.5 * x, atol=1e-5, rtol=1e-4)


def test_an_ordinary_network_is_trained_against_attacks(gratings: Path, tmp_path: Path) -> None:
    out = tmp_path / "robust.onnx"
    few = ("--data", gratings, "--dataset", "mnist", "--epochs", 1, "--attack", 2, "--widths", "2,2,4")
    printed = program("train_robust.py", *few, "--batch", 80, "--output", out)
    assert "of the first 100" in printed and "ESTIMATED norms" in printed
    assert len(sigmax.audit(out).layers) == 4
    for wrong, text in ((("--batch", 1000), "400 images"), (("--eps", "1/0.0"), "1/0.0")):
        assert text in program("train_robust.py", *few, *wrong, "--output", out, code=2)
    assert "a folder" in program("train_robust.py", *few, "--output", tmp_path, code=2)


def test_a_damaged_archive_is_an_error(gratings: Path, tmp_path: Path) -> None:
    for name in gratings.iterdir():
        content = gzip.compress(name.read_bytes())
        if name.name.startswith("train-images"):
            content = content[:10] + b"\xff" * 4 + content[14:]
        (tmp_path / f"{name.name}.gz").write_bytes(content)
    printed = program("train_lipschitz.py", "--data", tmp_path, "--out", tmp_path / "x.onnx", code=2)
    assert "train-images-idx3-ubyte.gz: not a whole idx file" in printed
