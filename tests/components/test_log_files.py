"""Which files are read, how they are packed, and what broken ones say."""

import dataclasses
import gzip
import os
import pathlib

import numpy as np
import pyarrow as pa
import pytest
from apache_beam.io.filesystem import FileMetadata, MatchResult
from apache_beam.io.localfilesystem import LocalFileSystem

from components import file_digests
from components.history_example_gen import readers, rows
from components.history_example_gen.config import (
    ColumnsConfig,
    KeepConfig,
    LogsConfig,
)
from components.history_example_gen.fingerprint import input_fingerprint
from components.history_example_gen.layouts import find_logs
from components.history_example_gen.readers import LogsError, match_files
from tests.components.log_helpers import (
    HEADER,
    LIKES,
    check_logs,
    read_logs,
    write_logs,
)

LINES = HEADER + "".join(f"u{n % 9},i{n},{n}\n" for n in range(3000))
EVENTS = [(f"u{n % 9}", f"i{n}", n * 1_000_000) for n in range(3000)]


def zstd(data: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(data)
    return sink.getvalue().to_pybytes()


def read_error(folder: pathlib.Path, files, **changes: object) -> str:
    with pytest.raises(LogsError) as raised:
        check_logs(folder, files, LogsConfig(**changes))
    return str(raised.value)


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstd])
def test_compression_is_seen_in_each_file(tmp_path: pathlib.Path, pack):
    data = LINES.encode()
    reading = read_logs(tmp_path, {"a": pack(data), "b.csv.gz": HEADER})
    assert reading.events == EVENTS
    # Packed files may be appended to each other.
    halves = data[:20_000], data[20_000:]
    files = {"a": b"".join(map(pack, halves))}
    assert read_logs(tmp_path, files, block_bytes=999).events == EVENTS


def test_zstd_file_that_starts_with_a_skippable_frame(tmp_path: pathlib.Path):
    frame = b"\x5a\x2a\x4d\x18" + (3).to_bytes(4, "little") + b"abc"
    files = {"a": frame + zstd(LINES.encode())}
    assert read_logs(tmp_path, files).events == EVENTS


@pytest.mark.parametrize(
    ("pack", "compression", "words"),
    [
        (zstd, "gzip", "is a zstd file, but `logs.compression` is gzip"),
        (gzip.compress, "zstd", "is a gzip file, but `logs.compression` is z"),
        (gzip.compress, "none", "is a gzip file, but `logs.compression` is no"),
        (bytes, "zstd", "is a plain file, but `logs.compression` is zstd"),
    ],
)
def test_other_compression_than_configured(
    tmp_path: pathlib.Path, pack, compression, words
):
    files = {"a": pack(LINES.encode())}
    message = read_error(tmp_path, files, compression=compression)
    assert f"{tmp_path / 'a'} {words}" in message
    assert "Set `logs.compression: auto`." in message
    config = LogsConfig(
        compression={"gzip": "zstd", "zstd": "gzip", "none": "gzip"}[
            compression
        ]
        if pack is not bytes
        else "none"
    )
    assert read_logs(tmp_path, files, config).events == EVENTS


@pytest.mark.parametrize("kind", ["gzip", "zstd"])
@pytest.mark.parametrize("rest", [1, 9, 5000])
def test_cut_off_files(tmp_path: pathlib.Path, kind: str, rest: int):
    noise = np.random.default_rng(0).integers(1 << 40, size=20_000)
    data = HEADER + "".join(f"u,{item},1\n" for item in noise)
    whole = {"gzip": gzip.compress, "zstd": zstd}[kind](data.encode())
    message = read_error(tmp_path, {"a.csv": whole[:-rest]})
    assert f"{tmp_path / 'a.csv'} is a damaged {kind} file" in message
    assert "Fetch or write it again" in message


