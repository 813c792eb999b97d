"""What depends on a source's pick or kind, or a rule of the split, stands in its own file, and is asked nowhere else."""

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

import curation
from curation.pack.sides import Rule
from curation.recipe import tagged
from curation.recipe.arrays import ArraySpec
from curation.recipe.files import folder
from curation.recipe.sourcefiles import NO_SOURCES
from curation.recipe.sources import Kind, Pick, SourceSpec
from curation.recipe.split import SplitRule
from curation.recipe.strict import StrictTable

PACKAGE = Path(curation.__file__).parent

OWN = {
    "goes_with": {"build/picks/drawn_on.py", "build/picks/nearest.py", "build/picks/same_acquisition.py"},
    "one_orbit_direction": {"build/orbits.py"},
    "hole_value": {"build/picks/mosaic.py"},
    "zero_is_nodata": {"build/pixels.py"},  # of all rasters
    "classes": {
        "build/coded.py",
        "build/kinds/classes.py",
        "pack/targets.py",
        "recipe/foreign.py",
        "recipe/schema.py",
        "recipe/shares.py",
        "worth/probe/labels.py",
        "worth/prune/gather.py",
    },  # a target has such, too, and a share; and labels of a foreign dataset
    "radar": {"build/power.py"},
    "elevation": set(),
    "swath": set(),
    "reader": set(),
    "role": {
        "recipe/foreignsource.py",  # which says it of its own arrays
        "recipe/arrays.py",
        "build/kinds/swath.py",
        "read/swathgrid.py",
        "pack/export/patch.py",
        "worth/features/patches.py",  # of the index's arrays: which are pixels
        "worth/prune/gather.py",
    },
}
"""Key of a source → files that may ask for it."""

TAGS = ("pick", "kind", "split")
"""Keys of which anyone may ask what `Pick`, `Kind` and `SplitRule` answer, and nobody which of them it is."""

SWATH = {"build/kinds/swath.py", "read/swath.py", "read/swathgrid.py"}
"""What reads swaths may ask whether it was given one."""

CASTS = {"build/context.py", "pack/split.py"}
"""Where a pick, a kind or a rule is taken for what building and packing ask of it; nobody else hands one on."""


def answers(base: type[StrictTable]) -> set[str]:
    """What anyone may ask of a tagged table: what its base says, but for the tag."""
    said = {n for n in vars(base) if not n.startswith(("_", "model_"))}
    return (said | set(base.model_fields)) - {"name", "rule"}


BASES = {"Pick", "Kind", "SplitRule"}

MAY = answers(Pick) | answers(Kind) | answers(SplitRule)

SOURCES = {p.stem for p in folder("stac_queries").glob("*.toml")} - set(NO_SOURCES)
"""Names that code knows nothing of."""


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
    held = set(holding(tree, imported))
    told = {id(n.value) for n in ast.walk(tree) if isinstance(n, ast.Expr)}  # docstrings
    for node in ast.walk(tree):
        if is_isinstance(node) and name not in SWATH and {getattr(n, "id", "") for n in ast.walk(node)} & CLASSES:
            yield f"{name}:{node.lineno}: asks which one it is"
        if isinstance(node, ast.MatchClass) and (ast.unparse(node.cls) in CLASSES or set(TAGS) & set(node.kwd_attrs)):
            yield f"{name}:{node.lineno}: asks which one it is"
        if isinstance(node, ast.Constant) and is_name_of_source(node.value) and id(node) not in told:
            yield f"{name}:{node.lineno}: knows a source by its name"
        if is_looked_up(node):
            yield f"{name}:{node.lineno}: looks a tag up by its name"
        its = is_held(node, imported) or node in held
        if its and name not in SWATH and not is_fair(node, parents, name):
            yield f"{name}:{node.lineno}: asks which {ast.unparse(node)} it is"
        if not isinstance(node, ast.Attribute) or getattr(node.value, "id", "") in imported | {"entry"}:
            continue
        if node.attr in OWN and name not in OWN[node.attr] and not is_slab_s(node) and not is_copied(parents[node]):
            yield f"{name}:{node.lineno}: asks for {node.attr}"


def is_held(node: ast.AST, imported: set[str]) -> bool:
    """Whether it is a pick, a kind or a rule: the attribute of that name, of something that has one."""
    if not isinstance(node, ast.Attribute) or node.attr not in TAGS or is_of_another(node):
        return False
    if node.attr == "split":
        return ast.unparse(node.value).endswith("recipe")
    return getattr(node.value, "id", "") not in imported | {"entry"}


