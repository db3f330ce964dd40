"""Opens log files and unpacks what is read from them."""

from __future__ import annotations

import gzip
import io
import re
import types
import zlib
from typing import IO, Any

import pyarrow as pa

from components.file_digests import open_as_it_is
from components.history_example_gen.config import LogsConfig
from components.history_example_gen.logs import LogsError

_GZIP_MAGIC = b"\x1f\x8b"
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_PARQUET_MAGIC = b"PAR1"
_UNREADABLE_MAGIC = {b"PK\x03\x04": "zip", b"BZh": "bzip2", b"\xfd7zX": "xz"}
BOM = b"\xef\xbb\xbf"
_UTF16_BOMS = (b"\xff\xfe", b"\xfe\xff")
_START_BYTES = 1 << 16
# No event is that long: a line without an end is a document as a whole.
_MAX_LINE_BYTES = 1 << 26
_TEXT = b"x"


class LogStream:
    """A log file opened for reading; what is read from it is unpacked.

    Args:
        path: of the file, on any file system that Beam knows.
        compression: none, gzip or zstd.
    """

    def __init__(self, path: str, compression: str):
        self._path = path
        self._compression = compression
        # Not Beam's own decompression: it takes a cut-off gzip file as
        # complete.
        self._file = open_raw(path)
        self._stream: Any = self._file
        if compression == "gzip":
            self._stream = gzip.GzipFile(fileobj=self._file)
        elif compression == "zstd":
            self._stream = pa.CompressedInputStream(self._file, "zstd")

    def __enter__(self) -> LogStream:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: types.TracebackType | None,
    ) -> None:
        self._stream.close()
        self._file.close()

    def read(self, size: int, line: int = 1) -> bytes:
        """Reads `size` bytes, fewer only at the end of the file.

        Args:
            size: bytes after unpacking.
            line: number of the line that is read, for the message.

        Raises:
            LogsError: the file is damaged.
        """
        buffer = io.BytesIO()
        try:
            # A remote stream may return less than asked for before its end.
            while buffer.tell() < size:
                chunk = self._stream.read(size - buffer.tell())
                if not chunk:
                    break
                buffer.write(chunk)
        except (EOFError, OSError, zlib.error) as error:
            if self._compression == "none":
                raise
            raise LogsError(
                f"{self._path} is a damaged {self._compression} file "
                f"(somewhere after line {line}): {error}. Fetch or write it "
                "again, or leave it out of `logs.pattern`."
            ) from error
        return buffer.getvalue()


def open_raw(path: str) -> IO[bytes]:
    """Opens a file as it is; the stream can seek.

    Raises:
        LogsError: it may not be read.
    """
    try:
        file = open_as_it_is(path)
    except PermissionError as error:
        raise LogsError(
            f"No permission to read {path}, which `logs.pattern` matches in "
            "`logs.path`. Give the user that runs this read permission for "
            "it, or leave it out of `logs.pattern`."
        ) from error
    return file


def find_compression(config: LogsConfig, path: str) -> str:
    """none, gzip or zstd, by the first bytes of a file.

    Raises:
        LogsError: it is packed in another way, or not as configured.
    """
    with open_raw(path) as stream:
        magic = stream.read(4)
    for start, kind in _UNREADABLE_MAGIC.items():
        if magic.startswith(start):
            raise LogsError(
                f"{path} is a {kind} archive; only plain, gzip and zstd files "
                "are read. Unpack it or pack it with gzip or zstd."
            )
    if magic == _PARQUET_MAGIC:
        raise LogsError(
            f"{path} is a Parquet file, but `logs.format` is {config.format}. "
            "Set `logs.format: parquet`."
        )
    found = "none"
    if magic.startswith(_GZIP_MAGIC):
        found = "gzip"
    elif magic == _ZSTD_MAGIC or _is_skippable_frame(magic):
        found = "zstd"
    if magic and config.compression not in ("auto", found):
        packed = "a plain" if found == "none" else f"a {found}"
        raise LogsError(
            f"{path} is {packed} file, but `logs.compression` is "
            f"{config.compression}. Set `logs.compression: auto`."
        )
    return found


def read_start(path: str, compression: str) -> bytes:
    """The first 64 KiB of a text file, or more until a second line starts.

    Blank lines do not count: where there is no second line, there is none in
    the file.

    Bytes of other encodings than UTF-8, such as Latin-1, matter only where
    they stand in an id; those rows are set aside one by one.

    Raises:
        LogsError: the file is damaged, UTF-16 or no text, its lines end in CR
            only, or its first line has no end within 64 MiB.
    """
    chunks: list[bytes] = []
    # Only the new chunk is searched: what came before may be a whole file.
    before, line_bytes = b"", 0
    with LogStream(path, compression) as stream:
        while chunk := stream.read(_START_BYTES):
            chunks.append(chunk)
            seen = before + chunk
            if b"\n" in seen.strip() or _ends_in_cr(seen):
                break
            before = _outline(seen)
            line_bytes += len(chunk) if before.endswith(_TEXT) else 0
            if line_bytes >= _MAX_LINE_BYTES:
                break
    start = b"".join(chunks)
    if start.startswith(_UTF16_BOMS) or start.count(0) > len(start) // 4:
        raise LogsError(
            f"{path} is UTF-16 or no text: it starts with the bytes "
            f"{start[:8].hex(' ')}. Convert it to UTF-8, for example with "
            "`iconv -f UTF-16 -t UTF-8`."
        )
    if _ends_in_cr(start):
        raise LogsError(
            f"{path}:1: the lines end in CR only, as on old Macs; only LF and "
            "CRLF are line ends. Convert it, for example with `tr '\\r' '\\n'`."
        )
    if line_bytes >= _MAX_LINE_BYTES:
        raise LogsError(
            f"{path}: the first line has no end within "
            f"{_MAX_LINE_BYTES >> 20} MiB, expected one event a line. It "
            f"starts with {start[:80].decode('utf-8', 'replace')!r}. "
            f"{array_fix(start) or 'Write one event a line, ended by LF.'}"
        )
    return start


def array_fix(start: bytes) -> str:
    """What to do where a file is one JSON array of objects, or nothing."""
    if not re.match(rb"\s*\[\s*(\{|\Z)", start.removeprefix(BOM)):
        return ""
    return (
        "That is a JSON array; write its objects one a line, for example with "
        "`jq -c '.[]'`."
    )


def _outline(start: bytes) -> bytes:
    """A few bytes that have text and line ends where `start` has them."""
    blank = start[: len(start) - len(start.lstrip())]
    if len(blank) == len(start):
        return _line_ends(blank)
    return _line_ends(blank) + _TEXT + _line_ends(start[len(start.rstrip()) :])


def _line_ends(blanks: bytes) -> bytes:
    return bytes(end for end in b"\r\n" if end in blanks)


def _ends_in_cr(start: bytes) -> bool:
    # A CR at the end may have its LF in the next chunk.
    return b"\n" not in start and b"\r" in start.strip()


def _is_skippable_frame(magic: bytes) -> bool:
    # Some parallel packers put such a frame before the first one.
    return (
        len(magic) == 4 and magic[1:] == b"\x2a\x4d\x18" and magic[0] >> 4 == 5
    )
