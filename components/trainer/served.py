"""What of a trained model is exported: neither user table nor graph."""

from __future__ import annotations

import tensorflow as tf

from models.create import Create
from models.graph.tower import fold_in_users
from models.sequential.tower import SequentialTower
from models.warm_graph import Fused, Recommender, user_vectors


class ServedEncoder(tf.Module):
    """What is exported: the sequential tower, without users and graph.

    Where the graph of the warm-up recommends beside it, with the vectors that
    it folds histories in by.
    """

    def __init__(
        self, tower: SequentialTower, recommender: Recommender
    ) -> None:
        super().__init__()
        self.tower = tower
        self.table = tf.Variable(recommender.table, trainable=False)
        fused = recommender.fused or ()
        self.fused = [tf.Variable(part, trainable=False) for part in fused]

    def __call__(self, items: tf.Tensor) -> tf.Tensor:
        """[batch, length] item numbers to user vectors."""
        table = tf.convert_to_tensor(self.table)
        fused = None
        if self.fused:
            fused = Fused(*(tf.convert_to_tensor(part) for part in self.fused))
        return user_vectors(self.tower, items, table, fused)


class ServedFoldIn(tf.Module):
    """What is exported of a graph tower alone: one vector per known item."""

    def __init__(self, history: tf.Tensor) -> None:
        super().__init__()
        self.history = tf.Variable(history, trainable=False)

    def __call__(self, items: tf.Tensor) -> tf.Tensor:
        """[batch, length] item numbers to [batch, d] user vectors."""
        return fold_in_users(tf.convert_to_tensor(self.history), items)


def served(model: Create) -> tuple[tf.Module, tf.Tensor]:
    """The encoder of histories and the item vectors that it meets."""
    if model.sequential is not None:
        recommender = model.recommender()
        return ServedEncoder(model.sequential, recommender), recommender.items
    assert model.graph is not None
    tables = model.graph.fold_in()
    return ServedFoldIn(tables.history), tables.items
