"""Puts the inputs of several requests into one, as TF Serving does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import grpc
import numpy as np

from serving.batching_parameters import BatchingParameters
from serving.errors import ServingError, invalid


def num_rows(inputs: Mapping[str, np.ndarray]) -> int:
    """Rows of a request, the same in every input.

    Raises:
        ServingError: INVALID_ARGUMENT, they differ or an input has none.
    """
    if any(tensor.ndim == 0 for tensor in inputs.values()):
        raise invalid(
            "Batching Run() input tensors must have at least one dimension"
        )
    if len({tensor.shape[0] for tensor in inputs.values()}) != 1:
        raise invalid(
            "Batching Run() input tensors must have equal 0th-dimension size"
        )
    return rows_of(inputs)


def rows_of(inputs: Mapping[str, np.ndarray]) -> int:
    """Rows of the first input."""
    return len(next(iter(inputs.values())))


def join(
    parts: Sequence[Mapping[str, np.ndarray]], parameters: BatchingParameters
) -> dict[str, np.ndarray]:
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
        widths = {t.shape[1:] for t in tensors}
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
            tensors.append(np.repeat(tensors[-1][:1], missing, axis=0))
        joined[name] = np.concatenate(tensors)
    return joined


def _padded(tensors: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Equal widths, filled on the right with each tensor's first element."""
    target = tuple(np.max([t.shape[1:] for t in tensors], axis=0))
    padded = []
    for tensor in tensors:
        if tensor.shape[1:] != target:
            if not tensor.size:
                raise invalid("Got empty tensor in batch of non-empty tensors.")
            wide = np.full((len(tensor), *target), tensor.flat[0], tensor.dtype)
            wide[tuple(slice(size) for size in tensor.shape)] = tensor
            tensor = wide
        padded.append(tensor)
    return padded
