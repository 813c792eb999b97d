"""The page: well-formed, whole, and nothing on it that the ledgers do not say."""

import base64
import io
import re
import shutil
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from curation.cli import main
from curation.cubes import contents
from curation.errors import ConfigError
from curation.errors.codes import CODE_HELP, Code
from curation.outcomes import Status
from curation.recipe.dataset import Dataset, load_dataset
from curation.report import contact_sheet, images, page, palette
from curation.report.page import render, write
from curation.report.survey import survey
from curation.store.ledger import Ledger
from curation.store.objects import Store
from tests.run import Curate
from tests.world import World

HTML = "{http://www.w3.org/1999/xhtml}"
SVG = "{http://www.w3.org/2000/svg}"
RECIPE = Path(__file__).parents[1] / "belgium" / "recipe.toml"


@dataclass(frozen=True)
class Built:
    dataset: Dataset
    store: Store


@pytest.fixture(scope="module")
def belgium(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Built:
    """One real location in four seasons, built but not packed: no labels, no static cube."""
    root = tmp_path_factory.mktemp("belgium")
    items = shared / "data" / "real-archive-belgium" / "items.json"
    flags = ["--dataset", str(RECIPE), "--catalog", str(items), "--root", str(root), "--scheduler", "none"]
    assert main.main([*flags, "--allow-unknown-labels"]) == 0
    return Built(load_dataset(str(RECIPE)), Store(root).child("belgium"))


def _page(text: str) -> ET.Element:
    """The page, parsed strictly."""
    assert text.startswith("<!DOCTYPE html>")
    return ET.fromstring(text)


@pytest.fixture(scope="module")
def belgian(belgium: Built) -> ET.Element:
    return _page(render(belgium.dataset, belgium.store))


@pytest.fixture(scope="module")
def tiny(built: Curate) -> ET.Element:
    return _page(render(built.dataset, built.store))


def _text(element: ET.Element) -> str:
    return " ".join(" ".join(element.itertext()).split())


def _images(page: ET.Element) -> Iterator[tuple[str, np.ndarray]]:
    for img in page.iter(f"{HTML}img"):
        head, data = img.attrib["src"].split(",", 1)
        assert head == "data:image/webp;base64"
        yield img.attrib["alt"], np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGBA"))


def _section(page: ET.Element, name: str) -> ET.Element:
    return next(s for s in page.iter(f"{HTML}section") if s.get("id") == name)


def _rows(section: ET.Element) -> list[list[str]]:
    return [
        [_text(td) for td in tr.findall(f"{HTML}td")]
        for tr in section.iter(f"{HTML}tr")
        if tr.find(f"{HTML}td") is not None
    ]


@pytest.mark.slow
@pytest.mark.parametrize("which", ["belgian", "tiny"])
def test_every_picture_has_words_and_everything_is_inside_the_page(which: str, request: pytest.FixtureRequest):
    page = request.getfixturevalue(which)
    ids = [e.get("id") for e in page.iter() if e.get("id")]
    assert len(ids) == len(set(ids))
    for anchor in page.iter(f"{HTML}a"):
        assert anchor.attrib["href"].removeprefix("#") in ids
    for svg in page.iter(f"{SVG}svg"):
        assert len(svg.attrib["aria-label"]) > 20
    for element in page.iter():
        for key, value in element.attrib.items():
            if key.rpartition("}")[2] in ("src", "href"):
                assert value.startswith(("data:", "#")), value[:80]
    assert not list(page.iter(f"{HTML}script"))
    assert not list(page.iter(f"{HTML}link"))
    assert all(len(alt) > 20 for alt, _ in _images(page))


@pytest.mark.parametrize("which", ["belgian", "tiny"])
@pytest.mark.slow
def test_on_a_page_of_400_px_all_text_of_charts_and_maps_is_as_large_as_it_was_set(
    which: str, request: pytest.FixtureRequest
):
    page = request.getfixturevalue(which)
    styles = _text(page.find(f"{HTML}head/{HTML}style"))
    assert re.search(
        r"@media screen and \(max-width: 760px\).* \.wide { display: none; } \.narrow { display: block; }", styles
    )
    found = list(page.iter(f"{SVG}svg"))
    wide, narrow = ([s for s in found if kind in s.attrib["class"].split()] for kind in ("wide", "narrow"))
    assert [s.attrib["aria-label"] for s in wide] == [s.attrib["aria-label"] for s in narrow]
    shown = [s for s in found if s not in wide]
    assert shown
    for svg in shown:
        width = float(svg.attrib["viewBox"].split()[2])
        scale = min(4 / 3, (400 - 2 * 14) / width)  # 72 to 96 px an inch, and what the page's margins leave
        sizes = [float(px) for px in re.findall(r"font(?:-size)?: (?:bold )?([0-9.]+)px", ET.tostring(svg, "unicode"))]
        assert min(sizes) * scale > 10, svg.attrib["aria-label"]


def test_no_picture_of_real_pixels_is_blank(belgian: ET.Element):
    images = list(_images(belgian))
    # One location, four seasons: true colour, false colour, the radar composite, VV and VH.
    assert len(images) == 4 * 5
    for alt, pixels in images:
        assert pixels[..., :3].std() > 5, alt


def test_a_true_colour_picture_is_the_stretch_of_the_stored_pixels(belgium: Built, belgian: ET.Element):
    seasons = belgium.dataset.season_names()
    cubes = {s: contents.opened(belgium.dataset, belgium.store, "europe", s) for s in seasons}
    (place,) = cubes["summer"].cube.locations
    bands = [cubes[s].pixels("s2l2a_10m", place.id)[[2, 1, 0]] for s in seasons]  # stored as B02, B03, B04, B08
    stretch = images.optical_stretch(bands, 0)
    drawn = {alt.rpartition(", ")[2]: p for alt, p in _images(belgian) if "True colour" in alt}
    assert set(drawn) == set(seasons)
    for season, stored in zip(seasons, bands, strict=True):
        unit = np.clip((stored[:, 7, 9] - np.array(stretch.low)) / (stretch.high[0] - np.array(stretch.low)), 0, 1)
        assert drawn[season][7, 9, :3].tolist() == np.round(255 * unit ** (1 / 1.4)).tolist()
        assert drawn[season].tolist() == stretch(stored, 0).tolist()


def test_counts_are_the_ledgers(built: Curate, tiny: ET.Element):
    outcomes = {s: list(Ledger.replay(built.store, "europe", s).outcomes()) for s in ("static", "summer", "autumn")}
    status = Counter(o.status for found in outcomes.values() for o in found)
    cards = [_text(c) for c in next(d for d in tiny.iter(f"{HTML}dl") if d.get("class") == "cards")]
    assert cards[0].startswith("25 locations")
    assert cards[1] == f"{status[Status.OK]} of 75 patches ok {status[Status.REJECTED]} rejected"
    assert cards[2] == "7 samples 7 train, 0 val"
    size = sum(
        f.stat().st_size for part in ("cubes", "shards") for f in (built.folder / part).rglob("*") if f.is_file()
    )
    assert cards[3].startswith(f"{size / 1e3:.0f} kB on disk")
    expected = Counter((s, o.reason) for s, found in outcomes.items() for o in found if o.status is not Status.OK)
    rows = _rows(_section(tiny, "outcomes"))
    assert {(season, reason): int(n) for _, season, reason, _, n in rows} == expected
    assert all(meaning == CODE_HELP[Code(reason.partition(":")[0])] for _, _, reason, meaning, _ in rows)


def test_who_was_asked_is_told_once_or_source_by_source(tiny: ET.Element):
    (facts,) = (its for its in tiny.iter(f"{HTML}dl") if its.get("class") == "facts")
    words = [_text(its) for its in facts]
    assert re.fullmatch(r"file-[0-9a-f]{16}", words[words.index("catalogs") + 1])
    apart = {"s2l2a": "planetary-computer", "s3olci": "cdse", "dem": "planetary-computer"}
    assert page._catalogs(apart) == "planetary-computer: s2l2a, dem; cdse: s3olci"


def test_the_map_counts_complete_and_rejected_locations(tiny: ET.Element):
    where = _section(tiny, "where")
    (svg,) = where.iter(f"{SVG}svg")
    assert svg.attrib["aria-label"] == "Map of europe: 25 locations, 7 complete, 18 rejected"


def test_what_was_dropped_is_told_with_its_reason(built: Curate, tiny: ET.Element):
    import pandas as pd

    table = pd.read_parquet(built.folder / "manifest" / "dropped.parquet", columns=["reason"])
    rows = _rows(_section(tiny, "dropped"))
    assert {reason: int(n) for _, reason, _, n in rows} == Counter(table["reason"])
    assert all(len(meaning) > 10 for _, _, meaning, _ in rows)


def test_labels_stand_with_the_unknown_apart(tiny: ET.Element):
    section = _section(tiny, "labels")
    assert [_text(th) for th in section.iter(f"{HTML}th")] == ["label", "annual", "summer", "autumn"]
    rows = {row[0]: row[1:] for row in _rows(section)}
    # The tiny world has Dynamic World in summer only, and there it is a gap in the south.
    assert (rows["known"][0], rows["unknown"][0]) == ("25", "0")
    assert (rows["known"][2], rows["unknown"][2]) == ("0", "8")
    known = int(rows["known"][1])
    assert known + int(rows["unknown"][1]) == 15
    assert (rows["trees"][1], rows["grass"][1], rows["trees"][2]) == (f"{known} 100 %", "0 0 %", "0")


def test_class_maps_on_the_page_have_the_official_colours(tiny: ET.Element):
    maps = {alt: {tuple(p) for p in pixels.reshape(-1, 4).tolist()} for alt, pixels in _images(tiny)}
    worldcover = set().union(*(v for k, v in maps.items() if k.startswith("ESA WorldCover")))
    assert worldcover == {(0, 100, 0, 255), (240, 150, 255, 255)}  # tree cover, cropland
    world = set().union(*(v for k, v in maps.items() if k.startswith("Dynamic World")))
    assert world == {(57, 125, 73, 255), (228, 150, 53, 255)}  # trees, crops


MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]


