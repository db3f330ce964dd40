"""The Kubernetes part of a compiled pipeline (kfp-kubernetes' format).

Written as plain data: kfp-kubernetes 1.0, which goes with kfp 2.5, knows no
tolerations, image pull secrets or optional fields, but backends since 2.2 do.
"""

from __future__ import annotations

import re

from kubeflow.spec import Json
from pipeline.config import PipelineConfig
from pipeline.kubeflow_config import StepConfig


def platform_spec(spec: Json, config: PipelineConfig) -> Json:
    """Returns the PlatformSpec, {} where no step needs one.

    Args:
        spec: the finished pipeline specification.
        config: all settings.
    """
    executors = {}
    for step, task in sorted(spec["root"]["dag"]["tasks"].items()):
        component = spec["components"][task["componentRef"]["name"]]
        label = component["executorLabel"]
        if "container" not in spec["deploymentSpec"]["executors"][label]:
            continue
        found = _executor(config.kubeflow.step(step))
        if found:
            executors[label] = found
    if not executors:
        return {}
    return {
        "platforms": {
            "kubernetes": {"deploymentSpec": {"executors": executors}}
        }
    }


def _executor(settings: StepConfig) -> Json:
    found = {
        "nodeSelector": (
            {"labels": dict(sorted(settings.node_selector.items()))}
            if settings.node_selector
            else None
        ),
        "tolerations": [_toleration(text) for text in settings.tolerations],
        "secretAsEnv": _secret_env(settings.secret_env),
        "secretAsVolume": [
            {"secretName": secret, "mountPath": folder}
            for secret, _, folder in (
                text.partition(":") for text in settings.secret_files
            )
        ],
        "pvcMount": [
            {"constant": claim, "mountPath": folder}
            for claim, _, folder in (
                text.partition(":") for text in settings.volumes
            )
        ],
        "imagePullSecret": [
            {"secretName": name} for name in settings.image_pull_secrets
        ],
    }
    return {name: value for name, value in found.items() if value}


def _toleration(text: str) -> Json:
    """`key=value:effect` or `key:effect`, as kubectl taint writes them."""
    match = re.fullmatch(r"([^=:]+)(?:=([^:]*))?:(\w+)", text)
    assert match is not None  # StepConfig has checked the form
    key, value, effect = match.groups()
    if value is None:
        return {"key": key, "operator": "Exists", "effect": effect}
    return {
        "key": key,
        "operator": "Equal",
        "value": value,
        "effect": effect,
    }


def _secret_env(entries: tuple[str, ...]) -> list[Json]:
    """Groups `secret/key=VARIABLE` by secret."""
    secrets: dict[str, list[Json]] = {}
    for entry in entries:
        source, _, variable = entry.partition("=")
        secret, _, key = source.partition("/")
        secrets.setdefault(secret, []).append(
            {"secretKey": key, "envVar": variable}
        )
    return [
        {"secretName": secret, "keyToEnv": keys}
        for secret, keys in secrets.items()
    ]
