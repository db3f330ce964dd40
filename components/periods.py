"""What is fitted on in each period: one meaning for all who ask.

Trainer, GraphBuilder, evaluator and tests take the users and events of a
period from here, so that they cannot drift apart.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from components import splits
from components.histories import Histories, windows

TRAIN = "train"
TRAIN_VALIDATION = "train_validation"
FIT_PERIODS = (TRAIN, TRAIN_VALIDATION)


@dataclasses.dataclass(frozen=True)
class FitData:
    """Events of the users that one period is fitted on.

    Attributes:
        user_positions: [n] positions of the users in `Histories`, ascending.
        rows: [m] row numbers into the flat arrays of `Histories`, user by
            user, oldest first.
        offsets: [n + 1]; rows[offsets[j]:offsets[j + 1]] are the events of
            user user_positions[j].
    """

    user_positions: np.ndarray
    rows: np.ndarray
    offsets: np.ndarray


def check_period(period: str) -> None:
    """Raises ValueError where `period` is not one of `FIT_PERIODS`."""
    if period not in FIT_PERIODS:
        raise ValueError(
            f"`period` must be {' or '.join(FIT_PERIODS)}, found {period!r}."
        )


def period_users(
    histories: Histories, split: splits.SplitConfig, period: str
) -> np.ndarray:
    """[num_users] bool: the users that are fitted on in `period`."""
    check_period(period)
    if period == TRAIN:
        return splits.train_users(histories, split)
    return splits.refit_users(histories, split)


def period_ends(histories: Histories, period: str) -> np.ndarray:
    """[num_users] number of events of each user that the period may use."""
    check_period(period)
    if period == TRAIN:
        return histories.num_train_events
    return histories.num_development_events


def user_table_period(split: splits.SplitConfig, period: str) -> str:
    """Period whose user vocabulary holds just the users fitted on.

    Users that come on top after the validation cut have rows of their own
    in the user vocabulary, but a refit on the train users has no use of
    them. Users held out for validation come on top as well, and train in
    every refit.
    """
    check_period(period)
    if split.refit_users == "train" and split.validation_rule != splits.BY_USER:
        return TRAIN
    return period


def fit_windows(
    histories: Histories,
    split: splits.SplitConfig,
    period: str,
    newest: int | np.ndarray | None,
) -> FitData:
    """Each fit user's newest events of the period.

    Args:
        histories: the whole histories of all users.
        split: which users count.
        period: `train` (the train events, for model selection) or
            `train_validation` (all development events, for the final fit).
        newest: how many events of a user at most, for all or [num_users]
            for each; None keeps all.

    Raises:
        ValueError: `period` is neither of the two.
    """
    positions = np.flatnonzero(period_users(histories, split, period))
    # Other users get an empty window, so the rows come out user by user.
    ends = np.zeros(histories.num_users, np.int64)
    ends[positions] = period_ends(histories, period)[positions]
    rows, offsets = windows(histories.offsets, ends, newest)
    # Empty windows repeat an offset; what is kept is where each user starts.
    return FitData(positions, rows, np.append(offsets[positions], offsets[-1]))
