"""Manifests by schema, and what they say about each other and about us."""

import copy
import pathlib

import pytest
import yaml

from serving import batching_parameters, flags, model_config, monitoring
from serving.config import ServingConfig
from tests.serving.contract.models import METRICS_PATH
from tests.serving.deploy.kubernetes_schema import (
    SchemaError,
    check,
    check_value,
)

DEPLOY = pathlib.Path(__file__).parents[3] / "serving" / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
CONFIG = KUBERNETES / "config"
MANIFESTS = sorted(
    p for p in KUBERNETES.glob("*.yaml") if p.name != "kustomization.yaml"
)


def _load(path):
    return yaml.safe_load(path.read_text())


@pytest.fixture(scope="module")
def found():
    return {m["kind"]: m for m in map(_load, MANIFESTS)}


@pytest.fixture(scope="module")
def pod(found):
    return found["Deployment"]["spec"]["template"]["spec"]


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda p: p.stem)
def test_manifests_fit_their_schema(path):
    check(_load(path))


def test_the_check_finds_what_is_wrong(found):
    def broken(change):
        manifest = copy.deepcopy(found["Deployment"])
        change(manifest["spec"]["template"]["spec"]["containers"][0])
        with pytest.raises(SchemaError) as caught:
            check(manifest)
        return str(caught.value)

    assert "unknown ['imagePolicy']" in broken(
        lambda c: c.update(imagePolicy="Always")
    )
    assert "`name`, must not be `None`" in broken(lambda c: c.pop("name"))
    assert "is no" in broken(lambda c: c["resources"]["requests"].update(cpu=2))
    assert "is no" in broken(
        lambda c: c["ports"][0].update(containerPort="8500")
    )
    with pytest.raises(SchemaError, match="unknown kind"):
        check({"apiVersion": "v1", "kind": "Deployment"})


def test_kustomization_names_files_that_are_there():
    content = _load(KUBERNETES / "kustomization.yaml")
    assert set(content) == {
        "apiVersion",
        "kind",
        "namespace",
        "labels",
        "resources",
        "configMapGenerator",
        "generatorOptions",
    }
    named = {*content["resources"], "ingress.yaml"}
    assert named == {path.name for path in MANIFESTS}
    (generated,) = content["configMapGenerator"]
    assert {KUBERNETES / file for file in generated["files"]} == set(
        CONFIG.iterdir()
    )
    assert (
        content["namespace"]
        == _load(KUBERNETES / "namespace.yaml")["metadata"]["name"]
    )


def test_security(pod):
    outside = pod["securityContext"]
    (container,) = pod["containers"]
    inside = container["securityContext"]
    assert outside["runAsNonRoot"] is True
    assert outside["runAsUser"] > 0
    assert outside["seccompProfile"] == {"type": "RuntimeDefault"}
    assert inside["allowPrivilegeEscalation"] is False
    assert inside["readOnlyRootFilesystem"] is True
    assert inside["capabilities"] == {"drop": ["ALL"]}
    assert "privileged" not in inside
    assert pod["automountServiceAccountToken"] is False
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
    writable = [m for m in container["volumeMounts"] if not m.get("readOnly")]
    assert [m["mountPath"] for m in writable] == ["/tmp"]


def test_network_policy_lets_nobody_else_in(found):
    spec = found["NetworkPolicy"]["spec"]
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    assert "egress" not in spec
    for rule in spec["ingress"]:
        assert rule["from"]
        assert {p["port"] for p in rule["ports"]} <= {8500, 8501}


