"""What model and training must agree on, whoever puts them together."""

from __future__ import annotations

from models.config.model import ModelConfig
from models.config.training import TrainingConfig
from models.config.weights import weight_at


def check_together(
    model: ModelConfig, training: TrainingConfig, has_neighbors: bool
) -> None:
    """Refuses settings of which one takes away what another one needs.

    Args:
        model: towers and losses.
        training: schedule.
        has_neighbors: whether GraphBuilder finds each item's neighbours.

    Raises:
        ValueError: names the keys as in the configuration, and the fix.
    """
    graph = model.graph
    if (
        graph.encoder == "ultragcn"
        and graph.ultragcn.item_weight
        and not has_neighbors
    ):
        raise ValueError(
            "`graph.item_neighbors` is null, but `model.graph.ultragcn."
            f"item_weight` is {graph.ultragcn.item_weight}: the item-item "
            "loss needs neighbours. Give a number (10), or set the weight to "
            "0."
        )
    if model.has_graph:
        _check_graph_weight(model, training)
    if model.has_graph and model.has_sequential:
        _check_warm_graph(model, training)
    else:
        _check_one_tower(model, training)


def _check_one_tower(model: ModelConfig, training: TrainingConfig) -> None:
    """Nothing to align, and nothing to warm up for."""
    missing, why = "graph", "the graph tower is what is warmed up"
    if not model.has_sequential:
        missing, why = "sequential", "there is no joint training after it"
    if model.alignment.kind != "none":
        raise ValueError(
            "`model.alignment.kind` must be none where "
            f"`model.{missing}.encoder` is none: there is no {missing} "
            f"user vector to align with, found {model.alignment.kind!r}."
        )
    steps, epochs = training.warmup_steps, training.warmup_epochs
    if steps is not None or epochs:
        key, off, found = "warmup_epochs", "0", epochs
        if steps is not None:
            key, off, found = "warmup_steps", "null", steps
        raise ValueError(
            f"`training.{key}` must be {off} where "
            f"`model.{missing}.encoder` is none: {why}, found {found}."
        )


def _check_graph_weight(model: ModelConfig, training: TrainingConfig) -> None:
    """The graph trained alone must not be weighted by nothing."""
    epoch = 0
    alone = "the warm-up"
    if not model.has_sequential:
        alone, epoch = "the graph tower", training.max_epochs
    elif not training.has_warmup:
        return
    if not weight_at(model.global_weight, epoch):
        raise ValueError(
            f"`model.global_weight` must be above 0 in {alone}, which "
            f"trains by that loss alone, found {model.global_weight}."
        )


def _check_warm_graph(model: ModelConfig, training: TrainingConfig) -> None:
    """What is kept of the warm-up must exist, and be used."""
    weight = model.warm_graph_weight
    if weight and not training.has_warmup:
        raise ValueError(
            f"`model.warm_graph_weight` {weight} lets the graph of the "
            "warm-up recommend, but there is no warm-up. Set "
            "`training.warmup_epochs` or `training.warmup_steps`."
        )
    if training.restart_tables and not weight:
        raise ValueError(
            "`training.restart_tables` drops what the warm-up has learned "
            "unless `model.warm_graph_weight` is above 0, found 0. Set "
            "that, or leave out the warm-up."
        )
