"""The numbered versions of a model in a folder, by one rule for all.

As TF Serving has it, a version is a folder whose name is a number. Unlike TF
Serving only one with saved_model.pb counts: that file is written last, so what
lacks it is being pushed, or was when its step was killed.

TensorFlow is imported for URIs only, so that commands are quick.
"""

from __future__ import annotations

import itertools
import os
import re
from typing import Any

from serving import assets_extra, file_systems

SAVED_MODEL_FILE = "saved_model.pb"
# In a version that a rollback has copied: which one it is a copy of.
COPY_OF_FILE = os.path.join(assets_extra.FOLDER, "copy_of.json")
# The API's int64; TF Serving takes no folder with a higher number either.
MAX_VERSION = 2**63 - 1
# Folders that a message names.
_MOST_NAMED = 3


class _LocalFiles:
    """What is used of `tf.io.gfile`, for local folders."""

    isdir = staticmethod(os.path.isdir)
    exists = staticmethod(os.path.exists)
    listdir = staticmethod(os.listdir)


def find(directory: str) -> dict[int, str]:
    """Folders of the complete versions by number, lowest first.

    Args:
        directory: folder or URI of the numbered folders (--model_base_path).

    Returns:
        Nothing where there is no such folder.
    """
    return {
        version: path
        for version, path in _numbered(directory).items()
        if is_complete(path)
    }


def newest(directory: str) -> str | None:
    """Folder of the complete version with the highest number.

    Args:
        directory: as for `find`.

    Returns:
        None where there is no such version, or no such folder.
    """
    # From the end: on an object store every question is a request.
    folders = reversed(_numbered(directory).values())
    return next((path for path in folders if is_complete(path)), None)


def is_complete(path: str) -> bool:
    """Whether a folder holds a whole SavedModel."""
    exists: bool = _files(path).exists(os.path.join(path, SAVED_MODEL_FILE))
    return exists


def why_none(directory: str) -> str:
    """What there is instead in a folder without a complete version.

    Returns:
        Words that name the folder, and the one that may have been meant.
    """
    if why := file_systems.why_unknown(directory):
        return why
    if not _files(directory).isdir(directory):
        return f"there is no folder {directory}"
    words = f"no numbered version in {directory}"
    incomplete = [str(number) for number in _numbered(directory)]
    if incomplete:
        listed = ", ".join(incomplete[:_MOST_NAMED])
        return f"{words}: {listed} without {SAVED_MODEL_FILE} (not yet there?)"
    if is_complete(directory):
        words += ", which is itself a SavedModel"
    meant = _folders_with_versions_near(directory)
    if meant:
        return f"{words}; did you mean {' or '.join(meant)}?"
    if is_complete(directory):
        return f"{words}; its place is a folder such as {directory}/1"
    return words


def _folders_with_versions_near(directory: str) -> list[str]:
    """The parent, for that was a version; folders inside, for it was theirs."""
    if "://" in directory:
        parent = directory.rstrip("/").rpartition("/")[0]
    else:
        parent = os.path.dirname(os.path.abspath(directory))
    inside = (os.path.join(directory, name) for name in names_in(directory))
    found = (path for path in (parent, *inside) if newest(path))
    return list(itertools.islice(found, _MOST_NAMED))


def names_in(directory: str) -> list[str]:
    """Names of what lies in a folder, sorted; none where there is none."""
    files = _files(directory)
    if not files.isdir(directory):
        return []
    # Object stores mark folders with a / at the end.
    return sorted(name.strip("/") for name in files.listdir(directory))


def _numbered(directory: str) -> dict[int, str]:
    """Numbered folders, complete or not, lowest first."""
    # Of 007 and 7 the second is taken, which is how versions are written.
    numbers = sorted(
        (int(name), -len(name), name)
        for name in names_in(directory)
        if re.fullmatch("[0-9]+", name)
    )
    return {
        number: os.path.join(directory, name)
        for number, _, name in numbers
        if number <= MAX_VERSION
    }


def _files(path: str) -> Any:
    if "://" not in path:
        return _LocalFiles
    import tensorflow as tf

    return tf.io.gfile