@pytest.mark.parametrize(
    ("magic", "kind"),
    [(b"PK\x03\x04", "zip"), (b"BZh9", "bzip2"), (b"\xfd7zXZ", "xz")],
)
def test_archives_are_refused(tmp_path: pathlib.Path, magic, kind):
    message = read_error(tmp_path, {"a.csv": magic + b"rest"})
    assert f"a.csv is a {kind} archive" in message
    assert "pack it with gzip or zstd" in message


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf16_is_refused(tmp_path: pathlib.Path, encoding: str):
    message = read_error(tmp_path, {"a.csv": LINES.encode(encoding)})
    assert "a.csv is UTF-16 or no text" in message
    assert "iconv -f UTF-16 -t UTF-8" in message


def test_latin1_ids_are_dead_letters(tmp_path: pathlib.Path):
    content = (HEADER + "ann,café,1\nann,tea,2\n").encode("latin-1")
    reading = read_logs(tmp_path, {"a.csv": content})
    assert reading.events == [("ann", "tea", 2_000_000)]
    assert reading.bad == [(2, "item_id", rows.NOT_UTF8)]
    message = read_error(tmp_path, {"a.csv": content})
    assert "column `item_id`, 1 rows" in message
    assert f"{tmp_path / 'a.csv'}:2: ann,caf\ufffd,1" in message
    assert "Convert the files to UTF-8" in message
    header = "für_wen,item_id,timestamp\nann,tea,1\n".encode("latin-1")
    columns = ColumnsConfig(user="für_wen")
    message = read_error(tmp_path, {"a.csv": header}, columns=columns)
    assert "no column 'für_wen' in the header" in message
    assert "not UTF-8: convert the file" in message


def test_files_in_subfolders_are_read_once_and_in_order(tmp_path: pathlib.Path):
    files = {
        name: HEADER + f"{name},tea,1\n"
        for name in ("2024/b.csv", "2023/12/a.csv", "c.csv", "d.tsv")
    }
    config = LogsConfig(pattern=("c.*", "**.csv", "**b.csv", "d.tsv"))
    reading = read_logs(tmp_path, files, config)
    assert [user for user, _, _ in reading.events] == [
        "2023/12/a.csv",
        "2024/b.csv",
        "c.csv",
        "d.tsv",
    ]
    for patterns in (("*/*.csv",), ("2024/**", "2024/*"), ("2024/b.csv",)):
        config = LogsConfig(path=str(tmp_path), pattern=patterns)
        (found,) = match_files(config)
        assert found.path == str(tmp_path / "2024" / "b.csv")


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("**/*.csv", ["2023/12/a.csv", "2024/b.csv", "c.csv"]),
        ("**/**/c.csv", ["c.csv"]),
        ("2023/**/*.csv", ["2023/12/a.csv"]),
        ("2023/12/**/*.csv", ["2023/12/a.csv"]),
        ("**/12/**/a.*", ["2023/12/a.csv"]),
        (("**/c.*", "*.csv", "**/*.csv"), ["2023/12/a.csv", "2024/b.csv"]),
        ("20**/b.csv", ["2024/b.csv"]),
    ],
)
def test_any_number_of_folders(tmp_path: pathlib.Path, pattern, names):
    """As pathlib and git have it: also none."""
    files = ("2024/b.csv", "2023/12/a.csv", "c.csv", "d.tsv")
    write_logs(tmp_path, {name: HEADER for name in files})
    found = match_files(LogsConfig(path=str(tmp_path), pattern=pattern))
    if not isinstance(pattern, str):
        names = [*names, "c.csv"]
    assert [file.path for file in found] == [str(tmp_path / n) for n in names]


