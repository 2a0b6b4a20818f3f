#!/usr/bin/env python3
"""Train the small network of `mnist-cnn.onnx`.

    python3 examples/train_mnist.py --data DIR [--out examples/mnist-cnn.onnx] [--epochs N]

DIR holds the four official MNIST files (idx format, gzipped or not).

The network has one layer of each kind that a bound has to tell apart: a 5x5 stem, a strided 3x3,
a depthwise 3x3, a pointwise 1x1, a dilated 3x3, an average pool and a dense layer. Pixels are fed
as value/255, without further normalisation, so a distance in the input is a distance in pixels.
BatchNorm helps the training and is folded into the convolutions before the export: the file holds
only Conv, Relu, AveragePool, Flatten and Gemm, with f32 weights and a static 1x1x28x28 input.

The seed is fixed; another machine or another PyTorch may still round differently.
"""

import argparse
import gzip
import pathlib
import time
from collections import OrderedDict

import numpy as np
import onnx
import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def read_idx(folder: pathlib.Path, name: str) -> np.ndarray:
    """The array of bytes in the idx file `name` or `name.gz`."""
    plain = folder / name
    raw = plain.read_bytes() if plain.exists() else gzip.decompress((folder / f"{name}.gz").read_bytes())
    rank = raw[3]
    shape = np.frombuffer(raw, ">u4", rank, offset=4)
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * rank).reshape(shape)


def load(folder: pathlib.Path, part: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Images as f32 in [0, 1], shape [n, 1, 28, 28], and labels."""
    images = read_idx(folder, f"{part}-images-idx3-ubyte")
    labels = read_idx(folder, f"{part}-labels-idx1-ubyte")
    return torch.from_numpy(images.astype(np.float32) / 255)[:, None], torch.from_numpy(labels.astype(np.int64))


def network() -> nn.Sequential:
    """The network while it trains: every convolution is followed by BatchNorm and ReLU."""
    convs = OrderedDict(
        stem=nn.Conv2d(1, 12, 5, padding=2, bias=False),
        down=nn.Conv2d(12, 24, 3, stride=2, padding=1, bias=False),
        depthwise=nn.Conv2d(24, 24, 3, padding=1, groups=24, bias=False),
        pointwise=nn.Conv2d(24, 32, 1, bias=False),
        dilated=nn.Conv2d(32, 32, 3, padding=2, dilation=2, bias=False),
    )
    layers = OrderedDict()
    for name, conv in convs.items():
        layers[name] = conv
        layers[f"{name}_norm"] = nn.BatchNorm2d(conv.out_channels)
        layers[f"{name}_relu"] = nn.ReLU()
    layers["pool"] = nn.AvgPool2d(2)
    layers["flatten"] = nn.Flatten()
    layers["classifier"] = nn.Linear(32 * 7 * 7, 10)
    return nn.Sequential(layers)


def fold(model: nn.Sequential) -> nn.Sequential:
    """The same map at inference without BatchNorm."""
    layers, parts = OrderedDict(), dict(model.eval().named_children())
    for name, part in parts.items():
        if isinstance(part, nn.Conv2d):
            layers[name] = fuse_conv_bn_eval(part, parts[f"{name}_norm"])
        elif not isinstance(part, nn.BatchNorm2d):
            layers[name] = part
    return nn.Sequential(layers)


def train(model: nn.Module, images: torch.Tensor, labels: torch.Tensor, epochs: int) -> None:
    """AdamW with a one-cycle schedule; every batch is shifted by up to two pixels."""
    batch = 128
    steps = len(images) // batch
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, epochs * steps)
    for epoch in range(epochs):
        model.train()
        order = torch.randperm(len(images))
        for step in range(steps):
            pick = order[step * batch : (step + 1) * batch]
            shift = torch.randint(-2, 3, (2,)).tolist()
            loss = nn.functional.cross_entropy(model(images[pick].roll(shift, (2, 3))), labels[pick])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        print(f"epoch {epoch + 1}: loss of the last batch {loss.item():.4f}", flush=True)


@torch.no_grad()
def accuracy(model: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> float:
    """Share of the images whose largest logit is the label."""
    hits = [(model(x).argmax(1) == y).sum() for x, y in zip(images.split(1000), labels.split(1000))]
    return float(sum(hits)) / len(images)


def export(model: nn.Sequential, path: pathlib.Path) -> None:
    """Write `model` as ONNX, nodes named after the layers, without any trace of this machine."""
    torch.onnx.export(
        model, (torch.zeros(1, 1, 28, 28),), str(path), dynamo=False, opset_version=17,
        input_names=["image"], output_names=["logits"],
    )
    file = onnx.load(path)
    names = [name for name, _ in model.named_children()]
    assert len(names) == len(file.graph.node), "one node per layer"
    for name, node in zip(names, file.graph.node):
        node.name, node.doc_string = name, ""
        del node.metadata_props[:]
        if node.output[0] != "logits":
            renamed = f"{name}_out"
            for other in file.graph.node:
                other.input[:] = [renamed if i == node.output[0] else i for i in other.input]
            node.output[0] = renamed
    file.graph.name, file.graph.doc_string, file.doc_string = "mnist-cnn", "", ""
    file.producer_name, file.producer_version = "pytorch", torch.__version__.split("+")[0]
    del file.graph.value_info[:], file.metadata_props[:]
    onnx.checker.check_model(file, full_check=True)
    onnx.save(file, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=pathlib.Path, required=True, help="folder of the MNIST files")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).with_name("mnist-cnn.onnx"))
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    model = network()
    start = time.perf_counter()
    train(model, *load(args.data, "train"), args.epochs)
    seconds = time.perf_counter() - start
    model = fold(model)
    parameters = sum(p.numel() for p in model.parameters())
    score = accuracy(model, *load(args.data, "t10k"))
    export(model, args.out)
    print(f"{parameters} parameters, {100 * score:.2f} % of the test images, {seconds:.0f} s, {args.out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
