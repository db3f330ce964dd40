"""Digests of files on any file system, to tell new ones from known ones."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from typing import IO, Any

from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

# Up to this size in all, contents are read, so that rewriting the same bytes
# changes nothing; beyond it sizes, store checksums and times must do.
_MAX_READ_BYTES = 1 << 30
_CHUNK_BYTES = 1 << 22


def open_as_it_is(path: str) -> IO[bytes]:
    """Opens a file without decompressing it."""
    return FileSystems.open(
        path, compression_type=CompressionTypes.UNCOMPRESSED
    )


def content_digest(
    path: str, open_file: Callable[[str], IO[bytes]] = open_as_it_is
) -> str:
    """SHA-256 of the bytes of a file, as they are."""
    digest = hashlib.sha256()
    with open_file(path) as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def files_digest(
    files: Iterable[Any],
    folder: str,
    open_file: Callable[[str], IO[bytes]] = open_as_it_is,
) -> str:
    """Digest over names, sizes and contents of files.

    Above 1 GiB in all, the store's checksum and the time of the last change
    stand for the contents.

    Args:
        files: Beam's FileMetadata; their order counts.
        folder: what their names begin after.
        open_file: opens a file as it is.
    """
    files = list(files)
    total = sum(file.size_in_bytes for file in files)
    digest = hashlib.sha256()
    for file in files:
        name = file.path.removeprefix(folder).lstrip("/")
        content = (
            content_digest(file.path, open_file)
            if total <= _MAX_READ_BYTES
            else _stamp(file)
        )
        digest.update(f"{name}\0{file.size_in_bytes}\0{content}\n".encode())
    return digest.hexdigest()


def _stamp(file: Any) -> str:
    return f"{FileSystems.checksum(file.path)}@{file.last_updated_in_seconds}"
