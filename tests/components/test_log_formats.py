"""JSON lines and Parquet: values by hand, and against Python's json."""

import dataclasses
import datetime
import decimal
import json
import pathlib
import time

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components.history_example_gen import (
    json_lines,
    json_objects,
    rows,
    streams,
)
from components.history_example_gen.config import (
    ColumnsConfig,
    KeepConfig,
    LogsConfig,
)
from components.history_example_gen.formats import read_file
from components.history_example_gen.layouts import find_logs
from components.history_example_gen.readers import LogsError
from tests.components.log_helpers import (
    LIKES,
    REVIEWS,
    check_logs,
    read_logs,
    write_logs,
)

BIG = 2**53 + 1
SECOND = 1_000_000


def review(user: object, item: object, moment: object, **others: object) -> str:
    values = {"reviewerID": user, "asin": item, "unixReviewTime": moment}
    return json.dumps(values | others) + "\n"


def test_json_lines_ignore_other_keys(tmp_path: pathlib.Path):
    lines = review(
        "ann", "tea", 5, helpful=[0, 1], reviewText="{}\n\"[' end", overall=5.0
    )
    lines += '{"asin": "jam", "x": {"reviewerID": 3}, "unixReviewTime": 7, '
    lines += '"reviewerID": "bob"}\r\n\n'
    lines += review("é😀", 'a,"b"\t', 6)
    reading = read_logs(tmp_path, {"a.json": lines}, REVIEWS)
    assert reading.events == [
        ("ann", "tea", 5 * SECOND),
        ("bob", "jam", 7 * SECOND),
        ("é😀", 'a,"b"\t', 6 * SECOND),
    ]
    assert reading.bad == []


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ([1, 2], ["1", "2"]),
        ([1.0, 2], ["1", "2"]),
        ([1.5, -2], ["1.5", "-2"]),
        ([BIG, BIG + 1], [str(BIG), str(BIG + 1)]),
        ([BIG, 1.0], [str(BIG), "1"]),
        ([2**63, 2**64 - 1], [str(2**63), str(2**64 - 1)]),
        ([2**64, -1], [str(2**64), "-1"]),
        ([1e20, 1e-7], [str(10**20), "1e-07"]),
        (["1.0", 1], ["1.0", "1"]),
        ([True, "x"], ["true", "x"]),
        ([True, False], ["true", "false"]),
    ],
)
def test_json_ids_become_text(tmp_path: pathlib.Path, values, texts):
    lines = "".join(review(value, "tea", 5) for value in values)
    reading = read_logs(tmp_path, {"a.json": lines}, REVIEWS)
    assert [user for user, _, _ in reading.events] == texts


@pytest.mark.parametrize("moments", [[5, 6.5], ["5", "6.5"], [5, "6.5"]])
def test_json_times_are_numbers_or_text(tmp_path: pathlib.Path, moments):
    lines = "".join(review("ann", "tea", moment) for moment in moments)
    reading = read_logs(tmp_path, {"a.json": lines}, REVIEWS)
    assert [key for _, _, key in reading.events] == [5_000_000, 6_500_000]


def test_unusable_json_lines_are_named(tmp_path: pathlib.Path):
    lines = [
        review("ann", "tea", 5),
        "[1, 2]\n",
        '{"reviewerID": "ann", "asin": "tea"}\n',
        "  \n",
        review(None, "tea", 5),
        review("ann", ["tea"], 5),
        review("ann", " ", 5),
        review("ann", "tea", "soon"),
        review("ann", "tea", -5),
        review("ann", "tea", float("nan")),
        '{"reviewerID": "ann", "asin": "te\n',
        'a", "unixReviewTime": 5}\n',
        review("ann", "a", 1).strip() + review("ann", "b", 2),
        '{"reviewerID": "ann",\n',
        "[" * 100_000 + "\n",
        review("bob", "jam", 9),
    ]
    reading = read_logs(tmp_path, {"a.json": "".join(lines)}, REVIEWS)
    assert reading.events == [
        ("ann", "tea", 5 * SECOND),
        ("bob", "jam", 9 * SECOND),
    ]
    whole = (rows.WHOLE_ROW, rows.NOT_JSON)
    assert reading.bad == [
        (2, *whole),
        (3, "unixReviewTime", rows.MISSING_VALUE),
        (5, "reviewerID", rows.MISSING_VALUE),
        (6, "asin", rows.NESTED_VALUE),
        (7, "asin", rows.EMPTY_FIELD),
        (8, "unixReviewTime", rows.UNREADABLE_TIME),
        (9, "unixReviewTime", rows.IMPOSSIBLE_TIME),
        (10, "unixReviewTime", rows.MISSING_VALUE),
        (11, *whole),
        (12, *whole),
        (13, *whole),
        (14, *whole),
        (15, *whole),
    ]
    assert reading.texts[0] == "[1, 2]"
    assert len(reading.texts[-1]) == 500


