"""Beam: ranks the shards that are not there yet, each by one worker."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import apache_beam as beam
import tensorflow as tf
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions

from components.batch_scoring.shards import Job, output_of, write_shard
from components.beam_flush import flush_when_full_only
from components.file_digests import files_digest
from serving import custom_ops, version_folders
from serving.signatures import RECOMMEND

# Of the histories' digest, for people who compare two in a message.
_DIGITS = 16


@dataclasses.dataclass(frozen=True)
class Progress:
    """How many shards there are and were there already."""

    shards: int
    skipped: int


class WriteShard(beam.DoFn):
    """Ranks the users of a file with the exported model."""

    def __init__(self, output: str, job: Job) -> None:
        self._output = output
        self._job = job

    def setup(self) -> None:
        custom_ops.register(self._job.model)
        self._model = tf.saved_model.load(self._job.model)
        self._recommend = self._model.signatures[RECOMMEND]

    def process(self, shard: str) -> Iterator[int]:
        # An engine may give a shard again after a failure elsewhere.
        if not FileSystems.exists(output_of(shard, self._output)):
            yield write_shard(shard, self._output, self._job, self._recommend)


def write_shards(
    pipeline: beam.Pipeline, shards: Sequence[str], output: str, job: Job
) -> beam.PCollection:
    """Ranks the users of files of histories, each file by one worker.

    Args:
        pipeline: takes the steps.
        shards: files of histories.
        output: folder of the Parquet files.
        job: model and settings.

    Returns:
        Users of each file that was written.
    """
    return (
        pipeline
        | "Shards" >> beam.Create(shards)
        | "Spread" >> beam.Reshuffle()
        | "Write" >> beam.ParDo(WriteShard(output, job))
    )


def score(
    pattern: str, output: str, job: Job, beam_arguments: Sequence[str]
) -> Progress:
    """Writes the best items of all users, shard by shard.

    A shard whose Parquet file is there is not computed again, so a job that
    was stopped goes on with the same call.

    Args:
        pattern: of the files of histories, as HistoryExampleGen writes them.
        output: folder of the Parquet files, one per file of histories.
        job: model and settings.
        beam_arguments: Beam's own, such as --runner=FlinkRunner.

    Raises:
        FileNotFoundError: no file fits the pattern, or there is no model.
        ValueError: two files have the same name, in different folders.
        JobError: `output` holds the shards of another job: another model,
            other settings, or other or newer files of histories.
        MissingOpsError: the model needs a package that is missing.
    """
    # Here, before the first shard, and again where the shards are.
    custom_ops.register(job.model)
    options = PipelineOptions(list(beam_arguments))
    FileSystems.set_options(options)
    files = sorted(
        FileSystems.match([pattern])[0].metadata_list,
        key=lambda file: file.path,
    )
    found = [file.path for file in files]
    if not found:
        raise FileNotFoundError(f"No file of histories fits {pattern}.")
    _check_names(found, output)
    _check_model(job.model)
    folder, _ = FileSystems.split(pattern)
    job.claim(output, files_digest(files, folder)[:_DIGITS])
    todo = [s for s in found if not FileSystems.exists(output_of(s, output))]
    if todo:
        flush_when_full_only()
        with beam.Pipeline(options=options) as pipeline:
            write_shards(pipeline, todo, output, job)
    return Progress(len(found), len(found) - len(todo))


def _check_names(files: Sequence[str], output: str) -> None:
    """Raises ValueError where one result would take the place of another."""
    sources: dict[str, str] = {}
    for file in files:
        other = sources.setdefault(output_of(file, output), file)
        if other != file:
            raise ValueError(
                f"{other} and {file} have the same name, so their rankings "
                f"would be one file in {output}. Fix: score the folders one "
                "by one, each with an output of its own."
            )


def _check_model(folder: str) -> None:
    """Raises FileNotFoundError before a folder is claimed for no model."""
    if version_folders.is_complete(folder):
        return
    newest = version_folders.newest(folder)
    example = f", such as {newest}" if newest else ""
    raise FileNotFoundError(
        f"There is no SavedModel in {folder}. Fix: give the folder of a "
        f"version{example}."
    )
