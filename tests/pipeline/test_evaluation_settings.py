"""Which baselines and other models a configuration asks for."""

import pytest

from models.settings import SettingsError
from pipeline.config import REPOSITORY, load_config

DEMO = REPOSITORY / "pipeline" / "configs" / "demo.yaml"


def test_folders_of_other_models_start_at_the_repository():
    others = "{old: runs/old/1, far: gs://b/m, now: served}"
    config = load_config(DEMO, [f"evaluation.compare_with={others}"])
    assert config.evaluation.compare_with == {
        "old": str(REPOSITORY / "runs" / "old" / "1"),
        "far": "gs://b/m",
        "now": "served",
    }
    assert config.evaluation.rivals[-3:] == ("old", "far", "now")


def test_a_threshold_may_ask_for_another_model():
    overrides = [
        "evaluation.thresholds=[{baseline: serving}]",
        "evaluation.compare_with={serving: runs/demo/serving/create}",
    ]
    config = load_config(DEMO, overrides)
    assert config.evaluation.thresholds[0].baseline == "serving"


def test_a_threshold_must_not_ask_for_a_baseline_that_does_not_run():
    with pytest.raises(SettingsError) as caught:
        load_config(DEMO, ["evaluation.baselines=[random, pure_svd]"])
    message = str(caught.value)
    assert "`evaluation`: `thresholds[0].baseline` must be one of" in message
    assert "random, pure_svd" in message and "'most_popular'" in message


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("evaluation.baselines=[svd]", "evaluation"),
        ("evaluation.pure_svd.rank=0", "evaluation.pure_svd"),
        ("evaluation.item_knn.weighting=jaccard", "evaluation.item_knn"),
        ("evaluation.most_popular_recent.days=-1", "most_popular_recent"),
        ("evaluation.compare_with={pure_svd: x}", "evaluation"),
        # the exported model answers no request for so many
        ("evaluation.batch_size=65537", "at most 65536 with a cutoff of 100"),
    ],
)
def test_settings_out_of_range_name_their_key(override, words):
    with pytest.raises(SettingsError) as caught:
        load_config(DEMO, [override])
    assert words in str(caught.value)
    assert "demo.yaml" in str(caught.value) or "--set" in str(caught.value)
