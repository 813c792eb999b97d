"""Marks are on disk line by line; a killed command loses none, and nobody writes another's file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from curation.errors import ConfigError, DamageError
from curation.worth.audit import marks
from curation.worth.audit.drawn import MAIN, PRESENT, AuditDraw
from curation.worth.audit.marks import MarkFile, mark
from tests.worth.audit.test_drawn import draw


@pytest.fixture
def drawn() -> AuditDraw:
    return draw(12)


def test_the_last_mark_of_a_patch_counts_and_a_reader_goes_on(tmp_path: Path, drawn: AuditDraw):
    first, second = drawn.patches[:2]
    with MarkFile(tmp_path, "ann", drawn) as file:
        file.add(mark(first.name, ("trees",), sure=True))
        file.add(mark(second.name, (), sure=False))
        file.add(mark(first.name, ("water",), sure=True))
    where = marks.file_of(tmp_path, "ann")
    assert len(where.read_bytes().splitlines()) == 3
    with MarkFile(tmp_path, "ann", drawn) as file:
        assert {n: (m.labels, m.sure) for n, m in file.marks.items()} == {
            first.name: (("water",), True),
            second.name: ((), False),
        }
    assert marks.readers(tmp_path) == ["ann"]


def test_a_mark_is_on_disk_when_it_was_taken(tmp_path: Path, drawn: AuditDraw):
    # The process ends without a chance to write anything more.
    code = (
        "import os, sys; from pathlib import Path; from curation.worth.audit import drawn, marks; "
        "its = drawn.of_bytes(Path(sys.argv[1], 'draw.json').read_bytes(), 'x'); "
        "file = marks.MarkFile(Path(sys.argv[1]), 'ann', its).__enter__(); "
        "file.add(marks.mark(its.patches[0].name, ('trees',), sure=True)); os._exit(9)"
    )
    (tmp_path / "draw.json").write_bytes(drawn.to_json())
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False).returncode == 9
    assert list(marks.read(marks.file_of(tmp_path, "ann"), drawn)) == [drawn.patches[0].name]


def test_half_a_line_is_no_mark_and_the_next_begins_a_line_of_its_own(tmp_path: Path, drawn: AuditDraw):
    with MarkFile(tmp_path, "ann", drawn) as file:
        file.add(mark(drawn.patches[0].name, ("trees",), sure=True))
    where = marks.file_of(tmp_path, "ann")
    where.write_bytes(where.read_bytes() + b'{"patch":"p1/su')
    assert len(marks.read(where, drawn)) == 1
    with MarkFile(tmp_path, "ann", drawn) as file:
        file.add(mark(drawn.patches[1].name, ("trees",), sure=True))
    assert list(marks.read(where, drawn)) == [p.name for p in drawn.patches[:2]]


def test_two_commands_do_not_mark_as_one_reader(tmp_path: Path, drawn: AuditDraw):
    said = pytest.raises(ConfigError, match="another command writes it now; wait, or say another --reader")
    with MarkFile(tmp_path, "ann", drawn), MarkFile(tmp_path, "ben", drawn), said:
        MarkFile(tmp_path, "ann", drawn).__enter__()
    before = len(list(Path("/proc/self/fd").iterdir()))
    with MarkFile(tmp_path, "ann", drawn):
        pass
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@pytest.mark.parametrize(
    "line",
    [
        b'{"patch":"elsewhere/summer","labels":[],"sure":true,"at":""}',
        b'{"patch":"p0/summer","labels":["tundra"],"sure":true,"at":""}',
        b'{"patch":"p0/summer"}',
        b"\xff\xfe",
    ],
)
def test_a_line_that_is_no_mark_of_the_sample_is_damage(tmp_path: Path, drawn: AuditDraw, line: bytes):
    where = marks.file_of(tmp_path, "ann")
    line = line.replace(b"p0/summer", drawn.patches[0].name.encode())
    where.write_bytes(line + b"\n")
    with pytest.raises(DamageError, match="line 1 is "):
        marks.read(where, drawn)
    with pytest.raises(DamageError, match="line 1 is "):
        MarkFile(tmp_path, "ann", drawn).__enter__()
    assert where.read_bytes() == line + b"\n"


@pytest.mark.parametrize("labels", [(), ("trees", "water")])
def test_a_line_of_no_class_or_of_several_is_damage_where_one_is_asked_for(
    tmp_path: Path, drawn: AuditDraw, labels: tuple[str, ...]
):
    with MarkFile(tmp_path, "ann", drawn) as file:
        file.add(mark(drawn.patches[0].name, labels, sure=True))
    where = marks.file_of(tmp_path, "ann")
    assert marks.read(where, msgspec.structs.replace(drawn, question=PRESENT))
    with pytest.raises(DamageError, match=f"line 1 is of {len(labels)} classes at once, expected one"):
        marks.read(where, msgspec.structs.replace(drawn, question=MAIN))


@pytest.mark.parametrize("name", ["", "../ann", "a/b", "ann smith", "a" * 41, "-n", "ann\n"])
def test_a_reader_s_name_leads_nowhere_else(tmp_path: Path, name: str):
    with pytest.raises(ConfigError, match="--reader"):
        marks.file_of(tmp_path, name)
