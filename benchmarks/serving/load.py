"""Sends requests at moments of its own choice and times the answers.

Arrivals are a Poisson process: the next request leaves whether or not the
last one is answered, as independent users do. A client that waits for answers
would go easy on a server just when it is slow.
"""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import time
from collections.abc import Iterator, Sequence

import grpc
import numpy as np
from tensorflow_serving.apis import predict_pb2

_METHOD = "/tensorflow.serving.PredictionService/Predict"
_CHANNELS = 4
_TIMEOUT = 30.0


@dataclasses.dataclass
class Outcome:
    """What came of the requests.

    Attributes:
        milliseconds: of each answered request, from sending to the answer.
        lags: milliseconds that each request left late; large values mean
            that the client, not the server, was the limit.
        failures: status codes of the others.
        versions: model versions in the order in which they answered.
        seconds: from the first request to the last answer.
    """

    milliseconds: list[float] = dataclasses.field(default_factory=list)
    lags: list[float] = dataclasses.field(default_factory=list)
    failures: list[str] = dataclasses.field(default_factory=list)
    versions: list[int] = dataclasses.field(default_factory=list)
    seconds: float = 0.0

    def summary(self) -> dict[str, float]:
        """Percentiles in milliseconds, requests per second and errors."""
        result = percentiles(np.array(self.milliseconds))
        result["answered_per_second"] = round(
            len(self.milliseconds) / self.seconds, 1
        )
        result["errors"] = len(self.failures)
        if self.lags:
            result["client_lag_p99"] = round(
                float(np.percentile(self.lags, 99)), 2
            )
        return result


def percentiles(milliseconds: np.ndarray) -> dict[str, float]:
    """p50, p95 and p99, none without a value."""
    if not len(milliseconds):
        return {}
    return {
        f"p{p}": round(float(np.percentile(milliseconds, p)), 3)
        for p in (50, 95, 99)
    }


class Client:
    """Asks one server over a few connections."""

    def __init__(self, target: str, messages: Sequence[bytes]) -> None:
        self._target = target
        self._messages = itertools.cycle(messages)

    def open_loop(self, rate: float, seconds: float, seed: int) -> Outcome:
        """Requests at random moments, `rate` per second on average."""
        return asyncio.run(self._open_loop(rate, seconds, seed))

    def closed_loop(self, concurrency: int, seconds: float) -> Outcome:
        """`concurrency` callers that each wait for their answer."""
        return asyncio.run(self._closed_loop(concurrency, seconds))

    async def _open_loop(
        self, rate: float, seconds: float, seed: int
    ) -> Outcome:
        random = np.random.default_rng(seed)
        gaps = random.exponential(1 / rate, int(2 * rate * seconds) + 10)
        moments = np.cumsum(gaps)
        moments = moments[moments < seconds]
        outcome = Outcome()
        calls = self._connect()
        tasks = []
        start = time.perf_counter()
        for moment in moments:
            wait = start + moment - time.perf_counter()
            if wait > 0:
                await asyncio.sleep(wait)
            late = time.perf_counter() - start - moment
            outcome.lags.append(1e3 * late)
            call = next(calls)
            tasks.append(asyncio.create_task(self._ask(call, outcome)))
        await asyncio.gather(*tasks)
        outcome.seconds = time.perf_counter() - start
        return outcome

    async def _closed_loop(self, concurrency: int, seconds: float) -> Outcome:
        outcome = Outcome()
        calls = self._connect()
        start = time.perf_counter()

        async def caller(call: grpc.aio.UnaryUnaryMultiCallable) -> None:
            while time.perf_counter() - start < seconds:
                await self._ask(call, outcome)

        await asyncio.gather(*(caller(next(calls)) for _ in range(concurrency)))
        outcome.seconds = time.perf_counter() - start
        return outcome

    def _connect(self) -> Iterator[grpc.aio.UnaryUnaryMultiCallable]:
        options = [
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.enable_http_proxy", 0),
        ]
        channels = [
            grpc.aio.insecure_channel(self._target, options)
            for _ in range(_CHANNELS)
        ]
        return itertools.cycle([c.unary_unary(_METHOD) for c in channels])

    async def _ask(
        self, call: grpc.aio.UnaryUnaryMultiCallable, outcome: Outcome
    ) -> None:
        start = time.perf_counter()
        try:
            answer = await call(next(self._messages), timeout=_TIMEOUT)
        except grpc.RpcError as error:
            outcome.failures.append(error.code().name)
            return
        outcome.milliseconds.append(1e3 * (time.perf_counter() - start))
        parsed = predict_pb2.PredictResponse.FromString(answer)
        version = parsed.model_spec.version.value
        if not outcome.versions or outcome.versions[-1] != version:
            outcome.versions.append(version)
