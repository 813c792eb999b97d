"""A disk that takes no more, or a store that refuses: one line that says what to do, no second try, and a rerun goes on."""

import errno
import hashlib
import json
import os
import re
import resource
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import certifi
import dask
import pytest
import rasterio

from curation import pipeline
from curation.api.folder import DatasetFolder
from curation.build import slab
from curation.cli import main
from curation.errors import CurationError, PassingError, StorageError
from curation.pack import pack, shard
from curation.scenes import saved
from curation.scenes.cells import SearchCell
from curation.store import full, trust
from curation.store.bucket import Client
from curation.store.objects import Store
from curation.stream.cache import DiskCache
from curation.work import cluster
from tests import world as tiny
from tests.loopback import Request, serving
from tests.properties import fast
from tests.run import Curate
from tests.store.disks import Disk, mounted
from tests.world import World

pytestmark = pytest.mark.alone

FULL = "No space left on device: make room there"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """A small disk of its own."""
    with mounted(tmp_path / "disk", "64m") as found:
        yield found


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line that the command says in the end."""
    err = capsys.readouterr().err
    assert "Traceback" not in err
    (line,) = [x for x in err.splitlines() if x.startswith("curate:")]
    return line


def cubes(curate: Curate) -> dict[str, bytes]:
    return {s.key: curate.store.get(s.key) for s in curate.store.list("cubes")}


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """`built` or `full` of each slab and shard that was begun, in order."""
    calls: list[str] = []

    def spied(real):
        def work(job):
            try:
                found = real(job)
            except StorageError:
                calls.append("full")
                raise
            calls.append("built")
            return found

        return work

    monkeypatch.setattr(pipeline, "build_slab", spied(slab.build_slab))
    monkeypatch.setattr(pack, "write_shard", spied(shard.write_shard))
    return calls


@pytest.mark.slow
@pytest.mark.parametrize("leave_bytes", fast([0, 500_000], [0, 50_000, 200_000, 500_000, 900_000]))
def test_a_full_disk_ends_a_build_in_one_line_and_the_same_command_goes_on(
    built: Curate, disk: Disk, tried: list[str], capsys: pytest.CaptureFixture[str], leave_bytes: int
):
    mine = Curate(built.world, disk.folder / "root")
    ballast = disk.fill(leave_bytes)
    assert mine() == 1
    line = one_line(capsys)
    assert line.startswith(f"curate: {mine.folder}/")
    assert FULL in line
    assert line.endswith("then run the same command again, which goes on from what is recorded")
    assert "full" not in tried[:-1], "nothing is tried again, and no slab follows one that could not be kept"
    assert not list(disk.folder.rglob("*.part"))
    ballast.unlink()
    assert mine() == 0
    assert cubes(mine) == cubes(built)
    slabs = [k for k in cubes(mine) if re.search(r"/patch_facts/c/\d+$", k)]
    assert len(slabs) <= tried.count("built") <= len(slabs) + 1, "only one whose line was not kept is built again"


@pytest.mark.slow
def test_a_full_disk_ends_pack_and_report_in_one_line_and_the_same_command_goes_on(
    built: Curate, disk: Disk, tried: list[str], capsys: pytest.CaptureFixture[str]
):
    mine = built.copy(disk.folder / "root")
    for old in [*(mine.folder / "shards").rglob("*.*"), *(mine.folder / "packing").rglob("*.*")]:
        old.unlink()
    ballast = disk.fill(100_000)
    assert mine("pack") == 1
    assert FULL in one_line(capsys)
    assert tried[-1:] == ["full"]
    assert "full" not in tried[:-1]
    ballast.unlink()
    assert mine("pack") == 0
    assert mine.hashes() == built.hashes()
    ballast = disk.fill()
    for verb in (["report"], ["show", f"europe/summer/{first(mine)}", "--out", str(disk.folder / "a.png")]):
        assert mine(*verb) == 1
        assert FULL in one_line(capsys)
    ballast.unlink()
    assert mine("report") == 0


def first(curate: Curate) -> str:
    from curation.store.ledger import Ledger

    return next(Ledger.replay(curate.store, "europe", "summer").outcomes()).id


@pytest.mark.slow
def test_a_disk_that_becomes_read_only_ends_a_build_and_one_that_is_refuses_to_begin(
    built: Curate, disk: Disk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    mine = Curate(built.world, disk.folder / "root")
    with disk.read_only():
        assert mine() == 2
        assert f"--root {mine.root}: cannot be written: {disk.folder}: Read-only file system" in one_line(capsys)
    real, calls = slab.build_slab, []

    def work(job):
        calls.append(job.slab)
        if len(calls) == 3:
            subprocess.run(["mount", "-o", "remount,ro", str(disk.folder)], check=True)
        return real(job)

    monkeypatch.setattr(pipeline, "build_slab", work)
    assert mine() == 1
    assert "Read-only file system: mount it for writing, or choose another folder" in one_line(capsys)
    assert len(calls) == 3
    subprocess.run(["mount", "-o", "remount,rw", str(disk.folder)], check=True)
    assert mine() == 0
    assert cubes(mine) == cubes(built)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_full_disk_ends_a_build_on_a_cluster_and_dask_tries_nothing_again(
    built: Curate, disk: Disk, capsys: pytest.CaptureFixture[str]
):
    mine = Curate(built.world, disk.folder / "root")
    ballast = disk.fill(300_000)
    assert mine("build", "--scheduler", "local", "--workers", "1") == 1
    assert FULL in one_line(capsys)
    ballast.unlink()
    assert mine("build", "--scheduler", "local", "--workers", "1") == 0
    assert cubes(mine) == cubes(built)


def refused(log: Path) -> int:
    with log.open("a") as file:
        file.write("tried\n")
    raise StorageError("full")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_want_of_storage_is_a_result_that_dask_does_not_try_again(tmp_path: Path):
    with cluster.connect("local", 1) as client:
        (((_, found),),) = cluster.stream(client, full.Final(refused), [tmp_path / "log"])
    assert isinstance(found, StorageError)
    assert (tmp_path / "log").read_text() == "tried\n"


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["build", "pack"])
def test_workers_are_given_work_that_does_not_raise_for_want_of_storage(
    built: Curate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], verb: str
):
    # What raises is tried again by a scheduler.
    def full(job: object) -> object:
        raise StorageError("full")

    given, real = [], cluster.stream

    def spied(client, fn, items, *rest):
        given.append(fn)
        return real(client, fn, items, *rest)

    mine = Curate(built.world, tmp_path)
    assert verb == "build" or mine() == 0
    monkeypatch.setattr(cluster, "stream", spied)
    monkeypatch.setattr(pipeline, "build_slab", full)
    monkeypatch.setattr(pack, "write_shard", full)
    capsys.readouterr()
    assert mine(verb) == 1
    assert one_line(capsys) == "curate: full"
    assert isinstance(given[0](None), StorageError)


def test_final_work_is_named_as_the_work_is():
    assert full.Final(refused).__name__ == "refused"  # by which a cluster's tasks are called


@pytest.mark.parametrize(
    ("number", "do"),
    [
        (errno.ENOSPC, "make room there"),
        (errno.EDQUOT, "have your quota raised"),
        (errno.EROFS, "mount it for writing"),
        (errno.EACCES, f"let this user (uid {os.geteuid()}) read and write there"),
        (errno.EPERM, f"let this user (uid {os.geteuid()}) read and write there"),
        (errno.EFBIG, "ulimit -f"),
        (errno.EIO, "dmesg"),
        (errno.ESTALE, "mount it again"),
        (errno.EMFILE, "ulimit -n"),
        (errno.EXDEV, "see to that"),
    ],
)
@pytest.mark.parametrize("writes", ["publish", "publish_new"])
def test_each_error_of_a_disk_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, do: str, writes: str
):
    store = Store(tmp_path)

    def fails(handle: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(StorageError, match="the same command again") as told:
        getattr(store, writes)("a/k", b"new")
    assert str(told.value).startswith(f"{tmp_path}/a/k: {os.strerror(number)}: ")
    assert do in str(told.value)
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []


def test_what_cannot_be_read_where_results_are_kept_is_told_and_not_taken_for_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    store = Store(tmp_path)
    store.publish("ledger/a/b/000000.jsonl", b"x")
    real = os.scandir

    def scandir(path):
        if str(path).endswith("ledger/a"):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(StorageError, match="Permission denied"):
        list(store.list("ledger"))


def test_a_file_where_a_folder_should_be_is_told_and_no_other_writer(tmp_path: Path):
    (tmp_path / "ledger").write_text("")
    with pytest.raises(StorageError, match="a file stands where a folder should be"):
        Store(tmp_path).publish_new("ledger/0", b"x")


@pytest.mark.slow
def test_a_limit_of_the_shell_on_files_ends_a_build_in_one_line(world: World, tmp_path: Path):
    # For real, without a disk to mount: no file may have more than 20 kB.
    run = Curate(world, tmp_path)
    command = [sys.executable, "-m", "curation", *run.arguments()]
    limits = (20_000, resource.getrlimit(resource.RLIMIT_FSIZE)[1])
    ended = subprocess.run(
        command, capture_output=True, text=True, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    )
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1].startswith(f"curate: {run.folder}/cubes/")
    assert "File too large: allow larger files (`ulimit -f`, or another file system)" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.slow
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_standard_output_that_is_full_is_told(world: World, tmp_path: Path, unbuffered: str):
    run, env = Curate(world, tmp_path), os.environ | {"PYTHONUNBUFFERED": unbuffered}
    command = [sys.executable, "-m", "curation", *run.arguments("locate")]
    with open("/dev/full", "w") as full:  # noqa: PTH123 - a device
        ended = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, env=env)
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1] == "curate: standard output: No space left on device"
    assert "Exception" not in ended.stderr


def test_what_failed_elsewhere_is_not_blamed_on_standard_output(world: World, tmp_path: Path, monkeypatch, capsys):
    def fails(*args: object, **how: object) -> None:
        with open("/dev/full", "wb", buffering=0) as full:  # noqa: PTH123 - a device
            full.write(b"x")  # which the system gives no name with

    monkeypatch.setattr(DatasetFolder, "locate", fails)
    assert Curate(world, tmp_path)("locate") == 1
    said = capsys.readouterr().err.splitlines()[-1]
    what = "standard output, or a file or connection that the system does not name"
    assert said == f"curate: {what}: No space left on device"


# ---- object stores ---------------------------------------------------------------------------------------------------


def _xml(code: str) -> bytes:
    return f'<?xml version="1.0"?><Error><Code>{code}</Code><Message>no</Message></Error>'.encode()


@pytest.mark.parametrize(
    ("status", "code", "told"),
    [
        (403, "AccessDenied", "is refused .*may list, get, put and delete there"),
        (403, "QuotaExceeded", "takes no more .*have its quota raised"),
        (507, "XMinioStorageFull", "takes no more .*make room there"),
        (401, "InvalidToken", "is refused .*give credentials"),
        (404, "NoSuchBucket", "there is no such bucket"),
        (400, "InvalidRequest", "is refused "),
    ],
)
def test_an_object_store_that_refuses_ends_the_run_and_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, status: int, code: str, told: str
):
    asked: list[str] = []

    def answer(request: Request) -> None:
        asked.append(request.command)
        request.send(status, _xml(code), Content_Type="application/xml")

    with serving(answer) as url:
        store = _s3(monkeypatch, url)
        for write in (lambda: store.publish("a/k", b"x"), lambda: store.publish_new("a/k", b"x")):
            with pytest.raises(StorageError, match=told) as raised:
                write()
            assert str(raised.value).startswith("s3://bucket/root/a/k: ")
            assert "\n" not in str(raised.value)
    assert [method for method in asked if method != "GET"] == ["PUT", "PUT"]  # reads see whether a lost reply stored it


def test_an_object_store_that_does_not_answer_is_tried_again_by_the_next_run_only(monkeypatch: pytest.MonkeyPatch):
    with serving(lambda request: request.send(503)) as url:
        store = _s3(monkeypatch, url)
        with pytest.raises(PassingError, match=r"503.*run the same command again"):
            store.publish("a/k", b"x")
        with pytest.raises(PassingError, match="503"):
            list(store.list("a"))


def test_a_store_is_not_full_for_what_its_bucket_or_its_objects_are_called(monkeypatch: pytest.MonkeyPatch):
    def answer(request: Request) -> None:
        said = (
            f"<Error><Code>SlowDown</Code><BucketName>quota-lab</BucketName><Resource>{request.path}</Resource></Error>"
        )
        request.send(503, f'<?xml version="1.0"?>{said}'.encode(), Content_Type="application/xml")

    with serving(answer) as url:
        _s3(monkeypatch, url)
        store = Store("s3://quota-lab/by quota", client=Client(retries=0))
        for call in (lambda: store.publish("quota/k", b"x"), lambda: store.get("quota/k"), lambda: store.head("quota")):
            with pytest.raises(PassingError, match="503"):
                call()


def _s3(monkeypatch: pytest.MonkeyPatch, url: str) -> Store:
    for name, value in {"ENDPOINT_URL": url, "ACCESS_KEY_ID": "a", "SECRET_ACCESS_KEY": "b", "REGION": "x"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    return Store("s3://bucket/root", client=Client(retries=0))


# ---- saved searches, temporary files, caches -------------------------------------------------------------------------


def test_a_search_that_cannot_be_saved_ends_the_run_and_fails_no_patch():
    asked: Future[dict[Any, CurationError]] = Future()
    asked.set_exception(StorageError("full"))
    with pytest.raises(StorageError, match="full"):
        saved._searched("work", [(("s2l2a", "summer", SearchCell(0, 0)), asked)])


def test_a_want_of_room_for_temporary_files_is_told():
    db = sqlite3.connect(":memory:")
    db.execute("PRAGMA max_page_count = 1")
    with pytest.raises(StorageError, match="TMPDIR: database or disk is full"), full.needed("TMPDIR"):
        db.execute("CREATE TABLE a (b)")
    with pytest.raises(sqlite3.OperationalError), full.needed("TMPDIR"):
        db.execute("nonsense")  # no fault of a disk
    db.close()


@pytest.fixture
def no_temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of temporary files in which none can be made."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    return tmp_path / "gone"


def test_where_no_folder_takes_temporary_files_that_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    # As in a container whose root is read-only.
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: [str(tmp_path / "gone")])
    with (
        pytest.raises(StorageError, match=rf"\(of \['{tmp_path}/gone'\]\): name one that can in TMPDIR"),
        full.temporary(),
    ):
        pass


def test_what_is_written_of_patches_takes_no_temporary_files(
    built: Curate, no_temporary: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    # On a disk that was full GDAL left half a file without a word, and HDF5 ended the process.
    patch = f"europe/summer/{tiny.name(1, 1)}"
    assert built("show", patch, "--tif", str(tmp_path / "tif")) == 0
    to = ["--to", str(tmp_path / "nc"), "--scheduler", "none", "--limit", "1"]
    assert built("export", "--format", "netcdf", "--season", "static", *to) == 0
    for file in (tmp_path / "tif").iterdir():
        with rasterio.open(file) as tif:
            tif.read()


def test_who_is_trusted_is_told_to_an_object_store_by_a_temporary_file_which_may_find_no_room(
    no_temporary: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", certifi.where())
    with pytest.raises(StorageError, match=f"temporary files {no_temporary} \\(TMPDIR\\)"), trust.for_rustls():
        pass


def test_a_local_cluster_without_room_for_what_its_workers_keep_on_disk_is_one_line(tmp_path: Path):
    (tmp_path / "file").write_text("")
    where = str(tmp_path / "file/scratch")
    with (
        dask.config.set({"temporary-directory": where}),
        pytest.raises(StorageError, match=rf"^{where} \(TMPDIR, or Dask's temporary-directory\): Not a directory: "),
        cluster.connect("local", 1),
    ):
        pass


def test_a_cache_whose_disk_is_full_says_so_and_keeps_no_half_shard(disk: Disk):
    cache = DiskCache(disk.folder / "cache", 10**9)
    shard = bytes(8_000_000)
    sha256 = hashlib.sha256(shard).hexdigest()

    def read(start: int, length: int) -> memoryview:
        return memoryview(shard)[start : start + length]

    ballast = disk.fill(1_000_000)
    with pytest.raises(StorageError, match=f"cache: {re.escape(FULL)} .* or give another cache_dir"):
        cache.open("0.tar", len(shard), sha256, read)
    assert [p.name for p in (disk.folder / "cache").iterdir() if p.suffix != ".lock"] == []
    ballast.unlink()
    os.close(cache.open("0.tar", len(shard), sha256, read))
    with disk.read_only(), pytest.raises(StorageError, match="Read-only file system"):
        cache.open("1.tar", 5, hashlib.sha256(b"other").hexdigest(), read)


def test_what_a_download_for_the_cache_says_is_not_taken_for_the_disk(tmp_path: Path):
    def read(start: int, length: int) -> memoryview:
        raise FileNotFoundError("no such shard")

    with pytest.raises(FileNotFoundError, match="no such shard"):
        DiskCache(tmp_path, 10**9).open("0.tar", 5, "0" * 64, read)


def test_a_server_without_room_to_render_ends_the_run_in_one_line_and_fails_no_patch(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    # What the embedded Earth says when its cache folder is full.
    asked: list[str] = []

    def answer(request: Request) -> None:
        asked.append(request.path)
        request.send(507, b"cannot render into the cache folder /c: No space left on device: make room there")

    with serving(answer) as url:
        items = json.loads(world.catalog.read_text())
        for asset in (a for f in items["features"] for a in f["assets"].values()):
            asset["href"] = f"{url}/{asset['href']}"
        (tmp_path / "items.json").write_text(json.dumps(items))
        flags = ["--dataset", str(world.recipe), "--root", str(tmp_path / "r"), "--scheduler", "none"]
        assert main.main([*flags, "--catalog", str(tmp_path / "items.json")]) == 1
    assert "cannot render into the cache folder /c: No space left on device: make room there" in one_line(capsys)
    assert len(asked) == len(set(asked)), "nothing is asked for again"
    assert not [
        s for s in Store(tmp_path / "r/tiny").list("ledger") if b"failed" in Store(tmp_path / "r/tiny").get(s.key)
    ]
