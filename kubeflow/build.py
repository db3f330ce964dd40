"""Compiles create_pipeline() with TFX, and mends what TFX loses."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from tfx import v1 as tfx
from tfx.components import FileBasedExampleGen, InfraValidator
from tfx.dsl.components.base import base_node
from tfx.orchestration import data_types
from tfx.orchestration.kubeflow.v2 import kubeflow_v2_dag_runner

from components.code_fingerprint import code_fingerprint
from components.ranking_evaluator.config import SERVED
from kubeflow import parameters as runtime
from kubeflow.errors import CompileError
from kubeflow.exec_values import ExecValues, exec_values
from kubeflow.layout import Layout, check_place, pipeline_name
from kubeflow.resolve_run.component import NAME, output_name, resolve_run
from kubeflow.resolve_run.executor import CODE
from kubeflow.spec import ENTRY_POINT, Json
from models.settings import SettingsError, to_json
from pipeline.config import REPOSITORY, PipelineConfig
from pipeline.create_pipeline import create_pipeline

# A file of the repository lies elsewhere in the image.
_HERE = str(REPOSITORY)


@dataclasses.dataclass(frozen=True)
class Build:
    """A pipeline as TFX compiled it, and what is to be done about it.

    Attributes:
        job: the PipelineJob as JSON.
        parameters: that a person may give to a run.
        dynamic: (step, parameter) -> the type of those values that only
            ResolveRun knows.
        layout: where the runs keep their files.
    """

    job: Json
    parameters: list[runtime.RuntimeParameter]
    dynamic: dict[tuple[str, str], type]
    layout: Layout


def build(config: PipelineConfig) -> Build:
    """Compiles the pipeline of `config` with TFX's own compiler.

    Raises:
        CompileError: a step or setting that cannot run on Kubeflow.
    """
    # Folders of this machine are of no use in a pod, and would make the
    # output depend on where it is compiled.
    config = dataclasses.replace(config, runs_dir="runs")
    layout = Layout.of(config)
    _check_places(config)
    parameters = runtime.runtime_parameters(config, layout.serving)
    pipeline = _pipeline(config, layout, layout.serving, "")
    _check_nodes(pipeline.components)
    dynamic = _dynamic(config, layout, parameters, exec_values(pipeline))
    first = resolve_run(
        constants={
            "config": to_json(config),
            "code_fingerprint": code_fingerprint(*CODE),
            "pipeline_root": layout.artifacts,
            "checkpoint_root": layout.checkpoints,
        },
        parameters=parameters,
        outputs={output_name(*where): kind for where, kind in dynamic.items()},
    )
    with pipeline.dsl_context_registry.temporary_mutable():
        pipeline.dsl_context_registry.put_node(first)
    pipeline.components = [first, *pipeline.components]
    pipeline.pipeline_info = data_types.PipelineInfo(
        pipeline_name=pipeline_name(config), pipeline_root=layout.artifacts
    )
    job = kubeflow_v2_dag_runner.KubeflowV2DagRunner(
        kubeflow_v2_dag_runner.KubeflowV2DagRunnerConfig(
            default_image=_image(config),
            default_commands=list(ENTRY_POINT),
            use_pipeline_spec_2_1=True,
        )
    ).run(pipeline, write_out=False)
    return Build(job, parameters, dynamic, layout)


def _check_places(config: PipelineConfig) -> None:
    """Refuses folders among the settings that the pods do not have.

    Raises:
        CompileError: with the key and what to write instead.
    """
    step = config.kubeflow.step
    for name in (NAME, "HistoryExampleGen"):  # both look at the log files
        check_place("logs.path", config.logs.path, step(name))
    for name, folder in config.evaluation.compare_with.items():
        if folder != SERVED:
            key = f"evaluation.compare_with.{name}"
            check_place(key, folder, step("RankingEvaluator"))


def _pipeline(
    config: PipelineConfig,
    layout: Layout,
    serving_dir: str,
    input_fingerprint: str,
) -> tfx.dsl.Pipeline:
    return create_pipeline(
        config,
        pipeline_root=layout.artifacts,
        serving_dir=serving_dir,
        checkpoint_root=layout.checkpoints,
        input_fingerprint=input_fingerprint,
    )


def _dynamic(
    config: PipelineConfig,
    layout: Layout,
    parameters: list[runtime.RuntimeParameter],
    values: ExecValues,
) -> dict[tuple[str, str], type]:
    """Finds which values of which steps a run can change.

    No step is named here: each runtime parameter is set to another value, and
    what comes out different depends on it.
    """
    found = {
        where
        for where, value in values.items()
        if isinstance(value, str) and _HERE in value
    }
    for parameter in parameters:
        other = _with_another_value(config, layout, parameter)
        changed = {w for w, value in values.items() if other[w] != value}
        if not changed:
            raise CompileError(
                f"The runtime parameter {parameter.name} changes no step. "
                "Fix: take it out of `kubeflow.runtime_parameters`."
            )
        found |= changed
    return {where: type(values[where]) for where in sorted(found)}


def _with_another_value(
    config: PipelineConfig,
    layout: Layout,
    parameter: runtime.RuntimeParameter,
) -> ExecValues:
    """The values of all steps where one runtime parameter is another."""
    error: SettingsError | None = None
    for value in runtime.other_values(config, parameter):
        try:
            changed = runtime.apply(
                config, [parameter], {parameter.name: value}
            )
        except SettingsError as problem:
            error = problem
            continue
        serving, fingerprint = layout.serving, ""
        if parameter.name == runtime.PUSH_TARGET:
            serving = str(value)
        elif parameter.name == runtime.INPUT_FINGERPRINT:
            fingerprint = str(value)
        return exec_values(_pipeline(changed, layout, serving, fingerprint))
    raise CompileError(
        f"No other value of {parameter.key} is valid ({error}), so nothing "
        "shows what it changes. Fix: take it out of "
        "`kubeflow.runtime_parameters`."
    )


def _check_nodes(nodes: Iterable[base_node.BaseNode]) -> None:
    """Refuses what the open-source backend cannot run, with the fix."""
    for node in nodes:
        if isinstance(node, InfraValidator):
            raise CompileError(
                f"{node.id}: TFX's InfraValidator needs Docker or rights in "
                "the cluster and cannot be compiled. Fix: the component "
                "ServingValidator of this repository."
            )
        if isinstance(node, FileBasedExampleGen):
            raise CompileError(
                f"{node.id}: a file-based ExampleGen finds new data in a "
                "driver, which the open-source backend never calls: new files "
                "would be taken for the old. Fix: HistoryExampleGen."
            )
        if node.id == NAME:
            raise CompileError(f"A step may not be called {NAME}.")


def _image(config: PipelineConfig) -> str:
    if not config.kubeflow.image:
        raise CompileError(
            "`kubeflow.image` is not set. Fix: build and push the image "
            "(docs/kubeflow.md), then --set kubeflow.image=NAME@sha256:..."
        )
    return config.kubeflow.image
