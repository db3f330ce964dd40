"""All that the report and the model card are made from, put together once."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from tfx import types
from tfx.dsl.io import fileio
from tfx.types import artifact_utils

from components.artifact_files import DRIFT_FILE, INGEST_FILE, TRAINING_FILE
from components.package_versions import versions
from components.ranking_evaluator.request import Request


@dataclasses.dataclass(frozen=True)
class Findings:
    """What a run has found, from the log to the blessing.

    Attributes:
        evaluation: content of metrics.json.
        training: content of the Trainer's training.json.
        ingest: content of HistoryExampleGen's ingest.json.
        drift: content of PeriodStatistics' drift.json.
        examples: test users to look at, from `report.examples.choose`.
        dataset: name of the data.
        configuration: settings of `evaluation`, `split`, `drift`, `model` and
            `training`, nested mappings.
        versions: of Python and of packages, by name.
    """

    evaluation: Mapping[str, Any]
    training: Mapping[str, Any]
    ingest: Mapping[str, Any]
    drift: Mapping[str, Any]
    examples: Sequence[Mapping[str, Any]]
    dataset: str
    configuration: Mapping[str, Any]
    versions: Mapping[str, str]

    @property
    def settings(self) -> Mapping[str, Any]:
        """Those of the evaluation."""
        return self.configuration["evaluation"]

    @property
    def main(self) -> tuple[str, str]:
        """Target rule and seen setting of the profile, shown first."""
        return self.settings["targets"][0], self.settings["seen_items"]

    @property
    def cutoff(self) -> int:
        """K of the metrics that sentences and pictures are about."""
        return min(self.settings["cutoffs"])


def gather(
    evaluation: Mapping[str, Any],
    examples: Sequence[Mapping[str, Any]],
    request: Request,
    input_dict: dict[str, list[types.Artifact]],
) -> Findings:
    """Puts what was measured beside what the steps before have left.

    Args:
        evaluation: content of metrics.json.
        examples: test users to look at.
        request: of this execution.
        input_dict: `model_run`, `dead_letters` and `period_statistics`.

    Raises:
        ValueError: a step before has not left its file.
    """
    training = _read_json(input_dict["model_run"], TRAINING_FILE)
    drift = _read_json(input_dict["period_statistics"], DRIFT_FILE)
    return Findings(
        evaluation=evaluation,
        training=training,
        ingest=_read_json(input_dict["dead_letters"], INGEST_FILE),
        drift=drift,
        examples=examples,
        dataset=request.dataset,
        configuration={
            "evaluation": dataclasses.asdict(request.config),
            "split": dataclasses.asdict(request.split),
            "drift": drift["config"],
            "model": training.get("model", {}),
            "training": training.get("training", {}),
        },
        versions=versions(),
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
