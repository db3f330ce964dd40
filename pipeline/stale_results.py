"""Which steps run though the cache has a result for their inputs.

A few results are more than a matter of what the cache knows them by: the
schema is known by its path, what a server did not manage in time on a busy
machine it may manage now, and whether there is something to push depends on
what lies where servers look.
"""

from __future__ import annotations

import os
from pathlib import Path

from tfx.components.schema_gen.executor import DEFAULT_FILE_NAME
from tfx.dsl.io import fileio
from tfx.proto.orchestration import pipeline_pb2
from tfx.utils import path_utils

from components.pusher.executor import standing_version
from pipeline.paths import RunPaths
from pipeline.run_records import (
    Artifact,
    newest_outputs,
    outputs_made_from,
    read_newest_run,
)
from serving import version_folders


class StaleResults:
    """Looks at a step when all before it in this run are done.

    Args:
        paths: of the pipeline.
        name: of the pipeline.
    """

    def __init__(self, paths: RunPaths, name: str) -> None:
        self._paths = paths
        self._name = name

    def may_be_of(self, node: pipeline_pb2.PipelineNode) -> bool:
        """Whether the cache must not answer for this step."""
        decide = {
            "ImportSchemaGen": self._schema_was_edited,
            "ServingValidator": self._was_refused,
            "Pusher": self._push_is_due,
        }.get(node.node_info.id)
        return decide is not None and decide(node)

    def _schema_was_edited(self, node: pipeline_pb2.PipelineNode) -> bool:
        """Whether the file differs from what was imported last."""
        imported = newest_outputs(
            str(self._paths.metadata), self._name, node.node_info.id
        ).get("schema")
        file = node.parameters.parameters["schema_file"]
        path = Path(file.field_value.string_value)
        if imported is None or not path.is_file():
            return False
        copy = os.path.join(imported.uri, DEFAULT_FILE_NAME)
        if not fileio.exists(copy):
            return True
        with fileio.open(copy, "rb") as stream:
            return bool(stream.read() != path.read_bytes())

    def _was_refused(self, _: pipeline_pb2.PipelineNode) -> bool:
        """Whether this run's model last failed behind a server."""
        model = self._outputs("ModelCardWriter").get("described_model")
        if model is None:
            return False
        blessing = outputs_made_from(
            str(self._paths.metadata), self._name, "ServingValidator", model.uri
        ).get("blessing")
        return blessing is not None and not blessing.properties.get("blessed")

    def _push_is_due(self, _: pipeline_pb2.PipelineNode) -> bool:
        """Whether this run's model is to be served and is not.

        One that has been pushed before is taken from the cache, though
        another one may have been pushed since.
        """
        serving = str(self._paths.serving)
        if version_folders.newest(serving) is None:
            return True
        blessing = self._outputs("ServingValidator").get("blessing")
        if blessing is None or not blessing.properties.get("blessed"):
            return False
        model = path_utils.stamped_model_path(blessing.uri)
        return fileio.exists(model) and (
            standing_version(model, serving) is None
        )

    def _outputs(self, node_id: str) -> dict[str, Artifact]:
        """Outputs of a step in this run; before its first step, the last's."""
        if not self._paths.metadata.exists():
            return {}
        try:
            run = read_newest_run(str(self._paths.metadata), self._name)
        except LookupError:
            return {}
        node = run.nodes.get(node_id)
        return node.outputs if node else {}
