"""The command: it draws, serves the page until that ends, and says what marks come to."""

from __future__ import annotations

import json
import queue
import re
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path

import pytest

import curation
from curation.errors import ConfigError
from tests.processes import started
from tests.run import Curate


@pytest.fixture
def to(tmp_path: Path) -> list[str]:
    return ["--to", str(tmp_path / "audit")]


def marked_by(to: list[str], reader: str, said: list[str]) -> None:
    """Marks as the page writes them, without it."""
    folder = Path(to[1])
    patches = json.loads((folder / "draw.json").read_text())["patches"]
    names = [f"{p['key']}/{p['season']}" for p in patches]
    lines = [json.dumps({"patch": n, "labels": [c], "sure": True, "at": ""}) for n, c in zip(names, said, strict=True)]
    (folder / f"marks-{reader}.jsonl").write_text("\n".join(lines) + "\n")


def test_a_dry_run_writes_nothing_and_a_draw_says_what_it_is(built: Curate, to: list[str], capsys):
    assert built("audit", *to, "--n", "4", "--dry-run") == 0
    assert "4 patches of 6 in 1 stratum, seed 0 to mark; nothing is written" in capsys.readouterr().out
    assert not Path(to[1]).exists()
    assert built("audit", *to, "--n", "4") == 0
    said = capsys.readouterr().out
    assert re.search(r"trees +6 +4\n", said)
    assert "nobody has marked yet" in said


def test_a_rerun_asks_for_the_same_and_more_is_more_of_it(built: Curate, to: list[str], capsys):
    assert built("audit", *to, "--n", "3", "--label", "present", "--seed", "5", "--domain", "") == 0
    first = (Path(to[1]) / "draw.json").read_bytes()
    assert built("audit", *to) == 0
    assert (Path(to[1]) / "draw.json").read_bytes() == first
    assert built("audit", *to, "--n", "5") == 0
    few, many = (json.loads(data) for data in (first, (Path(to[1]) / "draw.json").read_bytes()))
    assert (many["question"], many["seed"]) == ("present", 5)
    assert {p["key"] for p in few["patches"]} < {p["key"] for p in many["patches"]}
    assert built("audit", *to, "--seed", "6") == 2
    assert "is a sample of another seed" in capsys.readouterr().err


def test_the_score_is_weighted_and_names_where_readers_differ(built: Curate, to: list[str], capsys):
    assert built("audit", *to, "--n", "6") == 0
    assert built("audit", *to, "--score") == 2
    assert "nobody has marked anything" in capsys.readouterr().err
    marked_by(to, "ann", ["trees"] * 6)
    marked_by(to, "ben", ["trees"] * 4 + ["crops"] * 2)
    assert built("audit", *to, "--score") == 0
    said = capsys.readouterr().out
    assert re.search(r"ann +all +1\.000 \[1\.000, 1\.000\] \(6\)", said)  # all of them were looked at
    assert re.search(r"ben +trees +100\.0% +0\.667 \[0\.667, 0\.667\] \(6\)", said)
    assert "ann and ben: differ on 2 of 6 patches" in said
    assert "ann and ben: kappa of all classes 0.000" in said
    assert said.count(": trees; crops; trees stored") == 2


def test_flags_that_go_ill_together_are_refused(built: Curate, to: list[str], capsys):
    assert built("audit", *to, "--score", "--reader", "ann") == 2
    assert built("audit", "--to", "s3://bucket/audit") == 2
    assert "marks are added to a file of this machine" in capsys.readouterr().err


def test_marks_of_another_packing_are_not_gone_on_with(built: Curate, to: list[str]):
    made = curation.load(built.world.recipe, built.root)
    with pytest.raises(ConfigError, match="nothing is drawn there"):
        made.mark_audit("ann", to[1], browser=False)
    made.audit(to[1], count=4)
    where = Path(to[1]) / "draw.json"
    where.write_text(re.sub(r'("content_sha256": )"\w+"', r'\1"' + "0" * 64 + '"', where.read_text()))
    with pytest.raises(ConfigError, match="drawn of another packing"):
        made.mark_audit("ann", to[1], browser=False)
    with pytest.raises(ConfigError, match="is a sample of another content_sha256"):
        made.audit(to[1])


def test_gc_takes_no_audit_for_a_leftover(built: Curate, tmp_path: Path, capsys):
    copy = built.copy(tmp_path / "root")
    assert copy("audit", "--n", "4") == 0
    assert copy("gc", "--delete") == 0
    assert (copy.folder / "audit" / "draw.json").is_file()


@pytest.mark.slow
def test_the_page_is_served_until_it_is_ended(built: Curate, to: list[str]):
    command = [sys.executable, "-m", "curation", *built.arguments("audit", *to, "--n", "4", "--reader", "ann")]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with started([*command, "--no-browser"], **pipes) as process:
        lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=lambda: [lines.put(line) for line in process.stdout], daemon=True).start()
        url = lines.get(timeout=120).split()[-1]

        def post(path: str, body: object) -> None:
            asked = urllib.request.Request(url + path, json.dumps(body).encode(), {"Content-Type": "application/json"})
            urllib.request.urlopen(asked, timeout=20).close()

        post("mark", {"number": 0, "labels": ["trees"], "sure": True})
        post("end", {})
        assert process.wait(60) == 0
        assert "ann: 1 of 4 marked" in "".join(lines.get(timeout=60) for _ in range(4))
        errors = process.stderr.read()
    assert url.rstrip("/").rpartition("/")[2] not in errors
