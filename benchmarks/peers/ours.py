"""Our side: compiled epochs of `models.fitting` on the data of a comparison.

All that this package knows of `models` is here.
"""

from __future__ import annotations

import os
import time

import numpy as np
import tensorflow as tf

from benchmarks.peers.interactions import Interactions
from benchmarks.peers.settings import Epoch, Settings
from benchmarks.training import matmul_gflops
from models.config import (
    AlignmentConfig,
    GraphTowerConfig,
    ModelConfig,
    SequentialConfig,
    TrainingConfig,
)
from models.create import Create
from models.fitting.compiled_epoch import CompiledEpoch
from models.fitting.input_pipeline import Sequences
from models.graph.propagation import BipartiteAdjacency, symmetric_weights

__all__ = ["OurEpochs", "matmul_gflops", "use_cpu", "versions"]

SASREC, LIGHTGCN = "sasrec", "lightgcn"


class OurEpochs:
    """Trains one epoch at a time.

    Args:
        model: `SASREC`, the sequential tower alone, or `LIGHTGCN`, the graph
            tower alone (epochs of the warm-up).
        interactions: events to train on.
        settings: sizes.
    """

    def __init__(
        self, model: str, interactions: Interactions, settings: Settings
    ) -> None:
        self._warmup = model == LIGHTGCN
        graph = GraphTowerConfig(encoder="none")
        adjacency = None
        if self._warmup:
            graph = GraphTowerConfig(
                num_layers=settings.num_layers,
                batch_size=settings.graph_batch_size,
                l2=settings.l2,
            )
            edges = interactions.edges
            adjacency = BipartiteAdjacency(
                edges,
                symmetric_weights(edges),
                interactions.num_users,
                interactions.num_items,
            )
        config = ModelConfig(
            embedding_dim=settings.embedding_dim,
            sequential=_sequential(settings),
            graph=graph,
            alignment=AlignmentConfig(kind="none"),
        )
        self._compiled = CompiledEpoch(
            Create(config, interactions.num_items, adjacency, seed=0),
            TrainingConfig(
                batch_size=settings.batch_size,
                learning_rate=settings.learning_rate,
                # less padding in the attention; RecTools has no such choice
                batch_by_length=True,
            ),
            _sequences(interactions),
        )
        self._epoch = 0

    def run(self) -> Epoch:
        """Trains the next epoch."""
        self._epoch += 1
        started, cpu_started = time.perf_counter(), time.process_time()
        losses = self._compiled.run(self._epoch, self._warmup).losses
        return Epoch(
            time.perf_counter() - started,
            time.process_time() - cpu_started,
            losses["global" if self._warmup else "local"],
        )


def _sequential(settings: Settings) -> SequentialConfig:
    return SequentialConfig(
        max_length=settings.newest,
        num_blocks=settings.num_blocks,
        num_heads=settings.num_heads,
        feed_forward_dim=settings.embedding_dim,
        dropout=settings.dropout,
        attention_dropout=settings.dropout,
        norm="pre",
        activation="relu",
    )


def _sequences(interactions: Interactions) -> Sequences:
    return Sequences(
        interactions.items + 1,
        np.concatenate([[0], np.cumsum(interactions.lengths)]),
        np.arange(interactions.num_users),
        interactions.num_items,
    )


def use_cpu(threads: int) -> None:
    """Sets TensorFlow to the CPU; before anything else asks it for devices."""
    os.environ["OMP_NUM_THREADS"] = str(threads)
    tf.config.set_visible_devices([], "GPU")
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)


def versions() -> dict[str, str]:
    """Of what our side runs on."""
    return {"tensorflow": tf.__version__, "numpy": np.__version__}
