"""The approximate index beside the exact one: latency, recall, export.

    python -m benchmarks.serving.index --items 1000000

Needs the package scann. The catalogue is made up: clusters of some 200 items,
users with 49 items of a few clusters each. Exact and approximate calls take
turns, so that other programs on the machine slow both down alike; the ratio
is worth more than the milliseconds.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")

import numpy as np
import tensorflow as tf

from benchmarks.peers.machine import busy_seconds
from benchmarks.serving import model
from serving import custom_ops, export
from serving.config import ScannConfig

K = 10
_CLUSTER = 200
_TIMED = 200


def main() -> int:
    """Measures and prints the figures as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--items", type=int, default=1_000_000, help="size of the catalogue")
    add("--clusters", type=int, default=3, help="clusters of a user's items")
    add("--leaves_to_search", type=int, help="instead of a tenth")
    add("--users", type=int, default=200, help="that recall is measured on")
    arguments = parser.parse_args()
    config = ScannConfig(leaves_to_search=arguments.leaves_to_search)
    started, busy = time.perf_counter(), busy_seconds()
    result = measure(
        arguments.items, arguments.clusters, arguments.users, config
    )
    seconds, ours = time.perf_counter() - started, sum(os.times()[:4])
    others = max(0.0, busy_seconds() - busy - ours) / seconds
    result["cores_busy_with_others"] = round(others, 2)
    print(json.dumps(result, indent=1))
    return 0


def measure(
    num_items: int, clusters: int, users: int, config: ScannConfig
) -> dict[str, Any]:
    """Exports both, and asks both for the same users."""
    random = np.random.default_rng(0)
    owners = random.integers(0, num_items // _CLUSTER, num_items)
    centres = random.normal(size=(num_items // _CLUSTER, model.DIM))
    noise = random.normal(size=(num_items, model.DIM))
    vectors = (centres[owners] + 0.5 * noise).astype(np.float32)
    histories = _histories(owners, clusters, users, random)
    result: dict[str, Any] = {"items": num_items, "clusters": clusters}
    with tempfile.TemporaryDirectory() as folder:
        signatures, loaded = {}, []
        for name, scann in (("exact", None), ("scann", config)):
            directory = str(Path(folder) / name)
            started = time.perf_counter()
            _export(directory, vectors, scann)
            result[f"{name}_export_seconds"] = round(
                time.perf_counter() - started, 1
            )
            result[f"{name}_mib"] = round(_size(directory) / 2**20)
            custom_ops.register(directory)
            loaded.append(tf.saved_model.load(directory))
            signatures[name] = loaded[-1].signatures["serving_default"]
        result["index"] = custom_ops.index_of(directory)
        answers = {
            name: np.concatenate(
                [signature(history=h)["item_ids"].numpy() for h in histories]
            )
            for name, signature in signatures.items()
        }
        pairs = zip(answers["exact"], answers["scann"], strict=True)
        result[f"recall_at_{K}"] = round(
            float(np.mean([len({*a} & {*b}) / K for a, b in pairs])), 4
        )
        result |= _latencies(signatures, histories)
    return result


def _histories(
    owners: np.ndarray, clusters: int, users: int, random: np.random.Generator
) -> list[tf.Tensor]:
    """One request per user."""
    order = np.argsort(owners, kind="stable")
    starts = np.searchsorted(owners[order], np.arange(owners.max() + 2))
    requests = []
    for _ in range(users):
        chosen = random.integers(0, owners.max() + 1, clusters)
        of_chosen = np.concatenate(
            [order[starts[c] : starts[c + 1]] for c in chosen]
        )
        items = random.choice(of_chosen, model.HISTORY - 1)
        requests.append(tf.constant([[b"", *model.item_ids(items)]]))
    return requests


def _latencies(
    signatures: dict[str, Any], histories: list[tf.Tensor]
) -> dict[str, float]:
    """Medians of single calls in milliseconds, and their ratio."""
    taken: dict[str, list[float]] = {name: [] for name in signatures}
    for number in range(_TIMED):
        for name, signature in signatures.items():
            started = time.perf_counter()
            answer = signature(history=histories[number % len(histories)])
            answer["item_ids"].numpy()
            taken[name].append(1e3 * (time.perf_counter() - started))
    medians = {name: float(np.median(times)) for name, times in taken.items()}
    result = {f"{n}_median_ms": round(m, 2) for n, m in medians.items()}
    result["ratio"] = round(medians["exact"] / medians["scann"], 1)
    return result


def _export(
    directory: str, vectors: np.ndarray, scann: ScannConfig | None
) -> None:
    export.export_saved_model(
        directory,
        encode=model.MeanEncoder(vectors),
        item_vectors=vectors,
        item_ids=model.item_ids(np.arange(len(vectors))),
        popular_items=np.arange(min(len(vectors), 1000)),
        max_history=model.HISTORY,
        exclude_history=True,
        scann=scann,
    )


def _size(directory: str) -> int:
    return sum(f.stat().st_size for f in Path(directory).rglob("*"))


if __name__ == "__main__":
    sys.exit(main())
