"""Epochs of RecTools' SASRec; runs in the environment of the peers.

    PEERS/bin/python rectools_sasrec.py interactions.npz SETTINGS_JSON EPOCHS

See `turns` for what it reads and writes. The model is fitted through its own
`fit`, by its own Lightning module; only a callback is added, which waits for
its turn and takes the time between the hooks around an epoch.
"""

from __future__ import annotations

import importlib.metadata
import json
import platform
import sys

import turns

turns.begin()

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
import pytorch_lightning as lightning  # noqa: E402
import torch  # noqa: E402
from rectools import Columns  # noqa: E402
from rectools.dataset import Dataset  # noqa: E402
from rectools.models import SASRecModel  # noqa: E402

PACKAGES = ("rectools", "torch", "pytorch-lightning", "numpy", "pandas")


class Turns(lightning.Callback):
    """Waits before each epoch and answers after it."""

    def on_train_start(
        self, trainer: lightning.Trainer, module: lightning.LightningModule
    ) -> None:
        """Says what the model is trained on."""
        del module
        lengths = [len(s) for s in trainer.train_dataloader.dataset.sessions]
        model_items = trainer.lightning_module.item_external_ids
        turns.answer(
            sizes={
                "users": len(lengths),
                # one of the ids is the padding
                "items": len(model_items) - 1,
                "events": sum(lengths),
                "positions": sum(lengths) - len(lengths),
            },
            threads=torch.get_num_threads(),
            versions={
                "python": platform.python_version(),
                **{name: importlib.metadata.version(name) for name in PACKAGES},
            },
        )

    def on_train_epoch_start(
        self, trainer: lightning.Trainer, module: lightning.LightningModule
    ) -> None:
        """Waits for its turn."""
        del trainer, module
        turns.begin_epoch()

    def on_train_epoch_end(
        self, trainer: lightning.Trainer, module: lightning.LightningModule
    ) -> None:
        """Answers with the seconds."""
        del module
        turns.end_epoch(lambda: trainer.callback_metrics["train_loss"].item())


def make_trainer(epochs: int) -> lightning.Trainer:
    """RecTools' own trainer, on the CPU and with the callback."""
    return lightning.Trainer(
        accelerator="cpu",
        devices=1,
        min_epochs=epochs,
        max_epochs=epochs,
        callbacks=[Turns()],
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=False,
        logger=False,
    )


def main() -> None:
    """Fits the model."""
    file, settings_json, epochs = sys.argv[1:]
    settings = json.loads(settings_json)
    torch.set_num_threads(settings["threads"])
    torch.manual_seed(0)
    with np.load(file) as arrays:
        users, items = arrays["users"], arrays["items"]
    interactions = pd.DataFrame(
        {
            Columns.User: users,
            Columns.Item: items,
            Columns.Weight: 1.0,
            # the order of the events is all that the model asks for
            Columns.Datetime: pd.to_datetime(np.arange(len(users)), unit="s"),
        }
    )
    model = SASRecModel(
        n_blocks=settings["num_blocks"],
        n_heads=settings["num_heads"],
        n_factors=settings["embedding_dim"],
        dropout_rate=settings["dropout"],
        # inputs; the newest event is only a target
        session_max_len=settings["newest"] - 1,
        loss="softmax",
        lr=settings["learning_rate"],
        batch_size=settings["batch_size"],
        get_trainer_func=make_trainer,
        get_trainer_func_kwargs={"epochs": int(epochs)},
    )
    model.fit(Dataset.construct(interactions))


if __name__ == "__main__":
    main()
