"""What all executors of ours that run Beam have in common."""

from __future__ import annotations

import apache_beam as beam
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions
from tfx.dsl.components.base import base_beam_executor

from components.beam_flush import flush_when_full_only


class BeamExecutor(base_beam_executor.BaseBeamExecutor):
    """A Beam executor that loses nothing and knows its file systems.

    Executors may look at files before they have a pipeline, so Beam's file
    systems get the options of the step (s3://, hdfs://) at once.
    """

    def __init__(
        self,
        context: base_beam_executor.BaseBeamExecutor.Context | None = None,
    ) -> None:
        super().__init__(context)
        FileSystems.set_options(PipelineOptions(self._beam_pipeline_args))

    def _make_beam_pipeline(self) -> beam.Pipeline:
        flush_when_full_only()
        return super()._make_beam_pipeline()
