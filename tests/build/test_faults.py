"""The archive misbehaves while a cube is built: a patch ends `ok` with the right pixels, or `failed` with the cause told.

Where the recipe takes the next scene, what does not pass is passed over, and what may pass fails the patch all the same.

Whole builds in this process, over http, of signed hrefs: the archive is the proxy through which this process reaches the
host that its hrefs name, and it issues the tokens.

A sparse block is a hole that nobody recorded where the file declares no nodata. Where it does, that is how writers say that
all of the block is nodata, and the patch is `rejected` for it (tests/read/test_reader.py).

What is not here, since the reader does not notice it: a byte that is flipped in a block that is stored as it is (no codec,
so no checksum) is another pixel; one in the tag that says how pixels were predicted is other pixels; and one in the tags
that say where a file lies and how large its pixels are is a place nearby, where it still meets the patch and the middle of
its item's footprint (`test_a_byte_of_a_header_that_is_flipped_…` in tests/read/test_reader.py counts them out). TCP and TLS
notice all that on the way; a file that is damaged where it is kept needs its provider's checksums.
"""

from __future__ import annotations

import io
import itertools
import json
import logging
import re
import shutil
import struct
import threading
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import planetary_computer
import planetary_computer.sas
import planetary_computer.settings
import pytest
import rasterio
import tifffile
import xarray as xr
from cachetools import LRUCache

from curation.cubes import zarrshard
from curation.cubes.chunks import chunk_hash
from curation.cubes.cube import Cube
from curation.cubes.selection import asked_regions, cubes
from curation.outcomes import PatchOutcome, Status
from curation.read import http, ranges, sparse
from curation.store.ledger import Ledger
from curation.work.run import Run
from tests import world as tiny
from tests.archive import Archive
from tests.loopback import Request, serving
from tests.properties import crossed, fast, in_turn
from tests.run import Curate

HOST = "http://account.blob.core.windows.net"
"""Where the hrefs say that the scenes are: a host whose URLs are signed."""

HEAD_BYTES = 2048
"""Of a file's first request here, so that most blocks of the small files take another."""

PLACES = [(0, 0), (0, 1), (1, 0), (1, 1)]
"""All under the first block of each file, in two slabs."""

STAGES = {"header": "B08.tif", "mask": "SCL.tif", "band": "B11.tif"}
"""What is being read → the file that it is read of."""

HEAD_FAULTS = ("sparse", "zeroed", "elsewhere")
"""Those that are in the header, whatever is being read."""

CAUSES = {
    "expired": "could not be read in 2 tries: HTTP 403",
    "404": "could not be read in 1 tries: HTTP 404",
    "429": "could not be read in 2 tries: HTTP 429",
    "500": "could not be read in 2 tries: HTTP 500",
    "503": "could not be read in 2 tries: HTTP 503",
    "reset": "could not be read in 2 tries: .*Connection reset by peer",
    "stall": r"could not be read in 2 tries: the server is too slow: expected up to \d+ bytes within",
    "truncate": "could not be read in 2 tries: (IncompleteRead|ProtocolError|.* bytes at .*, expected)",
    "short": r"could not be read in 2 tries: HTTP 206 .*: \d+ bytes at \d+, expected \d+ at \d+",
    "whole": r"could not be read in 2 tries: HTTP 200 OK: the server gave the whole file instead of bytes \d+ to \d+",
    "flip": "could not be read in 2 tries: (block column 0 row 0 cannot be decoded|its header is not a TIFF's)",
    "blank": "could not be read in 2 tries: (block column 0 row 0 cannot be decoded|its header is not a TIFF's)",
    "sparse": "block column 0 row 0 was never written and the file declares no nodata: its zeros would be invented",
    "zeroed": "could not be read in 2 tries: its header is not a TIFF's",
    "elsewhere": "could not be read in 2 tries: its header puts it elsewhere than its item does: longitude 6.*, latitude 54",
}
"""Fault → what the ledger says of it, behind the file."""

RECIPE = tiny.recipe(
    "Two scenes of Sentinel-2",
    "s2l2a = {}",
    """
[quality]
unreadable = "fail"

[split]
val_fraction = 0.0

[cube]
slab_patches = 2
""",
)

LASTING = ("404", "flip", "blank", "sparse", "zeroed", "elsewhere")
"""Faults that asking again does not mend: of a file that is gone or damaged."""

