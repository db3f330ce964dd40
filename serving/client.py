"""Asks a server (this one or TF Serving) for recommendations.

    python -m serving.client --history id1,id2 --exclude id3 --k 10

Items of the history do not come out unless told otherwise (--keep_seen).
TensorFlow is imported by the first request only, so that the command line
answers quickly and its logging can be silenced.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import grpc

from serving import argument_types, id_rows

# Other than `recommend`, a server that joins requests can answer it too.
SIGNATURE = "recommend_batch"


class Recommendation(NamedTuple):
    """An item and its score."""

    item_id: str
    score: float


def connect(target: str) -> grpc.Channel:
    """A channel to `host:port` that takes answers of any size."""
    host = target.rsplit(":", 1)[0]
    options = [("grpc.max_receive_message_length", -1)]
    if host in ("localhost", "127.0.0.1", "[::1]"):
        # gRPC would send even this through a proxy of the environment.
        options.append(("grpc.enable_http_proxy", 0))
    return grpc.insecure_channel(target, options=options)


def recommend(
    stub_or_target: Any,
    history: Sequence[str],
    exclude: Sequence[str] = (),
    k: int = 10,
    *,
    keep_seen: bool = False,
    model_name: str = "create",
    version: int | None = None,
    timeout: float = 10.0,
) -> list[Recommendation]:
    """The best items after one history, without those in it.

    Signature `serving_default` does as `evaluation.seen_items` said at export
    and cannot be asked which; this does as told, whatever the model.

    Args:
        stub_or_target: `PredictionServiceStub`, or `host:port` to connect to
            for this one call.
        history: item ids, oldest first; unknown ids are skipped. Bytes that
            are no UTF-8 stand in texts as answers have them
            (surrogateescape).
        exclude: further item ids that must not come out.
        k: how many items.
        keep_seen: whether items of the history may come out, too.
        model_name: name of the served model.
        version: version to ask, the newest without one.
        timeout: seconds to wait for the answer.

    Returns:
        at most k items, best first; fewer where the catalogue has no more.

    Raises:
        grpc.RpcError: the server cannot be reached or refuses the request.
        TypeError: ids are no texts, or one text stands for all of them.
    """
    import tensorflow as tf
    from tensorflow_serving.apis import (
        predict_pb2,
        prediction_service_pb2_grpc,
    )

    if isinstance(stub_or_target, str):
        with connect(stub_or_target) as channel:
            return recommend(
                prediction_service_pb2_grpc.PredictionServiceStub(channel),
                history,
                exclude,
                k,
                keep_seen=keep_seen,
                model_name=model_name,
                version=version,
                timeout=timeout,
            )
    request = predict_pb2.PredictRequest()
    request.model_spec.name = model_name
    request.model_spec.signature_name = SIGNATURE
    if version is not None:
        request.model_spec.version.value = version
    asked, excluded = _raw("history", history), _raw("exclude", exclude)
    if not keep_seen:
        excluded = [*asked, *excluded]
    for name, ids in (("history", asked), ("exclude", excluded)):
        # Joined with longer requests, TF Serving fills this one up with its
        # first element: that must be "", which means nothing.
        request.inputs[name].CopyFrom(
            tf.make_tensor_proto([[b"", *ids]], tf.string)
        )
    request.inputs["k"].CopyFrom(tf.make_tensor_proto([k], tf.int32))
    outputs = stub_or_target.Predict(request, timeout=timeout).outputs
    item_ids = tf.make_ndarray(outputs["item_ids"])[0]
    scores = tf.make_ndarray(outputs["scores"])[0]
    return [
        Recommendation(item_id.decode("utf-8", "surrogateescape"), float(score))
        for item_id, score in zip(item_ids, scores, strict=True)
        if item_id
    ]


def _raw(name: str, ids: Sequence[str]) -> list[bytes]:
    """Item ids as the bytes that the model knows."""
    if isinstance(ids, (str, bytes)):
        raise TypeError(
            f"`{name}` must be a list of item ids, found the text {ids!r}, "
            f"which would be asked letter by letter. Fix: [{ids!r}]."
        )
    return [_id_bytes(name, item_id) for item_id in ids]


def _id_bytes(name: str, item_id: Any) -> bytes:
    if isinstance(item_id, bytes):
        return item_id
    if isinstance(item_id, str):
        return item_id.encode("utf-8", "surrogateescape")
    raise TypeError(
        f"`{name}` must hold item ids as texts, found "
        f"{type(item_id).__name__}: {item_id!r}. Fix: str({item_id!r})."
    )


def explain(error: grpc.RpcError, target: str) -> str:
    """One line on what went wrong and what to do."""
    code, details = error.code(), " ".join((error.details() or "").split())
    if code == grpc.StatusCode.UNAVAILABLE and "http1.x server" in details:
        return (
            f"{target} speaks HTTP, not gRPC: it is a REST port? Fix: give "
            "HOST:PORT of the gRPC port (the server's --port, 8500 unless it "
            "says otherwise) as --target."
        )
    if code == grpc.StatusCode.UNAVAILABLE:
        return (
            f"No server can be reached at {target}. Start one: python -m "
            "serving.server --model_base_path DIR, or name another --target."
        )
    if code == grpc.StatusCode.NOT_FOUND:
        return (
            f"{target} does not serve that model or version: {details}. "
            "See --model_name and --version."
        )
    if code == grpc.StatusCode.DEADLINE_EXCEEDED:
        return f"{target} did not answer in time; raise --timeout."
    return f"{target} refused the request: {code.name}: {details}"


def format_table(recommendations: Sequence[Recommendation]) -> str:
    """Rank, item id and score in columns."""
    width = max([len("item id"), *(len(r.item_id) for r in recommendations)])
    lines = [f"{'rank':>4}  {'item id':<{width}}  {'score':>10}"]
    lines += [
        f"{rank:>4}  {item_id:<{width}}  {score:>10.4f}"
        for rank, (item_id, score) in enumerate(recommendations, start=1)
    ]
    return "\n".join(lines)


def _item_ids(text: str) -> list[str]:
    try:
        return id_rows.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m serving.client",
        description="Asks a server for recommendations.",
    )
    add = parser.add_argument
    add(
        "--history",
        type=_item_ids,
        action="extend",
        required=True,
        help="item ids, oldest first, as a row of CSV (an id with a comma in "
        "double quotes); may be empty, and repeated for more ids",
    )
    add(
        "--exclude",
        type=_item_ids,
        action="extend",
        default=[],
        help="further ids to leave out, likewise",
    )
    add(
        "--keep_seen",
        action="store_true",
        help="let items of the history come out, too",
    )
    add(
        "--k",
        type=argument_types.positive,
        default=10,
        help="number of items",
    )
    add(
        "--target",
        type=argument_types.target,
        default="127.0.0.1:8500",
        help="host:port of the server's gRPC",
    )
    add("--model_name", default="create")
    add(
        "--version",
        type=argument_types.version,
        help="the newest without it",
    )
    add("--timeout", type=float, default=10.0, help="seconds")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints a table of recommendations; returns the exit code."""
    flags = _parse(arguments)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    warnings.simplefilter("ignore", FutureWarning)
    try:
        recommendations = recommend(
            flags.target,
            flags.history,
            flags.exclude,
            flags.k,
            keep_seen=flags.keep_seen,
            model_name=flags.model_name,
            version=flags.version,
            timeout=flags.timeout,
        )
    except grpc.RpcError as error:
        print(f"error: {explain(error, flags.target)}", file=sys.stderr)
        return 1
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Ids that are no UTF-8 leave as the bytes they are.
        sys.stdout.reconfigure(errors="surrogateescape")
    print(format_table(recommendations))
    return 0


if __name__ == "__main__":
    sys.exit(main())
