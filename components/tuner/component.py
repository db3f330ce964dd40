"""The Tuner component."""

from __future__ import annotations

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import component_spec, standard_artifacts

from components.artifacts import InteractionGraph
from components.tuner.executor import Executor


class TunerSpec(component_spec.ComponentSpec):
    """Inputs, outputs and parameters of `Tuner`."""

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
    }
    OUTPUTS = {
        "best_hyperparameters": component_spec.ChannelParameter(
            type=standard_artifacts.HyperParameters
        ),
    }


class Tuner(base_component.BaseComponent):
    """Searches for settings with Optuna, on validation only.

    The stock Tuner takes KerasTuner and the stock Trainer's inputs, hence a
    component of its own. Its one output holds the best values and, for the
    report, all trials.

    Args:
        examples: transformed histories.
        transform_graph: vocabularies.
        graph: one interaction graph per fit period.
        config: JSON of TunerConfig.
        checkpoint_root: folder that outlives a run; a search over the same
            data with the same settings goes on there, also with more trials.
        code_fingerprint: makes the cache notice a change of code.
    """

    SPEC_CLASS = TunerSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(
        self,
        examples: types.BaseChannel,
        transform_graph: types.BaseChannel,
        graph: types.BaseChannel,
        config: str,
        checkpoint_root: str,
        code_fingerprint: str,
    ) -> None:
        super().__init__(
            TunerSpec(
                examples=examples,
                transform_graph=transform_graph,
                graph=graph,
                config=config,
                checkpoint_root=checkpoint_root,
                code_fingerprint=code_fingerprint,
                best_hyperparameters=types.Channel(
                    type=standard_artifacts.HyperParameters
                ),
            )
        )
