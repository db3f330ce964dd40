"""Whether anybody else used the machine while something was timed."""

from __future__ import annotations

import os
import time

# user, nice, system, irq, softirq, steal: places in the first line of
# /proc/stat; user and nice hold the guests already
_BUSY = (0, 1, 2, 5, 6, 7)


class OtherLoad:
    """Counts from its making on what other processes compute; Linux."""

    def __init__(self) -> None:
        self._started = time.perf_counter()
        self._busy, self._own = busy_seconds(), time.process_time()

    def cores(self, of_peer: float) -> float:
        """Mean number of cores that others kept busy so far.

        Args:
            of_peer: CPU seconds of our other process in the meantime.
        """
        busy = busy_seconds() - self._busy
        own = time.process_time() - self._own + of_peer
        seconds = time.perf_counter() - self._started
        return max(0.0, (busy - own) / seconds)


def busy_seconds() -> float:
    """CPU seconds of the whole machine since it started.

    Steal is among them: what the host took away is as bad for a timing.
    """
    with open("/proc/stat") as stat:
        ticks = [int(word) for word in stat.readline().split()[1:]]
    return sum(ticks[place] for place in _BUSY) / os.sysconf("SC_CLK_TCK")
