import asyncio
import dataclasses
import os
import sys
import threading

import grpc
import pytest
from google.protobuf import text_format
from tensorflow_serving.apis import (
    get_model_status_pb2,
    model_management_pb2,
    model_pb2,
    model_service_pb2_grpc,
)
from tensorflow_serving.config import model_server_config_pb2

from serving import model_config
from serving.background import NICENESS
from serving.errors import ServingError
from serving.model_config import ModelEntry, VersionPolicy
from serving.model_manager import ModelManager
from serving.model_service import ModelService
from serving.version_manager import VersionManager

STATE = get_model_status_pb2.ModelVersionStatus
NEWEST = VersionPolicy()
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


def _load(name, version, path):
    servable = FakeServable(name, version, path)
    servable.warm_up()
    return servable


@pytest.fixture
def manager(tmp_path, monkeypatch):
    monkeypatch.setattr(FakeServable, "warmed", [])

    def make(policy=NEWEST, load=_load):
        return VersionManager(ModelEntry("create", str(tmp_path), policy), load)

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
        assert versions_.version is None
        with pytest.raises(ServingError, match="Could not find any versions"):
            versions_.statuses(LATEST)
        _write(tmp_path, "3")
        await versions_.poll()
        (tmp_path / "3" / "saved_model.pb").unlink()
        await versions_.poll()
        assert versions_.version == 3

    asyncio.run(scenario())


def test_a_folder_without_versions_is_said_once(manager, tmp_path, caplog):
    """Else a wrong path looks like a server that takes its time."""

    async def scenario():
        versions_ = manager()
        for _ in range(3):
            await versions_.poll()
        (warning,) = caplog.messages
        assert warning == (
            f"create: no numbered version in {tmp_path} (serving: nothing "
            "yet; looking on)"
        )
        _write(tmp_path, "3")
        await versions_.poll()
        (tmp_path / "3" / "saved_model.pb").unlink()
        await versions_.poll()
        assert "3 without saved_model.pb" in caplog.messages[-1]
        assert "(serving: 3; looking on)" in caplog.messages[-1]

    asyncio.run(scenario())


def test_newest_versions_are_kept(manager, tmp_path):
    async def scenario():
        versions_ = manager(VersionPolicy(num_versions=2))
        for version in ("1", "2"):
            _write(tmp_path, version)
        await versions_.poll()
        assert versions_.versions == {1, 2}
        _write(tmp_path, "3", "broken")
        _write(tmp_path, "4")
        await versions_.poll()
        assert versions_.versions == {2, 4}
        assert _states(versions_)[1] == STATE.END
        assert _states(versions_)[3] == STATE.END

    asyncio.run(scenario())


def test_all_versions_and_specific_ones(manager, tmp_path):
    async def scenario():
        for version in ("1", "2", "5"):
            _write(tmp_path, version)
        versions_ = manager(VersionPolicy(num_versions=None))
        await versions_.poll()
        assert versions_.versions == {1, 2, 5}
        specific = VersionPolicy(versions=frozenset({1, 5, 9}))
        versions_.model = dataclasses.replace(versions_.model, policy=specific)
        await versions_.poll()
        assert versions_.versions == {1, 5}
        assert versions_.missing() == ["{name: create version: 9}"]
        absent = VersionPolicy(versions=frozenset({9}))
        versions_.model = dataclasses.replace(versions_.model, policy=absent)
        await versions_.poll()
        assert versions_.versions == {1, 5}  # Rather these than none.

    asyncio.run(scenario())


def _labelled(**labels):
    return model_pb2.ModelSpec(name="create", **labels)


def _asked(models, spec):
    with models.use(spec) as servable:
        return servable.version


def test_labels_and_reload(tmp_path):
    async def scenario():
        for version in ("1", "2"):
            _write(tmp_path, version)
        model = ModelEntry(
            "create",
            str(tmp_path),
            VersionPolicy(num_versions=None),
            {"stable": 1},
        )
        models = ModelManager([model], _load, any_label=False)
        await models.watch(0)
        stable = _labelled(version_label="stable")
        assert _asked(models, stable) == 1
        assert _asked(models, LATEST) == 2
        assert [s.version for s in models.statuses(stable)] == [1]
        for spec in (
            _labelled(version_label="new"),
            model_pb2.ModelSpec(name="x", version_label="stable"),
        ):
            with pytest.raises(ServingError, match="Unrecognized servable"):
                _asked(models, spec)
        await models.reload(
            [dataclasses.replace(model, labels={"stable": 2, "old": 1})]
        )
        assert _asked(models, stable) == 2
        with pytest.raises(ServingError, match="version 7 of model create"):
            await models.reload(
                [dataclasses.replace(model, labels={"stable": 7})]
            )
        assert _asked(models, stable) == 2
        assert _asked(models, _labelled(version_label="old")) == 1

    asyncio.run(scenario())


