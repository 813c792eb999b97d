import contextlib
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.errors import ConfigError, DamageError
from curation.errors.codes import Code
from curation.outcomes import SETTLED, PatchOutcome, SourceOutcome, Status
from curation.store import ledger, writer
from curation.store.ledger import Ledger
from curation.store.objects import Store
from curation.store.records import SlabRecord, StoredObject, size_mark
from curation.store.writer import Writer
from tests.processes import started
from tests.properties import examples

BINDING = {"dataset": "d", "region": "r", "season": "s", "pixels": "abc"}
TEXT = st.text(max_size=8)
STATUS = st.sampled_from([s for s in Status if s is not Status.PENDING])
SOURCES = st.builds(
    SourceOutcome,
    status=STATUS,
    code=st.one_of(st.none(), st.sampled_from(list(Code))),
    value=st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False)),
    cause=st.one_of(st.none(), TEXT),
    scenes=st.lists(TEXT, max_size=3).map(tuple),
    passed_over=st.lists(st.tuples(TEXT, TEXT), max_size=2).map(tuple),
)
PATCHES = st.builds(
    PatchOutcome, id=TEXT, status=STATUS, sources=st.dictionaries(TEXT, SOURCES, max_size=2),
    chunks=st.dictionaries(TEXT, TEXT, max_size=2), facts=TEXT,
).filter(lambda p: p.status is Status.OK or any(o.status is not Status.OK for o in p.sources.values()))  # fmt: skip
OBJECTS = st.builds(StoredObject, key=TEXT, size=st.integers(0, 2**40), sha256=TEXT)
RECORDS = st.builds(
    SlabRecord, slab=st.integers(0, 3), patches=st.lists(PATCHES, max_size=2).map(tuple),
    objects=st.lists(OBJECTS, max_size=2).map(tuple), excluded=st.lists(TEXT, max_size=2).map(tuple),
)  # fmt: skip


def record(slab: int, name: str = "p") -> SlabRecord:
    source = SourceOutcome(Status.REJECTED, Code.CLOUDY, 0.0, scenes=("a", "b"))
    patch = PatchOutcome(f"{name}{slab}", Status.REJECTED, {"s2l2a": source}, {"a": "ff"})
    return SlabRecord(slab, (patch,), (StoredObject("k", 3, "00"),))


def begun(folder: Path, *appends: list[SlabRecord]) -> Ledger:
    made = Ledger.replay(Store(folder), "r", "s")
    made.acquire(BINDING)
    for records in appends:
        made.append(records)
    return made


def segments(folder: Path) -> list[Path]:
    return sorted((folder / "ledger/r/s").iterdir())


@given(st.lists(st.lists(RECORDS, max_size=3), max_size=4))
@settings(max_examples=examples(60), deadline=None)
def test_a_replay_of_any_appends_gives_the_last_record_of_each_slab(tmp_path_factory, appends):
    folder = tmp_path_factory.mktemp("l")
    made = begun(folder, *appends)
    want = {r.slab: r for records in appends for r in records}
    again = Ledger.replay(Store(folder), "r", "s")
    assert again.slabs == made.slabs == want
    assert (again.binding, again.segments, again.head) == (BINDING, len(appends) + 1, made.head)
    assert list(again.outcomes()) == [p for slab in sorted(want) for p in want[slab].patches]
    for slab, last in want.items():
        assert again.counts([slab]) == Counter(p.label for p in last.patches)
        assert again.settled(slab) == sum(p.status in SETTLED for p in last.patches)
        assert again.lines[slab].marks == b"".join(size_mark(o.key, o.size) for o in last.objects)
    assert again.counts(range(4)) == Counter(p.label for p in again.outcomes())
    assert again.passed_over() == sum(any(o.passed_over for o in p.sources.values()) for p in again.outcomes())


def test_a_scene_whose_catalog_calls_it_by_half_a_character_is_recorded_and_read_again(tmp_path):
    ok = SourceOutcome(Status.OK, scenes=("S2A_\ud800",))
    made = SlabRecord(0, (PatchOutcome("p0", Status.OK, {"s2l2a": ok}, {"a": "ff"}),), ())
    begun(tmp_path, [made])
    assert Ledger.replay(Store(tmp_path), "r", "s").slabs == {0: made}


def test_records_are_read_again_however_many_there_are_and_a_change_meanwhile_is_seen(tmp_path):
    many = ledger.AT_ONCE + 8
    begun(tmp_path, *([record(n)] for n in range(many)))
    again = Ledger.replay(Store(tmp_path), "r", "s")
    assert [again.slabs[n] for n in (many - 1, 0, 5)] == [record(many - 1), record(0), record(5)]
    assert again.slabs.get(many) is None
    path = segments(tmp_path)[3]
    path.write_bytes(path.read_bytes().replace(b"p2", b"p9"))
    with damage_named(tmp_path, 3):
        again.slabs[2]
    path.unlink()
    with damage_named(tmp_path, 3):
        again.slabs.get(2)


