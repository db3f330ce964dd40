"""The search for settings, on a made-up validation and on a real fit."""

import dataclasses

import numpy as np
import optuna
import pytest

from models.fitting.divergence import TrainingDivergedError
from models.fitting.memory import OutOfMemoryError
from models.fitting.schedule import JOINT, NDCG, WARMUP
from models.settings import SettingsError, value_at, with_values
from models.tuning.config import (
    ParameterConfig,
    PrunerConfig,
    Settings,
    StageConfig,
    TuningConfig,
)
from models.tuning.study import Search
from models.tuning.trials import COMPLETE, FAILED, PRUNED
from models.tuning.watch import suggest
from tests.models.fit_helpers import MODEL, SHORT, make_period, no_queries

DROPOUT, RATE = "model.sequential.dropout", "training.learning_rate"
WARMUPS = "training.warmup_epochs"
SPACE = {
    DROPOUT: ParameterConfig(low=0.0, high=0.9, step=0.1),
    WARMUPS: ParameterConfig(choices=(0, 2, 5)),
}
STAGE = StageConfig("first", trials=12, space=SPACE)
BASE = Settings(MODEL, dataclasses.replace(SHORT, warmup_epochs=2))


def _value(settings):
    """Best at a dropout of 0.6, whatever else."""
    return 0.5 - (settings.model.sequential.dropout - 0.6) ** 2


class MadeUp(Search):
    """Trains nothing: the validation rises to a function of the settings."""

    def __init__(self, directory, *stages, value=_value, base=BASE, **config):
        self.fits, self.lines, self.value = [], [], value
        self.stop_at = None
        super().__init__(
            base,
            TuningConfig(stages=stages, **{"startup_trials": 4, **config}),
            make_period(8),
            str(directory),
            self.lines.append,
        )

    def _fit(self, name, settings, folder, after_epoch):
        self.fits.append((name, settings))
        if len(self.fits) == self.stop_at:
            raise KeyboardInterrupt
        for epoch in range(1, 7):
            warmup = epoch <= settings.training.warmup_epochs
            after_epoch(
                {
                    "epoch": epoch,
                    "phase": WARMUP if warmup else JOINT,
                    # higher in the warm-up, where no epoch can be chosen
                    NDCG: 9.0 if warmup else self.value(settings) * epoch / 6,
                    "seconds": 2.0,
                }
            )


def test_it_finds_what_is_best_and_what_matters(tmp_path):
    best, (result,) = MadeUp(
        tmp_path, dataclasses.replace(STAGE, trials=25), pruner=None
    ).run()
    assert abs(best[DROPOUT] - 0.6) < 0.11
    assert result.best.value == max(t.value for t in result.trials)
    assert result.best.value == pytest.approx(0.5 - (best[DROPOUT] - 0.6) ** 2)
    assert result.importances[DROPOUT] > 5 * result.importances[WARMUPS]
    assert sum(result.importances.values()) == pytest.approx(1.0)


def test_the_configuration_itself_is_the_first_trial(tmp_path):
    search = MadeUp(tmp_path, STAGE)
    _, (result,) = search.run()
    assert result.trials[0].parameters == {DROPOUT: 0.1, WARMUPS: 2}
    assert [t.number for t in result.trials] == list(range(1, 13))
    assert result.trials[0].epochs == 6
    assert result.trials[0].seconds == 12.0
    # epoch 6 of 6, two of them warm-up
    assert result.trials[0].best_epoch == 6


def test_a_configuration_outside_the_space_is_said(tmp_path):
    space = {DROPOUT: ParameterConfig(low=0.3, high=0.9)}
    search = MadeUp(tmp_path, StageConfig("first", 2, space))
    search.run()
    assert "model.sequential.dropout (0.1) outside" in search.lines[0]


