"""Settings of the exported and pushed model."""

from __future__ import annotations

import dataclasses
import re


@dataclasses.dataclass(frozen=True)
class ServingConfig:
    """Name under which the model is pushed and served.

    `default_k` is the length of the answers of signature serving_default.
    """

    model_name: str = "create"
    default_k: int = 10

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9_.-]+", self.model_name):
            raise ValueError(
                "`model_name` becomes a folder and part of a URL: letters, "
                f"digits, `_`, `-` and `.` only, found {self.model_name!r}."
            )
        if self.default_k < 1:
            raise ValueError(
                f"`default_k` must be at least 1, found {self.default_k}."
            )
