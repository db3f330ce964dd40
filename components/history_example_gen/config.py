"""Settings of HistoryExampleGen: how the log files are read."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

from components.splits import date_cut

# What every event needs.
ROLES = ("user", "item", "timestamp")
FORMATS = ("delimited", "json_lines", "parquet")
COMPRESSIONS = ("auto", "none", "gzip", "zstd")
NULL_VALUES = ("\\N", "NULL", "null", "None", "NaN", "nan")
TIME_UNITS = (
    "seconds",
    "milliseconds",
    "microseconds",
    "nanoseconds",
    "iso8601",
)


@dataclasses.dataclass(frozen=True)
class ColumnsConfig:
    """Columns by name, or by number from 0 in delimited files.

    The name is that in the header, the key of a JSON object or the name of a
    Parquet column. Nothing can tell user and item apart: given the wrong way
    round, every user is an item and the other way round.

    Attributes:
        user: who.
        item: what.
        timestamp: when, see `LogsConfig.time_unit`.
        event_type: what was done, for `KeepConfig.event_types`; or null.
        weight: a number such as a rating, for `KeepConfig.min_weight`; or
            null.
    """

    user: str | int = "user_id"
    item: str | int = "item_id"
    timestamp: str | int = "timestamp"
    event_type: str | int | None = None
    weight: str | int | None = None


@dataclasses.dataclass(frozen=True)
class KeepConfig:
    """Which usable rows become events; every rule counts what it drops.

    The rules apply in this order. Those marked (whole log) look at all
    events, also at those after the cuts, so with them a later event can
    change what is learned before it: they are for comparison with published
    preprocessing.

    Attributes:
        event_types: keep rows with one of these in `columns.event_type`;
            empty keeps all.
        min_weight: keep rows with at least this in `columns.weight`, such as
            a rating.
        until: keep events up to this ISO-8601 date or time (UTC), as if the
            log had been read then; null keeps all.
        user_share: share of the users to keep, drawn by a hash of the id.
        user_sample_seed: another seed draws other users.
        duplicates: all keeps events of the same user, item and time, one the
            first of them in the log: for systems that write a row again when
            they are not sure of it (at least once).
        consecutive_repeats: false keeps the first of several events in a row
            of one user with the same item.
        min_user_events, min_item_events: users and items with fewer events
            are removed until none is left (iterated k-core; whole log).
        max_user_events: events of a user that are kept, the oldest first,
            against robots; null keeps all.
    """

    event_types: tuple[str, ...] = ()
    min_weight: float | None = None
    until: str | None = None
    user_share: float = 1.0
    user_sample_seed: int = 0
    duplicates: str = "all"
    consecutive_repeats: bool = True
    min_user_events: int = 1
    min_item_events: int = 1
    max_user_events: int | None = 100_000

    def __post_init__(self) -> None:
        if self.until is not None:
            date_cut(self.until, "until")
        if not 0.0 < self.user_share <= 1.0:
            raise ValueError(
                f"`user_share` must lie in (0, 1], found {self.user_share}."
            )
        _one_of("duplicates", self.duplicates, ("all", "one"))
        for name in ("min_user_events", "min_item_events"):
            if getattr(self, name) < 1:
                raise ValueError(
                    f"`{name}` must be at least 1, found {getattr(self, name)}."
                )
        if self.max_user_events is not None and self.max_user_events < 1:
            raise ValueError(
                "`max_user_events` must be at least 1 or null, found "
                f"{self.max_user_events}."
            )


@dataclasses.dataclass(frozen=True)
class LogsConfig:
    """Where the log files are and how to read them.

    Attributes:
        path: folder of the log files (local, gs:// or s3://). There are no
            logs by default; who reads files asks for it.
        pattern: glob inside `path`, or several of which each must match;
            `**` also descends into sub-folders, and `**/` stands for any
            number of them, also none. Files are read in the order
            of their paths.
        format: delimited (CSV, TSV, `::`), json_lines (an object a line) or
            parquet.
        separator: one character, or several as in MovieLens' `::`; delimited
            only.
        header: whether the first line of every file names the columns;
            delimited only.
        columns: which columns hold user, item and time.
        time_unit: seconds, milliseconds, microseconds or nanoseconds since
            1970, or iso8601 (2024-03-01, 20240301, 2024-03-01 12:00:00 UTC).
            A Parquet column of type timestamp has its own unit.
        earliest_time: ISO-8601 date; earlier rows are unusable. Null allows
            all from 1970 on.
        latest_time: later rows are unusable: `now` (one day after the step
            looks at the files), an ISO-8601 date, or null for no limit but
            that of pipeline/schema/schema.pbtxt: times from 2100 on stop the
            run there.
        compression: auto looks at the first bytes of each file. Parquet
            files are packed inside, which needs no setting.
        duplicate_files: refuse or keep files with the same bytes.
        max_bad_row_share: share of unusable rows above which ingest fails.
        num_buckets: groups of users that are sorted independently; more of
            them need less memory each.
        quotes: whether `"` encloses fields; false takes it as a character
            like any other. Separators of several characters never quote.
            Delimited only.
        null_values: texts that stand for a missing user, item or time, such
            as databases and pandas write them; whatever the format. Blank
            ones always are missing.
        keep: which usable rows become events.
    """

    path: str = ""
    pattern: str | tuple[str, ...] = "*.csv.gz"
    format: str = "delimited"
    separator: str = ","
    header: bool = True
    columns: ColumnsConfig = dataclasses.field(default_factory=ColumnsConfig)
    time_unit: str = "seconds"
    earliest_time: str | None = None
    latest_time: str | None = "now"
    compression: str = "auto"
    duplicate_files: str = "refuse"
    max_bad_row_share: float = 0.01
    num_buckets: int = 8
    quotes: bool = True
    null_values: tuple[str, ...] = NULL_VALUES
    keep: KeepConfig = dataclasses.field(default_factory=KeepConfig)

    def __post_init__(self) -> None:
        _one_of("format", self.format, FORMATS)
        _one_of("time_unit", self.time_unit, TIME_UNITS)
        _one_of("compression", self.compression, COMPRESSIONS)
        _one_of("duplicate_files", self.duplicate_files, ("refuse", "keep"))
        if not 0.0 <= self.max_bad_row_share <= 1.0:
            raise ValueError("`max_bad_row_share` must lie in [0, 1].")
        if self.num_buckets < 1:
            raise ValueError("`num_buckets` must be at least 1.")
        if not self.separator:
            raise ValueError("`separator` must not be empty.")
        if self.separator == r"\t":
            raise ValueError(
                "`separator` is a backslash and a t; a tabulator is "
                '"\\t" in double quotes.'
            )
        if not self.pattern:
            raise ValueError(
                "`pattern` must name at least one glob such as `*.csv.gz`."
            )
        if self.format == "parquet" and self.compression in ("gzip", "zstd"):
            raise ValueError(
                f"`compression` is {self.compression}, but Parquet files are "
                "packed inside. Set `compression: auto`."
            )
        self._check_times()
        self._check_columns()

    def _check_times(self) -> None:
        dates = [
            date_cut(text, name)
            for name, text in (
                ("earliest_time", self.earliest_time),
                ("latest_time", self.latest_time),
            )
            if text is not None and (name, text) != ("latest_time", "now")
        ]
        if len(dates) == 2 and dates[0] > dates[1]:
            raise ValueError(
                "`earliest_time` must not lie after `latest_time`, found "
                f"{self.earliest_time} and {self.latest_time}."
            )

    def _check_columns(self) -> None:
        for key, column, on in (
            ("event_types", "event_type", bool(self.keep.event_types)),
            ("min_weight", "weight", self.keep.min_weight is not None),
        ):
            if on and getattr(self.columns, column) is None:
                raise ValueError(
                    f"`keep.{key}` is {getattr(self.keep, key)!r}, but "
                    f"`columns.{column}` is null. Name there the column to "
                    f"look at, or leave `keep.{key}` out."
                )
        for first, second in itertools.combinations(ROLES, 2):
            column = getattr(self.columns, first)
            if column == getattr(self.columns, second):
                raise ValueError(
                    f"`columns.{first}` and `columns.{second}` are both "
                    f"{column!r}: user, item and time are three columns. Give "
                    "each its own."
                )
        for name, value in self.named_columns:
            if self.format != "delimited" and not isinstance(value, str):
                raise ValueError(
                    f"`columns.{name}` must be a name where `format` is "
                    f"{self.format}, found {value!r}."
                )
            if self.format == "delimited" and not self.header:
                if not isinstance(value, int):
                    raise ValueError(
                        "without a header the columns are numbers from 0, "
                        f"found `columns.{name}`: {value!r}."
                    )

    @property
    def roles(self) -> tuple[str, ...]:
        """The columns to read: user, item, timestamp and what rules need."""
        wanted = list(ROLES)
        if self.keep.event_types:
            wanted.append("event_type")
        if self.keep.min_weight is not None:
            wanted.append("weight")
        return tuple(wanted)

    @property
    def named_columns(self) -> list[tuple[str, Any]]:
        """(role, column) of all columns that are not null."""
        columns = dataclasses.asdict(self.columns)
        return [
            (n, column) for n, column in columns.items() if column is not None
        ]


def _one_of(name: str, value: str, options: tuple[str, ...]) -> None:
    if value not in options:
        raise ValueError(
            f"`{name}` must be {', '.join(options[:-1])} or {options[-1]}, "
            f"found {value!r}."
        )
