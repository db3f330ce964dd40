"""scripts/setup.sh, with interpreters that only pretend: no network."""

import ast
import importlib.metadata
import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]

# What the images hold (kubeflow/Dockerfile.cpu).
PRODUCT = ("models", "serving", "components", "pipeline", "kubeflow")

# Answers like a Python of the version in $VERSION; `-m venv DIR` makes DIR
# with a copy of itself; installing notes it in $CALLS.
FAKE_PYTHON = """#!/bin/bash
case "$*" in
  *version_info*) echo "{version}" ;;
  *sys.executable*) echo "$0" ;;
  *ensurepip*) exit {ensurepip} ;;
  *"-m venv"*)
    echo "venv" >>"$CALLS"
    mkdir -p "${{@: -1}}/bin"
    cp "$0" "${{@: -1}}/bin/python"
    printf 'VIRTUAL_ENV=%s\\n' "${{@: -1}}" >"${{@: -1}}/bin/activate" ;;
  *"--version"*) echo "Python {version}.1" ;;
  *"install"*"requirements.lock"*"requirements-dev.lock"*)
    echo "install $*" >>"$CALLS"
    exit {install} ;;
  *"install"*) exit 1 ;; # uv cannot be had
esac
"""


@pytest.fixture
def project(tmp_path):
    """A copy of what the script needs, and a PATH of pretended tools."""
    root = tmp_path / "project"
    (root / "scripts").mkdir(parents=True)
    shutil.copy(REPOSITORY / "scripts" / "setup.sh", root / "scripts")
    (root / "requirements.lock").write_text("tfx==1.16.0\n")
    (root / "requirements-dev.lock").write_text("pytest==8.4.2\n")
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in (
        "bash cat cp cut dirname env flock grep mkdir rm sha256sum uname"
    ).split():
        (tools / name).symlink_to(shutil.which(name))
    return root


def add_python(project, name, version="3.10", ensurepip=0, install=0):
    path = project.parent / "tools" / name
    path.write_text(
        FAKE_PYTHON.format(
            version=version, ensurepip=ensurepip, install=install
        )
    )
    path.chmod(0o755)


def run_setup(project):
    environment = {
        "PATH": str(project.parent / "tools"),
        "HOME": str(project.parent),
        "CALLS": str(project.parent / "calls"),
        "CREATE_ANY_PLATFORM": "1",
    }
    return subprocess.run(
        [str(project / "scripts" / "setup.sh")],
        env=environment,
        capture_output=True,
        text=True,
        cwd="/",
    )


def installs(project):
    calls = project.parent / "calls"
    if not calls.exists():
        return 0
    return sum(
        line.startswith("install") for line in calls.read_text().splitlines()
    )


def test_installs_once_and_again_only_when_a_lock_changes(project):
    add_python(project, "python3.10")
    first = run_setup(project)
    assert first.returncode == 0, first.stderr
    assert installs(project) == 1
    calls = (project.parent / "calls").read_text()
    assert "--require-hashes" in calls

    started = time.monotonic()
    second = run_setup(project)
    seconds = time.monotonic() - started
    assert (second.returncode, second.stderr) == (0, "")
    assert installs(project) == 1
    assert seconds < 0.5

    (project / "requirements.lock").write_text("tfx==1.16.1\n")
    assert run_setup(project).returncode == 0
    assert installs(project) == 2
    (project / "requirements-dev.lock").write_text("pytest==8.4.3\n")
    assert run_setup(project).returncode == 0
    assert installs(project) == 3


def test_a_moved_project_is_set_up_again(project):
    add_python(project, "python3.10")
    assert run_setup(project).returncode == 0
    moved = project.rename(project.parent / "moved")
    assert run_setup(moved).returncode == 0
    assert installs(moved) == 2
    activate = moved / ".venv" / "bin" / "activate"
    assert str(moved) in activate.read_text()


def test_a_failed_installation_leaves_no_stamp(project):
    add_python(project, "python3.10", install=1)
    failed = run_setup(project)
    assert failed.returncode == 1
    assert "Fix: check the network" in failed.stderr
    add_python(project, "python3.10")
    shutil.rmtree(project / ".venv")
    assert run_setup(project).returncode == 0


@pytest.mark.parametrize(
    ("pythons", "fix"),
    [
        ([], "install python3-venv"),
        ([("python3", "3.11", 1)], "install python3-venv"),
        ([("python3.10", "3.10", 1)], "install python3.10-venv"),
    ],
)
def test_what_is_missing_is_named_with_the_fix(project, pythons, fix):
    for name, version, ensurepip in pythons:
        add_python(project, name, version, ensurepip)
    result = run_setup(project)
    assert result.returncode == 1
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("setup: ")
    assert "Fix: sudo apt-get" in last
    assert fix in last


def test_no_index_or_host_is_named_in_the_set_up():
    files = ["Makefile", ".ci/run", "scripts/setup.sh", "scripts/test.sh"]
    for name in ("requirements", "requirements-dev"):
        files += [f"{name}.in", f"{name}.lock"]
    for name in files:
        text = (REPOSITORY / name).read_text()
        assert "://" not in text, name
        assert not re.search(r"--(extra-)?index-url", text), name


def pins(file: str) -> set[str]:
    """Names of a lock file, as package indices spell them."""
    text = (REPOSITORY / file).read_text()
    return set(re.findall(r"(?m)^([\w.-]+)==", text))


def imported(folder: str) -> dict[str, Path]:
    """Top-level modules that code of a package imports, with a file each."""
    found = {}
    for file in (REPOSITORY / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module]
            found.update({name.split(".")[0]: file for name in names})
    return found


def test_the_two_locks_share_no_package():
    assert not pins("requirements.lock") & pins("requirements-dev.lock")
    assert {"pytest", "mypy", "ruff"} <= pins("requirements-dev.lock")


@pytest.mark.parametrize("folder", PRODUCT)
def test_the_product_needs_no_package_of_its_tests(folder):
    dev = pins("requirements-dev.lock")
    owners = importlib.metadata.packages_distributions()
    for module, file in imported(folder).items():
        for owner in owners.get(module, []):
            name = re.sub(r"[-_.]+", "-", owner).lower()
            assert name not in dev, f"{file} imports {module} of {name}"


def test_ci_runs_make_test(tmp_path):
    """.ci/run passes on the output and the failure of `make test`."""
    (tmp_path / ".ci").mkdir()
    shutil.copy(REPOSITORY / ".ci" / "run", tmp_path / ".ci" / "run")
    makefile = tmp_path / "Makefile"
    makefile.write_text("test:\n\t@echo '3 passed in 1.00s'\n")
    run = [str(tmp_path / ".ci" / "run")]
    assert os.access(run[0], os.X_OK)
    result = subprocess.run(run, capture_output=True, text=True, cwd="/")
    assert (result.returncode, result.stdout) == (0, "3 passed in 1.00s\n")
    makefile.write_text("test:\n\t@echo '1 failed'; exit 1\n")
    result = subprocess.run(run, capture_output=True, text=True, cwd="/")
    assert result.returncode != 0
    assert "1 failed" in result.stdout
