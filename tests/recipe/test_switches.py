"""What depends on a source's pick or kind stands in the file of that pick or kind, and is asked nowhere else."""

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

import curation
from curation.recipe import sources
from curation.recipe.sources import ArraySpec, Kind, Pick, SourceSpec

PACKAGE = Path(curation.__file__).parent

OWN = {
    "goes_with": {"build/picks/nearest.py", "build/picks/same_acquisition.py"},
    "one_orbit_direction": {"build/picks/nearest.py"},
    "hole_value": {"build/picks/mosaic.py"},
    "zero_is_nodata": {"build/pixels.py"},  # of all rasters
    "classes": {"build/kinds/classes.py"},
    "radar": {"build/power.py"},
    "elevation": set(),
    "swath": set(),
    "reader": set(),
    "role": {"recipe/sources.py", "build/kinds/swath.py", "read/swathgrid.py"},
}
"""Key of a source → files that may ask for it."""

TAGS = ("pick", "kind")
"""Keys of which anyone may ask what `Pick` and `Kind` answer, and nobody which of them it is."""

SWATH = {"build/kinds/swath.py", "read/swath.py", "read/swathgrid.py"}
"""What reads swaths may ask whether it was given one."""


def trees() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        # Of shards and their index the format has words of its own; the embedded Earth knows nothing of sources.
        if name.split("/")[0] not in ("embedded", "stream", "format", "examples"):
            yield name, ast.parse(path.read_text())


def modules(tree: ast.Module) -> set[str]:
    """Names that stand for what was imported: an attribute of theirs is no key of a source."""
    found = [n for n in ast.walk(tree) if isinstance(n, ast.Import | ast.ImportFrom)]
    return {a.asname or a.name.split(".")[0] for n in found for a in n.names}


def asked(name: str, tree: ast.Module) -> Iterator[str]:
    """Each place where a file asks what only another may."""
    parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    imported = modules(tree)
    for node in ast.walk(tree):
        if is_isinstance(node) and name not in SWATH and {getattr(n, "id", "") for n in ast.walk(node)} & CLASSES:
            yield f"{name}:{node.lineno}: asks which one it is"
        if not isinstance(node, ast.Attribute) or getattr(node.value, "id", "") in imported | {"entry"}:
            continue
        above = parents[node]
        if node.attr in OWN and name not in OWN[node.attr] and not is_slab_s(node) and not is_copied(above):
            yield f"{name}:{node.lineno}: asks for {node.attr}"
        answers = isinstance(above, ast.Attribute) and above.attr != "name"
        if node.attr in TAGS and not answers and not is_given(above) and not is_of_another(node):
            yield f"{name}:{node.lineno}: asks which {node.attr} it is"


def is_isinstance(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and getattr(node.func, "id", "") == "isinstance"


def is_of_another(node: ast.Attribute) -> bool:
    """Whether it is numpy's kind of a dtype, or TIFF's of a directory."""
    return ast.unparse(node.value).endswith("dtype") or getattr(node.value, "id", "") in ("i", "ifd")


def is_slab_s(node: ast.Attribute) -> bool:
    """Whether it is a slab's reader of files, or a loader's."""
    return node.attr == "reader" and getattr(node.value, "id", "") in ("slab", "self", "tools")


def is_copied(above: ast.AST) -> bool:
    """Whether a key is only told again, by its name: the index has an array's role, too."""
    return isinstance(above, ast.keyword) and above.arg == "role"


def is_given(above: ast.AST) -> bool:
    """Whether a pick or kind is handed on as a whole, to be asked what `Chooser`, `Follower` or `Files` say."""
    return isinstance(above, ast.Call | ast.Assign | ast.Tuple | ast.Return)


def files(folder: str) -> dict[str, type[sources.Strict]]:
    """Tag → class, of a folder of picks or kinds."""
    stems = sorted(p.stem for p in (PACKAGE / "build" / folder).glob("*.py") if p.stem != "__init__")
    tag = {stem: stem.replace("_", "-") for stem in stems}
    modules_ = {t: __import__(f"curation.build.{folder}.{s}", fromlist=["_"]) for s, t in tag.items()}
    return {t: getattr(m, t.title().replace("-", "")) for t, m in modules_.items()}


PICKS, KINDS = files("picks"), files("kinds")
CLASSES = {c.__name__ for c in itertools.chain(PICKS.values(), KINDS.values())} | {
    "Pick",
    "Kind",
    "Power",
    "Raster",
    "SwathSpec",
}


def test_no_switch_is_asked_outside_its_own_file():
    assert [place for name, tree in trees() for place in asked(name, tree)] == []


@pytest.mark.parametrize(
    "code",
    [
        "spec.goes_with", "spec.pick.hole_value is None", 'spec.pick == "mean"', 'if spec.pick in ("mean", "mosaic"): pass',
        'spec.pick.name == "mean"', "isinstance(spec.pick, Mosaic)", 'array.role == "mask"', "if spec.radar: pass",
        "not spec.kind", "match spec.kind:\n    case _: pass", "{True: 1}[source.spec.kind]",
    ],
)  # fmt: skip
def test_the_test_notices_a_switch_that_is_asked(code: str):
    assert len(list(asked("report/panels.py", ast.parse(code)))) >= 1


def test_the_twelve_are_keys_of_their_picks_and_kinds_or_gone():
    common = set(SourceSpec.model_fields)
    assert common & {*OWN, "season"} == set()
    keys = {key for model in (*PICKS.values(), *KINDS.values()) for key in model.model_fields}
    assert keys & set(OWN) == {"goes_with", "one_orbit_direction", "hole_value", "zero_is_nodata", "classes"}
    assert "role" in ArraySpec.model_fields


def test_each_file_of_a_pick_and_of_a_kind_is_one_of_them():
    assert set(PICKS) == {"clearest", "mean", "mosaic", "nearest", "same-acquisition"}
    assert set(KINDS) == {"classes", "elevation", "ground-range", "optical", "radar", "swath"}
    assert all(issubclass(c, Pick) for c in PICKS.values())
    assert all(issubclass(c, Kind) for c in KINDS.values())


def test_files_of_picks_and_kinds_are_found_by_their_names_alone():
    # Else one of them would have to be named in a second file. `mean` is of swaths, and says so.
    found = {
        (name, node.module)
        for name, tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        and (node.module or "").startswith(("curation.build.picks", "curation.build.kinds"))
    }
    assert found == {("build/picks/mean.py", "curation.build.kinds")}


def test_a_slab_is_handed_its_inputs_once():
    # One function of one file climbs to recipe, catalog and searches; patches and picks have what it found.
    climbing = {"dataset", "recipe", "catalog"}
    found = {
        f"{name}:{node.lineno}: {node.attr}"
        for name, tree in trees()
        if name.startswith("build/") and name != "build/slab.py"
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr in climbing
    }
    assert {f for f in found if not f.startswith("build/context.py")} == set()
    assert len(found) == 1  # what a job says of the folder that it writes to
