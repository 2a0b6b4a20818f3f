"""Data-parallel training with two gloo processes: ranks agree bit for bit, and with one process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import distributed

SCENARIOS = [
    "ddp",
    "ddp-weighted",
    "ddp-norm",
    "ddp-static",
    "ddp-accumulate",
    "ddp-accumulate-add",
    "ddp-add-norm",
    "ddp-compile",
    "ddp-spectral",
    "ddp-checkpoint",
    "fsdp",
    "fsdp-norm",
    "fsdp-add",
    "fsdp-checkpoint",
]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, dict[str, torch.Tensor]]]:
    if not (distributed.is_available() and distributed.is_gloo_available()):
        pytest.skip("torch has no gloo")
    out = tmp_path_factory.mktemp("ranks")
    here = Path(__file__).parent
    environment = os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    commands = [(0, 1), (0, 2), (1, 2)]
    processes = [
        subprocess.Popen(
            [
                sys.executable,
                here / "torch_ranks.py",
                str(rank),
                str(ranks),
                out / f"store{ranks}",
                out,
                *SCENARIOS,
            ],
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank, ranks in commands
    ]
    try:
        for process in processes:
            _, errors = process.communicate(timeout=400)
            assert process.returncode == 0, errors
    finally:
        for process in processes:
            process.kill()
    return {f"{ranks}-{rank}": torch.load(out / f"{ranks}-{rank}.pt") for rank, ranks in commands}


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_ranks_agree(scenario: str, results: dict[str, dict[str, dict[str, torch.Tensor]]]) -> None:
    one, first, second = (results[key][scenario] for key in ("1-0", "2-0", "2-1"))
    assert first.keys() == second.keys() == one.keys()
    for name in first:
        assert torch.equal(first[name], second[name]), name
        torch.testing.assert_close(
            first[name], one[name], rtol=1e-6, atol=1e-6, msg=lambda m, n=name: f"{n}: {m}"
        )
