"""Keeps the wanted versions of a model loaded while they come and go."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from typing import TypeAlias

import grpc
import tensorflow as tf
from tensorflow_serving.apis import get_model_status_pb2, model_pb2

from serving import version_folders
from serving.background import run_beside_requests
from serving.errors import invalid, not_found
from serving.model_config import ModelEntry
from serving.servables import Servable

_State: TypeAlias = get_model_status_pb2.ModelVersionStatus
_Fingerprint = tuple[tuple[str, int, int], ...]
Loader = Callable[[str, int, str], Servable]


class VersionManager:
    """The versions of one model in a folder of numbered folders.

    The versions that the policy wants are served, as far as they load. A new
    one is loaded and warmed up beside the others before it takes requests,
    and one that is no longer wanted goes once its last request is answered,
    but never before another one is there. A version that fails to load is
    refused until its files change. Everything but loading happens on the
    event loop, so nothing is locked.

    Args:
        model: name, folder, policy and labels; may be replaced.
        load: makes a version ready to answer, given model name, version and
            folder; runs in a thread.
    """

    def __init__(self, model: ModelEntry, load: Loader) -> None:
        self.model = model
        self.labels: dict[str, int] = {}
        self._load_now = load
        self._serving: dict[int, Servable] = {}
        self._in_flight: dict[int, int] = {}
        self._retired: dict[int, Servable] = {}
        self._refused: dict[int, _Fingerprint] = {}
        self._states: dict[int, _State] = {}
        self._warned_of_nothing = False

    @property
    def version(self) -> int | None:
        """The newest version that is served now."""
        return max(self._serving, default=None)

    @property
    def versions(self) -> set[int]:
        """All versions that are served now."""
        return set(self._serving)

    def missing(self) -> list[str]:
        """What the policy asks for and is not served, in words."""
        name, wanted = self.model.name, self.model.policy.versions
        if wanted is None:
            return [] if self._serving else [f"{{name: {name}}}"]
        away = sorted(wanted - self.versions)
        return [f"{{name: {name} version: {version}}}" for version in away]

    async def poll(self) -> None:
        """Looks once, loads what is wanted, then lets go of the rest."""
        found = await asyncio.to_thread(
            version_folders.find, self.model.base_path
        )
        await self._warn_where_nothing(found)
        policy, wanted = self.model.policy, set[int]()
        for version in policy.candidates(found):
            if len(wanted) == policy.limit:
                break
            if await self._provide(version, found[version]):
                wanted.add(version)
        # Where nothing of what is wanted works, the others serve on.
        for version in self.versions - wanted if wanted else ():
            self._retire(version)

    async def _warn_where_nothing(self, found: Mapping[int, str]) -> None:
        """Says once what is wrong with a folder that holds no version."""
        if found:
            self._warned_of_nothing = False
        elif not self._warned_of_nothing:
            self._warned_of_nothing = True
            logging.warning(
                "%s: %s (serving: %s; looking on)",
                self.model.name,
                await asyncio.to_thread(
                    version_folders.why_none, self.model.base_path
                ),
                self.version or "nothing yet",
            )

    def close(self) -> None:
        """Lets go of every version once its requests are answered."""
        for version in self.versions:
            self._retire(version)

    @contextlib.contextmanager
    def use(self, spec: model_pb2.ModelSpec) -> Iterator[Servable]:
        """The version to answer a request, held until the block ends.

        Raises:
            ServingError: NOT_FOUND for another version, INVALID_ARGUMENT for
                an unknown label.
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

    def statuses(self, spec: model_pb2.ModelSpec) -> list[_State]:
        """States of the versions seen so far, newest first.

        Raises:
            ServingError: NOT_FOUND for another version, INVALID_ARGUMENT for
                an unknown label.
        """
        if not self._states:
            raise not_found(f"Could not find any versions of model {spec.name}")
        version = self._wanted(spec)
        if version is None:
            return [self._states[v] for v in sorted(self._states, reverse=True)]
        if version not in self._states:
            raise not_found(
                f"Could not find version {version} of model {spec.name}"
            )
        return [self._states[version]]

    def _wanted(self, spec: model_pb2.ModelSpec) -> int | None:
        """The version that a request names, by number or label."""
        if spec.version_label:
            if spec.version_label not in self.labels:
                raise invalid(
                    f"Unrecognized servable version label: {spec.version_label}"
                )
            return self.labels[spec.version_label]
        return spec.version.value if spec.HasField("version") else None

    def _select(self, spec: model_pb2.ModelSpec) -> Servable:
        wanted = self._wanted(spec)
        version = self.version if wanted is None else wanted
        if version in self._serving:
            return self._serving[version]
        which = (
            f"Latest({spec.name})"
            if wanted is None
            else f"Specific({spec.name}, {wanted})"
        )
        raise not_found(f"Servable not found for request: {which}")

    async def _provide(self, version: int, path: str) -> bool:
        """Whether the version is served, after an attempt to load it."""
        if version in self._serving:
            return True
        servable = self._retired.pop(version, None)
        if servable is None:
            servable = await self._load(version, path)
        if servable is None:
            return False
        self._serving[version] = servable
        self._set_state(version, _State.AVAILABLE)
        logging.info("%s: version %d takes over", self.model.name, version)
        return True

    async def _load(self, version: int, path: str) -> Servable | None:
        """Loads and warms up a version; None where that fails."""
        fingerprint = await asyncio.to_thread(_fingerprint, path)
        if self._refused.get(version) == fingerprint:
            return None
        self._set_state(version, _State.LOADING)
        try:
            # The first load starts TensorFlow's threads, which stay.
            beside = run_beside_requests if self._serving else asyncio.to_thread
            servable = await beside(
                self._load_now, self.model.name, version, path
            )
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

    def _retire(self, version: int) -> None:
        self._retired[version] = self._serving.pop(version)
        self._set_state(version, _State.UNLOADING)
        self._unload_idle(version)

    def _unload_idle(self, version: int) -> None:
        """Drops a retired version once no request holds it."""
        if version in self._retired and not self._in_flight.get(version):
            del self._retired[version]
            self._in_flight.pop(version, None)
            self._set_state(version, _State.END)

    def _set_state(self, version: int, state: int, error: str = "") -> None:
        status = _State(version=version, state=state)
        status.status.SetInParent()  # Present even when nothing is wrong.
        if error:
            status.status.error_code = grpc.StatusCode.UNKNOWN.value[0]
            status.status.error_message = error
        self._states[version] = status


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
