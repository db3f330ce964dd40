"""Fits that are lost: when they stop, and what they say."""

import dataclasses

import numpy as np
import pytest

from models.config import AlignmentConfig, TrainingConfig, WeightSchedule
from models.fitting.divergence import (
    TrainingDivergedError,
    check_finite,
    check_growth,
)
from models.losses import bpr
from tests.models import fit_helpers as helpers
from tests.models.fit_helpers import MODEL, SHORT, TRAINING, small_model


def _fit(training, model=MODEL):
    return helpers.fit_selection(model, training)


def test_a_rate_that_is_far_too_high_stops_the_compiled_fit():
    training = dataclasses.replace(
        TRAINING, learning_rate=1e30, clip_norm=1e30, warmup_epochs=0
    )
    with pytest.raises(TrainingDivergedError) as caught:
        _fit(training)
    message = str(caught.value)
    assert message.startswith("[selection] epoch 1, step ")
    assert "`training.learning_rate` (1e+30)" in message
    assert "`training.clip_norm` (1e+30)" in message


def test_the_step_and_the_part_that_fail_first_are_named(monkeypatch, eager):
    """The graph's loss is not a number in the third step of epoch 2."""
    calls = []
    right = bpr.bpr_loss

    def bpr_loss(*vectors):
        calls.append(1)
        # a pass over the edges has 4 steps
        return right(*vectors) * (float("nan") if len(calls) == 7 else 1.0)

    monkeypatch.setattr("models.graph.lightgcn.bpr_loss", bpr_loss)
    training = dataclasses.replace(SHORT, graph_learning_rate=0.25)
    with pytest.raises(TrainingDivergedError) as caught:
        _fit(training, small_model())
    message = str(caught.value)
    assert message.startswith(
        "[selection] epoch 2, step 3: the global loss is infinite or not a "
        "number. Lower `training.graph_learning_rate` (0.25) or "
    )
    assert "`model.graph.l2` (0.0001)" in message


ALIGNMENTS = {
    "barlow_twins": "`model.alignment_weight` (0.2)",
    "infonce": "`model.alignment.temperature` (0.2)",
    "gaussian_mi": "`model.alignment.ridge` (0.1)",
}


@pytest.mark.parametrize(
    ("not_finite", "where", "words"),
    [
        ({"total": 3, "local": 3, "gradient_norm": 3}, 3, "the local loss is"),
        ({"total": 2, "global": 2, "local": 3}, 2, "the global loss is"),
        ({"total": 1, "alignment": 1}, 1, "the alignment loss is"),
        ({"gradient_norm": 4, "total": 5, "local": 5}, 4, "every loss is"),
        ({"total": 1, "local": 1, "global": 1}, 1, "local and the global"),
        ({"total": 1}, 1, "every part is finite"),
    ],
)
def test_what_failed_first_is_named(not_finite, where, words):
    with pytest.raises(TrainingDivergedError) as caught:
        check_finite("refit", 7, not_finite, MODEL, TRAINING, warmup=False)
    assert str(caught.value).startswith(f"[refit] epoch 7, step {where}: ")
    assert words in str(caught.value)


@pytest.mark.parametrize("kind", ALIGNMENTS)
def test_advice_on_the_alignment_names_its_own_settings(kind):
    model = dataclasses.replace(MODEL, alignment=AlignmentConfig(kind=kind))
    with pytest.raises(TrainingDivergedError) as caught:
        check_finite("x", 1, {"alignment": 1}, model, TRAINING, False)
    assert ALIGNMENTS[kind] in str(caught.value)
    assert "`training.batch_size` (16)" in str(caught.value)


@pytest.mark.parametrize(
    ("rates", "warmup", "keys"),
    [
        ({}, True, ["graph_learning_rate` (0.001)"]),
        ({"warmup_learning_rate": 2.0}, True, ["warmup_learning_rate` (2.0)"]),
        ({"warmup_learning_rate": 2.0}, False, ["` (0.001)"]),
        ({"item_learning_rate": 3.0}, False, ["item_learning_rate` (3.0)"]),
    ],
)
def test_advice_names_the_rate_that_was_used(rates, warmup, keys):
    training = TrainingConfig(**rates)
    with pytest.raises(TrainingDivergedError) as caught:
        check_finite("x", 1, {"gradient_norm": 1}, MODEL, training, warmup)
    for key in keys:
        assert key in str(caught.value)


