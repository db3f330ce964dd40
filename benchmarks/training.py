"""Seconds of a training epoch, and what makes the difference, as ratios.

    python -m benchmarks.training [--output benchmarks/results/training.json]

Data of the size of Amazon Beauty's training period (`paper` profile: 18,474
users, 11,542 items, newest 10, about 115,000 events), made up from a seed: the
time depends on the sizes, not on the content. Every figure is the median of
several epochs, after one that compiles.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from benchmarks.publish import publish
from components.graph_builder.neighbors import item_neighbors
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
from models.graph.propagation import (
    BipartiteAdjacency,
    neighbor_table,
    symmetric_weights,
)
from models.losses import select

NUM_USERS, NUM_ITEMS, NEWEST = 18_474, 11_542, 10
NEIGHBORS = 10
EPOCHS = 5

CREATE = ModelConfig(
    embedding_dim=64,
    sequential=SequentialConfig(max_length=NEWEST, dropout=0.6),
)
ULTRAGCN = dataclasses.replace(
    CREATE,
    graph=GraphTowerConfig(
        encoder="ultragcn", negatives="shared", num_negatives=200
    ),
)
# as pipeline/configs/amazon_sports_paper.yaml, and amazon_beauty_paper.yaml
ONE_LAYER, NO_LAYER = (
    dataclasses.replace(
        CREATE,
        graph=GraphTowerConfig(
            num_layers=num_layers, negatives="shared", num_negatives=200
        ),
    )
    for num_layers in (1, 0)
)
SASREC = dataclasses.replace(
    CREATE,
    graph=GraphTowerConfig(encoder="none"),
    alignment=AlignmentConfig(kind="none"),
)


def main() -> int:
    """Measures and prints."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--output")
    arguments = parser.parse_args()
    sequences, adjacency = make_data()
    results: dict[str, Any] = {
        "cores": os.cpu_count(),
        "gpus": len(tf.config.list_physical_devices("GPU")),
        "events": len(sequences.items),
        "edges": len(adjacency.edges),
    }
    seconds = {
        "sasrec": epoch_seconds(SASREC, sequences, None),
        "create": epoch_seconds(CREATE, sequences, adjacency),
        "create_one_layer": epoch_seconds(ONE_LAYER, sequences, adjacency),
        "create_no_layer": epoch_seconds(NO_LAYER, sequences, adjacency),
        "create_ultragcn": epoch_seconds(ULTRAGCN, sequences, adjacency),
        "warmup": epoch_seconds(CREATE, sequences, adjacency, warmup=True),
        "warmup_ultragcn": epoch_seconds(
            ULTRAGCN, sequences, adjacency, warmup=True
        ),
        "sasrec_stock_softmax": with_stock_softmax(sequences),
    }
    results["epoch_seconds"] = seconds
    results["ratios"] = {
        f"{name}_to_sasrec": seconds[name] / seconds["sasrec"]
        for name in seconds
        if name.startswith("create")
    }
    results["ratios"] |= {
        "stock_softmax_to_ours": seconds["sasrec_stock_softmax"]
        / seconds["sasrec"],
    }
    results["matmul_gflops"] = matmul_gflops()
    publish(results, arguments.output)
    return 0


def make_data(
    num_users: int = NUM_USERS, num_items: int = NUM_ITEMS, newest: int = NEWEST
) -> tuple[Sequences, BipartiteAdjacency]:
    """Histories of 2 events and more, items by a power law.

    Args:
        num_users: histories; their lengths are geometric, with a mean of
            6.2 where the newest 10 are kept.
        num_items: the catalogue.
        newest: events kept of a history.
    """
    generator = np.random.default_rng(0)
    lengths = np.minimum(2 + generator.geometric(0.2, num_users), newest)
    items = generator.zipf(1.2, lengths.sum()) % num_items + 1
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    users = np.arange(num_users)
    edges = np.unique(
        np.stack([np.repeat(users, lengths), items - 1], axis=1), axis=0
    )
    near = item_neighbors(*edges.T, num_users, num_items, NEIGHBORS)
    adjacency = BipartiteAdjacency(
        edges,
        symmetric_weights(edges),
        num_users,
        num_items,
        neighbor_table(
            np.stack([near.sources, near.targets], 1), near.weights, num_items
        ),
    )
    return Sequences(items, offsets, users, num_items), adjacency


def epoch_seconds(
    config: ModelConfig,
    sequences: Sequences,
    adjacency: BipartiteAdjacency | None,
    warmup: bool = False,
) -> float:
    """Median seconds of an epoch."""
    model = Create(config, NUM_ITEMS, adjacency, seed=0)
    compiled = CompiledEpoch(model, TrainingConfig(), sequences)
    compiled.run(1, warmup)
    times = []
    for epoch in range(2, 2 + EPOCHS):
        started = time.perf_counter()
        compiled.run(epoch, warmup)
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def with_stock_softmax(sequences: Sequences) -> float:
    """The SASRec epoch with TensorFlow's own softmax cross-entropy."""

    def stock(
        states: tf.Tensor,
        table: tf.Tensor,
        targets: tf.Tensor,
        weights: tf.Tensor,
    ) -> tf.Tensor:
        scores = tf.matmul(states, table, transpose_b=True)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(targets, scores)
        return tf.reduce_sum(weights * losses)

    ours: Callable[..., tf.Tensor] = select.full_softmax_cross_entropy
    select.full_softmax_cross_entropy = stock
    try:
        return epoch_seconds(SASREC, sequences, None)
    finally:
        select.full_softmax_cross_entropy = ours


def matmul_gflops() -> float:
    """What a plain float32 matrix product reaches on this machine."""
    size = 2048
    left, right = tf.random.normal([size, size]), tf.random.normal([size, size])
    product = tf.function(lambda: tf.matmul(left, right))
    product()
    started = time.perf_counter()
    for _ in range(10):
        result = product()
    result.numpy()
    return 10 * 2 * size**3 / (time.perf_counter() - started) / 1e9


if __name__ == "__main__":
    sys.exit(main())
