"""The house rules that a machine can see."""

import ast
import re
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BELOW = {"pipeline": {"transforms", "schemas"}, "transforms": {"schemas"}, "schemas": set()}
FILES = [path for package in BELOW for path in sorted((ROOT / package).rglob("*.py"))]


def imported(path: Path) -> set[str]:
    tree = ast.parse(path.read_text("utf-8"))
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names.add(node.module or "")
    return {name.split(".")[0] for name in names}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_one_way(path: Path) -> None:
    package = path.relative_to(ROOT).parts[0]
    ours = imported(path) & set(BELOW) - {package}
    assert ours <= BELOW[package]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_is_pickled_or_evaluated(path: Path) -> None:
    assert not imported(path) & {"pickle", "cloudpickle", "dill", "marshal", "shelve"}
    assert not re.search(r"\b(eval|exec)\(", path.read_text("utf-8"))


def test_schemas_know_no_beam() -> None:
    for path in (ROOT / "schemas").rglob("*.py"):
        assert "apache_beam" not in imported(path), path


def test_the_maths_and_the_reading_know_no_beam() -> None:
    for name in ("rarity", "history", "parse", "identify", "locate", "read", "cells"):
        assert "apache_beam" not in imported(ROOT / "transforms" / f"{name}.py"), name


@pytest.mark.parametrize("package", BELOW)
def test_nobody_else_owns_our_packages(package: str) -> None:
    assert set(packages_distributions()[package]) == {"raretrail"}


def test_files_stay_readable() -> None:
    for path in FILES:
        assert len(path.read_text("utf-8").splitlines()) <= 320, path