ALIKE = ("500", "blank")
"""Faults that are met as 503 and flip are."""

AT_ONCE = ("404", "sparse")
"""Faults that are not tried again: once is enough for a patch to fail."""


class Scenes(tiny.World):
    """Two scenes whose pixels are noise, so that even the mask's blocks are too large to come with a head.

    `unreadable` is what the recipe wants of a scene that cannot be read.
    """

    unreadable = "fail"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.s2("2021-07-10", "03.01")
        self.s2("2021-07-16", "03.01", cloud_pct=30.0)  # as clear on each patch, and never to be used in its place
        for item in self.items:
            for asset in item["assets"].values():
                asset["href"] = f"{HOST}/{asset['href']}"
        self.catalog.write_text(json.dumps({"type": "FeatureCollection", "features": self.items}))
        self.recipe.write_text(RECIPE.replace('"fail"', f'"{self.unreadable}"'))
        lines = [f"{x},{y},{tiny.EPSG}" for x, y in (tiny.corner(*place) for place in PLACES)]
        (folder / "places.csv").write_text("\n".join(["x0_m,y0_m,epsg", *lines]) + "\n")

    def raster(self, path: str, pixels: np.ndarray, *args: Any, **options: Any) -> str:
        noise = np.random.default_rng(len(path) + pixels.shape[0]).integers(0, 2, pixels.shape)
        return super().raster(path, (pixels + noise).astype(pixels.dtype), *args, **options)  # codes 4 and 5 are clear


class Replaced(Scenes):
    """The same, of which the next is taken where one cannot be read."""

    unreadable = "next"


@dataclass(frozen=True)
class Faults:
    """An archive that can be told what to do wrong, and what an undisturbed build of it gives."""

    world: Scenes
    archive: Archive
    begun: Curate
    """The first patch is built, before anything went wrong."""
    undisturbed: Curate
    objects: dict[str, bytes]
    """Key → bytes, of the whole cube."""
    outcomes: dict[str, PatchOutcome]

    def path(self, stage: str) -> str:
        """The file of the better scene that is read then."""
        return f"s2/{self.world.items[0]['id']}/{STAGES[stage]}"

    def break_(self, fault: str, stages: Collection[str], *, forever: bool) -> None:
        """From now on, one request of each of these stages, or all of them, get the fault."""
        left = {self.path(stage): stage == "header" or fault in HEAD_FAULTS for stage in stages}

        def meant(path: str, first: int) -> bool:
            if left.get(path) != (first == 0):
                return False
            if not forever:
                del left[path]
            return True

        if forever and fault == "expired":  # a token is for all files: that of one is refused, however fresh
            fault = "403"
        self.archive.spoilt = {fault: {path: self.spoilt(path, fault, of_head) for path, of_head in left.items()}}
        self.archive.meant, self.archive.always, self.archive.hits = meant, fault, 0

    def spoilt(self, path: str, fault: str, of_head: bool) -> bytes:
        """What a file is sent as."""
        data = bytearray(self.archive.files[path])
        with rasterio.open(self.world.folder / path) as file:
            offset, size = (int(file.get_tag_item(f"BLOCK_{what}_0_0", "TIFF", bidx=1)) for what in ("OFFSET", "SIZE"))
        assert offset < HEAD_BYTES < offset + size // 2, (
            "the header comes with the head, and most of the block does not"
        )
        if fault == "flip":
            start = (
                4 if of_head else offset + size // 2
            )  # where the header's list of tags is, or the middle of the block
            data[start : start + 8] = bytes(b ^ 0x55 for b in data[start : start + 8])
        elif fault == "blank":
            data[offset : offset + size] = bytes(size)
        elif fault == "zeroed":
            data[:offset] = bytes(offset)
        elif fault == "elsewhere":
            return moved(bytes(data), 500_000.0)
        elif fault == "sparse":
            for number in (offset, size):  # the first of the lists that say where blocks are, and how long
                at = data.index(struct.pack("<I", number), 8, offset)
                data[at : at + 4] = bytes(4)
        return bytes(data)


def moved(data: bytes, east: float) -> bytes:
    """A TIFF whose header says that it lies so far east of where it does, in units of its CRS."""
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        at = file.pages.first.tags[33922].valueoffset + 24  # ModelTiepoint: column, row, 0, x, y, 0
    (x,) = struct.unpack_from("<d", data, at)
    return data[:at] + struct.pack("<d", x + east) + data[at + 8 :]


