import pytest

from components import splits
from components.splits import SplitConfig


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


def test_dates_in_wrong_order():
    with pytest.raises(ValueError, match="before `test_date`"):
        SplitConfig(test_date="2014-01-01", validation_date="2014-02-01")
