"""What every benchmark does with its figures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def publish(results: dict[str, Any], output: str | Path | None) -> None:
    """Prints the results as JSON, and writes them where there is a file."""
    text = json.dumps(results, indent=1)
    print(text)
    if output:
        Path(output).write_text(text + "\n", encoding="utf-8")