def test_names_and_labels_meet(found, pod):
    labels = found["Deployment"]["spec"]["template"]["metadata"]["labels"]
    for kind, selector in (
        ("Deployment", found["Deployment"]["spec"]["selector"]["matchLabels"]),
        ("Service", found["Service"]["spec"]["selector"]),
        (
            "PodDisruptionBudget",
            found["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
        ),
        (
            "NetworkPolicy",
            found["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"],
        ),
    ):
        assert selector.items() <= labels.items(), kind
    target = found["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]
    assert target["name"] == found["Deployment"]["metadata"]["name"]
    assert "replicas" not in found["Deployment"]["spec"]
    (container,) = pod["containers"]
    ports = {p["name"]: p["containerPort"] for p in container["ports"]}
    for port in found["Service"]["spec"]["ports"]:
        assert ports[port["targetPort"]] == port["port"]
    volumes = {v["name"]: v for v in pod["volumes"]}
    assert {m["name"] for m in container["volumeMounts"]} == set(volumes)
    claim = volumes["models"]["persistentVolumeClaim"]["claimName"]
    assert claim == found["PersistentVolumeClaim"]["metadata"]["name"]
    generator = _load(KUBERNETES / "kustomization.yaml")["configMapGenerator"]
    assert volumes["config"]["configMap"]["name"] == generator[0]["name"]
    assert (
        pod["serviceAccountName"]
        == (found["ServiceAccount"]["metadata"]["name"])
    )
    grace = pod["terminationGracePeriodSeconds"]
    sleep = container["lifecycle"]["preStop"]["exec"]["command"][-1]
    assert int(sleep) < grace
    for probe in ("startupProbe", "readinessProbe"):
        assert container[probe]["grpc"]["port"] == ports["grpc"]


def _arguments():
    deployment = _load(KUBERNETES / "deployment.yaml")
    compose = _load(DEPLOY / "compose.yaml")
    pod = deployment["spec"]["template"]["spec"]
    return {
        "kubernetes": pod["containers"][0]["args"],
        "compose": compose["services"]["tf-serving"]["command"],
    }


@pytest.mark.parametrize("where", ["kubernetes", "compose"])
def test_our_server_takes_the_same_command_line(where):
    found = flags.parse(_arguments()[where])
    assert (found.port, found.rest_api_port) == (8500, 8501)
    assert found.enable_batching and found.enable_grpc_healthcheck_service
    assert found.allow_version_labels_for_unavailable_models
    for name in (
        "model_config_file",
        "batching_parameters_file",
        "monitoring_config_file",
    ):
        file = pathlib.Path(getattr(found, name))
        assert file.parent == pathlib.Path("/config")
        assert (CONFIG / file.name).is_file()


def test_configurations_are_read_by_our_parsers(found):
    (model,) = model_config.read(str(CONFIG / "models.config"))
    assert model.name == ServingConfig().model_name
    assert model.policy.num_versions == 2
    parameters = batching_parameters.read(str(CONFIG / "batching.config"))
    assert parameters.pad_variable_length_inputs
    path = monitoring.read(str(CONFIG / "monitoring.config"))
    template = found["Deployment"]["spec"]["template"]["metadata"]
    assert path == METRICS_PATH == template["annotations"]["prometheus.io/path"]


def test_inference_service():
    """By KServe's documentation of v1beta1; it publishes no Python schema."""
    manifest = _load(DEPLOY / "kserve" / "inference-service.yaml")
    assert manifest["apiVersion"] == "serving.kserve.io/v1beta1"
    assert manifest["kind"] == "InferenceService"
    assert set(manifest) == {"apiVersion", "kind", "metadata", "spec"}
    assert set(manifest["spec"]) == {"predictor"}
    predictor = dict(manifest["spec"]["predictor"])
    model = dict(predictor.pop("model"))
    scaling = {
        key: predictor.pop(key)
        for key in ("minReplicas", "maxReplicas", "scaleMetric", "scaleTarget")
    }
    assert 0 < scaling["minReplicas"] <= scaling["maxReplicas"]
    assert scaling["scaleMetric"] in ("cpu", "memory", "concurrency", "rps")
    # What is left of both are the fields of a pod and of a container.
    check_value({**predictor, "containers": []}, "V1PodSpec", "predictor")
    assert model.pop("modelFormat") == {"name": "tensorflow", "version": "2"}
    assert model.pop("protocolVersion") in ("v1", "v2", "grpc-v2")
    assert model.pop("runtimeVersion") == "2.16.1"
    assert model.pop("storageUri").startswith(("gs://", "s3://", "pvc://"))
    check_value({**model, "name": "model"}, "V1Container", "model")
    assert predictor["securityContext"]["runAsNonRoot"] is True
    assert model["securityContext"]["readOnlyRootFilesystem"] is True


def test_compose():
    content = _load(DEPLOY / "compose.yaml")
    assert set(content) == {"name", "services"}
    (service,) = content["services"].values()
    assert set(service) == {
        "image",
        "entrypoint",
        "command",
        "ports",
        "volumes",
        "user",
        "read_only",
        "tmpfs",
        "cap_drop",
        "security_opt",
        "stop_grace_period",
        "restart",
        "mem_limit",
    }
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    assert all(volume.endswith(":ro") for volume in service["volumes"])
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not service["user"].startswith("0")
    images = {
        service["image"],
        _load(KUBERNETES / "deployment.yaml")["spec"]["template"]["spec"][
            "containers"
        ][0]["image"],
    }
    assert images == {"tensorflow/serving:2.16.1"}