def test_any_label_may_name_a_version_to_come_but_not_move_there(tmp_path):
    async def scenario():
        _write(tmp_path, "1")
        model = ModelEntry("create", str(tmp_path), labels={"next": 2})
        models = ModelManager([model], _load, any_label=True)
        await models.watch(0)
        with pytest.raises(ServingError, match=r"Specific\(create, 2\)"):
            _asked(models, _labelled(version_label="next"))
        with pytest.raises(ServingError, match="not currently available"):
            await models.reload(
                [dataclasses.replace(model, labels={"next": 3})]
            )

    asyncio.run(scenario())


def test_reload_adds_and_removes_models_or_changes_nothing(tmp_path):
    async def scenario():
        for name in ("a", "b", "empty"):
            (tmp_path / name).mkdir()
        _write(tmp_path / "a", "1")
        _write(tmp_path / "b", "3")
        a, b, empty = (
            ModelEntry(name, str(tmp_path / name))
            for name in ("a", "b", "empty")
        )
        models = ModelManager([a], _load, any_label=False)
        await models.watch(0)
        with pytest.raises(ServingError, match="did not become available"):
            await models.reload([b, empty])
        assert models.versions() == {"a": {1}}
        await models.reload([b])
        assert models.versions() == {"b": {3}}
        with pytest.raises(ServingError, match=r"Latest\(a\)"):
            _asked(models, model_pb2.ModelSpec(name="a"))
        # The same name in another folder.
        moved = dataclasses.replace(b, base_path=str(tmp_path / "a"))
        await models.reload([moved])
        assert models.versions() == {"b": {1}}

    asyncio.run(scenario())


def test_a_server_is_ready_once_all_of_its_models_are(tmp_path):
    """A load balancer asks for the server, not for a model."""

    async def scenario():
        (tmp_path / "a").mkdir()
        (tmp_path / "b").mkdir()
        models = ModelManager(
            [ModelEntry(name, str(tmp_path / name)) for name in ("a", "b")],
            _load,
            any_label=False,
        )
        for name, ready in (("a", False), ("b", True)):
            _write(tmp_path / name, "1")
            await models.watch(0)
            assert models.available.is_set() is ready

    asyncio.run(scenario())


def test_watching_survives_a_folder_that_is_away(tmp_path, caplog):
    async def scenario():
        model = ModelEntry("create", str(tmp_path / "away"))
        models = ModelManager([model], _load, any_label=False)
        task = asyncio.create_task(models.watch(0.01))
        await asyncio.sleep(0.1)
        (warning,) = caplog.messages
        assert f"there is no folder {tmp_path}/away" in warning
        _write(tmp_path, "1")
        (tmp_path / "away").symlink_to(tmp_path)
        await asyncio.wait_for(models.available.wait(), 10)
        task.cancel()

    asyncio.run(scenario())


CONFIG = (
    'model_config_list {{ config {{ name: "{}" base_path: "{}" '
    'model_platform: "tensorflow" model_version_policy {{ all {{}} }} '
    'version_labels {{ key: "stable" value: {} }} }} }}'
)


async def _becomes(condition):
    for _ in range(500):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("not within 5 s")


class _Gate:
    """Loads nothing before it is opened."""

    def __init__(self):
        self.reached, self.opened = threading.Event(), threading.Event()

    def load(self, name, version, path):
        self.reached.set()
        assert self.opened.wait(30)
        return _load(name, version, path)


