"""Where the runs on Kubeflow keep their files."""

from __future__ import annotations

import dataclasses
import re

from kubeflow.errors import CompileError
from pipeline.config import PipelineConfig
from pipeline.kubeflow_config import StepConfig


@dataclasses.dataclass(frozen=True)
class Layout:
    """URIs of one pipeline.

    Attributes:
        artifacts: what the backend puts its folders of runs under.
        checkpoints: of trainings that are not done; they outlive a pod.
        serving: base path of the pushed versions.
    """

    artifacts: str
    checkpoints: str
    serving: str

    @classmethod
    def of(cls, config: PipelineConfig) -> Layout:
        """Reads `kubeflow.root` and `kubeflow.push_target`.

        Raises:
            CompileError: a place that the pods cannot all reach.
        """
        root = check_uri("kubeflow.root", config.kubeflow.root).rstrip("/")
        base = f"{root}/{config.name}"
        target = config.kubeflow.push_target
        if target is None:
            target = f"{base}/serving/{config.serving.model_name}"
        return cls(
            f"{base}/artifacts",
            f"{base}/checkpoints",
            check_place(
                "kubeflow.push_target",
                target,
                config.kubeflow.step("Pusher"),
            ),
        )


def pipeline_name(config: PipelineConfig) -> str:
    """The name on Kubeflow, which knows no underscore.

    Raises:
        CompileError: nothing is left of the name.
    """
    name = re.sub(r"[_-]+", "-", config.name).strip("-")
    if not name:
        raise CompileError(
            f"`name` {config.name!r} has no letter or digit: Kubeflow needs "
            "one."
        )
    return name


def check_uri(key: str, uri: str | None) -> str:
    """Refuses what is not gs:// or s3://.

    Raises:
        CompileError: with what to write instead.
    """
    if not uri:
        raise CompileError(
            f"`{key}` is not set. Fix: --set {key}=gs://bucket/folder or "
            "s3://bucket/folder; every step runs on a machine of its own and "
            "must reach it."
        )
    scheme, _, rest = uri.partition("://")
    if scheme == "minio":
        raise CompileError(
            f"`{key}` is {uri!r}: TensorFlow and Beam know no minio://, the "
            "steps would fail after the first. MinIO speaks S3. Fix: --set "
            f"{key}=s3://{rest} and its address in kubeflow.defaults.env: "
            "{S3_ENDPOINT: 'http://minio-service.kubeflow:9000'} "
            "(docs/kubeflow.md, Storage)."
        )
    if scheme not in ("gs", "s3") or not rest.strip("/"):
        raise CompileError(
            f"`{key}` must be gs://bucket/folder or s3://bucket/folder, found "
            f"{uri!r}: Kubeflow's launcher moves artifacts of no other kind."
        )
    return uri


def check_place(key: str, place: str, step: StepConfig) -> str:
    """Refuses a folder that is on none of the pod's volumes.

    Args:
        key: of the setting, for messages.
        place: URI, or folder on a volume.
        step: of the pod that reads or writes there.

    Raises:
        CompileError: with what to write instead.
    """
    if "://" in place:
        return check_uri(key, place)
    mounts = [volume.partition(":")[2] for volume in step.volumes]
    for mount in mounts:
        if f"{place}/".startswith(f"{mount.rstrip('/')}/"):
            return place
    raise CompileError(
        f"`{key}` is {place!r}, a folder that no pod has: its volumes are "
        f"{', '.join(mounts) or 'none'}. Fix: a gs:// or s3:// URI, or a "
        "folder on a volume of `kubeflow.defaults.volumes`."
    )
