"""Schedule, repeatability, resuming and what each phase may move."""

import dataclasses
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from models.config import (
    GraphTowerConfig,
    ModelConfig,
    SequentialConfig,
    TrainingConfig,
)
from models.create import Create
from models.divergence import TrainingDivergedError
from models.graph.negatives import NegativeSampler
from models.graph.propagation import BipartiteAdjacency, symmetric_weights
from models.input_pipeline import Queries, Sequences
from models.progress import progress_line
from models.schedule import Schedule
from models.steps import Steps
from models.training import (
    Period,
    fit,
    select_and_refit,
)

NUM_ITEMS = 30
MODEL = ModelConfig(
    embedding_dim=8,
    sequential=SequentialConfig(
        max_length=6, num_blocks=1, feed_forward_dim=8, dropout=0.1
    ),
    graph=GraphTowerConfig(num_layers=1, batch_size=32),
)
TRAINING = TrainingConfig(
    batch_size=16,
    learning_rate=0.01,
    warmup_epochs=2,
    max_epochs=4,
    patience=10,
)


def _period(num_users=60, seed=0, with_queries=True):
    """Users walk through the items in order: the next one is known."""
    generator = np.random.default_rng(seed)
    lengths = generator.integers(3, 9, num_users)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    starts = generator.integers(0, NUM_ITEMS, num_users)
    items = np.concatenate(
        [
            (start + np.arange(n)) % NUM_ITEMS + 1
            for start, n in zip(starts, lengths, strict=True)
        ]
    )
    edges = np.unique(
        np.stack([np.repeat(np.arange(num_users), lengths), items - 1], 1),
        axis=0,
    )
    adjacency = BipartiteAdjacency(
        edges, symmetric_weights(edges), num_users, NUM_ITEMS
    )
    sequences = Sequences(items, offsets, np.arange(num_users), NUM_ITEMS)
    queries = None
    if with_queries:
        last = np.arange(40) % NUM_ITEMS
        columns = np.arange(-4, 1)
        none = np.zeros(0, np.int64)
        queries = Queries(
            (last[:, None] + columns) % NUM_ITEMS + 1,
            (last + 1) % NUM_ITEMS + 1,
            none,
            none,
        )
    return Period(sequences, adjacency, queries)


def _fit(training=TRAINING, model=MODEL, **arguments):
    return fit(
        "selection",
        model,
        training,
        _period(),
        Schedule.of_selection(training, model.graph.encoder != "none"),
        report=lambda line: None,
        **arguments,
    )


def _without_seconds(result):
    return [{**record, "seconds": None} for record in result.epochs]


@pytest.fixture(scope="module")
def undisturbed():
    return select_and_refit(
        MODEL,
        TRAINING,
        _period(),
        _period(90, 1, with_queries=False),
        report=lambda line: None,
    )


def test_warmup_epochs_do_not_count_for_the_best_epoch_or_patience():
    schedule = Schedule(warmup_epochs=5, last_epoch=100, patience=3)
    validation = {1: 0.9, 2: 0.8, 3: 0.7, 4: 0.6, 5: 0.5, 6: 0.1}
    assert schedule.best_epoch(validation) == 6
    assert not schedule.stops_after(5, {1: 0.9, 2: 0.8, 3: 0.7, 4: 0.6})
    assert not schedule.stops_after(8, {**validation, 7: 0.1, 8: 0.05})
    assert schedule.stops_after(9, {**validation, 7: 0.1, 8: 0.05, 9: 0.02})
    assert schedule.stops_after(100, {})


def test_the_first_of_equal_validations_is_best():
    schedule = Schedule(0, 10, 5)
    assert schedule.best_epoch({1: 0.2, 2: 0.3, 3: 0.3}) == 2


def test_joint_training_learns_the_walk_better_than_chance():
    training = dataclasses.replace(TRAINING, max_epochs=20)
    result = _fit(training)
    best = result.epochs[result.best_epoch - 1]["validation_ndcg_at_10"]
    # a random order of 30 items has NDCG@10 of 4.54 / 30 = 0.15
    assert best > 0.5
    assert [r["phase"] for r in result.epochs[:3]] == [
        "warmup",
        "warmup",
        "joint",
    ]
    assert result.best_epoch > 2


def test_warmup_moves_the_tables_and_leaves_the_tower():
    period = _period()
    model = Create(MODEL, NUM_ITEMS, period.adjacency, 0)
    steps = Steps(model, TRAINING, period.sequences)
    tower = [v.numpy() for v in steps.tower]
    tables = [v.numpy() for v in steps.tables]
    steps.run_epoch(1, warmup=True)
    for before, variable in zip(tower, steps.tower, strict=True):
        np.testing.assert_array_equal(before, variable.numpy())
    for before, variable in zip(tables, steps.tables, strict=True):
        assert np.abs(before - variable.numpy()).max() > 1e-4
    moments = [w.numpy() for w in steps.table_optimizer.weights[1:]]
    assert max(np.abs(m).max() for m in moments) > 0
    number = int(steps.table_optimizer.iterations)
    steps.run_epoch(2, warmup=False)
    # the tables' optimiser goes on, the tower's starts with its first step
    assert int(steps.tower_optimizer.iterations) == 4
    assert int(steps.table_optimizer.iterations) == number + 4


