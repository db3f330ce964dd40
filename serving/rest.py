"""TF Serving's REST API on aiohttp: predict, status, metadata, metrics."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from concurrent import futures
from typing import Any

from aiohttp import web
from google.protobuf import json_format
from prometheus_client import CONTENT_TYPE_LATEST
from tensorflow_serving.apis import (
    get_model_status_pb2,
    model_pb2,
    predict_pb2,
)

from serving import json_tensors
from serving.drain import Drain
from serving.errors import ServingError, internal, invalid, unimplemented
from serving.model_manager import ModelManager
from serving.monitoring import Metrics
from serving.servables import Servable

_MODEL = "/v1/models/{name:[^/:]+}"
_FORMS = (
    _MODEL,
    _MODEL + r"/versions/{version:\d+}",
    _MODEL + "/labels/{label:[^/:]+}",
)
_MAX_BODY_BYTES = 256 * 2**20
_MAX_VERSION = 2**63 - 1


class RestService:
    """The handlers of all models.

    Args:
        manager: the models.
        pool: where models run and JSON is converted.
        metrics: where calls are counted.
        metrics_path: where Prometheus finds the counts; None is nowhere.
    """

    def __init__(
        self,
        manager: ModelManager,
        pool: futures.ThreadPoolExecutor,
        metrics: Metrics,
        metrics_path: str | None = None,
    ) -> None:
        self._manager = manager
        self._pool = pool
        self._metrics = metrics
        self._metrics_path = metrics_path
        self.drain = Drain()

    def application(self) -> web.Application:
        """The web application with all routes."""
        app = web.Application(
            middlewares=[self.drain.middleware, _json_errors],
            client_max_size=_MAX_BODY_BYTES,
        )
        for form in _FORMS:
            app.router.add_post(form + ":predict", self._predict)
            app.router.add_post(form + ":{method:classify|regress}", _refuse)
            app.router.add_get(form, self._status)
            app.router.add_get(form + "/metadata", self._metadata)
        app.router.add_get("/v1/models", _nameless)
        if self._metrics_path:
            app.router.add_get(self._metrics_path, self._page)
        return app

    async def _predict(self, request: web.Request) -> web.Response:
        with self._metrics.measure(request.match_info["name"], "REST"):
            body = await request.read()
            with self._manager.use(_model_spec(request)) as servable:
                answer = await asyncio.get_running_loop().run_in_executor(
                    self._pool, _predict_json, servable, body
                )
        return web.Response(body=answer, content_type="application/json")

    async def _status(self, request: web.Request) -> web.Response:
        response = get_model_status_pb2.GetModelStatusResponse(
            model_version_status=self._manager.statuses(_model_spec(request))
        )
        return web.json_response(_to_dict(response))

    async def _page(self, request: web.Request) -> web.Response:
        return web.Response(
            body=self._metrics.page(),
            headers={"Content-Type": CONTENT_TYPE_LATEST},
        )

    async def _metadata(self, request: web.Request) -> web.Response:
        with self._manager.use(_model_spec(request)) as servable:
            answer = {
                "model_spec": _to_dict(servable.model_spec()),
                "metadata": {
                    "signature_def": {
                        "signature_def": {
                            name: _to_dict(signature)
                            for name, signature in sorted(
                                servable.signature_defs.items()
                            )
                        }
                    }
                },
            }
        return web.json_response(answer)


def _predict_json(servable: Servable, body: bytes) -> bytes:
    parsed = json_tensors.parse_body(body)
    name = parsed.get("signature_name", "")
    request = predict_pb2.PredictRequest(model_spec=servable.model_spec(name))
    try:
        signature = servable.signature(name)
    except ServingError as error:
        # As TF Serving has it, other than in gRPC.
        raise invalid(
            f'Serving signature name: "{name}" not found in signature def'
        ) from error
    inputs = json_tensors.to_inputs(parsed, signature)
    for alias, proto in inputs.items():
        request.inputs[alias].CopyFrom(proto)
    row_format = json_tensors.ROW in parsed
    return json_tensors.to_json(servable.predict(request), row_format)


async def _nameless(request: web.Request) -> web.Response:
    raise invalid("Missing model name in request.")


async def _refuse(request: web.Request) -> web.Response:
    raise unimplemented(request.match_info["method"].capitalize())


def _model_spec(request: web.Request) -> model_pb2.ModelSpec:
    info = request.match_info
    spec = model_pb2.ModelSpec(name=info["name"])
    if "version" in info:
        version = int(info["version"])
        if version > _MAX_VERSION:
            raise invalid(f"Failed to convert version: {version} to numeric.")
        spec.version.value = version
    if "label" in info:
        spec.version_label = info["label"]
    return spec


def _to_dict(message: Any) -> dict[str, Any]:
    return json_format.MessageToDict(
        message,
        including_default_value_fields=True,
        preserving_proto_field_name=True,
    )


@web.middleware
async def _json_errors(
    request: web.Request,
    handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
) -> web.StreamResponse:
    """Turns every failure into {"error": ...} with its HTTP status."""
    try:
        return await handler(request)
    except ServingError as error:
        return _error(error.message, error.http_status)
    except web.HTTPRequestEntityTooLarge as error:
        return _error(f"{error.text}", error.status)
    except (web.HTTPNotFound, web.HTTPMethodNotAllowed):
        # TF Serving's own answer to a path or method it cannot read.
        known = request.path.startswith("/v1/")
        message = f"Malformed request: {request.method} {request.path}"
        return _error(message, 400 if known else 404)
    except (web.HTTPException, asyncio.CancelledError):
        raise
    except Exception as error:
        logging.exception("%s %s", request.method, request.path)
        return _error(internal(error).message, 500)


def _error(message: str, status: int) -> web.Response:
    return web.json_response({"error": message}, status=status)
