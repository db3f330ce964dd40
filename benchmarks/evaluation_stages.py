"""The stages of `benchmarks.evaluation`, each run in its own process."""

from __future__ import annotations

import argparse
import functools
import resource
import time
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

DIM, EVENTS, CUTOFFS = 64, 20, (10, 100)
BATCH = 512
GIB = 2**30


def run(stage: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Runs one stage and returns its measurements."""
    folder = Path(arguments.folder)
    if stage == "data":
        return make_data(folder, arguments.users, arguments.items)
    if stage == "batches":
        return in_turn(folder, arguments.batches)
    return evaluate(folder)


def make_data(folder: Path, users: int, items: int) -> dict[str, Any]:
    """Writes vectors, histories as examples, and the SavedModel."""
    from serving.export import export_saved_model

    generator = np.random.default_rng(0)
    vectors = generator.standard_normal((items, DIM)).astype(np.float32)
    # Popular items are far more frequent: a Zipf law, cut at the catalogue.
    weights = 1.0 / np.arange(1, items + 1) ** 0.8
    rows = generator.choice(items, (users, EVENTS), p=weights / weights.sum())
    np.save(folder / "vectors.npy", vectors)
    np.save(folder / "rows.npy", rows)
    ids = item_ids(items)
    options = tf.io.TFRecordOptions(compression_type="GZIP")
    with tf.io.TFRecordWriter(str(folder / "examples.gz"), options) as writer:
        for user in range(users):
            writer.write(_example(user, rows[user], ids))
    table = tf.Variable(np.vstack([np.zeros(DIM, np.float32), vectors]))
    export_saved_model(
        str(folder / "model"),
        _Newest(table),
        vectors,
        ids,
        np.arange(items),
        max_history=EVENTS,
    )
    return {"dim": DIM}


class _Newest(tf.Module):
    """The vector of the newest item."""

    def __init__(self, table: tf.Variable) -> None:
        super().__init__()
        self.table = table

    def __call__(self, rows: tf.Tensor) -> tf.Tensor:
        return tf.gather(self.table, rows[:, -1])


def item_ids(items: int) -> list[bytes]:
    """Ids of the catalogue, item i at i."""
    return [b"item-%07d" % item for item in range(items)]


def _example(user: int, rows: np.ndarray, ids: list[bytes]) -> bytes:
    def ints(values: Any) -> tf.train.Feature:
        return tf.train.Feature(int64_list=tf.train.Int64List(value=values))

    def strings(values: Any) -> tf.train.Feature:
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))

    features = {
        "user_id": strings([b"user-%07d" % user]),
        "user_index": ints([user]),
        "item_ids": strings([ids[row] for row in rows]),
        "item_indices": ints(rows + 1),
        "timestamps": ints(range(EVENTS)),
        "num_train_events": ints([EVENTS - 2]),
        "num_development_events": ints([EVENTS - 1]),
        "validation_cut": ints([EVENTS - 3]),
        "test_cut": ints([EVENTS - 2]),
    }
    return tf.train.Example(
        features=tf.train.Features(feature=features)
    ).SerializeToString()


def evaluate(folder: Path) -> dict[str, Any]:
    """RankingEvaluator's work on the data, without TFX around it."""
    from components import splits
    from components.histories import read_histories
    from components.ranking_evaluator import (
        baselines,
        comparisons,
        measures,
        results,
        slices,
    )
    from components.ranking_evaluator.config import EvaluationConfig
    from components.targets import measured_targets

    config = EvaluationConfig(targets=("last",), cutoffs=CUTOFFS)
    split = splits.SplitConfig()
    histories = read_histories([str(folder / "examples.gz")])
    mask = splits.test_users(histories, split)
    test = histories.select(mask)
    targets = {"last": measured_targets(test, "last", 0, "kept")}
    # Also items that none of a few users has had are in the model's catalogue.
    items = len(np.load(folder / "vectors.npy", mmap_mode="r"))
    universe = measures.Universe(
        np.array(item_ids(items), object), histories.item_indices - 1
    )
    # TensorFlow's own start is no part of the evaluation.
    tf.linalg.matmul(tf.ones([8, 8]), tf.ones([8, 8]))
    start = time.perf_counter()
    _score(folder, config, split)
    tables = results.read_rankings(str(folder), test, targets)
    rankings = {"model": results.model_rankings(tables, str(folder))}
    found = measures.measure(
        rankings["model"], targets, len(universe.items), config
    )
    seconds = {"model": time.perf_counter() - start}
    for name in config.baselines:
        start = time.perf_counter()
        one = EvaluationConfig(
            targets=("last",),
            cutoffs=CUTOFFS,
            baselines=(name,),
            thresholds=(),
        )
        rankings |= baselines.rank_all(
            histories, targets, universe, split, EVENTS, one
        )
        seconds[name] = time.perf_counter() - start
    start = time.perf_counter()
    comparisons.compare(rankings, targets, config)
    slices.measure(
        rankings,
        test,
        targets,
        universe.rows[np.repeat(mask, histories.num_events)],
        measures.fit_counts(histories, universe, split, EVENTS),
        config,
    )
    seconds["comparisons and slices"] = time.perf_counter() - start
    return {
        "recall_at_100": found["last"]["kept"]["recall_at_100"],
        "model_seconds": seconds.pop("model"),
        "other_seconds": seconds,
        "peak_gib": peak_gib(),
    }


def _rank_targets(folder: Path, config: Any, split: Any) -> Any:
    from components.ranking_evaluator import ranking

    items = len(np.load(folder / "vectors.npy", mmap_mode="r"))
    return ranking.RankTargets(
        str(folder / "model"),
        functools.partial(item_ids, items),
        split,
        config,
        EVENTS,
    )


def _score(folder: Path, config: Any, split: Any) -> None:
    import apache_beam as beam
    from apache_beam.options.pipeline_options import PipelineOptions

    from components.beam_flush import flush_when_full_only
    from components.ranking_evaluator import scoring

    flush_when_full_only()
    fn = _rank_targets(folder, config, split)
    options = PipelineOptions(["--direct_running_mode=in_memory"])
    with beam.Pipeline(options=options) as pipeline:
        examples = pipeline | beam.io.ReadFromTFRecord(
            str(folder / "examples.gz")
        )
        scoring.write_rankings(examples, fn, config, str(folder))


def in_turn(folder: Path, batches: int) -> dict[str, Any]:
    """Seconds of a batch by the evaluator and by numpy, one after the other.

    So both meet the same load of a machine that others use as well.
    """
    from components import splits
    from components.ranking_evaluator.config import EvaluationConfig

    config = EvaluationConfig(targets=("last",), cutoffs=CUTOFFS)
    fn = _rank_targets(folder, config, splits.SplitConfig())
    fn.setup()
    vectors = np.load(folder / "vectors.npy")
    rows = np.load(folder / "rows.npy", mmap_mode="r")
    records = tf.data.TFRecordDataset(str(folder / "examples.gz"), "GZIP")
    ours, theirs = [], []
    for number, batch in enumerate(records.batch(BATCH).take(batches + 1)):
        serialized = list(batch.numpy())
        start = time.perf_counter()
        list(fn.process(serialized))
        ours.append(time.perf_counter() - start)
        part = rows[number * BATCH : number * BATCH + len(serialized)]
        start = time.perf_counter()
        numpy_top_k(vectors, part)
        theirs.append(time.perf_counter() - start)
    # The first one loads and traces.
    return {
        "batches": len(ours) - 1,
        "batch": BATCH,
        "seconds": float(np.median(ours[1:])),
        "numpy_seconds": float(np.median(theirs[1:])),
    }


def numpy_top_k(vectors: np.ndarray, rows: np.ndarray) -> dict[str, float]:
    """Hits among the best 100 of the same scores by argpartition."""
    longest = max(CUTOFFS)
    history, wanted = rows[:, :-1], rows[:, -1:]
    scores = vectors[history[:, -1]] @ vectors.T
    hits = {}
    for seen in ("kept", "filtered"):
        if seen == "filtered":
            np.put_along_axis(scores, history, -np.inf, axis=1)
        best = np.argpartition(-scores, longest - 1, axis=1)[:, :longest]
        order = np.argsort(-np.take_along_axis(scores, best, 1), axis=1)
        hits[seen] = float((np.take_along_axis(best, order, 1) == wanted).sum())
    return hits


def peak_gib() -> float:
    """Largest resident set of this process so far; Linux counts in KiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / GIB
