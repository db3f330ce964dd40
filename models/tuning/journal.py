"""Optuna's journal of a search, wherever the search is kept.

Optuna appends to a file and locks it, which object stores cannot do. There the
journal is a local copy, written back whenever a trial has ended; a trial that
a kill interrupts is then asked for once more, with the same values.
"""

from __future__ import annotations

import os
import tempfile

import tensorflow as tf
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

_FILE = "study.journal"


class Journal:
    """The storage of the studies of a search.

    Args:
        directory: of the search, a folder or a URI that TensorFlow knows
            (gs://, s3:// with tensorflow-io); is made where it is missing.
    """

    def __init__(self, directory: str) -> None:
        tf.io.gfile.makedirs(directory)
        self._kept = os.path.join(directory, _FILE)
        self._local = self._kept
        if "://" in directory:
            # lives as long as the search
            self._folder = tempfile.TemporaryDirectory()
            self._local = os.path.join(self._folder.name, _FILE)
            if tf.io.gfile.exists(self._kept):
                tf.io.gfile.copy(self._kept, self._local)
        self.storage = JournalStorage(JournalFileBackend(self._local))

    def save(self) -> None:
        """Keeps what the trials so far have told."""
        if self._local == self._kept:
            return
        # a kill while it is written leaves the one before
        new = f"{self._kept}.new"
        tf.io.gfile.copy(self._local, new, overwrite=True)
        tf.io.gfile.rename(new, self._kept, overwrite=True)