def test_where_nothing_was_recorded_the_ledger_is_empty(tmp_path):
    empty = Ledger.replay(Store(tmp_path), "r", "s")
    assert (empty.segments, empty.slabs, empty.writer, empty.head) == (0, {}, None, None)
    assert not any(tmp_path.iterdir()), "looking at it writes nothing"


def test_the_cubes_objects_are_kept(tmp_path):
    made = begun(tmp_path)
    receipt = Store(tmp_path).publish("cubes/zarr.json", b"{}")
    made.record_cube([receipt])
    made.append([record(0)])
    again = Ledger.replay(Store(tmp_path), "r", "s")
    assert again.cube_objects == (StoredObject("cubes/zarr.json", 2, receipt.sha256),)
    assert again.slabs == {0: record(0)}


def test_it_works_on_an_object_store():
    store = Store("memory:///")
    made = Ledger.replay(store, "r", "s")
    made.acquire(BINDING)
    made.append([record(1)])
    assert Ledger.replay(store, "r", "s").slabs == {1: record(1)}


# --- damage --------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def damage_named(folder: Path, segment: int) -> Iterator[None]:
    with pytest.raises(DamageError) as caught:
        yield
    assert f"{segment:06d}.jsonl" in str(caught.value)
    assert str(folder) in str(caught.value)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    begun(folder, [record(0), record(1)], [record(2)], [record(0, "q"), record(3)])
    return folder


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    for path in segments(whole):
        target = tmp_path / path.relative_to(whole)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    return tmp_path


def test_every_single_lost_line_is_seen(copy):
    seen = 0
    for n, path in enumerate(segments(copy)):
        data = path.read_bytes()
        lines = data.splitlines(keepends=True)
        for at in range(len(lines)):
            path.write_bytes(b"".join(lines[:at] + lines[at + 1 :]))
            with damage_named(copy, n):
                Ledger.replay(Store(copy), "r", "s")
            seen += 1
        path.write_bytes(data)
    assert seen == 13
    assert Ledger.replay(Store(copy), "r", "s").segments == 4


@pytest.mark.slow
@pytest.mark.parametrize("n", [1, 3])
def test_a_tail_torn_at_any_byte_is_seen(copy, n):
    path = segments(copy)[n]
    data = path.read_bytes()
    for size in range(len(data)):
        path.write_bytes(data[:size])
        with damage_named(copy, n):
            Ledger.replay(Store(copy), "r", "s")


@pytest.mark.slow
@pytest.mark.parametrize("bit", [0x01, 0x20, 0x80])
def test_a_flipped_bit_of_any_byte_is_seen(copy, bit):
    path = segments(copy)[3]
    data = path.read_bytes()
    for at in range(len(data)):
        path.write_bytes(data[:at] + bytes([data[at] ^ bit]) + data[at + 1 :])
        with damage_named(copy, 3):
            Ledger.replay(Store(copy), "r", "s")


@pytest.mark.parametrize("n", [0, 1, 2])
def test_a_missing_segment_is_seen(copy, n):
    segments(copy)[n].unlink()
    with damage_named(copy, n):
        Ledger.replay(Store(copy), "r", "s")


@pytest.mark.parametrize(("a", "b"), [(0, 1), (1, 2), (2, 3)])
def test_swapped_segments_are_seen(copy, a, b):
    paths = segments(copy)
    one, two = paths[a].read_bytes(), paths[b].read_bytes()
    paths[a].write_bytes(two)
    paths[b].write_bytes(one)
    with damage_named(copy, a):
        Ledger.replay(Store(copy), "r", "s")


