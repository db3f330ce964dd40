"""Fingerprint of log files, so that new data is never a stale cache hit."""

from __future__ import annotations

import hashlib
from typing import Any

from apache_beam.io.filesystems import FileSystems

from components.history_example_gen.config import LogsConfig
from components.history_example_gen.readers import match_files
from components.history_example_gen.streams import open_raw

# Up to this size in all, contents are read, so that rewriting the same bytes
# changes nothing; beyond it sizes, store checksums and times must do.
_MAX_READ_BYTES = 1 << 30
_CHUNK_BYTES = 1 << 22


def input_fingerprint(config: LogsConfig) -> str:
    """Digest over names, sizes and contents of the matched log files.

    Above 1 GiB in all, the store's checksum and the time of the last change
    stand for the contents.

    Raises:
        LogsError: no file matches.
    """
    files = match_files(config)
    total = sum(file.size_in_bytes for file in files)
    digest = hashlib.sha256()
    for file in files:
        name = file.path.removeprefix(config.path).lstrip("/")
        content = (
            content_digest(file.path)
            if total <= _MAX_READ_BYTES
            else _stamp(file)
        )
        digest.update(f"{name}\0{file.size_in_bytes}\0{content}\n".encode())
    return digest.hexdigest()


def content_digest(path: str) -> str:
    """SHA-256 of the bytes of a file, as they are."""
    digest = hashlib.sha256()
    with open_raw(path) as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _stamp(file: Any) -> str:
    return f"{FileSystems.checksum(file.path)}@{file.last_updated_in_seconds}"
