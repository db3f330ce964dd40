from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from components import splits
from components.splits import SplitConfig
from components.transform import preprocessing


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2014-03-07", 1394150400),
        ("2014-03-07T00:00:01Z", 1394150401),
        ("2014-03-07T02:00:00+02:00", 1394150400),
        ("1969-12-31T23:59:59.500", -1),
    ],
)
def test_dates_are_utc_and_floored(text, seconds):
    assert splits.date_cut(text, "test_date") == seconds


def test_unreadable_date_names_the_key():
    with pytest.raises(ValueError, match="`test_date`.*'7.3.2014'"):
        SplitConfig(test_date="7.3.2014")


@pytest.mark.parametrize("seed", [-(2**63), -1, 2**63 - 1])
def test_seeds_that_draw_users(seed):
    split = SplitConfig(validation="by_user", validation_seed=seed)
    users = tf.constant([f"u{number}" for number in range(2000)])
    # Standard error of the share: .0067.
    share = preprocessing._held_out(users, split).numpy().mean()
    assert share == pytest.approx(split.validation_user_share, abs=0.03)
    SplitConfig(validation_seed=2**64)  # draws nobody


@pytest.mark.parametrize("validation", ["2014-02-01", "2014-01-01T00:00Z"])
def test_dates_in_wrong_order(validation):
    with pytest.raises(ValueError, match="before `test_date`"):
        SplitConfig(test_date="2014-01-01", validation_date=validation)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"strategy": "random"}, "`strategy` must be one of temporal, leave"),
        ({"validation": "loo"}, "`validation` must be one of by_time, by_user"),
        ({"validation_user_share": 0.0}, "`validation_user_share` must lie"),
        (
            {"validation": "by_user", "validation_seed": 2**63},
            "`validation_seed` must lie in .*, found 9223372036854775808",
        ),
        (
            {"strategy": "leave_one_out", "validation": "by_user"},
            "`validation: by_user` has no meaning",
        ),
        (
            {"strategy": "leave_one_out", "test_date": "2014-03-07"},
            "`test_date` has no effect",
        ),
        (
            {"validation": "by_user", "validation_date": "2014-03-07"},
            "`validation_date` has an effect only with",
        ),
        (
            {"strategy": "leave_one_out", "test_days": 7},
            "`test_days` has no effect",
        ),
        (
            {"validation": "last_train_item", "validation_days": 7},
            "`validation_days` has an effect only with",
        ),
        (
            {"test_date": "2014-03-07", "test_days": 7},
            "`test_date` and `test_days` are two ways.*2014-03-07 and 7",
        ),
        ({"test_days": 0}, "`test_days` must be above 0, or null, found 0"),
        ({"validation_days": float("nan")}, "`validation_days` must be above"),
    ],
)
def test_settings_that_do_not_fit_together_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        SplitConfig(**settings)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"test_days": 7},
        {"test_date": "2014-03-07"},
        {"strategy": "leave_one_out"},
    ],
)
def test_what_is_excluded_is_what_is_refused(settings):
    values = {"test_days": 3, "test_date": "2015-01-01"}
    excluded = SplitConfig(**settings).excluded
    for name in set(values) - set(settings):
        both = {**settings, name: values[name]}
        if name in excluded:
            with pytest.raises(ValueError, match=f"`{name}`"):
                SplitConfig(**both)
        else:
            SplitConfig(**both)


def test_only_leave_one_out_leaks_and_says_so():
    assert not SplitConfig().leaks_future
    assert SplitConfig().note == ""
    for validation in ("by_user", "last_train_item"):
        split = SplitConfig(validation=validation)
        assert not split.leaks_future
        assert "Validation" in split.note
    split = SplitConfig(strategy="leave_one_out")
    assert split.leaks_future
    assert split.validation_rule == "last_train_item"


# Events of four users: all, development, train; by the rules in words.
COUNTS = SimpleNamespace(
    num_events=np.array([6, 5, 2, 4]),
    num_development_events=np.array([4, 2, 2, 0]),
    num_train_events=np.array([0, 2, 0, 0]),
)


@pytest.mark.parametrize("refit_users", ["train", "development"])
def test_users_held_out_are_validated_on_and_train_in_the_refit(refit_users):
    split = SplitConfig(
        validation="by_user",
        min_user_events=1,
        min_development_events=2,
        refit_users=refit_users,
    )
    train = splits.train_users(COUNTS, split)
    validation = splits.validation_users(COUNTS, split)
    refit = splits.refit_users(COUNTS, split)
    assert train.tolist() == [False, True, False, False]
    assert validation.tolist() == [True, False, True, False]
    assert refit.tolist() == [True, True, True, False]


@pytest.mark.parametrize(
    ("min_test_history", "users"),
    [
        (0, [True, True, False, True]),
        (1, [True, True, False, False]),
        (3, [True, False, False, False]),
    ],
)
def test_cold_and_warm_test_users(min_test_history, users):
    split = SplitConfig(min_user_events=1, min_test_history=min_test_history)
    assert splits.test_users(COUNTS, split).tolist() == users


def test_events_of_one_moment_cannot_be_cut():
    histories = SimpleNamespace(
        num_users=2,
        num_events=np.array([3, 4]),
        num_development_events=np.array([3, 4]),
        timestamps=np.full(7, 1394150400),
        test_cut=1394150400,
    )
    with pytest.raises(ValueError) as raised:
        splits.check_test_users(histories, SplitConfig())
    message = str(raised.value)
    assert "all 7 events are of 2014-03-07 00:00:00 UTC" in message
    assert "`logs.columns.timestamp`" in message


def test_nobody_to_measure_is_an_error_with_the_times():
    histories = SimpleNamespace(
        num_users=2,
        num_events=np.array([3, 4]),
        num_development_events=np.array([3, 4]),
        timestamps=np.array([5, 1394150399]),
        test_cut=1394150400,
    )
    with pytest.raises(ValueError) as raised:
        splits.check_test_users(histories, SplitConfig())
    message = str(raised.value)
    assert "No test users among 2" in message
    assert "test cut 2014-03-07 00:00:00 UTC" in message
    assert "the newest event is of 2014-03-06 23:59:59" in message
    assert "`split.test_date`" in message
    assert "raise `split.test_days`" in message
    assert "Lower `split.min_test_history` or" in message
    with pytest.raises(ValueError, match=r"Lower `split\.test_quantile`, "):
        splits.check_test_users(histories, SplitConfig(min_test_history=0))
    histories.num_development_events = np.array([3, 3])
    splits.check_test_users(histories, SplitConfig())
