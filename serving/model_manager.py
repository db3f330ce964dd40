"""The models of one server: which there are, and who answers a request."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterable, Iterator, Sequence

import grpc
from tensorflow_serving.apis import get_model_status_pb2, model_pb2

from serving.config_error import ConfigError
from serving.errors import ServingError, invalid, not_found
from serving.model_config import ModelEntry, read
from serving.servables import Servable
from serving.version_manager import Loader, VersionManager


class ModelManager:
    """Models by name, looked after by one loop and replaced by configuration.

    Args:
        models: what to serve at first; nothing is loaded yet.
        load: makes a version ready to answer (see `VersionManager`).
        any_label: whether labels may name versions that are not available
            (--allow_version_labels_for_unavailable_models).
    """

    def __init__(
        self, models: Sequence[ModelEntry], load: Loader, any_label: bool
    ) -> None:
        # Set once every model has a version that answers.
        self.available = asyncio.Event()
        self._load = load
        self._any_label = any_label
        self._lock = asyncio.Lock()
        # The configuration that is in force; None while, or since, one could
        # be taken in part only.
        self._applied: list[ModelEntry] | None = list(models)
        # The event loop itself holds no task.
        self._reloads: set[asyncio.Task[None]] = set()
        self._managers = {m.name: VersionManager(m, load) for m in models}

    def versions(self) -> dict[str, set[int]]:
        """The versions that answer now, by model."""
        return {name: m.versions for name, m in self._managers.items()}

    @contextlib.contextmanager
    def use(self, spec: model_pb2.ModelSpec) -> Iterator[Servable]:
        """The version to answer a request, held until the block ends.

        Raises:
            ServingError: no name, model, version or label like that.
        """
        with self._manager(spec).use(spec) as servable:
            yield servable

    def statuses(
        self, spec: model_pb2.ModelSpec
    ) -> list[get_model_status_pb2.ModelVersionStatus]:
        """States of the versions of a model, newest first.

        Raises:
            ServingError: no name, model, version or label like that.
        """
        if not spec.name:
            raise invalid("Missing ModelSpec")
        if spec.name not in self._managers:
            raise not_found(f"Could not find any versions of model {spec.name}")
        return self._managers[spec.name].statuses(spec)

    async def watch(self, interval: float) -> None:
        """Looks for versions every `interval` seconds; once if not above 0."""
        while True:
            async with self._lock:
                await self._poll(self._managers.values())
                with contextlib.suppress(ServingError):
                    # A label of the first configuration whose version is not
                    # there yet is set by a later look.
                    self._set_labels()
            if interval <= 0:
                return
            await asyncio.sleep(interval)

    async def watch_config(self, path: str, interval: float) -> None:
        """Reads the configuration again every `interval` seconds.

        As in TF Serving the file has the last word: what `reload` has made of
        the models meanwhile lasts until the next look.
        """
        while interval > 0:
            await asyncio.sleep(interval)
            try:
                models = await asyncio.to_thread(read, path)
                if models != self._applied:
                    await self.reload(models)
            except (ConfigError, ServingError) as error:
                logging.error("%s is not taken: %s", path, error)

    async def reload(self, models: Sequence[ModelEntry]) -> None:
        """Serves these models instead, without a pause for those that stay.

        A caller that is cancelled, as a call of gRPC is at its deadline, does
        not stop it: as in TF Serving the models change all the same.

        Raises:
            ServingError: UNKNOWN where a model has not the versions asked
                for; where it is a new model or folder nothing is changed.
                FAILED_PRECONDITION where a label names a version that is not
                available; the labels then stay as they were.
        """
        task = asyncio.create_task(self._reload(models))
        self._reloads.add(task)
        task.add_done_callback(self._reloads.discard)
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(_log_failure)
            raise

    async def _reload(self, models: Sequence[ModelEntry]) -> None:
        async with self._lock:
            managers = {m.name: self._manager_of(m) for m in models}
            fresh = set(managers.values()) - set(self._managers.values())
            await self._poll(fresh)
            try:
                _check_available(fresh)
            except ServingError:
                for manager in fresh:
                    manager.close()
                raise
            self._applied = None
            for manager in set(self._managers.values()) - set(
                managers.values()
            ):
                manager.close()
            for model in models:
                managers[model.name].model = model
            self._managers = managers
            await self._poll(managers.values())
            _check_available(managers.values())
            self._set_labels()
            self._applied = list(models)

    def _manager_of(self, model: ModelEntry) -> VersionManager:
        """The present manager of a model, or a new one for a new folder."""
        manager = self._managers.get(model.name)
        if manager is None or manager.model.base_path != model.base_path:
            return VersionManager(model, self._load)
        return manager

    async def _poll(self, managers: Iterable[VersionManager]) -> None:
        for manager in list(managers):
            try:
                await manager.poll()
            except Exception:  # A share may be away; the model serves on.
                logging.exception("Cannot look into %s", manager.model)
        if all(m.versions for m in self._managers.values()):
            self.available.set()

    def _set_labels(self) -> None:
        for manager in self._managers.values():
            wanted = dict(manager.model.labels)
            for label, version in wanted.items():
                moved = manager.labels.get(label, version) != version
                if version not in manager.versions and (
                    moved or not self._any_label
                ):
                    raise ServingError(
                        grpc.StatusCode.FAILED_PRECONDITION,
                        f"Request to assign label to version {version} of "
                        f"model {manager.model.name}, which is not currently "
                        "available for inference",
                    )
        for manager in self._managers.values():
            manager.labels = dict(manager.model.labels)

    def _manager(self, spec: model_pb2.ModelSpec) -> VersionManager:
        if not spec.name:
            raise invalid("ModelSpec has no name specified.")
        manager = self._managers.get(spec.name)
        if manager is None:
            which = f"Latest({spec.name})"
            if spec.version_label:
                raise invalid(
                    f"Unrecognized servable version label: {spec.version_label}"
                )
            if spec.HasField("version"):
                which = f"Specific({spec.name}, {spec.version.value})"
            raise not_found(f"Servable not found for request: {which}")
        return manager


def _log_failure(reload: asyncio.Task[None]) -> None:
    """Says what nobody waits for any more."""
    if not reload.cancelled() and reload.exception() is not None:
        logging.error("The models were not replaced: %s", reload.exception())


def _check_available(managers: Iterable[VersionManager]) -> None:
    away = [text for manager in managers for text in manager.missing()]
    if away:
        raise ServingError(
            grpc.StatusCode.UNKNOWN,
            f"{len(away)} servable(s) did not become available: "
            f"{{{', '.join(away)}}}",
        )
