"""Exports a trained sequence encoder as a SavedModel that serves raw ids.

The SavedModel holds the signatures of `serving.signatures`, only the
variables these use, and no Keras object: TF Serving and a plain
`tf.saved_model.load` take it without this repository (with an approximate
index also with ScaNN's operations, see `serving.custom_ops`).
"""

from __future__ import annotations

import dataclasses
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from serving import (
    approximate,
    assets_extra,
    recommender,
    retrieval,
    signature_functions,
    signatures,
    warmup,
)
from serving.config import EXACT, SCANN, ScannConfig

ITEM_IDS_ASSET = "item_ids.txt"


def export_saved_model(
    directory: str,
    encode: Any,
    item_vectors: np.ndarray,
    item_ids: Sequence[bytes],
    popular_items: np.ndarray,
    max_history: int,
    exclude_history: bool = False,
    default_k: int = 10,
    version_info: Mapping[str, Any] | None = None,
    scann: ScannConfig | None = None,
) -> None:
    """Writes the SavedModel, its `assets.extra/` and warm-up requests.

    The signatures are those of `serving.signatures`; ids are strings, "" and
    unknown ids are skipped anywhere. Rankings are best first. `history` runs
    from oldest to newest, its newest `max_history` known items count. A
    history without a known item gets the popular items, scored by reciprocal
    rank. Excluded items never come out; where fewer than k items are left, ""
    and -inf fill the end.

    Args:
        directory: where to write, local or remote; usually a version folder.
        encode: `tf.Module`, Keras model or function of item rows,
            [batch, max_history] int64 (right-aligned, newest last, 0 pads on
            the left, at least one item per row), to [batch, d] vectors. Only
            the variables it reads are saved; lookup tables inside are not.
        item_vectors: [num_items, d] float32, without a padding row.
        item_ids: [num_items] ids; item i is row i + 1 of `encode`.
        popular_items: [n] catalogue positions from 0, most popular first;
            items left out follow in catalogue order.
        max_history: newest known items that `encode` sees.
        exclude_history: whether `serving_default` leaves out every known item
            of `history` (also those older than the newest `max_history`).
            `recommend` excludes what it is told to, nothing else.
        default_k: number of items that `serving_default` answers.
        version_info: JSON-able facts on the version, for
            `assets.extra/model.json`.
        scann: settings of an approximate index; None exports the exact one.
            A catalogue that is too small to gain by it
            (`approximate.least_items`) gets the exact one, too, and a line
            on the console says so; `index` in `assets.extra/model.json` says
            what there is. Needs the package scann, and so does loading
            (`serving.custom_ops`).

    Raises:
        ValueError: an argument is out of range or does not fit the others.
    """
    item_vectors = np.asarray(item_vectors, np.float32)
    popular_items = np.asarray(popular_items, np.int64)
    ids = [bytes(item_id) for item_id in item_ids]
    _check_catalogue(item_vectors, ids)
    _check_popular(popular_items, len(ids))
    for name, value in (("max_history", max_history), ("default_k", default_k)):
        if value < 1:
            raise ValueError(f"`{name}` must be at least 1, found {value}.")
    default_k = min(default_k, len(ids))
    popularity = retrieval.popularity_scores(popular_items, len(ids))
    settings: dict[str, Any] = {
        "num_items": len(ids),
        "embedding_dim": item_vectors.shape[1],
        "max_history": max_history,
        "exclude_history": exclude_history,
        "default_k": default_k,
        "index": _index_facts(scann, len(ids)),
        "version_info": dict(version_info or {}),
    }
    # A server that polls the folder takes saved_model.pb as the sign that the
    # version is complete, so everything else is written before it.
    _write_extra(directory, settings, _warmup_ids(ids, popularity, max_history))
    with tempfile.TemporaryDirectory() as scratch:
        # TensorFlow copies the vocabulary into the SavedModel's assets.
        vocabulary = os.path.join(scratch, ITEM_IDS_ASSET)
        with open(vocabulary, "wb") as file:
            file.write(b"\n".join(ids) + b"\n")
        index = _build_index(settings["index"], item_vectors, popularity)
        served = recommender.Recommender(
            encode, index, vocabulary, ids, max_history
        )
        _save(directory, served, exclude_history, default_k)


