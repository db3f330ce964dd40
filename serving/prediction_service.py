"""TF Serving's gRPC PredictionService over the loaded versions."""

from __future__ import annotations

import asyncio
from concurrent import futures
from typing import Any, NoReturn

import grpc
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from serving.errors import ServingError, invalid, unimplemented
from serving.model_manager import ModelManager
from serving.monitoring import Metrics

SIGNATURE_DEF_FIELD = "signature_def"


async def abort(
    context: grpc.aio.ServicerContext, error: ServingError
) -> NoReturn:
    """Ends the call with the error's code and message."""
    await context.abort(error.code, error.message)
    raise AssertionError("abort always raises")


class PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Predict and GetModelMetadata; the rest is UNIMPLEMENTED.

    Args:
        manager: the models.
        pool: where models run, so that the event loop never waits for one.
        metrics: where calls are counted.
    """

    def __init__(
        self,
        manager: ModelManager,
        pool: futures.ThreadPoolExecutor,
        metrics: Metrics,
    ) -> None:
        self._manager = manager
        self._pool = pool
        self._metrics = metrics

    async def Predict(  # noqa: N802
        self,
        request: predict_pb2.PredictRequest,
        context: grpc.aio.ServicerContext,
    ) -> predict_pb2.PredictResponse:
        """Runs a signature of the model."""
        try:
            with self._metrics.measure(request.model_spec.name, "GRPC"):
                if not request.HasField("model_spec"):
                    raise invalid("Missing ModelSpec")
                with self._manager.use(request.model_spec) as servable:
                    return await asyncio.get_running_loop().run_in_executor(
                        self._pool, servable.predict, request
                    )
        except ServingError as error:
            await abort(context, error)

    async def GetModelMetadata(  # noqa: N802
        self,
        request: get_model_metadata_pb2.GetModelMetadataRequest,
        context: grpc.aio.ServicerContext,
    ) -> get_model_metadata_pb2.GetModelMetadataResponse:
        """Describes the signatures of the model."""
        try:
            _check_metadata_request(request)
            with self._manager.use(request.model_spec) as servable:
                response = get_model_metadata_pb2.GetModelMetadataResponse(
                    model_spec=servable.model_spec()
                )
                signatures = get_model_metadata_pb2.SignatureDefMap()
                for name, signature in servable.signature_defs.items():
                    signatures.signature_def[name].CopyFrom(signature)
        except ServingError as error:
            await abort(context, error)
        response.metadata[SIGNATURE_DEF_FIELD].Pack(signatures)
        return response

    async def Classify(  # noqa: N802
        self, request: Any, context: grpc.aio.ServicerContext
    ) -> NoReturn:
        """Not for recommenders: it takes tf.Examples and names classes."""
        await abort(context, unimplemented("Classify"))

    async def Regress(  # noqa: N802
        self, request: Any, context: grpc.aio.ServicerContext
    ) -> NoReturn:
        """Not for recommenders: it takes tf.Examples and answers values."""
        await abort(context, unimplemented("Regress"))

    async def MultiInference(  # noqa: N802
        self, request: Any, context: grpc.aio.ServicerContext
    ) -> NoReturn:
        """Several of the two above at once."""
        await abort(context, unimplemented("MultiInference"))


def _check_metadata_request(
    request: get_model_metadata_pb2.GetModelMetadataRequest,
) -> None:
    if not request.HasField("model_spec"):
        raise invalid("Missing ModelSpec")
    if not request.metadata_field:
        raise invalid(
            "GetModelMetadataRequest must specify at least one metadata_field"
        )
    for field in request.metadata_field:
        if field != SIGNATURE_DEF_FIELD:
            raise invalid(f"Metadata field {field} is not supported")
