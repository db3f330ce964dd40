"""The pipeline: which components, in which order, with which settings."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from tfx import v1 as tfx
from tfx.dsl.components.base import executor_spec
from tfx.dsl.components.base.base_beam_component import BaseBeamComponent
from tfx.proto import transform_pb2

from components.code_fingerprint import code_fingerprint
from components.example_validator.component import StrictExampleValidator
from components.graph_builder.component import GraphBuilder
from components.histories import SPLIT
from components.history_example_gen.component import HistoryExampleGen
from components.model_card.component import ModelCardWriter
from components.period_statistics.component import PeriodStatistics
from components.pusher.executor import Executor as PusherExecutor
from components.ranking_evaluator.component import RankingEvaluator
from components.ranking_evaluator.config import SERVED
from components.serving_validator.component import ServingValidator
from components.trainer.component import Trainer
from components.trainer.config import TrainerConfig
from components.tuner.component import Tuner
from components.tuner.config import TunerConfig
from models.settings import to_json
from pipeline.config import PipelineConfig

# The code that each component runs; an edit in it runs the component again,
# and then, whatever they run themselves, those that take its new outputs.
# A test follows the imports and says what is missing here.
CODE = {
    "HistoryExampleGen": ("components.history_example_gen",),
    "Transform": ("components.transform",),
    "GraphBuilder": ("components.graph_builder", "components.transform"),
    "Tuner": (
        "components.tuner",
        "components.trainer",
        "components.graph_builder",
        "components.transform",
        "models",
    ),
    "Trainer": (
        "components.trainer",
        "components.graph_builder",
        "components.transform",
        "models",
        "serving",
    ),
    "PeriodStatistics": ("components.period_statistics",),
    "RankingEvaluator": (
        "components.ranking_evaluator",
        "components.transform",
        "models",
        "serving",
    ),
    "ModelCardWriter": ("components.model_card", "serving"),
    "ServingValidator": ("components.serving_validator", "serving"),
}

SCHEMA_FILE = str(Path(__file__).parent / "schema" / "schema.pbtxt")


def create_pipeline(
    config: PipelineConfig,
    *,
    pipeline_root: str,
    serving_dir: str,
    checkpoint_root: str,
    input_fingerprint: str,
    metadata_connection_config: (
        tfx.proto.metadata_store_pb2.ConnectionConfig | None
    ) = None,
    schema_file: str = SCHEMA_FILE,
) -> tfx.dsl.Pipeline:
    """Builds the pipeline from logs to a pushed model.

    Args:
        config: all settings.
        pipeline_root: folder or URI of the artifacts.
        serving_dir: base path that versions of the model are pushed to.
        checkpoint_root: folder that a killed training resumes from.
        input_fingerprint: of the log files; new files make a new run.
        metadata_connection_config: where ML Metadata lies; None leaves it to
            the orchestrator.
        schema_file: curated schema of the histories.
    """
    split_config = to_json(config.split)

    # Read the logs into one example per user, the whole history in it.
    example_gen = HistoryExampleGen(
        config=to_json(config.logs),
        input_fingerprint=input_fingerprint,
        code_fingerprint=_fingerprint("HistoryExampleGen"),
    )

    # Describe the histories, for the check below and for people.
    statistics_gen = tfx.components.StatisticsGen(
        examples=example_gen.outputs["examples"]
    )

    # Take the schema that people keep, instead of inferring it from the data.
    schema_gen = tfx.components.ImportSchemaGen(schema_file=schema_file)

    # Stop the run where the data does not fit the schema.
    example_validator = StrictExampleValidator(
        statistics=statistics_gen.outputs["statistics"],
        schema=schema_gen.outputs["schema"],
    )

    # Find the cut times, number users and items, count events before each cut.
    transform = tfx.components.Transform(
        examples=example_gen.outputs["examples"],
        schema=schema_gen.outputs["schema"],
        preprocessing_fn="components.transform.preprocessing.preprocessing_fn",
        splits_config=transform_pb2.SplitsConfig(
            analyze=[SPLIT], transform=[SPLIT]
        ),
        # StatisticsGen has described the same histories already.
        disable_statistics=True,
        custom_config={
            "split": dataclasses.asdict(config.split),
            "code_fingerprint": _fingerprint("Transform"),
        },
    )
    # Without this edge a bad log could be transformed before it is checked.
    transform.add_upstream_node(example_validator)

    # Build the user-item graph of each period that is fitted on.
    graph_builder = GraphBuilder(
        examples=transform.outputs["transformed_examples"],
        transform_graph=transform.outputs["transform_graph"],
        config=to_json(config.graph),
        split_config=split_config,
        code_fingerprint=_fingerprint("GraphBuilder"),
    )

    # Search for settings on validation, where the configuration asks for it.
    tuner = None
    if config.tuning.stages:
        tuner = Tuner(
            examples=transform.outputs["transformed_examples"],
            transform_graph=transform.outputs["transform_graph"],
            graph=graph_builder.outputs["graph"],
            config=tuner_config(config),
            checkpoint_root=checkpoint_root,
            code_fingerprint=_fingerprint("Tuner"),
        )

    # Choose the epoch on validation, fit on train and validation, export.
    trainer = Trainer(
        examples=transform.outputs["transformed_examples"],
        transform_graph=transform.outputs["transform_graph"],
        graph=graph_builder.outputs["graph"],
        config=trainer_config(config),
        checkpoint_root=checkpoint_root,
        code_fingerprint=_fingerprint("Trainer"),
        hyperparameters=(
            tuner.outputs["best_hyperparameters"] if tuner else None
        ),
    )

    # Say how the periods differ. For people only: this sees the test period,
    # so its output goes to the report and to nothing that is learned.
    period_statistics = PeriodStatistics(
        examples=transform.outputs["transformed_examples"],
        config=to_json(config.drift),
        code_fingerprint=_fingerprint("PeriodStatistics"),
    )

    # Measure the exported model on the future, beside baselines, and bless it.
    evaluator = RankingEvaluator(
        examples=transform.outputs["transformed_examples"],
        transform_graph=transform.outputs["transform_graph"],
        model=trainer.outputs["model"],
        model_run=trainer.outputs["model_run"],
        dead_letters=example_gen.outputs["dead_letters"],
        period_statistics=period_statistics.outputs["statistics"],
        config=to_json(config.evaluation),
        split_config=split_config,
        max_length=config.model.sequential.max_length,
        profile=config.profile,
        dataset=config.dataset,
        # only where it is asked for: another folder is no reason to measure
        # again
        serving_dir=serving_dir
        if SERVED in config.evaluation.compare_with.values()
        else "",
        code_fingerprint=_fingerprint("RankingEvaluator"),
    )

    # Put the card of the evaluation beside a copy of the model.
    model_card = ModelCardWriter(
        model=trainer.outputs["model"],
        evaluation=evaluator.outputs["evaluation"],
        code_fingerprint=_fingerprint("ModelCardWriter"),
    )

    # Ask the model behind a server what was measured, within a time.
    serving_validator = ServingValidator(
        examples=transform.outputs["transformed_examples"],
        model=model_card.outputs["described_model"],
        evaluation=evaluator.outputs["evaluation"],
        schema=schema_gen.outputs["schema"],
        config=to_json(config.serving_validation),
        evaluation_config=to_json(config.evaluation),
        split_config=split_config,
        max_length=config.model.sequential.max_length,
        model_name=config.serving.model_name,
        code_fingerprint=_fingerprint("ServingValidator"),
    )

    # Hand a blessed model to the servers, just as it was validated.
    pusher = tfx.components.Pusher(
        model_blessing=evaluator.outputs["blessing"],
        infra_blessing=serving_validator.outputs["blessing"],
        push_destination=tfx.proto.PushDestination(
            filesystem=tfx.proto.PushDestination.Filesystem(
                base_directory=serving_dir
            )
        ),
        custom_executor_spec=executor_spec.ExecutorClassSpec(PusherExecutor),
    )

    components = [
        example_gen,
        statistics_gen,
        schema_gen,
        example_validator,
        transform,
        graph_builder,
        *([tuner] if tuner else []),
        trainer,
        period_statistics,
        evaluator,
        model_card,
        serving_validator,
        pusher,
    ]
    # Step by step: TFX would put arguments of the whole pipeline before those
    # of a step, and a step's are to stand in their place.
    for component in components:
        if isinstance(component, BaseBeamComponent):
            component.with_beam_pipeline_args(
                config.beam.arguments(component.id)
            )

    return tfx.dsl.Pipeline(
        pipeline_name=config.name,
        pipeline_root=pipeline_root,
        components=components,
        enable_cache=True,
        metadata_connection_config=metadata_connection_config,
    )


def trainer_config(config: PipelineConfig) -> str:
    """The part of the settings that training depends on, as JSON.

    Nothing else may be in it: a changed threshold must not train again.
    """
    return to_json(
        TrainerConfig(
            model=config.model,
            training=config.training,
            split=config.split,
            exclude_history=config.exclude_history,
            default_k=config.serving.default_k,
            scann=config.serving.approximate,
            name=config.name,
        )
    )


def tuner_config(config: PipelineConfig) -> str:
    """The part of the settings that the search depends on, as JSON."""
    return to_json(
        TunerConfig(
            model=config.model,
            training=config.training,
            split=config.split,
            tuning=config.tuning,
        )
    )


def _fingerprint(component: str) -> str:
    return code_fingerprint(*CODE[component])
