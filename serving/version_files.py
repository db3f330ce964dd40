"""What `serving.versions` does to folders and configuration files."""

from __future__ import annotations

import json
import os
from collections.abc import Set

import grpc
import tensorflow as tf
from google.protobuf import text_format
from tensorflow_serving.apis import (
    get_model_status_pb2,
    model_service_pb2_grpc,
)
from tensorflow_serving.config import model_server_config_pb2

from serving import model_config, version_folders
from serving.client import connect
from serving.config_error import ConfigError
from serving.version_folders import SAVED_MODEL_FILE

_GONE = get_model_status_pb2.ModelVersionStatus.END


def find(directory: str) -> list[tuple[int, str]]:
    """Complete versions and their folders, oldest first.

    Raises:
        OSError: there is no such folder.
    """
    if not tf.io.gfile.isdir(directory):
        raise FileNotFoundError(f"There is no folder {directory}.")
    return list(version_folders.find(directory).items())


def describe(path: str) -> str:
    """One line on a version, from its assets.extra/model.json."""
    file = os.path.join(path, "assets.extra", "model.json")
    if not tf.io.gfile.exists(file):
        return "(no model.json)"
    with tf.io.gfile.GFile(file) as stream:
        settings = json.loads(stream.read())
    name = settings.get("version_info", {}).get("name", "")
    return f"{settings.get('num_items', '?')} items {name}".rstrip()


def served_by(target: str, model_name: str) -> set[int]:
    """Versions that a server has loaded, loads or lets go of now.

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
                return set()  # It is there and serves no such model.
            raise
    states = answer.model_version_status
    return {s.version for s in states if s.state != _GONE}


def named_in(file: str, model_name: str) -> set[int]:
    """Versions that a configuration names, by policy or label.

    Raises:
        ConfigError: it cannot be read, or keeps every version.
    """
    used: set[int] = set()
    for model in model_config.read(file):
        if model.name == model_name:
            used |= set(model.policy.versions or ()) | set(
                model.labels.values()
            )
            if model.policy.limit is None and model.policy.versions is None:
                raise ConfigError(
                    f"{file} serves all versions of {model_name}: none may go."
                )
    return used


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
    """Copies a version to a new number, saved_model.pb last."""
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
    models = {m.name: m for m in model_config.read(file)}
    if model_name not in models:
        raise ConfigError(
            f"{file} has no model {model_name!r}, found {sorted(models)}."
        )
    base_path = models[model_name].base_path
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
    return models[model_name].labels.get(label)
