"""The RankingEvaluator component."""

from __future__ import annotations

from tfx import types
from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.types import component_spec, standard_artifacts

from components.artifacts import DeadLetters
from components.ranking_evaluator.config import EvaluationConfig
from components.ranking_evaluator.executor import Executor
from models.settings import from_json


class RankingEvaluatorSpec(component_spec.ComponentSpec):
    """Inputs, outputs and parameters of RankingEvaluator."""

    PARAMETERS = {
        "config": component_spec.ExecutionParameter(type=str),
        "split_config": component_spec.ExecutionParameter(type=str),
        "max_length": component_spec.ExecutionParameter(type=int),
        "profile": component_spec.ExecutionParameter(type=str),
        "dataset": component_spec.ExecutionParameter(type=str),
        "serving_dir": component_spec.ExecutionParameter(type=str),
        "code_fingerprint": component_spec.ExecutionParameter(type=str),
    }
    INPUTS = {
        "examples": component_spec.ChannelParameter(
            type=standard_artifacts.Examples
        ),
        "transform_graph": component_spec.ChannelParameter(
            type=standard_artifacts.TransformGraph
        ),
        "model": component_spec.ChannelParameter(type=standard_artifacts.Model),
        "model_run": component_spec.ChannelParameter(
            type=standard_artifacts.ModelRun
        ),
        "dead_letters": component_spec.ChannelParameter(type=DeadLetters),
        "period_statistics": component_spec.ChannelParameter(
            type=standard_artifacts.ExampleStatistics
        ),
    }
    OUTPUTS = {
        "evaluation": component_spec.ChannelParameter(
            type=standard_artifacts.ModelEvaluation
        ),
        "blessing": component_spec.ChannelParameter(
            type=standard_artifacts.ModelBlessing
        ),
    }


class RankingEvaluator(base_beam_component.BaseBeamComponent):
    """Measures the exported model on test users and blesses it, or not.

    The test users' targets are ranked among the full catalogue by the
    SavedModel's own `recommend` signature, next to the baselines and models
    of `EvaluationConfig` on the same users. Takes the place of TFX's
    Evaluator: the outputs have the same types and properties, so the stock
    Pusher and LatestBlessedModelStrategy work on them.

    Outputs: `evaluation` with metrics.json, report.html and rankings/ (one
    Parquet row per user, target rule and seen setting), and `blessing`.
    """

    SPEC_CLASS = RankingEvaluatorSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(Executor)

    def __init__(
        self,
        examples: types.BaseChannel,
        transform_graph: types.BaseChannel,
        model: types.BaseChannel,
        model_run: types.BaseChannel,
        dead_letters: types.BaseChannel,
        period_statistics: types.BaseChannel,
        config: str,
        split_config: str,
        max_length: int,
        profile: str,
        dataset: str,
        serving_dir: str,
        code_fingerprint: str,
    ) -> None:
        """Builds the component.

        Args:
            examples: transformed examples, one per user.
            transform_graph: of the same Transform; holds the vocabularies.
            model: from Trainer, with the signature `recommend`.
            model_run: from Trainer, with training.json.
            dead_letters: from HistoryExampleGen, with ingest.json.
            period_statistics: from PeriodStatistics, with drift.json; for
                the report only.
            config: JSON of `EvaluationConfig`.
            split_config: JSON of `SplitConfig`.
            max_length: newest items of each user in the fit data.
            profile: name of the evaluation profile, for the report.
            dataset: name of the dataset, for the report.
            serving_dir: base path of the models pushed before, which
                `compare_with` may ask for; "" where it does not.
            code_fingerprint: changes with the code, so that the cache does
                not hide an edit.

        Raises:
            ValueError: `config` is malformed or a threshold asks for a
                metric that is not measured.
        """
        from_json(EvaluationConfig, config)  # refuses now, not in the run
        super().__init__(
            spec=RankingEvaluatorSpec(
                examples=examples,
                transform_graph=transform_graph,
                model=model,
                model_run=model_run,
                dead_letters=dead_letters,
                period_statistics=period_statistics,
                config=config,
                split_config=split_config,
                max_length=max_length,
                profile=profile,
                dataset=dataset,
                serving_dir=serving_dir,
                code_fingerprint=code_fingerprint,
                evaluation=types.Channel(
                    type=standard_artifacts.ModelEvaluation
                ),
                blessing=types.Channel(type=standard_artifacts.ModelBlessing),
            )
        )
