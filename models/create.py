"""CREATE: a sequential and a graph tower over one item table (Figure 1).

    L = L_local + w_global L_global + w_BT L_BT                     (eq. 5)

L_local is the sequential tower's cross-entropy, L_global the graph tower's
BPR, L_BT the alignment of the two vectors of each user in the batch. Only
the sequential tower and the item table are used after training.
"""

from __future__ import annotations

import dataclasses

import tensorflow as tf

from models.config import ModelConfig
from models.graph.lightgcn import LightGCN
from models.graph.propagation import BipartiteAdjacency
from models.item_embedding import ItemEmbedding
from models.losses.alignment import barlow_twins_loss
from models.losses.bpr import bpr_loss, l2_penalty
from models.losses.cross_entropy import full_softmax_cross_entropy
from models.sequential.sasrec import SASRec


@dataclasses.dataclass
class LossParts:
    """Scalars of one step; what a phase does not train is 0."""

    total: tf.Tensor
    local: tf.Tensor
    global_: tf.Tensor
    alignment: tf.Tensor


class Create(tf.keras.Model):
    """Both towers and their losses.

    Args:
        config: sizes, encoders and loss weights.
        num_items: size of the catalogue.
        adjacency: the graph of the fit period; None where the graph encoder
            is `none`, which leaves SASRec alone.
        seed: of the start values.
    """

    def __init__(
        self,
        config: ModelConfig,
        num_items: int,
        adjacency: BipartiteAdjacency | None,
        seed: int,
    ) -> None:
        super().__init__(name="create")
        self.config = config
        self.items = ItemEmbedding(
            num_items, config.embedding_dim, config.init_stddev, seed * 1000
        )
        self.sequential = SASRec(
            self.items, config.sequential, config.init_stddev, seed * 1000 + 1
        )
        self.graph: LightGCN | None = None
        if config.graph.encoder == "lightgcn":
            if adjacency is None:
                raise ValueError(
                    "`graph.encoder` lightgcn needs the graph of the fit "
                    "period; give one, or set the encoder to none."
                )
            self.graph = LightGCN(
                self.items,
                adjacency,
                config.graph,
                config.init_stddev,
                seed * 1000 + 2,
            )
            # sorted keys user * num_items + item, to recognise positives
            self._edge_keys = tf.constant(
                adjacency.edges[:, 0] * num_items + adjacency.edges[:, 1]
            )
            self._edges = tf.constant(adjacency.edges, tf.int32)

    def call(self, histories: tf.Tensor) -> tf.Tensor:
        """[batch, length] histories to [batch, d] user vectors."""
        return self.sequential.last_state(histories)

    def joint_loss(
        self,
        sequences: tf.Tensor,
        users: tf.Tensor,
        edges: tf.Tensor,
        seed: tf.Tensor,
    ) -> LossParts:
        """Eq. 5 on one batch.

        Args:
            sequences: [batch, length + 1] int item numbers, right-aligned;
                every column but the first is the target of the one before.
            users: [batch] int rows of the user table.
            edges: [pairs] int numbers of graph edges, -1 pads.
            seed: [2] int32 of this step.
        """
        states = self.sequential(sequences[:, :-1], seed)
        local = self.local_loss(states, sequences)
        zero = tf.constant(0.0)
        global_loss, alignment = zero, zero
        if self.graph is not None:
            user_vectors, item_vectors = self.graph.propagate()
            global_loss = self.global_loss(
                user_vectors, item_vectors, edges, seed
            )
            if self.config.alignment.kind == "barlow_twins":
                alignment = barlow_twins_loss(
                    states[:, -1],
                    tf.gather(user_vectors, users),
                    self.config.alignment.off_diagonal_weight,
                    self.config.alignment.divide_by_dim,
                    self.config.alignment.normalize_rows,
                )
        total = (
            local
            + self.config.global_weight * global_loss
            + self.config.alignment_weight * alignment
        )
        return LossParts(total, local, global_loss, alignment)

    def warmup_loss(self, edges: tf.Tensor, seed: tf.Tensor) -> LossParts:
        """The graph's part of eq. 5 alone; arguments as in `joint_loss`."""
        if self.graph is None:
            raise ValueError("A model without graph encoder has no warm-up.")
        user_vectors, item_vectors = self.graph.propagate()
        loss = self.global_loss(user_vectors, item_vectors, edges, seed)
        zero = tf.constant(0.0)
        return LossParts(self.config.global_weight * loss, zero, loss, zero)

    def local_loss(self, states: tf.Tensor, sequences: tf.Tensor) -> tf.Tensor:
        """Mean cross-entropy over the positions that have a target.

        Padded positions are gathered away before the product with the item
        table, which is nearly all of the arithmetic.
        """
        targets = sequences[:, 1:]
        valid = tf.where((targets > 0) & (sequences[:, :-1] > 0))
        count = tf.cast(tf.shape(valid)[0], tf.float32)
        weights = tf.fill([tf.shape(valid)[0]], 1.0 / tf.maximum(count, 1.0))
        return full_softmax_cross_entropy(
            tf.gather_nd(states, valid),
            self.items.table,
            tf.gather_nd(targets, valid) - 1,
            weights,
        )

    def global_loss(
        self,
        user_vectors: tf.Tensor,
        item_vectors: tf.Tensor,
        edges: tf.Tensor,
        seed: tf.Tensor,
    ) -> tf.Tensor:
        """BPR over a batch of edges with L2 on the layer-0 vectors.

        Args:
            user_vectors: [num_users, d] propagated.
            item_vectors: [num_items, d] propagated.
            edges: [pairs] int numbers of graph edges, -1 pads.
            seed: [2] int32 of this step.
        """
        assert self.graph is not None
        edges = tf.boolean_mask(edges, edges >= 0)
        pairs = tf.gather(self._edges, edges)
        users, positives = pairs[:, 0], pairs[:, 1]
        negatives = self._draw_negatives(users, seed)
        loss = bpr_loss(
            tf.gather(user_vectors, users),
            tf.gather(item_vectors, positives),
            tf.gather(item_vectors, negatives),
        )
        penalty = l2_penalty(
            tf.gather(self.graph.users, users),
            tf.gather(self.items.table, positives),
            tf.gather(self.items.table, negatives),
        )
        return loss + self.config.graph.l2 * penalty

    def _draw_negatives(self, users: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """[pairs, n] uniform items outside the user's edges, or [n] shared.

        Items that turn out to be positives are drawn once more; what is
        still a positive then is kept (less than one in a thousand even
        where users have chosen 3 % of the catalogue). Shared items are not
        checked: each is a negative of nearly every pair.
        """
        shape = [tf.shape(users)[0], self.config.graph.num_negatives]
        if self.config.graph.shared_negatives:
            shape = shape[1:]
        drawn = [
            tf.random.stateless_uniform(
                shape,
                tf.random.experimental.stateless_fold_in(seed, 1000 + attempt),
                maxval=self.items.num_items,
                dtype=tf.int32,
            )
            for attempt in range(2)
        ]
        if self.config.graph.shared_negatives:
            return drawn[0]
        keys = tf.cast(users[:, tf.newaxis], tf.int64) * self.items.num_items
        keys += tf.cast(drawn[0], tf.int64)
        places = tf.searchsorted(self._edge_keys, tf.reshape(keys, [-1]))
        places = tf.minimum(places, tf.size(self._edge_keys) - 1)
        found = tf.gather(self._edge_keys, places)
        positive = tf.reshape(found, tf.shape(keys)) == keys
        return tf.where(positive, drawn[1], drawn[0])
