"""What the graph knew at the end of its warm-up, kept for recommending.

Not in the paper, where the sequential tower alone recommends. Joint training
moves the shared items to where the transformer wants them, and what the graph
alone had learned is lost (docs/models.md shows how much it was worth). With
`model.warm_graph_weight` above 0 the graph's vectors of that moment are kept
as they are, and both towers recommend: an item's score is

    z(h_u . e_i) + warm_graph_weight z(g_u . g_i)

where g_u is the user as the graph folds in the history, and z makes the scores
of a user over the catalogue have standard deviation 1 (their mean moves all
items alike). All of it is one product of a user vector and an item vector,
twice as wide: no user table and no graph are served, and indices of nearest
neighbours work as before.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from models.graph.tower import FoldIn, fold_in_users
from models.sequential.tower import SequentialTower


class Fused(NamedTuple):
    """What is needed to put the graph beside the sequential tower.

    Attributes:
        history: [num_items, d] of `FoldIn`.
        states_covariance: [d, d] of the items that h_u meets.
        graph_covariance: [d, d] of the items that g_u meets.
    """

    history: tf.Tensor
    states_covariance: tf.Tensor
    graph_covariance: tf.Tensor


class Recommender(NamedTuple):
    """All that recommending takes besides the weights of the tower.

    Attributes:
        table: [num_items, d] items that the sequential tower reads.
        items: [num_items, d], or [num_items, 2 d] with `fused`: user vectors
            meet them in a product.
        fused: None where the sequential tower recommends alone.
    """

    table: tf.Tensor
    items: tf.Tensor
    fused: Fused | None = None


class WarmGraph(tf.keras.layers.Layer):
    """The kept vectors; zeros, which say nothing, until `keep`.

    Args:
        num_items: size of the catalogue.
        dim: d.
        weight: of the graph's scores beside the tower's.
    """

    def __init__(self, num_items: int, dim: int, weight: float) -> None:
        super().__init__(name="warm_graph")
        self.weight = weight
        self.history, self.items = (
            self.add_weight(
                name=name,
                shape=(num_items, dim),
                initializer="zeros",
                trainable=False,
            )
            for name in ("history", "items")
        )

    def keep(self, tables: FoldIn) -> None:
        """Takes the vectors of the graph as it is now."""
        self.history.assign(tables.history)
        self.items.assign(tables.items)

    def beside(self, table: tf.Tensor) -> Recommender:
        """Both towers, the sequential one over [num_items, d] `table`."""
        kept = tf.convert_to_tensor(self.items)
        return Recommender(
            table,
            tf.concat([table, self.weight * kept], axis=1),
            Fused(
                tf.convert_to_tensor(self.history),
                covariance(table),
                covariance(kept),
            ),
        )


def covariance(items: tf.Tensor) -> tf.Tensor:
    """[d, d] covariance of [num_items, d] vectors over the catalogue."""
    centred = items - tf.reduce_mean(items, axis=0)
    count = tf.cast(tf.shape(items)[0], items.dtype)
    return tf.matmul(centred, centred, transpose_a=True) / count


def with_unit_scores(users: tf.Tensor, covariance: tf.Tensor) -> tf.Tensor:
    """Scales users so that their scores have standard deviation 1.

    Args:
        users: [batch, d].
        covariance: [d, d] of the items that they meet.

    Returns:
        [batch, d]; zeros where all items have the same score.
    """
    variance = tf.reduce_sum(tf.matmul(users, covariance) * users, axis=1)
    deviation = tf.sqrt(tf.maximum(variance, 0.0))[:, tf.newaxis]
    return tf.math.divide_no_nan(users, deviation)


def user_vectors(
    tower: SequentialTower,
    histories: tf.Tensor,
    table: tf.Tensor,
    fused: Fused | None,
) -> tf.Tensor:
    """Users as the items of a `Recommender` meet them.

    Args:
        tower: encodes histories.
        histories: [batch, length] int item numbers, newest in the last
            column, 0 pads on the left. The tower and the graph see as many
            of the newest as the tower can take.
        table: of the recommender.
        fused: of the recommender.

    Returns:
        [batch, d or 2 d] float32.
    """
    states = tower.last_state(histories, table)
    if fused is None:
        return states
    folded = fold_in_users(fused.history, histories[:, -tower.max_inputs :])
    return tf.concat(
        [
            with_unit_scores(states, fused.states_covariance),
            with_unit_scores(folded, fused.graph_covariance),
        ],
        axis=1,
    )
