"""Measures the exported model on test users, reports and blesses."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from tfx import types
from tfx.dsl.io import fileio
from tfx.types import artifact_utils
from tfx.utils import io_utils

from components import periods, splits
from components.artifact_files import (
    DRIFT_FILE,
    INGEST_FILE,
    METRICS_FILE,
    MODEL_CARD_FILE,
    REPORT_FILE,
    TRAINING_FILE,
)
from components.beam_executor import BeamExecutor
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
from components.ranking_evaluator.config import MODEL, EvaluationConfig
from components.ranking_evaluator.model_card import card as model_card
from components.ranking_evaluator.model_card import markdown
from components.ranking_evaluator.report import examples, page
from components.ranking_evaluator.request import (
    Request,
    choose_targets,
    parse,
    read_checked,
)
from components.targets import Targets


class Executor(BeamExecutor):
    """Executor of RankingEvaluator."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Writes metrics.json, the report, the card, rankings and blessing.

        Raises:
            ValueError: no test users, examples and vocabulary of different
                runs, a threshold on what is not measured, a model to compare
                with that does not fit, or a model whose answers are NaN, too
                short or repeated.
        """
        self._log_startup(input_dict, output_dict, exec_properties)
        request = parse(input_dict, output_dict, exec_properties)
        histories = read_checked(request)
        test = histories.select(splits.test_users(histories, request.split))
        targets = choose_targets(test, request.config)
        others = compared.find(
            request.config.compare_with,
            request.item_ids[periods.TRAIN_VALIDATION],
            test,
        )
        with self._make_beam_pipeline() as pipeline:
            scoring.score(pipeline, request, others)
        universe = measures.build_universe(
            histories, request.config.item_universe
        )
        tables = results.read_rankings(request.output, test, targets)
        rankings = {MODEL: results.model_rankings(tables, request.output)}
        rankings |= baselines.rank_all(
            histories,
            targets,
            universe,
            request.split,
            request.max_length,
            request.config,
        )
        rankings |= _rankings_of(others, test, targets, request)
        evaluation = _evaluation(
            histories, targets, universe, rankings, request
        )
        evaluation["compared"] = {other.name: other.facts for other in others}
        evaluation["index"] = index_recall.measure(
            request.model_directory,
            request.item_ids[periods.TRAIN_VALIDATION],
            test,
            targets[request.config.targets[0]],
            request.config,
            request.max_length,
        )
        if line := index_recall.sentence(evaluation["index"]):
            print(f"[evaluator] {line}", flush=True)
        io_utils.write_string_file(
            os.path.join(request.output, METRICS_FILE),
            json.dumps(evaluation, indent=2, sort_keys=True),
        )
        _write_report(
            evaluation,
            _read_json(input_dict["model_run"], TRAINING_FILE),
            _read_json(input_dict["dead_letters"], INGEST_FILE),
            _read_json(input_dict["period_statistics"], DRIFT_FILE),
            _shown(
                test,
                targets,
                universe,
                tables,
                rankings.get(evaluation["best_baseline"]),
                request.config,
            ),
            request,
        )
        results.write_blessing(
            artifact_utils.get_single_instance(output_dict["blessing"]),
            artifact_utils.get_single_instance(input_dict["model"]),
            evaluation["blessing"],
            exec_properties,
        )


def _evaluation(
    histories: Histories,
    targets: dict[str, Targets],
    universe: measures.Universe,
    rankings: dict[str, measures.Settings],
    request: Request,
) -> dict[str, Any]:
    """The content of metrics.json."""
    config, leaks = request.config, request.split.leaks_future
    metrics = {
        name: measures.measure(settings, targets, len(universe.items), config)
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


def _shown(
    test: Histories,
    targets: Mapping[str, Targets],
    universe: measures.Universe,
    tables: results.Tables,
    baseline: measures.Settings | None,
    config: EvaluationConfig,
) -> list[dict[str, Any]]:
    """Users of the main setting for the report, and the baseline's answers."""
    main = (config.targets[0], config.seen_items)
    return examples.choose(
        test,
        targets[main[0]],
        universe,
        tables[main],
        baseline[main] if baseline else None,
        config.seed,
    )


def _rankings_of(
    others: list[compared.ComparedModel],
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


def _write_report(
    evaluation: dict[str, Any],
    training: dict[str, Any],
    ingest: dict[str, Any],
    drift: dict[str, Any],
    shown: list[dict[str, Any]],
    request: Request,
) -> None:
    configuration = {
        "evaluation": dataclasses.asdict(request.config),
        "split": dataclasses.asdict(request.split),
        "drift": drift["config"],
        "model": training.get("model", {}),
        "training": training.get("training", {}),
    }
    card = model_card.build(
        evaluation,
        training,
        ingest,
        drift,
        request.dataset,
        configuration,
        page.versions(),
    )
    html = page.render(
        evaluation,
        training,
        ingest,
        drift,
        shown,
        request.dataset,
        configuration,
        card,
    )
    io_utils.write_string_file(os.path.join(request.output, REPORT_FILE), html)
    io_utils.write_string_file(
        os.path.join(request.output, MODEL_CARD_FILE),
        markdown.to_markdown(
            f"Model card: {request.dataset}, {request.profile} profile", card
        ),
    )


def _read_json(artifacts: list[types.Artifact], name: str) -> dict[str, Any]:
    path = os.path.join(artifact_utils.get_single_uri(artifacts), name)
    if not fileio.exists(path):
        raise ValueError(
            f"{path} is missing; the component before this one writes it. "
            "Run that component again."
        )
    with fileio.open(path, "r") as file:
        return json.loads(file.read())
