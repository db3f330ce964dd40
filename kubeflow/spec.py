"""Names that the compiled specification and the containers agree on."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]

# What every container runs.
ENTRY_POINT = ("python", "-m", "kubeflow.run_step")

# Custom property of an artifact that stands for "there is none yet".
MISSING = "missing"
