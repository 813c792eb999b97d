"""Stopping, rerunning, limiting and failing: each ends where an undisturbed run ends."""

import json
import re
import shutil
import tarfile
from pathlib import Path

import pytest

from curation import pipeline
from curation.build import slab
from curation.cli import main
from curation.cubes import selection
from curation.errors import StorageError
from curation.outcomes import Status
from curation.read import ranges, reader
from curation.read.raster import Raster
from curation.recipe import files
from curation.recipe.catalogs import pixels_digest
from curation.store.ledger import Ledger
from curation.store.objects import Store
from tests import buckets
from tests import world as tiny
from tests.loopback import Request, serving
from tests.properties import fast
from tests.run import Curate


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every file that is opened for reading scenes, by its href."""
    seen: list[str] = []
    real = Raster

    def spy(file, *args):
        seen.append(file.name)
        return real(file, *args)

    monkeypatch.setattr(reader, "Raster", spy)
    return seen


def objects(curate: Curate) -> dict[str, bytes]:
    """All cube objects."""
    return {s.key: curate.store.get(s.key) for s in curate.store.list("cubes")}


def own(world: tiny.World, tmp_path: Path) -> tiny.World:
    """A copy of the world that a test may damage."""
    shutil.copytree(world.folder, tmp_path / "own")
    return tiny.World(tmp_path / "own")


def test_a_rerun_reads_no_scene_and_changes_no_byte(built: Curate, tmp_path: Path, opened: list[str]):
    mine = built.copy(tmp_path)
    before = objects(mine)
    assert mine() == 0
    assert opened == []
    assert objects(mine) == before


def test_a_rerun_asks_no_catalog_again(built: Curate, tmp_path: Path):
    # The searches are saved: other slabs of the same cells are built without asking, which is told by the catalog's
    # content not mattering any more than by its identity.
    searches = sorted(s.key for s in built.store.list("scenes"))
    assert len(searches) == len({*searches})
    assert any("/s1rtc/autumn/" in key for key in searches)
    assert any("/dem/static/" in key for key in searches)


@pytest.mark.slow
@pytest.mark.parametrize("limit", fast([6], [1, 6, 24]))
def test_a_limit_leaves_the_rest_pending_and_the_rest_comes_to_the_same(built: Curate, tmp_path: Path, limit: int):
    mine = Curate(built.world, tmp_path)
    assert mine("build", "--limit", str(limit)) == 0
    decided = list(Ledger.replay(mine.store, "europe", "summer").outcomes())
    assert len(decided) == limit
    assert mine() == 0
    assert objects(mine) == objects(built)


@pytest.mark.slow
def test_seasons_may_be_built_one_by_one_static_comes_first(built: Curate, tmp_path: Path):
    mine = Curate(built.world, tmp_path)
    assert mine("build", "--season", "autumn") == 0
    assert {s.key.split("/")[2] for s in mine.store.list("ledger")} == {"static", "autumn"}
    assert mine("build", "--season", "summer") == 0
    assert objects(mine) == objects(built)


@pytest.mark.slow
def test_a_failed_read_is_recorded_with_its_cause_and_tried_again(
    world: tiny.World, built: Curate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(ranges, "pause", lambda *a: None)
    mine = own(world, tmp_path)
    curate = Curate(mine, tmp_path / "root")
    victim = next(mine.folder.glob("s2/*20210710*N0500*/B11.tif"))
    whole = victim.read_bytes()
    victim.write_bytes(whole[: len(whole) // 2])
    assert curate() == 1
    ledger = Ledger.replay(curate.store, "europe", "summer")
    failed = [o for o in ledger.outcomes() if o.status is Status.FAILED]
    assert failed
    for outcome in failed:
        assert outcome.sources["s2l2a"].code == "ReadError"
        assert "B11.tif" in str(outcome.sources["s2l2a"].cause)
        assert outcome.chunks == {}
    before = {o.id: o for o in ledger.outcomes() if o.status is Status.OK}
    victim.write_bytes(whole)
    assert curate() == 0
    after = {o.id: o for o in Ledger.replay(curate.store, "europe", "summer").outcomes()}
    assert {i: after[i] for i in before} == before
    assert objects(curate) == objects(built)


def test_a_rewritten_slab_reads_only_what_failed(
    world: tiny.World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opened: list[str]
):
    monkeypatch.setattr(ranges, "pause", lambda *a: None)
    mine = own(world, tmp_path)
    curate = Curate(mine, tmp_path / "root")
    victim = mine.folder / "dem" / "height.tif"
    whole = victim.read_bytes()
    victim.unlink()
    assert curate("build", "--season", "static") == 1  # the four places in the sea need no DEM
    victim.write_bytes(whole)
    opened.clear()
    assert curate("build", "--season", "static") == 0
    ok_before = 5
    assert 0 < len([p for p in opened if p.endswith("map.tif")]) <= 25 - ok_before
    assert Ledger.replay(curate.store, "europe", "static").slabs


def test_when_everything_fails_it_stops_and_says_so(world: tiny.World, tmp_path: Path, monkeypatch, capsys):
    monkeypatch.setattr(ranges, "pause", lambda *a: None)
    mine = own(world, tmp_path)
    for file in mine.folder.glob("s2/*/SCL.tif"):
        file.unlink()
    places = (mine.folder / "places.csv").read_text().splitlines()
    (mine.folder / "places.csv").write_text("\n".join(p for p in places if str(tiny.corner(0, 4)[0]) not in p) + "\n")
    assert Curate(mine, tmp_path / "root")("build", "--season", "summer") == 1
    said = capsys.readouterr().err
    assert "every patch of 5 slabs in a row failed" in said
    assert "SCL.tif" in said


def test_another_recipe_is_refused_with_both_values(built: Curate, world: tiny.World, tmp_path: Path, capsys):
    mine = own(world, tmp_path)
    mine.recipe.write_text(tiny.RECIPE.replace("max_gap_days = 12", "max_gap_days = 11"))
    curate = Curate(mine, tmp_path / "root")
    shutil.copytree(built.root, curate.root)
    assert curate() == 2
    said = capsys.readouterr().err
    digests = pixels_digest(built.dataset, built.catalogs), pixels_digest(curate.dataset, curate.catalogs)
    assert digests[0] != digests[1]
    for digest in digests:
        assert digest in said
    assert "What changed: quality.max_gap_days was 12.0, is 11.0" in said
    assert curate("pack") == 2
    assert "What changed: quality.max_gap_days was 12.0, is 11.0" in capsys.readouterr().err
    # A catalog in a file is known by its content, and told by its name.
    mine.recipe.write_text(tiny.RECIPE)
    mine.catalog.write_text(mine.catalog.read_text() + "\n")
    assert curate() == 2
    assert re.search(rf'changed: catalog was "file-\w+", is {mine.catalog} \("file-\w+"\)\n', capsys.readouterr().err)


def test_another_order_or_list_of_places_is_refused(built: Curate, world: tiny.World, tmp_path: Path, capsys):
    mine = own(world, tmp_path)
    lines = (mine.folder / "places.csv").read_text().splitlines()
    (mine.folder / "places.csv").write_text("\n".join(lines[:-1]) + "\n")
    curate = Curate(mine, tmp_path / "root")
    shutil.copytree(built.root, curate.root)
    assert curate() == 2
    said = capsys.readouterr().err
    assert "places_digest" in said
    assert '(file was "' in said


@pytest.mark.slow
def test_a_task_that_another_writer_overtook_is_not_recorded_as_done(built: Curate, tmp_path: Path, monkeypatch):
    # A worker presumed dead wakes up and writes after the slab was built again, before the client records it.
    mine = Curate(built.world, tmp_path)
    real = slab.build_slab

    def late(job):
        receipt = real(job)
        key = next(iter(receipt.etags))
        job.store.publish(key, job.store.get(key))
        return receipt

    monkeypatch.setattr(pipeline, "build_slab", late)
    assert mine("build", "--season", "static") == 1
    causes = {
        s.cause for o in Ledger.replay(mine.store, "europe", "static").outcomes() for s in o.sources.values() if s.cause
    }
    assert any("another writer came between" in c for c in causes)
    monkeypatch.undo()
    assert mine("build") == 0
    assert objects(mine) == objects(built)


@pytest.mark.slow
def test_receipts_are_small(built: Curate, tmp_path: Path, monkeypatch):
    # Only small values cross the scheduler: no arrays, and nothing of the scenes that a patch cannot use.
    import pickle

    sizes = []
    real = slab.build_slab

    def measured(job):
        receipt = real(job)
        sizes.append((len(pickle.dumps(job)), len(pickle.dumps(receipt))))
        return receipt

    monkeypatch.setattr(pipeline, "build_slab", measured)
    Curate(built.world, tmp_path)("build")
    assert sizes
    assert max(max(s) for s in sizes) < 100_000


def test_asked_seasons_put_static_first(built: Curate):
    assert selection.asked_seasons(built.dataset, "all") == ["static", "summer", "autumn"]
    assert selection.asked_seasons(built.dataset, "autumn") == ["static", "autumn"]


@pytest.mark.parametrize("cut", [True, False])
def test_a_rerun_sees_an_object_that_is_short_or_gone_before_any_work(
    built: Curate, tmp_path: Path, capsys: pytest.CaptureFixture[str], cut: bool
):
    mine = built.copy(tmp_path)
    assert mine() == 0
    assert "nothing to build" in capsys.readouterr().out
    victim = sorted(mine.folder.glob("cubes/europe/summer.zarr/s2l2a_10m/c/*/0/0/0"))[0]
    size = victim.stat().st_size
    victim.write_bytes(victim.read_bytes()[:-7]) if cut else victim.unlink()
    before = sorted(mine.folder.rglob("*"))
    assert mine() == 1
    said = capsys.readouterr().err
    assert str(victim) in said
    assert (f"has {size - 7} bytes, recorded were {size}" if cut else "recorded but not there") in said
    assert "delete both cubes/europe/summer.zarr and ledger/europe/summer, and build it again" in said
    assert sorted(mine.folder.rglob("*")) == before


@pytest.mark.slow
def test_a_slab_that_fails_as_a_whole_is_blamed_on_no_source_keeps_its_whole_cause_and_is_tried_again(
    built: Curate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
):
    run, real = Curate(built.world, tmp_path), slab.build_slab

    def broken(job):
        if job.season == "summer" and job.slab == 0:
            try:
                raise ModuleNotFoundError("No module named 'rasterio'")
            except ModuleNotFoundError as err:
                raise RuntimeError(
                    "reading the task failed. This\noften means that https://h/x?sig=SECRET differs"
                ) from err
        return real(job)

    monkeypatch.setattr(pipeline, "build_slab", broken)
    assert run() == 1
    assert "failed RuntimeError:slab 4" in capsys.readouterr().out
    cause = (
        "RuntimeError: reading the task failed. This often means that https://h/x differs; "
        "caused by ModuleNotFoundError: No module named 'rasterio'"
    )
    failed = [o for o in Ledger.replay(run.store, "europe", "summer").outcomes() if o.status is Status.FAILED]
    assert len(failed) == 4
    for outcome in failed:
        its = outcome.sources.pop("slab")
        assert (its.status, its.code, its.cause) == (Status.FAILED, "RuntimeError", cause)
        assert {(s.status, s.code, s.cause) for s in outcome.sources.values()} == {(Status.FAILED, "upstream", None)}
    assert run("build", "--limit", "1") == 1, "some of the slab are tried again, the others stay as they are"
    assert run("report") == 0
    monkeypatch.setattr(pipeline, "build_slab", real)
    assert run() == 0
    assert run("pack") == 0
    assert run.hashes() == built.hashes()


@pytest.mark.slow
def test_a_slab_that_cannot_be_kept_ends_the_build_and_is_no_failure_of_its_patches(
    world: tiny.World, built: Curate, tmp_path: Path, monkeypatch, capsys
):
    # The ledger could be written: a worker's storage may be full where the client's is not.
    mine, calls = Curate(world, tmp_path), []

    def full(job):
        calls.append(job)
        raise StorageError("no room")

    monkeypatch.setattr(pipeline, "build_slab", full)
    assert mine("build", "--season", "static") == 1
    assert capsys.readouterr().err.splitlines()[-1] == "curate: no room"
    assert len(calls) == 1
    assert not Ledger.replay(mine.store, "europe", "static").slabs
    monkeypatch.undo()
    assert mine("build", "--season", "static") == 0
    assert objects(mine) == {k: v for k, v in objects(built).items() if "/static.zarr/" in k}


@pytest.mark.slow
def test_two_catalogs_give_what_one_gives_and_are_never_mixed(
    built: Curate, world: tiny.World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    # The same world, its heights in a catalog and a folder of their own; where they were lies another file of that name.
    shutil.copytree(world.folder, tmp_path / "main")
    mine, apart = tiny.World(tmp_path / "main"), tmp_path / "apart"
    (apart / "dem").mkdir(parents=True)
    (mine.folder / "dem/height.tif").rename(apart / "dem/height.tif")
    (mine.folder / "dem/height.tif").write_bytes(b"no heights")
    items = json.loads(world.catalog.read_text())["features"]
    heights = [i for i in items if i["collection"] == "cop-dem-glo-30"]
    assert [i["assets"]["data"]["href"] for i in heights] == ["dem/height.tif"]
    for file, its in ((mine.catalog, [i for i in items if i not in heights]), (apart / "items.json", heights)):
        file.write_text(json.dumps({"type": "FeatureCollection", "features": its}))
    curate, by_source = Curate(mine, tmp_path / "root"), f"dem={apart / 'items.json'}"
    assert curate("build", "--dry-run", "--catalog", by_source) == 0
    assert f"Catalogs: {mine.catalog}, dem: {apart / 'items.json'}." in capsys.readouterr().out
    assert curate("build", "--catalog", by_source) == 0
    assert curate("pack", "--catalog", by_source) == 0
    one, two = (json.loads((c.folder / "shards/index.json").read_text()) for c in (built, curate))
    assert two["content_sha256"] == one["content_sha256"]
    assert two["digests"]["pixels"] != one["digests"]["pixels"]
    # Provenance: the index says where scenes of each source come from, the folders of searches whom they were asked of.
    asked = two["counts"]["catalogs"]
    theirs = asked["dem"]
    assert asked.keys() == two["sources"].keys()
    assert {catalog for name, catalog in asked.items() if name != "dem"}.isdisjoint({theirs})
    assert {k.split("/")[2] for k in (s.key for s in curate.store.list(f"scenes/{theirs}"))} == {"dem"}
    assert not list(curate.store.list(f"scenes/{asked['s2l2a']}/dem"))
    # So a scene of a sample needs no catalog of its own: whose it is follows from its source.
    offered = {source: {i["id"] for i in items if (i in heights) == (source == "dem")} for source in asked}
    used = set()
    for path in (curate.folder / "shards").rglob("*.tar"):
        with tarfile.open(path) as tar:
            metas = [json.load(tar.extractfile(m)) for m in tar if m.name.endswith("meta.json")]
        for part in (p for meta in metas for p in (meta["static"], *meta["seasons"].values())):
            for source, facts in part["sources"].items():
                assert set(facts["scenes"]) <= offered[source]
                used |= {source}
    assert {"dem", "s2l2a"} <= used
    # A rerun that would ask another for one source is refused, and says for which; so is packing.
    capsys.readouterr()
    for verb in ("build", "pack"):
        assert curate(verb, "--catalog", f"dem={world.catalog}") == 2
        said = capsys.readouterr().err
        assert f'What changed: catalog.dem was "{theirs}", is {world.catalog}' in said
        assert "catalog.s2l2a" not in said
    assert curate("build", "--catalog", by_source) == 0  # nothing is left to do


@pytest.mark.slow
def test_scenes_of_a_bucket_with_keys_of_its_own_are_built_into_another_bucket(
    built: Curate, world: tiny.World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    # Heights lie in a bucket that checks signatures, in a form of the user's own; results go to a bucket of the environment.
    caplog.set_level("DEBUG", "curation")
    shutil.copytree(files.folder("stac_queries"), tmp_path / "stac_queries")
    items = json.loads(world.catalog.read_text())["features"]
    heights = [i for i in items if i["collection"] == "cop-dem-glo-30"]
    pixels = (world.folder / heights[0]["assets"]["data"]["href"]).read_bytes()
    heights[0]["assets"]["data"]["href"] = "s3://heights/height.tif"
    (tmp_path / "heights.json").write_text(json.dumps({"type": "FeatureCollection", "features": heights}))

    def answer(request: Request) -> None:
        allowed = request.headers["Authorization"] or ""
        if not allowed.endswith(f"Signature={buckets.signature(request, 'hidden-secret')}"):
            return request.send(403)
        first, last = map(int, request.headers["Range"].removeprefix("bytes=").split("-"))
        part = pixels[first : last + 1]
        told = f"bytes {first}-{first + len(part) - 1}/{len(pixels)}"
        return request.send(206, part, Content_Range=told, ETag='"v"', Last_Modified="Mon, 01 Nov 2021 00:00:00 GMT")

    with buckets.bucket() as results, serving(answer) as url:
        with (tmp_path / "stac_queries/catalogs.toml").open("a") as rows:
            rows.write(f'[mine]\ntitle = "t"\nform = "planetary-computer"\n[mine.access.s3]\nendpoint = "{url}"\n')
            rows.write('region = "r"\ncredentials.access_key_id = ["MY_KEY"]\n')
            rows.write('credentials.secret_access_key = ["MY_SECRET"]\n')
        real = files.folder
        monkeypatch.setattr(files, "folder", lambda name: tmp_path / name if name == "stac_queries" else real(name))
        buckets.reached_at(results, monkeypatch)
        curate = ["build", "--dataset", str(world.recipe), "--root", "s3://bucket/made", "--scheduler", "none"]
        curate += ["--catalog", str(world.catalog), "--catalog", f"dem=mine+{tmp_path / 'heights.json'}"]
        curate += ["--season", "static", "--limit", "4"]
        assert main.main(curate) == 1  # no keys
        ledger = Ledger.replay(Store("s3://bucket/made/tiny"), "europe", "static")
        decided = [o for o in ledger.outcomes() if "dem" in o.sources]
        wanting = [o.sources["dem"] for o in decided if o.status is Status.FAILED]
        assert {(s.code, "MY_KEY, MY_SECRET is not set" in s.cause) for s in wanting} == {("no_access", True)}
        assert not any(o.sources["dem"].scenes for o in decided if o.status is Status.OK)  # no scene touches these
        monkeypatch.setenv("MY_KEY", "AKHEIGHTS")
        monkeypatch.setenv("MY_SECRET", "hidden-secret")
        assert main.main(curate) == 0
        store = Store("s3://bucket/made/tiny")
        ours, theirs = (Ledger.replay(s, "europe", "static").outcomes() for s in (store, built.store))
        chunks = {o.id: o.chunks["dem_30m"] for o in theirs}
        found = {o.id: o.chunks["dem_30m"] for o in ours}
        assert len(found) == 4
        assert found.items() <= chunks.items()
        kept = b"".join(store.get(s.key) for s in store.list(""))
    assert b"hidden-secret" not in kept
    assert b"AKHEIGHTS" not in kept
    assert "hidden-secret" not in caplog.text
