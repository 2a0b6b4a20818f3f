#!/usr/bin/env python3
"""Make the small PyTorch and safetensors files of this folder (torch 2.15, safetensors 0.8).

Their values are what the tests expect, written out there: arange counts 0, 1, 2, …
"""

import collections
import pathlib

import torch
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).parent


def counting(*shape, dtype=torch.float32):
    """0, 1, 2, … in row-major order."""
    return torch.arange(torch.Size(shape).numel()).reshape(shape).to(dtype)


def net():
    """Two convolutions (one with a buffer beside it) and a dense layer."""
    layers = collections.OrderedDict(
        conv=torch.nn.Conv2d(2, 3, (3, 2), stride=2),
        norm=torch.nn.BatchNorm2d(3),
        block=torch.nn.Sequential(torch.nn.Conv1d(3, 3, 3, groups=3), torch.nn.ReLU()),
        fc=torch.nn.Linear(4, 2),
    )
    model = torch.nn.Sequential(layers)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(counting(*parameter.shape))
    return model


def checkpoint():
    """A training checkpoint: the model, the optimiser after a step, and more."""
    model = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 1), torch.nn.Conv2d(2, 2, 1))
    optimiser = torch.optim.Adam(model.parameters())
    model(torch.ones(1, 1, 2, 2)).sum().backward()
    optimiser.step()
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([3.0, 4.0]).reshape(2, 1, 1, 1))
        model[1].weight.copy_(torch.tensor([0.0, 2.0, -5.0, 0.0]).reshape(2, 2, 1, 1))
    return {
        "epoch": 3,
        "loss": 0.5,
        "args": ["--lr", 1e-3],
        "state_dict": model.state_dict(),
        "optimizer": optimiser.state_dict(),
    }


def views():
    """One storage under many names, and tensors that are not what is stored in order."""
    base = counting(4, 6)
    return {
        "base": base,
        "tied": base,
        "transposed": base.t(),
        "columns": base[:, 1::2],
        "rows": base[2:],
        "expanded": counting(3, 1).expand(3, 4),
        "one": counting(5, 5)[2:3, 3:4],
    }


def types():
    """Every type that is read, and some that are not."""
    tensors = {
        str(dtype).removeprefix("torch."): torch.tensor([[1.5, -2.0]], dtype=dtype)
        for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64)
    }
    tensors["int"] = counting(2, 2, dtype=torch.int64)
    tensors["uint"] = counting(2, 2, dtype=torch.uint16)
    tensors["float8"] = counting(2, 2).to(torch.float8_e4m3fn)
    tensors["complex"] = counting(2, 2, dtype=torch.complex64)
    tensors["sparse"] = torch.eye(2).to_sparse()
    tensors["quantised"] = torch.quantize_per_tensor(counting(2, 2), 0.5, 0, torch.qint8)
    tensors["meta"] = torch.empty(2, 2, device="meta")
    tensors["vector"] = counting(3)
    tensors["scalar"] = torch.tensor(1.0)
    tensors["six"] = counting(1, 1, 1, 1, 1, 2)
    tensors["empty"] = torch.empty(0, 3)
    return tensors


def main():
    model = net()
    save = lambda value, name, **options: torch.save(value, HERE / name, **options)
    save(model.state_dict(), "net.pt")
    save(model.state_dict(), "net-legacy.pt", _use_new_zipfile_serialization=False)
    save(model, "net-module.pt")
    save(model.state_dict(), "net-protocol4.pt", pickle_protocol=4)
    save(checkpoint(), "checkpoint.pt")
    save(views(), "views.pt")
    save(views(), "views-legacy.pt", _use_new_zipfile_serialization=False)
    save(types(), "types.pt")
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), HERE / "torchscript.pt")
    floats = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
    save_file(
        {f"{str(dtype).removeprefix('torch.')}.weight": torch.tensor([[1.5, -2.0]], dtype=dtype)
         for dtype in floats}
        | {"conv.weight": counting(2, 1, 2, 2), "steps": torch.tensor([7])},
        HERE / "types.safetensors",
    )


if __name__ == "__main__":
    main()
