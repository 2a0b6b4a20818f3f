"""Certifies a folder of pictures by class, CLASS/*.png, with Ray Data on one machine or many.

    python ray_certify.py MODEL.onnx FOLDER OUTPUT [EPS ...]

writes Parquet with the columns path, label, prediction, correct, radius, margin and certified_EPS.
"""

from __future__ import annotations

import sys
from typing import Any

import ray

import sigmax


def prepared(row: dict[str, Any]) -> dict[str, Any]:
    """A picture as the network takes it: channels first. Its class is the number of its folder."""
    pixels = row["image"]
    pixels = pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
    return {"image": pixels, "label": int(row["path"].split("/")[-2]), "path": row["path"]}


def certified(model: str, folder: str, eps: list[float]) -> ray.data.Dataset:
    """The pictures with what was proved of them."""
    pictures = ray.data.read_images(folder, include_paths=True).map(prepared)
    certifier = sigmax.Certifier(model, eps=eps)
    return pictures.map_batches(certifier, batch_size=256).drop_columns(["image"])


if __name__ == "__main__":
    certified(sys.argv[1], sys.argv[2], [float(eps) for eps in sys.argv[4:]]).write_parquet(sys.argv[3])
