"""Writes the dead letters of a log.

They may be all of its rows, so no worker ever holds more of them than those of
a block: who reads a log file writes its dead letters into a part, and the parts
are then joined as they are, packed.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import types
import uuid
from collections.abc import Iterable
from typing import Any

from tfx.dsl.io import fileio

from components.history_example_gen.logs import LogFile
from components.history_example_gen.rows import BadRow

DEAD_LETTERS_FILE = "dead_letters.jsonl.gz"
# 7 times faster than the default of 9 for a tenth more bytes (made-up rows),
# which counts where all rows of a log are here.
_COMPRESSION_LEVEL = 1
_COPIED_BYTES = 1 << 22


def parts_folder(folder: str) -> str:
    """Where the parts are until they are joined."""
    return os.path.join(folder, "parts-temporary")


class PartWriter:
    """Writes the dead letters of one log file into its part.

    Without any there is no part; under its name it is whole or not there, and
    the same bytes however often it is written.

    Args:
        folder: of the dead letters; the folder of parts in it has to exist.
        log: the log file.
    """

    def __init__(self, folder: str, log: LogFile):
        self._log = log
        self._name = _part_name(folder, log.order)
        self._temporary = os.path.join(
            parts_folder(folder), f"{uuid.uuid4()}.gz"
        )
        self._stack = contextlib.ExitStack()
        self._stream: gzip.GzipFile | None = None

    def __enter__(self) -> PartWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: types.TracebackType | None,
    ) -> None:
        self._stack.close()
        if self._stream is not None and kind is None:
            fileio.rename(self._temporary, self._name, overwrite=True)

    def write(self, rows: Iterable[BadRow]) -> None:
        """Adds rows, which come in the order of the file."""
        for row in rows:
            letter = {
                "file": self._log.path,
                "line": row.line,
                "column": row.column,
                "reason": row.reason,
                "row": row.text,
            }
            text = json.dumps(letter, ensure_ascii=False)
            self._open().write(text.encode() + b"\n")

    def _open(self) -> gzip.GzipFile:
        if self._stream is None:
            raw = self._stack.enter_context(fileio.open(self._temporary, "wb"))
            self._stream = self._stack.enter_context(_pack(raw))
        return self._stream


def join_parts(folder: str, orders: Iterable[int]) -> None:
    """Writes all unusable rows as gzipped JSON lines, in log order.

    The fields are file, line, column, reason and row. The file is written
    also where there is no such row.

    Args:
        folder: of the dead letters and of their parts.
        orders: `LogFile.order` of the files that have a part.

    Raises:
        RuntimeError: a part is not there, so rows were lost (a bug).
    """
    ordered = sorted(orders)
    for order in ordered:
        if not fileio.exists(_part_name(folder, order)):
            raise RuntimeError(
                f"The dead letters {_part_name(folder, order)} are lost."
            )
    with fileio.open(os.path.join(folder, DEAD_LETTERS_FILE), "wb") as raw:
        # gzip files one after the other are a gzip file.
        for order in ordered:
            with fileio.open(_part_name(folder, order), "rb") as part:
                while chunk := part.read(_COPIED_BYTES):
                    raw.write(chunk)
        if not ordered:
            _pack(raw).close()


def _part_name(folder: str, order: int) -> str:
    return os.path.join(parts_folder(folder), f"part-{order:06d}.jsonl.gz")


def _pack(raw: Any) -> gzip.GzipFile:
    # Without name and time, which would make other bytes of the same rows.
    return gzip.GzipFile("", "wb", _COMPRESSION_LEVEL, fileobj=raw, mtime=0)
