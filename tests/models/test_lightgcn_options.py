"""Edge dropout, BPR against all items and the fold-in of LightGCN."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from models import random_streams
from models.config import GraphTowerConfig
from models.graph.lightgcn import LightGCN
from models.graph.tower import fold_in_users
from models.losses.bpr import bpr_against_all, bpr_loss
from tests.models.graph_toys import (
    adjacency_of,
    random_edges,
    softplus,
    tower_of,
)
from tests.models.loss_checks import (
    assert_gradients_match_slopes,
    normal,
    value_and_gradients,
)

ADJACENCY = adjacency_of(random_edges())
CONFIG = GraphTowerConfig(num_layers=2)
DROPPING = dataclasses.replace(CONFIG, edge_dropout=0.4)
SEED = tf.constant([3, 4])
BATCH = tf.constant([4, 0, 9, 9, -1, 12, -1])


def kept_values(dropout, number):
    step = ADJACENCY.propagation(dropout, tf.constant([7, number]))
    return step.by_user.values.numpy()


# Edge dropout


def test_kept_edges_are_scaled_up_so_that_the_mean_stays():
    full = ADJACENCY.propagation().by_user.values.numpy()
    drawn = np.stack([kept_values(0.4, number) for number in range(400)])
    kept = drawn != 0
    scaled = np.broadcast_to(full / 0.6, drawn.shape)
    np.testing.assert_allclose(drawn[kept], scaled[kept], rtol=1e-6)
    # 5 standard errors of a share of 0.6 in 400 draws
    assert np.abs(kept.mean(axis=0) - 0.6).max() < 5 * (0.24 / 400) ** 0.5
    # neighbouring seeds drop different edges
    assert len(np.unique(kept, axis=0)) > 390


def test_both_directions_lose_the_same_edges():
    step = ADJACENCY.propagation(0.4, SEED)
    by_user = tf.sparse.to_dense(step.by_user).numpy()
    by_item = tf.sparse.to_dense(tf.sparse.reorder(step.by_item)).numpy()
    assert 0 < np.count_nonzero(by_user) < len(ADJACENCY.edges)
    np.testing.assert_array_equal(by_user, by_item.T)


def test_values_and_gradients_are_those_of_the_dropped_matrix():
    """All layers use the edges of the step, forwards and backwards."""
    tower = tower_of(LightGCN, DROPPING, ADJACENCY)
    folded = random_streams.DROPPED_EDGES.seed(SEED)
    matrix = tf.sparse.to_dense(
        ADJACENCY.propagation(0.4, folded).by_user
    ).numpy()
    users, items = (v.numpy() for v in (tower.users, tower.items.table))
    one = matrix @ items, matrix.T @ users
    two = matrix @ one[1], matrix.T @ one[0]
    found = tower.propagate(SEED)
    for vectors, layers in zip(
        found, zip((users, items), one, two, strict=True), strict=True
    ):
        np.testing.assert_allclose(vectors, sum(layers) / 3, atol=1e-5)


def test_gradients_through_dropped_edges_match_slopes():
    tower = tower_of(LightGCN, DROPPING, ADJACENCY)
    variables = [tower.users, tower.items.table]
    probes = [
        tf.constant(normal(*v.shape, seed=n), tf.float32)
        for n, v in enumerate(variables)
    ]

    def probed():
        vectors = tower.propagate(SEED)
        parts = zip(probes, vectors, strict=True)
        return tf.add_n([tf.reduce_sum(p * v) for p, v in parts])

    with tf.GradientTape() as tape:
        value = probed()
    gradients = tape.gradient(value, variables)
    for variable, gradient in zip(variables, gradients, strict=True):
        start = variable.numpy()
        direction = normal(*start.shape, seed=8)
        ends = []
        for sign in (1, -1):
            variable.assign(start + sign * direction)
            ends.append(float(probed()))
        variable.assign(start)
        # propagation is linear, so a long step is exact
        np.testing.assert_allclose(
            np.sum(gradient.numpy() * direction),
            (ends[0] - ends[1]) / 2,
            rtol=1e-4,
        )


def test_dropout_is_a_function_of_the_seed_and_of_training():
    tower = tower_of(LightGCN, DROPPING, ADJACENCY)
    plain = tower_of(LightGCN, CONFIG, ADJACENCY)
    compiled = tf.function(tower.propagate)
    first, again, other, outside = (
        np.concatenate(vectors)
        for vectors in (
            tower.propagate(SEED),
            compiled(SEED),
            compiled(tf.constant([3, 5])),
            tower.propagate(None),
        )
    )
    np.testing.assert_allclose(first, again, atol=1e-6)
    assert np.abs(first - other).max() > 0.01
    np.testing.assert_array_equal(outside, np.concatenate(plain.propagate()))


# Every item a negative


def numpy_bpr_all(users, items, positives):
    total = 0.0
    for user, positive in zip(users, positives, strict=True):
        for item in items:
            total += softplus(user @ item - user @ items[positive])
    return total / (len(users) * len(items))


# a piece of one pair, of two, and of all
@pytest.mark.parametrize("max_scores", [1, 23, 1 << 24])
@pytest.mark.parametrize("compiled", [False, True])
def test_bpr_against_all_is_the_loops_and_the_stock_gradient(
    max_scores, compiled
):
    users, items = normal(5, 3), normal(11, 3, seed=1)
    positives = np.array([0, 10, 4, 4, 7])

    def ours(users, items):
        return bpr_against_all(users, items, tf.constant(positives), max_scores)

    def stock(users, items):
        return bpr_loss(
            tf.cast(users, tf.float32),
            tf.gather(tf.cast(items, tf.float32), positives),
            tf.cast(items, tf.float32),
        )

    value, gradients = value_and_gradients(
        tf.function(ours) if compiled else ours, users, items
    )
    np.testing.assert_allclose(
        value, numpy_bpr_all(users, items, positives), rtol=1e-12
    )
    # the same definition with every item as each pair's negative
    limit, slopes = value_and_gradients(stock, users, items)
    np.testing.assert_allclose(value, limit, rtol=1e-6)
    for gradient, slope in zip(gradients, slopes, strict=True):
        np.testing.assert_allclose(gradient, slope, atol=1e-7)


def test_bpr_against_all_matches_slopes():
    positives = tf.constant([0, 10, 4, 4, 7])
    assert_gradients_match_slopes(
        lambda u, i: bpr_against_all(u, i, positives, 23),
        normal(5, 3),
        normal(11, 3, seed=1),
    )


def test_many_drawn_negatives_approach_all_of_them():
    users, items = (normal(*s, seed=6) for s in ((5, 3), (11, 3)))
    positives = np.array([0, 10, 4, 4, 7])
    drawn = np.random.default_rng(0).integers(0, 11, (5, 20_000))
    sampled = bpr_loss(
        *(
            tf.constant(array, tf.float32)
            for array in (users, items[positives], items[drawn])
        )
    )
    np.testing.assert_allclose(
        sampled, numpy_bpr_all(users, items, positives), rtol=0.01
    )


def test_bpr_against_all_without_pairs_and_with_huge_scores():
    items = tf.constant([[1000.0], [-1000.0]])
    empty = bpr_against_all(
        tf.zeros([0, 1]), items, tf.zeros([0], tf.int32), 100
    )
    assert float(empty) == 0.0
    wrong = bpr_against_all(tf.constant([[1.0]]), items, tf.constant([1]))
    # item 0 is 2000 above, the positive equals itself
    np.testing.assert_allclose(wrong, (2000 + np.log(2)) / 2, rtol=1e-6)


def test_tower_compares_its_edges_with_all_items():
    config = dataclasses.replace(CONFIG, negatives="all", l2=0.05)
    tower = tower_of(LightGCN, config, ADJACENCY)
    vectors = tower.propagate(SEED)
    edges = ADJACENCY.edges[[n for n in BATCH.numpy() if n >= 0]]
    table, user_table = tower.items.table.numpy(), tower.users.numpy()
    squares = (user_table[edges[:, 0]] ** 2).sum()
    squares += (table[edges[:, 1]] ** 2).sum()
    expected = numpy_bpr_all(
        vectors.users.numpy()[edges[:, 0]], vectors.items.numpy(), edges[:, 1]
    )
    found = tower.loss(vectors, BATCH, SEED)
    np.testing.assert_allclose(
        found, expected + 0.05 * squares / 2 / len(edges), rtol=1e-5
    )


# Fold-in


@pytest.mark.parametrize("num_layers", [1, 3])
def test_fold_in_is_propagation_to_a_user_whose_own_row_is_zero(num_layers):
    config = dataclasses.replace(CONFIG, num_layers=num_layers)
    tower = tower_of(LightGCN, config, ADJACENCY)
    row = tower.users.numpy()
    row[3] = 0.0
    tower.users.assign(row)
    items = ADJACENCY.edges[ADJACENCY.edges[:, 0] == 3, 1]
    tables, vectors = tower.fold_in(), tower.propagate()
    found = fold_in_users(tables.history, tf.constant([[0, *(items + 1)]]))
    np.testing.assert_allclose(
        found[0] / len(items) ** 0.5, vectors.users[3], rtol=1e-4, atol=1e-6
    )
    np.testing.assert_allclose(tables.items, vectors.items, atol=1e-6)


@pytest.mark.parametrize("num_layers", [0, 2])
def test_an_item_without_an_edge_says_nothing_about_a_user(num_layers):
    """It has been trained as a negative at most, and by no user's choice."""
    config = dataclasses.replace(CONFIG, num_layers=num_layers)
    adjacency = adjacency_of(ADJACENCY.edges, num_items=9)
    tower = tower_of(LightGCN, config, adjacency)
    tables = tower.fold_in()
    one, more = fold_in_users(
        tables.history, tf.constant([[0, 0, 3], [8, 3, 9]])
    )
    assert np.abs(one).max() > 0
    np.testing.assert_array_equal(more, one)
    # It can be recommended as before.
    assert np.abs(tables.items[8]).max() > 0


def test_an_item_counts_once_however_often_a_history_has_it():
    """As in the graph, which has one edge for it."""
    tables = tower_of(LightGCN, CONFIG, ADJACENCY).fold_in()
    once, more = fold_in_users(
        tables.history,
        tf.constant([[0, 0, 0, 0, 5, 2], [0, 2, 5, 2, 2, 2]]),
    )
    np.testing.assert_allclose(more, once, rtol=1e-6)
    rows = tables.history.numpy()[[4, 1]]
    np.testing.assert_allclose(once, rows.sum(axis=0), rtol=1e-6)


def test_fold_in_without_layers_adds_the_table():
    config = dataclasses.replace(CONFIG, num_layers=0)
    tower = tower_of(LightGCN, config, ADJACENCY)
    tables = tower.fold_in()
    for vectors in tables:
        np.testing.assert_array_equal(vectors, tower.items.table)
