"""The comparison with other libraries, without them: a stand-in peer."""

import json
import subprocess
import sys
import types

import numpy as np
import pandas as pd
import pytest

from benchmarks.peers import __main__ as command
from benchmarks.peers import machine, scaling
from benchmarks.peers.arithmetic import encoder_flops, softmax_flops
from benchmarks.peers.interactions import cut, generate, read_interactions
from benchmarks.peers.process import PeerEpochs, PeerError
from benchmarks.peers.settings import Settings

SETTINGS = Settings(newest=3, embedding_dim=4, batch_size=2, threads=1)

# Counts what it is given and answers as a peer does; `turns` lies beside it.
STAND_IN = """
import json, sys
import numpy as np
import turns

turns.begin()
file, settings, epochs = sys.argv[1:]
with np.load(file) as arrays:
    users, items = arrays["users"], arrays["items"]
print("chatter of the peer")
turns.answer(
    sizes={
        "users": len(set(users.tolist())),
        "items": len(set(items.tolist())) + EXTRA,
        "events": len(users),
    },
    newest=json.loads(settings)["newest"],
)
for epoch in range(int(epochs)):
    turns.begin_epoch()
    if epoch == FAILS_AT:
        raise ValueError("the peer broke here")
    turns.end_epoch(lambda: epoch + 0.5)
"""


@pytest.fixture
def stand_in(tmp_path):
    def write(fails_at=-1, extra=0):
        (tmp_path / "turns.py").write_text(
            (command._FOLDER / "turns.py").read_text()
        )
        script = tmp_path / "stand_in.py"
        script.write_text(
            STAND_IN.replace("FAILS_AT", str(fails_at)).replace(
                "EXTRA", str(extra)
            )
        )
        return script

    return write


@pytest.fixture
def interactions():
    return cut(
        np.array(["a", "b", "a", "b", "a", "c"]),
        np.array([7, 7, 8, 9, 9, 7]),
        np.arange(6),
        end=5,
        newest=3,
    )


def test_cut_by_hand():
    # 20 has one event up to the cut, 30 has four: the newest three stay
    found = cut(
        np.array([30, 10, 30, 20, 10, 30, 30, 20]),
        np.array([5, 6, 7, 5, 5, 8, 9, 6]),
        np.array([1, 2, 3, 4, 5, 6, 6, 7]),
        end=6,
        newest=3,
    )
    assert found.users.tolist() == [0, 0, 1, 1, 1]
    assert found.items.tolist() == [1, 0, 2, 3, 4]
    assert found.sizes() == {
        "users": 2,
        "items": 5,
        "events": 5,
        "positions": 3,
        "edges": 5,
    }


def test_cut_is_pandas_on_a_random_log(tmp_path):
    generator = np.random.default_rng(3)
    log = pd.DataFrame(
        {
            "user_id": generator.integers(0, 40, 600),
            "item_id": generator.integers(0, 50, 600),
            "rating": 1,
            "timestamp": generator.integers(0, 90, 600),
        }
    )
    (tmp_path / "made-up").mkdir()
    log.to_csv(tmp_path / "made-up" / "interactions.csv.gz", index=False)
    found = read_interactions(tmp_path, "made-up", newest=4)
    early = log[log.timestamp <= log.timestamp.quantile(0.8)]
    early = early.groupby("user_id").filter(lambda rows: len(rows) >= 2)
    expected = (
        early.sort_values(["user_id", "timestamp"], kind="stable")
        .groupby("user_id")
        .tail(4)
    )
    np.testing.assert_array_equal(
        found.users, pd.factorize(expected.user_id, sort=True)[0]
    )
    np.testing.assert_array_equal(
        found.items, pd.factorize(expected.item_id, sort=True)[0]
    )


def test_nobody_with_two_events_is_said():
    with pytest.raises(ValueError, match="No user has two events up to 3"):
        cut(np.arange(3), np.arange(3), np.arange(3), end=3, newest=5)


def test_missing_file_and_column_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="data-root.*folder beauty"):
        read_interactions(tmp_path, "beauty", newest=5)
    (tmp_path / "beauty").mkdir()
    pd.DataFrame({"user_id": [1], "item": [1], "timestamp": [1]}).to_csv(
        tmp_path / "beauty" / "interactions.csv.gz", index=False
    )
    with pytest.raises(ValueError, match="no column item_id, found user_id"):
        read_interactions(tmp_path, "beauty", newest=5)


def test_generated_data_grow_as_asked():
    small, large = generate(500, 40, 10), generate(2000, 40, 10)
    assert small.lengths.min() >= 2 and small.lengths.max() <= 10
    assert 3.8 < len(large.users) / len(small.users) < 4.2
    more_items = generate(500, 160, 10)
    assert len(more_items.users) == len(small.users)
    assert more_items.num_items == 160


