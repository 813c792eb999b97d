"""What is declared is used, what is used is declared, and what is not installed is said in one line."""

from __future__ import annotations

import ast
import contextlib
import importlib.metadata as metadata
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import curation
from curation.errors import ConfigError, extras
from tests.benchmarks import environments
from tests.run import Curate

REPO = Path(__file__).parents[1]
PACKAGE = Path(curation.__file__).parent
PROJECT = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]

MODULE = {
    "earthengine-api": "ee",
    "google-auth": "google",
    "google-crc32c": "google_crc32c",
    "odc-geo": "odc",
    "pillow": "PIL",
    "planetary-computer": "planetary_computer",
    "pystac-client": "pystac_client",
    "pyyaml": "yaml",
    "stac-fastapi.api": "stac_fastapi",
    "stac-fastapi.extensions": "stac_fastapi",
    "stac-fastapi.types": "stac_fastapi",
}
"""What is imported of a distribution, where that is another name."""

BY_NAME = {
    "h5netcdf": "xarray writes netCDF with it, as the page on the Python way in does",
    "cryptography": "distributed makes the key of a local cluster with it",
    "bokeh": "distributed draws its dashboard with it",
}
"""Declared and not imported by us: who does, and what for."""

UNDECLARED = {"attr": "stac-fastapi's own classes are made with it, and it brings it along"}
"""Imported and not declared: why."""


def _module(requirement: str) -> str:
    name = re.match(r"[A-Za-z0-9._-]+", requirement)[0].lower()
    return MODULE.get(name, name.replace("-", "_"))


def _imported(files: Iterable[Path]) -> set[str]:
    """Top-level modules that files import, those of the standard library and of ours aside."""
    found = set()
    for path in files:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {a.name.split(".")[0] for a in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module.split(".")[0])
    return found - set(sys.stdlib_module_names) - {"curation"}


def _declared(extra: str | None = None) -> set[str]:
    listed = PROJECT["dependencies"] if extra is None else PROJECT["optional-dependencies"][extra]
    return {_module(r) for r in listed}


OF_EXTRA = {
    "earth": set((PACKAGE / "embedded").rglob("*.py")),
    "earthengine": {PACKAGE / "pack" / "labels" / "earthengine.py"},
    "onnx": {PACKAGE / "read" / "runtimes.py"},
    "lightning": {PACKAGE / "stream" / "lightning.py"},
    "huggingface": {PACKAGE / "stream" / "huggingface.py"},
    "graph": {PACKAGE / "pack" / "graph" / name for name in ("for_networkx.py", "hexagons.py")},
    "pyg": {PACKAGE / "pack" / "graph" / "for_pyg.py"},
}
"""Who imports what an extra brings along, and nobody else."""


def test_whatever_is_declared_is_imported_or_has_a_reason():
    used = _imported(PACKAGE.rglob("*.py")) | set(BY_NAME)
    assert _declared().union(_declared("dashboard"), *map(_declared, OF_EXTRA)) <= used
    assert set(BY_NAME) <= _declared() | _declared("dashboard")


def test_whatever_is_imported_is_declared_by_the_package_and_what_is_an_extra_s_by_whose_it_is():
    for extra, files in OF_EXTRA.items():
        assert _imported(files) <= _declared() | _declared(extra) | set(UNDECLARED)
    assert _imported(set(PACKAGE.rglob("*.py")).difference(*OF_EXTRA.values())) <= _declared()


def test_what_is_looked_for_of_an_extra_is_what_it_declares():
    assert set(extras.MODULES) == {*OF_EXTRA, "dashboard"}
    for extra in extras.MODULES:
        assert set(extras.MODULES[extra]) == _declared(extra)


def test_each_declared_version_is_pinned_and_nothing_is_pinned_twice():
    lines = (REPO / ".constraints.txt").read_text().splitlines()
    pinned = [_canonical(line.partition("==")[0]) for line in lines if line and not line.startswith("#")]
    assert len(set(pinned)) == len(pinned)
    wanted = [*PROJECT["dependencies"], *(r for of in PROJECT["optional-dependencies"].values() for r in of)]
    assert {_canonical(re.match(r"[A-Za-z0-9._-]+", r)[0]) for r in wanted} <= set(pinned)


def test_what_the_integration_tests_bring_beside_it_is_nothing_that_is_pinned():
    brought, pinned = (
        {_canonical(line.partition("==")[0]) for line in path.read_text().splitlines() if "==" in line}
        for path in (REPO / "tests" / "integration" / "packages.txt", REPO / ".constraints.txt")
    )
    assert len(brought) > 10
    assert brought & pinned == set(), "it would stand before ours in that environment"


