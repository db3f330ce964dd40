"""The Beam pipeline of HistoryExampleGen."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
import pyarrow as pa
from absl import logging
from apache_beam import pvalue
from tfx import types
from tfx.components.example_gen import write_split
from tfx.components.util import examples_utils
from tfx.dsl.components.base import base_beam_executor
from tfx.dsl.io import fileio
from tfx.proto import example_gen_pb2
from tfx.types import artifact_utils

from components.histories import SPLIT
from components.history_example_gen import accounts
from components.history_example_gen.accounts import BlockAccount
from components.history_example_gen.config import LogsConfig
from components.history_example_gen.formats import read_file
from components.history_example_gen.histories import (
    Batch,
    merge_batches,
    split_by_user,
    to_examples,
)
from components.history_example_gen.layouts import find_logs
from components.history_example_gen.readers import LogFile, LogsError
from components.history_example_gen.times import KEYS_PER_SECOND
from models.settings import from_json

_BLOCK_BYTES = 16 << 20
_ACCOUNTS = "accounts"
_TOTALS = "totals"


class ReadEvents(beam.DoFn):
    """Reads a log file into columns per bucket of users.

    Yields (bucket, Batch), and a BlockAccount per block as `accounts`.
    """

    def __init__(self, config: LogsConfig, block_bytes: int = _BLOCK_BYTES):
        self._config = config
        self._block_bytes = block_bytes

    def process(self, log: LogFile) -> Iterator[Any]:
        """Reads `log` block by block."""
        for first_line, block in read_file(
            log, self._config, self._block_bytes
        ):
            yield pvalue.TaggedOutput(
                _ACCOUNTS,
                BlockAccount(
                    log.path,
                    log.order,
                    first_line,
                    block.num_rows,
                    block.bad_rows,
                    block.dropped,
                    block.other_units,
                ),
            )
            yield from split_by_user(
                block, log.order, first_line, self._config.num_buckets
            )


class WriteHistories(beam.DoFn):
    """Yields serialized examples of a bucket, and its counts as `totals`.

    The counts are (users, events, distinct item ids as an Arrow array).
    """

    def __init__(self, time_unit: str):
        self._keys_per_second = KEYS_PER_SECOND[time_unit]

    def process(self, bucket: tuple[int, Iterable[Batch]]) -> Iterator[Any]:
        """Sorts and serializes the histories of one bucket."""
        histories = merge_batches(bucket[1], self._keys_per_second)
        yield pvalue.TaggedOutput(
            _TOTALS,
            (
                len(histories.user_ids),
                len(histories.item_ids),
                histories.unique_items,
            ),
        )
        yield from to_examples(histories)


def write_accounts(
    folder: str,
    num_files: int,
    blocks: list[BlockAccount],
    totals: list[tuple[int, int, pa.Array]],
) -> None:
    """Writes dead letters and `ingest.json` into `folder`."""
    accounts.write_dead_letters(folder, blocks)
    items = [items for _, _, items in totals]
    ingest = accounts.summarize(
        blocks,
        num_files,
        num_used=sum(events for _, events, _ in totals),
        num_users=sum(users for users, _, _ in totals),
        num_items=len(pa.concat_arrays(items).unique()) if items else 0,
    )
    _write_json(os.path.join(folder, accounts.INGEST_FILE), ingest)


class Executor(base_beam_executor.BaseBeamExecutor):
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
        letters = artifact_utils.get_single_instance(
            output_dict["dead_letters"]
        )
        examples.split_names = artifact_utils.encode_split_names([SPLIT])
        logs = find_logs(config)
        with self._make_beam_pipeline() as pipeline:
            _build(
                pipeline,
                config,
                logs,
                artifact_utils.get_split_uri([examples], SPLIT),
                letters.uri,
            )
        ingest = _read_json(os.path.join(letters.uri, accounts.INGEST_FILE))
        summary = accounts.describe(ingest)
        logging.info(summary)
        print(summary, flush=True)
        _check(ingest, config, letters.uri)
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
        >> beam.ParDo(ReadEvents(config)).with_outputs(
            _ACCOUNTS, main="batches"
        )
    )
    histories = (
        read.batches
        | "GroupUsers" >> beam.GroupByKey()
        | "Histories"
        >> beam.ParDo(WriteHistories(config.time_unit)).with_outputs(
            _TOTALS, main="examples"
        )
    )
    _ = histories.examples | "WriteExamples" >> beam.io.WriteToTFRecord(
        os.path.join(examples_folder, "data_tfrecord"), file_name_suffix=".gz"
    )
    _ = (
        pipeline
        | "LettersFolder" >> beam.Create([letters_folder])
        | "WriteAccounts"
        >> beam.Map(
            write_accounts,
            len(logs),
            pvalue.AsList(read[_ACCOUNTS]),
            pvalue.AsList(histories[_TOTALS]),
        )
    )


def _check(ingest: dict[str, Any], config: LogsConfig, folder: str) -> None:
    """Fails where `accounts.check` does, leaving the dead letters behind.

    TFX deletes the output artifacts of a failed execution, so they are
    copied to a folder beside theirs first.
    """
    try:
        accounts.check(ingest, config)
    except LogsError:
        kept = folder.rstrip("/") + "-failed"
        fileio.makedirs(kept)
        for name in (accounts.DEAD_LETTERS_FILE, accounts.INGEST_FILE):
            fileio.copy(
                os.path.join(folder, name),
                os.path.join(kept, name),
                overwrite=True,
            )
        letters = os.path.join(kept, accounts.DEAD_LETTERS_FILE)
        accounts.check(ingest, config, letters)


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
    examples.set_json_value_custom_property("dead", ingest["dead"])
    examples.set_string_custom_property(
        "input_fingerprint", exec_properties.get("input_fingerprint", "")
    )


def _read_json(path: str) -> dict[str, Any]:
    with fileio.open(path, "r") as stream:
        return json.loads(stream.read())


def _write_json(path: str, content: dict[str, Any]) -> None:
    with fileio.open(path, "w") as stream:
        stream.write(json.dumps(content, indent=2, ensure_ascii=False) + "\n")
