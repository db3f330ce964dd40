"""Quotes in delimited files: what a row is depends on its line alone."""

import contextlib
import pathlib

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import csv

from components.history_example_gen import delimited, rows
from components.history_example_gen.config import ColumnsConfig, LogsConfig
from tests.components.log_helpers import HEADER, Reading, read_logs

UNCLOSED = (rows.WHOLE_ROW, rows.UNCLOSED_QUOTE)


def ids(reading: Reading) -> list[tuple[str, str]]:
    return [(user, item) for user, item, _ in reading.events]


def read(folder: pathlib.Path, lines: list[str], **settings: int) -> Reading:
    return read_logs(folder, {"a.csv": HEADER + "\n".join(lines)}, **settings)


@pytest.mark.parametrize(
    "stray", [[], ['u1,"27 inch tv,1700000000']], ids=["", "stray"]
)
@pytest.mark.parametrize(
    ("written", "user"),
    [
        ('"u0" ,"i0" ,1700000000', "u0"),
        ('"u"0,"i0",1700000000', "u0"),
        ('"u"0",i0,1700000000', 'u0"'),
        ('"u""0""",i0,1700000000', 'u"0"'),
        ('""u0"",i0,1700000000', 'u0""'),
        ("u\0,i0,1700000000", "u\0"),
        (f'"{"u" * 140_000}",i0,1700000000', "u" * 140_000),
    ],
    ids=["blank", "text", "quote", "doubled", "empty", "nul", "long"],
)
def test_one_open_quote_costs_no_other_row(
    tmp_path: pathlib.Path, stray: list[str], written: str, user: str
):
    """Values by hand; what follows a stray quote is read as without it."""
    # A row by itself after the stray one: what comes then is no end of a text.
    lines = [*stray, "x,y,1700000000", *[written] * 5, *stray]
    reading = read(tmp_path, lines)
    assert ids(reading) == [("x", "y"), *[(user, "i0")] * 5]
    bad = [2, len(lines) + 1] if stray else []
    assert reading.bad == [(line, *UNCLOSED) for line in bad]


def test_a_thousand_rows_after_an_open_quote(tmp_path: pathlib.Path):
    good = ['"u0" ,"i0" ,1700000000'] * 1000
    reading = read(tmp_path, ['u1,"27 inch tv,1700000000', *good])
    assert ids(reading) == [("u0", "i0")] * 1000
    assert reading.bad == [(2, *UNCLOSED)]


# Everything that means something in a line, and a few plain characters.
_FIELDS = st.text(st.sampled_from('""",ab \t\r\0é\ufeff'), max_size=6)
_LINES = st.one_of(
    st.lists(_FIELDS, max_size=4).map(",".join),
    st.tuples(_FIELDS, _FIELDS, st.just("7")).map(",".join),
    st.sampled_from(["u,i,7", '"u","i","7"', "", '"', 'u,i,7,"x', '"u,i,7']),
)


@settings(
    deadline=None,
    max_examples=150,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    st.lists(_LINES, max_size=30),
    st.sampled_from([1, 40, 1 << 20]),
    st.sampled_from([1, 40, 1 << 20]),
    st.sampled_from([(0, 1, 2), (1, 0, 2), (3, 0, 2)]),
)
def test_blocks_and_arrow_change_nothing(
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    lines: list[str],
    block_bytes: int,
    piece_bytes: int,
    columns: tuple[int, int, int],
):
    """Arrow over any blocks and pieces gives what Python gives by line."""
    config = LogsConfig(header=False, columns=ColumnsConfig(*columns))
    width = max(columns) + 1
    files = {"a.csv": "\n".join([",".join("7" * width)] * 40 + lines)}
    with monkeypatch.context() as patch:
        patch.setattr(delimited, "_PIECE_BYTES", piece_bytes)
        found = read_logs(tmp_path, files, config, block_bytes)
    with monkeypatch.context() as patch:
        patch.setattr(delimited, "_split_together", lambda *_: None)
        expected = read_logs(tmp_path, files, config)
    assert found == expected
    num_rows = sum(bool(line.strip(" \r")) for line in lines)
    assert len(found.events) + len(found.bad) == 40 + num_rows


