"""The Dockerfiles, as far as they can be checked without Docker."""

import importlib.metadata
import json
import re
import shlex
import shutil
import subprocess

import pytest

from components.code_fingerprint import code_fingerprint
from kubeflow import object_store
from pipeline.config import REPOSITORY
from serving import custom_ops, file_systems

# What ResolveRun compares with the image (kubeflow.resolve_run.executor.CODE).
CODE = ("kubeflow", "pipeline", "components", "models", "serving")
ROLES = ("cpu", "gpu")


def instructions(role):
    """(instruction, rest of its line) of a Dockerfile, lines joined."""
    text = (REPOSITORY / "kubeflow" / f"Dockerfile.{role}").read_text()
    lines = re.sub(r"\\\n", " ", re.sub(r"(?m)^#.*\n", "", text)).splitlines()
    return [tuple(line.split(maxsplit=1)) for line in lines if line.strip()]


def pins(name):
    text = (REPOSITORY / name).read_text()
    return dict(re.findall(r"(?m)^([\w.-]+)==(\S+)", text))


@pytest.mark.parametrize("role", ROLES)
def test_the_image_holds_the_code_that_is_compiled(role, tmp_path):
    """Or ResolveRun would refuse every run."""
    last = max(i for i, (k, _) in enumerate(instructions(role)) if k == "FROM")
    for kind, rest in instructions(role)[last:]:
        if kind == "COPY" and not rest.startswith("--from"):
            *sources, target = shlex.split(rest)
            for source in sources:
                path = tmp_path / target / (source if target == "./" else "")
                copy = (
                    shutil.copytree
                    if (REPOSITORY / source).is_dir()
                    else shutil.copy
                )
                copy(REPOSITORY / source, path)
    assert code_fingerprint(*CODE, root=tmp_path) == code_fingerprint(*CODE)
    sent = (
        REPOSITORY / "kubeflow" / f"Dockerfile.{role}.dockerignore"
    ).read_text()
    for name in (*CODE, "requirements.lock", "pyproject.toml"):
        assert f"!{name}\n" in sent


@pytest.mark.parametrize("role", ROLES)
def test_it_runs_as_nobody_in_particular_and_asks_the_doctor(role):
    found = instructions(role)
    assert [rest for kind, rest in found if kind == "USER"] == ["10001"]
    kinds = [kind for kind, _ in found]
    # Nothing is done as root after that.
    assert not {"RUN", "COPY", "ADD"} & set(kinds[kinds.index("USER") :])
    (health,) = [rest for kind, rest in found if kind == "HEALTHCHECK"]
    command = health[health.index("CMD") + 3 :]
    assert json.loads(command) == ["python", "-m", "pipeline.doctor"]
    labels = " ".join(rest for kind, rest in found if kind == "LABEL")
    for name in ("title", "description", "version", "revision"):
        assert f"org.opencontainers.image.{name}=" in labels
    for kind, rest in found:
        if kind in ("ENV", "ARG"):
            assert not re.search(r"(?i)secret|password|token|_key", rest)
        if kind == "FROM":
            assert rest.split()[0] == "python:3.10-slim-bookworm"
        if "pip install" in rest:
            assert rest.count("--require-hashes") == rest.count("pip install")


def test_the_gpus_libraries_are_those_tensorflow_was_built_for():
    wanted = dict(
        re.findall(
            r"(?m)^(nvidia-[\w-]+)\s*==([\d.]+)",
            "\n".join(importlib.metadata.requires("tensorflow")),
        )
    )
    assert len(wanted) == 12
    assert pins("kubeflow/requirements-gpu.txt") == wanted


@pytest.mark.parametrize("name", ["gpu", "s3", "scann"])
def test_further_packages_are_hashed_and_touch_none_of_the_lock(name):
    file = f"kubeflow/requirements-{name}.txt"
    found = pins(file)
    assert found and not set(found) & set(pins("requirements.lock"))
    blocks = re.split(r"(?m)^(?=[\w.-]+==)", (REPOSITORY / file).read_text())
    assert all("--hash=sha256:" in block for block in blocks[1:])


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(
    ("argument", "values"), [("STORAGE", "gs s3"), ("INDEX", "exact scann")]
)
def test_a_build_argument_adds_packages_by_their_hashes(role, argument, values):
    """The shell of the Dockerfile, with a pip that only says its arguments."""
    found = instructions(role)
    default, other = values.split()
    assert ("ARG", f"{argument}={default}") in found
    (command,) = [rest for _, rest in found if f'${argument}" in' in rest]
    copied = " ".join(r for k, r in found if k == "COPY" and "/tmp/" in r)
    assert f"kubeflow/requirements-{other}.txt" in copied.split()
    script = f'pip() {{ echo "$@"; }}; {command}'

    def run(value):
        return subprocess.run(
            ["sh", "-c", script],
            env={argument: value},
            capture_output=True,
            text=True,
            check=False,
        )

    assert run(default).stdout == ""
    assert run(other).stdout.split()[-1] == f"/tmp/requirements-{other}.txt"
    wrong = run("neither")
    assert wrong.returncode == 1
    assert f"{argument} must be {default} or {other}" in wrong.stderr


def test_scann_is_the_version_that_the_errors_name():
    version = pins("kubeflow/requirements-scann.txt")["scann"]
    assert custom_ops.FIX == f"pip install scann=={version}"


def test_s3_without_its_plug_in_is_refused_with_the_fix(monkeypatch):
    monkeypatch.setattr(file_systems, "_PLUG_IN", "no_such_package")
    object_store.prepare_s3("gs://bucket/x", "/folder")
    with pytest.raises(RuntimeError, match="--build-arg STORAGE=s3"):
        object_store.prepare_s3('{"uri": "s3://bucket/x"}')
