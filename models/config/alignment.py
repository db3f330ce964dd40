"""Settings of the alignment of both towers."""

from __future__ import annotations

import dataclasses

from models.config.checks import at_least, between, one_of, positive


@dataclasses.dataclass(frozen=True)
class AlignmentConfig:
    """Alignment of the two user vectors (paper section 3.5, eq. 2 and 3).

    `off_diagonal_weight`, `divide_by_dim` and `normalize_rows` are of
    barlow_twins, `temperature` of infonce, `ridge` of gaussian_mi.
    """

    kind: str = "barlow_twins"
    off_diagonal_weight: float = 0.05
    divide_by_dim: bool = True
    normalize_rows: bool = False
    temperature: float = 0.2
    ridge: float = 0.1

    def __post_init__(self) -> None:
        one_of(
            "kind", self.kind, "barlow_twins", "infonce", "gaussian_mi", "none"
        )
        at_least("off_diagonal_weight", self.off_diagonal_weight, 0.0)
        positive("temperature", self.temperature)
        # both ends give a covariance without meaning
        between("ridge", self.ridge, 1e-6, 1.0 - 1e-6)
