"""TF Serving's batching parameters (--batching_parameters_file).

max_batch_size { value: 64 }
batch_timeout_micros { value: 1000 }
max_enqueued_batches { value: 100 }
num_batch_threads { value: 2 }
allowed_batch_sizes: 16
allowed_batch_sizes: 64
pad_variable_length_inputs: true
"""

from __future__ import annotations

import dataclasses
import os

from serving import text_messages
from serving.config_error import ConfigError

_NUMBERS = (
    "max_batch_size",
    "batch_timeout_micros",
    "max_enqueued_batches",
    "num_batch_threads",
)
_MESSAGES = {
    "BatchingParameters": {
        **dict.fromkeys(_NUMBERS, "Int64Value"),
        "thread_pool_name": "StringValue",
        "allowed_batch_sizes": "int64*",
        "pad_variable_length_inputs": "bool",
    },
    "Int64Value": {"value": "int64"},
    "StringValue": {"value": "string"},
}


@dataclasses.dataclass(frozen=True)
class BatchingParameters:
    """How requests are joined; the defaults are TF Serving's.

    Attributes:
        max_batch_size: most rows that run together.
        batch_timeout_micros: how long a batch that is not full waits for
            more rows once a thread is free; 0 does not wait.
        max_enqueued_batches: batches that may wait; a request beyond them is
            UNAVAILABLE.
        num_batch_threads: batches that run at the same time.
        allowed_batch_sizes: batches are filled up to one of these with
            copies of a row; empty allows every size.
        pad_variable_length_inputs: whether inputs of different widths are
            joined, padded on the right with each one's first element.
    """

    max_batch_size: int = 1000
    batch_timeout_micros: int = 0
    max_enqueued_batches: int = 10
    num_batch_threads: int = os.cpu_count() or 1
    allowed_batch_sizes: tuple[int, ...] = ()
    pad_variable_length_inputs: bool = False

    def __post_init__(self) -> None:
        for name, least in (
            ("max_batch_size", 1),
            ("batch_timeout_micros", 0),
            ("max_enqueued_batches", 1),
            ("num_batch_threads", 1),
        ):
            if getattr(self, name) < least:
                raise ConfigError(
                    f"`{name}` must be at least {least}, found "
                    f"{getattr(self, name)}."
                )
        sizes = self.allowed_batch_sizes
        if not sizes:
            return
        if any(a >= b for a, b in zip(sizes, sizes[1:], strict=False)):
            raise ConfigError(
                "`allowed_batch_sizes` must be in increasing order, found "
                f"{list(sizes)}."
            )
        if sizes[-1] != self.max_batch_size:
            raise ConfigError(
                "The last of `allowed_batch_sizes` must be `max_batch_size` "
                f"({self.max_batch_size}), found {sizes[-1]}."
            )


def read(path: str) -> BatchingParameters:
    """The parameters in a file of protobuf text.

    Raises:
        ConfigError: the file cannot be read or says something wrong.
    """
    message = text_messages.read(path, "batching_parameters_file", _MESSAGES)
    try:
        return BatchingParameters(
            **{
                name: getattr(message, name).value
                for name in _NUMBERS
                if message.HasField(name)
            },
            allowed_batch_sizes=tuple(message.allowed_batch_sizes),
            pad_variable_length_inputs=message.pad_variable_length_inputs,
        )
    except ConfigError as error:
        raise ConfigError(
            f"{path} (--batching_parameters_file): {error}"
        ) from error
