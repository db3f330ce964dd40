"""Order and lengths of the phases, weights and rates, without training."""

import math

import numpy as np
import pytest

from models.config import (
    GraphTowerConfig,
    ModelConfig,
    SequentialConfig,
    TrainingConfig,
    WeightSchedule,
)
from models.config.weights import weight_at
from models.fitting.rates import rates_of_epoch
from models.fitting.schedule import Schedule

# a sequential and a graph tower
BOTH = ModelConfig()


def train(schedule, validation=(), graph=(), steps=4):
    """Records of a whole fit with these validations by epoch, from 1."""
    epochs = []
    while epoch := schedule.next_epoch(epochs):
        done = min(steps, epoch.max_steps or steps)
        number = epoch.number
        epochs.append(
            {
                "epoch": number,
                "phase": epoch.phase,
                "steps": done,
                "validation_ndcg_at_10": _at(validation, number),
                "graph_validation_ndcg_at_10": _at(graph, number),
            }
        )
        assert schedule.last_epoch(epochs) >= number
    assert schedule.last_epoch(epochs[:-1]) >= len(epochs)
    return epochs


def _at(values, number):
    return values[number - 1] if number <= len(values) else None


def phases(epochs):
    return "".join(record["phase"][0] for record in epochs)


def test_warmup_epochs_do_not_count_for_the_best_epoch_or_patience():
    schedule = Schedule(warmup_epochs=5, main_epochs=95, patience=3)
    falling = [0.9, 0.8, 0.7, 0.6, 0.5, 0.1, 0.1, 0.05, 0.02]
    epochs = train(schedule, falling)
    assert phases(epochs) == "wwwww" + "jjjj"
    assert schedule.best_epoch(epochs) == 6


def test_without_a_better_validation_in_the_way_all_epochs_are_trained():
    schedule = Schedule(2, 6, patience=3)
    assert phases(train(schedule, [0.1 * n for n in range(9)])) == "wwjjjjjj"
    assert phases(train(Schedule(2, 6, patience=None))) == "wwjjjjjj"


def test_the_first_of_equal_validations_is_best():
    schedule = Schedule(0, 3, 5)
    assert schedule.best_epoch(train(schedule, [0.2, 0.3, 0.3])) == 2


def test_one_tower_alone_has_one_phase():
    config = TrainingConfig(max_epochs=3)
    graph = ModelConfig(sequential=SequentialConfig(encoder="none"))
    assert phases(train(Schedule.of_selection(graph, config))) == "ggg"
    sequential = ModelConfig(graph=GraphTowerConfig(encoder="none"))
    assert phases(train(Schedule.of_selection(sequential, config))) == "jjj"
    config = TrainingConfig(max_epochs=3, warmup_epochs=2)
    assert phases(train(Schedule.of_selection(BOTH, config))) == "wwjjj"


def test_warm_up_by_steps_ends_within_a_pass_over_the_edges():
    config = TrainingConfig(warmup_epochs=0, warmup_steps=10, max_epochs=2)
    schedule = Schedule.of_selection(BOTH, config, graph_steps=4)
    epochs = train(schedule, [0.0, 0.0, 0.0, 0.1, 0.2], steps=4)
    assert [record["steps"] for record in epochs] == [4, 4, 2, 4, 4]
    assert phases(epochs) == "wwwjj"
    # the refit's graph is larger: as many steps are fewer passes
    refit = schedule.of_refit(config, epochs, graph_steps=7)
    epochs = train(refit, steps=7)
    assert [record["steps"] for record in epochs] == [7, 3, 7, 7]
    assert phases(epochs) == "wwjj"


def test_warm_up_by_steps_may_end_with_a_pass():
    config = TrainingConfig(warmup_epochs=0, warmup_steps=8, max_epochs=1)
    schedule = Schedule.of_selection(BOTH, config, graph_steps=4)
    assert [r["steps"] for r in train(schedule)] == [4, 4, 4]
    with pytest.raises(ValueError, match="graph with edges"):
        Schedule.of_selection(BOTH, config)


