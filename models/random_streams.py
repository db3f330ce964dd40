"""Which numbers of a fit's seed every random draw is made from.

Two draws from the same numbers would repeat each other, so each kind has
numbers of its own, all of them here. A seed stands for what it drew when a
figure was published: no number may change, new draws take free ones.

The order of the data is drawn once per epoch by NumPy, from (seed, epoch) and
the number of a stream (`order`):

    0     SEQUENCES        which sequences make which batch
    1     EDGES            the graph's edges over the joint steps
    2     GRAPH_EDGES      the graph's edges in steps of the graph alone
    99    BATCHES          the batches, after sequences of like length met

A step draws with TensorFlow from its own seed (`step_seed`). Dropout of
positions takes that seed as it is; every other draw first folds a number of
its stream into it (`Stream.seed`), so it meets neither dropout nor another:

    0     REPLICAS         the seed of replica 0, 1, ... where several share
                           a step; what follows is drawn from that again,
                           but for shared negatives and dropped edges, which
                           are the same on all
    1000  NEGATIVES        items to compare the edges with, a number per
                           attempt
    1100  DROPPED_EDGES    LightGCN's edges left out
    2000  MASKS            the positions that BERT4Rec has to guess
    2001  LAST_MASKS       the sequences of which it is the last one alone
    2002  USER_VECTORS     the seed of BERT4Rec's pass for the user vectors,
                           which draws all its dropout from it
    3000  ATTENTION        dropout of attention weights, a number per block
    4000  BUCKETS          centres of scalable cross-entropy

Start values of variables are no part of this: `models.create` gives every
tower numbers of its own, which are drawn from once (tests/models/
test_random_streams.py holds that no two variables start alike).
"""

from __future__ import annotations

import dataclasses

import numpy as np
import tensorflow as tf

# of an epoch
SEQUENCES = 0
EDGES = 1
GRAPH_EDGES = 2
BATCHES = 99


@dataclasses.dataclass(frozen=True)
class Stream:
    """Numbers of a step's seed that one kind of draw may take.

    Attributes:
        start: the first.
        size: how many from there on.
    """

    start: int
    size: int = 1

    def seed(self, seed: tf.Tensor, number: int | tf.Tensor = 0) -> tf.Tensor:
        """The seed of one draw.

        Args:
            seed: [2] int32 of the step.
            number: of the draw, from 0 and below `size`.

        Returns:
            [2] int32.

        Raises:
            ValueError: a number that another stream may have.
        """
        if isinstance(number, int) and not 0 <= number < self.size:
            raise ValueError(
                f"Draw {number} lies outside of the {self.size} numbers that "
                f"the random stream at {self.start} has."
            )
        return tf.random.experimental.stateless_fold_in(
            seed, self.start + number
        )


# of a step
REPLICAS = Stream(0, size=1000)
NEGATIVES = Stream(1000, size=100)
DROPPED_EDGES = Stream(1100)
MASKS = Stream(2000)
LAST_MASKS = Stream(2001)
USER_VECTORS = Stream(2002)
ATTENTION = Stream(3000, size=1000)
BUCKETS = Stream(4000)


def order(seed: int, epoch: int, stream: int) -> np.random.Generator:
    """What draws the order of an epoch's data.

    Args:
        seed: of the fit.
        epoch: of the fit, below 2**32.
        stream: one of those of an epoch.
    """
    return np.random.Generator(
        np.random.Philox(key=[seed, (stream << 32) + epoch])
    )


def step_seed(seed: int, epoch: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
    """The seed of a step, different for every step of a fit.

    Args:
        seed: of the fit.
        epoch: scalar int32, of the fit.
        step: scalar int32, of the epoch.

    Returns:
        [2] int32.
    """
    return tf.random.experimental.stateless_fold_in(
        tf.stack([tf.constant(seed), epoch]), step
    )
