"""TFDV's own comparison of the periods, in numbers and words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import tensorflow_data_validation as tfdv
from tensorflow_metadata.proto.v0 import (
    anomalies_pb2,
    schema_pb2,
    statistics_pb2,
)

from components.period_statistics.config import DriftConfig

LABELS = {
    "item_id": "Item popularity",
    "popularity": "Train popularity of the chosen items",
    "gap": "The gap between events",
    "hour_of_day": "The hour of day",
    "day_of_week": "The day of week",
    "position": "The position in the history",
}
_MEASURES = {
    anomalies_pb2.DriftSkewInfo.Measurement.L_INFTY: "L-infinity",
    anomalies_pb2.DriftSkewInfo.Measurement.JENSEN_SHANNON_DIVERGENCE: (
        "Jensen-Shannon divergence"
    ),
}
# TFDV merges sums in an order that Beam chooses: the last digits vary.
_DIGITS = 6

Statistics: TypeAlias = statistics_pb2.DatasetFeatureStatisticsList


def measure(
    statistics: Mapping[str, Statistics], config: DriftConfig
) -> list[dict[str, Any]]:
    """Compares validation and test with train.

    In TFDV's words, validation is checked for drift against train, the data
    before it, and train for skew against test, which stands for what will be
    asked for once the model is served.

    Args:
        statistics: of `train`, `validation` and `test`.
        config: thresholds.

    Returns:
        One entry per comparison and feature: `from`, `to`, `feature`,
        `measure`, `value`, `threshold` and `moved`. Periods without events
        are not compared.
    """
    schema = _schema(config)
    found = []
    train = statistics["train"]
    for period in ("validation", "test"):
        other = statistics[period]
        if not (_num_examples(train) and _num_examples(other)):
            continue
        if period == "validation":
            anomalies = tfdv.validate_statistics(
                other, schema, previous_statistics=train
            )
        else:
            anomalies = tfdv.validate_statistics(
                train, schema, serving_statistics=other
            )
        found += _read(anomalies, period, config)
    return found


def _schema(config: DriftConfig) -> schema_pb2.Schema:
    """Comparators and nothing else."""
    schema = schema_pb2.Schema()
    for name, threshold in config.thresholds().items():
        feature = schema.feature.add(name=name, type=_TYPES[name])
        for comparator in (feature.drift_comparator, feature.skew_comparator):
            if name == "item_id":
                comparator.infinity_norm.threshold = threshold
            else:
                comparator.jensen_shannon_divergence.threshold = threshold
    return schema


_TYPES = dict.fromkeys(LABELS, schema_pb2.BYTES) | {
    "popularity": schema_pb2.FLOAT,
    "position": schema_pb2.INT,
}


def _num_examples(statistics: Statistics) -> int:
    return sum(int(d.num_examples) for d in statistics.datasets)


def _read(
    anomalies: anomalies_pb2.Anomalies, period: str, config: DriftConfig
) -> list[dict[str, Any]]:
    thresholds = config.thresholds()
    found = []
    for info in anomalies.drift_skew_info:
        (name,) = info.path.step
        for m in (*info.drift_measurements, *info.skew_measurements):
            found.append(
                {
                    "from": "train",
                    "to": period,
                    "feature": name,
                    "measure": _MEASURES[m.type],
                    "value": round(m.value, _DIGITS),
                    "threshold": thresholds[name],
                    "moved": _is_anomaly(anomalies, name),
                }
            )
    order = list(LABELS)
    return sorted(found, key=lambda entry: order.index(entry["feature"]))


def _is_anomaly(anomalies: anomalies_pb2.Anomalies, name: str) -> bool:
    """Whether TFDV calls the distance of a feature too large."""
    high = (
        anomalies_pb2.AnomalyInfo.COMPARATOR_L_INFTY_HIGH,
        anomalies_pb2.AnomalyInfo.COMPARATOR_JENSEN_SHANNON_DIVERGENCE_HIGH,
    )
    reasons = anomalies.anomaly_info[name].reason
    return bool(any(reason.type in high for reason in reasons))


def words(entry: Mapping[str, Any], detail: str = "") -> str:
    """One comparison as a sentence.

    Args:
        entry: from `measure`.
        detail: what changed most, without a full stop.
    """
    verb = "moved" if entry["moved"] else "held"
    text = (
        f"{LABELS[entry['feature']]} {verb} from {entry['from']} to "
        f"{entry['to']}: {entry['measure']} {entry['value']:.3g} against a "
        f"threshold of {entry['threshold']:g}"
    )
    return f"{text}; {detail}." if detail else f"{text}."
