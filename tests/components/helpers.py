"""Runs the real preprocessing_fn on small logs, without TFX."""

import dataclasses
import pathlib
import tempfile

import apache_beam as beam
import pyarrow as pa
import tensorflow as tf
import tensorflow_gnn as tfgnn
import tensorflow_transform.beam as tft_beam
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2
from tensorflow_transform.tf_metadata import dataset_metadata
from tfx_bsl.coders import example_coder
from tfx_bsl.tfxio import tensor_adapter, tensor_representation_util

from components import histories
from components.graph_builder.build import build_graphs
from components.graph_builder.config import GraphConfig
from components.graph_builder.reader import read_graph
from components.histories import Histories
from components.periods import FIT_PERIODS
from components.splits import SplitConfig
from components.transform import preprocessing
from components.transform.vocabularies import read_item_ids, read_user_ids

# Users in the order of the log; events are (item, unix seconds).
Log = dict[str | bytes, list[tuple[str | bytes, int]]]

RAW_SCHEMA = (
    pathlib.Path(__file__).parents[2] / "pipeline" / "schema" / "schema.pbtxt"
).read_text()


@dataclasses.dataclass(frozen=True)
class Transformed:
    """What the stock Transform hands on, as artifacts and parsed."""

    transform_graph: str
    examples: str
    histories: Histories

    def items(self, period: str) -> list[bytes]:
        return read_item_ids(self.transform_graph, period)

    def users(self, period: str) -> list[bytes]:
        return read_user_ids(self.transform_graph, period)


def record_batch(log: Log) -> pa.RecordBatch:
    """One row per user; events sorted by time, ties in the log's order."""
    ordered = {u: sorted(e, key=lambda event: event[1]) for u, e in log.items()}
    return pa.RecordBatch.from_arrays(
        [
            pa.array([[_bytes(u)] for u in log], pa.list_(pa.binary())),
            pa.array(
                [[_bytes(i) for i, _ in e] for e in ordered.values()],
                pa.list_(pa.binary()),
            ),
            pa.array(
                [[t for _, t in e] for e in ordered.values()],
                pa.list_(pa.int64()),
            ),
        ],
        ["user_id", "item_ids", "timestamps"],
    )


def transform(
    log: Log | list[pa.RecordBatch],
    split: SplitConfig,
    directory: pathlib.Path,
    ragged: bool = True,
) -> Transformed:
    """Analyzes and transforms a log as the stock Transform would."""
    batches = log if isinstance(log, list) else [record_batch(log)]
    schema = text_format.Parse(RAW_SCHEMA, schema_pb2.Schema())
    schema.represent_variable_length_as_ragged = ragged
    representations = (
        tensor_representation_util.InferTensorRepresentationsFromSchema(schema)
    )
    config = tensor_adapter.TensorAdapterConfig(
        batches[0].schema, representations
    )
    graph, examples = str(directory / "graph"), str(directory / "examples")
    custom_config = {"split": dataclasses.asdict(split)}
    with beam.Pipeline() as pipeline:
        with tft_beam.Context(temp_dir=str(directory / "temp")):
            raw = pipeline | beam.Create(batches, reshuffle=False)
            (data, metadata), transform_fn = (
                raw,
                config,
            ) | tft_beam.AnalyzeAndTransformDataset(
                lambda inputs: preprocessing.preprocessing_fn(
                    inputs, custom_config
                ),
                output_record_batches=True,
            )
            _ = transform_fn | tft_beam.WriteTransformFn(graph)
            # The schema is known only once the analysis is done.
            schema_of_output = beam.pvalue.AsSingleton(
                metadata.deferred_metadata
            )
            _ = (
                data
                | beam.FlatMap(_encode, schema_of_output)
                | beam.io.WriteToTFRecord(
                    f"{examples}/data", file_name_suffix=".gz"
                )
            )
    files = tf.io.gfile.glob(f"{examples}/data*.gz")
    return Transformed(graph, examples, histories.read_histories(files))


def graphs(
    data: Transformed, split: SplitConfig, config: GraphConfig
) -> dict[str, tfgnn.GraphTensor]:
    """Builds the graphs of both periods and reads them back."""
    directory = tempfile.mkdtemp(dir=pathlib.Path(data.examples).parent)
    with beam.Pipeline() as pipeline:
        build_graphs(
            pipeline,
            f"{data.examples}/*",
            data.transform_graph,
            directory,
            config,
            split,
        )
    return {period: read_graph(directory, period) for period in FIT_PERIODS}


def _encode(
    batch: tuple[pa.RecordBatch, dict],
    metadata: dataset_metadata.DatasetMetadata,
) -> list[bytes]:
    columns, _ = batch
    return example_coder.RecordBatchToExamplesEncoder(metadata.schema).encode(
        columns
    )


def _bytes(text: str | bytes) -> bytes:
    return text.encode() if isinstance(text, str) else text
