"""CREATE: a sequential and a graph tower over one item table (Figure 1).

    L = L_local + w_global L_global + w_BT L_BT                     (eq. 5)

L_local is the sequential tower's cross-entropy, L_global the graph tower's
loss, L_BT the alignment of the two vectors of each user in the batch. Only
the sequential tower and the item table are used after training. Either tower
may be left out: the other is then a model of its own, with the same loss.

With `item_vectors: propagated` the sequential tower reads and scores the items
as the graph encoder leaves them (as MRGSRec does, not in the paper); after
training they are one table, so serving is the same.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import tensorflow as tf

from models.config import ModelConfig
from models.graph.build import build_graph_tower
from models.graph.propagation import BipartiteAdjacency
from models.graph.tower import NodeVectors
from models.item_embedding import ItemEmbedding
from models.losses.select import alignment_loss, local_loss
from models.sequential.build import build_sequential_tower


@dataclasses.dataclass
class LossParts:
    """Scalars of one step; what a phase does not train is 0."""

    total: tf.Tensor
    local: tf.Tensor
    global_: tf.Tensor
    alignment: tf.Tensor


class LossWeights(NamedTuple):
    """w_global and w_BT of eq. 5, scalars."""

    global_: tf.Tensor
    alignment: tf.Tensor


class Create(tf.keras.Model):
    """Both towers and their losses.

    Args:
        config: sizes, encoders and loss weights.
        num_items: size of the catalogue.
        adjacency: the graph of the fit period; None where the graph encoder
            is `none`, which leaves the sequential tower alone.
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
        self.sequential = build_sequential_tower(
            self.items, config, seed * 1000 + 1
        )
        self.graph = build_graph_tower(
            self.items, config, adjacency, seed * 1000 + 2
        )

    def call(self, histories: tf.Tensor) -> tf.Tensor:
        """[batch, length] histories to [batch, d] user vectors."""
        if self.sequential is None:
            raise ValueError(
                "A model without sequential tower recommends by the tables "
                "of `graph.fold_in`."
            )
        return self.sequential.last_state(histories, self.item_table())

    def item_table(self) -> tf.Tensor:
        """[num_items, d] vectors the sequential tower reads and scores."""
        return self._item_table(self.graph.propagate() if self.graph else None)

    def joint_loss(
        self,
        sequences: tf.Tensor,
        users: tf.Tensor,
        edges: tf.Tensor,
        seed: tf.Tensor,
        weights: LossWeights,
    ) -> LossParts:
        """Eq. 5 on one batch.

        Args:
            sequences: [batch, length + 1] int item numbers, right-aligned.
            users: [batch] int rows of the user table.
            edges: [pairs] int numbers of graph edges, -1 pads.
            seed: [2] int32 of this step.
            weights: of the parts.
        """
        assert self.sequential is not None
        nodes = self.graph.propagate(seed) if self.graph else None
        table = self._item_table(nodes)
        batch = self.sequential.training_states(sequences, seed, table)
        local = local_loss(
            self.config.local_loss,
            batch.states,
            table,
            batch.targets,
            seed,
        )
        zero = tf.constant(0.0)
        if self.graph is None or nodes is None:
            return LossParts(local, local, zero, zero)
        global_loss = self.graph.loss(nodes, edges, seed)
        alignment = zero
        if self.config.alignment.kind != "none":
            alignment = alignment_loss(
                self.config.alignment,
                batch.users,
                tf.gather(nodes.users, users),
            )
        total = (
            local
            + weights.global_ * global_loss
            + weights.alignment * alignment
        )
        return LossParts(total, local, global_loss, alignment)

    def _item_table(self, nodes: NodeVectors | None) -> tf.Tensor:
        if nodes is not None and self.config.item_vectors == "propagated":
            return nodes.items
        return tf.convert_to_tensor(self.items.table)

    def graph_loss(
        self, edges: tf.Tensor, seed: tf.Tensor, weights: LossWeights
    ) -> LossParts:
        """The graph's part of eq. 5 alone; arguments as in `joint_loss`."""
        if self.graph is None:
            raise ValueError("A model without graph encoder has no warm-up.")
        loss = self.graph.loss(self.graph.propagate(seed), edges, seed)
        zero = tf.constant(0.0)
        return LossParts(weights.global_ * loss, zero, loss, zero)