def test_a_segment_of_another_history_is_seen(copy, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    begun(other, [record(5)], [record(6)])
    segments(copy)[2].write_bytes(segments(other)[2].read_bytes())
    with damage_named(copy, 2):
        Ledger.replay(Store(copy), "r", "s")


def put_together(first: object, line: object) -> bytes:
    body = b"".join(json.dumps(x).encode() + b"\n" for x in (first, line))
    return body + json.dumps({"end": 1, "sha256": hashlib.sha256(body).hexdigest()}).encode() + b"\n"


HALF = {"id": "p0", "status": "ok", "sources": {}}  # no chunks, no facts


@pytest.mark.parametrize(
    "line",
    [
        None, [], 3, "cube", {}, {"cube": 3}, {"cube": [{"key": "k"}]}, {"slab": [], "patches": [], "objects": []},
        {"slab": 0, "patches": 3, "objects": []}, {"slab": 0, "patches": [{}], "objects": []},
        {"slab": 0, "patches": [HALF | {"status": "fine"}], "objects": []},
        {"slab": 0, "patches": [HALF | {"status": []}], "objects": []},
        {"slab": 0, "patches": [HALF], "objects": []}, {"slab": 0, "patches": [HALF], "objects": [{"key": "k"}]},
        *({"slab": slab, "patches": [], "objects": []} for slab in ("0", -1, 1.5, True, None)),
    ],
)  # fmt: skip
def test_a_line_of_another_form_is_damage_though_its_hash_is_right(copy, line):
    path = segments(copy)[1]
    path.write_bytes(put_together(json.loads(path.read_bytes().split(b"\n")[0]), line))
    for later in segments(copy)[2:]:
        later.unlink()
    with damage_named(copy, 1):
        list(Ledger.replay(Store(copy), "r", "s").outcomes())


@pytest.mark.parametrize("change", [{"writer": None}, {"writer": {"user": "u"}}, {"binding": 3}, {"binding": None}])
def test_a_first_line_of_another_form_is_damage_though_its_hash_is_right(copy, change):
    path = segments(copy)[1]
    path.write_bytes(put_together(json.loads(path.read_bytes().split(b"\n")[0]) | change, {"cube": []}))
    with damage_named(copy, 1):
        Ledger.replay(Store(copy), "r", "s")


@pytest.mark.parametrize("line", [b"[" * 100_000 + b"]" * 100_000, b'{"cube":' * 100_000 + b"[]" + b"}" * 100_000])
def test_a_line_that_is_deeper_than_can_be_read_is_damage(copy, line):
    path = segments(copy)[1]
    body = path.read_bytes().split(b"\n")[0] + b"\n" + line + b"\n"
    path.write_bytes(body + json.dumps({"end": 1, "sha256": hashlib.sha256(body).hexdigest()}).encode() + b"\n")
    with damage_named(copy, 1):
        Ledger.replay(Store(copy), "r", "s")


@pytest.mark.parametrize("digest", [5, None, [], {}])
def test_a_last_line_whose_hash_is_none_is_damage(copy, digest):
    path = segments(copy)[1]
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-1]) + json.dumps(json.loads(lines[-1]) | {"sha256": digest}).encode() + b"\n")
    with damage_named(copy, 1):
        Ledger.replay(Store(copy), "r", "s")


@pytest.mark.parametrize("first", [[], 3, None, {"format": 3}])
def test_a_first_line_that_is_none_is_damage_though_its_hash_is_right(copy, first):
    path = segments(copy)[1]
    path.write_bytes(put_together(first, {"cube": []}))
    with damage_named(copy, 1):
        Ledger.replay(Store(copy), "r", "s")


def test_a_foreign_file_among_the_segments_is_seen(copy):
    (copy / "ledger/r/s/notes.txt").write_text("mine")
    with pytest.raises(DamageError, match="missing or foreign"):
        Ledger.replay(Store(copy), "r", "s")


@pytest.mark.parametrize("written", [None, 1, 2, 4])
def test_a_ledger_in_another_format_is_refused_by_name_with_what_to_do(tmp_path, monkeypatch, written):
    begun(tmp_path, [record(0)])
    for path in segments(tmp_path):
        lines = [json.loads(line) for line in path.read_bytes().splitlines()]
        lines[0].pop("format")
        lines[0] |= {} if written is None else {"format": written}
        body = b"".join(ledger._line(line) for line in lines[:-1])
        path.write_bytes(body + ledger._line(lines[-1] | {"sha256": hashlib.sha256(body).hexdigest()}))
    said = (
        rf"cube r/s is in format {written or 1}, this release .* writes 3\. .* delete both cubes/r/s\.zarr and ledger"
    )
    with pytest.raises(ConfigError, match=said):
        Ledger.replay(Store(tmp_path), "r", "s")


# --- writers -------------------------------------------------------------------------------------------------------

HOLDER = """
import sys, signal
from curation.store.ledger import Ledger
from curation.store.objects import Store
made = Ledger.replay(Store(sys.argv[1]), "r", "s")
made.acquire({"dataset": "d", "region": "r", "season": "s", "pixels": "abc"})
print("holds it", flush=True)
signal.pause()
"""


