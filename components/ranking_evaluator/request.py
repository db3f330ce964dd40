"""What one execution of RankingEvaluator is asked for, read and checked."""

from __future__ import annotations

import dataclasses
from typing import Any

from tfx import types
from tfx.dsl.io import fileio
from tfx.types import artifact_utils
from tfx.utils import io_utils, path_utils

from components import periods, splits
from components.histories import SPLIT, Histories, read_histories
from components.ranking_evaluator.config import EvaluationConfig
from components.targets import Targets, measured_targets
from components.transform import vocabularies
from models.settings import from_json


@dataclasses.dataclass(frozen=True)
class Request:
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
    serving_dir: str


def parse(
    input_dict: dict[str, list[types.Artifact]],
    output_dict: dict[str, list[types.Artifact]],
    exec_properties: dict[str, Any],
) -> Request:
    """Reads the properties and inputs of one execution."""
    config = from_json(EvaluationConfig, exec_properties["config"])
    graph = artifact_utils.get_single_uri(input_dict["transform_graph"])
    model = artifact_utils.get_single_instance(input_dict["model"])
    return Request(
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
            for period in periods.FIT_PERIODS
        },
        output=artifact_utils.get_single_uri(output_dict["evaluation"]),
        serving_dir=exec_properties["serving_dir"],
    )


def read_checked(request: Request) -> Histories:
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


def choose_targets(
    test: Histories, config: EvaluationConfig
) -> dict[str, Targets]:
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
