"""Hands on the model that is served now."""

from __future__ import annotations

import os
from typing import Any

from tfx import types
from tfx.dsl.components.base import base_executor
from tfx.dsl.io import fileio
from tfx.types import artifact_utils, standard_artifacts
from tfx.utils import io_utils, path_utils

from kubeflow.served_model.spec import SERVING_DIR
from kubeflow.spec import MISSING
from serving import version_folders


class Executor(base_executor.BaseExecutor):
    """Copies the newest pushed version into an output of type Model."""

    def Do(  # noqa: N802 (TFX's name)
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Fills outputs of type Model and ModelBlessing.

        Where nothing has been pushed yet, the outputs are marked as missing
        and the steps behind them get none, as from a resolver.
        """
        version = newest_version(exec_properties[SERVING_DIR])
        for artifacts in output_dict.values():
            artifact = artifact_utils.get_single_instance(artifacts)
            if version is None:
                artifact.set_int_custom_property(MISSING, 1)
                continue
            artifact.set_string_custom_property("pushed_version", version)
            if isinstance(artifact, standard_artifacts.ModelBlessing):
                # Nothing else is pushed.
                artifact.set_int_custom_property("blessed", 1)
                fileio.makedirs(artifact.uri)
                io_utils.write_string_file(
                    os.path.join(artifact.uri, "BLESSED"), ""
                )
                continue
            # A copy: the version may be removed from the servers meanwhile.
            io_utils.copy_dir(
                os.path.join(exec_properties[SERVING_DIR], version),
                path_utils.serving_model_dir(artifact.uri),
            )


def newest_version(serving_dir: str) -> str | None:
    """The newest complete version below a base path, None where none is."""
    newest = version_folders.newest(serving_dir)
    return newest and os.path.basename(newest)
