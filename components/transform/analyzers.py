"""Exact global cut times: a mergeable Beam analyzer.

TFT's own quantiles are approximate and go through float32, in which unix
seconds are known to about two minutes only. Here the timestamps are counted
exactly, as integers, so that a cut falls on the second.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence

import apache_beam as beam
import numpy as np
import tensorflow as tf
import tensorflow_transform as tft

# Distinct timestamps, ascending, and how often each occurs.
Counts = tuple[np.ndarray, np.ndarray]


class CountTimestamps(beam.CombineFn):
    """Counts each timestamp; memory grows with the distinct ones only.

    Elements are one-element tuples of an int64 array [n], as TFT hands a
    batch to a PTransform. An accumulator holds counts of some of the batches
    each, every one at least twice as long as the next: were each batch added
    to one table of all, the time would grow with the square of the batches.
    """

    def create_accumulator(self) -> list[Counts]:
        return []

    def add_input(
        self, accumulator: list[Counts], element: tuple[np.ndarray]
    ) -> list[Counts]:
        (timestamps,) = element
        batch = np.unique(
            np.asarray(timestamps, np.int64).reshape(-1), return_counts=True
        )
        return _halving([*accumulator, batch])

    def merge_accumulators(
        self, accumulators: Iterable[list[Counts]]
    ) -> list[Counts]:
        parts = [part for parts in accumulators for part in parts]
        return _halving(sorted(parts, key=lambda part: -len(part[0])))

    def extract_output(self, accumulator: list[Counts]) -> Counts:
        return _sum(accumulator)


def _halving(parts: list[Counts]) -> list[Counts]:
    """Adds up neighbours until each is twice as long as the next."""
    result: list[Counts] = []
    for part in parts:
        result.append(part)
        while len(result) > 1 and len(result[-2][0]) < 2 * len(result[-1][0]):
            result[-2:] = [_sum(result[-2:])]
    return result


def _sum(parts: Sequence[Counts]) -> Counts:
    """Counts of all parts together; of none no timestamp."""
    empty = np.empty(0, np.int64)
    values = np.concatenate([empty, *(values for values, _ in parts)])
    counts = np.concatenate([empty, *(counts for _, counts in parts)])
    order = np.argsort(values, kind="stable")  # fast: a few ascending runs
    values, counts = values[order], counts[order]
    first = np.append(True, values[1:] != values[:-1])[: len(values)]
    starts = np.flatnonzero(first)
    return values[starts], np.add.reduceat(counts, starts)


def quantile_of_counts(
    values: np.ndarray, counts: np.ndarray, quantile: float
) -> float:
    """Linear quantile of `values`, each repeated `counts` times.

    Takes the steps of `pandas.Series.quantile` in their order, so that the
    result is the same to the last bit without repeating anything.

    Args:
        values: [n] int64, ascending, n >= 1.
        counts: [n] int64, at least 1 each.
        quantile: in (0, 1).
    """
    ends = np.cumsum(counts)
    # pandas asks numpy for a percentile, which divides by 100 again; for
    # 0.029 that is one rounding away from 0.029.
    position = (int(ends[-1]) - 1) * ((quantile * 100) / 100)
    index = math.floor(position)
    low, high = (
        float(values[np.searchsorted(ends, min(i, ends[-1] - 1), side="right")])
        for i in (index, index + 1)
    )
    share = position - index
    # As numpy does: from the nearer end, so that a share near 1 is exact.
    if share >= 0.5:
        return high - (high - low) * (1 - share)
    return low + (high - low) * share


@dataclasses.dataclass(frozen=True)
class Cut:
    """A cut in time that the data decide on.

    Attributes:
        name: `test` or `validation`.
        population: in words, whose events count, for messages.
        quantile: of their timestamps, in (0, 1], linear between two of them,
            then floored; or None.
        before_newest: instead of it, seconds before the newest of them.
        after: unix seconds that the cut must lie after, where given.
    """

    name: str
    population: str
    quantile: float | None = None
    before_newest: int | None = None
    after: int | None = None

    def __post_init__(self) -> None:
        if (self.quantile is None) == (self.before_newest is None):
            raise ValueError("Give one of `quantile` and `before_newest`.")

    def time(self, counts: Counts) -> int:
        """Unix seconds.

        Timestamps are integers, so those up to the floor of a quantile are
        those up to the quantile.
        """
        values, totals = counts
        if self.quantile is None:
            assert self.before_newest is not None
            return int(values[-1]) - self.before_newest
        return math.floor(quantile_of_counts(values, totals, self.quantile))

    def __str__(self) -> str:
        if self.quantile is None:
            assert self.before_newest is not None
            days = self.before_newest / 86_400
            return f"The {self.name} cut {days:g} days before the newest event"
        return f"The {self.name} cut at quantile {self.quantile}"


def cut_of_counts(counts: Counts, cut: Cut) -> np.ndarray:
    """[] int64: the time of the cut.

    Raises:
        ValueError: there is no timestamp at all, or the cut is too early.
    """
    values, _ = counts
    if not len(values):
        raise ValueError(
            f"No events to take the {cut.name} cut from: found no "
            f"{cut.population}. Lower the minimum number of events per user "
            "in the split settings, or check the logs and the dates."
        )
    time = cut.time(counts)
    if cut.after is not None and time <= cut.after:
        raise ValueError(
            f"{cut} is {time} (unix seconds), expected a time after the "
            f"validation date {cut.after}: give an earlier validation date, "
            "or a date for both."
        )
    return np.asarray(time, np.int64)


class ExactCut(beam.PTransform):
    """The time of a cut, from all timestamps of the whole data."""

    def __init__(self, cut: Cut) -> None:
        super().__init__()
        self._cut = cut

    def expand(self, batches: beam.PCollection) -> beam.PCollection:
        return (
            batches
            | "CountTimestamps" >> beam.CombineGlobally(CountTimestamps())
            | "Cut" >> beam.Map(cut_of_counts, self._cut)
        )


def cut_time(timestamps: tf.Tensor, cut: Cut) -> tf.Tensor:
    """[] int64: unix seconds of the cut, over the whole data.

    Args:
        timestamps: [n] int64 unix seconds of the batch that count.
        cut: which one.
    """
    (result,) = tft.experimental.ptransform_analyzer(
        [timestamps], ExactCut(cut), [tf.int64], [[]], name=f"{cut.name}_cut"
    )
    return result
