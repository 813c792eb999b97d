"""Captions through a program: what is true is kept, what is not is counted, and what the program does wrong is told."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from curation.cli import main
from curation.errors import ConfigError
from curation.pack.captions import packed, rewriting, rewritten
from curation.stream.open import open_shards
from tests.pack.test_annotate import own
from tests.run import Curate

RECIPE = """
[annotations.captions]
function = "captions"
type = "json"
[annotations.caption]
function = "caption"
type = "text"
"""

WRITER = """
import json, sys, time
for number, line in enumerate(sys.stdin):
    asked = json.loads(line)
    assert asked["prompt"] == "Say it briefly.", asked["prompt"]
    {body}
    print(json.dumps(answer, ensure_ascii=False), flush=True)
"""
TRUE = 'd = asked["drafts"][0]; answer = {"key": asked["key"], "captions": ["Here " + d[0].lower() + d[1:]]}'
LIES = (
    'd = asked["drafts"][0]; answer = {"key": asked["key"], "captions": ["Here " + d[0].lower() + d[1:], '
    '"An airport.", "Almost entirely snow or ice.", "An airport.", d, d]}'
)


@pytest.fixture(scope="module")
def captioned(built: Curate, tmp_path_factory: pytest.TempPathFactory) -> Curate:
    """The tiny world, packed with captions."""
    mine = own(built, tmp_path_factory.mktemp("captioned"), RECIPE)
    assert mine("pack") == 0
    return mine


@pytest.fixture
def writer(captioned: Curate, tmp_path: Path):
    """Runs `curate captions rewrite` with a program of some body; gives the exit code."""
    (tmp_path / "prompt.txt").write_text("Say it briefly.")

    def run(body: str, *flags: str, out: str = "out.jsonl") -> int:
        program = tmp_path / "program.py"
        program.write_text(WRITER.replace("{body}", body))
        where = ["--dataset", str(captioned.world.recipe), "--root", str(captioned.root)]
        command = [
            "--command",
            f"{sys.executable} {program}",
            "--model",
            "stub-1",
            "--prompt",
            str(tmp_path / "prompt.txt"),
        ]
        return main.main(["captions", "rewrite", *where, *command, "--out", str(tmp_path / out), *flags])

    return run


def lines(file: Path) -> list[dict]:
    return [json.loads(line) for line in file.read_text().splitlines()]


@pytest.mark.slow
def test_captions_come_with_each_sample_and_are_those_of_its_text(captioned: Curate):
    samples = list(open_shards(captioned.folder, "train"))
    assert len(samples) > 5
    for one in samples:
        assert one["caption"] == one["captions"]["captions"][0]
        assert 3 <= len(one["captions"]["captions"]) == len(one["captions"]["sources"]) <= 5
        assert {*one["captions"]["seasons"]} == {"summer", "autumn"}
    assert sum("cover.trees" in one["captions"]["facts"] for one in samples) > len(samples) / 2
    assert len({one["caption"] for one in samples}) == len(samples)
    read = json.loads((captioned.folder / "shards" / "index.json").read_text())["counts"]["read"]["captions"]
    assert (read["words"], len(read["words_sha256"])) == ("en", 64)
    assert "city_names.npy" in read["atlas"]


@pytest.mark.slow
def test_what_is_true_is_kept_and_what_is_not_is_counted_by_its_reason(
    captioned: Curate, writer, tmp_path: Path, capsys
):
    assert writer(LIES) == 0
    said = capsys.readouterr().out
    head, *rows = lines(tmp_path / "out.jsonl")
    assert (head["model"], head["prompt"], head["language"]) == ("stub-1", "Say it briefly.", "en")
    keys = {s["key"] for s in open_shards(captioned.folder, "train")}
    assert {r["key"] for r in rows} == keys
    assert all(len(r["captions"]) == 1 and r["captions"][0].startswith("Here ") for r in rows)
    assert all(r["refused"] == {"false": 1, "repeated": 1, "unchanged": 2, "unknown_word": 1} for r in rows)
    assert all(len(r["captions"]) + sum(r["refused"].values()) == 6 for r in rows), "as many as came back"
    assert f"{len(keys)} rewritten" in said
    assert f"{len(keys)} false" in said
    assert f"{len(keys)} unknown_word" in said
    assert f"{2 * len(keys)} unchanged" in said
    assert "program.py" not in (tmp_path / "out.jsonl").read_text()


@pytest.mark.slow
def test_what_was_rewritten_is_packed_if_it_is_still_true_and_is_another_release(
    captioned: Curate, writer, tmp_path: Path
):
    assert writer(TRUE) == 0
    mine = own(captioned, tmp_path / "b", "")
    recipe = mine.world.recipe.read_text()
    mine.world.recipe.write_text(recipe.replace('"json"\n', '"json"\ncaptions = { rewritten = "said.jsonl" }\n'))
    said = (tmp_path / "out.jsonl").read_text().replace("Here ", "No airport here: ", 1)
    (mine.world.folder / "said.jsonl").write_text(said)
    assert mine("pack") == 0
    captions = [one["captions"] for one in open_shards(mine.folder, "train")]
    assert sum(its.get("rewritten", 0) for its in captions) == len(captions) - 1
    assert sum(its["captions"][0].startswith("Here ") for its in captions) == len(captions) - 1
    assert all(one["caption"] == one["captions"]["captions"][0] for one in open_shards(mine.folder, "train"))
    before, now = (json.loads((c.folder / "shards/index.json").read_text()) for c in (captioned, mine))
    assert before["digests"]["release"] != now["digests"]["release"]
    assert now["counts"]["read"]["captions"]["rewritten"]["model"] == "stub-1"
    assert now["counts"]["annotations"]["captions"] == {"unknown_word": 1}
    assert mine("verify") == 0
    wish = rewriting.RewriteWish((), "stub-1", "Say it briefly.", out=tmp_path / "out.jsonl")
    done = rewriting.foreseen(mine.dataset, mine.store, wish)
    assert done.before == done.samples == len(captions), "what was asked for is not asked for again"


@pytest.mark.slow
def test_a_rerun_asks_for_what_is_left_and_a_dry_run_for_nothing(captioned: Curate, writer, tmp_path: Path, capsys):
    out = tmp_path / "out.jsonl"
    assert writer(TRUE, "--dry-run") == 0
    assert not out.exists()
    assert "0 asked for before" in capsys.readouterr().out
    assert writer(TRUE, "--limit", "2") == 0
    assert len(lines(out)) == 3
    out.write_bytes(out.read_bytes()[:-20])  # killed while it wrote the last line
    assert writer(f"open({str(tmp_path / 'asked')!r}, 'a').write(asked['key'] + '\\n'); {TRUE}") == 0
    asked = (tmp_path / "asked").read_text().split()
    keys = [key for key, _ in packed.read(captioned.dataset, captioned.store, "captions")]
    assert asked == keys[1:]
    assert [r["key"] for r in lines(out)[1:]] == keys
    capsys.readouterr()
    assert writer("raise SystemExit(1)") == 0  # nothing is asked any more
    assert "nothing to ask for" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("raise SystemExit(3)", "program_died: it ended with exit code 3"),
        ("print('Loading model'); answer = {}", "garbage: no JSON"),
        ("answer = [1]", "garbage: got list"),
        ("answer = {'key': asked['key'], 'captions': 'one'}", "garbage: expected 'captions', a list of texts"),
        ("answer = {'key': 'another', 'captions': []}", "other_key"),
        ("answer = 'x' * (1 << 21)", "garbage: more than 1048576 bytes"),
        ("time.sleep(60)", "timeout: no answer within 0.5 s"),
        ("import os; os.close(1); time.sleep(60)", "program_died"),
    ],
)
def test_a_program_that_does_not_answer_is_told_and_not_asked_for_ever(
    writer, tmp_path: Path, capsys, body: str, said: str
):
    assert writer(body, *(("--timeout", "0.5") if "sleep(60)" in body and "close" not in body else ())) == 1
    err = capsys.readouterr().err
    assert said in err
    assert "3 samples in a row without an answer" in err
    assert len(lines(tmp_path / "out.jsonl")) == 1


@pytest.mark.slow
def test_one_sample_without_an_answer_is_asked_for_again_and_the_others_are_kept(writer, tmp_path: Path, capsys):
    once = f"mark = {str(tmp_path / 'mark')!r}\n    import os\n    if number == 1 and not os.path.exists(mark):\n"
    body = once + f"        open(mark, 'w').close()\n        sys.exit(4)\n    {TRUE}"
    assert writer(body) == 1
    said = capsys.readouterr()
    assert "1 program_died" in said.out
    assert "the same command asks for them again" in said.err
    many = len(lines(tmp_path / "out.jsonl"))
    assert writer(body) == 0
    assert len(lines(tmp_path / "out.jsonl")) == many + 1


@pytest.mark.slow
def test_a_program_is_told_what_texts_may_be_made_of(captioned: Curate, writer, tmp_path: Path):
    body = """told = asked["words"]["facts"]
    first = [told[n][0] for n in ("cover.trees", "cover.crops", "city", "year") if n in told]
    assert "the" in asked["words"]["plain"]
    answer = {"key": asked["key"], "captions": ["Here: " + ", ".join(first) + "."]}"""
    assert writer(body) == 0
    _, *rows = lines(tmp_path / "out.jsonl")
    assert len(rows) == len(list(open_shards(captioned.folder, "train")))
    assert all(len(r["captions"]) == 1 and not r["refused"] for r in rows), "of its words alone each text is true"


@pytest.mark.slow
def test_captions_come_shard_by_shard_and_a_damaged_one_is_told(captioned: Curate, writer, tmp_path: Path, capsys):
    shards = sorted((captioned.folder / "shards/train").glob("*.tar"))
    assert len(shards) > 1
    whole = shards[-1].read_bytes()
    try:
        shards[-1].write_bytes(whole[:-1] + b"x")
        assert writer(TRUE) == 1
    finally:
        shards[-1].write_bytes(whole)
    assert "the index says" in capsys.readouterr().err
    good = len(lines(tmp_path / "out.jsonl")) - 1
    assert 0 < good < len(list(open_shards(captioned.folder, "train"))), "what came before it is asked for, and kept"
    assert writer(TRUE) == 0
    assert len(lines(tmp_path / "out.jsonl")) - 1 == len(list(open_shards(captioned.folder, "train")))


@pytest.mark.slow
def test_a_file_of_another_model_is_not_gone_on_with(writer, tmp_path: Path, capsys):
    assert writer(TRUE, "--limit", "1") == 0
    assert writer(TRUE, "--model", "stub-2") == 2
    assert "was written by another model: stub-1" in capsys.readouterr().err
    (tmp_path / "mine.txt").write_text("my notes, without an end of line")
    assert writer(TRUE, out="mine.txt") == 2
    assert (tmp_path / "mine.txt").read_text() == "my notes, without an end of line"
    assert writer(TRUE, "--command", "/no/such/program") == 2
    assert "/no/such/program: cannot be started" in capsys.readouterr().err


def test_a_file_that_another_model_has_begun_since_it_was_looked_at_is_not_gone_on_with(tmp_path: Path):
    out = tmp_path / "out.jsonl"
    mine, other = ({"format": rewritten.FORMAT, "version": rewritten.VERSION, "model": m} for m in ("a", "b"))
    with rewriting._opened(out, other):
        pass
    with pytest.raises(ConfigError, match="written by another model: b"), rewriting._opened(out, mine):
        pass
    assert [its["model"] for its in lines(out)] == ["b"]


@pytest.mark.slow
def test_shards_without_captions_say_what_to_do(built: Curate, capsys):
    with pytest.raises(ConfigError, match=r"the shards have no captions: write \[annotations.captions\]"):
        packed.needed(built.dataset, built.store)
    assert built("show", "europe/summer/none", "--caption") == 2
