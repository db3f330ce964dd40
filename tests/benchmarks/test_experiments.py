"""Studies: which runs, what is skipped, tables by hand."""

import dataclasses
import json
import threading

import pyarrow
import pyarrow.parquet
import pytest

from benchmarks.accuracy import run_pipeline, settings_of
from benchmarks.experiments import __main__ as command
from benchmarks.experiments import execution, paired, results, study
from models.metrics.ranking import UNRANKED
from models.settings import value_at
from pipeline.config import load_config

STUDY = """\
title: Weights
datasets: {Shop: pipeline/configs/demo.yaml}
models: {CREATE: {training.warmup_epochs: 1}}
vary: {setting: model.alignment_weight, values: [0.0, 0.5], label: weight}
seeds: [0, 3]
metrics: [ndcg_at_10]
paper: {Shop: {"0.5": {ndcg_at_10: 2.25}}}
source: nowhere
reading: It rises.
"""


@pytest.fixture
def made_up(tmp_path, monkeypatch):
    """A study whose NDCG@10 is the weight plus a hundredth of the seed."""
    (tmp_path / "weights.yaml").write_text(STUDY)
    ran = []

    def execute(run, slot):
        config = load_config(run.config_file, run.overrides)
        ran.append(run)
        value = config.model.alignment_weight + config.training.seed / 100
        return {
            "config": settings_of(config),
            "metrics": {
                "ndcg_at_10": value,
                "intervals": {"ndcg_at_10": [value - 0.1, value + 0.1]},
            },
        }

    monkeypatch.setattr(command, "execute", execute)
    monkeypatch.setattr(
        command, "load_study", lambda name: study.load_study(name, tmp_path)
    )
    monkeypatch.setattr(results, "RESULTS", tmp_path / "results")
    return tmp_path, ran


def test_every_published_study_names_real_settings(monkeypatch):
    monkeypatch.setenv("CREATE_DATA_ROOT", "/nowhere")
    for path in study.STUDIES.glob("*.yaml"):
        config = study.load_study(path.stem)
        found = list(study.runs(config))
        assert len({run.file_name for run in found}) == len(found)
        for run in found:
            loaded = load_config(run.config_file, run.overrides)
            sound = path.stem.split("_")[-1] == "sound"
            assert loaded.profile == ("sound" if sound else "paper")
            assert loaded.training.seed == run.seed
            if config.vary:
                value = value_at(loaded, config.vary.setting)
                assert str(value) == run.row
        for dataset, rows in config.paper.items():
            known = {run.row for run in found if run.dataset == dataset}
            assert set(rows) <= known


def test_runs_that_are_there_are_skipped(made_up):
    folder, ran = made_up
    assert command.main(["weights", "--seeds", "3"]) == 0
    assert [(run.row, run.seed) for run in ran] == [("0.0", 3), ("0.5", 3)]
    command.main(["weights"])
    assert [(run.row, run.seed) for run in ran[2:]] == [("0.0", 0), ("0.5", 0)]
    command.main(["weights"])
    assert len(ran) == 4
    # other settings are another run
    text = STUDY.replace("warmup_epochs: 1", "warmup_epochs: 2")
    (folder / "weights.yaml").write_text(text)
    command.main(["weights"])
    assert len(ran) == 8


def test_runs_of_other_studies_are_taken_over(made_up, capsys):
    """One of the other study's rows has this one's settings, in other words."""
    folder, ran = made_up
    (folder / "other.yaml").write_text(
        "title: Other\n"
        "datasets: {Store: pipeline/configs/demo.yaml}\n"
        "models:\n"
        "  half: {training.warmup_epochs: 1, model.alignment_weight: 0.5}\n"
        "  longer: {training.warmup_epochs: 2, model.alignment_weight: 0.5}\n"
        "seeds: [3]\n"
        "metrics: [ndcg_at_10]\n"
    )
    command.main(["other"])
    ran.clear()
    command.main(["weights"])
    assert ("0.5", 3) not in [(run.row, run.seed) for run in ran]
    assert len(ran) == 3
    assert "Shop, 0.5, seed 3: from other" in capsys.readouterr().out
    taken = results.RESULTS / "weights" / "shop-0.5-3.json"
    assert json.loads(taken.read_text())["metrics"]["ndcg_at_10"] == 0.53
    ran.clear()
    command.main(["weights"])
    assert not ran


def test_a_study_goes_on_after_a_kill(made_up, monkeypatch):
    _, ran = made_up
    execute = command.execute

    def killed(run, slot):
        if len(ran) == 3:
            raise KeyboardInterrupt
        return execute(run, slot)

    monkeypatch.setattr(command, "execute", killed)
    with pytest.raises(KeyboardInterrupt):
        command.main(["weights"])
    monkeypatch.setattr(command, "execute", execute)
    command.main(["weights"])
    assert len(ran) == 4
    assert len({run.file_name for run in ran}) == 4