def test_a_configuration_that_only_the_trials_make_possible(tmp_path):
    """UltraGCN has no `all`, which is what the configuration says."""
    base = with_values(BASE, {"model.graph.negatives": "all"})
    key = "model.graph.negatives"
    stage = StageConfig(
        "ultragcn",
        4,
        {key: ParameterConfig(choices=("per_edge", "shared"))},
        settings={"model.graph.encoder": "ultragcn"},
    )
    search = MadeUp(tmp_path, stage, base=base)
    best, (result,) = search.run()
    assert best[key] in ("per_edge", "shared")
    assert {trial.state for trial in result.trials} == {COMPLETE}
    assert search.lines[0].startswith(
        "[ultragcn] the configuration as it stands is not tried first: "
    )
    assert "`negatives` all is of the encoder lightgcn" in search.lines[0]
    # said once, not whenever the search goes on
    more = MadeUp(tmp_path, dataclasses.replace(stage, trials=5), base=base)
    more.run()
    assert not any("not tried first" in line for line in more.lines)


def test_a_part_of_a_schedule_where_a_number_has_won(tmp_path):
    schedule = {"start": 0.5, "end": 0.1, "epochs": 3}
    number = ParameterConfig(choices=(0.1, 0.2))
    stages = (
        StageConfig("number", 1, {"model.global_weight": number}),
        StageConfig("start", 1, {"model.global_weight.start": number}),
    )
    base = with_values(BASE, {"model.global_weight": schedule})
    search = MadeUp(tmp_path, *stages, base=base)
    with pytest.raises(
        ValueError, match="'start'.*`model.global_weight` is no"
    ):
        search.run()
    assert any("no `model.global_weight.start`" in e for e in search.lines)


HEADS, DIM = "model.sequential.num_heads", "model.embedding_dim"
NINE = StageConfig(
    "heads", 1, {HEADS: ParameterConfig(choices=(3,))}, settings={DIM: 9}
)
RATES = StageConfig(
    "rates", 2, {RATE: ParameterConfig(low=0.001, high=0.1, log=True)}
)


def test_a_winner_that_excludes_the_configuration_is_told(tmp_path):
    """Three heads for the width of its own stage, not for that of MODEL."""
    search = MadeUp(tmp_path, NINE, RATES)
    with pytest.raises(ValueError) as error:
        search.run()
    for words in (
        "tuning stage 'rates'",
        "`embedding_dim` 8 must be a multiple of `sequential.num_heads` 3",
        f"stages before ({HEADS} 3)",
        "what the trials needed in `settings` of their stage belongs into",
    ):
        assert words in str(error.value)
    assert len(search.fits) == 1


def test_a_winner_that_the_next_stages_values_go_with(tmp_path):
    width = StageConfig("width", 4, {DIM: ParameterConfig(choices=(8, 9, 12))})
    search = MadeUp(tmp_path, NINE, width)
    best, _ = search.run()
    assert best[DIM] in (9, 12) and best[HEADS] == 3
    said = [line for line in search.lines if "not tried first" in line]
    # the one head of the configuration lies outside the first stage's space
    assert "(1) outside" in said[0] and said[1].startswith("[width]")
    assert "must be a multiple" in said[1]


def test_a_killed_search_ends_as_one_that_was_not(tmp_path):
    whole = MadeUp(tmp_path / "whole", STAGE)
    _, (expected,) = whole.run()
    for stop_at in (1, 4, 3):
        killed = MadeUp(tmp_path / "killed", STAGE)
        killed.stop_at = stop_at
        with pytest.raises(KeyboardInterrupt):
            killed.run()
    last = MadeUp(tmp_path / "killed", STAGE)
    _, (found,) = last.run()
    assert found == expected
    # the trials that had ended were not trained again
    assert len(last.fits) == 12 - 0 - 3 - 2


def test_a_search_kept_in_a_store_goes_on(tmp_path):
    """TensorFlow's file system in memory stands in for gs:// and s3://."""
    _, (expected,) = MadeUp(tmp_path, STAGE).run()
    killed = MadeUp("ram://searches/one", STAGE)
    killed.stop_at = 4
    with pytest.raises(KeyboardInterrupt):
        killed.run()
    last = MadeUp("ram://searches/one", STAGE)
    _, (found,) = last.run()
    assert found == expected
    assert len(last.fits) == 12 - 3


def test_more_trials_continue_the_search(tmp_path):
    MadeUp(tmp_path, STAGE).run()
    more = MadeUp(tmp_path, dataclasses.replace(STAGE, trials=15))
    _, (result,) = more.run()
    assert len(more.fits) == 3
    assert len(result.trials) == 15


