"""Makes s3:// known to TensorFlow, where a step uses it."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from typing import NoReturn


def prepare_s3(*texts: str) -> None:
    """Loads TensorFlow's plug-in for s3:// if a text has such a URI.

    Beam reads s3:// by itself (apache-beam[aws]); TensorFlow, and TFX on top
    of it, only with the package tensorflow-io.

    Args:
        *texts: what the step was started with.

    Raises:
        RuntimeError: the plug-in is not installed; says how to get it.
    """
    if not any("s3://" in text for text in texts):
        return
    if importlib.util.find_spec("tensorflow_io") is None:
        raise RuntimeError(
            "s3:// is used, but the package tensorflow-io, which teaches it "
            "to TensorFlow, is not installed. Fix: build the image with "
            "--build-arg STORAGE=s3 (docs/kubeflow.md, Storage)."
        )
    importlib.import_module("tensorflow_io")


def leave(code: int) -> NoReturn:
    """Ends the process, past the plug-in's own clean-up.

    tensorflow-io 0.37.1 aborts at the end of a process that has used s3://
    ("pure virtual method called"), and a step that is done would count as
    failed.
    """
    if "tensorflow_io" in sys.modules:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)
