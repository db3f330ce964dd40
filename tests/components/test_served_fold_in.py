"""The exported SavedModel of each graph tower alone against numpy."""

import numpy as np
import pytest
import tensorflow as tf

from models.config import (
    AlignmentConfig,
    GraphTowerConfig,
    ModelConfig,
    SequentialConfig,
)
from models.create import Create
from tests.components.served_helpers import reloaded
from tests.models.graph_toys import (
    adjacency_of,
    random_edges,
    random_neighbors,
)

NUM_USERS, NUM_ITEMS, MAX_HISTORY = 12, 9, 4
ITEM_IDS = [b"item %d" % number for number in range(NUM_ITEMS)]
EDGES = random_edges(NUM_USERS, NUM_ITEMS)
# Catalogue positions, oldest first: one item, one of them twice, more than are
# used.
HISTORIES = [[3], [4, 8, 4], [8, 7, 6, 5, 4, 3, 2]]


def scores_of(encoder, users, items, history):
    """[num_items] up to a factor, with dense matrices."""
    newest = np.unique(history[-MAX_HISTORY:])  # an edge each, as in the graph
    matrix = np.zeros((NUM_USERS, NUM_ITEMS))
    matrix[tuple(EDGES.T)] = 1
    degrees = matrix.sum(axis=0)
    if encoder == "ultragcn":
        return items @ (
            items[newest] / np.sqrt(degrees[newest] + 1)[:, None]
        ).sum(0)
    # two layers, with the new user as a node that sends nothing back
    normal = matrix / np.sqrt(np.outer(matrix.sum(axis=1), degrees))
    one = normal.T @ users
    two = normal.T @ (normal @ items)
    weights = 1 / np.sqrt(degrees[newest])[:, None]
    user = ((items + one)[newest] * weights).sum(axis=0) / 3
    return (items + one + two) @ user / 3


@pytest.mark.parametrize("encoder", ["lightgcn", "ultragcn"])
def test_reloaded_model_ranks_as_numpy(encoder, tmp_path):
    model = Create(
        ModelConfig(
            embedding_dim=6,
            init_stddev=0.5,
            sequential=SequentialConfig(
                encoder="none", max_length=MAX_HISTORY + 1, num_heads=1
            ),
            graph=GraphTowerConfig(encoder=encoder, num_layers=2),
            alignment=AlignmentConfig(kind="none"),
        ),
        NUM_ITEMS,
        adjacency_of(EDGES, random_neighbors(NUM_ITEMS)),
        seed=0,
    )
    recommend = reloaded(model, tmp_path, ITEM_IDS, MAX_HISTORY)
    texts = [[ITEM_IDS[i] for i in history] for history in HISTORIES]
    # unknown ids are as if they were not there
    padded = [[b"never seen", *text] + [b""] * 8 for text in texts]
    answer = recommend(history=tf.constant([row[:8] for row in padded]))
    tables = model.graph.users.numpy(), model.items.table.numpy()
    for row, history in enumerate(HISTORIES):
        scores = scores_of(encoder, *tables, history)
        best = np.argsort(-scores, kind="stable")
        ids = answer["item_ids"][row].numpy().tolist()
        assert ids == [ITEM_IDS[i] for i in best]
        np.testing.assert_allclose(
            answer["scores"][row], scores[best], rtol=1e-4, atol=1e-5
        )
