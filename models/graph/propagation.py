"""Sparse propagation over the user-item graph.

TF-GNN's GraphTensor is the data contract; its pool and broadcast operations
are the reference that tests compare with. Training propagates through one
sparse matrix per direction, which gives the same numbers several times
faster.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
import tensorflow_gnn as tfgnn
from tensorflow.python.framework import config as tf_framework_config


class ItemNeighbors(NamedTuple):
    """The heaviest neighbours of each item, by GraphBuilder.

    Attributes:
        items: [num_items, K] int32 item nodes.
        weights: [num_items, K] float32, 0 where an item has fewer than K.
    """

    items: np.ndarray
    weights: np.ndarray


class BipartiteAdjacency:
    """The normalised adjacency of a bipartite graph, in both directions.

    Attributes:
        num_users: user nodes.
        num_items: item nodes.
        edges: [num_edges, 2] int64 (user, item), sorted, without repeats.
        neighbors: of the items, None where the graph has none.
    """

    def __init__(
        self,
        edges: np.ndarray,
        weights: np.ndarray,
        num_users: int,
        num_items: int,
        neighbors: ItemNeighbors | None = None,
    ) -> None:
        """Keeps edges.

        Args:
            edges: [num_edges, 2] int (user, item), in any order.
            weights: [num_edges] float32, 1 / sqrt(deg_u deg_i) for LightGCN.
            num_users: user nodes.
            num_items: item nodes.
            neighbors: of the items.
        """
        order = np.lexsort((edges[:, 1], edges[:, 0]))
        self.edges = np.asarray(edges, np.int64)[order]
        self.num_users, self.num_items = num_users, num_items
        self.neighbors = neighbors
        self._weights = np.asarray(weights, np.float32)[order]
        self._back = np.lexsort((self.edges[:, 0], self.edges[:, 1]))

    @classmethod
    def from_graph(cls, graph: tfgnn.GraphTensor) -> BipartiteAdjacency:
        """Reads node counts, edges, their `weight` and the neighbours."""
        interacts = graph.edge_sets["interacts"]
        num_items = int(graph.node_sets["item"].sizes.numpy()[0])
        neighbors = None
        if "co_occurs" in graph.edge_sets:
            co_occurs = graph.edge_sets["co_occurs"]
            neighbors = neighbor_table(
                _ends(co_occurs), co_occurs["weight"].numpy(), num_items
            )
        return cls(
            _ends(interacts),
            interacts["weight"].numpy(),
            int(graph.node_sets["user"].sizes.numpy()[0]),
            num_items,
            neighbors,
        )

    def propagation(
        self, dropout: float = 0.0, seed: tf.Tensor | None = None
    ) -> Propagation:
        """The two products, with all edges or those a step keeps.

        Args:
            dropout: share of the edges left out; the others are scaled up.
            seed: [2] int32 of the step; None keeps all edges.
        """
        with _repeatable():
            values = tf.constant(self._weights)
            if dropout and seed is not None:
                values = tf.nn.experimental.stateless_dropout(
                    values, rate=dropout, seed=seed
                )
            back = self._back
            return Propagation(
                tf.SparseTensor(
                    self.edges, values, [self.num_users, self.num_items]
                ),
                tf.SparseTensor(
                    self.edges[back][:, ::-1],
                    tf.gather(values, back),
                    [self.num_items, self.num_users],
                ),
            )


class Propagation(NamedTuple):
    """One step of propagation, in both directions, over the same edges."""

    by_user: tf.SparseTensor
    by_item: tf.SparseTensor

    def to_users(self, item_vectors: tf.Tensor) -> tf.Tensor:
        """[num_items, d] to [num_users, d]: weighted sum over neighbours."""
        return _multiply(self.by_user, self.by_item)(item_vectors)

    def to_items(self, user_vectors: tf.Tensor) -> tf.Tensor:
        """[num_users, d] to [num_items, d]: weighted sum over neighbours."""
        return _multiply(self.by_item, self.by_user)(user_vectors)

    def mean_of_layers(
        self, users: tf.Tensor, items: tf.Tensor, num_layers: int
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The mean of E(0) .. E(K) of both sides, E(k + 1) = A E(k).

        By Horner's rule, E(0) + A (E(0) + A (E(0) + ...)), so that no layer
        is kept and no sum has more than two terms. A is symmetric, hence the
        gradient is the same propagation of the gradients that arrive.

        Args:
            users: [num_users, d], E(0).
            items: [num_items, d], E(0).
            num_layers: K.
        """

        def mean(
            users: tf.Tensor, items: tf.Tensor
        ) -> tuple[tf.Tensor, tf.Tensor]:
            user_sum, item_sum = users, items
            for _ in range(num_layers):
                user_sum, item_sum = (
                    users + _times(self.by_user, item_sum),
                    items + _times(self.by_item, user_sum),
                )
            share = 1.0 / (num_layers + 1)
            return user_sum * share, item_sum * share

        @tf.custom_gradient
        def differentiable(
            users: tf.Tensor, items: tf.Tensor
        ) -> tuple[tuple[tf.Tensor, tf.Tensor], Callable[..., tuple]]:
            def gradient(d_users: tf.Tensor, d_items: tf.Tensor) -> tuple:
                return mean(
                    tf.convert_to_tensor(d_users), tf.convert_to_tensor(d_items)
                )

            return mean(users, items), gradient

        return differentiable(users, items) if num_layers else (users, items)


