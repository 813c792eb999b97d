"""Each kind of damage is done to a real dataset, and must be named."""

import io
import re
import shutil
import signal
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from curation.cubes import contents
from curation.errors import DamageError
from curation.format.names import META
from curation.outcomes import Status
from curation.store.ledger import Ledger
from tests.properties import fast
from tests.run import Curate


@pytest.fixture
def mine(built: Curate, tmp_path: Path) -> Curate:
    return built.copy(tmp_path)


def faults(curate: Curate, capsys: pytest.CaptureFixture[str]) -> list[str]:
    capsys.readouterr()
    code = curate("verify")
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("FAULT")]
    assert code == (1 if said else 0)
    return said


def some(curate: Curate, pattern: str) -> Path:
    return sorted(curate.folder.glob(pattern))[0]


def test_an_undamaged_dataset_has_no_fault(mine: Curate, capsys):
    assert faults(mine, capsys) == []


@pytest.mark.parametrize(
    "pattern", ["cubes/*/*.zarr/s2l2a_20m/c/*/0/0/0", "cubes/*/*.zarr/reason/c/*", "cubes/*/*.zarr/zarr.json"]
)
def test_a_deleted_zarr_object(mine: Curate, capsys, pattern: str):
    victim = some(mine, pattern)
    victim.unlink()
    found = faults(mine, capsys)
    assert any(str(victim) in f and "not there" in f for f in found)


@pytest.mark.parametrize("where", [0, -1])
def test_a_flipped_byte_in_a_zarr_object(mine: Curate, capsys, where: int):
    victim = some(mine, "cubes/*/summer.zarr/s2l2a_10m/c/*/0/0/0")
    data = bytearray(victim.read_bytes())
    data[where] ^= 1
    victim.write_bytes(data)
    assert any(str(victim) in f and "sha256" in f for f in faults(mine, capsys))


def test_an_object_nobody_recorded(mine: Curate, capsys):
    stray = some(mine, "cubes/*/summer.zarr/s2l2a_10m/c/*/0/0/0").parents[3] / "77" / "0" / "0" / "0"
    stray.parent.mkdir(parents=True)
    stray.write_bytes(b"stray")
    found = faults(mine, capsys)
    assert len(found) == 1
    assert str(stray) in found[0]
    assert "nobody recorded" in found[0]


def test_a_stray_file_among_the_shards(mine: Curate, capsys):
    stray = mine.folder / "shards" / "train" / "tiny-train-000099.tar"
    stray.write_bytes(b"stray")
    assert [f for f in faults(mine, capsys) if str(stray) in f]