def test_bytes_that_are_no_utf8_matter_in_ids_only(tmp_path: pathlib.Path):
    good = review("ann", "tea", 5).encode()
    lines = good.replace(b"ann", b"\xe9") + b'{"x": "\xe9", ' + good[1:]
    for others in (b"", b"[]\n"):  # with and without Arrow
        reading = read_logs(tmp_path, {"a.json": lines + others}, REVIEWS)
        assert reading.events == [("ann", "tea", 5 * SECOND)]
        assert reading.bad[0] == (1, "reviewerID", rows.NOT_UTF8)
    half = good.replace(b"ann", rb"\ud800")
    reading = read_logs(tmp_path, {"a.json": half + good}, REVIEWS)
    assert reading.bad == [(1, "reviewerID", rows.NOT_UTF8)]


_SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(-1e9, 1e9),
    st.text(max_size=3),
    st.lists(st.integers(), max_size=1),
)
_LINES = st.one_of(
    st.sampled_from(
        ["", "  ", "{", "}", "[]", "7", '{"asin": 1}', '{"a":1}{}']
    ),
    st.fixed_dictionaries(
        {
            "reviewerID": _SCALARS,
            "asin": _SCALARS,
            "unixReviewTime": st.one_of(st.integers(0, 9), _SCALARS),
        }
    ).map(json.dumps),
    st.integers(0, 99).map(lambda n: review(f"u{n}", n, n).strip()),
)


@settings(
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.lists(_LINES, max_size=40), st.sampled_from([100, 1 << 20]))
def test_blocks_and_arrow_change_nothing(
    tmp_path: pathlib.Path, monkeypatch, lines: list[str], block_bytes: int
):
    """Arrow over any blocks gives what Python gives line by line."""
    lines = [review("ann", "tea", 5).strip(), *lines]
    files = {"a.json": "\n".join(lines)}
    with monkeypatch.context() as patch:
        patch.setattr(json_lines, "_PIECE_BYTES", 50)
        found = read_logs(tmp_path, files, REVIEWS, block_bytes)
    with monkeypatch.context() as patch:
        patch.setattr(json_lines, "_read_together", lambda *_: None)
        expected = read_logs(tmp_path, files, REVIEWS)
    assert found == expected
    num_rows = sum(bool(line.strip(" ")) for line in lines)
    assert len(found.events) + len(found.bad) == num_rows


@pytest.mark.parametrize("length", [1, 1 << 20])
def test_many_rows_and_long_lines_need_no_python(
    tmp_path: pathlib.Path, monkeypatch, length: int
):
    number = 120_000 if length == 1 else 3
    lines = [review(n, n, n, reviewText="x" * length) for n in range(number)]
    monkeypatch.setattr(json_lines, "read_one_by_one", None)
    if length == 1:
        monkeypatch.setattr(json_lines, "_read_pieces", None)
    reading = read_logs(
        tmp_path, {"a.json": "".join(lines)}, REVIEWS, block_bytes=16 << 20
    )
    assert reading.events == [
        (str(n), str(n), n * SECOND) for n in range(number)
    ]


