"""Lets REST requests end before their connections are closed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Drain:
    """Counts requests in flight.

    aiohttp's own clean-up stops reading from all connections at once, so a
    request whose body is still on its way would wait for it in vain until the
    time is up.
    """

    def __init__(self) -> None:
        self._active = 0
        self._draining = False
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def middleware(self) -> Callable[..., Awaitable[web.StreamResponse]]:
        """Counts; while draining, connections end with their answer."""

        @web.middleware
        async def counted(
            request: web.Request, handler: Handler
        ) -> web.StreamResponse:
            self._active += 1
            self._idle.clear()
            try:
                response = await handler(request)
            finally:
                self._active -= 1
                if not self._active:
                    self._idle.set()
            if self._draining:
                response.force_close()
            return response

        return counted

    async def wait(self, timeout: float) -> None:
        """Returns when no request is in flight, or after `timeout` seconds."""
        self._draining = True
        try:
            await asyncio.wait_for(self._idle.wait(), timeout)
        except asyncio.TimeoutError:
            # what is left is cut off by aiohttp's clean-up
            return