def objects(curate: Curate) -> dict[str, bytes]:
    return {s.key: curate.store.get(s.key) for s in curate.store.list("cubes")}


def outcomes(curate: Curate) -> dict[str, PatchOutcome]:
    return {o.id: o for o in Ledger.replay(curate.store, "europe", "summer").outcomes()}


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a process that has read nothing yet."""
    monkeypatch.setattr(ranges, "PAUSE_S", 0)
    monkeypatch.setattr(ranges, "ATTEMPTS", 2)
    monkeypatch.setattr(http, "SLOWEST", 10**6)
    monkeypatch.setattr(sparse, "HEAD_BYTES", HEAD_BYTES)
    monkeypatch.setattr(sparse, "_heads", LRUCache(sparse._MOST_HEADS))
    planetary_computer.sas.TOKEN_CACHE.clear()


@pytest.fixture(scope="module")
def faults(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Faults]:
    world = Scenes(tmp_path_factory.mktemp("scenes"))
    files = {f.relative_to(world.folder).as_posix(): f.read_bytes() for f in world.folder.rglob("*.tif")}
    archive = Archive(files)
    archive.version, archive.token = '"1"', "SECRET"

    def answer(request: Request) -> None:
        if request.path.startswith("/token/"):
            token = {"token": f"sv=1&sig={archive.token}", "msft:expiry": "2100-01-01T00:00:00Z"}
            request.send(200, json.dumps(token).encode())
        else:
            archive.answer(request)

    with serving(answer) as url, pytest.MonkeyPatch.context() as patch:
        patch.setenv("http_proxy", url)
        patch.setenv("no_proxy", "127.0.0.1")
        patch.setenv("PC_SDK_SAS_URL", f"{url}/token")
        planetary_computer.settings.Settings.get.cache_clear()
        begun = Curate(world, tmp_path_factory.mktemp("begun"))
        assert begun("build", "--limit", "1") == 0
        shutil.rmtree(begun.folder / "heads", ignore_errors=True)  # or what is wrong with a head would not be met
        curate = Curate(world, tmp_path_factory.mktemp("undisturbed"))
        assert curate() == 0
        yield Faults(world, archive, begun, curate, objects(curate), outcomes(curate))
        archive.closing.set()
    planetary_computer.settings.Settings.get.cache_clear()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "stage"),
    [*crossed([f for f in CAUSES if f not in ALIKE], STAGES), *fast([], itertools.product(ALIKE, STAGES))],
)
def test_what_stays_broken_is_a_cause_in_the_ledger_and_is_used_again_when_it_is_whole(faults, check, fault, stage):
    check(fault, [stage], forever=True)


@pytest.mark.parametrize(("fault", "stage"), crossed(LASTING, STAGES))
@pytest.mark.slow
def test_a_scene_that_stays_unreadable_is_passed_over_with_its_cause(faults, tmp_path, fault, stage):
    curate = Curate(Replaced(tmp_path / "scenes"), tmp_path)
    first, second = (item["id"] for item in faults.world.items)
    faults.break_(fault, [stage], forever=True)
    assert curate() == 0
    found = outcomes(curate)
    for outcome in found.values():
        source = outcome.sources["s2l2a"]
        assert (outcome.status, source.scenes) == (Status.OK, (second,))
        ((name, cause),) = source.passed_over
        assert name == first
        assert re.match(f"ReadError: {HOST}/{faults.path(stage)}: {CAUSES[fault]}", cause)
    faults.archive.heal()
    assert curate() == 0
    assert outcomes(curate) == found, "what is settled stays"


@pytest.mark.slow
@pytest.mark.parametrize(
    "fault",
    fast(("503", "stall", "short"), ["expired", "429", "503", "reset", "stall", "truncate", "short", "whole"]),
)
def test_no_other_scene_is_taken_for_what_may_pass(faults, tmp_path, monkeypatch, fault):
    monkeypatch.setattr(http, "READ_S", 0.4 if fault == "stall" else 20)
    curate = Curate(Replaced(tmp_path / "scenes"), tmp_path)
    faults.break_(fault, ["mask"], forever=True)
    assert curate() == 1
    for outcome in outcomes(curate).values():
        source = outcome.sources["s2l2a"]
        assert (outcome.status, source.code, source.passed_over) == (Status.FAILED, "PassingError", ())
    faults.archive.heal()
    assert curate() == 0
    first = faults.world.items[0]["id"]
    assert {o.sources["s2l2a"].scenes for o in outcomes(curate).values()} == {(first,)}


@pytest.mark.parametrize("fault", fast(("expired", "503", "truncate", "flip"), CAUSES))
def test_what_passes_ends_in_the_right_pixels(faults, check, fault):
    check(fault, STAGES, forever=False)


@pytest.mark.slow
@pytest.mark.parametrize(("fault", "stage"), in_turn(CAUSES, STAGES))
def test_what_passes_at_one_stage_ends_in_the_right_pixels(faults, check, fault, stage):
    check(fault, [stage], forever=False)


@pytest.fixture
def check(faults: Faults, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd, caplog) -> Callable[..., None]:
    """Builds with a fault, and again without it."""

    def checked(fault: str, stages: Collection[str], *, forever: bool) -> None:
        for name in ("curation", "urllib3"):
            caplog.set_level(logging.DEBUG, name)
        monkeypatch.setattr(http, "READ_S", 0.4 if fault == "stall" else 20)
        if fault == "expired" and not forever:  # stages overlap: the token of a second try may end for another's sake
            monkeypatch.setattr(ranges, "ATTEMPTS", 2 + len(stages))
        curate = faults.begun.copy(tmp_path)
        earlier = outcomes(curate)
        faults.break_(fault, stages, forever=forever)
        code = curate()
        assert faults.archive.hits >= len(stages)
        found = outcomes(curate)
        failed = {i for i, o in found.items() if o.status is Status.FAILED}
        assert code == (1 if failed else 0)
        assert found.keys() == faults.outcomes.keys(), "nobody is lost"
        if forever:
            assert failed == found.keys() - earlier.keys()
        else:
            assert bool(failed) == (fault in AT_ONCE)
        for name, outcome in found.items():
            if name not in failed:
                assert outcome == faults.outcomes[name], "the hashes of its pixels as well"
                continue
            source = outcome.sources["s2l2a"]
            kind = "ReadError" if fault in LASTING else "PassingError"
            assert (source.code, outcome.chunks) == (kind, {})
            files = "|".join(faults.path(stage) for stage in stages)
            assert re.match(f"{kind}: {HOST}/({files}): {CAUSES[fault]}", str(source.cause)), source.cause
        stored = {key: chunk_hash(chunk) for key, chunk in chunks(curate).items()}
        assert stored == {(i, a): h for i, o in found.items() for a, h in o.chunks.items()}
        with xr.open_zarr(curate.folder / "cubes" / "europe" / "summer.zarr") as opened:
            assert {str(i) for i in opened.id.values[opened.status.values == Status.FAILED]} == failed

        faults.archive.heal()
        assert not failed or curate() == 0
        assert outcomes(curate) == faults.outcomes
        assert objects(curate) == faults.objects

        said = "".join([*capfd.readouterr(), *(record.getMessage() for record in caplog.records)])
        assert "GET" in said, "what the connections tell is looked at"
        assert "SECRET" not in said
        assert not [f for f in tmp_path.rglob("*") if f.is_file() and b"SECRET" in f.read_bytes()]

    return checked


def cube(curate: Curate) -> Cube:
    run = Run(curate.dataset, curate.catalogs, curate.store)
    (here,) = cubes(run, asked_regions(run.dataset, run.catalogs, "all"), ["summer"])
    return here


def chunks(curate: Curate) -> dict[tuple[str, str], bytes]:
    """(location id, array) → each chunk that the cube's objects hold."""
    here, out = cube(curate), {}
    for name in here.arrays:
        for slab in range(here.slabs):
            key = here.array_key(name, slab)
            if curate.store.head(key) is not None:
                for slot, chunk in zarrshard.parse(curate.store.get(key), here.slab_patches, key).items():
                    out[here.slab(slab)[slot].id, name] = chunk
    return out


