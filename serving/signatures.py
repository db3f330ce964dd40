"""The signatures of the exported model, defined once.

Export builds them from this table, and the ServingValidator compares the
SavedModel with it. No TensorFlow is imported here, so that clients are quick.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

# Requests beyond these are refused: a message of a few bytes could ask for
# more memory than any machine has.
MAX_ROWS = 65_536
MAX_ANSWERS = 2**24

HISTORY = "history"
SERVING_DEFAULT = "serving_default"
RECOMMEND = "recommend"
RECOMMEND_BATCH = "recommend_batch"
SCORE = "score"
USER_VECTOR = "user_vector"
ITEM_VECTORS = "item_vectors"


@dataclasses.dataclass(frozen=True)
class Tensor:
    """Type and shape of an input or output; None is any size."""

    dtype: str
    shape: tuple[int | None, ...]


@dataclasses.dataclass(frozen=True)
class Signature:
    """Inputs and outputs by name."""

    inputs: Mapping[str, Tensor]
    outputs: Mapping[str, Tensor]


_IDS = Tensor("string", (None, None))
_SCORES = Tensor("float32", (None, None))
_COUNT = Tensor("int32", ())
_RANKING = {"item_ids": _IDS, "scores": _SCORES}

SIGNATURES: Mapping[str, Signature] = {
    SERVING_DEFAULT: Signature({HISTORY: _IDS}, _RANKING),
    RECOMMEND: Signature(
        {HISTORY: _IDS, "exclude": _IDS, "k": _COUNT}, _RANKING
    ),
    RECOMMEND_BATCH: Signature(
        {HISTORY: _IDS, "exclude": _IDS, "k": Tensor("int32", (None,))},
        _RANKING,
    ),
    SCORE: Signature({HISTORY: _IDS, "candidates": _IDS}, {"scores": _SCORES}),
    USER_VECTOR: Signature(
        {HISTORY: _IDS},
        {"vectors": _SCORES, "known_items": Tensor("int32", (None,))},
    ),
    ITEM_VECTORS: Signature(
        {"start": Tensor("int64", ()), "count": _COUNT},
        {"item_ids": Tensor("string", (None,)), "vectors": _SCORES},
    ),
}


def differences(signature_defs: Mapping[str, Any]) -> list[str]:
    """What a SavedModel's signatures lack or have otherwise, in words.

    Args:
        signature_defs: SignatureDef protos by name.
    """
    found = []
    for name, signature in SIGNATURES.items():
        if name not in signature_defs:
            found.append(f"signature {name} is missing")
            continue
        given = signature_defs[name]
        for side in ("inputs", "outputs"):
            expected = getattr(signature, side)
            for text in _compare(getattr(given, side), expected):
                found.append(f"signature {name}, {side}: {text}")
    return found


def _compare(
    given: Mapping[str, Any], expected: Mapping[str, Tensor]
) -> Iterable[str]:
    if set(given) != set(expected):
        yield f"expected {sorted(expected)}, found {sorted(given)}"
        return
    for name, tensor in expected.items():
        text = _in_words(given[name])
        if text not in (_words(tensor), f"{tensor.dtype} of any rank"):
            yield f"{name} must be {_words(tensor)}, found {text}"


def _words(tensor: Tensor) -> str:
    return f"{tensor.dtype} of rank {len(tensor.shape)}"


def _in_words(info: Any) -> str:
    import tensorflow as tf

    dtype = tf.dtypes.as_dtype(info.dtype).name
    if info.tensor_shape.unknown_rank:
        return f"{dtype} of any rank"
    return f"{dtype} of rank {len(info.tensor_shape.dim)}"
