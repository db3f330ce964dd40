"""Settings of the search for settings."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from models.config import ModelConfig, TrainingConfig
from models.config.checks import at_least, between
from models.settings import value_at

# Each trial draws by a seed of its own, of so many for each of the search.
TRIALS_PER_SEED = 100_000
# NumPy's seeds end at 2**32.
_MAX_SEED = 2**32 // TRIALS_PER_SEED
_ROOTS = ("model.", "training.")
# settings that decide what data there are, read once for all trials
_DATA = (
    "model.sequential.max_length",
    "training.filter_seen",
    "training.distribution",
)
# for whoever finds that winners exclude what the configuration says
FIX_OF_WINNERS = (
    "Fix: what the trials needed in `settings` of their stage belongs into "
    "`model` and `training` themselves, or leave these values out of its "
    "`space`."
)


@dataclasses.dataclass(frozen=True)
class Settings:
    """What is tuned: `model.…` and `training.…`."""

    model: ModelConfig = dataclasses.field(default_factory=ModelConfig)
    training: TrainingConfig = dataclasses.field(default_factory=TrainingConfig)


@dataclasses.dataclass(frozen=True)
class ParameterConfig:
    """Values that a setting may take: some of a list, or a range.

    `choices` lists them. Otherwise they lie from `low` to `high`, both
    included: whole numbers where both are and `step` is no fraction, `step`
    apart where that is given, by their logarithm with `log`.
    """

    choices: tuple[Any, ...] = ()
    low: int | float | None = None
    high: int | float | None = None
    step: int | float | None = None
    log: bool = False

    def __post_init__(self) -> None:
        if self.choices:
            self._check_choices()
            return
        if self.low is None or self.high is None:
            raise ValueError(
                "needs `choices` (a list), or `low` and `high`, found "
                f"low {self.low}, high {self.high}."
            )
        if not self.low < self.high:
            raise ValueError(
                f"`low` must be below `high`, found {self.low} and {self.high}."
            )
        if self.log and self.low <= 0:
            raise ValueError(f"`log` needs `low` above 0, found {self.low}.")
        if self.step is not None:
            if self.log:
                raise ValueError("`step` and `log` exclude each other.")
            if self.step <= 0:
                raise ValueError(f"`step` must be above 0, found {self.step}.")

    @property
    def is_whole(self) -> bool:
        """Whether the values of a range are whole numbers."""
        numbers = (self.low, self.high, 1 if self.step is None else self.step)
        return all(isinstance(number, int) for number in numbers)

    @property
    def samples(self) -> tuple[Any, ...]:
        """The values to try a setting with: one at least of each type."""
        if self.choices or self.low is None or self.step is None:
            return self.choices or (self.low, self.high)
        return self.low, self.low + self.step, self.high

    def holds(self, value: Any) -> bool:
        """Whether a value may be taken."""
        if self.choices:
            return value in self.choices
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not number or self.low is None or self.high is None:
            return False
        if self.is_whole and not isinstance(value, int):
            return False
        if not self.low <= value <= self.high:
            return False
        if self.step is None:
            return True
        steps = (value - self.low) / self.step
        return abs(steps - round(steps)) < 1e-9

    def _check_choices(self) -> None:
        ends = (self.low, self.high, self.step)
        if any(end is not None for end in ends) or self.log:
            raise ValueError(
                "has `choices` and a range (`low`, `high`, `step`, `log`); "
                "give one of the two."
            )
        for choice in self.choices:
            if not isinstance(choice, (str, int, float, bool, type(None))):
                raise ValueError(
                    "`choices` must be numbers, words, true, false or null, "
                    f"found {choice!r}."
                )


@dataclasses.dataclass(frozen=True)
class StageConfig:
    """One search; the winners of all stages before it hold in it.

    `space` and `settings` have dotted names such as
    `model.sequential.dropout`. `settings` hold for the trials of this stage
    only, e.g. `model.graph.encoder: none` to tune a tower alone first. No
    name may be that of a group, such as `model.sequential`: the settings that
    it leaves out would be the defaults, whatever the configuration says.
    """

    name: str
    trials: int
    space: dict[str, ParameterConfig]
    settings: dict[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        at_least("trials", self.trials, 1)
        if not self.space:
            raise ValueError("`space` is empty: there is nothing to search.")
        for key in (*self.space, *self.settings):
            _check_key(key, self.settings.get(key))
        if "training.seed" in self.space:
            raise ValueError(
                "`training.seed` is no setting to tune: the best seed on "
                "validation is luck."
            )
        for name in sorted(self.space):
            for key, value in self.settings.items():
                if _is_given(name, key, value):
                    as_key = f" (as `{key}`)" if key != name else ""
                    raise ValueError(
                        f"`{name}` stands in `space` and in `settings`"
                        f"{as_key}; give one."
                    )


@dataclasses.dataclass(frozen=True)
class PrunerConfig:
    """Stops trials that are worse than the median of those before.

    A trial is looked at after `epochs` validated epochs and later: its best
    value so far is compared with what the complete ones had in that epoch, if
    at least `trials` of them got as far.
    """

    epochs: int = 10
    trials: int = 5

    def __post_init__(self) -> None:
        at_least("epochs", self.epochs, 1)
        at_least("trials", self.trials, 1)


@dataclasses.dataclass(frozen=True)
class TuningConfig:
    """A search in stages, before the Trainer; without stages there is none.

    Each stage tries the configuration as it stands first, where that lies in
    the space, then `startup_trials` at random, those that fail among them,
    then what Optuna's TPE suggests.
    """

    stages: tuple[StageConfig, ...] = ()
    seed: int = 0
    startup_trials: int = 10
    pruner: PrunerConfig | None = dataclasses.field(
        default_factory=PrunerConfig
    )

    def __post_init__(self) -> None:
        at_least("startup_trials", self.startup_trials, 1)
        if self.stages:
            between("seed", self.seed, 0, _MAX_SEED)
        names = [stage.name for stage in self.stages]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(
                f"two stages are called {twice[0]!r}; their names must differ."
            )


def _check_key(key: str, value: Any) -> None:
    """Raises ValueError where no trial may have a setting of its own.

    Args:
        key: dotted name in `space` or `settings`.
        value: in `settings`, None in `space`.
    """
    if not key.startswith(_ROOTS):
        raise ValueError(
            f"`{key}` cannot be tuned, only settings below `model` and "
            "`training`: data, split and graph are those of steps that ran "
            "before."
        )
    if key in _DATA:
        raise ValueError(
            f"`{key}` cannot be tuned: all trials share what is read with it."
        )
    group = _group(key)
    if group is not None:
        names = value if isinstance(value, Mapping) and value else group
        raise ValueError(
            f"`{key}` is a group of settings. Fix: name the setting itself, "
            f"e.g. `{key}.{next(iter(names))}`."
        )


def _group(key: str) -> list[str] | None:
    """The settings of the group of that name, None where it is none.

    A weight that may change over the epochs is one setting, also where a
    mapping says how it changes.
    """
    try:
        found = value_at(Settings(), key)
    except AttributeError:
        return None
    if not dataclasses.is_dataclass(found):
        return None
    return [field.name for field in dataclasses.fields(found)]


def _is_given(name: str, key: str, value: Any) -> bool:
    """Whether `settings` give what `space` searches, or a part of it.

    Args:
        name: in `space`.
        key: in `settings`.
        value: in `settings`; of a schedule that is given, parts may be
            searched.
    """
    if key == name or key.startswith(f"{name}."):
        return True
    return name.startswith(f"{key}.") and not isinstance(value, Mapping)
