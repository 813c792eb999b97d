"""The Python way in: what the command does and prints, and nothing fails in silence."""

import io
import logging
from pathlib import Path

import pytest
from rich.console import Console

import curation
from curation.errors import ConfigError, CurationError, DamageError
from curation.work import progress, telling
from tests import world as tiny
from tests.run import Curate


@pytest.fixture(autouse=True)
def handlers(monkeypatch: pytest.MonkeyPatch) -> None:
    """None that a command of another test has left: what they wrote to is closed."""
    monkeypatch.setattr(logging.getLogger("curation"), "handlers", [])


def made_of(run: Curate) -> curation.DatasetFolder:
    return curation.load(run.world.recipe, run.root, catalog=str(run.world.catalog), scheduler="none")


@pytest.mark.slow
def test_each_step_returns_what_the_command_prints(built: Curate, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    run = built.copy(tmp_path)
    made = made_of(run)
    made.pack()  # of a copy each shard is made again
    for verb, step in (
        ("locate", made.locate),
        ("build", made.build),
        ("pack", made.pack),
        ("verify", made.verify),
        ("report", made.report),
    ):
        result = step()
        capsys.readouterr()
        assert run(verb) == 0
        assert capsys.readouterr().out == f"{result}\n" == f"{result!r}\n"
        assert result.ok
    told = made.estimate(limit=3)
    assert run("build", "--dry-run", "--limit", "3") == 0
    assert capsys.readouterr().out == f"{told}\n"


def test_a_result_is_a_table_in_a_notebook_and_for_rich(built: Curate, tmp_path: Path):
    result = made_of(built.copy(tmp_path)).build()
    page = result._repr_html_()
    assert "<th>time_gap:s1rtc</th>" in page
    assert "<td>europe/summer</td>" in page
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(result)
    assert "europe/summer" in console.export_text()
    assert result.counts["ok"] == 48


def test_what_a_result_says_is_text_in_html(built: Curate, tmp_path: Path):
    result = made_of(built.copy(tmp_path)).build()
    result.cubes[0].counts["<script>"] = 1
    assert "<script>" not in result._repr_html_()


@pytest.mark.slow
def test_a_page_and_a_picture_are_shown_where_a_notebook_shows_them(built: Curate, tmp_path: Path):
    made = made_of(built.copy(tmp_path))
    assert "<iframe sandbox" in made.report()._repr_html_()
    shown = made.show(f"europe/summer/{tiny.name(1, 1)}", tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes() == shown.png
    assert "data:image/png;base64," in shown._repr_html_()


def test_a_build_of_which_patches_failed_raises_with_what_and_why(tmp_path: Path):
    world = tiny.make(tmp_path / "world")
    for file in world.folder.glob("s2/*/SCL.tif"):
        file.write_bytes(b"no TIFF")
    made = made_of(Curate(world, tmp_path / "root"))
    with pytest.raises(CurationError, match=r"patch(es)? failed; the ledger has why") as caught:
        made.build(season="summer", limit=4)
    assert "s2l2a: " in str(caught.value)
    assert "SCL.tif" in str(caught.value)
    result = caught.value.result
    again = made.build(season="summer", limit=4, check=False)
    assert again.failed == result.failed > 0
    assert not again.ok
    assert str(result.failed) in str(again)
    assert any("SCL.tif" in cause for cause in again.causes)


def test_damage_raises_unless_somebody_looks(built: Curate, tmp_path: Path):
    run = built.copy(tmp_path)
    next(run.folder.glob("shards/train/*.tar")).unlink()
    with pytest.raises(DamageError, match=r"train.*\.tar") as caught:
        made_of(run).verify()
    found = made_of(run).verify(check=False)
    assert not found.ok
    assert str(found) == str(caught.value.result)
    assert str(found).startswith("FAULT ")


def test_what_is_asked_for_wrongly_is_a_config_error(built: Curate, tmp_path: Path):
    made = made_of(built)
    with pytest.raises(ConfigError, match="did you mean summer"):
        made.build(season="sumer")
    with pytest.raises(ConfigError, match="known: "):
        curation.load("ssl4eo-s12-m")
    with pytest.raises(ConfigError, match="--root"):
        made_of(Curate(built.world, Path("/proc/nowhere"))).build()
    with pytest.raises(AttributeError, match="nonesuch"):
        _ = curation.nonesuch


def test_progress_is_written_meanwhile_where_nobody_says_where_lines_go(capsys, monkeypatch: pytest.MonkeyPatch):
    log = logging.getLogger("curation")
    monkeypatch.setattr(log, "handlers", [])
    monkeypatch.setattr(log, "propagate", False)
    level = log.level
    with telling.shown():
        log.info("far")
    log.info("not any more")
    assert capsys.readouterr().err.endswith(" far\n")
    assert (log.handlers, log.level) == ([], level)
    mine = logging.NullHandler()
    log.addHandler(mine)
    with telling.shown():
        assert log.handlers == [mine]


def test_a_notebook_has_no_live_line_whatever_its_standard_error_says(capsys, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    assert progress.at_terminal()
    monkeypatch.setattr(progress.CONSOLE, "is_jupyter", True)
    assert not progress.at_terminal()
    with progress.Counting("count", 1, "patch") as count:
        count.step()
    assert count._live is None