def test_the_page_by_hand(made_up):
    folder, _ = made_up
    command.main(["weights"])
    page = (folder / "results" / "weights.md").read_text()
    # (0.5 + 0.53) / 2 and their standard deviation; interval of seed 0
    assert "| 0.5 | 2 | 51.50 ± 2.12 [40.00, 60.00] |" in page
    assert "| *0.5, paper* |  | *2.25* |" in page
    assert "python -m benchmarks.experiments weights" in page
    assert "It rises." in page
    svg = (folder / "results" / "weights.svg").read_text()
    assert "paper" in svg
    assert "ours" in svg


def test_settings_of_a_dataset_and_means_by_hand(made_up, monkeypatch):
    folder, ran = made_up
    (folder / "dates.yaml").write_text(
        """\
title: Dates
datasets:
  now: pipeline/configs/demo.yaml
  then:
    config: pipeline/configs/demo.yaml
    logs.keep.until: "2020-01-01"
    model.alignment_weight: 0.1
models: {A: {model.alignment_weight: 0.4}, B: {model.alignment_weight: 0.2}}
seeds: [0, 2]
metrics: [ndcg_at_10]
mean: true
"""
    )
    command.main(["dates", "--seeds", "0"])
    command.main(["dates", "--datasets", "then"])
    configs = [load_config(run.config_file, run.overrides) for run in ran]
    assert [c.logs.keep.until for c in configs] == [
        None,
        None,
        "2020-01-01",
        "2020-01-01",
        "2020-01-01",
        "2020-01-01",
    ]
    # settings of the model win
    assert configs[2].model.alignment_weight == 0.4
    page = (folder / "results" / "dates.md").read_text()
    # of `now` .4, of `then` the mean of .4 and .42
    assert "| A | 3 | 40.50 |" in page
    assert "| B | 3 | 20.50 |" in page


def test_no_mean_of_half_the_datasets(made_up):
    folder, _ = made_up
    text = STUDY.replace("datasets: {Shop:", "datasets: {Two: x.yaml, Shop:")
    text = text.replace("vary:", "mean: true\n#").replace("paper:", "#")
    (folder / "weights.yaml").write_text(text)
    command.main(["weights", "--datasets", "Shop"])
    page = (folder / "results" / "weights.md").read_text()
    assert "| CREATE | 2 |" in page
    assert page.count("| CREATE |") == 2  # of the two datasets, and no mean


def test_a_dataset_without_a_configuration_is_refused(made_up, capsys):
    folder, _ = made_up
    text = STUDY.replace("{Shop: pipeline/configs/demo.yaml}", "{Shop: {a: 1}}")
    (folder / "weights.yaml").write_text(text)
    assert command.main(["weights"]) == 1
    assert "`datasets.Shop` must be a configuration" in capsys.readouterr().err


def test_a_table_of_what_there_is(made_up):
    folder, ran = made_up
    command.main(["weights", "--table"])
    assert not ran
    page = (folder / "results" / "weights.md").read_text()
    assert "| 0.0 | 0 | – |" in page


def test_an_unknown_study_and_an_unknown_key_are_refused(made_up, capsys):
    folder, _ = made_up
    assert command.main(["wieghts"]) == 1
    assert "There are: weights" in capsys.readouterr().err
    (folder / "weights.yaml").write_text(STUDY.replace("seeds", "seed"))
    assert command.main(["weights"]) == 1
    assert "Did you mean `seeds`" in capsys.readouterr().err


def test_one_model_where_a_setting_varies():
    config = study.StudyConfig(
        title="",
        datasets={},
        models={"a": {}},
        vary=study.Vary("model.alignment_weight", (0.1,), "weight"),
    )
    with pytest.raises(ValueError, match="must be one"):
        dataclasses.replace(config, models={"a": {}, "b": {}})


def test_results_are_small_files(made_up):
    folder, _ = made_up
    command.main(["weights", "--seeds", "0", "--rows", "0.5"])
    assert len(list((folder / "results" / "weights").iterdir())) == 1
    command.main(["weights", "--seeds", "0"])
    files = sorted((folder / "results" / "weights").iterdir())
    assert [file.name for file in files] == [
        "shop-0.0-0.json",
        "shop-0.5-0.json",
    ]
    content = json.loads(files[0].read_text())
    assert "path" not in content["config"]["logs"]


def test_side_by_side_every_run_has_room_of_its_own(made_up, monkeypatch):
    folder, ran = made_up
    execute, together = command.execute, threading.Barrier(2, timeout=30)
    used = []

    def meeting(run, slot):
        together.wait()
        used.append(slot.overrides)
        result = execute(run, slot)
        together.wait()
        return result

    monkeypatch.setattr(command, "execute", meeting)
    command.main(["weights", "--jobs", "2"])
    assert len(ran) == 4
    assert used[0] != used[1]
    assert set(used) == {slot.overrides for slot in execution.slots(2)}
    assert len(list((folder / "results" / "weights").iterdir())) == 4


