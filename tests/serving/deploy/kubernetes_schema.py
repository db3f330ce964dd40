"""Checks manifests strictly against the models of the kubernetes client.

Those are generated from Kubernetes' OpenAPI description: they name every key
with its type and refuse missing required ones. The client itself ignores
unknown keys, as the API server does; here they are errors.
"""

import datetime
import re

from kubernetes import client

KINDS = {
    ("v1", "Namespace"): "V1Namespace",
    ("v1", "Service"): "V1Service",
    ("v1", "ServiceAccount"): "V1ServiceAccount",
    ("v1", "PersistentVolumeClaim"): "V1PersistentVolumeClaim",
    ("apps/v1", "Deployment"): "V1Deployment",
    ("autoscaling/v2", "HorizontalPodAutoscaler"): (
        "V2HorizontalPodAutoscaler"
    ),
    ("policy/v1", "PodDisruptionBudget"): "V1PodDisruptionBudget",
    ("networking.k8s.io/v1", "NetworkPolicy"): "V1NetworkPolicy",
    ("networking.k8s.io/v1", "Ingress"): "V1Ingress",
}
_PRIMITIVES = {
    "str": str,
    "int": int,
    "bool": bool,
    "float": (int, float),
    "datetime": datetime.datetime,
    "object": (str, int),  # A number or a name, such as a port.
}


class SchemaError(ValueError):
    """A manifest that Kubernetes would not take, or not as it is meant."""


def check(manifest):
    """Raises SchemaError where a manifest does not fit its kind."""
    kind = (manifest.get("apiVersion"), manifest.get("kind"))
    if kind not in KINDS:
        raise SchemaError(f"unknown kind {kind}")
    check_value(manifest, KINDS[kind], manifest["kind"])


def check_value(value, kind, path):
    """Checks a value against a type name of the client; returns it built."""
    listed = re.fullmatch(r"list\[(.+)\]", kind)
    mapped = re.fullmatch(r"dict\(str, (.+)\)", kind)
    if listed:
        _expect(value, list, path)
        return [
            check_value(v, listed[1], f"{path}[{i}]")
            for i, v in enumerate(value)
        ]
    if mapped:
        _expect(value, dict, path)
        return {
            k: check_value(v, mapped[1], f"{path}.{k}")
            for k, v in value.items()
        }
    if kind in _PRIMITIVES:
        _expect(value, _PRIMITIVES[kind], path)
        return value
    model = getattr(client, kind)
    _expect(value, dict, path)
    attributes = {key: name for name, key in model.attribute_map.items()}
    unknown = set(value) - set(attributes)
    if unknown:
        raise SchemaError(f"{path}: unknown {sorted(unknown)}")
    built = {
        attributes[k]: check_value(
            v, model.openapi_types[attributes[k]], f"{path}.{k}"
        )
        for k, v in value.items()
    }
    try:
        return model(**built)
    except ValueError as error:
        raise SchemaError(f"{path}: {error}") from error


def _expect(value, kinds, path):
    wrong_bool = isinstance(value, bool) and kinds is not bool
    if wrong_bool or not isinstance(value, kinds):
        raise SchemaError(f"{path}: {value!r} is no {kinds}")
