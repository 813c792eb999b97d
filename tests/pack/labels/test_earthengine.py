"""Dynamic World asked of Earth Engine: the labels of a build with maps, each map once, whatever the service does."""

from __future__ import annotations

import dataclasses
import datetime as dt
import itertools
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import rasterio
import shapely
from rasterio.io import MemoryFile

from curation.cli import main
from curation.cubes.contents import opened
from curation.errors import NoTileError
from curation.outcomes import Reject
from curation.pack.labels import earthengine, imported, making
from curation.pack.labels.earthengine import EarthEngine
from curation.pack.labels.making import Wanted
from curation.scenes import session
from curation.store import paths, trust
from curation.verify.found import Verified
from curation.verify.labels import check_labels
from tests import world as tiny
from tests.authority import authority_in
from tests.loopback import serving
from tests.pack.labels.engine import MAIL, OTHER_MAIL, PROJECT, Engine, Image, serving_engine
from tests.pack.labels.files import labels, metas
from tests.processes import started
from tests.run import Curate

JULY = "20210710T103000_20210710T103407_T32ULC"
SCENE = "S2A_MSIL2A_20210710T103000_N0500_T32ULC"
OK_MAPS, NO_MAPS = 12, 3 + 8
"""Patches of that image; and of 16 July and of autumn, which the collection lacks."""


@pytest.fixture
def engine(built: Curate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """The tiny world's map as an image of the collection, with others of other tiles and times beside it; an account."""
    with rasterio.open(built.world.folder / "dw" / "label.tif") as file:
        codes, at = file.read(1), file.transform
    where = tiny._footprint(tiny.X0, tiny.Y0 - 6_000, tiny.X0 + 6_000, tiny.Y0)
    when = dt.datetime(2021, 7, 10, 10, 38, 55, tzinfo=dt.UTC)  # by its tile: later than its datatake began
    with serving_engine() as made:
        made.images = [
            Image(name, when, where, codes * 0 if other else codes, at, tiny.EPSG)
            for name, other in (
                (JULY.replace("103407", "103400"), True),
                (JULY, False),
                (JULY.replace("T32ULC", "T32UMC"), True),
                (JULY.replace("20210710T103000", "20210710T104000"), True),
            )
        ]
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(made.key_file(tmp_path / "key.json")))
        (tmp_path / "netrc").write_text("default login me password S3CRET\n")  # which nobody is to be sent
        monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
        monkeypatch.setattr(earthengine, "FIRST_WAIT_S", 0.01)
        monkeypatch.setattr(earthengine, "MOST_WAIT_S", 0.02)
        yield made


def ask(curate: Curate, engine: Engine, *flags: str) -> int:
    where = ["--dataset", str(curate.world.recipe), "--root", str(curate.root), "--scheduler", "none"]
    asked = ["--project", PROJECT, "--endpoint", engine.url]
    return main.main(["labels", "earthengine", *where, *asked, *flags])


def seasonal(curate: Curate) -> dict:
    return {k: {s: e["labels"] for s, e in m["seasons"].items()} for k, m in metas(curate.folder / "shards").items()}


def maps(curate: Curate) -> list[Path]:
    return sorted((curate.folder / "maps").rglob("*.tif"))


@pytest.mark.slow
def test_labels_are_those_of_a_build_with_maps_and_a_rerun_asks_nothing(
    built: Curate, mine: Curate, engine: Engine, capsys: pytest.CaptureFixture[str]
):
    assert ask(mine, engine) == 0
    said = capsys.readouterr().out
    assert f"maps: ok {OK_MAPS}, absent no_match {NO_MAPS}" in said
    assert mine("pack") == 0
    assert seasonal(mine) == seasonal(built)
    assert any(e["summer"]["fractions"] for e in seasonal(mine).values())
    assert {name for name, *_ in engine.asked} == {JULY}
    assert len(engine.asked) == len(set(engine.asked)) == OK_MAPS
    first, counts = mine.hashes(), dict(engine.counts)
    assert ask(mine, engine) == 0
    assert mine("pack") == 0
    assert (mine.hashes(), engine.counts["pixels"]) == (first, counts["pixels"])
    assert 0 < engine.counts["list"] - counts["list"] < counts["list"]  # of images that the collection lacked
    assert mine("verify") == 0
    made = json.loads((mine.folder / "shards" / "index.json").read_text())["counts"]["labels"]
    assert made["made_by"] == "Earth Engine GOOGLE/DYNAMICWORLD/V1 label, masked as 255"