def test_total_loss_is_equation_5(undisturbed):
    for record in undisturbed[0].epochs:
        parts = record["losses"]
        expected = (
            parts["local"]
            + MODEL.global_weight * parts["global"]
            + MODEL.alignment_weight * parts["alignment"]
        )
        assert record["loss"] == pytest.approx(expected, rel=1e-5)
        if record["phase"] == "warmup":
            assert parts["local"] == parts["alignment"] == 0.0


def test_two_fits_with_one_seed_are_equal_and_another_seed_is_not(
    undisturbed,
):
    first = undisturbed[0]
    assert _without_seconds(first) == _without_seconds(_fit())
    other = _fit(dataclasses.replace(TRAINING, seed=1))
    assert _without_seconds(first) != _without_seconds(other)


def test_negatives_are_rarely_positives():
    period = _period()
    sampler = NegativeSampler(period.adjacency, 1)
    users = np.repeat(np.arange(60), 50).astype(np.int32)
    drawn = sampler.per_edge(users, np.array([1, 2], np.int32)).numpy()
    edges = set(map(tuple, period.adjacency.edges))
    hits = np.mean(
        [(u, i) in edges for u, i in zip(users, drawn[:, 0], strict=True)]
    )
    density = len(edges) / (60 * NUM_ITEMS)
    # two independent draws: the square of the density
    assert hits == pytest.approx(density**2, abs=0.02)
    assert set(drawn[:, 0]) == set(range(NUM_ITEMS))


def test_sasrec_alone_needs_no_graph():
    model = dataclasses.replace(MODEL, graph=GraphTowerConfig(encoder="none"))
    result = _fit(model=model)
    assert {r["phase"] for r in result.epochs} == {"joint"}
    assert all(r["losses"]["global"] == 0.0 for r in result.epochs)


def test_divergence_names_epoch_part_and_advice():
    training = dataclasses.replace(
        TRAINING, learning_rate=1e30, clip_norm=1e30, warmup_epochs=0
    )
    with pytest.raises(TrainingDivergedError, match="learning_rate"):
        _fit(training)


def test_progress_line_says_what_a_person_wants_to_know():
    schedule = Schedule(1, 10, 5)
    epochs = [
        {
            "epoch": 1,
            "phase": "warmup",
            "loss": 1.0,
            "losses": {"local": 0.0, "global": 0.5, "alignment": 0.25},
            "validation_ndcg_at_10": 0.5,
            "seconds": 1.0,
        },
        {
            "epoch": 2,
            "phase": "joint",
            "loss": 1.5,
            "losses": {"local": 1.0, "global": 0.5, "alignment": 0.25},
            "validation_ndcg_at_10": 0.125,
            "seconds": 10.0,
        },
    ]
    line = progress_line("selection", schedule, epochs)
    assert line == (
        "[selection] epoch 2/10 joint  loss 1.5000 (local 1.0000, global "
        "0.5000, alignment 0.2500)  val NDCG@10 0.1250  best 0.1250 at 2  "
        "10.0 s  left at most 1m20s"
    )


_KILLED = """
import os, signal, sys
sys.path[:0] = [{root!r}, {here!r}]
import test_training as t
def report(line):
    print(line, flush=True)
    if line.startswith({stop!r}):
        os.kill(os.getpid(), signal.SIGKILL)
selection, refit = t.select_and_refit(
    t.MODEL, t.TRAINING, t._period(), t._period(90, 1, False),
    checkpoint_dir={checkpoints!r}, report=report)
"""


@pytest.mark.parametrize(
    "stop",
    ["[selection] epoch 1/", "[selection] best epoch", "[refit] epoch 3/"],
)
def test_a_killed_fit_resumes_to_the_same_end(tmp_path, stop, undisturbed):
    selection, refit = undisturbed
    here = os.path.dirname(__file__)
    code = _KILLED.format(
        root=os.path.dirname(os.path.dirname(here)),
        here=here,
        stop=stop,
        checkpoints=str(tmp_path),
    )
    killed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    lines = []
    again = select_and_refit(
        MODEL,
        TRAINING,
        _period(),
        _period(90, 1, with_queries=False),
        checkpoint_dir=str(tmp_path),
        report=lines.append,
    )
    assert any("resumed after epoch" in line for line in lines)
    assert [_without_seconds(r) for r in again] == [
        _without_seconds(r) for r in (selection, refit)
    ]
    for one, two in zip(
        refit.model.weights, again[1].model.weights, strict=True
    ):
        np.testing.assert_array_equal(one.numpy(), two.numpy())