@pytest.fixture(scope="module")
def monthly(built: Curate, tmp_path_factory: pytest.TempPathFactory) -> ET.Element:
    """The page of two places in twelve months, of Sentinel-2 alone and heights."""
    folder = tmp_path_factory.mktemp("monthly")
    shutil.copytree(built.world.folder, folder / "world")
    world = World(folder / "world")
    dates = [f"2021-{n:02}-01" for n in range(1, 13)] + ["2022-01-01"]
    seasons = "\n".join(f"{m} = {{ start = {dates[n]}, end = {dates[n + 1]} }}" for n, m in enumerate(MONTHS))
    text = re.sub(r"(?s)\[seasons\].*?\n\n", f"[seasons]\n{seasons}\n\n", world.recipe.read_text())
    text = re.sub(r"(?m)^(s1rtc|worldcover|dynamicworld|annual|seasonal|max_gap_days) .*\n", "", text)
    world.recipe.write_text(text + 'complete = "any"\n')
    mine = Curate(world, folder / "root")
    assert mine("build", "--limit", "2") == 0
    return _page(render(mine.dataset, mine.store))


@pytest.mark.slow
def test_of_twelve_seasons_each_is_seen(monthly: ET.Element):
    articles = list(monthly.iter(f"{HTML}article"))
    assert articles
    for article in articles:
        assert [_text(h) for h in article.iter(f"{HTML}h4")] == [*MONTHS, "whole period"]
    styles = _text(monthly.find(f"{HTML}head/{HTML}style"))
    assert ".columns { display: grid; grid-template-columns: repeat(auto-fill, minmax(200px, 1fr));" in styles
    assert not re.search(r"\.columns {[^}]*overflow", styles)
    bars = next(d for d in monthly.iter(f"{HTML}div") if d.get("class") == "bars")
    assert [_text(bar[0]) for bar in bars] == [f"europe / {s}" for s in ("static", *MONTHS)]


