"""Local server that speaks TF Serving's gRPC and REST for one model.

    python -m serving.server --model_base_path DIR --rest_api_port 8501

It stands in for TF Serving on a laptop and in CI, where its binary is often
not to be had, and takes the same flags, requests and SavedModels. It is no
replacement in production: one model, one Python process, no batching, no TLS.
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
from collections.abc import Sequence
from concurrent import futures
from typing import TYPE_CHECKING

import grpc

from serving import flags as server_flags

if TYPE_CHECKING:
    from serving.versions import VersionManager


class StartError(Exception):
    """The server cannot start; the message says why and what to do."""


async def serve(flags: argparse.Namespace) -> None:
    """Serves until SIGTERM or SIGINT, then lets requests in flight end.

    Raises:
        StartError: there is no such folder, or a port is taken.
    """
    import tensorflow as tf

    from serving.versions import VersionManager

    if not tf.io.gfile.isdir(flags.model_base_path):
        raise StartError(
            f"There is no folder {flags.model_base_path} "
            "(--model_base_path); it holds numbered version folders."
        )
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    # What is loaded so far stays; later collections (a version that goes)
    # need not stop requests to look at it.
    gc.freeze()
    manager = VersionManager(
        flags.model_name, flags.model_base_path, flags.enable_model_warmup
    )
    async with contextlib.AsyncExitStack() as stack:
        pool = stack.enter_context(
            futures.ThreadPoolExecutor(os.cpu_count(), "predict")
        )
        if flags.rest_api_port:
            await _start_rest(stack, flags, manager, pool)
        if flags.port:
            await _start_grpc(stack, flags, manager, pool)
        tasks = [
            asyncio.create_task(
                manager.watch(flags.file_system_poll_wait_seconds)
            ),
            asyncio.create_task(_announce(flags, manager)),
        ]
        await stop.wait()
        print("Stopping", flush=True)
        for task in tasks:
            task.cancel()


async def _start_grpc(
    stack: contextlib.AsyncExitStack,
    flags: argparse.Namespace,
    manager: VersionManager,
    pool: futures.ThreadPoolExecutor,
) -> None:
    from tensorflow_serving.apis import (
        model_service_pb2_grpc,
        prediction_service_pb2_grpc,
    )

    from serving.model_service import ModelService
    from serving.prediction_service import PredictionService

    server = grpc.aio.server(
        options=[
            ("grpc.max_receive_message_length", -1),
            ("grpc.max_send_message_length", -1),
            # Two servers would silently share a port otherwise.
            ("grpc.so_reuseport", 0),
        ]
    )
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
        PredictionService(manager, pool), server
    )
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(
        ModelService(manager), server
    )
    if flags.enable_grpc_healthcheck_service:
        _add_health(stack, server, manager)
    address = f"{flags.host}:{flags.port}"
    try:
        bound = server.add_insecure_port(address)
    except RuntimeError:
        bound = 0
    if not bound:
        raise StartError(f"Cannot listen on {address} (--port): it is taken?")
    await server.start()
    stack.push_async_callback(server.stop, flags.shutdown_grace_seconds)


def _add_health(
    stack: contextlib.AsyncExitStack,
    server: grpc.aio.Server,
    manager: VersionManager,
) -> None:
    """Answers health checks: SERVING once a version is available."""
    from grpc_health.v1 import health, health_pb2, health_pb2_grpc

    status = health_pb2.HealthCheckResponse
    servicer = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)

    async def follow() -> None:
        await servicer.set("", status.NOT_SERVING)
        await manager.available.wait()
        await servicer.set("", status.SERVING)

    task = asyncio.create_task(follow())
    stack.callback(task.cancel)


async def _start_rest(
    stack: contextlib.AsyncExitStack,
    flags: argparse.Namespace,
    manager: VersionManager,
    pool: futures.ThreadPoolExecutor,
) -> None:
    from aiohttp import web

    from serving.rest import RestService

    runner = web.AppRunner(
        RestService(manager, pool).application(),
        access_log=None,
        shutdown_timeout=flags.shutdown_grace_seconds,
    )
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    try:
        await web.TCPSite(runner, flags.host, flags.rest_api_port).start()
    except OSError as error:
        raise StartError(
            f"Cannot listen on {flags.host}:{flags.rest_api_port} "
            f"(--rest_api_port): {error.strerror}"
        ) from error


async def _announce(flags: argparse.Namespace, manager: VersionManager) -> None:
    """Prints one line once a version can be asked."""
    await manager.available.wait()
    ports = [("gRPC", flags.port), ("REST", flags.rest_api_port)]
    where = " ".join(f"{k} {flags.host}:{port}" for k, port in ports if port)
    print(
        f"Serving {flags.model_name} version {manager.version} {where}",
        flush=True,
    )


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
    except StartError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
