"""Rooms are entered from above only, few arrows lead between them, and the torch side stays light."""

import ast
import functools
import graphlib
import importlib.util
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import curation
from curation.recipe import tagged

PACKAGE = Path(curation.__file__).parent

LEVELS = [
    {"errors"},
    {"model", "outcomes"},
    {"store", "format"},
    {"recipe"},
    {"places", "work", "stream"},
    {"read"},
    {"cubes", "scenes"},
    {"build", "pack"},
    {"verify", "pipeline", "worth"},
    {"report"},
    {"api"},
    {"cli"},
    {"__main__"},
]
"""From the bottom up: a room imports from below only. `embedded` is a world of its own."""

APART = {"embedded", "examples", "__init__"}
"""What is no room of the product: the Earth that stands in for archives, programs to be copied, the package's own words."""

MOST_ROOMS, MOST_ARROWS = 21, 122
"""On the top level, the embedded Earth and the command included. More of either, and nobody keeps them in mind."""

MOST_LINES = 450
"""Of a file."""

PURE = {
    "build.choice",
    "build.clouds",
    "cubes.complete",
    "cubes.facts",
    "cubes.labels",
    "cubes.zarrshard",
    "errors.causes",
    "errors.printable",
    "errors.words",
    "format.bands",
    "format.content",
    "format.names",
    "format.payload",
    "format.signature",
    "model",
    "outcomes",
    "pack.labels.known",
    "pack.terrain",
    "places.grid",
    "read.backscatter",
    "read.gridding",
    "read.media",
    "read.radiometry",
    "read.shift",
    "read.versions",
    "read.warp",
    "recipe.bands",
    "recipe.derived",
    "recipe.digests",
    "recipe.facts",
    "recipe.formula",
    "recipe.sources",
    "recipe.swath",
    "scenes.acquisition",
    "scenes.rank",
    "scenes.spelling",
    "store.paths",
    "work.fitness",
    "work.neighbours",
}
IO = {
    "curation.store.bucket",
    "curation.store.folder",
    "curation.store.objects",
    "curation.store.ledger",
    "curation.scenes.api",
    "curation.read.ranges",
    "curation.read.reader",
    "curation.cubes.cube",
    "curation.work.cluster",
    "requests",
    "obstore",
    "pystac_client",
    "zarr",
}


def _module(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix().removesuffix(".py").removesuffix("/__init__").replace("/", ".")


FILES = {_module(p): p for p in PACKAGE.rglob("*.py")}
TREES = {name: ast.parse(p.read_text()) for name, p in FILES.items()}


def _room(module: str) -> str:
    return module.split(".")[0]


@functools.cache
def _imports(name: str) -> set[str]:
    """What a module imports, anywhere in it: modules of ours below `curation.` as modules, others by their names."""
    found = set()
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.Import):
            found |= {a.name for a in node.names}
        elif isinstance(node, ast.ImportFrom):
            module = _named(node, name)
            for alias in node.names:
                whole = f"{module}.{alias.name}"
                found.add(whole if whole.removeprefix("curation.") in FILES else module)
    return found


def _named(node: ast.ImportFrom, name: str) -> str:
    """What an import is from, by its whole name: one with dots is told from the module that it stands in."""
    if not node.level:
        return node.module or ""
    is_package = FILES[name].name == "__init__.py"
    parts = ["curation", *([] if name == "__init__" else name.split("."))]
    above = parts[: len(parts) - node.level + is_package] if name != "__init__" else ["curation"]
    return ".".join([*above, *filter(None, [node.module])])


def _ours(name: str) -> set[str]:
    return {m.removeprefix("curation.") for m in _imports(name) if m.startswith("curation.")}


def _arrows() -> Iterator[tuple[str, str, str]]:
    """Room, room, and an import that leads from the one to the other."""
    for name in FILES:
        for other in _ours(name):
            if _room(name) not in APART - {"embedded"} and _room(name) != _room(other):
                yield _room(name), _room(other), f"{name} imports {other}"


@pytest.mark.parametrize(
    ("name", "code", "found"),
    [
        ("read.reader", "from ..build import slab", "curation.build.slab"),
        ("read.reader", "from . import warp", "curation.read.warp"),
        ("read.reader", "from .warp import of", "curation.read.warp"),
        ("read.reader", "from .. import pipeline", "curation.pipeline"),
        ("read.reader", "from ..build.slab import build_slab", "curation.build.slab"),
        ("build.picks.mean", "from ...report.page import write", "curation.report.page"),
        ("build.picks", "from ..slab import build_slab", "curation.build.slab"),
        ("build.picks", "from . import mean", "curation.build.picks.mean"),
        ("pipeline", "from .api import folder", "curation.api.folder"),
        ("__init__", "from .api.folder import load", "curation.api.folder"),
        ("__init__", "from . import api", "curation.api"),
        ("read.reader", "from curation.build import slab", "curation.build.slab"),
        ("read.reader", "import curation.build.slab", "curation.build.slab"),
    ],
)
def test_each_way_of_importing_is_seen_with_its_room(name: str, code: str, found: str, monkeypatch):
    monkeypatch.setitem(TREES, name, ast.parse(code))
    assert _imports.__wrapped__(name) == {found}


def test_every_module_can_be_imported():
    # On a newer Python, and without torch, too (`.ci/newer`): what warns of that it will be gone is an error.
    torch = {"stream", "examples"} if importlib.util.find_spec("torch") is None else set()
    for name in FILES:
        if _room(name) not in torch and not name.endswith("__main__"):  # which run
            importlib.import_module("curation" if name == "__init__" else f"curation.{name}")


def test_every_room_has_a_level():
    assert {_room(name) for name in FILES} - set().union(*LEVELS) - APART == set()


