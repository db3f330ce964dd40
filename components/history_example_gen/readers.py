"""Finds log files and reads text files in blocks of whole lines."""

from __future__ import annotations

import fnmatch
import itertools
import os
import re
import warnings
from collections.abc import Iterator
from typing import Any

from apache_beam.io.filesystem import BeamIOError, FileMetadata
from apache_beam.io.filesystems import FileSystems

from components.history_example_gen.config import LogsConfig
from components.history_example_gen.logs import LogFile as LogFile
from components.history_example_gen.logs import LogsError as LogsError
from components.history_example_gen.logs import list_some, suggest
from components.history_example_gen.permissions import (
    closed_folder,
    closed_subfolders,
)
from components.history_example_gen.streams import BOM, LogStream

# A component of a glob, not the end of another one such as `a**/`.
_ANY_FOLDERS = r"(?<![^/])((?:\*\*/)+)"
_GLOB_CHARACTERS = re.compile(r"[*?\[]")


def match_files(config: LogsConfig) -> list[Any]:
    """Beam FileMetadata of the files matched by `config`, sorted by path.

    A file that several globs match is there once. `**/` stands for any
    number of folders, also none.

    Raises:
        LogsError: the folder does not exist, it or one that a glob descends
            into may not be read, or a glob matches nothing.
    """
    if not config.path:
        raise LogsError(
            "Missing key `logs.path`: give there the folder of the log files."
        )
    patterns = config.pattern
    if isinstance(patterns, str):
        patterns = (patterns,)
    found: dict[str, Any] = {}
    for pattern in patterns:
        files = _match(config.path, _globs(pattern))
        if not files:
            raise _no_match(config, pattern)
        closed = closed_subfolders(config.path, pattern)
        if closed:
            raise LogsError(
                f"No permission to read {list_some(closed)}, which "
                f"`logs.pattern` {pattern!r} descends into: files there would "
                "be missing from the log without a word. Give the user that "
                "runs this read and execute permission for it, or take a "
                "pattern without it."
            )
        found.update((file.path, file) for file in files)
    return [found[path] for path in sorted(found)]


def _globs(pattern: str) -> list[str]:
    """Beam's globs for a pattern; its own `**/` wants at least one folder."""
    globs = [""]
    for part in re.split(_ANY_FOLDERS, pattern):
        ways = ("", "**/") if part.startswith("**/") else (part,)
        globs = [start + way for start in globs for way in ways]
    return globs


def _no_match(config: LogsConfig, pattern: str) -> LogsError:
    above, _, _ = re.split(r"[*?\[]", pattern, maxsplit=1)[0].rpartition("/")
    closed = closed_folder(os.path.join(config.path, above))
    if closed is not None:
        return LogsError(
            f"No permission to read the folder {closed!r}, so nothing can "
            f"match `logs.pattern` {pattern!r} in `logs.path` "
            f"{config.path!r}. Give the user that runs this read and execute "
            "permission for it, or point `logs.path` to another folder."
        )
    neighbours = sorted(
        os.path.basename(f.path) for f in _match(config.path, ["*"])
    )
    if neighbours:
        return LogsError(
            f"No file matches `logs.pattern` {pattern!r} in `logs.path` "
            f"{config.path!r}. Files there: {list_some(neighbours)}."
            f"{suggest(pattern, neighbours)}"
        )
    below = _some_below(config.path)
    if below:
        return LogsError(
            f"No file matches `logs.pattern` {pattern!r} in `logs.path` "
            f"{config.path!r}. All files there lie in sub-folders: "
            f"{list_some(below, 3)}. `**/` descends into them, as in "
            f"`logs.pattern: {_below(pattern, below)}`."
        )
    if os.path.isfile(config.path):
        folder, name = os.path.split(config.path)
        return LogsError(
            f"`logs.path` {config.path!r} is a file, not the folder that the "
            f"log files are in. Set `logs.path: {folder}` and "
            f'`logs.pattern: "{name}"`.'
        )
    if FileSystems.exists(config.path):
        return LogsError(
            f"`logs.path` {config.path!r} is a file or a folder without "
            f"files, and nothing in it matches `logs.pattern` {pattern!r}. "
            "Give there the folder that the log files are in, and their "
            "names in `logs.pattern` (`**` descends into sub-folders)."
        )
    hint = ""
    if _GLOB_CHARACTERS.search(config.path):
        hint = " It is no glob: `*`, `?` and `[` belong into `logs.pattern`."
    return LogsError(
        f"`logs.path` {config.path!r} does not exist. Create it or point "
        f"`logs.path` to the folder of the log files.{hint}"
    )


def _some_below(folder: str) -> list[str]:
    """Paths in the folder of files below it, sorted; of local ones 1,000."""
    if "://" in folder:
        files = iter(_match(folder, ["**"]))
    else:
        files = itertools.islice(_files_below(folder), 1000)
    return sorted(os.path.relpath(file.path, folder) for file in files)


def _below(pattern: str, below: list[str]) -> str:
    """A pattern, in quotes for YAML, for files that lie in sub-folders."""
    last = pattern.rpartition("/")[2]
    if not any(fnmatch.fnmatch(os.path.basename(f), last) for f in below):
        # All endings of the first one: `*.csv.gz`.
        endings = os.path.basename(below[0]).lstrip(".").split(".")[1:]
        last = ".".join(["*", *endings])
    return f'"**/{last}"'


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
    line = 1
    # Of a line over several chunks; joined once, at its end.
    rest: list[bytes] = []
    with LogStream(log.path, log.compression) as stream:
        while True:
            chunk = stream.read(block_bytes, line)
            piece = chunk if chunk or not rest else b"\n"
            end = piece.rfind(b"\n") + 1
            if end:
                block = b"".join([*rest, piece[:end]])
                rest = [piece[end:]] if piece[end:] else []
                num_lines = block.count(b"\n")
                if line == 1:
                    block = block.removeprefix(BOM)
                    if has_header:
                        block = block[block.index(b"\n") + 1 :]
                if block:
                    yield line + (line == 1 and has_header), block
                line += num_lines
            elif piece:
                rest.append(piece)
            if not chunk:
                return


def _match(folder: str, globs: list[str]) -> list[Any]:
    """Beam FileMetadata of files in a folder, whose own name is no glob."""
    literal = _GLOB_CHARACTERS.sub(r"[\g<0>]", folder)
    patterns = [FileSystems.join(literal, glob) for glob in globs]
    try:
        with warnings.catch_warnings():
            # Python's re warns of the set `[[]` that stands for a bracket.
            warnings.filterwarnings("ignore", "Possible nested set")
            if literal == folder or "://" in folder:
                results = FileSystems.match(patterns)
                return [f for result in results for f in result.metadata_list]
            # Beam would list from the folder above the first bracket on, and
            # on the way down follow no link.
            files = list(_files_below(folder))
            match = FileSystems.get_filesystem(folder).match_files
            return [f for pattern in patterns for f in match(files, pattern)]
    except BeamIOError as error:
        raise LogsError(
            f"The files matching {' or '.join(map(repr, patterns))} "
            "(`logs.path`, `logs.pattern`) cannot be listed: "
            f"{error}. Check the path and the access to it."
        ) from error


def _files_below(folder: str) -> Iterator[FileMetadata]:
    """All files of a local folder, as Beam lists them."""
    for parent, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(parent, name)
            try:
                found = os.stat(path)
            except OSError:  # a link to nothing, or gone by now
                continue
            yield FileMetadata(path, found.st_size, found.st_mtime)
