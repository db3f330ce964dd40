"""Beam: every test user's targets, ranked by the model that is served."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa

from components import model_requests, rankings, splits
from components.histories import Histories, parse_histories
from components.ranking_evaluator.config import EvaluationConfig
from components.ranking_evaluator.exported_model import ExportedModel
from components.raw_ids import text
from components.targets import Targets, measured_targets

# kept: any item may be recommended; filtered: none of the user's history.
SEEN_SETTINGS = ("kept", "filtered")

# How many of the recommended items each row of the rankings keeps.
TOP_ITEMS = 10

# Items of a batch of requests padded to the longest: some 100 MiB as text.
MAX_BATCH_EVENTS = 4 * 1024 * 1024

# Of a table of rankings: 512 users with a thousand test items each are half a
# million rows of one batch of requests.
_MAX_ROWS = 16_384

# Answers compared with targets at a time: 8 MiB of references to ids.
_MAX_COMPARED = 1024 * 1024

_POSITIONS = "positions"


class RankTargets(beam.DoFn):
    """Ranks the targets of a batch of users.

    Main output: tables of `rankings.SCHEMA`, a row per target and seen
    setting, those of a batch in several tables where they are many; rank is
    null where the target is not among the largest cutoff's items. With
    `filtered` a target that the user had before is excluded with the rest of
    the history, so it counts as a miss. Tagged output:
    ((rule, seen), {item: best position}) for coverage.

    The model is asked for at most `batch_size` requests at a time, however
    many of them are one user's. Each worker reads the catalogue itself: in
    the job that engines are sent, a million ids would be too much.
    """

    def __init__(
        self,
        model_directory: str,
        read_catalogue: Callable[[], list[bytes]],
        split: splits.SplitConfig,
        config: EvaluationConfig,
        max_length: int,
    ) -> None:
        self._model_directory = model_directory
        self._read_catalogue = read_catalogue
        self._split = split
        self._config = config
        self._max_length = max_length

    def setup(self) -> None:
        self._model = ExportedModel(
            self._model_directory, self._read_catalogue()
        )

    def process(self, serialized: list[bytes]) -> Iterator[Any]:
        config = self._config
        histories = parse_histories(serialized)
        histories = histories.select(splits.test_users(histories, self._split))
        first = model_requests.first_events(histories)
        for rule in config.targets:
            targets = measured_targets(
                histories, rule, config.seed, config.cold_items
            )
            for part in targets.batches(config.batch_size, MAX_BATCH_EVENTS):
                inputs, before = model_requests.build(
                    histories,
                    first,
                    part,
                    model_requests.HISTORY_FACTOR * self._max_length,
                )
                yield from self._rank(histories, part, rule, inputs, before)

    def _rank(
        self,
        histories: Histories,
        targets: Targets,
        rule: str,
        inputs: list[list[bytes]],
        before: list[list[bytes]],
    ) -> Iterator[Any]:
        for seen in SEEN_SETTINGS:
            excluded = before if seen == "filtered" else [[]] * len(before)
            answers = self._model.recommend(
                inputs, excluded, max(self._config.cutoffs)
            )
            yield from _tables(histories, targets, answers, rule, seen)
            yield beam.pvalue.TaggedOutput(
                _POSITIONS, ((rule, seen), best_positions(answers))
            )


def places(
    answers: np.ndarray, requests: np.ndarray, wanted: np.ndarray
) -> np.ndarray:
    """Where in the answer to its request each target stands.

    Args:
        answers: [num_requests, longest] items, best first.
        requests: [num_targets] row of `answers` for each target.
        wanted: [num_targets] item of each target.

    Returns:
        [num_targets] place of the target, from 1; 0 where it is not there.
    """
    found = np.zeros(len(wanted), np.int64)
    size = max(1, _MAX_COMPARED // max(1, answers.shape[1]))
    # Not all at once: a row of answers is copied for each of its targets.
    for start in range(0, len(wanted), size):
        part = slice(start, start + size)
        hits = answers[requests[part]] == wanted[part, np.newaxis]
        found[part] = np.where(hits.any(axis=1), hits.argmax(axis=1) + 1, 0)
    return found


def _tables(
    histories: Histories,
    targets: Targets,
    answers: np.ndarray,
    rule: str,
    seen: str,
) -> Iterator[pa.Table]:
    """Tables of `rankings.SCHEMA` with at most `_MAX_ROWS` targets each."""
    top = [[text(i) for i in row[:TOP_ITEMS] if i] for row in answers]
    for piece in targets.pieces(_MAX_ROWS):
        yield _table(histories, piece, answers, top, rule, seen)


def _table(
    histories: Histories,
    targets: Targets,
    answers: np.ndarray,
    top: list[list[str]],
    rule: str,
    seen: str,
) -> pa.Table:
    items = histories.item_ids[targets.rows(histories)]
    ranks = places(answers, targets.requests, items)
    number = len(items)
    columns = {
        "user_id": [text(u) for u in histories.user_ids[targets.owners]],
        "target_rule": [rule] * number,
        "seen_items": [seen] * number,
        "target_item": [text(i) for i in items],
        "target_position": targets.positions,
        "rank": pa.array(ranks, pa.int32(), mask=ranks == 0),
        "top_items": [top[request] for request in targets.requests],
        "target_is_cold": targets.are_cold(histories),
    }
    return pa.table(columns, rankings.SCHEMA)


def best_positions(answers: np.ndarray) -> dict[bytes, int]:
    """Each recommended item's best position, from 1, over all users."""
    positions: dict[bytes, int] = {}
    # From the last column to the first: the better position overwrites.
    for column in range(answers.shape[1], 0, -1):
        positions.update(dict.fromkeys(answers[:, column - 1], column))
    positions.pop(b"", None)
    return positions


