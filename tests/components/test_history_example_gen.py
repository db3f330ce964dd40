"""Ingest of logs: values by hand, and accounting for every row."""

import dataclasses
import functools
import gzip
import os
import pathlib
from time import perf_counter

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from components.history_example_gen import rows
from components.history_example_gen.config import (
    ColumnsConfig,
    KeepConfig,
    LogsConfig,
)
from components.history_example_gen.fingerprint import input_fingerprint
from components.history_example_gen.formats import read_file
from components.history_example_gen.histories import (
    merge_batches,
    split_by_user,
)
from components.history_example_gen.layouts import find_logs
from components.history_example_gen.readers import LogsError
from components.history_example_gen.times import read_times
from tests.components.ingest_helpers import (
    HEADER,
    read_letters,
    run_ingest,
    write_files,
)

COLONS = LogsConfig(
    separator="::",
    header=False,
    columns=ColumnsConfig(user=0, item=1, timestamp=3),
    max_bad_row_share=1.0,
)


@pytest.fixture
def ingest(tmp_path: pathlib.Path):
    return functools.partial(run_ingest, tmp_path)


def _parse(
    folder: pathlib.Path,
    content: str | bytes,
    config: LogsConfig | None = None,
    block_bytes: int = 1 << 20,
) -> tuple[list[tuple[str, str, int]], list[tuple[int, str, str]]]:
    """(user, item, key) of usable rows, (line, column, reason) of others."""
    write_files(folder, {"log.csv": content})
    config = dataclasses.replace(
        config or LogsConfig(), path=str(folder), pattern="log.csv"
    )
    (log,) = find_logs(config)
    used, bad = [], []
    for _, block in read_file(log, config, block_bytes):
        used += zip(
            [user.decode() for user in block.users.to_pylist()],
            [item.decode() for item in block.items.to_pylist()],
            block.keys.tolist(),
            strict=True,
        )
        bad += [(row.line, row.column, row.reason) for row in block.bad_rows]
    return used, bad


def test_one_example_per_user_oldest_first(ingest):
    result = ingest(
        {
            "a.csv.gz": HEADER + "ann,tea,30\nbob,milk,10\nann,jam,20\n",
            "b.csv": HEADER + "ann,tea,25\ncid,tea,7\n",
        }
    )
    assert result.histories == {
        "ann": (["jam", "tea", "tea"], [20, 25, 30]),
        "bob": (["milk"], [10]),
        "cid": (["tea"], [7]),
    }
    assert result.letters == []
    assert {
        name: result.counts[name]
        for name in ("files", "rows", "used", "dead", "users", "items")
    } == {"files": 2, "rows": 5, "used": 5, "dead": {}, "users": 3, "items": 3}
    examples = result.examples
    assert examples.split_names == '["all"]'
    assert examples.get_string_custom_property("payload_format") == (
        "FORMAT_TF_EXAMPLE"
    )
    assert examples.get_string_custom_property("file_format") == (
        "tfrecords_gzip"
    )
    assert examples.get_int_custom_property("rows") == 5


def test_equal_times_stay_in_the_order_of_files_and_lines(ingest):
    result = ingest(
        {
            "2.csv": HEADER + "ann,third,5\nann,fourth,5\nann,zero,4\n",
            "1.csv": HEADER + "ann,first,5\nann,last,6\nann,second,5\n",
        }
    )
    assert result.histories["ann"] == (
        ["zero", "first", "second", "third", "fourth", "last"],
        [4, 5, 5, 5, 5, 6],
    )


def test_milliseconds_order_before_they_are_floored(ingest):
    config = LogsConfig(time_unit="milliseconds", max_bad_row_share=1.0)
    result = ingest({"a.csv": HEADER + "ann,b,1999\nann,a,1001\n"}, config)
    assert result.histories == {"ann": (["a", "b"], [1, 1])}


