"""Which models are served, in TF Serving's words (ModelServerConfig).

model_config_list {
  config {
    name: "create"
    base_path: "/models/create"
    model_platform: "tensorflow"
    model_version_policy { latest { num_versions: 2 } }
    version_labels { key: "stable" value: 1764080000 }
  }
}
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType

import tensorflow as tf
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from serving.config_error import ConfigError

PLATFORM = "tensorflow"
_NO_LABELS: Mapping[str, int] = MappingProxyType({})


@dataclasses.dataclass(frozen=True)
class VersionPolicy:
    """Which of the versions in a folder are wanted.

    Attributes:
        num_versions: the newest that many; None is all there are.
        versions: exactly these, whatever `num_versions` says; None is any.
    """

    num_versions: int | None = 1
    versions: frozenset[int] | None = None

    def candidates(self, found: Iterable[int]) -> list[int]:
        """The versions that may be loaded, in the order to try them."""
        allowed = (
            v for v in found if self.versions is None or v in self.versions
        )
        return sorted(allowed, reverse=True)

    @property
    def limit(self) -> int | None:
        """How many of the candidates to load; None is all."""
        return None if self.versions is not None else self.num_versions


@dataclasses.dataclass(frozen=True)
class ModelEntry:
    """One model of a configuration.

    Attributes:
        name: what clients ask for.
        base_path: folder or URI of the numbered version folders.
        policy: which versions are loaded.
        labels: names that clients may use for versions.
    """

    name: str
    base_path: str
    policy: VersionPolicy = VersionPolicy()
    labels: Mapping[str, int] = _NO_LABELS


def read(path: str) -> list[ModelEntry]:
    """The models of a --model_config_file.

    Raises:
        ConfigError: the file cannot be read or says something wrong.
    """
    try:
        with tf.io.gfile.GFile(path) as file:
            text = file.read()
    except (tf.errors.OpError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"Cannot read {path} (--model_config_file): {error}"
        ) from error
    config = model_server_config_pb2.ModelServerConfig()
    try:
        text_format.Parse(text, config)
        return from_proto(config)
    except (text_format.ParseError, ConfigError) as error:
        raise ConfigError(f"{path} (--model_config_file): {error}") from error


def from_proto(
    config: model_server_config_pb2.ModelServerConfig,
) -> list[ModelEntry]:
    """The models of a configuration.

    Raises:
        ConfigError: it names no list of models, or one of them is wrong.
    """
    if config.WhichOneof("config") != "model_config_list":
        raise ConfigError(
            "ServerModelConfig type not supported by "
            "HandleReloadConfigRequest. Only ModelConfigList is currently "
            "supported"
        )
    models = [_model(m) for m in config.model_config_list.config]
    names = [model.name for model in models]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(
                f"Illegal to list model {name} multiple times in config list"
            )
    return models


def _model(config: model_server_config_pb2.ModelConfig) -> ModelEntry:
    if not config.name:
        raise ConfigError("A model has no `name`.")
    if config.model_platform != PLATFORM:
        raise ConfigError(
            f"Model {config.name}: `model_platform` must be {PLATFORM!r}, "
            f"found {config.model_platform!r}."
        )
    if not re.match(r"/|[a-z0-9]+://", config.base_path):
        raise ConfigError(
            f"Expected model {config.name} to have an absolute path or URI; "
            f"got base_path()={config.base_path}"
        )
    return ModelEntry(
        config.name,
        config.base_path,
        _policy(config),
        MappingProxyType(dict(config.version_labels)),
    )


def _policy(config: model_server_config_pb2.ModelConfig) -> VersionPolicy:
    policy = config.model_version_policy
    kind = policy.WhichOneof("policy_choice")
    if kind == "all":
        return VersionPolicy(num_versions=None)
    if kind == "specific":
        if not policy.specific.versions:
            raise ConfigError(
                f"Model {config.name}: the policy `specific` names no version."
            )
        return VersionPolicy(versions=frozenset(policy.specific.versions))
    # TF Serving reads 0, which is also "not set", as one version.
    return VersionPolicy(num_versions=policy.latest.num_versions or 1)
