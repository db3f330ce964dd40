"""Work beside the requests, in a thread that gives way to them."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Callable
from concurrent import futures
from typing import TypeVar

_Result = TypeVar("_Result")

# Of the kernel's scale, -20 to 19: a tenth of the time where cores are short.
NICENESS = 10


async def run_beside_requests(
    function: Callable[..., _Result], *arguments: object
) -> _Result:
    """Calls a function in a thread of its own, at low priority on Linux.

    Whatever threads the function starts inherit the priority and keep it, so
    nothing that requests need later may be started by it.
    """
    with_low_priority = futures.ThreadPoolExecutor(1, "beside", _give_way)
    try:
        return await asyncio.get_running_loop().run_in_executor(
            with_low_priority, function, *arguments
        )
    finally:
        with_low_priority.shutdown(wait=False)


def _give_way() -> None:
    # Priority is a thread's own on Linux alone; elsewhere the whole process
    # would give way, requests included.
    if sys.platform == "linux":
        thread = threading.get_native_id()
        niceness = max(os.getpriority(os.PRIO_PROCESS, thread), NICENESS)
        os.setpriority(os.PRIO_PROCESS, thread, niceness)
