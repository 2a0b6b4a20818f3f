"""What the programs that train share of the command line and of files."""
import argparse
import os
import pathlib
import tempfile

import torch

from curvature.data import BadInput


def at_least(kind, least):
    """A parser of numbers from `least`."""

    def parse(text):
        value = kind(text)
        if not least <= value < float("inf"):
            raise argparse.ArgumentTypeError(f"{text} is not a number from {least}")
        return value

    return parse


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
