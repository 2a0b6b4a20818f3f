#!/usr/bin/env python3
"""Compare sigmax with the published ways to bound or estimate the norm of convolution layers.

    python3 scripts/compare.py --sigmax target/release/sigmax --model resnet32.th [--repeat N]
    python3 scripts/compare.py --sigmax target/release/sigmax --random resnet18

Every round runs every method once, on all convolution layers; the table has the medians of the
rounds. The other methods are written here in a few lines of NumPy and PyTorch:

* four, power: the four reshapes with 50 steps of power iteration in f32 (Singla & Feizi, ICLR 2021);
* FFT + SVD: all singular values of a circular layer (Sedghi, Gupta & Long, ICLR 2019) at 32x32: at all
  frequencies, one layer after the other, as published; and, at 32x32 and at the size that the layer
  has in the network, on the half of the frequencies that a real kernel needs, the layers spread over
  the threads;
* Gram iteration: 5 and 10 steps in f32 at 32x32 (Delattre et al., ICML 2023), with the factor of the
  frequency grid (crates/sigmax/docs/theory.md, T15) that makes it a bound for zero padding.

Tightness is the value over sigmax's proved lower end of the norm; `below` counts the layers where a
value is smaller than that lower end, hence no bound. The time of the methods above is that of the
computation alone; the time of the sigmax process includes its start, reading the file and its dense
layers. The three parts of sigmax are sums over the layers, which run in parallel.

--random resnet18 has no trained weights but normal ones of ResNet-18's twenty shapes, whose spectrum
is nearly flat: the worst case for a search. Large layers are too slow for the FFT and the Gram rows
there: they are run at a few frequencies and their time is extrapolated, as the table says.
"""

import argparse
import concurrent.futures
import functools
import json
import math
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--sigmax", type=pathlib.Path, required=True, help="the binary")
parser.add_argument("--model", type=pathlib.Path, help=".onnx, .th or .pt")
parser.add_argument("--random", choices=["resnet18"])
parser.add_argument("--repeat", type=int, default=5)
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--tolerance", type=float, default=1e-3, help="of sigmax")
parser.add_argument("--frequencies", type=int, default=8, help="of large layers with --random (default 8)")
ARGS = parser.parse_args()
if (ARGS.model is None) == (ARGS.random is None):
    parser.error("one of --model and --random is needed")

# Before the libraries load. NumPy's own threads are off: whole layers are spread over threads instead.
os.environ |= {"OMP_NUM_THREADS": str(ARGS.threads), "MKL_NUM_THREADS": str(ARGS.threads),
               "RAYON_NUM_THREADS": str(ARGS.threads), "OPENBLAS_NUM_THREADS": "1"}

import numpy as np  # noqa: E402
import torch  # noqa: E402

from check_audit import Weight, layer_kernels, load_weights, reshape_matrices, weight_of  # noqa: E402

torch.set_num_threads(ARGS.threads)
LARGE = 128  # channels on the smaller side from which --random extrapolates


# --- the methods: kernels in, one value per layer out --------------------------------------------

def four_by_power(kernel, steps=50):
    """The smallest of the four bounds by power iteration, which approaches it from below."""
    values = []
    for _, matrix in reshape_matrices(kernel):
        matrix = torch.from_numpy(np.ascontiguousarray(matrix, dtype=np.float32))
        v = torch.randn(matrix.shape[1])
        for _ in range(steps):
            u = torch.nn.functional.normalize(matrix @ v, dim=0)
            v = torch.nn.functional.normalize(matrix.T @ u, dim=0)
        values.append(float(u @ (matrix @ v)))
    return math.sqrt(math.prod(kernel.shape[2:])) * min(values)


def symbols(kernel, sizes):
    """The symbol at the frequencies of the circular layer, [frequency, out, in], half the torus."""
    folded = kernel
    for axis, n in enumerate(sizes, 2):  # taps that wrap around add up
        fill = [(0, 0)] * kernel.ndim
        fill[axis] = (0, -folded.shape[axis] % n)
        folded = np.pad(folded, fill)
        shape = (*folded.shape[:axis], -1, n, *folded.shape[axis + 1:])
        folded = folded.reshape(shape).sum(axis)
    spectrum = np.moveaxis(np.fft.rfftn(folded, axes=range(2, kernel.ndim)), (0, 1), (-2, -1))
    return np.ascontiguousarray(spectrum.reshape(-1, *kernel.shape[:2]))


def as_published(kernel):
    """The norm of the circular layer at 32x32, by all its singular values."""
    axes = range(2, kernel.ndim)
    stack = np.moveaxis(np.fft.fftn(kernel, [32] * len(axes), axes=axes), (0, 1), (-2, -1))
    return np.linalg.svd(stack, compute_uv=False).max()


def largest_singular_value(stack):
    """The norm of the circular layer."""
    return np.linalg.svd(stack, compute_uv=False).max()