def _records(values, phase="joint", weights=(0.1, 0.2)):
    """A first step, then epochs, with these (local, global, alignment)."""
    named = dict(zip(("global", "alignment"), weights, strict=True))
    steps = []
    for parts in values:
        losses = dict(zip(("local", "global", "alignment"), parts, strict=True))
        total = losses["local"] + sum(w * losses[k] for k, w in named.items())
        steps.append({"total": total, **losses})
    records = [
        {
            "epoch": number,
            "phase": phase,
            "loss": losses["total"],
            "losses": losses,
            "weights": named,
        }
        for number, losses in enumerate(steps[1:], start=1)
    ]
    records[0]["first_losses"] = steps[0]
    return records


def _grows(records):
    try:
        check_growth("x", records, MODEL, TRAINING)
    except TrainingDivergedError as error:
        return str(error)
    return ""


def test_ten_times_the_first_loss_in_three_epochs_in_a_row_is_divergence():
    up, down = (80.0, 1.0, 1.0), (8.0, 1.0, 1.0)
    # 8 + .1 + .2 = 8.3, ten times that is 83
    over = (83.0, 1.0, 1.0)
    message = _grows(_records([down, over, over, over]))
    assert message.startswith("[x] epoch 3: the loss has diverged. It was 8.3")
    assert "(83.3, 83.3, 83.3)" in message
    assert "The local loss grew most. Lower `training.learning_rate`" in message
    assert not _grows(_records([down, up, up, up, up]))
    assert not _grows(_records([down, over, over, down]))
    assert not _grows(_records([down, over, down, over, over]))
    assert not _grows(_records([over, over, over, over]))


def test_growth_is_seen_where_it_happens():
    start = (8.0, 1.0, 1.0)
    message = _grows(_records([start] + [(8.0, 900.0, 1.0)] * 3))
    assert "The global loss grew most. Lower `training.graph_learn" in message
    message = _grows(_records([start] + [(8.0, 1.0, 900.0)] * 3))
    assert "Lower `model.alignment_weight`" in message
    warmup = _records([(0, 0.7, 0)] + [(0, 40.0, 0)] * 3, "warmup")
    assert "The global loss grew most" in _grows(warmup)


def test_what_is_healthy_is_not_divergence():
    # the graph gives way to the sequence after a long warm-up
    assert not _grows(_records([(8, 0.01, 1)] + [(6.0, 0.7, 9.0)] * 5))
    # mutual information below zero, the total near it
    assert not _grows(_records([(8.0, 0.5, -40.0)] + [(5.0, 0.5, -20)] * 5))
    # losses near 0 on a handful of events
    assert not _grows(_records([(1e-6, 0, 0)] + [(1e-2, 0, 0)] * 5))
    # a weight that grows
    first = _records([(2.0, 1.0, 30.0)] * 2, weights=(0.1, 0.0))
    later = _records([(2.0, 1.0, 30.0)] * 5, weights=(0.1, 5.0))
    assert not _grows(first + later)
    # another phase starts with another loss
    warmup = _records([(0, 0.01, 0)] * 2, "warmup")
    joint = _records([(8.0, 0.7, 1.0)] * 4)
    assert not _grows(warmup + joint)


@pytest.mark.parametrize("seed", range(3))
def test_healthy_fits_are_let_through(eager, seed):
    """With rates ten times too high as well: it learns badly and ends."""
    for rate in (0.01, 0.1):
        training = dataclasses.replace(
            SHORT, seed=seed, learning_rate=rate, max_epochs=6
        )
        model = dataclasses.replace(
            small_model(alignment="barlow_twins"),
            alignment_weight=WeightSchedule(0.0, 5.0, 4),
        )
        result = _fit(training, model)
        assert len(result.epochs) == 8
        assert np.isfinite([record["loss"] for record in result.epochs]).all()


@pytest.mark.parametrize(
    "changes",
    [
        {"learning_rate": 300.0},
        # a rate that starts well and grows without end
        {"learning_rate": 1000.0, "learning_rate_warmup_steps": 4000},
    ],
)
def test_a_diverging_fit_stops_while_the_loss_is_finite(eager, changes):
    training = dataclasses.replace(
        SHORT, max_epochs=40, patience=40, warmup_epochs=0, **changes
    )
    with pytest.raises(TrainingDivergedError, match="has diverged"):
        _fit(training, small_model())
