"""Layers of the transformer that treat positions one by one."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from models.compute import DEFAULT, Compute, product

_EPSILON = 1e-8
_LEVELS = 1 << 16


class LayerNorm(tf.keras.layers.Layer):
    """Layer normalisation with its gradient written out.

    The same numbers as Keras' own at half the time on CPU.

    Args:
        dim: length of a vector.
        name: of the layer.
    """

    def __init__(self, dim: int, name: str) -> None:
        super().__init__(name=name)
        self.gamma = self.add_weight(
            name="gamma", shape=(dim,), initializer="ones"
        )
        self.beta = self.add_weight(
            name="beta", shape=(dim,), initializer="zeros"
        )

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """[positions, d] to the same: mean 0, variance 1, scale and shift."""
        return _normalize(
            inputs,
            tf.convert_to_tensor(self.gamma),
            tf.convert_to_tensor(self.beta),
        )


@tf.custom_gradient
def _normalize(
    inputs: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor
) -> tuple[tf.Tensor, Callable[..., tuple]]:
    centred = inputs - tf.reduce_mean(inputs, axis=-1, keepdims=True)
    variance = tf.reduce_mean(centred * centred, axis=-1, keepdims=True)
    inverse = tf.math.rsqrt(variance + _EPSILON)
    normal = centred * inverse

    def gradient(upstream: tf.Tensor) -> tuple:
        scaled = upstream * gamma
        along = tf.reduce_mean(scaled * normal, axis=-1, keepdims=True)
        mean = tf.reduce_mean(scaled, axis=-1, keepdims=True)
        return (
            inverse * (scaled - mean - normal * along),
            tf.reduce_sum(upstream * normal, axis=0),
            tf.reduce_sum(upstream, axis=0),
        )

    return normal * gamma + beta, gradient


class Dense(tf.keras.layers.Layer):
    """A matrix, a shift and an activation on [positions, d].

    Args:
        dim_in: length of the input vectors.
        dim_out: length of the output vectors.
        name: of the layer.
        seed: of the start values.
        activation: name in Keras, None for none.
    """

    def __init__(
        self,
        dim_in: int,
        dim_out: int,
        name: str,
        seed: int,
        activation: str | None = None,
    ) -> None:
        super().__init__(name=name)
        self.kernel = self.add_weight(
            name="kernel",
            shape=(dim_in, dim_out),
            initializer=tf.keras.initializers.GlorotUniform(seed=seed),
        )
        self.bias = self.add_weight(
            name="bias", shape=(dim_out,), initializer="zeros"
        )
        self.activation = tf.keras.activations.get(activation)

    def call(self, inputs: tf.Tensor, compute: Compute = DEFAULT) -> tf.Tensor:
        """[positions, dim_in] to [positions, dim_out]."""
        sums = product(inputs, self.kernel, compute)
        return self.activation(tf.nn.bias_add(sums, self.bias))


class DropoutMasks:
    """All dropout masks of one step, drawn at once from its seed.

    Dropout has to be a function of the step, so that a resumed fit repeats
    it; stock dropout draws from a generator whose state a kill would lose.
    Each value takes 16 random bits, so rates are exact to 1 / 65,536.

    Args:
        rate: share dropped.
        num_masks: how many masks are needed.
        shape: [2] int32 (positions, d) of each.
        seed: [2] int32 of this step; None switches dropout off.
    """

    def __init__(
        self,
        rate: float,
        num_masks: int,
        shape: tf.Tensor,
        seed: tf.Tensor | None,
    ) -> None:
        self._bits: list[tf.Tensor] | None = None
        if seed is None or rate == 0.0:
            return
        # rounded down and never all: something is kept
        self._dropped = min(int(rate * _LEVELS), _LEVELS - 1)
        count = (shape[0] * shape[1] + 1) // 2
        words = tf.random.stateless_uniform(
            [num_masks, count], seed, None, None, tf.uint32
        )
        halves = tf.reshape(tf.bitcast(words, tf.uint16), [num_masks, -1])
        used = halves[:, : shape[0] * shape[1]]
        self._bits = [tf.reshape(bits, shape) for bits in tf.unstack(used)]

    def __call__(self, inputs: tf.Tensor, number: int) -> tf.Tensor:
        """Drops values of [positions, d] by mask `number`."""
        if self._bits is None:
            return inputs
        kept = tf.cast(self._bits[number], tf.int32) >= self._dropped
        scale = _LEVELS / (_LEVELS - self._dropped)
        return inputs * (tf.cast(kept, inputs.dtype) * scale)
