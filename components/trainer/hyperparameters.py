"""The best values of a Tuner as a file, as TFX's own Tuner names it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from tfx.dsl.io import fileio

FILE = "best_hyperparameters.txt"


def write_values(uri: str, values: Mapping[str, Any]) -> None:
    """Writes a HyperParameters artifact.

    Args:
        uri: of the artifact.
        values: by dotted name, such as `model.sequential.dropout`.
    """
    fileio.makedirs(uri)
    with fileio.open(os.path.join(uri, FILE), "w") as file:
        file.write(json.dumps({"values": dict(values)}, indent=1))


def read_values(uri: str) -> dict[str, Any]:
    """Reads what `write_values` wrote.

    Raises:
        ValueError: the file is not ours, e.g. one of KerasTuner.
    """
    path = os.path.join(uri, FILE)
    with fileio.open(path) as file:
        content = json.loads(file.read())
    values = content.get("values") if isinstance(content, dict) else None
    if not isinstance(values, dict) or set(content) != {"values"}:
        raise ValueError(
            f'{path}: expected {{"values": {{"model.…": …}}}} of this '
            "project's Tuner, found other hyperparameters."
        )
    return values
