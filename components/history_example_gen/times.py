"""Reads columns of times, whole columns at once."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

# Events are ordered by integer keys in these units, finer than the seconds
# that the examples keep.
KEYS_PER_SECOND = {
    "seconds": 1_000_000,
    "milliseconds": 1_000_000,
    "iso8601": 1_000_000_000,
}
_KEYS_PER_UNIT = {"seconds": 1_000_000, "milliseconds": 1_000}
_INTEGER = r"^-?\d{1,18}$"
_NUMBER = r"^-?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?$"
_NOT_FINITE = r"(?i)^[+-]?(nan|inf|infinity)$"
_ISO_DATE = r"^(19|20|21)\d\d-\d\d-\d\d"
_ISO_CLOCK = r"([T ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?)"
_ISO_ZONE = r"(Z|[+-]\d\d(:?\d\d)?)"


def read_times(
    column: pa.Array, time_unit: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Converts times as text to integer sort keys.

    Args:
        column: [n] strings.
        time_unit: as `LogsConfig.time_unit`. A date-time without a zone is
            taken as UTC.

    Returns:
        keys: [n] int64 in 1 / KEYS_PER_SECOND[time_unit] seconds since 1970,
            0 where there is none.
        unreadable: [n] bool, not a time in this unit.
        impossible: [n] bool, readable but not finite, before 1970 or beyond
            what 64 bits hold.
    """
    column = pc.utf8_trim_whitespace(column)
    if time_unit == "iso8601":
        keys, unreadable = _read_iso8601(column)
        impossible = keys < 0
    else:
        keys, unreadable, impossible = _read_numbers(column, time_unit)
    keys[unreadable | impossible] = 0
    return keys, unreadable, impossible


def _read_numbers(
    column: pa.Array, time_unit: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    scale = _KEYS_PER_UNIT[time_unit]
    largest = np.iinfo(np.int64).max // scale
    try:
        numbers = pc.cast(column, pa.int64()).to_numpy(zero_copy_only=False)
    except pa.ArrowInvalid:
        return _read_mixed_numbers(column, scale, largest)
    impossible = (numbers < 0) | (numbers > largest)
    keys = np.where(impossible, 0, numbers) * scale
    return keys, np.zeros(len(keys), bool), impossible


def _read_mixed_numbers(
    column: pa.Array, scale: int, largest: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """As `_read_numbers`, where not every value is an integer."""
    keys = np.zeros(len(column), np.int64)
    impossible = _matches(column, _NOT_FINITE)
    whole = _matches(column, _INTEGER)
    broken = ~whole & _matches(column, _NUMBER)
    for mask, kind in ((whole, pa.int64()), (broken, pa.float64())):
        numbers = pc.cast(column.filter(pa.array(mask)), kind).to_numpy()
        outside = (numbers < 0) | (numbers > largest) | ~np.isfinite(numbers)
        scaled = np.where(outside, 0, numbers) * scale
        keys[mask] = np.round(scaled).astype(np.int64)
        impossible[mask] = outside
    return keys, ~(whole | broken | impossible), impossible


def _read_iso8601(column: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    keys = np.zeros(len(column), np.int64)
    unreadable = np.ones(len(column), bool)
    local = _matches(column, f"{_ISO_DATE}{_ISO_CLOCK}?$")
    zoned = _matches(column, f"{_ISO_DATE}{_ISO_CLOCK}{_ISO_ZONE}$")
    for mask, kind in (
        (local, pa.timestamp("ns")),
        (zoned, pa.timestamp("ns", "UTC")),
    ):
        texts = column.filter(pa.array(mask))
        try:
            times = pc.cast(texts, kind).cast(pa.int64()).to_numpy()
            failed = np.zeros(len(times), bool)
        except pa.ArrowInvalid:  # such as 30 February: find which
            parsed = pd.to_datetime(
                texts.to_pandas(), utc=True, errors="coerce"
            )
            failed = parsed.isna().to_numpy()
            times = parsed.to_numpy("datetime64[ns]").astype(np.int64)
        keys[mask] = np.where(failed, 0, times)
        unreadable[mask] = failed
    return keys, unreadable


def _matches(column: pa.Array, pattern: str) -> np.ndarray:
    mask = pc.match_substring_regex(column, pattern)
    return np.array(mask.to_numpy(zero_copy_only=False), bool)
