"""What is measured: rates, batching, a change of version, memory."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.serving import model
from benchmarks.serving.load import Client, percentiles
from serving.local_server import LocalServer

BATCHING = """max_batch_size { value: 32 }
batch_timeout_micros { value: 0 }
max_enqueued_batches { value: 100 }
num_batch_threads { value: 2 }
"""


@dataclasses.dataclass(frozen=True)
class Plan:
    """How long and how hard.

    Attributes:
        seconds: of every open-loop measurement.
        callers: concurrencies of the closed loops, which find saturation.
        shares: rates of the open loops, as shares of saturation.
        swap_seconds: of the load around a change of version.
        memory_seconds: of the load that memory is watched under.
        seed: of arrivals, requests and models.
    """

    seconds: float = 8.0
    callers: tuple[int, ...] = (1, 4, 16)
    shares: tuple[float, ...] = (0.25, 0.5, 0.75)
    swap_seconds: float = 15.0
    memory_seconds: float = 60.0
    seed: int = 0


def measure_size(directory: Path, num_items: int, plan: Plan) -> dict[str, Any]:
    """A model of one size: by itself, and served without and with batching."""
    direct, paced = (
        percentiles(
            model.direct_milliseconds(
                directory / "1", num_items, plan.seconds / 2, plan.seed, pause
            )
        )
        for pause in (0.0, 0.01)
    )
    result: dict[str, Any] = {
        "items": num_items,
        "direct_ms": direct,
        "direct_with_pauses_ms": paced,
    }
    for name, batching in (("plain", False), ("batching", True)):
        with _served(directory, batching) as server:
            client = _client(server, num_items, plan)
            result[name] = _rates(client, plan)
        quiet = result[name]["open_loop"][0]["p50"]
        result[name]["p50_over_direct_ms"] = round(quiet - paced["p50"], 3)
    return result


def _rates(client: Client, plan: Plan) -> dict[str, Any]:
    closed = []
    for callers in plan.callers:
        outcome = client.closed_loop(callers, plan.seconds / 2)
        closed.append({"callers": callers, **outcome.summary()})
    saturation = max(c["answered_per_second"] for c in closed)
    opened = []
    for share in plan.shares:
        rate = share * saturation
        outcome = client.open_loop(rate, plan.seconds, plan.seed)
        opened.append(
            {"share": share, "rate": round(rate, 1), **outcome.summary()}
        )
    return {
        "saturation_per_second": saturation,
        "closed_loop": closed,
        "open_loop": opened,
    }


def measure_changes(
    directory: Path, num_items: int, rate: float, plan: Plan
) -> dict[str, Any]:
    """A new version under load, then memory over the same load.

    Args:
        directory: holds version 1; version 2 is pushed into a copy of it.
        num_items: of the model.
        rate: requests per second.
        plan: how long.
    """
    with tempfile.TemporaryDirectory() as copy:
        base = Path(copy)
        shutil.copytree(directory / "1", base / "1")
        with _served(base, False) as server:
            client = _client(server, num_items, plan)
            client.open_loop(rate, 2, plan.seed)
            push = threading.Timer(
                plan.swap_seconds / 4, _push, (directory / "1", base / "2")
            )
            push.start()
            swap = client.open_loop(rate, plan.swap_seconds, plan.seed)
            push.join()
            memory = _memory(client, server.pid, rate, plan)
    return {
        "version_swap": {
            "rate": round(rate, 1),
            "versions": swap.versions,
            **swap.summary(),
        },
        "memory": memory,
    }


def _memory(
    client: Client, pid: int, rate: float, plan: Plan
) -> dict[str, Any]:
    """Resident MiB after each tenth of the load; the first may still grow."""
    sizes, requests, errors = [], 0, 0
    for part in range(10):
        outcome = client.open_loop(
            rate, plan.memory_seconds / 10, plan.seed + part
        )
        requests += len(outcome.milliseconds)
        errors += len(outcome.failures)
        sizes.append(round(_resident_mib(pid), 1))
    return {
        "requests": requests,
        "errors": errors,
        "resident_mib": sizes,
        "growth_mib": round(sizes[-1] - sizes[2], 1),
    }


def _push(source: Path, target: Path) -> None:
    """As the Pusher does: saved_model.pb last."""
    ignore = shutil.ignore_patterns("saved_model.pb")
    shutil.copytree(source, target, ignore=ignore)
    shutil.copy(source / "saved_model.pb", target)


@contextlib.contextmanager
def _served(directory: Path, batching: bool) -> Iterator[LocalServer]:
    flags = [
        f"--model_name={model.MODEL_NAME}",
        f"--model_base_path={directory}",
        "--file_system_poll_wait_seconds=0.5",
    ]
    with tempfile.NamedTemporaryFile("w", suffix=".config") as file:
        file.write(BATCHING)
        file.flush()
        if batching:
            flags += [
                "--enable_batching",
                f"--batching_parameters_file={file.name}",
            ]
        with LocalServer(flags, model.MODEL_NAME) as server:
            yield server


def _client(server: LocalServer, num_items: int, plan: Plan) -> Client:
    messages = model.requests(num_items, 200, plan.seed)
    client = Client(server.target, messages)
    client.closed_loop(4, 1)  # Whatever only the first requests pay.
    return client


def _resident_mib(pid: int) -> float:
    with open(f"/proc/{pid}/statm") as file:
        pages = int(file.read().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
