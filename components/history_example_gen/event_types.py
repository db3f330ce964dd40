"""Event types of a log, and what `keep.event_types` makes of them.

A type that is spelt otherwise in the log than in the configuration drops rows
like any other; nothing but the types that were found tells it from a choice.
"""

from __future__ import annotations

import collections
from collections.abc import Iterable, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.history_example_gen.logs import suggest

# Of a column with an id in the place of a type, which has as many types as
# rows, the rare ones are not counted: per block, and in all.
_MOST_PER_BLOCK = 1_000
_MOST = 50
_MOST_SHOWN = 8


def are_kept(column: pa.Array, kept: tuple[str, ...]) -> np.ndarray:
    """[n] bool: the event type is one of `kept`; missing is not.

    Args:
        column: [n] binary with nulls.
        kept: `KeepConfig.event_types`, compared byte by byte.
    """
    names = pa.array([name.encode() for name in kept], pa.binary())
    mask = pc.is_in(column, value_set=names)
    return np.array(mask.to_numpy(zero_copy_only=False), bool)


def count(column: pa.Array) -> dict[str, int]:
    """Rows per event type of a block, of the 1,000 most frequent types.

    Args:
        column: [n] binary with nulls, which count as empty text.
    """
    found = pc.fill_null(column, b"").value_counts()
    values, counts = found.flatten()
    rows: collections.Counter[str] = collections.Counter()
    for value, number in zip(
        values.to_pylist(), counts.to_pylist(), strict=True
    ):
        rows[value.decode("utf-8", "replace")] += number
    return _most_frequent(rows, _MOST_PER_BLOCK)


def total(parts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Rows per event type of all blocks, the 50 most frequent first."""
    rows: collections.Counter[str] = collections.Counter()
    for part in parts:
        rows.update(part)
    return _most_frequent(rows, _MOST)


def describe(found: Mapping[str, int], kept: tuple[str, ...]) -> str | None:
    """One line: which types are kept and which are not; None without any."""
    if not found:
        return None
    used = {name: rows for name, rows in found.items() if name in kept}
    others = {name: rows for name, rows in found.items() if name not in kept}
    which = f"the {_MOST} most frequent " if len(found) >= _MOST else ""
    return (
        f"HistoryExampleGen: {which}event types, kept: {_list_types(used)}; "
        f"left out: {_list_types(others)}."
    )


def warn(found: Mapping[str, int], kept: tuple[str, ...]) -> str | None:
    """That no row has a type which is kept; nothing where all are there."""
    # Beyond the most frequent types a kept one may be there, uncounted.
    if len(found) >= _MOST:
        return None
    missing = [name for name in kept if name not in found]
    if not missing or not found:
        return None
    others = [name for name in found if name not in kept]
    return (
        "HistoryExampleGen: warning: no row has the event type "
        f"{' or '.join(map(repr, missing))} of `logs.keep.event_types`. Found: "
        f"{_list_types(found)}.{suggest(missing[0], others)}"
    )


def describe_found(found: Mapping[str, int]) -> str:
    """The types of a log of which none is kept, as a sentence."""
    if not found:
        return ""
    return f" Event types found: {_list_types(found)}."


def _most_frequent(rows: Mapping[str, int], most: int) -> dict[str, int]:
    ordered = sorted(rows.items(), key=lambda pair: (-pair[1], pair[0]))
    return dict(ordered[:most])


def _list_types(rows: Mapping[str, int]) -> str:
    names = list(rows)
    shown = [
        f"{repr(name) if name else 'empty'} {rows[name]:,}"
        for name in names[:_MOST_SHOWN]
    ]
    more = len(names) - len(shown)
    return ", ".join(shown) + (f", {more} more" if more else "") or "none"
