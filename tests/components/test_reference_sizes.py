"""docs/protocol.md: sizes of two protocols on the public files.

Amazon's timestamps are days, so which of a day's events is a user's last
depends on the order of ties. All published sizes come out where ties are in
the order of the item numbers; those that depend on that order (items among
the newest ten, cold shares of targets) differ in the order of the log, which
is what the pipeline keeps. Both are checked.
"""

import dataclasses
import functools
import os
import pathlib
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from components import splits
from components.graph_builder.config import GraphConfig
from components.histories import Histories
from components.periods import fit_windows
from components.splits import SplitConfig
from components.targets import select_targets
from components.transform.analyzers import Cut, cut_of_counts
from tests.components import helpers

pytestmark = [pytest.mark.data, pytest.mark.slow]

SPLIT = SplitConfig()


# Ties in the order of the log, or of the item numbers (docs/protocol.md).
LOG, ITEM = "row", "item_number"


@dataclasses.dataclass(frozen=True)
class Ties:
    newest_items: int
    cold_last: float
    cold_first: float


@dataclasses.dataclass(frozen=True)
class Reference:
    test_cut: int
    validation_cut: int
    development: tuple[int, int]
    train: tuple[int, int]
    train_validation_rows: int
    newest_rows: int
    validation_users: int
    test_users: int
    ties: dict[str, Ties]


REFERENCES = {
    "amazon-beauty": Reference(
        test_cut=1394150400,
        validation_cut=1389225600,
        development=(158_390, 20_223),
        train=(140_965, 18_474),
        train_validation_rows=151_081,
        newest_rows=123_043,
        validation_users=4_725,
        test_users=8_041,
        ties={
            ITEM: Ties(newest_items=11_721, cold_last=0.150, cold_first=0.067),
            LOG: Ties(newest_items=11_722, cold_last=0.143, cold_first=0.072),
        },
    ),
    "amazon-sports": Reference(
        test_cut=1391990400,
        validation_cut=1387238400,
        development=(236_394, 32_347),
        train=(210_472, 29_708),
        train_validation_rows=226_067,
        newest_rows=194_632,
        validation_users=7_055,
        test_users=13_477,
        ties={
            ITEM: Ties(newest_items=18_040, cold_last=0.081, cold_first=0.050),
            LOG: Ties(newest_items=18_037, cold_last=0.074, cold_first=0.054),
        },
    ),
}


@pytest.fixture(
    scope="module",
    params=[(name, ties) for name in REFERENCES for ties in (ITEM, LOG)],
    ids="-".join,
)
def run(request, tmp_path_factory):
    root = os.environ.get("CREATE_DATA_ROOT")
    if not root:
        pytest.skip("CREATE_DATA_ROOT names no folder of datasets")
    name, ties = request.param
    batches = record_batches(
        pathlib.Path(root) / name / "interactions.csv.gz", ties
    )
    data = helpers.transform(batches, SPLIT, tmp_path_factory.mktemp(name))
    return REFERENCES[name], REFERENCES[name].ties[ties], data


def record_batches(path: pathlib.Path, ties: str) -> list[pa.RecordBatch]:
    """Histories of a real log, one row per user."""
    rows = pd.read_csv(path, dtype={"user_id": str, "item_id": str})
    rows["item_number"] = rows.item_id.astype(int)
    rows["row"] = np.arange(len(rows))
    rows = rows.sort_values(["timestamp", ties])
    # A stable sort, so each user's events stay in order.
    rows = rows.sort_values("user_id", kind="stable")
    lengths = rows.groupby("user_id").size()
    ends = lengths.cumsum().to_numpy()
    batches = []
    for first in range(0, len(lengths), 1000):
        users = lengths.iloc[first : first + 1000]
        part = rows.iloc[ends[first] - lengths.iloc[first] :][: users.sum()]
        offsets = np.append(0, users.cumsum()).astype(np.int32)
        batches.append(
            pa.RecordBatch.from_arrays(
                [
                    _lists(np.arange(len(users) + 1), _bytes(users.index)),
                    _lists(offsets, _bytes(part.item_id)),
                    _lists(offsets, pa.array(part.timestamp.to_numpy())),
                ],
                ["user_id", "item_ids", "timestamps"],
            )
        )
    return batches


def _bytes(texts) -> pa.Array:
    return pa.array([text.encode() for text in texts], pa.binary())


def _lists(offsets: np.ndarray, values: pa.Array) -> pa.ListArray:
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), values)


def test_cuts(run):
    reference, _, data = run
    assert data.histories.test_cut == reference.test_cut
    assert data.histories.validation_cut == reference.validation_cut


