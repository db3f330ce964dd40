"""What `serving.versions` does to folders and configuration files."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence, Set
from datetime import datetime, timezone
from typing import Any

import grpc
import tensorflow as tf
from google.protobuf import text_format
from tensorflow_serving.apis import (
    get_model_status_pb2,
    model_service_pb2_grpc,
)
from tensorflow_serving.config import model_server_config_pb2

from serving import (
    assets_extra,
    file_systems,
    model_config,
    version_folders,
)
from serving.client import connect
from serving.config_error import ConfigError
from serving.version_folders import COPY_OF_FILE, SAVED_MODEL_FILE

_GONE = get_model_status_pb2.ModelVersionStatus.END
_COLUMNS = (
    "version",
    "pushed (UTC)",
    "learned until",
    "items",
    "seen items",
    "run",
)
_UNKNOWN = "?"


def find(directory: str) -> list[tuple[int, str]]:
    """Complete versions and their folders, oldest first.

    Raises:
        OSError: there is no such folder, or TensorFlow cannot look there.
    """
    if why := file_systems.why_unknown(directory):
        raise OSError(why)
    if not tf.io.gfile.isdir(directory):
        raise FileNotFoundError(f"There is no folder {directory}.")
    return list(version_folders.find(directory).items())


def table(directory: str) -> list[str]:
    """Lines on the versions of a folder, oldest first, under a heading."""
    versions = [_row(version, path) for version, path in find(directory)]
    if not versions:
        return [f"no numbered version in {directory}"]
    rows: list[Sequence[str]] = [_COLUMNS, *versions]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) for cell, width in zip(row, widths, strict=True)
        ).rstrip()
        for row in rows
    ]


def _row(version: int, path: str) -> list[str]:
    """What assets.extra and the files say of a version."""
    facts = _read_json(path, assets_extra.MODEL_FILE)
    info = facts.get("version_info", {})
    complete = tf.io.gfile.stat(os.path.join(path, SAVED_MODEL_FILE))
    run = [str(info["name"])] if "name" in info else []
    if "seed" in info:
        run.append(f"seed {info['seed']}")
    original = copied_from(path)
    if original is not None:
        run.append(f"copy of {original}")
    return [
        str(version),
        _minute(complete.mtime_nsec / 1e9),
        _minute(info["fitted_until"]) if "fitted_until" in info else _UNKNOWN,
        f"{facts['num_items']:,}" if "num_items" in facts else _UNKNOWN,
        _seen_items(facts),
        ", ".join(run),
    ]


def _seen_items(facts: Mapping[str, Any]) -> str:
    """In the words of the setting `evaluation.seen_items`."""
    if "exclude_history" not in facts:
        return _UNKNOWN
    return "filtered" if facts["exclude_history"] else "kept"


def _minute(seconds: float) -> str:
    time = datetime.fromtimestamp(seconds, timezone.utc)
    return f"{time:%Y-%m-%d %H:%M}"


def _read_json(path: str, name: str) -> dict[str, Any]:
    """An object in a version's folder, empty where there is none."""
    file = os.path.join(path, name)
    if not tf.io.gfile.exists(file):
        return {}
    try:
        with tf.io.gfile.GFile(file) as stream:
            content = json.loads(stream.read())
    except ValueError as error:
        raise ConfigError(f"{file} is no JSON: {error}.") from error
    return content if isinstance(content, dict) else {}


def copied_from(path: str) -> int | None:
    """The version that a rollback has made this one of, None for others."""
    number = _read_json(path, COPY_OF_FILE).get("version")
    return int(number) if number is not None else None


def served_by(target: str, model_name: str) -> set[int]:
    """Versions that a server has loaded, loads or lets go of now.

    Returns:
        Nothing where the server has no model of that name, or no version of
        it: TF Serving gives one answer to both.

    Raises:
        grpc.RpcError: it does not answer.
    """
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = model_name
    with connect(target) as channel:
        stub = model_service_pb2_grpc.ModelServiceStub(channel)
        try:
            answer = stub.GetModelStatus(request, timeout=20)
        except grpc.RpcError as error:
            if error.code() == grpc.StatusCode.NOT_FOUND:
                return set()
            raise
    states = answer.model_version_status
    return {s.version for s in states if s.state != _GONE}


