"""Checks that the settings share."""

from __future__ import annotations


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
    """Raises ValueError unless value >= low."""
    if not value >= low:
        raise ValueError(f"`{name}` must be at least {low}, found {value}.")


def positive(name: str, value: float) -> None:
    """Raises ValueError unless value > 0."""
    if not value > 0:
        raise ValueError(f"`{name}` must be positive, found {value}.")
