"""Reads JSON lines one by one, where Arrow cannot read them together."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa

from components.history_example_gen.rows import (
    NESTED_VALUE,
    NOT_JSON,
    WHOLE_ROW,
    Faults,
    Fields,
)
from components.history_example_gen.texts import float_text

_OPTIONAL = ("event_type", "weight")


def read_object(line: bytes) -> dict[str, Any] | None:
    """The JSON object of a line, or None where it is no such thing."""
    try:
        # Bytes that are no UTF-8 matter only in the configured keys.
        value = json.loads(line.decode("utf-8", "surrogateescape"))
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def read_one_by_one(data: bytes, keys: dict[str, str]) -> Fields:
    """Columns of whole lines by Python's json, all of them as text.

    Args:
        data: the lines, each ended by a newline; blank ones are no rows.
        keys: role (see `LogsConfig.roles`) to key.
    """
    columns: dict[str, list[bytes | None]] = {role: [] for role in keys}
    kept: list[int] = []
    faults: Faults = {}
    for index, line in enumerate(data.split(b"\n")[:-1]):
        if not line.strip(b" \r"):
            continue
        values = read_object(line)
        if values is None:
            faults[index] = (WHOLE_ROW, NOT_JSON)
            continue
        nested = [
            name
            for role, name in keys.items()
            if role not in _OPTIONAL
            and isinstance(values.get(name), (dict, list))
        ]
        if nested:
            faults[index] = (nested[0], NESTED_VALUE)
            continue
        kept.append(index)
        for role, name in keys.items():
            columns[role].append(_value_text(values.get(name)))
    return Fields(
        [pa.array(column, pa.binary()) for column in columns.values()],
        np.array(kept, np.int64),
        faults,
    )


def _value_text(value: Any) -> bytes | None:
    match value:
        case None | dict() | list():
            return None
        case bool():
            return b"true" if value else b"false"
        case float():
            text = float_text(value)
            return None if text is None else text.encode()
        case int():
            return str(value).encode()
    try:
        return value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # half of a surrogate pair: no text either
        return b"\xff"
