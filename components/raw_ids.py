"""Raw ids of users and items: as text, and as a batch that a model takes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

# What signatures skip, and what fills an answer that has no more items.
PAD = b""


def text(raw: bytes) -> str:
    """A raw id as text; bytes that are not UTF-8 are escaped."""
    return raw.decode("utf-8", "backslashreplace")


def padded(rows: Sequence[Sequence[bytes]]) -> np.ndarray:
    """[len(rows), longest, at least 1] bytes objects, b"" before each row."""
    width = max((len(row) for row in rows), default=0)
    result = np.full((len(rows), max(width, 1)), PAD, object)
    for position, row in enumerate(rows):
        if len(row):
            result[position, -len(row) :] = row
    return result
