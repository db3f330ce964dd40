"""Precision and XLA change how a step is computed, not what it computes."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from models.compute import Compute, current, product, rounded, using
from models.config import ScalableCrossEntropyConfig
from models.create import Create, LossWeights
from models.losses.bpr import bpr_against_all
from models.losses.cross_entropy import full_softmax_cross_entropy
from models.losses.scalable_cross_entropy import scalable_cross_entropy
from tests.models.fit_helpers import NUM_ITEMS, make_period, small_model

BFLOAT16 = Compute("bfloat16")
# bfloat16 keeps 8 bits, so each factor is off by up to 1 / 512 of itself
ROUNDING = 2.0**-9


def _normal(*shape, seed=0):
    return tf.constant(
        np.random.default_rng(seed).normal(size=shape), tf.float32
    )


def _truncated(values):
    """Rounded to bfloat16 by hand: the upper 16 bits, to nearest even."""
    bits = np.asarray(values, np.float32).view(np.uint32)
    bits = bits + 0x7FFF + ((bits >> 16) & 1)
    return (bits & 0xFFFF0000).view(np.float32)


def test_bfloat16_products_are_of_rounded_factors():
    left, right = _normal(5, 8), _normal(8, 3, seed=1)
    found = product(left, right, BFLOAT16)
    assert found.dtype == tf.float32
    exact = _truncated(left) @ _truncated(right)
    # the sum itself may be rounded once more
    np.testing.assert_allclose(found, exact, rtol=2 * ROUNDING, atol=1e-6)
    assert np.abs(found - np.asarray(left) @ np.asarray(right)).max() > 1e-4


def test_float32_is_a_plain_product():
    left, right = _normal(5, 8), _normal(3, 8, seed=1)
    np.testing.assert_array_equal(
        product(left, right, Compute(), transpose_b=True),
        tf.matmul(left, right, transpose_b=True),
    )


def test_settings_end_with_their_block():
    with pytest.raises(RuntimeError), using(BFLOAT16):
        assert current() == BFLOAT16
        raise RuntimeError
    assert current() == Compute()


def test_sizes_are_few_and_little_larger():
    numbers = np.arange(0, 5000)
    sizes = tf.map_fn(rounded, tf.constant(numbers, tf.int32)).numpy()
    assert (sizes >= np.maximum(numbers, 64)).all()
    above = numbers > 64
    assert (sizes[above] <= numbers[above] * 1.125).all()
    assert (np.diff(sizes) >= 0).all()
    powers = 2 ** np.arange(6, 13)
    assert (sizes[powers] == powers).all()
    assert len(set(sizes[1025:2049])) == 8


@pytest.mark.parametrize("compute", [BFLOAT16, Compute(xla=True)])
def test_full_softmax_with_other_compute(compute):
    states, table = _normal(70, 8), _normal(40, 8, seed=1)
    targets = tf.constant(np.arange(70) % 40)
    weights = tf.fill([70], 1 / 70)

    def gradients():
        with tf.GradientTape() as tape:
            tape.watch([states, table])
            loss = full_softmax_cross_entropy(states, table, targets, weights)
        return loss, *tape.gradient(loss, [states, table])

    exact = gradients()
    with using(compute):
        found = gradients()
    # and not with what was traced first
    again = gradients()
    tolerance = 4 * ROUNDING if compute == BFLOAT16 else 1e-5
    for one, other, repeated in zip(found, exact, again, strict=True):
        scale = float(tf.reduce_max(tf.abs(other)))
        np.testing.assert_allclose(one, other, atol=tolerance * scale)
        np.testing.assert_array_equal(repeated, other)
    if compute == BFLOAT16:
        assert float(found[0]) != float(exact[0])


def test_a_position_that_is_right_has_no_loss_in_bfloat16():
    """Its own score is rounded as the others are: nothing is below 0."""
    generator = np.random.default_rng(5)
    table = tf.constant(generator.normal(size=(500, 64)), tf.float32)
    targets = tf.constant(generator.choice(500, 64, replace=False), tf.int32)
    states = tf.gather(table, targets)  # scores: some 64, others' some 0

    def value(position):
        rows = slice(position, position + 1)
        with using(BFLOAT16), tf.GradientTape() as tape:
            tape.watch([states, table])
            loss = full_softmax_cross_entropy(
                states[rows], table, targets[rows], tf.ones([1])
            )
        found = tape.gradient(loss, [states, table])
        return float(loss), max(float(tf.norm(part)) for part in found)

    losses, gradients = zip(*map(value, range(12)), strict=True)
    # In float32 the loss is 0 to the last bit.
    assert min(losses) >= 0.0
    assert max(losses) < 1e-4
    assert max(gradients) < 1e-2


@pytest.mark.parametrize(
    "loss",
    [
        lambda a, b, t: scalable_cross_entropy(
            a, b, t, tf.constant([1, 2]), ScalableCrossEntropyConfig()
        ),
        lambda a, b, t: bpr_against_all(a, b, t),
    ],
    ids=["scalable_cross_entropy", "bpr_against_all"],
)
def test_other_losses_in_bfloat16(loss):
    states, table = _normal(30, 8), _normal(20, 8, seed=1)
    targets = tf.constant(np.arange(30) % 20, tf.int32)
    exact = float(loss(states, table, targets))
    with using(BFLOAT16):
        found = float(loss(states, table, targets))
    assert found == pytest.approx(exact, rel=4 * ROUNDING)
    assert found != exact


def _gradients(sequential, compute):
    """Loss and gradients of one step; histories of different lengths."""
    config = small_model(sequential, alignment="barlow_twins")
    config = dataclasses.replace(
        config,
        sequential=dataclasses.replace(config.sequential, dropout=0.0),
    )
    period = make_period(20)
    model = Create(config, NUM_ITEMS, period.adjacency, 0)
    items = np.random.default_rng(3).integers(1, NUM_ITEMS + 1, (7, 6))
    items[0, :4] = items[1, :1] = 0

    @tf.function
    def step():
        with using(compute), tf.GradientTape() as tape:
            parts = model.joint_loss(
                tf.constant(items, tf.int32),
                tf.range(7),
                tf.range(9),
                tf.constant([4, 5]),
                LossWeights(tf.constant(0.1), tf.constant(0.3)),
            )
        gradients = tape.gradient(parts.total, model.trainable_variables)
        return parts.total, [tf.convert_to_tensor(g) for g in gradients]

    return step()


@pytest.mark.parametrize("sequential", ["sasrec", "bert4rec"])
def test_a_step_compiled_by_xla(sequential):
    loss, gradients = _gradients(sequential, Compute())
    compiled, by_xla = _gradients(sequential, Compute(xla=True))
    assert float(compiled) == pytest.approx(float(loss), rel=1e-5)
    for one, other in zip(by_xla, gradients, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5, rtol=1e-3)


def test_a_step_in_bfloat16():
    loss, gradients = _gradients("sasrec", Compute())
    low, by_low = _gradients("sasrec", BFLOAT16)
    assert float(low) == pytest.approx(float(loss), rel=1e-2)
    assert float(low) != float(loss)
    one = np.concatenate([np.ravel(g) for g in by_low])
    other = np.concatenate([np.ravel(g) for g in gradients])
    assert one.dtype == np.float32
    cosine = one @ other / np.linalg.norm(one) / np.linalg.norm(other)
    assert cosine > 0.999
