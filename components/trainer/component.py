"""The Trainer component."""

from __future__ import annotations

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import component_spec, standard_artifacts

from components.artifacts import InteractionGraph
from components.trainer.executor import Executor


class TrainerSpec(component_spec.ComponentSpec):
    """Inputs, outputs and parameters of `Trainer`."""

    PARAMETERS = {
        "config": component_spec.ExecutionParameter(type=str),
        "checkpoint_root": component_spec.ExecutionParameter(type=str),
        "code_fingerprint": component_spec.ExecutionParameter(type=str),
    }
    INPUTS = {
        "examples": component_spec.ChannelParameter(
            type=standard_artifacts.Examples
        ),
        "transform_graph": component_spec.ChannelParameter(
            type=standard_artifacts.TransformGraph
        ),
        "graph": component_spec.ChannelParameter(type=InteractionGraph),
        "hyperparameters": component_spec.ChannelParameter(
            type=standard_artifacts.HyperParameters, optional=True
        ),
    }
    OUTPUTS = {
        "model": component_spec.ChannelParameter(type=standard_artifacts.Model),
        "model_run": component_spec.ChannelParameter(
            type=standard_artifacts.ModelRun
        ),
    }


class Trainer(base_component.BaseComponent):
    """Selects the epoch on validation, refits, exports a SavedModel.

    The stock Trainer's inputs are fixed and know no graph, hence a component
    of its own.

    Args:
        examples: transformed histories.
        transform_graph: vocabularies.
        graph: one interaction graph per fit period.
        config: JSON of TrainerConfig.
        checkpoint_root: folder that outlives a killed run; a job's
            checkpoints lie in a folder named by its settings and data, and
            are removed when it is done.
        code_fingerprint: makes the cache notice a change of code.
        hyperparameters: of a Tuner; its values take the place of those in
            `config`.
    """

    SPEC_CLASS = TrainerSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(
        self,
        examples: types.BaseChannel,
        transform_graph: types.BaseChannel,
        graph: types.BaseChannel,
        config: str,
        checkpoint_root: str,
        code_fingerprint: str,
        hyperparameters: types.BaseChannel | None = None,
    ) -> None:
        super().__init__(
            TrainerSpec(
                examples=examples,
                transform_graph=transform_graph,
                graph=graph,
                hyperparameters=hyperparameters,
                config=config,
                checkpoint_root=checkpoint_root,
                code_fingerprint=code_fingerprint,
                model=types.Channel(type=standard_artifacts.Model),
                model_run=types.Channel(type=standard_artifacts.ModelRun),
            )
        )