def holding(tree: ast.Module, imported: set[str]) -> Iterator[ast.Name]:
    """Names that stand for a pick, a kind or a rule, where they are read: by what was put there, or by their annotation."""
    for scope in [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)] + [tree]:
        names = {a.arg for a in arguments(scope) if a.annotation is not None and ast.unparse(a.annotation) in BASES}
        before = None
        while before != names:  # a name may be put into another
            before = set(names)
            for target, value in pairs(scope):
                parts = [value, *getattr(value, "values", []), *[getattr(value, k, None) for k in ("body", "orelse")]]
                if any(p is not None and (is_held(p, imported) or getattr(p, "id", "") in names) for p in parts):
                    names.add(target.id)
        yield from reads(scope, names)


def arguments(scope: ast.AST) -> list[ast.arg]:
    """Those of a function or a lambda; none of a module."""
    its = getattr(scope, "args", None)
    return [*its.posonlyargs, *its.args, *its.kwonlyargs] if isinstance(its, ast.arguments) else []


def within(scope: ast.AST) -> Iterator[ast.AST]:
    """All nodes of a scope, functions in it without what is in them."""
    for node in ast.iter_child_nodes(scope):
        yield node
        if not isinstance(node, ast.FunctionDef | ast.Lambda):
            yield from within(node)


def reads(scope: ast.AST, names: set[str]) -> Iterator[ast.Name]:
    """Where any of the names is read, in functions of the scope, too, which do not call something else so."""
    for node in within(scope):
        if isinstance(node, ast.Name) and node.id in names and isinstance(node.ctx, ast.Load):
            yield node
        if isinstance(node, ast.FunctionDef | ast.Lambda):
            own = {a.arg for a in arguments(node)} | {target.id for target, _ in pairs(node)}
            yield from reads(node, names - own)


def pairs(scope: ast.AST) -> Iterator[tuple[ast.Name, ast.expr]]:
    """Each name and what is put there, one by one where several are."""
    for node in within(scope):
        for target in getattr(node, "targets", [getattr(node, "target", None)]):
            value = getattr(node, "value", None)
            if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
                yield from ((t, v) for t, v in zip(target.elts, value.elts, strict=False) if isinstance(t, ast.Name))
            elif isinstance(target, ast.Name) and isinstance(value, ast.expr):
                yield target, value


def is_fair(node: ast.AST, parents: dict[ast.AST, ast.AST], name: str) -> bool:
    """Whether it is asked what all of its like answer, put into a name, or taken for what a protocol says of all."""
    above = parents[node]
    if isinstance(above, ast.Attribute):
        return above.attr in MAY or above.attr in OWN  # which has its own files
    if isinstance(above, ast.Tuple):
        above = parents[above]
    if isinstance(above, ast.Assign):
        return all(isinstance(n, ast.Name | ast.Tuple) for n in above.targets)
    return isinstance(above, ast.Call) and ast.unparse(above.func) == "cast" and name in CASTS


def is_looked_up(node: ast.AST) -> bool:
    """Whether a pick or kind is got at by the word."""
    words = [node.slice] if isinstance(node, ast.Subscript) else getattr(node, "args", [])
    by_word = isinstance(node, ast.Subscript) or (
        isinstance(node, ast.Call)
        and ast.unparse(node.func).split(".")[-1] in ("getattr", "hasattr", "get", "attrgetter")
    )
    return by_word and any(isinstance(w, ast.Constant) and w.value in ("pick", "kind") for w in words)


def is_name_of_source(value: object) -> bool:
    return isinstance(value, str) and any(value == s or value.startswith(f"{s}_") for s in SOURCES)


