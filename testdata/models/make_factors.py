#!/usr/bin/env python3
"""Make the files of this folder whose weights are computed: factors* and float8* (torch 2.15, safetensors 0.8).

Beside the models stand the weights that PyTorch computes from their factors in evaluation mode in float64
(factors.toml): that is what the reader has to find. Nothing is taken from sigmax.
"""

import copy
import pathlib

import torch
from safetensors.torch import save_file
from torch.nn.utils import parametrizations, prune, spectral_norm, weight_norm

HERE = pathlib.Path(__file__).parent


class EveryStep(torch.nn.Module):
    """Spectral normalisation of the first GAN code: power steps at every evaluation, u and v are kept."""

    def __init__(self, module):
        super().__init__()
        self.module = module
        weight = module._parameters.pop("weight")
        matrix = weight.data.reshape(weight.shape[0], -1)
        self.module.weight_u = torch.nn.Parameter(torch.randn(matrix.shape[0]), requires_grad=False)
        self.module.weight_v = torch.nn.Parameter(torch.randn(matrix.shape[1]), requires_grad=False)
        self.module.weight_bar = torch.nn.Parameter(weight.data)
        for vector in (self.module.weight_u, self.module.weight_v):
            vector.data = self.unit(vector.data)

    @staticmethod
    def unit(x):
        return x / (x.norm() + 1e-12)

    def weight(self):
        bar, u, v = self.module.weight_bar, self.module.weight_u, self.module.weight_v
        matrix = bar.reshape(bar.shape[0], -1)
        v.data = self.unit(matrix.t() @ u)
        u.data = self.unit(matrix @ v)
        return bar / (u @ (matrix @ v))


class PowerStep(torch.nn.Module):
    """A layer as in BigGAN: in evaluation one power step from u0 that is not kept; sv0 is only a record."""

    def __init__(self, module):
        super().__init__()
        self.weight = torch.nn.Parameter(module.weight.data)
        self.register_buffer("u0", torch.randn(1, self.weight.shape[0]))
        self.register_buffer("sv0", torch.ones(1))

    def computed(self):
        matrix = self.weight.reshape(self.weight.shape[0], -1)
        normalize = torch.nn.functional.normalize
        v = normalize(self.u0 @ matrix)
        u = normalize(v @ matrix.t())
        return self.weight / (v @ matrix.t() @ u.t()).squeeze()


def layers():
    """Every kind of parametrisation under the name it gets below."""
    nn = torch.nn
    made = {
        "old_linear": spectral_norm(nn.Linear(5, 3)),
        "old_square": spectral_norm(nn.Conv2d(3, 3, 3)),
        "old_transposed": spectral_norm(nn.ConvTranspose2d(4, 3, 3)),
        "old_transposed_square": spectral_norm(nn.ConvTranspose2d(3, 3, 3)),
        "new_linear": parametrizations.spectral_norm(nn.Linear(5, 3)),
        "new_square": parametrizations.spectral_norm(nn.Conv2d(3, 3, (3, 2))),
        "new_transposed": parametrizations.spectral_norm(nn.ConvTranspose2d(3, 3, 3)),
        "norm_linear": weight_norm(nn.Linear(5, 3)),
        "norm_conv": weight_norm(nn.Conv2d(3, 3, 3)),
        "norm_transposed": weight_norm(nn.ConvTranspose2d(4, 3, 3), dim=1),
        "norm_whole": weight_norm(nn.Conv1d(2, 3, 3), dim=None),
        "norm_new": parametrizations.weight_norm(nn.Conv2d(3, 2, 3)),
        "norm_new_last": parametrizations.weight_norm(nn.Conv1d(3, 2, 4), dim=2),
        "norm_new_whole": parametrizations.weight_norm(nn.Linear(3, 4), dim=None),
        "pruned": prune.random_unstructured(nn.Conv2d(2, 3, 3), "weight", 0.5),
        "attention": spectral_norm(nn.MultiheadAttention(4, 2), "in_proj_weight"),
        "recurrent": weight_norm(nn.LSTM(3, 2), "weight_hh_l0"),
        "plain": nn.Linear(3, 2),
    }
    for name, module in made.items():
        if hasattr(module, "weight_u"):
            module.train()
            for hook in module._forward_pre_hooks.values():
                for _ in range(3):
                    hook(module, None)
        if hasattr(module, "weight_g") or hasattr(module, "parametrizations"):
            with torch.no_grad():
                for key, parameter in module.named_parameters():
                    if key.endswith(("_g", "original0")):
                        parameter.mul_(torch.rand_like(parameter) + 0.5)
    # Attention and recurrent layers are called otherwise: one step by hand.
    for hook in made["attention"]._forward_pre_hooks.values():
        hook(made["attention"].train(), None)
    return torch.nn.ModuleDict(made).eval()


