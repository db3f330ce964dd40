"""Which losses train in which epoch, and when to stop (section 3.6).

What comes next is decided by the records of the epochs so far and nothing
else, so a fit that was killed decides as an undisturbed one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from models.config import ModelConfig, TrainingConfig

WARMUP = "warmup"
JOINT = "joint"
# of a graph tower without a sequential one
GRAPH = "graph"

NDCG = "validation_ndcg_at_10"
GRAPH_NDCG = "graph_validation_ndcg_at_10"

# of one epoch: `epoch`, `phase`, `steps`, `validation_ndcg_at_10` and so on
Record = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Epoch:
    """One epoch to be trained.

    Attributes:
        number: in the fit, from 1.
        phase: `warmup`, `joint` or `graph`.
        phase_epoch: number in its phase, from 1.
        max_steps: where it ends before all its data is seen, None at its end.
    """

    number: int
    phase: str
    phase_epoch: int
    max_steps: int | None = None


@dataclasses.dataclass(frozen=True)
class Schedule:
    """Graph warm-up, then both towers; or one tower alone.

    Attributes:
        warmup_epochs: most epochs of the graph tower alone.
        main_epochs: most epochs after them.
        patience: main epochs without a better validation after which
            selection stops; None in a refit, which has no validation.
        warmup_steps: steps the warm-up ends after, None where it lasts
            `warmup_epochs`.
        warmup_patience: warm-up epochs without a better validation of the
            graph alone after which the warm-up ends; None does not look.
        main_phase: `joint` or `graph`.
    """

    warmup_epochs: int
    main_epochs: int
    patience: int | None
    warmup_steps: int | None = None
    warmup_patience: int | None = None
    main_phase: str = JOINT

    @classmethod
    def of_selection(
        cls,
        model_config: ModelConfig,
        config: TrainingConfig,
        graph_steps: int = 0,
    ) -> Schedule:
        """The schedule that looks for the best epoch.

        Args:
            model_config: its towers say which phases there are: a warm-up
                where there is a graph to warm up and a sequential tower to go
                on with, and what comes after it.
            config: lengths and patience.
            graph_steps: steps of a pass over the edges of this fit; only a
                warm-up by steps needs them.

        Raises:
            ValueError: a warm-up by steps, but no edges.
        """
        has_warmup = model_config.has_graph and model_config.has_sequential
        return cls(
            _warmup_epochs(config, graph_steps) if has_warmup else 0,
            config.max_epochs,
            config.patience,
            config.warmup_steps if has_warmup else None,
            config.warmup_patience if has_warmup else None,
            JOINT if model_config.has_sequential else GRAPH,
        )

    def of_refit(
        self, config: TrainingConfig, epochs: Sequence[Record], graph_steps: int
    ) -> Schedule:
        """The same schedule for the lengths that this selection found.

        A warm-up by steps has as many steps again, which are other epochs of
        a larger graph. One by patience is repeated up to its last epoch, not
        up to its best: the joint training that was validated started from
        the weights of the last epoch, those of the best are not restored.

        Args:
            config: that of the selection.
            epochs: records of the selection.
            graph_steps: steps of a pass over the edges of the refit.

        Raises:
            ValueError: no main epoch was validated.
        """
        best = self.best_epoch(epochs)
        if best is None:
            raise ValueError("Selection ended without a validated epoch.")
        warmup = self.warmup_length(epochs)
        return dataclasses.replace(
            self,
            warmup_epochs=_warmup_epochs(config, graph_steps)
            if self.warmup_steps
            else warmup,
            main_epochs=best - warmup,
            patience=None,
            warmup_patience=None,
        )

    def next_epoch(self, epochs: Sequence[Record]) -> Epoch | None:
        """What comes after the epochs so far; None: the fit is over."""
        number = len(epochs) + 1
        if not self.warmup_is_over(epochs):
            left = None
            if self.warmup_steps is not None:
                left = self.warmup_steps - sum(e["steps"] for e in epochs)
            return Epoch(number, WARMUP, number, left)
        if self._is_over(epochs):
            return None
        phase_epoch = number - self.warmup_length(epochs)
        return Epoch(number, self.main_phase, phase_epoch)

    def warmup_is_over(self, epochs: Sequence[Record]) -> bool:
        """Whether the next epoch is no longer one of the graph alone."""
        length = self.warmup_length(epochs)
        if length < len(epochs):
            return True
        if self.warmup_steps is not None:
            return sum(e["steps"] for e in epochs) >= self.warmup_steps
        if length >= self.warmup_epochs:
            return True
        if self.warmup_patience is None:
            return False
        values = [(e.get(GRAPH_NDCG), -e["epoch"]) for e in epochs]
        _, best = max((v for v in values if v[0] is not None), default=(0, 0))
        return best < 0 and length + best >= self.warmup_patience

    def warmup_length(self, epochs: Sequence[Record]) -> int:
        """Warm-up epochs so far."""
        return sum(e["phase"] == WARMUP for e in epochs)

    def last_epoch(self, epochs: Sequence[Record]) -> int:
        """Number of the last epoch, as far as it is known: at most that."""
        if self.warmup_is_over(epochs):
            return self.warmup_length(epochs) + self.main_epochs
        return self.warmup_epochs + self.main_epochs

    def best_epoch(self, epochs: Sequence[Record]) -> int | None:
        """The main epoch of the highest validation value, the first of ties.

        Warm-up epochs never count: there the sequential tower is untrained,
        and its validation may fall for long before the switch (Figure 2
        of the paper).
        """
        values = [
            (e[NDCG], -e["epoch"])
            for e in epochs
            if e["phase"] != WARMUP and e[NDCG] is not None
        ]
        return -max(values)[1] if values else None

    def _is_over(self, epochs: Sequence[Record]) -> bool:
        number = len(epochs)
        if number - self.warmup_length(epochs) >= self.main_epochs:
            return True
        best = self.best_epoch(epochs)
        if best is None or self.patience is None:
            return False
        return number - best >= self.patience


def _warmup_epochs(config: TrainingConfig, graph_steps: int) -> int:
    """Most epochs of the warm-up; that by steps has an unfinished last one."""
    if config.warmup_steps is None:
        return config.warmup_epochs
    if graph_steps < 1:
        raise ValueError(
            f"`warmup_steps` {config.warmup_steps} needs a graph with edges, "
            f"found {graph_steps} steps in a pass over them."
        )
    return -(-config.warmup_steps // graph_steps)
