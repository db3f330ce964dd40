"""What a fit leaves behind in the process."""

import contextlib
import dataclasses
import gc

import pytest
import tensorflow as tf
from tensorflow.python.framework.func_graph import FuncGraph

from models.fitting.fit import fit, graph_steps
from models.fitting.schedule import Schedule
from models.tuning.gradient_registry import forgotten_gradients
from tests.models.fit_helpers import MODEL, SHORT, make_period


def graphs_with_tables():
    """Ids of the traced graphs alive that hold a variable of some model."""
    gc.collect()
    return {
        id(graph)
        for graph in gc.get_objects()
        if isinstance(graph, FuncGraph)
        and any(outer.dtype == tf.resource for outer, _ in graph.captures)
    }


@pytest.mark.parametrize(
    ("context", "kept"),
    [(forgotten_gradients, False), (contextlib.nullcontext, True)],
)
def test_a_search_does_not_keep_the_tables_of_its_trials(context, kept):
    training = dataclasses.replace(SHORT, warmup_epochs=1, max_epochs=1)
    period = make_period(8)
    schedule = Schedule.of_selection(
        MODEL, training, graph_steps(MODEL, period)
    )
    before = graphs_with_tables()
    with context():
        fit("trial", MODEL, training, period, schedule, report=print)
    assert bool(graphs_with_tables() - before) == kept
