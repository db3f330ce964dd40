"""Which texts are ids, and which stand for a missing value."""

import dataclasses
import json
import pathlib

import pyarrow as pa
import pytest

from components.history_example_gen import rows, rules
from components.history_example_gen.config import (
    ColumnsConfig,
    KeepConfig,
    LogsConfig,
)
from components.history_example_gen.logs import LogsError
from tests.components.log_helpers import HEADER, check_logs, read_logs

JSON = LogsConfig(format="json_lines")
PARQUET = LogsConfig(format="parquet")


def events(reading) -> list[tuple[str, str]]:
    return [(user, item) for user, item, _ in reading.events]


def json_line(user: object, item: object, timestamp: object = 5) -> str:
    values = {"user_id": user, "item_id": item, "timestamp": timestamp}
    return json.dumps(values) + "\n"


@pytest.mark.parametrize("quoted", ["", '"q",tea,9\n'])
def test_a_cr_inside_of_a_csv_line(tmp_path: pathlib.Path, quoted: str):
    content = (
        HEADER
        + quoted
        + "u1,a\rb,5\nu2,tea,6\r\nu\r3,tea,7\n"
        + 'u4,"a\rb",8\nu5,"tea",8\n'
    )
    reading = read_logs(tmp_path, {"a.csv": content})
    first = 1 + bool(quoted)
    assert events(reading)[-2:] == [("u2", "tea"), ("u5", "tea")]
    assert reading.bad == [
        (first + 1, "item_id", rows.LINE_BREAK),
        (first + 3, "user_id", rows.LINE_BREAK),
        (first + 4, "item_id", rows.LINE_BREAK),
    ]
    with pytest.raises(LogsError, match="line break in an id: 2"):
        check_logs(tmp_path, {"a.csv": content})


@pytest.mark.parametrize("quote", ["", '"'])
def test_a_cr_does_not_make_two_rows_of_one(tmp_path: pathlib.Path, quote):
    """Nor where a line break inside of quotes makes up for it in number."""
    content = (
        "user_id,item_id,timestamp,text\n"
        "u1,tea,5,x\ru2,tea,6,y\n"
        f"u3,tea,7,{quote}x\n{quote}\nu4,tea,8,z\n"
    )
    reading = read_logs(tmp_path, {"a.csv": content})
    assert events(reading)[-1] == ("u4", "tea")
    assert "u2" not in {user for user, _ in events(reading)}
    assert (2, "whole row", rows.WRONG_COLUMNS) in reading.bad


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r\r\n", "\r\r\r\n"])
@pytest.mark.parametrize("header", [True, False])
def test_any_number_of_cr_ends_a_line(tmp_path: pathlib.Path, ends, header):
    lines = ["timestamp,user_id,item_id"] * header
    lines += [f"{n},u{n % 3},i{n}" for n in range(50)]
    lines[20] = '20,"u2",i'
    content = ends.join([*lines, ""])
    columns = ColumnsConfig() if header else ColumnsConfig(1, 2, 0)
    config = LogsConfig(header=header, columns=columns)
    reading = read_logs(tmp_path, {"a.csv": content}, config, block_bytes=100)
    assert len(reading.events) == 50
    assert reading.bad == []
    assert not any("\r" in text for event in events(reading) for text in event)


def test_line_breaks_in_json_ids(tmp_path: pathlib.Path):
    content = (
        json_line("u1", "a\r\nb")
        + json_line("u\n1", "tea")
        + json_line("u1", "tea\r")
        + json_line("u1", "a\tb\0c")
    )
    reading = read_logs(tmp_path, {"a.jsonl": content}, JSON)
    assert events(reading) == [("u1", "a\tb\0c")]
    assert reading.bad == [
        (1, "item_id", rows.LINE_BREAK),
        (2, "user_id", rows.LINE_BREAK),
        (3, "item_id", rows.LINE_BREAK),
    ]


@pytest.mark.parametrize("dictionary", [False, True])
def test_ids_in_parquet(tmp_path: pathlib.Path, dictionary: bool):
    items = pa.array(["tea", "a\nb", None, " ", "tea", "NULL", " tea"])
    if dictionary:
        items = items.dictionary_encode()
    users = pa.array(["ann", "ann", "bob", "bob", "bob", "ann", None])
    table = pa.table(
        {"user_id": users, "item_id": items, "timestamp": [5] * len(items)}
    )
    reading = read_logs(tmp_path, {"a.parquet": table}, PARQUET)
    assert events(reading) == [("ann", "tea"), ("bob", "tea")]
    assert reading.bad == [
        (2, "item_id", rows.LINE_BREAK),
        (3, "item_id", rows.MISSING_VALUE),
        (4, "item_id", rows.EMPTY_FIELD),
        (6, "item_id", rows.MISSING_VALUE),
        (7, "user_id", rows.MISSING_VALUE),
    ]