def is_isinstance(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("isinstance", "issubclass")


def is_of_another(node: ast.Attribute) -> bool:
    """Whether it is numpy's kind of a dtype, TIFF's of a directory, an annotation's, or what a recipe says of a pick."""
    return ast.unparse(node.value).endswith("dtype") or getattr(node.value, "id", "") in ("i", "ifd", "use", "note")


def is_slab_s(node: ast.Attribute) -> bool:
    """Whether it is a slab's reader of files, or a loader's."""
    return node.attr == "reader" and getattr(node.value, "id", "") in ("slab", "self", "tools")


def is_copied(above: ast.AST) -> bool:
    """Whether a key is only told again, by its name: the index has an array's role, too."""
    return isinstance(above, ast.keyword) and above.arg == "role"


def files(package: str) -> dict[str, type[StrictTable]]:
    """Tag → class, of a folder of picks, kinds or rules."""
    path = PACKAGE.parent / package.replace(".", "/")
    stems = sorted(p.stem for p in path.glob("*.py") if p.stem != "__init__")
    tag = {stem: stem.replace("_", "-") for stem in stems}
    modules_ = {t: __import__(f"{package}.{s}", fromlist=["_"]) for s, t in tag.items()}
    return {t: getattr(m, t.title().replace("-", "")) for t, m in modules_.items()}


PICKS, KINDS, RULES = (files(package) for package in (tagged.PICKS, tagged.KINDS, tagged.SPLITS))
CLASSES = {c.__name__ for c in itertools.chain(PICKS.values(), KINDS.values(), RULES.values())} | {
    *BASES,
    "Rule",
    "Power",
    "Coded",
    "RasterKind",
    "ByOrbit",
    "CompositePick",
    "OneScene",
    "SwathSpec",
}


def test_no_switch_is_asked_outside_its_own_file():
    assert [place for name, tree in trees() for place in asked(name, tree)] == []


@pytest.mark.parametrize(
    "code",
    [
        "spec.pick.follows", "spec.kind.legend", "pick = spec.pick\npick.follows", "i = spec.dtype.kind\ni.name",
        "rule = recipe.split\nrule.buffer_km", "text.split.name", 'def f():\n    """s2l2a"""',
        "kind = spec.kind\nf = lambda kind: kind.name",
        "def f():\n    kind = spec.kind\ndef g(kind: str):\n    return kind.name",
    ],
)  # fmt: skip
def test_what_all_of_them_answer_may_be_asked_by_anyone(code: str):
    assert list(asked("report/panels.py", ast.parse(code))) == []


@pytest.mark.parametrize(
    "code",
    [
        "spec.goes_with", "spec.pick.hole_value is None", 'spec.pick == "mean"', 'if spec.pick in ("mean", "mosaic"): pass',
        'spec.pick.name == "mean"', "isinstance(spec.pick, Mosaic)", 'array.role == "mask"', "if spec.radar: pass",
        "not spec.kind", "match spec.kind:\n    case _: pass", "{True: 1}[source.spec.kind]",
        # Ways round: by another name, by its class, by a word.
        'kind = spec.kind; kind.name == "radar"', 'a, kind = 1, spec.kind\nif kind.name == "radar": pass',
        'one = spec.kind\ntwo = one\ntwo.name', 'its = spec.pick if spec else None\nits.name',
        'def f(kind: Kind) -> bool:\n    return kind.name == "radar"', '(kind := spec.kind).name == "radar"',
        'hasattr(spec.pick, "goes_with")', 'getattr(spec.pick, "goes_with", None)', 'getattr(spec, "pick").goes_with',
        "type(spec.pick)", "spec.kind.__class__", "kind = spec.kind\ntype(kind) is Radar", 'vars(spec.kind)["name"]',
        'spec.model_dump()["pick"]', 'spec.model_dump().get("kind")', "spec.pick.model_dump()", "str(spec.pick)",
        'spec.kind.picture == "radar"', 'f"{spec.kind}" == "x"', "def kind_of(spec):\n    return spec.kind",
        "self.held = spec.kind", "kind = spec.kind\ndef f():\n    return kind.name",
        "[s.kind for s in specs]", "match spec:\n    case SourceSpec(kind=k): pass",
        "match it:\n    case Radar(): pass", "issubclass(c, Radar)", "ask(spec.kind)", "lambda: spec.pick",
        'spec.name == "s1rtc"', 'name in ("dem", "worldcover")', '{"worldcover2020": 1}[spec.name]',
        'name.startswith("s2l2a_scl")', 'recipe.split.rule == "blocks"', "isinstance(recipe.split, Column)",
        "rule = self.recipe.split\nrule.rule", "rule = self.recipe.split\nrule.val_fraction", "type(recipe.split)",
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
    assert set(PICKS) == {
        "all",
        "chip",
        *(
            "clear-mean",
            "clearest",
            "first-after",
            "first-valid",
            "latest-before",
            "mean",
            "median",
            "medoid",
            "mosaic",
        ),
        *("drawn-on", "nearest", "same-acquisition"),
    }
    assert set(KINDS) == {"classes", "elevation", "ground-range", "optical", "radar", "swath", "vectors"}
    assert all(issubclass(c, Pick) for c in PICKS.values())
    assert all(issubclass(c, Kind) for c in KINDS.values())


def test_each_file_of_a_rule_is_one():
    assert set(RULES) == {"blocks", "column", "folds", "leave-out", "platform", "wilds"}
    assert all(issubclass(c, Rule) for c in RULES.values())


def test_files_of_picks_kinds_and_rules_are_found_by_their_names_alone():
    # Else one of them would have to be named in a second file. `mean` is of swaths, and says so.
    found = {
        (name, node.module)
        for name, tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        and (node.module or "").startswith((tagged.PICKS, tagged.KINDS, tagged.SPLITS))
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
