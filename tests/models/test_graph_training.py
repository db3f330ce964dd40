"""Fits of every graph tower: repeatable, and of some use."""

import collections

import numpy as np
import pytest
import tensorflow as tf

from models.config import (
    AlignmentConfig,
    GraphTowerConfig,
    ModelConfig,
    SequentialConfig,
    TrainingConfig,
    UltraGCNConfig,
)
from models.create import Create, LossWeights
from models.fitting.fit import Period, fit
from models.fitting.input_pipeline import Queries, Sequences
from models.fitting.schedule import Schedule
from models.fitting.validation import Validator
from models.graph.propagation import ItemNeighbors
from tests.models.graph_toys import adjacency_of

NUM_ITEMS, NUM_USERS = 30, 60
TRAINING = TrainingConfig(
    batch_size=16, learning_rate=0.02, warmup_epochs=1, max_epochs=5
)
ULTRAGCN = {
    "encoder": "ultragcn",
    "ultragcn": UltraGCNConfig(negative_weight=3.0, item_weight=1.0),
    "num_negatives": 8,
}
GRAPHS = {
    "lightgcn, all": {"negatives": "all"},
    "lightgcn, dropout": {"edge_dropout": 0.3, "normalize_layers": True},
    "ultragcn, shared": ULTRAGCN | {"negatives": "shared"},
    "ultragcn, per_edge": ULTRAGCN | {"negatives": "per_edge"},
}


def period():
    """Two kinds of users, each with items of its half of the catalogue."""
    generator = np.random.default_rng(0)
    half = NUM_ITEMS // 2
    items = np.stack(
        [
            generator.choice(half, 7, replace=False) + half * (user % 2)
            for user in range(NUM_USERS)
        ]
    )
    # the last item of each is asked for
    known = items[:, :6]
    users = np.arange(NUM_USERS)
    edges = np.stack([users.repeat(6), known.ravel()], axis=1)
    # every item is a node, also where nobody has it
    edges = np.unique(np.vstack([edges, [[0, NUM_ITEMS - 1]]]), axis=0)
    return Period(
        Sequences(
            known.ravel() + 1, np.arange(0, 6 * NUM_USERS + 1, 6), users,
            NUM_ITEMS,
        ),
        adjacency_of(edges, neighbors()),
        Queries(
            known + 1,
            items[:, 6] + 1,
            users.repeat(6),
            known.ravel() + 1,
        ),
    )  # fmt: skip


def neighbors():
    """Of each item the next two of its half."""
    half = NUM_ITEMS // 2
    items = np.arange(NUM_ITEMS)[:, np.newaxis]
    near = items // half * half + (items + [1, 2]) % half
    weights = np.full(near.shape, 0.2, np.float32)
    return ItemNeighbors(near.astype(np.int32), weights)


def model_config(graph, encoder="none"):
    return ModelConfig(
        embedding_dim=8,
        sequential=SequentialConfig(
            encoder=encoder, max_length=6, num_blocks=1, feed_forward_dim=8
        ),
        graph=GraphTowerConfig(batch_size=64, **graph),
        alignment=AlignmentConfig(
            kind="none" if encoder == "none" else "barlow_twins"
        ),
    )


def epochs_of(config, data):
    schedule = Schedule.of_selection(config, TRAINING)
    result = fit("x", config, TRAINING, data, schedule, report=lambda _: None)
    return [(e["losses"], e["validation_ndcg_at_10"]) for e in result.epochs]


@pytest.mark.parametrize("graph", GRAPHS.values(), ids=GRAPHS.keys())
def test_a_tower_alone_learns_from_its_graph_and_repeats(graph):
    data, config = period(), model_config(graph)
    untrained = Validator(Create(config, NUM_ITEMS, data.adjacency, 0)).ndcg(
        data.queries
    )
    epochs = epochs_of(config, data)
    assert len(epochs) == TRAINING.max_epochs
    losses = [parts["global"] for parts, _ in epochs]
    assert losses[-1] < losses[0]
    # the right half of the catalogue alone is worth a factor of about 2
    assert epochs[-1][1] > 1.4 * untrained
    assert epochs_of(config, data) == epochs


@pytest.mark.parametrize("graph", ["lightgcn, all", "lightgcn, dropout"])
def test_no_sum_of_layers_in_an_order_of_its_own(graph):
    """What AddN begins with, of three inputs, hangs on what else runs."""
    config, data = model_config(GRAPHS[graph]), period()
    model = Create(config, NUM_ITEMS, data.adjacency, 0)
    edges, seed = tf.zeros([64], tf.int32), tf.constant([1, 2])

    @tf.function
    def gradients():
        with tf.GradientTape() as tape:
            loss = model.graph_loss(edges, seed, LossWeights(1.0, 0.0)).total
        return tape.gradient(loss, model.trainable_variables)

    graph_def = gradients.get_concrete_function().graph.as_graph_def()
    bodies = [f.node_def for f in graph_def.library.function]
    sums = shared = 0
    for nodes in (graph_def.node, *bodies):
        uses = collections.Counter(i for n in nodes for i in n.input)
        for node in nodes:
            if node.op == "AddN":
                sums += 1
                # It begins with the first unless that is needed elsewhere.
                shared += node.attr["N"].i > 2 and uses[node.input[0]] > 1
    assert sums
    assert not shared


def test_ultragcn_trains_beside_a_sequential_tower():
    config = model_config(GRAPHS["ultragcn, shared"], "sasrec")
    epochs = epochs_of(config, period())
    # one epoch of warm-up, which trains the graph alone
    assert epochs[0][0]["local"] == 0.0
    first, last = epochs[1][0], epochs[-1][0]
    for part in ("local", "global", "alignment"):
        assert last[part] < first[part]
