"""Settings of RankingEvaluator and of the blessing."""

from __future__ import annotations

import dataclasses
import difflib
import re

from components.targets import DROPPED, FIRST, KEPT, LAST, RULES
from serving.signatures import MAX_ANSWERS, MAX_ROWS

RANDOM_ITEMS = "random"
POPULAR_RANDOM = "popular_random"
MOST_POPULAR = "most_popular"
MOST_POPULAR_RECENT = "most_popular_recent"
PURE_SVD = "pure_svd"
ITEM_KNN = "item_knn"
BASELINES = (
    RANDOM_ITEMS,
    POPULAR_RANDOM,
    MOST_POPULAR,
    MOST_POPULAR_RECENT,
    PURE_SVD,
    ITEM_KNN,
)
# The name of the measured model among the baselines.
MODEL = "model"
# In `compare_with`, in the place of a folder.
SERVED = "served"

# models.baselines.item_knn knows how; it loads a library to say so.
WEIGHTINGS = ("cosine", "tfidf", "bm25")


@dataclasses.dataclass(frozen=True)
class MostPopularRecentConfig:
    """Popular in the last `days` of the fit period, before the test cut."""

    days: float = 30.0

    def __post_init__(self) -> None:
        if not self.days > 0:
            raise ValueError(f"`days` must be above 0, found {self.days}.")


@dataclasses.dataclass(frozen=True)
class PureSvdConfig:
    """Vectors kept, and the exponent that columns are scaled by.

    `models.baselines.pure_svd` has the formula.
    """

    rank: int = 100
    scaling: float = 0.35

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise ValueError(f"`rank` must be at least 1, found {self.rank}.")


@dataclasses.dataclass(frozen=True)
class ItemKnnConfig:
    """Neighbours kept of each item, and how similarity is weighted."""

    neighbors: int = 100
    weighting: str = "tfidf"

    def __post_init__(self) -> None:
        if self.neighbors < 1:
            raise ValueError(
                f"`neighbors` must be at least 1, found {self.neighbors}."
            )
        if self.weighting not in WEIGHTINGS:
            raise ValueError(
                f"`weighting` must be one of {', '.join(WEIGHTINGS)}, found "
                f"{self.weighting!r}."
            )


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
    nor are users without any other target). `baselines` are measured beside
    the model, and so are the exported models of `compare_with`: name to the
    folder of a SavedModel, or of numbered versions, of which the newest one
    is taken (as a server does), or to `served`: what this pipeline has pushed
    before, the newest version that is not this model itself. As long as that
    is nothing there is nothing to compare with, and thresholds that name it
    pass.
    """

    seen_items: str = "kept"
    item_universe: str = "log"
    targets: tuple[str, ...] = (LAST, FIRST)
    cold_items: str = KEPT
    cutoffs: tuple[int, ...] = (10, 100)
    batch_size: int = 512
    bootstrap_samples: int = 1000
    seed: int = 0
    baselines: tuple[str, ...] = BASELINES
    most_popular_recent: MostPopularRecentConfig = dataclasses.field(
        default_factory=MostPopularRecentConfig
    )
    pure_svd: PureSvdConfig = dataclasses.field(default_factory=PureSvdConfig)
    item_knn: ItemKnnConfig = dataclasses.field(default_factory=ItemKnnConfig)
    compare_with: dict[str, str] = dataclasses.field(default_factory=dict)
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
        self._check_rivals()
        if any(k < 1 for k in self.cutoffs) or not self.cutoffs:
            raise ValueError("`cutoffs` must be positive numbers.")
        for name in ("batch_size", "bootstrap_samples"):
            if getattr(self, name) < 1:
                raise ValueError(f"`{name}` must be at least 1.")
        self._check_batch_size()
        if self.seed < 0:  # NumPy knows no such seed
            raise ValueError(f"`seed` must be at least 0, found {self.seed}.")
        self._check_thresholds()

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of what is measured; MRR at the largest cutoff only."""
        names = [
            f"{metric}_at_{k}"
            for k in sorted(set(self.cutoffs))
            for metric in ("ndcg", "recall", "coverage")
        ]
        return (*names, f"mrr_at_{max(self.cutoffs)}")

    @property
    def rivals(self) -> tuple[str, ...]:
        """What the model is compared with: baselines, then other models."""
        return (*self.baselines, *self.compare_with)

    def _check_batch_size(self) -> None:
        # the exported model refuses larger requests, after the training
        most = min(MAX_ROWS, MAX_ANSWERS // max(self.cutoffs))
        if self.batch_size > most:
            raise ValueError(
                f"`batch_size` may be at most {most} with a cutoff of "
                f"{max(self.cutoffs)}: the exported model refuses larger "
                f"requests. Found {self.batch_size}."
            )

    def _check_rivals(self) -> None:
        known = ", ".join(BASELINES)
        for name in self.baselines:
            if name not in BASELINES:
                raise ValueError(
                    f"`baselines` may hold {known}, found {name!r}."
                )
        if len(set(self.baselines)) < len(self.baselines):
            raise ValueError(
                f"`baselines` must name each once, found {self.baselines}."
            )
        for name in self.compare_with:
            if not re.fullmatch(r"[a-z0-9_-]+", name):
                raise ValueError(
                    "Names in `compare_with` may hold lower-case letters, "
                    f"digits, `_` and `-`, found {name!r}."
                )
            if name in (MODEL, *BASELINES):
                raise ValueError(
                    f"`compare_with` must not call a model {name!r}: that is "
                    "the name of another one in the results."
                )

    def _check_thresholds(self) -> None:
        """A threshold may only ask for what is measured."""
        for position, threshold in enumerate(self.thresholds):
            for key, allowed, given_by in (
                ("metric", self.metrics, "`cutoffs`"),
                ("target", self.targets, "`targets`"),
                ("baseline", self.rivals, "`baselines` and `compare_with`"),
            ):
                value = getattr(threshold, key)
                if value in allowed:
                    continue
                if key == "baseline" and threshold.min_ratio_to_baseline <= 0:
                    continue  # asked for by nothing
                near = difflib.get_close_matches(value, allowed, n=1)
                hint = f" Did you mean {near[0]}?" if near else ""
                raise ValueError(
                    f"`thresholds[{position}].{key}` must be one of "
                    f"{', '.join(allowed)} (see {given_by}), found "
                    f"{value!r}.{hint}"
                )

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
