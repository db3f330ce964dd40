"""Fits that a device has no memory for, refused by TensorFlow itself."""

import dataclasses
import re

import pytest
import tensorflow as tf

from models.fitting.compiled_epoch import CompiledEpoch
from models.fitting.memory import OutOfMemoryError
from models.fitting.validation import Validator
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
        lower = (
            "`model.graph.batch_size` (32) or `model.graph.num_negatives` (1)"
        )
    else:
        lower = (
            "`training.batch_size` (40) or `model.sequential.max_length` (6)"
        )
    assert message.endswith(f"). Lower {lower} or `model.embedding_dim` (8).")


def test_a_validation_that_does_not_fit_is_told_from_the_step(monkeypatch):
    monkeypatch.setattr(Validator, "ndcg", lambda *_: square(HUGE))
    assert told().startswith("[selection] epoch 1, validation: out of memory (")
