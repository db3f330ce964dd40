"""Executor of GraphBuilder: histories to edges in Beam, then two graphs."""

from __future__ import annotations

from typing import Any

from tfx import types
from tfx.types import artifact_utils
from tfx.utils import io_utils

from components.beam_executor import BeamExecutor
from components.graph_builder.build import build_graphs
from components.graph_builder.config import GraphConfig
from components.histories import SPLIT
from components.splits import SplitConfig
from models.settings import from_json


class Executor(BeamExecutor):
    """Writes one graph per fit period."""

    def Do(  # noqa: N802
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Reads transformed examples and writes the graphs.

        Args:
            input_dict: `examples` (transformed) and `transform_graph`.
            output_dict: `graph`.
            exec_properties: `config` and `split_config` as JSON.
        """
        self._log_startup(input_dict, output_dict, exec_properties)
        examples = artifact_utils.get_split_uri(input_dict["examples"], SPLIT)
        with self._make_beam_pipeline() as pipeline:
            build_graphs(
                pipeline,
                io_utils.all_files_pattern(examples),
                artifact_utils.get_single_uri(input_dict["transform_graph"]),
                artifact_utils.get_single_uri(output_dict["graph"]),
                from_json(GraphConfig, exec_properties["config"]),
                from_json(SplitConfig, exec_properties["split_config"]),
            )
