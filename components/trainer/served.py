"""What of a trained model is exported: neither user table nor graph."""

from __future__ import annotations

import tensorflow as tf

from models.create import Create
from models.graph.tower import fold_in_users
from models.sequential.tower import SequentialTower


class ServedEncoder(tf.Module):
    """What is exported: the sequential tower, without users and graph."""

    def __init__(self, tower: SequentialTower, table: tf.Tensor) -> None:
        super().__init__()
        self.tower = tower
        self.table = tf.Variable(table, trainable=False)

    def __call__(self, items: tf.Tensor) -> tf.Tensor:
        """[batch, length] item numbers to [batch, d] user vectors."""
        return self.tower.last_state(items, tf.convert_to_tensor(self.table))


class ServedFoldIn(tf.Module):
    """What is exported of a graph tower alone: one vector per known item."""

    def __init__(self, history: tf.Tensor) -> None:
        super().__init__()
        self.history = tf.Variable(history, trainable=False)

    def __call__(self, items: tf.Tensor) -> tf.Tensor:
        """[batch, length] item numbers to [batch, d] user vectors."""
        return fold_in_users(tf.convert_to_tensor(self.history), items)


def served(model: Create) -> tuple[tf.Module, tf.Tensor]:
    """The encoder of histories and the [num_items, d] vectors it meets."""
    if model.sequential is not None:
        table = model.item_table()
        return ServedEncoder(model.sequential, table), table
    assert model.graph is not None
    tables = model.graph.fold_in()
    return ServedFoldIn(tables.history), tables.items
