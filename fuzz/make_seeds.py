#!/usr/bin/env python3
"""Make the seed corpora of the fuzz targets (packages as in ../scripts, and pillow)."""

import collections
import gzip
import io
import pathlib

import numpy as np
import onnx
import torch
from PIL import Image
from onnx import TensorProto, helper
from safetensors.torch import save

HERE = pathlib.Path(__file__).parent / "corpus"


def put(target, name, data):
    folder = HERE / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)


def put_torch(name, value, **options):
    path = HERE / "torch" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(value, path, **options)


def torch_seeds():
    weight = torch.arange(4.0).reshape(2, 2)
    states = {
        "dict": {"w": weight},
        "nested": {"epoch": 1, "state_dict": {"fc.weight": weight, "fc.bias": torch.ones(2)}},
        "optimiser": {"net": {"w": weight}, "opt": {"state": {0: {"m": weight}}, "param_groups": []}},
        "views": {"w": weight, "t": weight.t(), "c": weight[:, 1:], "e": weight[:1].expand(2, 2)},
        "types": collections.OrderedDict(
            half=weight.half(), bf16=weight.bfloat16(), double=weight.double(), int=weight.int()),
        "sparse": [weight.to_sparse(), weight.to(torch.uint16)],
        "module": torch.nn.Sequential(torch.nn.Conv1d(1, 1, 2)),
        "parameter": (torch.nn.Parameter(weight), 2.5, None, True, b"x", "text", {1, 2}),
    }
    for name, state in states.items():
        put_torch(f"{name}.pt", state)
        if name not in ("module", "sparse"):  # the one holds source text, the other a new type
            put_torch(f"{name}-legacy.pt", state, _use_new_zipfile_serialization=False)
    put_torch("protocol4.pt", states["dict"], pickle_protocol=4)
    put_torch("protocol5-legacy.pt", states["dict"], pickle_protocol=5,
              _use_new_zipfile_serialization=False)


def safetensors_seeds():
    weight = torch.arange(4.0).reshape(2, 2)
    put("safetensors", "one", save({"w": weight}))
    put("safetensors", "types", save({
        "half": weight.half(), "bf16": weight.bfloat16(), "f64.weight": weight.double(),
        "int": weight.long(), "conv.weight": weight.reshape(1, 1, 2, 2), "v": torch.ones(1)}))
    put("safetensors", "metadata", save({"w": weight}, {"format": "pt"}))
    put("safetensors", "empty", save({}))
    put("safetensors", "gzip", gzip.compress(save({"w": weight}), mtime=0))


def onnx_seeds():
    def model(nodes, weights, opset=13):
        value = lambda name: helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
        graph = helper.make_graph(nodes, "g", [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 1, 4, 4])], [value("y")],
            weights)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)],
                                 ir_version=8).SerializeToString()

    weight = helper.make_tensor("w", TensorProto.FLOAT, [2, 1, 2, 2], [float(i) for i in range(8)])
    raw = helper.make_tensor("w", TensorProto.FLOAT16, [2, 1, 1, 1], bytes(4), raw=True)
    matrix = helper.make_tensor("w", TensorProto.DOUBLE, [2, 2], [1.0, 2.0, 3.0, 4.0])
    conv = helper.make_node("Conv", ["x", "w"], ["y"], strides=[2, 2], pads=[0, 0, 1, 1])
    put("onnx", "conv", model([conv], [weight]))
    put("onnx", "half", model([helper.make_node("Conv", ["x", "w"], ["y"], auto_pad="SAME_UPPER")],
                              [raw]))
    put("onnx", "transpose", model([helper.make_node(
        "ConvTranspose", ["x", "w"], ["y"], strides=[2, 2], output_padding=[1, 1])], [weight]))
    put("onnx", "gemm", model([
        helper.make_node("Flatten", ["x"], ["f"]),
        helper.make_node("Gemm", ["f", "w"], ["y"], transB=1, alpha=0.5)], [matrix]))
    put("onnx", "chain", model([
        helper.make_node("Constant", [], ["c"], value=matrix),
        helper.make_node("Identity", ["c"], ["i"]),
        helper.make_node("Transpose", ["i"], ["t"], perm=[1, 0]),
        helper.make_node("Cast", ["t"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("MatMul", ["x", "f"], ["y"])], []))
    put("onnx", "gzip", gzip.compress(model([conv], [weight]), mtime=0))


def geometry_seeds():
    put("geometry", "all", b"""\
[[layer]]
name = "layer1.*.conv2"
stride = [2, 2]
padding = [[0, 1], 1]
padding_mode = "zeros"
dilation = 1
groups = 1
transposed = false
output_padding = 0
input_size = [32, 32]
""")
    put("geometry", "modes", b"""\
[[layer]]
name = "conv1.weight"
padding_mode = "reflect"
padding = 1
input_size = 8
[[layer]]
name = "up"
padding_mode = "replicate"
[[layer]]
name = "*"
groups = 2
""")
    put("geometry", "transposed", b"""\
[[layer]]
name = "{up,conv?}"
transposed = true
stride = 3
output_padding = 2
padding_mode = "circular"
""")


def image_seeds():
    def saved(write, *arguments, **options):
        buffer = io.BytesIO()
        write(buffer, *arguments, **options)
        return buffer.getvalue()

    def pair(name, images, labels=b""):
        put("images", name, images + labels + len(labels).to_bytes(2, "little"))

    def picture(pixels, kind, **options):
        return saved(Image.fromarray(pixels).save, kind, **options)

    def idx(array):
        axes = b"".join(n.to_bytes(4, "big") for n in array.shape)
        return bytes([0, 0, 8, array.ndim]) + axes + array.tobytes()

    bytes4 = np.arange(12, dtype=np.uint8).reshape(2, 1, 3, 2)
    floats = np.arange(8, dtype=np.float32).reshape(2, 4) / 8
    labels = np.array([1, 0], np.uint8)
    one = idx(labels[:1])
    pair("idx", idx(bytes4[:, 0]), idx(labels))
    pair("idx4-gzip", gzip.compress(idx(bytes4), mtime=0), gzip.compress(idx(labels), mtime=0))
    pair("cifar", b"\3" + bytes(3072))
    pair("npy", saved(np.save, bytes4), saved(np.save, labels.astype(np.int64)))
    pair("npy-fortran", saved(np.save, np.asfortranarray(bytes4 / 8.0)),
         saved(np.save, labels.astype(">i2").reshape(2, 1)))
    pair("npy-half", saved(np.save, floats.astype(">f2")), idx(labels))
    pair("npz", saved(np.savez, x=floats, y=labels))
    pair("npz-deflated", saved(np.savez_compressed, a=bytes4, labels=labels))
    grey = np.arange(64, dtype=np.uint8).reshape(8, 8)
    colour = np.stack([grey, grey.T, grey + 3], axis=2)
    pair("png-grey", picture(grey, "PNG"), one)
    pair("png-colour", picture(colour, "PNG"), one)
    pair("png-16", picture(grey.astype(np.uint16) * 999, "PNG"), one)
    pair("png-alpha", picture(np.dstack([colour, grey * 0 + 255]), "PNG"), one)
    pair("png-palette", saved(Image.fromarray(grey).quantize(4).save, "PNG"), one)
    pair("jpeg-grey", picture(grey, "JPEG"), one)
    pair("jpeg-colour", picture(colour, "JPEG"), one)
    pair("jpeg-progressive", picture(colour, "JPEG", progressive=True), one)


if __name__ == "__main__":
    torch_seeds()
    safetensors_seeds()
    onnx_seeds()
    geometry_seeds()
    image_seeds()
