#!/usr/bin/env bash
# Builds the package into a virtual environment of its own (crates/sigmax-python/.venv) with what its tests
# need, PyTorch among it, and runs them, the linters and the type checker. Needs Rust and Python 3.10.
#   --audit          only audits a module, to try it
#   --environment    only makes the environment
set -euo pipefail
cd "$(dirname "$0")"

python=${PYTHON:-python3}
if [ ! -x .venv/bin/python ]; then
    "$python" -m venv .venv
    # TORCH_INDEX: an index of wheels of PyTorch without CUDA, which are a tenth in size.
    .venv/bin/pip install --quiet torch ${TORCH_INDEX:+--index-url "$TORCH_INDEX"}
fi
.venv/bin/pip install --quiet "maturin>=1.9,<2" numpy onnx onnxscript pandas pytest pytest-xdist ruff mypy
[ "${1:-}" != --environment ] || exit 0
VIRTUAL_ENV=$PWD/.venv .venv/bin/maturin develop --quiet ${SIGMAX_PROFILE:+--profile "$SIGMAX_PROFILE"}

if [ "${1:-}" = --audit ]; then
    .venv/bin/python - <<'PYTHON'
import torch
from torch import nn

import sigmax

model = nn.Sequential(
    nn.Conv2d(1, 8, 5, stride=2), nn.BatchNorm2d(8), nn.ReLU(),
    nn.Conv2d(8, 16, 3, padding=1), nn.GELU(),
    nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(256, 10),
)
print(sigmax.audit(model, torch.randn(1, 1, 28, 28)))
PYTHON
    exit
fi
.venv/bin/ruff check --quiet python
.venv/bin/ruff format --quiet --check python
.venv/bin/mypy --no-error-summary
OMP_NUM_THREADS=1 .venv/bin/python -m pytest --quiet --numprocesses 2 --dist loadfile "$@"
