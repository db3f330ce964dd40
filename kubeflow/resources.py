"""Resources, retries, time limits and environment of a step."""

from __future__ import annotations

from kubeflow.errors import CompileError
from kubeflow.spec import Json
from pipeline.config import PipelineConfig
from pipeline.kubeflow_config import GPU_STEPS, StepConfig

# Keys that only a Kubernetes cluster understands.
KUBERNETES_ONLY = (
    "node_selector",
    "tolerations",
    "secret_env",
    "secret_files",
    "volumes",
    "image_pull_secrets",
)
# Between a polite signal and the kill, in seconds: a pod has as long.
_GRACE = 30


def finish_step(
    spec: Json, step: str, config: PipelineConfig, *, vertex: bool
) -> None:
    """Completes one step of the specification in place.

    Raises:
        CompileError: Vertex AI is asked for what only Kubernetes has.
    """
    settings = config.kubeflow.step(step)
    task = spec["root"]["dag"]["tasks"][step]
    label = spec["components"][task["componentRef"]["name"]]["executorLabel"]
    executor = spec["deploymentSpec"]["executors"][label]
    _caching(task, settings)
    if "container" not in executor:  # an importer runs nothing
        return
    if vertex:
        _check_vertex(step, settings)
    task["retryPolicy"] = {
        "maxRetryCount": settings.retries,
        "backoffDuration": f"{settings.retry_delay_seconds}s",
        "backoffFactor": settings.retry_factor,
        "backoffMaxDuration": f"{settings.retry_max_delay_seconds}s",
    }
    container = executor["container"]
    gpus = config.kubeflow.gpu.count if step in GPU_STEPS else 0
    if gpus and config.kubeflow.gpu_image:
        container["image"] = config.kubeflow.gpu_image
    if settings.timeout_seconds is not None:
        # The specification has no time limit; this one holds everywhere, and
        # does not count the wait for a node.
        container["command"] = [
            "timeout",
            f"--kill-after={_GRACE}s",
            f"{settings.timeout_seconds}s",
            *container["command"],
        ]
    resources = _resources(settings, vertex=vertex)
    if gpus:
        gpu = config.kubeflow.gpu
        resources["accelerator"] = {
            "type": gpu.vertex_type if vertex else gpu.resource,
            "count": str(gpus),  # JSON's form of a 64-bit integer
        }
    if resources:
        container["resources"] = resources
    container["env"] = _environment(settings, has_gpu=bool(gpus))


def _caching(task: Json, settings: StepConfig) -> None:
    if settings.cache:
        task["cachingOptions"] = {"enableCache": True}
    else:
        task.pop("cachingOptions", None)


def _resources(settings: StepConfig, *, vertex: bool) -> Json:
    found = {
        "cpuLimit": settings.cpu_limit,
        "memoryLimit": settings.memory_limit_gb,
    }
    if not vertex:  # chooses machines by the limits
        found["cpuRequest"] = settings.cpu_request
        found["memoryRequest"] = settings.memory_request_gb
    return {name: value for name, value in found.items() if value is not None}


def _environment(settings: StepConfig, *, has_gpu: bool) -> list[Json]:
    found = {"TF_USE_LEGACY_KERAS": "1"}
    if not has_gpu:
        # Nodes with shared GPUs show them to every pod, and TensorFlow in a
        # Beam step would take all their memory.
        found["CUDA_VISIBLE_DEVICES"] = ""
    found.update(settings.env)
    return [
        {"name": name, "value": value} for name, value in sorted(found.items())
    ]


def _check_vertex(step: str, settings: StepConfig) -> None:
    for name in KUBERNETES_ONLY:
        if getattr(settings, name):
            raise CompileError(
                f"`kubeflow.defaults.{name}` (or `kubeflow.steps.{step}`) is "
                "set, but Vertex AI has no such thing and would leave it out. "
                "Fix: a configuration of its own for --vertex, without it."
            )
