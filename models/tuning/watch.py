"""A trial while it is trained: its values, its epochs, its early end."""

from __future__ import annotations

from typing import Any

import optuna

from models.fitting.schedule import NDCG, WARMUP, Record
from models.tuning import trials as records
from models.tuning.config import ParameterConfig


def suggest(trial: optuna.Trial, name: str, parameter: ParameterConfig) -> Any:
    """The value that the study proposes for a setting."""
    if parameter.choices:
        return trial.suggest_categorical(name, parameter.choices)
    low, high = parameter.low, parameter.high
    assert low is not None and high is not None
    if parameter.is_whole:
        step = 1 if parameter.step is None else int(parameter.step)
        return trial.suggest_int(
            name, int(low), int(high), step=step, log=parameter.log
        )
    return trial.suggest_float(
        name, low, high, step=parameter.step, log=parameter.log
    )


class Watch:
    """Tells a trial about its epochs, and stops it where others are better.

    Epochs of the graph's warm-up do not count: warm-ups differ in length,
    and no epoch of them can be chosen.
    """

    def __init__(self, trial: optuna.Trial) -> None:
        self._trial = trial
        self._epochs: list[Record] = []
        self._values: dict[int, float] = {}

    def __call__(self, record: Record) -> None:
        self._epochs.append(record)
        if record["phase"] == WARMUP or record[NDCG] is None:
            return
        self._values[record["epoch"]] = record[NDCG]
        self._trial.report(record[NDCG], len(self._values))
        if self._trial.should_prune():
            raise optuna.TrialPruned

    @property
    def best(self) -> float:
        """The best validation so far."""
        return max(self._values.values())

    def close(self) -> None:
        """Writes what is known about the trial's epochs."""
        values = self._values
        best = max(values, key=lambda e: values[e]) if values else None
        self._trial.set_user_attr(records.BEST_EPOCH, best)
        self._trial.set_user_attr(records.EPOCHS, len(self._epochs))
        self._trial.set_user_attr(
            records.SECONDS, sum(e["seconds"] for e in self._epochs)
        )