def test_dead_letters_name_file_line_column_and_reason(
    ingest, tmp_path: pathlib.Path
):
    result = ingest(
        {
            "a.csv.gz": HEADER
            + "ann,tea,1\n"
            + ",tea,2\n"
            + "\n"
            + "ann, ,3\n"
            + "ann,tea\n"
            + "ann,tea,4,5\r\n"
            + "ann,tea,soon\n",
            "b.csv": HEADER.encode() + b"ann,\xff,6\nann,tea,-7\nann,jam,8",
        }
    )
    first, second = (
        str(tmp_path / "logs" / name) for name in ("a.csv.gz", "b.csv")
    )
    assert [tuple(letter.values()) for letter in result.letters] == [
        (first, 3, "user_id", rows.EMPTY_FIELD, ",tea,2"),
        (first, 5, "item_id", rows.EMPTY_FIELD, "ann, ,3"),
        (first, 6, "timestamp", rows.WRONG_COLUMNS, "ann,tea"),
        (first, 7, rows.WHOLE_ROW, rows.WRONG_COLUMNS, "ann,tea,4,5"),
        (first, 8, "timestamp", rows.UNREADABLE_TIME, "ann,tea,soon"),
        (second, 2, "item_id", rows.NOT_UTF8, "ann,\ufffd,6"),
        (second, 3, "timestamp", rows.IMPOSSIBLE_TIME, "ann,tea,-7"),
    ]
    assert result.histories == {"ann": (["tea", "jam"], [1, 8])}
    assert result.counts["rows"] == 9
    assert result.counts["used"] == 2
    assert result.counts["dead"][rows.EMPTY_FIELD] == 2


def test_too_many_bad_rows_fail_and_leave_the_dead_letters(
    ingest, tmp_path: pathlib.Path
):
    good = "".join(f"ann,tea,{time}\n" for time in range(16))
    bad = ",tea,1\nann,tea,one\nann,tea,two\nann,tea,three\nann,tea,four\n"
    config = LogsConfig(max_bad_row_share=0.2)
    with pytest.raises(LogsError) as raised:
        ingest({"a.csv": HEADER + good + bad}, config)
    message = str(raised.value)
    path = tmp_path / "logs" / "a.csv"
    assert "5 of 21 log rows (23.81%) cannot be used" in message
    assert "`logs.max_bad_row_share` allows 20.00%" in message
    assert "column `timestamp`, 4 rows (19.05% of all" in message
    for line, time in ((19, "one"), (20, "two"), (21, "three")):
        assert f"{path}:{line}: ann,tea,{time}\n" in message
    assert "four" not in message
    assert "`logs.time_unit` (now seconds)" in message
    kept = tmp_path / "dead" / "1-failed"
    assert str(kept / "dead_letters.jsonl.gz") in message
    assert len(read_letters(kept)) == 5
    assert len(read_letters(tmp_path / "dead" / "1")) == 5

    # A share right at the limit is allowed.
    config = LogsConfig(max_bad_row_share=5 / 21)
    assert ingest({"a.csv": HEADER + good + bad}, config).counts["used"] == 16


@pytest.mark.slow
def test_worker_processes_give_the_same_histories(ingest):
    files = {
        f"{name}.csv.gz": HEADER
        + "".join(f"u{n % 7},{name}{n},{n // 3}\n" for n in range(50))
        + "u1,,3\n"
        for name in "abc"
    }
    expected = ingest(files)
    found = ingest(
        files,
        arguments=(
            "--runner=DirectRunner",
            "--direct_running_mode=multi_processing",
            "--direct_num_workers=2",
        ),
    )
    assert found.histories == expected.histories
    assert found.letters == expected.letters
    assert found.counts == expected.counts


@pytest.mark.parametrize("block_bytes", [1, 7, 1 << 20])
def test_lines_are_numbered_across_blocks(
    tmp_path: pathlib.Path, block_bytes: int
):
    used, bad = _parse(
        tmp_path,
        HEADER + "ann,tea,1\n\nann,tea,x\r\nbob,jam,2\r\nbob\n\nbob,tea,3",
        block_bytes=block_bytes,
    )
    assert used == [
        ("ann", "tea", 1_000_000),
        ("bob", "jam", 2_000_000),
        ("bob", "tea", 3_000_000),
    ]
    assert bad == [
        (4, "timestamp", rows.UNREADABLE_TIME),
        (6, "item_id", rows.WRONG_COLUMNS),
    ]


