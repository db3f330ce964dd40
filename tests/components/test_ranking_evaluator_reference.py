"""docs/protocol.md: what Random and PopRnd must measure on Amazon Beauty.

The published values belong to ties in the order of item numbers (Amazon's
timestamps are days, so ties decide which item is a user's last); they are
checked in that order.
"""

import os
import pathlib

import numpy as np
import pandas as pd
import pytest

from components import splits
from components.histories import Histories
from components.ranking_evaluator import baselines, measures
from components.ranking_evaluator.config import EvaluationConfig, PureSvdConfig
from components.targets import select_targets
from models.baselines.popularity import PopularRandom
from models.baselines.random_items import RandomItems

pytestmark = [pytest.mark.data, pytest.mark.slow]

SPLIT = splits.SplitConfig()
CONFIG = EvaluationConfig(bootstrap_samples=100)


def _histories(path: pathlib.Path, ties: str) -> Histories:
    """Cuts and counts by pandas, without Transform."""
    log = pd.read_csv(path, dtype={"user_id": str, "item_id": str})
    log["item_number"] = log.item_id.astype(int)
    log["row"] = np.arange(len(log))
    log = log.sort_values(["timestamp", ties])
    log = log.sort_values(["user_id"], kind="stable", ignore_index=True)
    test_cut = int(log.timestamp.quantile(0.8))
    development = log[log.timestamp <= test_cut]
    sizes = development.groupby("user_id").timestamp.transform("size")
    validation_cut = int(development.timestamp[sizes >= 3].quantile(0.9))
    known = log.item_id.isin(development.item_id)
    rows, _ = pd.factorize(log.item_id.where(known))

    def events_until(cut: int) -> np.ndarray:
        before = (log.timestamp <= cut).groupby(log.user_id)
        return before.sum().to_numpy()

    users = log.groupby("user_id").timestamp
    return Histories(
        user_ids=np.array([u.encode() for u in users.groups], object),
        user_indices=np.zeros(users.ngroups, np.int64),
        offsets=np.append(0, users.size().cumsum()),
        item_ids=np.array([i.encode() for i in log.item_id], object),
        item_indices=rows + 1,
        timestamps=log.timestamp.to_numpy(),
        num_train_events=events_until(validation_cut),
        num_development_events=events_until(test_cut),
        validation_cut=validation_cut,
        test_cut=test_cut,
    )


@pytest.fixture(scope="module")
def log_file():
    root = os.environ.get("CREATE_DATA_ROOT")
    if not root:
        pytest.skip("CREATE_DATA_ROOT names no folder of datasets")
    return pathlib.Path(root) / "amazon-beauty" / "interactions.csv.gz"


@pytest.fixture(scope="module")
def measured(log_file):
    """Metrics of several draws of both baselines, kept seen items."""
    histories = _histories(log_file, "item_number")
    universe = measures.build_universe(histories, "log")
    counts = measures.fit_counts(histories, universe, SPLIT, max_length=10)
    mask = splits.test_users(histories, SPLIT)
    test = histories.select(mask)
    targets = {rule: select_targets(test, rule, 0) for rule in CONFIG.targets}
    return {
        name: [
            measures.measure(
                baselines.rank_baseline(
                    baseline,
                    test,
                    universe.rows[np.repeat(mask, histories.num_events)],
                    len(universe.items),
                    targets,
                    CONFIG,
                ),
                targets,
                len(universe.items),
                CONFIG,
            )
            for baseline in draws
        ]
        for name, draws in {
            "random": [RandomItems(len(counts), seed) for seed in range(2)],
            "popular_random": [PopularRandom(counts, s) for s in range(4)],
        }.items()
    }


def _mean(draws, rule, metric):
    return np.mean([draw[rule]["kept"][metric] for draw in draws])


