"""Every model with every schedule: repeatable, and resumed to the same end."""

import dataclasses
import itertools
import re
import shutil

import pytest

from models.config import (
    AlignmentConfig,
    GraphTowerConfig,
    SequentialConfig,
    WeightSchedule,
)
from tests.models import fit_helpers as helpers
from tests.models.fit_helpers import SHORT, WARMUPS, small_model

# An encoder that is added here is tested with everything.
SEQUENTIAL = ["sasrec", "bert4rec"]
GRAPH = ["lightgcn", "ultragcn"]
ALIGNMENT = ["none", "barlow_twins", "infonce", "gaussian_mi"]
CHANGING_MODEL = {
    "global_weight": WeightSchedule(0.3, 0.1, 2, "cosine"),
    "alignment_weight": WeightSchedule(0.1, 0.2, 3),
}
CHANGING_TRAINING = {
    "item_learning_rate": 0.02,
    "graph_learning_rate": 0.03,
    "warmup_learning_rate": 0.005,
    "learning_rate_warmup_steps": 2,
    "learning_rate_decay": "cosine",
    "restart_table_moments": True,
    "weight_decay": 0.01,
    "batch_by_length": True,
}
# Schedules are the more to go wrong the more of them there are: all at once
# with every model, none with one alignment; the ways to end a warm-up take
# turns over the models, and all meet the first one.
CASES = [
    (s, g, a, list(WARMUPS)[turn % len(WARMUPS)], True)
    for turn, (s, g, a) in enumerate(
        itertools.product(SEQUENTIAL, GRAPH, ALIGNMENT)
    )
]
CASES += [(SEQUENTIAL[0], GRAPH[0], "barlow_twins", w, False) for w in WARMUPS]
CASES += [(s, "none", "none", None, True) for s in SEQUENTIAL]
CASES += [("none", g, "none", None, True) for g in GRAPH]


@pytest.mark.parametrize(
    ("sequential", "graph", "alignment", "warmup", "changing"), CASES
)
def test_a_fit_is_repeatable_and_resumes(
    tmp_path, eager, sequential, graph, alignment, warmup, changing
):
    model = small_model(sequential, graph, alignment)
    training = dataclasses.replace(
        SHORT, **WARMUPS[warmup] if warmup else {"warmup_epochs": 0}
    )
    if changing:
        model = dataclasses.replace(model, **CHANGING_MODEL)
        training = dataclasses.replace(training, **CHANGING_TRAINING)
    folders = []

    def keep(line):
        """Keeps the checkpoints as they lie after each epoch."""
        if re.match(r"\[\w+\] epoch", line):
            folders.append(tmp_path / f"after-{len(folders) + 1}")
            shutil.copytree(tmp_path / "run", folders[-1])

    def both(folder, report=helpers.quiet):
        return helpers.both_fits(
            model, training, report, checkpoint_dir=str(folder)
        )

    expected = both(tmp_path / "run", keep)
    phase = "graph" if sequential == "none" else "joint"
    assert {r["phase"] for r in expected[1].epochs} == (
        {"warmup", phase} if warmup else {phase}
    )
    # Resumed in selection, which is followed by a refit from nothing, and in
    # the refit; in each after its first epoch or, before the switch, its last.
    selected = len(expected[0].epochs)
    first = expected[0].plan[0]["done"]["epochs"] if warmup else 1
    for folder in (folders[first - 1], folders[selected]):
        for one, two in zip(expected, both(folder), strict=True):
            helpers.assert_equal_fits(one, two)


def test_every_encoder_and_alignment_of_the_settings_is_in_the_lists():
    for config, field, tested in (
        (SequentialConfig, "encoder", [*SEQUENTIAL, "none"]),
        (GraphTowerConfig, "encoder", [*GRAPH, "none"]),
        (AlignmentConfig, "kind", ALIGNMENT),
    ):
        with pytest.raises(ValueError) as caught:
            config(**{field: "?"})
        known = re.search(r"one of (.*), found", str(caught.value))[1]
        assert sorted(known.split(", ")) == sorted(tested)
