"""Captions beside pictures: of one patch, and as cards of a page that finds them by words without a server."""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import cast

import pytest
from PIL import Image

from curation.errors import ConfigError
from curation.model import Location
from curation.pack.captions import packed
from curation.report import picture, show
from curation.report.cards import Card
from curation.report.contact_sheet import Tile
from curation.report.page import render
from tests.pack.captions.test_rewriting import captioned as captioned
from tests.run import Curate

HTML = "{http://www.w3.org/1999/xhtml}"


@pytest.fixture(scope="module")
def said(captioned: Curate) -> dict[str, packed.Captions]:
    """What shards hold, by sample."""
    found = dict(packed.read(captioned.dataset, captioned.store, "captions"))
    return {key: value for key, value in found.items() if value is not None}


@pytest.fixture(scope="module")
def page(captioned: Curate) -> ET.Element:
    return ET.fromstring(render(captioned.dataset, captioned.store).partition("\n")[2])


def text_of(element: ET.Element) -> str:
    return " ".join(" ".join(element.itertext()).split())


@pytest.mark.slow
def test_a_patch_is_drawn_with_the_captions_of_its_season(captioned: Curate, said, tmp_path: Path, monkeypatch):
    key, value = next(iter(said.items()))
    rows: list[tuple[str, str]] = []
    real = picture.png
    monkeypatch.setattr(picture, "png", lambda *args: (rows.extend(args[4]), real(*args))[1])
    out = tmp_path / "a.png"
    shown = show.write(captioned.dataset, captioned.store, f"europe/summer/{key}", out, caption=True)
    assert Image.open(io.BytesIO(shown.png)).format == "PNG"
    assert [v for n, v in rows if n == "caption"] == value["seasons"]["summer"]["captions"]
    assert all(re.search(r"sensor|city|cover|relief", v) for n, v in rows if n == "tells")
    rows.clear()
    show.write(captioned.dataset, captioned.store, f"europe/static/{key}", out, caption=True)
    assert [v for n, v in rows if n == "caption"] == value["captions"]
    rows.clear()
    show.write(captioned.dataset, captioned.store, f"europe/summer/{key}", out)
    assert not [v for n, v in rows if n == "caption"]


@pytest.mark.slow
def test_a_patch_that_is_no_sample_has_no_captions(captioned: Curate, said, tmp_path: Path, capsys):
    other = next(p for p in (r.id for r in _places(captioned)) if p not in said)
    with pytest.raises(ConfigError, match="no sample of the shards has captions"):
        show.write(captioned.dataset, captioned.store, f"europe/summer/{other}", tmp_path / "a.png", caption=True)
    assert captioned("show", f"europe/summer/{other}", "--caption", "--tif", str(tmp_path)) == 2
    assert "--caption is of the picture" in capsys.readouterr().err


def _places(its: Curate):
    from curation.store.ledger import Ledger

    return list(Ledger.replay(its.store, "europe", "summer").outcomes())


@pytest.mark.slow
def test_cards_have_a_picture_the_captions_of_its_season_and_their_facts(page: ET.Element, said):
    cards = [a for a in page.iter(f"{HTML}article") if a.get("class") == "card"]
    assert {text_of(c.find(f"{HTML}h3")) for c in cards} == {*said}
    for card in cards:
        key, season = text_of(card.find(f"{HTML}h3")), text_of(card.find(f"{HTML}p")).split(" ")[0]
        its = said[key]["seasons"][season]
        items = list(card.iter(f"{HTML}li"))
        assert [" ".join((li.text or "").split()) for li in items] == its["captions"]
        told = [[code.text.split(":")[0] for code in li.iter(f"{HTML}code")] for li in items]
        assert told == its["sources"]
        assert card.find(f"{HTML}img").attrib["src"].startswith("data:image/webp")
        for word in (key, season, its["captions"][0].casefold()):
            assert word in card.attrib["data-text"]
    assert "#captions" in [a.attrib["href"] for a in page.iter(f"{HTML}a")]


def test_cards_are_found_by_small_letters_as_the_page_has_them():
    place, tile = Location("a", 0.0, 0.0, 4326, 0.0, 0.0, 1.0, "r"), cast(Tile, None)
    assert "near gießen" in Card(place, "summer", tile, [("Near Gießen.", ())]).text


@pytest.mark.slow
def test_the_page_finds_cards_by_words(page: ET.Element, tmp_path: Path):
    if (node := shutil.which("node")) is None:
        pytest.skip("no Node.js to run the page's script")
    (script,) = page.iter(f"{HTML}script")
    texts = [a.attrib["data-text"] for a in page.iter(f"{HTML}article") if a.get("class") == "card"]
    word = "cropland"
    # The few parts of a page that the script asks for, as a browser has them.
    stand_in = f"""
const texts = {json.dumps(texts)}, listeners = [], output = {{}};
const cards = texts.map(t => ({{hidden: false, getAttribute: () => t}}));
const box = {{value: "", addEventListener: (_, f) => listeners.push(f)}};
global.document = {{getElementById: id => id === "find" ? box : output, querySelectorAll: () => cards}};
{script.text}
const found = [];
for (const asked of ["", "{word}", "  {word.upper()}  2021 ", "no-such-word", ""]) {{
  box.value = asked; listeners.forEach(f => f()); found.push([cards.filter(c => !c.hidden).length, output.textContent]);
}}
console.log(JSON.stringify(found));
"""
    done = subprocess.run([node, "-e", stand_in], capture_output=True, check=True, text=True)
    some = sum(word in t for t in texts)
    assert 0 < some < len(texts)
    expected = [len(texts), some, some, 0, len(texts)]
    assert json.loads(done.stdout) == [[n, f"{n} of {len(texts)}"] for n in expected]


@pytest.mark.slow
def test_a_page_of_shards_without_captions_has_no_cards_and_no_script(built: Curate):
    text = render(built.dataset, built.store)
    assert "<script" not in text
    assert 'id="captions"' not in text
