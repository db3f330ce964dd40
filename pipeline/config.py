"""The settings of one pipeline: the packages' dataclasses in one tree.

config = load_config("pipeline/configs/demo.yaml", ["training.seed=1"])
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from components.graph_builder.config import GraphConfig
from components.history_example_gen.config import LogsConfig
from components.period_statistics.config import DriftConfig
from components.ranking_evaluator.config import SERVED, EvaluationConfig
from components.serving_validator.config import ServingValidationConfig
from components.splits import SplitConfig
from models.config import ModelConfig, TrainingConfig
from models.config.together import check_together
from models.settings import SettingsError, from_mapping, with_values
from models.tuning.config import Settings, TuningConfig
from pipeline.beam_config import BeamConfig
from pipeline.kubeflow_config import KubeflowConfig
from pipeline.yaml_tree import Places, place_of, read_tree
from serving.config import ServingConfig

REPOSITORY = Path(__file__).resolve().parents[1]


@dataclasses.dataclass(frozen=True)
class PipelineConfig:
    """Everything one pipeline is made from.

    Attributes:
        name: pipeline name; its runs lie in `<runs_dir>/<name>/`.
        dataset: name of the data in reports.
        profile: label of the evaluation rules in reports: paper and sound
            for those of paper_base.yaml and sound_base.yaml, or a name of
            your own; the rules themselves are `split`, `evaluation`,
            `graph.newest` and `model.sequential.max_length`.
        logs: which log files are read, and how.
        split: which events are train, validation and test.
        graph: which events become edges.
        model: the two towers and their losses.
        training: optimisation and schedule.
        tuning: a search for settings before the training, none by default.
        drift: when a difference between the periods is a warning.
        evaluation: what is measured, and when a model is blessed.
        serving: name and answer length of the pushed model.
        serving_validation: what it must do behind a server before that.
        beam: where and how the Beam steps run.
        kubeflow: images, storage and resources of the runs on Kubeflow.
        runs_dir: folder of all runs, relative to the repository root.
    """

    name: str
    dataset: str
    profile: str = "custom"
    logs: LogsConfig = dataclasses.field(default_factory=LogsConfig)
    split: SplitConfig = dataclasses.field(default_factory=SplitConfig)
    graph: GraphConfig = dataclasses.field(default_factory=GraphConfig)
    model: ModelConfig = dataclasses.field(default_factory=ModelConfig)
    training: TrainingConfig = dataclasses.field(default_factory=TrainingConfig)
    tuning: TuningConfig = dataclasses.field(default_factory=TuningConfig)
    drift: DriftConfig = dataclasses.field(default_factory=DriftConfig)
    evaluation: EvaluationConfig = dataclasses.field(
        default_factory=EvaluationConfig
    )
    serving: ServingConfig = dataclasses.field(default_factory=ServingConfig)
    serving_validation: ServingValidationConfig = dataclasses.field(
        default_factory=ServingValidationConfig
    )
    beam: BeamConfig = dataclasses.field(default_factory=BeamConfig)
    kubeflow: KubeflowConfig = dataclasses.field(default_factory=KubeflowConfig)
    runs_dir: str = "runs"

    def __post_init__(self) -> None:
        for field in ("name", "profile"):
            value = getattr(self, field)
            if not re.fullmatch(r"[a-z0-9_-]+", value):
                raise ValueError(
                    f"`{field}` may hold lower-case letters, digits, `_` and "
                    f"`-`, found {value!r}."
                )
        self._check_seen_items()
        self._check_distribution()
        self._check_tuning()
        check_together(
            self.model,
            self.training,
            has_neighbors=self.graph.item_neighbors is not None,
        )
        self._check_index()

    @property
    def exclude_history(self) -> bool:
        """Whether serving_default leaves out what the user has already.

        What is measured in the main setting is what is served.
        """
        return self.evaluation.seen_items == "filtered"

    def _check_seen_items(self) -> None:
        """The epoch must be chosen by the rule that is measured and served."""
        if self.training.filter_seen != self.exclude_history:
            found = "true" if self.training.filter_seen else "false"
            wanted = "false" if self.training.filter_seen else "true"
            raise ValueError(
                f"`training.filter_seen` is {found}, but `evaluation."
                f"seen_items` is {self.evaluation.seen_items}: the epoch would "
                "be chosen by another rule than the model is measured and "
                f"served by. Fix: set `training.filter_seen` to {wanted}, or "
                "change `evaluation.seen_items`."
            )

    def _check_index(self) -> None:
        """What is measured must be answered by the index that is served."""
        scann = self.serving.approximate
        longest = max(self.evaluation.cutoffs, default=1)
        if scann is not None and 2 * longest > scann.candidates:
            raise ValueError(
                f"`serving.scann.candidates` ({scann.candidates}) must be at "
                f"least twice the largest of `evaluation.cutoffs` ({longest}): "
                "longer answers are the exact index's, so the metrics would be "
                "those of another index than the one that answers "
                "`serving.default_k` items. Fix: raise `candidates` to "
                f"{2 * longest} or more, or lower the cutoffs."
            )

    def _check_distribution(self) -> None:
        """One machine, for steps before the training use TensorFlow, too."""
        if self.training.distribution == "multi_worker":
            raise ValueError(
                "`training.distribution` is multi_worker, which is for "
                "programs that call `models.fitting.fit` on every machine; a "
                "run of the pipeline trains on one. Fix: mirrored for all of "
                "its GPUs, auto, or none."
            )

    def _check_tuning(self) -> None:
        """Every setting of a search exists and takes values of its type.

        Values that are out of range, or only together with others, are the
        search's matter: it tells them and goes on.
        """
        present = Settings(self.model, self.training)
        for index, stage in enumerate(self.tuning.stages):
            tried = [
                ("space", name, value)
                for name, parameter in stage.space.items()
                for value in parameter.samples
            ]
            tried += [("settings", *item) for item in stage.settings.items()]
            for group, name, value in tried:
                try:
                    with_values(present, {name: value})
                except SettingsError as error:
                    if isinstance(error.__cause__, ValueError):
                        continue
                    raise ValueError(
                        f"`tuning.stages[{index}].{group}`: {error}"
                    ) from error


def load_config(
    path: str | os.PathLike[str], overrides: Sequence[str] = ()
) -> PipelineConfig:
    """Reads the settings at `path`.

    Args:
        path: a YAML file, from the current folder; see pipeline/yaml_tree.py
            for `base`.
        overrides: `key.sub=value` pairs that win over the file; values are
            read as YAML.

    Returns:
        The settings with `logs.path`, `runs_dir`, `beam.artifact_root` and
        the folders of `evaluation.compare_with` absolute: relative ones start
        at the repository root, wherever the command is called from.
        `${NAME}` and `${NAME:-default}` in `logs.path` are environment
        variables.

    Raises:
        SettingsError: the message names the file, the line and the key.
    """
    tree, places = read_tree(path, overrides)
    _resolve_paths(tree, places, str(path))
    try:
        config = from_mapping(PipelineConfig, tree)
    except SettingsError as error:
        message = str(error).removeprefix("`PipelineConfig`: ")
        place = place_of(message, places, str(path))
        raise SettingsError(f"{place}: {message}") from error
    # Not a default: nobody should train on the demo's made-up shop under a
    # name of their own.
    if not config.logs.path:
        place = places.get("logs.path", places.get("logs", str(path)))
        raise SettingsError(
            f"{place}: Missing key `logs.path`: the folder of the log files, "
            "such as `logs: {path: /data/my-shop}`. Fix: give it there, or "
            "--set logs.path=..."
        )
    return config


def _resolve_paths(tree: dict[str, Any], places: Places, path: str) -> None:
    """Makes the folders among the settings absolute in place."""
    logs = tree.setdefault("logs", {})
    if isinstance(logs, dict):
        if isinstance(logs.get("path"), str) and logs["path"]:
            place = places.get("logs.path", path)
            logs["path"] = _absolute(_expand(logs["path"], place))
    tree.setdefault("runs_dir", "runs")
    if isinstance(tree["runs_dir"], str):
        tree["runs_dir"] = _absolute(tree["runs_dir"])
    evaluation = tree.get("evaluation")
    if isinstance(evaluation, dict):
        others = evaluation.get("compare_with")
        if isinstance(others, dict):
            for name, folder in others.items():
                if isinstance(folder, str) and folder != SERVED:
                    others[name] = _absolute(folder)
    beam = tree.get("beam")
    if isinstance(beam, dict) and isinstance(beam.get("artifact_root"), str):
        beam["artifact_root"] = _absolute(beam["artifact_root"])


def _expand(text: str, place: str) -> str:
    def value_of(match: re.Match[str]) -> str:
        name, default = match.group(1), match.group(2)
        # As in a shell, :- also stands in for an empty variable.
        value = os.environ.get(name) or default
        if not value:
            raise SettingsError(
                f"{place}: `logs.path` needs the environment variable "
                f"{name}, which is not set. Fix: export "
                f"{name}=/path/to/the/folder, or --set logs.path=..."
            )
        return value

    return re.sub(r"\$\{(\w+)(?::-([^}]*))?\}", value_of, text)


def _absolute(path: str) -> str:
    if "://" in path:
        return path
    return str(REPOSITORY / Path(path).expanduser())
