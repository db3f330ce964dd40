"""The graph of the warm-up beside the sequential tower."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from components.trainer.served import served
from models.create import Create
from models.fitting.fit import fit
from models.fitting.schedule import Schedule
from models.fitting.validation import Validator
from pipeline.config import load_config
from tests.models.fit_helpers import (
    MODEL,
    NUM_ITEMS,
    TRAINING,
    assert_equal_fits,
    both_fits,
    make_period,
    quiet,
    walk_queries,
)

WEIGHT = 0.7
WARM = dataclasses.replace(MODEL, warm_graph_weight=WEIGHT)
HISTORIES = np.array([[0, 0, 4, 5, 6], [1, 9, 2, 8, 3]], np.int32)
DEMO = "pipeline/configs/demo.yaml"


def some(model, seed=0):
    """Tables as if trained, and the graph of the warm-up kept."""
    generator = np.random.default_rng(seed)
    for table in (model.items.table, model.graph.users):
        table.assign(generator.normal(size=table.shape))
    model.end_warmup(restart_tables=False)
    # what joint training does to the shared table later
    model.items.table.assign(generator.normal(size=model.items.table.shape))
    return model


def z(scores):
    """Rows with mean 0 and standard deviation 1."""
    return (scores - scores.mean(1, keepdims=True)) / scores.std(
        1, keepdims=True
    )


@pytest.fixture(params=["lightgcn", "ultragcn"], name="model")
def _model(request):
    graph = dataclasses.replace(WARM.graph, encoder=request.param)
    config = dataclasses.replace(WARM, graph=graph)
    return some(Create(config, NUM_ITEMS, make_period().adjacency, seed=3))


def test_scores_are_the_standardised_ones_of_both_towers_added(model):
    history, items = (
        model.warm_graph.history.numpy(),
        model.warm_graph.items.numpy(),
    )
    table = model.items.table.numpy()
    by_tower = model.sequential.last_state(HISTORIES).numpy() @ table.T
    folded = np.stack(
        [sum(history[i - 1] for i in row if i) for row in HISTORIES]
    )
    expected = z(by_tower) + WEIGHT * z(folded @ items.T)

    recommender = model.recommender()
    found = model(HISTORIES).numpy() @ recommender.items.numpy().T
    # means are left out: they move all items of a user alike
    np.testing.assert_allclose(
        found - found.mean(1, keepdims=True), expected, rtol=2e-4, atol=2e-4
    )


def test_the_kept_graph_is_that_of_the_end_of_the_warmup():
    period = make_period()
    tables = {}

    def at_switch(record):
        tables[record["epoch"]] = record["phase"]

    config = dataclasses.replace(TRAINING, warmup_epochs=2, max_epochs=2)
    schedule = Schedule.of_selection(WARM, config)
    warm_only = fit(
        "x",
        WARM,
        config,
        period,
        dataclasses.replace(schedule, main_epochs=0),
        report=quiet,
        after_epoch=at_switch,
    )
    whole = fit(
        "x",
        WARM,
        config,
        period,
        schedule,
        report=quiet,
    )
    expected = warm_only.model.graph.fold_in()
    np.testing.assert_array_equal(whole.model.warm_graph.items, expected.items)
    np.testing.assert_array_equal(
        whole.model.warm_graph.history, expected.history
    )
    assert np.abs(whole.model.graph.fold_in().items - expected.items).max() > 0


def test_what_is_exported_needs_neither_users_nor_graph(model):
    encode, vectors = served(model)
    before = encode(tf.constant(HISTORIES)).numpy()
    np.testing.assert_allclose(before, model(HISTORIES), rtol=1e-5, atol=1e-6)
    assert vectors.shape == (NUM_ITEMS, 2 * MODEL.embedding_dim)
    model.graph.users.assign(tf.zeros_like(model.graph.users))
    model.warm_graph.items.assign(tf.zeros_like(model.warm_graph.items))
    np.testing.assert_array_equal(encode(tf.constant(HISTORIES)), before)


def test_validation_ranks_by_both(model):
    queries = walk_queries()
    scores = (
        model(queries.histories).numpy() @ model.recommender().items.numpy().T
    )
    rows = np.arange(len(scores))
    ranks = 1 + (scores > scores[rows, queries.targets - 1][:, None]).sum(1)
    gains = np.where(ranks <= 10, 1 / np.log2(ranks + 1), 0)
    assert Validator(model).ndcg(queries) == pytest.approx(
        gains.mean(), abs=1e-6
    )


def test_a_history_longer_than_the_tower_reads_is_cut_for_both(model):
    longest = MODEL.sequential.max_length - 1
    long = np.tile(np.arange(1, NUM_ITEMS + 1, dtype=np.int32), 3)[None]
    assert long.shape[1] > longest
    np.testing.assert_allclose(
        model(long), model(long[:, -longest:]), rtol=1e-5, atol=1e-6
    )


def test_an_empty_history_gets_numbers(model):
    vectors = model(np.zeros([1, 5], np.int32)).numpy()
    assert np.isfinite(vectors).all()


def test_before_the_switch_the_tower_ranks_alone():
    model = Create(WARM, NUM_ITEMS, make_period().adjacency, seed=3)
    plain = Create(MODEL, NUM_ITEMS, make_period().adjacency, seed=3)
    queries = walk_queries()
    assert Validator(model).ndcg(queries) == Validator(plain).ndcg(queries)


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("stop", ["[refit] switch", "[refit] epoch 3/"])
def test_a_stopped_fit_goes_on_with_the_graph_it_kept(tmp_path, restart, stop):
    """At the end of the warm-up, and after the first joint epoch."""

    def report(line):
        lines.append(line)
        if stopping and line.startswith(stop):
            raise KeyboardInterrupt

    training = dataclasses.replace(
        TRAINING, warmup_epochs=2, max_epochs=3, restart_tables=restart
    )
    lines, stopping = [], False
    whole = both_fits(WARM, training)
    stopping = True
    with pytest.raises(KeyboardInterrupt):
        both_fits(WARM, training, report, checkpoint_dir=str(tmp_path))
    lines, stopping = [], False
    _, refit = both_fits(WARM, training, report, checkpoint_dir=str(tmp_path))
    assert any(line.startswith("[refit] resumed after") for line in lines)
    for one, two in zip(
        whole[1].model.variables, refit.model.variables, strict=True
    ):
        np.testing.assert_array_equal(one, two)
    assert_equal_fits(whole[1], refit)


def test_fresh_tables_start_as_they_did():
    fresh = Create(WARM, NUM_ITEMS, make_period().adjacency, seed=3)
    model = some(Create(WARM, NUM_ITEMS, make_period().adjacency, seed=3))
    kept = model.warm_graph.items.numpy()
    model.end_warmup(restart_tables=True)
    np.testing.assert_array_equal(model.items.table, fresh.items.table)
    np.testing.assert_array_equal(model.graph.users, fresh.graph.users)
    assert np.abs(kept - model.warm_graph.items.numpy()).max() > 0


def test_the_weight_needs_both_towers_and_a_warmup():
    with pytest.raises(ValueError, match="`warm_graph_weight` 0.7 lets two"):
        dataclasses.replace(
            WARM, graph=dataclasses.replace(WARM.graph, encoder="none")
        )
    with pytest.raises(ValueError, match="must be at least 0"):
        dataclasses.replace(MODEL, warm_graph_weight=-1.0)
    with pytest.raises(Exception, match="there is no warm-up"):
        load_config(
            DEMO,
            ["model.warm_graph_weight=1.0", "training.warmup_epochs=0"],
        )
    with pytest.raises(Exception, match="drops what the warm-up"):
        load_config(DEMO, ["training.restart_tables=true"])
