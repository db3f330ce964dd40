"""The search for settings, as the report shows it, and as a file."""

import json
import re

import pytest

from components.ranking_evaluator.report import tuning_section
from components.trainer.config import TrainerConfig
from components.trainer.hyperparameters import (
    FILE,
    read_search,
    with_best,
    write_search,
)
from models.config import ModelConfig, TrainingConfig


def trial(number, value, state="complete", **parameters):
    return {
        "number": number,
        "parameters": {
            f"model.sequential.{name}": v for name, v in parameters.items()
        },
        "state": state,
        "value": value,
        "best_epoch": 3,
        "epochs": 5,
        "seconds": 30.0,
        "reason": "" if value is not None else "no 3 heads",
    }


TRIALS = [
    trial(1, 0.011, dropout=0.1, num_heads=1),
    trial(2, None, "failed", dropout=0.2, num_heads=3),
    trial(3, 0.014, dropout=0.55556, num_heads=2),
    trial(4, 0.009, "pruned", dropout=0.9, num_heads=1),
]
STAGE = {
    "name": "sasrec",
    "trials": TRIALS,
    "best": TRIALS[2],
    "importances": {
        "model.sequential.dropout": 0.75,
        "model.sequential.num_heads": 0.25,
    },
}


def test_stages_as_shown():
    (stage,) = tuning_section.section({"values": {}, "stages": [STAGE]})
    assert stage["counts"] == (
        "4 trials (2 complete, 1 stopped early, 1 failed), "
        "2.0 minutes of training."
    )
    assert stage["best"] == [
        ("model.sequential.dropout", "0.5556"),
        ("model.sequential.num_heads", "2"),
    ]
    assert stage["trials"] == [
        (3, "1.40", "dropout 0.5556, num_heads 2"),
        (1, "1.10", "dropout 0.1, num_heads 1"),
        (4, "0.90", "dropout 0.9, num_heads 1"),
    ]
    assert len(stage["figures"]) == 2
    assert "dropout" in stage["figures"][1]["svg"]


def test_without_a_search_there_is_nothing():
    assert tuning_section.section(None) == []
    few = {**STAGE, "importances": {}}
    (stage,) = tuning_section.section({"values": {}, "stages": [few]})
    assert len(stage["figures"]) == 1


def test_the_file_comes_back(tmp_path):
    write_search(str(tmp_path), {"model.embedding_dim": 64}, [STAGE])
    assert read_search(str(tmp_path)) == {
        "values": {"model.embedding_dim": 64},
        "stages": [STAGE],
    }


def test_other_hyperparameters_are_refused(tmp_path):
    (tmp_path / FILE).write_text(json.dumps({"space": [], "values": {}}))
    with pytest.raises(ValueError, match="this project's Tuner"):
        read_search(str(tmp_path))


def test_best_values_that_only_a_stage_s_settings_made_possible():
    """No warm-up: the graph beside the tower would be zeros, in silence."""
    model, training = ModelConfig(), TrainingConfig(warmup_epochs=0)
    config = TrainerConfig(model=model, training=training)
    values = {"model.warm_graph_weight": 0.5, "training.batch_size": 64}
    with pytest.raises(ValueError) as error:
        with_best(config, values)
    for words in (
        "model.warm_graph_weight 0.5, training.batch_size 64",
        "there is no warm-up",
        "`settings` of their stage",
    ):
        assert words in str(error.value)
    del values["model.warm_graph_weight"]
    assert with_best(config, values).training.batch_size == 64
    with pytest.raises(ValueError, match=r"of `tuning`.*num_heads` 3"):
        with_best(config, {"model.sequential.num_heads": 3})


def test_one_trial_is_a_whole_number():
    alone = {**STAGE, "trials": TRIALS[:1], "best": TRIALS[0]}
    (stage,) = tuning_section.section({"values": {}, "stages": [alone]})
    picture = stage["figures"][0]["svg"]
    (x_axis,) = re.findall(r"(?s)(.*)>trial<", picture)
    ticks = re.findall(r">([\d.]+)</text>", x_axis)
    assert ticks == ["1"]
