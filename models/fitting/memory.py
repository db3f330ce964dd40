"""Says what to change where a device has no memory for a fit."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping

import tensorflow as tf

from models.config import ModelConfig, TrainingConfig

# Of the executor's and of XLA's message; around it stand the operations of the
# whole step.
_REFUSED = re.compile(
    r"(?:OOM when|Out of memory while trying to) allocat[^\n]*?"
    r"(?= \[Op:|\n|$)"
)


class OutOfMemoryError(RuntimeError):
    """A device cannot hold the tables, a step or a validation."""


@contextlib.contextmanager
def out_of_memory_told(where: str, sizes: Mapping[str, int]) -> Iterator[None]:
    """Names the place and the settings that its memory goes by.

    Args:
        where: fit and epoch, the start of the message.
        sizes: settings that need less memory where they are smaller.

    Raises:
        OutOfMemoryError: in the place of TensorFlow's ResourceExhaustedError,
            which is its cause.
    """
    try:
        yield
    except tf.errors.ResourceExhaustedError as error:
        refused = _REFUSED.search(error.message)
        what = f" ({refused[0]})" if refused else ""
        lower = " or ".join(f"`{key}` ({sizes[key]})" for key in sizes)
        raise OutOfMemoryError(
            f"{where}: out of memory{what}. Lower {lower}."
        ) from error


def of_tables(model: ModelConfig) -> dict[str, int]:
    """What the tables and their optimizer go by, beside users and items."""
    return {"model.embedding_dim": model.embedding_dim}


def of_step(
    model: ModelConfig, training: TrainingConfig, warmup: bool
) -> dict[str, int]:
    """What a training step goes by, in the warm-up one of the graph alone."""
    if warmup or not model.has_sequential:
        return {
            "model.graph.batch_size": model.graph.batch_size,
            **_of_negatives(model),
            **of_tables(model),
        }
    return {
        "training.batch_size": training.batch_size,
        "model.sequential.max_length": model.sequential.max_length,
        **_of_negatives(model),
        **of_tables(model),
    }


def _of_negatives(model: ModelConfig) -> dict[str, int]:
    """What is drawn for the edges, where there are some to do without."""
    graph = model.graph
    is_drawn = model.has_graph and graph.negatives != "all"
    if not is_drawn or graph.num_negatives == 1:
        return {}
    return {"model.graph.num_negatives": graph.num_negatives}
