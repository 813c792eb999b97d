"""Keys are made and parsed in one place."""

from __future__ import annotations

import ast
import itertools
import re
from pathlib import Path

import pytest

import curation
from curation.errors import ConfigError
from curation.places import regions
from curation.store import paths

PACKAGE = Path(curation.__file__).parent

KEYS = re.compile(
    r"""["'{](cubes|ledger|scenes|shards|packing)/\{|(?<!application/vnd)\.zarr["']"""
    r"""|\.jsonl["']|["']manifest/|/c/"""
)
"""What a key is known by in code; a media type is none."""


@pytest.mark.parametrize("level", ["", "children"])
@pytest.mark.parametrize("season", ["static", "2021-01"])
def test_what_is_made_is_parsed_again(level: str, season: str):
    name = paths.folder("bbox-m5p1-2", level)
    assert (paths.region_of(name), paths.level_of(name)) == ("bbox-m5p1-2", level)
    prefix, ledger = paths.cube(name, season), paths.ledger(name, season)
    segments = [paths.segment(ledger, n) for n in (1, 0)]
    for key in (prefix, f"{prefix}/zarr.json", paths.chunk(prefix, "dem_30m", 7, axes=4), ledger, *segments):
        assert paths.cube_of(key) == (name, season)
    assert paths.ledgers_among([*segments, f"{ledger}/more/below"]) == [(name, season)]
    for axes in (1, 2, 4):
        assert paths.slab_of(prefix, paths.chunk(prefix, "dem_30m", 7, axes)) == ("dem_30m", 7)
    assert paths.slab_of(prefix, f"{prefix}/dem_30m/zarr.json") is None


def test_no_region_s_name_has_the_dot_that_a_level_begins_with(tmp_path: Path):
    file = tmp_path / "a.children.geojson"
    file.write_text('{"type": "Polygon", "coordinates": [[[6, 50], [7, 50], [7, 51], [6, 50]]]}')
    names = [*regions.named(), regions.from_file(file).name, regions.from_bbox("-6.25,50.5,-6.125,51").name]
    assert [n for n in names if paths.level_of(n)] == []


@pytest.mark.parametrize("text", ["", "a/b", "a//c", "a/b/c/d"])
def test_what_names_no_patch_is_refused(text: str):
    with pytest.raises(ConfigError, match="expected REGION/SEASON/ID, such as"):
        paths.patch_of(text)


@pytest.mark.parametrize("waiting", [False, True])
def test_shards_and_their_receipts_lie_where_they_are_looked_for(waiting: bool):
    name = paths.tar("tiny", "train", 7)
    key, part = paths.shard(name, waiting=waiting), paths.part("train", 7, waiting=waiting)
    assert (name, key) == ("train/tiny-train-000007.tar", f"{'packing/new' if waiting else 'shards'}/{name}")
    assert part == f"packing/{'new/' if waiting else ''}train-000007.json"
    assert paths.is_waiting(key) == paths.is_waiting(part) == waiting
    assert (paths.is_tar(key), paths.is_tar(part)) == (True, False)
    assert not any(map(paths.is_tar, paths.tables("train")))


FOLDERS = {n for n, value in vars(paths).items() if n.isupper() and isinstance(value, str)}
"""Names of what keys begin with, or are: the constants of `paths`."""

ASKED = ("where", "child", "head", "heads", "list", "publish", "delete", "move", "get_range")
"""What a store is asked with a key. Not `get`, which tables have, too."""


def of_a_folder(node: ast.AST) -> bool:
    """Whether a node is such a constant, by itself or as `paths.SHARDS`."""
    return getattr(node, "id", getattr(node, "attr", None)) in FOLDERS


def says_a_folder(node: ast.AST) -> bool:
    """Whether a node is a text, plain or formatted, that begins with a folder's name or ends one."""
    first = node.values[0] if isinstance(node, ast.JoinedStr) and node.values else node
    folders = {getattr(paths, n).partition("/")[0] for n in FOLDERS} | {"scenes"}
    return isinstance(first, ast.Constant) and str(first.value).partition("/")[0] in folders


FILE = re.compile(r"[a-z0-9_-]+\.(html|json|jsonl|parquet|arrow)")
"""What a key of one file is known by, wherever it stands: a text that is such a name and nothing else."""

ZARR_S = "zarr.json"
"""A name that Zarr gives, within a cube."""


def is_file(node: ast.AST) -> bool:
    """Whether a node is a text that names a file of a dataset."""
    if not isinstance(node, ast.Constant) or not isinstance(node.value, str) or node.value == ZARR_S:
        return False
    return FILE.fullmatch(node.value) is not None


def makes_a_key(node: ast.AST) -> bool:
    """Whether a node puts a key together from a folder's name, asks a store with one of its own, or spells a file's."""
    if is_file(node):
        return True
    if isinstance(node, ast.JoinedStr):
        parts = [(v.value, after) for v, after in itertools.pairwise([*node.values, None]) if hasattr(v, "conversion")]
        return any(of_a_folder(v) and str(getattr(after, "value", "")).startswith("/") for v, after in parts)
    if isinstance(node, ast.BinOp):
        return isinstance(node.op, ast.Add | ast.Div) and of_a_folder(node.left)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
        asked = says_a_folder(node.args[0])
        joins = node.func.attr == "join" and any(map(of_a_folder, ast.walk(node.args[0])))
        return joins or (node.func.attr in ASKED and asked)
    return False


@pytest.mark.parametrize(
    "text",
    [
        'f"{SHARDS}/{job.key}"',
        'f"{paths.SHARDS}/{INDEX}"',
        'key.startswith(f"{STAGE}/")',
        'paths.PARTS + "/a.json"',
        '"/".join([paths.SHARDS, name])',
        'store.where("ledger")',
        'store.child("shards")',
        'store.head("manifest/split.parquet")',
        'store.list(f"scenes/{slug}")',
        'KEY = "report.html"',
        'store.publish("report.html", page)',
        'where, key = (store, "summary.json") if out is None else (other, out.name)',
        'folder / "samples.parquet"',
    ],
)
def test_each_way_of_making_a_key_is_seen(text: str):
    assert any(map(makes_a_key, ast.walk(ast.parse(text))))


@pytest.mark.parametrize(
    "text",
    [
        "store.child(paths.SHARDS)",
        "paths.shard(INDEX)",
        'f"{FAILURES} names each sample"',
        'value.get("scenes", ())',
        'store.where("")',
        "store.list(paths.CUBES)",
        'env.get_template("report.html.j2")',
        'parser.add_argument("--out", help="default: <root>/<dataset>/report.html")',
        'last = "zarr.json"',
        "store.publish(paths.REPORT, page)",
    ],
)
def test_what_makes_none_is_passed(text: str):
    assert not any(map(makes_a_key, ast.walk(ast.parse(text))))


def test_no_other_file_makes_a_key_or_parses_one():
    # What is told to people, and what the format of shards calls its own, is no key.
    found = set()
    for path in PACKAGE.rglob("*.py"):
        own = path.relative_to(PACKAGE)
        if own.as_posix() == "store/paths.py" or own.parts[0] == "embedded":
            continue
        text = path.read_text()
        lines = text.splitlines()
        nodes = [n for n in ast.walk(ast.parse(text)) if not (own.parts[0] == "format" and is_file(n))]
        made = {node.lineno for node in nodes if makes_a_key(node)}
        made |= {n for n, line in enumerate(lines, 1) if KEYS.search(line)}
        found |= {f"{own}:{n}: {lines[n - 1].strip()}" for n in made}
    assert found == set()
