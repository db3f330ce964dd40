"""The best values of a Tuner as a file, as TFX's own Tuner names it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from tfx.dsl.io import fileio

FILE = "best_hyperparameters.txt"


def write_search(
    uri: str,
    values: Mapping[str, Any],
    stages: Sequence[Mapping[str, Any]],
) -> None:
    """Writes a HyperParameters artifact.

    Args:
        uri: of the artifact.
        values: the best ones by dotted name, such as
            `model.sequential.dropout`.
        stages: how they were found, of `models.tuning.study.StageResult`.
    """
    fileio.makedirs(uri)
    content = {"values": dict(values), "stages": list(stages)}
    with fileio.open(os.path.join(uri, FILE), "w") as file:
        file.write(json.dumps(content, indent=1))


def read_search(uri: str) -> dict[str, Any]:
    """Reads what `write_search` wrote: `values` and `stages`.

    Raises:
        ValueError: the file is not ours, e.g. one of KerasTuner.
    """
    path = os.path.join(uri, FILE)
    with fileio.open(path) as file:
        content = json.loads(file.read())
    if not isinstance(content, dict) or set(content) != {"values", "stages"}:
        raise ValueError(
            f"{path}: expected `values` and `stages` of this project's Tuner, "
            "found other hyperparameters."
        )
    return content
