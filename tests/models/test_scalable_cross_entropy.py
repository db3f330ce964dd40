"""Scalable cross-entropy against numpy, the full loss and differences."""

import numpy as np
import pytest
import tensorflow as tf

from models.config import ScalableCrossEntropyConfig
from models.losses import scalable_cross_entropy as module
from models.losses.cross_entropy import full_softmax_cross_entropy
from models.losses.scalable_cross_entropy import (
    scalable_cross_entropy,
)
from tests.models.loss_checks import (
    assert_gradients_match_slopes,
    normal,
    value_and_gradients,
)

SEED = (3, 5)


def _problem(positions=40, num_items=60, dim=6):
    """States that lie near their targets, as trained ones do."""
    table = normal(num_items, dim, seed=1)
    targets = np.random.default_rng(2).integers(0, num_items, positions)
    states = table[targets] + normal(positions, dim, seed=3, scale=0.7)
    return states, table, targets


def _loss(targets, seed=SEED, **settings):
    config = ScalableCrossEntropyConfig(**settings)
    return lambda states, table: scalable_cross_entropy(
        states, table, tf.constant(targets), tf.constant(seed), config
    )


def _full(states, table, targets):
    """[positions] losses, gradient of their mean by states and by table."""
    scores = states @ table.T
    exponentials = np.exp(scores - scores.max(1, keepdims=True))
    probabilities = exponentials / exponentials.sum(1, keepdims=True)
    rows = np.arange(len(targets))
    losses = -np.log(probabilities[rows, targets])
    probabilities[rows, targets] -= 1
    probabilities /= len(targets)
    return losses, probabilities @ table, probabilities.T @ states


def _by_loops(states, table, targets, buckets, size, bucket_items, mix):
    """Loss, gradients and number of selected positions, pair by pair."""
    positions, dim = states.shape
    omega = tf.random.stateless_normal(
        [buckets, positions if mix else dim], SEED, dtype=tf.float64
    ).numpy()
    centres = omega @ states if mix else omega
    candidates = [[] for _ in range(positions)]
    for centre in centres:
        items = np.argsort(-(table @ centre), kind="stable")[:bucket_items]
        for position in np.argsort(-(states @ centre))[:size]:
            target = targets[position]
            rows = [item for item in items if item != target] + [target]
            scores = table[rows] @ states[position]
            total = np.exp(scores).sum()
            slopes = np.exp(scores) / total
            slopes[-1] -= 1
            loss = np.log(total) - scores[-1]
            candidates[position].append((loss, rows, slopes))
    loss, d_states, d_table = 0.0, np.zeros_like(states), np.zeros_like(table)
    selected = [
        position for position in range(positions) if candidates[position]
    ]
    for position in selected:
        largest, rows, slopes = max(candidates[position], key=lambda c: c[0])
        loss += largest / len(selected)
        d_states[position] = slopes @ table[rows] / len(selected)
        d_table[rows] += np.outer(slopes, states[position]) / len(selected)
    return loss, d_states, d_table, len(selected)


@pytest.mark.parametrize("mix", [True, False])
@pytest.mark.parametrize(
    "buckets, size, bucket_items", [(7, 5, 9), (12, 12, 25), (1, 40, 3)]
)
def test_equals_loops_over_buckets(mix, buckets, size, bucket_items):
    states, table, targets = _problem()
    loss, d_states, d_table, selected = _by_loops(
        states, table, targets, buckets, size, bucket_items, mix
    )
    assert selected == 40 if size == 40 else selected < 40

    value, gradients = value_and_gradients(
        _loss(
            targets,
            num_buckets=buckets,
            bucket_positions=size,
            bucket_items=bucket_items,
            mix=mix,
        ),
        states,
        table,
    )

    np.testing.assert_allclose(value, loss, rtol=1e-12)
    np.testing.assert_allclose(gradients[0], d_states, atol=1e-13)
    np.testing.assert_allclose(gradients[1], d_table, atol=1e-13)


# with several buckets that hold everything a position's losses all tie
@pytest.mark.parametrize("buckets", [1, 3])
def test_buckets_of_everything_are_the_full_softmax(buckets):
    states, table, targets = _problem()
    losses, d_states, d_table = _full(states, table, targets)

    value, gradients = value_and_gradients(
        _loss(
            targets,
            num_buckets=buckets,
            bucket_positions=len(states),
            bucket_items=len(table),
        ),
        states,
        table,
    )

    np.testing.assert_allclose(value, losses.mean(), rtol=1e-12)
    np.testing.assert_allclose(gradients[0], d_states, atol=1e-13)
    np.testing.assert_allclose(gradients[1], d_table, atol=1e-13)


def test_one_bucket_of_everything_is_this_projects_full_loss_in_float32():
    states, table, targets = _problem()
    loss = _loss(targets, num_buckets=1, bucket_positions=40, bucket_items=60)
    expected, expected_gradients = value_and_gradients(
        lambda states, table: full_softmax_cross_entropy(
            states, table, tf.constant(targets), tf.fill([40], 1 / 40)
        ),
        states,
        table,
        dtype=tf.float32,
    )
    value, gradients = value_and_gradients(
        loss, states, table, dtype=tf.float32
    )
    assert value.dtype == np.float32
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    for ours, full in zip(gradients, expected_gradients, strict=True):
        np.testing.assert_allclose(ours, full, atol=1e-6)


@pytest.mark.parametrize("mix", [True, False])
def test_gradients_by_finite_differences(mix):
    states, table, targets = _problem()
    # an upstream other than 1
    loss = _loss(targets, bucket_items=15, mix=mix)
    assert_gradients_match_slopes(
        lambda *arrays: 3.0 * loss(*arrays) ** 2, states, table
    )


