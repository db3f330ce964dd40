"""The whole of GraphBuilder as a Beam pipeline, without TFX."""

from __future__ import annotations

import os

import apache_beam as beam

from components.graph_builder import graph
from components.graph_builder.config import GraphConfig
from components.graph_builder.edges import EventsByPeriod, PeriodEvents
from components.periods import user_table_period
from components.splits import SplitConfig
from components.transform.vocabularies import read_item_ids, read_user_ids


def build_graphs(
    pipeline: beam.Pipeline,
    file_pattern: str,
    transform_graph_uri: str,
    output_uri: str,
    config: GraphConfig,
    split: SplitConfig,
) -> beam.PCollection:
    """Adds reading, joining and writing to a pipeline.

    Args:
        pipeline: to be run by the caller.
        file_pattern: gzipped TFRecords of transformed examples.
        transform_graph_uri: has the vocabularies.
        output_uri: gets a folder per period.
        config: which events become edges.
        split: which users count.

    Returns:
        (period, counts of users, items and edges) for each graph written.
    """
    return (
        pipeline
        | "ReadHistories"
        >> beam.io.ReadFromTFRecord(
            file_pattern,
            compression_type=beam.io.filesystem.CompressionTypes.GZIP,
        )
        | "EventsByPeriod" >> EventsByPeriod(config, split)
        | "WriteGraph"
        >> beam.Map(
            _write_graph, transform_graph_uri, output_uri, config, split
        )
    )


def _write_graph(
    element: tuple[str, PeriodEvents],
    transform_graph_uri: str,
    output_uri: str,
    config: GraphConfig,
    split: SplitConfig,
) -> tuple[str, dict[str, int]]:
    period, events = element
    users = user_table_period(split, period)
    tensor = graph.build_graph(
        events,
        read_user_ids(transform_graph_uri, users),
        read_item_ids(transform_graph_uri, period),
        period,
        config,
    )
    return period, graph.write_graph(tensor, os.path.join(output_uri, period))
