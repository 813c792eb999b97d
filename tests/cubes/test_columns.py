"""Columns of facts, for other readers: what rows and ledger say, whenever a build has ended, and proven."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from curation import pipeline
from curation.cubes import columns, contents, cube
from curation.cubes.chunks import encode_chunk
from curation.cubes.cube import FACTS, Cube
from curation.errors import CurationError
from curation.outcomes import Status
from curation.recipe.dataset import load_dataset
from curation.recipe.facts import DTYPE
from curation.store.ledger import Ledger
from curation.store.objects import Store
from curation.store.writer import Writer
from tests.run import Curate


@pytest.fixture(autouse=True)
def two_slabs_a_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cube, "COLUMN_PATCHES", 8)


@pytest.fixture(scope="module")
def blocks(built: Curate, tmp_path_factory: pytest.TempPathFactory) -> Curate:
    """A cube of seven slabs of four patches, whose columns are blocks of two slabs; a first part of it was built before."""
    mine = Curate(built.world, tmp_path_factory.mktemp("blocks"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cube, "COLUMN_PATCHES", 8)
        assert mine("build", "--season", "static,summer", "--limit", "10") == 0
        assert mine("build", "--season", "static,summer") == 0
    return mine


def ledger(mine: Curate) -> Ledger:
    return Ledger.replay(mine.store, "europe", "summer")


def said(mine: Curate, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What verify finds."""
    capsys.readouterr()
    mine("verify")
    return [x for x in capsys.readouterr().out.splitlines() if x.startswith(("FAULT ", "unfinished: "))]


def column_files(mine: Curate) -> list[Path]:
    folder = mine.folder / "cubes/europe/summer.zarr"
    return [
        p for f in Cube(mine.dataset, "europe", "summer").facts for p in (folder / f.name).rglob("c/*") if p.is_file()
    ]


def test_a_season_of_the_flagship_writes_seven_objects_a_slab():
    here = Cube(load_dataset("ssl4eo-s12-ml"), "africa", "summer")
    chunks = {name: {0: b"pixels"} for name in here.arrays}
    assert len(here.slab_objects(5, chunks, [{"status": 1}])) == len(here.arrays) + 1 == 7


