"""Compiled epochs: every step of an epoch in one TensorFlow function."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from models.config import TrainingConfig
from models.create import Create, LossParts, LossWeights
from models.input_pipeline import (
    Sequences,
    batches_by_length,
    right_aligned,
    shuffled_batches,
    spread_over_batches,
)

# numbers of the order in which `Steps.joint_epoch` returns its means
LOSSES = ("total", "local", "global", "alignment")
_SEQUENCES, _EDGES, _GRAPH_EDGES = 0, 1, 2


class Steps(tf.Module):
    """Runs epochs of a model over data that stays on the device.

    The shared item table and the user table have one optimiser, the
    sequential tower another: Adam's bias correction of the tower then starts
    with its own first step and not with the first step of the warm-up, while
    the tables keep their moments across the switch.
    """

    def __init__(
        self, model: Create, config: TrainingConfig, sequences: Sequences
    ) -> None:
        super().__init__()
        self.model = model
        self.config = config
        length = model.config.sequential.max_length
        self._sequences = tf.constant(
            right_aligned(sequences.items, sequences.offsets, length)
        )
        self._lengths = np.minimum(np.diff(sequences.offsets), length)
        self._users = tf.constant(sequences.users, tf.int32)
        self.num_edges = len(model.graph.adjacency.edges) if model.graph else 0
        self.tables = [model.items.table]
        if model.graph is not None:
            self.tables.append(model.graph.users)
        shared = {id(variable) for variable in self.tables}
        self.tower = [
            variable
            for variable in (
                model.sequential.trainable_variables if model.sequential else ()
            )
            if id(variable) not in shared
        ]
        self._weights = LossWeights(
            tf.constant(model.config.global_weight, tf.float32),
            tf.constant(model.config.alignment_weight, tf.float32),
        )
        self.table_optimizer = _adam(config, self.tables)
        self.tower_optimizer = _adam(config, self.tower)

    def run_epoch(self, epoch: int, warmup: bool) -> dict[str, float]:
        """Trains one epoch.

        Args:
            epoch: its number from 1; with the seed it determines the order
                of the data and all random draws.
            warmup: whether only the graph tower trains; without a
                sequential tower that is always so.

        Returns:
            Mean of each of `LOSSES` over the steps.
        """
        seed = self.config.seed
        number = tf.constant(epoch)
        if warmup or self.model.sequential is None:
            batches = shuffled_batches(
                self.num_edges,
                self.model.config.graph.batch_size,
                seed,
                epoch,
                _GRAPH_EDGES,
            )
            means = self._graph_epoch(tf.constant(batches), number)
        else:
            order = shuffled_batches(
                len(self._lengths),
                self.config.batch_size,
                seed,
                epoch,
                _SEQUENCES,
            )
            if self.config.batch_by_length:
                order = batches_by_length(order, self._lengths, seed, epoch)
            # every edge once per epoch, spread evenly over the steps
            edges = spread_over_batches(
                self.num_edges, len(order), seed, epoch, _EDGES
            )
            means = self._joint_epoch(
                tf.constant(order), tf.constant(edges), number
            )
        return dict(zip(LOSSES, (float(mean) for mean in means), strict=True))

    @tf.function(reduce_retracing=True)
    def _joint_epoch(
        self, order: tf.Tensor, edges: tf.Tensor, epoch: tf.Tensor
    ) -> tf.Tensor:
        sums = tf.zeros([len(LOSSES)])
        steps = tf.shape(order)[0]
        for step in tf.range(steps):
            users = tf.boolean_mask(order[step], order[step] >= 0)
            batch = tf.gather(self._sequences, users)
            if self.config.batch_by_length:
                longest = tf.reduce_max(
                    tf.math.count_nonzero(batch, axis=1, dtype=tf.int32)
                )
                batch = batch[:, -tf.maximum(longest, 2) :]
            with tf.GradientTape() as tape:
                parts = self.model.joint_loss(
                    batch,
                    tf.gather(self._users, users),
                    edges[step],
                    self._step_seed(epoch, step),
                    self._weights,
                )
            variables = self.tables + self.tower
            gradients = _dense(tape.gradient(parts.total, variables))
            gradients, _ = tf.clip_by_global_norm(
                gradients, self.config.clip_norm
            )
            split = len(self.tables)
            self._apply(self.table_optimizer, gradients[:split], self.tables)
            self._apply(self.tower_optimizer, gradients[split:], self.tower)
            sums += _stack(parts)
        return sums / tf.cast(steps, tf.float32)

    @tf.function(reduce_retracing=True)
    def _graph_epoch(self, edges: tf.Tensor, epoch: tf.Tensor) -> tf.Tensor:
        sums = tf.zeros([len(LOSSES)])
        steps = tf.shape(edges)[0]
        for step in tf.range(steps):
            with tf.GradientTape() as tape:
                parts = self.model.graph_loss(
                    edges[step], self._step_seed(epoch, step), self._weights
                )
            gradients = _dense(tape.gradient(parts.total, self.tables))
            gradients, _ = tf.clip_by_global_norm(
                gradients, self.config.clip_norm
            )
            self._apply(self.table_optimizer, gradients, self.tables)
            sums += _stack(parts)
        return sums / tf.cast(steps, tf.float32)

    def _step_seed(self, epoch: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
        """[2] int32, different for every step of a fit."""
        return tf.random.experimental.stateless_fold_in(
            tf.stack([tf.constant(self.config.seed), epoch]), step
        )

    def _apply(
        self,
        optimizer: tf.keras.optimizers.legacy.Optimizer,
        gradients: list[tf.Tensor],
        variables: list[tf.Variable],
    ) -> None:
        if self.config.weight_decay:
            rate = self.config.learning_rate * self.config.weight_decay
            for variable in variables:
                variable.assign_sub(rate * variable)
        optimizer.apply_gradients(zip(gradients, variables, strict=True))


def _dense(gradients: list) -> list[tf.Tensor]:
    """One tensor each: the norm of slices is wrong where rows repeat."""
    return [tf.convert_to_tensor(gradient) for gradient in gradients]


def _adam(
    config: TrainingConfig, variables: list[tf.Variable]
) -> tf.keras.optimizers.legacy.Adam:
    """Adam with its slots created: inside a compiled loop it is too late.

    The legacy class runs one fused operation per variable; the newer one
    builds the update of many small ones, which costs on large tables.
    """
    optimizer = tf.keras.optimizers.legacy.Adam(
        config.learning_rate, epsilon=1e-8
    )
    optimizer.apply_gradients(
        [(tf.zeros_like(variable), variable) for variable in variables]
    )
    # the zero step has moved nothing; it must not count either
    optimizer.iterations.assign(0)
    return optimizer


def _stack(parts: LossParts) -> tf.Tensor:
    return tf.stack([parts.total, parts.local, parts.global_, parts.alignment])