def test_the_undisturbed_build_holds_the_files_own_pixels(faults: Faults):
    # What all others are compared with.
    item = faults.world.items[0]["id"]
    here, held = cube(faults.undisturbed), chunks(faults.undisturbed)
    assert {tiny.name(*place) for place in PLACES} == {i for i, _ in held}
    for place in PLACES:
        for res_m, bands in [*((f"{r}m", b) for r, b in tiny.BANDS.items()), ("scl", ["SCL"])]:
            array = "s2l2a_scl_20m" if res_m == "scl" else f"s2l2a_{res_m}"
            found = here.decode(array, held[tiny.name(*place), array])
            for n, band in enumerate(bands):
                with rasterio.open(faults.world.folder / f"s2/{item}/{band}.tif") as file:
                    step = 20 if res_m == "scl" else int(res_m.removesuffix("m"))
                    np.testing.assert_array_equal(found[n], tiny.crop(file.read(1), step, *place))


def test_a_build_of_the_same_scenes_asks_for_no_head_again_and_comes_to_the_same(faults: Faults, tmp_path: Path):
    firsts: list[int] = []
    faults.archive.meant = lambda path, first: bool(firsts.append(first))
    counts, made = dict[str, tuple[int, int]](), dict[str, Curate]()
    for run in ("new", "again"):
        curate = made[run] = Curate(faults.world, tmp_path / run)
        if run == "again":
            shutil.copytree(made["new"].folder / "heads", curate.folder / "heads")
        firsts.clear()
        sparse._heads.clear()
        assert curate() == 0
        assert objects(curate) == faults.objects
        counts[run] = (firsts.count(0), len(firsts) - firsts.count(0))
    faults.archive.heal()
    heads, blocks = counts["new"]
    assert heads == 13, "of each band of the scene that is taken, and of its mask"
    assert counts["again"] == (0, blocks)