@pytest.mark.parametrize("linked", [False, True])
@pytest.mark.parametrize("name", ["logs [eu]", "logs*", "what?", "a[", "**"])
def test_a_folder_with_glob_characters(tmp_path: pathlib.Path, name, linked):
    """Neither its neighbours are read, which its name would match as glob."""
    folder = tmp_path / name / "in"
    real = tmp_path / "elsewhere" / "deep"
    for place in ("logs e/in", "logs*x/in", "whatx/in", "b/in"):
        write_logs(tmp_path / place, {"a.csv": HEADER + "no,no,1\n"})
    if linked:
        folder.parent.mkdir()
        real.mkdir(parents=True)
        folder.symlink_to(real)
    files = {"a.csv": HEADER + "ann,tea,1\n", "2024/b.csv": LINES}
    assert len(read_logs(folder, files).events) == 3001
    config = LogsConfig(path=str(folder), pattern="**/[a-b].csv")
    found = match_files(config)
    assert [(f.path, f.size_in_bytes) for f in found] == [
        (str(folder / file), len(files[file])) for file in sorted(files)
    ]
    config = LogsConfig(path=str(folder), pattern="a.csv")
    assert [f.path for f in match_files(config)] == [str(folder / "a.csv")]
    message = read_error(folder, {}, pattern="b.csv")
    assert f"in `logs.path` {str(folder)!r}. Files there: 'a.csv'" in message


def test_the_folder_is_no_glob(tmp_path: pathlib.Path):
    write_logs(tmp_path / "eu", {"a.csv": LINES})
    with pytest.raises(LogsError) as raised:
        match_files(LogsConfig(path=str(tmp_path / "*"), pattern="a.csv"))
    message = str(raised.value)
    assert f"`logs.path` '{tmp_path}/*' does not exist" in message
    assert "`[` belong into `logs.pattern`" in message


class Store(LocalFileSystem):
    """A store of objects, without folders, as Beam's own are."""

    objects = ("x://b/l [eu]/a.csv", "x://b/l e/a.csv", "x://b/l [eu]/c/d")

    @classmethod
    def scheme(cls):
        return "x"

    def has_dirs(self):
        return False

    def _list(self, dir_or_prefix):
        for path in self.objects:
            if path.startswith(dir_or_prefix):
                yield FileMetadata(path, 1)


def test_a_folder_of_a_store_with_brackets():
    config = LogsConfig(path="x://b/l [eu]", pattern="*.csv")
    assert [f.path for f in match_files(config)] == ["x://b/l [eu]/a.csv"]
    config = LogsConfig(path="x://b/l [eu]", pattern="*.tsv")
    with pytest.raises(LogsError, match=r"Files there: 'a.csv'\."):
        match_files(config)


def test_any_number_of_folders_in_a_store(monkeypatch: pytest.MonkeyPatch):
    asked = []

    def match(globs: list[str]) -> list:
        asked.extend(globs)
        same = FileMetadata("gs://b/logs/a.csv", 1)
        return [MatchResult(glob, [same]) for glob in globs]

    monkeypatch.setattr(readers.FileSystems, "match", match)
    monkeypatch.setattr(readers.FileSystems, "join", lambda a, b: f"{a}/{b}")
    config = LogsConfig(path="gs://b/logs", pattern="**/x/**/*.csv")
    (found,) = match_files(config)
    assert found.path == "gs://b/logs/a.csv"
    ends = ["x/*.csv", "x/**/*.csv", "**/x/*.csv", "**/x/**/*.csv"]
    assert asked == [f"gs://b/logs/{end}" for end in ends]


@pytest.mark.parametrize("closed", ["", "shop", "shop/logs", "shop/logs/2024"])
def test_folders_that_may_not_be_read(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, closed: str
):
    """Simulated, for root may read everything."""
    folder = tmp_path / closed
    path = tmp_path / "shop" / "logs"
    (path / "2024").mkdir(parents=True)
    access, isdir = os.access, os.path.isdir
    monkeypatch.setattr(
        os,
        "access",
        lambda name, mode: pathlib.Path(name) != folder and access(name, mode),
    )
    monkeypatch.setattr(
        os.path,
        "isdir",
        lambda name: folder not in pathlib.Path(name).parents and isdir(name),
    )
    config = LogsConfig(path=str(path), pattern="2024/*.csv")
    with pytest.raises(LogsError) as raised:
        match_files(config)
    message = str(raised.value)
    assert f"No permission to read the folder {str(folder)!r}" in message
    assert "`logs.path`" in message
    assert "read and execute permission" in message