def test_warm_up_by_patience_ends_when_the_graph_stops_improving():
    config = TrainingConfig(warmup_epochs=9, warmup_patience=2, max_epochs=3)
    schedule = Schedule.of_selection(BOTH, config)
    graph = [0.1, 0.3, 0.3, 0.2]
    # the validation of the model itself, which falls, decides nothing here
    epochs = train(schedule, [0.9, 0.8, 0.7, 0.6, 0.1, 0.2, 0.1], graph)
    assert phases(epochs) == "wwwwjjj"
    assert schedule.best_epoch(epochs) == 6
    # repeated up to the last warm-up epoch: its weights were trained on
    refit = schedule.of_refit(config, epochs, graph_steps=0)
    assert phases(train(refit)) == "wwwwjj"


def test_warm_up_by_patience_has_a_longest_length():
    config = TrainingConfig(warmup_epochs=3, warmup_patience=2, max_epochs=1)
    schedule = Schedule.of_selection(BOTH, config)
    assert phases(train(schedule, graph=[0.1, 0.2, 0.3, 0.4])) == "wwwj"


def test_a_refit_needs_a_validated_epoch():
    schedule = Schedule(1, 1, 1)
    with pytest.raises(ValueError, match="without a validated epoch"):
        schedule.of_refit(TrainingConfig(), train(schedule), 0)


@pytest.mark.parametrize(
    ("shape", "middle"),
    [("linear", 0.75), ("cosine", 1 - 0.5 * (1 - math.cos(math.pi / 4)) / 2)],
)
def test_a_weight_goes_from_start_to_end(shape, middle):
    weight = WeightSchedule(1.0, 0.5, epochs=4, shape=shape)
    # half of the way of the line, a quarter of the wave
    quarter = weight.at(2) if shape == "cosine" else weight.at(3)
    assert quarter == pytest.approx(middle)
    assert weight.at(0) == weight.at(1) == 1.0
    assert weight.at(5) == weight.at(100) == 0.5
    values = [weight.at(epoch) for epoch in range(1, 6)]
    assert values == sorted(values, reverse=True)


def test_a_number_is_a_weight_that_stays():
    assert [weight_at(0.3, epoch) for epoch in (0, 1, 50)] == [0.3] * 3


def test_every_group_has_its_rate():
    plain = TrainingConfig(learning_rate=0.5)
    assert (rates_of_epoch(plain, False, 1, 2) == 0.5).all()
    own = TrainingConfig(
        learning_rate=0.5, item_learning_rate=0.25, graph_learning_rate=2.0
    )
    assert rates_of_epoch(own, False, 1, 1).tolist() == [[0.25, 2.0, 0.5]]
    assert rates_of_epoch(own, True, 1, 1).tolist() == [[0.25, 2.0, 0.5]]
    warm = TrainingConfig(
        learning_rate=0.5, item_learning_rate=0.25, warmup_learning_rate=4.0
    )
    assert rates_of_epoch(warm, True, 1, 1)[0, :2].tolist() == [4.0, 4.0]
    assert rates_of_epoch(warm, False, 1, 1).tolist() == [[0.25, 0.5, 0.5]]


def test_rates_rise_over_the_first_steps_of_a_phase():
    config = TrainingConfig(learning_rate=1.0, learning_rate_warmup_steps=4)
    for warmup in (True, False):
        rates = [rates_of_epoch(config, warmup, n, 3)[:, 0] for n in (1, 2, 3)]
        np.testing.assert_allclose(
            np.concatenate(rates), [0.25, 0.5, 0.75, 1, 1, 1, 1, 1, 1]
        )


@pytest.mark.parametrize(
    ("decay", "factor"),
    [
        ("linear", lambda t: 1 - t),
        ("cosine", lambda t: math.cos(math.pi * t / 2) ** 2),
    ],
)
def test_rates_fall_over_max_epochs_and_not_in_the_warm_up(decay, factor):
    config = TrainingConfig(
        learning_rate=2.0, learning_rate_decay=decay, max_epochs=5
    )
    rates = np.concatenate(
        [rates_of_epoch(config, False, n, 10)[:, 2] for n in range(1, 6)]
    )
    expected = [2 * factor(step / 50) for step in range(50)]
    np.testing.assert_allclose(rates, expected, rtol=1e-6)
    assert (rates_of_epoch(config, True, 4, 10) == 2.0).all()
    # other steps per epoch, as a refit has them: the same at its start
    np.testing.assert_allclose(
        rates_of_epoch(config, False, 3, 17)[0], rates[20], rtol=1e-6
    )
