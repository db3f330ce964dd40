"""What a search has tried, as plain records."""

from __future__ import annotations

import dataclasses
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from models.tuning.config import StageConfig

COMPLETE, PRUNED, FAILED = "complete", "pruned", "failed"
_STATES = {
    TrialState.COMPLETE: COMPLETE,
    TrialState.PRUNED: PRUNED,
    TrialState.FAIL: FAILED,
}
# attributes of a trial in the study
BEST_EPOCH, EPOCHS, SECONDS, REASON, AGAIN = (
    "best_epoch",
    "epochs",
    "seconds",
    "reason",
    "started_again",
)


@dataclasses.dataclass(frozen=True)
class Trial:
    """One set of values that was trained with.

    Attributes:
        number: within its stage, from 1.
        parameters: by dotted name.
        state: `complete`; `pruned`, stopped because others were better by
            then; or `failed`, with values that exclude each other, a loss that
            diverged or a model that the device has no memory for.
        value: best validation NDCG@10, of the epochs it had; None where it
            failed.
        best_epoch: whose value that is.
        epochs: trained.
        seconds: of training.
        reason: why it failed, empty otherwise.
    """

    number: int
    parameters: dict[str, Any]
    state: str
    value: float | None
    best_epoch: int | None
    epochs: int
    seconds: float
    reason: str


def finished(study: optuna.Study) -> list[Trial]:
    """The trials that have ended, but not those started again after a kill."""
    trials = [
        trial
        for trial in study.get_trials(deepcopy=False)
        if trial.state in _STATES and AGAIN not in trial.user_attrs
    ]
    return [_trial(number, t) for number, t in enumerate(trials, start=1)]


def importances(study: optuna.Study, trials: list[Trial]) -> dict[str, float]:
    """Share of each parameter in how the trials' values differ (PED-ANOVA).

    Empty where there are too few complete trials or they do not differ.
    """
    done = [trial for trial in trials if trial.state == COMPLETE]
    if len(done) < 4 or len({trial.value for trial in done}) < 2:
        return {}
    evaluator = optuna.importance.PedAnovaImportanceEvaluator()
    found = optuna.importance.get_param_importances(study, evaluator=evaluator)
    return {name: float(share) for name, share in found.items()}


def progress_line(
    stage: StageConfig, found: list[Trial], seconds: float
) -> str:
    """What the last trial gave, what is best, how long it will take.

    Args:
        stage: the search.
        found: its trials so far.
        seconds: of a trial, on average.
    """
    last = found[-1]
    what = f"failed: {last.reason}"
    if last.value is not None:
        what = (
            f"NDCG@10 {last.value:.4f} at epoch {last.best_epoch} of "
            f"{last.epochs}"
        )
        if last.state == PRUNED:
            what += ", stopped early"
    best = ""
    valued = [trial for trial in found if trial.value is not None]
    if valued:
        top = max(valued, key=lambda trial: trial.value or 0.0)
        best = f"; best {top.value:.4f} of trial {top.number}"
    left = (stage.trials - len(found)) * seconds / 60.0
    return (
        f"[tuner] {stage.name} {last.number}/{stage.trials}: {what}{best}; "
        f"about {left:.0f} min left in this stage"
    )


def _trial(number: int, trial: FrozenTrial) -> Trial:
    attributes = trial.user_attrs
    values = trial.intermediate_values
    return Trial(
        number,
        dict(trial.params),
        _STATES[trial.state],
        max(values.values()) if values and REASON not in attributes else None,
        attributes.get(BEST_EPOCH),
        int(attributes.get(EPOCHS, 0)),
        float(attributes.get(SECONDS, 0.0)),
        str(attributes.get(REASON, "")),
    )