def test_python_reads_only_the_lines_around_a_bad_one(
    tmp_path: pathlib.Path, monkeypatch
):
    lines = [review(f"u{n}", f"i{n}", n) for n in range(20_000)]
    expected = read_logs(tmp_path, {"a.json": "".join(lines)}, REVIEWS).events
    lines[10_000] = "{\n"
    del expected[10_000]
    sizes = []

    def watched(data: bytes, keys: dict[str, str]) -> rows.Fields:
        sizes.append(len(data))
        return json_objects.read_one_by_one(data, keys)

    monkeypatch.setattr(json_lines, "read_one_by_one", watched)
    reading = read_logs(tmp_path, {"a.json": "".join(lines)}, REVIEWS)
    assert reading.events == expected
    assert reading.bad == [(10_001, rows.WHOLE_ROW, rows.NOT_JSON)]
    assert len(sizes) == 1
    assert sizes[0] < 70_000 < len("".join(lines)) / 10


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (
            review("a", "b", 1).replace("asin", "asn"),
            ["no key 'asin'", "'asn'"],
        ),
        ("a,b,c\n", ["a.json:1: no JSON object", "`logs.format`"]),
        ("[\n", ["a.json:1: no JSON object"]),
        ("\n \r\n\r\r\nfoo\nbar\n", ["a.json:4: no JSON object", ": 'foo'."]),
        (
            json.dumps([json.loads(review("a", "b", 1))]),
            ["a.json:1: no JSON object", "a JSON array", "`jq -c '.[]'`"],
        ),
        ('["a", "b", 1]\n', ["no JSON object", "Correct `logs.format`"]),
    ],
)
def test_json_lines_without_the_keys(tmp_path: pathlib.Path, lines, words):
    with pytest.raises(LogsError) as raised:
        read_logs(tmp_path, {"a.json": lines}, REVIEWS)
    for word in words:
        assert word in str(raised.value)


@pytest.mark.parametrize("line", ['{"reviewerID": "bob"}\n', "{}\n"])
def test_a_key_may_be_missing_in_all_rows_of_a_file(
    tmp_path: pathlib.Path, line: str
):
    """The same rows are dead letters, however they are cut into files."""
    good = review("ann", "tea", 1)
    config = dataclasses.replace(REVIEWS, max_bad_row_share=0.7)
    one = read_logs(tmp_path / "one", {"a": line + good + line}, config)
    files = {"a": line, "b": good, "c": line + "\n"}
    several = read_logs(tmp_path / "several", files, config)
    assert one.events == several.events == [("ann", "tea", 1_000_000)]
    assert [bad[1:] for bad in one.bad] == [bad[1:] for bad in several.bad]
    assert several.ingest["dead"] == {rows.MISSING_VALUE: 2}
    with pytest.raises(LogsError, match="`logs.max_bad_row_share`"):
        check_logs(tmp_path / "several", {}, REVIEWS)


def test_a_key_that_is_in_no_file(tmp_path: pathlib.Path):
    line = review("ann", "tea", 1).replace("asin", "asn")
    files = {"a": "\n", "b": '{"x": 1}\n', "c": line}
    with pytest.raises(LogsError) as raised:
        read_logs(tmp_path, files, REVIEWS)
    message = str(raised.value)
    assert f"{tmp_path / 'b'}: no key 'asin' in the first 1 obj" in message
    assert "nor in those of 1 other files" in message
    assert "Did you mean 'asn'?" in message


def test_a_file_without_line_ends_is_named_soon(tmp_path: pathlib.Path):
    """One line of 80 MiB: every chunk searched anew would take a minute."""
    (tmp_path / "a.json").write_bytes(b"[" + b'{"asin": "tea"},' * (5 << 20))
    started = time.process_time()
    with pytest.raises(LogsError) as raised:
        read_logs(tmp_path, {}, REVIEWS)
    assert time.process_time() - started < 10
    for words in (
        "a.json: the first line has no end within 64 MiB",
        '[{"asin": "tea"},{',
        "`jq -c '.[]'`",
    ):
        assert words in str(raised.value)


