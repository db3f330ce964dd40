"""The epoch, compiled: all its steps in one TensorFlow function."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from models.config import TrainingConfig
from models.config.weights import weight_at
from models.create import Create, LossWeights
from models.fitting import epoch_result
from models.fitting.epoch_result import EpochResult, Measured
from models.fitting.input_pipeline import (
    Sequences,
    batches_by_length,
    right_aligned,
    shuffled_batches,
    spread_over_batches,
)
from models.fitting.parameter_groups import SEQUENTIAL_TOWER, parameter_groups
from models.fitting.rates import rates_of_epoch
from models.fitting.step import Data, TrainingStep
from models.fitting.validation import Validator
from models.random_streams import EDGES, GRAPH_EDGES, SEQUENCES, step_seed
from models.replicas import Replicas


class _Inputs(NamedTuple):
    """Tensors that change from epoch to epoch: no reason to compile again.

    Attributes:
        epoch: number of the epoch.
        steps: how many of the batches to train on.
        rates: [batches, groups] learning rates.
        weights: of the losses.
    """

    epoch: tf.Tensor
    steps: tf.Tensor
    rates: tf.Tensor
    weights: LossWeights


class CompiledEpoch(tf.Module):
    """Runs epochs of a model over data that stays on the device.

    Each phase is traced in its first epoch; what differs from one epoch to the
    next is a tensor.

    Args:
        model: what is trained, made in the scope of `devices`.
        config: optimisation.
        sequences: histories.
        devices: that share each step, one by default.

    Raises:
        ValueError: there is nothing to train on.
    """

    def __init__(
        self,
        model: Create,
        config: TrainingConfig,
        sequences: Sequences,
        devices: Replicas | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.config = config
        self.devices = devices or Replicas()
        length = model.config.sequential.max_length
        self._lengths = np.minimum(np.diff(sequences.offsets), length)
        self._data = Data(
            *self.devices.placed(
                [
                    tf.constant(
                        right_aligned(
                            sequences.items, sequences.offsets, length
                        )
                    ),
                    tf.constant(sequences.users, tf.int32),
                ]
            )
        )
        self.num_edges = len(model.graph.adjacency.edges) if model.graph else 0
        self._check_data()
        self.groups = parameter_groups(model, self.devices)
        # what the graph's loss alone can move
        self.table_groups = [
            group for group in self.groups if group.name != SEQUENTIAL_TOWER
        ]
        self._step = TrainingStep(model, config, self.groups, self.table_groups)
        self.validator = Validator(model)

    def run(
        self,
        epoch: int,
        warmup: bool,
        phase_epoch: int | None = None,
        max_steps: int | None = None,
    ) -> EpochResult:
        """Trains one epoch.

        Args:
            epoch: its number from 1; with the seed it determines the order
                of the data and all random draws.
            warmup: whether only the graph tower trains; without a
                sequential tower that is always so.
            phase_epoch: its number within its phase, for the schedules of
                rates and weights; `epoch` where there is one phase.
            max_steps: where it ends early, None after all its data.
        """
        alone = warmup or self.model.sequential is None
        groups = self.table_groups if alone else self.groups
        draw = self._graph_batches if alone else self._joint_batches
        batches = draw(epoch)
        phase_epoch = epoch if phase_epoch is None else phase_epoch
        whole = len(batches[0])
        steps = whole if max_steps is None else min(whole, max_steps)
        rates = rates_of_epoch(self.config, warmup, phase_epoch, whole)
        weights = self.weights(0 if warmup else phase_epoch)
        inputs = _Inputs(
            tf.constant(epoch),
            tf.constant(steps),
            tf.constant(rates),
            LossWeights(
                tf.constant(weights["global"], tf.float32),
                tf.constant(weights["alignment"], tf.float32),
            ),
        )
        numbers = map(tf.constant, batches)
        if alone:
            measured = self._graph_epoch(*numbers, inputs)
        else:
            measured = self._joint_epoch(*numbers, inputs, self._data)
        last = {g.name: float(rates[steps - 1, g.column]) for g in groups}
        return epoch_result.result(measured, steps, last, weights)

    def weights(self, phase_epoch: int) -> dict[str, float]:
        """Of the losses in an epoch of the main phase, 0: in the warm-up."""
        config = self.model.config
        return {
            "global": weight_at(config.global_weight, phase_epoch),
            "alignment": weight_at(config.alignment_weight, phase_epoch),
        }

    def restart_table_moments(self) -> None:
        """Starts Adam of both tables anew."""
        for group in self.table_groups:
            group.restart_moments()

    def _graph_batches(self, epoch: int) -> list[np.ndarray]:
        size, seed = self.model.config.graph.batch_size, self.config.seed
        return [
            shuffled_batches(self.num_edges, size, seed, epoch, GRAPH_EDGES)
        ]

    def _joint_batches(self, epoch: int) -> list[np.ndarray]:
        seed = self.config.seed
        order = shuffled_batches(
            len(self._lengths), self.config.batch_size, seed, epoch, SEQUENCES
        )
        if self.config.batch_by_length:
            order = batches_by_length(order, self._lengths, seed, epoch)
        # every edge once per epoch, spread evenly over the steps
        edges = spread_over_batches(
            self.num_edges, len(order), seed, epoch, EDGES
        )
        return [order, edges]

    @tf.function(reduce_retracing=True)
    def _joint_epoch(
        self, order: tf.Tensor, edges: tf.Tensor, inputs: _Inputs, data: Data
    ) -> Measured:
        measured = epoch_result.nothing(inputs.steps)
        for step in tf.range(inputs.steps):
            tf.autograph.experimental.set_loop_options(parallel_iterations=1)
            parts, norm = self.devices.run(
                self._step.joint,
                data,
                order[step],
                edges[step],
                step_seed(self.config.seed, inputs.epoch, step),
                inputs.rates[step],
                inputs.weights,
            )
            measured = epoch_result.add(
                measured, parts, norm, self.config.clip_norm, step
            )
        return measured

    @tf.function(reduce_retracing=True)
    def _graph_epoch(self, edges: tf.Tensor, inputs: _Inputs) -> Measured:
        measured = epoch_result.nothing(inputs.steps)
        for step in tf.range(inputs.steps):
            tf.autograph.experimental.set_loop_options(parallel_iterations=1)
            parts, norm = self.devices.run(
                self._step.graph,
                edges[step],
                step_seed(self.config.seed, inputs.epoch, step),
                inputs.rates[step],
                inputs.weights,
            )
            measured = epoch_result.add(
                measured, parts, norm, self.config.clip_norm, step
            )
        return measured

    def _check_data(self) -> None:
        if self.model.graph is not None and not self.num_edges:
            raise ValueError(
                "The graph of this fit has no edge to train on. Use more "
                "data, or set `model.graph.encoder` to none."
            )
        if self.model.sequential is None:
            return
        longest = self._lengths.max(initial=0)
        if longest < 2:
            raise ValueError(
                "No history to train on has two events, so there is no next "
                f"item to predict: {len(self._lengths)} histories, the "
                f"longest has {longest}. Use more data, or set "
                "`model.sequential.encoder` to none."
            )
