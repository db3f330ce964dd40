"""Searches for settings, on validation only, and goes on after a kill.

Optuna keeps every trial in a journal file. What is tried next is a function
of that file and the seed, so a search that was killed ends as one that was
not; the trial that was under way starts again, from the checkpoint of its last
epoch. More trials continue the same search.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping
from typing import Any

import optuna
import tensorflow as tf
from optuna.trial import TrialState

from models.fitting.divergence import TrainingDivergedError
from models.fitting.fit import Period, fit, graph_steps
from models.fitting.memory import OutOfMemoryError
from models.fitting.schedule import Record, Schedule
from models.fitting.validation import check_queries
from models.settings import SettingsError
from models.tuning import trials as records
from models.tuning.config import (
    FIX_OF_WINNERS,
    TRIALS_PER_SEED,
    Settings,
    StageConfig,
    TuningConfig,
)
from models.tuning.gradient_registry import forgotten_gradients
from models.tuning.journal import Journal
from models.tuning.trials import Trial, progress_line
from models.tuning.values import present_values, trial_settings
from models.tuning.watch import Watch, suggest

# a trial that ends so says something about its values only
_FAILURES = (SettingsError, TrainingDivergedError, OutOfMemoryError)


@dataclasses.dataclass(frozen=True)
class StageResult:
    """One search.

    Attributes:
        name: of the stage.
        trials: all that have ended, in order.
        best: the trial with the best value.
        importances: share of each parameter in how the values differ.
    """

    name: str
    trials: list[Trial]
    best: Trial
    importances: dict[str, float]


class Search:
    """The stages of a search over one period.

    Args:
        settings: what holds beside the values searched.
        config: stages, seed, pruning.
        period: data with validation queries.
        directory: of the journal and the checkpoints, a folder or a URI; the
            same arguments and directory go on where a killed search stopped.
        report: takes a line per epoch and per trial.

    Raises:
        ValueError: the period has no validation user.
    """

    def __init__(
        self,
        settings: Settings,
        config: TuningConfig,
        period: Period,
        directory: str,
        report: Callable[[str], None] = print,
    ) -> None:
        check_queries(period.queries)
        self._settings = settings
        self._config = config
        self._period = period
        self._directory = directory
        self._report = report
        self._journal = Journal(directory)
        # it writes a line per trial of its own
        optuna.logging.set_verbosity(optuna.logging.WARNING)

    def run(self) -> tuple[dict[str, Any], list[StageResult]]:
        """Runs all stages.

        Returns:
            The best values by dotted name, and every stage.

        Raises:
            ValueError: no trial of a stage could be trained.
        """
        best: dict[str, Any] = {}
        results = []
        for stage in self._config.stages:
            result = self._stage(stage, best)
            best |= result.best.parameters
            results.append(result)
        return best, results

    def _stage(self, stage: StageConfig, best: dict[str, Any]) -> StageResult:
        fixed = {**best, **stage.settings}
        study = self._study(stage, fixed)
        has_present = self._enqueue_present(study, stage, fixed)
        startup = self._config.startup_trials + has_present
        for trial in study.get_trials(states=(TrialState.RUNNING,)):
            # was under way when the search was killed
            killed = optuna.Trial(study, trial._trial_id)
            killed.set_user_attr(records.AGAIN, True)
            study.tell(killed, state=TrialState.FAIL)
            study.enqueue_trial(trial.params)
        started = time.monotonic()
        before = len(records.finished(study))
        while (done := len(records.finished(study))) < stage.trials:
            study.sampler = self._sampler(done, startup)
            self._try(study, stage, fixed, done + 1)
            spent = (time.monotonic() - started) / (done + 1 - before)
            self._report(progress_line(stage, records.finished(study), spent))
        found = records.finished(study)
        trained = [trial for trial in found if trial.value is not None]
        if not trained:
            raise ValueError(self._why_untrained(stage, best, found[-1]))
        return StageResult(
            stage.name,
            found,
            max(trained, key=lambda trial: trial.value or 0.0),
            records.importances(study, found),
        )

    def _try(
        self,
        study: optuna.Study,
        stage: StageConfig,
        fixed: Mapping[str, Any],
        number: int,
    ) -> None:
        """Asks for values, trains with them, tells what became of it."""
        trial = study.ask()
        values = {
            name: suggest(trial, name, parameter)
            for name, parameter in stage.space.items()
        }
        folder = os.path.join(
            self._directory, f"{study.study_name}-{_digest(values)}"
        )
        watch = Watch(trial)
        state, value = TrialState.COMPLETE, None
        try:
            settings = self._checked({**fixed, **values})
            self._fit(f"{stage.name} {number}", settings, folder, watch)
            value = watch.best
        except _FAILURES as error:
            trial.set_user_attr(records.REASON, str(error))
            state = TrialState.FAIL
        except optuna.TrialPruned:
            state = TrialState.PRUNED
        watch.close()
        study.tell(trial, value, state)
        self._journal.save()
        if tf.io.gfile.exists(folder):
            tf.io.gfile.rmtree(folder)

    def _why_untrained(
        self, stage: StageConfig, best: dict[str, Any], last: Trial
    ) -> str:
        """What to change where every trial of a stage failed."""
        message = (
            f"No trial of the tuning stage {stage.name!r} could be trained. "
            f"The last one: {last.reason}"
        )
        fixed = {**best, **stage.settings}
        if self._can_be(fixed) or not self._can_be(stage.settings):
            return message
        winners = ", ".join(f"{name} {value}" for name, value in best.items())
        return (
            f"{message} What won in the stages before ({winners}) does not go "
            f"together with the configuration in this one. {FIX_OF_WINNERS}"
        )

    def _can_be(self, values: Mapping[str, Any]) -> bool:
        try:
            self._checked(values)
        except SettingsError:
            return False
        return True

    def _checked(self, values: Mapping[str, Any]) -> Settings:
        """The settings of a trial, or a SettingsError."""
        adjacency = self._period.adjacency
        return trial_settings(
            self._settings,
            values,
            has_neighbors=adjacency is not None
            and adjacency.neighbors is not None,
        )

    def _fit(
        self,
        name: str,
        settings: Settings,
        folder: str,
        after_epoch: Callable[[Record], None],
    ) -> None:
        model, training = settings.model, settings.training
        schedule = Schedule.of_selection(
            model, training, graph_steps(model, self._period)
        )
        period = self._period
        if not model.has_graph:
            period = dataclasses.replace(period, adjacency=None)
        with forgotten_gradients():
            fit(
                name,
                model,
                training,
                period,
                schedule,
                checkpoint_dir=folder,
                report=self._report,
                after_epoch=after_epoch,
            )

    def _study(self, stage: StageConfig, fixed: dict[str, Any]) -> optuna.Study:
        pruner: optuna.pruners.BasePruner = optuna.pruners.NopPruner()
        if self._config.pruner is not None:
            pruner = optuna.pruners.MedianPruner(
                n_startup_trials=self._config.pruner.trials,
                n_warmup_steps=self._config.pruner.epochs,
                # late epochs are reached by a few, of which half would be
                # stopped whatever they are worth
                n_min_trials=self._config.pruner.trials,
            )
        return optuna.create_study(
            storage=self._journal.storage,
            # another winner before, or another space, is another search
            study_name=f"{stage.name}-{_digest([fixed, stage.space])}",
            direction="maximize",
            pruner=pruner,
            load_if_exists=True,
        )

    def _sampler(self, done: int, startup: int) -> optuna.samplers.BaseSampler:
        """A function of the seed and of how many trials there were.

        Args:
            done: trials that have ended.
            startup: how many of them are not suggested by TPE.
        """
        return optuna.samplers.TPESampler(
            seed=self._config.seed * TRIALS_PER_SEED + done,
            # TPE itself would not count those that failed
            n_startup_trials=0 if done >= startup else startup,
        )

    def _enqueue_present(
        self, study: optuna.Study, stage: StageConfig, fixed: dict[str, Any]
    ) -> bool:
        """Makes what the configuration says the first trial, if it can be.

        Returns:
            Whether it is, also where the search goes on.
        """
        is_new = not study.get_trials()
        try:
            present = present_values(self._settings, fixed, stage)
        except SettingsError as error:
            if is_new:
                self._report(
                    f"[{stage.name}] the configuration as it stands is not "
                    f"tried first: {error}"
                )
            return False
        if is_new:
            study.enqueue_trial(present)
        return True


def _digest(content: Any) -> str:
    text = json.dumps(content, sort_keys=True, default=dataclasses.asdict)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
