"""Audits, comparisons and certifications of files, and the numbers that they give."""

from __future__ import annotations

import json
import pickle
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import sigmax
from sigmax import _core

ROOT = Path(__file__).parents[4]
CNN = ROOT / "examples" / "mnist-cnn.onnx"
SMOOTH = ROOT / "examples" / "mnist-curvature.onnx"


@pytest.fixture(scope="module")
def report() -> sigmax.Report:
    return sigmax.audit(CNN)


def test_an_audit_of_a_file(report: sigmax.Report) -> None:
    assert list(report.layers) == ["stem", "down", "depthwise", "pointwise", "dilated", "classifier"]
    stem = report.layers["stem"]
    assert 17.9 < stem.norm.lower <= stem.norm.upper < 18.1
    assert stem.norm.upper <= stem.weighted_four <= stem.four
    assert stem.spectral_norm < stem.norm.lower
    assert report.lipschitz is not None and 3500 < report.lipschitz < 3600
    assert report.blockers == [] and report.refused == []
    assert report.skipped["Relu"] == 5
    assert report.jacobian_norm is not None and report.jacobian_norm < report.lipschitz
    assert report.summary()["largest_norm_layer"] == "stem"
    parsed = json.loads(report.to_json())
    assert parsed["layers"][0]["norm"]["upper"] == stem.norm.upper
    assert "3577" in str(report) and "PROVED" in str(report)
    assert report.to_html().lstrip().startswith("<!")
    assert report._repr_html_().startswith("<iframe srcdoc=")
    assert report.to_csv().count("\n") == 7


def test_bytes_are_a_file(report: sigmax.Report) -> None:
    same = sigmax.audit(CNN.read_bytes())
    assert same.lipschitz == report.lipschitz
    assert {n: layer.norm for n, layer in same.layers.items()} == {
        n: layer.norm for n, layer in report.layers.items()
    }


def test_layers_left_out(report: sigmax.Report) -> None:
    rest = sigmax.audit(CNN, exclude=["stem"])
    assert set(rest.layers) == set(report.layers) - {"stem"}
    assert rest.lipschitz == pytest.approx(report.lipschitz, rel=2e-3)


def test_a_file_without_a_batch() -> None:
    onnx = pytest.importorskip("onnx")
    weight = np.array([[1, 2, 0], [0, -1, 3]], dtype=np.float32)
    x, y = (
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
        for name, shape in (("x", [3, 4]), ("y", [2, 4]))
    )
    node = onnx.helper.make_node("MatMul", ["w", "x"], ["y"])
    graph = onnx.helper.make_graph([node], "g", [x], [y], [onnx.numpy_helper.from_array(weight, "w")])
    file = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)])
    content = file.SerializeToString()
    mixed = sigmax.audit(content)
    assert mixed.lipschitz is None and "no batch axis" in str(mixed.blockers)
    whole = sigmax.audit(content, no_batch=True)
    assert whole.lipschitz >= np.linalg.norm(weight.astype(float), 2)
    assert whole.lipschitz == pytest.approx(np.linalg.norm(weight.astype(float), 2), rel=2e-3)


def test_one_row_per_layer(report: sigmax.Report) -> None:
    pytest.importorskip("pandas")
    frame = report.to_dataframe()
    assert list(frame["name"]) == list(report.layers)
    dense = frame[frame["name"] == "classifier"].iloc[0]
    onnx = pytest.importorskip("onnx")
    weights = {t.name: onnx.numpy_helper.to_array(t) for t in onnx.load(CNN).graph.initializer}
    weight = next(w for w in weights.values() if w.shape in ((10, 1568), (1568, 10)))
    assert dense["frobenius_estimate"] == pytest.approx(np.linalg.norm(weight.astype(float)), rel=1e-12)
    rank = (np.linalg.norm(weight.astype(float)) / np.linalg.norm(weight.astype(float), 2)) ** 2
    assert dense["stable_rank_estimate"] == pytest.approx(rank, rel=1e-3)