@pytest.mark.parametrize("pad", ["", "\n", " \r\n", "\ufeff"])
def test_starts_of_any_chunks(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, pad: str
):
    """However the chunks fall, the second line is found, and no more read."""
    first, second = review("ann", "tea", 1), review("bob", "jam", 2)
    text = (pad + first + "\r\n \n" + second * 9).encode()
    (tmp_path / "a").write_bytes(text)
    needed = text.index(second.encode()) + 1
    for size in range(1, len(text)):
        monkeypatch.setattr(streams, "_START_BYTES", size)
        start = streams.read_start(str(tmp_path / "a"), "none")
        assert text.startswith(start)
        assert needed <= len(start) < needed + size


def test_a_line_over_many_blocks(tmp_path: pathlib.Path):
    """3 MB in blocks of 16 bytes: joining them one by one takes minutes."""
    lines = [
        review("ann", "tea", 1),
        review("bob", "jam", 2, text="x" * 3_000_000),
        review("eve", "pie", 3).strip(),
    ]
    started = time.process_time()
    reading = read_logs(
        tmp_path, {"a.json": "".join(lines)}, REVIEWS, block_bytes=16
    )
    assert time.process_time() - started < 10
    assert [event[:2] for event in reading.events] == [
        ("ann", "tea"),
        ("bob", "jam"),
        ("eve", "pie"),
    ]


def test_json_lines_read_as_csv_name_the_format(tmp_path: pathlib.Path):
    with pytest.raises(LogsError, match="`logs.format: json_lines`"):
        read_logs(tmp_path, {"a.csv": review("a", "b", 1)})


def likes(user: pa.Array, item: pa.Array, moment: pa.Array) -> pa.Table:
    return pa.table({"uid": user, "timestamp": moment, "item_id": item})


@pytest.mark.parametrize(
    ("column", "texts"),
    [
        (pa.array([1, 2], pa.uint32()), ["1", "2"]),
        (pa.array([BIG, -BIG]), [str(BIG), str(-BIG)]),
        (pa.array([2**64 - 1, 0], pa.uint64()), [str(2**64 - 1), "0"]),
        (pa.array([1.0, 2.0**60]), ["1", str(2**60)]),
        (pa.array([0.1, 1e20]), ["0.1", str(10**20)]),
        (pa.array([0.1, 7.0], pa.float32()), ["0.1", "7"]),
        (pa.array([True, False]), ["true", "false"]),
        (pa.array(["a,b", 'q"\t😀']), ["a,b", 'q"\t😀']),
        (pa.array(["a", "b"], pa.large_string()), ["a", "b"]),
        (pa.array([b"a", b"b"], pa.binary(1)), ["a", "b"]),
        (pa.array(["a", "b"]).dictionary_encode(), ["a", "b"]),
        (pa.array([7, 8]).dictionary_encode(), ["7", "8"]),
    ],
)
def test_parquet_ids_become_text(tmp_path: pathlib.Path, column, texts):
    table = likes(column, pa.array([3, 4]), pa.array([5, 6]))
    reading = read_logs(tmp_path, {"a.parquet": table}, LIKES)
    assert reading.events == [
        (texts[0], "3", 5 * SECOND),
        (texts[1], "4", 6 * SECOND),
    ]


@pytest.mark.parametrize(
    "column",
    [
        pa.array([1.5, 2], pa.float64()),
        pa.array(["1.5", "2"]),
        pa.array([1500, 2000], pa.timestamp("ms")),
        pa.array([1_500_000_999, 2 * 10**9], pa.timestamp("ns", "UTC")),
    ],
)
def test_parquet_times(tmp_path: pathlib.Path, column):
    table = likes(pa.array([1, 1]), pa.array([3, 4]), column)
    reading = read_logs(tmp_path, {"a.parquet": table}, LIKES)
    assert [key for _, _, key in reading.events] == [1_500_000, 2_000_000]