@pytest.mark.slow
def test_each_map_is_a_cog_on_its_place_s_grid_whose_gaps_are_no_water(mine: Curate, engine: Engine):
    assert ask(mine, engine) == 0
    found = maps(mine)
    assert len(found) == OK_MAPS
    for path in found:
        row, col = next((r, c) for r, c in np.ndindex(5, 5) if tiny.name(r, c) == path.parent.name)
        with rasterio.open(path) as file:
            assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
            assert (file.crs.to_epsg(), file.nodata, file.dtypes) == (tiny.EPSG, 255, ("uint8",))
            assert (file.transform.c, file.transform.f) == tiny.corner(row, col)
            np.testing.assert_array_equal(file.read(1), tiny.crop(engine.images[1].codes, 10, row, col))
    assert any((rasterio.open(p).read(1) == 255).all() for p in found)


@pytest.mark.slow
def test_the_folder_of_maps_is_one_that_import_reads(built: Curate, mine: Curate, engine: Engine):
    assert ask(mine, engine) == 0
    (folder,) = {p.parents[1] for p in maps(mine)}
    assert mine("pack") == 0
    expected = seasonal(mine)
    assert labels(mine, "import", str(folder)) == 0
    assert mine("pack") == 0
    assert seasonal(mine) == expected


@pytest.mark.slow
def test_what_passes_is_tried_again_and_the_labels_are_the_same(built: Curate, mine: Curate, engine: Engine):
    statuses = iter([429, 503, 500, 429] * 50)
    engine.refuse = lambda what, number: (next(statuses), {"Retry_After": "1"}) if number % 5 == 1 else None
    assert ask(mine, engine) == 0
    assert mine("pack") == 0
    assert seasonal(mine) == seasonal(built)
    assert len(engine.asked) == OK_MAPS
    assert engine.counts["pixels"] > OK_MAPS


@pytest.mark.slow
def test_what_never_passes_fails_with_its_cause_after_so_many_tries_and_the_next_run_makes_it_alone(
    built: Curate, mine: Curate, engine: Engine, capsys: pytest.CaptureFixture[str]
):
    engine.refuse = lambda what, number: (429, {}) if what == "pixels" and number > 3 else None
    assert ask(mine, engine) == 1
    done = capsys.readouterr()
    assert "failed PassingError" in done.out
    assert "HTTP 429" in done.err
    assert "Run the same command again" in done.err
    there = len(maps(mine))
    assert there == 3
    assert engine.counts["pixels"] == 3 + (OK_MAPS - 3) * earthengine.TRIES
    engine.refuse = lambda what, number: None
    assert ask(mine, engine) == 0
    assert len(engine.asked) == len(set(engine.asked)) == OK_MAPS
    assert mine("pack") == 0
    assert seasonal(mine) == seasonal(built)


