"""Which steps run though the cache has a result for their inputs.

A few results are more than a matter of what the cache knows them by: the
schema is known by its path, what is served by the folder that it lies in, what
a server did not manage in time on a busy machine it may manage now, and whether
there is something to push depends on what lies where servers look.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ml_metadata.proto import metadata_store_pb2
from tfx.components.schema_gen.executor import DEFAULT_FILE_NAME
from tfx.dsl.io import fileio
from tfx.proto.orchestration import pipeline_pb2
from tfx.utils import path_utils

from components.artifact_files import METRICS_FILE
from components.pusher.executor import standing_version
from components.ranking_evaluator.compared import is_pushed
from components.ranking_evaluator.config import SERVED, EvaluationConfig
from models.settings import from_json
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
            "RankingEvaluator": self._served_was_another,
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

    def _served_was_another(self, node: pipeline_pb2.PipelineNode) -> bool:
        """Whether the model was measured beside another one than is served.

        What was pushed since would be replaced by a model that nobody has
        compared with it. Where the model itself is what is served there is
        nothing to replace.
        """
        values = _values(node)
        config = from_json(EvaluationConfig, values["config"].string_value)
        names = [n for n, f in config.compare_with.items() if f == SERVED]
        if not names:
            return False
        newest = version_folders.newest(values["serving_dir"].string_value)
        inputs = self._inputs(node)
        model = path_utils.serving_model_path(inputs["model"])
        if newest is not None and is_pushed(model, newest):
            return False
        # By all that the cache goes by: what was measured last with other
        # settings may be newer than what the cache would answer.
        evaluation = outputs_made_from(
            str(self._paths.metadata),
            self._name,
            node.node_info.id,
            *inputs.values(),
            parameters=values,
        ).get("evaluation")
        if evaluation is None:
            return True
        compared = _compared(evaluation.uri)
        found = {compared.get(n, {}).get("directory") for n in names}
        return found != {newest}

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

    def _inputs(self, node: pipeline_pb2.PipelineNode) -> dict[str, str]:
        """Input to URI, of what the steps before have left in this run."""
        return {
            name: self._outputs(channel.producer_node_query.id)[
                channel.output_key
            ].uri
            for name, spec in node.inputs.inputs.items()
            for channel in spec.channels
        }

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


def _values(
    node: pipeline_pb2.PipelineNode,
) -> dict[str, metadata_store_pb2.Value]:
    """Parameter to value, as ML Metadata keeps it."""
    parameters = node.parameters.parameters
    return {name: value.field_value for name, value in parameters.items()}


def _compared(evaluation: str) -> Mapping[str, Any]:
    """Name of each compared model to facts on it; none where they are gone."""
    path = os.path.join(evaluation, METRICS_FILE)
    if not fileio.exists(path):
        return {}
    with fileio.open(path, "r") as file:
        facts: Mapping[str, Any] = json.loads(file.read())["compared"]
    return facts
