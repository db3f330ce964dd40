"""Joins the rows of concurrent requests into batches, as TF Serving does."""

from __future__ import annotations

import dataclasses
import threading
import time
import weakref
from collections import deque
from collections.abc import Mapping

import grpc
import numpy as np

from serving import batch_tensors
from serving.batching_parameters import BatchingParameters
from serving.errors import ServingError, invalid
from serving.saved_model_session import Run


@dataclasses.dataclass(eq=False)
class _Task:
    """One request in a queue."""

    inputs: Mapping[str, np.ndarray]
    size: int
    done: threading.Event = dataclasses.field(default_factory=threading.Event)
    outputs: dict[str, np.ndarray] | None = None
    error: Exception | None = None


@dataclasses.dataclass(eq=False)
class _Batch:
    """Requests that will run together."""

    since: float
    tasks: list[_Task] = dataclasses.field(default_factory=list)
    size: int = 0


class BatchScheduler:
    """Threads that run the batches of all queues, the oldest first.

    Args:
        parameters: sizes, waits and number of threads.
    """

    def __init__(self, parameters: BatchingParameters) -> None:
        self.parameters = parameters
        self._timeout = parameters.batch_timeout_micros / 1e6
        self._changed = threading.Condition()
        self._queues: weakref.WeakSet[BatchQueue] = weakref.WeakSet()
        self._closed = False
        self._threads = [
            threading.Thread(target=self._work, name=f"batch-{i}", daemon=True)
            for i in range(parameters.num_batch_threads)
        ]
        for thread in self._threads:
            thread.start()

    def queue(self, run: Run) -> BatchQueue:
        """A queue of requests that `run` answers; lives as long as it."""
        created = BatchQueue(self, run)
        with self._changed:
            self._queues.add(created)
        return created

    def close(self) -> None:
        """Ends the threads once nothing waits any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def enqueue(self, queue: BatchQueue, task: _Task) -> None:
        """Puts a request into the last batch of a queue, or a new one.

        Raises:
            ServingError: INVALID_ARGUMENT where it is too large for a batch,
                UNAVAILABLE where too many batches wait.
        """
        limit = self.parameters.max_batch_size
        if task.size > limit:
            raise invalid(
                f"Task size {task.size} is larger than maximum input batch "
                f"size {limit}"
            )
        with self._changed:
            batches = queue.batches
            if not batches or batches[-1].size + task.size > limit:
                if len(batches) >= self.parameters.max_enqueued_batches:
                    raise ServingError(
                        grpc.StatusCode.UNAVAILABLE,
                        "The batch scheduling queue to which this task was "
                        "submitted is full",
                    )
                batches.append(_Batch(time.monotonic()))
            batches[-1].tasks.append(task)
            batches[-1].size += task.size
            self._changed.notify()

    def _work(self) -> None:
        while True:
            with self._changed:
                found = self._take()
                while found is None:
                    waiting = self._next_wait()
                    if self._closed and waiting is None:
                        return
                    self._changed.wait(waiting)
                    found = self._take()
            queue, batch = found
            queue.process(batch, self.parameters)
            del found, queue, batch  # A version may go while this waits.

    def _take(self) -> tuple[BatchQueue, _Batch] | None:
        """Removes and returns the oldest batch that may run now."""
        now = time.monotonic()
        ready = [q for q in self._queues if q.batches and self._ripe(q, now)]
        if not ready:
            return None
        queue = min(ready, key=lambda q: q.batches[0].since)
        return queue, queue.batches.popleft()

    def _ripe(self, queue: BatchQueue, now: float) -> bool:
        first = queue.batches[0]
        return (
            self._closed
            or len(queue.batches) > 1
            or first.size >= self.parameters.max_batch_size
            or now - first.since >= self._timeout
        )

    def _next_wait(self) -> float | None:
        """Seconds until a waiting batch is ripe; None without one."""
        ends = [q.batches[0].since for q in self._queues if q.batches]
        if not ends:
            return None
        return max(min(ends) + self._timeout - time.monotonic(), 0.0)


class BatchQueue:
    """Requests of one signature of one version.

    Args:
        scheduler: whose threads run the batches.
        run: answers the joined inputs; all outputs have a row per input row.
    """

    def __init__(self, scheduler: BatchScheduler, run: Run) -> None:
        self.batches: deque[_Batch] = deque()
        self._scheduler = scheduler
        self._run = run

    def __call__(
        self, inputs: Mapping[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        """Answers one request together with others; blocks until then.

        Raises:
            ServingError: the inputs cannot be batched, the queue is full, or
                the batch failed.
        """
        task = _Task(inputs, batch_tensors.num_rows(inputs))
        self._scheduler.enqueue(self, task)
        task.done.wait()
        if task.error is not None:
            raise task.error
        assert task.outputs is not None
        return task.outputs

    def process(self, batch: _Batch, parameters: BatchingParameters) -> None:
        """Runs a batch and hands its tasks their rows or the error."""
        try:
            joined = batch_tensors.join(
                [t.inputs for t in batch.tasks], parameters
            )
            self._split(batch, self._run(joined), batch_tensors.rows_of(joined))
        except Exception as error:  # Raised again in each caller's thread.
            for task in batch.tasks:
                task.error = error
        for task in batch.tasks:
            task.done.set()

    def _split(
        self, batch: _Batch, outputs: dict[str, np.ndarray], rows: int
    ) -> None:
        for name, values in outputs.items():
            if values.ndim == 0 or len(values) != rows:
                raise ServingError(
                    grpc.StatusCode.FAILED_PRECONDITION,
                    f"Batched output tensor {name}'s 0th dimension does not "
                    "equal the sum of the 0th dimension sizes of the input "
                    "tensors",
                )
        start = 0
        for task in batch.tasks:
            end = start + task.size
            task.outputs = {n: v[start:end] for n, v in outputs.items()}
            start = end
