"""What a person sees of a run: our own lines, not those of the libraries.

Must stay importable without TensorFlow: `quiet` works best before it is
loaded.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path

_REPOSITORY = str(Path(__file__).resolve().parents[1]) + os.sep
_LIBRARIES = (os.sep + ".venv" + os.sep, os.sep + "site-packages" + os.sep)


class _OwnRecords(logging.Filter):
    """Lets through our code's messages, and errors of the libraries."""

    def filter(self, record: logging.LogRecord) -> bool:
        own = record.pathname.startswith(_REPOSITORY) and not any(
            part in record.pathname for part in _LIBRARIES
        )
        if own:
            return record.levelno >= logging.INFO
        if record.name == "absl":
            # TFX: a warning of ML Metadata at every node, whole descriptions
            # of nodes, and failures, which we tell in the component's words.
            return False
        if record.name.startswith("apache_beam"):
            # The traceback of a worker; the failed component's words follow.
            return False
        return record.levelno >= logging.ERROR


def quiet() -> None:
    """Sends library noise to the log only; call before importing TFX."""
    # 3: TensorFlow's C++ reports harmless things about GPUs as errors; its
    # real ones reach Python as exceptions.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    # Python's own warnings (ten of google-api-core alone) become records.
    logging.captureWarnings(True)
    root = logging.getLogger()
    for handler in list(root.handlers):
        root.removeHandler(handler)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    handler.addFilter(_OwnRecords())
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    # absl has a level of its own, and only the records it lets through
    # reach the handlers.
    logging.getLogger("absl").setLevel(logging.INFO)


@contextlib.contextmanager
def logging_to(path: Path) -> Iterator[None]:
    """Writes every record, those of the libraries too, to `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(path, mode="w", encoding="utf-8")
    handler.setFormatter(
        logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    )
    root = logging.getLogger()
    root.addHandler(handler)
    # Our debug messages, tracebacks among them, go to the file only.
    levels = {"pipeline": logging.DEBUG, "absl": logging.INFO}
    before = {name: logging.getLogger(name).level for name in levels}
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
    try:
        yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)
        root.removeHandler(handler)
        handler.close()


def last_words(error: BaseException) -> str:
    """Returns the message of an error without the frames around it.

    Beam hands on errors of its workers as one text with a whole traceback
    in it; what counts is after its last frame.
    """
    text = str(error).strip()
    marker = "Traceback (most recent call last):"
    if marker in text:
        lines = text.rpartition(marker)[2].splitlines()
        while lines and (not lines[0].strip() or lines[0].startswith(" ")):
            lines.pop(0)
        return "\n".join(lines).strip()
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
