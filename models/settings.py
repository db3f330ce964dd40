"""Reads plain mappings into frozen dataclasses and refuses unknown keys."""

from __future__ import annotations

import dataclasses
import datetime
import difflib
import json
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

T = TypeVar("T")


class SettingsError(ValueError):
    """A setting that is unknown, of the wrong type or out of range."""


def from_mapping(
    cls: type[T], mapping: Mapping[str, Any], where: str = ""
) -> T:
    """Builds the dataclass `cls` from nested mappings.

    Args:
        cls: a dataclass; nested fields that are dataclasses are built from
            nested mappings, fields left out take their defaults.
        mapping: keys are field names.
        where: dotted path of `mapping` in the file, for messages.

    Raises:
        SettingsError: a key is unknown (the message suggests the nearest
            one), a value has the wrong type, or a required key is missing.
    """
    if not isinstance(mapping, Mapping):
        raise _wrong(where or cls.__name__, "a mapping of settings", mapping)
    hints = typing.get_type_hints(cls)
    fields = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    values: dict[str, Any] = {}
    for key, value in mapping.items():
        path = f"{where}.{key}" if where else str(key)
        if key not in fields:
            near = difflib.get_close_matches(str(key), fields, n=1)
            hint = f" Did you mean `{near[0]}`?" if near else ""
            raise SettingsError(
                f"Unknown key `{path}`.{hint} Known keys here: "
                f"{', '.join(sorted(fields))}."
            )
        values[key] = _convert(hints[key], value, path)
    for name, field in fields.items():
        required = (
            field.default is dataclasses.MISSING
            and field.default_factory is dataclasses.MISSING
        )
        if required and name not in values:
            path = f"{where}.{name}" if where else name
            raise SettingsError(f"Missing key `{path}`.")
    try:
        return cls(**values)
    except SettingsError:
        raise
    except ValueError as error:
        raise SettingsError(f"`{where or cls.__name__}`: {error}") from error


def from_json(cls: type[T], text: str) -> T:
    """Reads what `to_json` wrote."""
    return from_mapping(cls, json.loads(text), cls.__name__)


def to_json(settings: Any) -> str:
    """Canonical JSON of a settings dataclass (sorted keys)."""
    return json.dumps(dataclasses.asdict(settings), sort_keys=True)


def with_values(settings: T, values: Mapping[str, Any]) -> T:
    """The settings with other values.

    Args:
        settings: a dataclass of settings.
        values: by dotted name, such as `model.sequential.dropout`.

    Raises:
        SettingsError: as `from_mapping`.
    """
    tree = dataclasses.asdict(settings)  # type: ignore[call-overload]
    for name, value in values.items():
        *parents, last = name.split(".")
        node = tree
        for index, parent in enumerate(parents):
            child = node.get(parent) if parent in node else None
            if parent not in node or not isinstance(child, dict):
                raise SettingsError(_no_group(name, parents[: index + 1], node))
            node = child
        node[last] = value
    return from_mapping(type(settings), tree)


def value_at(settings: Any, name: str) -> Any:
    """The value of a setting by its dotted name."""
    for part in name.split("."):
        settings = getattr(settings, part)
    return settings


def _no_group(name: str, parents: list[str], node: Mapping[str, Any]) -> str:
    near = difflib.get_close_matches(parents[-1], node, n=1)
    hint = (
        f" Did you mean `{'.'.join([*parents[:-1], near[0]])}`?" if near else ""
    )
    return (
        f"Unknown key `{name}`: `{'.'.join(parents)}` is no group of "
        f"settings.{hint}"
    )


def _convert(hint: Any, value: Any, path: str) -> Any:
    """Converts `value` to the annotated type `hint`, or raises."""
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        options = typing.get_args(hint)
        if value is None and type(None) in options:
            return None
        problems: list[tuple[Any, SettingsError]] = []
        for option in _fitting(options, value):
            try:
                return _convert(option, value, path)
            except SettingsError as problem:
                problems.append((option, problem))
        deeper = [
            problem
            for _, problem in problems
            if not str(problem).startswith(f"`{path}` must be ")
        ]
        if deeper or len(problems) == 1:
            raise (deeper or [problems[0][1]])[-1]
        names = [_type_name(option) for option, _ in problems]
        raise _wrong(path, " or ".join(names), value)
    if dataclasses.is_dataclass(hint):
        return from_mapping(typing.cast(type, hint), value, path)
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            raise _wrong(path, "a list", value)
        item = typing.get_args(hint)[0]
        return tuple(
            _convert(item, v, f"{path}[{i}]") for i, v in enumerate(value)
        )
    if origin is dict:
        if not isinstance(value, Mapping):
            raise _wrong(path, "a mapping", value)
        _, item = typing.get_args(hint)
        return {
            str(k): _convert(item, v, f"{path}.{k}") for k, v in value.items()
        }
    if hint is str and isinstance(value, datetime.date):
        return value.isoformat()  # YAML makes a date of 2024-03-01
    if hint is float and isinstance(value, (int, float)):
        if not isinstance(value, bool):
            return float(value)
    elif hint is int and isinstance(value, bool):
        pass
    elif hint is Any or isinstance(value, hint):
        return value
    raise _wrong(path, getattr(hint, "__name__", str(hint)), value)


def _fitting(options: tuple[Any, ...], value: Any) -> list[Any]:
    """Of a union those types whose message helps: groups for mappings."""
    some = [option for option in options if option is not type(None)]
    mapping = isinstance(value, Mapping)
    fit = [o for o in some if dataclasses.is_dataclass(o) == mapping]
    return fit or some


def _type_name(hint: Any) -> str:
    names = {tuple: "a list", dict: "a mapping"}
    origin = typing.get_origin(hint) or hint
    return names.get(origin, getattr(hint, "__name__", str(hint)))


def _wrong(path: str, expected: str, value: Any) -> SettingsError:
    hint = ""
    if isinstance(value, str) and "float" in expected.split(" or "):
        hint = " (YAML reads 1e-3 as text; write 1.0e-3 or 0.001)"
    if value is None:
        hint = " (a key without a value in YAML)"
    return SettingsError(
        f"`{path}` must be {expected}, found {type(value).__name__}: "
        f"{value!r}.{hint}"
    )
