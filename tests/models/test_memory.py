"""Fits that a device has no memory for, refused by TensorFlow itself."""

import dataclasses
import re

import pytest
import tensorflow as tf

from models.config import ModelConfig, TrainingConfig
from models.fitting.compiled_epoch import CompiledEpoch
from models.fitting.memory import OutOfMemoryError, of_step
from models.fitting.validation import Validator
from models.settings import with_values
from tests.models import fit_helpers as helpers
from tests.models.fit_helpers import MODEL, SHORT

# squared, more numbers than a process has addresses
HUGE = 2**25


def square(side):
    return tf.zeros([side, side])


def told(model=MODEL):
    """What a fit that fails says, and the cause of it."""
    with pytest.raises(OutOfMemoryError) as caught:
        helpers.fit_selection(model, SHORT)
    assert isinstance(caught.value.__cause__, tf.errors.ResourceExhaustedError)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_tables_that_do_not_fit_name_their_width():
    wide = dataclasses.replace(MODEL, embedding_dim=2**45)
    assert re.fullmatch(
        r"\[selection\] tables: out of memory \(.*OOM when allocating tensor "
        rf"with shape\[30,{2**45}\].*\)\. "
        rf"Lower `model.embedding_dim` \({2**45}\)\.",
        told(wide),
    )


@pytest.mark.parametrize("xla", [True, False])
@pytest.mark.parametrize("in_warmup", [True, False])
def test_a_step_that_does_not_fit_names_its_sizes(monkeypatch, in_warmup, xla):
    """SHORT has two epochs of warm-up."""
    run = CompiledEpoch.run

    def large(self, epoch, warmup, *rest):
        if warmup == in_warmup:
            # compiled, as steps are; they end with an error in many lines
            tf.function(square, jit_compile=xla)(tf.constant(HUGE))
        return run(self, epoch, warmup, *rest)

    monkeypatch.setattr(CompiledEpoch, "run", large)
    message = told()
    epoch = 1 if in_warmup else 3
    assert message.startswith(f"[selection] epoch {epoch}: out of memory (")
    refused = f"allocate {4 * HUGE**2} bytes" if xla else f"[{HUGE},{HUGE}]"
    assert refused in message
    if in_warmup:
        lower = "`model.graph.batch_size` (32)"
    else:
        lower = (
            "`training.batch_size` (40) or `model.sequential.max_length` (6)"
        )
    assert message.endswith(f"). Lower {lower} or `model.embedding_dim` (8).")


def test_a_validation_that_does_not_fit_is_told_from_the_step(monkeypatch):
    monkeypatch.setattr(Validator, "ndcg", lambda *_: square(HUGE))
    assert told().startswith("[selection] epoch 1, validation: out of memory (")


@pytest.mark.parametrize(
    ("graph", "is_named"),
    [
        ({"encoder": "ultragcn", "num_negatives": 1500}, True),
        ({"negatives": "shared", "num_negatives": 1500}, True),
        # every item is compared with, however many are to be drawn
        ({"negatives": "all", "num_negatives": 1500}, False),
        # there is no fewer
        ({"num_negatives": 1}, False),
    ],
)
@pytest.mark.parametrize("phase", ["warm-up", "graph", "joint"])
def test_negatives_are_named_where_fewer_need_less(graph, is_named, phase):
    model = with_values(
        ModelConfig(), {f"graph.{key}": value for key, value in graph.items()}
    )
    if phase == "graph":
        model = with_values(model, {"sequential.encoder": "none"})
    sizes = of_step(model, TrainingConfig(), phase == "warm-up")
    assert ("model.graph.num_negatives" in sizes) == is_named
    assert ("training.batch_size" in sizes) == (phase == "joint")


def test_a_tower_without_a_graph_has_no_negatives():
    values = {"graph.encoder": "none", "graph.num_negatives": 9}
    sizes = of_step(with_values(ModelConfig(), values), TrainingConfig(), False)
    assert "model.graph.num_negatives" not in sizes
