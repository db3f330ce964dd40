import asyncio

import grpc
import pytest
from tensorflow_serving.apis import get_model_status_pb2, model_pb2

from serving import versions
from serving.errors import ServingError

STATE = get_model_status_pb2.ModelVersionStatus
LATEST = model_pb2.ModelSpec(name="create")


class FakeServable:
    """Fails to load where the file says so."""

    warmed: list = []

    def __init__(self, name, version, path):
        with open(f"{path}/saved_model.pb") as file:
            self.content = file.read()
        if self.content == "broken":
            raise ValueError("broken file")
        self.version = version

    def warm_up(self):
        self.warmed.append(self.version)
        if self.content == "cannot answer":
            raise ServingError(grpc.StatusCode.INTERNAL, "failed warm-up")


@pytest.fixture
def manager(tmp_path, monkeypatch):
    monkeypatch.setattr(versions, "Servable", FakeServable)
    monkeypatch.setattr(FakeServable, "warmed", [])

    def make(**arguments):
        return versions.VersionManager("create", str(tmp_path), **arguments)

    return make


def _write(tmp_path, version, content="fine"):
    (tmp_path / version).mkdir(exist_ok=True)
    (tmp_path / version / "saved_model.pb").write_text(content)


def _states(manager):
    return {s.version: s.state for s in manager.statuses(LATEST)}


def test_old_version_stays_until_its_requests_end(manager, tmp_path):
    async def scenario():
        versions_ = manager()
        _write(tmp_path, "1")
        await versions_.poll()
        with versions_.use(LATEST) as first:
            _write(tmp_path, "2")
            await versions_.poll()
            assert first.version == 1
            assert _states(versions_) == {
                1: STATE.UNLOADING,
                2: STATE.AVAILABLE,
            }
            with versions_.use(LATEST) as second:
                assert second.version == 2
        assert _states(versions_) == {1: STATE.END, 2: STATE.AVAILABLE}

    asyncio.run(scenario())
    assert FakeServable.warmed == [1, 2]


@pytest.mark.parametrize("content", ["broken", "cannot answer"])
def test_refused_version_is_tried_again_when_it_changes(
    manager, tmp_path, content
):
    async def scenario():
        versions_ = manager()
        _write(tmp_path, "5")
        _write(tmp_path, "10", content)  # Newest as a number, not as text.
        await versions_.poll()
        assert versions_.version == 5
        assert _states(versions_) == {5: STATE.AVAILABLE, 10: STATE.END}
        attempts = list(FakeServable.warmed)
        await versions_.poll()
        assert FakeServable.warmed == attempts
        _write(tmp_path, "10", "repaired")
        await versions_.poll()
        assert versions_.version == 10

    asyncio.run(scenario())


def test_empty_folder_keeps_what_is_served(manager, tmp_path):
    async def scenario():
        versions_ = manager()
        await versions_.poll()
        assert not versions_.available.is_set()
        with pytest.raises(ServingError, match="Could not find any versions"):
            versions_.statuses(LATEST)
        _write(tmp_path, "3")
        await versions_.poll()
        (tmp_path / "3" / "saved_model.pb").unlink()
        await versions_.poll()
        assert versions_.version == 3

    asyncio.run(scenario())


def test_warm_up_can_be_left_out(manager, tmp_path):
    async def scenario():
        _write(tmp_path, "1", "cannot answer")
        versions_ = manager(warm_up=False)
        await versions_.poll()
        assert versions_.version == 1

    asyncio.run(scenario())
    assert FakeServable.warmed == []


def test_watching_survives_a_folder_that_is_away(manager, tmp_path):
    async def scenario():
        versions_ = manager()
        versions_.base_path = str(tmp_path / "away")
        task = asyncio.create_task(versions_.watch(0.01))
        await asyncio.sleep(0.1)
        _write(tmp_path, "1")
        (tmp_path / "away").symlink_to(tmp_path)
        await asyncio.wait_for(versions_.available.wait(), 10)
        task.cancel()

    asyncio.run(scenario())
