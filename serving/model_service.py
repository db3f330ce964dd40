"""TF Serving's gRPC ModelService: which versions are in which state."""

from __future__ import annotations

from typing import Any, NoReturn

import grpc
from tensorflow_serving.apis import (
    get_model_status_pb2,
    model_service_pb2_grpc,
)

from serving.errors import ServingError, invalid, unimplemented
from serving.prediction_service import abort
from serving.versions import VersionManager


class ModelService(model_service_pb2_grpc.ModelServiceServicer):
    """GetModelStatus; other models cannot be configured at run time.

    Args:
        manager: the versions of the model.
    """

    def __init__(self, manager: VersionManager) -> None:
        self._manager = manager

    async def GetModelStatus(  # noqa: N802
        self,
        request: get_model_status_pb2.GetModelStatusRequest,
        context: grpc.aio.ServicerContext,
    ) -> get_model_status_pb2.GetModelStatusResponse:
        """States of all versions seen, or of the one asked for."""
        try:
            if not request.HasField("model_spec"):
                raise invalid("Missing ModelSpec")
            statuses = self._manager.statuses(request.model_spec)
        except ServingError as error:
            await abort(context, error)
        return get_model_status_pb2.GetModelStatusResponse(
            model_version_status=statuses
        )

    async def HandleReloadConfigRequest(  # noqa: N802
        self, request: Any, context: grpc.aio.ServicerContext
    ) -> NoReturn:
        """The local server serves the one model it was started with."""
        await abort(
            context,
            unimplemented("HandleReloadConfigRequest (one model per server)"),
        )
