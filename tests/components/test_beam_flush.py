"""No element is lost between the threads of Beam's DirectRunner."""

import apache_beam as beam
import pytest
from apache_beam.runners.portability.fn_api_runner import worker_handlers
from apache_beam.runners.worker import data_plane
from apache_beam.testing.util import assert_that, equal_to

from components.beam_flush import flush_when_full_only

ELEMENTS = 100_000


@pytest.fixture
def guarded(monkeypatch):
    """The guard is on, and gone after the test."""
    limit = worker_handlers.DATA_BUFFER_TIME_LIMIT_MS
    monkeypatch.setattr(worker_handlers, "DATA_BUFFER_TIME_LIMIT_MS", limit)
    flush_when_full_only()


def stream_of(limit_ms, sent):
    """A buffer; what is written while it is emptied stands for a thread."""

    def send(data):
        sent.append(data)
        if data == b"first":
            stream.write(b"second")

    stream = data_plane.ClosableOutputStream.create(sent.append, send, limit_ms)
    return stream


def test_why_beam_needs_the_guard():
    """When this fails, Beam has learnt it, and the guard can go."""
    sent = []
    stream = stream_of(3_600_000, sent)
    stream.write(b"first")
    stream.flush()  # what the second thread does every second
    stream.close()
    assert b"".join(sent) == b"first"


def test_with_the_guard_only_the_writer_empties_a_buffer(guarded):
    stream = stream_of(worker_handlers.DATA_BUFFER_TIME_LIMIT_MS, [])
    assert not isinstance(
        stream, data_plane.TimeBasedBufferingClosableOutputStream
    )


def numbered(part):
    for number in range(ELEMENTS):
        yield number % 16, b"%d-%d" % (part, number) * 5


@pytest.mark.slow
def test_threads_lose_nothing(guarded):
    arguments = [
        "--direct_running_mode=multi_threading",
        "--direct_num_workers=2",
    ]
    with beam.Pipeline(argv=arguments) as pipeline:
        total = (
            pipeline
            | beam.Create(range(8))
            | beam.Reshuffle()
            | beam.FlatMap(numbered)
            | beam.GroupByKey()
            | beam.MapTuple(lambda _, values: sum(1 for _ in values))
            | beam.CombineGlobally(sum)
        )
        assert_that(total, equal_to([8 * ELEMENTS]))
