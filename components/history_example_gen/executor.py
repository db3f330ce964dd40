"""The Beam pipeline of HistoryExampleGen."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
from absl import logging
from apache_beam import pvalue
from tfx import types
from tfx.components.example_gen import write_split
from tfx.components.util import examples_utils
from tfx.dsl.io import fileio
from tfx.proto import example_gen_pb2
from tfx.types import artifact_utils

from components.artifact_files import INGEST_FILE
from components.beam_executor import BeamExecutor
from components.histories import SPLIT
from components.history_example_gen import (
    accounts,
    letters,
    rules,
    verdict,
)
from components.history_example_gen.accounts import BlockAccount, BucketAccount
from components.history_example_gen.config import KeepConfig, LogsConfig
from components.history_example_gen.core import KeepCore
from components.history_example_gen.examples import (
    temporary_folder,
    write_bucket,
)
from components.history_example_gen.formats import read_file
from components.history_example_gen.histories import (
    Batch,
    BucketHistories,
    merge_batches,
    split_by_user,
)
from components.history_example_gen.keep import (
    sample_users,
    within_cap,
    without_duplicates,
    without_repeats,
)
from components.history_example_gen.layouts import find_logs
from components.history_example_gen.readers import LogFile, LogsError
from components.history_example_gen.times import KEYS_PER_SECOND
from models.settings import from_json

_BLOCK_BYTES = 16 << 20
_ACCOUNTS = "accounts"


class ReadEvents(beam.DoFn):
    """Reads a log file into columns per bucket of users.

    Yields (bucket, Batch), and a BlockAccount per block as `accounts`. Writes
    the dead letters of the file into its part, see `letters`.
    """

    def __init__(
        self,
        config: LogsConfig,
        letters_folder: str,
        block_bytes: int = _BLOCK_BYTES,
    ):
        self._config = config
        self._letters_folder = letters_folder
        self._block_bytes = block_bytes

    def process(self, log: LogFile) -> Iterator[Any]:
        """Reads `log` block by block."""
        keep = self._config.keep
        with letters.PartWriter(self._letters_folder, log) as part:
            for first_line, block in read_file(
                log, self._config, self._block_bytes
            ):
                part.write(block.bad_rows)
                block = sample_users(
                    block, keep.user_share, keep.user_sample_seed
                )
                yield pvalue.TaggedOutput(
                    _ACCOUNTS,
                    accounts.account_of_block(log, first_line, block),
                )
                yield from split_by_user(
                    block, log.order, first_line, self._config.num_buckets
                )


def merge(
    element: tuple[int, Iterable[Batch]], keep: KeepConfig
) -> tuple[int, tuple[BucketHistories, dict[str, int]]]:
    """The histories of a bucket, and how many events a rule dropped."""
    bucket, batches = element
    histories = merge_batches(batches)
    dropped = {}
    for rule, wanted, mask_of in (
        (rules.DUPLICATE, keep.duplicates == "one", without_duplicates),
        (rules.REPEAT, not keep.consecutive_repeats, without_repeats),
    ):
        if wanted:
            new = mask_of(histories)
            dropped[rule] = int((~new).sum())
            histories = histories.keep(new)
    return bucket, (histories, dropped)


class WriteHistories(beam.DoFn):
    """Writes the file of a bucket and yields its BucketAccount."""

    def __init__(self, config: LogsConfig, folder: str):
        self._config = config
        self._folder = folder

    def process(
        self, element: tuple[int, tuple[BucketHistories, dict[str, int]]]
    ) -> Iterator[BucketAccount]:
        """Caps and serializes the histories of one bucket."""
        bucket, (histories, dropped) = element
        most = self._config.keep.max_user_events
        kept, over = within_cap(histories, most)
        histories = histories.keep(kept)
        keys_per_second = KEYS_PER_SECOND[self._config.time_unit]
        if histories.num_users:
            write_bucket(
                self._folder,
                bucket,
                self._config.num_buckets,
                histories,
                keys_per_second,
            )
        yield accounts.account_of(histories, dropped | over, keys_per_second)


def write_accounts(
    folder: str,
    num_files: int,
    blocks: list[BlockAccount],
    buckets: list[BucketAccount],
) -> None:
    """Writes dead letters and `ingest.json` into `folder`."""
    letters.join_parts(folder, {b.file_order for b in blocks if b.dead})
    ingest = accounts.summarize(num_files, blocks, buckets)
    _write_json(os.path.join(folder, INGEST_FILE), ingest)


class Executor(BeamExecutor):
    """Writes one example per user and accounts for every log row."""

    def Do(  # noqa: N802
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """See `components.history_example_gen.component`.

        Raises:
            LogsError: the logs cannot be read, are empty, or have a larger
                share of unusable rows than allowed.
        """
        self._log_startup(input_dict, output_dict, exec_properties)
        config = from_json(LogsConfig, exec_properties["config"])
        examples = artifact_utils.get_single_instance(output_dict["examples"])
        dead = artifact_utils.get_single_instance(output_dict["dead_letters"])
        examples.split_names = artifact_utils.encode_split_names([SPLIT])
        logs = find_logs(config)
        folder = artifact_utils.get_split_uri([examples], SPLIT)
        temporary = temporary_folder(folder), letters.parts_folder(dead.uri)
        for name in (folder, *temporary):
            fileio.makedirs(name)
        with self._make_beam_pipeline() as pipeline:
            _build(pipeline, config, logs, folder, dead.uri)
        for name in temporary:
            # in an object store a folder went with its last file
            if fileio.exists(name):
                fileio.rmtree(name)
        ingest = _read_json(os.path.join(dead.uri, INGEST_FILE))
        for line in verdict.describe(ingest), *verdict.notes(ingest, config):
            logging.info(line)
            print(line, flush=True)
        _check(ingest, config, dead.uri)
        _set_properties(examples, ingest, exec_properties)


def _build(
    pipeline: beam.Pipeline,
    config: LogsConfig,
    logs: list[LogFile],
    examples_folder: str,
    letters_folder: str,
) -> None:
    read = (
        pipeline
        | "Files" >> beam.Create(logs)
        | "Spread" >> beam.Reshuffle()
        | "Read"
        >> beam.ParDo(ReadEvents(config, letters_folder)).with_outputs(
            _ACCOUNTS, main="batches"
        )
    )
    keep = config.keep
    histories = (
        read.batches
        | "GroupUsers" >> beam.GroupByKey()
        | "Merge" >> beam.Map(merge, keep)
    )
    if max(keep.min_user_events, keep.min_item_events) > 1:
        histories |= "KeepCore" >> KeepCore(
            keep.min_user_events, keep.min_item_events
        )
    written = histories | "WriteHistories" >> beam.ParDo(
        WriteHistories(config, examples_folder)
    )
    _ = (
        pipeline
        | "LettersFolder" >> beam.Create([letters_folder])
        | "WriteAccounts"
        >> beam.Map(
            write_accounts,
            len(logs),
            pvalue.AsList(read[_ACCOUNTS]),
            pvalue.AsList(written),
        )
    )


def _check(ingest: dict[str, Any], config: LogsConfig, folder: str) -> None:
    """Fails where `verdict.check` does, leaving the dead letters behind.

    TFX deletes the output artifacts of a failed execution, so they are
    copied to a folder beside theirs first.
    """
    try:
        verdict.check(ingest, config)
    except LogsError:
        kept = folder.rstrip("/") + "-failed"
        fileio.makedirs(kept)
        for name in (letters.DEAD_LETTERS_FILE, INGEST_FILE):
            fileio.copy(
                os.path.join(folder, name),
                os.path.join(kept, name),
                overwrite=True,
            )
        path = os.path.join(kept, letters.DEAD_LETTERS_FILE)
        verdict.check(ingest, config, path)


def _set_properties(
    examples: types.Artifact,
    ingest: dict[str, Any],
    exec_properties: dict[str, Any],
) -> None:
    examples_utils.set_payload_format(
        examples, example_gen_pb2.PayloadFormat.FORMAT_TF_EXAMPLE
    )
    examples_utils.set_file_format(
        examples,
        write_split.to_file_format_str(
            example_gen_pb2.FileFormat.FORMAT_TFRECORDS_GZIP
        ),
    )
    for name in ("files", "rows", "used", "users", "items"):
        examples.set_int_custom_property(name, ingest[name])
    for name in ("dropped", "dead"):
        examples.set_json_value_custom_property(name, ingest[name])
    examples.set_string_custom_property(
        "input_fingerprint", exec_properties.get("input_fingerprint", "")
    )


def _read_json(path: str) -> dict[str, Any]:
    with fileio.open(path, "r") as stream:
        return json.loads(stream.read())


def _write_json(path: str, content: dict[str, Any]) -> None:
    with fileio.open(path, "w") as stream:
        stream.write(json.dumps(content, indent=2, ensure_ascii=False) + "\n")
