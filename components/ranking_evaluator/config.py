"""Settings of RankingEvaluator and of the blessing."""

from __future__ import annotations

import dataclasses

from components.targets import DROPPED, FIRST, KEPT, LAST, RULES


@dataclasses.dataclass(frozen=True)
class ThresholdConfig:
    """One condition of the blessing on a test metric.

    The metric of the configured profile must be at least `min_value`, and
    at least `min_ratio_to_baseline` times that of `baseline`.
    """

    metric: str = "ndcg_at_10"
    target: str = "last"
    min_value: float = 0.0
    baseline: str = "most_popular"
    min_ratio_to_baseline: float = 1.0


@dataclasses.dataclass(frozen=True)
class EvaluationConfig:
    """What is measured on test.

    `seen_items` names the main setting (kept: the model may recommend what
    the user has already; filtered: it may not); both are reported.
    `item_universe` is what coverage divides by and what Random draws from:
    all items of the `log`, or the `catalogue` known before the test cut.
    `targets` are rules of `components.targets`. `cold_items` says what a
    target unknown to the model is: kept (a miss) or dropped (not measured;
    nor are users without any other target).
    """

    seen_items: str = "kept"
    item_universe: str = "log"
    targets: tuple[str, ...] = (LAST, FIRST)
    cold_items: str = KEPT
    cutoffs: tuple[int, ...] = (10, 100)
    batch_size: int = 512
    bootstrap_samples: int = 1000
    seed: int = 0
    thresholds: tuple[ThresholdConfig, ...] = (ThresholdConfig(),)

    def __post_init__(self) -> None:
        if self.seen_items not in ("kept", "filtered"):
            raise ValueError(
                "`seen_items` must be kept or filtered, found "
                f"{self.seen_items!r}."
            )
        if self.item_universe not in ("log", "catalogue"):
            raise ValueError(
                "`item_universe` must be log or catalogue, found "
                f"{self.item_universe!r}."
            )
        self._check_targets()
        if any(k < 1 for k in self.cutoffs) or not self.cutoffs:
            raise ValueError("`cutoffs` must be positive numbers.")
        for name in ("batch_size", "bootstrap_samples"):
            if getattr(self, name) < 1:
                raise ValueError(f"`{name}` must be at least 1.")

    def _check_targets(self) -> None:
        known = ", ".join(RULES)
        if not self.targets:
            raise ValueError(f"`targets` must name one or more of {known}.")
        for target in self.targets:
            if target not in RULES:
                raise ValueError(
                    f"`targets` may hold {known}, found {target!r}."
                )
        if len(set(self.targets)) < len(self.targets):
            raise ValueError(
                f"`targets` must name each rule once, found {self.targets}."
            )
        if self.cold_items not in (KEPT, DROPPED):
            raise ValueError(
                f"`cold_items` must be {KEPT} or {DROPPED}, "
                f"found {self.cold_items!r}."
            )
