"""Small data and settings of the tests that train."""

import dataclasses

import numpy as np

from models.config import (
    AlignmentConfig,
    GraphTowerConfig,
    ModelConfig,
    SequentialConfig,
    TrainingConfig,
    WeightSchedule,
)
from models.fitting.fit import Period, fit, select_and_refit
from models.fitting.input_pipeline import Queries, Sequences
from models.fitting.schedule import Schedule
from models.graph.propagation import (
    BipartiteAdjacency,
    ItemNeighbors,
    symmetric_weights,
)

NUM_ITEMS = 30
MODEL = ModelConfig(
    embedding_dim=8,
    sequential=SequentialConfig(
        max_length=6, num_blocks=1, feed_forward_dim=8, dropout=0.1
    ),
    graph=GraphTowerConfig(num_layers=1, batch_size=32),
)
TRAINING = TrainingConfig(
    batch_size=16,
    learning_rate=0.01,
    warmup_epochs=2,
    max_epochs=4,
    patience=10,
)
# Few steps, for tests that run without compiling.
SHORT = dataclasses.replace(TRAINING, batch_size=40, max_epochs=2)
# The three ways a warm-up ends. A pass over the edges of `small_model` has 4
# steps in selection and 5 in the refit.
WARMUPS = {
    "epochs": {},
    "steps": {"warmup_epochs": 0, "warmup_steps": 6},
    "patience": {"warmup_epochs": 5, "warmup_patience": 2},
}


def fit_selection(model, training, **arguments):
    """Fits the selection of a small period, without a word unless told."""
    return fit(
        "selection",
        model,
        training,
        make_period(),
        Schedule.of_selection(model, training),
        **{"report": quiet, **arguments},
    )


def small_model(sequential="sasrec", graph="lightgcn", alignment="none"):
    """MODEL with other towers and alignment, and large steps of the graph."""
    return dataclasses.replace(
        MODEL,
        sequential=dataclasses.replace(MODEL.sequential, encoder=sequential),
        graph=dataclasses.replace(MODEL.graph, encoder=graph, batch_size=100),
        alignment=AlignmentConfig(kind=alignment),
    )


def make_period(num_users=60, seed=0, with_queries=True):
    """Users walk through the items in order: the next one is known."""
    generator = np.random.default_rng(seed)
    lengths = generator.integers(3, 9, num_users)
    starts = generator.integers(0, NUM_ITEMS, num_users)
    items = np.concatenate(
        [
            (start + np.arange(n)) % NUM_ITEMS + 1
            for start, n in zip(starts, lengths, strict=True)
        ]
    )
    return period_of(
        items, lengths, NUM_ITEMS, walk_queries() if with_queries else None
    )


def period_of(items, lengths, num_items, queries=None, edges=None):
    """A period of histories; every event is an edge unless edges are given."""
    items, lengths = np.asarray(items), np.asarray(lengths, np.int64)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    if edges is None:
        pairs = [np.repeat(np.arange(len(lengths)), lengths), items - 1]
        edges = np.unique(np.stack(pairs, 1), axis=0)
    # of every item itself and the next one
    nodes = np.arange(num_items)[:, None] + np.arange(2)
    neighbors = ItemNeighbors(
        (nodes % num_items).astype(np.int32), np.full(nodes.shape, 0.5, "f")
    )
    adjacency = BipartiteAdjacency(
        edges, symmetric_weights(edges), len(lengths), num_items, neighbors
    )
    sequences = Sequences(items, offsets, np.arange(len(lengths)), num_items)
    return Period(sequences, adjacency, queries)


def walk_queries():
    """40 histories of five steps, and where each goes on."""
    last = np.arange(40) % NUM_ITEMS
    none = np.zeros(0, np.int64)
    return Queries(
        (last[:, None] + np.arange(-4, 1)) % NUM_ITEMS + 1,
        (last + 1) % NUM_ITEMS + 1,
        none,
        none,
    )


def no_queries():
    """Those of a period whose cut leaves nobody to validate with."""
    none = np.zeros(0, np.int64)
    return Queries(np.zeros((0, 5), np.int64), none, none, none)


def quiet(line):
    """Takes a line of progress."""


def both_fits(model=MODEL, training=TRAINING, report=quiet, **arguments):
    """Selection and refit on the walk; the refit has half as many again."""
    return select_and_refit(
        model,
        training,
        make_period(),
        make_period(90, 1, with_queries=False),
        report=report,
        **arguments,
    )


def without_seconds(result):
    """The records of a fit that must be equal in two equal fits."""
    return [{**record, "seconds": None} for record in result.epochs]


def assert_equal_fits(one, two):
    """Records, plan and every weight of the two models are the same."""
    assert without_seconds(one) == without_seconds(two)
    assert one.plan == two.plan
    for a, b in zip(one.model.weights, two.model.weights, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


def settings_of(warmup):
    """Model and training with one of `WARMUPS`, all else on; None: plain."""
    if warmup is None:
        return MODEL, TRAINING
    model = dataclasses.replace(
        small_model(alignment="barlow_twins"),
        global_weight=WeightSchedule(0.3, 0.1, 2, "cosine"),
        alignment_weight=WeightSchedule(0.1, 0.2, 3),
    )
    training = dataclasses.replace(
        SHORT,
        learning_rate_warmup_steps=2,
        learning_rate_decay="linear",
        restart_table_moments=True,
        weight_decay=0.01,
        **WARMUPS[warmup],
    )
    return model, training