@pytest.mark.slow
def test_an_answer_that_is_no_map_of_the_place_is_never_kept(mine: Curate, engine: Engine, capsys):
    def elsewhere(data: bytes) -> bytes:
        with MemoryFile(data) as file, file.open() as tif:
            codes, profile = tif.read(1), tif.profile
        with MemoryFile() as file:
            with file.open(**profile | {"transform": profile["transform"] * rasterio.Affine.translation(1, 0)}) as tif:
                tif.write(codes, 1)
            return file.read()

    ways = itertools.cycle([lambda data: data[: len(data) // 2], lambda data: b"<html>", lambda data: b"", elsewhere])
    engine.spoils = lambda data: next(ways)(data)
    assert ask(mine, engine) == 1
    said = capsys.readouterr().err
    assert all(text in said for text in ("is no GeoTIFF that can be read", "is empty", "lies on EPSG:32632")), said
    assert maps(mine) == []


@pytest.mark.slow
def test_a_map_of_other_classes_is_never_kept(mine: Curate, engine: Engine, capsys):
    engine.images[1].codes[::7] = 17
    assert ask(mine, engine) == 1
    assert "class codes [17]: not in the legend" in capsys.readouterr().err
    assert maps(mine) == []


@pytest.mark.slow
def test_a_run_that_was_stopped_midway_asks_for_no_map_again(built: Curate, mine: Curate, engine: Engine, monkeypatch):
    publish, many = type(mine.store).publish, []

    def stop(self, key: str, data: bytes):
        if paths.is_maps_record(key):
            many.append(key)
            if len(many) == 2:
                raise KeyboardInterrupt  # all maps of the slab are there, and no record tells of them
        return publish(self, key, data)

    with monkeypatch.context() as patch:
        patch.setattr(type(mine.store), "publish", stop)
        assert ask(mine, engine) == 130
    there = len(maps(mine))
    assert 0 < there < OK_MAPS
    asked = engine.counts["list"]
    assert ask(mine, engine) == 0
    assert len(engine.asked) == len(set(engine.asked)) == OK_MAPS
    assert asked > 0
    assert mine("pack") == 0
    assert seasonal(mine) == seasonal(built)


@pytest.mark.slow
def test_an_image_that_the_collection_lacked_is_asked_for_again_and_one_that_it_had_is_not(
    mine: Curate, engine: Engine, capsys: pytest.CaptureFixture[str]
):
    images, engine.images = engine.images, []
    assert ask(mine, engine) == 0
    assert f"maps: absent no_match {OK_MAPS + NO_MAPS}" in capsys.readouterr().out
    engine.images = images
    assert ask(mine, engine) == 0
    assert f"maps: ok {OK_MAPS}, absent no_match {NO_MAPS}" in capsys.readouterr().out


def wanted(curate: Curate, *at: tuple[int, int], scene: str = SCENE) -> list[Wanted]:
    """Maps of places of the tiny world that are wanted."""
    cube = opened(curate.dataset, curate.store, "europe", "summer").cube
    by_id = {p.id: p for p in cube.locations}
    return [Wanted(n, by_id[tiny.name(*its)], scene, None, {}, 48, "") for n, its in enumerate(at)]


def test_an_image_that_reaches_some_of_the_places_is_asked_for_with_all_of_them(mine: Curate, engine: Engine):
    x, y = tiny.corner(3, 3)
    engine.images = [engine.images[1]]
    engine.images[0].footprint = tiny._footprint(x + 300, y - 480, x + 480, y)  # not even that place's centre
    way = EarthEngine(engine.url, PROJECT, 1, "legend")
    assert way.image(wanted(mine, (0, 0), (3, 3), (0, 1))) == JULY
    with pytest.raises(Reject, match="no_match"):
        way.image(wanted(mine, (0, 0), (0, 1)))


def test_the_box_around_places_is_cut_at_the_antimeridian(mine: Curate):
    one, other = (w.place for w in wanted(mine, (0, 0), (0, 1)))
    ends = [dataclasses.replace(p, lon=lon, lat=-17.0) for p, lon in ((one, 179.95), (other, -179.96))]
    for places in (ends, ends[::-1]):
        box = shapely.geometry.shape(earthengine.around(places))
        assert box.area < 0.01
        assert all(box.contains(shapely.Point(p.lon, p.lat).buffer(0.003)) for p in places)


@pytest.mark.parametrize("scene", ["an-id-of-somebody", "S2_32ULC"])
def test_a_scene_whose_id_tells_no_tile_or_no_time_is_a_failure_of_its_own_and_nothing_is_asked(mine, engine, scene):
    way = EarthEngine(engine.url, PROJECT, 1, "legend")
    its = wanted(mine, (0, 0), scene=scene)
    with pytest.raises(NoTileError, match="the collection was not asked") as caught:
        way.image(its)
    said = making.failed(its[0], caught.value)
    assert (said.status, said.code, engine.counts) == ("failed", "no_tile", {})


@pytest.mark.slow
def test_a_record_that_was_changed_or_torn_is_a_fault_of_verify_and_is_made_again_of_the_maps(mine, engine):
    assert ask(mine, engine) == 0
    assert verified(mine) == []
    path = next(p for p in sorted(mine.folder.rglob("maps/*.records/**/*.json")) if '"ok"' in p.read_text())
    before = path.read_bytes()
    value = json.loads(before)
    told = next(m for m in value["maps"] if m["shares"])
    told["shares"] = told["shares"][::-1]
    labels_before = (mine.folder / "labels" / "imported.json").read_bytes()
    changed = json.dumps(value).encode()
    for other in (before[:-20], b"[]", b"\xff", before.replace(b'"format": 3', b'"format": 1'), changed):
        path.write_bytes(other)
        (fault,) = verified(mine)
        assert path.name in fault
        assert "is no record of maps" in fault
    assert ask(mine, engine) == 0
    assert path.read_bytes() == before
    assert (mine.folder / "labels" / "imported.json").read_bytes() == labels_before
    assert verified(mine) == []
    assert len(engine.asked) == OK_MAPS


def verified(curate: Curate) -> list[str]:
    found = Verified()
    check_labels(curate.dataset, curate.store, found)
    return found.faults


@pytest.mark.slow
def test_a_second_region_is_built_after_maps_of_a_first_and_the_labels_are_of_both(
    bare: Curate, engine: Engine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    mine = Curate(bare.world, tmp_path / "root")
    names, regions = [tiny.name(0, 0), tiny.name(0, 1)], [region(0, 0), region(0, 1)]
    assert mine("build", "--season", "summer", "--region", regions[0], "--allow-unknown-labels") == 0
    assert ask(mine, engine, "--region", regions[0]) == 0
    assert rows(mine) == {names[0]}
    capsys.readouterr()
    assert mine("build", "--season", "summer", "--region", regions[1]) == 0
    assert "again after the build" in capsys.readouterr().err
    assert ask(mine, engine, "--region", regions[0]) == 0
    assert "0 maps of 0 images to make, 1 are settled; 1 patch of other regions have none" in capsys.readouterr().err
    assert rows(mine) == {names[0]}
    assert ask(mine, engine, "--region", regions[1]) == 0
    assert rows(mine) == set(names)
    assert len(engine.asked) == 2
    assert pq.read_table(mine.folder / "manifest" / "labels-unmatched.parquet").num_rows == 0


def region(row: int, col: int) -> str:
    """A bbox that holds one place."""
    x, y = tiny.corner(row, col)
    return ",".join(f"{v:.5f}" for v in tiny._footprint(x, y - 480, x + 480, y).bounds)


def rows(curate: Curate) -> set[str]:
    found = imported.load(curate.store, curate.dataset)
    assert found is not None
    return set(found.rows["location"].to_pylist())


@pytest.mark.slow
def test_a_map_that_is_damaged_is_named_by_verify(mine: Curate, engine: Engine, capsys):
    assert ask(mine, engine) == 0
    assert mine("verify") == 0
    path = maps(mine)[0]
    path.write_bytes(path.read_bytes()[:-1])
    capsys.readouterr()
    assert mine("verify") == 1
    assert path.name in capsys.readouterr().out


@pytest.mark.slow
def test_no_more_requests_are_under_way_than_a_worker_may_have(mine: Curate, engine: Engine, monkeypatch):
    monkeypatch.setattr(earthengine, "AT_ONCE", 2)
    engine.answer_s = 0.02
    assert ask(mine, engine) == 0
    assert engine.most_at_once == 2


def test_a_dry_run_counts_and_asks_nothing(mine: Curate, engine: Engine, capsys):
    before = sorted(p.name for p in mine.folder.iterdir())
    assert ask(mine, engine, "--dry-run") == 0
    said = capsys.readouterr().out
    assert f"{OK_MAPS + NO_MAPS} maps of 3 images to make" in said
    assert "requests, 40 at a time" in said
    assert (engine.counts, sorted(p.name for p in mine.folder.iterdir())) == ({}, before)


def test_without_an_account_it_is_told_how_to_get_one_before_anything_is_asked(
    mine, engine, tmp_path, monkeypatch, capsys
):
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    assert ask(mine, engine) == 2
    said = capsys.readouterr().err
    assert "earthengine authenticate" in said
    assert "GOOGLE_APPLICATION_CREDENTIALS" in said
    assert engine.counts == {}


def unknown(*address: object) -> None:
    raise socket.gaierror(-2, "Name or service not known")


@pytest.mark.parametrize(
    ("endpoint", "why"),
    [("http://127.0.0.1:9", "port 9: Connection refused"), ("https://ee.example", "no host ee.example is known")],
)
def test_where_nobody_is_there_it_is_said_what_is_asked_and_it_ends_within_seconds_with_one_line(
    mine: Curate, engine: Engine, monkeypatch, capsys, endpoint: str, why: str
):
    monkeypatch.setattr(earthengine, "FIRST_WAIT_S", 60.0)  # which nobody waits for
    monkeypatch.setattr(earthengine, "MOST_WAIT_S", 60.0)
    monkeypatch.setenv("no_proxy", "*")
    if endpoint.startswith("https:"):
        monkeypatch.setattr(session.socket, "create_connection", unknown)
    began, before = time.monotonic(), sorted(mine.folder.rglob("*"))
    assert ask(mine, engine, "--endpoint", endpoint) == 2
    assert time.monotonic() - began < 10
    said = capsys.readouterr().err.splitlines()
    assert f"Earth Engine GOOGLE/DYNAMICWORLD/V1: asking {endpoint}" in said[-2]
    assert said[-1].startswith(f"curate: Earth Engine GOOGLE/DYNAMICWORLD/V1 at {endpoint}: does not answer (")
    assert why in said[-1]
    assert said[-1].endswith("; check the address and the network")
    assert sorted(mine.folder.rglob("*")) == before
    assert ask(mine, engine, "--endpoint", endpoint, "--dry-run") == 0  # which asks nobody


@pytest.mark.slow
def test_a_token_that_is_refused_is_told_and_not_tried_again(mine: Curate, engine: Engine, capsys):
    engine.refuse = lambda what, number: (403, {})
    assert ask(mine, engine) == 1
    said = capsys.readouterr().err
    assert "AccessError" in said
    assert "the account may not use Earth Engine" in said
    assert "every map of 5 slabs in a row failed" in said
    assert engine.counts["pixels"] == 0
    assert engine.counts["list"] <= 10  # once per slab and image


@pytest.mark.slow
def test_who_was_refused_is_let_in_with_another_account_by_the_next_run(
    mine: Curate, engine: Engine, tmp_path: Path, monkeypatch
):
    engine.barred.add(MAIL)
    assert ask(mine, engine) == 1
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(engine.key_file(tmp_path / "other.json", OTHER_MAIL)))
    assert ask(mine, engine) == 0
    assert len(maps(mine)) == OK_MAPS


def test_a_redirect_is_not_followed(mine: Curate, engine: Engine, capsys):
    sent = []
    with serving(lambda request: (sent.append(request.path), request.send(200, b"{}"))) as elsewhere:
        engine.refuse = lambda what, number: (302, {"Location": f"{elsewhere}/v1"})
        assert ask(mine, engine) == 1
    assert "HTTP 302" in capsys.readouterr().err
    assert sent == []
    assert engine.counts["list"] <= 10  # once per slab and image


@pytest.mark.slow
def test_a_certificate_that_is_not_trusted_is_told_after_one_try_and_one_of_a_ca_that_is_named_is_good(
    mine: Curate, engine: Engine, tmp_path: Path, monkeypatch, capsys
):
    for name in trust.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "ca").mkdir()
    context, shaken = authority_in(tmp_path / "ca"), []
    context.sni_callback = lambda *_: shaken.append("")
    with serving_engine(context) as secured:
        secured.images = engine.images
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(secured.key_file(tmp_path / "key.json")))
        assert ask(mine, secured) == 1
        assert "set REQUESTS_CA_BUNDLE to that CA's file" in capsys.readouterr().err
        assert all('"code": "untrusted"' in p.read_text() for p in (mine.folder / "maps").rglob("*.json"))
        assert 0 < len(shaken) <= 10  # once per slab and image
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca" / "ca.pem"))
        assert ask(mine, secured) == 0
    assert len(maps(mine)) == OK_MAPS


@pytest.mark.slow
def test_nothing_secret_is_kept_or_told(mine: Curate, engine: Engine, tmp_path: Path, capsys):
    engine.refuse = lambda what, number: (503, {}) if number % 2 else None
    ask(mine, engine, "-v")
    done = capsys.readouterr()
    secret = json.loads((tmp_path / "key.json").read_text())["private_key"].splitlines()[5]
    kept = b"".join(p.read_bytes() for p in mine.folder.rglob("*") if p.is_file())
    for text in (secret, "token-", "Bearer", "S3CRET"):
        assert text not in done.out + done.err
        assert text.encode() not in kept


def test_a_token_is_sent_to_nobody_in_the_open(mine: Curate, engine: Engine, capsys):
    assert ask(mine, engine, "--endpoint", "http://example.org") == 2
    assert "expected https" in capsys.readouterr().err


def test_where_nothing_is_built_it_is_said(mine: Curate, engine: Engine, tmp_path: Path, capsys):
    assert ask(Curate(mine.world, tmp_path / "empty"), engine) == 2
    assert "nothing is built there" in capsys.readouterr().err


@pytest.mark.slow
def test_killed_midway_a_rerun_asks_only_for_what_is_missing(built: Curate, mine: Curate, engine: Engine):
    engine.answer_s = 0.2
    where = ["--dataset", str(mine.world.recipe), "--root", str(mine.root), "--scheduler", "none"]
    command = [sys.executable, "-m", "curation", "labels", "earthengine", *where, "--endpoint", engine.url]
    with started(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
        while len(maps(mine)) < 5:
            assert process.poll() is None
            time.sleep(0.005)
        process.kill()
    there = {p.parent.name: p.stat().st_mtime_ns for p in maps(mine)}
    assert 5 <= len(there) < OK_MAPS
    engine.answer_s = 0
    asked = len(engine.asked)
    assert ask(mine, engine) == 0
    again = {
        tiny.name(r, c) for r, c in np.ndindex(5, 5) for *_, x, y in engine.asked[asked:] if (x, y) == tiny.corner(r, c)
    }
    assert again.isdisjoint(there)
    assert len(again) + len(there) == OK_MAPS
    assert {p.parent.name: p.stat().st_mtime_ns for p in maps(mine)}.items() >= there.items()
    assert not list(mine.folder.rglob("*.part*"))
    assert mine("pack") == 0
    assert seasonal(mine) == seasonal(built)


@pytest.mark.slow
@pytest.mark.alone
def test_workers_of_a_cluster_ask_with_what_lets_them_in_and_the_maps_are_the_same(
    mine: Curate, engine: Engine, tmp_path
):
    other = mine.copy(tmp_path / "other")
    assert ask(mine, engine) == 0
    assert ask(other, engine, "--scheduler", "local", "--workers", "2") == 0
    assert [p.read_bytes() for p in maps(other)] == [p.read_bytes() for p in maps(mine)]
    records = [(c.folder / "labels" / "imported.json").read_bytes() for c in (mine, other)]
    assert records[0] == records[1]
