"""ResolveRun: a run's parameters and log files to the steps' settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.orchestration import data_types
from tfx.types import component_spec, standard_artifacts

from kubeflow.parameters import RuntimeParameter
from kubeflow.resolve_run.executor import Executor

NAME = "ResolveRun"
VALUE_TYPES = {
    str: standard_artifacts.String,
    int: standard_artifacts.Integer,
    float: standard_artifacts.Float,
}


def resolve_run(
    *,
    constants: Mapping[str, str],
    parameters: Sequence[RuntimeParameter],
    outputs: Mapping[str, type],
) -> base_component.BaseComponent:
    """Makes the component of one pipeline.

    It stands where TFX's drivers and resolvers do on other orchestrators, and
    is never cached: it looks at the log files, works out their fingerprint,
    and gives every step the settings that this run's parameters make. Steps
    whose settings come out as before are taken from the cache.

    Args:
        constants: what the executor needs to know of the compilation.
        parameters: of the pipeline.
        outputs: name -> str, int or float; see `output_name`.

    Returns:
        A component of a class of its own, for its inputs and outputs are
        those of this pipeline.
    """
    properties: dict[str, Any] = dict(constants)
    for parameter in parameters:
        kind = type(parameter.default)
        properties[parameter.name] = data_types.RuntimeParameter(
            name=parameter.name,
            ptype=str if parameter.text else kind,
            default=parameter.default,
        )
    spec_class = type(
        "ResolveRunSpec",
        (types.ComponentSpec,),
        {
            "PARAMETERS": {
                name: component_spec.ExecutionParameter(
                    type=getattr(value, "ptype", str)
                )
                for name, value in properties.items()
            },
            "INPUTS": {},
            "OUTPUTS": {
                name: component_spec.ChannelParameter(type=VALUE_TYPES[kind])
                for name, kind in outputs.items()
            },
        },
    )
    component_class = type(
        NAME,
        (base_component.BaseComponent,),
        {
            "SPEC_CLASS": spec_class,
            "EXECUTOR_SPEC": executor_spec.ExecutorClassSpec(Executor),
        },
    )
    channels = {
        name: types.Channel(type=VALUE_TYPES[kind])
        for name, kind in outputs.items()
    }
    return component_class(spec_class(**properties, **channels))


def output_name(step: str, parameter: str) -> str:
    """Name of the output that holds one parameter of one step."""
    return f"{step}_{parameter}"