@contextlib.contextmanager
def holder(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    with started([sys.executable, "-c", HOLDER, str(folder)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"holds it\n"
        yield process


def test_a_second_writer_is_refused_by_name_and_host_while_the_first_lives(tmp_path):
    with holder(tmp_path) as process:
        second = Ledger.replay(Store(tmp_path), "r", "s")
        with pytest.raises(ConfigError) as caught:
            second.acquire(BINDING)
        said = str(caught.value)
        assert f"is being written by {second.writer.user} on {socket.gethostname()} (pid {process.pid})" in said
        assert len(segments(tmp_path)) == 1
        # Killed, but its parent has not asked after it yet: a zombie has a pid, and writes no more.
        process.send_signal(signal.SIGKILL)
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        second.acquire(BINDING)
    second.append([record(0)])
    assert Ledger.replay(Store(tmp_path), "r", "s").slabs == {0: record(0)}


def test_a_pid_that_was_used_again_is_not_the_writer(tmp_path):
    with holder(tmp_path) as process:
        known = Ledger.replay(Store(tmp_path), "r", "s").writer
        assert known.pid == process.pid
        assert known.alive()
        assert not replace(known, started=known.started - 100).alive()
        assert not replace(known, host="elsewhere").alive()
        assert not replace(known, boot="another").alive(), "the machine has started anew since"


@pytest.mark.parametrize("step_s", [-3600.0, 2.0, 3600.0])
def test_a_writer_lives_on_when_the_clock_is_set(tmp_path, monkeypatch, step_s):
    with holder(tmp_path) as process:
        now = psutil.Process.create_time  # Linux counts from the clock as it is now, back to the start of the machine
        monkeypatch.setattr(psutil.Process, "create_time", lambda self: now(self) + step_s)
        second = Ledger.replay(Store(tmp_path), "r", "s")
        assert second.writer.alive()
        with pytest.raises(ConfigError, match=rf"is being written by .*\(pid {process.pid}\)"):
            second.acquire(BINDING)


def test_a_writer_of_an_earlier_release_is_still_known(tmp_path):
    with holder(tmp_path) as process:
        assert Writer("u", socket.gethostname(), process.pid, psutil.Process(process.pid).create_time()).alive()
        assert not Writer("u", socket.gethostname(), process.pid, 1e9).alive()


def test_a_writer_that_was_taken_over_cannot_append(tmp_path):
    first = begun(tmp_path, [record(0)])
    second = Ledger.replay(Store(tmp_path), "r", "s")
    second.acquire(BINDING)
    with pytest.raises(DamageError) as caught:
        first.append([record(1)])
    me = Writer.me()
    assert f"{me} has taken over this cube" in str(caught.value)
    assert 1 not in first.slabs
    second.append([record(2)])
    assert set(Ledger.replay(Store(tmp_path), "r", "s").slabs) == {0, 2}


@pytest.mark.parametrize("data", [b"", b"[]\n", b'{"writer":{"pid":"x"}}\n', b"\xff\n", b"[" * 100_000])
def test_a_segment_of_something_else_stops_a_writer_by_name(tmp_path, data: bytes):
    mine = begun(tmp_path, [record(0)])
    Store(tmp_path).publish_new(mine._key(mine.segments), data)
    with pytest.raises(DamageError, match=r"a line says what no ledger does \(.*\); restore the segment"):
        mine.append([record(1)])


def test_of_two_that_replayed_the_same_state_one_acquires(tmp_path):
    begun(tmp_path)
    one, two = (Ledger.replay(Store(tmp_path), "r", "s") for _ in range(2))
    one.acquire(BINDING)
    with pytest.raises(DamageError, match="has taken over"):
        two.acquire(BINDING)


@pytest.mark.parametrize("key", sorted(BINDING))
def test_another_binding_is_refused_with_both_values(tmp_path, key):
    begun(tmp_path)
    other = Ledger.replay(Store(tmp_path), "r", "s")
    with pytest.raises(ConfigError, match=rf"{key} is '{BINDING[key]}', but now 'changed'"):
        other.acquire(BINDING | {key: "changed"})
    assert len(segments(tmp_path)) == 1


def test_a_user_without_a_name_writes_too(tmp_path, monkeypatch):
    def nameless() -> str:
        raise OSError("No username set in the environment")

    monkeypatch.setattr(writer.getpass, "getuser", nameless)
    begun(tmp_path, [record(0)])
    assert Ledger.replay(Store(tmp_path), "r", "s").writer.user == f"uid {os.getuid()}"


def test_lines_are_plain_json_that_names_what_happened(tmp_path):
    begun(tmp_path, [record(0)])
    first, line, last = (json.loads(x) for x in segments(tmp_path)[1].read_text().splitlines())
    assert first["segment"] == 1
    assert first["writer"] == asdict(Writer.me())
    assert line["patches"][0]["status"] == "rejected"
    assert line["patches"][0]["sources"]["s2l2a"] == {
        "status": "rejected", "code": "cloudy", "value": 0.0, "scenes": ["a", "b"],
    }  # fmt: skip
    assert last["end"] == 1
