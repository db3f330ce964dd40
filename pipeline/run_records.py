"""Reads from ML Metadata what runs of a pipeline did."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

from ml_metadata import metadata_store
from ml_metadata.proto import metadata_store_pb2


@dataclasses.dataclass(frozen=True)
class Artifact:
    """An output: its place and the properties its component gave it."""

    uri: str
    properties: dict[str, int | float | str]


@dataclasses.dataclass(frozen=True)
class NodeRecord:
    """What one component did in a run.

    Attributes:
        state: "complete", "cached", "failed" or another state's name.
        seconds: from its start to its last record.
        outputs: first artifact of every output.
    """

    state: str
    seconds: float
    outputs: dict[str, Artifact]


@dataclasses.dataclass(frozen=True)
class RunRecord:
    """One run: nodes by component id, in the order they ran."""

    run_id: str
    seconds: float
    nodes: dict[str, NodeRecord]


def newest_outputs(
    metadata_file: str, pipeline_name: str, node: str
) -> dict[str, Artifact]:
    """What a node gave out when it last did, in whichever run.

    Args:
        metadata_file: SQLite file of ML Metadata.
        pipeline_name: as in the pipeline's settings.
        node: component id.

    Returns:
        First artifact of every output; empty where it has not run yet.
    """
    store = _open(metadata_file)
    context = store.get_context_by_type_and_name(
        "node", f"{pipeline_name}.{node}"
    )
    if context is None:
        return {}
    return _newest_outputs(store, store.get_executions_by_context(context.id))


def outputs_made_from(
    metadata_file: str,
    pipeline_name: str,
    node: str,
    *uris: str,
    parameters: Mapping[str, metadata_store_pb2.Value] | None = None,
) -> dict[str, Artifact]:
    """What a node made of artifacts when it last did, in whichever run.

    Args:
        metadata_file: SQLite file of ML Metadata.
        pipeline_name: as in the pipeline's settings.
        node: component id.
        uris: of artifacts that it takes, all of them together.
        parameters: name to value, of those that it was to have; None where
            any will do.

    Returns:
        First artifact of every output; empty where it has made nothing of
        them.
    """
    store = _open(metadata_file)
    takers = [_executions_that_took(store, uri) for uri in uris]
    executions = sorted(set.intersection(*takers))
    return _newest_outputs(
        store,
        [
            execution
            for execution in store.get_executions_by_id(executions)
            if _node_id(store, execution, pipeline_name) == node
            and _had(execution, parameters or {})
        ],
    )


def read_newest_run(metadata_file: str, pipeline_name: str) -> RunRecord:
    """Reads the newest run of a pipeline.

    Args:
        metadata_file: SQLite file of ML Metadata.
        pipeline_name: as in the pipeline's settings.

    Raises:
        LookupError: there is no run yet.
    """
    store = _open(metadata_file)
    runs = store.get_contexts_by_type("pipeline_run")
    if not runs:
        raise LookupError(
            f"No run of {pipeline_name} in {metadata_file}. Fix: make run"
        )
    run = max(runs, key=lambda context: context.id)
    executions = sorted(
        store.get_executions_by_context(run.id), key=lambda e: e.id
    )
    nodes = {
        _node_id(store, execution, pipeline_name): NodeRecord(
            state=metadata_store_pb2.Execution.State.Name(
                execution.last_known_state
            ).lower(),
            seconds=_seconds(execution, execution),
            outputs=_outputs(store, execution.id),
        )
        for execution in executions
    }
    total = _seconds(executions[0], executions[-1]) if executions else 0.0
    return RunRecord(run.name, total, nodes)


def _executions_that_took(
    store: metadata_store.MetadataStore, uri: str
) -> set[int]:
    """Ids of those with this artifact among their inputs."""
    taken = [artifact.id for artifact in store.get_artifacts_by_uri(uri)]
    return {
        event.execution_id
        for event in store.get_events_by_artifact_ids(taken)
        if event.type == metadata_store_pb2.Event.INPUT
    }


def _had(
    execution: metadata_store_pb2.Execution,
    parameters: Mapping[str, metadata_store_pb2.Value],
) -> bool:
    """Whether these were among its parameters, with these values."""
    # TFX puts them with either, by whether it has them in the type.
    found = {**execution.properties, **execution.custom_properties}
    return all(found.get(name) == value for name, value in parameters.items())


def _open(metadata_file: str) -> metadata_store.MetadataStore:
    connection = metadata_store_pb2.ConnectionConfig()
    connection.sqlite.filename_uri = metadata_file
    connection.sqlite.connection_mode = (
        metadata_store_pb2.SqliteMetadataSourceConfig.READWRITE_OPENCREATE
    )
    return metadata_store.MetadataStore(connection)


def _seconds(
    first: metadata_store_pb2.Execution, last: metadata_store_pb2.Execution
) -> float:
    spent = last.last_update_time_since_epoch - first.create_time_since_epoch
    return round(max(spent, 0) / 1000, 3)


def _node_id(
    store: metadata_store.MetadataStore,
    execution: metadata_store_pb2.Execution,
    pipeline_name: str,
) -> str:
    for context in store.get_contexts_by_execution(execution.id):
        if context.type == "node":
            return context.name.removeprefix(f"{pipeline_name}.")
    return execution.name or execution.type


def _newest_outputs(
    store: metadata_store.MetadataStore,
    executions: Iterable[metadata_store_pb2.Execution],
) -> dict[str, Artifact]:
    """Outputs of the newest execution that has any; a failed one has none."""
    newest = sorted((execution.id for execution in executions), reverse=True)
    return next(filter(None, (_outputs(store, n) for n in newest)), {})


def _outputs(
    store: metadata_store.MetadataStore, execution_id: int
) -> dict[str, Artifact]:
    """Returns the first artifact of every output, cached ones included."""
    keys: dict[int, str] = {}
    for event in store.get_events_by_execution_ids([execution_id]):
        if event.type == metadata_store_pb2.Event.OUTPUT:
            keys[event.artifact_id] = event.path.steps[0].key
    outputs: dict[str, Artifact] = {}
    for artifact in store.get_artifacts_by_id(sorted(keys)):
        properties = {
            name: getattr(value, value.WhichOneof("value"))
            for name, value in artifact.custom_properties.items()
            if value.WhichOneof("value") in _PLAIN_VALUES
        }
        outputs.setdefault(
            keys[artifact.id], Artifact(artifact.uri, properties)
        )
    return outputs


_PLAIN_VALUES = ("int_value", "double_value", "string_value", "bool_value")