class MergePositions(beam.CombineFn):
    """Merges `best_positions` of batches into those of all users."""

    def create_accumulator(self) -> dict[bytes, int]:
        return {}

    def add_input(
        self, accumulator: dict[bytes, int], element: dict[bytes, int]
    ) -> dict[bytes, int]:
        for item, position in element.items():
            if position < accumulator.get(item, position + 1):
                accumulator[item] = position
        return accumulator

    def merge_accumulators(
        self, accumulators: Iterable[dict[bytes, int]]
    ) -> dict[bytes, int]:
        merged: dict[bytes, int] = {}
        for accumulator in accumulators:
            self.add_input(merged, accumulator)
        return merged

    def extract_output(self, accumulator: dict[bytes, int]) -> dict[bytes, int]:
        return accumulator


def distinct_items(
    element: tuple[tuple[str, str], dict[bytes, int]], cutoffs: tuple[int, ...]
) -> dict[str, Any]:
    """Number of distinct items within each cutoff, for coverage."""
    (rule, seen), positions = element
    values = np.fromiter(positions.values(), np.int64)
    return {
        "target_rule": rule,
        "seen_items": seen,
        "distinct": {str(k): int((values <= k).sum()) for k in cutoffs},
    }


def rank_targets(
    examples: beam.PCollection,
    fn: RankTargets,
    config: EvaluationConfig,
    name: str = "",
) -> tuple[beam.PCollection, beam.PCollection]:
    """Applies `fn` to serialized transformed examples.

    Args:
        examples: of all users.
        fn: asks a model.
        config: batch size and cutoffs.
        name: keeps several models apart in one pipeline.

    Returns:
        Tables of `rankings.SCHEMA`, and one `distinct_items` per target rule
        and seen setting.
    """
    batches = examples | f"Batch{name}" >> beam.BatchElements(
        min_batch_size=config.batch_size, max_batch_size=config.batch_size
    )
    outputs = batches | f"RankTargets{name}" >> beam.ParDo(fn).with_outputs(
        _POSITIONS, main="rows"
    )
    distinct = (
        outputs[_POSITIONS]
        | f"MergePositions{name}" >> beam.CombinePerKey(MergePositions())
        | f"Distinct{name}" >> beam.Map(distinct_items, cutoffs=config.cutoffs)
    )
    return outputs["rows"], distinct
