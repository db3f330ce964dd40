"""Our metrics against RecTools and ir_measures (pytrec_eval) to 1e-9.

Scores are small whole numbers, so most lists have ties, also at the cutoffs,
and targets are among equal items. A library that sorts by score orders equal
ones in a way of its own (pytrec_eval by document name, RecTools takes the
ranks it is given). So ties are made definite first, by the rule of this
project, the lower row first: the libraries get lists in which every item has
a rank of its own (RecTools) or a score of its own, minus the rank
(ir_measures). The lists are sorted here by numpy; our ranks come from
`target_ranks`, which sorts nothing. Cold targets are in no list and still
count among the relevant items.
"""

import ir_measures
import numpy as np
import pandas as pd
import pytest
import rectools.metrics

from components.ranking_evaluator.measures import user_values
from components.targets import ALL, LAST, SUCCESSIVE, Targets
from models.metrics import ranking, sets

USERS, ITEMS, CUTOFFS = 150, 40, (1, 5, 20)
COLD = 1000


class Problem:
    """Random scores, filtered items and targets of `USERS` users."""

    def __init__(self, seed, targets_each):
        generator = np.random.default_rng(seed)
        self.scores = generator.integers(0, 6, (USERS, ITEMS)).astype("f4")
        self.seen = generator.random((USERS, ITEMS)) < 0.15
        number = generator.integers(1, targets_each + 1, USERS)
        self.owners = np.repeat(np.arange(USERS), number)
        draws = [generator.permutation(ITEMS)[:n] for n in number]
        self.targets = np.concatenate(draws)
        cold = generator.random(len(self.targets)) < 0.2
        self.targets[cold] = COLD + np.flatnonzero(cold)

    def ranks(self):
        """Ours: by the rule that the trainer and the evaluator share."""
        wanted = np.where(self.targets >= COLD, -1, self.targets)
        rows, columns = np.nonzero(self.seen[self.owners])
        return ranking.target_ranks(
            self.scores[self.owners],
            np.eye(ITEMS, dtype="f4"),
            wanted,
            (rows, columns),
        ).numpy()

    def lists(self):
        """user, item, rank of the 20 best that are not filtered."""
        parts = []
        for user in range(USERS):
            # The last key counts first.
            order = np.lexsort([np.arange(ITEMS), -self.scores[user]])
            items = order[~self.seen[user][order]][: max(CUTOFFS)]
            parts.append(
                pd.DataFrame(
                    {
                        "user_id": user,
                        "item_id": items,
                        "rank": np.arange(1, len(items) + 1),
                    }
                )
            )
        return pd.concat(parts, ignore_index=True)

    def wanted(self):
        return pd.DataFrame({"user_id": self.owners, "item_id": self.targets})


def by_rectools(problem):
    """Metric name to a value per user."""
    found = {}
    for k in CUTOFFS:
        for name, metric in (
            ("ndcg", rectools.metrics.NDCG(k, divide_by_achievable=True)),
            ("recall", rectools.metrics.Recall(k)),
            ("mrr", rectools.metrics.MRR(k)),
        ):
            values = metric.calc_per_user(problem.lists(), problem.wanted())
            found[f"{name}_at_{k}"] = values.sort_index().to_numpy()
    return found


def by_ir_measures(problem):
    """The same by ir_measures, which asks pytrec_eval."""
    lists, wanted = problem.lists(), problem.wanted()
    run = pd.DataFrame(
        {
            "query_id": lists.user_id.astype(str),
            "doc_id": lists.item_id.astype(str),
            "score": -lists["rank"].astype(float),
        }
    )
    relevant = pd.DataFrame(
        {
            "query_id": wanted.user_id.astype(str),
            "doc_id": wanted.item_id.astype(str),
            "relevance": 1,
        }
    )
    names = {}
    for k in CUTOFFS:
        names[str(ir_measures.nDCG @ k)] = f"ndcg_at_{k}"
        names[str(ir_measures.R @ k)] = f"recall_at_{k}"
        names[str(ir_measures.RR @ k)] = f"mrr_at_{k}"
    found = {name: np.full(USERS, np.nan) for name in names.values()}
    for value in ir_measures.pytrec_eval.iter_calc(
        [ir_measures.parse_measure(name) for name in names], relevant, run
    ):
        found[names[str(value.measure)]][int(value.query_id)] = value.value
    return found


LIBRARIES = pytest.mark.parametrize("library", [by_rectools, by_ir_measures])


def check(found, expected):
    compared = set(found) & set(expected)
    assert len(compared) == 2 * len(CUTOFFS) + 1  # our MRR: largest cutoff
    for name in compared:
        assert 0 < expected[name].mean() < 1, name
        np.testing.assert_allclose(
            found[name], expected[name], rtol=0, atol=1e-9, err_msg=name
        )


@LIBRARIES
@pytest.mark.parametrize("seed", range(3))
def test_one_target_a_user(library, seed):
    problem = Problem(seed, 1)
    chosen = problem.scores[np.arange(USERS), problem.targets % ITEMS]
    equal = (problem.scores == chosen[:, np.newaxis]).sum(axis=1)
    assert (equal > 1).mean() > 0.9  # ties with the target
    assert (problem.targets >= COLD).sum() > 10
    found = ranking.per_user_values(problem.ranks(), CUTOFFS)
    check(found, library(problem))


@LIBRARIES
@pytest.mark.parametrize("seed", range(3))
def test_a_set_of_targets_a_user(library, seed):
    problem = Problem(seed, 9)
    found = sets.set_values(problem.ranks(), problem.owners, CUTOFFS)
    check(found, library(problem))


@LIBRARIES
def test_what_the_evaluator_makes_of_ranks(library):
    """The rules of `targets`, each as its own question to the library."""
    problem = Problem(3, 4)
    requests = np.arange(len(problem.targets))
    single = Targets(problem.owners, requests, requests, requests)
    users = np.arange(USERS)
    together = Targets(users, users, problem.owners, requests)
    ranks = problem.ranks()
    check(user_values(ranks, ALL, together, CUTOFFS), library(problem))
    # One by one: every target as the only one, then means by user.
    alone = Problem(3, 4)
    alone.targets = np.zeros(0, int)
    found = user_values(ranks, SUCCESSIVE, single, CUTOFFS)
    one_by_one = user_values(ranks, LAST, single, CUTOFFS)
    for place in range(4):
        of_place = pd.Series(requests).groupby(problem.owners).nth(place)
        picked = of_place.to_numpy()
        alone.owners, alone.targets = (
            problem.owners[picked],
            problem.targets[picked],
        )
        theirs = library(alone)
        for name, values in one_by_one.items():
            np.testing.assert_allclose(
                values[picked],
                theirs[name][alone.owners]
                if library is by_ir_measures
                else theirs[name],
                rtol=0,
                atol=1e-9,
            )
    means = pd.DataFrame(one_by_one).groupby(problem.owners).mean()
    for name, values in found.items():
        np.testing.assert_allclose(values, means[name], rtol=0, atol=1e-9)


def test_coverage_is_that_of_rectools():
    lists = Problem(4, 1).lists()
    for k in CUTOFFS:
        top = lists[lists["rank"] <= k]
        expected = rectools.metrics.CatalogCoverage(k, normalize=True).calc(
            lists, np.arange(ITEMS + 5)
        )
        found = ranking.coverage(top.item_id.nunique(), ITEMS + 5)
        assert found == pytest.approx(expected, abs=1e-9)
