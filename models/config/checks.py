"""Checks that the settings share."""

from __future__ import annotations

import math


def one_of(name: str, value: str, *allowed: str) -> None:
    """Raises ValueError unless `value` is one of `allowed`."""
    if value not in allowed:
        raise ValueError(
            f"`{name}` must be one of {', '.join(allowed)}, found {value!r}."
        )


def between(name: str, value: float, low: float, high: float) -> None:
    """Raises ValueError unless low <= value <= high."""
    if not low <= value <= high:
        raise ValueError(
            f"`{name}` must lie in [{low}, {high}], found {value}."
        )


def at_least(name: str, value: float, low: float) -> None:
    """Raises ValueError unless value >= low and finite."""
    if not value >= low:
        raise ValueError(f"`{name}` must be at least {low}, found {value}.")
    _finite(name, value)


def positive(name: str, value: float) -> None:
    """Raises ValueError unless value > 0 and finite."""
    if not value > 0:
        raise ValueError(f"`{name}` must be positive, found {value}.")
    _finite(name, value)


def _finite(name: str, value: float) -> None:
    if math.isinf(value):
        raise ValueError(
            f"`{name}` must be a finite number, found {value}. Fix: a large "
            "one, such as 1.0e+9."
        )
