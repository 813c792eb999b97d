"""An export is what was asked for, whole or not told as there: killed, changed, damaged, and into folders of others."""

import hashlib
import json
import logging
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import curation
from curation.errors import ConfigError, DamageError
from curation.pack.export import export as exporting
from curation.pack.export import selecting, target
from curation.pack.export.forms.npz import Npz
from curation.store.objects import Store
from curation.work.run import Run
from tests import buckets
from tests import world as tiny
from tests.pack.export.conftest import fills_up
from tests.processes import started
from tests.run import Curate, ended


@pytest.fixture(autouse=True)
def handlers(monkeypatch: pytest.MonkeyPatch) -> None:
    """None that a command of another test has left: what they wrote to is closed."""
    monkeypatch.setattr(logging.getLogger("curation"), "handlers", [])


FEW = ("--region", "europe", "--season", "summer", "--limit", "5")


def made_of(run: Curate) -> curation.DatasetFolder:
    return curation.load(run.world.recipe, run.root, catalog=str(run.world.catalog), scheduler="none")


def export(run: Curate, form: str, to: Path | str, *flags: str) -> int:
    return run("export", "--format", form, "--to", str(to), "--scheduler", "none", *flags)


def contents(folder: Path) -> dict[str, str]:
    files = sorted(f for f in folder.rglob("*") if f.is_file())
    return {f.relative_to(folder).as_posix(): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


def recorded(folder: Path) -> dict[str, str]:
    """File → sha256 of all that the manifest leads to."""
    manifest = json.loads((folder / "export.json").read_text())
    out = dict(manifest["files"])
    for key, digest in manifest["records"].items():
        data = (folder / key).read_bytes()
        assert hashlib.sha256(data).hexdigest() == digest
        out |= {name: sha for name, _, sha in json.loads(data)["files"]}
    return out


def test_all_that_is_counted_is_there_and_hashed_and_a_rerun_makes_nothing_twice(built: Curate, tmp_path: Path, capsys):
    to = tmp_path / "out"
    assert export(built, "npz", to, *FEW, "--dry-run") == 0
    planned = capsys.readouterr().out
    assert not to.exists()
    assert export(built, "npz", to, *FEW) == 0
    told = capsys.readouterr().out
    files = recorded(to)
    assert {k: v for k, v in contents(to).items() if not k.startswith((".export", "export.json"))} == files
    assert f"npz: 5 patches, {len(files)} files to write" in planned
    assert f"npz: 5 patches, {len(files)} files, " in told
    before = {f: f.stat().st_mtime_ns for f in to.rglob("*") if f.is_file() and f.name != "export.json"}
    assert export(built, "npz", to, *FEW) == 0
    assert "5 patches there already" in capsys.readouterr().out
    assert {f: f.stat().st_mtime_ns for f in before} == before


def test_killed_between_two_files_the_same_command_ends_where_an_undisturbed_run_does(
    built: Curate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    assert export(built, "npz", tmp_path / "whole", *FEW) == 0
    with monkeypatch.context() as patch:
        fills_up(patch, ".npz", 4)
        assert export(built, "npz", tmp_path / "killed", *FEW) == 1
    assert not (tmp_path / "killed" / "export.json").exists()
    assert export(built, "npz", tmp_path / "killed", *FEW) == 0
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")


KILLED = """
import os, signal, sys
from curation.cli.main import main
from curation.store import folder
real, left = os.replace, [int(sys.argv[1])]
def replace(one, other):
    if str(other).endswith(".npz"):
        left[0] -= 1
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)  # its bytes are there, by another name
    real(one, other)
os.replace = replace
sys.exit(main(sys.argv[2:]))
"""


@pytest.mark.slow
def test_killed_in_the_midst_of_a_file_the_same_command_ends_where_an_undisturbed_run_does(
    built: Curate, tmp_path: Path
):
    assert export(built, "npz", tmp_path / "whole", *FEW) == 0
    to = tmp_path / "killed"
    flags = ["--format", "npz", "--to", str(to), "--scheduler", "none", *FEW]
    command = [sys.executable, "-c", KILLED, "4", *built.arguments("export", *flags)]
    with started(command, stderr=subprocess.PIPE) as process:
        said = ended(process)
    assert process.returncode == -signal.SIGKILL, said[-2000:]
    assert not (to / "export.json").exists()
    before = {f: f.stat().st_mtime_ns for f in to.rglob("*.npz")}
    assert len(before) == 3
    assert export(built, "npz", to, *FEW) == 0
    store = Store(to)
    assert {s.key for s in store.list()} == contents(tmp_path / "whole").keys()
    assert {s.key: hashlib.sha256(store.get(s.key)).hexdigest() for s in store.list()} == contents(tmp_path / "whole")


@pytest.mark.slow
@pytest.mark.parametrize("form", ["npz", "parquet"])
def test_an_export_into_a_bucket_is_that_into_a_folder(
    built: Curate, form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    few = FEW if form == "npz" else ()
    assert export(built, form, tmp_path / "whole", *few) == 0
    with buckets.bucket() as server:
        buckets.reached_at(server, monkeypatch)
        to = "s3://bucket/out/of it"
        assert export(built, form, to, *few) == 0
        store = Store(to)
        assert {s.key: hashlib.sha256(store.get(s.key)).hexdigest() for s in store.list()} == contents(
            tmp_path / "whole"
        )
        capsys.readouterr()
        assert export(built, form, to, *few) == 0
        assert "there already" in capsys.readouterr().out
        # Items of STAC lead from where they lie to cubes and shards: from a bucket not to a folder.
        assert export(built, "stac", to.replace("of it", "stac")) == 2
        assert "no relative href leads from there" in capsys.readouterr().err


def test_a_file_that_was_changed_or_removed_is_made_again(built: Curate, tmp_path: Path):
    to = tmp_path / "out"
    assert export(built, "npz", to, *FEW) == 0
    before, files = contents(to), sorted(to.rglob("*.npz"))
    data = bytearray(files[0].read_bytes())
    data[len(data) // 2] ^= 1  # of the same size
    files[0].write_bytes(data)
    files[-1].unlink()
    assert export(built, "npz", to, *FEW) == 0
    assert contents(to) == before


def test_what_an_earlier_build_had_and_the_cube_has_no_more_goes(built: Curate, tmp_path: Path):
    store, dataset, to = built.store, built.dataset, Store(tmp_path / "out")
    run = Run(dataset, built.catalogs, store)
    (tmp_path / "ids").write_text("\n".join(tiny.name(r, 0) for r in range(4)))
    every = exporting.Wish(("europe",), ("summer",), selecting.conditions([f"id in {tmp_path / 'ids'}"]))
    plan = exporting.planned(dataset, store, Npz(), every, to)
    exporting.exported(plan, run)
    fewer = exporting.planned(dataset, store, Npz(), exporting.Wish(("europe",), ("summer",), limit=1), to)
    # The same folder and wish, of a cube that by now has fewer patches.
    done = exporting.exported(exporting.ExportPlan(dataset, plan.form, every, to, fewer.asked), run)
    files = {k for k in contents(tmp_path / "out") if k.endswith(".npz")}
    assert len(files) == done.files == len(recorded(tmp_path / "out"))


def test_a_damaged_chunk_is_told_and_no_export_is_said_to_be_whole(built: Curate, tmp_path: Path, capsys):
    copy = built.copy(tmp_path / "copy")
    file = next(f for f in (copy.folder / "cubes/europe/summer.zarr/s2l2a_10m/c").rglob("*") if f.is_file())
    data = bytearray(file.read_bytes())
    data[:-200] = bytes(b ^ 1 for b in data[:-200])
    file.write_bytes(data)
    for form in ("geotiff", "netcdf", "npz"):
        assert export(copy, form, tmp_path / form, "--season", "summer", "--limit", "1") == 1
        assert "recorded was" in capsys.readouterr().err
        assert not (tmp_path / form / "export.json").exists()
    assert export(copy, "parquet", tmp_path / "parquet", "--limit", "1") == 0  # shards are whole
    shard = next((copy.folder / "shards" / "train").glob("*.tar"))
    shard.write_bytes(shard.read_bytes()[:-1] + b"\1")
    assert export(copy, "parquet", tmp_path / "again", "--limit", "1") == 1
    assert "the index says" in capsys.readouterr().err


def test_a_folder_with_other_things_or_of_another_export_is_refused_and_left_alone(
    built: Curate, tmp_path: Path, capsys
):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("x")
    (tmp_path / "file").write_text("x")
    assert export(built, "npz", tmp_path / "out", *FEW) == 0
    before = contents(tmp_path)
    copy = built.copy(tmp_path / "copy")
    for to, form, flags, match in (
        (tmp_path / "mine", "npz", FEW, "holds thesis.tex"),
        (tmp_path / "file", "npz", FEW, "is a file"),
        (tmp_path / "out", "cog", FEW, "holds another export .*form 'npz', now 'cog'"),
        (tmp_path / "out", "npz", (*FEW[:-1], "2"), "limit 5, now 2"),
        (copy.folder, "npz", FEW, "is the dataset's own"),
        (copy.folder / "cubes" / "x", "npz", FEW, "is the dataset's own"),
    ):
        made = made_of(copy)
        with pytest.raises(ConfigError, match=match):
            made.export(form, to, "europe", "summer", limit=int(flags[-1]))
    shutil.rmtree(tmp_path / "copy")
    assert contents(tmp_path) == before
    assert export(built, "npz", tmp_path / "mine", *FEW) == 2


def test_what_is_asked_for_is_what_comes(built: Curate, tmp_path: Path):
    made = made_of(built)
    (tmp_path / "ids").write_text(f"{tiny.name(1, 1)}\n{tiny.name(2, 2)}\n{tiny.name(0, 4)}\n")  # the last is not ok
    ids = made.export("npz", tmp_path / "a", season="summer", select=[f"id in {tmp_path / 'ids'}"])
    assert ids.count == 2
    clear = ["s2l2a_clear_fraction >= 0.5", "s2l2a_time >= 2021-07-10"]
    assert made.export("npz", tmp_path / "b", season="summer", select=clear, dry_run=True).count == 15


def test_what_cannot_be_asked_for_is_told(built: Curate, tmp_path: Path):
    made = made_of(built)
    for form, how, match in (
        ("tiff", {}, "--format tiff: no such form; did you mean geotiff"),
        ("npz", {"season": "spring"}, "--season spring: nothing of it is built"),
        ("npz", {"region": "lower-rhine"}, "--region lower-rhine: nothing of it is built"),
        ("npz", {"select": ["s2l2a_clear_fraction > 0"]}, "cube europe/static says nothing of"),
        ("npz", {"select": ["id = x"]}, "nothing there is asked for"),
        ("npz", {"season": "summer", "select": ["s2l2a_time < 2021-07-10T09"]}, "nothing there is asked for"),
        ("parquet", {"select": ["cloud = 1"]}, "the samples table says nothing of 'cloud'"),
        ("parquet", {"season": "spring"}, "--season spring"),
    ):
        with pytest.raises(ConfigError, match=match):
            made.export(form, tmp_path / "x", **how)
    assert not (tmp_path / "x").exists()


def test_a_record_that_names_files_elsewhere_is_damage(tmp_path: Path):
    (tmp_path / "mine").write_text("x")
    record = {"format": 1, "digest": "", "count": 1, "files": [["../mine", 1, ""]]}
    to = Store(tmp_path / "out")
    to.publish(".export/a.json", json.dumps(record).encode())
    with pytest.raises(DamageError, match="expected one below it"):
        target.record_of(to, ".export/a.json")