def arrow_row(line: bytes, separator: str) -> list[bytes]:
    """The fields of a line by Arrow, with as many columns as it has."""
    for number in range(1, 20):
        names = [str(column) for column in range(number)]
        with contextlib.suppress(pa.ArrowInvalid):
            # Not read_csv, see `delimited`.
            table = csv.open_csv(
                pa.BufferReader(line + b"\n"),
                csv.ReadOptions(use_threads=False, column_names=names),
                csv.ParseOptions(delimiter=separator),
                csv.ConvertOptions(
                    column_types=dict.fromkeys(names, pa.binary())
                ),
            ).read_all()
            (row,) = table.to_pylist()
            return list(row.values())
    raise AssertionError(line)


@settings(deadline=None, max_examples=500)
@given(st.text(st.sampled_from('"", ab'), max_size=12), st.sampled_from(",\t"))
def test_python_splits_a_line_as_arrow_does(text: str, separator: str):
    line = f"u,{text}".replace(",", separator).encode()
    expected = arrow_row(line, separator)
    # In what is left open at the end Arrow has the end of the line, too.
    is_open = expected[-1].endswith(b"\n")
    found = delimited.split_line(line, LogsConfig(separator=separator))
    assert found == (None if is_open else expected)


@pytest.mark.parametrize("block_bytes", [1, 16, 1 << 20])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_the_rest_of_a_broken_text_is_no_row(
    tmp_path: pathlib.Path, block_bytes: int, end: str
):
    """Wherever a block ends, and over lines that are no rows either."""
    lines = [
        '"u\n1",i,1700000000',
        "u2,i2,1700000000",
        '"u\n\nsome, text\n3" ,i,1700000000',
        'u4,i"4,1700000000',
        '"u5\nu6,i6,1700000000\n7"7,i7,1700000000',
    ]
    content = (HEADER + "\n".join(lines)).replace("\n", end)
    reading = read_logs(tmp_path, {"a.csv": content}, block_bytes=block_bytes)
    assert ids(reading) == [
        ("u2", "i2"),
        # Its quote ends no text: the one before it is closed.
        ("u4", 'i"4'),
        # A row by itself, so nobody knows whether `u5` was an open quote.
        ("u6", "i6"),
        ('7"7', "i7"),
    ]
    assert reading.bad == [
        (2, *UNCLOSED),
        (3, *UNCLOSED),
        (5, *UNCLOSED),
        (7, "timestamp", rows.WRONG_COLUMNS),
        (8, *UNCLOSED),
        (10, *UNCLOSED),
    ]


def test_python_reads_only_the_lines_around_an_open_quote(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
):
    lines = [f'"u{n}",i{n},{n}' for n in range(20_000)]
    expected = read(tmp_path, lines).events
    lines[10_000] = 'u,"i,5'
    del expected[10_000]
    sizes = []
    one_by_one = delimited._split_one_by_one

    def watched(data: bytes, *others: object):
        sizes.append(len(data))
        return one_by_one(data, *others)

    monkeypatch.setattr(delimited, "_split_one_by_one", watched)
    reading = read(tmp_path, lines, block_bytes=16 << 20)
    assert reading.events == expected
    assert reading.bad == [(10_002, *UNCLOSED)]
    assert len(sizes) == 1
    assert sizes[0] < 70_000


def test_a_quote_is_open_in_a_column_that_is_not_read(tmp_path: pathlib.Path):
    """Also at the end of a block, where Arrow would close it."""
    content = 'user_id,item_id,timestamp,note\nu,i,7,"x\nv,j,8,y\n'
    for block_bytes in (1, 9, 1 << 20):
        reading = read_logs(
            tmp_path, {"a.csv": content}, block_bytes=block_bytes
        )
        assert ids(reading) == [("v", "j")]
        assert reading.bad == [(2, *UNCLOSED)]
