"""Which users and events each period consists of.

A split is two integers per user, not three copies of the log: the events that
the selection may learn from (train) and those that the final fit may learn
from (development); the rest is test. The strategies differ only in how the
two are counted (components/transform/preprocessing.py). The rules are those
of docs/protocol.md with switches for the stricter `sound` profile.
"""

from __future__ import annotations

import dataclasses
import datetime
import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from components.histories import Histories


TEMPORAL = "temporal"
LEAVE_ONE_OUT = "leave_one_out"
STRATEGIES = (TEMPORAL, LEAVE_ONE_OUT)

BY_TIME = "by_time"
BY_USER = "by_user"
LAST_TRAIN_ITEM = "last_train_item"
VALIDATIONS = (BY_TIME, BY_USER, LAST_TRAIN_ITEM)

# Where a person reads numbers of a strategy that leaks.
LEAK_WARNING = (
    "Leave-one-out leaks the future: the model has learned from events after "
    "those it is tested on. For comparison only."
)


@dataclasses.dataclass(frozen=True)
class SplitConfig:
    """How each history is cut into train, validation and test events.

    `strategy` says what is development and what is test:
        temporal: one global cut in time; development lies up to it.
        leave_one_out: a user's last event is test, the one before it
            validation. There is no global cut, so the model learns from
            events after those it is tested on: for comparison only.
    `validation` says what of the development events is train:
        by_time: a second global cut.
        by_user: all events of most users; the users drawn by
            `validation_user_share` and `validation_seed` are held out of the
            selection, and train in the final fit like all others.
        last_train_item: all but each user's last one. leave_one_out always
            does this.

    A cut is a date, so many days before the newest event (test) or before the
    test cut (validation), or a quantile: the quantile counts where neither
    date nor days are given. An event at the cut time itself lies before the
    cut.
    """

    strategy: str = TEMPORAL
    validation: str = BY_TIME
    validation_user_share: float = 0.1
    validation_seed: int = 0
    test_quantile: float = 0.8
    test_date: str | None = None
    test_days: float | None = None
    validation_quantile: float = 0.9
    validation_date: str | None = None
    validation_days: float | None = None
    min_user_events: int = 3
    min_development_events: int = 3
    refit_users: str = "train"
    min_test_history: int = 2

    def __post_init__(self) -> None:
        for name, known in (
            ("strategy", STRATEGIES),
            ("validation", VALIDATIONS),
        ):
            if getattr(self, name) not in known:
                raise ValueError(
                    f"`{name}` must be one of {', '.join(known)}, found "
                    f"{getattr(self, name)!r}."
                )
        for name in (
            "test_quantile",
            "validation_quantile",
            "validation_user_share",
        ):
            value = getattr(self, name)
            if not 0.0 < value < 1.0:
                raise ValueError(f"`{name}` must lie in (0, 1), found {value}.")
        if self.refit_users not in ("train", "development"):
            raise ValueError(
                "`refit_users` must be train or development, found "
                f"{self.refit_users!r}."
            )
        for name in ("min_user_events", "min_development_events"):
            if getattr(self, name) < 1:
                raise ValueError(f"`{name}` must be at least 1.")
        if self.min_test_history < 0:
            raise ValueError("`min_test_history` must not be negative.")
        # TensorFlow takes the key of a hash as int64.
        if self.validation_rule == BY_USER and not (
            -(2**63) <= self.validation_seed < 2**63
        ):
            raise ValueError(
                "`validation_seed` must lie in [-2**63, 2**63 - 1], found "
                f"{self.validation_seed}."
            )
        self._check_cuts()
        self._check_unused()

    @property
    def leaks_future(self) -> bool:
        """Whether the model has learned from events after its test events."""
        return self.strategy == LEAVE_ONE_OUT

    @property
    def validation_rule(self) -> str:
        """What is done: leave_one_out knows only one validation."""
        if self.strategy == LEAVE_ONE_OUT:
            return LAST_TRAIN_ITEM
        return self.validation

    @property
    def note(self) -> str:
        """What a reader must know beside the cut times; "" by default."""
        if self.strategy == LEAVE_ONE_OUT:
            return "Test: each user's last event; validation: the one before."
        return {
            BY_TIME: "",
            BY_USER: "Validation: the last event up to the test cut of users "
            "held out of the selection.",
            LAST_TRAIN_ITEM: "Validation: each user's last event up to the "
            "test cut.",
        }[self.validation]

    @property
    def excluded(self) -> frozenset[str]:
        """Settings that are null and must stay so beside the others."""
        names = {"test_days"} if self.test_date is not None else set()
        if self.test_days is not None:
            names.add("test_date")
        if self.strategy == LEAVE_ONE_OUT:
            names |= {"test_date", "test_days"}
        return frozenset(names)

    def _check_unused(self) -> None:
        """Raises where a setting that was given has no effect."""
        if self.strategy == LEAVE_ONE_OUT:
            if self.validation == BY_USER:
                raise ValueError(
                    "`validation: by_user` has no meaning with `strategy: "
                    "leave_one_out`, where each user's last but one event is "
                    "the validation target: remove one of the two."
                )
            for name in self._given("test"):
                raise ValueError(
                    f"`{name}` has no effect with `strategy: "
                    "leave_one_out`, which has no cut in time: set it to null."
                )
        if self.validation_rule != BY_TIME:
            for name in self._given("validation"):
                raise ValueError(
                    f"`{name}` has an effect only with `strategy: "
                    "temporal` and `validation: by_time`, found "
                    f"{self.strategy} and {self.validation}: set it to null."
                )

    def _given(self, cut: str) -> list[str]:
        """Settings that take the place of the cut's quantile."""
        names = (f"{cut}_date", f"{cut}_days")
        return [name for name in names if getattr(self, name) is not None]

    def _check_cuts(self) -> None:
        for cut in ("test", "validation"):
            days = getattr(self, f"{cut}_days")
            if days is not None and not 0.0 < days < math.inf:
                raise ValueError(
                    f"`{cut}_days` must be above 0, or null, found {days}."
                )
            if len(self._given(cut)) == 2:
                raise ValueError(
                    f"`{cut}_date` and `{cut}_days` are two ways to say one "
                    f"cut, found {getattr(self, f'{cut}_date')} and {days}: "
                    "set one of them to null."
                )
        dates = [
            date_cut(getattr(self, name), name)
            for name in ("validation_date", "test_date")
            if getattr(self, name) is not None
        ]
        if len(dates) == 2 and dates[0] >= dates[1]:
            raise ValueError(
                "`validation_date` must lie before `test_date`, found "
                f"{self.validation_date} and {self.test_date}."
            )


