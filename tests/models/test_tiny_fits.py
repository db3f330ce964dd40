"""The least data there is: it trains, or it says why not."""

import dataclasses

import numpy as np
import pytest

from models.fitting.fit import fit, select_and_refit
from models.fitting.input_pipeline import Queries
from models.fitting.schedule import Schedule
from tests.models import fit_helpers as helpers
from tests.models.fit_helpers import MODEL, SHORT, period_of, small_model

ALIGNMENTS = ["none", "barlow_twins", "infonce", "gaussian_mi"]


def _queries(items, target):
    nothing = np.zeros(0, np.int64)
    history = np.zeros((1, 5), np.int32)
    history[0, -len(items) :] = items
    return Queries(history, np.array([target]), nothing, nothing)


def _train(model, items, lengths, num_items, edges=None, training=SHORT):
    target = items[-1] if len(items) else 1
    queries = _queries([target], target)
    period = period_of(items, lengths, num_items, queries, edges)
    again = dataclasses.replace(period, queries=None)
    results = select_and_refit(
        model, training, period, again, report=helpers.quiet
    )
    for result in results:
        for record in result.epochs:
            assert np.isfinite([record["loss"], record["gradient_norm"]]).all()
        for weight in result.model.weights:
            assert np.isfinite(weight.numpy()).all()
    return results


@pytest.mark.parametrize("alignment", ALIGNMENTS)
def test_one_user_trains_with_every_alignment(eager, alignment):
    model = small_model(alignment=alignment)
    selection, _ = _train(model, [1, 2, 3], [3], 4)
    assert [record["steps"] for record in selection.epochs] == [1, 1, 1, 1]


@pytest.mark.parametrize("seed", [-(2**31), -1, 2**31 - 1])
def test_every_seed_that_is_not_refused_trains(eager, seed):
    training = dataclasses.replace(SHORT, seed=seed)
    _train(small_model(), [1, 2, 3], [3], 4, training=training)


@pytest.mark.parametrize("batch_size", [1, 2])
def test_a_batch_of_one_user_trains(eager, batch_size):
    training = dataclasses.replace(SHORT, batch_size=batch_size)
    model = small_model(alignment="barlow_twins")
    _train(model, [1, 2, 2, 3, 3, 1], [2, 2, 2], 3, training=training)


def test_one_item_trains(eager):
    model = small_model(alignment="barlow_twins")
    selection, _ = _train(model, [1, 1, 1, 1], [2, 2], 1)
    # the only item is recommended; nothing else can be drawn as a negative
    assert abs(selection.epochs[-1]["losses"]["local"]) < 1e-6
    assert selection.epochs[0]["losses"]["global"] == pytest.approx(
        np.log(2), abs=1e-3
    )


def test_one_batch_holds_everything(eager):
    training = dataclasses.replace(SHORT, batch_size=10_000)
    period = helpers.make_period()
    selection, refit = select_and_refit(
        dataclasses.replace(
            small_model(alignment="barlow_twins"),
            graph=dataclasses.replace(MODEL.graph, batch_size=10_000),
        ),
        training,
        period,
        dataclasses.replace(period, queries=None),
        report=helpers.quiet,
    )
    assert {r["steps"] for r in selection.epochs + refit.epochs} == {1}


def test_one_edge_trains(eager):
    model = small_model(alignment="barlow_twins")
    edges = np.array([[0, 1]])
    _train(model, [1, 2, 3], [3], 4, edges)
    alone = small_model(sequential="none")
    training = dataclasses.replace(SHORT, warmup_epochs=0)
    _train(alone, [1, 2, 3], [3], 4, edges, training)


@pytest.mark.parametrize("sequential", ["sasrec", "none"])
def test_no_edge_is_refused(sequential):
    model = small_model(sequential=sequential)
    training = dataclasses.replace(SHORT, warmup_epochs=0)
    nothing = np.zeros((0, 2), np.int64)
    with pytest.raises(ValueError, match="no edge.*graph.encoder` to none"):
        _train(model, [1, 2, 3], [3], 4, nothing, training)


def test_histories_of_one_event_are_refused_by_a_sequential_tower():
    with pytest.raises(ValueError, match="has two events.*longest has 1"):
        _train(small_model(), [1, 2, 3], [1, 1, 1], 4)


def test_histories_of_one_event_train_a_graph(eager):
    training = dataclasses.replace(SHORT, warmup_epochs=0)
    model = small_model(sequential="none")
    _train(model, [1, 2, 3], [1, 1, 1], 4, training=training)


def test_nobody_to_train_on_is_refused():
    model = small_model(graph="none")
    training = dataclasses.replace(SHORT, warmup_epochs=0)
    with pytest.raises(ValueError, match="has two events.*0 histories"):
        _train(model, np.zeros(0, np.int64), [], 3, training=training)


def test_nobody_to_validate_on_is_refused():
    period = helpers.make_period(with_queries=False)
    with pytest.raises(ValueError, match="No validation user"):
        select_and_refit(MODEL, SHORT, period, period, report=helpers.quiet)


def test_a_fit_with_queries_of_nobody_does_not_start():
    """Not after an epoch, when there is something to validate."""
    period = dataclasses.replace(
        helpers.make_period(), queries=helpers.no_queries()
    )
    schedule = Schedule.of_selection(MODEL, SHORT)
    lines = []
    with pytest.raises(ValueError, match="No validation user is left"):
        fit("own", MODEL, SHORT, period, schedule, report=lines.append)
    assert not lines
