"""Small graphs that the tests of the graph towers share."""

import numpy as np

from models.graph.propagation import (
    BipartiteAdjacency,
    ItemNeighbors,
    symmetric_weights,
)
from models.item_embedding import ItemEmbedding

DIM = 4

#          item 0  1  2
# user 0        x  x
# user 1           x  x
# user 2              x
THREE = np.array([[0, 0], [0, 1], [1, 1], [1, 2], [2, 2]])


def random_edges(num_users=8, num_items=7, share=0.4, seed=0):
    """[n, 2] distinct edges; every user and item has one at least."""
    generator = np.random.default_rng(seed)
    matrix = generator.random((num_users, num_items)) < share
    matrix[np.arange(num_users), np.arange(num_users) % num_items] = True
    matrix[np.arange(num_items) % num_users, np.arange(num_items)] = True
    return np.argwhere(matrix)


def adjacency_of(edges, neighbors=None, num_items=None):
    """The last items of `num_items` have no edge."""
    return BipartiteAdjacency(
        edges,
        symmetric_weights(edges),
        edges[:, 0].max() + 1,
        num_items or edges[:, 1].max() + 1,
        neighbors,
    )


def random_neighbors(num_items, count=3, seed=5):
    """Any table; the last item has one neighbour, the others `count`."""
    generator = np.random.default_rng(seed)
    items = generator.integers(0, num_items, (num_items, count))
    weights = generator.random((num_items, count))
    items[-1, 1:], weights[-1, 1:] = 0, 0.0
    return ItemNeighbors(items.astype(np.int32), weights.astype(np.float32))


def tower_of(encoder, config, adjacency, stddev=0.7):
    """A tower over tables whose scores matter; `encoder` is its class."""
    items = ItemEmbedding(adjacency.num_items, DIM, stddev, seed=1)
    return encoder(items, adjacency, config, stddev, seed=2)


def softplus(values):
    return np.logaddexp(0.0, values)
