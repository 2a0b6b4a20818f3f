#!/usr/bin/env python3
"""Compares the values that sigmax computes for a network with those of onnxruntime.

`sigmax certify` writes the logits that it proves (f64, with a bound of their error) beside each
certificate; onnxruntime computes the same node in float32. The two may differ by float32 rounding:

    python3 scripts/compare_onnxruntime.py --sigmax target/release/sigmax MODEL.onnx
    python3 scripts/compare_onnxruntime.py --sigmax target/release/sigmax MODEL.onnx \\
        --images cifar-10-batches-bin --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225

Without --images the inputs are random. Exits with 1 where a difference is larger than --tolerance
times the largest logit.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

from certificate.layout import pixels, per_channel


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--sigmax", type=Path, required=True, help="the program")
    parser.add_argument("--images", help="as for sigmax certify; without it, random inputs")
    parser.add_argument("--labels")
    parser.add_argument("--mean")
    parser.add_argument("--std")
    parser.add_argument("--layout", help="as for sigmax certify")
    parser.add_argument("--limit", type=int, default=None)
    parser.add_argument("--random", type=int, default=64, help="number of random inputs")
    parser.add_argument("--tolerance", type=float, default=1e-4, help="relative to the largest logit")
    return parser.parse_args()


def certificates(args, folder):
    """Header and lines of `sigmax certify`, and the seconds it took."""
    out = folder / "certificates.jsonl"
    command = [args.sigmax, "certify", args.model, "--certificates", out, "--format", "json"]
    if args.images:
        command += ["--images", args.images]
        command += ["--labels", args.labels] if args.labels else []
    else:
        shape = input_shape(args.model)
        rng = np.random.default_rng(0)
        np.save(folder / "x.npy", rng.random((args.random, *shape)).astype(np.float32))
        np.save(folder / "y.npy", np.zeros(args.random, dtype=np.int64))
        command += ["--images", folder / "x.npy", "--labels", folder / "y.npy"]
    for name in ("mean", "std", "limit", "layout"):
        if getattr(args, name) is not None:
            command.append(f"--{name}={getattr(args, name)}")
    start = time.perf_counter()
    subprocess.run([str(word) for word in command], check=True, stdout=subprocess.DEVNULL)
    seconds = time.perf_counter() - start
    header, *lines = [json.loads(line) for line in out.open(encoding="utf-8")]
    return header, lines, seconds


def data_input(graph):
    constant = {tensor.name for tensor in graph.initializer}
    return next(value for value in graph.input if value.name not in constant)


def input_shape(path):
    graph = onnx.load(path, load_external_data=False).graph
    return [d.dim_value for d in data_input(graph).type.tensor_type.shape.dim[1:]]


def reference(args, header, x):
    """The logits by onnxruntime, one row per input."""
    model = onnx.load(args.model)
    wanted = header["logits"]
    nodes = model.graph.node
    output = next((n.output[0] for n in nodes if n.name == wanted or wanted in n.output), None)
    if output is None:
        sys.exit(f"the model has no node {wanted!r}")
    del model.graph.output[:]
    model.graph.output.append(onnx.ValueInfoProto(name=output))
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    entry = session.get_inputs()[0]
    batch = entry.shape[0] if isinstance(entry.shape[0], int) else 64
    rows = []
    start = time.perf_counter()
    for i in range(0, len(x), batch):
        block = x[i : i + batch]
        missing = batch - len(block) if isinstance(entry.shape[0], int) else 0
        padded = np.concatenate([block, np.zeros((missing, *block.shape[1:]), block.dtype)])
        rows.append(session.run([output], {entry.name: padded})[0].reshape(len(padded), -1)[: len(block)])
    return np.concatenate(rows), time.perf_counter() - start


def main():
    args = arguments()
    with tempfile.TemporaryDirectory() as folder:
        header, lines, ours = certificates(args, Path(folder))
    shape = header["nodes"][0]["shape"]
    x = np.stack([pixels(line).reshape(shape) for line in lines])
    if header["mean"] is not None:
        mean, std = (per_channel(header[key], shape, header["layout"]) for key in ("mean", "std"))
        x = (x - mean) / std
    expected, theirs = reference(args, header, x.astype(np.float32))
    values = np.array([line["logits"] for line in lines])
    scale = np.abs(expected).max()
    worst = np.abs(values - expected).max() / scale
    errors = [line["error"] for line in lines if line["error"] is not None]
    same = (values.argmax(1) == expected.argmax(1)).mean()
    print(f"{len(lines)} inputs, node {header['logits']!r} with {values.shape[1]} values")
    print(f"largest difference: {worst:.2e} of the largest value {scale:.4g}")
    if errors:
        print(f"largest proved error of the f64 values: {max(errors):.2e}")
    print(f"same class: {100 * same:.2f} %")
    if args.images:
        labels = np.array([line["label"] for line in lines])
        print(f"accuracy: {100 * (values.argmax(1) == labels).mean():.2f} % (sigmax), "
              f"{100 * (expected.argmax(1) == labels).mean():.2f} % (onnxruntime)")
    print(f"seconds: {ours:.1f} (sigmax certify, norms and reading included), {theirs:.1f} (onnxruntime)")
    sys.exit(0 if worst <= args.tolerance else 1)


if __name__ == "__main__":
    main()