def test_separator_of_several_characters(tmp_path: pathlib.Path):
    content = '1::one, "two::5::10\n2::b::3\n1::c::4::\n7::d::4::30\n'
    names = "user (column 0)", "item (column 1)", "timestamp (column 3)"
    expected = (
        [("1", 'one, "two', 10_000_000), ("7", "d", 30_000_000)],
        [
            (2, names[2], rows.WRONG_COLUMNS),
            (3, names[2], rows.EMPTY_FIELD),
        ],
    )
    assert _parse(tmp_path, content, COLONS) == expected
    # The character that stands for the separator occurs in the log itself.
    assert _parse(tmp_path, content + "8::a\x1fb::4::40\n", COLONS) == (
        [*expected[0], ("8", "a\x1fb", 40_000_000)],
        expected[1],
    )


def test_columns_by_number_tabs_and_byte_order_mark(tmp_path: pathlib.Path):
    config = LogsConfig(
        separator="\t",
        header=False,
        columns=ColumnsConfig(user=2, item=0, timestamp=1),
    )
    content = b"\xef\xbb\xbftea\t5\tann\t1\njam\t6\tbob\t2\n"
    assert _parse(tmp_path, content, config) == (
        [("ann", "tea", 5_000_000), ("bob", "jam", 6_000_000)],
        [],
    )


def test_quoted_fields(tmp_path: pathlib.Path):
    used, bad = _parse(
        tmp_path,
        "note,user_id,item_id,timestamp\n"
        '"a, b","ann","say ""hi""","3"\n'
        '5" pipe,bob,x"y,4\n'
        '"open,ann,tea,5\n'
        "fine,cid,tea,6\n"
        'z"z,"cid,tea,7\n'
        "last,cid,tea,8\n",
    )
    assert used == [
        ("ann", 'say "hi"', 3_000_000),
        ("bob", 'x"y', 4_000_000),
        ("cid", "tea", 6_000_000),
        ("cid", "tea", 8_000_000),
    ]
    assert bad == [
        (4, rows.WHOLE_ROW, rows.UNCLOSED_QUOTE),
        (6, rows.WHOLE_ROW, rows.UNCLOSED_QUOTE),
    ]


def test_quotes_can_be_plain_characters(tmp_path: pathlib.Path):
    config = LogsConfig(quotes=False)
    assert _parse(tmp_path, HEADER + '"ann,"tea",1\n', config) == (
        [('"ann', '"tea"', 1_000_000)],
        [],
    )


def test_times_in_seconds_and_milliseconds():
    texts = ["5", "1.5", "2e3", " 7 ", "-1", "nan", "inf", "9" * 19, "x", "1_0"]
    times = read_times(pa.array(texts), "seconds")
    assert times.keys[:4].tolist() == [
        5_000_000,
        1_500_000,
        2_000_000_000,
        7_000_000,
    ]
    assert times.impossible.tolist() == 4 * [False] + 4 * [True] + 2 * [False]
    assert times.unreadable.tolist() == 8 * [False] + 2 * [True]
    times = read_times(pa.array(["5", "-5"]), "milliseconds")
    assert times.keys.tolist() == [5000, 0]
    assert times.impossible.tolist() == [False, True]


def test_iso8601_times():
    good = [
        "2024-02-29",
        "2024-02-29 12:30",
        "2024-02-29T12:30:15.250",
        "2024-02-29T12:30:15Z",
        "2024-02-29T12:30:15.000000001+02:00",
    ]
    bad = ["2023-02-29", "soon", "5", "2024-02-29T25:00:00Z", "", "1024-01-01"]
    times = read_times(
        pa.array([*good, *bad, "1969-12-31T23:59:59Z"]), "iso8601"
    )
    expected = [pd.Timestamp(text) for text in good]
    expected = [t.tz_localize("UTC") if t.tz is None else t for t in expected]
    assert times.keys[:5].tolist() == [time.value for time in expected]
    assert times.unreadable.tolist() == 5 * [False] + 6 * [True] + [False]
    assert times.impossible.tolist() == 11 * [False] + [True]
    single = read_times(pa.array(good[3:4]), "iso8601")
    assert single.keys.tolist() == [expected[3].value]


