"""The devices of Trainer and Tuner, where other machines are named, too."""

import json
from types import SimpleNamespace

import pytest
import tensorflow as tf

from components.trainer import devices
from components.trainer import executor as trainer
from components.trainer.config import TrainerConfig
from components.tuner import executor as tuner
from components.tuner.config import TunerConfig
from models.settings import to_json
from tests.models.fit_helpers import make_period


class Reached(Exception):
    """A step would train now."""


@pytest.fixture
def two_workers(monkeypatch):
    """A launcher has named a second machine; nothing is set up for good."""
    # so that machines that were to meet would fail, not wait
    tf.config.list_logical_devices()
    cluster = {"worker": ["localhost:1", "localhost:2"]}
    task = {"type": "worker", "index": 0}
    monkeypatch.setenv(
        "TF_CONFIG", json.dumps({"cluster": cluster, "task": task})
    )
    monkeypatch.setattr(devices, "start_xla", lambda: None)
    monkeypatch.setattr(
        tf.config.experimental, "enable_op_determinism", lambda: None
    )


@pytest.mark.parametrize("distribution", ["auto", "none"])
def test_a_run_trains_on_one_machine(two_workers, distribution):
    lines = []
    found, shared = devices.set_up_devices(distribution, lines.append)
    assert found == "none"
    assert shared.count == 1 and shared.is_chief
    ignored = [line for line in lines if "TF_CONFIG names 2 workers" in line]
    assert len(ignored) == (distribution == "auto")


def test_one_machine_alone_is_nothing_to_say(two_workers, monkeypatch):
    monkeypatch.delenv("TF_CONFIG")
    lines = []
    assert devices.set_up_devices("auto", lines.append)[0] == "none"
    assert not any("TF_CONFIG" in line for line in lines)


@pytest.mark.parametrize("gpus", [1, 2])
def test_auto_takes_all_gpus_of_the_machine(two_workers, monkeypatch, gpus):
    monkeypatch.setattr(
        tf.config, "list_logical_devices", lambda kind: [kind] * gpus
    )
    found = devices.replicas.on_this_machine("auto")
    assert found == ("none" if gpus == 1 else "mirrored")


@pytest.mark.parametrize("step", [trainer, tuner])
def test_both_steps_train_with_that(two_workers, monkeypatch, tmp_path, step):
    def reached(*arguments, **_):
        config = arguments[1] if step is trainer else arguments[0].training
        assert config.distribution == "none"
        raise Reached

    inputs = SimpleNamespace(period=lambda *_: make_period(8))
    monkeypatch.setattr(step, "read_inputs", lambda *_: inputs)
    name = "select_and_refit" if step is trainer else "Search"
    monkeypatch.setattr(step, name, reached)
    config = TrainerConfig() if step is trainer else TunerConfig()
    artifact = SimpleNamespace(uri=str(tmp_path))
    with pytest.raises(Reached):
        step.Executor().Do(
            {},
            {"model_run": [artifact], "best_hyperparameters": [artifact]},
            {
                "config": to_json(config),
                "checkpoint_root": str(tmp_path),
                "code_fingerprint": "",
            },
        )
