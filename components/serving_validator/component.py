"""The ServingValidator component."""

from __future__ import annotations

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import component_spec, standard_artifacts

from components.serving_validator.executor import Executor


class ServingValidatorSpec(component_spec.ComponentSpec):
    """Inputs, outputs and parameters of ServingValidator."""

    PARAMETERS = {
        "config": component_spec.ExecutionParameter(type=str),
        "evaluation_config": component_spec.ExecutionParameter(type=str),
        "split_config": component_spec.ExecutionParameter(type=str),
        "max_length": component_spec.ExecutionParameter(type=int),
        "model_name": component_spec.ExecutionParameter(type=str),
        "code_fingerprint": component_spec.ExecutionParameter(type=str),
    }
    INPUTS = {
        "examples": component_spec.ChannelParameter(
            type=standard_artifacts.Examples
        ),
        "model": component_spec.ChannelParameter(type=standard_artifacts.Model),
        "evaluation": component_spec.ChannelParameter(
            type=standard_artifacts.ModelEvaluation
        ),
        "schema": component_spec.ChannelParameter(
            type=standard_artifacts.Schema
        ),
    }
    OUTPUTS = {
        "blessing": component_spec.ChannelParameter(
            type=standard_artifacts.InfraBlessing
        ),
    }


class ServingValidator(base_component.BaseComponent):
    """Serves the model as production does, and blesses it or not.

    Takes the place of TFX's InfraValidator, which needs docker or Kubernetes:
    a fresh process of the local server loads the model, real requests of the
    evaluation must get the answers that were measured, within a time. The
    blessing holds the model with these requests as warm-up records, so the
    stock Pusher takes it as `infra_blessing` and pushes just what was tried.

    Output: `blessing` with validation.json and, where it passed, the model.
    """

    SPEC_CLASS = ServingValidatorSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(
        self,
        examples: types.BaseChannel,
        model: types.BaseChannel,
        evaluation: types.BaseChannel,
        schema: types.BaseChannel,
        config: str,
        evaluation_config: str,
        split_config: str,
        max_length: int,
        model_name: str,
        code_fingerprint: str,
    ) -> None:
        """Builds the component.

        Args:
            examples: transformed examples, one per user.
            model: from Trainer.
            evaluation: from RankingEvaluator, with rankings/.
            schema: of the histories.
            config: JSON of `ServingValidationConfig`.
            evaluation_config: JSON of `EvaluationConfig`.
            split_config: JSON of `SplitConfig`.
            max_length: newest items of each user in the fit data.
            model_name: name under which the model is served.
            code_fingerprint: changes with the code, so that the cache does
                not hide an edit.
        """
        super().__init__(
            spec=ServingValidatorSpec(
                examples=examples,
                model=model,
                evaluation=evaluation,
                schema=schema,
                config=config,
                evaluation_config=evaluation_config,
                split_config=split_config,
                max_length=max_length,
                model_name=model_name,
                code_fingerprint=code_fingerprint,
                blessing=types.Channel(type=standard_artifacts.InfraBlessing),
            )
        )
