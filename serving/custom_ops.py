"""TensorFlow operations that a SavedModel needs and TensorFlow has not.

A model with the index `scann` holds ScaNN's operations. They exist once the
package is imported, which must happen before the model is loaded.

Must stay importable without TensorFlow, for what starts before it is loaded.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
from typing import Any

from serving.assets_extra import MODEL_FILE
from serving.config import EXACT, SCANN

FIX = "pip install scann==1.3.2"


class MissingOpsError(ValueError):
    """A model, or a setting, needs a package that is not there."""


def index_of(directory: str) -> dict[str, Any]:
    """What `assets.extra/model.json` says of the index of a SavedModel.

    Args:
        directory: of the SavedModel, local or remote.

    Returns:
        `kind` (exact or scann) and the settings of that kind; exact where
        the file is missing or not of this repository's making.
    """
    import tensorflow as tf

    path = os.path.join(directory, MODEL_FILE)
    index: Any = None
    if tf.io.gfile.exists(path):
        with tf.io.gfile.GFile(path, "rb") as file:
            try:
                facts = json.loads(file.read())
            except ValueError:
                facts = None  # Somebody else's file of that name.
        index = facts.get("index") if isinstance(facts, dict) else None
    return index if isinstance(index, dict) else {"kind": EXACT}


def register(directory: str) -> None:
    """Makes the operations known that the SavedModel in `directory` needs.

    Call it before `tf.saved_model.load`.

    Raises:
        MissingOpsError: their package is missing; the message has the fix.
    """
    if index_of(directory).get("kind") == SCANN:
        load_scann(f"The SavedModel in {directory} has the index `scann`")


def check_scann(needed_by: str) -> None:
    """Fails where the package is missing, without loading it.

    Args:
        needed_by: beginning of the message: who wants the package.

    Raises:
        MissingOpsError: it is missing; the message has the fix.
    """
    if importlib.util.find_spec("scann") is None:
        raise MissingOpsError(
            f"{needed_by}, but the package scann, which has its operations, "
            f"is not installed. Fix: {FIX} (an image: --build-arg INDEX=scann)"
        )


def load_scann(needed_by: str) -> None:
    """Imports ScaNN's operations.

    Args:
        needed_by: beginning of the message: who wants the package.

    Raises:
        MissingOpsError: the package is missing, or made for another
            TensorFlow; the message has the fix.
    """
    check_scann(needed_by)
    import tensorflow as tf

    try:
        importlib.import_module("scann.scann_ops.py.scann_ops")
    except (ImportError, OSError, tf.errors.OpError) as error:
        raise MissingOpsError(
            f"{needed_by}, but the package scann does not load with "
            f"TensorFlow {tf.__version__}: {error}. Fix: {FIX}"
        ) from error
