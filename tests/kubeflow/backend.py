"""Kubeflow's open-source backend, as far as a pipeline of ours can tell.

Does to a compiled pipeline what the backend's driver and launcher do: resolves
the inputs of a task, makes up URIs and identities of its outputs, hands both
over as an ExecutorInput in the place of `{{$}}`, runs the container's command
and keeps what it reports. Like the backend, and unlike TFX's own tests, it
keeps no type of an artifact and only the kinds of metadata that its ML
Metadata client can write. A bucket is a folder of this machine.
"""

import copy
import dataclasses
import hashlib
import importlib
import itertools
import json
import os
import shlex
import subprocess
import sys

import yaml
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2

from pipeline.config import REPOSITORY

BUCKET = "s3://bucket"


class StepFailed(RuntimeError):
    """All attempts of a step have failed."""


@dataclasses.dataclass
class Task:
    """What is known of a task that has run."""

    artifacts: dict
    parameters: dict
    cached: bool
    attempts: int = 1


class Backend:
    """Keeps artifacts and the cache over several runs.

    Args:
        bucket: folder that stands for the bucket `s3://bucket`.
        execute: what runs a container; (command, args, environment) -> None.
    """

    def __init__(self, bucket, execute=None):
        self.bucket = bucket
        self.execute = execute or in_process
        self._ids = itertools.count(1)
        self._runs = itertools.count(1)
        self._cache = {}

    def run(self, text, until=None, **parameters):
        """Runs a pipeline and returns its tasks by name.

        Args:
            text: the compiled YAML.
            until: the last task to run, all of them where it is None.
            **parameters: of this run.
        """
        spec = next(yaml.safe_load_all(text))
        given = {
            name: parameters.pop(name, definition["defaultValue"])
            for name, definition in spec["root"]["inputDefinitions"][
                "parameters"
            ].items()
        }
        assert not parameters, f"no such parameter: {parameters}"
        root = (
            f"{spec['defaultPipelineRoot']}/{spec['pipelineInfo']['name']}/"
            f"run-{next(self._runs)}"
        )
        done = {}
        for name in order(spec["root"]["dag"]["tasks"]):
            done[name] = self._run_task(spec, name, given, done, root)
            if name == until:
                break
        return done

    def _run_task(self, spec, name, given, done, root):
        task = spec["root"]["dag"]["tasks"][name]
        component = spec["components"][task["componentRef"]["name"]]
        container = spec["deploymentSpec"]["executors"][
            component["executorLabel"]
        ]["container"]
        inputs = resolve(task.get("inputs", {}), component, given, done)
        key = cache_key(container, inputs, component)
        caches = task.get("cachingOptions", {}).get("enableCache", False)
        if caches and key in self._cache:
            return dataclasses.replace(self._cache[key], cached=True)
        outputs = component.get("outputDefinitions", {})
        output_file = os.path.join(
            str(self.bucket), "pods", f"{next(self._ids)}", "output.json"
        )
        request = {
            "inputs": inputs,
            "outputs": {
                "artifacts": {
                    output: {
                        "artifacts": [
                            {
                                "uri": f"{root}/{name}/{output}",
                                "type": definition["artifactType"],
                                "metadata": definition.get("metadata", {}),
                            }
                        ]
                    }
                    for output, definition in outputs.get(
                        "artifacts", {}
                    ).items()
                },
                "parameters": {
                    parameter: {"outputFile": f"{output_file}.{parameter}"}
                    for parameter in outputs.get("parameters", {})
                },
                "outputFile": output_file,
            },
        }
        attempts = self._attempts(task, container, request)
        found = self._collect(request, output_file)
        found.attempts = attempts
        self._cache[key] = found
        return found

    def _attempts(self, task, container, request):
        """Runs the container until it succeeds; every pod is a new one."""
        text = self._local(json.dumps(request))
        # The message is what the launcher reads: nothing else may be in it.
        json_format.Parse(text, pipeline_spec_pb2.ExecutorInput())
        args = [
            text if arg == "{{$}}" else self._local(arg)
            for arg in container["args"]
        ]
        environment = {e["name"]: e["value"] for e in container["env"]}
        most = task["retryPolicy"]["maxRetryCount"] + 1
        for attempt in range(1, most + 1):
            try:
                self.execute(container["command"], args, environment)
                return attempt
            except Exception as error:
                if attempt == most:
                    name = task["taskInfo"]["name"]
                    raise StepFailed(f"{name}: {error}") from error
        raise AssertionError("unreachable")

    def _collect(self, request, output_file):
        with open(output_file) as file:
            reported = json.load(file)
        json_format.ParseDict(reported, pipeline_spec_pb2.ExecutorOutput())
        artifacts = {}
        for name, entry in request["outputs"]["artifacts"].items():
            artifact = entry["artifacts"][0]
            own = reported.get("artifacts", {}).get(name, {"artifacts": [{}]})
            own = own["artifacts"][0]
            metadata = {**artifact["metadata"], **own.get("metadata", {})}
            artifacts[name] = {
                "name": str(next(self._ids)),
                "uri": own.get("uri", self._local(artifact["uri"])),
                "metadata": {
                    "display_name": name,
                    "store_session_info": "{}",
                    **{k: stored(v) for k, v in metadata.items()},
                },
            }
        return Task(artifacts, reported.get("parameterValues", {}), False)

    def _local(self, text):
        return text.replace(BUCKET, str(self.bucket))