def _index_facts(scann: ScannConfig | None, num_items: int) -> dict[str, Any]:
    """The index that is built, as `assets.extra/model.json` names it."""
    if scann is None:
        return {"kind": EXACT}
    least = approximate.least_items(scann)
    if num_items < least:
        reason = (
            f"scann with {scann.candidates} candidates pays from {least:,} "
            f"items on, the catalogue has {num_items:,}"
        )
        print(f"[export] exact index: {reason}", flush=True)
        return {"kind": EXACT, "reason": reason}
    found = approximate.fitted(scann, num_items)
    print(
        f"[export] scann index: {found.leaves:,} leaves, "
        f"{found.leaves_to_search:,} searched for {found.candidates:,} "
        "candidates",
        flush=True,
    )
    return {"kind": SCANN, **dataclasses.asdict(found)}


def _build_index(
    facts: dict[str, Any], item_vectors: np.ndarray, popularity: np.ndarray
) -> retrieval.Index:
    exact = retrieval.build_index(item_vectors, popularity)
    if facts["kind"] == EXACT:
        return exact
    settings = {name: facts[name] for name in facts if name != "kind"}
    return approximate.ApproximateIndex(exact, ScannConfig(**settings))


def _save(
    directory: str,
    served: recommender.Recommender,
    exclude_history: bool,
    default_k: int,
) -> None:
    """Traces the signatures and saves them with what they read."""
    functions = signature_functions.build(served, exclude_history, default_k)
    traced = {
        name: _trace(function, signatures.SIGNATURES[name])
        for name, function in functions.items()
    }
    root = tf.Module()
    root.table = served.table
    # Tracking variables instead of Keras objects leaves out what serving
    # never reads (a user table, optimizer slots) and Keras' own functions.
    used = {id(v): v for f in traced.values() for v in f.variables}
    root.captured = list(used.values())
    tf.saved_model.save(root, directory, signatures=traced)


def _trace(function: Any, signature: signatures.Signature) -> Any:
    specs = [
        tf.TensorSpec(tensor.shape, tf.dtypes.as_dtype(tensor.dtype), name)
        for name, tensor in signature.inputs.items()
    ]
    return tf.function(function, autograph=False).get_concrete_function(*specs)


def _warmup_ids(
    item_ids: list[bytes], popularity: np.ndarray, max_history: int
) -> list[bytes]:
    """The most popular items, as many as a full history takes."""
    best = np.argsort(-popularity, kind="stable")[:max_history]
    return [item_ids[i] for i in best]


def _write_extra(
    directory: str, settings: dict[str, Any], history: list[bytes]
) -> None:
    """Writes what TF Serving expects beside, not in, the SavedModel."""
    path = os.path.join(directory, assets_extra.MODEL_FILE)
    tf.io.gfile.makedirs(os.path.dirname(path))
    with tf.io.gfile.GFile(path, "w") as file:
        file.write(json.dumps(settings, indent=2, sort_keys=True) + "\n")
    warmup.write(directory, warmup.requests(history, settings["default_k"]))


def _check_catalogue(item_vectors: np.ndarray, item_ids: list[bytes]) -> None:
    if item_vectors.ndim != 2 or len(item_vectors) != len(item_ids):
        raise ValueError(
            "`item_vectors` must be [num_items, d] with one row per id: "
            f"found {list(item_vectors.shape)} and {len(item_ids)} ids. The "
            "padding row does not belong to it."
        )
    if not item_ids:
        raise ValueError("The catalogue is empty: `item_ids` has no id.")
    wrong = np.flatnonzero(~np.isfinite(item_vectors).all(axis=1))
    if len(wrong):
        raise ValueError(
            f"{len(wrong)} rows of `item_vectors` are not finite, first: row "
            f"{wrong[0]} (item {item_ids[wrong[0]]!r})."
        )
    seen: set[bytes] = set()
    for position, item_id in enumerate(item_ids):
        # The vocabulary file has one id per line, and "" means padding.
        if not item_id or b"\n" in item_id or b"\r" in item_id:
            raise ValueError(
                f"Item id {item_id!r} at position {position} cannot be served: "
                "ids must not be empty or contain line breaks."
            )
        if item_id in seen:
            raise ValueError(
                f"Item id {item_id!r} occurs twice, again at position "
                f"{position}."
            )
        seen.add(item_id)


def _check_popular(popular_items: np.ndarray, num_items: int) -> None:
    outside = (popular_items < 0) | (popular_items >= num_items)
    if outside.any():
        raise ValueError(
            "`popular_items` are catalogue positions from 0 to "
            f"{num_items - 1}, found {popular_items[outside][0]} (rows of the "
            "item table are one higher)."
        )
    if len(np.unique(popular_items)) != len(popular_items):
        raise ValueError("`popular_items` names an item twice.")
