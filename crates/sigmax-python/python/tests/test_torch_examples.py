"""The examples run, and the callback does what adding the penalty to the loss does."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture(autouse=True)
def examples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    monkeypatch.setattr(sys, "argv", ["example", "--steps", "2"])


def test_plain(capsys: pytest.CaptureFixture[str]) -> None:
    import train_plain

    train_plain.main()
    printed = capsys.readouterr().out
    assert "largest estimate" in printed
    assert "<= norm <=" in printed or "nothing is proved" in printed


def test_lightning(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("lightning")
    import train_lightning

    train_lightning.main()
    assert "network.0: estimate" in capsys.readouterr().out


def test_callback_against_the_loss(tmp_path: Path) -> None:
    lightning = pytest.importorskip("lightning")
    import train_lightning
    from torch.utils.data import DataLoader, TensorDataset
    from train_plain import batch

    from sigmax.torch import SpectralPenalty

    data = TensorDataset(*batch(24, torch.Generator().manual_seed(0)))
    settings = {"beta": 0.1, "quantity": "norm", "rescan_every": 2}

    class Added(train_lightning.Classifier):
        def on_train_start(self) -> None:
            self.penalty = [SpectralPenalty(self, **settings)]

        def training_step(self, images_and_labels, n):
            # With two batches per step, each loss counts half; the penalty is there once.
            loss = super().training_step(images_and_labels, n)
            return loss + 2 * self.penalty[0](self) if n % 2 else loss

    def fit(model, callbacks):
        trainer = lightning.Trainer(
            max_epochs=1,
            accelerator="cpu",
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            accumulate_grad_batches=2,
            callbacks=callbacks,
            default_root_dir=tmp_path,
        )
        trainer.fit(model, DataLoader(data, 4))
        return model

    torch.manual_seed(0)
    plain = train_lightning.Classifier()
    added = Added()
    added.load_state_dict(plain.state_dict())
    callback = train_lightning.SpectralPenaltyCallback(**settings)
    fit(plain, [callback])
    fit(added, [])
    for one, other in zip(plain.parameters(), added.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    checkpoint = torch.load(next(tmp_path.rglob("*.ckpt")), weights_only=True)
    (state,) = (value for key, value in checkpoint["callbacks"].items() if "SpectralPenalty" in key)
    restored = train_lightning.SpectralPenaltyCallback(**settings)
    restored.load_state_dict(state)
    restored.on_train_start(None, plain)
    assert restored.penalty.estimates(plain) == callback.penalty.estimates(plain)
