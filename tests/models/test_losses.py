"""Losses against plain numpy and finite differences."""

import numpy as np
import pytest
import tensorflow as tf

from models.losses.barlow_twins import barlow_twins_loss
from models.losses.bpr import bpr_loss, l2_penalty
from models.losses.cross_entropy import full_softmax_cross_entropy


def _random(*shape, seed=0, scale=1.0):
    generator = np.random.default_rng(seed)
    return (generator.normal(size=shape) * scale).astype(np.float32)


# 64 positions a piece, 128, and all
@pytest.mark.parametrize("max_scores", [1, 11 * 128, 1 << 24])
@pytest.mark.parametrize("positions", [1, 7, 130])
def test_cross_entropy_equals_numpy_softmax(positions, max_scores):
    states, table = _random(positions, 5), _random(11, 5, seed=1)
    targets = np.random.default_rng(2).integers(0, 11, positions)
    scores = states.astype(np.float64) @ table.T.astype(np.float64)
    log_softmax = scores - np.log(np.exp(scores).sum(1, keepdims=True))
    expected = -log_softmax[np.arange(positions), targets].mean()

    loss = full_softmax_cross_entropy(
        tf.constant(states),
        tf.constant(table),
        tf.constant(targets),
        tf.fill([positions], 1.0 / positions),
        max_scores,
    )

    np.testing.assert_allclose(loss.numpy(), expected, rtol=1e-5)


def test_cross_entropy_gradients_equal_tensorflows_own():
    states = tf.Variable(_random(137, 6))
    table = tf.Variable(_random(23, 6, seed=1))
    targets = tf.constant(np.random.default_rng(2).integers(0, 23, 137))
    weights = tf.constant(_random(137, seed=3) ** 2)
    with tf.GradientTape(persistent=True) as tape:
        ours = 3.0 * full_softmax_cross_entropy(
            states, table, targets, weights, 8
        )
        logits = tf.matmul(states, table, transpose_b=True)
        stock = 3.0 * tf.reduce_sum(
            weights
            * tf.nn.sparse_softmax_cross_entropy_with_logits(targets, logits)
        )
    for variable in (states, table):
        np.testing.assert_allclose(
            tape.gradient(ours, variable).numpy(),
            tf.convert_to_tensor(tape.gradient(stock, variable)).numpy(),
            rtol=2e-5,
            atol=1e-5,
        )


def test_cross_entropy_of_huge_scores_stays_finite():
    states = tf.constant([[1000.0, 0.0]])
    table = tf.constant([[1.0, 0.0], [-1.0, 0.0]])
    right, wrong = (
        full_softmax_cross_entropy(
            states, table, tf.constant([target]), tf.constant([1.0])
        ).numpy()
        for target in (0, 1)
    )
    assert right == 0.0
    assert wrong == 2000.0


def test_bpr_by_hand():
    # scores: positive 2, negatives 1 and 4
    loss = bpr_loss(
        tf.constant([[1.0, 0.0]]),
        tf.constant([[2.0, 9.0]]),
        tf.constant([[[1.0, 5.0], [4.0, 7.0]]]),
    )
    expected = (np.log1p(np.exp(1 - 2)) + np.log1p(np.exp(4 - 2))) / 2
    np.testing.assert_allclose(loss.numpy(), expected, rtol=1e-6)


def test_bpr_and_penalty_without_pairs_are_zero():
    empty = tf.zeros([0, 4])
    assert bpr_loss(empty, empty, tf.zeros([0, 1, 4])).numpy() == 0.0
    assert l2_penalty(empty, empty).numpy() == 0.0


def test_l2_penalty_is_half_the_square_per_pair():
    users = tf.constant([[3.0, 4.0], [0.0, 0.0]])
    items = tf.constant([[1.0, 0.0], [0.0, 1.0]])
    # (25 + 0 + 1 + 1) / 2 over 2 pairs
    assert l2_penalty(users, items).numpy() == pytest.approx(6.75)


def _numpy_barlow(local, global_, off_weight):
    def standardize(values):
        return (values - values.mean(0)) / values.std(0)

    correlation = standardize(local).T @ standardize(global_) / len(local)
    diagonal = np.diag(correlation)
    off = (correlation**2).sum() - (diagonal**2).sum()
    return ((1 - diagonal) ** 2).sum() + off_weight * off


@pytest.mark.parametrize("divide", [True, False])
def test_barlow_twins_equals_numpy(divide):
    local = _random(50, 4).astype(np.float64)
    global_ = _random(50, 4, seed=1).astype(np.float64)
    expected = _numpy_barlow(local, global_, 0.3) / (4 if divide else 1)
    loss = barlow_twins_loss(
        tf.constant(local, tf.float32),
        tf.constant(global_, tf.float32),
        0.3,
        divide_by_dim=divide,
    )
    np.testing.assert_allclose(loss.numpy(), expected, rtol=1e-4)


def test_barlow_twins_is_zero_iff_the_correlation_is_the_identity():
    # orthogonal columns with mean 0: the correlation with itself is I
    columns = np.array(
        [[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]], np.float32
    )
    same = barlow_twins_loss(tf.constant(columns), tf.constant(columns), 0.5)
    # a shift and a positive scale of a view change nothing
    moved = barlow_twins_loss(
        tf.constant(columns), tf.constant(columns * 7 + 3), 0.5
    )
    flipped = barlow_twins_loss(
        tf.constant(columns),
        tf.constant(columns * np.array([-1, 1, 1], np.float32)),
        0.5,
        divide_by_dim=False,
    )
    np.testing.assert_allclose([same, moved], 0.0, atol=1e-6)
    # C_00 = -1: (1 - -1)^2
    np.testing.assert_allclose(flipped.numpy(), 4.0, rtol=1e-5)


def test_barlow_twins_gradient_by_finite_differences():
    local = tf.Variable(_random(12, 3))
    global_ = tf.constant(_random(12, 3, seed=1))
    with tf.GradientTape() as tape:
        loss = barlow_twins_loss(local, global_, 0.2, normalize_rows=True)
    gradient = tape.gradient(loss, local).numpy()

    def value(matrix):
        rows = matrix / np.linalg.norm(matrix, axis=1, keepdims=True)
        other = global_.numpy().astype(np.float64)
        other = other / np.linalg.norm(other, axis=1, keepdims=True)
        return _numpy_barlow(rows, other, 0.2) / 3

    start = local.numpy().astype(np.float64)
    for row, column in [(0, 0), (5, 2), (11, 1)]:
        step = np.zeros_like(start)
        step[row, column] = 1e-5
        slope = (value(start + step) - value(start - step)) / 2e-5
        np.testing.assert_allclose(gradient[row, column], slope, rtol=1e-2)
