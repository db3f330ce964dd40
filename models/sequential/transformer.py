"""Transformer blocks over packed histories."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from models import random_streams
from models.compute import Compute, product
from models.config import SequentialConfig
from models.sequential.layers import Dense, DropoutMasks, LayerNorm
from models.sequential.packing import Packing

_MASKED = -1e9


class Context(NamedTuple):
    """What all blocks of one pass share.

    Attributes:
        packing: where the positions lie.
        visible: [batch, length, length] bool, True where row may see
            column; every row sees a column at least.
        masks: dropout of positions; block n has the masks 2 n + 1 and
            2 n + 2, 0 is the input's.
        seed: [2] int32 of this step, None outside training.
        compute: how products are computed.
    """

    packing: Packing
    visible: tf.Tensor
    masks: DropoutMasks
    seed: tf.Tensor | None
    compute: Compute


class SelfAttention(tf.keras.layers.Layer):
    """Multi-head self-attention; all projections are d x d."""

    def __init__(
        self, dim: int, config: SequentialConfig, number: int, seed: int
    ) -> None:
        super().__init__(name="self_attention")
        self.num_heads = config.num_heads
        self.head_dim = dim // config.num_heads
        self.dropout = config.attention_dropout
        self.number = number
        self.query_key_value = Dense(dim, 3 * dim, "query_key_value", seed)
        self.output_projection = Dense(dim, dim, "output", seed + 1)

    def call(self, inputs: tf.Tensor, context: Context) -> tf.Tensor:
        """[positions, d] to the same."""
        padded = context.packing.pad(
            self.query_key_value(inputs, context.compute)
        )
        query, key, value = map(self._heads, tf.split(padded, 3, axis=2))
        logits = product(
            query * self.head_dim**-0.5,
            key,
            context.compute,
            transpose_b=True,
        )
        weights = self._weights(logits, context)
        mixed = self._joined(product(weights, value, context.compute))
        return self.output_projection(
            context.packing.pack(mixed), context.compute
        )

    def _weights(self, logits: tf.Tensor, context: Context) -> tf.Tensor:
        """Softmax over the visible columns, with dropout in training."""
        visible = context.visible
        if self.num_heads > 1:
            visible = visible[:, tf.newaxis]
        weights = tf.nn.softmax(tf.where(visible, logits, _MASKED))
        if not self.dropout or context.seed is None:
            return weights
        return tf.nn.experimental.stateless_dropout(
            weights,
            rate=self.dropout,
            seed=random_streams.ATTENTION.seed(context.seed, self.number),
        )

    def _heads(self, padded: tf.Tensor) -> tf.Tensor:
        """[batch, length, d] to [batch, heads, length, d / heads].

        One head needs no axis: products of three axes are the faster ones.
        """
        if self.num_heads == 1:
            return padded
        shape = tf.shape(padded)
        split = [shape[0], shape[1], self.num_heads, self.head_dim]
        return tf.transpose(tf.reshape(padded, split), [0, 2, 1, 3])

    def _joined(self, mixed: tf.Tensor) -> tf.Tensor:
        """The inverse of `_heads`."""
        if self.num_heads == 1:
            return mixed
        shape = tf.shape(mixed)
        return tf.reshape(
            tf.transpose(mixed, [0, 2, 1, 3]),
            [shape[0], shape[2], self.num_heads * self.head_dim],
        )


class TransformerBlock(tf.keras.layers.Layer):
    """Self-attention and feed-forward, each with a residual connection.

    Normalisation comes before each part (`pre`) or after each sum (`post`).
    """

    def __init__(
        self, dim: int, config: SequentialConfig, number: int, seed: int
    ) -> None:
        super().__init__(name=f"block_{number}")
        self.number = number
        self.pre_norm = config.norm == "pre"
        self.attention = SelfAttention(dim, config, number, seed)
        self.expand = Dense(
            dim, config.feed_forward_dim, "expand", seed + 2, config.activation
        )
        self.contract = Dense(
            config.feed_forward_dim, dim, "contract", seed + 3
        )
        self.attention_norm = LayerNorm(dim, "attention_norm")
        self.feed_forward_norm = LayerNorm(dim, "feed_forward_norm")

    def call(self, inputs: tf.Tensor, context: Context) -> tf.Tensor:
        """[positions, d] to the same."""
        first, second = 2 * self.number + 1, 2 * self.number + 2
        if self.pre_norm:
            attended = self.attention(self.attention_norm(inputs), context)
            states = inputs + context.masks(attended, first)
            mixed = self._feed_forward(self.feed_forward_norm(states), context)
            return states + context.masks(mixed, second)
        attended = self.attention(inputs, context)
        states = self.attention_norm(inputs + context.masks(attended, first))
        mixed = self._feed_forward(states, context)
        return self.feed_forward_norm(states + context.masks(mixed, second))

    def _feed_forward(self, states: tf.Tensor, context: Context) -> tf.Tensor:
        wide = self.expand(states, context.compute)
        return self.contract(wide, context.compute)
