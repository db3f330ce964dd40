"""Turns columns of any plain type into text, whole columns at once."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


def to_text(column: pa.Array) -> pa.Array:
    """The column as binary; nulls stay, and numbers that are none become it.

    Integers keep all their digits, also above 2**53, and a float without a
    fraction is written as an integer: pandas makes floats of integers where
    one is missing, and they are meant to be the same ids.

    Args:
        column: [n] of an integer, float, bool, timestamp, date, text or
            dictionary type, or decimals without a fraction.
    """
    kind = column.type
    if pa.types.is_dictionary(kind):
        return to_text(column.dictionary).take(column.indices)
    if pa.types.is_floating(kind):
        return _float_column(column)
    if pa.types.is_decimal(kind):
        return _decimal_column(column)
    if is_text(kind) or pa.types.is_null(kind):
        return column.cast(pa.binary())
    return column.cast(pa.string()).cast(pa.binary())


def is_text(kind: pa.DataType) -> bool:
    """Whether values of this type are strings or bytes."""
    return (
        pa.types.is_binary(kind)
        or pa.types.is_string(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_fixed_size_binary(kind)
    )


def float_text(number: float) -> str | None:
    """The number as short as it can be, or None where it is not finite."""
    if not math.isfinite(number):
        return None
    if number == int(number):
        return str(int(number))
    return str(number)


def check_utf8(column: pa.Array) -> tuple[pa.Array, np.ndarray]:
    """The binary column as strings, and [n] bool: not UTF-8 (then "")."""
    try:
        return column.cast(pa.string()), np.zeros(len(column), bool)
    except pa.ArrowInvalid:
        values = column.to_pylist()
    invalid = np.array([not _is_utf8(value) for value in values], bool)
    values = [
        b"" if bad else value
        for value, bad in zip(values, invalid, strict=True)
    ]
    return pa.array(values, pa.binary()).cast(pa.string()), invalid


def strip_fields(column: pa.Array) -> pa.Array:
    """The binary column without spaces, tabs and CRs around its values."""
    # As bytes: what is no UTF-8 is found later, and stays as it is.
    texts = pc.ascii_trim(column.view(pa.string()), " \t\r")
    return texts.view(pa.binary())


def one_chunk(column: pa.ChunkedArray) -> pa.Array:
    """The column of a table as one array."""
    if column.num_chunks == 1:
        return column.chunk(0)
    return pa.concat_arrays(column.chunks or [pa.array([], column.type)])


def _float_column(column: pa.Array) -> pa.Array:
    numbers = column.to_numpy(zero_copy_only=False)  # nulls become NaN
    finite = np.isfinite(numbers)
    small = np.where(finite & (np.abs(numbers) < 2.0**63), numbers, 0)
    whole = small.astype(np.int64)
    if np.array_equal(whole, np.where(finite, numbers, 0)):
        texts = pa.array(whole, mask=~finite).cast(pa.string())
        return texts.cast(pa.binary())
    coded = pa.array(numbers).dictionary_encode()
    # numpy's scalars keep their width: a 32-bit 0.1 is "0.1".
    values = coded.dictionary.to_numpy(zero_copy_only=False)
    texts = pa.array([float_text(value) for value in values], pa.string())
    return texts.cast(pa.binary()).take(coded.indices)


def _decimal_column(column: pa.Array) -> pa.Array:
    try:
        return column.cast(pa.int64()).cast(pa.string()).cast(pa.binary())
    except pa.ArrowInvalid:  # ids of more than 18 digits
        texts = [v if v is None else str(int(v)) for v in column.to_pylist()]
        return pa.array(texts, pa.string()).cast(pa.binary())


def _is_utf8(value: bytes | None) -> bool:
    try:
        (value or b"").decode()
    except UnicodeDecodeError:
        return False
    return True
