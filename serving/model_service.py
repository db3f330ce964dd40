"""TF Serving's gRPC ModelService: states of versions, other models."""

from __future__ import annotations

import grpc
from tensorflow_serving.apis import (
    get_model_status_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
)

from serving import model_config
from serving.config_error import ConfigError
from serving.errors import ServingError, invalid
from serving.model_manager import ModelManager
from serving.prediction_service import abort


class ModelService(model_service_pb2_grpc.ModelServiceServicer):
    """GetModelStatus and HandleReloadConfigRequest.

    Args:
        manager: the models.
    """

    def __init__(self, manager: ModelManager) -> None:
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
        self,
        request: model_management_pb2.ReloadConfigRequest,
        context: grpc.aio.ServicerContext,
    ) -> model_management_pb2.ReloadConfigResponse:
        """Serves other models, versions or labels from now on."""
        try:
            try:
                models = model_config.from_proto(request.config)
            except ConfigError as error:
                raise invalid(str(error)) from error
            await self._manager.reload(models)
        except ServingError as error:
            await abort(context, error)
        response = model_management_pb2.ReloadConfigResponse()
        response.status.SetInParent()
        return response
