"""What every graph tower offers."""

from __future__ import annotations

import abc
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from models.config import GraphTowerConfig
from models.graph.negatives import NegativeSampler
from models.graph.propagation import BipartiteAdjacency
from models.item_embedding import ItemEmbedding
from models.losses.bpr import l2_penalty


class NodeVectors(NamedTuple):
    """Vectors of all nodes after the graph encoder.

    Attributes:
        users: [num_users, d] float32.
        items: [num_items, d] float32.
    """

    users: tf.Tensor
    items: tf.Tensor


class FoldIn(NamedTuple):
    """Recommends from histories without the user table.

    A user's vector is the sum of `history[i]` over the items of the history,
    the score of an item is its product with `items[i]`.

    Attributes:
        history: [num_items, d] float32.
        items: [num_items, d] float32.
    """

    history: tf.Tensor
    items: tf.Tensor


class GraphTower(tf.keras.layers.Layer, abc.ABC):
    """Base of the graph towers (paper section 3.4): tables, edges, draws.

    Args:
        items: the shared item table, row j is item node j.
        adjacency: edges of the fit period.
        config: the settings.
        init_stddev: of the user table's truncated normal start.
        seed: of the start values.
    """

    def __init__(
        self,
        items: ItemEmbedding,
        adjacency: BipartiteAdjacency,
        config: GraphTowerConfig,
        init_stddev: float,
        seed: int,
    ) -> None:
        super().__init__(name=type(self).__name__.lower())
        if adjacency.num_items != items.num_items:
            raise ValueError(
                f"The graph has {adjacency.num_items} item nodes, the item "
                f"table {items.num_items} rows; both must be the catalogue "
                "of the same fit period."
            )
        self.items = items
        self.adjacency = adjacency
        self.config = config
        self._start = {"stddev": init_stddev, "seed": seed}
        self.users = self.add_weight(
            name="users",
            shape=(adjacency.num_users, items.embedding_dim),
            initializer=tf.keras.initializers.TruncatedNormal(**self._start),
        )
        self.user_degrees, self.item_degrees = (
            np.bincount(adjacency.edges[:, axis], minlength=count)
            for axis, count in (
                (0, adjacency.num_users),
                (1, adjacency.num_items),
            )
        )
        self._edges = tf.constant(adjacency.edges, tf.int32)
        self._sampler = NegativeSampler(adjacency, config.num_negatives)

    def restart(self) -> None:
        """Sets the user table to its start values."""
        start = tf.keras.initializers.TruncatedNormal(**self._start)
        self.users.assign(start(self.users.shape))

    @abc.abstractmethod
    def propagate(self, seed: tf.Tensor | None = None) -> NodeVectors:
        """Vectors of all nodes.

        Args:
            seed: [2] int32 of a training step, for what is dropped; None
                outside training.
        """

    @abc.abstractmethod
    def loss(
        self,
        vectors: NodeVectors,
        edges: tf.Tensor,
        seed: tf.Tensor,
        share: tf.Tensor | float = 1.0,
    ) -> tf.Tensor:
        """L_global of eq. 5 on a batch of edges.

        Args:
            vectors: of `propagate`.
            edges: [pairs] int numbers of graph edges, -1 pads.
            seed: [2] int32 of this step.
            share: of these pairs in all pairs of the step. The loss is
                multiplied by it, so that the losses of all shares add up to
                that of the whole step.

        Returns:
            Scalar float32.
        """

    @abc.abstractmethod
    def fold_in(self) -> FoldIn:
        """Tables that recommend from histories."""

    def pairs(self, edges: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """[n] users and [n] items of a padded batch of edge numbers."""
        edges = tf.boolean_mask(edges, edges >= 0)
        pairs = tf.gather(self._edges, edges)
        return pairs[:, 0], pairs[:, 1]

    def penalty(
        self,
        users: tf.Tensor,
        positives: tf.Tensor,
        negatives: tf.Tensor | None,
        share: tf.Tensor | float,
    ) -> tf.Tensor:
        """`l2` times half the squared norm of what a step uses, per pair.

        Args:
            users: [pairs, d] layer-0 vectors.
            positives: [pairs, d] of the pairs' items.
            negatives: [pairs, n, d], or [n, d] which all pairs of the step
                share, whichever replica has them; None for none.
            share: as in `loss`; the result is not multiplied by it.
        """
        penalty = l2_penalty(users, positives)
        if negatives is not None:
            pairs = tf.cast(tf.shape(users)[0], tf.float32)
            once = share if negatives.shape.rank == 2 else 1.0
            penalty += once * tf.math.divide_no_nan(
                tf.nn.l2_loss(negatives), pairs
            )
        return self.config.l2 * penalty

    def negatives(self, users: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """[edges, n] items to compare with, or [n] that all edges share."""
        if self.config.negatives == "shared":
            return self._sampler.shared(seed)
        return self._sampler.per_edge(users, seed)


def fold_in_users(history: tf.Tensor, histories: tf.Tensor) -> tf.Tensor:
    """User vectors from the items of histories.

    An item counts once, however often the history has it: the graph has one
    edge per user and item.

    Args:
        history: [num_items, d] of `FoldIn`.
        histories: [batch, length] int item numbers, 0 pads.

    Returns:
        [batch, d] float32.
    """
    vectors = tf.gather(history, tf.maximum(histories - 1, 0))
    counts = (histories > 0) & ~_comes_again(histories)
    weights = tf.cast(counts, vectors.dtype)
    return tf.reduce_sum(vectors * weights[..., tf.newaxis], axis=1)


def _comes_again(histories: tf.Tensor) -> tf.Tensor:
    """[batch, length] bool: the item stands in a later column as well."""
    same = histories[:, :, tf.newaxis] == histories[:, tf.newaxis]
    columns = tf.range(tf.shape(histories)[1])
    later = columns[:, tf.newaxis] < columns
    return tf.reduce_any(same & later, axis=2)
