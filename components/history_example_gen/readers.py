"""Finds log files and reads text files in blocks of whole lines."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from apache_beam.io.filesystem import BeamIOError
from apache_beam.io.filesystems import FileSystems

from components.history_example_gen.config import LogsConfig
from components.history_example_gen.logs import LogFile as LogFile
from components.history_example_gen.logs import LogsError as LogsError
from components.history_example_gen.logs import list_some, suggest
from components.history_example_gen.streams import BOM, LogStream


def match_files(config: LogsConfig) -> list[Any]:
    """Beam FileMetadata of the files matched by `config`, sorted by path.

    A file that several globs match is there once.

    Raises:
        LogsError: the folder does not exist or a glob matches nothing.
    """
    patterns = config.pattern
    if isinstance(patterns, str):
        patterns = (patterns,)
    found: dict[str, Any] = {}
    for pattern in patterns:
        files = _match(FileSystems.join(config.path, pattern))
        if not files:
            raise _no_match(config, pattern)
        found.update((file.path, file) for file in files)
    return [found[path] for path in sorted(found)]


def _no_match(config: LogsConfig, pattern: str) -> LogsError:
    everything = str(FileSystems.join(config.path, "*"))
    neighbours = sorted(os.path.basename(f.path) for f in _match(everything))
    if neighbours:
        return LogsError(
            f"No file matches `logs.pattern` {pattern!r} in `logs.path` "
            f"{config.path!r}. Files there: {list_some(neighbours)}."
            f"{suggest(pattern, neighbours)}"
        )
    if FileSystems.exists(config.path):
        return LogsError(
            f"`logs.path` {config.path!r} is a file or a folder without "
            f"files, and nothing in it matches `logs.pattern` {pattern!r}. "
            "Give there the folder that the log files are in, and their "
            "names in `logs.pattern` (`**` descends into sub-folders)."
        )
    return LogsError(
        f"`logs.path` {config.path!r} does not exist. Create it or point "
        "`logs.path` to the folder of the log files."
    )


def read_blocks(
    log: LogFile, config: LogsConfig, block_bytes: int
) -> Iterator[tuple[int, bytes]]:
    """Yields the rows of a text file as blocks of whole lines.

    The header is left out. Every block ends in a newline.

    Yields:
        number of the block's first line in the file (from 1), and the block.

    Raises:
        LogsError: the file is damaged.
    """
    if not log.num_columns:
        return
    has_header = config.format == "delimited" and config.header
    line, rest = 1, b""
    with LogStream(log.path, log.compression) as stream:
        while True:
            chunk = stream.read(block_bytes, line)
            rest += chunk if chunk or not rest else b"\n"
            end = rest.rfind(b"\n") + 1
            if end:
                block, rest = rest[:end], rest[end:]
                num_lines = block.count(b"\n")
                if line == 1:
                    block = block.removeprefix(BOM)
                    if has_header:
                        block = block[block.index(b"\n") + 1 :]
                if block:
                    yield line + (line == 1 and has_header), block
                line += num_lines
            if not chunk:
                return


def _match(glob: str) -> list[Any]:
    try:
        return list(FileSystems.match([glob])[0].metadata_list)
    except BeamIOError as error:
        raise LogsError(
            f"The files matching {glob!r} (`logs.path`, `logs.pattern`) "
            f"cannot be listed: {error}. Check the path and the access to it."
        ) from error
