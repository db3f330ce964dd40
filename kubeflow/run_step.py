"""What a container of a step runs.

python -m kubeflow.run_step --executor_class_path CLASS
    --json_serialized_invocation_args JSON
    --json_serialized_inputs_spec_args JSON [Beam arguments]

TFX's own entry point with what it needs to run on the open-source backend:

- That backend hands over input artifacts without their types, and TFX 1.16
  stops at the first ("local variable 'title' referenced before assignment").
  The types are in the specification of the inputs.
- A retried attempt writes to the same URIs as the one before. What a killed
  attempt has left there is removed first, so that no half-written file is
  ever read.
- An artifact that stands for "there is none yet" (kubeflow.served_model) is
  taken out, as a resolver would give none.
- s3:// is made known to TensorFlow where it is used.
- Arguments for Beam are never taken for abbreviations of TFX's own.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator, Sequence

from tfx.dsl.io import fileio

from kubeflow.object_store import prepare_s3
from kubeflow.spec import MISSING, Json
from serving.file_systems import leave

# The artifacts of single values are files, all others folders.
_FILES = tuple(
    f"title: tfx.{name}"
    for name in ("String", "Integer", "Float", "Boolean", "JsonValue")
)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one step and returns the exit code; errors are raised."""
    arguments, beam_arguments = _parse(argv)
    invocation: Json = json.loads(arguments.json_serialized_invocation_args)
    inputs_spec: Json = json.loads(arguments.json_serialized_inputs_spec_args)
    prepare_s3(arguments.json_serialized_invocation_args)
    give_types(invocation, inputs_spec)
    drop_missing(invocation)
    for uri, is_file in outputs(invocation):
        prepare(uri, is_file)
    # Late: it loads TensorFlow, which must know s3:// by then.
    from tfx.orchestration.kubeflow.v2.container import (
        kubeflow_v2_run_executor as tfx_entry_point,
    )

    arguments.json_serialized_invocation_args = json.dumps(invocation)
    tfx_entry_point.main((arguments, beam_arguments))
    return 0


def _parse(
    argv: Sequence[str] | None,
) -> tuple[argparse.Namespace, list[str]]:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    for name in (
        "--executor_class_path",
        "--json_serialized_invocation_args",
        "--json_serialized_inputs_spec_args",
    ):
        parser.add_argument(name, required=True)
    return parser.parse_known_args(argv)


def give_types(invocation: Json, inputs_spec: Json) -> None:
    """Writes the types of input artifacts where the backend left them out.

    Args:
        invocation: ExecutorInput as JSON, changed in place.
        inputs_spec: ComponentInputsSpec as JSON.
    """
    known = inputs_spec.get("artifacts", {})
    for name, artifact in _artifacts(invocation, "inputs"):
        if not artifact.get("type"):
            artifact["type"] = known[name]["artifactType"]


def drop_missing(invocation: Json) -> None:
    """Takes out input artifacts that are marked as missing."""
    lists = invocation.get("inputs", {}).get("artifacts", {})
    for entry in lists.values():
        entry["artifacts"] = [
            artifact
            for artifact in entry.get("artifacts", ())
            if not artifact.get("metadata", {}).get(MISSING)
        ]


def outputs(invocation: Json) -> Iterator[tuple[str, bool]]:
    """Yields the URIs that the step writes to, and whether each is a file."""
    for _, artifact in _artifacts(invocation, "outputs"):
        schema = artifact["type"].get("instanceSchema", "")
        yield artifact["uri"], schema.split("\n")[0] in _FILES


def prepare(uri: str, is_file: bool) -> None:
    """Removes what an earlier attempt has left at a URI.

    Where folders exist (not in object stores) makes the one to write to, as
    TFX's own drivers do.
    """
    if fileio.exists(uri):
        if fileio.isdir(uri):
            fileio.rmtree(uri)
        else:
            fileio.remove(uri)
    if "://" not in uri:
        fileio.makedirs(os.path.dirname(uri) if is_file else uri)


def _artifacts(invocation: Json, side: str) -> Iterator[tuple[str, Json]]:
    lists = invocation.get(side, {}).get("artifacts", {})
    for name, entry in lists.items():
        for artifact in entry.get("artifacts", ()):
            yield name, artifact


if __name__ == "__main__":
    leave(main())
