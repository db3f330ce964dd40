"""Real logs in several formats, read event for event (CREATE_DATA_ROOT)."""

import gzip
import os
import pathlib

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import csv, parquet

from components.history_example_gen.config import (
    ColumnsConfig,
    KeepConfig,
    LogsConfig,
)
from components.history_example_gen.formats import read_file
from components.history_example_gen.layouts import find_logs
from tests.components.log_helpers import Reading, read_logs

pytestmark = [
    pytest.mark.data,
    pytest.mark.skipif(
        "CREATE_DATA_ROOT" not in os.environ,
        reason="CREATE_DATA_ROOT is not set",
    ),
]
SECOND = 1_000_000


def data(name: str) -> pathlib.Path:
    return pathlib.Path(os.environ["CREATE_DATA_ROOT"]) / name


def interactions(name: str) -> pd.DataFrame:
    return pd.read_csv(
        data(name) / "interactions.csv.gz",
        dtype={"user_id": str, "item_id": str},
    )


def by_time(reading: Reading) -> list[tuple[str, str, int]]:
    """The events as they stand in `interactions`: by time, then user."""
    order = sorted(reading.events, key=lambda event: (event[2], event[0]))
    return [(user, item, key // SECOND) for user, item, key in order]


def test_amazon_reviews_as_json_lines():
    config = LogsConfig(
        format="json_lines",
        pattern="reviews_Musical_Instruments_5.json.gz",
        columns=ColumnsConfig(
            "reviewerID", "asin", "unixReviewTime", weight="overall"
        ),
    )
    folder = data("amazon-musical-instruments")
    reading = read_logs(folder, {}, config)
    assert reading.bad == []
    counts = [reading.ingest[name] for name in ("rows", "users", "items")]
    assert counts == [10_261, 1_429, 900]
    table = interactions("amazon-musical-instruments")
    columns = ["user_id", "item_id", "timestamp"]
    expected = table.sort_values(["timestamp", "user_id"], kind="stable")
    assert by_time(reading) == list(expected[columns].itertuples(False, None))

    keep = KeepConfig(min_weight=4)
    reading = read_logs(
        folder, {}, LogsConfig(**{**vars(config), "keep": keep})
    )
    assert len(reading.events) == (table.rating >= 4).sum()
    assert reading.dropped == {"min_weight": (table.rating < 4).sum()}


def test_movielens_100k_with_tabs():
    config = LogsConfig(
        pattern="u.data.gz",
        separator="\t",
        header=False,
        columns=ColumnsConfig(0, 1, 3),
    )
    reading = read_logs(data("ml-100k"), {}, config)
    counts = [reading.ingest[name] for name in ("rows", "users", "items")]
    assert counts == [100_000, 943, 1_682]
    table = interactions("ml-100k")[["user_id", "item_id", "timestamp"]]
    expected = set(table.itertuples(index=False, name=None))
    assert set(by_time(reading)) == expected


def _columns(config: LogsConfig) -> tuple[pa.Array, pa.Array, np.ndarray]:
    (log,) = find_logs(config)
    blocks = [block for _, block in read_file(log, config, 4 << 20)]
    assert not any(block.bad_rows or block.dropped for block in blocks)
    return (
        pa.concat_arrays([block.users.dictionary_decode() for block in blocks]),
        pa.concat_arrays([block.items.dictionary_decode() for block in blocks]),
        np.concatenate([block.keys for block in blocks]),
    )


def test_movielens_1m_in_all_formats(tmp_path: pathlib.Path):
    """The same events come out of ::, CSV, zstd, JSON lines and Parquet."""
    text = gzip.decompress((data("ml-1m") / "ratings.dat.gz").read_bytes())
    table = csv.read_csv(
        pa.BufferReader(text.replace(b"::", b",")),
        csv.ReadOptions(column_names=["uid", "item_id", "stars", "timestamp"]),
    )
    parquet.write_table(
        table, tmp_path / "likes.parquet", row_group_size=99_999
    )
    with pa.OSFile(str(tmp_path / "plain.csv"), "wb") as stream:
        csv.write_csv(table, stream)
    with pa.CompressedOutputStream(str(tmp_path / "a.csv.zst"), "zstd") as s:
        csv.write_csv(table, s)
    table.to_pandas().to_json(tmp_path / "a.json", orient="records", lines=True)
    (tmp_path / "ratings.dat").write_bytes(text)
    named = ColumnsConfig("uid", "item_id", "timestamp")
    path = str(tmp_path)
    colons = LogsConfig(
        path,
        "ratings.dat",
        separator="::",
        header=False,
        columns=ColumnsConfig(0, 1, 3),
    )
    expected = (
        table["uid"].cast(pa.string()).cast(pa.binary()).combine_chunks(),
        table["item_id"].cast(pa.string()).cast(pa.binary()).combine_chunks(),
        table["timestamp"].to_numpy() * SECOND,
    )
    for config in (
        colons,
        LogsConfig(path, "plain.csv", columns=named),
        LogsConfig(path, "a.csv.zst", columns=named),
        LogsConfig(path, "a.json", "json_lines", columns=named),
        LogsConfig(path, "likes.parquet", "parquet", columns=named),
    ):
        users, items, keys = _columns(config)
        assert users.equals(expected[0])
        assert items.equals(expected[1])
        assert np.array_equal(keys, expected[2])
