"""The best values of a Tuner as a file, as TFX's own Tuner names it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from tfx.dsl.io import fileio

from components.trainer.config import TrainerConfig
from models.config.together import check_together
from models.settings import with_values
from models.tuning.config import FIX_OF_WINNERS

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


def with_best(
    config: TrainerConfig, values: Mapping[str, Any]
) -> TrainerConfig:
    """The settings with the best values of a Tuner in their place.

    A stage may have `settings` for its own trials, which the configuration
    does not have, so that what was fine there may exclude each other here.

    Args:
        config: as the configuration says.
        values: of `read_search`.

    Raises:
        ValueError: they do not go together; the message names the fix.
    """
    try:
        best = with_values(config, values)
        # a missing one is found with the graph, which is read later
        check_together(best.model, best.training, has_neighbors=True)
    except ValueError as error:
        found = ", ".join(f"{name} {value}" for name, value in values.items())
        raise ValueError(
            f"The best values of `tuning` ({found}) do not go together with "
            f"the configuration: {error} {FIX_OF_WINNERS}"
        ) from error
    return best
