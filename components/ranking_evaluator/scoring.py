"""Beam: exported models' answers to all targets, written as rankings."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable, Sequence

import apache_beam as beam

from components import periods, rankings
from components.ranking_evaluator import compared, ranking, results
from components.ranking_evaluator.compared import ComparedModel
from components.ranking_evaluator.config import EvaluationConfig
from components.ranking_evaluator.request import Request
from components.transform import vocabularies


def score(
    pipeline: beam.Pipeline, request: Request, others: Sequence[ComparedModel]
) -> None:
    """Adds to `pipeline`: examples -> rankings/ and coverage/ of each model.

    Those of the model lie in the evaluation artifact itself, the others' in
    `compared/<name>/`.
    """
    parts = [
        pipeline | f"Read[{i}]" >> beam.io.ReadFromTFRecord(pattern)
        for i, pattern in enumerate(request.patterns)
    ]
    examples = parts | "Flatten" >> beam.Flatten(pipeline=pipeline)
    _score_model(
        examples,
        "",
        request,
        request.model_directory,
        functools.partial(
            vocabularies.read_item_ids,
            request.transform_graph,
            periods.TRAIN_VALIDATION,
        ),
        request.max_length,
    )
    for other in others:
        # It may read longer histories than this run's model.
        longest = max(request.max_length, (other.max_history or 0) + 1)
        _score_model(
            examples,
            other.name,
            request,
            other.directory,
            functools.partial(compared.read_item_ids, other.directory),
            longest,
        )


def output_of(request: Request, name: str) -> str:
    """Folder of the rankings of a compared model; "" is the model itself."""
    if not name:
        return request.output
    return os.path.join(request.output, compared.COMPARED_FOLDER, name)


def _score_model(
    examples: beam.PCollection,
    name: str,
    request: Request,
    directory: str,
    read_catalogue: Callable[[], list[bytes]],
    max_length: int,
) -> None:
    fn = ranking.RankTargets(
        directory, read_catalogue, request.split, request.config, max_length
    )
    label = f"[{name}]" if name else ""
    write_rankings(
        examples, fn, request.config, output_of(request, name), label
    )


def write_rankings(
    examples: beam.PCollection,
    fn: ranking.RankTargets,
    config: EvaluationConfig,
    output: str,
    label: str = "",
) -> None:
    """Writes rankings/ and coverage/ below `output`.

    Args:
        examples: serialized transformed examples of all users.
        fn: asks a model.
        config: batch size and cutoffs.
        output: folder.
        label: keeps several models apart in one pipeline.
    """
    rows, distinct = ranking.rank_targets(examples, fn, config, label)
    _ = rows | f"WriteRankings{label}" >> beam.io.WriteToParquetBatched(
        os.path.join(output, rankings.FOLDER, "part"),
        rankings.SCHEMA,
        file_name_suffix=".parquet",
    )
    _ = (
        distinct
        | f"ToJson{label}"
        >> beam.Map(functools.partial(json.dumps, sort_keys=True))
        | f"WriteCoverage{label}"
        >> beam.io.WriteToText(
            os.path.join(output, results.COVERAGE_FOLDER, "part"),
            file_name_suffix=".jsonl",
        )
    )