def test_a_stage_has_the_winners_of_those_before(tmp_path):
    second = StageConfig(
        "second", 3, {RATE: ParameterConfig(low=0.001, high=0.1, log=True)}
    )
    alone = dataclasses.replace(
        STAGE,
        settings={
            "model.graph.encoder": "none",
            "model.alignment.kind": "none",
        },
        space={DROPOUT: SPACE[DROPOUT]},
    )
    search = MadeUp(tmp_path, alone, second)
    best, (first, _) = search.run()
    assert set(best) == {DROPOUT, RATE}
    for name, settings in search.fits:
        is_first = name.startswith("first")
        assert settings.model.has_graph != is_first
        if not is_first:
            assert settings.model.sequential.dropout == best[DROPOUT]
    assert best[DROPOUT] == first.best.parameters[DROPOUT]


def test_hopeless_trials_stop_early(tmp_path):
    pruner = PrunerConfig(epochs=2, trials=3)
    _, (result,) = MadeUp(
        tmp_path, dataclasses.replace(STAGE, trials=20), pruner=pruner
    ).run()
    pruned = [t for t in result.trials if t.state == PRUNED]
    assert min(trial.epochs for trial in pruned) < 6
    whole = [t.value for t in result.trials if t.state == COMPLETE]
    for trial in pruned:
        # not before two validated epochs, and never the best
        assert trial.epochs >= 2
        assert trial.value < max(whole)


def test_late_epochs_are_not_judged_by_the_few_that_got_there(tmp_path):
    """Two of eight trials train for 12 epochs, the better one first."""

    class Lengths(MadeUp):
        def _fit(self, name, settings, folder, after_epoch):
            number = len(self.fits)
            self.fits.append((name, settings))
            final = {2: 0.9, 6: 0.5}.get(number, 0.1)
            for epoch in range(1, 13 if number in (2, 6) else 7):
                after_epoch(
                    {
                        "epoch": epoch,
                        "phase": JOINT,
                        NDCG: final * epoch / 12,
                        "seconds": 2.0,
                    }
                )

    stage = dataclasses.replace(STAGE, trials=8)

    def states(folder, least):
        pruner = PrunerConfig(epochs=2, trials=least)
        _, (result,) = Lengths(tmp_path / folder, stage, pruner=pruner).run()
        return [trial.state for trial in result.trials]

    assert states("three", 3) == [COMPLETE] * 8
    # one that got as far is enough only where one was asked for
    assert states("one", 1)[6] == PRUNED


def test_values_that_exclude_each_other_are_told_and_passed_by(tmp_path):
    """A dimension of 8 has no 3 heads."""
    space = {"model.sequential.num_heads": ParameterConfig(choices=(1, 2, 3))}
    search = MadeUp(tmp_path, StageConfig("heads", 8, space))
    _, (result,) = search.run()
    failed = [t for t in result.trials if t.state == FAILED]
    assert failed and len(failed) < 8
    for trial in failed:
        assert trial.parameters["model.sequential.num_heads"] == 3
        assert trial.value is None
        assert "heads" in trial.reason
    assert any("failed" in line for line in search.lines)


def test_a_loss_that_is_lost_late_is_never_the_best(tmp_path):
    """However good the validations before it were."""

    def value(settings):
        if settings.model.sequential.dropout > 0.35:
            raise TrainingDivergedError("the loss is lost")
        return 0.1

    class LostLate(MadeUp):
        def _fit(self, name, settings, folder, after_epoch):
            record = {"epoch": 1, "phase": JOINT, NDCG: 0.8, "seconds": 1.0}
            if settings.model.sequential.dropout > 0.35:
                after_epoch(record)
            super()._fit(name, settings, folder, after_epoch)

    best, (result,) = LostLate(tmp_path, STAGE, value=value).run()
    assert best[DROPOUT] < 0.35
    assert result.best.value == pytest.approx(0.1)
    lost = [t for t in result.trials if t.parameters[DROPOUT] > 0.35]
    assert {(trial.state, trial.value) for trial in lost} == {(FAILED, None)}
    assert min(trial.epochs for trial in lost) >= 1


