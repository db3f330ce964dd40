"""A small catalogue with an encoder simple enough for numpy."""

import dataclasses

import numpy as np
import tensorflow as tf

from serving import export


class MeanEncoder(tf.Module):
    """Mean of the items' vectors; fails on rows without an item."""

    def __init__(self, item_vectors):
        super().__init__()
        self.table = tf.Variable(
            np.vstack([0 * item_vectors[:1], item_vectors])
        )
        self.never_read = tf.Variable(tf.zeros([321, 8]))

    def __call__(self, rows):
        known = tf.cast(rows > 0, tf.float32)
        count = tf.reduce_sum(known, axis=1)
        with tf.control_dependencies([tf.debugging.assert_positive(count)]):
            total = tf.reduce_sum(tf.gather(self.table, rows), axis=1)
        return total / count[:, tf.newaxis]


@dataclasses.dataclass
class Catalogue:
    item_ids: list
    item_vectors: np.ndarray
    popular_items: np.ndarray
    max_history: int = 5

    def export(self, directory, **changes):
        arguments = {
            "encode": MeanEncoder(self.item_vectors),
            "item_vectors": self.item_vectors,
            "item_ids": self.item_ids,
            "popular_items": self.popular_items,
            "max_history": self.max_history,
            "version_info": {"run": "test"},
        }
        export.export_saved_model(str(directory), **{**arguments, **changes})

    def expected(self, history, exclude=(), k=10):
        """What one user must get: ids and scores, by loops and numpy."""
        known = [self.item_ids.index(i) for i in history if i in self.item_ids]
        newest = known[-self.max_history :]
        if newest:
            mean = self.item_vectors[newest].mean(axis=0)
            scores = self.item_vectors @ mean
        else:
            rest = [i for i in range(40) if i not in self.popular_items]
            scores = np.zeros(40)
            for rank, i in enumerate([*self.popular_items, *rest], start=1):
                scores[i] = 1 / rank
        order = [
            i
            for i in np.argsort(-scores, kind="stable")
            if self.item_ids[i] not in exclude
        ][:k]
        missing = min(k, 40) - len(order)
        return (
            [self.item_ids[i] for i in order] + [b""] * missing,
            [scores[i] for i in order] + [-np.inf] * missing,
        )


def make_catalogue():
    random = np.random.default_rng(7)
    return Catalogue(
        item_ids=[f"item {i:02d} ü".encode() for i in range(40)],
        item_vectors=random.normal(size=(40, 8)).astype(np.float32),
        popular_items=random.permutation(40)[:25].astype(np.int32),
    )
