"""A model is pushed once, however its step ends."""

import json

import pytest
from tfx.types import standard_artifacts
from tfx.utils import io_utils

from components.pusher.executor import Executor, standing_version
from serving import version_files
from serving import versions as versions_command


@pytest.fixture
def push(tmp_path, monkeypatch):
    """Pushes a model; every push has a second of its own."""
    clock = iter(range(1000, 2000))
    monkeypatch.setattr("time.time", lambda: next(clock))

    def run(content="a", blessed=1):
        model, blessing, pushed = (
            standard_artifacts.Model(),
            standard_artifacts.ModelBlessing(),
            standard_artifacts.PushedModel(),
        )
        folder = tmp_path / "model" / "Format-Serving"
        (folder / "variables").mkdir(parents=True, exist_ok=True)
        (folder / "saved_model.pb").write_text("graph")
        (folder / "variables" / "data").write_text(content)
        model.uri, pushed.uri = str(tmp_path / "model"), str(tmp_path / "out")
        blessing.set_int_custom_property("blessed", blessed)
        Executor().Do(
            {"model": [model], "model_blessing": [blessing]},
            {"pushed_model": [pushed]},
            {
                "push_destination": json.dumps(
                    {"filesystem": {"base_directory": str(tmp_path / "served")}}
                )
            },
        )
        return pushed

    return run


def versions(tmp_path):
    return sorted(path.name for path in (tmp_path / "served").iterdir())


def test_a_step_tried_again_after_the_copy_pushes_nothing(push, tmp_path):
    first = push()
    again = push()
    (version,) = versions(tmp_path)
    for pushed in (first, again):
        assert pushed.get_int_custom_property("pushed") == 1
        assert pushed.get_string_custom_property("pushed_version") == version
        assert pushed.get_string_custom_property("pushed_destination") == str(
            tmp_path / "served" / version
        )
    assert (tmp_path / "out" / "saved_model.pb").read_text() == "graph"


def test_another_model_is_pushed_and_so_is_the_way_back(push, tmp_path):
    push("a")
    push("b")
    assert len(versions(tmp_path)) == 2
    push("a")
    newest = versions(tmp_path)[-1]
    assert len(versions(tmp_path)) == 3
    data = tmp_path / "served" / newest / "variables" / "data"
    assert data.read_text() == "a"


def test_a_model_rolled_back_to_is_pushed_already(push, tmp_path):
    """Its copy has a mark of its own, which makes it no other model."""
    push("a")
    first, served = versions(tmp_path)[0], str(tmp_path / "served")
    push("b")
    assert versions_command.main(["rollback", served]) == 0
    copy = versions(tmp_path)[-1]
    assert version_files.copied_from(f"{served}/{copy}") == int(first)
    pushed = push("a")
    assert pushed.get_string_custom_property("pushed_version") == copy
    assert len(versions(tmp_path)) == 3


def test_a_rollback_is_not_undone_by_the_model_it_left(push, tmp_path):
    push("a")
    push("b")
    served = str(tmp_path / "served")
    assert versions_command.main(["rollback", served]) == 0
    left = versions(tmp_path)[1]
    pushed = push("b")
    assert pushed.get_string_custom_property("pushed_version") == left
    assert len(versions(tmp_path)) == 3
    push("c")  # a new one is what everybody waits for
    assert len(versions(tmp_path)) == 4


def test_half_a_push_is_no_push(push, tmp_path, monkeypatch):
    """Killed before saved_model.pb: no server and no step takes it."""

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(io_utils, "copy_file", killed)
        with pytest.raises(KeyboardInterrupt):
            push()
    (half,) = versions(tmp_path)
    assert not (tmp_path / "served" / half / "saved_model.pb").exists()
    model = str(tmp_path / "model" / "Format-Serving")
    assert standing_version(model, str(tmp_path / "served")) is None
    pushed = push()
    version = pushed.get_string_custom_property("pushed_version")
    assert version != half
    assert standing_version(model, str(tmp_path / "served")) == version


def test_what_is_not_blessed_is_not_pushed(push, tmp_path):
    assert push(blessed=0).get_int_custom_property("pushed") == 0
    assert not (tmp_path / "served").exists()
    # Nor does it count as pushed where the same model is served already.
    push()
    (version,) = versions(tmp_path)
    assert push(blessed=0).get_int_custom_property("pushed") == 0
    assert versions(tmp_path) == [version]
