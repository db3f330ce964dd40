"""Finds log files, learns their columns and reads them in blocks of lines."""

from __future__ import annotations

import csv
import dataclasses
import difflib
import gzip
import io
import os
import zlib
from collections.abc import Iterator
from typing import IO, Any, cast

from apache_beam.io.filesystem import BeamIOError, CompressionTypes
from apache_beam.io.filesystems import FileSystems

from components.history_example_gen.config import LogsConfig

_GZIP_MAGIC = b"\x1f\x8b"
_UNREADABLE_MAGIC = {b"PK\x03\x04": "zip", b"BZh": "bzip2", b"\xfd7zX": "xz"}
BOM = b"\xef\xbb\xbf"


class LogsError(ValueError):
    """The logs cannot be read as configured; the message names the fix."""


@dataclasses.dataclass(frozen=True)
class LogFile:
    """One log file and where its columns are.

    Attributes:
        path: full path.
        order: rank of the file among all matched files, by name.
        gzipped: whether the content is gzip.
        num_columns: columns of a well-formed row; 0 for an empty file.
        positions: numbers of the user, item and timestamp columns from 0.
        names: the same columns as messages call them.
    """

    path: str
    order: int
    gzipped: bool
    num_columns: int
    positions: tuple[int, ...]
    names: tuple[str, ...]


def match_files(config: LogsConfig) -> list[Any]:
    """Beam FileMetadata of the files matched by `config`, sorted by path.

    Raises:
        LogsError: the folder does not exist or nothing in it matches.
    """
    glob = FileSystems.join(config.path, config.pattern)
    found = _match(glob)
    if found:
        return found
    neighbours = [
        os.path.basename(f.path) for f in _match(_everything(config.path))
    ]
    if not neighbours:
        if FileSystems.exists(config.path):
            raise LogsError(
                f"`logs.path` {config.path!r} is a file or an empty folder. "
                "Give there the folder that the log files are in, and their "
                "names in `logs.pattern`."
            )
        raise LogsError(
            f"`logs.path` {config.path!r} does not exist. Create it or point "
            "`logs.path` to the folder of the log files."
        )
    raise LogsError(
        f"No file matches `logs.pattern` {config.pattern!r} in `logs.path` "
        f"{config.path!r}. Files there: {list_some(neighbours)}."
        f"{suggest(config.pattern, neighbours)}"
    )


def read_blocks(
    log: LogFile, config: LogsConfig, block_bytes: int
) -> Iterator[tuple[int, bytes]]:
    """Yields the rows of a file as blocks of whole lines.

    The header is left out. Every block ends in a newline.

    Yields:
        number of the block's first line in the file (from 1), and the block.

    Raises:
        LogsError: the file is damaged.
    """
    if not log.num_columns:
        return
    line, rest = 1, b""
    with open_log(log.path, log.gzipped) as stream:
        while True:
            chunk = read_some(stream, block_bytes, log.path, line)
            rest += chunk if chunk or not rest else b"\n"
            end = rest.rfind(b"\n") + 1
            if end:
                block, rest = rest[:end], rest[end:]
                num_lines = block.count(b"\n")
                if line == 1:
                    block = block.removeprefix(BOM)
                    if config.header:
                        block = block[block.index(b"\n") + 1 :]
                if block:
                    yield line + (line == 1 and config.header), block
                line += num_lines
            if not chunk:
                return


def split_line(line: bytes, config: LogsConfig) -> list[bytes] | None:
    """Fields of one line, or None where a quote is not closed in it."""
    separator = config.separator.encode()
    if len(separator) > 1 or not config.quotes or b'"' not in line:
        return line.split(separator)
    text = line.decode("latin-1")  # one character per byte, both ways
    try:
        rows = list(csv.reader([text], delimiter=config.separator, strict=True))
    except csv.Error:
        return None
    return [field.encode("latin-1") for field in rows[0]] if rows else []


def is_gzip(config: LogsConfig, path: str) -> bool:
    """Whether a file is gzip; raises LogsError where it cannot be read."""
    with open_log(path, gzipped=False) as stream:
        magic = stream.read(4)
    for start, kind in _UNREADABLE_MAGIC.items():
        if magic.startswith(start):
            raise LogsError(
                f"{path} is a {kind} archive; only plain and gzip files are "
                "read. Unpack it or pack it with gzip."
            )
    gzipped = magic.startswith(_GZIP_MAGIC)
    expected = {"auto": gzipped, "gzip": True, "none": False}
    if magic and gzipped != expected[config.compression]:
        raise LogsError(
            f"{path} is {'' if gzipped else 'not '}a gzip file, but "
            f"`logs.compression` is {config.compression}. Set "
            "`logs.compression: auto`."
        )
    return gzipped


def open_log(path: str, gzipped: bool) -> IO[bytes]:
    """Opens a file; what is read from it is unpacked."""
    # Not Beam's own decompression: it takes a cut-off gzip file as complete.
    stream = FileSystems.open(
        path, compression_type=CompressionTypes.UNCOMPRESSED
    )
    return cast(IO[bytes], gzip.GzipFile(fileobj=stream) if gzipped else stream)


def read_some(stream: IO[bytes], size: int, path: str, line: int) -> bytes:
    """Reads `size` bytes, fewer only at the end of the file."""
    buffer = io.BytesIO()
    try:
        # A remote stream may return less than asked for before its end.
        while buffer.tell() < size:
            chunk = stream.read(size - buffer.tell())
            if not chunk:
                break
            buffer.write(chunk)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise LogsError(
            f"{path} is a damaged gzip file (somewhere after line {line}): "
            f"{error}. Fetch or write it again, or leave it out of "
            "`logs.pattern`."
        ) from error
    return buffer.getvalue()


def _match(glob: str) -> list[Any]:
    try:
        result = FileSystems.match([glob])[0].metadata_list
    except BeamIOError as error:
        raise LogsError(
            f"The files matching {glob!r} (`logs.path`, `logs.pattern`) "
            f"cannot be listed: {error}. Check the path and the access to it."
        ) from error
    return sorted(result, key=lambda metadata: metadata.path)


def _everything(path: str) -> str:
    return str(FileSystems.join(path, "*"))


def list_some(names: list[str], most: int = 12) -> str:
    """The first names, quoted, for a message."""
    shown = ", ".join(repr(name) for name in names[:most])
    return shown + (f", ... ({len(names)})" if len(names) > most else "")


def suggest(name: str, options: list[str]) -> str:
    """The nearest option as a question for a message, or nothing."""
    near = difflib.get_close_matches(name, options, n=1, cutoff=0.4)
    return f" Did you mean {near[0]!r}?" if near else ""
