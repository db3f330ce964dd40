import contextlib
import threading

import numpy as np
import pytest

from serving import warmup
from serving.batching import BatchScheduler
from serving.batching_parameters import BatchingParameters
from serving.errors import ServingError
from serving.servables import Servable


class Model:
    """Joins the words of a row; notes the shapes it saw."""

    def __init__(self):
        self.shapes = []
        self.go_on = threading.Event()
        self.go_on.set()
        self.started = threading.Semaphore(0)

    def __call__(self, inputs):
        self.started.release()
        assert self.go_on.wait(10)
        words = inputs["words"]
        if (words == b"wrong").any():
            raise ValueError("wrong word")
        self.shapes.append(words.shape)
        joined = [b" ".join(row) for row in words]
        return {"text": np.array(joined, object)}


@contextlib.contextmanager
def batched(model, **parameters):
    scheduler = BatchScheduler(
        BatchingParameters(**{"num_batch_threads": 1, **parameters})
    )
    try:
        yield scheduler.queue(model)
    finally:
        model.go_on.set()
        scheduler.close()


def _words(rows):
    return {"words": np.array([[w.encode() for w in r] for r in rows], object)}


class Calls:
    """Requests in threads of their own."""

    def __init__(self, queue):
        self.queue, self.answers, self.threads = queue, {}, []

    def send(self, name, rows):
        def ask():
            try:
                self.answers[name] = self.queue(_words(rows))["text"].tolist()
            except Exception as error:
                self.answers[name] = error

        before = sum(b.size for b in self.queue.batches)
        self.threads.append(threading.Thread(target=ask))
        self.threads[-1].start()
        return before

    def wait_queued(self, rows):
        """Until that many rows wait."""
        for _ in range(1000):
            if sum(b.size for b in list(self.queue.batches)) >= rows:
                return
            threading.Event().wait(0.005)
        raise AssertionError(f"{rows} rows do not wait")

    def join(self):
        for thread in self.threads:
            thread.join(10)
        return self.answers


def _busy(model, calls):
    """Lets one request occupy the only batch thread."""
    model.go_on.clear()
    calls.send("first", [["x", "y"]])
    assert model.started.acquire(timeout=10)


def test_requests_that_wait_run_together_and_get_their_rows():
    model = Model()
    with batched(model, max_batch_size=4) as queue:
        calls = Calls(queue)
        _busy(model, calls)
        calls.send("one", [["a", "b"]])
        calls.wait_queued(1)
        calls.send("two", [["c", "d"], ["e", "f"]])
        calls.wait_queued(3)
        calls.send("fits", [["k", "l"]])  # Fills the batch of 4.
        calls.wait_queued(4)
        calls.send("more", [["g", "h"], ["i", "j"]])
        calls.wait_queued(6)
        model.go_on.set()
        answers = calls.join()
    assert answers == {
        "first": [b"x y"],
        "one": [b"a b"],
        "two": [b"c d", b"e f"],
        "fits": [b"k l"],
        "more": [b"g h", b"i j"],
    }
    assert model.shapes == [(1, 2), (4, 2), (2, 2)]


def test_timeout_ends_a_batch_that_is_not_full():
    model = Model()
    with batched(model, batch_timeout_micros=500_000) as queue:
        calls = Calls(queue)
        calls.send("one", [["a"]])
        calls.send("two", [["b"]])
        assert calls.join() == {"one": [b"a"], "two": [b"b"]}
    assert model.shapes == [(2, 1)]


def test_batches_grow_to_an_allowed_size():
    model = Model()
    with batched(model, max_batch_size=8, allowed_batch_sizes=(2, 8)) as queue:
        answer = queue(_words([["a"], ["b"], ["c"]]))
    assert answer["text"].tolist() == [b"a", b"b", b"c"]
    assert model.shapes == [(8, 1)]


@pytest.mark.parametrize("pad", [True, False])
def test_widths_differ(pad):
    model = Model()
    with batched(model, pad_variable_length_inputs=pad) as queue:
        calls = Calls(queue)
        _busy(model, calls)
        calls.send("short", [["a", "b"]])
        calls.wait_queued(1)
        calls.send("long", [["c", "d", "e", "f"]])
        calls.wait_queued(2)
        model.go_on.set()
        answers = calls.join()
    if pad:
        # TF Serving fills with the first element, so "a" comes again.
        assert answers["short"] == [b"a b a a"]
        assert answers["long"] == [b"c d e f"]
    else:
        for name in ("short", "long"):
            assert "padding is turned off" in answers[name].message


def test_error_reaches_the_whole_batch_and_nobody_else():
    model = Model()
    with batched(model) as queue:
        calls = Calls(queue)
        _busy(model, calls)
        calls.send("good", [["a", "b"]])
        calls.wait_queued(1)
        calls.send("bad", [["wrong", "c"]])
        calls.wait_queued(2)
        model.go_on.set()
        answers = calls.join()
        assert queue(_words([["d"]]))["text"].tolist() == [b"d"]
    assert answers["first"] == [b"x y"]
    assert str(answers["good"]) == str(answers["bad"]) == "wrong word"


def test_full_queue_is_unavailable():
    model = Model()
    with batched(model, max_batch_size=1, max_enqueued_batches=2) as queue:
        calls = Calls(queue)
        _busy(model, calls)
        for number in (1, 2):
            calls.send(number, [["a", "b"]])
            calls.wait_queued(number)
        with pytest.raises(ServingError, match="queue .* is full") as caught:
            queue(_words([["c", "d"]]))
        assert caught.value.code.name == "UNAVAILABLE"
        model.go_on.set()
        assert calls.join()[2] == [b"a b"]


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"k": np.array(3)}, "at least one dimension"),
        (
            {"a": np.zeros([2, 1]), "b": np.zeros([3, 1])},
            "equal 0th-dimension size",
        ),
        ({"a": np.zeros([6, 1])}, "Task size 6 is larger than .* size 5"),
    ],
)
def test_inputs_that_cannot_be_joined(inputs, message):
    with batched(Model(), max_batch_size=5) as queue:
        with pytest.raises(ServingError, match=message) as caught:
            queue(inputs)
        assert caught.value.code.name == "INVALID_ARGUMENT"


def test_output_without_a_row_per_input():
    class Wrong(Model):
        def __call__(self, inputs):
            return {"text": np.zeros(3)}

    with batched(Wrong()) as queue:
        with pytest.raises(ServingError, match="0th dimension") as caught:
            queue(_words([["a"]]))
        assert caught.value.code.name == "FAILED_PRECONDITION"


def test_a_version_warms_up_through_the_queues(exported):
    """As in TF Serving, where a refused record keeps the version away."""
    scheduler = BatchScheduler(BatchingParameters())
    try:
        servable = Servable("create", 1, str(exported), scheduler)
        servable.warm_up(iterations=2)
        scalar = warmup.request(
            "recommend", history=[[b"x"]], exclude=[[b""]], k=3
        )
        with pytest.raises(ServingError, match="at least one dimension"):
            servable.predict(scalar)
    finally:
        scheduler.close()