def test_a_trial_that_does_not_fit_into_memory_is_passed_by(tmp_path):
    def value(settings):
        if settings.model.sequential.dropout > 0.35:
            raise OutOfMemoryError("out of memory")
        return 0.1 + settings.model.sequential.dropout

    search = MadeUp(tmp_path, STAGE, value=value)
    best, (result,) = search.run()
    assert best[DROPOUT] < 0.35
    assert len(result.trials) == STAGE.trials
    large = [t for t in result.trials if t.parameters[DROPOUT] > 0.35]
    assert large and {t.state for t in large} == {FAILED}
    assert {t.reason for t in large} == {"out of memory"}
    assert any("failed: out of memory" in line for line in search.lines)


def test_a_stages_settings_win_over_the_winners_before(tmp_path):
    second = StageConfig(
        "second",
        2,
        {RATE: ParameterConfig(low=0.001, high=0.1, log=True)},
        settings={DROPOUT: 0.9},
    )
    search = MadeUp(tmp_path, STAGE, second)
    best, _ = search.run()
    tried = [s for name, s in search.fits if name.startswith("second")]
    assert [s.model.sequential.dropout for s in tried] == [0.9, 0.9]
    # They hold for the trials of their stage only.
    assert best[DROPOUT] != 0.9


def test_another_space_is_another_search(tmp_path):
    first = MadeUp(tmp_path, STAGE)
    first.run()
    narrow = {**SPACE, DROPOUT: ParameterConfig(low=0.0, high=0.2, step=0.1)}
    search = MadeUp(tmp_path, dataclasses.replace(STAGE, space=narrow))
    _, (result,) = search.run()
    assert len(search.fits) == STAGE.trials
    assert all(trial.parameters[DROPOUT] <= 0.2 for trial in result.trials)


def test_trials_at_random_are_those_of_the_seed_and_no_more(tmp_path):
    """After the configuration itself: whatever their values, the same."""

    def tried(folder, value, **config):
        search = MadeUp(tmp_path / folder, STAGE, value=value, **config)
        _, (result,) = search.run()
        return [trial.parameters for trial in result.trials]

    one = tried("one", _value)
    other = tried("other", lambda settings: 1 - _value(settings))
    assert one[:5] == other[:5]
    assert one != other
    assert len({str(values) for values in one[:5]}) > 2
    assert tried("seed", _value, seed=1)[1:5] != one[1:5]


FINE = StageConfig("fine", 12, {DROPOUT: ParameterConfig(low=0.05, high=0.95)})
# the configuration's 0.1 lies outside
HIGH = StageConfig("high", 12, {DROPOUT: ParameterConfig(low=0.2, high=0.95)})


def _tried(folder, stage, value=_value, kind=MadeUp, **config):
    search = kind(folder, stage, value=value, pruner=None, **config)
    _, (result,) = search.run()
    return [trial.parameters for trial in result.trials]


def test_trials_that_fail_are_among_those_at_random(tmp_path):
    ended = []

    def first_five_fail(settings):
        ended.append(settings)
        # a trial that fails does so in its first epoch after the warm-up
        if len(ended) <= 5:
            raise TrainingDivergedError("the loss is lost")
        return _value(settings)

    random = _tried(tmp_path / "random", FINE, startup_trials=99)
    found = _tried(tmp_path / "found", FINE, first_five_fail)
    # the configuration and four at random
    assert found[:5] == random[:5]
    assert not any(values in random for values in found[5:])


def test_no_trial_takes_the_place_of_a_configuration_outside(tmp_path):
    random = _tried(tmp_path / "random", HIGH, startup_trials=99)
    found = _tried(tmp_path / "found", HIGH)
    assert found[:4] == random[:4]
    assert not any(values in random for values in found[4:])
    # also in a search that goes on
    killed = MadeUp(tmp_path / "killed", HIGH, pruner=None)
    killed.stop_at = 3
    with pytest.raises(KeyboardInterrupt):
        killed.run()
    assert _tried(tmp_path / "killed", HIGH) == found


def test_a_seed_whose_trials_all_trained_suggests_what_it_did(tmp_path):
    """As by a number of startup trials that stays the same."""

    class Before(MadeUp):
        def _sampler(self, done, *_):
            return optuna.samplers.TPESampler(
                seed=self._config.seed * 100_000 + done, n_startup_trials=5
            )

    for stage in (FINE, STAGE):
        kept = _tried(tmp_path / f"kept {stage.name}", stage, kind=Before)
        assert _tried(tmp_path / f"found {stage.name}", stage) == kept


