"""Runtime parameters: settings that change from run to run.

What a parameter changes in the steps is worked out by the step ResolveRun
when a run starts, so a compiled pipeline takes new values as it is.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from kubeflow.errors import CompileError
from models.settings import SettingsError, from_mapping
from pipeline.config import PipelineConfig

PUSH_TARGET = "push_target"
INPUT_FINGERPRINT = "input_fingerprint"

Value = str | int | float


@dataclasses.dataclass(frozen=True)
class RuntimeParameter:
    """One parameter of a compiled pipeline.

    Attributes:
        name: as a person gives it.
        key: dotted key of the setting that it replaces; "" for the two that
            are no settings of create_pipeline.
        default: what a run takes that is given no value.
        text: whether the value travels as text though the setting is none:
            the setting may be null, written as "", or is a truth value.
    """

    name: str
    key: str
    default: Value
    text: bool = False


def runtime_parameters(
    config: PipelineConfig, push_target: str
) -> list[RuntimeParameter]:
    """Returns the parameters of a pipeline.

    A date that other settings exclude, `split.test_date` beside
    `split.test_days`, is none.

    Raises:
        CompileError: `kubeflow.runtime_parameters` names what is no setting.
    """
    parameters = [
        RuntimeParameter(PUSH_TARGET, "", push_target),
        # "": the run looks at the log files itself.
        RuntimeParameter(INPUT_FINGERPRINT, "", ""),
    ]
    excluded = {f"split.{name}" for name in config.split.excluded}
    for key in config.kubeflow.runtime_parameters:
        if key in excluded:
            continue
        hint, value = _look_up(config, key)
        kinds = _kinds(hint)
        nullable = type(None) in kinds
        text = nullable and str not in kinds or bool in kinds
        default = "" if value is None else value
        if text and value is not None:
            default = str(yaml.safe_dump(value)).split("\n")[0]
        parameters.append(
            RuntimeParameter(key.replace(".", "_"), key, default, text)
        )
    return parameters


def apply(
    config: PipelineConfig,
    parameters: list[RuntimeParameter],
    values: Mapping[str, Any],
) -> PipelineConfig:
    """Puts the values of a run into the settings.

    Args:
        config: settings as compiled.
        parameters: of the pipeline.
        values: parameter name -> value; those missing leave the setting.

    Raises:
        SettingsError: a value does not fit its setting.
    """
    tree = dataclasses.asdict(config)
    for parameter in parameters:
        if not parameter.key or parameter.name not in values:
            continue
        value = values[parameter.name]
        if parameter.text:
            value = yaml.safe_load(value) if value else None
        elif value == "" and _nullable(config, parameter.key):
            value = None
        *path, last = parameter.key.split(".")
        group = tree
        for name in path:
            group = group[name]
        group[last] = value
    try:
        return from_mapping(PipelineConfig, tree)
    except SettingsError as error:
        names = ", ".join(p.name for p in parameters if p.key)
        raise SettingsError(f"Runtime parameters ({names}): {error}") from error


def other_values(
    config: PipelineConfig, parameter: RuntimeParameter
) -> Iterator[Value]:
    """Yields values unlike the setting's, the likeliest to be valid first."""
    if not parameter.key:
        yield f"{parameter.default}-other"
        return
    hint, value = _look_up(config, parameter.key)
    kinds = _kinds(hint)
    if bool in kinds:
        yield "false" if value else "true"
    elif float in kinds:
        for number in (0.9, 0.5, 1.5, -0.5):
            if number != value:
                yield str(number) if parameter.text else number
    elif int in kinds:
        for number in ((value or 0) + 1, (value or 0) + 10):
            yield str(number) if parameter.text else number
    elif value is None:
        # two dates: one may lie on the wrong side of another setting's
        yield from ("2001-02-03", "2101-02-03", "other")
    else:
        yield from (f"{value}-other", "2001-02-03", "")


def _look_up(config: PipelineConfig, key: str) -> tuple[Any, Any]:
    """Type and value of the setting with a dotted key."""
    hint: Any = PipelineConfig
    value: Any = config
    for name in key.split("."):
        hints = (
            typing.get_type_hints(type(value))
            if dataclasses.is_dataclass(value)
            else {}
        )
        if name not in hints:
            raise CompileError(
                f"`kubeflow.runtime_parameters` names `{key}`, which is no "
                f"setting: `{name}` is unknown."
            )
        hint, value = hints[name], getattr(value, name)
    if not _kinds(hint) & {str, int, float, bool}:
        raise CompileError(
            f"`kubeflow.runtime_parameters` names `{key}`, which is a group "
            "or a list: name a single setting."
        )
    return hint, value


def _kinds(hint: Any) -> set[Any]:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return set(typing.get_args(hint))
    return {hint}


def _nullable(config: PipelineConfig, key: str) -> bool:
    return type(None) in _kinds(_look_up(config, key)[0])
