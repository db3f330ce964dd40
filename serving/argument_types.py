"""Types of command-line arguments that more than one command takes."""

from __future__ import annotations

import argparse
import re

from serving.version_folders import MAX_VERSION

# What an int32 of a request holds.
_MAX_COUNT = 2**31 - 1


def positive(text: str) -> int:
    """A number of things, at least one."""
    return _whole(text, 1, _MAX_COUNT)


def version(text: str) -> int:
    """Number of a version, as the API takes it."""
    return _whole(text, 0, MAX_VERSION)


def target(text: str) -> str:
    """Where a server listens for gRPC."""
    # Others of gRPC's names, such as dns:///host:8500, are as good.
    if ":" not in text or text.startswith(("http://", "https://")):
        raise argparse.ArgumentTypeError(
            "must be HOST:PORT of the server's gRPC port (--port there), not "
            f"of REST, such as 127.0.0.1:8500, found {text!r}"
        )
    return text


def _whole(text: str, least: int, most: int) -> int:
    # The length first: Python refuses to read thousands of digits.
    fits = re.fullmatch("[0-9]{1,30}", text) is not None
    if not fits or not least <= int(text) <= most:
        raise argparse.ArgumentTypeError(
            f"must be a whole number from {least} to {most}, found {text!r}"
        )
    return int(text)