@pytest.mark.torch  # what is pinned is for the Python that torch is there for
def test_whatever_is_pinned_is_there_because_something_asks_for_it():
    lines = (REPO / ".constraints.txt").read_text().splitlines()
    pinned = {_canonical(line.partition("==")[0]) for line in lines if line and not line.startswith("#")}
    wanted = [*PROJECT["dependencies"], *(r for of in PROJECT["optional-dependencies"].values() for r in of)]
    todo, asked = [Requirement(r) for r in wanted], set()
    while todo:
        its = todo.pop()
        key = (_canonical(its.name), frozenset(its.extras))
        if key in asked:
            continue
        asked.add(key)
        with contextlib.suppress(metadata.PackageNotFoundError):
            found = [Requirement(r) for r in metadata.requires(its.name) or []]
            todo += [
                r for r in found if r.marker is None or any(r.marker.evaluate({"extra": e}) for e in ("", *its.extras))
            ]
    assert sorted(pinned - {name for name, _ in asked}) == []


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


# ---- without an extra ------------------------------------------------------------------------------------------------

HIDDEN = """
import importlib.abc, os, sys
class Hide(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in os.environ["HIDDEN"].split():
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Hide())
"""


STEPS = "import sys; from curation.cli.main import main; sys.exit(next((c for a in eval(sys.argv[1]) if (c := main(a))), 0))"
"""Commands one after the other, until one fails: loading what they need takes seconds."""


def without(extra: str, *steps: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Commands, in a process of their own (and those that it starts) in which nothing of an extra can be imported."""
    (folder / "sitecustomize.py").write_text(HIDDEN)
    path = os.pathsep.join([str(folder), str(REPO), os.environ.get("PYTHONPATH", "")])
    env = os.environ | {"HIDDEN": " ".join(extras.MODULES[extra]), "PYTHONPATH": path}
    command = [sys.executable, *(["-c", STEPS, repr(steps)] if len(steps) > 1 else ["-m", "curation", *steps[0]])]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=250)


@pytest.mark.slow
def test_the_embedded_earth_without_its_extra_is_one_line_and_code_2(tmp_path: Path):
    arguments = ["--catalog", "embedded", "--region", "lower-rhine", "--season", "summer", "--limit", "1"]
    done = without("earth", [*arguments, "--root", str(tmp_path / "root")], folder=tmp_path)
    assert done.returncode == 2, done.stderr[-2000:]
    last = done.stderr.splitlines()[-1]
    assert last.startswith("curate: catalog embedded: wants packages that are not installed (stac_fastapi, fastapi")
    assert last.endswith("pip install 'curation[earth]'")
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_earth_engine_and_a_model_without_their_extras_are_one_line_and_code_2(built: Curate, tmp_path: Path):
    where = ["--dataset", str(built.world.recipe), "--root", str(built.root)]
    for extra, action in (("earthengine", ["earthengine"]), ("onnx", ["model", str(tmp_path / "m.onnx")])):
        done = without(extra, ["labels", *action, *where], folder=tmp_path)
        assert done.returncode == 2, done.stderr[-2000:]
        last = done.stderr.splitlines()[-1]
        assert last.endswith(f"({', '.join(extras.MODULES[extra])}): pip install 'curation[{extra}]'")
        assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_everything_else_does_without_the_earth_s_extra(built: Curate, tmp_path: Path):
    run = Curate(built.world, tmp_path / "root")
    done = without("earth", *map(run.arguments, ("build", "pack", "verify", "report")), folder=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    assert (run.folder / "report.html").exists(), "what the last of them writes"
    assert run.hashes() == built.hashes()


@pytest.mark.slow
@pytest.mark.parametrize("hidden", [True, False])
def test_a_dashboard_is_told_of_where_it_is_drawn_and_else_how_to_get_one(built: Curate, tmp_path: Path, hidden):
    arguments = Curate(built.world, tmp_path / "root").arguments("build", "--scheduler", "local", "--workers", "1")
    (tmp_path / "site").mkdir()
    done = without("dashboard" if hidden else "earth", [*arguments, "--limit", "1"], folder=tmp_path / "site")
    assert done.returncode == 0, done.stderr[-2000:]
    line = next(x for x in done.stderr.splitlines() if " tls://" in x)
    if hidden:
        assert line.endswith("no dashboard (pip install 'curation[dashboard]' for one)")
    else:
        assert re.search(r"dashboard http\S+/status$", line)


def test_a_check_passes_where_all_is_there(monkeypatch: pytest.MonkeyPatch):
    extras.check("earth", "x")
    monkeypatch.setitem(extras.MODULES, "earth", ("no_such_module", "numpy"))
    with pytest.raises(ConfigError, match=r"x: wants .*\(no_such_module\): pip install 'curation\[earth\]'"):
        extras.check("earth", "x")


def test_an_environment_that_is_to_run_the_reader_has_all_that_it_imports():
    rooms = ("stream", "format", "store", "errors")
    files = [PACKAGE / "model.py", *(path for room in rooms for path in (PACKAGE / room).rglob("*.py"))]
    brought = {_module(name) for name in (environments.TORCH, *environments.COMMON, *environments.READER)}
    # Each of these is imported where it is used: by a stock pipeline, by a loader whose state is kept by torchdata, by what
    # is of an extra, and for a picture.
    of_extras = _declared("lightning") | _declared("huggingface")
    assert _imported(files) - brought <= {"webdataset", "torchdata", "matplotlib"} | of_extras
    pinned = {pin.partition("==")[0] for pin in environments.PEERS["loops"]}
    assert set(environments.READER) <= pinned
