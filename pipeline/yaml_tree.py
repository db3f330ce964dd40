"""Reads nested YAML settings and remembers the line of every key.

`base: other.yaml` (relative to the file itself) takes another file's
settings first: mappings are merged key by key, everything else replaced.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from models.settings import SettingsError

# Dotted key -> "file:line" of its last definition.
Places = dict[str, str]


def read_tree(
    path: str | os.PathLike[str], overrides: Sequence[str] = ()
) -> tuple[dict[str, Any], Places]:
    """Reads a file, the files it is based on, and overrides.

    Args:
        path: a YAML file, from the current folder.
        overrides: `key.sub=value` pairs that win over the file; values are
            read as YAML.

    Returns:
        The nested settings and the place of every dotted key.

    Raises:
        SettingsError: the message names the file and the line.
    """
    tree, places = _read(Path(path), ())
    for override in overrides:
        key, value = _parse_override(override)
        _set(tree, key.split("."), value, key)
        _forget_below(key, places)
        places[key] = f"--set {override}"
    return tree, places


def _read(path: Path, chain: tuple[Path, ...]) -> tuple[dict, Places]:
    """Reads one file and the files it is based on."""
    path = path.resolve()
    name = _display(path)
    if path in chain:
        raise SettingsError(
            f"{name}: `base` leads back to this file: "
            f"{' -> '.join(_display(p) for p in (*chain, path))}."
        )
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        hint = (
            f" (`base` of {_display(chain[-1])}, relative to that file)"
            if chain
            else ""
        )
        raise SettingsError(
            f"No configuration file {name}{hint}. {_files_beside(path)}"
        ) from None
    except (IsADirectoryError, UnicodeDecodeError, PermissionError) as error:
        raise SettingsError(
            f"{name} cannot be read as a configuration file: {error}."
        ) from error
    tree, places = _parse(text, name)
    base = tree.pop("base", None)
    if base is None:
        return tree, places
    if not isinstance(base, str):
        raise SettingsError(
            f"{places['base']}: `base` must be the name of a file, found "
            f"{base!r}."
        )
    base_tree, base_places = _read(path.parent / base, (*chain, path))
    for key in places:
        if f"{key}[0]" in places:  # a list replaces the whole list
            _forget_below(key, base_places)
    return _merge(base_tree, tree), {**base_places, **places}


def _parse(text: str, name: str) -> tuple[dict, Places]:
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        _check_scalars(node, name)
        tree = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{name}:{mark.line + 1}" if mark else name
        problem = getattr(error, "problem", None) or str(error)
        # Broken off at its end a text has one line more than lines of text.
        line = text.split("\n")[mark.line] if mark else ""
        raise SettingsError(
            f"{place}: not valid YAML: {problem}.{_advice(line)}"
        ) from error
    if not isinstance(tree, dict):
        raise SettingsError(
            f"{name}: expected a mapping of settings such as `name: demo`, "
            f"found {type(tree).__name__}."
        )
    places: Places = {}
    _collect_places(node, "", name, places)
    return tree, places


def _check_scalars(node: Any, name: str) -> None:
    """Refuses what looks like a date or number and is none: 2024-02-31."""
    if isinstance(node, yaml.ScalarNode):
        try:
            yaml.SafeLoader("").construct_object(node)
        except ValueError as error:
            raise SettingsError(
                f"{name}:{node.start_mark.line + 1}: {node.value} cannot be "
                f"read: {error}."
            ) from error
    elif isinstance(node, yaml.CollectionNode):
        for child in node.value:
            for part in child if isinstance(child, tuple) else (child,):
                _check_scalars(part, name)


def _advice(line: str) -> str:
    """What to do about a line that YAML does not take."""
    if re.match(r" *\t", line):
        return " Fix: indent with spaces, not with tabs."
    # A plain value that begins like something else in YAML.
    found = re.search(r"(?:(\w+):|-|[\[,])\s+([*&!%@`][^\s,\]}]*)", f" {line}")
    if found and '"' not in line[found.start() :]:
        key, value = found.groups()
        quoted = f'{key}: "{value}"' if key else f'"{value}"'
        return f" Fix: quote the value: `{quoted}`."
    return ""


def _collect_places(node: Any, prefix: str, name: str, places: Places) -> None:
    """Records the line of every key; YAML would drop a repeated one."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            path = f"{prefix}.{key.value}" if prefix else key.value
            place = f"{name}:{key.start_mark.line + 1}"
            if path in places:
                raise SettingsError(
                    f"{place}: `{path}` is given twice, first at "
                    f"{places[path]}."
                )
            places[path] = place
            _collect_places(value, path, name, places)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            path = f"{prefix}[{index}]"
            places[path] = f"{name}:{value.start_mark.line + 1}"
            _collect_places(value, path, name, places)


def _forget_below(key: str, places: Places) -> None:
    """Drops the places of the entries of a list or group that is replaced."""
    for name in [n for n in places if n.startswith((f"{key}.", f"{key}["))]:
        del places[name]


def _merge(base: Mapping[str, Any], top: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in top.items():
        old = merged.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            merged[key] = _merge(old, value)
        else:
            merged[key] = value
    return merged


def _parse_override(override: str) -> tuple[str, Any]:
    key, equals, value = override.partition("=")
    key = key.strip()
    if not equals or not re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", key):
        raise SettingsError(
            f"--set {override}: expected key=value such as training.seed=1. "
            "A value with spaces cannot be given by make's SET; set it in the "
            "file, or call python -m pipeline.run --set 'KEY=VALUE'."
        )
    try:
        return key, yaml.safe_load(value) if value else ""
    except ValueError as error:
        raise SettingsError(
            f"--set {override}: {value} cannot be read: {error}."
        ) from error
    except yaml.YAMLError as error:
        raise SettingsError(
            f"--set {override}: the value is not valid YAML. Fix: quotes "
            f"""within quotes, such as '{key}="{value}"', and no spaces in """
            "lists given by make's SET."
        ) from error


def _set(tree: dict[str, Any], keys: list[str], value: Any, path: str) -> None:
    for key in keys[:-1]:
        child = tree.setdefault(key, {})
        if not isinstance(child, dict):
            raise SettingsError(
                f"--set {path}: `{key}` is {child!r}, not a group of settings."
            )
        tree = child
    tree[keys[-1]] = value


def place_of(message: str, places: Places, default: str) -> str:
    """Finds the line of the setting that a message names in backticks.

    A check of a dataclass names the group first and the field after it.
    """
    names = re.findall(r"`([^`\s]+)`", message)
    for name in [".".join(names[:2]), *names]:
        while name:
            if name in places:
                return places[name]
            # The group or list around it.
            name = re.sub(r"(^|\.|\[)[^.\[]*$", "", name)
    return default


def _display(path: Path) -> str:
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def _files_beside(path: Path) -> str:
    """The files most like a missing one, or all where none is like it."""
    there = sorted(p.name for p in path.parent.glob("*.yaml"))
    near = difflib.get_close_matches(path.name, there)
    if near:
        return f"Did you mean {' or '.join(near)}?"
    return f"YAML files there: {', '.join(there) or 'none'}."
