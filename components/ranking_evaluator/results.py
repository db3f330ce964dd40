"""The evaluation artifact read back, and the blessing artifact."""

from __future__ import annotations

import json
import os
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from absl import logging
from tfx import types
from tfx.components.evaluator import constants
from tfx.dsl.io import fileio
from tfx.utils import io_utils

from components.ranking_evaluator import measures, ranking
from components.ranking_evaluator.config import EvaluationConfig
from models import ranking_metrics

RANKINGS_FOLDER = "rankings"
COVERAGE_FOLDER = "coverage"


def read_rankings(
    output: str, num_users: int, config: EvaluationConfig
) -> pd.DataFrame:
    """Reads rankings/ back, sorted by user.

    Args:
        output: the evaluation artifact.
        num_users: number of test users.
        config: target rules.

    Returns:
        One row per test user, target rule and seen setting, columns of
        `ranking.RANKINGS_SCHEMA`.

    Raises:
        ValueError: rows are missing or too many.
    """
    tables = []
    pattern = os.path.join(output, RANKINGS_FOLDER, "*.parquet")
    for name in sorted(fileio.glob(pattern)):
        with fileio.open(name, "rb") as file:
            content = pa.BufferReader(file.read())
        tables.append(pq.read_table(content).to_pandas())
    rows = pd.concat(tables, ignore_index=True)
    wanted = num_users * len(config.targets)
    wanted *= len(ranking.SEEN_SETTINGS)
    if len(rows) != wanted:
        raise ValueError(
            f"{len(rows)} rankings were written, expected {wanted} for "
            f"{num_users} test users."
        )
    return rows.sort_values("user_id", kind="stable", ignore_index=True)


def model_rankings(rows: pd.DataFrame, output: str) -> measures.Settings:
    """The model's `Rankings` from the rows and from coverage/."""
    ranks = rows["rank"].fillna(ranking_metrics.UNRANKED).astype(np.int64)
    pattern = os.path.join(output, COVERAGE_FOLDER, "*.jsonl")
    lines: list[str] = []
    for name in fileio.glob(pattern):
        with fileio.open(name, "r") as file:
            lines += file.read().splitlines()
    result: measures.Settings = {}
    for line in map(json.loads, lines):
        key = (line["target_rule"], line["seen_items"])
        chosen = (rows["target_rule"] == key[0]) & (
            rows["seen_items"] == key[1]
        )
        distinct = {int(k): n for k, n in line["distinct"].items()}
        result[key] = measures.Rankings(ranks[chosen].to_numpy(), distinct)
    return result


def write_blessing(
    artifact: types.Artifact,
    model: types.Artifact,
    result: dict[str, Any],
    exec_properties: dict[str, Any],
) -> None:
    """Properties and file as TFX's own Evaluator leaves them."""
    artifact.set_string_custom_property(
        constants.ARTIFACT_PROPERTY_CURRENT_MODEL_URI_KEY, model.uri
    )
    artifact.set_int_custom_property(
        constants.ARTIFACT_PROPERTY_CURRENT_MODEL_ID_KEY, model.id
    )
    if "current_component_id" in exec_properties:
        artifact.set_string_custom_property(
            "component_id", exec_properties["current_component_id"]
        )
    if result["blessed"]:
        file, value = constants.BLESSED_FILE_NAME, constants.BLESSED_VALUE
    else:
        file = constants.NOT_BLESSED_FILE_NAME
        value = constants.NOT_BLESSED_VALUE
    io_utils.write_string_file(os.path.join(artifact.uri, file), "")
    artifact.set_int_custom_property(
        constants.ARTIFACT_PROPERTY_BLESSED_KEY, value
    )
    for check in result["checks"]:
        logging.info(
            "%s: %s (%.6g, required %.6g)",
            "passed" if check["passed"] else "FAILED",
            check["check"],
            check["value"],
            check["required"],
        )
