"""Settings of HistoryExampleGen: how the log files are read."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class ColumnsConfig:
    """Columns by header name, or by number from 0 where there is no header."""

    user: str | int = "user_id"
    item: str | int = "item_id"
    timestamp: str | int = "timestamp"


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
        user_share: share of the users to keep, drawn by a hash of the id.
        user_sample_seed: another seed draws other users.
        consecutive_repeats: false keeps the first of several events in a row
            of one user with the same item.
        min_user_events, min_item_events: users and items with fewer events
            are removed until none is left (iterated k-core; whole log).
        max_user_events: events of a user that are kept, the oldest first,
            against robots; null keeps all.
    """

    event_types: tuple[str, ...] = ()
    min_weight: float | None = None
    user_share: float = 1.0
    user_sample_seed: int = 0
    consecutive_repeats: bool = True
    min_user_events: int = 1
    min_item_events: int = 1
    max_user_events: int | None = 100_000

    def __post_init__(self) -> None:
        if not 0.0 < self.user_share <= 1.0:
            raise ValueError(
                f"`user_share` must lie in (0, 1], found {self.user_share}."
            )
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
        path: folder of the log files (local, gs:// or s3://).
        pattern: glob inside `path`; `**` also descends into sub-folders.
        separator: one character, or several as in MovieLens' `::`.
        header: whether the first line of every file names the columns.
        columns: which columns hold user, item and time.
        time_unit: seconds or milliseconds since 1970, or iso8601.
        compression: auto looks at the first bytes of each file.
        max_bad_row_share: share of unusable rows above which ingest fails.
        num_buckets: groups of users that are sorted independently; more of
            them need less memory each.
        quotes: whether `"` encloses fields; false takes it as a character
            like any other. Separators of several characters never quote.
        keep: which usable rows become events.
    """

    path: str = "data/demo"
    pattern: str = "*.csv.gz"
    separator: str = ","
    header: bool = True
    columns: ColumnsConfig = dataclasses.field(default_factory=ColumnsConfig)
    time_unit: str = "seconds"
    compression: str = "auto"
    max_bad_row_share: float = 0.01
    num_buckets: int = 8
    quotes: bool = True
    keep: KeepConfig = dataclasses.field(default_factory=KeepConfig)

    def __post_init__(self) -> None:
        if self.time_unit not in ("seconds", "milliseconds", "iso8601"):
            raise ValueError(
                "`time_unit` must be seconds, milliseconds or iso8601, found "
                f"{self.time_unit!r}."
            )
        if self.compression not in ("auto", "none", "gzip"):
            raise ValueError(
                "`compression` must be auto, none or gzip, found "
                f"{self.compression!r}."
            )
        if not 0.0 <= self.max_bad_row_share <= 1.0:
            raise ValueError("`max_bad_row_share` must lie in [0, 1].")
        if self.num_buckets < 1:
            raise ValueError("`num_buckets` must be at least 1.")
        if not self.separator:
            raise ValueError("`separator` must not be empty.")
        if not self.header:
            for name in ("user", "item", "timestamp"):
                if not isinstance(getattr(self.columns, name), int):
                    raise ValueError(
                        "without a header the columns are numbers from 0, "
                        f"found `columns.{name}`: "
                        f"{getattr(self.columns, name)!r}."
                    )
