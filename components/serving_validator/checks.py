"""Asks a served model what was measured, and compares."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from typing import Any

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_metadata.proto.v0 import schema_pb2
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from components.raw_ids import text
from components.serving_validator.requests import MeasuredRequest
from serving import signatures, warmup

# The evaluator ranks hundreds of users at once, the server one, and a GPU may
# multiply with ten bits: scores differ by that much, and near ties change
# places. They may do so across the end of the list, so some more are asked for.
_TOLERANCE = 1e-3
_BEYOND = 10
_TIMEOUT = 60.0


@dataclasses.dataclass(frozen=True)
class Check:
    """One thing that a model must do.

    Attributes:
        name: what it must do.
        passed: whether it does.
        detail: what was found.
    """

    name: str
    passed: bool
    detail: str


class ServerProbe:
    """Speaks to a server; all checks but that on latency.

    Args:
        channel: to the server.
        model_name: name of the model.
    """

    def __init__(self, channel: grpc.Channel, model_name: str) -> None:
        self._stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        self._model_name = model_name

    def ask(self, signature: str, **inputs: Any) -> dict[str, np.ndarray]:
        """Answers of a signature by output.

        Raises:
            grpc.RpcError: the server refuses.
        """
        answer = self.predict(warmup.request(signature, **inputs))
        return {
            name: tf.make_ndarray(proto)
            for name, proto in answer.outputs.items()
        }

    def predict(
        self, request: predict_pb2.PredictRequest
    ) -> predict_pb2.PredictResponse:
        """Sends a request to the model, whatever name it carries."""
        request.model_spec.name = self._model_name
        return self._stub.Predict(request, timeout=_TIMEOUT)

    def check_signatures(self, schema: schema_pb2.Schema) -> Check:
        """The signatures are those of the table and fit the schema."""
        request = get_model_metadata_pb2.GetModelMetadataRequest()
        request.model_spec.name = self._model_name
        request.metadata_field.append("signature_def")
        answer = self._stub.GetModelMetadata(request, timeout=_TIMEOUT)
        found = get_model_metadata_pb2.SignatureDefMap()
        answer.metadata["signature_def"].Unpack(found)
        wrong = signatures.differences(found.signature_def)
        wrong += _schema_differences(schema)
        return Check(
            "signatures are the published ones and fit the schema",
            not wrong,
            "; ".join(wrong) or f"{len(signatures.SIGNATURES)} signatures",
        )

    def check_answers(self, requests: Sequence[MeasuredRequest]) -> Check:
        """The answers are those that were measured."""
        wrong = [text for r in requests for text in self._compare(r)]
        return Check(
            f"answers to {len(requests)} requests are those measured",
            not wrong,
            wrong[0] if wrong else "all equal",
        )

    def check_repeats(self, requests: Sequence[MeasuredRequest]) -> Check:
        """The same request gets the same bytes again."""
        changed = [
            r.user_id
            for r in requests
            if self._recommend(r, 10) != self._recommend(r, 10)
        ]
        return Check(
            "a repeated request gets the same answer",
            not changed,
            f"differs for user {changed[0]!r}" if changed else "always",
        )

    def check_strangers(self) -> Check:
        """Users without a known item get items with finite scores."""
        try:
            answer = self.ask("serving_default", history=[[""], ["\x00no id"]])
        except grpc.RpcError as error:
            return Check("unknown users are answered", False, f"{error}")
        finite = np.isfinite(answer["scores"]).all()
        same = (answer["item_ids"][0] == answer["item_ids"][1]).all()
        return Check(
            "unknown users are answered",
            bool(finite and same and answer["item_ids"].all()),
            f"scores finite: {finite}, same for both: {same}",
        )

    def latencies(
        self, requests: Sequence[MeasuredRequest], number: int
    ) -> np.ndarray:
        """[number] milliseconds of requests one after another."""
        prepared = [_request(r, 10) for r in requests]
        taken = np.empty(number)
        for index in range(number):
            start = time.perf_counter()
            self.predict(prepared[index % len(prepared)])
            taken[index] = 1e3 * (time.perf_counter() - start)
        return taken

    def _recommend(self, request: MeasuredRequest, k: int) -> bytes:
        outputs = self.predict(_request(request, k)).outputs
        return b"".join(
            outputs[name].SerializeToString(deterministic=True)
            for name in sorted(outputs)
        )

    def _compare(self, request: MeasuredRequest) -> list[str]:
        """What is wrong with the answer to one request; near ties are not."""
        wanted = len(request.items)
        answer = self.predict(_request(request, wanted + _BEYOND)).outputs
        found = tf.make_ndarray(answer["item_ids"])[0]
        scores = tf.make_ndarray(answer["scores"])[0]
        served = {text(i): s for i, s in zip(found, scores, strict=True) if i}
        far = [
            item
            for item, score in zip(request.items, scores, strict=False)
            if item not in served
            or abs(served[item] - score) > _TOLERANCE * max(1, abs(score))
        ]
        if not far and len(served) >= wanted:
            return []
        return [
            f"user {request.user_id!r}: served {list(served)[:wanted]}, "
            f"measured {request.items}"
        ]


def _request(request: MeasuredRequest, k: int) -> predict_pb2.PredictRequest:
    # "" is a pad; where a server joins requests it fills with the first one.
    return warmup.request(
        signatures.RECOMMEND,
        history=[[b"", *request.history]],
        exclude=[[b"", *request.exclude]],
        k=k,
    )


def warmup_requests(
    requests: Sequence[MeasuredRequest],
) -> list[predict_pb2.PredictRequest]:
    """Real requests for a server to replay before it takes others."""
    return [
        message
        for request in requests
        for message in (
            warmup.request("serving_default", history=[request.history]),
            warmup.request(
                "recommend_batch",
                history=[[b"", *request.history]],
                exclude=[[b"", *request.exclude]],
                k=[10],
            ),
        )
    ]


def _schema_differences(schema: schema_pb2.Schema) -> list[str]:
    """Where the ids of the log are not what the signatures take."""
    kinds = {
        f.name: schema_pb2.FeatureType.Name(f.type) for f in schema.feature
    }
    if kinds.get("item_ids") != "BYTES":
        return [
            "feature item_ids of the schema must be BYTES, as `history` is "
            f"string, found {kinds.get('item_ids')}"
        ]
    return []
