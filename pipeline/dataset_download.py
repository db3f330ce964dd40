"""Fetches a publisher's file: with progress, resumable, and verified.

What has arrived lies in a `.part` file until size and content are right.
"""

from __future__ import annotations

import gzip
import hashlib
import http.client
import re
import shutil
import sys
import time
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from pipeline.dataset_catalogue import DatasetError, Download

# Called with the bytes that have arrived and, where known, all of them.
Report = Callable[[int, int | None], None]

_ATTEMPTS = 4
_BLOCK_BYTES = 1 << 18
_TIMEOUT_SECONDS = 60.0
_WAIT_SECONDS = 1.0


def download(source: Download, folder: Path, page: str) -> Path:
    """Fetches and unpacks a file; one that is there already is kept.

    Args:
        source: from where, and what to keep of it.
        folder: of the dataset; made where missing.
        page: the publisher's page, for messages.

    Returns:
        The path of the file.

    Raises:
        DatasetError: it cannot be had, or is not what was published.
    """
    target = folder / source.save_as
    if target.exists():
        return target
    folder.mkdir(parents=True, exist_ok=True)
    fetched = target
    if source.member:
        fetched = folder / source.url.rpartition("/")[2]
    if not fetched.exists():
        part = fetched.with_name(fetched.name + ".part")
        _fetch(source.url, part, page, show_progress(fetched.name))
        _verify(part, source, fetched.name)
        part.replace(fetched)
    if source.member:
        _unpack(fetched, source.member, target)
        fetched.unlink()
    return target


def show_progress(name: str, stream: IO[str] | None = None) -> Report:
    """A Report that writes to `stream`, by default standard error.

    On a terminal one line is written over; elsewhere there is a line per
    tenth, or per 16 MiB where the total is not known.
    """
    out = stream or sys.stderr
    started = time.monotonic()
    last = [-1]

    def report(done: int, total: int | None) -> None:
        step = done * 10 // total if total else done >> 24
        if out.isatty():
            step = int((time.monotonic() - started) * 5)
        finished = done == total
        if step == last[0] and not finished:
            return
        last[0] = step
        share = f" of {_size(total)} ({done / total:.0%})" if total else ""
        seconds = time.monotonic() - started
        text = f"{name}: {_size(done)}{share}, {seconds:.0f} s"
        ending = "\r" if out.isatty() and not finished else "\n"
        print(f"{text:<70}".rstrip("\r"), end=ending, file=out, flush=True)

    return report


def _fetch(url: str, part: Path, page: str, report: Report) -> None:
    """Fills `part`, going on where it ends; a few times where it breaks."""
    stalled = 0
    while True:
        before = part.stat().st_size if part.exists() else 0
        total = _continue(url, part, page, report)
        arrived = part.stat().st_size if part.exists() else 0
        if total is None or arrived == total:
            return
        if arrived > total:
            part.unlink()
            raise DatasetError(
                f"{url} is {total:,} bytes, but {arrived:,} arrived. The "
                "file was removed; call the command again."
            )
        stalled = 0 if arrived > before else stalled + 1
        if stalled >= _ATTEMPTS:
            raise DatasetError(
                f"{url} ended after {arrived:,} of {total:,} bytes."
                f"{_kept(part)}"
            )
        time.sleep(_WAIT_SECONDS * stalled)


def _continue(url: str, part: Path, page: str, report: Report) -> int | None:
    """One request for what `part` lacks; returns the size of the whole.

    The size is None where the server does not say it. A connection that
    breaks is no error here: the size tells.
    """
    start = part.stat().st_size if part.exists() else 0
    headers = {"User-Agent": "create-datasets", "Accept-Encoding": "identity"}
    headers |= {"Range": f"bytes={start}-"} if start else {}
    request = urllib.request.Request(url, headers=headers)
    try:
        response = urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        if error.code != 416:
            raise DatasetError(
                f"{url} answers {error.code} {error.reason}. The publisher may "
                f"have moved it: see {page}"
            ) from error
        if _total_of(error.headers) == start:
            return start
        part.unlink()  # of an older or another file
        return _continue(url, part, page, report)
    except OSError as error:
        reason = getattr(error, "reason", error)
        raise DatasetError(
            f"{url} cannot be reached: {reason}. Check the network (and "
            f"HTTPS_PROXY), or fetch the file by hand: {page}{_kept(part)}"
        ) from error
    with response:
        if start and response.status != 206:
            start = 0  # the server sends the whole file
        total = _total_of(response.headers)
        with open(part, "ab" if start else "wb") as stream:
            whole = _receive(response, stream, start, total, report)
    if total is None and not whole:
        raise DatasetError(f"The connection to {url} broke.{_kept(part)}")
    return total


def _kept(part: Path) -> str:
    """What to say of the bytes that have arrived."""
    if not part.exists():
        return ""
    return f" What arrived is kept in {part}; the same command continues there."


def _receive(
    response: Any, stream: IO[bytes], done: int, total: int | None, say: Report
) -> bool:
    """Writes what arrives; False where the connection breaks."""
    while True:
        say(done, total)
        try:
            block = response.read(_BLOCK_BYTES)
        except (OSError, http.client.HTTPException):
            return False
        if not block:
            return True
        stream.write(block)
        done += len(block)


def _total_of(headers: Any) -> int | None:
    """Size of the whole file, from Content-Range or Content-Length."""
    whole = re.search(r"/(\d+)\s*$", headers.get("Content-Range") or "")
    if whole:
        return int(whole.group(1))
    length = headers.get("Content-Length")
    return int(length) if length else None


def _verify(part: Path, source: Download, name: str) -> None:
    """Refuses and removes a file that is damaged or not the published one."""
    problem = _wrong_digest(part, source.digest)
    if not problem and name.endswith(".gz"):
        problem = _damaged_gzip(part)
    if problem:
        part.unlink()
        raise DatasetError(
            f"What {source.url} sent is not the published file: {problem}. It "
            "was removed; call the command again. If it stays so, the "
            "publisher has changed the file: compare, and correct "
            "pipeline/datasets.yaml."
        )


def _wrong_digest(path: Path, digest: str | None) -> str:
    if digest is None:
        return ""
    kind, _, expected = digest.partition(":")
    found = hashlib.new(kind)
    with open(path, "rb") as stream:
        while block := stream.read(_BLOCK_BYTES):
            found.update(block)
    if found.hexdigest() == expected:
        return ""
    return f"{kind} {found.hexdigest()}, expected {expected}"


def _damaged_gzip(path: Path) -> str:
    try:
        with gzip.open(path) as stream:
            while stream.read(_BLOCK_BYTES):
                pass
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        return f"no sound gzip file ({error})"
    return ""


def _unpack(archive: Path, member: str, target: Path) -> None:
    """Writes one member of a zip archive; packs it where `target` is .gz."""
    part = target.with_name(target.name + ".part")
    try:
        with (
            zipfile.ZipFile(archive) as packed,
            packed.open(member) as source,
            open(part, "wb") as raw,
        ):
            if target.suffix == ".gz":
                with gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as stream:
                    shutil.copyfileobj(source, stream)
            else:
                shutil.copyfileobj(source, raw)
    except (KeyError, zipfile.BadZipFile, zlib.error, EOFError) as error:
        part.unlink(missing_ok=True)
        raise DatasetError(
            f"{archive} does not hold {member} as a sound zip archive: "
            f"{error}. Fix: remove it and call the command again."
        ) from error
    part.replace(target)


def _size(num_bytes: int) -> str:
    return f"{num_bytes / 1e6:,.1f} MB"
