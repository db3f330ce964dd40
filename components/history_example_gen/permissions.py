"""What may not be read of the local file system.

Listing a folder without permission looks like listing an empty one, and a
folder below it like one that does not exist.
"""

from __future__ import annotations

import os
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
