"""What is installed from a wheel, built from the source distribution, runs the demo anywhere."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("pipeline", "schemas", "transforms")
DATA = (".yaml", ".avsc", ".typed")
SMALL = ["--accounts=2", "--people=5", "--machines=5", "--events=4000", "--days=4"]


def run(*command: object, cwd: Path, **environment: str) -> str:
    """What a command prints; fails with all that it told unless it ends well."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=clean | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def sources() -> set[str]:
    """The files that an installation needs, as they lie in the repository."""
    return {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.suffix in (".py", *DATA)
    }


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution, unpacked: what Beam's --setup_file sends to its workers."""
    copy = tmp_path_factory.mktemp("copy") / "raretrail"
    skipped = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "build", "dist", "demo")
    shutil.copytree(ROOT, copy, ignore=skipped)
    out = tmp_path_factory.mktemp("sdist")
    run(sys.executable, "-m", "build", "--sdist", "--no-isolation", "--outdir", out, cwd=copy)
    (archive,) = out.iterdir()
    with tarfile.open(archive) as tar:
        tar.extractall(out, filter="data")
    return out / archive.name.removesuffix(".tar.gz")


@pytest.fixture(scope="module")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, cwd=sdist)
    (path,) = out.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def fresh(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of a virtual environment that has the wheel, and the dependencies from here."""
    folder = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder)
    packages = next(folder.glob("lib/python*/site-packages"))
    paths = {sysconfig.get_path(kind) for kind in ("purelib", "platlib")}
    (packages / "dependencies.pth").write_text("\n".join(sorted(paths)), "utf-8")
    install = ["install", "--quiet", "--no-deps", "--no-index", "--no-warn-script-location"]
    pip = [sys.executable, "-m", "pip", "--python", folder / "bin" / "python"]
    run(*pip, *install, "--ignore-installed", "--disable-pip-version-check", wheel, cwd=folder)
    return folder / "bin"


def test_the_source_distribution_is_complete(sdist: Path) -> None:
    found = {str(path.relative_to(sdist)) for path in sdist.rglob("*") if path.is_file()}
    assert {"setup.py", "pyproject.toml", "README.md", "LICENSE"} <= found
    assert sources() <= found


def test_the_wheel_is_complete_and_holds_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        found = {name for name in archive.namelist() if ".dist-info/" not in name}
        metadata = archive.read(f"raretrail-{version('raretrail')}.dist-info/METADATA").decode()
    assert found == sources()
    assert any(name.startswith("pipeline/rules/") and name.endswith(".yaml") for name in found)
    assert any(name.startswith("pipeline/simulate/") and name.endswith(".yaml") for name in found)
    assert "schemas/avro/anomaly.avsc" in found
    assert "\n# raretrail" in metadata, "the README"


def test_the_code_is_that_of_the_wheel(fresh: Path, tmp_path: Path) -> None:
    asked = f"import json, {', '.join(PACKAGES)}; print(json.dumps(["
    asked += ", ".join(f"{package}.__file__" for package in PACKAGES) + "]))"
    places = json.loads(run(fresh / "python", "-c", asked, cwd=tmp_path))
    assert all(Path(place).is_relative_to(fresh.parent) for place in places), places
    told = run(fresh / "raretrail", "version", cwd=tmp_path)
    assert told == f"raretrail {version('raretrail')}\n"


def test_the_demo_runs_from_another_folder(fresh: Path, tmp_path: Path) -> None:
    run(fresh / "raretrail", "simulate", "town", *SMALL, cwd=tmp_path)
    arguments = ["town/logs", "--geoip_database", "town/city.mmdb", "--output", "out"]
    told = run(fresh / "raretrail", "run", *arguments, cwd=tmp_path)
    assert "Every record is accounted for." in told
    accounting = json.loads((tmp_path / "out" / "run.json").read_bytes())["accounting"]
    assert accounting["closes"] is True
    assert accounting["records"]["events"] > 4_000
    assert accounting["records"]["unreadable"] == 0
    assert all(cells["cells"] > 0 for cells in accounting["cells"].values())
    assert len(accounting["cells"]) == 2
    assert (tmp_path / "out" / "alerts.ndjson").exists()


def test_it_is_a_module_too(fresh: Path, tmp_path: Path) -> None:
    told = run(fresh / "python", "-m", "pipeline", "version", cwd=tmp_path)
    assert told.startswith("raretrail ")