@pytest.mark.parametrize(
    ("pattern", "refused"),
    [
        ("**/*.csv", True),
        ("*/2024/*.csv", True),
        ("*/*/*.csv", True),
        ("west/**/*.csv", True),
        ("east/**/*.csv", False),
        ("west/2023/*.csv", False),
        ("*/*.csv", False),
        ("*.csv", False),
    ],
)
def test_subfolders_that_may_not_be_read(
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    pattern: str,
    refused: bool,
):
    """Simulated, for root may read everything."""
    for name in ("", "east", "west", "east/2024", "west/2023", "west/2024"):
        write_logs(tmp_path / name, {"a.csv": LINES})
    closed = str(tmp_path / "west" / "2024")
    scandir = os.scandir

    def refuse(path: str):
        if str(path) == closed:
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    config = LogsConfig(path=str(tmp_path), pattern=pattern)
    if not refused:
        assert match_files(config)
        return
    with pytest.raises(LogsError) as raised:
        match_files(config)
    message = str(raised.value)
    assert f"No permission to read {closed!r}" in message
    assert f"`logs.pattern` {pattern!r}" in message


def test_files_that_may_not_be_read(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
):
    write_logs(tmp_path, {"a.csv": LINES})

    def refuse(path: str, **_: object) -> None:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(file_digests.FileSystems, "open", refuse)
    config = LogsConfig(path=str(tmp_path), pattern="*.csv")
    for read in (input_fingerprint, find_logs):
        with pytest.raises(LogsError) as raised:
            read(config)
        message = str(raised.value)
        assert f"No permission to read {tmp_path / 'a.csv'}" in message
        assert "`logs.pattern`" in message


def test_every_glob_must_match(tmp_path: pathlib.Path):
    write_logs(tmp_path, {"a.csv": LINES})
    message = read_error(tmp_path, {}, pattern=("*.csv", "*.cvs"))
    assert "No file matches `logs.pattern` '*.cvs'" in message
    assert "Did you mean 'a.csv'?" in message
    with pytest.raises(ValueError, match="at least one glob"):
        LogsConfig(pattern=())


def test_copies_are_refused_or_kept(tmp_path: pathlib.Path):
    write_logs(
        tmp_path,
        {
            "b/part.csv": LINES,
            "a.csv": LINES,
            "other.csv": LINES.replace("u1", "u2"),  # of the same size
            "empty": "",
            "empty too": "",
            "header": HEADER,
            "header too": HEADER,
        },
    )
    message = read_error(tmp_path, {})
    first, second = tmp_path / "a.csv", tmp_path / "b" / "part.csv"
    assert f"{second} is a copy of {first}, byte for byte" in message
    assert "`logs.duplicate_files: keep`" in message
    config = LogsConfig(duplicate_files="keep")
    assert len(read_logs(tmp_path, {}, config).events) == 9000
    second.unlink()
    assert len(read_logs(tmp_path, {}).events) == 6000


def test_copies_of_parquet_files(tmp_path: pathlib.Path):
    ones = pa.array([1])
    table = pa.table({"uid": ones, "item_id": ones, "timestamp": ones})
    files = {"a": table, "b": table}
    with pytest.raises(LogsError, match="is a copy of"):
        read_logs(tmp_path, files, LIKES)
    # Without a row there is nothing to count twice.
    files = {"a": table[:0], "b": table[:0], "c": table}
    assert len(read_logs(tmp_path, files, LIKES).events) == 1


@pytest.mark.parametrize("content", ["", HEADER, HEADER + "\n\n", "\n"])
def test_files_without_rows(tmp_path: pathlib.Path, content: str):
    message = read_error(tmp_path, {"a.csv": content})
    assert "The log is empty: there is no row in the 1 file " in message
    files = {"a.csv": content, "b.csv": HEADER + "ann,tea,1\n"}
    assert len(read_logs(tmp_path, files).events) == 1


