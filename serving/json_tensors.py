"""TF Serving's JSON bodies to Predict requests, and answers back to JSON.

The row format names `instances`, a list of values or of objects of values by
input; the column format names `inputs`, one value or an object of values by
input. Strings that are no text travel as {"b64": "..."}.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import predict_pb2

from serving.errors import invalid

ROW, COLUMN = "instances", "inputs"
_MAX_RANK = 32  # Of a numpy array.


def parse_body(body: bytes) -> dict[str, Any]:
    """The JSON object of a predict call, with one of the two formats.

    Raises:
        ServingError: INVALID_ARGUMENT.
    """
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise invalid(f"JSON Parse error: {error}") from error
    if not isinstance(parsed, dict):
        raise invalid("Request body must be a JSON object.")
    if not isinstance(parsed.get("signature_name", ""), str):
        raise invalid("'signature_name' key must be a string value.")
    if (ROW in parsed) == (COLUMN in parsed):
        raise invalid(
            f"Request must have either '{ROW}' (rows) or '{COLUMN}' (columns)."
        )
    return parsed


def to_inputs(
    body: dict[str, Any], signature: meta_graph_pb2.SignatureDef
) -> dict[str, tensor_pb2.TensorProto]:
    """Tensors by alias from what `parse_body` returned.

    Raises:
        ServingError: INVALID_ARGUMENT.
    """
    values = (
        _columns_of_rows(body[ROW], signature)
        if ROW in body
        else _named(body[COLUMN], signature, COLUMN)
    )
    for name in sorted(set(signature.inputs) - set(values)):
        raise invalid(f"Missing named input: {name}.")
    # Other names in columns are skipped, as TF Serving skips them.
    return {
        name: _to_proto(name, values[name], info.dtype)
        for name, info in signature.inputs.items()
    }


def to_json(response: predict_pb2.PredictResponse, row_format: bool) -> bytes:
    """The body of an answer in the format that the request had.

    Raises:
        ServingError: INVALID_ARGUMENT, the outputs have no common batch.
    """
    outputs = {
        name: _to_lists(name, tf.make_ndarray(proto))
        for name, proto in response.outputs.items()
    }
    single = next(iter(outputs.values())) if len(outputs) == 1 else None
    if not row_format:
        answer = {"outputs": outputs if single is None else single}
    elif single is not None:
        answer = {"predictions": single}
    else:
        shapes = [p.tensor_shape.dim for p in response.outputs.values()]
        if len({s[0].size if s else None for s in shapes}) != 1:
            raise invalid("Outputs have no common batch; use 'inputs'.")
        answer = {
            "predictions": [
                dict(zip(outputs, row, strict=True))
                for row in zip(*outputs.values(), strict=True)
            ]
        }
    # Ids that are no UTF-8 leave as the bytes they are, as in TF Serving.
    text = json.dumps(answer, ensure_ascii=False)
    return text.encode("utf-8", "surrogateescape")


def _columns_of_rows(
    rows: Any, signature: meta_graph_pb2.SignatureDef
) -> dict[str, Any]:
    if not isinstance(rows, list) or not rows:
        raise invalid(f"'{ROW}' must be a list with at least one element.")
    named = [_named(row, signature, ROW) for row in rows]
    # In rows, other than in columns, TF Serving takes the signature's alone.
    for name in sorted(set(named[0]) - set(signature.inputs)):
        raise invalid(
            f"Unknown input: {name}. Inputs expected: "
            f"{', '.join(sorted(signature.inputs))}."
        )
    for row in named[1:]:
        if row.keys() != named[0].keys():
            raise invalid(f"All objects of '{ROW}' must have the same names.")
    return {name: [row[name] for row in named] for name in named[0]}


def _named(
    value: Any, signature: meta_graph_pb2.SignatureDef, where: str
) -> dict[str, Any]:
    if isinstance(value, dict) and set(value) != {"b64"}:
        return value
    if len(signature.inputs) != 1:
        raise invalid(
            f"'{where}' must name the inputs of a signature with several: "
            f"{', '.join(sorted(signature.inputs))}."
        )
    return {next(iter(signature.inputs)): value}


def _to_proto(name: str, value: Any, number: int) -> tensor_pb2.TensorProto:
    dtype = tf.dtypes.as_dtype(number)
    shape: list[int] = []
    probe = value
    while isinstance(probe, list):
        shape.append(len(probe))
        if not probe:
            break
        probe = probe[0]
    if len(shape) > _MAX_RANK:
        raise invalid(
            f"Input {name} has {len(shape)} dimensions, at most {_MAX_RANK} "
            "can be read."
        )
    flat: list[Any] = []
    _flatten(name, value, shape, _converter(name, dtype), flat)
    try:
        array = np.array(flat, dtype.as_numpy_dtype).reshape(shape)
    except (OverflowError, ValueError) as error:
        raise invalid(f"Input {name}: {error}") from error
    return tf.make_tensor_proto(array, dtype, shape)


def _flatten(
    name: str,
    value: Any,
    shape: list[int],
    convert: Callable[[Any], Any],
    flat: list[Any],
) -> None:
    """Appends the leaves of a nested list that must have `shape`."""
    if not shape:
        flat.append(convert(value))
        return
    if not isinstance(value, list) or len(value) != shape[0]:
        raise invalid(
            f"Input {name} is ragged: lists of one level must have equal "
            'lengths (fill histories with "").'
        )
    for element in value:
        _flatten(name, element, shape[1:], convert, flat)


def _converter(name: str, dtype: tf.DType) -> Callable[[Any], Any]:
    """What turns a JSON leaf into a value of `dtype`, or refuses it."""

    def convert(value: Any) -> Any:
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if dtype == tf.string:
            if isinstance(value, str):
                return value.encode("utf-8", "surrogatepass")
            if isinstance(value, dict) and set(value) == {"b64"}:
                return _decode(name, value["b64"])
        elif dtype == tf.bool and isinstance(value, bool):
            return value
        elif dtype.is_integer and number and isinstance(value, int):
            return value
        elif dtype.is_floating and number:
            return value
        raise invalid(
            f"JSON Value: {json.dumps(value)[:40]} is not of the type of "
            f"input {name}: {dtype.name}."
        )

    return convert


def _decode(name: str, text: Any) -> bytes:
    """The bytes; the padding may be left out, as in TF Serving."""
    try:
        padding = "" if "=" in text else "=" * (-len(text) % 4)
        return base64.b64decode(text + padding, validate=True)
    except (TypeError, ValueError, binascii.Error) as error:
        raise invalid(f"Input {name}: invalid base64: {error}") from error


def _to_lists(name: str, array: np.ndarray) -> Any:
    if array.dtype != object:
        return array.tolist()
    as_base64 = name.endswith("_bytes")
    flat = [
        {"b64": base64.b64encode(value).decode()}
        if as_base64
        else value.decode("utf-8", "surrogateescape")
        for value in array.ravel()
    ]
    nested = np.empty(array.size, object)
    nested[:] = flat
    return nested.reshape(array.shape).tolist()
