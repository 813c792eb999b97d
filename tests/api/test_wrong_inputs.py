"""What a person may give to `curate import` and `curate verify` by mistake: each is told in one line, with what to do."""

from __future__ import annotations

import json
import re
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation.cli import main
from curation.outcomes import Status
from tests import foreign
from tests.api.test_importing import imported, small
from tests.foreign import curate_import
from tests.geotiff import write

PDF = b"%PDF-1.7\n" + bytes(range(256)) * 4


def said(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line that a command ended with."""
    err = capsys.readouterr().err
    assert "Traceback" not in err
    (line,) = [x for x in err.splitlines() if not re.match(r"\d\d:\d\d:\d\d ", x)]
    assert line.startswith("curate: ")
    return line


def put(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def cut_tar(folder: Path) -> Path:
    small(folder / "in")
    with tarfile.open(folder / "a.tar", "w") as tar:
        tar.add(folder / "in")
    return put(folder / "cut.tar", (folder / "a.tar").read_bytes()[:3000])


def empty(folder: Path) -> Path:
    (folder / "empty").mkdir()
    return folder / "empty"


SOURCES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "pdf": (lambda f: put(f / "a.pdf", PDF), "none of 1 file of .*a.pdf is called so, the first is a.pdf"),
    "pdf called tif": (
        lambda f: put(f / "p/a.tif", PDF).parent,
        "no chip of form 'tiff': is PDF .application/pdf., which",
    ),
    "pdf called tar": (lambda f: put(f / "a.tar", PDF), "cannot be listed as .tar .*get it again"),
    "pdf called parquet": (lambda f: put(f / "a.parquet", PDF), "cannot be listed as .parquet .*get it again"),
    "pdf called h5": (lambda f: put(f / "a.h5", PDF), "cannot be listed as .h5 .*get it again"),
    "cut tar": (cut_tar, "cut.tar: cannot be listed as .tar .*it is cut"),
    "empty folder": (empty, "empty: no file is in it; expected a folder of chips, a tar"),
    "nothing": (lambda f: f / "nope", "nope: no such folder or file; expected a folder of chips"),
    "url": (lambda f: "https://me:S3CRET@example.org/x.tar", "https://example.org/x.tar: a URL, expected a folder"),
}


@pytest.mark.parametrize("name", SOURCES)
def test_a_source_that_is_no_dataset(name: str, tmp_path: Path, capsys):
    make, match = SOURCES[name]
    recipe = foreign.write(tmp_path / "recipe", small(tmp_path / "chips"))
    assert main.main(["import", str(make(tmp_path)), "--as", str(recipe), "--root", str(tmp_path / "root")]) == 2
    line = said(capsys)
    assert re.search(match, line)
    assert "S3CRET" not in line
    assert not (tmp_path / "root").exists()


def rows(folder: Path, **keys: Any) -> Path:
    """A recipe for rows of Parquet."""
    recipe = small(folder / "chips")
    array = recipe["sources"]["s2"]["arrays"]
    use = foreign.ABOUT | {
        "files": r"(?P<id>.*\.parquet!\d+)$",
        "arrays": array,
        "form": {"name": "parquet-rows", "key": "png"},
    }
    made = recipe | {"place": {"lon": "lon", "lat": "lat"}, "table": {"rows": "*.parquet"}, "sources": {"s2": use}}
    return foreign.write(folder / "recipe", made | keys)


@pytest.mark.parametrize(
    ("columns", "keys", "match"),
    [
        (
            {"lon": [9.0], "lat": [50.0], "image": [b""]},
            {},
            "form: a.parquet has no column 'png'; .*columns: lon, lat, image",
        ),
        ({"lon": [9.0], "png": [b""]}, {}, r"no column 'lat'; .*columns: address, lon"),
        ({"png": [b""]}, {"table": {"rows": "*.csv"}}, "no row of a file of .* that is called so"),
    ],
)
def test_rows_without_a_column(columns: dict[str, Any], keys: dict[str, Any], match: str, tmp_path: Path, capsys):
    recipe = rows(tmp_path, **keys)
    (tmp_path / "data").mkdir()
    pq.write_table(pa.table(columns), tmp_path / "data/a.parquet")
    assert curate_import(tmp_path / "data", recipe, tmp_path / "root") == 2
    assert re.search(match, said(capsys))


def test_rows_that_are_no_parquet(tmp_path: Path, capsys):
    recipe = rows(tmp_path, table={"rows": "*.pdf"})
    put(tmp_path / "data/b.pdf", PDF)
    pq.write_table(pa.table({"png": [b""]}), tmp_path / "data/a.parquet")
    assert curate_import(tmp_path / "data", recipe, tmp_path / "root") == 2
    assert re.search(r"\[table\] rows = '\*\.pdf': .*b\.pdf: no Parquet file", said(capsys))


@pytest.mark.parametrize(
    ("name", "data", "match"),
    [
        ("t.pdf", PDF, "ending '.pdf': expected one of .csv"),
        ("t.json", b'{"a": 1}', "t.json: JSON of something else, expected a list of objects, one a sample, or GeoJSON"),
        ("t.json", b"[1, 2]", "t.json: JSON of something else, expected a list of objects"),
        ("t.json", b"\xff\xfe", "t.json: not JSON"),
        ("t.parquet", PDF, "t.parquet: not readable"),
    ],
)
def test_a_table_that_is_none(name: str, data: bytes, match: str, tmp_path: Path, capsys):
    recipe = small(tmp_path / "chips") | {"table": {"file": name, "id": "id"}}
    put(tmp_path / "recipe" / name, data)  # beside it: what lies among chips is listed
    assert curate_import(tmp_path / "chips", foreign.write(tmp_path / "recipe", recipe), tmp_path / "root") == 2
    assert match in said(capsys)


def test_a_picture_of_another_size_and_what_cannot_be_read_have_the_same_cause_each_time(tmp_path: Path, capsys):
    recipe = small(tmp_path / "chips", "abcdef")
    table = [{"id": n, "lon": 9.0 + k, "lat": 50.5} for k, n in enumerate("abcdef")]
    put(tmp_path / "chips/t.json", json.dumps(table).encode())
    recipe |= {"place": {"lon": "lon", "lat": "lat"}, "table": {"file": "t.json", "id": "id"}}
    recipe["sources"]["s2"]["mend"] = {"georeference": "ignore"}
    write(tmp_path / "chips/b.tif", np.ones((2, 9, 7), "uint16"), west=0, north=0, res_m=10)
    whole = (tmp_path / "chips/c.tif").read_bytes()
    put(tmp_path / "chips/c.tif", whole[: len(whole) // 2])
    put(tmp_path / "chips/d.tif", PDF)
    put(tmp_path / "chips/e.tif", b"II*\0" + bytes(100))
    packed = np.random.default_rng(0).integers(1, 5000, (2, 8, 8)).astype("uint16")
    write(tmp_path / "chips/f.tif", packed, west=0, north=0, res_m=10, compress="deflate")
    whole = (tmp_path / "chips/f.tif").read_bytes()
    put(tmp_path / "chips/f.tif", whole.replace(b"\x78\x9c", b"\x00\x00"))  # of zlib's streams the first bytes
    causes = []
    for into in ("one", "two"):
        its = imported(tmp_path / "chips", recipe, tmp_path / into)
        assert its.code == 1
        found = {name: o.sources["s2"] for name, o in its.outcomes().items()}
        assert [found[n].status for n in "ab"] == [Status.OK, Status.REJECTED]
        assert {found[n].status for n in "cdef"} == {Status.FAILED}
        causes.append([found[n].cause or "" for n in "bcdef"])
    assert causes[0] == causes[1]
    assert causes[0][0] == "9 × 7 pixels, expected 8 × 8 of 10 m"
    assert not any("/vsimem/" in cause or "previous exception" in cause for cause in causes[0])
    assert "e.tif" in causes[0][3]
    assert "IReadBlock failed" in causes[0][4]


def test_a_recipe_of_the_other_sort_or_none(tmp_path: Path, capsys):
    recipe, root = foreign.write(tmp_path / "recipe", small(tmp_path / "chips")), str(tmp_path / "root")
    build = Path(__file__).parents[2] / "manifests/ssl4eo-s12-ml/recipe.toml"
    pdf = put(tmp_path / "a.pdf", PDF)
    for given, match in (
        (build, r"has no table \[dataset\]: a recipe for `curate build`, expected one for `curate import`"),
        (recipe.parent, "--as .*recipe: a folder; expected a recipe for `curate import`"),
        (tmp_path / "nope", "no such file; expected a recipe for `curate import`"),
        (pdf, "not UTF-8 at byte .*expected a TOML file"),
    ):
        assert main.main(["import", str(tmp_path / "chips"), "--as", str(given), "--root", root]) == 2
        assert re.search(match, said(capsys))
    for verb, given, match in (
        ("build", recipe, r"no such file .*small.parquet; `curate import FROM --as .*small.toml` makes it"),
        ("verify", pdf, "a.pdf: is no recipe, expected a file that ends in .toml, or its folder"),
        ("verify", tmp_path / "nope", "no such dataset; known: .*ssl4eo-s12-ml"),
        ("verify", tmp_path / "chips", "no file .*chips/recipe.toml; write one with"),
        ("verify", recipe, "small: nothing is built there; build it first"),
    ):
        how = ["--scheduler", "none"] if verb == "build" else []
        assert main.main([verb, "--dataset", str(given), "--root", root, *how]) == 2
        assert re.search(match, said(capsys))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("made")
    return imported(folder / "chips", small(folder / "chips"), folder / "out")


@pytest.mark.parametrize("data", [PDF, b"", b"[]"], ids=["pdf", "empty", "list"])
@pytest.mark.parametrize(
    "file", ["shards/index.json", "shards/train/members.arrow", "shards/train/samples.parquet", "shards/train/*.tar",
             "ledger/world/static/*.jsonl"]
)  # fmt: skip
def test_verify_of_files_that_are_something_else(file: str, data: bytes, made: Any, capsys):
    path = next(made.folder.glob(file))
    whole = path.read_bytes()
    try:
        path.write_bytes(data)
        assert made.curate("verify") == 1
    finally:
        path.write_bytes(whole)
    out, err = capsys.readouterr()
    faults = [line for line in out.splitlines() if line.startswith("FAULT ")]
    assert any(path.name in line for line in faults)
    assert "Traceback" not in out + err


def test_a_record_of_files_that_is_none(made: Any, capsys):
    path = made.folder / "manifest/chips.parquet"
    whole = path.read_bytes()
    try:
        for data in (PDF, b""):
            path.write_bytes(data)
            capsys.readouterr()
            assert curate_import(made.source, made.recipe, made.root) == 1
            assert "chips.parquet: no table of files" in said(capsys)
    finally:
        path.write_bytes(whole)