@pytest.mark.parametrize(
    ("ties", "cold_last", "cold_first"),
    [("item_number", 0.150, 0.067), ("row", 0.143, 0.072)],
)
def test_split_summary_of_the_paper_protocol(
    log_file, ties, cold_last, cold_first
):
    summary = measures.summarize_splits(
        _histories(log_file, ties), SPLIT, CONFIG
    )
    assert summary["train"] == {"users": 18_474, "rows": 140_965}
    assert summary["validation"] == {"users": 4_725, "rows": 10_116}
    assert summary["train_validation"]["rows"] == 151_081
    assert summary["test"]["users"] == 8_041
    cold = summary["test"]["cold_target_share"]
    assert cold["last"] == pytest.approx(cold_last, abs=5e-4)
    assert cold["first"] == pytest.approx(cold_first, abs=5e-4)
    assert summary["test_cut"] == 1394150400
    assert summary["validation_cut"] == 1389225600


def test_random_covers_and_hits_what_chance_does(measured):
    draws = measured["random"]
    expected = 1 - (1 - 10 / 12_101) ** 8_041  # 99.87 %
    for rule in ("last", "first"):
        found = _mean(draws, rule, "coverage_at_10")
        assert found == pytest.approx(expected, abs=0.001)
        # Standard error over 2 x 8,041 users: .07 %.
        found = _mean(draws, rule, "recall_at_100")
        assert found == pytest.approx(100 / 12_101, abs=0.0021)
    low, high = draws[0]["last"]["kept"]["intervals"]["recall_at_100"]
    assert (high - low) / 3.92 == pytest.approx(0.00101, rel=0.3)


def test_popular_random_matches_the_published_rows(measured):
    draws = measured["popular_random"]
    # Paper: 91.24 and 96.85; only items of the fit data can be drawn.
    assert _mean(draws, "last", "coverage_at_10") == pytest.approx(
        0.912, abs=0.003
    )
    assert _mean(draws, "last", "coverage_at_100") == pytest.approx(
        0.9686, abs=0.0002
    )
    # Standard errors over four draws: .06 % and .07 %.
    assert _mean(draws, "last", "recall_at_100") == pytest.approx(
        0.0132, abs=3 * 0.0006
    )
    assert _mean(draws, "first", "recall_at_100") == pytest.approx(
        0.0169, abs=3 * 0.0007
    )


# Percent of 12,101 items and 8,041 users, computed with another program
# (histories of the newest 9 items): NDCG, Recall and Coverage at 10, then at
# 100. Ours recommends items of the fit only and reads the newest 9 known ones,
# so the lists, and coverage most of all, may differ a little.
SVD = {
    (320, 1.0, "last", "kept"): (0.59, 1.27, 13.40, 1.61, 6.55, 62.70),
    (100, 0.35, "last", "kept"): (1.00, 2.15, 10.64, 2.44, 9.64, 55.39),
    (100, 0.35, "last", "filtered"): (1.24, 2.38, 11.11, 2.68, 9.81, 53.36),
    (100, 0.35, "first", "kept"): (1.02, 2.25, 10.79, 2.63, 10.52, 56.45),
}


def test_svd_matches_values_of_another_program(log_file):
    histories = _histories(log_file, "item_number")
    universe = measures.build_universe(histories, "log")
    mask = splits.test_users(histories, SPLIT)
    test = histories.select(mask)
    targets = {rule: select_targets(test, rule, 0) for rule in CONFIG.targets}
    for rank, scaling in ((320, 1.0), (100, 0.35)):
        config = EvaluationConfig(
            baselines=("pure_svd",),
            pure_svd=PureSvdConfig(rank, scaling),
            thresholds=(),
        )
        rankings = baselines.rank_all(
            histories, targets, universe, SPLIT, 10, config
        )
        found = measures.measure(
            rankings["pure_svd"], targets, len(universe.items), CONFIG
        )
        for (r, s, rule, seen), expected in SVD.items():
            if (r, s) != (rank, scaling):
                continue
            values = [
                100 * found[rule][seen][f"{metric}_at_{k}"]
                for k in (10, 100)
                for metric in ("ndcg", "recall", "coverage")
            ]
            np.testing.assert_allclose(values, expected, atol=0.02, rtol=0.03)
