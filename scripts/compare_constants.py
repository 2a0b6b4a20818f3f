#!/usr/bin/env python3
"""Compares the audit of a model that computes weights with that of the same model with its constants folded
by onnxruntime.

sigmax evaluates such constants in real arithmetic with an error bound; onnxruntime folds them in float32. The
norms of the layers and the constants of the networks may differ by that rounding:

    python3 scripts/compare_constants.py --sigmax target/release/sigmax MODEL.onnx ...

Exits with 1 where a bound differs by more than --tolerance of it, or only one of the two models has it.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import onnxruntime

# Fusions change which layers there are; folding alone does not.
FUSIONS = [
    "ConvAddFusion", "ConvMulFusion", "ConvBNFusion", "MatMulAddFusion", "MatMul_BatchNormalization_Fusion",
    "ReluClipFusion", "Pad_Fusion", "ReshapeFusion", "GemmActivationFusion", "ConvActivationFusion",
]


def folded(model, folder):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(folder / "folded.onnx")
    onnxruntime.InferenceSession(
        model, options, providers=["CPUExecutionProvider"], disabled_optimizers=FUSIONS)
    return folder / "folded.onnx"


def bounds(sigmax, model):
    """Upper and lower ends of the layers in the order of the graph, and the constant of the network."""
    run = subprocess.run([sigmax, "audit", model, "--format", "json"], capture_output=True, text=True, check=False)
    if run.returncode != 0:
        return None, run.stderr.strip()
    report = json.loads(run.stdout)
    if report["refused"]:
        return None, "; ".join(f"{r['name']}: {r['reason']}" for r in report["refused"])
    found = [end for layer in report["layers"] for end in (layer["norm"]["lower"], layer["norm"]["upper"])]
    network = report["network"]
    constant = network["lipschitz"]["upper"] if network and network["lipschitz"] else None
    return found, constant if constant is not None else json.dumps(network)[:300]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path, nargs="+")
    parser.add_argument("--sigmax", type=Path, required=True, help="the program")
    parser.add_argument("--tolerance", type=float, default=1e-5)
    args = parser.parse_args()
    failed = 0
    for model in args.models:
        with tempfile.TemporaryDirectory() as folder:
            own = bounds(args.sigmax, model)
            other = bounds(args.sigmax, folded(model, Path(folder)))
        if own[0] is None or other[0] is None or len(own[0]) != len(other[0]):
            print(f"{model}: {own} against {other}")
            failed += 1
            continue
        numbers = [*zip(own[0], other[0])]
        comparable = isinstance(own[1], float) and isinstance(other[1], float)
        if comparable:
            numbers.append((own[1], other[1]))
        worst = max((abs(a - b) / max(abs(a), abs(b), 1e-300) for a, b in numbers), default=0.0)
        wrong = worst > args.tolerance or isinstance(own[1], float) != isinstance(other[1], float)
        failed += wrong
        print(f"{model}: {len(own[0]) // 2} layers, norms {own[0][1::2]}, constant {own[1]}, off by {worst:.1e}"
              + (" (WRONG)" if wrong else ""))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
