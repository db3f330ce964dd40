"""Keeps Beam's DirectRunner from losing elements between its threads.

With threads or processes, runner and workers write elements into buffers that
a second thread empties every second. Beam 2.59 does so without a lock
(`data_plane.SizeBasedBufferingClosableOutputStream.flush` copies, sends, then
clears), so what is written between copy and clear is gone: of 1.2 million
elements through one GroupByKey with two threads some thousands, silently, and
once, on a busy machine, 18 % of the events of MovieLens-1M. Buffers that are
only emptied when they are full, by the thread that writes, lose nothing;
Beam's own workers on Flink, Spark and Dataflow have no other
(`sdk_worker_main`: the time limit is 0).
"""

from __future__ import annotations


def flush_when_full_only() -> None:
    """Turns the timed flush off for Beam pipelines run from this process."""
    from apache_beam.runners.portability.fn_api_runner import worker_handlers

    worker_handlers.DATA_BUFFER_TIME_LIMIT_MS = 0
