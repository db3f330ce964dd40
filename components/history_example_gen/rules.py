"""Rules by which usable rows become events or are dropped.

Every rule counts what it drops under its name, the keys of `dropped` in
ingest.json, in the order the rules apply; what each does says `KeepConfig`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.history_example_gen import event_types
from components.history_example_gen.texts import check_utf8, is_text

# Rules that look at single rows, applied where the rows are read.
EVENT_TYPE = "event_type"
MIN_WEIGHT = "min_weight"
UNTIL = "until"
# Rules on users and whole histories, see `keep` and `core`.
USER_SHARE = "user_share"
DUPLICATE = "duplicate"
REPEAT = "consecutive_repeat"
CORE = "k_core"
USER_CAP = "max_user_events"

MEANING = {
    EVENT_TYPE: "event type not kept",
    MIN_WEIGHT: "weight below the minimum",
    UNTIL: "after the last moment to keep",
    USER_SHARE: "user not in the sample",
    DUPLICATE: "user, item and time of another row",
    REPEAT: "item as in the event before",
    CORE: "user or item with too few events",
    USER_CAP: "beyond the cap per user",
}

_NUMBER = r"^-?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?$"


def total(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Adds up rows dropped by each rule, in the rules' order."""
    parts = list(counts)
    sums = {rule: sum(p.get(rule, 0) for p in parts) for rule in MEANING}
    return {rule: number for rule, number in sums.items() if number}


def read_weights(column: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Reads weights such as ratings.

    Args:
        column: [n] text or numbers with nulls.

    Returns:
        weights: [n] float64, 0 where there is none.
        unreadable: [n] bool, missing or not a finite number.
    """
    if is_text(column.type):
        column = _text_to_float(pc.utf8_trim_whitespace(check_utf8(column)[0]))
    elif not _is_number(column.type):
        column = pa.nulls(len(column), pa.float64())
    weights = column.cast(pa.float64(), safe=False).to_numpy(
        zero_copy_only=False
    )
    unreadable = ~np.isfinite(weights)
    return np.where(unreadable, 0.0, weights), unreadable


def _text_to_float(column: pa.Array) -> pa.Array:
    try:
        return column.cast(pa.float64())
    except pa.ArrowInvalid:  # some are no numbers: find which
        is_number = pc.match_substring_regex(column, _NUMBER)
        return pc.if_else(is_number, column, None).cast(pa.float64())


def describe_all_dropped(
    dropped: dict[str, int], num_rows: int, types: dict[str, int]
) -> str:
    """That no event is left, and the fix, for a message.

    Args:
        dropped: rule to rows.
        num_rows: of the log.
        types: rows per event type, where these were looked at.
    """
    counts = "; ".join(f"{MEANING[k]}: {n:,}" for k, n in dropped.items())
    return (
        f"No event is left of {num_rows:,} log rows: the rules in `logs.keep` "
        f"dropped {sum(dropped.values()):,} of them ({counts}). Loosen them, "
        "or check the columns that they look at (`logs.columns.event_type`, "
        f"`logs.columns.weight`).{event_types.describe_found(types)}"
    )


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind)
