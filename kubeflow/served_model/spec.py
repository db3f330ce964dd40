"""Puts a component of our own in the place of TFX's resolvers."""

from __future__ import annotations

import json

from kubeflow.errors import CompileError
from kubeflow.parameters import PUSH_TARGET
from kubeflow.spec import ENTRY_POINT, Json

EXECUTOR = "kubeflow.served_model.executor.Executor"
SERVING_DIR = "serving_dir"
_KNOWN = ("tfx.Model", "tfx.ModelBlessing")


def replace_resolvers(spec: Json) -> list[str]:
    """Replaces every resolver of the specification in place.

    The open-source backend has none. A resolver of this pipeline asks for the
    newest (blessed) model: that is the newest version in the folder that
    models are pushed to, for only blessed ones are pushed.

    Returns:
        The tasks that were resolvers. What is served changes without any
        input of theirs changing, so they must not be cached.

    Raises:
        CompileError: a resolver of something else than models.
    """
    executors = spec["deploymentSpec"]["executors"]
    replaced = []
    for step, task in spec["root"]["dag"]["tasks"].items():
        name = task["componentRef"]["name"]
        component = spec["components"][name]
        executor = executors[component["executorLabel"]]
        if "resolver" not in executor:
            continue
        for output in component["outputDefinitions"]["artifacts"].values():
            schema = output["artifactType"]["instanceSchema"]
            if not schema.startswith(tuple(f"title: {n}\n" for n in _KNOWN)):
                raise CompileError(
                    f"{name}: a resolver of {schema.splitlines()[0]}. The "
                    "open-source backend has no resolvers, and only models "
                    "can be found where they are served. Fix: a component "
                    "that finds it."
                )
        component["inputDefinitions"] = {
            "parameters": {SERVING_DIR: {"parameterType": "STRING"}}
        }
        task["inputs"] = {
            "parameters": {
                SERVING_DIR: {"componentInputParameter": PUSH_TARGET}
            }
        }
        del executor["resolver"]
        executor["container"] = _container(spec, component)
        replaced.append(step)
    return replaced


def _container(spec: Json, component: Json) -> Json:
    """The container of another step, with our executor."""
    image = next(
        e["container"]["image"]
        for e in spec["deploymentSpec"]["executors"].values()
        if "container" in e
    )
    return {
        "image": image,
        "command": list(ENTRY_POINT),
        "args": [
            "--executor_class_path",
            EXECUTOR,
            "--json_serialized_invocation_args",
            "{{$}}",
            "--json_serialized_inputs_spec_args",
            json.dumps(component["inputDefinitions"], sort_keys=True),
        ],
    }
