"""Reads a log file of any format as blocks of events."""

from __future__ import annotations

from collections.abc import Iterator

from components.history_example_gen.config import LogsConfig
from components.history_example_gen.delimited import parse_blocks
from components.history_example_gen.json_lines import parse_json_block
from components.history_example_gen.logs import LogFile
from components.history_example_gen.parquet import read_parquet
from components.history_example_gen.readers import read_blocks
from components.history_example_gen.rows import Block


def read_file(
    log: LogFile, config: LogsConfig, block_bytes: int
) -> Iterator[tuple[int, Block]]:
    """Yields the blocks of a log file in the order of its rows.

    Args:
        log: what `layouts.find_logs` returned for the file.
        config: how to read it.
        block_bytes: about as many unpacked bytes make a block.

    Yields:
        number of the block's first line in the file (from 1; of its first
        row for Parquet), and the block.

    Raises:
        LogsError: the file is damaged.
    """
    if not log.num_columns:
        return
    if config.format == "parquet":
        yield from read_parquet(log, config, block_bytes)
        return
    blocks = read_blocks(log, config, block_bytes)
    if config.format == "delimited":
        yield from parse_blocks(blocks, log, config)
        return
    for first_line, data in blocks:
        yield first_line, parse_json_block(data, first_line, log, config)
