"""What every test has: no network beyond this machine, and the shared recordings where they exist."""

from __future__ import annotations

import ast
import functools
import gc
import importlib.util
import ipaddress
import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest

from tests import once
from tests.properties import FAST, FEW, THOROUGH

# What tests are of is imported by them and by what makes things for them: the process of pytest-xdist that only hands out
# tests to others loads none of it, and these need not wait for that.
if TYPE_CHECKING:
    from tests.run import Curate
    from tests.world import World

MEMORY = Path("/dev/shm")
"""A file system in memory, where there is one. What is published is synced to the disk before it counts, and tests publish
much: on a disk most of their time is spent waiting for it (`tests/store/test_objects.py` shows that it is synced)."""
ROOM_BYTES = 6 << 30
"""What all tests together write (2 GB), with room to spare; a container's own /dev/shm of 64 MB is too small."""

if MEMORY.is_dir() and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free >= ROOM_BYTES:
    # Pytest's own variable: unlike --basetemp, the folder below it is a new one for each run.
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))

# As Dask has it in its workers. Each process of tests shares the cores with others: OpenBLAS's threads, which wait for one
# another by spinning, take 21 s of CPU for what takes one 4 (a probe of `tests/worth/probe`). Read where numpy is loaded.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# Machines are shared: how long an example takes says nothing. What is fast tries fewer of them; see `tests/properties.py`.
hypothesis.settings.register_profile("curation", deadline=None, max_examples=FAST)
hypothesis.settings.register_profile("thorough", deadline=None, max_examples=THOROUGH)
hypothesis.settings.register_profile("few", deadline=None, max_examples=FEW)
hypothesis.settings.load_profile("curation")

PROCESSES_A_CORE, FEWEST_PROCESSES, MOST_PROCESSES = 1.5, 2, 16
"""Of `pytest -n auto`: tests wait for servers, workers and deadlines; each process takes up to 1 GB, and seconds to load."""


@pytest.hookimpl(optionalhook=True)  # where there is no pytest-xdist, tests run one after the other
def pytest_xdist_auto_num_workers() -> int:
    """How many processes run tests at the same time."""
    return min(max(int(PROCESSES_A_CORE * len(os.sched_getaffinity(0))), FEWEST_PROCESSES), MOST_PROCESSES)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object:
    """Deals files to processes, those that wait for one another's scenes to the same one: else each process would wait."""
    from xdist.scheduler import LoadFileScheduling

    @functools.cache
    def renders(file: str) -> bool:
        return re.search(r"\brendering: Path\b", (config.rootpath / file).read_text(encoding="utf-8")) is not None

    class ByFile(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file: str = super()._split_scope(nodeid)
            return "rendering" if renders(file) else file

    return ByFile(config, log) if config.getoption("dist") == "loadfile" else None


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is loaded by the time that tests are known stays: the garbage collector is told to look at it no more.

    All of torch, Dask and GDAL and thousands of tests are a million objects, and many a test collects.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.collect()
        gc.freeze()


# ---- where torch is not installed, what needs it is left out, and that is told -----------------------------------------

TORCH = importlib.util.find_spec("torch") is not None
NEED_TORCH = ("torch", "torchdata", "curation.stream", "curation.examples")
"""Who imports one of these, or of what is in them, needs torch."""


def needs_torch(module: Path) -> bool:
    """Whether a file of tests imports torch as it is imported itself."""
    for node in ast.parse(module.read_text()).body:
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
        names = [f"{names[0]}.{a.name}" for a in node.names] if names else names
        names += [a.name for a in node.names] if isinstance(node, ast.Import) else []
        if any(f"{name}.".startswith(f"{needed}.") for name in names for needed in NEED_TORCH):
            return True
    return False


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Leaves out files that need torch, where it is not installed."""
    leave_out = not TORCH and collection_path.name.startswith("test_") and needs_torch(collection_path)
    return True if leave_out else None


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--one-of-each`: of a test with parameters the first alone, as `.ci/newer` wants it."""
    parser.addoption("--one-of-each", action="store_true", help="of tests that differ by parameters run the first")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skips single tests that need torch (marker `torch`), where it is not installed; puts the longest first."""
    if config.getoption("--one-of-each"):
        left_out = others(items)
        config.hook.pytest_deselected(items=left_out)
        ids = {item.nodeid for item in left_out}
        items[:] = [item for item in items if item.nodeid not in ids]
    for item in items:
        if not TORCH and item.get_closest_marker("torch"):
            item.add_marker(pytest.mark.skip(reason="torch is not installed"))
    if "PYTEST_XDIST_WORKER" in os.environ:
        longest_first(items)


def others(items: list[pytest.Item]) -> list[pytest.Item]:
    """Of tests that differ by their parameters all but the first that is not marked slow."""
    seen: set[str] = set()
    out = []
    for item in items:
        name = item.nodeid.partition("[")[0]
        if name in seen:
            out.append(item)
        elif not item.get_closest_marker("slow"):
            seen.add(name)
    return out


def longest_first(items: list[pytest.Item]) -> None:
    """Orders tests by file: those that are given most time, and of these the ones with most tests.

    A file's tests run in one process: one that took minutes and came last would run alone.
    """
    limits: Counter[Path] = Counter()
    for item in items:
        if marker := item.get_closest_marker("timeout"):
            limits[item.path] = max(limits[item.path], marker.args[0])
    counts = Counter(item.path for item in items)
    items.sort(key=lambda item: (-limits[item.path], -counts[item.path], str(item.path)))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Says which files were left out."""
    if not TORCH:
        files = sorted(p.name for p in Path(__file__).parent.rglob("test_*.py") if needs_torch(p))
        terminalreporter.write_line(f"torch is not installed, and {len(files)} files were left out: {' '.join(files)}")


# ---- what every test has -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all processes of this run of pytest have in common, and only they."""
    mine = tmp_path_factory.getbasetemp()
    return mine.parent if "PYTEST_XDIST_WORKER" in os.environ else mine


@pytest.fixture(scope="session", autouse=True)
def empty_cache(run_folder: Path) -> Iterator[Path]:
    """A cache folder of the run's own, empty at first, for its processes and those that they start.

    `.ci/run` names one for all of its runs (`$CURATION_TEST_CACHE`): what one of them has rendered, the next one finds.
    """
    folder = Path(os.environ.get("CURATION_TEST_CACHE") or run_folder / "cache")
    folder.mkdir(parents=True, exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder))
        yield folder


