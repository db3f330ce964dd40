"""What is wrong with a configuration; imports nothing, for all who raise it."""

from __future__ import annotations


class ConfigError(ValueError):
    """A configuration cannot be served; the message says why."""