@pytest.mark.parametrize("seed", range(3))
def test_every_row_is_used_once_or_set_aside(tmp_path: pathlib.Path, seed: int):
    """Random logs, broken at random, against a line-by-line reading."""
    random = np.random.default_rng(seed)
    broken = ["u1,i1", "u1,,3", ",i1,3", "u1,i1,x", "a,b,3,4", '"u1,i1,3', ",,"]
    lines = [
        str(random.choice(broken))
        if random.random() < 0.1
        else f"u{random.integers(5)},i{line},{random.integers(9)}"
        for line in range(200)
    ]
    config = LogsConfig(path=str(tmp_path), pattern="*", num_buckets=3)
    write_files(tmp_path, {"log.csv": HEADER + "\n".join(lines)})
    (log,) = find_logs(config)
    batches, num_rows, num_bad = {}, 0, 0
    for line, block in read_file(log, config, block_bytes=400):
        num_rows += block.num_rows
        num_bad += len(block.bad_rows)
        for bucket, batch in split_by_user(block, 0, line, 3):
            batches.setdefault(bucket, []).append(batch)
    found = {}
    for bucket in batches.values():
        order = random.permutation(len(bucket))
        merged = merge_batches([bucket[i] for i in order])
        users = merged.user_ids.to_pylist()
        assert users == sorted(users)
        items = merged.item_ids.take(pa.array(merged.items)).to_pylist()
        for user, user_id in enumerate(users):
            events = slice(*merged.offsets[user : user + 2])
            found[user_id.decode()] = items[events]
    expected: dict[str, list[tuple[int, int, bytes]]] = {}
    for number, line in enumerate(lines):
        if line not in broken:
            user, item, time = line.split(",")
            event = (int(time), number, item.encode())
            expected.setdefault(user, []).append(event)
    assert found == {
        user: [item for _, _, item in sorted(events)]
        for user, events in expected.items()
    }
    assert num_rows == 200
    assert num_bad == sum(line in broken for line in lines)


@pytest.mark.parametrize(
    ("files", "changes", "words"),
    [
        ({}, {"path": "/nowhere"}, ["`logs.path` '/nowhere'", "not exist"]),
        ({}, {}, ["is a file or a folder without files"]),
        (
            {"log.tsv": HEADER},
            {"pattern": "*.csv"},
            ["`logs.pattern` '*.csv'", "'log.tsv'", "Did you mean 'log.tsv'?"],
        ),
        (
            {"log.csv": "userid,item_id,timestamp\nu,i,1\n"},
            {},
            [
                "log.csv: no column 'user_id'",
                "`logs.columns.user`",
                "'userid', 'item_id', 'timestamp'",
                "Did you mean 'userid'?",
            ],
        ),
        (
            {"log.csv": HEADER.replace(",", ";")},
            {},
            ["is `logs.separator` ',' right? It may be ';'."],
        ),
        (
            {"2024/03/a.csv": HEADER, "2024/04/b.csv": HEADER},
            {"pattern": "*.csv"},
            [
                "lie in sub-folders: '2024/03/a.csv', '2024/04/b.csv'",
                '`logs.pattern: "**/*.csv"`',
            ],
        ),
        (
            {"2024/a.tsv.gz": HEADER},
            {"pattern": "x/*.csv"},
            ["sub-folders: '2024/a.tsv.gz'", '`logs.pattern: "**/*.tsv.gz"`'],
        ),
        (
            {"log.csv": "7,8,123\n"},
            {},
            ["set `logs.header: false`"],
        ),
        (
            {"log.csv": "1\t2\t3\t4\n"},
            {
                "header": False,
                "columns": ColumnsConfig(user=0, item=1, timestamp=3),
            },
            ["`logs.columns.item` is 1", "have 1 columns", "'1\\t2\\t3\\t4'"],
        ),
        (
            {"log.csv": HEADER},
            {"compression": "gzip"},
            ["is a plain file", "`logs.compression: auto`"],
        ),
        ({"log.csv": b"PK\x03\x04"}, {}, ["log.csv is a zip archive"]),
    ],
)
def test_errors_name_file_key_and_fix(
    tmp_path: pathlib.Path,
    files: dict[str, str | bytes],
    changes: dict[str, object],
    words: list[str],
):
    write_files(tmp_path, files)
    config = LogsConfig(path=str(tmp_path), pattern="*")
    with pytest.raises(LogsError) as raised:
        find_logs(dataclasses.replace(config, **changes))
    for word in words:
        assert word in str(raised.value)


