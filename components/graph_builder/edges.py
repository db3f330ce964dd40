"""Edge columns of each period, from batches of histories, in Beam."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator

import apache_beam as beam
import numpy as np

from components.graph_builder.config import GraphConfig
from components.histories import parse_histories
from components.periods import FIT_PERIODS, TRAIN, fit_windows, period_ends
from components.splits import SplitConfig

_BATCH_SIZE = 4096


@dataclasses.dataclass(frozen=True)
class PeriodEvents:
    """Events of one period that become edges, with what they were taken from.

    Attributes:
        users: [n] int64 rows of the user table.
        items: [n] int64 rows of the item table, from 1.
        timestamps: [n] int64 unix seconds.
        num_histories: users that were looked at.
        num_fit_users: those of them that the period is fitted on.
        cut: unix seconds that no event of the period lies after; None
            where no history was looked at.
    """

    users: np.ndarray
    items: np.ndarray
    timestamps: np.ndarray
    num_histories: int = 0
    num_fit_users: int = 0
    cut: int | None = None


def no_events() -> PeriodEvents:
    """What a period without histories has."""
    empty = np.empty(0, np.int64)
    return PeriodEvents(empty, empty, empty)


def concatenate(parts: Iterable[PeriodEvents]) -> PeriodEvents:
    """Joins events of different users.

    Raises:
        ValueError: they are of different runs, with other cut times.
    """
    parts = list(parts)
    cuts = {part.cut for part in parts} - {None}
    if len(cuts) > 1:
        raise ValueError(
            "Examples of different runs are mixed: found the cut times "
            f"{sorted(cut for cut in cuts if cut is not None)}, expected one."
        )
    if not parts:
        return no_events()
    return PeriodEvents(
        users=np.concatenate([part.users for part in parts]),
        items=np.concatenate([part.items for part in parts]),
        timestamps=np.concatenate([part.timestamps for part in parts]),
        num_histories=sum(part.num_histories for part in parts),
        num_fit_users=sum(part.num_fit_users for part in parts),
        cut=cuts.pop() if cuts else None,
    )


def window_sizes(config: GraphConfig, ends: np.ndarray) -> np.ndarray:
    """[num_users] int64: how many events of each user become edges.

    Args:
        config: newest number or newest share.
        ends: [num_users] events of each user in the period.
    """
    if config.newest is not None:
        return np.minimum(ends, config.newest)
    if config.newest_share is not None:
        # 0.07 * 100 is a little more than 7 in binary; that is no eighth event.
        exact = np.round(ends * config.newest_share, 9)
        return np.ceil(exact).astype(np.int64)
    return ends


class ExtractEvents(beam.DoFn):
    """Turns a batch of transformed tf.Examples into events by period."""

    def __init__(self, graph: GraphConfig, split: SplitConfig) -> None:
        super().__init__()
        self._graph = graph
        self._split = split

    def process(self, batch: list[bytes]) -> Iterator[tuple[str, PeriodEvents]]:
        histories = parse_histories(batch)
        for period in FIT_PERIODS:
            sizes = window_sizes(self._graph, period_ends(histories, period))
            fit = fit_windows(histories, self._split, period, sizes)
            users = histories.user_indices[fit.user_positions]
            yield (
                period,
                PeriodEvents(
                    users=np.repeat(users, np.diff(fit.offsets)),
                    items=histories.item_indices[fit.rows],
                    timestamps=histories.timestamps[fit.rows],
                    num_histories=histories.num_users,
                    num_fit_users=len(users),
                    cut=histories.validation_cut
                    if period == TRAIN
                    else histories.test_cut,
                ),
            )


class JoinEvents(beam.CombineFn):
    """Joins the events of a period; copies each only once, at the end."""

    def create_accumulator(self) -> list[PeriodEvents]:
        return []

    def add_input(
        self, accumulator: list[PeriodEvents], element: PeriodEvents
    ) -> list[PeriodEvents]:
        accumulator.append(element)
        return accumulator

    def merge_accumulators(
        self, accumulators: Iterable[list[PeriodEvents]]
    ) -> list[PeriodEvents]:
        return [part for parts in accumulators for part in parts]

    def compact(self, accumulator: list[PeriodEvents]) -> list[PeriodEvents]:
        return [concatenate(accumulator)]

    def extract_output(self, accumulator: list[PeriodEvents]) -> PeriodEvents:
        return concatenate(accumulator)


class EventsByPeriod(beam.PTransform):
    """Transformed tf.Examples to one (period, PeriodEvents) per period.

    Each period comes out, also where there is no example.
    """

    def __init__(self, graph: GraphConfig, split: SplitConfig) -> None:
        super().__init__()
        self._graph = graph
        self._split = split

    def expand(self, examples: beam.PCollection) -> beam.PCollection:
        nothing = examples.pipeline | "NoEvents" >> beam.Create(
            [(period, no_events()) for period in FIT_PERIODS], reshuffle=False
        )
        events = (
            examples
            | "Batch"
            >> beam.BatchElements(
                min_batch_size=256, max_batch_size=_BATCH_SIZE
            )
            | "ExtractEvents"
            >> beam.ParDo(ExtractEvents(self._graph, self._split))
        )
        return (
            (nothing, events)
            | beam.Flatten()
            | "JoinEvents" >> beam.CombinePerKey(JoinEvents())
        )
