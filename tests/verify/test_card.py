"""Cards that are of another release, or not what was written, are told by name."""

from pathlib import Path

import pytest

import curation
from curation.errors import CurationError
from tests.pack.card.conftest import said
from tests.run import Curate


@pytest.fixture
def mine(built: Curate, tmp_path: Path) -> Curate:
    return built.copy(tmp_path)


def told(curate: Curate, capsys: pytest.CaptureFixture[str]) -> list[str]:
    capsys.readouterr()
    code = curate("verify")
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith(("FAULT", "unfinished"))]
    assert code == (1 if lines else 0)
    return lines


def test_cards_that_are_not_there_are_made_by_the_verb(mine: Curate, capsys):
    (mine.folder / "card/card.json").unlink()
    (line,) = told(mine, capsys)
    assert line.startswith("unfinished")
    assert "the release has no cards: `curate card`" in line
    assert mine("card", "--no-pictures") == 0
    assert told(mine, capsys) == []


@pytest.mark.parametrize("name", ["README.md", "croissant.json", "stac/train/tiny-train-000000.json"])
def test_a_card_that_somebody_changed(mine: Curate, capsys, name: str):
    path = mine.folder / "card" / name
    path.write_text(path.read_text().replace("tiny", "huge", 1))
    (line,) = told(mine, capsys)
    assert line.startswith("FAULT")
    assert f"{path}: is not what was written" in line


def test_a_card_that_is_gone_and_one_that_nobody_wrote(mine: Curate, capsys):
    (mine.folder / "card/datacite.json").unlink()
    (mine.folder / "card/more.json").write_text("{}")
    gone, more = told(mine, capsys)
    assert "datacite.json: is recorded but not there" in gone
    assert "more.json: nobody recorded it" in more


def test_a_card_whose_record_was_changed_with_it(mine: Curate, capsys):
    import hashlib
    import json

    path, record = mine.folder / "card/datacite.json", mine.folder / "card/card.json"
    path.write_text(path.read_text().replace("Dataset", "Text", 1))
    value = json.loads(record.read_text())
    value["files"]["datacite.json"] = hashlib.sha256(path.read_bytes()).hexdigest()
    record.write_text(json.dumps(value))
    (line,) = told(mine, capsys)
    assert "datacite.json: does not say what index and recipe say" in line


def test_cards_of_another_release_are_stale(mine: Curate, capsys):
    import json

    record = mine.folder / "card/card.json"
    value = json.loads(record.read_text())
    record.write_text(json.dumps(value | {"index_sha256": "0" * 64}))
    (line,) = told(mine, capsys)
    assert line.startswith("unfinished")
    assert "the cards are of another release (index 000000000000…" in line


def test_cards_of_another_publisher_are_stale_and_shards_are_not(built: Curate, tmp_path: Path):
    made = said(built, tmp_path)
    with pytest.raises(
        CurationError, match=r"\[card\] of the recipe, or what its sources say of licences, has changed"
    ):
        made.verify()
    made.card(pictures=False)
    assert made.verify().ok


def test_cards_of_a_season_that_the_recipe_has_no_more_cannot_be_told(built: Curate, tmp_path: Path):
    made = said(built, tmp_path, "")
    recipe = tmp_path / "recipe.toml"
    recipe.write_text("".join(line for line in recipe.read_text().splitlines(True) if not line.startswith("autumn")))
    found = curation.load(recipe, made.root).verify(check=False).found
    assert any("what cards say cannot be told: season 'autumn': not in recipe" in line for line in found.unfinished)
