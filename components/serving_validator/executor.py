"""Serves the model in a fresh process, asks it and blesses it, or not."""

from __future__ import annotations

import dataclasses
import json
import os
import tempfile
from typing import Any

import grpc
import numpy as np
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx import types
from tfx.dsl.components.base import base_executor
from tfx.dsl.io import fileio
from tfx.types import artifact_utils
from tfx.utils import io_utils, path_utils

from components import splits
from components.artifact_files import VALIDATION_FILE
from components.histories import SPLIT, read_histories
from components.ranking_evaluator.config import EvaluationConfig
from components.serving_validator import checks, requests
from components.serving_validator.checks import Check
from components.serving_validator.config import ServingValidationConfig
from models.settings import from_json
from serving import warmup
from serving.client import connect
from serving.local_server import LocalServer, LocalServerError

# What the stock Pusher looks for: file names and properties of an
# InfraBlessing, and the model in it that it is to push.
_BLESSED_FILES = {True: "INFRA_BLESSED", False: "INFRA_NOT_BLESSED"}
_BLESSED_PROPERTY = "blessed"
_MODEL_PROPERTY = "has_model"


class Executor(base_executor.BaseExecutor):
    """Executor of ServingValidator."""

    def Do(  # noqa: N802 (TFX's name)
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Writes the blessing, with the model and its warm-up records.

        Raises:
            ValueError: examples and evaluation come from different runs.
        """
        config = from_json(ServingValidationConfig, exec_properties["config"])
        measured = _requests(input_dict, exec_properties, config)
        schema = _read_schema(input_dict)
        blessing = artifact_utils.get_single_instance(output_dict["blessing"])
        with tempfile.TemporaryDirectory() as folder:
            version = os.path.join(folder, "1")
            _copy_model(input_dict["model"], version)
            warmup.write(
                version,
                [
                    *warmup.read(version),
                    *checks.warmup_requests(measured[: config.warmup_users]),
                ],
            )
            found, latencies = _validate(
                folder, exec_properties["model_name"], measured, schema, config
            )
            passed = all(check.passed for check in found)
            if passed:
                io_utils.copy_dir(
                    version, path_utils.stamped_model_path(blessing.uri)
                )
        _write(blessing, found, latencies, passed)


def _requests(
    input_dict: dict[str, list[types.Artifact]],
    exec_properties: dict[str, Any],
    config: ServingValidationConfig,
) -> list[requests.MeasuredRequest]:
    uri = artifact_utils.get_split_uri(input_dict["examples"], SPLIT)
    return requests.choose(
        read_histories(fileio.glob(os.path.join(uri, "*"))),
        from_json(splits.SplitConfig, exec_properties["split_config"]),
        from_json(EvaluationConfig, exec_properties["evaluation_config"]),
        exec_properties["max_length"],
        artifact_utils.get_single_uri(input_dict["evaluation"]),
        config.users,
    )


def _read_schema(
    input_dict: dict[str, list[types.Artifact]],
) -> schema_pb2.Schema:
    uri = artifact_utils.get_single_uri(input_dict["schema"])
    with fileio.open(io_utils.get_only_uri_in_dir(uri), "r") as file:
        return text_format.Parse(file.read(), schema_pb2.Schema())


def _copy_model(model: list[types.Artifact], target: str) -> None:
    """Copies a published artifact, which must stay as it is."""
    artifact = artifact_utils.get_single_instance(model)
    source = path_utils.serving_model_path(
        artifact.uri, path_utils.is_old_model_artifact(artifact)
    )
    io_utils.copy_dir(source, target)


def _validate(
    base_path: str,
    model_name: str,
    measured: list[requests.MeasuredRequest],
    schema: schema_pb2.Schema,
    config: ServingValidationConfig,
) -> tuple[list[Check], np.ndarray]:
    """The checks, and [n] milliseconds; empty where nothing is served."""
    flags = [f"--model_name={model_name}", f"--model_base_path={base_path}"]
    loads = "a fresh server loads the model and replays its warm-up records"
    try:
        with (
            LocalServer(
                flags, model_name, timeout=config.timeout_seconds
            ) as server,
            connect(server.target) as channel,
        ):
            probe = checks.ServerProbe(channel, model_name)
            found = [
                Check(loads, True, "it does"),
                probe.check_signatures(schema),
                probe.check_answers(measured),
                probe.check_repeats(measured),
                probe.check_strangers(),
            ]
            latencies = probe.latencies(measured, config.timed_requests)
    except (LocalServerError, grpc.RpcError) as error:
        return [Check(loads, False, str(error))], np.empty(0)
    p99 = float(np.percentile(latencies, 99))
    found.append(
        Check(
            f"99 % of requests take at most {config.max_p99_ms:g} ms",
            p99 <= config.max_p99_ms,
            f"{p99:.1f} ms",
        )
    )
    return found, latencies


def _write(
    blessing: types.Artifact,
    found: list[Check],
    latencies: np.ndarray,
    passed: bool,
) -> None:
    content: dict[str, Any] = {
        "passed": passed,
        "checks": [dataclasses.asdict(check) for check in found],
    }
    if len(latencies):
        content["latency_ms"] = {
            f"p{p}": round(float(np.percentile(latencies, p)), 3)
            for p in (50, 95, 99)
        }
    io_utils.write_string_file(
        os.path.join(blessing.uri, VALIDATION_FILE),
        json.dumps(content, indent=2, sort_keys=True),
    )
    io_utils.write_string_file(
        os.path.join(blessing.uri, _BLESSED_FILES[passed]), ""
    )
    blessing.set_int_custom_property(_BLESSED_PROPERTY, int(passed))
    blessing.set_int_custom_property(_MODEL_PROPERTY, int(passed))
    for check in found:
        if not check.passed:
            print(
                f"ServingValidator: not pushed: {check.name}: {check.detail}",
                flush=True,
            )
