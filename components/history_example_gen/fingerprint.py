"""Fingerprint of log files, so that new data is never a stale cache hit."""

from __future__ import annotations

from components import file_digests
from components.history_example_gen.config import LogsConfig
from components.history_example_gen.readers import match_files
from components.history_example_gen.streams import open_raw


def input_fingerprint(config: LogsConfig) -> str:
    """`files_digest` of the matched log files.

    Raises:
        LogsError: no file matches, or one may not be read.
    """
    return file_digests.files_digest(match_files(config), config.path, open_raw)


def content_digest(path: str) -> str:
    """SHA-256 of the bytes of a log file, as they are.

    Raises:
        LogsError: it may not be read.
    """
    return file_digests.content_digest(path, open_raw)
