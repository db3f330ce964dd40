"""Turns what TFX compiled into what Kubeflow can run.

TFX 1.16 writes a specification for Vertex AI. For the open-source backend it
leaves out or gets wrong: the defaults of runtime parameters and the pipeline
root (both only in the part that its YAML drops), the name of a task whose
output is another's parameter, requests beside limits, retries, environment,
and resolvers, which that backend does not implement.
"""

from __future__ import annotations

from typing import Any

from components.ranking_evaluator.config import SERVED
from kubeflow.build import Build
from kubeflow.errors import CompileError
from kubeflow.resolve_run.component import NAME, output_name
from kubeflow.resources import finish_step
from kubeflow.served_model.spec import replace_resolvers
from kubeflow.spec import Json
from pipeline.config import PipelineConfig

_TYPES = {str: "STRING", int: "NUMBER_INTEGER", float: "NUMBER_DOUBLE"}

# Their results are more than a matter of their inputs: how fast a server is on
# this node today, and what lies where models are pushed to.
_DECIDE_ANEW = ("ServingValidator", "Pusher")
_EVALUATOR = "RankingEvaluator"


def finish(build: Build, config: PipelineConfig, *, vertex: bool) -> Json:
    """Completes the PipelineJob in place and returns it.

    Args:
        build: as TFX left it.
        config: all settings.
        vertex: for Vertex AI instead of the open-source backend.

    Raises:
        CompileError: settings name a step that does not exist, or ask Vertex
            AI for what only Kubernetes has.
    """
    spec = build.job["pipelineSpec"]
    spec["defaultPipelineRoot"] = build.layout.artifacts
    _defaults(spec, build)
    anew = [NAME, *_DECIDE_ANEW, *replace_resolvers(spec)]
    if SERVED in config.evaluation.compare_with.values():
        # Known to the cache by its folder, whatever has been pushed there: a
        # blessing from before that would let a worse model replace it.
        anew.append(_EVALUATOR)
    _wire(spec, build)
    steps = spec["root"]["dag"]["tasks"]
    unknown = set(config.kubeflow.steps) - set(steps)
    if unknown:
        raise CompileError(
            f"`kubeflow.steps` names {', '.join(sorted(unknown))}, but the "
            f"steps are {', '.join(sorted(steps))}."
        )
    for step in steps:
        finish_step(spec, step, config, vertex=vertex)
    # What decides anew in every run must never be taken from the cache.
    for step in anew:
        steps[step].pop("cachingOptions", None)
    return build.job


def _defaults(spec: Json, build: Build) -> None:
    """Writes the defaults of the runtime parameters."""
    inputs = spec["root"]["inputDefinitions"]["parameters"]
    for parameter in build.parameters:
        inputs[parameter.name]["defaultValue"] = parameter.default
        inputs[parameter.name]["isOptional"] = True
    build.job["runtimeConfig"]["parameterValues"] = {
        parameter.name: parameter.default for parameter in build.parameters
    }


def _wire(spec: Json, build: Build) -> None:
    """Connects the steps' parameters with the outputs of ResolveRun."""
    tasks, components = spec["root"]["dag"]["tasks"], spec["components"]
    definitions = components[NAME]["outputDefinitions"]
    definitions["parameters"] = {
        output_name(*where): {"parameterType": _TYPES[kind]}
        for where, kind in build.dynamic.items()
    }
    for step, parameter in build.dynamic:
        tasks[step]["inputs"]["parameters"][parameter] = {
            "taskOutputParameter": {
                "producerTask": NAME,
                "outputParameterKey": output_name(step, parameter),
            }
        }
        _depend(tasks[step], NAME)
    for task in tasks.values():
        for source in task.get("inputs", {}).get("parameters", {}).values():
            _mend_producer(source, tasks)


def _mend_producer(source: Json, tasks: dict[str, Any]) -> None:
    """TFX adds `_task` to the name of a producer, and no task has it."""
    output = source.get("taskOutputParameter")
    if output and output["producerTask"] not in tasks:
        output["producerTask"] = output["producerTask"].removesuffix("_task")


def _depend(task: Json, on: str) -> None:
    task["dependentTasks"] = sorted({*task.get("dependentTasks", ()), on})