def test_twelve_seasons_have_twelve_colours():
    assert len(set(palette.seasons(MONTHS).values())) == 12
    assert len(set(palette.seasons(["winter", "spring", "summer", "autumn", *MONTHS[:8]]).values())) == 12


def test_a_page_without_radar_has_no_word_of_it(monthly: ET.Element, belgian: ET.Element):
    words = re.compile(r"radar|backscatter|decibel|\b(dB|VV|VH|orbit)\b", re.IGNORECASE)
    said = [ET.tostring(e, "unicode") for e in monthly.iter(f"{HTML}body")]
    assert not words.findall(re.sub(r'"data:[^"]*"', "", said[0]))
    assert words.search(_text(_section(belgian, "patches")))


def test_a_source_that_is_absent_says_why(belgian: ET.Element):
    notes = [_text(d) for d in belgian.iter(f"{HTML}div") if d.get("class") == "none"]
    assert notes == ["absent: no_scene. No scene touches the patch in the season."] * 4


def test_an_unpacked_dataset_has_a_page_that_says_so(belgian: ET.Element):
    assert "Not packed yet" in _text(_section(belgian, "dropped"))
    assert "Every patch is ok." in _text(_section(belgian, "outcomes"))


def test_licences_of_every_source_stand_there(built: Curate, tiny: ET.Element):
    said = _text(_section(tiny, "sources"))
    assert all(" ".join(spec.licence.split()) in said for spec in built.dataset.specs.values())


