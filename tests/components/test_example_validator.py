"""Statistics, curated schema and validator on logs good and bad."""

import gzip
import pathlib

import pytest
import tensorflow as tf
import tensorflow_transform as tft
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import (
    anomalies_pb2,
    schema_pb2,
    statistics_pb2,
)
from tfx import v1 as tfx

from components.example_validator.component import (
    AnomaliesError,
    StrictExampleValidator,
    describe_anomalies,
)
from components.history_example_gen.component import HistoryExampleGen
from components.history_example_gen.config import LogsConfig
from components.history_example_gen.readers import LogsError
from models.settings import to_json

SCHEMA = (
    pathlib.Path(__file__).parents[2] / "pipeline" / "schema" / "schema.pbtxt"
)
ROWS = [
    ("ann", "tea", 1_700_000_000),
    ("bob", "milk", 1_700_000_060),
    ("ann", "milk", 1_700_000_120),
]


def _run(
    folder: pathlib.Path,
    rows: list[tuple[str, str, int]],
    latest_time: str | None = "now",
) -> None:
    logs = folder / "logs"
    logs.mkdir(parents=True)
    lines = ["user_id,item_id,timestamp", *(f"{u},{i},{t}" for u, i, t in rows)]
    (logs / "log.csv.gz").write_bytes(
        gzip.compress("\n".join(lines).encode() + b"\n")
    )
    example_gen = HistoryExampleGen(
        config=to_json(LogsConfig(path=str(logs), latest_time=latest_time)),
        input_fingerprint="",
        code_fingerprint="",
    )
    statistics = tfx.components.StatisticsGen(
        examples=example_gen.outputs["examples"]
    )
    schema = tfx.components.ImportSchemaGen(schema_file=str(SCHEMA))
    validator = StrictExampleValidator(
        statistics=statistics.outputs["statistics"],
        schema=schema.outputs["schema"],
    )
    database = str(folder / "metadata.sqlite")
    tfx.orchestration.LocalDagRunner().run(
        tfx.dsl.Pipeline(
            pipeline_name="validator-test",
            pipeline_root=str(folder / "root"),
            components=[example_gen, statistics, schema, validator],
            metadata_connection_config=(
                tfx.orchestration.metadata.sqlite_metadata_connection_config(
                    database
                )
            ),
        )
    )


@pytest.mark.slow
def test_good_logs_pass_and_an_anomaly_stops_the_run(tmp_path: pathlib.Path):
    _run(tmp_path / "good", ROWS)
    assert list(
        (tmp_path / "good" / "root").glob(
            "StrictExampleValidator/anomalies/*/Split-all/SchemaDiff.pb"
        )
    )

    far = [(user, item, time + 4_000_000_000) for user, item, time in ROWS]
    with pytest.raises(AnomaliesError) as raised:
        _run(tmp_path / "bad", far, latest_time=None)
    message = str(raised.value)
    assert "`timestamps`: Out-of-range values" in message
    assert (
        "Found 5700000000 to 5700000120, expected 0 to 4102444800." in message
    )
    assert "All times are that late: is `logs.time_unit` right?" in message


@pytest.mark.slow
def test_dead_letters_outlive_a_failed_ingest(tmp_path: pathlib.Path):
    """TFX removes the output artifacts of a failed component."""
    with pytest.raises(LogsError, match="logs.max_bad_row_share"):
        _run(tmp_path, [*ROWS, ("cid", "", 1_700_000_180)])
    folder = tmp_path / "root" / "HistoryExampleGen" / "dead_letters"
    (kept,) = folder.glob("*/dead_letters.jsonl.gz")
    assert b'"cid,,1700000180"' in gzip.decompress(kept.read_bytes())


def test_every_anomaly_is_a_sentence():
    anomalies = text_format.Parse(
        """
        dataset_anomaly_info {
          reason { short_description: "Low num examples in dataset." }
        }
        anomaly_info {
          key: "item_ids"
          value {
            reason {
              short_description: "Column dropped"
              description: "Column is completely missing"
            }
          }
        }
        """,
        anomalies_pb2.Anomalies(),
    )
    lines = describe_anomalies(
        anomalies,
        statistics_pb2.DatasetFeatureStatisticsList(),
        schema_pb2.Schema(),
    )
    assert list(lines) == [
        "all examples: Low num examples in dataset.",
        "`item_ids`: Column dropped: Column is completely missing.",
    ]


@pytest.mark.parametrize(
    ("first", "is_unit"), [(0, False), (4_102_444_800, False), (10**12, True)]
)
def test_late_times_are_of_another_unit_only_where_all_are(
    first: int, is_unit: bool
):
    statistics = statistics_pb2.DatasetFeatureStatisticsList()
    column = statistics.datasets.add().features.add(name="timestamps")
    column.num_stats.min, column.num_stats.max = first, 2 * 10**12
    anomalies = anomalies_pb2.Anomalies()
    anomalies.anomaly_info["timestamps"].reason.add(short_description="Late")
    schema = text_format.Parse(SCHEMA.read_text(), schema_pb2.Schema())
    (line,) = describe_anomalies(anomalies, statistics, schema)
    assert f"Found {first} to 2000000000000, expected 0 to 4102444800" in line
    assert "`logs.latest_time: now`" in line
    assert ("`logs.time_unit`" in line) == is_unit
    assert ("illiseconds" in line) == is_unit


def test_transform_sees_one_user_and_ragged_sequences():
    schema = text_format.Parse(SCHEMA.read_text(), schema_pb2.Schema())
    spec = tft.tf_metadata.schema_utils.schema_as_feature_spec(schema)
    assert spec.feature_spec == {
        "user_id": tf.io.FixedLenFeature([], tf.string),
        "item_ids": _ragged("item_ids", tf.string),
        "timestamps": _ragged("timestamps", tf.int64),
    }


def _ragged(name: str, dtype: tf.DType) -> tf.io.RaggedFeature:
    return tf.io.RaggedFeature(
        dtype, value_key=name, partitions=[], row_splits_dtype=tf.int64
    )
