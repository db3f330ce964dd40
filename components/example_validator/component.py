"""StrictExampleValidator: an anomaly in the examples stops the run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from tensorflow_metadata.proto.v0 import (
    anomalies_pb2,
    schema_pb2,
    statistics_pb2,
)
from tfx import types
from tfx.components.example_validator import component as stock
from tfx.components.example_validator import executor as stock_executor
from tfx.components.statistics_gen import stats_artifact_utils
from tfx.dsl.components.base import executor_spec
from tfx.dsl.io import fileio
from tfx.types import artifact_utils
from tfx.utils import io_utils


class AnomaliesError(ValueError):
    """The examples do not match the curated schema; says how, in words."""


class Executor(stock_executor.Executor):
    """The stock executor, and an error where it found an anomaly."""

    def Do(  # noqa: N802
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> Any:
        """Validates the statistics of all splits against the schema.

        Raises:
            AnomaliesError: there is an anomaly, in any split.
        """
        result = super().Do(input_dict, output_dict, exec_properties)
        statistics = artifact_utils.get_single_instance(
            input_dict["statistics"]
        )
        artifact = artifact_utils.get_single_instance(output_dict["anomalies"])
        schema = io_utils.SchemaReader().read(
            io_utils.get_only_uri_in_dir(
                artifact_utils.get_single_uri(input_dict["schema"])
            )
        )
        lines = []
        for split in artifact_utils.decode_split_names(artifact.split_names):
            anomalies = _read_anomalies([artifact], split)
            found = stats_artifact_utils.load_statistics(
                statistics, split
            ).proto()
            lines += list(describe_anomalies(anomalies, found, schema))
        if lines:
            raise AnomaliesError(
                "The examples do not match the curated schema "
                "(pipeline/schema/schema.pbtxt):\n"
                + "\n".join(f"  {line}" for line in lines)
                + "\nCorrect the logs or how they are read (the `logs` keys "
                "of the configuration), or change the schema if this data is "
                "right."
            )
        return result


class StrictExampleValidator(stock.ExampleValidator):
    """ExampleValidator that fails on any anomaly instead of noting it."""

    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)


def describe_anomalies(
    anomalies: anomalies_pb2.Anomalies,
    statistics: statistics_pb2.DatasetFeatureStatisticsList,
    schema: schema_pb2.Schema,
) -> Iterator[str]:
    """Yields a sentence per anomaly, with what was found and expected.

    Args:
        anomalies: of one split.
        statistics: of the same split.
        schema: what the split was checked against.
    """
    domains = {feature.name: feature.int_domain for feature in schema.feature}
    for reason in anomalies.dataset_anomaly_info.reason:
        yield f"all examples: {_words(reason)}"
    for feature, info in sorted(anomalies.anomaly_info.items()):
        found = _found(feature, statistics, domains.get(feature))
        for reason in info.reason:
            yield f"`{feature}`: {_words(reason)}{found}"


def _words(reason: anomalies_pb2.AnomalyInfo.Reason) -> str:
    title, text = reason.short_description, reason.description.strip()
    title = title.rstrip(".")
    return f"{title}: {text.rstrip('.')}." if text else f"{title}."


def _found(
    feature: str,
    statistics: statistics_pb2.DatasetFeatureStatisticsList,
    domain: schema_pb2.IntDomain | None,
) -> str:
    """Range of a feature's values, the range expected, a likely cause."""
    for dataset in statistics.datasets:
        for column in dataset.features:
            name = column.name or ".".join(column.path.step)
            if name != feature or not column.HasField("num_stats"):
                continue
            low, high = column.num_stats.min, column.num_stats.max
            text = f" Found {low:.0f} to {high:.0f}"
            if domain is None or not domain.max:
                return f"{text}."
            text += f", expected {domain.min} to {domain.max}."
            if feature == "timestamps" and high > domain.max:
                text += _late_times(low, domain.max)
            return text
    return ""


def _late_times(first: float, latest: int) -> str:
    """What to do about times after `latest`, the first of all is `first`."""
    text = (
        " `logs.latest_time: now`, or a date before that limit, sets rows of "
        "later times aside; without it they stop the run."
    )
    # A wrong unit moves all times, a wrong row only its own.
    if first > latest:
        text += (
            " All times are that late: is `logs.time_unit` right? "
            "Milliseconds read as seconds are."
        )
    return text


def _read_anomalies(
    artifacts: list[types.Artifact], split: str
) -> anomalies_pb2.Anomalies:
    path = os.path.join(
        artifact_utils.get_split_uri(artifacts, split),
        stock_executor.DEFAULT_FILE_NAME,
    )
    with fileio.open(path, "rb") as stream:
        return anomalies_pb2.Anomalies.FromString(stream.read())