@pytest.mark.slow
def test_damaged_pixels_and_facts_are_named_and_not_drawn(built: Curate, tmp_path: Path):
    mine = built.copy(tmp_path / "copy")
    _, place = contact_sheet.chosen(survey(mine.dataset, mine.store), 1)[0]
    cube = contents.opened(mine.dataset, mine.store, "europe", "summer")
    slab = cube.numbers[place.id] // cube.cube.slab_patches
    pixels = mine.folder / cube.cube.array_key("s1rtc_10m", slab)
    pixels.write_bytes(bytes(b ^ 1 for b in pixels.read_bytes()[:-200]) + pixels.read_bytes()[-200:])
    lost = mine.folder / cube.cube.facts_key(slab)
    lost.unlink()
    page = _page(render(mine.dataset, mine.store))
    alert = next(d for d in page.iter(f"{HTML}div") if d.get("id") == "damage")
    said = [_text(li) for li in alert.iter(f"{HTML}li")]
    assert any(str(pixels) in s for s in said)
    assert any(str(lost) in s and "not there" in s for s in said)
    article = next(a for a in page.iter(f"{HTML}article") if place.id in _text(a))
    assert "damaged: the stored chunk of s1rtc_10m" in _text(article)
    assert "facts damaged" in _text(article)
    assert not any(place.id in alt and "summer" in alt and "Radar" in alt for alt, _ in _images(page))
    assert any(place.id in alt and "summer" in alt and "True colour" in alt for alt, _ in _images(page))


@pytest.mark.slow
def test_a_torn_ledger_and_a_lost_identity_are_named_and_the_other_cubes_are_drawn(built: Curate, tmp_path: Path):
    mine = built.copy(tmp_path / "copy")
    last = sorted((mine.folder / "ledger/europe/autumn").glob("*.jsonl"))[-1]
    last.write_bytes(last.read_bytes()[:-20])
    shutil.rmtree(mine.folder / "cubes/europe/static.zarr/lon")
    shutil.copytree(mine.folder / "ledger/europe/summer", mine.folder / "ledger/europe/spring")  # a season it never had
    page = _page(render(mine.dataset, mine.store))
    alert = next(d for d in page.iter(f"{HTML}div") if d.get("id") == "damage")
    assert str(last) in _text(alert)
    assert "static.zarr/lon/zarr.json" in _text(alert)
    assert {r[1] for r in _rows(_section(page, "outcomes"))} == {"summer"}
    assert "spring.zarr: the recipe has no season spring" in _text(page)
    assert list(_images(page))