def exact(module, name="weight"):
    """The weight that a module computes in evaluation mode, in float64."""
    module = copy.deepcopy(module).double().eval()
    for hook in module._forward_pre_hooks.values():
        hook(module, None)
    return getattr(module, name).detach()


def toml(weights):
    lines = ["# Weights that PyTorch computes in evaluation mode in float64: make_factors.py.\n"]
    for name, weight in weights.items():
        lines.append(f"[[weight]]\nname = \"{name}\"\nshape = {list(weight.shape)}")
        values = ", ".join(repr(value) for value in weight.flatten().tolist())
        lines.append(f"values = [{values}]\n")
    return "\n".join(lines)


def contiguous(state):
    return {name: tensor.contiguous().clone() for name, tensor in state.items()}


def factors():
    torch.manual_seed(3)
    torch.set_grad_enabled(False)  # what a hook computes can then be copied
    model = layers()
    other = {"attention": "in_proj_weight", "recurrent": "weight_hh_l0"}
    weights = {}
    for name, module in model.items():
        parameter = other.get(name, "weight")
        stem = f"{name}.{parameter}".removesuffix(".weight")
        weights[stem] = exact(module, parameter)
    gan = torch.nn.ModuleDict(
        {"every": EveryStep(torch.nn.Conv2d(3, 4, 3)), "step": PowerStep(torch.nn.Conv2d(3, 3, 3))}
    )
    state = model.state_dict() | gan.state_dict()
    weights["step"] = copy.deepcopy(gan["step"]).double().computed().detach()
    for steps in (1, 2, 50):
        every = copy.deepcopy(gan["every"]).double()
        for _ in range(steps):
            weights[f"every.module@{steps}"] = every.weight().detach()
    torch.save(state, HERE / "factors.pt")
    # Modules with parametrizations cannot be saved whole.
    whole = {name: layer for name, layer in model.items() if "new" not in name}
    torch.save(torch.nn.ModuleDict(whole), HERE / "factors-module.pt")
    save_file(contiguous(state), HERE / "factors.safetensors")
    (HERE / "factors.toml").write_text(toml(weights))


def lora():
    """W = 1, B·A = 1 with α/r = 12/2 = 6 twice: 13; and a convolution."""
    state = {
        "fc.base_layer.weight": torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]),
        "fc.lora_A.default.weight": torch.tensor([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0]]),
        "fc.lora_B.default.weight": torch.tensor([[1.0, 1.0], [0.0, 0.0]]),
        "conv.base_layer.weight": torch.arange(24.0).reshape(2, 3, 2, 2),
        "conv.lora_A.default.weight": torch.arange(24.0).reshape(2, 3, 2, 2),
        "conv.lora_B.default.weight": torch.tensor([[1.0, 0.0], [0.0, -1.0]]).reshape(2, 2, 1, 1),
    }
    save_file(state, HERE / "lora.safetensors", metadata={"lora_alpha": "12", "r": "2"})
    save_file(state, HERE / "lora-unstated.safetensors")


def float8():
    """All codes of every 8-bit float, and what torch makes of them in float32."""
    codes = torch.arange(256, dtype=torch.uint8).reshape(16, 16)
    tensors, widened = {}, {}
    for name in ("e4m3fn", "e4m3fnuz", "e5m2", "e5m2fnuz", "e8m0fnu"):
        tensors[name] = codes.clone().view(getattr(torch, f"float8_{name}"))
        widened[f"{name}_float32"] = tensors[name].float()
    save_file(tensors | widened, HERE / "float8.safetensors")
    torch.save(tensors | widened, HERE / "float8.pt")


if __name__ == "__main__":
    factors()
    lora()
    float8()
