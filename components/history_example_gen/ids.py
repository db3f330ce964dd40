"""Checks the ids of a block, every distinct one once."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.history_example_gen.config import LogsConfig
from components.history_example_gen.texts import check_utf8, strip_fields

MISSING_VALUE = "missing_value"
EMPTY_FIELD = "empty_field"
NOT_UTF8 = "not_utf8"
LINE_BREAK = "line_break"


class Ids:
    """The users or the items of a block of rows.

    Args:
        column: [n] binary with nulls.
        config: how ids are written.

    Attributes:
        values: [n] dictionary of binary. What stands in the place of an
            unusable id means nothing.
    """

    def __init__(self, column: pa.Array, config: LogsConfig):
        # Ids repeat, so whatever looks at texts looks at the distinct ones;
        # splitting by user goes on with the same dictionary.
        self.values = column.dictionary_encode()
        codes = self.values.indices
        self._missing = None
        if codes.null_count:
            self._missing = codes.is_null().to_numpy(zero_copy_only=False)
            codes = codes.fill_null(0)
        self._codes = codes.to_numpy()
        written = self.values.dictionary
        if config.format == "delimited":
            written = strip_fields(written)
        self._texts, self._invalid = check_utf8(written)
        self._nulls = pa.array(config.null_values, pa.string())
        if not written.equals(self.values.dictionary):
            # " i" and "i" have become one id.
            merged = written.dictionary_encode()
            self.values = pa.DictionaryArray.from_arrays(
                merged.indices.take(codes), merged.dictionary
            )

    def faults(self) -> Iterator[tuple[np.ndarray, str]]:
        """Yields [n] bool and the reason why these ids are unusable."""
        if self._missing is not None:
            yield self._missing, MISSING_VALUE
        if not len(self._texts):
            return
        blank = pc.equal(pc.utf8_trim_whitespace(self._texts), "")
        for mask, reason in (
            (self._invalid, NOT_UTF8),
            (blank, EMPTY_FIELD),
            (pc.is_in(self._texts, value_set=self._nulls), MISSING_VALUE),
            # The vocabulary that is served holds one id a line.
            (pc.match_substring_regex(self._texts, "[\\r\\n]"), LINE_BREAK),
        ):
            wrong = np.asarray(mask)
            if wrong.any():
                yield wrong[self._codes], reason
