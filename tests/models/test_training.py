"""Repeatability, resuming and what each phase may move, compiled."""

import dataclasses
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from models.config import GraphTowerConfig, WeightSchedule
from models.create import Create
from models.fitting.compiled_epoch import CompiledEpoch
from models.fitting.progress import progress_line
from models.fitting.schedule import Schedule
from models.graph.negatives import NegativeSampler
from tests.models import fit_helpers as helpers
from tests.models.fit_helpers import MODEL, NUM_ITEMS, TRAINING, make_period


def _fit(training=TRAINING, model=MODEL, **arguments):
    return helpers.fit_selection(model, training, **arguments)


@pytest.fixture(scope="module")
def undisturbed():
    return helpers.both_fits()


@pytest.fixture(scope="module")
def longer():
    """A longer selection whose weights change; lines of progress."""
    model = dataclasses.replace(
        MODEL,
        global_weight=WeightSchedule(0.5, 0.1, 4),
        alignment_weight=WeightSchedule(0.0, 0.2, 10, "cosine"),
    )
    training = dataclasses.replace(TRAINING, max_epochs=20)
    lines = []
    result = _fit(training, model, report=lines.append)
    return model, result, lines


def test_joint_training_learns_the_walk_better_than_chance(longer):
    _, result, _ = longer
    best = result.epochs[result.best_epoch - 1]["validation_ndcg_at_10"]
    # a random order of 30 items has NDCG@10 of 4.54 / 30 = 0.15
    assert best > 0.5
    assert [r["phase"] for r in result.epochs[:3]] == [
        "warmup",
        "warmup",
        "joint",
    ]
    assert result.best_epoch > 2


def test_weights_that_change_are_those_of_equation_5(longer):
    model, result, _ = longer
    first, second = result.epochs[2], result.epochs[3]
    assert first["weights"] == {"global": 0.5, "alignment": 0.0}
    assert second["weights"]["global"] == pytest.approx(0.4)
    assert result.epochs[-1]["weights"] == {"global": 0.1, "alignment": 0.2}
    for record in result.epochs:
        parts, weights = record["losses"], record["weights"]
        expected = (
            parts["local"]
            + weights["global"] * parts["global"]
            + weights["alignment"] * parts["alignment"]
        )
        assert record["loss"] == pytest.approx(expected, rel=1e-5)


def test_weights_that_change_compile_nothing_again(monkeypatch):
    traced = []
    whole = Create.joint_loss

    def joint_loss(self, *arguments):
        traced.append(1)
        return whole(self, *arguments)

    monkeypatch.setattr(Create, "joint_loss", joint_loss)
    model = dataclasses.replace(MODEL, global_weight=WeightSchedule(1, 0, 5))
    training = dataclasses.replace(
        TRAINING, learning_rate_decay="cosine", learning_rate_warmup_steps=3
    )
    period = make_period()
    compiled = CompiledEpoch(
        Create(model, NUM_ITEMS, period.adjacency, 0),
        training,
        period.sequences,
    )
    compiled.run(1, False, 1)
    once = len(traced)
    for epoch in range(2, 5):
        compiled.run(epoch, False, epoch)
    assert len(traced) == once > 0


