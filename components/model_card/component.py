"""The ModelCardWriter component."""

from __future__ import annotations

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import component_spec, standard_artifacts

from components.model_card.executor import Executor


class ModelCardWriterSpec(component_spec.ComponentSpec):
    """What ModelCardWriter takes and gives."""

    PARAMETERS = {
        "code_fingerprint": component_spec.ExecutionParameter(type=str),
    }
    INPUTS = {
        "model": component_spec.ChannelParameter(type=standard_artifacts.Model),
        "evaluation": component_spec.ChannelParameter(
            type=standard_artifacts.ModelEvaluation
        ),
    }
    OUTPUTS = {
        "described_model": component_spec.ChannelParameter(
            type=standard_artifacts.Model
        ),
    }


class ModelCardWriter(base_component.BaseComponent):
    """Puts the card of the evaluation into a copy of the model.

    The model is written before it is measured, and artifacts must not be
    changed once they are published: so the stock Pusher gets this copy. Its
    SavedModel is the same byte for byte; only
    `assets.extra/model_card.md` is new.
    """

    SPEC_CLASS = ModelCardWriterSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(
        self,
        model: types.BaseChannel,
        evaluation: types.BaseChannel,
        code_fingerprint: str,
    ) -> None:
        """Wires the component.

        Args:
            model: from Trainer.
            evaluation: of that model, from RankingEvaluator.
            code_fingerprint: makes a change of code a change of the cache key.
        """
        super().__init__(
            ModelCardWriterSpec(
                model=model,
                evaluation=evaluation,
                code_fingerprint=code_fingerprint,
                described_model=types.Channel(type=standard_artifacts.Model),
            )
        )
