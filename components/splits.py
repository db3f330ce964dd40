"""Which users and events each period consists of.

A temporal split is two integers per user (events before the validation cut,
events before the test cut), not three copies of the log. The rules are those
of METHODS 1.1 with switches for the stricter `sound` profile.
"""

from __future__ import annotations

import dataclasses
import datetime
import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from components.histories import Histories


@dataclasses.dataclass(frozen=True)
class SplitConfig:
    """Global temporal split.

    Exactly one of quantile and date is used per cut; the date wins where
    both are given. An event at the cut time itself lies before the cut.
    """

    test_quantile: float = 0.8
    test_date: str | None = None
    validation_quantile: float = 0.9
    validation_date: str | None = None
    min_user_events: int = 3
    min_development_events: int = 3
    refit_users: str = "train"
    min_test_history: int = 2

    def __post_init__(self) -> None:
        for name in ("test_quantile", "validation_quantile"):
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
        self._check_dates()

    def _check_dates(self) -> None:
        cuts = [
            date_cut(getattr(self, name), name)
            for name in ("validation_date", "test_date")
            if getattr(self, name) is not None
        ]
        if len(cuts) == 2 and cuts[0] >= cuts[1]:
            raise ValueError(
                "`validation_date` must lie before `test_date`, found "
                f"{self.validation_date} and {self.test_date}."
            )


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
    """[num_users] bool: users with two events up to the validation cut."""
    return (
        (histories.num_events >= config.min_user_events)
        & (histories.num_development_events >= config.min_development_events)
        & (histories.num_train_events >= 2)
    )


def refit_users(histories: Histories, config: SplitConfig) -> np.ndarray:
    """[num_users] bool: users of the final fit on train + validation."""
    if config.refit_users == "train":
        return train_users(histories, config)
    return (
        (histories.num_events >= config.min_user_events)
        & (histories.num_development_events >= config.min_development_events)
        & (histories.num_development_events >= 2)
    )


def validation_users(histories: Histories, config: SplitConfig) -> np.ndarray:
    """[num_users] bool: train users with events between the two cuts."""
    return train_users(histories, config) & (
        histories.num_development_events > histories.num_train_events
    )


def test_users(histories: Histories, config: SplitConfig) -> np.ndarray:
    """[num_users] bool: users with a target after the test cut.

    With `min_test_history` 2 these are METHODS' warm users (rule d), with 1
    the warm and with 0 all users of Time-to-Split, where a user without any
    earlier event gives up the first test event as input.
    """
    return (
        (histories.num_events >= config.min_user_events)
        & (histories.num_events > histories.num_development_events)
        & (histories.num_development_events >= config.min_test_history)
        & (histories.num_events >= 2)
    )


def target_positions(histories: Histories, rule: str) -> np.ndarray:
    """[num_users] int: index of the test target in each user's history.

    Args:
        histories: users with at least one event after the test cut.
        rule: `last` event of the history, or `first` event after the test
            cut that has an input before it.
    """
    if rule == "last":
        return histories.num_events - 1
    if rule == "first":
        return np.maximum(histories.num_development_events, 1)
    raise ValueError(f"Target rule must be last or first, found {rule!r}.")