def test_a_file_in_the_place_of_the_folder(tmp_path: pathlib.Path):
    write_files(tmp_path, {"log.csv": HEADER})
    path = str(tmp_path / "log.csv")
    with pytest.raises(LogsError) as raised:
        find_logs(LogsConfig(path=path))
    fix = f'Set `logs.path: {tmp_path}` and `logs.pattern: "log.csv"`.'
    assert str(raised.value).endswith(fix)


def test_logs_without_rows_are_an_error(ingest):
    with pytest.raises(LogsError, match="no row in the 2 files matching"):
        ingest({"a.csv": HEADER, "b.csv": ""})


def test_a_cut_off_gzip_file_is_an_error(ingest):
    noise = np.random.default_rng(0).integers(1 << 40, size=20_000)
    whole = gzip.compress(
        (HEADER + "".join(f"u,{item},1\n" for item in noise)).encode()
    )
    with pytest.raises(LogsError, match="a.csv is a damaged gzip file"):
        ingest({"a.csv": whole[:-20_000]})


@pytest.mark.data
@pytest.mark.skipif(
    "CREATE_DATA_ROOT" not in os.environ, reason="CREATE_DATA_ROOT is not set"
)
def test_movielens_1m(ingest):
    path = pathlib.Path(os.environ["CREATE_DATA_ROOT"]) / "ml-1m"
    packed = (path / "ratings.dat.gz").read_bytes()
    start = perf_counter()
    result = ingest({"ratings.dat": gzip.decompress(packed)}, COLONS)
    assert perf_counter() - start < 60  # some 6 on 2 quiet cores
    assert result.counts["rows"] == result.counts["used"] == 1_000_209
    assert result.counts["users"] == len(result.histories) == 6040
    assert result.counts["items"] == 3706
    assert all(times == sorted(times) for _, times in result.histories.values())


def test_fingerprint_follows_the_content(tmp_path: pathlib.Path):
    config = LogsConfig(path=str(tmp_path), pattern="*.csv")
    write_files(tmp_path, {"a.csv": HEADER + "u,i,1\n"})
    first = input_fingerprint(config)
    write_files(tmp_path, {"a.csv": HEADER + "u,i,1\n", "other.txt": "x"})
    assert input_fingerprint(config) == first
    write_files(tmp_path, {"a.csv": HEADER + "u,i,2\n"})
    changed = input_fingerprint(config)
    (tmp_path / "a.csv").rename(tmp_path / "b.csv")
    renamed = input_fingerprint(config)
    write_files(tmp_path, {"c.csv": HEADER})
    assert len({first, changed, renamed, input_fingerprint(config)}) == 4


def test_json_lines_packed_with_zstd_and_rules(ingest, tmp_path: pathlib.Path):
    config = LogsConfig(
        format="json_lines",
        time_unit="milliseconds",
        max_bad_row_share=0.5,
        columns=ColumnsConfig(
            user="reviewerID", item="asin", timestamp="at", weight="overall"
        ),
        keep=KeepConfig(min_weight=3.0),
    )
    template = '{"reviewerID": %s, "asin": "tea", "at": %d, "overall": %s}\n'
    march = 1_393_632_000
    rows_of_log = [(7.0, 9, "4.0"), (7, 5, "5"), (7, 3, "2"), (7, 1, "null")]
    lines = "".join(
        template % (user, 1000 * (march + second), stars)
        for user, second, stars in rows_of_log
    )
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(lines.encode())
    files = {"a.json.zst": sink.getvalue().to_pybytes()}
    result = ingest(files, config)
    assert result.histories == {"7": (["tea", "tea"], [march + 5, march + 9])}
    assert result.counts["dropped"] == {"min_weight": 1}
    assert result.counts["dead"] == {rows.UNREADABLE_WEIGHT: 1}
    assert result.counts["rows"] == 4

    config = dataclasses.replace(config, time_unit="seconds")
    with pytest.raises(LogsError) as raised:
        ingest(files, config)
    assert "Set `logs.time_unit: milliseconds`." in str(raised.value)
    kept = tmp_path / "dead" / "1-failed"
    assert str(kept / "dead_letters.jsonl.gz") in str(raised.value)
    assert len(read_letters(kept)) == 4