def named_in(file: str, model_name: str, directory: str) -> set[int]:
    """Versions that a configuration names, by policy or label.

    Args:
        file: a --model_config_file.
        model_name: the model in it.
        directory: base path of its versions, as seen from here.

    Raises:
        ConfigError: it cannot be read, does not name the model, or keeps
            every version.
    """
    policy = (model := _model_in(file, model_name)).policy
    if policy.limit is None and policy.versions is None:
        raise ConfigError(
            f"{file} serves all versions of {model_name}: none may go."
        )
    newest = policy.candidates(version for version, _ in find(directory))
    return {
        *model.labels.values(),
        *(policy.versions or newest[: policy.limit]),
    }


def _model_in(file: str, model_name: str) -> model_config.ModelEntry:
    """The model of that name in a configuration.

    Raises:
        ConfigError: the file cannot be read or does not name the model.
    """
    models = {model.name: model for model in model_config.read(file)}
    if model_name not in models:
        raise ConfigError(
            f"{file} has no model {model_name!r}, found {sorted(models)}. Fix: "
            "give the name there as --model_name."
        )
    return models[model_name]


def prune(
    directory: str, keep: int, used: Set[int], dry_run: bool = False
) -> list[int]:
    """Removes all but the newest versions and those in use.

    Args:
        directory: the base path.
        keep: how many of the newest stay.
        used: versions that stay whatever their age.
        dry_run: whether to change nothing.

    Returns:
        The versions that went, oldest first.
    """
    removed = []
    for version, path in find(directory)[:-keep]:
        if version in used:
            continue
        removed.append(version)
        if not dry_run:
            # Without this file a server does not see the version any more,
            # so none can pick up half of it.
            tf.io.gfile.remove(os.path.join(path, SAVED_MODEL_FILE))
            tf.io.gfile.rmtree(path)
    return removed


def copy(directory: str, old: int, new: int) -> None:
    """Copies a version to a new number, saved_model.pb last.

    The copy says which version it is one of: itself it cannot be told apart.
    """
    versions = dict(find(directory))
    source, target = versions[old], os.path.join(directory, str(new))
    complete = os.path.join(source, SAVED_MODEL_FILE)
    for folder, _, names in tf.io.gfile.walk(source):
        inside = os.path.join(target, os.path.relpath(folder, source))
        tf.io.gfile.makedirs(inside)
        for name in names:
            path = os.path.join(folder, name)
            if path != complete:
                tf.io.gfile.copy(path, os.path.join(inside, name))
    original = copied_from(source) or old
    mark = os.path.join(target, COPY_OF_FILE)
    tf.io.gfile.makedirs(os.path.dirname(mark))
    with tf.io.gfile.GFile(mark, "w") as stream:
        stream.write(json.dumps({"version": original}) + "\n")
    tf.io.gfile.copy(complete, os.path.join(target, SAVED_MODEL_FILE))


def set_label(
    file: str, model_name: str, label: str, version: int
) -> int | None:
    """Writes a label into a --model_config_file, in one step.

    Comments of the file are lost.

    Returns:
        The version that had the label.

    Raises:
        ConfigError: the file is wrong or does not name the model, or the
            version is not in the model's folder (where that can be seen).
    """
    entry = _model_in(file, model_name)
    base_path = entry.base_path
    # The file may be for a server elsewhere, whose folders are not here.
    if tf.io.gfile.isdir(base_path):
        found = [v for v, _ in find(base_path)]
        if version not in found:
            raise ConfigError(
                f"There is no version {version} in {base_path}, found "
                f"{found or 'none'}."
            )
    with tf.io.gfile.GFile(file) as stream:
        config = text_format.Parse(
            stream.read(), model_server_config_pb2.ModelServerConfig()
        )
    for model in config.model_config_list.config:
        if model.name == model_name:
            model.version_labels[label] = version
    with tf.io.gfile.GFile(f"{file}.new", "w") as stream:
        stream.write(text_format.MessageToString(config))
    # A server that polls the file must never read half of it.
    tf.io.gfile.rename(f"{file}.new", file, overwrite=True)
    return entry.labels.get(label)