def test_parquet_rows_are_numbered_across_row_groups(tmp_path: pathlib.Path):
    table = likes(
        pa.array([1.0, None, 3, float("nan"), 5, 6, 7]),
        pa.array(["a", "b", None, "d", " ", b"\xff", "g"], pa.binary()),
        pa.array([1, 2, 3, 4, 5, 6, -7]),
    ).append_column("more", pa.array([[1]] * 7))
    path = tmp_path / "a.parquet"
    pa.parquet.write_table(table, path, row_group_size=3)
    expected = [
        (2, "uid", rows.MISSING_VALUE),
        (3, "item_id", rows.MISSING_VALUE),
        (4, "uid", rows.MISSING_VALUE),
        (5, "item_id", rows.EMPTY_FIELD),
        (6, "item_id", rows.NOT_UTF8),
        (7, "timestamp", rows.IMPOSSIBLE_TIME),
    ]
    for block_bytes in (1, 64, 1 << 20):
        reading = read_logs(tmp_path, {}, LIKES, block_bytes)
        assert reading.events == [("1", "a", SECOND)]
        assert reading.bad == expected
        assert json.loads(reading.texts[1]) == {
            "uid": 3.0,
            "timestamp": 3,
            "item_id": None,
        }


def test_parquet_files_that_cannot_be_read(tmp_path: pathlib.Path):
    path = tmp_path / "a.parquet"
    ones = pa.array([1])

    def error(**changes: object) -> str:
        config = dataclasses.replace(
            LIKES, path=str(tmp_path), pattern="a.parquet", **changes
        )
        with pytest.raises(LogsError) as raised:
            (log,) = find_logs(config)
            list(read_file(log, config, 1 << 20))
        assert str(path) in str(raised.value)
        return str(raised.value)

    table = likes(ones, ones, ones)
    write_logs(tmp_path, {"a.parquet": table})
    columns = ColumnsConfig(user="uid", item="item", timestamp="timestamp")
    message = error(columns=columns)
    assert "no column 'item', as `logs.columns.item`" in message
    assert "'item_id'?" in message
    assert "`logs.format: parquet`" in error(format="delimited")
    data = path.read_bytes()
    path.write_bytes(data[:-20])
    assert "is no Parquet file or is damaged" in error()
    start = data.index(b"PAR1") + 4
    path.write_bytes(data[:start] + b"\xff" * 40 + data[start + 40 :])
    assert "is no Parquet file or is damaged" in error()
    path.write_bytes(b"")
    assert "is no Parquet file or is damaged" in error()
    for kind in (pa.array([[1]]), pa.array([{"a": 1}])):
        write_logs(tmp_path, {"a.parquet": likes(ones, kind, ones)})
        message = error()
        assert (
            f"column 'item_id' (`logs.columns.item`) is of type {kind.type}"
            in (message)
        )
    twice = pa.table([ones] * 4, ["uid", "uid", "item_id", "timestamp"])
    write_logs(tmp_path, {"a.parquet": twice})
    assert "more than one column 'uid'" in error()


def test_all_formats_give_the_same_events(tmp_path: pathlib.Path):
    random = np.random.default_rng(0)
    users, items, moments = random.integers(1, 50, (3, 500))
    csv = "user_id,item_id,timestamp\n"
    csv += "".join(
        f"{u},{i},{t}\n" for u, i, t in zip(users, items, moments, strict=True)
    )
    table_rows = np.stack((users, items, moments), axis=1).tolist()
    json_text = "".join(review(*row) for row in table_rows)
    table = likes(pa.array(users), pa.array(items), pa.array(moments))
    found = [
        read_logs(tmp_path / "csv", {"a": csv}, LogsConfig()).events,
        read_logs(tmp_path / "json", {"a": json_text}, REVIEWS).events,
        read_logs(tmp_path / "parquet", {"a": table}, LIKES).events,
    ]
    assert found[0] == found[1] == found[2]
    assert len(found[0]) == 500


def test_timestamps_of_parquet_have_a_unit_of_their_own(
    tmp_path: pathlib.Path,
):
    moment = datetime.datetime(2014, 3, 1, tzinfo=datetime.timezone.utc)
    column = pa.array([moment], pa.timestamp("us", "UTC"))
    table = likes(pa.array([1]), pa.array([2]), column)
    for unit, per_second in (
        ("seconds", 10**6),
        ("milliseconds", 10**6),
        ("iso8601", 10**9),
    ):
        config = dataclasses.replace(LIKES, time_unit=unit)
        reading = read_logs(tmp_path, {"a": table}, config)
        assert reading.events[0][2] == moment.timestamp() * per_second
        assert reading.ingest["wrong_units"] == []