def test_a_failure_keeps_what_ran_beside_it(made_up, monkeypatch):
    folder, _ = made_up
    execute, together = command.execute, threading.Barrier(2, timeout=30)
    begun = []

    def one_fails(run, slot):
        begun.append(run)
        together.wait()
        if run.row == "0.0":
            raise RuntimeError("no room")
        return execute(run, slot)

    monkeypatch.setattr(command, "execute", one_fails)
    with pytest.raises(RuntimeError, match="no room"):
        command.main(["weights", "--jobs", "2"])
    assert len(begun) == 2
    assert len(list((folder / "results" / "weights").iterdir())) == 1


def test_a_pipeline_that_fails_names_its_log(tmp_path):
    log = tmp_path / "run.log"
    with pytest.raises(RuntimeError, match="run.log") as raised:
        run_pipeline("nowhere.yaml", [], threads=1, log=log)
    assert "nowhere.yaml" in str(raised.value)
    assert "nowhere.yaml" in log.read_text()


def test_paired_differences_by_hand(tmp_path):
    """Five users; ranks 1, 3, none, 2 and 20 against 2, none, none, 2, 1."""

    def kept(text):
        return {"ranking": {"users": 5, "targets": "t", "ranks": text}}

    own = {0: kept("0:1 1:3 3:2 4:20"), 7: kept("0:1")}
    rival = {0: kept("0:2 3:2 4:1"), 1: kept("0:1")}
    seeds, found = paired.compare(
        own, rival, ["ndcg_at_10", "recall_at_10", "coverage_at_10"]
    )
    assert seeds == [0]
    # gains 1, .5, 0, .6309, 0 less .6309, 0, 0, .6309, 1
    mean, low, high = found["ndcg_at_10"]
    assert mean == pytest.approx((1 - 0.63093 + 0.5 - 1) / 5, abs=1e-5)
    assert low < mean < high
    # hits 1, 1, 0, 1, 0 less 1, 0, 0, 1, 1
    assert found["recall_at_10"][0] == pytest.approx(0.0)
    assert set(found) == {"ndcg_at_10", "recall_at_10"}
    rival[0]["ranking"]["targets"] = "other"
    with pytest.raises(ValueError, match="different targets"):
        paired.compare(own, rival, ["ndcg_at_10"])


def test_ranks_are_kept_small_and_come_back(tmp_path):
    columns = {
        "user_id": ["c", "a", "b", "a"],
        "target_rule": ["last"] * 3 + ["first"],
        "seen_items": ["kept"] * 4,
        "target_item": ["x", "y", "z", "x"],
        "rank": pyarrow.array([7, None, 100, 1], pyarrow.int32()),
    }
    pyarrow.parquet.write_table(
        pyarrow.table(columns), tmp_path / "part-0.parquet"
    )
    found = paired.read_ranks(tmp_path, "last", "kept")
    assert found["ranks"] == "1:100 2:7"
    assert paired.ranks(found).tolist() == [UNRANKED, 100, 7]
    # another target of one user is another hash
    columns["target_item"][0] = "w"
    pyarrow.parquet.write_table(
        pyarrow.table(columns), tmp_path / "part-0.parquet"
    )
    other = paired.read_ranks(tmp_path, "last", "kept")
    assert other["targets"] != found["targets"]


def test_both_ways_with_seen_items(made_up, monkeypatch):
    folder, _ = made_up
    execute = command.execute

    def both(run, slot):
        other = {"seen_items": "filtered", "metrics": {"ndcg_at_10": 0.75}}
        if run.seed or run.row == "0.0":
            return execute(run, slot)
        return {**execute(run, slot), "other_seen": other}

    monkeypatch.setattr(command, "execute", both)
    command.main(["weights"])
    page = (folder / "results" / "weights.md").read_text()
    main, second = page.split("The same runs with seen items filtered:")
    assert "| 0.5 | 2 | 51.50 ± 2.12" in main
    # Only what was measured so: one row and seed, and the paper's value again.
    assert "| 0.0 |" in main and "| 0.0 |" not in second
    assert "| 0.5 | 1 | 75.00 |\n| *0.5, paper* |  | *2.25* |" in second


def test_the_page_compares_with_a_row(made_up, monkeypatch):
    folder, _ = made_up
    (folder / "pairs.yaml").write_text(
        STUDY.replace("vary:", 'paired_with: "0.0"\nvary:')
    )
    execute = command.execute

    def ranked(run, slot):
        better = run.row == "0.5"
        ranking = {
            "users": 2,
            "targets": "t",
            "ranks": "0:1 1:2" if better else "0:1",
        }
        return {**execute(run, slot), "ranking": ranking}

    monkeypatch.setattr(command, "execute", ranked)
    command.main(["pairs"])
    page = (folder / "results" / "pairs.md").read_text()
    # of one of two users 1 / log2(3); a draw has it never to twice
    assert "| 0.5 | 2 | +31.55 [+0.00, +63.09] |" in page
    wrong = STUDY.replace("vary:", "paired_with: SASRec\nvary:")
    (folder / "pairs.yaml").write_text(wrong)
    assert command.main(["pairs"]) == 1
