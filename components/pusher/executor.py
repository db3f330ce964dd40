"""Pushes a model once, however often the step is tried."""

from __future__ import annotations

import hashlib
import os
from typing import Any

from tfx import types
from tfx.components.pusher import executor as stock
from tfx.dsl.io import fileio
from tfx.proto import pusher_pb2
from tfx.types import artifact_utils
from tfx.utils import io_utils, proto_utils

from serving import version_folders

_CHUNK_BYTES = 1 << 22


class Executor(stock.Executor):
    """The stock executor, unless the model is there already.

    The stock one names versions by the clock. A step that is killed after the
    copy, and tried again, would push the same model a second time, and every
    server would load it again.
    """

    def Do(  # noqa: N802 (TFX's name)
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Pushes a blessed model, or finds that it has been pushed."""
        destination = pusher_pb2.PushDestination()
        proto_utils.json_to_proto(
            exec_properties["push_destination"], destination
        )
        base = destination.filesystem.base_directory
        version = None
        if base and self.CheckBlessing(input_dict):
            version = standing_version(self.GetModelPath(input_dict), base)
        if version is None:
            super().Do(input_dict, output_dict, exec_properties)
            return
        pushed = artifact_utils.get_single_instance(output_dict["pushed_model"])
        io_utils.copy_dir(self.GetModelPath(input_dict), pushed.uri)
        self._MarkPushed(
            pushed,
            pushed_destination=os.path.join(base, version),
            pushed_version=version,
        )


def standing_version(model: str, base: str) -> str | None:
    """The version below `base` that makes it needless to push this model.

    That is the newest, where it is this model. An older one only where the
    newest is a rollback: somebody has gone back from this model, and a run
    that makes it again must not undo that. Otherwise to go back to an older
    model is to push it again.

    Args:
        model: folder of a SavedModel.
        base: folder or URI of the versions.

    Returns:
        Its name; None where the model is to be pushed. Versions without
        saved_model.pb, which is copied last, are what a killed push has left
        and do not count.
    """
    newest = version_folders.newest(base)
    if newest is None:
        return None
    wanted = _digests(model)
    folders = [newest]
    if fileio.exists(os.path.join(newest, version_folders.COPY_OF_FILE)):
        folders = list(reversed(version_folders.find(base).values()))
    for folder in folders:
        if _digests(folder) == wanted:
            return os.path.basename(folder)
    return None


def _digests(folder: str) -> dict[str, str]:
    """Path in a folder -> SHA-256 of the file there.

    Without the mark of a rollback: a copied version is the same model.
    """
    found = {}
    for path, _, names in fileio.walk(folder):
        for name in names:
            file = os.path.join(path, name)
            digest = hashlib.sha256()
            with fileio.open(file, "rb") as stream:
                while chunk := stream.read(_CHUNK_BYTES):
                    digest.update(chunk)
            found[os.path.relpath(file, folder)] = digest.hexdigest()
    found.pop(version_folders.COPY_OF_FILE, None)
    return found
