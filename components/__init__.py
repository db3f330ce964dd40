"""The TFX components this project adds to the stock ones.

The artifact types are importable from here under the names that Kubeflow
and Vertex see (`components.InteractionGraph`), but only load TFX when asked.
"""

import os
from typing import Any

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")

_ARTIFACTS = ("DeadLetters", "InteractionGraph")


def __getattr__(name: str) -> Any:
    if name in _ARTIFACTS:
        from components import artifacts

        return getattr(artifacts, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
