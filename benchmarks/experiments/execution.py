"""Runs of a study, one after another or several side by side."""

from __future__ import annotations

import dataclasses
import os
import queue
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

from benchmarks.accuracy import run_pipeline, settings_of
from benchmarks.experiments.paired import read_ranks
from benchmarks.experiments.study import Run
from components.ranking_evaluator.ranking import SEEN_SETTINGS
from pipeline.config import REPOSITORY, PipelineConfig, load_config
from pipeline.summary import read_summary


@dataclasses.dataclass(frozen=True)
class Slot:
    """Where one run at a time finds room.

    Attributes:
        overrides: settings of its own: two pipelines must not share a
            metadata store.
        threads: of TensorFlow, None for all cores.
    """

    overrides: tuple[str, ...] = ()
    threads: int | None = None


def slots(jobs: int) -> list[Slot]:
    """Shares the cores; a single job has them all.

    Slots keep their folders, so what does not depend on a run's settings
    comes from the cache of the slot.
    """
    if jobs == 1:
        return [Slot()]
    threads = max(1, (os.cpu_count() or 1) // jobs)
    return [
        Slot((f"runs_dir=runs/experiments-{number}",), threads)
        for number in range(jobs)
    ]


def execute(run: Run, slot: Slot) -> dict[str, Any]:
    """Runs the pipeline; what is worth keeping of it.

    Raises:
        CalledProcessError: the pipeline failed; its output says why.
    """
    overrides = (*run.overrides, *slot.overrides)
    config = load_config(REPOSITORY / run.config_file, overrides)
    log = None
    if slot.threads is not None:
        log = Path(config.runs_dir) / f"{Path(run.file_name).stem}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
    run_pipeline(
        REPOSITORY / run.config_file, overrides, threads=slot.threads, log=log
    )
    return {
        "config": settings_of(config),
        **_measured(config, read_summary(config)),
        "threads": slot.threads or os.cpu_count(),
    }


def _measured(
    config: PipelineConfig, summary: dict[str, Any]
) -> dict[str, Any]:
    """Metrics and ranks by the main target, with seen items and without."""
    target, seen = config.evaluation.targets[0], config.evaluation.seen_items
    (other,) = set(SEEN_SETTINGS) - {seen}
    rankings = Path(summary["report"]).parent / "rankings"
    epochs = summary["timings"]["epochs"]

    def by(setting: str) -> dict[str, Any]:
        return {
            "seen_items": setting,
            "metrics": summary["metrics"]["model"][target][setting],
            "ranking": read_ranks(rankings, target, setting),
        }

    return {
        "target": target,
        **by(seen),
        "other_seen": by(other),
        "test_users": summary["splits"]["test"]["users"],
        "epochs": {phase: len(times) for phase, times in epochs.items()},
        "seconds": summary["timings"]["total"],
        # for people: a result of older code is not run again
        "code_fingerprint": summary["code_fingerprint"],
    }


def run_all(
    name: str,
    missing: Sequence[Run],
    jobs: int,
    run_one: Callable[[Run, Slot], dict[str, Any]],
) -> Iterator[tuple[Run, dict[str, Any]]]:
    """Yields results as they come, with time left on the console.

    Args:
        name: of the study.
        missing: runs, in this order.
        jobs: how many side by side.
        run_one: what runs one, as `execute`.

    Raises:
        CalledProcessError: a run failed. Runs beside it are finished and
            yielded first; none is begun after it.
    """
    free: queue.SimpleQueue[Slot] = queue.SimpleQueue()
    for slot in slots(jobs):
        free.put(slot)

    def in_slot(run: Run) -> dict[str, Any]:
        slot = free.get()
        print(f"[{name}] {run.dataset}, {run.row}, seed {run.seed}", flush=True)
        try:
            return run_one(run, slot)
        finally:
            free.put(slot)

    started, done = time.monotonic(), 0
    waiting = list(missing)
    failure: BaseException | None = None
    with ThreadPoolExecutor(jobs) as pool:
        running = {}
        while (waiting and failure is None) or running:
            while waiting and len(running) < jobs and failure is None:
                run = waiting.pop(0)
                running[pool.submit(in_slot, run)] = run
            finished, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in finished:
                run = running.pop(future)
                if error := future.exception():
                    failure = failure or error
                    continue
                yield run, future.result()
                done += 1
                minutes = (time.monotonic() - started) / 60.0
                left = minutes / done * (len(missing) - done)
                print(
                    f"[{name}] {done}/{len(missing)} runs in {minutes:.0f} "
                    f"min, about {left:.0f} min left",
                    flush=True,
                )
    if failure is not None:
        raise failure