def gram_iteration(stack, steps):
    """The bound of Delattre et al. for the circular layer."""
    gram = torch.from_numpy(stack.astype(np.complex64))
    log_norm = torch.zeros(len(gram))
    for step in range(steps + 1):
        scale = torch.linalg.vector_norm(torch.view_as_real(gram), dim=(1, 2, 3)).clamp_min(1e-30)
        log_norm += scale.log() / 2**step
        if step < steps:
            gram = gram / scale[:, None, None]
            if step > 0:  # Hermitian by now
                gram = gram @ gram
            else:
                gram = gram.mH @ gram if gram.shape[1] >= gram.shape[2] else gram @ gram.mH
    return float(log_norm.max().exp())


def grid_factor(k, sizes):
    """T15."""
    return math.prod(1 / math.cos(math.pi * (taps - 1) / (2 * n)) for taps, n in zip(k, sizes))


# --- running them --------------------------------------------------------------------------------

def timed(function, *args):
    """(value, seconds)."""
    start = time.perf_counter()
    return function(*args), time.perf_counter() - start


class Method:
    """A method on all layers: of a kernel, or, where `sizes` is set, of its symbols on a grid."""

    def __init__(self, name, function, sizes=None, parallel=False, with_factor=False):
        self.name, self.function, self.sizes = name, function, sizes
        self.parallel, self.with_factor = parallel, with_factor
        self.extrapolated, self.seconds, self.values = False, [], []

    def of_kernel(self, kernel, sizes):
        """(value, seconds), the time extrapolated where it has to be."""
        if sizes is None:
            return timed(self.function, kernel)
        stack, transform = timed(symbols, kernel, sizes)
        step = 1
        if ARGS.random and min(kernel.shape[:2]) >= LARGE and len(stack) > ARGS.frequencies:
            step = len(stack) // ARGS.frequencies
            self.extrapolated = True
        part = stack[::step]
        value, seconds = timed(self.function, part)
        factor = grid_factor(kernel.shape[2:], sizes) if self.with_factor else 1
        return value * factor, transform + seconds * len(stack) / len(part)

    def of_layer(self, layer, kernels):
        """(value, seconds): the largest over the groups."""
        sizes = self.sizes(layer) if self.sizes else None
        results = [self.of_kernel(kernel, sizes) for kernel in kernels]
        return max(value for value, _ in results), sum(seconds for _, seconds in results)

    def run(self, layers, kernels, pool):
        """One round."""
        spread = pool.map if self.parallel else map
        (results, wall) = timed(lambda: list(spread(self.of_layer, layers, kernels)))
        self.values = [value for value, _ in results]
        total = sum(seconds for _, seconds in results)
        self.seconds.append(total / (ARGS.threads if self.parallel else 1) if self.extrapolated else wall)


# A process inherits the peak memory of the one it is forked from, and this one is large: sigmax is
# started by a small Python, which writes seconds and peak KiB to the file descriptor in its argv.
LAUNCHER = """
import os, sys, time
start = time.perf_counter()
child = os.posix_spawn(sys.argv[2], sys.argv[2:], os.environ)
_, status, usage = os.wait4(child, 0)
os.write(int(sys.argv[1]), f"{time.perf_counter() - start} {usage.ru_maxrss}".encode())
sys.exit(os.waitstatus_to_exitcode(status))
"""


def run_sigmax(model):
    """(report, seconds, peak memory in MiB) of one process."""
    command = [ARGS.sigmax.resolve(), "audit", model, "--tolerance", str(ARGS.tolerance), "--format", "json", "--no-network"]
    read, write = os.pipe()
    launcher = [sys.executable, "-I", "-S", "-c", LAUNCHER, str(write)]
    result = subprocess.run([*launcher, *map(str, command)], stdout=subprocess.PIPE, pass_fds=[write])
    os.close(write)
    with os.fdopen(read) as measured:
        seconds, kib = map(float, measured.read().split())
    if result.returncode != 0:
        sys.exit(f"sigmax ended with exit status {result.returncode}")
    return json.loads(result.stdout), seconds, kib / 1024


# --- what is measured ----------------------------------------------------------------------------

