"""Local server that speaks TF Serving's gRPC and REST.

    python -m serving.server --model_base_path DIR --rest_api_port 8501
    python -m serving.server --model_config_file models.config

It stands in for TF Serving on a laptop and in CI, where its binary is often
not to be had, and takes the same flags, configuration files, requests and
SavedModels. It is no replacement in production: one Python process, no TLS.
It listens on 127.0.0.1 unless `--host` says otherwise.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import logging
import os
import signal
import sys
import warnings
from collections.abc import Callable, Coroutine, Sequence
from concurrent import futures
from typing import TYPE_CHECKING, Any

from serving import file_systems
from serving import flags as server_flags
from serving.config_error import ConfigError

if TYPE_CHECKING:
    from serving.batching import BatchScheduler
    from serving.model_config import ModelEntry
    from serving.model_manager import ModelManager
    from serving.version_manager import Loader

# Threads of requests that wait for their batch, beside those that run it.
_MOST_WAITING = 256


class StartError(Exception):
    """The server cannot start; the message says why and what to do."""


async def serve(flags: argparse.Namespace) -> None:
    """Serves until SIGTERM or SIGINT, then lets requests in flight end.

    Raises:
        StartError: there is no such folder, TensorFlow cannot look there, or
            a port is taken.
        ConfigError: a configuration file cannot be read or is wrong.
    """
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    _set_parallelism(flags)
    models = _models(flags)
    # What is loaded so far stays; later collections (a version that goes)
    # need not stop requests to look at it.
    gc.freeze()
    with contextlib.ExitStack() as stack:
        scheduler = _scheduler(flags)
        threads = os.cpu_count() or 1
        if scheduler is not None:
            stack.callback(scheduler.close)
            rows = 2 * scheduler.parameters.max_batch_size
            threads = max(threads, min(rows, _MOST_WAITING))
        pool = stack.enter_context(
            futures.ThreadPoolExecutor(threads, "predict")
        )
        await _serve_models(
            flags, models, _loader(flags, scheduler), pool, stop
        )


async def _serve_models(
    flags: argparse.Namespace,
    models: Sequence[ModelEntry],
    load: Loader,
    pool: futures.ThreadPoolExecutor,
    stop: asyncio.Event,
) -> None:
    from serving import listeners
    from serving.model_manager import ModelManager
    from serving.monitoring import Metrics

    manager = ModelManager(
        models, load, flags.allow_version_labels_for_unavailable_models
    )
    services = listeners.Services(manager, pool, Metrics(manager.versions))
    stops: list[Callable[[], Coroutine[Any, Any, None]]] = []
    tasks: list[asyncio.Task[None]] = []
    try:
        if flags.rest_api_port:
            stops.append(await listeners.start_rest(flags, services))
        if flags.port:
            stops.append(await listeners.start_grpc(flags, services))
        tasks += _tasks(flags, manager, models)
        await stop.wait()
        print("Stopping", flush=True)
    except listeners.ListenError as error:
        raise StartError(str(error)) from error
    finally:
        for task in tasks:
            task.cancel()
        # Both at once: neither takes new requests while the other drains.
        await asyncio.gather(*(stop_listening() for stop_listening in stops))


def _tasks(
    flags: argparse.Namespace,
    manager: ModelManager,
    models: Sequence[ModelEntry],
) -> list[asyncio.Task[None]]:
    """What goes on beside answering: looks for versions and settings."""
    looks = [
        manager.watch(flags.file_system_poll_wait_seconds),
        _announce(flags, manager, [m.name for m in models]),
    ]
    if flags.model_config_file:
        looks.append(
            manager.watch_config(
                flags.model_config_file,
                flags.model_config_file_poll_wait_seconds,
            )
        )
    return [asyncio.create_task(look) for look in looks]


def _set_parallelism(flags: argparse.Namespace) -> None:
    import tensorflow as tf

    threading = tf.config.threading
    for number, setter in (
        (
            flags.tensorflow_intra_op_parallelism,
            threading.set_intra_op_parallelism_threads,
        ),
        (
            flags.tensorflow_inter_op_parallelism,
            threading.set_inter_op_parallelism_threads,
        ),
    ):
        if number:
            setter(number)


def _models(flags: argparse.Namespace) -> list[ModelEntry]:
    import tensorflow as tf

    from serving import model_config

    if flags.model_config_file:
        models = model_config.read(flags.model_config_file)
    else:
        models = [
            model_config.ModelEntry(flags.model_name, flags.model_base_path)
        ]
    for model in models:
        if why := file_systems.why_unknown(model.base_path):
            raise StartError(f"Model {model.name}: {why}")
    if flags.model_base_path and not tf.io.gfile.isdir(flags.model_base_path):
        raise StartError(
            f"There is no folder {flags.model_base_path} "
            "(--model_base_path); it holds numbered version folders."
        )
    return models


def _scheduler(flags: argparse.Namespace) -> BatchScheduler | None:
    from serving import batching, batching_parameters

    if not flags.enable_batching:
        return None
    if not flags.batching_parameters_file:
        return batching.BatchScheduler(batching_parameters.BatchingParameters())
    return batching.BatchScheduler(
        batching_parameters.read(flags.batching_parameters_file)
    )


def _loader(
    flags: argparse.Namespace, scheduler: BatchScheduler | None
) -> Loader:
    from serving.servables import Servable

    def load(name: str, version: int, path: str) -> Servable:
        servable = Servable(name, version, path, scheduler)
        if flags.enable_model_warmup:
            servable.warm_up(flags.num_request_iterations_for_warmup)
        return servable

    return load


async def _announce(
    flags: argparse.Namespace, manager: ModelManager, names: Sequence[str]
) -> None:
    """Prints one line once every model can be asked."""
    await manager.available.wait()
    served = manager.versions()
    what = ", ".join(
        f"{name} version {max(served[name])}"
        for name in names
        if name in served
    )
    ports = [("gRPC", flags.port), ("REST", flags.rest_api_port)]
    where = " ".join(f"{k} {flags.host}:{port}" for k, port in ports if port)
    print(f"Serving {what} {where}", flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the server; returns the exit code."""
    flags = server_flags.parse(arguments)
    # TensorFlow reads this when it is first imported, in `serve`.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    warnings.simplefilter("ignore", FutureWarning)
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s"
    )
    try:
        asyncio.run(serve(flags))
    except (StartError, ConfigError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    file_systems.leave(main())
