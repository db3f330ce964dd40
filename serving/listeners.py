"""Opens the gRPC and the REST port and closes them again without haste."""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import errno
import socket
from collections.abc import Callable, Coroutine
from concurrent import futures
from typing import Any

import grpc
from aiohttp import web
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from tensorflow_serving.apis import (
    model_service_pb2_grpc,
    prediction_service_pb2_grpc,
)

from serving import monitoring
from serving.model_manager import ModelManager
from serving.model_service import ModelService
from serving.prediction_service import PredictionService
from serving.rest import RestService

# Bytes of a request from which on the event loop does not parse it itself.
_LARGE = 2**18
# For REST requests that have outlived the time of grace, or came at its end.
_LEFT_SECONDS = 1.0
# Ends what was started: waits for the requests in flight.
Stop = Callable[[], Coroutine[Any, Any, None]]


class ListenError(Exception):
    """A port cannot be opened."""


@dataclasses.dataclass(frozen=True)
class Services:
    """What both ports answer from.

    Attributes:
        manager: the models.
        pool: where they run.
        metrics: where requests are counted.
    """

    manager: ModelManager
    pool: futures.ThreadPoolExecutor
    metrics: monitoring.Metrics


async def start_grpc(flags: argparse.Namespace, services: Services) -> Stop:
    """Serves gRPC on --port.

    Raises:
        ListenError: the port is taken, or the host is not this machine's.
    """
    server = _server(flags, services)
    servicer = None
    if flags.enable_grpc_healthcheck_service:
        servicer = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    # An IPv6 address has colons of its own.
    host = f"[{flags.host}]" if ":" in flags.host else flags.host
    try:
        bound = server.add_insecure_port(f"{host}:{flags.port}")
    except RuntimeError:
        bound = 0
    if not bound:
        raise ListenError(_why_not(flags.host, flags.port, "port"))
    await server.start()
    follow = asyncio.create_task(_follow_health(servicer, services.manager))

    async def stop() -> None:
        follow.cancel()
        if servicer is not None:
            await servicer.enter_graceful_shutdown()
        await server.stop(flags.shutdown_grace_seconds)

    return stop


def _why_not(host: str, port: int, flag: str) -> str:
    """What the system says of an address that cannot be listened on.

    gRPC says only that it failed.
    """
    where = f"Cannot listen on {host}:{port}"
    try:
        found = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        for family, kind, protocol, _, address in found:
            with socket.socket(family, kind, protocol) as probe:
                probe.bind(address)
                probe.listen()
    except OSError as error:
        if isinstance(error, socket.gaierror) or (
            error.errno == errno.EADDRNOTAVAIL
        ):
            return (
                f"{where}: {host!r} (--host) is no address of this machine "
                f"({error.strerror}). Fix: 127.0.0.1 for this machine alone, "
                "0.0.0.0 for all interfaces."
            )
        return (
            f"{where}: {error.strerror}. Fix: another port (--{flag}), or stop "
            "what has this one."
        )
    return f"{where} (--host, --{flag}): it was refused, or taken just now."


def _server(flags: argparse.Namespace, services: Services) -> grpc.aio.Server:
    """A server with TF Serving's two services, not started yet."""
    options = {
        "grpc.max_receive_message_length": -1,
        "grpc.max_send_message_length": -1,
        # Two servers would silently share a port otherwise.
        "grpc.so_reuseport": 0,
        **dict(flags.grpc_channel_arguments),
    }
    server = grpc.aio.server(
        interceptors=[Messages(services.pool)], options=list(options.items())
    )
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
        PredictionService(services.manager, services.pool, services.metrics),
        server,
    )
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(
        ModelService(services.manager), server
    )
    return server


class Messages(grpc.aio.ServerInterceptor):
    """Parses requests: wrong ones are INTERNAL, large ones wait elsewhere.

    grpc.aio itself answers UNKNOWN to bytes that are no message, where gRPC
    asks for INTERNAL, and parses on the event loop, which a request of many
    megabytes would stop for all others.

    Args:
        pool: where large messages are parsed and written.
    """

    def __init__(self, pool: futures.ThreadPoolExecutor) -> None:
        self._pool = pool

    async def intercept_service(
        self,
        continuation: Callable[..., Any],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Wraps the parser and the method of one call."""
        handler = await continuation(handler_call_details)
        if handler is None or handler.unary_unary is None:
            return handler

        async def answer(message: bytes, context: Any) -> bytes:
            loop, large = asyncio.get_running_loop(), len(message) > _LARGE
            parse, write = (
                handler.request_deserializer,
                handler.response_serializer,
            )
            try:
                request = (
                    await loop.run_in_executor(self._pool, parse, message)
                    if large
                    else parse(message)
                )
            except Exception as error:  # Protobuf's differs by its build.
                await context.abort(
                    grpc.StatusCode.INTERNAL,
                    f"Cannot parse the request: {error}",
                )
            response = await handler.unary_unary(request, context)
            if large:
                return await loop.run_in_executor(self._pool, write, response)
            return write(response)

        return grpc.unary_unary_rpc_method_handler(answer)


async def _follow_health(
    servicer: health.aio.HealthServicer | None, manager: ModelManager
) -> None:
    """Answers health checks: SERVING once every model is available."""
    if servicer is None:
        return
    status = health_pb2.HealthCheckResponse
    await servicer.set("", status.NOT_SERVING)
    await manager.available.wait()
    await servicer.set("", status.SERVING)


async def start_rest(flags: argparse.Namespace, services: Services) -> Stop:
    """Serves REST, and metrics where configured, on --rest_api_port.

    Raises:
        ListenError: the port is taken, or the host is not this machine's.
    """
    metrics_path = None
    if flags.monitoring_config_file:
        metrics_path = monitoring.read(flags.monitoring_config_file)
    rest = RestService(
        services.manager, services.pool, services.metrics, metrics_path
    )
    runner = web.AppRunner(
        rest.application(),
        access_log=None,
        shutdown_timeout=_LEFT_SECONDS,
    )
    await runner.setup()
    site = web.TCPSite(runner, flags.host, flags.rest_api_port)
    try:
        await site.start()
    except OSError as error:
        await runner.cleanup()
        raise ListenError(
            _why_not(flags.host, flags.rest_api_port, "rest_api_port")
        ) from error

    async def stop() -> None:
        await site.stop()
        await rest.drain.wait(flags.shutdown_grace_seconds)
        await runner.cleanup()

    return stop
