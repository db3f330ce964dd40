"""Times as people read them."""

from __future__ import annotations

import datetime


def date(seconds: int) -> str:
    """ISO-8601 UTC; the time of day only where it is not midnight."""
    moment = datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)
    if moment.time() == datetime.time():
        return moment.date().isoformat()
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
