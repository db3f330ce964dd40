"""What may not be read of the local file system.

Listing a folder without permission looks like listing an empty one, and a
folder below it like one that does not exist.
"""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Sequence
from pathlib import Path


def closed_folder(path: str) -> str | None:
    """The first folder on the way to `path` that stops whoever runs this.

    Args:
        path: of a folder; paths with a scheme are never closed, as their
            stores say so themselves.

    Returns:
        A folder above `path` that may not be entered, or `path` itself where
        it may not be listed; None where it may or does not exist.
    """
    if "://" in path:
        return None
    last = Path(path).absolute()
    for folder in (*reversed(last.parents), last):
        if not os.path.isdir(folder):
            return None
        needed = os.X_OK | (os.R_OK if folder == last else 0)
        if not os.access(folder, needed):
            return str(folder)
    return None


def closed_subfolders(path: str, pattern: str) -> list[str]:
    """Folders that may hold matching files but may not be listed, sorted.

    Args:
        path: of a folder; paths with a scheme have none, as their stores say
            so themselves.
        pattern: glob inside it; `**` stands for any number of folders.
    """
    if "://" in path or "/" not in pattern:
        return []
    closed: list[str] = []
    parts = pattern.split("/")

    def note(error: OSError) -> None:
        folders = os.path.relpath(error.filename, path).split(os.sep)
        if isinstance(error, PermissionError) and _may_hold(folders, parts):
            closed.append(error.filename)

    for _ in os.walk(path, onerror=note):
        pass
    return sorted(closed)


def _may_hold(folders: Sequence[str], parts: Sequence[str]) -> bool:
    """Whether a file below the folders can match the parts of a glob."""
    if not folders:
        return bool(parts)
    if len(parts) < 2:  # the last part is a file's
        return False
    if "**" in parts[0]:
        return True
    return fnmatch.fnmatchcase(folders[0], parts[0]) and _may_hold(
        folders[1:], parts[1:]
    )
