"""Bootstrap of several means over the same users at once.

`ranking.bootstrap_intervals` draws for one metric alone. Here all columns
are averaged over the same draws of users, so that the columns may be
differences between models (a paired bootstrap), and a hundred of them cost
little more than one.
"""

from __future__ import annotations

import numpy as np

from models.metrics import exact_sums

# Draws held at a time: samples x users (64 MiB as float64).
_BLOCK_ENTRIES = 8 * 1024 * 1024


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