@pytest.fixture(scope="session")
def rendering(run_folder: Path) -> Path:
    """A lock for who builds from the embedded Earth's two regions (`once.one_at_a_time`): the next finds them rendered."""
    return run_folder / "rendering.lock"


@pytest.fixture(scope="session")
def world(run_folder: Path) -> World:
    """The tiny world with known answers; nobody changes it (`as_they_were`)."""
    from tests import world as tiny

    found = tiny.World(once.made_once(run_folder / "world", tiny.make))
    found.items = json.loads(found.catalog.read_text())["features"]
    once.AS_MADE.setdefault("world", (found.folder, once.contents(found.folder)))
    return found


@pytest.fixture(scope="session")
def built(world: World, run_folder: Path) -> Curate:
    """The tiny world built and packed, once; tests that change it take a copy (`built.copy`)."""
    from tests.run import Curate

    def make(root: Path) -> None:
        # By a process that ends: one that wrote a ledger, and lives, is another writer to all but itself.
        curate = Curate(world, root)
        steps = [curate.arguments(), curate.arguments("pack")]
        code = "import sys\nfrom curation.cli.main import main\nsys.exit(any([main(a) for a in eval(sys.argv[1])]))"
        subprocess.run([sys.executable, "-c", code, repr(steps)], check=True)

    root = once.made_once(run_folder / "built", make)
    once.AS_MADE.setdefault("built", (root, once.contents(root)))
    return Curate(world, root)


@pytest.fixture(autouse=True)
def as_they_were(request: pytest.FixtureRequest) -> Iterator[None]:
    """What tests share is after each of them as it was made: who changes it is told, and not who comes next."""
    yield
    once.check(request.fixturenames)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of recorded data: `$CURATION_SHARED`, or `../shared` beside the repository."""
    default = Path(__file__).parents[2] / "shared"
    folder = Path(os.environ.get("CURATION_SHARED", default))
    if not folder.is_dir():
        said = f"no folder {folder}: set CURATION_SHARED to the recorded data"
        if os.environ.get("CI") == "true":
            pytest.fail(f"{said} (in CI it must be there)")
        pytest.skip(said)
    return folder


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name that is not an address would have to be looked up elsewhere
        return False


@pytest.fixture(autouse=True)
def collected(request: pytest.FixtureRequest) -> Iterator[None]:
    """Where a test ignores what is told when garbage is collected, it is collected within the test.

    Later, it would be the fault of whichever test runs then.
    """
    yield
    ignored = [arg for mark in request.node.iter_markers("filterwarnings") for arg in mark.args]
    if any("Unraisable" in arg for arg in ignored):
        gc.collect()


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuses every connection that leaves this machine, and every look-up of a name."""
    connect, connect_ex, getaddrinfo = socket.socket.connect, socket.socket.connect_ex, socket.getaddrinfo

    def refuse(host: Any) -> None:
        raise AssertionError(f"the test wants to reach {host!r}; tests may only connect to loopback")

    def checked(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and not _is_loopback(str(address[0])):
            refuse(address)
        connect(self, address)

    def checked_ex(self: socket.socket, address: Any) -> int:
        if self.family in (socket.AF_INET, socket.AF_INET6) and not _is_loopback(str(address[0])):
            refuse(address)
        return connect_ex(self, address)

    def checked_lookup(host: Any, *args: Any, **kwargs: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if name not in (None, "", "0.0.0.0", "::", socket.gethostname()) and not _is_loopback(str(name)):
            refuse(host)
        return getaddrinfo(host, *args, **kwargs)

    monkeypatch.setattr(socket.socket, "connect", checked)
    monkeypatch.setattr(socket.socket, "connect_ex", checked_ex)
    monkeypatch.setattr(socket, "getaddrinfo", checked_lookup)