@pytest.mark.parametrize(
    ("key", "choices", "bad", "message"),
    [
        ("model.global_weight", (0.0, 0.5), 0.0, "above 0 in the warm-up"),
        (
            "model.graph.encoder",
            ("lightgcn", "ultragcn"),
            "ultragcn",
            "`graph.item_neighbors` is null",
        ),
    ],
)
def test_what_a_configuration_may_not_say_no_trial_may(
    tmp_path, key, choices, bad, message
):
    """Values that are right alone, and wrong beside the others."""
    space = {key: ParameterConfig(choices=choices)}
    search = MadeUp(tmp_path, StageConfig("together", 8, space))
    search._period.adjacency.neighbors = None
    best, (result,) = search.run()
    assert best != {key: bad}
    failed = [t for t in result.trials if t.state == FAILED]
    assert failed and len(failed) < 8
    for trial in failed:
        assert trial.parameters[key] == bad
        assert message in trial.reason


def test_a_search_without_a_trained_trial_stops(tmp_path):
    def lost(settings):
        raise TrainingDivergedError("the loss is lost")

    with pytest.raises(ValueError, match="No trial.*'first'.*is lost$"):
        MadeUp(tmp_path, STAGE, value=lost).run()
    # nor are the winners before it to blame
    two = MadeUp(tmp_path / "two", STAGE, RATES)
    two.value = lambda settings: (
        lost(settings) if len(two.fits) > STAGE.trials else _value(settings)
    )
    with pytest.raises(ValueError, match="No trial.*'rates'.*is lost$"):
        two.run()


def test_a_search_without_a_validation_user_does_not_start(tmp_path):
    for queries in (None, no_queries()):
        period = dataclasses.replace(make_period(8), queries=queries)
        with pytest.raises(ValueError, match="No validation user is left"):
            Search(BASE, TuningConfig(), period, str(tmp_path / "search"))
    assert not list(tmp_path.iterdir())


def test_real_fits(tmp_path, eager):
    """Two trials train; the first repeats what the configuration gives."""
    lines = []
    stage = StageConfig(
        "real", 2, {DROPOUT: ParameterConfig(low=0.0, high=0.5)}
    )
    search = Search(
        BASE,
        TuningConfig(stages=(stage,)),
        make_period(20),
        str(tmp_path),
        lines.append,
    )
    best, (result,) = search.run()
    assert set(best) == {DROPOUT}
    assert result.trials[0].parameters[DROPOUT] == 0.1
    assert all(0 < t.value <= 1 for t in result.trials)
    # no checkpoint stays behind
    assert [p.name for p in tmp_path.iterdir()] == ["study.journal"]
    assert sum("[tuner] real" in line for line in lines) == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"space": {}}, "`space` is empty"),
        ({"trials": 0}, "trials"),
        ({"space": {"split.quantile": SPACE[DROPOUT]}}, "cannot be tuned"),
        ({"space": {"training.seed": SPACE[WARMUPS]}}, "luck"),
        ({"settings": {DROPOUT: 0.2}}, "in `space` and in `settings`"),
        (
            {"settings": {"model.sequential": {"num_blocks": 1}}},
            "is a group of settings.*e.g. `model.sequential.num_blocks`",
        ),
        (
            {"settings": {"model.sequential": {"max_length": 50}}},
            "`model.sequential` is a group",
        ),
        (
            {"settings": {"model.graph": {"encoder": "lightgcn"}}},
            "e.g. `model.graph.encoder`",
        ),
        (
            {"settings": {"model.graph.ultragcn": {}}},
            "e.g. `model.graph.ultragcn.w1`",
        ),
        (
            {"space": {"model.alignment": ParameterConfig(choices=(None,))}},
            "e.g. `model.alignment.kind`",
        ),
        (
            {
                "space": {"model.global_weight": SPACE[DROPOUT]},
                "settings": {"model.global_weight.start": 0.2},
            },
            r"in `settings` \(as `model.global_weight.start`\)",
        ),
        (
            {
                "space": {"model.global_weight.start": SPACE[DROPOUT]},
                "settings": {"model.global_weight": 0.2},
            },
            r"in `settings` \(as `model.global_weight`\)",
        ),
    ],
)
def test_wrong_stages_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(STAGE, **change)


