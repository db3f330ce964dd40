"""The training section of the report: the plan in words, curves by part."""

import re

import pytest

from components.ranking_evaluator.report import plots, training_plots
from components.ranking_evaluator.report.training_section import section


def _group(name, parameters, rate=None, last=None):
    group = {"group": name, "parameters": parameters}
    if rate is not None:
        group |= {"learning_rate": rate, "last_learning_rate": last or rate}
    return group


TOWER = ("sequential_tower", 520)
PLAN = {
    "selection": [
        {
            "phase": "warmup",
            "trained": [
                _group("item_table", 12_000, 0.003, 0.003000000026077032),
                _group("user_table", 480, 0.003),
            ],
            "frozen": [_group(*TOWER)],
            "weights": {"global": [0.5, 0.5]},
            "planned": {"epochs": 9, "steps": None, "patience": 2},
            "done": {"epochs": 4, "steps": 1_000},
            "ended_by": "patience",
        },
        {
            "phase": "joint",
            "trained": [
                _group("item_table", 12_000, 0.003, 0.00025),
                _group("user_table", 480, 0.03, 0.0025),
                _group(*TOWER, 0.003, 0.00025),
            ],
            "frozen": [],
            "weights": {
                "local": [1.0, 1.0],
                "global": [0.5, 0.1],
                "alignment": [0.2, 0.2],
            },
            "planned": {"epochs": 25, "steps": None, "patience": 4},
            "done": {"epochs": 25, "steps": 50},
            "ended_by": "epochs",
        },
    ],
    "refit": [
        {
            "phase": "warmup",
            "trained": [_group("item_table", 12_000, 0.003)],
            "frozen": [],
            "weights": {"global": [0.5, 0.5]},
            "planned": {"epochs": 1, "steps": 10, "patience": None},
            "done": {"epochs": 1, "steps": 10},
            "ended_by": "steps",
        },
        {
            "phase": "joint",
            "trained": [_group("item_table", 12_000, 0.003)],
            "frozen": [],
            "weights": {"local": [1.0, 1.0]},
            "planned": {"epochs": 1, "steps": None, "patience": None},
            "done": {"epochs": 1, "steps": 2},
            "ended_by": "epochs",
        },
    ],
}


def _epochs():
    return [
        {
            "epoch": number,
            "phase": "warmup" if number < 3 else "joint",
            "loss": 9.0 - number,
            "losses": {
                "local": 0.0 if number < 3 else 8.0,
                "global": 0.7,
                "alignment": 0.0,
            },
            "gradient_norm": 1.5,
            "clipped_share": 0.25 * number,
            "validation_ndcg_at_10": None,
            "seconds": 2.0,
        }
        for number in range(1, 5)
    ]


def test_the_plan_in_words():
    warmup, joint, cut, alone = section({"plan": PLAN})["plan"]
    assert (warmup["fit"], warmup["phase"]) == ("Selection", "Warm-up")
    assert warmup["trained"] == [
        {"name": "item table", "parameters": "12,000", "rate": "0.003"},
        {"name": "user table", "parameters": "480", "rate": "0.003"},
    ]
    assert warmup["frozen"] == [
        {"name": "sequential tower", "parameters": "520"}
    ]
    assert warmup["planned"] == "at most 9 epochs, patience 2"
    assert warmup["done"] == "4 epochs, 1,000 steps; ended by patience"
    assert joint["phase"] == "Joint training"
    assert joint["trained"][1]["rate"] == "0.03 to 0.0025"
    assert joint["weights"] == ["local 1", "global 0.5 to 0.1", "alignment 0.2"]
    assert joint["done"] == "25 epochs, 50 steps"
    assert cut["planned"] == "10 steps"
    assert cut["done"] == "1 epoch, 10 steps"
    assert alone["phase"] == "Sequential tower alone"
    assert alone["planned"] == "1 epoch"


def test_curves_of_each_fit_and_of_the_parts_of_its_loss():
    phases = {
        "selection": {"epochs": _epochs(), "best_epoch": 4},
        "refit": {"epochs": []},
    }
    total, parts = section({"phases": phases})["curves"]
    assert "4 epochs, 8 seconds" in total["caption"]
    # the mean of 25, 50, 75 and 100 %
    assert "62 % of the steps were clipped" in parts["caption"]
    words = re.findall(r"<text[^>]*>([^<]+)</text>", parts["svg"])
    # alignment was not trained
    labels = {word for word in words if word.isalpha()}
    assert labels == {"local", "global", "gradient", "epoch"}


@pytest.mark.parametrize(
    ("best", "anchor"), [(1, "start"), (4, "middle"), (6, "end")]
)
def test_the_best_epochs_label_stays_inside(best, anchor):
    """At an end of the axis it would lie on the numbers beside it."""
    epochs = [
        {
            "epoch": epoch,
            "phase": "joint",
            "loss": 1.0,
            "validation_ndcg_at_10": 0.2 if epoch == best else 0.1,
        }
        for epoch in range(1, 7)
    ]
    svg = plots.training_curves("fit", epochs, best)
    text = re.search(rf"<text [^>]*>epoch {best}: 20.00 %</text>", svg)
    assert text and f"text-anchor: {anchor}" in text.group()


def test_records_without_parts_have_no_second_figure():
    epochs = [{**_epochs()[0], "losses": {}}]
    del epochs[0]["gradient_norm"]
    assert training_plots.parts("x", epochs) is None
    assert section({}) == {"plan": [], "curves": []}


@pytest.mark.parametrize("count", [1, 4])
def test_a_part_is_drawn_where_it_was_trained(count):
    epochs = _epochs()[2 : 2 + count]
    assert "local" in training_plots.parts("x", epochs)
    assert ">local<" not in training_plots.parts("x", _epochs()[:2])