def test_sizes_left_out_are_twice_the_root_of_the_positions():
    states, table, targets = _problem(positions=40)
    by_default, by_hand, other = (
        _loss(targets, bucket_items=20, **sizes)(states, table).numpy()
        for sizes in (
            {},
            {"num_buckets": 12, "bucket_positions": 12},
            {"num_buckets": 13, "bucket_positions": 12},
        )
    )
    assert by_default == by_hand != other


def test_the_same_seed_draws_the_same_buckets_and_another_does_not():
    states, table, targets = _problem()
    values = [
        _loss(targets, seed=seed, bucket_items=20)(states, table).numpy()
        for seed in [(0, 0), (0, 0), (0, 1), (1, 0)]
    ]
    assert values[0] == values[1]
    assert len(set(values)) == 3


def test_no_position_has_more_than_its_full_loss():
    states, table, targets = _problem()
    full, *_ = _full(states, table, targets)
    seen = set()
    for seed in range(20):
        # one bucket of one position: the loss is that position's
        loss = _loss(
            targets,
            seed=(seed, 0),
            num_buckets=1,
            bucket_positions=1,
            bucket_items=20,
        )
        value, (d_states, _) = value_and_gradients(loss, states, table)
        (position,) = np.flatnonzero(np.abs(d_states).sum(axis=1))
        assert value < full[position]
        seen.add(position)
    assert len(seen) > 5


def test_more_items_in_the_buckets_come_nearer_to_the_full_gradient():
    states, table, targets = _problem(positions=200, num_items=500)
    _, _, full = _full(states, table, targets)
    cosines = []
    for bucket_items in (5, 50, 500):
        _, (_, d_table) = value_and_gradients(
            _loss(targets, num_buckets=60, bucket_items=bucket_items),
            states,
            table,
        )
        cosines.append(
            (d_table * full).sum()
            / np.linalg.norm(d_table)
            / np.linalg.norm(full)
        )
    assert cosines == sorted(cosines)
    assert cosines[-1] > 0.95


@pytest.mark.parametrize("chunk", [1, 7, 30, 59, 60, 100])
@pytest.mark.parametrize("k", [1, 8, 60, 70])
def test_items_in_chunks_are_the_best_of_all(chunk, k):
    centres, table = normal(4, 5), normal(60, 5, seed=1)
    best = tf.function(module._best_items)(
        tf.constant(centres), tf.constant(table), k, chunk
    )
    expected = np.argsort(-centres @ table.T, axis=1)[:, :k]
    np.testing.assert_array_equal(
        np.sort(best.numpy(), axis=1), np.sort(expected, axis=1)
    )


@pytest.mark.parametrize("mix", [True, False])
@pytest.mark.parametrize("positions", [0, 1, 2, 3])
def test_few_positions(positions, mix):
    states, table, targets = _problem(positions=positions)
    value, (d_states, d_table) = value_and_gradients(
        _loss(targets, bucket_items=1000, mix=mix), states, table
    )
    # 2 sqrt(positions) buckets of all positions and of all items
    expected = _full(states, table, targets) if positions else (0, 0, 0)
    np.testing.assert_allclose(value, np.mean(expected[0]), rtol=1e-12)
    np.testing.assert_allclose(d_states, np.zeros_like(states) + expected[1])
    np.testing.assert_allclose(
        d_table, np.zeros_like(table) + expected[2], atol=1e-15
    )


def test_one_item_leaves_nothing_to_learn():
    value, gradients = value_and_gradients(
        _loss([0, 0, 0]), normal(3, 2), normal(1, 2)
    )
    assert value == 0
    assert not any(gradient.any() for gradient in gradients)


def test_huge_scores_stay_finite_and_nan_is_seen():
    table = np.array([[1.0, 0.0], [-1.0, 0.0]])
    states = np.array([[1000.0, 0.0]])
    right, wrong = (
        value_and_gradients(_loss([target]), states, table, dtype=tf.float32)
        for target in (0, 1)
    )
    assert right[0] == 0
    assert wrong[0] == 2000
    np.testing.assert_allclose(wrong[1][0], [[2, 0]])
    states, table, targets = _problem()
    states[3, 2] = np.nan
    assert np.isnan(_loss(targets, bucket_positions=40)(states, table).numpy())


def test_in_a_compiled_step_with_batches_of_any_size():
    table = tf.Variable(_problem()[1])

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, 6], tf.float64),
            tf.TensorSpec([None], tf.int64),
            tf.TensorSpec([2], tf.int32),
        ]
    )
    def step(states, targets, seed):
        with tf.GradientTape() as tape:
            loss = scalable_cross_entropy(
                states,
                table,
                targets,
                seed,
                ScalableCrossEntropyConfig(bucket_items=20),
            )
        return loss, tape.gradient(loss, table)

    for positions in (40, 17):
        states, _, targets = _problem(positions)
        loss, gradient = step(states, targets, SEED)
        expected, (_, d_table) = value_and_gradients(
            _loss(targets, bucket_items=20), states, table.numpy()
        )
        np.testing.assert_allclose(loss, expected, rtol=1e-12)
        np.testing.assert_allclose(gradient, d_table, atol=1e-13)


@pytest.mark.parametrize(
    "settings, found",
    [
        ({"num_buckets": 0}, "`num_buckets` must be at least 1, found 0"),
        ({"bucket_positions": -3}, "`bucket_positions` .* found -3"),
        ({"bucket_items": 0}, "`bucket_items` .* found 0"),
    ],
)
def test_wrong_settings_are_refused(settings, found):
    with pytest.raises(ValueError, match=found):
        ScalableCrossEntropyConfig(**settings)
