"""What the Trainer writes about a training, and the report reads."""

import json

import pytest

from tests.models import fit_helpers as helpers
from tests.models.conftest import eager  # noqa: F401


@pytest.mark.parametrize("warmup", helpers.WARMUPS)
def test_training_json_holds_the_plan_that_the_report_shows(
    tmp_path,
    eager,  # noqa: F811
    warmup,
):
    from components.artifact_files import TRAINING_FILE
    from components.ranking_evaluator.report.training_section import section
    from components.trainer.config import TrainerConfig
    from components.trainer.executor import _write_training

    model, training = helpers.settings_of(warmup)
    selection, refit = helpers.both_fits(model, training)
    config = TrainerConfig(model=model, training=training)
    _write_training(str(tmp_path), config, selection, refit, None)
    written = json.loads((tmp_path / TRAINING_FILE).read_text())
    assert written["tuning"] is None
    assert written["model"]["global_weight"] == {
        "start": 0.3,
        "end": 0.1,
        "epochs": 2,
        "shape": "cosine",
    }
    for name, result in (("selection", selection), ("refit", refit)):
        epochs = written["phases"][name]["epochs"]
        for phase in written["plan"][name]:
            done = [e for e in epochs if e["phase"] == phase["phase"]]
            assert phase["done"]["epochs"] == len(done)
            assert phase["done"]["steps"] == sum(e["steps"] for e in done)
        sizes = {
            group["group"]: group["parameters"]
            for group in written["plan"][name][0]["trained"]
        }
        table = result.model.items.table
        assert sizes["item_table"] == table.shape[0] * table.shape[1]
    shown = section(written)
    assert [row["phase"] for row in shown["plan"]] == [
        "Warm-up",
        "Joint training",
    ] * 2
    assert shown["plan"][0]["frozen"][0]["name"] == "sequential tower"
    assert len(shown["curves"]) == 4
