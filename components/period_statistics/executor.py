"""Executor of PeriodStatistics."""

from __future__ import annotations

import json
import os
from typing import Any

from absl import logging
from tfx import types
from tfx.dsl.io import fileio
from tfx.types import artifact_utils
from tfx.utils import io_utils

from components.artifact_files import DRIFT_FILE
from components.beam_executor import BeamExecutor
from components.event_parts import PERIODS
from components.histories import SPLIT
from components.period_statistics.build import build_statistics
from components.period_statistics.config import DriftConfig
from models.settings import from_json


class DriftError(ValueError):
    """The periods differ by more than the settings allow; says how."""


class Executor(BeamExecutor):
    """Describes the periods and compares them."""

    def Do(  # noqa: N802
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Reads transformed examples, writes statistics and drift.json.

        Args:
            input_dict: `examples` (transformed).
            output_dict: `statistics`, as StatisticsGen leaves them, with a
                split per period and drift.json beside them.
            exec_properties: `config` as JSON.

        Raises:
            DriftError: something moved and `drift.fail` is set.
        """
        self._log_startup(input_dict, output_dict, exec_properties)
        config = from_json(DriftConfig, exec_properties["config"])
        examples = artifact_utils.get_single_instance(input_dict["examples"])
        artifact = artifact_utils.get_single_instance(output_dict["statistics"])
        artifact.split_names = artifact_utils.encode_split_names(list(PERIODS))
        artifact.span = examples.span
        with self._make_beam_pipeline() as pipeline:
            build_statistics(
                pipeline,
                io_utils.all_files_pattern(
                    artifact_utils.get_split_uri([examples], SPLIT)
                ),
                {
                    p: artifact_utils.get_split_uri([artifact], p)
                    for p in PERIODS
                },
                artifact.uri,
                config,
            )
        judge(os.path.join(artifact.uri, DRIFT_FILE), config)


def judge(path: str, config: DriftConfig) -> list[str]:
    """Logs the warnings in a drift.json and returns them.

    Raises:
        DriftError: there are some and `fail` is set.
    """
    with fileio.open(path, "r") as file:
        warnings = json.loads(file.read())["warnings"]
    for warning in warnings:
        logging.warning("%s", warning)
    if warnings and config.fail:
        raise DriftError(
            "The periods differ by more than `drift` allows:\n"
            + "\n".join(f"  {warning}" for warning in warnings)
            + "\nLook for the cause in the logs; if this is how the data is, "
            "raise the thresholds, set them to null, or set `drift.fail: "
            "false` to be warned only."
        )
    return warnings
