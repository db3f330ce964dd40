"""Runs model selection, refit and export."""

from __future__ import annotations

import json
import os
from typing import Any

import tensorflow as tf
from tfx import types
from tfx.dsl.components.base import base_executor
from tfx.dsl.io import fileio
from tfx.types import artifact_utils
from tfx.utils import path_utils

from components import splits
from components.graph_builder.reader import read_graph
from components.histories import SPLIT, Histories, read_histories
from components.periods import PERIODS, TRAIN, TRAIN_VALIDATION
from components.trainer.config import TrainerConfig
from components.trainer.inputs import (
    digest,
    fit_sequences,
    popular_rows,
    validation_queries,
)
from components.trainer.served import served
from components.transform.vocabularies import read_item_ids
from models.config import TrainingConfig
from models.graph.propagation import BipartiteAdjacency
from models.settings import from_json, to_json
from models.training import FitResult, Period, select_and_refit
from serving.export import export_saved_model

TRAINING_FILE = "training.json"


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
        _set_up_devices()
        histories = read_histories(
            fileio.glob(
                os.path.join(
                    artifact_utils.get_split_uri(input_dict["examples"], SPLIT),
                    "*",
                )
            )
        )
        item_ids = {
            period: read_item_ids(
                artifact_utils.get_single_uri(input_dict["transform_graph"]),
                period,
            )
            for period in PERIODS
        }
        # The evaluator would stop there as well, after hours of training.
        splits.check_test_users(histories, config.split)
        graph_uri = artifact_utils.get_single_uri(input_dict["graph"])
        periods = {
            period: _period(
                config, histories, period, len(item_ids[period]), graph_uri
            )
            for period in PERIODS
        }
        job = digest(
            exec_properties["config"],
            exec_properties["code_fingerprint"],
            *(period.sequences for period in periods.values()),
            *(p.adjacency for p in periods.values() if p.adjacency),
            *(p.queries for p in periods.values() if p.queries),
        )
        checkpoint_dir = os.path.join(exec_properties["checkpoint_root"], job)
        run_uri = artifact_utils.get_single_uri(output_dict["model_run"])
        selection, refit = select_and_refit(
            config.model,
            config.training,
            periods[TRAIN],
            periods[TRAIN_VALIDATION],
            checkpoint_dir=checkpoint_dir,
            log_dir=os.path.join(run_uri, "logs"),
            report=_report,
        )
        _write_training(run_uri, config, selection, refit)
        _export(
            artifact_utils.get_single_instance(output_dict["model"]),
            config,
            refit,
            periods[TRAIN_VALIDATION],
            item_ids[TRAIN_VALIDATION],
            histories.test_cut,
        )
        # only now: until the model is written a kill may still need them
        if fileio.exists(checkpoint_dir):
            fileio.rmtree(checkpoint_dir)


def _period(
    config: TrainerConfig,
    histories: Histories,
    period: str,
    num_items: int,
    graph_uri: str,
) -> Period:
    max_length = config.model.sequential.max_length
    adjacency = None
    if config.model.has_graph:
        adjacency = BipartiteAdjacency.from_graph(read_graph(graph_uri, period))
    queries = None
    if period == TRAIN:
        queries = validation_queries(
            histories,
            config.split,
            max_length,
            num_items,
            config.training.filter_seen,
        )
    sequences = fit_sequences(
        histories, config.split, period, max_length, num_items
    )
    return Period(sequences, adjacency, queries)


def _set_up_devices() -> None:
    """Repeatable kernels, and GPU memory taken only as it is needed."""
    tf.config.experimental.enable_op_determinism()
    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        try:
            tf.config.experimental.set_memory_growth(gpu, True)
        except RuntimeError:
            # TensorFlow has already used the GPU in this process
            pass
    _report(f"[trainer] devices: {len(gpus)} GPU, {os.cpu_count()} CPU cores")


def _report(line: str) -> None:
    print(line, flush=True)


def _write_training(
    run_uri: str, config: TrainerConfig, selection: FitResult, refit: FitResult
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
    )
