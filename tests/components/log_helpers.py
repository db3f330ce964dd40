"""Writes small logs and reads them without Beam's pipelines."""

import dataclasses
import pathlib

import pyarrow as pa
from pyarrow import parquet

from components.history_example_gen import accounts, verdict
from components.history_example_gen.accounts import BucketAccount
from components.history_example_gen.config import ColumnsConfig, LogsConfig
from components.history_example_gen.formats import read_file
from components.history_example_gen.layouts import find_logs

HEADER = "user_id,item_id,timestamp\n"
REVIEWS = LogsConfig(
    format="json_lines",
    columns=ColumnsConfig(
        user="reviewerID", item="asin", timestamp="unixReviewTime"
    ),
)
LIKES = LogsConfig(
    format="parquet",
    columns=ColumnsConfig(user="uid", item="item_id", timestamp="timestamp"),
)
Content = str | bytes | pa.Table


@dataclasses.dataclass(frozen=True)
class Reading:
    """What became of the rows of all files, in the order of the log.

    Attributes:
        events: (user, item, key).
        bad: (line, column, reason).
        texts: of the bad rows.
        dropped: rule to rows.
        ingest: the counts, as in `ingest.json`.
    """

    events: list[tuple[str, str, int]]
    bad: list[tuple[int, str, str]]
    texts: list[str]
    dropped: dict[str, int]
    ingest: dict[str, object]


def write_logs(folder: pathlib.Path, files: dict[str, Content]) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, pa.Table):
            parquet.write_table(content, path, version="2.6")
        else:
            text = isinstance(content, str)
            path.write_bytes(content.encode() if text else content)


def read_logs(
    folder: pathlib.Path,
    files: dict[str, Content],
    config: LogsConfig | None = None,
    block_bytes: int = 1 << 20,
    now: float | None = None,
) -> Reading:
    """Writes files into `folder` and reads all that match."""
    write_logs(folder, files)
    config = config or LogsConfig()
    if config.pattern == LogsConfig().pattern:
        config = dataclasses.replace(config, pattern="**")
    config = dataclasses.replace(config, path=str(folder))
    logs = find_logs(config, now)
    events, bad, blocks = [], [], []
    for log in logs:
        for line, block in read_file(log, config, block_bytes):
            events += zip(
                [user.decode() for user in block.users.to_pylist()],
                [item.decode() for item in block.items.to_pylist()],
                block.keys.tolist(),
                strict=True,
            )
            bad += block.bad_rows
            blocks.append(accounts.account_of_block(log, line, block))
    # It raises where rows are lost or doubled.
    bucket = BucketAccount(
        num_users=len({user for user, _, _ in events}),
        num_used=len(events),
        item_ids=pa.array(sorted({i.encode() for _, i, _ in events})),
        dropped={},
    )
    ingest = accounts.summarize(len(logs), blocks, [bucket])
    return Reading(
        events,
        [(row.line, row.column, row.reason) for row in bad],
        [row.text for row in bad],
        ingest["dropped"],
        ingest,
    )


def check_logs(
    folder: pathlib.Path,
    files: dict[str, Content],
    config: LogsConfig | None = None,
    now: float | None = None,
) -> None:
    """Raises as the component does after it has read the files."""
    reading = read_logs(folder, files, config, now=now)
    verdict.check(reading.ingest, config or LogsConfig())
