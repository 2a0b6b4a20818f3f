"""A spectral penalty as a Lightning callback: no change to the LightningModule.

python examples/train_lightning.py
"""

from __future__ import annotations

import argparse
from typing import Any

import lightning
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset
from train_plain import batch, network

from sigmax.torch import SpectralPenalty


class SpectralPenaltyCallback(lightning.Callback):
    """Adds the penalty's gradient before every step of an optimiser.

    It comes after gradients are accumulated, unscaled and reduced over ranks, so that precision, accumulation
    and strategy (DDP, FSDP2) do not matter. The settings are those of `SpectralPenalty`.
    """

    def __init__(self, **settings: Any) -> None:
        self.settings = settings
        self.penalty: SpectralPenalty | None = None
        self.loaded: dict[str, Any] | None = None

    def on_train_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Makes the penalty: the model is on its device, and wrapped or sharded."""
        self.penalty = SpectralPenalty(module, **self.settings).to(module.device)
        if self.loaded is not None:
            self.penalty.load_state_dict(self.loaded)

    def on_before_optimizer_step(
        self, trainer: lightning.Trainer, module: lightning.LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        """Adds the gradient."""
        assert self.penalty is not None
        module.log("spectral_penalty", self.penalty.add_grad_(module))

    def state_dict(self) -> dict[str, Any]:
        """Goes into checkpoints."""
        return {} if self.penalty is None else self.penalty.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Comes before the penalty is made."""
        self.loaded = state_dict or None


class Classifier(lightning.LightningModule):
    """Any LightningModule."""

    def __init__(self) -> None:
        super().__init__()
        self.network = network()

    def training_step(self, images_and_labels: tuple[Tensor, Tensor], _: int) -> Tensor:
        """The loss of a batch."""
        images, labels = images_and_labels
        return nn.functional.cross_entropy(self.network(images), labels)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Any optimiser."""
        return torch.optim.SGD(self.parameters(), 0.05, momentum=0.9)


def main() -> None:
    """Trains, and prints estimates."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=200)
    options = parser.parse_args()
    lightning.seed_everything(0)
    generator = torch.Generator().manual_seed(1)
    data = TensorDataset(*batch(64 * options.steps, generator))
    callback = SpectralPenaltyCallback(beta=0.1, reduction="hinge", target=1.0)
    trainer = lightning.Trainer(
        max_epochs=1,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        callbacks=[callback],
    )
    model = Classifier()
    trainer.fit(model, DataLoader(data, 64))
    assert callback.penalty is not None
    for name, estimate in callback.penalty.estimates(model).items():
        print(f"{name}: estimate {estimate:.3f}")


if __name__ == "__main__":
    main()
