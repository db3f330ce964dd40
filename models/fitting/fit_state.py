"""Everything a fit needs to continue, saved after every epoch."""

from __future__ import annotations

import json

import tensorflow as tf

from models.fitting.compiled_epoch import CompiledEpoch
from models.fitting.schedule import Record


class FitState:
    """Model, optimisers and records of a fit, on disk where it has a folder.

    What a fit does next is a function of these alone: all that is random
    comes from the seed and the number of the epoch.

    Args:
        compiled: the fit; takes the state of the folder's newest checkpoint.
        directory: of the checkpoints, None keeps none. Where several
            machines train, all must reach it; the first writes.
    """

    def __init__(self, compiled: CompiledEpoch, directory: str | None) -> None:
        self.epochs: list[Record] = []
        self._json = tf.Variable("[]", dtype=tf.string, shape=[])
        self._manager: tf.train.CheckpointManager | None = None
        self._writes = compiled.devices.is_chief
        if directory is None:
            return
        checkpoint = tf.train.Checkpoint(
            model=compiled.model,
            epochs=self._json,
            **{group.name: group.optimizer for group in compiled.groups},
        )
        # two are kept: a kill while one is written leaves the other
        self._manager = tf.train.CheckpointManager(
            checkpoint, directory, max_to_keep=2
        )
        if self._manager.latest_checkpoint:
            checkpoint.restore(
                self._manager.latest_checkpoint
            ).assert_consumed()
            self.epochs = json.loads(self._json.numpy())

    def append(self, record: Record) -> None:
        """Takes the record of an epoch that has ended, and saves."""
        self.epochs.append(record)
        if self._manager is not None and self._writes:
            self._json.assign(json.dumps(self.epochs))
            self._manager.save(checkpoint_number=record["epoch"])
