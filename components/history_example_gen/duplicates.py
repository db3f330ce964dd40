"""Finds log files that are there twice."""

from __future__ import annotations

from components.history_example_gen.fingerprint import content_digest
from components.history_example_gen.logs import LogsError


def refuse_duplicates(sizes: dict[str, int]) -> None:
    """Raises where two files have the same bytes, whatever their names.

    Only files of the same size are read.

    Args:
        sizes: path to bytes, of the files with rows.

    Raises:
        LogsError: names both files and the fix.
    """
    by_size: dict[int, list[str]] = {}
    for path in sorted(sizes):
        by_size.setdefault(sizes[path], []).append(path)
    pairs = []
    for paths in by_size.values():
        if len(paths) > 1:
            pairs += _same_content(paths)
    if pairs:
        first, second = min(pairs)
        others = len(pairs) - 1
        more = f" So are {others:,} other files." if others else ""
        raise LogsError(
            f"{second} is a copy of {first}, byte for byte: its events would "
            f"count twice.{more} Remove the copy, leave it out of "
            "`logs.pattern`, or set `logs.duplicate_files: keep` if it is no "
            "mistake."
        )


def _same_content(paths: list[str]) -> list[tuple[str, str]]:
    """Pairs of a file and a later one with the same bytes."""
    first_with: dict[str, str] = {}
    pairs = []
    for path in paths:
        first = first_with.setdefault(content_digest(path), path)
        if first != path:
            pairs.append((first, path))
    return pairs
