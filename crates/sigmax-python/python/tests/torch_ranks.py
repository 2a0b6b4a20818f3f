"""What the processes of `test_torch_distributed.py` run. `python torch_ranks.py RANK RANKS STORE OUT
SCENARIO`"""

from __future__ import annotations

import sys
from contextlib import nullcontext

import torch
from torch import Tensor, distributed, nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel

from sigmax.torch import SpectralPenalty, spectral_norm

STEPS = 4
BATCH = 4


class NoNorm(nn.Module):
    """A network without batch statistics, so that a batch in parts is the batch as a whole."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.body = nn.Sequential(
            nn.ReLU(), nn.Conv2d(8, 8, 3, stride=2), nn.ReLU(), nn.Conv2d(8, 8, 3, groups=2)
        )
        self.last = nn.Linear(8, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.body(self.first(x)).mean((2, 3)))


def train(scenario: str, rank: int, ranks: int) -> dict[str, Tensor]:
    """Some steps; weights and the penalty's state afterwards, by names without wrappers."""
    torch.manual_seed(0)
    plain = NoNorm()
    if "spectral" in scenario:
        spectral_norm(plain.body[1], 0.3)
    quantity = next((q for q in ("weighted", "norm") if q in scenario), "four")
    model: nn.Module = plain
    if "checkpoint" in scenario:
        plain.body = checkpoint_wrapper(plain.body)
    if "fsdp" in scenario and ranks > 1:
        fully_shard(plain.body[1])
        fully_shard(plain)
    elif ranks > 1:
        model = DistributedDataParallel(plain, static_graph="static" in scenario)
    penalty = SpectralPenalty(model, 1e-1, quantity=quantity, rescan_every=2)
    assert set(penalty.estimates(model)) == {"first", "body.1", "body.3"}
    if "compile" in scenario:
        model = torch.compile(model, backend="eager")
    optimiser = torch.optim.SGD(plain.parameters(), 0.1, momentum=0.9)
    generator = torch.Generator().manual_seed(1)
    parts = 2 if "accumulate" in scenario else 1
    for _ in range(STEPS):
        optimiser.zero_grad()
        images = torch.randn(parts, BATCH, 3, 9, 9, generator=generator)
        labels = torch.randint(10, (parts, BATCH), generator=generator)
        mine = slice(rank * BATCH // ranks, (rank + 1) * BATCH // ranks)
        for part in range(parts):
            last = part == parts - 1
            local = model.no_sync() if parts > 1 and not last and hasattr(model, "no_sync") else nullcontext()
            with local:
                loss = nn.functional.cross_entropy(model(images[part, mine]), labels[part, mine]) / parts
                if last and "add" not in scenario:
                    loss = loss + penalty(model)
                loss.backward()
        if "add" in scenario:
            penalty.add_grad_(model)
        optimiser.step()
    out = {f"state {name}": value for name, value in penalty.named_buffers()}
    for name, value in plain.state_dict().items():
        value = value.full_tensor() if hasattr(value, "full_tensor") else value
        out["weight " + name.replace("_checkpoint_wrapped_module.", "")] = value
    return {name: value.detach().clone() for name, value in out.items()}


def main() -> None:
    rank, ranks, store, out, *scenarios = sys.argv[1:]
    distributed.init_process_group(
        "gloo", init_method=f"file://{store}", rank=int(rank), world_size=int(ranks)
    )
    results = {scenario: train(scenario, int(rank), int(ranks)) for scenario in scenarios}
    torch.save(results, f"{out}/{ranks}-{rank}.pt")
    distributed.destroy_process_group()


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
