import numpy as np
import pytest
import tensorflow as tf

from models.ordered_sum import ordered_sum


@pytest.mark.parametrize("number", [1, 2, 5])
def test_values_and_gradients_by_hand(number):
    values = np.random.default_rng(0).normal(size=(number, 4, 3))
    parts = [tf.Variable(v) for v in values]
    with tf.GradientTape() as tape:
        total = ordered_sum([tf.convert_to_tensor(p) for p in parts])
        loss = tf.reduce_sum(total**2)
    expected = values[0].copy()
    for value in values[1:]:
        expected += value
    # In this order: not a last digit is another.
    np.testing.assert_array_equal(total, expected)
    for gradient in tape.gradient(loss, parts):
        np.testing.assert_allclose(gradient, 2 * expected)
