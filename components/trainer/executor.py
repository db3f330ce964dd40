"""Runs model selection, refit and export."""

from __future__ import annotations

import dataclasses
import json
import os
from typing import Any

from tfx import types
from tfx.dsl.components.base import base_executor
from tfx.dsl.io import fileio
from tfx.types import artifact_utils
from tfx.utils import path_utils

from components.artifact_files import TRAINING_FILE
from components.periods import FIT_PERIODS, TRAIN, TRAIN_VALIDATION
from components.trainer.config import TrainerConfig
from components.trainer.devices import set_up_devices
from components.trainer.hyperparameters import read_search, with_best
from components.trainer.inputs import digest, popular_rows
from components.trainer.read_artifacts import read_inputs
from components.trainer.served import served
from models.config import TrainingConfig
from models.fitting.fit import FitResult, Period, select_and_refit
from models.settings import from_json, to_json
from serving import custom_ops
from serving.export import export_saved_model


class Executor(base_executor.BaseExecutor):
    """Executor of the Trainer component."""

    def Do(  # noqa: N802 (TFX's name)
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Trains on the examples and graphs, writes model and model_run."""
        config = from_json(TrainerConfig, exec_properties["config"])
        # first of all: see set_up_devices
        distribution, devices = set_up_devices(
            config.training.distribution, _report
        )
        if config.scann is not None:
            # now, not after hours of training
            custom_ops.check_scann("`serving.index` is scann")
        found = input_dict.get("hyperparameters")
        search = None
        if found:
            search = read_search(artifact_utils.get_single_uri(found))
            config = _tuned(config, search["values"])
        inputs = read_inputs(input_dict, config.split)
        periods = {
            period: inputs.period(
                period,
                config.split,
                config.model.sequential.max_length,
                config.training.filter_seen,
                config.model.has_graph,
            )
            for period in FIT_PERIODS
        }
        job = digest(
            to_json(config),
            exec_properties["code_fingerprint"],
            *(period.sequences for period in periods.values()),
            *(p.adjacency for p in periods.values() if p.adjacency),
            *(p.queries for p in periods.values() if p.queries),
        )
        checkpoint_dir = os.path.join(exec_properties["checkpoint_root"], job)
        run_uri = artifact_utils.get_single_uri(output_dict["model_run"])
        selection, refit = select_and_refit(
            config.model,
            # the settings that are kept still say auto: what that has meant
            # here must not keep another machine from going on
            dataclasses.replace(config.training, distribution=distribution),
            periods[TRAIN],
            periods[TRAIN_VALIDATION],
            checkpoint_dir=checkpoint_dir,
            log_dir=os.path.join(run_uri, "logs"),
            report=_report,
        )
        if not devices.is_chief:
            _report("[trainer] this worker is done; the first one writes")
            return
        _write_training(run_uri, config, selection, refit, search)
        _export(
            artifact_utils.get_single_instance(output_dict["model"]),
            config,
            refit,
            periods[TRAIN_VALIDATION],
            inputs.item_ids(TRAIN_VALIDATION),
            inputs.histories.test_cut,
        )
        # only now: until the model is written a kill may still need them; and
        # only these: a run with other settings may be training beside this
        if fileio.exists(checkpoint_dir):
            fileio.rmtree(checkpoint_dir)


def _tuned(config: TrainerConfig, values: dict[str, Any]) -> TrainerConfig:
    """The settings with the best values of the Tuner."""
    _report(
        "[trainer] from the Tuner: "
        + ", ".join(f"{name} {value}" for name, value in values.items())
    )
    return with_best(config, values)


def _report(line: str) -> None:
    print(line, flush=True)


def _write_training(
    run_uri: str,
    config: TrainerConfig,
    selection: FitResult,
    refit: FitResult,
    search: dict[str, Any] | None,
) -> None:
    best = selection.best_epoch
    assert best is not None
    content = {
        "phases": {
            "selection": {
                "epochs": selection.epochs,
                "best_epoch": best,
                "best_validation_ndcg_at_10": selection.epochs[best - 1][
                    "validation_ndcg_at_10"
                ],
            },
            "refit": {"epochs": refit.epochs},
        },
        "plan": {"selection": selection.plan, "refit": refit.plan},
        "model": json.loads(to_json(config.model)),
        "training": json.loads(to_json(config.training)),
        "tuning": search,
    }
    fileio.makedirs(run_uri)
    with fileio.open(os.path.join(run_uri, TRAINING_FILE), "w") as file:
        file.write(json.dumps(content, indent=1))


def _export(
    artifact: types.Artifact,
    config: TrainerConfig,
    refit: FitResult,
    period: Period,
    item_ids: list[bytes],
    test_cut: int,
) -> None:
    training: TrainingConfig = config.training
    encode, item_vectors = served(refit.model)
    export_saved_model(
        path_utils.serving_model_dir(artifact.uri),
        encode=encode,
        item_vectors=item_vectors.numpy(),
        item_ids=item_ids,
        popular_items=popular_rows(period.sequences),
        max_history=config.model.sequential.max_length - 1,
        exclude_history=config.exclude_history,
        default_k=config.default_k,
        version_info={
            "name": config.name,
            "seed": training.seed,
            "epochs": len(refit.epochs),
            # whoever measures it later must not take older events for new
            "fitted_until": test_cut,
            "model": json.loads(to_json(config.model)),
            "training": json.loads(to_json(training)),
        },
        scann=config.scann,
    )
