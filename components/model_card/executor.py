"""Copies the model and adds the card of its evaluation."""

from __future__ import annotations

import os
from typing import Any

from tfx import types
from tfx.dsl.components.base import base_executor
from tfx.dsl.io import fileio
from tfx.types import artifact_utils
from tfx.utils import io_utils, path_utils

from components.artifact_files import MODEL_CARD_FILE
from serving import assets_extra


class Executor(base_executor.BaseExecutor):
    """Executor of ModelCardWriter."""

    def Do(  # noqa: N802
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Writes `described_model`.

        Raises:
            ValueError: the evaluation holds no card.
        """
        self._log_startup(input_dict, output_dict, exec_properties)
        card = os.path.join(
            artifact_utils.get_single_uri(input_dict["evaluation"]),
            MODEL_CARD_FILE,
        )
        if not fileio.exists(card):
            raise ValueError(
                f"{card} is missing; RankingEvaluator writes it. Run that "
                "component again."
            )
        model = artifact_utils.get_single_uri(input_dict["model"])
        described = artifact_utils.get_single_uri(
            output_dict["described_model"]
        )
        io_utils.copy_dir(model, described)
        extra = os.path.join(
            path_utils.serving_model_dir(described), assets_extra.FOLDER
        )
        fileio.makedirs(extra)
        io_utils.copy_file(card, os.path.join(extra, MODEL_CARD_FILE))
