"""The Beam steps of the pipeline, run by themselves with any Beam arguments.

Nothing of the steps is written anew: the components come from
`create_pipeline` and their executors run with the parameters that the
pipeline gives them. What is left out is ML Metadata, the cache and training;
RankingEvaluator measures a model of whole numbers instead, so that no
rounding depends on how users are batched.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
from tfx import types
from tfx.dsl.components.base.base_beam_component import BaseBeamComponent
from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor
from tfx.types import artifact_utils
from tfx.utils import path_utils

from components.artifact_files import TRAINING_FILE
from components.beam_flush import flush_when_full_only
from components.transform.vocabularies import read_item_ids
from pipeline.config import PipelineConfig
from pipeline.create_pipeline import SCHEMA_FILE, create_pipeline
from serving.export import export_saved_model

_MODEL_DIM = 8


class BeamSteps:
    """The Beam components of a pipeline, with a folder for their outputs.

    Args:
        config: of the pipeline.
        root: folder; the outputs of step S lie in <root>/S/<output>.
    """

    def __init__(self, config: PipelineConfig, root: Path) -> None:
        flush_when_full_only()
        self.root = root
        self._config = config
        pipeline = create_pipeline(
            config,
            pipeline_root=str(root),
            serving_dir=str(root / "serving"),
            checkpoint_root=str(root / "checkpoints"),
            input_fingerprint="",
        )
        self._components = {c.id: c for c in pipeline.components}
        self._artifacts: dict[tuple[str, str], types.Artifact] = {}

    @property
    def names(self) -> list[str]:
        """The steps in the order of the pipeline."""
        return [
            name
            for name, component in self._components.items()
            if isinstance(component, BaseBeamComponent)
        ]

    def run(self, name: str, beam_args: Sequence[str]) -> float:
        """Runs one step on what the ones before it left.

        Returns:
            Seconds.
        """
        component = self._components[name]
        inputs = {
            key: [self._input(channel)]
            for key, channel in component.inputs.items()
        }
        outputs = {
            key: [self._output(name, key, channel.type)]
            for key, channel in component.outputs.items()
        }
        working = self.root / name / ".working"
        context = BaseBeamExecutor.Context(
            beam_pipeline_args=list(beam_args),
            tmp_dir=str(working),
            unique_id="0",
            stateful_working_dir=str(working),
        )
        executor = component.executor_spec.executor_class(context)
        started = time.monotonic()
        executor.Do(inputs, outputs, dict(component.exec_properties))
        seconds = time.monotonic() - started
        shutil.rmtree(working, ignore_errors=True)
        return seconds

    def outputs(self, name: str) -> Path:
        """Folder of a step's outputs."""
        return self.root / name

    def _input(self, channel: types.BaseChannel) -> types.Artifact:
        key = (channel.producer_component_id, channel.output_key)
        if key not in self._artifacts:
            self._artifacts[key] = self._stand_in(*key, channel.type)
        return self._artifacts[key]

    def _output(
        self, name: str, key: str, kind: type[types.Artifact]
    ) -> types.Artifact:
        artifact = kind()
        artifact.id = len(self._artifacts) + 1
        artifact.uri = str(self.root / name / key)
        Path(artifact.uri).mkdir(parents=True)
        self._artifacts[name, key] = artifact
        return artifact

    def _stand_in(
        self, name: str, key: str, kind: type[types.Artifact]
    ) -> types.Artifact:
        """An output of a component that is no Beam step."""
        artifact = self._output(name, key, kind)
        uri = Path(artifact.uri)
        if name == "ImportSchemaGen":
            shutil.copy(SCHEMA_FILE, uri / "schema.pbtxt")
        elif key == "model_run":
            (uri / TRAINING_FILE).write_text("{}")
        elif key == "model":
            graph = artifact_utils.get_single_uri(
                [self._artifacts["Transform", "transform_graph"]]
            )
            _export_model(
                path_utils.serving_model_dir(str(uri)),
                read_item_ids(graph, "train_validation"),
                self._config.model.sequential.max_length - 1,
            )
        else:
            raise ValueError(f"{name} has not run: it gives `{key}`.")
        return artifact


class _NewestItem(tf.Module):
    """[batch, length] item rows to the vector of the newest, [batch, d]."""

    def __init__(self, table: np.ndarray) -> None:
        super().__init__()
        self._table = tf.Variable(table, trainable=False)

    def __call__(self, items: tf.Tensor) -> tf.Tensor:
        return tf.gather(self._table, items[:, -1])


def _export_model(
    directory: str, item_ids: list[bytes], max_history: int
) -> None:
    """A model whose scores are small whole numbers: exact in any order."""
    random = np.random.default_rng(0)
    shape = (len(item_ids) + 1, _MODEL_DIM)
    table = random.integers(-9, 10, shape).astype(np.float32)
    export_saved_model(
        directory,
        encode=_NewestItem(table),
        item_vectors=table[1:],
        item_ids=item_ids,
        popular_items=np.arange(len(item_ids)),
        max_history=max_history,
    )
