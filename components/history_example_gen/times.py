"""Reads columns of times, whole columns at once."""

from __future__ import annotations

import collections
import dataclasses
import time

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from components.history_example_gen.config import LogsConfig
from components.history_example_gen.texts import to_text
from components.history_example_gen.time_units import (
    FIRST,
    LAST,
    count_other_units,
)
from components.splits import date_cut

# Events are ordered by integer keys in these units, finer than the seconds
# that the examples keep.
KEYS_PER_SECOND = {
    "seconds": 1_000_000,
    "milliseconds": 1_000_000,
    "microseconds": 1_000_000,
    "nanoseconds": 1_000_000_000,
    "iso8601": 1_000_000_000,
}
_KEYS_PER_UNIT = {
    "seconds": 1_000_000,
    "milliseconds": 1_000,
    "microseconds": 1,
    "nanoseconds": 1,
}
_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_LARGEST_KEY = 2**63 - 1024  # also exact as a float
_DAY = 86_400
_INTEGER = r"^-?(\d{1,18}|[1-8]\d{18})$"
_NUMBER = r"^-?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?$"
_NOT_FINITE = r"(?i)^[+-]?(nan|inf|infinity)$"
_ISO_DATE = r"^(19|20|21)\d\d-\d\d-\d\d"
_ISO_CLOCK = r"([T ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?)"
_ISO_ZONE = r"(Z|[+-]\d\d(:?\d\d)?)"
# Other ways to write the same, to those that Arrow reads.
_ISO_PLAIN = (
    (r"^(\d{4})(\d\d)(\d\d)$", r"\1-\2-\3"),
    (r"^(\d{4}-\d\d-\d\d)t", r"\1T"),
    (r"(\d) ?(UTC|z|Z)$", r"\1Z"),
    (r"(:\d\d(?:\.\d+)?) ([+-]\d\d(?::?\d\d)?)$", r"\1\2"),
)


@dataclasses.dataclass(frozen=True)
class Times:
    """A column of times.

    Attributes:
        keys: [n] int64 in 1 / KEYS_PER_SECOND[time_unit] seconds since 1970,
            0 where there is none.
        unreadable: [n] bool, not a time in this unit.
        impossible: [n] bool, readable but not finite, before 1970 or beyond
            what 64 bits hold.
        other_units: what the rows seem to be written in to their number,
            see `time_units.count_other_units`.
    """

    keys: np.ndarray
    unreadable: np.ndarray
    impossible: np.ndarray
    other_units: dict[str, int]


def time_limits(
    config: LogsConfig, now: float | None = None
) -> tuple[int | None, int | None]:
    """The smallest and the largest usable sort key, None for no limit.

    Args:
        config: with `earliest_time` and `latest_time`.
        now: unix seconds that `latest_time: now` counts from; the clock's
            where left out.
    """
    unit = KEYS_PER_SECOND[config.time_unit]
    earliest = latest = None
    if config.earliest_time is not None:
        earliest = date_cut(config.earliest_time, "earliest_time") * unit
        earliest = min(earliest, _LARGEST_KEY)
    if config.latest_time == "now":
        moment = time.time() if now is None else now
        latest = (int(moment) + _DAY) * unit
    elif config.latest_time is not None:
        latest = date_cut(config.latest_time, "latest_time") * unit
        latest = min(latest, _LARGEST_KEY)
    return earliest, latest


def read_times(column: pa.Array, time_unit: str) -> Times:
    """Converts times to integer sort keys.

    Args:
        column: [n] strings, numbers or timestamps without nulls. Timestamps
            have their own unit.
        time_unit: as `LogsConfig.time_unit`. A date-time without a zone is
            taken as UTC.
    """
    kind = column.type
    if pa.types.is_timestamp(kind):
        times = _read_timestamps(column, KEYS_PER_SECOND[time_unit])
    elif time_unit != "iso8601" and (
        pa.types.is_integer(kind) or pa.types.is_floating(kind)
    ):
        numbers = column.to_numpy(zero_copy_only=False)
        times = _read_numbers(numbers, time_unit)
        units = count_other_units(numbers, time_unit)
        times = dataclasses.replace(times, other_units=units)
    else:
        column = to_text(column).cast(pa.string())  # dates are numbers, too
        column = pc.utf8_trim_whitespace(column)
        if time_unit == "iso8601":
            times = _read_iso8601(column)
        else:
            times = _read_texts(column, time_unit)
    times.keys[times.unreadable | times.impossible] = 0
    return times


def is_recent(text: str, time_unit: str) -> bool:
    """Whether a text is a time from 1990 to 2100 in this unit."""
    times = read_times(pa.array([text]), time_unit)
    second = int(times.keys[0]) // KEYS_PER_SECOND[time_unit]
    return not times.unreadable[0] and FIRST <= second < LAST