def test_a_block_of_long_series_is_of_fewer_slabs(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.undo()
    here = Cube(load_dataset("ssl4eo-s12-ml"), "africa", "summer")
    patches = here.column_slabs * here.slab_patches
    assert patches == cube.COLUMN_PATCHES
    longest = max(f.length for f in here.facts)
    monkeypatch.setattr(cube, "COLUMN_VALUES", 100 * longest)
    assert Cube(here.dataset, "africa", "summer").column_slabs == 100 // here.slab_patches


def test_each_column_says_what_rows_and_ledger_say(blocks: Curate):
    raw = xr.open_zarr(blocks.folder / "cubes/europe/summer.zarr", decode_times=False).load()
    here, record = Cube(blocks.dataset, "europe", "summer"), ledger(blocks)
    assert {n: len(b.objects) for n, b in record.columns.items()} == dict.fromkeys(range(4), len(here.facts))
    rows = [json.loads(text) for text in raw[FACTS].values.tolist()]
    assert len(rows) == 25
    for fact in here.facts:
        expected = fact.column([row.get(fact.name) for row in rows], 25)
        assert raw[fact.name].dtype == expected.dtype or fact.type == "string"
        np.testing.assert_array_equal(raw[fact.name].values, expected, fact.name)
    assert raw.status.values.tolist() == [int(o.status) for o in record.outcomes()]
    assert {Status.OK, Status.REJECTED} <= set(raw.status.values.tolist())


def test_columns_that_a_stopped_build_did_not_write_are_written_by_the_next_and_are_no_fault(
    blocks: Curate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    mine = Curate(blocks.world, tmp_path)
    season = ("build", "--season", "static,summer")
    with monkeypatch.context() as stopped:
        stopped.setattr(pipeline.columns, "publish", lambda *_: "")
        assert mine(*season) == 0
    assert not column_files(mine)
    assert any("cube europe/summer not recorded" in line for line in said(mine, capsys))
    capsys.readouterr()
    assert mine(*season) == 0
    assert ", 0 to build" in capsys.readouterr().err
    assert said(mine, capsys) == []
    own = {p.relative_to(mine.folder): p.read_bytes() for p in column_files(mine)}
    assert own
    assert own == {p.relative_to(blocks.folder): p.read_bytes() for p in column_files(blocks)}


def test_a_cube_that_is_built_has_its_columns_though_the_build_of_the_next_one_is_stopped(
    blocks: Curate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    mine, stream = Curate(blocks.world, tmp_path), pipeline.cluster.stream

    def stopped(*args: Any) -> Iterator[Any]:
        for batch in stream(*args):
            if any(job.season != first for job, _ in batch):
                raise CurationError("stopped")
            yield batch

    first = "static"
    monkeypatch.setattr(pipeline.cluster, "stream", stopped)
    assert mine("build", "--season", "static,summer") == 1
    for season in ("static", "summer"):
        here, record = Cube(mine.dataset, "europe", season), Ledger.replay(mine.store, "europe", season)
        assert bool(record.columns) == (season == first)
        assert columns.stale(here, record) == []


def test_columns_are_written_again_of_blocks_alone_of_which_something_was_recorded(
    blocks: Curate, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    mine = Curate(blocks.world, tmp_path)
    assert mine("build", "--season", "static,summer", "--limit", "10") == 0
    before = {p: p.stat().st_mtime_ns for p in column_files(mine)}
    assert {p.name for p in before} >= {"0", "1"}
    first = ledger(mine).columns
    assert mine("build", "--season", "static,summer", "--limit", "14") == 0
    again = ledger(mine).columns
    assert (again.keys(), first.keys()) == ({0, 1}, {0, 1})
    assert again[0] == first[0]
    assert again[1].segment > first[1].segment
    assert columns.stale(Cube(mine.dataset, "europe", "summer"), ledger(mine)) == []
    assert mine("build", "--season", "static,summer", "--limit", "14") == 0
    assert ledger(mine).columns == again


def test_a_column_that_is_lost_is_made_again(blocks: Curate, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    mine = blocks.copy(tmp_path)
    victim = mine.folder / "cubes/europe/summer.zarr/s2l2a_time/c/1"
    data = victim.read_bytes()
    victim.unlink()
    (fault,) = said(mine, capsys)
    assert str(victim) in fault
    assert "the next build makes it again" in fault
    assert mine("build", "--season", "static,summer") == 0
    assert victim.read_bytes() == data
    assert said(mine, capsys) == []


def test_a_column_that_is_another_is_a_fault(blocks: Curate, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    mine = blocks.copy(tmp_path)
    victim = mine.folder / "cubes/europe/summer.zarr/s2l2a_time/c/1"
    victim.write_bytes(encode_chunk(np.full(8, 5.0), (8,), DTYPE["time"]))
    (fault,) = said(mine, capsys)
    assert str(victim) in fault
    assert "delete it, and the next build makes it again" in fault


def test_columns_are_not_made_of_rows_that_are_not_those_recorded(blocks: Curate, tmp_path: Path):
    mine = blocks.copy(tmp_path)
    here = Cube(mine.dataset, "europe", "summer")
    key = here.facts_key(0)
    rows = here.read_facts(mine.store, 0, 4)
    rows[0]["s2l2a_time"] = 5.0
    mine.store.publish(key, here.slab_objects(0, {}, rows)[key])
    opened = contents.opened(mine.dataset, mine.store, "europe", "summer")
    opened.ledger.columns.clear()
    assert key in columns.publish(opened.cube, mine.store, opened.ledger)
    assert opened.ledger.columns.keys() == {1, 2, 3}


def test_a_slab_that_is_damaged_costs_its_block_alone_and_the_build_says_what_it_came_to(
    blocks: Curate, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    mine = Curate(blocks.world, tmp_path)
    assert mine("build", "--season", "static,summer", "--limit", "6") == 0
    victim = mine.folder / Cube(mine.dataset, "europe", "summer").facts_key(0)
    data = victim.read_bytes()
    victim.write_bytes(data[:-5] + b"other")
    assert mine("build", "--season", "static,summer") == 1
    out, err = capsys.readouterr()
    assert "europe/summer: ok " in out
    assert str(victim) in err
    assert "Traceback" not in err
    record = ledger(mine)
    assert columns.stale(Cube(mine.dataset, "europe", "summer"), record) == [0]
    assert record.columns.keys() == {0, 1, 2, 3}
    assert mine("build", "--season", "static,summer") == 1
    victim.write_bytes(data)
    assert mine("build", "--season", "static,summer") == 0
    assert said(mine, capsys) == []


@pytest.mark.parametrize("where", ["here", "elsewhere"])
def test_who_has_nothing_to_build_takes_no_cube_from_who_builds_it(
    blocks: Curate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
):
    mine, few = Curate(blocks.world, tmp_path), ("build", "--season", "static,summer", "--limit", "10")
    with monkeypatch.context() as other:
        other.setattr(pipeline.columns, "publish", lambda *_: "")
        other.setattr(socket, "gethostname", lambda: "elsewhere")
        assert mine(*few) == 0
    segments = ledger(mine).segments
    assert columns.stale(Cube(mine.dataset, "europe", "summer"), ledger(mine)) == [0, 1]
    assert mine(*few) == 0
    assert ledger(mine).segments == segments
    with monkeypatch.context() as other:
        other.setattr(pipeline.columns, "publish", lambda *_: "")
        assert mine("build", "--season", "static,summer") == 0
    segments = ledger(mine).segments
    monkeypatch.setattr(Writer, "alive", lambda its: where == "here")
    assert mine("build", "--season", "static,summer") == 0
    assert (ledger(mine).segments > segments) == (where == "elsewhere")  # nothing is left to be built


def test_a_ledger_keeps_columns_by_block(tmp_path: Path):
    store = Store(tmp_path)
    made = Ledger.replay(store, "r", "s")
    made.acquire({})
    first, second = store.publish("a", b"1"), store.publish("b", b"2")
    made.record_columns(0, [first])
    made.record_columns(3, [first, second])
    made.record_columns(0, [second])
    for its in (made, Ledger.replay(store, "r", "s")):
        assert {n: (b.segment, [o.key for o in b.objects]) for n, b in its.columns.items()} == {
            0: (3, ["b"]),
            3: (2, ["a", "b"]),
        }
