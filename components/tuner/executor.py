"""Runs the search and writes the best values and all trials."""

from __future__ import annotations

import dataclasses
import os
from typing import Any

from tfx import types
from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils

from components.periods import TRAIN
from components.trainer.devices import set_up_devices
from components.trainer.hyperparameters import write_search
from components.trainer.inputs import digest
from components.trainer.read_artifacts import read_inputs
from components.tuner.config import TunerConfig
from models.settings import from_json, to_json
from models.tuning.config import Settings
from models.tuning.study import Search


class Executor(base_executor.BaseExecutor):
    """Executor of the Tuner component."""

    def Do(  # noqa: N802 (TFX's name)
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Searches, writes best_hyperparameters."""
        config = from_json(TunerConfig, exec_properties["config"])
        distribution, _ = set_up_devices(config.training.distribution, _report)
        inputs = read_inputs(input_dict, config.split)
        period = inputs.period(
            TRAIN,
            config.split,
            config.model.sequential.max_length,
            config.training.filter_seen,
            _needs_graph(config),
        )
        assert period.queries is not None
        name = digest(
            # not the stages: more trials go on in the same study, and
            # another space is a study of its own beside it
            to_json(dataclasses.replace(config, tuning=type(config.tuning)())),
            to_json(dataclasses.replace(config.tuning, stages=())),
            exec_properties["code_fingerprint"],
            period.sequences,
            period.queries,
            *([period.adjacency] if period.adjacency else []),
        )
        search = Search(
            Settings(
                config.model,
                dataclasses.replace(config.training, distribution=distribution),
            ),
            config.tuning,
            period,
            os.path.join(exec_properties["checkpoint_root"], f"tuning-{name}"),
            _report,
        )
        best, stages = search.run()
        write_search(
            artifact_utils.get_single_uri(output_dict["best_hyperparameters"]),
            best,
            [dataclasses.asdict(stage) for stage in stages],
        )


def _needs_graph(config: TunerConfig) -> bool:
    """Whether any trial may have a graph tower."""
    key = "model.graph.encoder"
    encoders = {config.model.graph.encoder}
    for stage in config.tuning.stages:
        encoders |= {stage.settings.get(key, "none")}
        if key in stage.space:
            encoders |= set(stage.space[key].choices)
    return encoders != {"none"}


def _report(line: str) -> None:
    print(line, flush=True)