def _no_times(length: int) -> Times:
    return Times(
        np.zeros(length, np.int64),
        np.ones(length, bool),
        np.zeros(length, bool),
        {},
    )


def _read_numbers(numbers: np.ndarray, time_unit: str) -> Times:
    scale = _KEYS_PER_UNIT[time_unit]
    whole = numbers.dtype.kind != "f"
    numbers = numbers if whole else numbers.astype(np.float64)
    outside = (numbers < 0) | (numbers > _LARGEST_KEY // scale)
    if not whole:
        outside |= ~np.isfinite(numbers)
        keys = np.round(np.where(outside, 0, numbers) * scale).astype(np.int64)
    else:
        keys = np.where(outside, 0, numbers).astype(np.int64) * scale
    return Times(keys, np.zeros(len(keys), bool), outside, {})


def _read_timestamps(column: pa.Array, keys_per_second: int) -> Times:
    per_second = _PER_SECOND[column.type.unit]
    numbers = column.cast(pa.int64()).to_numpy()
    scale = max(1, keys_per_second // per_second)
    outside = (numbers < 0) | (numbers > _LARGEST_KEY // scale)
    keys = np.where(outside, 0, numbers) * scale
    keys //= max(1, per_second // keys_per_second)
    return Times(keys, np.zeros(len(keys), bool), outside, {})


def _read_texts(column: pa.Array, time_unit: str) -> Times:
    """Reads numbers written as text."""
    try:
        numbers = pc.cast(column, pa.int64()).to_numpy(zero_copy_only=False)
    except pa.ArrowInvalid:
        return _read_mixed_texts(column, time_unit)
    units = count_other_units(numbers, time_unit)
    times = _read_numbers(numbers, time_unit)
    return dataclasses.replace(times, other_units=units)


def _read_mixed_texts(column: pa.Array, time_unit: str) -> Times:
    """As `_read_texts`, where not every value is an integer."""
    times = _no_times(len(column))
    times.impossible[:] = _matches(column, _NOT_FINITE)
    whole = _matches(column, _INTEGER)
    broken = ~whole & _matches(column, _NUMBER)
    times.unreadable[:] = ~(whole | broken | times.impossible)
    units: collections.Counter[str] = collections.Counter()
    for mask, kind in ((whole, pa.int64()), (broken, pa.float64())):
        numbers = pc.cast(column.filter(pa.array(mask)), kind).to_numpy()
        some = _read_numbers(numbers, time_unit)
        times.keys[mask] = some.keys
        times.impossible[mask] = some.impossible
        units.update(count_other_units(numbers, time_unit))
    if dates := int(np.count_nonzero(_matches(column, _ISO_DATE))):
        units["iso8601"] = dates
    return dataclasses.replace(times, other_units=dict(units))


def _read_iso8601(column: pa.Array) -> Times:
    keys, unreadable = _parse_iso8601(column)
    units = {}
    if unreadable.any():
        others = column.filter(pa.array(unreadable))
        for pattern, plain in _ISO_PLAIN:
            others = pc.replace_substring_regex(others, pattern, plain)
        keys[unreadable], failed = _parse_iso8601(others)
        numbers = others.filter(pa.array(_matches(others, _NUMBER) & failed))
        units = count_other_units(
            numbers.cast(pa.float64()).to_numpy(), "iso8601"
        )
        unreadable[unreadable] = failed
    return Times(keys, unreadable, keys < 0, units)


def _parse_iso8601(column: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """[n] keys, 0 where there is none, and [n] bool: there is none."""
    times = _no_times(len(column))
    keys, unreadable = times.keys, times.unreadable
    local = _matches(column, f"{_ISO_DATE}{_ISO_CLOCK}?$")
    zoned = _matches(column, f"{_ISO_DATE}{_ISO_CLOCK}{_ISO_ZONE}$")
    for mask, kind in (
        (local, pa.timestamp("ns")),
        (zoned, pa.timestamp("ns", "UTC")),
    ):
        texts = column.filter(pa.array(mask))
        try:
            values = pc.cast(texts, kind).cast(pa.int64()).to_numpy()
            failed = np.zeros(len(values), bool)
        except pa.ArrowInvalid:  # such as 30 February: find which
            parsed = pd.to_datetime(
                texts.to_pandas(), utc=True, errors="coerce"
            )
            failed = parsed.isna().to_numpy()
            values = parsed.to_numpy("datetime64[ns]").astype(np.int64)
        keys[mask] = np.where(failed, 0, values)
        unreadable[mask] = failed
    return keys, unreadable


def _matches(column: pa.Array, pattern: str) -> np.ndarray:
    mask = pc.match_substring_regex(column, pattern)
    return np.array(mask.to_numpy(zero_copy_only=False), bool)