def resolve(spec, component, given, done):
    """Inputs of a task: from the run's parameters and the tasks before it."""
    parameters, artifacts = {}, {}
    for name, source in spec.get("parameters", {}).items():
        if "runtimeValue" in source:
            parameters[name] = source["runtimeValue"]["constant"]
        elif "componentInputParameter" in source:
            parameters[name] = given[source["componentInputParameter"]]
        else:
            output = source["taskOutputParameter"]
            parameters[name] = done[output["producerTask"]].parameters[
                output["outputParameterKey"]
            ]
    for name, source in spec.get("artifacts", {}).items():
        output = source["taskOutputArtifact"]
        artifact = done[output["producerTask"]].artifacts[
            output["outputArtifactKey"]
        ]
        artifacts[name] = {"artifacts": [copy.deepcopy(artifact)]}
    declared = component.get("inputDefinitions", {})
    assert set(parameters) == set(declared.get("parameters", {}))
    assert set(artifacts) == set(declared.get("artifacts", {}))
    return {"parameterValues": parameters, "artifacts": artifacts}


def stored(value):
    """A value of metadata after it has been in ML Metadata.

    Numbers become floating-point, truth values numbers, lists and mappings
    lie in a mapping of one key; there is no null.
    """
    if isinstance(value, bool):
        return float(value)
    if isinstance(value, int | float):
        return float(value)
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return {"list": value}
    if isinstance(value, dict):
        return {"struct": value}
    raise AssertionError(f"ML Metadata cannot hold {value!r}")


def cache_key(container, inputs, component):
    """Inputs, outputs and container of a task decide about its cache."""
    content = {
        "container": [
            container[k] for k in ("image", "command", "args", "env")
        ],
        "parameters": inputs["parameterValues"],
        "artifacts": {
            name: [artifact["name"] for artifact in entry["artifacts"]]
            for name, entry in inputs["artifacts"].items()
        },
        "outputs": component.get("outputDefinitions", {}),
    }
    text = json.dumps(content, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def order(tasks):
    """Task names, each after those that it depends on."""
    left, found = dict(tasks), []
    while left:
        ready = [
            name
            for name, task in left.items()
            if not set(task.get("dependentTasks", ())) & set(left)
        ]
        assert ready, f"tasks in a circle: {sorted(left)}"
        for name in sorted(ready):
            found.append(name)
            del left[name]
    return found


def in_process(command, args, environment):
    """Calls the entry point's main here, for TFX takes long to load."""
    place = command.index("-m")
    assert command[place - 1] == "python" and place + 2 == len(command)
    assert environment["TF_USE_LEGACY_KERAS"] == "1"
    assert importlib.import_module(command[place + 1]).main(args) == 0


def in_a_process(command, args, environment):
    """Runs the command as a pod does, in a process of its own."""
    path = os.pathsep.join(
        [os.path.dirname(sys.executable), os.environ["PATH"]]
    )
    result = subprocess.run(
        [*command, *args],
        cwd=REPOSITORY,
        env={**os.environ, **environment, "PATH": path},
        capture_output=True,
        text=True,
    )
    if result.returncode:
        raise RuntimeError(f"{result.returncode}: {result.stderr[-2000:]}")


def in_a_container(prefix):
    """Runs commands in an image, by what stands before them.

    Args:
        prefix: as `docker run --rm --network host -v /tmp:/tmp IMAGE`. Folders
            of pods must be where they are here.
    """

    def execute(command, args, environment):
        variables = [f"{name}={value}" for name, value in environment.items()]
        result = subprocess.run(
            [*shlex.split(prefix), "env", *variables, *command, *args],
            capture_output=True,
            text=True,
        )
        if result.returncode:
            raise RuntimeError(f"{result.returncode}: {result.stderr[-2000:]}")

    return execute
