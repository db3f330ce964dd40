"""Sparse propagation over the user-item graph.

TF-GNN's GraphTensor is the data contract; its pool and broadcast operations
are the reference that tests compare with. Training propagates through one
sparse matrix per direction, which gives the same numbers several times
faster.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf
import tensorflow_gnn as tfgnn


class BipartiteAdjacency:
    """The normalised adjacency of a bipartite graph, in both directions.

    Attributes:
        num_users: user nodes.
        num_items: item nodes.
        edges: [num_edges, 2] int64 (user, item), sorted, without repeats.
    """

    def __init__(
        self,
        edges: np.ndarray,
        weights: np.ndarray,
        num_users: int,
        num_items: int,
    ) -> None:
        """Keeps edges.

        Args:
            edges: [num_edges, 2] int (user, item), in any order.
            weights: [num_edges] float32, 1 / sqrt(deg_u deg_i) for LightGCN.
            num_users: user nodes.
            num_items: item nodes.
        """
        order = np.lexsort((edges[:, 1], edges[:, 0]))
        self.edges = np.asarray(edges, np.int64)[order]
        self.num_users, self.num_items = num_users, num_items
        weights = np.asarray(weights, np.float32)[order]
        self._to_users = tf.SparseTensor(
            self.edges, weights, [num_users, num_items]
        )
        back = np.lexsort((self.edges[:, 0], self.edges[:, 1]))
        self._to_items = tf.SparseTensor(
            self.edges[back][:, ::-1], weights[back], [num_items, num_users]
        )

    @classmethod
    def from_graph(cls, graph: tfgnn.GraphTensor) -> BipartiteAdjacency:
        """Reads node counts, edges and the edge feature `weight`."""
        interacts = graph.edge_sets["interacts"]
        edges = np.stack(
            [
                interacts.adjacency.source.numpy(),
                interacts.adjacency.target.numpy(),
            ],
            axis=1,
        )
        return cls(
            edges,
            interacts["weight"].numpy(),
            int(graph.node_sets["user"].sizes.numpy()[0]),
            int(graph.node_sets["item"].sizes.numpy()[0]),
        )

    def to_users(self, item_vectors: tf.Tensor) -> tf.Tensor:
        """[num_items, d] to [num_users, d]: weighted sum over neighbours."""
        return _multiply(self._to_users, self._to_items)(item_vectors)

    def to_items(self, user_vectors: tf.Tensor) -> tf.Tensor:
        """[num_users, d] to [num_items, d]: weighted sum over neighbours."""
        return _multiply(self._to_items, self._to_users)(user_vectors)


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
            return tf.sparse.sparse_dense_matmul(transposed, upstream)

        return tf.sparse.sparse_dense_matmul(matrix, vectors), gradient

    return product
