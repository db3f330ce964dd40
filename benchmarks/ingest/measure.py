"""One measurement of the ingest benchmark, in a process of its own."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import resource
import time
from pathlib import Path

import numpy as np
import pyarrow as pa


def main() -> None:
    """Prints events, seconds, peak memory and a digest as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("program")
    parser.add_argument("log", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--movielens", action="store_true")
    parser.add_argument("--beam", nargs="*", default=[])
    arguments = parser.parse_args()
    run = _reference if arguments.program == "reference" else _pipeline
    result = run(arguments)
    print(json.dumps(result))


def _reference(arguments: argparse.Namespace) -> dict[str, object]:
    from pyarrow import parquet

    from benchmarks.ingest.reference import make_histories

    output = arguments.folder / "histories.parquet"
    started = time.perf_counter()
    events = make_histories(arguments.log, output, arguments.movielens)
    seconds = time.perf_counter() - started
    peak = _peak()
    histories = parquet.read_table(str(output)).combine_chunks()
    lists = histories.column("item_ids").chunk(0)
    return {
        "events": events,
        "seconds": seconds,
        "peak_gib": peak,
        "digest": _digest(
            histories.column("user_id").to_numpy(),
            lists.offsets.to_numpy(),
            lists.values,
            histories.column("timestamps").chunk(0).values.to_numpy(),
        ),
    }


def _pipeline(arguments: argparse.Namespace) -> dict[str, object]:
    os.environ["TF_USE_LEGACY_KERAS"] = "1"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from tfx.types import standard_artifacts

    from components.artifacts import DeadLetters
    from components.history_example_gen.config import (
        ColumnsConfig,
        LogsConfig,
    )
    from components.history_example_gen.executor import Executor
    from models.settings import to_json
    from pipeline.beam_config import BeamConfig

    columns = ColumnsConfig(0, 1, 3) if arguments.movielens else ColumnsConfig()
    config = LogsConfig(
        path=str(arguments.log.parent),
        pattern=arguments.log.name,
        separator="::" if arguments.movielens else ",",
        header=not arguments.movielens,
        columns=columns,
    )
    examples, letters = standard_artifacts.Examples(), DeadLetters()
    examples.uri = str(arguments.folder / "examples")
    letters.uri = str(arguments.folder / "letters")
    Path(letters.uri).mkdir()  # TFX's launcher does it
    beam_args = arguments.beam or BeamConfig().arguments("HistoryExampleGen")
    executor = Executor(
        Executor.Context(
            beam_pipeline_args=beam_args, unique_id="", tmp_dir="/tmp"
        )
    )
    started = time.perf_counter()
    executor.Do(
        {},
        {"examples": [examples], "dead_letters": [letters]},
        {"config": to_json(config)},
    )
    seconds = time.perf_counter() - started
    peak = _peak()
    columns_of = _read_examples(Path(examples.uri))
    return {
        "events": len(columns_of[2]),
        "seconds": seconds,
        "peak_gib": peak,
        "digest": _digest(*columns_of),
    }


def _read_examples(
    folder: Path,
) -> tuple[np.ndarray, np.ndarray, pa.Array, np.ndarray]:
    """User ids, offsets, items and times, users by id."""
    import tensorflow as tf
    from tfx_bsl.coders import example_coder

    files = [str(file) for file in sorted(folder.glob("*/*"))]
    records = list(
        tf.data.TFRecordDataset(
            files, compression_type="GZIP"
        ).as_numpy_iterator()
    )
    batch = example_coder.ExamplesToRecordBatchDecoder().DecodeBatch(records)
    users = batch.column(batch.schema.get_field_index("user_id")).flatten()
    order = np.argsort(users.to_numpy(zero_copy_only=False), kind="stable")
    batch = batch.take(pa.array(order))
    items = batch.column(batch.schema.get_field_index("item_ids"))
    times = batch.column(batch.schema.get_field_index("timestamps"))
    lengths = items.value_lengths().to_numpy()
    return (
        users.take(pa.array(order)).to_numpy(zero_copy_only=False),
        np.concatenate([[0], np.cumsum(lengths)]),
        items.flatten(),
        times.flatten().to_numpy(),
    )


def _digest(
    users: np.ndarray, offsets: np.ndarray, items: pa.Array, times: np.ndarray
) -> str:
    """Of whole histories, whatever the file format they were read from."""
    digest = hashlib.sha256(b"\0".join(users.tolist()))
    digest.update(np.asarray(offsets, np.int64).tobytes())
    for start in range(0, len(items), 1 << 20):
        part = items.slice(start, 1 << 20).to_pylist()
        digest.update(b"\0".join(part))
    digest.update(np.asarray(times, np.int64).tobytes())
    return digest.hexdigest()


def _peak() -> float:
    """Largest resident memory of this process so far, in GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20)


if __name__ == "__main__":
    main()
