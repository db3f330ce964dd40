"""Item ids in one word of a command line: a row of CSV.

An id with a comma, or one that begins with a quote, stands in quotes: a,"b,c".
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence


def parse(text: str) -> list[str]:
    """The ids of a row; empty ones mean nothing and are left out.

    Raises:
        ValueError: it is no row of CSV.
    """
    try:
        row = next(csv.reader([text], strict=True), [])
    except csv.Error as error:
        raise ValueError(
            "must be ids with commas between them, as in a row of CSV (an id "
            'with a comma or a quote in double quotes: a,"b,c"), found '
            f"{text!r}: {error}"
        ) from error
    return [item_id for item_id in row if item_id]


def write(item_ids: Sequence[str]) -> str:
    """The row that `parse` reads so."""
    row = io.StringIO()
    csv.writer(row, lineterminator="").writerow(item_ids)
    return row.getvalue()