def test_the_switch_is_one_line(longer):
    _, _, lines = longer
    found = [line for line in lines if "switch" in line]
    steps = 2 * -(-len(make_period().adjacency.edges) // 32)
    # 5 positions, 4 projections, 2 layers and 3 norms of width 8
    size = 5 * 8 + 4 * (8 * 8 + 8) + 2 * (8 * 8 + 8) + 3 * 2 * 8
    assert found == [
        f"[selection] switch: the graph's warm-up ends after 2 epochs ({steps} "
        "steps); joint training starts, at most 20 epochs: + sequential tower "
        f"({size} parameters); Adam of item table and user table goes on"
    ]
    assert lines.index(found[0]) == 2


def test_warmup_moves_the_tables_and_leaves_the_tower():
    period = make_period()
    model = Create(MODEL, NUM_ITEMS, period.adjacency, 0)
    compiled = CompiledEpoch(model, TRAINING, period.sequences)
    items, users, tower = compiled.groups
    before = [[v.numpy() for v in g.trained] for g in compiled.groups]
    first = compiled.run(1, warmup=True)
    for old, variable in zip(before[2], tower.trained, strict=True):
        np.testing.assert_array_equal(old, variable.numpy())
    for old, group in zip(before[:2], (items, users), strict=True):
        assert np.abs(old[0] - group.trained[0].numpy()).max() > 1e-4
    assert set(first.rates) == {"item_table", "user_table"}
    moments = [w.numpy() for w in items.optimizer.weights[1:]]
    assert max(np.abs(m).max() for m in moments) > 0
    compiled.run(2, warmup=False)
    # the tables' optimisers go on, the tower's starts with its first step
    assert int(tower.optimizer.iterations) == 4
    assert int(items.optimizer.iterations) == first.steps + 4
    assert int(users.optimizer.iterations) == first.steps + 4


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
    helpers.assert_equal_fits(first, _fit())
    other = _fit(dataclasses.replace(TRAINING, seed=1))
    assert helpers.without_seconds(first) != helpers.without_seconds(other)


def test_the_plan_says_what_was_trained_and_what_was_frozen(undisturbed):
    selection, refit = undisturbed
    warmup, joint = selection.plan
    tables = [("item_table", NUM_ITEMS * 8), ("user_table", 60 * 8)]
    tower = ("sequential_tower", _tower_size(selection.model))
    assert _groups(warmup["trained"]) == tables
    assert _groups(warmup["frozen"]) == [tower]
    assert _groups(joint["trained"]) == [*tables, tower]
    assert joint["frozen"] == []
    assert warmup["weights"] == {"global": [0.1, 0.1]}
    assert list(joint["weights"]) == ["local", "global", "alignment"]
    # 60 users by 16
    assert joint["done"] == {"epochs": 4, "steps": 4 * 4}
    assert joint["planned"] == {"epochs": 4, "steps": None, "patience": 10}
    assert {group["learning_rate"] for group in joint["trained"]} == {0.01}
    again = refit.plan[1]
    assert again["planned"]["patience"] is None
    assert again["done"]["epochs"] == selection.best_epoch - 2
    assert _groups(again["trained"])[1] == ("user_table", 90 * 8)


def _groups(groups):
    return [(group["group"], group["parameters"]) for group in groups]


def _tower_size(model):
    table = model.items.table
    weights = model.sequential.trainable_variables
    return sum(np.size(w.numpy()) for w in weights if w is not table)


def test_negatives_are_rarely_positives():
    period = make_period()
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
    assert list(result.plan[0]["weights"]) == ["local"]


def test_progress_line_says_what_a_person_wants_to_know():
    schedule = Schedule(1, 9, 5)
    epochs = [
        {
            "epoch": 1,
            "phase": "warmup",
            "steps": 3,
            "loss": 1.0,
            "losses": {"local": 0.0, "global": 0.5, "alignment": 0.25},
            "clipped_share": 0.25,
            "validation_ndcg_at_10": 0.5,
            "graph_validation_ndcg_at_10": 0.0625,
            "seconds": 1.0,
        },
        {
            "epoch": 2,
            "phase": "joint",
            "steps": 3,
            "loss": 1.5,
            "losses": {"local": 1.0, "global": 0.5, "alignment": 0.25},
            "clipped_share": 0.04,
            "validation_ndcg_at_10": 0.125,
            "graph_validation_ndcg_at_10": None,
            "seconds": 10.0,
        },
    ]
    assert progress_line("selection", schedule, epochs) == (
        "[selection] epoch 2/10 joint  loss 1.5000 (local 1.0000, global "
        "0.5000, alignment 0.2500)  val NDCG@10 0.1250  best 0.1250 at 2  "
        "10.0 s  left at most 1m20s"
    )
    assert progress_line("selection", schedule, epochs[:1]) == (
        "[selection] epoch 1/10 warmup  loss 1.0000 (local 0.0000, global "
        "0.5000, alignment 0.2500)  clipped 25 %  graph NDCG@10 0.0625  "
        "val NDCG@10 0.5000  1.0 s  left at most 0m09s"
    )


_KILLED = """
import os, signal, sys
sys.path.insert(0, {root!r})
import dataclasses
import tensorflow as tf
from tests.models import fit_helpers as helpers
tf.config.run_functions_eagerly({warmup!r} is not None)
def report(line):
    print(line, flush=True)
    if line.startswith({stop!r}):
        os.kill(os.getpid(), signal.SIGKILL)
helpers.both_fits(
    *helpers.settings_of({warmup!r}), report, checkpoint_dir={directory!r})
"""

# None: the compiled fit; the others are not compiled, which is faster
_KILLS = {
    "compiled": (None, "[selection] epoch 1/"),
    "by epochs": ("epochs", "[selection] best epoch"),
    "in a cut epoch": ("steps", "[selection] epoch 2/"),
    "at the switch": ("patience", "[selection] switch"),
    "in the refit": ("steps", "[refit] epoch 3/"),
}


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """One folder of checkpoints for each of `_KILLS`, killed at once."""
    folders, processes = {}, []
    root = os.path.dirname(os.path.dirname(os.path.dirname(__file__)))
    for name, (warmup, stop) in _KILLS.items():
        folders[name] = str(tmp_path_factory.mktemp("killed"))
        code = _KILLED.format(
            root=root, warmup=warmup, stop=stop, directory=folders[name]
        )
        processes.append(
            subprocess.Popen(
                [sys.executable, "-c", code],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    for process in processes:
        _, errors = process.communicate()
        assert process.returncode == -signal.SIGKILL, errors
    return folders


def test_a_killed_fit_resumes_to_the_same_end(killed, undisturbed):
    _assert_resumes(killed["compiled"], undisturbed, (MODEL, TRAINING))


@pytest.mark.parametrize("name", [k for k, v in _KILLS.items() if v[0]])
def test_killed_in_any_schedule_it_resumes_to_the_same_end(killed, name, eager):
    settings = helpers.settings_of(_KILLS[name][0])
    _assert_resumes(killed[name], helpers.both_fits(*settings), settings)


def _assert_resumes(directory, expected, settings):
    lines = []
    again = helpers.both_fits(*settings, lines.append, checkpoint_dir=directory)
    assert any("resumed after epoch" in line for line in lines)
    for one, two in zip(expected, again, strict=True):
        helpers.assert_equal_fits(one, two)
