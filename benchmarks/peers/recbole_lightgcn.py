"""Epochs of RecBole's LightGCN; runs in the environment of the peers.

    PEERS/bin/python recbole_lightgcn.py interactions.npz SETTINGS_JSON EPOCHS

See `turns` for what it reads and writes. Writes RecBole's own files into the
folder of the interactions and the working directory.
"""

from __future__ import annotations

import importlib.metadata
import json
import platform
import sys
from pathlib import Path
from typing import Any

import turns

turns.begin()

import numpy as np  # noqa: E402
import torch  # noqa: E402
from recbole.config import Config  # noqa: E402
from recbole.data import create_dataset, create_samplers  # noqa: E402
from recbole.data.dataloader import TrainDataLoader  # noqa: E402
from recbole.model.general_recommender import LightGCN  # noqa: E402
from recbole.trainer import Trainer  # noqa: E402
from scipy import sparse  # noqa: E402

PACKAGES = ("recbole", "torch", "numpy", "scipy")
NAME = "peer"


class TurnsTrainer(Trainer):
    """RecBole's trainer; waits before each epoch and answers after it."""

    def _train_epoch(self, train_data: Any, *rest: Any, **named: Any) -> float:
        turns.begin_epoch()
        loss = super()._train_epoch(train_data, *rest, **named)
        turns.end_epoch(lambda: loss / len(train_data))
        return loss


def write_dataset(file: Path) -> Path:
    """Turns the arrays into RecBole's text format: the folder it reads."""
    with np.load(file) as arrays:
        pairs = np.stack([arrays["users"], arrays["items"]], axis=1)
    folder = file.parent / "recbole"
    (folder / NAME).mkdir(parents=True)
    with (folder / NAME / f"{NAME}.inter").open("w") as text:
        text.write("user_id:token\titem_id:token\n")
        np.savetxt(text, np.unique(pairs, axis=0), fmt="%d", delimiter="\t")
    return folder


def configure(folder: Path, settings: dict[str, Any], epochs: int) -> Config:
    """RecBole's defaults but for the sizes; all events are train."""
    # it would read our arguments as its own
    sys.argv = sys.argv[:1]
    return Config(
        model="LightGCN",
        dataset=NAME,
        config_dict={
            "data_path": str(folder),
            "checkpoint_dir": str(folder / "saved"),
            "load_col": {"inter": ["user_id", "item_id"]},
            "eval_args": {
                "split": {"RS": [1, 0, 0]},
                "group_by": None,
                "order": "RO",
                "mode": "full",
            },
            "use_gpu": False,
            "show_progress": False,
            "epochs": epochs,
            "embedding_size": settings["embedding_dim"],
            "n_layers": settings["num_layers"],
            "train_batch_size": settings["graph_batch_size"],
            "learning_rate": settings["learning_rate"],
            "reg_weight": settings["l2"],
            # the squared norm, as in the paper
            "require_pow": True,
        },
    )


def allow_newer_scipy() -> None:
    """Gives SciPy back the private method with which RecBole fills the graph.

    SciPy 1.13 dropped it; RecTools needs a newer one. Set-up only, nothing
    of an epoch.
    """
    if not hasattr(sparse.dok_matrix, "_update"):
        sparse.dok_matrix._update = lambda self, data: self._dict.update(data)


def main() -> None:
    """Trains the model."""
    file, settings_json, epochs = sys.argv[1:]
    settings = json.loads(settings_json)
    torch.set_num_threads(settings["threads"])
    torch.manual_seed(0)
    allow_newer_scipy()
    config = configure(write_dataset(Path(file)), settings, int(epochs))
    dataset = create_dataset(config)
    parts = dataset.build()
    sampler = create_samplers(config, dataset, parts)[0]
    train = TrainDataLoader(config, parts[0], sampler, shuffle=True)
    model = LightGCN(config, parts[0]).to(config["device"])
    trainer = TurnsTrainer(config, model)
    turns.answer(
        # the first user and the first item are padding; each edge is in the
        # matrix in both directions
        sizes={
            "users": parts[0].user_num - 1,
            "items": parts[0].item_num - 1,
            "edges": model.norm_adj_matrix._nnz() // 2,
        },
        threads=torch.get_num_threads(),
        versions={
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in PACKAGES},
        },
    )
    trainer.fit(train, saved=False, verbose=False, show_progress=False)


if __name__ == "__main__":
    main()
