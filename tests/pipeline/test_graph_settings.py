"""Settings of the graph towers, and the configurations of each alone."""

import pytest

from models.settings import SettingsError
from pipeline.config import REPOSITORY, load_config

CONFIGS = REPOSITORY / "pipeline" / "configs"
DEMO = CONFIGS / "demo.yaml"
ULTRAGCN = "model.graph.encoder=ultragcn"


def error_of(*overrides):
    with pytest.raises(SettingsError) as error:
        load_config(DEMO, overrides)
    return str(error.value)


def test_ultragcns_item_loss_needs_neighbours():
    message = error_of(ULTRAGCN, "graph.item_neighbors=null")
    assert "`graph.item_neighbors` is null" in message
    assert "`model.graph.ultragcn.item_weight`" in message
    assert "Give a number (10), or set the weight to 0" in message
    # each of the two fixes, and a tower that needs none
    for fixed in (
        (ULTRAGCN, "graph.item_neighbors=10"),
        (
            ULTRAGCN,
            "graph.item_neighbors=null",
            "model.graph.ultragcn.item_weight=0.0",
        ),
        ("graph.item_neighbors=null",),
    ):
        load_config(DEMO, fixed)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["graph.item_neighbors=0"], "at least 1 or null, found 0"),
        (["model.graph.edge_dropout=1"], "must lie in [0.0, 0.99]"),
        (["model.graph.negatives=every"], "per_edge, shared, all"),
        ([ULTRAGCN, "model.graph.negatives=all"], "`negatives` all is of"),
        (
            ["model.graph.ultragcn={w1: 0.0, w2: 0.0}"],
            "edges would have no weight",
        ),
        (
            ["model.graph.ultragcn={w3: 0.0, w4: 0.0}"],
            "negatives would have no weight",
        ),
        (["model.graph.ultragcn={item_weight: -1.0}"], "at least 0"),
    ],
)
def test_bad_settings_are_refused_in_words(overrides, words):
    assert words in error_of(*overrides)


@pytest.mark.parametrize("encoder", ["lightgcn", "ultragcn"])
def test_a_graph_tower_alone_differs_only_in_the_model(encoder, monkeypatch):
    """It is measured on the same data by the same rules."""
    monkeypatch.setenv("CREATE_DATA_ROOT", "/logs")
    full = load_config(CONFIGS / "amazon_beauty_paper.yaml")
    alone = load_config(CONFIGS / f"amazon_beauty_paper_{encoder}.yaml")
    assert alone.model.sequential.encoder == "none"
    assert alone.model.graph.encoder == encoder
    for same in ("logs", "split", "graph", "evaluation", "serving"):
        assert getattr(alone, same) == getattr(full, same)
    assert alone.model.embedding_dim == full.model.embedding_dim
    assert alone.model.sequential.max_length == full.model.sequential.max_length
    assert alone.training.seed == full.training.seed
