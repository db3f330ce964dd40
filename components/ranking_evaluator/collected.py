"""Collects the lists of a baseline into its `Rankings`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from components.histories import Histories
from components.ranking_evaluator.config import EvaluationConfig
from components.ranking_evaluator.measures import Rankings, Settings
from components.ranking_evaluator.ranking import (
    SEEN_SETTINGS,
    TOP_ITEMS,
    places,
)
from components.targets import Targets
from models.metrics import ranking as ranking_metrics

# Users ranked at a time: bounds the lists, which are as long as the largest
# cutoff plus the longest history of the block, or all items. What is drawn for
# whom depends on it: another number would change published results.
BLOCK_USERS = 2048

# Events of the requests worked on at a time, padded to the longest.
_MAX_BATCH_EVENTS = 8 * 1024 * 1024


class Collected:
    """Ranks and coverage of one baseline, batch by batch.

    The top items are those of the main setting, which the report shows.
    """

    def __init__(
        self, rules: Iterable[str], num_items: int, config: EvaluationConfig
    ) -> None:
        keys = [(rule, seen) for rule in rules for seen in SEEN_SETTINGS]
        self._cutoffs = config.cutoffs
        self._ranks: dict[tuple[str, str], list[np.ndarray]]
        self._ranks = {key: [] for key in keys}
        self._main = (config.targets[0], config.seen_items)
        self._tops: list[np.ndarray] = []
        self._best = {
            key: np.full(num_items, ranking_metrics.UNRANKED) for key in keys
        }

    def add(
        self,
        key: tuple[str, str],
        answers: np.ndarray,
        targets: Targets,
        wanted: np.ndarray,
    ) -> None:
        """Adds the answers to a batch of requests.

        Args:
            key: target rule and seen setting.
            answers: [num_requests, longest] items, best first, negative pads.
            targets: the requests.
            wanted: [num_targets] item of each target, -1 outside the
                universe.
        """
        self._ranks[key].append(_ranks(answers, targets.requests, wanted))
        if key == self._main:
            # A copy: a slice would keep the whole lists in memory.
            self._tops.append(answers[:, :TOP_ITEMS].copy())
        _note_best(self._best[key], answers)

    def rankings(self) -> Settings:
        """(target rule, seen setting) to `Rankings`."""
        return {
            key: Rankings(
                np.concatenate(self._ranks[key]),
                {k: int((best <= k).sum()) for k in self._cutoffs},
                np.concatenate(self._tops) if key == self._main else None,
            )
            for key, best in self._best.items()
        }


def parts(
    targets: Mapping[str, Targets], start: int, stop: int
) -> Iterator[tuple[str, Targets]]:
    """Requests of the users start..stop - 1, each rule's in a few batches."""
    for rule, chosen in targets.items():
        block = chosen.part(*np.searchsorted(chosen.users, [start, stop]))
        for part in block.batches(BLOCK_USERS, _MAX_BATCH_EVENTS):
            yield rule, part


def input_events(
    test: Histories, targets: Targets
) -> tuple[np.ndarray, np.ndarray]:
    """All events in the inputs of some requests.

    Returns:
        [n] request of each, ascending, and [n] its row in the flat arrays.
    """
    requests = np.repeat(np.arange(len(targets.ends)), targets.ends)
    before = np.cumsum(targets.ends) - targets.ends
    starts = test.offsets[targets.users] - before
    return requests, np.arange(len(requests)) + starts[requests]


def _ranks(
    answers: np.ndarray, requests: np.ndarray, wanted: np.ndarray
) -> np.ndarray:
    found = places(answers, requests, wanted)
    # What lies outside the universe is found among the pads, which are no hit.
    hits = (found > 0) & (wanted >= 0)
    return np.where(hits, found, ranking_metrics.UNRANKED)


def _note_best(best: np.ndarray, answers: np.ndarray) -> None:
    """Lowers the best position, from 1, of each item in place."""
    for column in range(answers.shape[1]):
        items = answers[:, column]
        items = items[items >= 0]
        best[items] = np.minimum(best[items], column + 1)
