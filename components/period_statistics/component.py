"""The PeriodStatistics component."""

from __future__ import annotations

from tfx import types
from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.types import component_spec, standard_artifacts

from components.period_statistics import executor


class PeriodStatisticsSpec(component_spec.ComponentSpec):
    """What PeriodStatistics takes and gives."""

    PARAMETERS = {
        "config": component_spec.ExecutionParameter(type=str),
        "code_fingerprint": component_spec.ExecutionParameter(type=str),
    }
    INPUTS = {
        "examples": component_spec.ChannelParameter(
            type=standard_artifacts.Examples
        ),
    }
    OUTPUTS = {
        "statistics": component_spec.ChannelParameter(
            type=standard_artifacts.ExampleStatistics
        ),
    }


class PeriodStatistics(base_beam_component.BaseBeamComponent):
    """Describes the train, validation and test events and compares them.

    For people only: the numbers look at all periods at once, the test period
    too. Nothing learned, and no setting of anything learned, may take them
    as an input; in the pipeline only the report does.

    Output: `statistics`, TFX's ExampleStatistics with the splits train,
    validation and test (one row per event), and drift.json beside them.
    """

    SPEC_CLASS = PeriodStatisticsSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(executor.Executor)

    def __init__(
        self,
        examples: types.BaseChannel,
        config: str,
        code_fingerprint: str,
    ) -> None:
        """Wires the component.

        Args:
            examples: transformed histories, split `all`.
            config: `to_json` of a DriftConfig.
            code_fingerprint: makes a change of code a change of the cache key.
        """
        super().__init__(
            PeriodStatisticsSpec(
                examples=examples,
                config=config,
                code_fingerprint=code_fingerprint,
                statistics=types.Channel(
                    type=standard_artifacts.ExampleStatistics
                ),
            )
        )
