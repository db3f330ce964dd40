"""Keeps the newest version of a model loaded while others come and go."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import re
from collections.abc import Iterator

import grpc
import tensorflow as tf
from tensorflow_serving.apis import get_model_status_pb2, model_pb2

from serving.errors import invalid, not_found
from serving.servables import SAVED_MODEL_FILE, Servable

_State = get_model_status_pb2.ModelVersionStatus
_Fingerprint = tuple[tuple[str, int, int], ...]


class VersionManager:
    """The versions of one model in a folder of numbered folders.

    The newest version that loads is served. A newer one is loaded and warmed
    up beside it, takes over, and the old one goes once its last request is
    answered. A version that fails to load is refused until its files change.
    Everything but loading happens on the event loop, so nothing is locked.

    Args:
        name: model name.
        base_path: folder of the version folders, local or remote.
        warm_up: whether to replay the recorded warm-up requests.
    """

    def __init__(self, name: str, base_path: str, warm_up: bool = True) -> None:
        self.name = name
        self.base_path = base_path
        self.available = asyncio.Event()
        self._warm_up = warm_up
        self._current: Servable | None = None
        self._in_flight: dict[int, int] = {}
        self._retired: dict[int, Servable] = {}
        self._refused: dict[int, _Fingerprint] = {}
        self._states: dict[int, get_model_status_pb2.ModelVersionStatus] = {}

    @property
    def version(self) -> int | None:
        """Number of the version that is served now."""
        return self._current.version if self._current else None

    async def watch(self, interval: float) -> None:
        """Looks for versions every `interval` seconds; once if not above 0."""
        while True:
            try:
                await self.poll()
            except Exception:  # A share may be away; the model serves on.
                logging.exception("Cannot look into %s", self.base_path)
            if interval <= 0:
                return
            await asyncio.sleep(interval)

    async def poll(self) -> None:
        """Looks once, and switches to the newest version that loads."""
        found = await asyncio.to_thread(_find_versions, self.base_path)
        for version, path in sorted(found.items(), reverse=True):
            if version == self.version:
                return
            if version in self._retired:
                continue  # It is still answering; the next look finds it.
            servable = await self._load(version, path)
            if servable:
                self._switch(servable)
                return

    @contextlib.contextmanager
    def use(self, spec: model_pb2.ModelSpec) -> Iterator[Servable]:
        """The version to answer a request, held until the block ends.

        Raises:
            ServingError: NOT_FOUND for another model or version,
                INVALID_ARGUMENT for a version label.
        """
        servable = self._select(spec)
        version = servable.version
        self._in_flight[version] = self._in_flight.get(version, 0) + 1
        try:
            yield servable
        finally:
            self._in_flight[version] -= 1
            del servable
            self._unload_idle(version)

    def statuses(
        self, spec: model_pb2.ModelSpec
    ) -> list[get_model_status_pb2.ModelVersionStatus]:
        """States of the versions seen so far, newest first.

        Raises:
            ServingError: NOT_FOUND for another model or version.
        """
        if spec.name != self.name or not self._states:
            raise not_found(f"Could not find any versions of model {spec.name}")
        _refuse_label(spec)
        if not spec.HasField("version"):
            return [self._states[v] for v in sorted(self._states, reverse=True)]
        version = spec.version.value
        if version not in self._states:
            raise not_found(
                f"Could not find version {version} of model {spec.name}"
            )
        return [self._states[version]]

    def _select(self, spec: model_pb2.ModelSpec) -> Servable:
        if not spec.name:
            raise invalid("Missing ModelSpec")
        _refuse_label(spec)
        wanted = spec.version.value if spec.HasField("version") else None
        if spec.name == self.name and self._current is not None:
            if wanted in (None, self.version):
                return self._current
        which = (
            f"Latest({spec.name})"
            if wanted is None
            else f"Specific({spec.name}, {wanted})"
        )
        raise not_found(f"Servable not found for request: {which}")

    async def _load(self, version: int, path: str) -> Servable | None:
        """Loads and warms up a version; None where that fails."""
        fingerprint = await asyncio.to_thread(_fingerprint, path)
        if self._refused.get(version) == fingerprint:
            return None
        self._set_state(version, _State.LOADING)
        try:
            servable = await asyncio.to_thread(self._load_now, version, path)
        except Exception as error:
            self._refused[version] = fingerprint
            self._set_state(version, _State.END, f"{error}")
            logging.error(
                "%s is refused until its files change: %s (serving: %s)",
                path,
                error,
                self.version or "nothing yet",
            )
            return None
        self._refused.pop(version, None)
        return servable

    def _load_now(self, version: int, path: str) -> Servable:
        servable = Servable(self.name, version, path)
        if self._warm_up:
            servable.warm_up()
        return servable

    def _switch(self, servable: Servable) -> None:
        old, self._current = self._current, servable
        self._set_state(servable.version, _State.AVAILABLE)
        logging.info("Version %d takes over", servable.version)
        self.available.set()
        if old is not None:
            self._retired[old.version] = old
            self._set_state(old.version, _State.UNLOADING)
            version = old.version
            del old
            self._unload_idle(version)

    def _unload_idle(self, version: int) -> None:
        """Drops a retired version once no request holds it."""
        if version in self._retired and not self._in_flight.get(version):
            del self._retired[version]
            self._in_flight.pop(version, None)
            self._set_state(version, _State.END)
            # A loaded model is large and full of cycles. The request that
            # ended just now still holds it until it returns.
            asyncio.get_running_loop().call_later(0.5, gc.collect)

    def _set_state(self, version: int, state: int, error: str = "") -> None:
        status = _State(version=version, state=state)
        status.status.SetInParent()  # Present even when nothing is wrong.
        if error:
            status.status.error_code = grpc.StatusCode.UNKNOWN.value[0]
            status.status.error_message = error
        self._states[version] = status


def _refuse_label(spec: model_pb2.ModelSpec) -> None:
    if spec.version_label:
        raise invalid(
            f"Unrecognized servable version label: {spec.version_label}"
        )


def _find_versions(base_path: str) -> dict[int, str]:
    """Numbered folders that hold a SavedModel, by number."""
    found = {}
    for entry in tf.io.gfile.listdir(base_path):
        name = entry.rstrip("/")  # Object stores mark folders that way.
        path = os.path.join(base_path, name)
        if re.fullmatch(r"[0-9]+", name) and tf.io.gfile.exists(
            os.path.join(path, SAVED_MODEL_FILE)
        ):
            found[int(name)] = path
    return found


def _fingerprint(path: str) -> _Fingerprint:
    """Names, sizes and times of the files, to see that they changed."""
    files = (
        os.path.join(folder, name)
        for folder, _, names in tf.io.gfile.walk(path)
        for name in names
    )
    return tuple(
        (file, status.length, status.mtime_nsec)
        for file in sorted(files)
        for status in [tf.io.gfile.stat(file)]
    )
