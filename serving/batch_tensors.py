"""Puts the inputs of several requests into one, as TF Serving does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import grpc
import numpy as np
import tensorflow as tf

from serving.batching_parameters import BatchingParameters
from serving.errors import ServingError, invalid


def num_rows(inputs: Mapping[str, tf.Tensor]) -> int:
    """Rows of a request, the same in every input.

    Raises:
        ServingError: INVALID_ARGUMENT, they differ or an input has none.
    """
    if any(tensor.shape.rank == 0 for tensor in inputs.values()):
        raise invalid(
            "Batching Run() input tensors must have at least one dimension"
        )
    if len({tensor.shape[0] for tensor in inputs.values()}) != 1:
        raise invalid(
            "Batching Run() input tensors must have equal 0th-dimension size"
        )
    return rows_of(inputs)


def rows_of(inputs: Mapping[str, tf.Tensor]) -> int:
    """Rows of the first input."""
    return int(next(iter(inputs.values())).shape[0])


def join(
    parts: Sequence[Mapping[str, tf.Tensor]], parameters: BatchingParameters
) -> dict[str, tf.Tensor]:
    """One tensor per input of all requests, filled up to an allowed size.

    Raises:
        ServingError: widths differ and are not to be padded, or a tensor
            without an element would have to be.
    """
    rows = sum(rows_of(part) for part in parts)
    allowed = [s for s in parameters.allowed_batch_sizes if s >= rows]
    missing = allowed[0] - rows if allowed else 0
    joined = {}
    for name in parts[0]:
        tensors = [part[name] for part in parts]
        widths = {tuple(t.shape[1:]) for t in tensors}
        if len(widths) > 1:
            if not parameters.pad_variable_length_inputs:
                raise ServingError(
                    grpc.StatusCode.FAILED_PRECONDITION,
                    f"Tensors with name '{name}' from different tasks have "
                    "different shapes and padding is turned off. Set "
                    "pad_variable_length_inputs to true, or ensure that all "
                    "tensors with the same name have equal dimensions "
                    "starting with the first dim.",
                )
            tensors = _padded(tensors)
        if missing:
            tensors.append(tf.repeat(tensors[-1][:1], missing, axis=0))
        joined[name] = tf.concat(tensors, 0) if len(tensors) > 1 else tensors[0]
    return joined


def _padded(tensors: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    """Equal widths, filled on the right with each tensor's first element."""
    target = np.max([t.shape[1:].as_list() for t in tensors], axis=0)
    padded = []
    for tensor in tensors:
        missing = target - tensor.shape[1:].as_list()
        if missing.any():
            if not tensor.shape.num_elements():
                raise invalid("Got empty tensor in batch of non-empty tensors.")
            paddings = [[0, 0], *([0, int(n)] for n in missing)]
            first = tf.reshape(tensor, [-1])[0]
            tensor = tf.pad(tensor, paddings, constant_values=first)
        padded.append(tensor)
    return padded
