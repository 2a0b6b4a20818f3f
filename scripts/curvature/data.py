"""The images: MNIST and what has its format, and CIFAR-10, as pixels in [0, 1] without normalisation."""
import gzip
import pathlib
import zlib

import numpy as np
import torch

ROW = 1 + 3 * 32 * 32  # bytes of an image of CIFAR-10: label, then three planes


class BadInput(Exception):
    """What the user can mend; the text says how."""


def read_idx(path: pathlib.Path) -> np.ndarray:
    """The array of bytes in an idx file, gzipped or not."""
    raw = path.read_bytes()
    raw = gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
    if raw[:3] != b"\0\0\x08":
        raise ValueError("it does not begin with 0, 0, 8: an array of bytes")
    shape = np.frombuffer(raw, ">u4", raw[3], offset=4)
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * len(shape)).reshape(shape)


def of_mnist(folder: pathlib.Path, part: str) -> tuple[np.ndarray, np.ndarray]:
    prefix, arrays = {"train": "train", "test": "t10k"}[part], []
    for kind, axes in (("images-idx3", 3), ("labels-idx1", 1)):
        found = sorted(folder.glob(f"{prefix}-{kind}-ubyte*"))
        if not found:
            raise BadInput(f"{folder}: {prefix}-{kind}-ubyte is missing, with or without .gz")
        try:
            array = read_idx(found[0])
        except (ValueError, IndexError, OSError, EOFError, zlib.error) as error:
            raise BadInput(f"{found[0]}: not a whole idx file ({error}); fetch it again") from error
        if array.ndim != axes:
            raise BadInput(f"{found[0]}: {array.ndim} axes, expected {axes}")
        arrays.append(array)
    return arrays[0][:, None], arrays[1]


def of_cifar(folder: pathlib.Path, part: str) -> tuple[np.ndarray, np.ndarray]:
    names, blocks = {"train": [f"data_batch_{i}.bin" for i in range(1, 6)], "test": ["test_batch.bin"]}[part], []
    for name in names:
        path = folder / name
        if not path.exists():
            raise BadInput(f"{path} is missing: the binary version of CIFAR-10 has it")
        raw = np.frombuffer(path.read_bytes(), np.uint8)
        if len(raw) == 0 or len(raw) % ROW:
            raise BadInput(f"{path}: {len(raw)} bytes, expected a multiple of {ROW}; fetch it again")
        blocks.append(raw.reshape(-1, ROW))
    rows = np.concatenate(blocks)
    return rows[:, 1:].reshape(-1, 3, 32, 32), rows[:, 0]


def kind(folder: pathlib.Path) -> str:
    """Which data set lies in `folder`: mnist or cifar10."""
    if any(folder.glob("train-images-idx3-ubyte*")):
        return "mnist"
    if (folder / "data_batch_1.bin").exists():
        return "cifar10"
    raise BadInput(f"{folder}: neither train-images-idx3-ubyte (MNIST) nor data_batch_1.bin (CIFAR-10) lies there; --data is the folder of the files themselves")


def load(folder: pathlib.Path, part: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Images [n, channels, side, side] as f32 in [0, 1], and labels; `part` is train or test."""
    images, labels = {"mnist": of_mnist, "cifar10": of_cifar}[kind(folder)](folder, part)
    if len(images) != len(labels) or images.shape[2] != images.shape[3]:
        raise BadInput(f"{folder}: {len(labels)} labels for images of shape {images.shape}")
    if labels.max(initial=0) > 9:
        raise BadInput(f"{folder}: label {labels.max()}, expected 0 to 9")
    return torch.from_numpy(images.astype(np.float32) / 255), torch.from_numpy(labels.astype(np.int64))


def augmented(images: torch.Tensor, shift: int, flip: bool) -> torch.Tensor:
    """Each image moved by up to `shift` pixels along both axes, the border 0, and mirrored by chance."""
    n, _, side, _ = images.shape
    if shift:
        room = torch.nn.functional.pad(images, [shift] * 4)
        move = torch.randint(0, 2 * shift + 1, (2, n))
        rows, columns = (m[:, None] + torch.arange(side) for m in move)
        images = room.permute(0, 2, 3, 1)[torch.arange(n)[:, None, None], rows[:, :, None], columns[:, None]].permute(0, 3, 1, 2)
    if flip:
        images = torch.where(torch.rand(n)[:, None, None, None] < 0.5, images.flip(3), images)
    return images
