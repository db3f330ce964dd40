"""The sequential tower on the items as the graph encoder leaves them."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from components.trainer.served import served
from models.create import Create, LossWeights
from tests.models.fit_helpers import MODEL, NUM_ITEMS, make_period

PROPAGATED = dataclasses.replace(
    MODEL,
    item_vectors="propagated",
    sequential=dataclasses.replace(MODEL.sequential, dropout=0.0),
    graph=dataclasses.replace(MODEL.graph, num_layers=2),
)
HISTORIES = np.array([[0, 0, 4, 5, 6], [1, 9, 2, 8, 3]], np.int32)


@pytest.fixture(name="model")
def _model():
    return Create(PROPAGATED, NUM_ITEMS, make_period().adjacency, seed=3)


def test_states_and_scores_are_those_of_a_table_set_to_the_propagated(model):
    expected = model.graph.propagate().items.numpy()
    plain = Create(
        dataclasses.replace(PROPAGATED, item_vectors="table"),
        NUM_ITEMS,
        make_period().adjacency,
        seed=3,
    )
    assert np.abs(plain.items.table.numpy() - expected).max() > 1e-4
    plain.items.table.assign(expected)

    np.testing.assert_allclose(model.item_table(), expected)
    np.testing.assert_allclose(
        model(HISTORIES), plain(HISTORIES), rtol=1e-4, atol=1e-5
    )
    losses = [
        m.joint_loss(
            tf.constant(np.pad(HISTORIES, [[0, 0], [0, 1]], constant_values=7)),
            tf.constant([0, 1]),
            tf.constant([0, 1, 2]),
            tf.constant([1, 2]),
            LossWeights(tf.constant(0.1), tf.constant(0.2)),
        ).local.numpy()
        for m in (model, plain)
    ]
    np.testing.assert_allclose(*losses, rtol=1e-5)


def test_what_is_exported_needs_no_graph(model):
    encode, vectors = served(model)
    before = encode(tf.constant(HISTORIES)).numpy()
    np.testing.assert_allclose(before, model(HISTORIES), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(vectors, model.graph.propagate().items)
    model.graph.users.assign(tf.zeros_like(model.graph.users))
    np.testing.assert_array_equal(encode(tf.constant(HISTORIES)), before)


@pytest.mark.parametrize(
    "graph", [{"num_layers": 0}, {"encoder": "ultragcn"}, {"encoder": "none"}]
)
def test_an_encoder_that_does_not_propagate_is_refused(graph):
    with pytest.raises(ValueError, match="`item_vectors` propagated needs"):
        dataclasses.replace(
            PROPAGATED, graph=dataclasses.replace(PROPAGATED.graph, **graph)
        )
