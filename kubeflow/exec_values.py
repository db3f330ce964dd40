"""The parameters of a pipeline's steps, as the backend hands them over."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tfx import v1 as tfx
from tfx.dsl.components.base import base_component, base_node
from tfx.dsl.placeholder import placeholder
from tfx.orchestration import data_types
from tfx.orchestration.kubeflow.v2 import compiler_utils

from kubeflow.errors import CompileError

# JSON has one kind of number: beyond this, integers are rounded.
_LARGEST_INTEGER = 2**53

# (step, parameter) -> value.
ExecValues = dict[tuple[str, str], Any]


def exec_values(pipeline: tfx.dsl.Pipeline) -> ExecValues:
    """Returns the constant parameters of all steps.

    Raises:
        CompileError: a value would arrive as something else.
    """
    return {
        (node.id, name): value
        for node in pipeline.components
        if isinstance(node, base_component.BaseComponent)
        for name, value in _constants(node)
    }


def _constants(node: base_node.BaseNode) -> Iterator[tuple[str, Any]]:
    for name, value in node.exec_properties.items():
        if value is None or isinstance(
            value, placeholder.Placeholder | data_types.RuntimeParameter
        ):
            continue
        if isinstance(value, list | dict):
            raise CompileError(
                f"{node.id}: the parameter `{name}` is a "
                f"{type(value).__name__}. TFX hands it to Kubeflow as JSON "
                "text and never reads it back. Fix: give the component a "
                "string and let it read the JSON itself."
            )
        if isinstance(value, int) and abs(value) > _LARGEST_INTEGER:
            raise CompileError(
                f"{node.id}: the parameter `{name}` is {value}. Kubeflow's "
                "numbers are floating-point and round integers above 2**53. "
                "Fix: give the component a string."
            )
        if isinstance(value, str) and "{{" in value:
            raise CompileError(
                f"{node.id}: the parameter `{name}` holds `{{{{`, which the "
                "backend takes for a placeholder of its own. Fix: write the "
                "setting without it."
            )
        message = compiler_utils.value_converter(value)
        kind = message.constant.WhichOneof("kind")
        converted = getattr(message.constant, kind)
        if isinstance(value, int) and kind == "number_value":
            converted = int(converted)
        yield name, converted
