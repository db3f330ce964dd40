"""Imports run one way: kubeflow, pipeline, components, models and serving."""

import ast

import pytest

from pipeline.config import REPOSITORY

FLOORS = {"models": 0, "serving": 0, "components": 1, "pipeline": 2}
FLOORS["kubeflow"] = 3


def modules(file):
    """Names of all that a file imports, also inside functions."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            yield node.module
            for alias in node.names:
                yield f"{node.module}.{alias.name}"
        elif isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name


def imported(file):
    """Names of the packages that a file imports."""
    for name in modules(file):
        yield name.split(".")[0]


@pytest.mark.parametrize("package", FLOORS)
def test_no_arrow_goes_up(package):
    files = list((REPOSITORY / package).rglob("*.py"))
    assert files
    for file in files:
        for name in imported(file):
            assert FLOORS.get(name, -1) <= FLOORS[package], f"{file}: {name}"


def test_what_measures_does_not_know_what_presents():
    evaluator = "components.ranking_evaluator"
    folder = REPOSITORY / "components" / "ranking_evaluator"
    presenting = (f"{evaluator}.report", f"{evaluator}.model_card")
    for file in folder.glob("*.py"):
        # The executor runs both.
        if file.name != "executor.py":
            found = [m for m in modules(file) if m.startswith(presenting)]
            assert not found, file
    for file in (folder / "model_card").glob("*.py"):
        assert not [m for m in modules(file) if m.startswith(presenting[0])]


def test_only_kubeflow_knows_kubeflows_packages():
    for package in set(FLOORS) - {"kubeflow"}:
        for file in (REPOSITORY / package).rglob("*.py"):
            names = set(imported(file))
            assert not names & {"kfp", "kfp_server_api", "kubernetes"}, file


@pytest.mark.parametrize(
    ("package", "others"),
    [
        ("models", {"serving", "tfx", "apache_beam", "tensorflow_transform"}),
        ("serving", {"models", "tfx", "apache_beam", "tensorflow_transform"}),
    ],
)
def test_the_ground_floor_knows_neither_its_neighbour_nor_tfx(package, others):
    for file in (REPOSITORY / package).rglob("*.py"):
        assert not set(imported(file)) & others, file
