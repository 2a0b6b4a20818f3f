"""What the programs that train share of the command line and of files."""
import argparse
import math
import os
import pathlib
import tempfile

import torch

from curvature.data import BadInput


LARGEST = 2**31  # bytes of the weights: an ONNX file holds no more


def at_least(kind, least, below=float("inf")):
    """A parser of numbers from `least`."""

    def parse(text):
        try:
            value = kind(text)
        except ValueError:
            value = below
        if not least <= value < below:
            end = f" and below {below}" if math.isfinite(below) else ""
            what = "whole number" if kind is int else "number"
            raise argparse.ArgumentTypeError(f"{text} is not a {what} from {least}{end}")
        return value

    return parse


seed = at_least(int, 0, 2**63)


def built(option: str, make, weights=torch.nn.Module.parameters):
    """The network of `make`, if its `weights` are not too large for a file; `option` says what describes it."""
    try:
        with torch.device("meta"):  # without its numbers
            size = sum(weight.nbytes for weight in weights(make()))
    except (OverflowError, RuntimeError, TypeError):  # a size beyond 64 bits
        size = LARGEST
    if size >= LARGEST:
        raise BadInput(f"{option}: a network of 2 GB or more, and an ONNX file holds less")
    return make()


def repeatable(threads: int) -> None:
    """The same seed gives the same result, on one machine and with so many threads."""
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # slow, and nothing is read before it is written


def check_place(option: str, path: pathlib.Path) -> None:
    """Whether `path` can be written, before hours are spent."""
    try:
        tempfile.TemporaryFile(dir=path.parent).close()
    except OSError as error:
        raise BadInput(f"{option} {path}: {error.strerror} in {path.parent}") from error
    if path.is_dir():
        raise BadInput(f"{option} {path}: a folder, expected a file")


def write_whole(path: pathlib.Path, content: bytes) -> None:
    """The file is there whole or not at all."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        scratch.write_bytes(content)
        os.replace(scratch, path)
    finally:
        scratch.unlink(missing_ok=True)
