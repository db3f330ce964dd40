"""Items to compare the edges of a step with."""

from __future__ import annotations

import tensorflow as tf

from models import random_streams, replicas
from models.graph.propagation import BipartiteAdjacency


class NegativeSampler:
    """Draws uniform items, as a function of a step's seed.

    Args:
        adjacency: whose edges are not negatives.
        num_negatives: items of an edge.
    """

    def __init__(
        self, adjacency: BipartiteAdjacency, num_negatives: int
    ) -> None:
        self._num_items = adjacency.num_items
        self._num_negatives = num_negatives
        # sorted keys user * num_items + item, to recognise positives
        self._edge_keys = tf.constant(
            adjacency.edges[:, 0] * adjacency.num_items + adjacency.edges[:, 1]
        )

    def shared(self, seed: tf.Tensor) -> tf.Tensor:
        """[n] int32 items that all edges of the step share.

        They are not checked: each is a negative of nearly every edge.
        """
        return self._draw([self._num_negatives], seed, 0)

    def per_edge(self, users: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """[edges, n] int32 items outside the edges of each one's user.

        Items that turn out to be positives are drawn once more; what is
        still a positive then is kept (less than one in a thousand even
        where users have chosen 3 % of the catalogue).

        Args:
            users: [edges] int32 user nodes.
            seed: [2] int32 of this step.
        """
        seed = replicas.own_seed(seed)
        shape = [tf.shape(users)[0], self._num_negatives]
        first, second = (self._draw(shape, seed, n) for n in range(2))
        keys = tf.cast(users[:, tf.newaxis], tf.int64) * self._num_items
        keys += tf.cast(first, tf.int64)
        places = tf.searchsorted(self._edge_keys, tf.reshape(keys, [-1]))
        places = tf.minimum(places, tf.size(self._edge_keys) - 1)
        found = tf.gather(self._edge_keys, places)
        positive = tf.reshape(found, tf.shape(keys)) == keys
        return tf.where(positive, second, first)

    def _draw(self, shape: list, seed: tf.Tensor, attempt: int) -> tf.Tensor:
        return tf.random.stateless_uniform(
            shape,
            random_streams.NEGATIVES.seed(seed, attempt),
            maxval=self._num_items,
            dtype=tf.int32,
        )
