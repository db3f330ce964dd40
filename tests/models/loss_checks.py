"""What the tests of several losses share."""

import numpy as np
import tensorflow as tf


def normal(*shape, seed=0, scale=1.0):
    return np.random.default_rng(seed).normal(size=shape) * scale


def value_and_gradients(loss, *arrays, dtype=tf.float64):
    """Loss and its gradient by each array, as numpy."""
    tensors = [tf.constant(array, dtype) for array in arrays]
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        value = loss(*tensors)
    gradients = tape.gradient(value, tensors)
    return value.numpy(), [tf.convert_to_tensor(g).numpy() for g in gradients]


def assert_gradients_match_slopes(loss, *arrays, step=1e-6, rtol=1e-6):
    """Compares with central differences along random directions, float64.

    `loss` must take and give float64.
    """
    _, gradients = value_and_gradients(loss, *arrays)
    for number, gradient in enumerate(gradients):
        for seed in range(4):
            direction = normal(*gradient.shape, seed=seed)
            ends = []
            for sign in (1, -1):
                moved = list(arrays)
                moved[number] = arrays[number] + sign * step * direction
                ends.append(
                    loss(*(tf.constant(a, tf.float64) for a in moved)).numpy()
                )
            np.testing.assert_allclose(
                (gradient * direction).sum(),
                (ends[0] - ends[1]) / (2 * step),
                rtol=rtol,
                atol=1e-8,
            )