def _ends(edge_set: tfgnn.EdgeSet) -> np.ndarray:
    """[num_edges, 2] source and target nodes."""
    ends = edge_set.adjacency
    return np.stack([ends.source.numpy(), ends.target.numpy()], axis=1)


def neighbor_table(
    ends: np.ndarray, weights: np.ndarray, num_items: int
) -> ItemNeighbors:
    """Edges between items as a table.

    Args:
        ends: [num_edges, 2] int (item, neighbour), items ascending.
        weights: [num_edges] float32.
        num_items: item nodes.
    """
    counts = np.bincount(ends[:, 0], minlength=num_items)
    starts = np.repeat(np.cumsum(counts) - counts, counts)
    places = ends[:, 0], np.arange(len(ends)) - starts
    shape = num_items, max(int(counts.max(initial=0)), 1)
    table = ItemNeighbors(
        np.zeros(shape, np.int32), np.zeros(shape, np.float32)
    )
    table.items[places] = ends[:, 1]
    table.weights[places] = weights
    return table


def symmetric_weights(edges: np.ndarray) -> np.ndarray:
    """[num_edges] float32: 1 / sqrt(deg_u deg_i) of each distinct edge."""
    user_degree = np.bincount(edges[:, 0])[edges[:, 0]]
    item_degree = np.bincount(edges[:, 1])[edges[:, 1]]
    return (1.0 / np.sqrt(user_degree * item_degree)).astype(np.float32)


def _multiply(
    matrix: tf.SparseTensor, transposed: tf.SparseTensor
) -> Callable[[tf.Tensor], tf.Tensor]:
    """Product with `matrix`; the gradient reads the other direction's rows.

    The stock gradient multiplies by the adjoint, whose writes jump through
    memory; the transposed matrix is at hand in row order.
    """

    @tf.custom_gradient
    def product(
        vectors: tf.Tensor,
    ) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
        def gradient(upstream: tf.Tensor) -> tf.Tensor:
            return _times(transposed, upstream)

        return _times(matrix, vectors), gradient

    return product


def _times(matrix: tf.SparseTensor, vectors: tf.Tensor) -> tf.Tensor:
    with _repeatable():
        return tf.sparse.sparse_dense_matmul(matrix, vectors)


def _repeatable() -> contextlib.AbstractContextManager[Any]:
    """Where products run that must round the same way every time.

    TensorFlow's kernel for GPUs adds in any order, and refuses to run where
    `enable_op_determinism` asks for one; the one for CPUs is repeatable. There
    is no public way to ask (TensorFlow 2.16).
    """
    needed = tf_framework_config.is_op_determinism_enabled()
    if needed and tf.config.list_physical_devices("GPU"):
        return tf.device("/CPU:0")
    return contextlib.nullcontext()
