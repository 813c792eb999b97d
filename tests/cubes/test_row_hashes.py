"""What a build keeps of a slab that it writes again is what was recorded, or nothing of the slab is written.

Whatever is written again is recorded again: damage that went by unseen would from then on be what is right.
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from curation import pipeline
from curation.build.context import SlabJob
from curation.build.slab import build_slab
from curation.cubes import zarrshard
from curation.cubes.cube import Cube
from curation.errors import DamageError
from curation.outcomes import SLAB, Status
from curation.places.locations import Locations
from curation.store.ledger import Ledger
from curation.store.records import SlabRecord
from tests.run import Curate


@pytest.fixture(scope="module")
def half(built: Curate, tmp_path_factory: pytest.TempPathFactory) -> tuple[Curate, SlabJob]:
    """A dataset of which a slab is half built, and the job that builds the rest of it."""
    whole = Ledger.replay(built.store, "europe", "summer").slabs
    slab = next(n for n, r in whole.items() if [o.status for o in r.patches[:2]] == [Status.OK, Status.OK])
    mine = Curate(built.world, tmp_path_factory.mktemp("half"))
    assert mine("build", "--limit", str(4 * slab + 2)) == 0
    jobs: list[SlabJob] = []
    with pytest.MonkeyPatch.context() as patch:

        def spy(job: SlabJob):
            jobs.append(job)
            return build_slab(job)

        patch.setattr(pipeline, "build_slab", spy)
        other = mine.copy(tmp_path_factory.mktemp("other"))
        assert other("build", "--limit", str(4 * slab + 4), "--season", "summer") == 0
    (job,) = (j for j in jobs if j.season == "summer")
    assert job.prior is not None
    assert [o.status for o in job.prior.patches] == [Status.OK, Status.OK]
    return mine, dataclasses.replace(job, store=mine.store)


def here(job: SlabJob) -> Cube:
    return Cube(job.dataset, job.region, job.season, Locations.of(job.locations))


def prior(job: SlabJob) -> SlabRecord:
    assert job.prior is not None
    return job.prior


def refused(mine: Curate, job: SlabJob, *keys: str) -> None:
    """Passes where the job ends in an error that names one of the objects, and writes nothing."""
    before = list(mine.store.list())  # what is written again has another etag
    with pytest.raises(DamageError) as caught:
        build_slab(dataclasses.replace(job, store=mine.store))
    assert any(mine.store.where(key) in str(caught.value) for key in keys), caught.value
    assert "cube europe/summer is damaged" in str(caught.value)
    assert list(mine.store.list()) == before


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


@pytest.mark.parametrize("places", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_a_flipped_byte_of_any_object_is_damage(half, tmp_path: Path, places: int):
    mine, job = half[0].copy(tmp_path), half[1]
    for n, item in enumerate(prior(job).objects):
        data = mine.store.get(item.key)
        every = [0, len(data) // 3, len(data) - 1]
        for at in {every[(n + k) % 3] for k in range(places)}:
            mine.store.publish(item.key, flipped(data, at))
            refused(mine, job, item.key)
        mine.store.publish(item.key, data)


@pytest.mark.slow
def test_an_object_that_is_gone_is_damage(half, tmp_path: Path):
    mine, job = half[0].copy(tmp_path), half[1]
    for item in prior(job).objects:
        data = mine.store.get(item.key)
        mine.store.delete(item.key)
        refused(mine, job, item.key)
        mine.store.publish(item.key, data)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda rows: rows[0].update(s2l2a_time=rows[0]["s2l2a_time"] + 1), id="another time"),
        pytest.param(lambda rows: rows[1].update(s2l2a_scenes=rows[1]["s2l2a_scenes"] + "x"), id="another scene"),
        pytest.param(lambda rows: rows[1].update(s2l2a_clear_fraction=None), id="a value lost"),
        pytest.param(lambda rows: rows[0].update(status=int(Status.ABSENT)), id="another status"),
        pytest.param(
            lambda rows: rows[0].update(
                dynamicworld_fraction=np.nextafter(rows[0]["dynamicworld_fraction"], 2, dtype="f4")
            ),
            id="fractions a little more",
        ),
        pytest.param(lambda rows: rows.insert(0, rows.pop(1)), id="rows swapped"),
    ],
)
def test_facts_that_decode_and_are_others_are_damage(half, tmp_path: Path, change: Callable[[list[dict]], None]):
    mine, job = half[0].copy(tmp_path), half[1]
    cube = here(job)
    rows = cube.read_facts(mine.store, job.slab, 4)
    assert cube.row_hashes(rows)[0] != cube.row_hashes(rows)[1], "the two are told apart"
    change(rows)
    changed = []
    for key, data in cube.slab_objects(job.slab, {}, rows).items():
        if data != mine.store.get(key):
            mine.store.publish(key, data)
            changed.append(key)
    assert changed
    refused(mine, job, *changed)


def test_pixels_that_decode_and_are_others_are_damage(half, tmp_path: Path):
    mine, job = half[0].copy(tmp_path), half[1]
    cube = here(job)
    for name in cube.arrays:
        key = cube.array_key(name, job.slab)
        data = mine.store.get(key)
        chunks = zarrshard.parse(data, 4, key)
        for other in ({0: chunks[1], 1: chunks[0]}, {0: chunks[0]}, chunks | {1: spoilt(cube, name, chunks[1])}):
            if other == chunks:
                continue  # both patches have the same mask
            mine.store.publish(key, zarrshard.assemble(other, 4))
            refused(mine, job, key)
        mine.store.publish(key, data)


def spoilt(cube: Cube, name: str, chunk: bytes) -> bytes:
    """The chunk with one pixel changed, whole and with its checksum."""
    pixels = cube.decode(name, chunk).copy()
    pixels[0, 0, 0] += 1
    return cube.encode(name, pixels)


@pytest.mark.slow
def test_damage_in_facts_is_not_made_official_by_a_build_of_more_patches(half, tmp_path: Path, capsys):
    mine, job = half[0].copy(tmp_path), half[1]
    key = here(job).facts_key(job.slab)
    rows = here(job).read_facts(mine.store, job.slab, 4)
    rows[0]["s2l2a_time"] += 86_400
    mine.store.publish(key, here(job).slab_objects(job.slab, {}, rows)[key])
    before = mine.store.get(key)
    assert mine() == 1
    assert mine.store.get(key) == before
    record = Ledger.replay(mine.store, "europe", "summer").slabs[job.slab]
    assert record.objects == prior(job).objects
    assert record.patches[:2] == prior(job).patches
    causes = {o.sources[SLAB].cause for o in record.patches[2:]}
    assert causes
    assert all(str(cause).startswith(f"DamageError: {mine.store.where(key)}: the facts of ") for cause in causes)
    capsys.readouterr()
    assert mine("verify") == 1
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("FAULT ")]
    assert [key in line and job.locations[0].id in line for line in said] == [True]


def test_a_failed_patch_that_is_not_tried_again_keeps_what_is_known_of_it(half, tmp_path: Path):
    # It failed as one of a slab that failed: no row of it was ever written, and its ledger line is all that is known.
    mine, job = half[0].copy(tmp_path), half[1]
    failed = dataclasses.replace(
        prior(job).patches[1],
        status=Status.FAILED,
        facts="",
        chunks={},
        sources={
            n: dataclasses.replace(s, status=Status.FAILED, code="ReadError")
            for n, s in prior(job).patches[1].sources.items()
        },
    )
    record = dataclasses.replace(prior(job), patches=(prior(job).patches[0], failed))
    made = build_slab(dataclasses.replace(job, store=mine.store, prior=record)).record
    kept = made.patches[1]
    assert dataclasses.replace(kept, facts="") == failed
    rows = here(job).proven_facts(mine.store, made, [p.id for p in job.locations])
    assert (rows[1]["status"], rows[1]["reason"]) == (Status.FAILED, failed.reason)
    assert rows[1]["s2l2a_time"] is None
    assert rows[0]["status"] == Status.OK