def test_development_part(run):
    # Rule 2: users whose second event lies before the test cut.
    reference, _, data = run
    counts = data.histories.num_development_events
    in_part = counts >= 2
    assert (counts[in_part].sum(), in_part.sum()) == reference.development


def test_train_file(run):
    reference, _, data = run
    fit = fit_windows(data.histories, SPLIT, "train", None)
    assert (len(fit.rows), len(fit.user_positions)) == reference.train


def test_union_of_train_and_validation(run):
    reference, ties, data = run
    fit = fit_windows(data.histories, SPLIT, "train_validation", None)
    assert len(fit.rows) == reference.train_validation_rows
    newest = fit_windows(data.histories, SPLIT, "train_validation", 10)
    assert len(newest.rows) == reference.newest_rows
    items = np.unique(data.histories.item_indices[newest.rows])
    assert len(items) == ties.newest_items


def test_validation_and_test_users(run):
    reference, _, data = run
    validation = splits.validation_users(data.histories, SPLIT)
    test = splits.test_users(data.histories, SPLIT)
    assert validation.sum() == reference.validation_users
    assert test.sum() == reference.test_users


def test_cold_targets(run):
    _, ties, data = run
    users = data.histories.select(splits.test_users(data.histories, SPLIT))
    assert cold_share(users, "last") == ties.cold_last
    assert cold_share(users, "first") == ties.cold_first


def cold_share(users: Histories, rule: str) -> float:
    """Share of targets without a table row, to a tenth of a percent."""
    targets = select_targets(users, rule, 0)
    return round(float(np.mean(targets.are_cold(users))), 3)


def test_users_of_the_table_are_the_train_users(run):
    _, _, data = run
    train = splits.train_users(data.histories, SPLIT)
    assert set(data.users("train")) == set(data.histories.user_ids[train])


def test_graph_of_the_newest_ten(run):
    # No pair repeats in these files, so each event is an edge.
    reference, ties, data = run
    graphs = helpers.graphs(data, SPLIT, GraphConfig(newest=10))
    graph = graphs["train_validation"]
    edges = graph.edge_sets["interacts"]
    assert edges.sizes.numpy() == [reference.newest_rows]
    assert len(np.unique(edges.adjacency.target)) == ties.newest_items
    assert graph.node_sets["user"].sizes.numpy() == [reference.train[1]]


# --- Time-to-split's users, counted by pandas --------------------------------


@pytest.mark.parametrize(
    ("name", "quantile", "users", "warm"),
    [
        ("amazon-beauty", 0.8, 10_181, 8_659),
        ("amazon-beauty", 0.9, 6_110, 5_517),
        ("amazon-sports", 0.8, 16_728, 14_506),
        ("amazon-sports", 0.9, 10_203, 9_272),
        ("ml-1m", 0.8, 1_783, 1_143),
        ("ml-1m", 0.9, 1_209, 1_180),
        ("ml-1m", 0.95, 813, 809),
    ],
)
def test_all_and_warm_test_users(name, quantile, users, warm):
    log = core_log(name)
    cut = Cut("test", "user", quantile=quantile)
    values, totals = np.unique(log.timestamp, return_counts=True)
    test_cut = int(cut_of_counts((values, totals), cut))
    assert test_cut == int(log.timestamp.quantile(quantile))
    of_user = log.groupby("user_id").timestamp
    counts = SimpleNamespace(
        num_events=of_user.size().to_numpy(),
        num_development_events=(log.timestamp <= test_cut)
        .groupby(log.user_id)
        .sum()
        .to_numpy(),
    )
    for min_test_history, expected in ((0, users), (1, warm)):
        split = SplitConfig(min_test_history=min_test_history)
        assert splits.test_users(counts, split).sum() == expected


def test_movielens_after_the_core():
    log = core_log("ml-1m")
    assert log.item_id.nunique() == 3_416
    assert log.user_id.nunique() == 6_040


@functools.cache
def core_log(name: str) -> pd.DataFrame:
    """Users and items with five events each, among those that are left."""
    root = os.environ.get("CREATE_DATA_ROOT")
    if not root:
        pytest.skip("CREATE_DATA_ROOT names no folder of datasets")
    path = pathlib.Path(root) / name / "interactions.csv.gz"
    log = pd.read_csv(path, dtype={"user_id": str, "item_id": str})
    while True:
        counts = [
            log.groupby(key)[key].transform("size")
            for key in ("user_id", "item_id")
        ]
        enough = (counts[0] >= 5) & (counts[1] >= 5)
        if enough.all():
            return log
        log = log[enough]
