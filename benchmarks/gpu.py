"""Steps per second, busy share and memory of a GPU, by precision and XLA.

    python -m benchmarks.gpu [--output benchmarks/results/gpu.json]
    python -m benchmarks.gpu --items 200000 --batch-size 1024 --newest 50

CREATE (SASRec with UltraGCN) and SASRec alone on made-up histories, in
float32 (TensorFlow's default on tensor cores is then TF32) and bfloat16, with
and without XLA; on all GPUs there are if `--distribution mirrored`. Every
figure is of one epoch after one that compiles. `busy_share` is the mean of the
utilisation that nvidia-smi samples five times a second: the share of the
time in which any kernel ran; `peak_mib` is TensorFlow's own count on the first
GPU. `--cpu` measures the steps per second alone, on any machine.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import subprocess
import sys
import threading
import time
from typing import Any

import numpy as np
import tensorflow as tf

from benchmarks.publish import publish
from benchmarks.training import SASREC, ULTRAGCN, make_data
from models.config import ModelConfig, TrainingConfig
from models.create import Create
from models.fitting.compiled_epoch import CompiledEpoch
from models.fitting.input_pipeline import Sequences
from models.graph.propagation import BipartiteAdjacency
from models.replicas import Replicas

_SAMPLE = (
    "nvidia-smi",
    "--query-gpu=utilization.gpu",
    "--format=csv,noheader,nounits",
)


def main() -> int:
    """Measures and prints."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--output", help="a JSON file for the results")
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--items", type=int, default=50_000)
    parser.add_argument("--newest", type=int, default=50)
    parser.add_argument("--batch-size", type=int, default=512)
    parser.add_argument("--embedding-dim", type=int, default=128)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--distribution", default="none")
    parser.add_argument("--cpu", action="store_true")
    arguments = parser.parse_args()
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus and not arguments.cpu:
        print(
            "gpu: TensorFlow sees no GPU here, so there is nothing to "
            "measure. Run this where nvidia-smi lists one and "
            "`pip install tensorflow[and-cuda]==2.16.2` has been done, or add "
            "--cpu for steps per second on the CPU.",
            file=sys.stderr,
        )
        return 1
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    publish(measure(arguments, gpus), arguments.output)
    return 0


def measure(arguments: argparse.Namespace, gpus: list[Any]) -> dict[str, Any]:
    """All combinations on one set of histories."""
    sequences, adjacency = make_data(
        arguments.users, arguments.items, arguments.newest
    )
    results: dict[str, Any] = {
        "devices": [
            tf.config.experimental.get_device_details(gpu).get("device_name")
            for gpu in gpus
        ]
        or ["CPU"],
        "settings": {
            key: value
            for key, value in vars(arguments).items()
            if key not in ("output", "cpu")
        },
        "events": len(sequences.items),
        "runs": [],
    }
    for name, model in (("sasrec", SASREC), ("create", ULTRAGCN)):
        for precision in ("float32", "bfloat16"):
            for xla in (False, True):
                print(f"{name}, {precision}, xla {xla}", file=sys.stderr)
                run = {"model": name, "precision": precision, "xla": xla}
                training = TrainingConfig(
                    batch_size=arguments.batch_size,
                    precision=precision,
                    xla=xla,
                    distribution=arguments.distribution,
                )
                sized = _sized(model, arguments)
                graph = adjacency if model.has_graph else None
                run |= _run(
                    sized, training, sequences, graph, arguments.steps, gpus
                )
                results["runs"].append(run)
    first = results["runs"][0]["steps_per_second"]
    for run in results["runs"]:
        run["to_first"] = run["steps_per_second"] / first
    return results


def _sized(model: ModelConfig, arguments: argparse.Namespace) -> ModelConfig:
    return dataclasses.replace(
        model,
        embedding_dim=arguments.embedding_dim,
        sequential=dataclasses.replace(
            model.sequential,
            max_length=arguments.newest,
            feed_forward_dim=arguments.embedding_dim,
        ),
    )


def _run(
    model_config: ModelConfig,
    training: TrainingConfig,
    sequences: Sequences,
    adjacency: BipartiteAdjacency | None,
    steps: int,
    gpus: list[Any],
) -> dict[str, Any]:
    """One model: an epoch that compiles, and one that is measured."""
    devices = Replicas.of(training.distribution)
    with devices.scope():
        model = Create(model_config, sequences.num_items, adjacency, seed=0)
    compiled = CompiledEpoch(model, training, sequences, devices)
    started = time.perf_counter()
    compiled.run(1, warmup=False, max_steps=steps)
    first = time.perf_counter() - started
    if gpus:
        tf.config.experimental.reset_memory_stats("GPU:0")
    with Utilisation(bool(gpus)) as busy:
        started = time.perf_counter()
        result = compiled.run(2, warmup=False, max_steps=steps)
        seconds = time.perf_counter() - started
    found: dict[str, Any] = {
        "replicas": devices.count,
        "first_epoch_seconds": first,
        "steps_per_second": result.steps / seconds,
        "loss": result.losses["local"],
    }
    if gpus:
        memory = tf.config.experimental.get_memory_info("GPU:0")
        found["peak_mib"] = memory["peak"] / 2**20
        found["busy_share"] = busy.share
    return found


class Utilisation:
    """Samples how busy the GPUs are while its block runs.

    Args:
        there: whether there is a GPU; without one nothing is sampled.

    Attributes:
        share: mean over samples and GPUs, in [0, 1]; None without samples.
    """

    def __init__(self, there: bool) -> None:
        self.share: float | None = None
        self._samples: list[float] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample) if there else None

    def __enter__(self) -> Utilisation:
        if self._thread:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        if self._thread:
            self._thread.join()
        if self._samples:
            self.share = statistics.mean(self._samples) / 100.0

    def _sample(self) -> None:
        while not self._ended.wait(0.2):
            lines = subprocess.run(
                _SAMPLE, capture_output=True, text=True, check=True
            ).stdout.split()
            self._samples.append(float(np.mean([float(v) for v in lines])))


if __name__ == "__main__":
    sys.exit(main())
