"""How the pipeline runs on Kubeflow: images, storage, resources per step."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

from models.settings import SettingsError, from_mapping

# The steps that a GPU is of use to.
GPU_STEPS = ("Tuner", "Trainer")
_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_NAME = r"[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?"
_FORMS = {
    "tolerations": (
        rf"[\w./-]+(?:=[\w.-]*)?:(?:{'|'.join(_EFFECTS)})",
        "key=value:NoSchedule or key:NoSchedule, as kubectl taint takes it",
    ),
    "secret_env": (
        rf"{_NAME}/[\w.-]+=[A-Za-z_]\w*",
        "secret/key=VARIABLE",
    ),
    "secret_files": (rf"{_NAME}:/\S+", "secret:/folder"),
    "volumes": (rf"{_NAME}:/\S+", "claim:/folder"),
    "image_pull_secrets": (_NAME, "the name of a secret"),
}


@dataclasses.dataclass(frozen=True)
class StepConfig:
    """What the pod of a step gets, and what happens when it fails.

    Attributes:
        cpu_request: cores that a node must have free; null asks for none.
        cpu_limit: most cores; null sets no limit.
        memory_request_gb: GB (1e9 bytes) that a node must have free.
        memory_limit_gb: GB above which the pod is killed.
        node_selector: labels that the node must have.
        tolerations: taints that the pod puts up with, `key=value:effect`.
        secret_env: `secret/key=VARIABLE`.
        secret_files: `secret:/folder`; every key becomes a file.
        volumes: `claim:/folder` of a PersistentVolumeClaim.
        image_pull_secrets: secrets to pull the image with.
        env: environment variables; never a password.
        retries: further attempts after a failure or an eviction.
        retry_delay_seconds: before the first of them.
        retry_factor: what the delay grows by each time.
        retry_max_delay_seconds: longest delay.
        timeout_seconds: of one attempt; null: none.
        cache: whether equal inputs take the outputs of an earlier run.
    """

    cpu_request: float | None = None
    cpu_limit: float | None = None
    memory_request_gb: float | None = None
    memory_limit_gb: float | None = None
    node_selector: dict[str, str] = dataclasses.field(default_factory=dict)
    tolerations: tuple[str, ...] = ()
    secret_env: tuple[str, ...] = ()
    secret_files: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    image_pull_secrets: tuple[str, ...] = ()
    env: dict[str, str] = dataclasses.field(default_factory=dict)
    retries: int = 2
    retry_delay_seconds: int = 60
    retry_factor: float = 2.0
    retry_max_delay_seconds: int = 1800
    timeout_seconds: int | None = None
    cache: bool = True

    def __post_init__(self) -> None:
        for unit in ("cpu", "memory"):
            self._check_amounts(unit, "_gb" if unit == "memory" else "")
        for name, (form, words) in _FORMS.items():
            for entry in getattr(self, name):
                if not re.fullmatch(form, entry):
                    raise ValueError(
                        f"`{name}` has the entry {entry!r}, expected {words}."
                    )
        for name in self.env:
            if not re.fullmatch(r"[A-Za-z_]\w*", name):
                raise ValueError(
                    f"`env` has the name {name!r}, expected letters, digits "
                    "and _."
                )
        _at_least(self, "retries", 0)
        _at_least(self, "retry_delay_seconds", 1)
        _at_least(self, "retry_factor", 1)
        _at_least(self, "retry_max_delay_seconds", self.retry_delay_seconds)
        if self.timeout_seconds is not None:
            _at_least(self, "timeout_seconds", 1)

    def _check_amounts(self, unit: str, suffix: str) -> None:
        names = f"{unit}_request{suffix}", f"{unit}_limit{suffix}"
        request, limit = (getattr(self, name) for name in names)
        for name, value in zip(names, (request, limit), strict=True):
            if value is not None and value <= 0:
                raise ValueError(
                    f"`{name}` must be above 0 or null, found {value}."
                )
        if request is not None and limit is not None and request > limit:
            raise ValueError(
                f"`{names[0]}` {request} is above `{names[1]}` {limit}: no "
                "node would take the pod."
            )


@dataclasses.dataclass(frozen=True)
class GpuConfig:
    """The GPUs of each step that trains; no other step gets one.

    Attributes:
        count: 0 trains on the CPU.
        resource: what Kubernetes calls it.
        vertex_type: what Vertex AI calls it.
    """

    count: int = 0
    resource: str = "nvidia.com/gpu"
    vertex_type: str = "NVIDIA_TESLA_T4"

    def __post_init__(self) -> None:
        _at_least(self, "count", 0)


@dataclasses.dataclass(frozen=True)
class KubeflowConfig:
    """The pipeline on Kubeflow Pipelines 2, see docs/kubeflow.md.

    Attributes:
        root: URI of everything the runs write: gs://bucket/folder or
            s3://bucket/folder.
        push_target: folder or URI that models are pushed to; null is
            `<root>/<name>/serving/<model_name>`.
        image: of all steps, by digest (name@sha256:...).
        gpu_image: of the Trainer where it has a GPU; null is `image`.
        allow_tags: whether an image may be given by a tag, which can move.
        runtime_parameters: settings that may be changed from run to run
            without compiling again; `logs.path` becomes `logs_path`.
        gpu: of the Trainer.
        defaults: of all steps.
        steps: step name -> those keys of `defaults` that differ there.
    """

    root: str | None = None
    push_target: str | None = None
    image: str | None = None
    gpu_image: str | None = None
    allow_tags: bool = False
    runtime_parameters: tuple[str, ...] = (
        "logs.path",
        "split.test_date",
        "split.test_quantile",
        "training.max_epochs",
    )
    gpu: GpuConfig = dataclasses.field(default_factory=GpuConfig)
    defaults: StepConfig = dataclasses.field(default_factory=StepConfig)
    steps: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("image", "gpu_image"):
            _check_image(name, getattr(self, name), self.allow_tags)
        for key in self.runtime_parameters:
            if not re.fullmatch(r"\w+(\.\w+)+", key):
                raise ValueError(
                    f"`runtime_parameters` has the entry {key!r}, expected "
                    "the dotted key of a setting such as logs.path."
                )
        for step in self.steps:
            self.step(step)

    def step(self, name: str) -> StepConfig:
        """The settings of a step: the defaults, and its own over them.

        Raises:
            SettingsError: `steps` has an unknown key or a bad value there.
        """
        own: Mapping[str, Any] = self.steps.get(name, {})
        try:
            return from_mapping(
                StepConfig,
                {**dataclasses.asdict(self.defaults), **own},
                f"steps.{name}",
            )
        except SettingsError as error:
            # Settings of the whole tree name their place from its top.
            text = re.sub(r"`steps\.", "`kubeflow.steps.", str(error))
            raise SettingsError(text) from error


def _check_image(name: str, image: str | None, allow_tags: bool) -> None:
    if image is None or re.search(r"@sha256:[0-9a-f]{64}$", image):
        return
    if not allow_tags:
        raise ValueError(
            f"`{name}` must end in a digest (@sha256: and 64 digits), found "
            f"{image!r}: a tag can move to other code, and outputs of the old "
            "code would be taken from the cache. Fix: docker inspect "
            "--format '{{index .RepoDigests 0}}' IMAGE, or allow_tags: true."
        )


def _at_least(settings: Any, name: str, least: float) -> None:
    value = getattr(settings, name)
    if value < least:
        raise ValueError(f"`{name}` must be at least {least}, found {value}.")