@pytest.mark.parametrize("length", [65_535, 65_536, 65_537, 140_000])
def test_long_headers_and_blank_starts(tmp_path: pathlib.Path, length: int):
    """Around the size of the part that is looked at first."""
    header = HEADER.strip()
    header += "," + "x" * (length - len(header) - 2) + "\n"
    assert len(header) == length
    files = {"a.csv": header + "ann,tea,1,\n"}
    assert read_logs(tmp_path, files).events == [("ann", "tea", 1_000_000)]
    config = LogsConfig(header=False, columns=ColumnsConfig(0, 1, 2))
    files = {"a.csv": "\n" * length + "ann,tea,1\n"}
    assert len(read_logs(tmp_path, files, config).events) == 1


@pytest.mark.parametrize("header", [True, False])
@pytest.mark.parametrize("length", [9, 40_000])
def test_lines_that_end_in_cr_only(tmp_path: pathlib.Path, header, length):
    lines = HEADER * header + "ann,tea,1\n" * length
    columns = ColumnsConfig() if header else ColumnsConfig(0, 1, 2)
    message = read_error(
        tmp_path,
        {"a.csv": lines.replace("\n", "\r")},
        header=header,
        columns=columns,
    )
    assert "a.csv:1: the lines end in CR only" in message
    assert "`tr '\\r' '\\n'`" in message


@pytest.mark.parametrize(
    ("line", "words"),
    [("", "Line 1 is blank"), ("# exported", "Line 1 is a comment")],
)
def test_a_line_above_the_header(tmp_path: pathlib.Path, line, words):
    message = read_error(tmp_path, {"a.csv": f"{line}\n{LINES}"})
    assert words in message
    assert "`tail -n +2`" in message
    assert "separator" not in message


@pytest.mark.parametrize(
    ("unit", "first"),
    [
        ("seconds", "7,8,978300760"),
        ("milliseconds", "7,8, 978300760000"),
        ("iso8601", '"7",8,"2024-03-01 12:00:00"'),
    ],
)
def test_a_row_in_the_place_of_the_header(
    tmp_path: pathlib.Path, unit: str, first: str
):
    """Columns by number fit it, so one row of every file would be lost."""
    config = LogsConfig(
        columns=ColumnsConfig(user=0, item=1, timestamp=2), time_unit=unit
    )
    with pytest.raises(LogsError, match="set `logs.header: false`"):
        read_logs(tmp_path, {"a.csv": f"{first}\n{first}\n"}, config)


def test_numbers_may_be_names_of_columns(tmp_path: pathlib.Path):
    """As pandas writes a table without names."""
    config = LogsConfig(columns=ColumnsConfig(user=0, item=1, timestamp=2))
    reading = read_logs(tmp_path, {"a.csv": "0,1,2\nu,i,978300760\n"}, config)
    assert [user for user, _, _ in reading.events] == ["u"]


def test_one_column_for_two_roles(tmp_path: pathlib.Path):
    with pytest.raises(ValueError, match="`columns.user` and `columns.item`"):
        LogsConfig(columns=ColumnsConfig(user="id", item="id"))
    with pytest.raises(ValueError, match="are both 1"):
        LogsConfig(header=False, columns=ColumnsConfig(0, 1, 1))
    message = read_error(
        tmp_path, {"a.csv": LINES}, columns=ColumnsConfig("user_id", 0)
    )
    assert "`logs.columns.user` and `logs.columns.item`" in message
    assert "both are column 0" in message


def test_no_folder_of_logs():
    with pytest.raises(LogsError, match="Missing key `logs.path`"):
        match_files(LogsConfig())


def test_header_with_a_column_twice(tmp_path: pathlib.Path):
    content = "user_id,x,item_id,x,item_id,timestamp\nann,1,tea,2,jam,3\n"
    message = read_error(tmp_path, {"a.csv": content})
    assert "the header has 2 columns 'item_id'" in message
    assert "`logs.columns.item`" in message
    assert "2 or 4" in message
    config = LogsConfig(columns=ColumnsConfig(item=4))
    reading = read_logs(tmp_path, {"a.csv": content}, config)
    assert reading.events == [("ann", "jam", 3_000_000)]