def test_a_flipped_byte_in_a_shard_s_payload(mine: Curate, capsys):
    victim = some(mine, "shards/train/*.tar")
    data = bytearray(victim.read_bytes())
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        member = tar.getmembers()[3]
    data[member.offset_data + member.size // 2] ^= 1
    victim.write_bytes(data)
    assert any(str(victim) in f and "sha256" in f for f in faults(mine, capsys))


@pytest.mark.parametrize("keep", ["sample boundary", "inside a header", "mid payload", "zeroed tail"])
def test_a_truncated_tar(mine: Curate, capsys, keep: str):
    victim = some(mine, "shards/train/*.tar")
    data = victim.read_bytes()
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        metas = [m for m in tar.getmembers() if m.name.endswith(META)]
    at = {"sample boundary": metas[1].offset, "inside a header": metas[1].offset + 100}.get(
        keep, metas[1].offset_data + 9
    )
    victim.write_bytes(data[:at] + (b"\0" * (len(data) - at) if keep == "zeroed tail" else b""))
    assert any(str(victim) in f for f in faults(mine, capsys))


def test_an_index_that_tells_another_tar_is_not_believed(mine: Curate, capsys):
    # The tar and the index agree on a wrong tar: only recomputing the content from the tar's own bytes shows it.
    import hashlib
    import json

    victim = some(mine, "shards/train/*.tar")
    with tarfile.open(victim) as tar:
        member = next(m for m in tar.getmembers() if m.name.endswith("dem_30m.npy.blosc"))
    data = bytearray(victim.read_bytes())
    data[member.offset_data + member.size - 1] ^= 1
    victim.write_bytes(data)
    path = mine.folder / "shards" / "index.json"
    index = json.loads(path.read_text())
    index["splits"]["train"]["shards"][0]["sha256"] = hashlib.sha256(data).hexdigest()
    path.write_text(json.dumps(index, sort_keys=True, indent=1) + "\n")
    found = faults(mine, capsys)
    assert any("decoded arrays and labels hash to" in f for f in found)
    assert any("members.arrow" in f for f in found)
    assert any("release.json" in f for f in found)


def test_a_lost_ledger_line(mine: Curate, capsys):
    victim = next(
        p for p in sorted(mine.folder.glob("ledger/*/summer/*.jsonl")) if len(p.read_bytes().splitlines()) > 2
    )
    lines = victim.read_bytes().splitlines(keepends=True)
    victim.write_bytes(b"".join(lines[:1] + lines[2:]))
    assert any(str(victim) in f and "lost" in f for f in faults(mine, capsys))


def test_a_torn_ledger_tail(mine: Curate, capsys):
    victim = sorted(mine.folder.glob("ledger/*/summer/*.jsonl"))[-1]
    victim.write_bytes(victim.read_bytes()[:-7])
    assert any(str(victim) in f and "torn" in f for f in faults(mine, capsys))


def test_a_lost_ledger_segment(mine: Curate, capsys):
    segments = sorted(mine.folder.glob("ledger/*/summer/*.jsonl"))
    segments[1].unlink()
    assert any("missing" in f for f in faults(mine, capsys))


@pytest.mark.slow
def test_the_last_ledger_segment_lost_is_told_by_the_shards_that_were_packed_with_it(mine: Curate, capsys):
    # Without shards it cannot be told from a build that was stopped before it wrote the segment; building settles both.
    for segment in sorted(mine.folder.glob("ledger/*/summer/*.jsonl"))[-2:]:  # of slabs, and of columns of their facts
        segment.unlink()
    told = [f for f in faults(mine, capsys) if "nobody recorded" not in f]
    assert len(told) == 1
    assert re.search(r"ledger/europe/summer: tells of \d+ patches, .* told of 25", told[0])
    shutil.rmtree(mine.folder / "shards")
    shutil.rmtree(mine.folder / "packing")
    code, found, left = said(mine, capsys)
    assert (code, found) == (1, [])
    assert "of cube europe/summer not recorded" in left[0]
    assert mine() == 0
    assert mine("pack") == 0
    assert said(mine, capsys) == (0, [], [])


def said(curate: Curate, capsys: pytest.CaptureFixture[str]) -> tuple[int, list[str], list[str]]:
    """Exit code, faults and what is unfinished."""
    capsys.readouterr()
    code = curate("verify")
    lines = capsys.readouterr().out.splitlines()
    return (
        code,
        [x for x in lines if x.startswith("FAULT ")],
        [x for x in lines if x.startswith("unfinished: ")],
    )


KILLED = """
import os, signal, sys
from curation.cli import main as cli
from curation.pack import pack
from curation.store import ledger, objects
objects.AT_ONCE = 1  # which ones are there by then
real, calls = {at}, []
def until(*args):
    calls.append(1)
    if len(calls) == {n}:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*args)
{at} = until
sys.exit(cli.main({arguments!r}))
"""


def killed(curate: Curate, at: str, n: int, *arguments: str) -> None:
    """Runs the command in a process of its own, which is killed when it calls `at` for the nth time."""
    code = KILLED.format(at=at, n=n, arguments=curate.arguments(*arguments))
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == -signal.SIGKILL


@pytest.mark.slow
@pytest.mark.parametrize(
    ("at", "n", "cube"),
    [
        ("objects.Store.publish", 30, "static"),  # in the middle of a cube's creation
        ("ledger.Ledger.record_columns", 1, "static"),  # all is recorded but its columns of facts
        *fast(
            [],
            [
                ("ledger.Ledger.record_cube", 1, "static"),
                ("ledger.Ledger.append", 1, "static"),
                ("ledger.Ledger.append", 9, "summer"),
                ("objects.Store.publish", 62, "static"),
            ],
        ),
    ],
)
def test_what_a_killed_build_left_is_unfinished_and_no_fault(
    built: Curate, tmp_path: Path, capsys: pytest.CaptureFixture[str], at: str, n: int, cube: str
):
    mine = Curate(built.world, tmp_path)
    killed(mine, at, n, "build")
    code, found, left = said(mine, capsys)
    assert (code, found) == (1, [])
    assert [
        re.fullmatch(r"unfinished: (\d+) objects? of cube europe/(\w+) not .*`curate --region europe --season .*", x)[2]
        for x in left
    ] == cube.split()
    assert mine() == 0
    assert said(mine, capsys) == (0, [], [])


@pytest.mark.slow
def test_a_slab_that_a_killed_build_wrote_again_is_unfinished_and_no_fault_unless_it_is_damaged(
    built: Curate, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    mine = Curate(built.world, tmp_path / "mine")
    command = [sys.executable, "-m", "curation", *mine.arguments("build", "--limit", "14")]  # half of a slab of four
    subprocess.run(command, check=True, capture_output=True)
    assert said(mine, capsys) == (0, [], [])
    killed(mine, "ledger.Ledger.append", 1, "build", "--season", "summer")  # slab 3 of the static cube
    code, found, left = said(mine, capsys)
    assert (code, found) == (1, [])
    assert "of cube europe/static" in left[0]
    # It is none to those who read what is recorded, either.
    cube = contents.opened(mine.dataset, mine.store, "europe", "static")
    before = [r for n, r in enumerate(cube.facts(3)) if n < 2]
    assert [r["elevation_mean_m"] for r in before] == [123.0, 123.0]
    assert cube.facts(3)[2]["status"] == Status.PENDING
    damage = mine.copy(tmp_path / "damage")
    victim = damage.folder / "cubes/europe/static.zarr/dem_30m/c/3/0/0/0"
    data = bytearray(victim.read_bytes())
    data[20] ^= 1  # in the first chunk, which was committed
    victim.write_bytes(data)
    assert [str(victim) in f for f in said(damage, capsys)[1]] == [True]
    assert mine() == 0
    assert said(mine, capsys) == (0, [], [])


@pytest.mark.parametrize(
    ("at", "n"), [("pack.write_shard", 2), pytest.param("objects.Store.publish", 5, marks=pytest.mark.slow)]
)
@pytest.mark.slow
def test_what_a_killed_first_pack_left_is_unfinished_and_no_fault(
    built: Curate, tmp_path: Path, capsys: pytest.CaptureFixture[str], at: str, n: int
):
    mine = built.copy(tmp_path)
    for part in ("shards", "packing"):
        shutil.rmtree(mine.folder / part)
    (mine.folder / "manifest" / "release.json").unlink()
    killed(mine, at, n, "pack")
    code, found, left = said(mine, capsys)
    assert (code, found) == (1, [])
    assert "`curate pack` goes on with that" in left[0]
    assert mine("pack") == 0
    assert said(mine, capsys) == (0, [], [])
    assert mine.hashes() == built.hashes()


def test_a_chunk_swapped_within_its_shard(mine: Curate, capsys):
    # Same object size, right index, chunks of two patches exchanged: only the ledger's chunk hashes can tell whose is whose.
    import hashlib
    import json

    from curation.cubes import zarrshard
    from curation.cubes.cube import Cube

    here = Cube(mine.dataset, "europe", "summer")
    ledger = Ledger.replay(mine.store, "europe", "summer")
    slab = next(n for n, r in ledger.slabs.items() if sum(o.status is Status.OK for o in r.patches) >= 2)
    key = here.array_key("s2l2a_10m", slab)
    path = mine.folder / key
    chunks = zarrshard.parse(path.read_bytes(), here.slab_patches, key)
    a, b = sorted(chunks)[:2]
    chunks[a], chunks[b] = chunks[b], chunks[a]
    data = zarrshard.assemble(chunks, here.slab_patches)
    old = hashlib.sha256(path.read_bytes()).hexdigest()
    path.write_bytes(data)
    # Whoever does this on purpose mends the object's digest too, and every later segment's chain.
    prev = None
    for segment in sorted(mine.folder.glob("ledger/*/summer/*.jsonl")):
        lines = segment.read_bytes().replace(old.encode(), hashlib.sha256(data).hexdigest().encode()).splitlines()
        first, records = json.loads(lines[0]), lines[1:-1]
        first["prev"] = prev
        body = b"".join(
            line + b"\n" for line in [json.dumps(first, sort_keys=True, separators=(",", ":")).encode(), *records]
        )
        end = {"end": len(records), "sha256": hashlib.sha256(body).hexdigest()}
        whole = body + json.dumps(end, sort_keys=True, separators=(",", ":")).encode() + b"\n"
        whole = whole.replace(f'"size":{len(path.read_bytes())}'.encode(), f'"size":{len(data)}'.encode())
        segment.write_bytes(whole)
        prev = hashlib.sha256(whole).hexdigest()
    found = faults(mine, capsys)
    assert len([f for f in found if "is not the chunk recorded of" in f]) == 2


def test_a_missing_index(mine: Curate, capsys):
    (mine.folder / "shards" / "index.json").unlink()
    assert any("pack again" in f for f in faults(mine, capsys))


def test_nothing_to_verify_is_a_usage_error(built: Curate, tmp_path, capsys):
    assert Curate(built.world, tmp_path)("verify") == 2
    assert "nothing is built there" in capsys.readouterr().err


@pytest.mark.slow
def test_a_damaged_cube_is_made_again_as_the_command_says(
    built: Curate, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    mine = built.copy(tmp_path)
    chunk = next((mine.folder / "cubes/europe/summer.zarr/s2l2a_10m").rglob("0"))
    chunk = chunk if chunk.is_file() else next(p for p in chunk.rglob("*") if p.is_file())
    data = bytearray(chunk.read_bytes())
    data[50] ^= 1
    chunk.write_bytes(data)
    assert mine("verify") == 1
    assert "deleting both cubes/<region>/<season>.zarr and ledger/<region>/<season>" in capsys.readouterr().out
    for part in ("cubes/europe/summer.zarr", "ledger/europe/summer"):
        shutil.rmtree(mine.folder / part)
    assert mine() == 0
    assert mine("pack") == 0
    assert mine("verify") == 0
    assert mine.hashes() == built.hashes()


@pytest.mark.slow
def test_what_a_killed_second_try_of_failed_patches_left_is_unfinished_and_no_fault_unless_it_is_damaged(
    built: Curate, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    shutil.copytree(built.world.folder, tmp_path / "own")
    mine = Curate(type(built.world)(tmp_path / "own"), tmp_path / "root")
    victim = mine.world.folder / "wc" / "map.tif"
    whole = victim.read_bytes()
    victim.write_bytes(whole[:2000])
    # In a process of its own, so that no living writer stands in the ledger; without the pauses between tries.
    code = "import sys; from curation.cli import main as cli; from curation.read import ranges; "
    code += "ranges.pause = lambda *a: None; "
    code += f"sys.exit(cli.main({mine.arguments('build', '--season', 'static')!r}))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 1
    victim.write_bytes(whole)
    killed(mine, "ledger.Ledger.append", 1, "build", "--season", "static")
    code, found, left = said(mine, capsys)
    assert (code, found) == (1, [])
    assert "of cube europe/static" in left[0]
    cube = contents.opened(mine.dataset, mine.store, "europe", "static")
    slab = next(n for n, r in cube.ledger.slabs.items() if any(o.status is Status.FAILED for o in r.patches))
    facts = {p.id: row for p, row in zip(cube.cube.slab(slab), cube.facts(slab), strict=True)}
    tried = [o.id for o in cube.ledger.slabs[slab].patches if o.status is Status.FAILED]
    assert {facts[i]["status"] for i in tried} == {Status.PENDING}, "what is not recorded of them is not told"
    damage = mine.copy(tmp_path / "damage")
    settled = [n for n, r in cube.ledger.slabs.items() if r.settled and r.settled < len(r.patches)]
    for slab in settled:  # the sea's patches need no map: they were settled at once
        key = cube.cube.facts_key(slab)
        data = bytearray((damage.folder / key).read_bytes())
        data[len(data) // 2] ^= 1
        (damage.folder / key).write_bytes(data)
        assert [key in f for f in said(damage, capsys)[1]].count(True) == 1
        with pytest.raises(DamageError, match=key):
            contents.opened(damage.dataset, damage.store, "europe", "static").facts(slab)
    assert mine("build", "--season", "static") == 0
    assert said(mine, capsys) == (0, [], [])
