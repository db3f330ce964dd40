"""Everything that is measured, once all models have answered."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from components import periods, splits
from components.histories import Histories
from components.ranking_evaluator import (
    baselines,
    blessing,
    compared,
    comparisons,
    index_recall,
    measures,
    results,
    scoring,
    slices,
)
from components.ranking_evaluator.compared import ComparedModel
from components.ranking_evaluator.config import MODEL
from components.ranking_evaluator.request import Request
from components.targets import Targets


@dataclasses.dataclass(frozen=True)
class Measured:
    """The metrics, and the answers that they come from.

    Attributes:
        evaluation: content of metrics.json.
        test: histories of the test users.
        targets: target rule to what was to be ranked.
        universe: the items that `rankings` number.
        tables: the model's answers, row by row; all of a row in the main
            setting, and the rank in the others.
        rankings: name of a model or baseline to its results.
    """

    evaluation: dict[str, Any]
    test: Histories
    targets: Mapping[str, Targets]
    universe: measures.Universe
    tables: results.Tables
    rankings: Mapping[str, measures.Settings]


def measure(
    request: Request,
    histories: Histories,
    test: Histories,
    targets: dict[str, Targets],
    others: Sequence[ComparedModel],
) -> Measured:
    """Reads the answers of `scoring.score` and measures them.

    Args:
        request: of this execution; its output holds the answers.
        histories: of all users.
        test: those of the test users.
        targets: target rule to what was to be ranked.
        others: the models that this run's is compared with.
    """
    config = request.config
    universe = measures.build_universe(histories, config.item_universe)
    main = (config.targets[0], config.seen_items)
    tables = results.read_rankings(request.output, test, targets, main)
    rankings = {MODEL: results.model_rankings(tables, request.output)}
    rankings |= baselines.rank_all(
        histories, targets, universe, request.split, request.max_length, config
    )
    rankings |= _rankings_of(others, test, targets, request)
    evaluation = _evaluation(
        histories,
        targets,
        universe,
        rankings,
        _more_items(others, universe),
        request,
    )
    evaluation["compared"] = {other.name: other.facts for other in others}
    evaluation["index"] = index_recall.measure(
        request.model_directory,
        request.item_ids[periods.TRAIN_VALIDATION],
        test,
        targets[config.targets[0]],
        config,
        request.max_length,
    )
    return Measured(evaluation, test, targets, universe, tables, rankings)


def _evaluation(
    histories: Histories,
    targets: dict[str, Targets],
    universe: measures.Universe,
    rankings: dict[str, measures.Settings],
    more_items: Mapping[str, int],
    request: Request,
) -> dict[str, Any]:
    """What metrics.json says of the rankings and of the data."""
    config, leaks = request.config, request.split.leaks_future
    metrics = {
        name: measures.measure(
            settings,
            targets,
            len(universe.items) + more_items.get(name, 0),
            config,
        )
        for name, settings in rankings.items()
    }
    summary = measures.summarize_splits(histories, request.split, config)
    summary["items"] = {
        "log": len(np.unique(histories.item_ids)),
        "universe": len(universe.items),
    } | {period: len(ids) for period, ids in request.item_ids.items()}
    mask = splits.test_users(histories, request.split)
    return {
        "profile": request.profile,
        "leaks_future": leaks,
        "splits": summary,
        "metrics": metrics,
        "best_baseline": comparisons.best(metrics, config.baselines, config),
        "comparisons": comparisons.compare(rankings, targets, config),
        "slices": slices.measure(
            rankings,
            histories.select(mask),
            targets,
            universe.rows[np.repeat(mask, histories.num_events)],
            measures.fit_counts(
                histories, universe, request.split, request.max_length
            ),
            config,
            leaks,
        ),
        "blessing": blessing.bless(metrics, config, leaks),
    }


def _more_items(
    others: Sequence[ComparedModel], universe: measures.Universe
) -> dict[str, int]:
    """Items that a compared model knows beside the universe's, by its name.

    It may recommend them, so its coverage is of both together.
    """
    items = frozenset(universe.items)
    return {
        other.name: len(
            frozenset(compared.read_item_ids(other.directory)) - items
        )
        for other in others
    }


def _rankings_of(
    others: Sequence[ComparedModel],
    test: Histories,
    targets: Mapping[str, Targets],
    request: Request,
) -> dict[str, measures.Settings]:
    """Reads back what the compared models answered, by name."""
    found = {}
    for other in others:
        folder = scoring.output_of(request, other.name)
        tables = results.read_rankings(folder, test, targets)
        found[other.name] = results.model_rankings(tables, folder)
    return found
