"""The evaluation artifact read back, and the blessing artifact."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from absl import logging
from tfx import types
from tfx.components.evaluator import constants
from tfx.dsl.io import fileio
from tfx.utils import io_utils

from components import rankings
from components.histories import Histories
from components.ranking_evaluator import measures, ranking
from components.raw_ids import text
from components.targets import Targets
from models.metrics import ranking as ranking_metrics

COVERAGE_FOLDER = "coverage"


def _large(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_list(kind):
        return pa.list_(_large(kind.value_type))
    return pa.large_string() if pa.types.is_string(kind) else kind


# Rows are put into another order, for which Arrow puts all texts of a column
# together; `string` can address 2 GiB of them, less than the top items of some
# million targets.
SCHEMA = pa.schema(
    [pa.field(field.name, _large(field.type)) for field in rankings.SCHEMA]
)

# Which target of which user a row is about.
_KEYS = ["user_id", "target_position"]

# (target rule, seen setting) to a row per target: `rank`, or all of `SCHEMA`.
Tables = Mapping[tuple[str, str], pa.Table]


def read_rankings(
    output: str,
    test: Histories,
    targets: Mapping[str, Targets],
    shown: tuple[str, str] | None = None,
) -> Tables:
    """Reads rankings/ back.

    Args:
        output: the evaluation artifact.
        test: histories of the test users.
        targets: target rule to what was to be ranked.
        shown: the target rule and seen setting of which all columns are
            wanted. Of the others there is `rank` alone: with `all` the same
            top items stand in the row of each target of a request.

    Returns:
        For each target rule and seen setting a row per target, in their
        order.

    Raises:
        ValueError: rows are missing, too many or of other targets.
    """
    tables = {}
    for rule, chosen in targets.items():
        for seen in ranking.SEEN_SETTINGS:
            columns = SCHEMA.names if (rule, seen) == shown else ["rank"]
            rows = _of_setting(output, rule, seen, [*_KEYS, *columns])
            order = _order(rows, test, chosen)
            tables[rule, seen] = rows.select(columns).take(order)
    return tables


def _of_setting(
    output: str, rule: str, seen: str, columns: list[str]
) -> pa.Table:
    """The rows of one setting alone, as they come."""
    filters = [("target_rule", "=", rule), ("seen_items", "=", seen)]
    names = list(dict.fromkeys(columns))
    schema = pa.schema([SCHEMA.field(name) for name in names])
    return pa.concat_tables(
        table.cast(schema) for table in rankings.read(output, filters, names)
    )


def _order(rows: pa.Table, test: Histories, targets: Targets) -> np.ndarray:
    """[num_targets] the row of each target."""
    names = np.array([text(u) for u in test.user_ids], object)
    # Ids that are not UTF-8 need not sort as their texts do.
    wanted = pd.DataFrame(
        {"user_id": names[targets.owners], "target_position": targets.positions}
    ).sort_values(_KEYS, kind="stable")
    found = rows.select(_KEYS).to_pandas().sort_values(_KEYS, kind="stable")
    if len(found) != len(wanted) or (found.values != wanted.values).any():
        raise ValueError(
            f"{len(found)} rankings were written that are not those of the "
            f"{len(wanted)} targets of {test.num_users} test users."
        )
    order = np.empty(len(found), np.int64)
    order[wanted.index] = found.index
    return order


def model_rankings(tables: Tables, output: str) -> measures.Settings:
    """The model's `Rankings` from the rows and from coverage/."""
    pattern = os.path.join(output, COVERAGE_FOLDER, "*.jsonl")
    lines: list[str] = []
    for name in fileio.glob(pattern):
        with fileio.open(name, "r") as file:
            lines += file.read().splitlines()
    result: measures.Settings = {}
    for line in map(json.loads, lines):
        key = (line["target_rule"], line["seen_items"])
        ranks = pc.fill_null(tables[key]["rank"], ranking_metrics.UNRANKED)
        distinct = {int(k): n for k, n in line["distinct"].items()}
        result[key] = measures.Rankings(
            ranks.to_numpy().astype(np.int64), distinct
        )
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
            "%s: %s (%s, required %s)",
            "passed" if check["passed"] else "FAILED",
            check["check"],
            check["value"],
            check["required"],
        )
