"""UltraGCN against loops in numpy, hand values and finite differences."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from models.config import GraphTowerConfig, UltraGCNConfig
from models.graph.negatives import NegativeSampler
from models.graph.tower import fold_in_users
from models.graph.ultragcn import UltraGCN
from models.losses.ultragcn import constraint_loss, item_loss
from tests.models.graph_toys import (
    DIM,
    THREE,
    adjacency_of,
    random_edges,
    random_neighbors,
    softplus,
    tower_of,
)
from tests.models.loss_checks import (
    assert_gradients_match_slopes,
    normal,
    value_and_gradients,
)

SEED = tf.constant([3, 4])
WEIGHTS = UltraGCNConfig(
    w1=0.3, w2=0.8, w3=0.2, w4=0.9, negative_weight=5.0, item_weight=0.6
)
CONFIG = GraphTowerConfig(
    encoder="ultragcn",
    negatives="shared",
    num_negatives=6,
    l2=0.05,
    ultragcn=WEIGHTS,
)
ADJACENCY = adjacency_of(random_edges(), random_neighbors(7))
# Numbers of edges of a step, with pads; one comes twice.
BATCH = [4, 0, 9, 9, -1, 12, -1]


def drawn_items(config, users):
    """[edges, n] negatives of the step."""
    sampler = NegativeSampler(ADJACENCY, config.num_negatives)
    if config.negatives == "per_edge":
        return sampler.per_edge(tf.constant(users, tf.int32), SEED).numpy()
    return np.tile(sampler.shared(SEED).numpy(), (len(users), 1))


def numpy_loss(config, users, items, negatives, e_u, e_i):
    """Everything one edge at a time; `negatives` [edges, n]."""
    weights = config.ultragcn
    d_u = np.bincount(ADJACENCY.edges[:, 0])
    d_i = np.bincount(ADJACENCY.edges[:, 1])

    def beta(u, i):
        return np.sqrt((d_u[u] + 1) / (d_i[i] + 1)) / d_u[u]

    total, squares = 0.0, 0.0
    for u, i, others in zip(users, items, negatives, strict=True):
        total += (weights.w1 + weights.w2 * beta(u, i)) * softplus(
            -e_u[u] @ e_i[i]
        )
        mean = 0.0
        for j in others:
            weight = weights.w3 + weights.w4 * beta(u, j)
            mean += weight * softplus(e_u[u] @ e_i[j]) / len(others)
        total += weights.negative_weight * mean
        for j, omega in zip(*(t[i] for t in ADJACENCY.neighbors), strict=True):
            total += weights.item_weight * omega * softplus(-e_u[u] @ e_i[j])
        squares += e_u[u] @ e_u[u] + e_i[i] @ e_i[i]
    # shared negatives are used once in the step
    once = negatives[:1] if config.negatives == "shared" else negatives
    squares += (e_i[once] ** 2).sum()
    return (total + config.l2 * squares / 2) / len(users)


@pytest.mark.parametrize("negatives", ["shared", "per_edge"])
def test_loss_and_slopes_are_those_of_the_loops(negatives):
    config = dataclasses.replace(CONFIG, negatives=negatives)
    tower = tower_of(UltraGCN, config, ADJACENCY)
    with tf.GradientTape() as tape:
        loss = tower.loss(tower.propagate(SEED), tf.constant(BATCH), SEED)
    variables = [tower.users, tower.items.table]
    gradients = [
        tf.convert_to_tensor(gradient).numpy()
        for gradient in tape.gradient(loss, variables)
    ]
    users, items = ADJACENCY.edges[[n for n in BATCH if n >= 0]].T
    others = drawn_items(config, users)
    tables = [v.numpy().astype(np.float64) for v in variables]

    def expected(*tables):
        return numpy_loss(config, users, items, others, *tables)

    np.testing.assert_allclose(loss, expected(*tables), rtol=1e-5)
    for number, gradient in enumerate(gradients):
        for place in np.ndindex(*gradient.shape):
            ends = []
            for sign in (1, -1):
                moved = [table.copy() for table in tables]
                moved[number][place] += sign * 1e-5
                ends.append(expected(*moved))
            slope = (ends[0] - ends[1]) / 2e-5
            np.testing.assert_allclose(
                gradient[place], slope, rtol=1e-4, atol=1e-5
            )


def one_edge_loss(edge, **weights):
    """Loss of one edge of the 3 x 3 graph where all scores are 0."""
    config = GraphTowerConfig(
        encoder="ultragcn",
        negatives="shared",
        num_negatives=4,
        ultragcn=UltraGCNConfig(
            **{"w1": 0.0, "w3": 0.0, "item_weight": 0.0} | weights
        ),
    )
    tower = tower_of(UltraGCN, config, adjacency_of(THREE))
    tower.users.assign(tf.zeros_like(tower.users))
    tower.items.table.assign(tf.zeros_like(tower.items.table))
    loss = tower.loss(tower.propagate(), tf.constant([edge]), SEED)
    return float(loss) / np.log(2.0)


# Users have 2, 2 and 1 items, items 1, 2 and 2 users.
@pytest.mark.parametrize(
    ("edge", "beta"),
    [
        (0, 3**0.5 / 2 / 2**0.5),
        (1, 3**0.5 / 2 / 3**0.5),
        (4, 2**0.5 / 1 / 3**0.5),
    ],
)
def test_beta_by_hand(edge, beta):
    assert one_edge_loss(edge, negative_weight=0.0) == pytest.approx(
        beta, rel=1e-6
    )
    assert one_edge_loss(
        edge, w1=0.25, w2=2.0, negative_weight=0.0
    ) == pytest.approx(0.25 + 2 * beta, rel=1e-6)


def test_beta_of_negatives_by_hand():
    sampler = NegativeSampler(adjacency_of(THREE), 4)
    drawn = sampler.shared(SEED).numpy()
    # of user 2, who has one item
    betas = 2**0.5 / np.sqrt(np.array([2.0, 3.0, 3.0])[drawn])
    found = one_edge_loss(4, w2=1e-9, w1=0.0, w4=1.0, negative_weight=3.0)
    assert found == pytest.approx(3 * betas.mean(), rel=1e-5)


def test_item_loss_by_hand():
    scores = np.array([[0.0, 2.0], [-1.0, 7.0]])
    weights = np.array([[0.5, 0.25], [1.0, 0.0]])
    expected = (
        0.5 * np.log(2) + 0.25 * np.log1p(np.exp(-2)) + np.log1p(np.exp(1))
    ) / 2
    found = item_loss(tf.constant(scores), tf.constant(weights))
    assert float(found) == pytest.approx(expected)


def test_gradients_of_the_parts_match_slopes():
    weights = [tf.constant(normal(*s, seed=9) ** 2) for s in ((5,), (5, 3))]
    assert_gradients_match_slopes(
        lambda p, n: constraint_loss(p, n, *weights, 3.0),
        normal(5),
        normal(5, 3, seed=1),
    )
    assert_gradients_match_slopes(
        lambda scores: item_loss(scores, weights[1]), normal(5, 3)
    )


def test_huge_scores_stay_finite():
    scores = np.array([2000.0, -2000.0])
    value, gradients = value_and_gradients(
        lambda p, n: constraint_loss(
            p, n, tf.ones([2]), tf.ones([2, 1]), negative_weight=1.0
        ),
        scores,
        scores[:, np.newaxis],
        dtype=tf.float32,
    )
    # right: nothing; wrong: the score itself
    assert value == pytest.approx(2000.0)
    np.testing.assert_allclose(gradients[0], [0.0, -0.5])
    np.testing.assert_allclose(gradients[1], [[0.5], [0.0]])


def test_a_step_without_edges_is_zero():
    tower = tower_of(UltraGCN, CONFIG, ADJACENCY)
    loss = tower.loss(tower.propagate(SEED), tf.constant([-1, -1]), SEED)
    assert float(loss) == 0.0


def test_there_is_no_propagation():
    tower = tower_of(UltraGCN, CONFIG, ADJACENCY)
    users, items = tower.propagate(SEED)
    np.testing.assert_array_equal(users, tower.users)
    np.testing.assert_array_equal(items, tower.items.table)


def test_fold_in_is_the_limit_of_propagation_by_hand():
    tower = tower_of(UltraGCN, CONFIG, adjacency_of(THREE, random_neighbors(3)))
    tables = tower.fold_in()
    table = tower.items.table.numpy()
    # item 1 and item 2, with 2 users each; row 0 of the histories is padding
    found = fold_in_users(tables.history, tf.constant([[0, 2, 3], [0, 0, 1]]))
    assert found.shape == (2, DIM)
    np.testing.assert_allclose(
        found[0], (table[1] + table[2]) / 3**0.5, rtol=1e-5
    )
    np.testing.assert_allclose(found[1], table[0] / 2**0.5, rtol=1e-5)
    np.testing.assert_array_equal(tables.items, table)


def test_an_item_without_an_edge_says_nothing_about_a_user():
    tower = tower_of(
        UltraGCN, CONFIG, adjacency_of(THREE, random_neighbors(4), num_items=4)
    )
    tables = tower.fold_in()
    one, more = fold_in_users(tables.history, tf.constant([[0, 2], [4, 2]]))
    assert np.abs(one).max() > 0
    np.testing.assert_array_equal(more, one)
    np.testing.assert_array_equal(tables.items, tower.items.table)


def test_item_weight_without_neighbours_is_refused():
    with pytest.raises(ValueError, match="set `graph.item_neighbors`"):
        tower_of(UltraGCN, CONFIG, adjacency_of(THREE))


def test_without_the_item_loss_no_neighbours_are_needed():
    config = dataclasses.replace(
        CONFIG, ultragcn=dataclasses.replace(WEIGHTS, item_weight=0.0)
    )
    found = [
        float(tower.loss(tower.propagate(), tf.constant(BATCH), SEED))
        for tower in (
            tower_of(UltraGCN, config, adjacency_of(random_edges(), near))
            for near in (None, random_neighbors(7))
        )
    ]
    assert found[0] == found[1] > 0.0


def test_the_seed_decides_the_negatives():
    tower = tower_of(UltraGCN, CONFIG, ADJACENCY)
    first, again, other = (
        float(tower.loss(tower.propagate(), tf.constant(BATCH), seed))
        for seed in (SEED, SEED, tf.constant([3, 5]))
    )
    assert first == again != other
