"""Imports go down only, and the torch side stays light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import curation

PACKAGE = Path(curation.__file__).parent

LEVELS = [
    {
        "model",
        "resources",
        "progress",
        "zarrshard",
        "lanes",
        "versions",
        "backscatter",
        "afterwards",
        "localfiles",
        "tables",
        "stopping",
    },
    {"printable", "trust", "hrefs", "storage", "extras"},
    {"atlas", "choice", "grid", "gridding", "sources", "radiometry", "shift", "store", "payload", "locations"},
    {"recipe", "clouds", "labels", "shardformat", "starter", "ledger", "facts", "complete", "fitness", "causes"},
    {"regions", "catalogs", "cube", "read", "stream"},
    {"locate", "search", "select"},
    {"candidates", "swathgrid", "sharing", "ocean"},
    {"build", "remaining", "probe"},
    {"roster", "arriving"},
    {"dealing", "leaving"},
    {"cluster"},
    {"pipeline"},
    {"shards", "estimate"},
    {"recorded", "drawing", "verify"},
    {"report", "show", "open_patch"},
    {"cli"},
    {"__main__"},
]
"""From the bottom up: a module imports from its own level or from below. `embedded` is a world of its own."""

PURE = {
    "model",
    "grid",
    "gridding",
    "sources",
    "radiometry",
    "clouds",
    "choice",
    "labels",
    "shift",
    "versions",
    "backscatter",
    "select",
    "zarrshard",
    "lanes",
    "facts",
    "complete",
    "payload",
    "printable",
    "fitness",
    "causes",
}
IO = {
    "store",
    "search",
    "read",
    "cube",
    "ledger",
    "cluster",
    "requests",
    "rasterio",
    "obstore",
    "pystac_client",
    "zarr",
}


def _top(module: str) -> str:
    return module.removeprefix("curation.").split(".")[0]


def _imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {a.name for a in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"curation.{a.name}" for a in node.names} if node.module == "curation" else {node.module}
    return found


def _files() -> dict[Path, str]:
    return {
        p: _top(p.relative_to(PACKAGE).as_posix().removesuffix(".py").replace("/", ".")) for p in PACKAGE.rglob("*.py")
    }


def test_every_module_has_a_level():
    known = set().union(*LEVELS) | {"embedded", "__init__"}
    assert {name for name in _files().values() if name not in known} == set()


def test_imports_go_down_only():
    level = {name: n for n, names in enumerate(LEVELS) for name in names}
    wrong = []
    for path, name in _files().items():
        if name in ("embedded", "__init__"):
            continue
        for module in _imports(path):
            other = _top(module)
            if module.startswith("curation.") and other in level and level[other] > level[name]:
                wrong.append(f"{path.name} (level {level[name]}) imports {other} (level {level[other]})")
    assert wrong == []


def test_pure_modules_do_no_input_or_output():
    wrong = [
        f"{path.name} imports {module}"
        for path, name in _files().items()
        if name in PURE
        for module in _imports(path)
        if (module.startswith("curation.") and _top(module) in IO) or module.split(".")[0] in IO
    ]
    assert wrong == []


def test_only_cluster_and_the_command_know_dask():
    users = {
        name
        for path, name in _files().items()
        if any(m.split(".")[0] in ("dask", "distributed") for m in _imports(path))
    }
    names_its_type = {"pipeline"}
    assert users <= {"cluster", "dealing", "arriving", "roster", "leaving", "probe"} | names_its_type


def test_nothing_in_the_pipeline_knows_that_a_catalog_is_embedded():
    users = {name for path, name in _files().items() if any("curation.embedded" in m for m in _imports(path))}
    assert users <= {"cli", "embedded"}


@pytest.mark.torch
def test_streaming_imports_no_dask_no_raster_library_and_no_stac():
    code = "import sys, curation.stream; print(*sorted({m.split('.')[0] for m in sys.modules}))"
    loaded = set(
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    )
    assert (
        loaded & {"dask", "distributed", "rasterio", "pystac", "pystac_client", "xarray", "zarr", "pydantic"} == set()
    )