def seconds_of_days(days: float) -> int:
    """Whole seconds of `test_days` or `validation_days`."""
    return round(days * 86_400)


def date_cut(text: str, key: str) -> int:
    """Unix seconds of an ISO-8601 date or time; UTC where no zone is given.

    A date alone is its midnight. Events at the cut itself lie before it.

    Args:
        text: for example `2014-03-07` or `2014-03-07T12:00:00Z`.
        key: name of the setting, for the message.

    Raises:
        ValueError: `text` is no such date.
    """
    try:
        # Python 3.10 reads +00:00 but not the Z.
        moment = datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError as error:
        raise ValueError(
            f"`{key}` must be an ISO-8601 date or time such as 2014-03-07 or "
            f"2014-03-07T12:00:00Z, found {text!r}."
        ) from error
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.timezone.utc)
    return math.floor(moment.timestamp())


def train_users(histories: Histories, config: SplitConfig) -> np.ndarray:
    """[num_users] bool: users with two train events, for the selection."""
    return _enough_events(histories, config) & (histories.num_train_events >= 2)


def refit_users(histories: Histories, config: SplitConfig) -> np.ndarray:
    """[num_users] bool: users of the final fit on train + validation.

    With `refit_users: train` those that the selection was trained or
    validated on.
    """
    if config.refit_users == "train":
        return train_users(histories, config) | validation_users(
            histories, config
        )
    return _enough_events(histories, config) & (
        histories.num_development_events >= 2
    )


def validation_users(histories: Histories, config: SplitConfig) -> np.ndarray:
    """[num_users] bool: users whose last development event is a target.

    Train users with a development event that is not train; with
    `validation: by_user` the users held out, who have no train event.
    """
    if config.validation_rule == BY_USER:
        return (
            _enough_events(histories, config)
            & (histories.num_development_events >= 2)
            & (histories.num_train_events < 1)
        )
    return train_users(histories, config) & (
        histories.num_development_events > histories.num_train_events
    )


def test_users(histories: Histories, config: SplitConfig) -> np.ndarray:
    """[num_users] bool: users with a test event to be predicted.

    With `min_test_history` 2 these are the users of the paper's protocol
    (docs/protocol.md, rule 5), with 1 the warm and with 0 all users of
    time-to-split, where a user without any earlier event gives up the first
    test event as input.
    """
    return (
        (histories.num_events >= config.min_user_events)
        & (histories.num_events > histories.num_development_events)
        & (histories.num_development_events >= config.min_test_history)
        & (histories.num_events >= 2)
    )


def check_test_users(histories: Histories, config: SplitConfig) -> None:
    """Raises ValueError where nobody is left to measure a model on."""
    if test_users(histories, config).any():
        return
    oldest, newest = (
        int(histories.timestamps.min(initial=2**62)),
        int(histories.timestamps.max(initial=0)),
    )
    if oldest == newest:
        raise ValueError(
            f"Nobody to measure a model on: all {histories.timestamps.size:,} "
            f"events are of {_utc(newest)} UTC, and test is what comes after "
            "a cut in time. Give logs with times of day, or of several days "
            "(`logs.columns.timestamp`). `split.strategy: leave_one_out` "
            "needs no times, but blesses nothing."
        )
    lower = "Lower `split.test_quantile`"
    if config.min_test_history:
        lower = "Lower `split.min_test_history` or `split.test_quantile`"
    raise ValueError(
        f"No test users among {histories.num_users}: nobody with at least "
        f"{config.min_test_history} events up to the test cut "
        f"{_utc(histories.test_cut)} UTC has one after it; the newest event is "
        f"of {_utc(newest)}. {lower}, raise `split.test_days`, or give an "
        "earlier `split.test_date`."
    )


def _utc(second: int) -> str:
    moment = datetime.datetime.fromtimestamp(second, datetime.timezone.utc)
    return f"{moment:%Y-%m-%d %H:%M:%S}"


def _enough_events(histories: Histories, config: SplitConfig) -> np.ndarray:
    return (histories.num_events >= config.min_user_events) & (
        histories.num_development_events >= config.min_development_events
    )