def test_ids_with_anything_in_them(tmp_path: pathlib.Path):
    content = (
        HEADER
        + '"a,b","say ""hi"", ok",1\n'
        + "🙂,naïve 日本,2\n"
        + '"ann","tea\n'
        + 'and jam",3\n'
        + '"",tea,4\n'
        + ",tea,5\n"
        + "\u3000,tea,6\n"
        + "a;b\tc,  tea ,7\n"
    )
    reading = read_logs(tmp_path, {"a.csv": content})
    assert reading.events == [
        ("a,b", 'say "hi", ok', 1_000_000),
        ("🙂", "naïve 日本", 2_000_000),
        ("a;b\tc", "tea", 7_000_000),
    ]
    # A line break inside of quotes is not supported: both lines are set aside.
    assert reading.bad == [
        (4, rows.WHOLE_ROW, rows.UNCLOSED_QUOTE),
        (5, "timestamp", rows.WRONG_COLUMNS),
        (6, "user_id", rows.EMPTY_FIELD),
        (7, "user_id", rows.EMPTY_FIELD),
        (8, "user_id", rows.EMPTY_FIELD),
    ]
    message = read_error(tmp_path, {"a.csv": content}, max_bad_row_share=0.3)
    assert "empty field: 3" in message


def test_a_tenth_of_broken_rows(tmp_path: pathlib.Path):
    broken = ["ann,tea", "ann,tea,x", ",tea,1", "ann,tea,-1", "a,b,c,d"]
    lines = [
        broken[n // 10 % 5] if n % 10 == 0 else f"u{n},tea,{n}"
        for n in range(1000)
    ]
    files = {"a.csv": HEADER + "\n".join(lines)}
    message = read_error(tmp_path, files)
    assert "100 of 1,000 log rows (10.00%) cannot be used" in message
    assert "column `timestamp`, 60 rows (6.00% of all" in message
    assert f"{tmp_path / 'a.csv'}:2: ann,tea\n" in message
    check_logs(tmp_path, files, LogsConfig(max_bad_row_share=0.2))
    reading = read_logs(tmp_path, files)
    assert [line for line, _, _ in reading.bad] == list(range(2, 1002, 10))
    assert reading.texts == broken * 20
    assert len(reading.events) == 900


def test_swapped_columns(tmp_path: pathlib.Path):
    """A time column that holds ids; user and item swapped look the same."""
    content = "user_id,item_id,timestamp\n" + "u1,17,B000\n" * 50
    message = read_error(tmp_path, {"a.csv": content})
    assert "50 of 50 log rows (100.00%) cannot be used" in message
    assert "column `timestamp`" in message
    assert "unreadable time: 50" in message
    assert f"{tmp_path / 'a.csv'}:2: u1,17,B000" in message
    assert "`logs.columns.timestamp`" in message


def test_settings_of_formats():
    with pytest.raises(ValueError, match="`compression` is gzip, but Parquet"):
        LogsConfig(format="parquet", compression="gzip")
    with pytest.raises(ValueError, match="`format` must be delimited, json_li"):
        LogsConfig(format="csv")
    with pytest.raises(ValueError, match="`columns.item` must be a name"):
        LogsConfig(format="json_lines", columns=ColumnsConfig(item=1))
    with pytest.raises(ValueError, match="`duplicates` must be all or one"):
        KeepConfig(duplicates="none")
    with pytest.raises(ValueError, match="`duplicate_files` must be refuse or"):
        LogsConfig(duplicate_files="drop")
    # There is no header to be without.
    assert dataclasses.replace(LIKES, header=False).columns.user == "uid"


def test_an_open_quote_ends_with_its_line(tmp_path: pathlib.Path):
    lines = [f"u{n},i{n},{n}" for n in range(3000)]
    lines[1500] = 'u,"i'
    reading = read_logs(tmp_path, {"a.csv": HEADER + "\n".join(lines)})
    assert reading.bad == [(1502, rows.WHOLE_ROW, rows.UNCLOSED_QUOTE)]
    assert len(reading.events) == 2999