def test_dates_of_parquet_are_midnights(tmp_path: pathlib.Path):
    days = pa.array([datetime.date(2014, 3, 1), datetime.date(1969, 1, 1)])
    midnight = datetime.datetime(2014, 3, 1, tzinfo=datetime.timezone.utc)
    ones = pa.array([1, 1])
    for column in (days, days.cast(pa.date64()), days.dictionary_encode()):
        reading = read_logs(tmp_path, {"a": likes(ones, ones, column)}, LIKES)
        ((_, _, key),) = reading.events
        assert key == midnight.timestamp() * SECOND
        assert reading.bad == [(2, "timestamp", rows.IMPOSSIBLE_TIME)]


@pytest.mark.parametrize("dictionary", [False, True])
@pytest.mark.parametrize(
    "kind", [pa.decimal128(38, 0), pa.decimal256(40, 0), pa.decimal128(20, 0)]
)
def test_decimals_without_a_fraction(tmp_path: pathlib.Path, kind, dictionary):
    big = 10**19 + 7
    ids = pa.array([decimal.Decimal(n) for n in (1, big)] + [None], kind)
    times = pa.array([decimal.Decimal(5)] * 3, kind)
    if dictionary:
        values = pa.array([decimal.Decimal(n) for n in (1, big)], kind)
        ids = pa.DictionaryArray.from_arrays(pa.array([0, 1, None]), values)
    for some, expected in ((ids, ["1", str(big)]), (ids[::2], ["1"])):
        table = likes(some, some, times[: len(some)])
        reading = read_logs(tmp_path, {"a": table}, LIKES)
        assert [user for user, _, _ in reading.events] == expected
        assert [item for _, item, _ in reading.events] == expected
        assert reading.ingest["dead"] == {rows.MISSING_VALUE: 1}


def test_decimals_with_a_fraction_are_weights_only(tmp_path: pathlib.Path):
    stars = pa.array([decimal.Decimal(n) for n in ("3.5", "4.0")])
    table = likes(pa.array([1, 2]), pa.array([1, 2]), pa.array([1, 2]))
    table = table.append_column("stars", stars)
    config = dataclasses.replace(
        LIKES,
        columns=dataclasses.replace(LIKES.columns, weight="stars"),
        keep=KeepConfig(min_weight=4),
    )
    (event,) = read_logs(tmp_path, {"a": table}, config).events
    assert event[0] == "2"
    columns = dataclasses.replace(LIKES.columns, item="stars")
    config = dataclasses.replace(LIKES, columns=columns)
    with pytest.raises(LogsError) as raised:
        read_logs(tmp_path, {"a": table}, config)
    message = str(raised.value)
    assert "is of type decimal128(2, 1)" in message
    assert "Cast it to a 64-bit integer or to a string" in message


def test_what_is_inside_of_an_object_is_not_read(tmp_path: pathlib.Path):
    line = '{"user": {"id": "u1"}, "item_id": 1, "timestamp": 5}\n'
    for column, words in (
        ("user.id", "no key 'user.id'"),
        ("user", "nested value"),
    ):
        config = LogsConfig(
            format="json_lines", columns=ColumnsConfig(user=column)
        )
        with pytest.raises(LogsError) as raised:
            check_logs(tmp_path, {"a": line}, config)
        message = str(raised.value)
        assert words in message
        assert "(`user.id`) is not read" in message
        assert "`jq -c '.user_id = .user.id'`" in message
        assert "Did you mean" not in message
    table = pa.table({"user": [{"id": 1}], "item_id": [1], "timestamp": [1]})
    config = LogsConfig(format="parquet", columns=ColumnsConfig(user="user.id"))
    with pytest.raises(LogsError, match="`user.id`. is not read"):
        read_logs(tmp_path, {"a": table}, config)