def own_sizes(layer):
    """The circular sizes of a layer in its network, None where they are not known."""
    size, axes = layer.get("input_size"), len(layer["shape"]) - 2
    if size is None and ARGS.model is not None and ARGS.model.name.startswith(("resnet20", "resnet32")):
        stage = next((s for s in ("layer2", "layer3") if s in layer["name"]), "layer1")
        first = "0.conv1" in layer["name"]  # it still sees the larger image of the stage before
        size = [{"layer1": 32, "layer2": 32 if first else 16, "layer3": 16 if first else 8}[stage]] * axes
    if size is None:
        return None
    stride = [1] * axes if layer["geometry"] == "assumed" else layer["stride"]
    return [max(1, n // s) for n, s in zip(size, stride)]


def resnet18(folder):
    """(path, weights): a safetensors file with normal kernels of ResNet-18's convolutions."""
    shapes = {"conv1": [64, 3, 7, 7]}
    channels = 64
    for stage in range(1, 5):
        out = 64 << (stage - 1)
        for block, conv in ((0, 1), (0, 2), (1, 1), (1, 2)):
            shapes[f"layer{stage}.{block}.conv{conv}"] = [out, channels if (block, conv) == (0, 1) else out, 3, 3]
        if out != channels:
            shapes[f"layer{stage}.0.downsample.0"] = [out, channels, 1, 1]
        channels = out
    generator = np.random.default_rng(0)
    arrays = {name: (generator.standard_normal(shape) / math.sqrt(math.prod(shape[1:]))).astype("<f4")
              for name, shape in shapes.items()}
    header, offset = {}, 0
    for name, array in arrays.items():
        header[f"{name}.weight"] = {"dtype": "F32", "shape": list(array.shape),
                                    "data_offsets": [offset, offset + array.nbytes]}
        offset += array.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path = pathlib.Path(folder) / "random-resnet18.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text + b"".join(a.tobytes() for a in arrays.values()))
    return path, {name: Weight(array.astype(float)) for name, array in arrays.items()}


def compare(model, weights):
    """Runs all methods and prints the table."""
    report, *_ = run_sigmax(model)
    keep = [i for i, layer in enumerate(report["layers"])
            if len(layer["shape"]) > 2 and layer.get("padding_mode", "zeros") == "zeros"]
    layers = [report["layers"][i] for i in keep]
    found = [weight_of(layer, weights) for layer in layers]
    if not layers or None in found:
        sys.exit("the model has no convolution, or a layer whose weight is not found in the file")
    kernels = [layer_kernels(layer, weight.values) for layer, weight in zip(layers, found)]

    def at_32(layer):
        return [32] * (len(layer["shape"]) - 2)

    methods = [Method("four, power, 50 steps", four_by_power),
               Method("FFT + SVD, 32", largest_singular_value, at_32, parallel=True)]
    if not ARGS.random and all(n <= 32 for kernel in kernels for n in kernel[0].shape[2:]):
        methods.append(Method("FFT + SVD, 32, as published", as_published))
    if all(own_sizes(layer) for layer in layers):
        methods.append(Method("FFT + SVD, own size", largest_singular_value, own_sizes, parallel=True))
    methods += [Method(f"Gram, {steps} steps, 32", functools.partial(gram_iteration, steps=steps), at_32, with_factor=True)
                for steps in (5, 10)]

    walls, memory, parts = [], [], {part: [] for part in ("four", "weighted_four", "norm")}
    with concurrent.futures.ThreadPoolExecutor(ARGS.threads) as pool:
        for _ in range(ARGS.repeat):
            report, seconds, peak = run_sigmax(model)
            layers = [report["layers"][i] for i in keep]
            walls.append(seconds)
            memory.append(peak)
            for part, times in parts.items():
                times.append(sum(layer["timing"][part] for layer in layers))
            for method in methods:
                method.run(layers, kernels, pool)

    lowers = [layer["norm"]["lower"] for layer in layers]
    wall = statistics.median(walls)

    def row(name, seconds, values, note=""):
        median = statistics.median(seconds)
        if values is None:
            tightness = f"{'-':>8} {'-':>8} {'-':>8} {'-':>6}"
        else:
            ratios = [v / low for v, low in zip(values, lowers) if low > 0]
            below = sum(v < low for v, low in zip(values, lowers))
            tightness = f"{statistics.mean(ratios):8.4f} {min(ratios):8.4f} {max(ratios):8.4f} {below:6}"
        print(f"{name:30} {median:9.4f} {median / wall:9.2f} {tightness}  {note}".rstrip())

    print(f"{model.name}: {len(layers)} convolution layers, {ARGS.threads} threads, "
          f"medians of {ARGS.repeat} interleaved rounds, tolerance {ARGS.tolerance:g}\n")
    print(f"{'':30} {'':9} {'time over':>9} {'value over proved lower end':>26}")
    print(f"{'method':30} {'seconds':>9} {'sigmax':>9} {'mean':>8} {'least':>8} {'most':>8} {'below':>6}")
    row("sigmax, whole process", walls, [layer["norm"]["upper"] for layer in layers], "proved")
    row("  four, sum over layers", parts["four"], [layer["four"]["min"] for layer in layers], "proved")
    row("  weighted four, sum", parts["weighted_four"], [layer["weighted_four"] for layer in layers], "proved")
    row("  norm, sum", parts["norm"], [layer["norm"]["upper"] for layer in layers], "proved")
    for method in methods:
        if method.extrapolated:
            row(method.name, method.seconds, None,
                f"extrapolated from {ARGS.frequencies} frequencies where min(c_out, c_in) >= {LARGE}")
        else:
            row(method.name, method.seconds, method.values)
    print(f"\npeak memory of the sigmax process: {max(memory):.0f} MiB (below about 10 it is that of its launcher)")


def main():
    if ARGS.model is not None:
        compare(ARGS.model, load_weights(ARGS.model))
    else:
        with tempfile.TemporaryDirectory() as folder:
            compare(*resnet18(folder))


if __name__ == "__main__":
    main()
