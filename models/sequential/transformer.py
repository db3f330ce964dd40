"""Transformer encoder over right-aligned histories."""

from __future__ import annotations

import tensorflow as tf

from models.config import SequentialConfig

_MASKED = -1e9


class StatelessDropout(tf.keras.layers.Layer):
    """Dropout that is a function of a seed, so that training can resume.

    Stock dropout draws from a generator whose state a kill would lose; here
    the mask depends on the training step's seed and the layer's number only.
    """

    def __init__(self, rate: float, number: int) -> None:
        super().__init__(name=f"dropout_{number}")
        self.rate = rate
        self.number = number

    def call(self, inputs: tf.Tensor, seed: tf.Tensor | None) -> tf.Tensor:
        """Drops values; `seed` is int32 [2], or None outside training."""
        if seed is None or self.rate == 0.0:
            return inputs
        layer_seed = tf.random.experimental.stateless_fold_in(seed, self.number)
        return tf.nn.experimental.stateless_dropout(
            inputs, rate=self.rate, seed=layer_seed
        )


class SelfAttention(tf.keras.layers.Layer):
    """Multi-head self-attention; all projections are d x d."""

    def __init__(
        self, dim: int, num_heads: int, dropout: StatelessDropout, seed: int
    ) -> None:
        super().__init__(name="self_attention")
        self.num_heads = num_heads
        self.head_dim = dim // num_heads
        self.dropout = dropout
        self.query_key_value = tf.keras.layers.Dense(
            3 * dim,
            kernel_initializer=_glorot(seed),
            name="query_key_value",
        )
        self.output_projection = tf.keras.layers.Dense(
            dim, kernel_initializer=_glorot(seed + 1), name="output"
        )
        self.query_key_value.build((None, dim))
        self.output_projection.build((None, dim))

    def call(
        self, inputs: tf.Tensor, mask: tf.Tensor, seed: tf.Tensor | None
    ) -> tf.Tensor:
        """Attends.

        Args:
            inputs: [batch, length, d].
            mask: [batch, 1, length, length] bool, True where row may see
                column.
            seed: as in StatelessDropout.
        """
        shape = tf.shape(inputs)
        heads = tf.reshape(
            self.query_key_value(inputs),
            [shape[0], shape[1], 3, self.num_heads, self.head_dim],
        )
        # [3, batch, heads, length, head_dim]
        query, key, value = tf.unstack(tf.transpose(heads, [2, 0, 3, 1, 4]))
        logits = tf.matmul(query, key, transpose_b=True)
        logits *= self.head_dim**-0.5
        logits = tf.where(mask, logits, _MASKED)
        weights = self.dropout(tf.nn.softmax(logits), seed)
        mixed = tf.transpose(tf.matmul(weights, value), [0, 2, 1, 3])
        return self.output_projection(tf.reshape(mixed, shape))


class TransformerBlock(tf.keras.layers.Layer):
    """Self-attention and feed-forward, each with a residual connection.

    Normalisation comes before each part (`pre`) or after each sum (`post`).
    """

    def __init__(
        self, dim: int, config: SequentialConfig, number: int, seed: int
    ) -> None:
        super().__init__(name=f"block_{number}")
        rate, first = config.dropout, 3 * number + 1
        self.pre_norm = config.norm == "pre"
        self.attention = SelfAttention(
            dim,
            config.num_heads,
            StatelessDropout(config.attention_dropout, first),
            seed,
        )
        self.expand = tf.keras.layers.Dense(
            config.feed_forward_dim,
            activation=config.activation,
            kernel_initializer=_glorot(seed + 2),
            name="expand",
        )
        self.contract = tf.keras.layers.Dense(
            dim, kernel_initializer=_glorot(seed + 3), name="contract"
        )
        self.attention_norm = layer_norm(dim, "attention_norm")
        self.feed_forward_norm = layer_norm(dim, "feed_forward_norm")
        self.attention_dropout = StatelessDropout(rate, first + 1)
        self.feed_forward_dropout = StatelessDropout(rate, first + 2)
        self.expand.build((None, dim))
        self.contract.build((None, config.feed_forward_dim))

    def call(
        self, inputs: tf.Tensor, mask: tf.Tensor, seed: tf.Tensor | None
    ) -> tf.Tensor:
        """[batch, length, d] to the same; arguments as in SelfAttention."""
        if self.pre_norm:
            attended = self.attention(self.attention_norm(inputs), mask, seed)
            states = inputs + self.attention_dropout(attended, seed)
            mixed = self.contract(self.expand(self.feed_forward_norm(states)))
            return states + self.feed_forward_dropout(mixed, seed)
        attended = self.attention(inputs, mask, seed)
        states = self.attention_norm(
            inputs + self.attention_dropout(attended, seed)
        )
        mixed = self.contract(self.expand(states))
        return self.feed_forward_norm(
            states + self.feed_forward_dropout(mixed, seed)
        )


def layer_norm(dim: int, name: str) -> tf.keras.layers.LayerNormalization:
    """A built LayerNormalization over vectors of length `dim`."""
    norm = tf.keras.layers.LayerNormalization(epsilon=1e-8, name=name)
    norm.build((None, None, dim))
    return norm


def _glorot(seed: int) -> tf.keras.initializers.Initializer:
    return tf.keras.initializers.GlorotUniform(seed=seed)