def test_imports_go_down_only():
    level = {name: n for n, names in enumerate(LEVELS) for name in names}
    wrong = [said for a, b, said in _arrows() if a in level and b in level and level[b] >= level[a]]
    assert wrong == []


def test_there_are_few_rooms_and_few_arrows_between_them():
    rooms = {_room(name) for name in FILES} - {"__init__", "__main__", "examples"}
    arrows = {(a, b) for a, b, _ in _arrows() if a != "__main__"}
    assert len(rooms) <= MOST_ROOMS
    assert len(arrows) <= MOST_ARROWS


def test_no_modules_import_one_another_in_a_circle():
    graph = {name: {m for m in _ours(name) if m in FILES and m != name} for name in FILES}
    list(graphlib.TopologicalSorter(graph).static_order())  # raises CycleError, which names them


def test_one_file_puts_the_steps_of_building_and_packing_in_order():
    arrows = {(a, b) for a, b, _ in _arrows()}
    assert {a for a, b in arrows if b == "build"} & {a for a, b in arrows if b == "pack"} == {"pipeline"}


def test_no_file_is_too_long_to_be_read_at_once():
    lines = {name: len(p.read_text().splitlines()) for name, p in FILES.items()}
    assert {name: n for name, n in lines.items() if n > MOST_LINES} == {}


def test_what_is_found_by_its_name_is_a_pick_or_a_kind_or_a_rule():
    # The one way up: a file that says which keys it has, found when a source or a recipe that names it is read.
    calls = {
        (name, ast.unparse(node))
        for name, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "importlib.import_module"
    }
    assert {name for name, _ in calls} - {"work.probe"} == {"recipe.tagged"}
    folders = {"curation.build.picks", "curation.build.kinds", "curation.pack.splits", "curation.read.forms"}
    assert {tagged.PICKS, tagged.KINDS, tagged.SPLITS, tagged.FORMS} == folders


def test_examples_are_imported_by_nobody():
    assert [said for _, b, said in _arrows() if b == "examples"] == []


def test_the_words_of_a_room_import_nothing_heavy():
    # `stream` is what its users import; the others hold words, or definitions that need nothing.
    light = {"errors", "recipe.atlas", "embedded"}
    for name, path in FILES.items():
        # What the package itself imports is for those who check types: the next test looks at what it loads.
        if path.name == "__init__.py" and name not in {"__init__", "stream", *light}:
            assert {m for m in _imports(name) if m.split(".")[0] not in sys.stdlib_module_names} == set(), name


def test_the_package_loads_nothing_before_it_is_asked():
    code = "import sys, curation; dir(curation); print(*(m for m in sys.modules if m not in sys.stdlib_module_names))"
    loaded = subprocess.run(
        [sys.executable, "-S", "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(PACKAGE.parent)},
    )
    ours = {m for m in loaded.stdout.split() if m.split(".")[0] not in sys.stdlib_module_names}
    assert ours <= {"curation", "__main__"}


def test_where_a_patch_lies_is_known_without_a_draw():
    code = "import sys, curation.places.grid; print(*sorted(m for m in sys.modules if m.startswith('curation.')))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert {m for m in loaded if m.startswith("curation.places.")} == {"curation.places.grid"}


def test_pure_modules_do_no_input_or_output():
    assert set(FILES) >= PURE
    wrong = [
        f"{name} imports {module}"
        for name in PURE
        for module in _imports(name)
        if module in IO or module.split(".")[0] in IO
    ]
    assert wrong == []


def test_only_the_room_of_work_knows_dask():
    users = {name for name in FILES if any(m.split(".")[0] in ("dask", "distributed") for m in _imports(name))}
    assert {_room(name) for name in users} <= {"work"}


def test_only_the_way_in_knows_that_a_catalog_is_embedded():
    users = {_room(name) for name in FILES if any(_room(m) == "embedded" for m in _ours(name))}
    assert users <= {"api", "embedded"}


def test_the_embedded_earth_imports_nothing_of_the_product():
    # What it serves is measured by the product's code: shared code would be wrong in both.
    assert {_room(m) for name in FILES if _room(name) == "embedded" for m in _ours(name)} == {"embedded"}


@pytest.mark.torch
def test_streaming_imports_no_dask_no_raster_library_and_no_stac():
    code = "import sys, curation.stream; print(*sorted({m.split('.')[0] for m in sys.modules}))"
    loaded = set(
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    )
    assert (
        loaded & {"dask", "distributed", "rasterio", "pystac", "pystac_client", "xarray", "zarr", "pydantic"} == set()
    )


def test_the_papers_name_files_and_rooms_that_there_are():
    text = (PACKAGE / "ARCHITECTURE.md").read_text()
    named = set(re.findall(r"`((?:[a-z0-9_]+/)*[a-z0-9_]+\.py)`", text))
    missing = {
        name
        for name in named
        if not any((folder / name).is_file() for folder in (PACKAGE, Path(__file__).parent, *PACKAGE.iterdir()))
    }
    assert missing == set()
    rooms = set(re.findall(r"^\| (.*?) \|", text, re.MULTILINE)) & {f"`{_room(name)}/`" for name in FILES}
    assert rooms >= {f"`{_room(name)}/`" for name in FILES if (PACKAGE / _room(name)).is_dir()} - {"`__init__/`"}


def test_no_two_classes_of_the_product_have_one_name():
    of: dict[str, list[str]] = {}
    for name, tree in TREES.items():
        if _room(name) not in APART:
            for node in ast.walk(tree):
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    of.setdefault(node.name, []).append(name)
    assert {name: where for name, where in of.items() if len(where) > 1} == {}
