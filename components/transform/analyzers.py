"""Exact global cut times: a mergeable Beam analyzer.

TFT's own quantiles are approximate and go through float32, in which unix
seconds are known to about two minutes only. Here the timestamps are counted
exactly, as integers, so that a cut falls on the second.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable

import apache_beam as beam
import numpy as np
import tensorflow as tf
import tensorflow_transform as tft

# Distinct timestamps, ascending, and how often each occurs.
Counts = tuple[np.ndarray, np.ndarray]


class CountTimestamps(beam.CombineFn):
    """Counts each timestamp; memory grows with the distinct ones only.

    Elements are one-element tuples of an int64 array [n], as TFT hands a
    batch to a PTransform.
    """

    def create_accumulator(self) -> Counts:
        return np.empty(0, np.int64), np.empty(0, np.int64)

    def add_input(
        self, accumulator: Counts, element: tuple[np.ndarray]
    ) -> Counts:
        (timestamps,) = element
        batch = np.unique(
            np.asarray(timestamps, np.int64).reshape(-1), return_counts=True
        )
        return self.merge_accumulators([accumulator, batch])

    def merge_accumulators(self, accumulators: Iterable[Counts]) -> Counts:
        parts = list(accumulators)
        values, positions = np.unique(
            np.concatenate([values for values, _ in parts]), return_inverse=True
        )
        totals = np.zeros(len(values), np.int64)
        np.add.at(totals, positions, np.concatenate([n for _, n in parts]))
        return values, totals

    def extract_output(self, accumulator: Counts) -> Counts:
        return accumulator


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
    # 0.29 that is one rounding away from 0.29.
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
class QuantileCut:
    """A cut at a quantile of timestamps.

    Attributes:
        name: `test` or `validation`.
        quantile: in (0, 1), linear between two timestamps, then floored.
        population: in words, whose events count, for messages.
        after: unix seconds that the cut must lie after, where given.
    """

    name: str
    quantile: float
    population: str
    after: int | None = None


def cut_of_counts(counts: Counts, cut: QuantileCut) -> np.ndarray:
    """[] int64: the quantile, floored to the second.

    Timestamps are integers, so those up to the floor are those up to the
    quantile.

    Raises:
        ValueError: there is no timestamp at all, or the cut is too early.
    """
    values, totals = counts
    if not len(values):
        raise ValueError(
            f"No events to take the {cut.name} cut from: found no "
            f"{cut.population}. Lower the minimum number of events per user "
            "in the split settings, or check the logs and the dates."
        )
    time = math.floor(quantile_of_counts(values, totals, cut.quantile))
    if cut.after is not None and time <= cut.after:
        raise ValueError(
            f"The {cut.name} cut at quantile {cut.quantile} is {time} (unix "
            f"seconds), expected a time after the validation date {cut.after}: "
            "give an earlier validation date, or a date for both."
        )
    return np.asarray(time, np.int64)


class ExactCut(beam.PTransform):
    """The cut time at a quantile of all timestamps, over the whole data."""

    def __init__(self, cut: QuantileCut) -> None:
        super().__init__()
        self._cut = cut

    def expand(self, batches: beam.PCollection) -> beam.PCollection:
        return (
            batches
            | "CountTimestamps" >> beam.CombineGlobally(CountTimestamps())
            | "Cut" >> beam.Map(cut_of_counts, self._cut)
        )


def quantile_cut(timestamps: tf.Tensor, cut: QuantileCut) -> tf.Tensor:
    """[] int64: exact quantile of `timestamps` over the whole data.

    Args:
        timestamps: [n] int64 unix seconds of the batch that count.
        cut: which quantile.
    """
    (result,) = tft.experimental.ptransform_analyzer(
        [timestamps], ExactCut(cut), [tf.int64], [[]], name=f"{cut.name}_cut"
    )
    return result
