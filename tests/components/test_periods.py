import numpy as np
import pytest

from components.histories import Histories
from components.periods import (
    fit_windows,
    period_ends,
    period_users,
    user_table_period,
)
from components.splits import SplitConfig

# User:                    0        1    2           3
NUM_EVENTS = np.array([    4,       1,   3,          5])  # fmt: skip
NUM_TRAIN = np.array([     2,       1,   1,          3])  # fmt: skip
NUM_DEVELOPMENT = np.array([3,      1,   3,          4])  # fmt: skip
# Rows:                    0 1 2 3  4    5 6 7       8 9 10 11 12


@pytest.fixture
def histories():
    offsets = np.append(0, NUM_EVENTS.cumsum())
    rows = np.arange(offsets[-1])
    return Histories(
        user_ids=np.array([b"u0", b"u1", b"u2", b"u3"], object),
        user_indices=np.array([0, -1, 2, 1]),
        offsets=offsets,
        item_ids=rows.astype("S").astype(object),
        item_indices=rows + 1,
        timestamps=rows,
        num_train_events=NUM_TRAIN,
        num_development_events=NUM_DEVELOPMENT,
        validation_cut=0,
        test_cut=0,
    )


@pytest.mark.parametrize(
    ("period", "refit_users", "newest", "users", "windows"),
    [
        ("train", "train", None, [0, 3], [[0, 1], [8, 9, 10]]),
        ("train", "train", 2, [0, 3], [[0, 1], [9, 10]]),
        ("train", "development", 2, [0, 3], [[0, 1], [9, 10]]),
        ("train_validation", "train", 2, [0, 3], [[1, 2], [10, 11]]),
        (
            "train_validation",
            "development",
            None,
            [0, 2, 3],
            [[0, 1, 2], [5, 6, 7], [8, 9, 10, 11]],
        ),
        (
            "train_validation",
            "development",
            np.array([1, 9, 3, 2]),
            [0, 2, 3],
            [[2], [5, 6, 7], [10, 11]],
        ),
    ],
)
def test_windows(histories, period, refit_users, newest, users, windows):
    split = SplitConfig(refit_users=refit_users)
    fit = fit_windows(histories, split, period, newest)
    assert fit.user_positions.tolist() == users
    found = np.split(fit.rows, fit.offsets[1:-1])
    assert [rows.tolist() for rows in found] == windows
    assert fit.offsets[-1] == len(fit.rows)


def test_no_users_no_rows(histories):
    fit = fit_windows(histories, SplitConfig(min_user_events=9), "train", 10)
    assert fit.user_positions.tolist() == fit.rows.tolist() == []
    assert fit.offsets.tolist() == [0]


@pytest.mark.parametrize(
    "call",
    [
        lambda histories: period_users(histories, SplitConfig(), "test"),
        lambda histories: period_ends(histories, "test"),
        lambda histories: user_table_period(SplitConfig(), "test"),
    ],
)
def test_unknown_period_is_refused(call, histories):
    with pytest.raises(ValueError, match="`period` must be.*'test'"):
        call(histories)


def test_held_out_users_are_in_the_table_of_the_refit():
    by_time = SplitConfig(refit_users="train")
    by_user = SplitConfig(refit_users="train", validation="by_user")
    assert user_table_period(by_time, "train_validation") == "train"
    assert user_table_period(by_user, "train_validation") == "train_validation"
    assert user_table_period(by_user, "train") == "train"
