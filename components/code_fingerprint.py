"""Fingerprint of the code behind a component, for TFX's cache key.

TFX does not look at the code of a component, only at its parameters. With
this hash among them, an edit makes the component run again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

_SUFFIXES = frozenset({".py", ".pbtxt", ".html", ".css", ".j2", ".jinja"})
_REPOSITORY = Path(__file__).resolve().parents[1]


def code_fingerprint(*packages: str, root: Path = _REPOSITORY) -> str:
    """Hashes packages or modules and the locked requirements.

    Args:
        *packages: dotted names such as "models" (all of it, with the
            templates in it) or "components.trainer", which stands for that
            package and the modules directly in `components`, for it builds
            on those.
        root: folder that holds the packages and requirements.lock.

    Returns:
        64 hexadecimal digits. Nothing is remembered between calls.

    Raises:
        ValueError: a package does not exist.
    """
    files: set[Path] = set()
    for package in packages:
        files.update(_files_of(package, root))
    lock = root / "requirements.lock"
    if lock.is_file():
        files.add(lock)
    digest = hashlib.sha256()
    for file in sorted(files):
        name = file.relative_to(root).as_posix().encode()
        content = file.read_bytes()
        # Lengths in between: no two sets of files may read the same.
        digest.update(b"%d %s %d " % (len(name), name, len(content)))
        digest.update(content)
    return digest.hexdigest()


def _files_of(package: str, root: Path) -> Iterator[Path]:
    """Yields the files of a package or module, and what lies around it."""
    path = root.joinpath(*package.split("."))
    if path.is_dir():
        for file in path.rglob("*"):
            if file.suffix in _SUFFIXES and file.is_file():
                yield file
    elif path.with_suffix(".py").is_file():
        yield path.with_suffix(".py")
    else:
        raise ValueError(
            f"No package or module {package!r} to take the fingerprint of "
            f"in {root}."
        )
    for parent in path.parents:
        if parent == root:
            break
        yield from parent.glob("*.py")
