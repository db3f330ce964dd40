"""What goes wrong, and what a server says of it."""

from __future__ import annotations

import json


class CompileError(ValueError):
    """The pipeline cannot run on Kubeflow as it is; says why, and the fix."""


class ScheduleError(RuntimeError):
    """A schedule was not put in its place; says which one is on now.

    The cause is what the server, the network or the keyboard did.
    """


def words(error: BaseException) -> str:
    """A server's own words without headers and traces, or the error's."""
    status = getattr(error, "status", None)
    if status is None:
        return str(error) or type(error).__name__
    body = getattr(error, "body", None)
    try:
        answer = json.loads(body)  # type: ignore[arg-type]
        message = answer.get("message") or answer["error_message"]
    except (AttributeError, KeyError, TypeError, ValueError):
        message = body or getattr(error, "reason", None)
    return f"The server answered {status}: {message}"
