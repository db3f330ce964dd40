"""CREATE: a sequential and a graph tower over one item table (Figure 1).

    L = L_local + w_global L_global + w_BT L_BT                     (eq. 5)

L_local is the sequential tower's cross-entropy, L_global the graph tower's
loss, L_BT the alignment of the two vectors of each user in the batch. Only
the sequential tower and the item table are used after training. Either tower
may be left out: the other is then a model of its own, with the same loss.

With `item_vectors: propagated` the sequential tower reads and scores the items
as the graph encoder leaves them (as MRGSRec does, not in the paper); after
training they are one table, so serving is the same. With `warm_graph_weight`
the graph as the warm-up left it recommends beside the sequential tower
(`models.warm_graph`).
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from models import replicas
from models.config import ModelConfig
from models.graph.build import build_graph_tower
from models.graph.propagation import BipartiteAdjacency
from models.graph.tower import NodeVectors
from models.item_embedding import ItemEmbedding
from models.losses.select import alignment_loss, local_loss
from models.sequential.build import build_sequential_tower
from models.warm_graph import Recommender, WarmGraph, user_vectors


class LossParts(NamedTuple):
    """Scalars of one step; what a phase does not train is 0.

    Where replicas share the step, each has the part of its own share, and
    these add up to the step's.
    """

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
        self.warm_graph: WarmGraph | None = None
        if config.warm_graph_weight:
            self.warm_graph = WarmGraph(
                num_items, config.embedding_dim, config.warm_graph_weight
            )

    def call(self, histories: tf.Tensor) -> tf.Tensor:
        """[batch, length] histories to user vectors of `recommender`."""
        recommender = self.recommender()
        assert self.sequential is not None
        return user_vectors(
            self.sequential, histories, recommender.table, recommender.fused
        )

    def recommender(self) -> Recommender:
        """What recommends besides the weights of the sequential tower.

        Raises:
            ValueError: there is no sequential tower.
        """
        if self.sequential is None:
            raise ValueError(
                "A model without sequential tower recommends by the tables "
                "of `graph.fold_in`."
            )
        table = self.item_table()
        if self.warm_graph is None:
            return Recommender(table, table)
        return self.warm_graph.beside(table)

    def end_warmup(self, restart_tables: bool) -> None:
        """Keeps what the graph knows now, where it is to recommend.

        Args:
            restart_tables: whether both tables then start anew.
        """
        if self.graph is None:
            raise ValueError("A model without graph encoder has no warm-up.")
        if self.warm_graph is not None:
            self.warm_graph.keep(self.graph.fold_in())
        if restart_tables:
            self.items.restart()
            self.graph.restart()

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
        most_users: int = 0,
    ) -> LossParts:
        """Eq. 5 on one batch.

        Args:
            sequences: [batch, length + 1] int item numbers, right-aligned.
            users: [batch] int rows of the user table.
            edges: [pairs] int numbers of graph edges, -1 pads.
            seed: [2] int32 of this step.
            weights: of the parts.
            most_users: in the batches of all replicas together, where there
                are several.
        """
        assert self.sequential is not None
        own_seed = replicas.own_seed(seed)
        nodes = self.graph.propagate(seed) if self.graph else None
        table = self._item_table(nodes)
        batch = self.sequential.training_states(sequences, own_seed, table)
        local = _share(batch.targets) * local_loss(
            self.config.local_loss,
            batch.states,
            table,
            batch.targets,
            own_seed,
        )
        zero = tf.constant(0.0)
        if self.graph is None or nodes is None:
            return LossParts(local, local, zero, zero)
        global_loss = self.graph.loss(nodes, edges, seed, _edge_share(edges))
        alignment = zero
        if self.config.alignment.kind != "none":
            # all replicas compare the users of all: each has its part of it
            alignment = (
                alignment_loss(
                    self.config.alignment,
                    replicas.gathered(batch.users, most_users),
                    replicas.gathered(
                        tf.gather(nodes.users, users), most_users
                    ),
                )
                / replicas.count()
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
        loss = self.graph.loss(
            self.graph.propagate(seed), edges, seed, _edge_share(edges)
        )
        zero = tf.constant(0.0)
        return LossParts(weights.global_ * loss, zero, loss, zero)


def _share(rows: tf.Tensor) -> tf.Tensor | float:
    """Of a replica's [n] rows in those of all replicas."""
    return _part(tf.shape(rows)[0])


def _edge_share(edges: tf.Tensor) -> tf.Tensor | float:
    """Of a replica's [pairs] edges, -1 padded, in those of all replicas."""
    return _part(tf.math.count_nonzero(edges >= 0, dtype=tf.int32))


def _part(number: tf.Tensor) -> tf.Tensor | float:
    if replicas.count() == 1:
        return 1.0
    own = tf.cast(number, tf.float32)
    return tf.math.divide_no_nan(own, replicas.total(own))
