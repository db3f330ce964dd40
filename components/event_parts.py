"""The part that each event of a log has in a split: nothing goes unsaid."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from components import splits

if TYPE_CHECKING:
    from components.histories import Histories

TRAIN = "train"
VALIDATION = "validation"
TEST = "test"
PERIODS = (TRAIN, VALIDATION, TEST)

# Why an event is in none of the periods, in the order in which it is asked.
FEW_USER_EVENTS = "few_user_events"
FEW_DEVELOPMENT_EVENTS = "few_development_events"
FEW_TRAIN_EVENTS = "few_train_events"
SHORT_TEST_HISTORY = "short_test_history"

PARTS = (
    *PERIODS,
    FEW_USER_EVENTS,
    FEW_DEVELOPMENT_EVENTS,
    FEW_TRAIN_EVENTS,
    SHORT_TEST_HISTORY,
)


def event_parts(histories: Histories, split: splits.SplitConfig) -> np.ndarray:
    """[num_rows] int8: index into `PARTS` of each event.

    Each event is exactly one of:
        train: the selection is trained on it.
        validation: development event of a validation user that is not train;
            the last of a user is the target, the others are input.
        test: test event of a test user.
        few_user_events: its user has fewer than `min_user_events`.
        few_development_events: development event of a user with fewer than
            `min_development_events`.
        few_train_events: development event of a user whose train events are
            fewer than two, so that the selection leaves the user out; with
            `refit_users: development` the final fit may still use it.
        short_test_history: test event of a user with fewer development
            events than `min_test_history`, or without any other event.
    """
    lengths = histories.num_events
    positions = np.arange(histories.offsets[-1]) - np.repeat(
        histories.offsets[:-1], lengths
    )
    masks: dict[str, np.ndarray] = {
        FEW_USER_EVENTS: lengths < split.min_user_events,
        FEW_DEVELOPMENT_EVENTS: (
            histories.num_development_events < split.min_development_events
        ),
        TRAIN: splits.train_users(histories, split),
        VALIDATION: splits.validation_users(histories, split),
        TEST: splits.test_users(histories, split),
    }
    of_user = {name: np.repeat(mask, lengths) for name, mask in masks.items()}
    train = positions < np.repeat(histories.num_train_events, lengths)
    test = positions >= np.repeat(histories.num_development_events, lengths)
    conditions = {
        FEW_USER_EVENTS: of_user[FEW_USER_EVENTS],
        TEST: test & of_user[TEST],
        SHORT_TEST_HISTORY: test,
        FEW_DEVELOPMENT_EVENTS: of_user[FEW_DEVELOPMENT_EVENTS],
        TRAIN: train & of_user[TRAIN],
        VALIDATION: ~train & of_user[VALIDATION],
    }
    return np.select(
        list(conditions.values()),
        [np.int8(PARTS.index(name)) for name in conditions],
        np.int8(PARTS.index(FEW_TRAIN_EVENTS)),
    )


def count_excluded(
    histories: Histories, split: splits.SplitConfig
) -> Mapping[str, int]:
    """Events in none of train, validation and test, by rule."""
    counts = np.bincount(event_parts(histories, split), minlength=len(PARTS))
    return {
        name: int(count)
        for name, count in zip(PARTS, counts, strict=True)
        if name not in PERIODS
    }