def test_floats_know_what_they_claim(report: sigmax.Report) -> None:
    norm = report.layers["stem"].norm
    assert type(norm.upper) is sigmax.Upper and type(norm.lower) is sigmax.Lower
    assert type(report.layers["stem"].spectral_norm) is sigmax.Estimate
    for plain in (norm.upper * 2, norm.upper + norm.lower, -norm.upper, abs(norm.upper), norm.upper / 2):
        assert type(plain) is float
    assert repr(norm.upper).startswith("Upper(")
    assert 18.0 in norm
    for kind in (sigmax.Upper, sigmax.Lower):
        with pytest.raises(TypeError, match="only sigmax"):
            kind(1.0)
    again = pickle.loads(pickle.dumps(norm.upper))
    assert type(again) is sigmax.Upper and again == norm.upper


def test_errors_are_exceptions_with_the_text_of_the_core(tmp_path: Path) -> None:
    with pytest.raises(sigmax.Error, match="cannot open"):
        sigmax.audit(tmp_path / "none.onnx")
    (tmp_path / "text").write_text("{}")
    with pytest.raises(ValueError, match="JSON text"):
        sigmax.audit(tmp_path / "text")
    with pytest.raises(TypeError, match=r"torch\.nn\.Module"):
        sigmax.audit(3)
    with pytest.raises(sigmax.Error, match="matches no layer"):
        sigmax.audit(CNN, only=["nothing"])
    with pytest.raises(sigmax.Error, match="tolerance"):
        sigmax.audit(CNN, tolerance=-1.0)
    with pytest.raises(sigmax.Error, match="budget"):
        sigmax.audit(CNN, budget=-1.0)


