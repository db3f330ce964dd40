"""One step by hand: clipping, Adam, rates, weight decay, moments."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from models.create import Create
from models.fitting.compiled_epoch import CompiledEpoch
from models.fitting.parameter_groups import ParameterGroup, clipped, dense
from tests.models import fit_helpers as helpers
from tests.models.fit_helpers import NUM_ITEMS, SHORT, small_model


def _compiled(**changes):
    period = helpers.make_period()
    model = small_model(alignment="barlow_twins")
    created = Create(model, NUM_ITEMS, period.adjacency, 0)
    training = dataclasses.replace(SHORT, **changes)
    return CompiledEpoch(created, training, period.sequences)


def test_a_gradient_is_shortened_as_a_whole_by_hand():
    gradients = [tf.constant([3.0, 0.0]), tf.constant([[4.0]])]
    short, norm = clipped(gradients, clip_norm=2.5)
    assert float(norm) == pytest.approx(5.0)
    np.testing.assert_allclose(short[0], [1.5, 0.0])
    np.testing.assert_allclose(short[1], [[2.0]])
    whole, norm = clipped(gradients, clip_norm=6.0)
    assert float(norm) == pytest.approx(5.0)
    np.testing.assert_allclose(whole[1], [[4.0]])


def test_rows_named_twice_are_one_gradient():
    """3 + 1 in the same row is 4 long, not the root of 10."""
    table = tf.Variable(tf.zeros([5, 1]))
    with tf.GradientTape() as tape:
        rows = tf.gather(table, [2, 2])
        loss = tf.reduce_sum(rows * [[3.0], [1.0]])
    gradient = tape.gradient(loss, table)
    assert isinstance(gradient, tf.IndexedSlices)
    short, norm = clipped(dense([gradient]), clip_norm=2.0)
    assert float(norm) == pytest.approx(4.0)
    np.testing.assert_allclose(short[0][2], [2.0])


def test_clipping_takes_tables_and_tower_together(monkeypatch, eager):
    """What Adam gets has the length of the limit over all groups."""
    given = []

    def apply(self, gradients, rate, weight_decay):
        given.append((self.name, [g.numpy() for g in gradients]))

    monkeypatch.setattr(ParameterGroup, "apply", apply)
    free = _compiled(clip_norm=1e9).run(1, False, max_steps=1)
    whole = [g for _, gradients in given for g in gradients]
    names = [name for name, _ in given]
    assert names == ["item_table", "user_table", "sequential_tower"]
    length = np.sqrt(sum(np.square(g).sum() for g in whole))
    assert free.gradient_norm == pytest.approx(length, rel=1e-5)
    assert free.clipped_share == 0.0

    given.clear()
    limit = length / 3
    short = _compiled(clip_norm=float(limit)).run(1, False, max_steps=1)
    parts = [g for _, gradients in given for g in gradients]
    for before, after in zip(whole, parts, strict=True):
        np.testing.assert_allclose(after, before / 3, rtol=1e-4, atol=1e-8)
    assert short.gradient_norm == pytest.approx(length, rel=1e-5)
    assert short.clipped_share == 1.0


def test_means_of_an_epoch_are_over_its_steps(monkeypatch, eager):
    """With the parameters standing still, an epoch is the mean of its steps."""
    monkeypatch.setattr(ParameterGroup, "apply", lambda *arguments: None)
    compiled = _compiled(batch_size=20)
    one, two, three = (compiled.run(1, False, max_steps=n) for n in (1, 2, 3))
    assert (one.steps, two.steps, three.steps) == (1, 2, 3)
    lengths = [
        one.gradient_norm,
        2 * two.gradient_norm - one.gradient_norm,
        3 * three.gradient_norm - 2 * two.gradient_norm,
    ]
    compiled.config = dataclasses.replace(
        compiled.config, clip_norm=float(np.median(lengths)) * 0.999
    )
    # two of three are longer
    again = compiled.run(1, False)
    assert again.clipped_share == pytest.approx(2 / 3)
    assert again.losses == three.losses


def test_adam_with_a_rate_and_weight_decay_by_hand():
    variable = tf.Variable([2.0, -1.0])
    group = ParameterGroup("item_table", [variable])
    assert group.num_parameters == 2
    value = np.array([2.0, -1.0])
    first, second = np.zeros(2), np.zeros(2)
    for step, rate in enumerate([0.1, 0.02], start=1):
        gradient = np.array([0.5, -3.0]) * step
        group.apply([tf.constant(gradient, tf.float32)], tf.constant(rate), 0.1)
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient**2
        value = value - rate * 0.1 * value
        value = value - rate * (first / (1 - 0.9**step)) / (
            np.sqrt(second / (1 - 0.999**step)) + 1e-8
        )
        np.testing.assert_allclose(variable, value, rtol=1e-5)


def test_moments_that_start_anew_forget_all_steps():
    def moved(forget):
        variable = tf.Variable([1.0])
        group = ParameterGroup("user_table", [variable])
        for _ in range(3):
            group.apply([tf.constant([5.0])], tf.constant(0.1), 0.0)
        if forget:
            group.restart_moments()
            assert int(group.optimizer.iterations) == 0
        before = float(variable[0])
        group.apply([tf.constant([-1e-3])], tf.constant(0.1), 0.0)
        return float(variable[0]) - before

    # a first step of Adam is one rate long, against the gradient
    assert moved(True) == pytest.approx(0.1, rel=1e-3)
    # with its moments it still goes the way of the steps before
    assert moved(False) < 0


@pytest.mark.parametrize("restart", [True, False])
def test_the_switch_restarts_the_tables_moments_where_asked(
    eager, restart, monkeypatch
):
    restarts = []
    own = CompiledEpoch.restart_table_moments

    def restarted(compiled):
        own(compiled)
        restarts.append([int(g.optimizer.iterations) for g in compiled.groups])

    monkeypatch.setattr(CompiledEpoch, "restart_table_moments", restarted)
    training = dataclasses.replace(
        SHORT, restart_table_moments=restart, max_epochs=1
    )
    lines = []
    result, _ = helpers.both_fits(small_model(), training, lines.append)
    moments = "starts anew" if restart else "goes on"
    assert [line for line in lines if line.endswith(moments)]
    assert len(result.epochs) == 3
    # in selection and refit, of both tables; the tower has not begun
    assert restarts == ([[0, 0, 0]] * 2 if restart else [])


def test_each_group_moves_by_its_own_rate(eager):
    """Adam's first step moves every number by its rate, where it learns."""
    compiled = _compiled(
        learning_rate=0.001,
        item_learning_rate=0.002,
        graph_learning_rate=0.004,
        clip_norm=1e9,
    )
    before = [[v.numpy() for v in g.trained] for g in compiled.groups]
    result = compiled.run(1, False, max_steps=1)
    largest = [
        max(
            np.abs(v.numpy() - old).max()
            for v, old in zip(group.trained, values, strict=True)
        )
        for group, values in zip(compiled.groups, before, strict=True)
    ]
    np.testing.assert_allclose(largest, [0.002, 0.004, 0.001], rtol=1e-3)
    assert list(result.rates.values()) == pytest.approx([0.002, 0.004, 0.001])


def test_the_warm_up_has_a_rate_and_a_length_of_its_own(eager):
    compiled = _compiled(warmup_learning_rate=0.03)
    result = compiled.run(1, True, max_steps=2)
    assert result.steps == 2
    assert result.rates == pytest.approx(
        {"item_table": 0.03, "user_table": 0.03}
    )