def test_heads_of_bands_are_asked_for_while_the_masks_are_on_their_way(faults: Faults, tmp_path: Path, monkeypatch):
    asked, every = set[str](), threading.Event()
    answer = faults.archive.answer

    def held(request: Request) -> None:
        path, is_head = request.path.partition("?")[0], request.headers["Range"].startswith("bytes=0-")
        if path.endswith(STAGES["mask"]) and not is_head:
            assert every.wait(60), (
                f"the masks do not come before the heads of bands, of which {len(asked)} were asked for"
            )
        asked.update([path] if is_head else [])
        if len(asked) == 13:
            every.set()
        answer(request)

    monkeypatch.setattr(faults.archive, "answer", held)
    curate = Curate(faults.world, tmp_path)
    assert curate() == 0
    assert objects(curate) == faults.objects


def test_what_is_asked_for_in_vain_is_a_head_of_each_band_once(faults: Faults, tmp_path: Path):
    first, second = (item["id"] for item in faults.world.items)
    mask = f"s2/{first}/{STAGES['mask']}"
    with rasterio.open(faults.world.folder / mask) as file:
        profile = file.profile
    with rasterio.open(tmp_path / "cloud.tif", "w", **profile) as file:
        file.write(np.random.default_rng(1).integers(8, 10, file.shape).astype("u1"), 1)
    asked: list[tuple[str, int]] = []

    def meant(path: str, start: int) -> bool:
        asked.append((path, start))
        return path == mask

    faults.archive.spoilt = {"cloudy": {mask: (tmp_path / "cloud.tif").read_bytes()}}
    faults.archive.meant, faults.archive.always = meant, "cloudy"
    curate = Curate(faults.world, tmp_path / "made")
    assert curate() == 0
    faults.archive.heal()
    assert {o.sources["s2l2a"].scenes for o in outcomes(curate).values()} == {(second,)}
    vain = [start for path, start in asked if path.startswith(f"s2/{first}/") and path != mask]
    assert vain == [0] * 12, "by all four patches, of two slabs"


def test_heights_whose_header_puts_them_elsewhere_are_not_taken_for_sea(world: tiny.World, tmp_path: Path):
    # No heights are sea, at 0 m; that there is a file of them is its item's word, and the header's is another.
    shutil.copytree(world.folder, tmp_path / "world")
    mine = tiny.World(tmp_path / "world")
    file = mine.folder / "dem" / "height.tif"
    whole = file.read_bytes()
    file.write_bytes(moved(whole, 40.0))
    curate = Curate(mine, tmp_path / "root")
    assert curate("build", "--season", "static", "--limit", "3") == 1
    found = list(Ledger.replay(curate.store, "europe", "static").outcomes())
    failed = [o.sources["dem"] for o in found if o.status is Status.FAILED]
    assert failed
    for source in failed:
        assert "dem/height.tif: could not be read in 2 tries: its header puts it elsewhere" in str(source.cause)
    assert all(o.sources["dem"].scenes == () for o in found if o.status is Status.OK), "where no item is"
    file.write_bytes(whole)
    assert curate("build", "--season", "static", "--limit", "3") == 0
