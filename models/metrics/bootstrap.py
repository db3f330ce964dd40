"""Bootstrap intervals of means over users.

`bootstrap_intervals` draws for one metric alone. `column_intervals` averages
all its columns over the same draws of users, so that the columns may be
differences between models (a paired bootstrap), and a hundred of them cost
little more than one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from models.metrics import exact_sums

# What one block of draws may hold: numbers of 8 bytes, so 64 MiB.
_BLOCK_ENTRIES = 8 * 1024 * 1024


def metrics_with_intervals(
    values: Mapping[str, np.ndarray], samples: int, seed: int
) -> dict[str, Any]:
    """Means over users, and `intervals`: metric name to [low, high].

    Args:
        values: metric name to [num_users], such as `per_user_values`.
        samples: of the bootstrap.
        seed: of the bootstrap.

    Raises:
        ValueError: as `bootstrap_intervals`.
    """
    metrics: dict[str, Any] = {
        name: float(value.mean()) for name, value in values.items()
    }
    metrics["intervals"] = {
        name: list(bootstrap_intervals(value, samples, seed))
        for name, value in values.items()
    }
    return metrics


def bootstrap_intervals(
    per_user_values: np.ndarray, samples: int, seed: int
) -> tuple[float, float]:
    """95 % percentile bootstrap interval of a mean over users.

    Drawing num_users users with replacement is drawing how often each user
    occurs from a multinomial distribution; users with equal values need not
    be told apart, and a metric of ranks cut at k takes at most k + 1 values.
    So each sample costs one multinomial draw over the distinct values,
    whatever the number of users, with exactly the same distribution.

    Args:
        per_user_values: [num_users] float.
        samples: number of bootstrap samples.
        seed: of the generator; equal seeds give equal intervals, to the last
            digit on any machine.

    Returns:
        The 2.5 % and 97.5 % percentiles of the mean.

    Raises:
        ValueError: no user, a value that is not finite, or no sample.
    """
    values = np.asarray(per_user_values, np.float64)
    if not values.size or samples < 1:
        raise ValueError(
            f"Need users and samples, found {values.size} and {samples}."
        )
    if not np.isfinite(values).all():
        raise ValueError("`per_user_values` has values that are not finite.")
    distinct, counts = np.unique(
        exact_sums.on_grid(values, values.size), return_counts=True
    )
    generator = np.random.default_rng(seed)
    block = max(1, _BLOCK_ENTRIES // len(distinct))
    means = [
        generator.multinomial(
            values.size, counts / values.size, size=min(block, samples - start)
        )
        @ distinct
        / values.size
        for start in range(0, samples, block)
    ]
    low, high = np.percentile(np.concatenate(means), [2.5, 97.5])
    return float(low), float(high)


def column_intervals(
    values: np.ndarray, samples: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """95 % percentile bootstrap intervals of the means of columns.

    Args:
        values: [num_users, num_columns] float.
        samples: number of bootstrap samples.
        seed: of the generator; equal seeds draw the same users and give the
            same intervals to the last digit on any machine.

    Returns:
        The 2.5 % and 97.5 % percentiles, [num_columns] each.

    Raises:
        ValueError: no user, a value that is not finite, or no sample.
    """
    values = np.asarray(values, np.float64)
    if values.ndim != 2 or not len(values) or samples < 1:
        raise ValueError(
            "Need [num_users, num_columns] values and samples, found "
            f"{values.shape} and {samples}."
        )
    if not np.isfinite(values).all():
        raise ValueError("`values` has values that are not finite.")
    users = len(values)
    values = exact_sums.on_grid(values, users)
    generator = np.random.default_rng(seed)
    block = max(1, _BLOCK_ENTRIES // users)
    means = [
        _times_drawn(generator, min(block, samples - start), users)
        @ values
        / users
        for start in range(0, samples, block)
    ]
    low, high = np.percentile(np.concatenate(means), [2.5, 97.5], axis=0)
    return low, high


def _times_drawn(
    generator: np.random.Generator, samples: int, users: int
) -> np.ndarray:
    """[samples, users] float64: how often each user is in each sample."""
    drawn = generator.integers(0, users, (samples, users))
    drawn += np.arange(samples)[:, np.newaxis] * users
    times = np.bincount(drawn.ravel(), minlength=samples * users)
    return times.reshape(samples, users).astype(np.float64)
