"""LightGCN with BPR (He et al. 2020; paper section 3.4).

    E(0)   = the shared item table and a user table of its own
    E(k+1) = D^-1/2 A D^-1/2 E(k)
    E      = mean of E(0) .. E(K)

No self loops, no weights, no activation. `normalize_layers` divides each
E(k), k > 0, by its row norms before the mean (as older code of the
paper's authors; not in LightGCN). `edge_dropout` leaves out edges of a step,
in both directions alike.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from models import random_streams
from models.graph.propagation import Propagation
from models.graph.tower import FoldIn, GraphTower, NodeVectors
from models.losses.bpr import bpr_against_all, bpr_loss
from models.ordered_sum import ordered_sum


class LightGCN(GraphTower):
    """User and item vectors of the graph, and their ranking loss."""

    def propagate(self, seed: tf.Tensor | None = None) -> NodeVectors:
        """Runs all layers and takes their mean; see GraphTower."""
        if not self.config.normalize_layers:
            return NodeVectors(
                *self._step(seed).mean_of_layers(
                    tf.convert_to_tensor(self.users),
                    tf.convert_to_tensor(self.items.table),
                    self.config.num_layers,
                )
            )
        users, items = self._layers(seed)
        share = 1.0 / len(users)
        return NodeVectors(
            ordered_sum(users) * share, ordered_sum(items) * share
        )

    def loss(
        self,
        vectors: NodeVectors,
        edges: tf.Tensor,
        seed: tf.Tensor,
        share: tf.Tensor | float = 1.0,
    ) -> tf.Tensor:
        """BPR with L2 on the layer-0 vectors; see GraphTower.

        Where every item is a negative of every edge, L2 is of the edges'
        ends.
        """
        users, positives = self.pairs(edges)
        # From the values: gathering from variables would make every later
        # read and update of them copy the tables.
        user_starts = tf.convert_to_tensor(self.users)
        item_starts = tf.convert_to_tensor(self.items.table)
        user_vectors = tf.gather(vectors.users, users)
        negative_starts = None
        if self.config.negatives == "all":
            loss = bpr_against_all(user_vectors, vectors.items, positives)
        else:
            negatives = self.negatives(users, seed)
            negative_starts = tf.gather(item_starts, negatives)
            loss = bpr_loss(
                user_vectors,
                tf.gather(vectors.items, positives),
                tf.gather(vectors.items, negatives),
            )
        penalty = self.penalty(
            tf.gather(user_starts, users),
            tf.gather(item_starts, positives),
            negative_starts,
            share,
        )
        return share * (loss + penalty)

    def fold_in(self) -> FoldIn:
        """The propagation rule for a user without a row of its own.

        Such a user's E(0) is 0 and its E(k+1) the sum of its items' E(k)
        over the square roots of both degrees. Its own degree scales all
        layers alike and is left out; with 0 layers the plain items remain.
        An item without an edge says nothing: no user's vector has learned
        from it, nor has its own but as a negative.
        `normalize_layers` is kept on the items' side only: the length of a
        user's layer is no sum over its items.
        """
        _, layers = self._layers(None)
        items = ordered_sum(layers) / float(len(layers))
        has_edges = self.item_degrees > 0
        if not self.config.num_layers:
            known = tf.constant(has_edges, tf.float32)
            return FoldIn(items * known[:, tf.newaxis], items)
        scale = tf.constant(
            np.where(has_edges, np.maximum(self.item_degrees, 1.0) ** -0.5, 0),
            tf.float32,
        )
        return FoldIn(
            ordered_sum(layers[:-1])
            * scale[:, tf.newaxis]
            / float(len(layers)),
            items,
        )

    def _step(self, seed: tf.Tensor | None) -> Propagation:
        """All edges, or those that the step of this seed keeps."""
        if seed is not None:
            seed = random_streams.DROPPED_EDGES.seed(seed)
        return self.adjacency.propagation(self.config.edge_dropout, seed)

    def _layers(
        self, seed: tf.Tensor | None
    ) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
        step = self._step(seed)
        users = tf.convert_to_tensor(self.users)
        items = tf.convert_to_tensor(self.items.table)
        user_layers, item_layers = [users], [items]
        for _ in range(self.config.num_layers):
            users, items = (
                step.to_users(items),
                step.to_items(users),
            )
            if self.config.normalize_layers:
                user_layers.append(tf.math.l2_normalize(users, axis=1))
                item_layers.append(tf.math.l2_normalize(items, axis=1))
            else:
                user_layers.append(users)
                item_layers.append(items)
        return user_layers, item_layers
