"""One training step: losses, gradients, and what they move.

It runs on every replica, each with its share of the step's data.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from models import replicas
from models.compute import Compute, using
from models.config import TrainingConfig
from models.create import Create, LossParts, LossWeights
from models.fitting.parameter_groups import ParameterGroup, clipped, dense


class Data(NamedTuple):
    """What stays on the device for a whole fit.

    Attributes:
        sequences: [num_sequences, max_length] int32, newest right, 0 pads.
        users: [num_sequences] int32 rows of the user table.
    """

    sequences: tf.Tensor
    users: tf.Tensor


class TrainingStep:
    """A step of both towers, and one of the graph tower alone.

    Args:
        model: what is trained.
        config: optimisation.
        groups: what a joint step moves.
        table_groups: what a step of the graph tower moves.
    """

    def __init__(
        self,
        model: Create,
        config: TrainingConfig,
        groups: list[ParameterGroup],
        table_groups: list[ParameterGroup],
    ) -> None:
        self.model = model
        self.config = config
        self.groups = groups
        self.table_groups = table_groups
        self.compute = Compute(config.precision, config.xla)

    def joint(
        self,
        data: Data,
        users: tf.Tensor,
        edges: tf.Tensor,
        seed: tf.Tensor,
        rates: tf.Tensor,
        weights: LossWeights,
    ) -> tuple[LossParts, tf.Tensor]:
        """One step on a replica's share of the users and edges."""
        users = replicas.own(users)
        users = tf.boolean_mask(users, users >= 0)
        batch = tf.gather(data.sequences, users)
        if self.config.batch_by_length:
            longest = tf.reduce_max(
                tf.math.count_nonzero(batch, axis=1, dtype=tf.int32)
            )
            batch = batch[:, -tf.maximum(longest, 2) :]
        with using(self.compute):
            with tf.GradientTape() as tape:
                parts = self.model.joint_loss(
                    batch,
                    tf.gather(data.users, users),
                    replicas.own(edges),
                    seed,
                    weights,
                    self.config.batch_size,
                )
            return self._update(tape, parts, self.groups, rates)

    def graph(
        self,
        edges: tf.Tensor,
        seed: tf.Tensor,
        rates: tf.Tensor,
        weights: LossWeights,
    ) -> tuple[LossParts, tf.Tensor]:
        """One step of the graph tower on a replica's share of the edges."""
        with using(self.compute):
            with tf.GradientTape() as tape:
                parts = self.model.graph_loss(
                    replicas.own(edges), seed, weights
                )
            return self._update(tape, parts, self.table_groups, rates)

    def _update(
        self,
        tape: tf.GradientTape,
        parts: LossParts,
        groups: list[ParameterGroup],
        rates: tf.Tensor,
    ) -> tuple[LossParts, tf.Tensor]:
        """Moves the groups.

        Returns:
            The losses of all replicas together, and the length that their
            gradient had before clipping.
        """
        variables = [v for group in groups for v in group.trained]
        gradients = tape.gradient(
            parts.total,
            variables,
            unconnected_gradients=tf.UnconnectedGradients.ZERO,
        )
        gradients, losses = replicas.total(
            (dense(gradients), tf.stack(list(parts)))
        )
        gradients, norm = clipped(gradients, self.config.clip_norm)
        own = iter(gradients)
        for group in groups:
            group.apply(
                [next(own) for _ in group.trained],
                rates[group.column],
                self.config.weight_decay,
            )
        return LossParts(*tf.unstack(losses, len(parts))), norm
