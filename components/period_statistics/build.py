"""The whole of PeriodStatistics as a Beam pipeline, without TFX."""

from __future__ import annotations

import os
from collections.abc import Iterator

import apache_beam as beam
import pyarrow as pa
import tensorflow_data_validation as tfdv
from apache_beam import pvalue
from tfx.dsl.io import fileio

from components.artifact_files import DRIFT_FILE
from components.event_parts import PERIODS
from components.histories import parse_histories
from components.period_statistics import counts as counting
from components.period_statistics import drift_json, features
from components.period_statistics.config import DriftConfig
from components.period_statistics.drift import Statistics
from components.period_statistics.events import event_rows

# As TFX's StatisticsGen names them.
STATISTICS_FILE = "FeatureStats.pb"

# Users per batch. A fixed number: Beam would adapt it to the clock, and
# TFDV's approximate quantiles to the batches.
_BATCH_USERS = 1024

# Items in TFDV's sketch of the most frequent ones.
_SKETCH_ITEMS = 16_384

_EVENTS, _COUNTS, _DAYS = "events", "counts", "days"


def tfdv_options() -> tfdv.StatsOptions:
    """How TFDV describes a period.

    The sketch of the most frequent items takes the time of the events; the
    exact way takes the time of every distinct item of every batch, several
    times over. L-infinity is taken over the rank histogram, so that one is
    as long as the sketch. Up to so many distinct items in a period both are
    exact; beyond, an item may be missing with at most this share of the
    events, far less than a threshold. 50 buckets show a shift within a
    decile.
    """
    return tfdv.StatsOptions(
        use_sketch_based_topk_uniques=True,
        num_rank_histogram_buckets=_SKETCH_ITEMS,
        num_histogram_buckets=50,
    )


def build_statistics(
    pipeline: beam.Pipeline,
    file_pattern: str,
    split_uris: dict[str, str],
    output_uri: str,
    config: DriftConfig,
    batch_users: int = _BATCH_USERS,
) -> None:
    """Adds reading, counting, TFDV and writing to a pipeline.

    Args:
        pipeline: to be run by the caller.
        file_pattern: gzipped TFRecords of transformed examples.
        split_uris: folder of each period; gets FeatureStats.pb.
        output_uri: gets drift.json.
        config: thresholds.
        batch_users: users per batch.
    """
    users = (
        pipeline
        | "ReadHistories"
        >> beam.io.ReadFromTFRecord(
            file_pattern,
            compression_type=beam.io.filesystem.CompressionTypes.GZIP,
        )
        | "Batch"
        >> beam.BatchElements(
            min_batch_size=batch_users, max_batch_size=batch_users
        )
        | "Events"
        >> beam.ParDo(_ToEvents()).with_outputs(_COUNTS, main=_EVENTS)
    )
    counts = users[_COUNTS] | "Count" >> beam.CombineGlobally(counting.merge)
    items = counts | "Items" >> beam.Map(
        lambda tables: features.make_items(tables["items"])
    )
    rows = users[_EVENTS] | "Features" >> beam.ParDo(
        _ToFeatures(), pvalue.AsSingleton(items)
    ).with_outputs(*PERIODS, _DAYS)
    days = rows[_DAYS] | "Days" >> beam.CombineGlobally(counting.add_up_days)
    statistics = []
    for period in PERIODS:
        found = rows[period] | f"TFDV[{period}]" >> tfdv.GenerateStatistics(
            tfdv_options()
        )
        _ = found | f"Write[{period}]" >> tfdv.WriteStatisticsToBinaryFile(
            os.path.join(split_uris[period], STATISTICS_FILE)
        )
        statistics.append(pvalue.AsSingleton(found))
    _ = (
        pipeline
        | "Once" >> beam.Create([output_uri], reshuffle=False)
        | "WriteDrift"
        >> beam.Map(
            _write_drift,
            config,
            pvalue.AsSingleton(counts),
            pvalue.AsSingleton(days),
            *statistics,
        )
    )


class _ToEvents(beam.DoFn):
    """Batches of tf.Examples to event rows, and to counts beside them."""

    def process(
        self, batch: list[bytes]
    ) -> Iterator[pa.RecordBatch | pvalue.TaggedOutput]:
        histories = parse_histories(batch)
        rows = event_rows(histories)
        yield rows
        yield pvalue.TaggedOutput(_COUNTS, counting.count(histories, rows))


class _ToFeatures(beam.DoFn):
    """Event rows to what TFDV describes, and to counts by day."""

    def process(
        self, rows: pa.RecordBatch, items: features.Items
    ) -> Iterator[pvalue.TaggedOutput]:
        split, days = features.split_rows(rows, items)
        for period, batches in split.items():
            for batch in batches:
                yield pvalue.TaggedOutput(period, batch)
        yield pvalue.TaggedOutput(_DAYS, days)


def _write_drift(
    output_uri: str,
    config: DriftConfig,
    counts: counting.Counts,
    days: pa.Table,
    *statistics: Statistics,
) -> None:
    content = drift_json.make(
        counts, days, dict(zip(PERIODS, statistics, strict=True)), config
    )
    with fileio.open(os.path.join(output_uri, DRIFT_FILE), "w") as file:
        file.write(drift_json.to_json(content))
