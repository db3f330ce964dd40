"""Works out what the parameters of a run mean for every step."""

from __future__ import annotations

from typing import Any

from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions
from tfx import types
from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils

from components.code_fingerprint import code_fingerprint
from components.history_example_gen.fingerprint import input_fingerprint
from kubeflow.exec_values import exec_values
from kubeflow.parameters import (
    INPUT_FINGERPRINT,
    PUSH_TARGET,
    apply,
    runtime_parameters,
)
from models.settings import from_json
from pipeline.config import PipelineConfig
from pipeline.create_pipeline import create_pipeline

# What is in the image.
CODE = ("kubeflow", "pipeline", "components", "models", "serving")


class Executor(base_executor.BaseExecutor):
    """Executor of ResolveRun."""

    def Do(  # noqa: N802 (TFX's name)
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Builds the pipeline with this run's settings and writes them out.

        Raises:
            RuntimeError: the image holds other code than was compiled.
            SettingsError: a parameter does not fit its setting.
            LogsError: no log file matches.
        """
        _check_code(exec_properties["code_fingerprint"])
        config = from_json(PipelineConfig, exec_properties["config"])
        parameters = runtime_parameters(config, exec_properties[PUSH_TARGET])
        config = apply(config, parameters, exec_properties)
        # s3:// asks for options before any Beam pipeline has brought them.
        FileSystems.set_options(
            PipelineOptions(config.beam.arguments("HistoryExampleGen"))
        )
        fingerprint = exec_properties[INPUT_FINGERPRINT]
        if not fingerprint:
            fingerprint = input_fingerprint(config.logs)
        pipeline = create_pipeline(
            config,
            pipeline_root=exec_properties["pipeline_root"],
            serving_dir=exec_properties[PUSH_TARGET],
            checkpoint_root=exec_properties["checkpoint_root"],
            input_fingerprint=fingerprint,
        )
        values = {
            f"{step}_{name}": value
            for (step, name), value in exec_values(pipeline).items()
        }
        for name, artifacts in output_dict.items():
            artifact = artifact_utils.get_single_instance(artifacts)
            artifact.write(values[name])
        print(f"[ResolveRun] log files {config.logs.path}: {fingerprint}")


def _check_code(expected: str) -> None:
    found = code_fingerprint(*CODE)
    if found != expected:
        raise RuntimeError(
            "The image holds other code than the pipeline was compiled from "
            f"(fingerprints {found[:12]} and {expected[:12]}): its settings "
            "and its steps may not fit. Fix: build and push the image, set "
            "kubeflow.image to its digest and compile again."
        )