def test_progress_and_its_exceptions() -> None:
    seen: list[tuple[int, int]] = []
    sigmax.audit(CNN, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (6, 6)

    def stop(done: int, total: int) -> None:
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        sigmax.audit(CNN, progress=stop)


SLOW = """
import signal
import numpy as np, sigmax
from sigmax import _core
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's job in the background ignores it
rng = np.random.default_rng(0)
print("started", flush=True)
_core.conv_norm(rng.normal(size=(768, 768, 3, 3)), stride=[1, 1], padding=[1, 1], dilation=[1, 1], groups=1,
    transposed=False, output_padding=[0, 0], padding_mode="zeros", tolerance=1e-6)
"""


def test_ctrl_c_ends_a_call_within_a_second() -> None:
    child = subprocess.Popen([sys.executable, "-c", SLOW], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert child.stdout is not None and child.stdout.readline() == b"started\n"
    time.sleep(0.7)
    assert child.poll() is None
    started = time.monotonic()
    child.send_signal(signal.SIGINT)
    _, stderr = child.communicate(timeout=30)
    # Half of it is the interpreter's own end on a busy machine.
    assert time.monotonic() - started < 2.0
    assert b"KeyboardInterrupt" in stderr


def test_other_threads_run_meanwhile() -> None:
    ticks = 0
    done = threading.Event()

    def tick() -> None:
        nonlocal ticks
        while not done.is_set():
            ticks += 1
            time.sleep(0.001)

    thread = threading.Thread(target=tick)
    thread.start()
    weight = np.random.default_rng(0).normal(size=(96, 96, 3, 3))
    conv(weight)
    done.set()
    thread.join()
    assert ticks > 5


def conv(weight: np.ndarray, **options: object) -> tuple[float, float]:
    axes = weight.ndim - 2
    given = {
        "stride": [1] * axes,
        "padding": [0] * axes,
        "dilation": [1] * axes,
        "groups": 1,
        "transposed": False,
        "output_padding": [0] * axes,
        "padding_mode": "zeros",
        **options,
    }
    return _core.conv_norm(weight, **given)


def test_the_norm_of_one_layer() -> None:
    rng = np.random.default_rng(0)
    dense = rng.normal(size=(5, 7))
    lower, upper = conv(dense)
    assert lower <= np.linalg.norm(dense, 2) <= upper <= lower * 1.001
    kernel = rng.normal(size=(2, 3, 3))
    lower, upper = conv(kernel, stride=[2], padding=[(1, 0)])
    # At any size the layer as a matrix is not above the norm over all sizes.
    n = 24
    matrix = np.zeros((2, n // 2, 3, n + 1))
    for at in range(n // 2):
        matrix[:, at, :, 2 * at : 2 * at + 3] += kernel[:, :, : min(3, n + 1 - 2 * at)]
    truth = np.linalg.norm(matrix.reshape(n, 3 * (n + 1)), 2)
    assert 0.9 * upper < truth <= upper
    # Single floats widen; what is not contiguous is read as it is seen.
    assert conv(dense.astype(np.float32).T) == conv(dense.astype(np.float32).astype(float).T.copy())
    with pytest.raises(sigmax.Error, match="float32 or float64"):
        conv(dense.astype(int))
    with pytest.raises(sigmax.Error, match="groups"):
        conv(rng.normal(size=(3, 3, 3, 3)), groups=2)
    with pytest.raises(sigmax.Error, match="padding mode"):
        conv(kernel, padding_mode="mirror")


def test_a_comparison() -> None:
    found = sigmax.compare(CNN, CNN.read_bytes()).to_dict()
    assert [pair["name"] for pair in found["layers"]][:2] == ["stem", "down"]
    assert "stem" in str(sigmax.compare(CNN, CNN))


def images(count: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    return rng.integers(0, 256, size=(count, 1, 28, 28), dtype=np.uint8), rng.integers(0, 10, size=count)


def test_arrays_of_images_are_certified() -> None:
    pixels, labels = images(6)
    found = sigmax.certify(SMOOTH, pixels, labels, eps=[0.001, 1.0])
    assert isinstance(found, sigmax.Certification)
    right = sigmax.certify(SMOOTH, pixels, found.prediction, eps=[0.001, 1.0])
    assert right.correct.all() and len(right) == 6
    assert (right.radius > 0).any()
    assert (right.radius[found.labels != found.prediction] >= 0).all()
    assert (found.radius[~found.correct] == 0).all()
    assert (right.radius_by_constants <= right.radius).all()
    summary = right.summary()
    assert summary["correct"] == 6 and summary["certified"][1.0] == int(right.certified(1.0).sum())
    assert right.lipschitz > 0
    # Floats that are the same quotients, rounded, give nearly the same.
    floats = sigmax.certify(SMOOTH, pixels / 255.0, found.prediction, method="global")
    assert floats.radius == pytest.approx(right.radius_by_constants, rel=1e-6)
    with pytest.raises(sigmax.Error, match="pixel_range"):
        sigmax.certify(SMOOTH, pixels.astype(np.float32), labels)
    with pytest.raises(sigmax.Error, match="expected"):
        sigmax.certify(SMOOTH, pixels[:, 0], labels)
    with pytest.raises(sigmax.Error, match="label"):
        sigmax.certify(SMOOTH, pixels, labels + 10)
    with pytest.raises(sigmax.Error, match="digests"):
        sigmax.certify(SMOOTH, pixels, labels, certificates="c.jsonl")


def test_no_perturbation_inside_of_a_radius_changes_the_class() -> None:
    pixels, labels = images(4)
    pixels = pixels / 255.0
    first = sigmax.certify(SMOOTH, pixels, labels)
    found = sigmax.certify(SMOOTH, pixels, first.prediction)
    model = _core.Model.from_path(SMOOTH)
    rng = np.random.default_rng(1)
    for image, radius, label in zip(pixels, found.radius, first.prediction, strict=True):
        steps = rng.normal(size=(20, 1, 28, 28))
        steps *= radius / np.linalg.norm(steps.reshape(20, -1), axis=1)[:, None, None, None]
        rows, _ = model.evaluate(image + steps)
        assert all(int(np.argmax(row)) == label for row in rows)


def test_files_of_images_and_certificates(tmp_path: Path) -> None:
    pixels, labels = images(5)
    np.savez(tmp_path / "set.npz", images=pixels[:, 0], labels=labels)
    by_arrays = sigmax.certify(SMOOTH, pixels, labels)
    first = sigmax.certify(SMOOTH, tmp_path / "set.npz", eps=0.3)
    assert isinstance(first, sigmax.FileCertification)
    np.savez(tmp_path / "set.npz", images=pixels[:, 0], labels=by_arrays.prediction)
    parts = [tmp_path / f"part-{part}.jsonl" for part in (1, 2)]
    for part, path in enumerate(parts, 1):
        sigmax.certify(SMOOTH, tmp_path / "set.npz", eps=0.3, shard=(part, 2), certificates=path)
    whole = tmp_path / "whole.jsonl"
    assert sigmax.merge(parts, whole) == 5
    images_found, certified = sigmax.check(whole, SMOOTH)
    assert images_found == 5
    full = sigmax.certify(SMOOTH, tmp_path / "set.npz", eps=0.3)
    assert certified == int((full.radius > 0).sum()) == full.certified(0.0)
    assert full.summary()["correct"] == 5
    assert "PROVED" in str(full) and full.to_html() and json.loads(full.to_json())
    text = whole.read_text().splitlines()
    line = json.loads(text[1])
    line["radius"] = 100.0
    whole.write_text("\n".join([text[0], json.dumps(line), *text[2:]]) + "\n")
    with pytest.raises(sigmax.NotConfirmed):
        sigmax.check(whole, SMOOTH)
    with pytest.raises(sigmax.Error, match="is no file"):
        sigmax.certify(SMOOTH.read_bytes(), tmp_path / "set.npz")


def test_a_certifier_takes_batches_and_can_be_pickled() -> None:
    pixels, labels = images(4)
    certifier = sigmax.Certifier(SMOOTH, eps=[0.1], method="global")
    batch = {"image": pixels, "label": labels, "name": np.array(list("abcd"))}
    out = certifier(batch)
    assert list(out["name"]) == list("abcd")
    assert set(out) == {*batch, "radius", "prediction", "correct", "margin", "certified_0.1"}
    other = pickle.loads(pickle.dumps(certifier))
    again = other({**batch, "label": out["prediction"]})
    assert again["correct"].all() and (again["radius"] > 0).all()
    assert other.prove() == certifier.prove()


def command(*args: object) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "sigmax", *(str(arg) for arg in args)]
    return subprocess.run(line, capture_output=True, text=True, check=False)


def test_the_command() -> None:
    done = command("audit", CNN, "--format", "json", "--max-norm", "10")
    assert done.returncode == 1 and "gate failed" in done.stderr
    assert json.loads(done.stdout)["network"]["lipschitz"]["upper"] > 0
    assert command("audit", "none.onnx").returncode == 2
    usage = command("audit", "--nonsense")
    assert usage.returncode == 2 and "--nonsense" in usage.stderr
    shown = command("--version")
    assert shown.returncode == 0 and shown.stdout.strip() == f"sigmax {sigmax.__version__}"
    assert command("compare", CNN, CNN).returncode == 0


def test_a_budget_is_heeded_and_what_is_found_is_proved() -> None:
    weight = np.random.default_rng(0).normal(size=(256, 256, 3, 3)).astype(np.float32)
    torch = pytest.importorskip("torch")
    module = torch.nn.Sequential(torch.nn.Conv2d(256, 256, 3), torch.nn.ReLU())
    module[0].weight.data = torch.from_numpy(weight)
    short = sigmax.audit(module, torch.zeros(1, 256, 8, 8), budget=0.01)
    norm = short.layers["0"].norm
    assert 0 < norm.lower <= norm.upper < np.inf
    assert short.lipschitz is not None
