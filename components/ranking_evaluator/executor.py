"""Measures the exported model on test users, reports and blesses."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
from typing import Any

import apache_beam as beam
import numpy as np
from tfx import types
from tfx.dsl.io import fileio
from tfx.types import artifact_utils
from tfx.utils import io_utils, path_utils

from components import periods, splits
from components.beam_executor import BeamExecutor
from components.histories import SPLIT, Histories, read_histories
from components.ranking_evaluator import (
    baselines,
    blessing,
    examples,
    measures,
    ranking,
    report,
    results,
)
from components.ranking_evaluator.config import EvaluationConfig
from components.targets import Targets, measured_targets
from components.transform import vocabularies
from models.settings import from_json

METRICS_FILE = "metrics.json"
REPORT_FILE = "report.html"


@dataclasses.dataclass(frozen=True)
class _Request:
    """Parsed properties and inputs of one execution."""

    config: EvaluationConfig
    split: splits.SplitConfig
    max_length: int
    profile: str
    dataset: str
    patterns: list[str]
    model_directory: str
    transform_graph: str
    item_ids: dict[str, list[bytes]]
    output: str


class Executor(BeamExecutor):
    """Executor of RankingEvaluator."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Writes metrics.json, report.html, rankings/ and the blessing.

        Raises:
            ValueError: no test users, examples and vocabulary of different
                runs, a threshold on what is not measured, or a model whose
                answers are NaN, too short or repeated.
        """
        self._log_startup(input_dict, output_dict, exec_properties)
        request = _parse(input_dict, output_dict, exec_properties)
        histories = _read_checked(request)
        test = histories.select(splits.test_users(histories, request.split))
        targets = _targets(test, request.config)
        with self._make_beam_pipeline() as pipeline:
            _score(pipeline, request)
        tables = results.read_rankings(request.output, test, targets)
        universe = measures.build_universe(
            histories, request.config.item_universe
        )
        rankings = {"model": results.model_rankings(tables, request.output)}
        rankings |= baselines.rank_all(
            histories,
            targets,
            universe,
            request.split,
            request.max_length,
            request.config,
        )
        evaluation = _evaluation(
            histories, targets, universe, rankings, request
        )
        io_utils.write_string_file(
            os.path.join(request.output, METRICS_FILE),
            json.dumps(evaluation, indent=2, sort_keys=True),
        )
        main = (request.config.targets[0], request.config.seen_items)
        shown = examples.choose(
            test,
            targets[main[0]],
            universe,
            tables[main],
            rankings["most_popular"][main],
            request.config.seed,
        )
        _write_report(
            evaluation,
            _read_json(input_dict["model_run"], "training.json"),
            _read_json(input_dict["dead_letters"], "ingest.json"),
            _read_json(input_dict["period_statistics"], "drift.json"),
            shown,
            request,
        )
        results.write_blessing(
            artifact_utils.get_single_instance(output_dict["blessing"]),
            artifact_utils.get_single_instance(input_dict["model"]),
            evaluation["blessing"],
            exec_properties,
        )


def _parse(
    input_dict: dict[str, list[types.Artifact]],
    output_dict: dict[str, list[types.Artifact]],
    exec_properties: dict[str, Any],
) -> _Request:
    config = from_json(EvaluationConfig, exec_properties["config"])
    blessing.check_thresholds(config)
    graph = artifact_utils.get_single_uri(input_dict["transform_graph"])
    model = artifact_utils.get_single_instance(input_dict["model"])
    return _Request(
        config=config,
        split=from_json(splits.SplitConfig, exec_properties["split_config"]),
        max_length=exec_properties["max_length"],
        profile=exec_properties["profile"],
        dataset=exec_properties["dataset"],
        patterns=[
            io_utils.all_files_pattern(uri)
            for uri in artifact_utils.get_split_uris(
                input_dict["examples"], SPLIT
            )
        ],
        model_directory=path_utils.serving_model_path(model.uri),
        transform_graph=graph,
        item_ids={
            period: vocabularies.read_item_ids(graph, period)
            for period in periods.PERIODS
        },
        output=artifact_utils.get_single_uri(output_dict["evaluation"]),
    )


def _read_checked(request: _Request) -> Histories:
    """Reads all histories; errors where there is nothing to measure."""
    files = [f for p in request.patterns for f in fileio.glob(p)]
    histories = read_histories(files)
    catalogue = len(request.item_ids[periods.TRAIN_VALIDATION])
    highest = int(histories.item_indices.max(initial=0))
    if highest > catalogue:
        raise ValueError(
            f"Examples name item row {highest} but the vocabulary has "
            f"{catalogue} items: examples and transform_graph come from "
            "different runs."
        )
    splits.check_test_users(histories, request.split)
    return histories


def _targets(test: Histories, config: EvaluationConfig) -> dict[str, Targets]:
    """What is measured, by target rule; an error where a rule has nothing."""
    targets = {
        rule: measured_targets(test, rule, config.seed, config.cold_items)
        for rule in config.targets
    }
    for rule, chosen in targets.items():
        if not len(chosen.users):
            raise ValueError(
                f"Nothing to measure for target rule `{rule}`: none of "
                f"{test.num_users} test users has a target that is known "
                "before the test cut. Set `evaluation.cold_items` to kept, or "
                "give a later cut."
            )
    return targets


def _score(pipeline: beam.Pipeline, request: _Request) -> None:
    """Adds to `pipeline`: examples -> rankings/ and coverage/."""
    parts = [
        pipeline | f"Read[{i}]" >> beam.io.ReadFromTFRecord(pattern)
        for i, pattern in enumerate(request.patterns)
    ]
    fn = ranking.RankTargets(
        request.model_directory,
        functools.partial(
            vocabularies.read_item_ids,
            request.transform_graph,
            periods.TRAIN_VALIDATION,
        ),
        request.split,
        request.config,
        request.max_length,
    )
    flat = parts | "Flatten" >> beam.Flatten(pipeline=pipeline)
    rows, distinct = ranking.rank_targets(flat, fn, request.config)
    _ = rows | "WriteRankings" >> beam.io.WriteToParquetBatched(
        os.path.join(request.output, results.RANKINGS_FOLDER, "part"),
        ranking.RANKINGS_SCHEMA,
        file_name_suffix=".parquet",
    )
    _ = (
        distinct
        | "ToJson" >> beam.Map(functools.partial(json.dumps, sort_keys=True))
        | "WriteCoverage"
        >> beam.io.WriteToText(
            os.path.join(request.output, results.COVERAGE_FOLDER, "part"),
            file_name_suffix=".jsonl",
        )
    )


def _evaluation(
    histories: Histories,
    targets: dict[str, Targets],
    universe: measures.Universe,
    rankings: dict[str, measures.Settings],
    request: _Request,
) -> dict[str, Any]:
    """The content of metrics.json."""
    config, leaks = request.config, request.split.leaks_future
    metrics = {
        name: measures.measure(
            rankings[name], targets, len(universe.items), config
        )
        for name in blessing.MODEL_NAMES
    }
    summary = measures.summarize_splits(histories, request.split, config)
    summary["items"] = {
        "log": len(np.unique(histories.item_ids)),
        "universe": len(universe.items),
    } | {period: len(ids) for period, ids in request.item_ids.items()}
    return {
        "profile": request.profile,
        "leaks_future": leaks,
        "splits": summary,
        "metrics": metrics,
        "blessing": blessing.bless(metrics, config, leaks),
    }


def _write_report(
    evaluation: dict[str, Any],
    training: dict[str, Any],
    ingest: dict[str, Any],
    drift: dict[str, Any],
    shown: list[dict[str, Any]],
    request: _Request,
) -> None:
    configuration = {
        "evaluation": dataclasses.asdict(request.config),
        "split": dataclasses.asdict(request.split),
        "drift": drift["config"],
        "model": training.get("model", {}),
        "training": training.get("training", {}),
    }
    page = report.render(
        evaluation,
        training,
        ingest,
        drift,
        shown,
        request.dataset,
        configuration,
    )
    io_utils.write_string_file(os.path.join(request.output, REPORT_FILE), page)


def _read_json(artifacts: list[types.Artifact], name: str) -> dict[str, Any]:
    path = os.path.join(artifact_utils.get_single_uri(artifacts), name)
    if not fileio.exists(path):
        raise ValueError(
            f"{path} is missing; the component before this one writes it. "
            "Run that component again."
        )
    with fileio.open(path, "r") as file:
        return json.loads(file.read())
