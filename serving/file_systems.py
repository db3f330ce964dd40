"""File systems that TensorFlow has only with a plug-in: s3://."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from typing import NoReturn

_PLUG_IN = "tensorflow_io"
_COPY = "copy the folder to this machine"
_FIXES = {"s3": f"pip install tensorflow-io==0.37.1, or {_COPY}"}


def why_unknown(path: str) -> str | None:
    """Why TensorFlow cannot look into a folder, whatever lies there.

    It would answer that there is none. The plug-in for s3:// is loaded where it
    is installed.

    Args:
        path: folder or URI.

    Returns:
        None where TensorFlow has the file system of `path`, else words on what
        is missing, with the fix.
    """
    scheme, separator, _ = path.partition("://")
    if not separator or _is_known(scheme):
        return None
    if scheme in _FIXES and importlib.util.find_spec(_PLUG_IN) is not None:
        importlib.import_module(_PLUG_IN)
        if _is_known(scheme):
            return None
    return (
        f"{path} cannot be read: TensorFlow has no file system for "
        f"{scheme}:// here. Fix: {_FIXES.get(scheme, _COPY)}."
    )


def _is_known(scheme: str) -> bool:
    import tensorflow as tf

    return scheme in tf.io.gfile.get_registered_schemes()


def leave(code: int) -> NoReturn:
    """Ends the process, past the plug-in's own clean-up.

    tensorflow-io 0.37.1 aborts at the end of a process that has used s3://
    ("pure virtual method called"), so that a command would end as failed.
    """
    if _PLUG_IN in sys.modules:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)