def test_a_column_without_any_id(tmp_path: pathlib.Path):
    table = pa.table(
        {
            "user_id": pa.nulls(3),
            "item_id": pa.nulls(3, pa.string()),
            "timestamp": [5] * 3,
        }
    )
    reading = read_logs(tmp_path, {"a.parquet": table}, PARQUET)
    assert reading.events == []
    assert reading.ingest["dead"] == {rows.MISSING_VALUE: 3}


NULLS = ["\\N", "NULL", "null", "None", "NaN", "nan"]


@pytest.mark.parametrize("null", [*NULLS, f" {NULLS[0]}\t"])
def test_nulls_written_as_text(tmp_path: pathlib.Path, null: str):
    content = HEADER + f"{null},tea,5\nann,{null},6\nann,tea,{null}\nann,a,7\n"
    reading = read_logs(tmp_path, {"a.csv": content})
    assert events(reading) == [("ann", "a")]
    assert reading.bad == [
        (2, "user_id", rows.MISSING_VALUE),
        (3, "item_id", rows.MISSING_VALUE),
        (4, "timestamp", rows.MISSING_VALUE),
    ]
    with pytest.raises(LogsError, match="missing or null value"):
        check_logs(tmp_path, {"a.csv": content})


def test_other_null_values(tmp_path: pathlib.Path):
    config = LogsConfig(null_values=("0", "n/a"))
    content = HEADER + "0,tea,5\nann,n/a,6\nann,NULL,7\nann,tea,0\n00,a,8\n"
    reading = read_logs(tmp_path, {"a.csv": content}, config)
    assert events(reading) == [("ann", "NULL"), ("00", "a")]
    reading = read_logs(
        tmp_path, {}, dataclasses.replace(config, null_values=())
    )
    assert len(reading.events) == 5


def test_null_values_in_json(tmp_path: pathlib.Path):
    """Texts only count where somebody wrote them for a null."""
    content = (
        json_line("NULL", "tea")
        + json_line("ann", "NaN")
        + json_line("ann", "tea", "\\N")
        + json_line("ann", "nullable")
        + json_line(None, "tea")
    )
    reading = read_logs(tmp_path, {"a.jsonl": content}, JSON)
    assert events(reading) == [("ann", "nullable")]
    assert {reason for _, _, reason in reading.bad} == {rows.MISSING_VALUE}


def test_blanks_around_fields_mean_nothing(tmp_path: pathlib.Path):
    files = {
        "a.csv": HEADER + "ann,tea,1\nbob ,\ttea,2\n",
        "b.csv": 'user_id, item_id, timestamp\nann, tea, 3\n"bob"," tea\t",4\n',
        "c.csv": HEADER + "ann,black tea,5\n\u00a0ann,tea,6\n",
    }
    reading = read_logs(tmp_path, files)
    assert events(reading) == [
        ("ann", "tea"),
        ("bob", "tea"),
        ("ann", "tea"),
        ("bob", "tea"),
        ("ann", "black tea"),
        ("\u00a0ann", "tea"),
    ]
    tabs = files["a.csv"].replace("\ttea", "tea").replace(",", " \t")
    config = LogsConfig(separator="\t")
    reading = read_logs(tmp_path / "tabs", {"a.tsv": tabs}, config)
    assert events(reading) == [("ann", "tea"), ("bob", "tea")]


def test_json_and_parquet_ids_stay_as_they_are(tmp_path: pathlib.Path):
    reading = read_logs(tmp_path, {"a": json_line(" ann", "tea ")}, JSON)
    assert events(reading) == [(" ann", "tea ")]
    table = pa.table(
        {"user_id": [" ann"], "item_id": ["tea "], "timestamp": [5]}
    )
    reading = read_logs(tmp_path / "p", {"a": table}, PARQUET)
    assert events(reading) == [(" ann", "tea ")]


def test_blanks_around_event_types(tmp_path: pathlib.Path):
    config = LogsConfig(
        columns=ColumnsConfig(event_type="what"),
        keep=KeepConfig(event_types=("buy",)),
    )
    content = "user_id,item_id,timestamp,what\n"
    content += "ann,tea,1,buy\nann,jam,2, buy\nann,egg,3,buy it\n"
    reading = read_logs(tmp_path, {"a.csv": content}, config)
    assert events(reading) == [("ann", "tea"), ("ann", "jam")]
    assert reading.dropped == {rules.EVENT_TYPE: 1}