def test_epochs_come_back_one_by_one(stand_in, interactions):
    with PeerEpochs(
        sys.executable, stand_in(), interactions, SETTINGS, 2
    ) as peer:
        assert peer.about["newest"] == 3
        assert peer.about["sizes"] == {"users": 2, "items": 3, "events": 5}
        assert [peer.run().loss, peer.run().loss] == [0.5, 1.5]


def test_failure_of_the_peer_is_shown_with_the_fix(stand_in, interactions):
    with PeerEpochs(
        sys.executable, stand_in(fails_at=1), interactions, SETTINGS, 2
    ) as peer:
        peer.run()
        with pytest.raises(PeerError) as raised:
            peer.run()
    message = str(raised.value)
    assert "stand_in.py ended with code 1" in message
    assert "ValueError: the peer broke here" in message
    assert "chatter of the peer" in message
    assert "pip install -r benchmarks/peers/requirements.txt" in message


def test_peer_with_other_data_is_refused(stand_in, interactions):
    with pytest.raises(PeerError, match="'items': 3.*found.*'items': 4"):
        PeerEpochs(sys.executable, stand_in(extra=1), interactions, SETTINGS, 1)


def test_missing_python_is_said_with_the_fix(stand_in, interactions):
    with pytest.raises(PeerError, match="Cannot start .*nowhere(.|\n)*venv"):
        PeerEpochs("./nowhere", stand_in(), interactions, SETTINGS, 1)


def test_flops_by_hand():
    # 5 positions, 7 items, d 2: [5, 2] x [2, 7] and two such products back
    assert softmax_flops(5, 7, 2) == 3 * (2 * 5 * 2 * 7)
    # sequences of 1 and 3 inputs, d 2, one block; six [n, 2] x [2, 2] and
    # two products of n x n pairs with 2 numbers
    dense = 6 * (2 * 1 * 2 * 2) + 6 * (2 * 3 * 2 * 2)
    attention = 2 * (2 * 1 * 1 * 2) + 2 * (2 * 3 * 3 * 2)
    assert encoder_flops(np.array([1, 3]), 2, 1) == 3 * (dense + attention)
    assert encoder_flops(np.array([1, 3]), 2, 2) == 6 * (dense + attention)


def test_slope_is_the_exponent():
    sizes = [100, 200, 400]
    seconds = [3 * size**1.5 for size in sizes]
    assert scaling.slope(sizes, seconds) == pytest.approx(1.5)


def test_whole_command_with_a_stand_in(stand_in, tmp_path, monkeypatch, capsys):
    generator = np.random.default_rng(0)
    (tmp_path / "small").mkdir()
    pd.DataFrame(
        {
            "user_id": generator.integers(0, 8, 60),
            "item_id": generator.integers(0, 9, 60),
            "timestamp": np.arange(60),
        }
    ).to_csv(tmp_path / "small" / "interactions.csv.gz", index=False)
    script = stand_in()
    monkeypatch.setattr(
        command, "SCRIPTS", dict.fromkeys(command.SCRIPTS, script)
    )
    # devices are set once per process; other tests may have used them
    monkeypatch.setattr(command.ours, "use_cpu", lambda threads: None)
    monkeypatch.setattr(command.ours, "matmul_gflops", lambda: 50.0)
    output = tmp_path / "result.json"
    arguments = ["--data-root", str(tmp_path), "--dataset", "small"]
    arguments += ["--peer-python", sys.executable, "--newest", "5"]
    arguments += ["--epochs", "1", "--output", str(output)]
    assert command.main(arguments) == 0
    result = json.loads(output.read_text())
    assert json.loads(capsys.readouterr().out) == result
    for model in ("sasrec", "lightgcn"):
        sides = result[model]
        assert [len(sides[s]["epochs"]) for s in ("ours", "stand_in")] == [2, 2]
        assert sides["ratio"] == pytest.approx(
            sides["stand_in"]["seconds"] / sides["ours"]["seconds"]
        )
    rate = result["sasrec"]["arithmetic"]
    assert rate["share_of_matmul"] == pytest.approx(rate["gflops"] / 50.0)
    assert command.main([*arguments, "--peer-python", "./nowhere"]) == 1
    assert "PEERS/bin/pip install" in capsys.readouterr().err


def test_other_load_by_hand(monkeypatch):
    clock = types.SimpleNamespace(
        perf_counter=iter([0.0, 4.0]).__next__,
        process_time=iter([1.0, 3.0]).__next__,
    )
    monkeypatch.setattr(machine, "time", clock)
    monkeypatch.setattr(machine, "busy_seconds", iter([100.0, 108.0]).__next__)
    # 8 busy seconds, 2 of ours and 4 of the peer's, in 4 seconds
    assert machine.OtherLoad().cores(of_peer=4.0) == 0.5


def test_busy_seconds_see_the_work_of_any_process():
    before = machine.busy_seconds()
    spin = "import time\nwhile time.process_time() < 0.5: pass"
    subprocess.run([sys.executable, "-c", spin], check=True)
    assert machine.busy_seconds() - before > 0.4
