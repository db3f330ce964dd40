"""A made-up model of any size, and requests for it."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import tensorflow as tf

from serving import export, warmup

DIM = 64
HISTORY = 50
MODEL_NAME = "create"


class MeanEncoder(tf.Module):
    """Mean of the items' vectors: next to nothing beside the ranking."""

    def __init__(self, item_vectors: np.ndarray) -> None:
        super().__init__()
        padding = np.zeros((1, DIM), np.float32)
        self.table = tf.Variable(np.vstack([padding, item_vectors]))

    def __call__(self, rows: tf.Tensor) -> tf.Tensor:
        """[batch, HISTORY] rows to [batch, DIM] vectors."""
        return tf.reduce_mean(tf.gather(self.table, rows), axis=1)


def write(directory: Path, num_items: int, seed: int) -> None:
    """Exports a model with `num_items` random vectors."""
    random = np.random.default_rng(seed)
    vectors = random.normal(size=(num_items, DIM)).astype(np.float32)
    export.export_saved_model(
        str(directory),
        encode=MeanEncoder(vectors),
        item_vectors=vectors,
        item_ids=item_ids(np.arange(num_items)),
        popular_items=np.arange(min(num_items, 1000)),
        max_history=HISTORY,
        exclude_history=True,
    )


def requests(num_items: int, number: int, seed: int) -> list[bytes]:
    """Serialized Predict requests for `serving_default`, one user each."""
    random = np.random.default_rng(seed)
    messages = []
    for _ in range(number):
        items = item_ids(random.integers(0, num_items, HISTORY - 1))
        message = warmup.request("serving_default", history=[[b"", *items]])
        message.model_spec.name = MODEL_NAME
        messages.append(message.SerializeToString())
    return messages


def direct_milliseconds(
    directory: Path,
    num_items: int,
    seconds: float,
    seed: int,
    pause: float = 0.0,
) -> np.ndarray:
    """Times of calls of the SavedModel in this process, one by one.

    Args:
        directory: of the SavedModel.
        num_items: of the model.
        seconds: how long to call it.
        seed: of the histories.
        pause: seconds between two calls. A call after a pause finds cold
            caches and sleeping threads, as a server's calls do.
    """
    model = tf.saved_model.load(str(directory))
    signature = model.signatures["serving_default"]
    random = np.random.default_rng(seed)
    histories = [
        tf.constant([item_ids(random.integers(0, num_items, HISTORY))])
        for _ in range(50)
    ]
    for history in histories[:10]:
        signature(history=history)
    taken: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        answer = signature(history=histories[len(taken) % len(histories)])
        answer["item_ids"].numpy(), answer["scores"].numpy()
        taken.append(1e3 * (time.perf_counter() - start))
        time.sleep(pause)
    return np.array(taken)


def item_ids(positions: np.ndarray) -> list[bytes]:
    """The ids of items by position."""
    return [b"item-%07d" % position for position in positions]