async def _reload_by_grpc(models, text, gate):
    """Asks as a client does, whose deadline passes while a version loads."""
    request = model_management_pb2.ReloadConfigRequest(
        config=text_format.Parse(
            text, model_server_config_pb2.ModelServerConfig()
        )
    )
    server = grpc.aio.server()
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(
        ModelService(models), server
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(
            f"127.0.0.1:{port}", options=[("grpc.enable_http_proxy", 0)]
        ) as channel:
            stub = model_service_pb2_grpc.ModelServiceStub(channel)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stub.HandleReloadConfigRequest(request, timeout=2)
        assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        assert gate.reached.is_set()
        # For the server to hear of it, too, while the version still loads.
        await asyncio.sleep(0.2)
    finally:
        gate.opened.set()
        await server.stop(None)


def test_a_deadline_does_not_stop_a_reload(tmp_path):
    """TF Serving, whose handlers cannot be cancelled, goes on to the end."""

    async def scenario():
        for name in ("a", "b"):
            (tmp_path / name).mkdir()
            _write(tmp_path / name, "1")
        first = ModelEntry("a", str(tmp_path / "a"))
        models = ModelManager([first], _load, any_label=False)
        await models.watch(0)
        gate = _Gate()
        models._load = gate.load
        text = CONFIG.format("b", tmp_path / "b", 1)
        await _reload_by_grpc(models, text, gate)
        await _becomes(lambda: models.versions() == {"b": {1}})
        stable = model_pb2.ModelSpec(name="b", version_label="stable")
        await _becomes(lambda: models._managers["b"].labels)
        assert _asked(models, stable) == 1

    asyncio.run(scenario())


def test_a_deadline_does_not_leave_half_a_configuration(tmp_path):
    """The policy is taken before the versions load, labels come after that."""

    async def scenario():
        _write(tmp_path, "1")
        first = ModelEntry("create", str(tmp_path), labels={"stable": 1})
        gate = _Gate()
        gate.opened.set()
        models = ModelManager([first], gate.load, any_label=False)
        await models.watch(0)
        gate.opened.clear()
        gate.reached.clear()
        _write(tmp_path, "2")
        text = CONFIG.format("create", tmp_path, 2)
        await _reload_by_grpc(models, text, gate)
        stable = _labelled(version_label="stable")
        await _becomes(lambda: _asked(models, stable) == 2)
        assert models.versions() == {"create": {1, 2}}

    asyncio.run(scenario())


def test_a_reload_that_nobody_waits_for_says_that_it_failed(tmp_path, caplog):
    async def scenario():
        _write(tmp_path, "1")
        model = ModelEntry("create", str(tmp_path))
        models = ModelManager([model], _load, any_label=False)
        await models.watch(0)
        _write(tmp_path, "2")
        gate = _Gate()
        models._managers["create"]._load_now = gate.load
        wanted = dataclasses.replace(model, labels={"stable": 7})
        waiting = asyncio.create_task(models.reload([wanted]))
        await _becomes(gate.reached.is_set)
        waiting.cancel()
        gate.opened.set()
        await _becomes(lambda: "version 7 of model create" in caplog.text)

    asyncio.run(scenario())


def test_the_file_wins_at_its_next_reading(tmp_path):
    """TF Serving reloads it every time, without a look at what it read last."""
    config = tmp_path / "models.config"

    async def scenario():
        for name in ("a", "b"):
            (tmp_path / name).mkdir()
            _write(tmp_path / name, "1")
        config.write_text(CONFIG.format("a", tmp_path / "a", 1))
        (a,) = model_config.read(str(config))
        models = ModelManager([a], _load, any_label=False)
        await models.watch(0)
        await models.reload([ModelEntry("b", str(tmp_path / "b"))])
        assert models.versions() == {"b": {1}}
        task = asyncio.create_task(models.watch_config(str(config), 0.01))
        await _becomes(lambda: models.versions() == {"a": {1}})
        # What failed half way is no reason to leave it so.
        wrong = dataclasses.replace(a, policy=NEWEST, labels={"stable": 7})
        with pytest.raises(ServingError, match="version 7"):
            await models.reload([wrong])
        await _becomes(lambda: models._managers["a"].model == a)
        task.cancel()

    asyncio.run(scenario())


async def _of_file(config, *versions):
    """The versions beside a configuration file, which asks for 1."""
    for version in versions:
        _write(config.parent, version)
    config.write_text(CONFIG.format("create", config.parent, 1))
    models = ModelManager(
        model_config.read(str(config)), _load, any_label=False
    )
    await models.watch(0)
    return models


def test_a_file_that_changed_before_it_was_watched(tmp_path):
    config = tmp_path / "models.config"

    async def scenario():
        models = await _of_file(config, "1", "2")
        config.write_text(CONFIG.format("create", tmp_path, 2))
        task = asyncio.create_task(models.watch_config(str(config), 0.01))
        stable = _labelled(version_label="stable")
        await _becomes(lambda: _asked(models, stable) == 2)
        task.cancel()

    asyncio.run(scenario())


def test_a_file_that_stays_is_not_taken_again(tmp_path, monkeypatch):
    config = tmp_path / "models.config"

    async def scenario():
        models = await _of_file(config, "1")
        reloads = []
        monkeypatch.setattr(models, "reload", reloads.append)
        task = asyncio.create_task(models.watch_config(str(config), 0.01))
        await asyncio.sleep(0.1)
        assert not task.done()
        assert reloads == []
        task.cancel()

    asyncio.run(scenario())


def test_config_file_is_watched(tmp_path):
    config = tmp_path / "models.config"

    async def scenario():
        models = await _of_file(config, "1", "2")
        task = asyncio.create_task(models.watch_config(str(config), 0.01))
        await asyncio.sleep(0.05)
        stable = _labelled(version_label="stable")
        assert _asked(models, stable) == 1
        config.write_text("nonsense")
        await asyncio.sleep(0.05)
        config.write_text(CONFIG.format("create", tmp_path, 2))
        await _becomes(lambda: _asked(models, stable) == 2)
        task.cancel()

    asyncio.run(scenario())


@pytest.mark.skipif(sys.platform != "linux", reason="only on Linux")
def test_later_versions_load_in_a_thread_that_gives_way(manager, tmp_path):
    priorities = []

    def load(name, version, path):
        thread = threading.get_native_id()
        priorities.append(os.getpriority(os.PRIO_PROCESS, thread))
        return _load(name, version, path)

    async def check():
        versions = manager(load=load)
        for version in ("1", "2"):
            _write(tmp_path, version)
            await versions.poll()
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    before = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    assert asyncio.run(check()) == before
    # The first starts TensorFlow's threads, which must not give way.
    assert priorities == [before, max(before, NICENESS)]
