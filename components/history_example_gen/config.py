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
