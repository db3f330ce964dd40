"""Shows `summary.json`: what the newest run came to.

python -m pipeline.summary --config FILE [--set k=v]
"""
# Must stay importable without TensorFlow: what a person calls says its first
# word at once, and without the libraries' noise.

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any

from models.settings import SettingsError
from pipeline.config import PipelineConfig, load_config
from pipeline.paths import RunPaths, add_config_arguments
from pipeline.summary_table import format_summary


class SummaryError(RuntimeError):
    """A run left no readable results."""


def read_summary(config: PipelineConfig) -> dict[str, Any]:
    """Reads the summary of the newest run (summary_writer.py)."""
    path = RunPaths.of(config).summary
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SummaryError(f"No {path} yet. Fix: make run") from None


def main(argv: Sequence[str] | None = None) -> int:
    """Shows the summary of the newest run."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_config_arguments(parser)
    arguments = parser.parse_args(argv)
    try:
        config = load_config(arguments.config, arguments.overrides)
        print(format_summary(read_summary(config)))
    except (SettingsError, SummaryError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
