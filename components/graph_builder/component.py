"""The GraphBuilder component."""

from __future__ import annotations

from tfx import types
from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.types import component_spec, standard_artifacts

from components.artifacts import InteractionGraph
from components.graph_builder import executor


class GraphBuilderSpec(component_spec.ComponentSpec):
    """What GraphBuilder takes and gives."""

    PARAMETERS = {
        "config": component_spec.ExecutionParameter(type=str),
        "split_config": component_spec.ExecutionParameter(type=str),
        "code_fingerprint": component_spec.ExecutionParameter(type=str),
    }
    INPUTS = {
        "examples": component_spec.ChannelParameter(
            type=standard_artifacts.Examples
        ),
        "transform_graph": component_spec.ChannelParameter(
            type=standard_artifacts.TransformGraph
        ),
    }
    OUTPUTS = {
        "graph": component_spec.ChannelParameter(type=InteractionGraph),
    }


class GraphBuilder(base_beam_component.BaseBeamComponent):
    """Builds the user-item graph of each fit period as a GraphTensor."""

    SPEC_CLASS = GraphBuilderSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(executor.Executor)

    def __init__(
        self,
        examples: types.BaseChannel,
        transform_graph: types.BaseChannel,
        config: str,
        split_config: str,
        code_fingerprint: str,
    ) -> None:
        """Wires the component.

        Args:
            examples: transformed histories, split `all`.
            transform_graph: of the same Transform, for the vocabularies.
            config: `to_json` of a GraphConfig.
            split_config: `to_json` of the SplitConfig that Transform had.
            code_fingerprint: makes a change of code a change of the cache key.
        """
        super().__init__(
            GraphBuilderSpec(
                examples=examples,
                transform_graph=transform_graph,
                config=config,
                split_config=split_config,
                code_fingerprint=code_fingerprint,
                graph=types.Channel(type=InteractionGraph),
            )
        )