@pytest.mark.slow
def test_the_same_dataset_gives_the_same_page_and_it_is_published_in_its_folder(built: Curate, tmp_path: Path):
    mine = built.copy(tmp_path / "copy")
    where, page = write(mine.dataset, mine.store, None)
    assert page.encode() == Path(where).read_bytes()
    assert where == str(mine.folder / "report.html")
    first = Path(where).read_bytes()
    assert len(first) < 15e6
    out = tmp_path / "elsewhere" / "page.html"
    assert write(mine.dataset, mine.store, out) == (str(out), page)
    assert out.read_bytes() == first


def test_a_cube_whose_season_left_the_recipe_is_told_and_the_others_are_drawn(
    built: Curate, world: World, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    mine = Curate(world.from_afar(tmp_path / "own"), built.root)
    text = mine.world.recipe.read_text()
    mine.world.recipe.write_text(text.replace("autumn = { start = 2021-09-01, end = 2021-12-01 }\n", ""))
    found = survey(mine.dataset, mine.store)
    assert set(found.cubes) == {("europe", "static"), ("europe", "summer")}
    (said,) = found.left_out
    assert said in caplog.text
    assert f"{mine.folder}/cubes/europe/autumn.zarr: the recipe has no season autumn" in said


def test_nothing_built_is_refused_with_what_to_run(built: Curate, tmp_path: Path):
    with pytest.raises(ConfigError, match=r"nothing of 'tiny' is built there; build it with `curate --dataset"):
        write(built.dataset, Store(tmp_path).child("tiny"), None)
    with pytest.raises(ConfigError, match="is a folder"):
        write(built.dataset, built.store, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_an_interrupted_build_shows_the_rest_as_pending(built: Curate, tmp_path: Path):
    mine = Curate(built.world, tmp_path)
    assert mine("build", "--season", "summer", "--limit", "3") == 0
    page = _page(render(mine.dataset, mine.store))
    pending = {(r[1], int(r[4])) for r in _rows(_section(page, "outcomes")) if r[2] == "pending"}
    assert pending == {("static", 22), ("summer", 22)}
    assert any("pending" in _text(c) for c in _section(page, "where").iter(f"{HTML}figure"))


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        ({"clear": 1.0, "snow": 0.982, "doubtful": 0.001}, "clear 100.0 % (of the patch 98 % snow)"),
        ({"clear": 0.991, "snow": 0.0, "doubtful": 0.3}, "clear 99.1 % (of the patch 30 % doubtful)"),
        ({"clear": 0.9, "snow": None, "doubtful": None}, "clear 90.0 %"),
    ],
)
def test_what_counts_as_clear_and_is_snow_or_doubtful_is_said(built: Curate, facts: dict[str, float], told: str):
    sources = [built.dataset.specs["s2l2a"]]
    lines = contact_sheet.lines_of(
        sources, {f"s2l2a_{k}_fraction": v for k, v in facts.items()} | {"s2l2a_time": 1.6e9}
    )
    assert lines == [f"s2l2a: 2020-09-13 · {told}"]


def test_measures_are_told_by_season(built: Curate, tiny: ET.Element):
    section = _section(tiny, "quality")
    rows = {row[1].partition(",")[0]: row[2:] for row in _rows(section)}
    found = [m.facts["s2l2a_clear_fraction"] for m in survey(built.dataset, built.store).measured("summer")]
    low, median, high = 100 * np.percentile(found, [5, 50, 95])
    assert rows["clear %"][0] == f"{median:.3g} ({low:.3g}…{high:.3g})"
    assert {"clear %", "snow %", "doubtful %", "days from the s2l2a scene"} <= set(rows)
    assert all(len(cells) == 2 for cells in rows.values())
