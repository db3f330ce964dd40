"""LocalDagRunner that says where it is, and what went wrong, in few words."""

from __future__ import annotations

import datetime
import logging
import sys
import time
from typing import TextIO

from tfx.dsl.compiler import constants
from tfx.orchestration.local import local_dag_runner
from tfx.orchestration.portable import runtime_parameter_utils
from tfx.proto.orchestration import pipeline_pb2

from pipeline import console, summary_writer
from pipeline.config import PipelineConfig
from pipeline.paths import RunPaths
from pipeline.run_lock import run_lock
from pipeline.run_records import read_newest_run
from pipeline.stale_results import StaleResults

logger = logging.getLogger(__name__)


class ComponentError(RuntimeError):
    """A component failed; the message is the component's own."""


class ReportingRunner(local_dag_runner.LocalDagRunner):
    """Runs a pipeline under a lock, reports progress, writes the summary.

    Only `run_with_ir` differs from the parent: the tfx CLI replaces `run` of
    the parent while it looks at the pipeline, and then nothing here happens.
    """

    def __init__(
        self, config: PipelineConfig, out: TextIO | None = None
    ) -> None:
        super().__init__()
        self._config = config
        self._paths = RunPaths.of(config)
        self._out = out or sys.stdout

    def run_with_ir(
        self,
        pipeline: pipeline_pb2.Pipeline,
        run_options: pipeline_pb2.RunOptions | None = None,
    ) -> None:
        """Runs all components and prints a line after each.

        Raises:
            AlreadyRunning: another process runs this pipeline.
            ComponentError: in the component's own words; the traceback is
                in the run's log.
            ValueError: `run_options` ask for a part of the pipeline.
        """
        if run_options:
            raise ValueError(
                "Partial runs are not supported: unchanged components are "
                "taken from the cache anyway."
            )
        # One id for all components, which are handed to the parent one by
        # one: its own loop tells nobody where it is.
        runtime_parameter_utils.substitute_runtime_parameter(
            pipeline,
            {
                constants.PIPELINE_RUN_ID_PARAMETER_NAME: (
                    datetime.datetime.now().isoformat()
                )
            },
        )
        with run_lock(self._paths.lock), console.logging_to(self._paths.log):
            stale = StaleResults(self._paths, self._config.name)
            for number, node in enumerate(pipeline.nodes, 1):
                node_id = node.pipeline_node.node_info.id
                if stale.may_be_of(node.pipeline_node):
                    options = node.pipeline_node.execution_options
                    options.caching_options.enable_cache = False
                place = f"[{number}/{len(pipeline.nodes)}] {node_id:<24}"
                self._run_node(pipeline, node_id, place)
            summary_writer.write_summary(self._config)

    def _run_node(
        self, pipeline: pipeline_pb2.Pipeline, node_id: str, place: str
    ) -> None:
        started = time.monotonic()
        # Transform turns TFX's log down for everything after it.
        logging.getLogger("absl").setLevel(logging.INFO)
        try:
            super().run_with_ir(_only(pipeline, node_id))
        except Exception as error:
            seconds = time.monotonic() - started
            logger.debug("%s failed", node_id, exc_info=True)
            self._print(f"{place}    FAILED")
            raise ComponentError(
                f"{node_id} failed after {seconds:.1f} s: "
                f"{console.last_words(error)}\n"
                f"Log with traceback: {self._paths.log}"
            ) from error
        seconds = time.monotonic() - started
        run = read_newest_run(str(self._paths.metadata), self._config.name)
        cached = run.nodes[node_id].state == "cached"
        self._print(place + ("   cached" if cached else f"{seconds:7.1f} s"))

    def _print(self, line: str) -> None:
        print(line, file=self._out, flush=True)


def _only(
    pipeline: pipeline_pb2.Pipeline, node_id: str
) -> pipeline_pb2.Pipeline:
    """Returns a copy of the pipeline with all other nodes marked to skip."""
    copy = pipeline_pb2.Pipeline()
    copy.CopyFrom(pipeline)
    for node in copy.nodes:
        if node.pipeline_node.node_info.id != node_id:
            node.pipeline_node.execution_options.skip.SetInParent()
    return copy
