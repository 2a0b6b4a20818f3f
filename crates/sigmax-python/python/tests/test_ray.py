"""The example for Ray Data, on one machine."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

import sigmax

ray = pytest.importorskip("ray")
image = pytest.importorskip("PIL.Image")

EXAMPLES = Path(__file__).parents[1] / "examples"
MODEL = Path(__file__).parents[4] / "examples" / "mnist-curvature.onnx"


def test_pictures_are_certified_as_without_ray(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    import ray_certify

    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, size=(6, 28, 28), dtype=np.uint8)
    first = sigmax.certify(MODEL, pixels[:, None], np.zeros(6, dtype=int))
    paths = {}
    for place, (picture, label) in enumerate(zip(pixels, first.prediction, strict=True)):
        folder = tmp_path / "pictures" / str(label)
        folder.mkdir(parents=True, exist_ok=True)
        image.fromarray(picture).save(folder / f"{place}.png")
        paths[str(folder / f"{place}.png")] = place
    paths_of_python = [str(EXAMPLES), *sys.path]
    ray.init(
        num_cpus=1,
        include_dashboard=False,
        runtime_env={"env_vars": {"PYTHONPATH": ":".join(paths_of_python)}},
    )
    try:
        rows = ray_certify.certified(str(MODEL), str(tmp_path / "pictures"), [0.1]).take_all()
    finally:
        ray.shutdown()
    wanted = sigmax.certify(MODEL, pixels[:, None], first.prediction, eps=[0.1])
    assert len(rows) == 6
    for row in rows:
        place = next(
            paths[path] for path in paths if path.endswith(row["path"].lstrip("/")) or path == row["path"]
        )
        assert row["correct"]
        assert row["radius"] == pytest.approx(wanted.radius[place], rel=1e-6)
        assert row["certified_0.1"] == wanted.certified(0.1)[place]