@pytest.mark.parametrize(
    "key", ["model.global_weight", "model.alignment_weight"]
)
def test_a_schedule_of_a_stage_is_one_setting(tmp_path, key):
    schedule = {"start": 0.5, "end": 0.1, "epochs": 3}
    space = {f"{key}.end": ParameterConfig(choices=(0.2, 0.3))}
    stage = StageConfig("schedule", 2, space, settings={key: schedule})
    search = MadeUp(tmp_path, stage)
    search.run()
    for _, settings in search.fits:
        assert value_at(settings, key).start == 0.5
        assert value_at(settings, key).end in (0.2, 0.3)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "needs `choices`"),
        ({"low": 1}, "needs `choices`"),
        ({"low": 2, "high": 1}, "below"),
        ({"low": 0.0, "high": 1.0, "log": True}, "above 0"),
        ({"low": 1, "high": 2, "log": True, "step": 1}, "exclude"),
        ({"low": 1, "high": 2, "step": 0}, "above 0"),
        ({"choices": (1,), "low": 1}, "give one"),
        ({"choices": ((1, 2),)}, "numbers, words"),
    ],
)
def test_wrong_parameters_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        ParameterConfig(**values)


def test_what_a_parameter_holds():
    step = ParameterConfig(low=0.1, high=0.7, step=0.2)
    assert [v for v in (0.1, 0.2, 0.3, 0.5, 0.7, 0.9) if step.holds(v)] == [
        0.1,
        0.3,
        0.5,
        0.7,
    ]
    whole = ParameterConfig(low=1, high=4)
    assert whole.holds(4) and not whole.holds(2.5) and not whole.holds(True)
    assert ParameterConfig(choices=(None, "a")).holds(None)


def test_a_step_that_is_a_fraction_makes_no_whole_numbers():
    """From 0 to 1 in tenths: neither two values nor an error of Optuna."""
    tenths = ParameterConfig(low=0, high=1, step=0.1)
    assert tenths.holds(0.3) and not tenths.holds(0.35)
    study = optuna.create_study(
        sampler=optuna.samplers.TPESampler(seed=0, n_startup_trials=99)
    )
    found = {suggest(study.ask(), "x", tenths) for _ in range(60)}
    np.testing.assert_allclose(sorted(found), np.arange(11) / 10, atol=1e-9)
    halves = ParameterConfig(low=1, high=4, step=1.5)
    assert {suggest(study.ask(), "y", halves) for _ in range(30)} == {
        1.0,
        2.5,
        4.0,
    }


@pytest.mark.parametrize("seed", [-1, 42_950])
def test_seeds_that_optuna_does_not_take(seed):
    with pytest.raises(ValueError, match=rf"`seed`.*\[0, 42949\].*{seed}"):
        TuningConfig(stages=(STAGE,), seed=seed)
    TuningConfig(seed=seed)  # nothing is searched
    with pytest.raises(ValueError, match="between 0 and 2"):
        _first_seed(seed)


def test_the_last_seed_that_optuna_takes():
    TuningConfig(stages=(STAGE,), seed=42_949)
    _first_seed(42_949)


def _first_seed(seed):
    """What Optuna does with the seed of a search's first trial."""
    return optuna.samplers.TPESampler(seed=seed * 100_000)


def test_two_stages_of_one_name_are_refused():
    with pytest.raises(ValueError, match="called 'first'"):
        TuningConfig(stages=(STAGE, STAGE))


def test_settings_by_dotted_name():
    changed = with_values(BASE, {DROPOUT: 0.3, RATE: 0.5})
    assert value_at(changed, DROPOUT) == 0.3
    assert value_at(changed, RATE) == 0.5
    assert (
        dataclasses.replace(changed.model.sequential, dropout=0.1)
        == BASE.model.sequential
    )
    with pytest.raises(SettingsError, match="mean `model.sequential`"):
        with_values(BASE, {"model.sequental.dropout": 0.3})
    with pytest.raises(SettingsError, match="mean `dropout`"):
        with_values(BASE, {"model.sequential.dropot": 0.3})
    with pytest.raises(SettingsError, match="no group"):
        with_values(BASE, {"training.seed.x": 0.3})
