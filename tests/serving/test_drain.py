"""Requests that are in flight when the server is told to stop."""

import asyncio

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from serving.drain import Drain


async def _begin(drain, answered):
    """A request whose answer is there once `answered` is set."""

    async def handler(request):
        await answered.wait()
        return web.Response()

    request = make_mocked_request("GET", "/")
    task = asyncio.create_task(drain.middleware(request, handler))
    await asyncio.sleep(0)
    return task


def test_nothing_in_flight_is_not_waited_for():
    async def scenario():
        drain = Drain()
        await asyncio.wait_for(drain.wait(3600.0), 10)

    asyncio.run(scenario())


def test_all_requests_in_flight_are_waited_for():
    async def scenario():
        drain = Drain()
        ends = [asyncio.Event() for _ in range(2)]
        requests = [await _begin(drain, end) for end in ends]
        waiting = asyncio.create_task(drain.wait(3600.0))
        for request, end in zip(requests, ends, strict=True):
            await asyncio.sleep(0.01)
            assert not waiting.done()
            end.set()
            # The client is to ask another server next time.
            assert (await request).keep_alive is False
        await asyncio.wait_for(waiting, 10)

    asyncio.run(scenario())


@pytest.mark.parametrize("grace", [0.0, 0.05])
def test_a_request_without_end_is_waited_for_so_long(grace):
    async def scenario():
        drain = Drain()
        request = await _begin(drain, asyncio.Event())
        start = asyncio.get_running_loop().time()
        await asyncio.wait_for(drain.wait(grace), 10)
        assert asyncio.get_running_loop().time() - start >= grace
        assert not request.done()
        request.cancel()

    asyncio.run(scenario())
