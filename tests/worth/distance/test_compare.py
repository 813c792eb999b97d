"""Sides as somebody writes them, all pairs of them, and what the command prints and draws."""

from __future__ import annotations

import dataclasses
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

import curation
from curation.api.distance import DistanceResult
from curation.cli import main
from curation.errors import ConfigError
from curation.worth.distance import compare, estimate, page, sides
from curation.worth.distance.estimate import DistanceEstimate, Looks
from curation.worth.distance.sides import Side
from tests.stream.conftest import make_shards
from tests.worth.tables import features

QUICK = Looks(seed=1, permutations=99, replicates=20)


@pytest.fixture(scope="module")
def demo(tmp_path_factory) -> Path:
    """The folder of a packed dataset of 24 and 8 places, in two seasons."""
    folder = tmp_path_factory.mktemp("distance") / "demo"
    make_shards(folder / "shards", {"train": [12, 12], "val": [8]}, size=24)
    return folder


def run(*argv: str) -> int:
    return main.main(["distance", *argv, "--permutations", "49", "--no-keep", "--scheduler", "none"])


@pytest.mark.parametrize(
    ("text", "place", "conditions"),
    [
        ("shards/my-set", "shards/my-set", {}),
        ("shards/my-set:split=val", "shards/my-set", {"split": ["val"]}),
        (":season=a+b,continent=South America", "", {"season": ["a", "b"], "continent": ["South America"]}),
        ("s3://bucket/root/my-set:region=europe", "s3://bucket/root/my-set", {"region": ["europe"]}),
        ("s3://bucket/root/my-set", "s3://bucket/root/my-set", {}),
        ("http://127.0.0.1:8000/my-set", "http://127.0.0.1:8000/my-set", {}),
        ("odd:name/my-set", "odd:name/my-set", {}),
    ],
)  # fmt: skip
def test_a_side_is_a_folder_and_what_of_it(text: str, place: str, conditions: dict):
    asked = sides.parsed(text)
    assert (asked.place, asked.conditions) == (place, conditions)


def test_rows_are_those_that_are_all_that_is_asked_for():
    its = features(np.zeros((6, 1)), seasons=["s", "w"] * 3, continent=["Africa"] * 3 + ["Asia", "Asia", ""])
    found = sides.selected(sides.parsed(":season=s,continent=Africa+Asia"), its)
    assert found.features.keys.tolist() == ["p0", "p2", "p4"]
    with pytest.raises(ConfigError, match=r"continent = Europe; there are: Africa, Asia"):
        sides.selected(sides.parsed(":continent=Europe"), its)
    with pytest.raises(ConfigError, match=r"did you mean continent"):
        sides.selected(sides.parsed(":continen=Asia"), its)
    with pytest.raises(ConfigError, match="all of that"):
        sides.selected(
            sides.parsed(":season=w,continent=Asia"),
            features(np.zeros((2, 1)), seasons=["s", "w"], continent=["Asia", "Africa"]),
        )


def test_where_a_place_lies_says_its_domain_where_the_release_does_not():
    its = features(np.zeros((12, 1)))
    lon, lat = np.repeat([12.5, 31.2, -60.0], 4), np.repeat([48.5, 30.0, -3.1], 4)
    its = dataclasses.replace(its, lon=lon, lat=lat)
    assert sides.values_of(its, "continent", "x").tolist() == ["Europe"] * 4 + ["Africa"] * 4 + ["South America"] * 4
    assert sides.values_of(its, "climate_zone", "x").tolist()[4:] == ["BWh"] * 4 + ["Af"] * 4
    assert sides.values_of(its, "hemisphere", "x").tolist()[-5:] == ["north"] + ["south"] * 4
    other = dataclasses.replace(its, columns={"continent": np.array(["mine"] * 12)})
    assert set(sides.values_of(other, "continent", "x").tolist()) == {"mine"}


def test_domains_of_too_few_places_are_left_out_and_told():
    its = features(np.zeros((12, 1)), np.repeat(np.arange(6), 2), continent=["Asia"] * 10 + ["Africa", ""])
    found, left_out = sides.split_by(Side("all", its), "continent")
    assert [s.label for s in found] == ["Asia"]
    assert left_out == {"Africa": 1}


def compared(parts: dict[str, np.ndarray], **how) -> compare.DistanceTable:
    start, made = 0, []
    for label, values in parts.items():
        made.append(Side(label, features(values, np.arange(start, start + len(values)))))
        start += len(values)
    return compare.compared(made, QUICK, **how)


def normal(n: int, seed: int, shift: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, 3)) + shift


def test_p_is_corrected_for_all_pairs_of_a_measure():
    found = compared({n: normal(12, i) for i, n in enumerate("abcd")}, measures=["mmd", "energy"])
    assert [(p.a, p.b) for p in found.pairs] == [("a", "b"), ("a", "c"), ("a", "d"), ("b", "c"), ("b", "d"), ("c", "d")]
    for measure in ("mmd", "energy"):
        own = [p.of(measure)[0] for p in found.pairs]
        assert min(e.p_holm for e in own) == pytest.approx(min(1.0, 6 * min(e.p for e in own)))
        assert all(e.p_holm >= e.p for e in own)


def test_a_measure_that_could_tell_of_nothing_says_so(monkeypatch):
    monkeypatch.setattr(estimate, "MOST_DEAR", 99)
    parts = {n: normal(12, i, 9.0 * i) for i, n in enumerate("abcd")}
    found = compared(parts, measures=["mmd", "sliced"])  # 6 pairs, 99 permutations: the least p by Holm is 0.06
    assert found.blunt() == ["sliced"]
    assert all(p.of("mmd")[0].tells and not p.of("sliced")[0].tells for p in found.pairs)
    assert "sliced: so few permutations" in str(DistanceResult(found))
    monkeypatch.undo()
    found = compared(parts, measures=["sliced"])
    assert found.blunt() == []
    assert {p.of("sliced")[0].permutations for p in found.pairs} == {120}


def test_seasons_of_few_places_can_be_permuted_in_few_ways_and_that_is_told():
    n = 6
    parts = {s: features(normal(n, k), seasons=[s] * n, bands={b: normal(n, k)[:, 0] for b in "abcd"})
             for k, s in enumerate(("winter", "summer"))}  # fmt: skip
    found = compare.compared([Side(s, f) for s, f in parts.items()], QUICK, measures=["mmd", "bands"])
    assert {e.orders for e in found.pairs[0].estimates} == {2**n}
    assert found.blunt() == ["band_w1"]  # 4 / 64 is above 0.05, and 1 / 64 is not


def test_two_embeddings_are_never_compared():
    a, b = features(normal(8, 0)), features(normal(8, 1))
    other = type(b)(**{n: getattr(b, n) for n in b.__slots__} | {"digest": "1" * 64})
    with pytest.raises(ConfigError, match=r"different embeddings \(000000000000…, 111111111111…\).*--arrays"):
        compare.compared([Side("a", a), Side("b", other)], QUICK)


def test_one_side_is_nothing_to_compare_and_no_measure_is_invented():
    with pytest.raises(ConfigError, match=r"a: expected two sides"):
        compared({"a": normal(8, 0)})
    with pytest.raises(ConfigError, match=r"--measures mmb: did you mean mmd"):
        compared({"a": normal(8, 0), "b": normal(8, 1)}, measures=["mmb"])


def test_what_is_on_both_sides_is_counted():
    its = features(normal(12, 0))
    found = compare.compared([Side("all", its), Side("some", its.rows(np.arange(8)))], QUICK, measures=["mmd"])
    assert found.pairs[0].shared == 8


class Cells(HTMLParser):
    """Cells of heat maps, and whatever a page would fetch from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.cells: list[dict[str, str | None]] = []
        self.fetched: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        of = dict(attrs)
        self.fetched += [v or "" for k, v in attrs if k in ("src", "href")]
        if "cell" in (of.get("class") or "").split():
            self.cells.append(of)
        if tag not in ("meta",):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_shows_each_pair_of_each_measure_and_needs_nothing_beside_it():
    found = compared(
        {"<a>": normal(30, 0), "b&b": normal(30, 1), "far": normal(30, 2, 5.0)}, measures=["mmd", "frechet", "auc"]
    )
    text = page.page(found)
    its = Cells()
    its.feed(text)
    assert its.open == []
    assert its.fetched == []
    assert len(its.cells) == 3 * 6  # each pair on both sides of the diagonal
    assert "<a>" not in text
    assert "&lt;a&gt;" in text
    far = [c for c in its.cells if "tells" in c["class"].split()]
    assert len(far) == 3 * 4  # far from both others, by all three
    assert max(float(re.search(r"--heat: ([\d.]+)$", c["style"])[1]) for c in its.cells) == 1
    assert "Synthetic" not in text
    assert "tiny: Synthetic &amp; all" in page.page(dataclasses.replace(found, synthetic="tiny: Synthetic & all"))
    assert found.digest in text


def _estimated(measure: str, of: str, value: float, floor: float) -> DistanceEstimate:
    return DistanceEstimate(measure, of, value=value, low=value, high=value, floor=floor)


def test_a_terminal_has_of_bands_what_tells_and_the_furthest_and_each_refusal_once():
    parts = {"a": normal(7, 0), "b": normal(7, 1), "c": normal(7, 2)}
    found = compared(parts, measures=["mmd", "frechet"])
    quiet = [_estimated("band_w1", f"s2.B0{n}", 1.0 + 0.1 * n, 1.0) for n in range(2, 6)]
    telling = dataclasses.replace(quiet[0], of="s2.B01", p_holm=0.01)
    pairs = [dataclasses.replace(p, estimates=[*p.estimates, telling, *quiet]) for p in found.pairs]
    result = DistanceResult(dataclasses.replace(found, pairs=pairs))
    said = str(result).splitlines()
    assert [line.split()[3] for line in said if line.startswith("a") and " band_w1 " in line] == [
        "s2.B01",
        "s2.B05",
    ] * 2
    assert "9 more of bands and labels tell of no difference: --json and --out have them" in said
    assert len([line for line in said if "few_places" in line]) == 1
    assert any(line.startswith("all pairs: frechet – few_places: 7 places") for line in said)
    assert len(result.rows()) == 1 + 3 * (2 + 5)  # a table has all of them


def test_a_heat_map_of_bands_shows_the_one_furthest_beyond_its_own_floor_whatever_the_units():
    found = compared({"a": normal(7, 0), "b": normal(7, 1)}, measures=["mmd"])
    of = [_estimated("band_w1", "s1.VV", 1.2, 1.0), _estimated("band_w1", "s2.B02", 0.09, 0.03)]
    its = page.heat_maps(dataclasses.replace(found, pairs=[dataclasses.replace(found.pairs[0], estimates=of)]))[0]
    cell = its.rows[0][1][1]
    assert (cell.text, cell.of) == ("0.09", "s2.B02")


def test_a_heat_map_of_what_is_of_a_by_b_has_each_pair_once():
    found = compared({"a": normal(30, 0), "b": normal(30, 1)}, measures=["coverage", "energy"])
    maps = {m.measure: [[c is not None for c in cells] for _, cells in m.rows] for m in page.heat_maps(found)}
    assert maps["coverage"] == maps["density"] == maps["duplicates"] == [[False, True], [False, False]]
    assert maps["energy"] == [[False, True], [True, False]]


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ({"block_deg": 0.0}, "--block-deg 0: expected more than 0"),
        ({"block_deg": float("nan")}, "--block-deg nan"),
        ({"dims": 0}, "--dims 0: expected 1 or more"),
        ({"looks": Looks(permutations=0)}, "permutations 0"),
    ],
)
def test_what_could_draw_nothing_is_refused(how: dict, says: str):
    sides_ = [Side("a", features(normal(7, 0))), Side("b", features(normal(7, 1)))]
    with pytest.raises(ConfigError, match=says):
        compare.compared(sides_, **{"looks": QUICK, **how})


def test_what_is_not_told_of_places_is_no_domain_of_theirs():
    its = features(normal(20, 0), country=["DE"] * 6 + ["?near_border"] * 8 + [""] * 6)
    found, left_out = sides.split_by(Side("a", its), "country")
    assert [s.label for s in found] == ["DE"]
    assert left_out == {}


def test_a_refused_measure_is_shown_as_refused():
    text = page.page(compared({"a": normal(7, 0), "b": normal(7, 1)}, measures=["frechet"]))
    assert "Not told: few_places: 7 places" in text
    assert 'class="heat"' not in text, "no map of nothing"
    assert "few_places: 7 places, expected at least 9" in text
    assert page.shown(float("nan")) == "–"


def test_json_has_every_number_and_null_where_there_is_none():
    found = compared({"a": normal(7, 0), "b": normal(7, 1)}, measures=["frechet", "mmd"])
    value = json.loads(DistanceResult(found).to_json())
    assert (value["format"], value["version"]) == ("curation-distance", 1)
    mmd, refused = value["pairs"][0]["estimates"]
    assert refused["value"] is None
    assert refused["refused"].startswith("few_places")
    assert set(mmd) == set(DistanceEstimate.__slots__)
    assert (mmd["places_a"], mmd["permutations"]) == (7, 99)
    assert value["looks"] == {"seed": 1, "permutations": 99, "replicates": 20, "dear": 99}
    assert value["digest"] == "0" * 64


def test_the_command_compares_splits_and_seasons_of_what_is_packed(demo, capsys, tmp_path):
    out = tmp_path / "page.html"
    assert run(f"{demo}:split=train", ":split=val", "--arrays", "s2l2a_20m", "--out", str(out)) == 0
    said = capsys.readouterr().out
    assert re.search(r"split=train +:split=val +auc +0\.", said)
    assert "frechet – few_places: 8 places, expected at least" in said
    assert f"wrote {out}" in said
    assert "by handmade" in said
    assert out.read_text().startswith("<!doctype html>")
    assert run(str(demo), "--by", "season", "--arrays", "s2l2a_20m", "--measures", "auc,mmd", "--json") == 0
    value = json.loads(capsys.readouterr().out)
    assert set(value["sides"]) == {"summer", "winter"}
    assert value["sides"]["winter"][0] == 24
    assert not (demo / "embeddings").exists()


def test_of_datasets_that_nobody_observed_it_is_said_by_name(demo: Path, tmp_path: Path):
    assert sides.synthetic_of_all([str(demo), ""]) == ""
    value = json.loads((demo / "shards/index.json").read_text())
    value["counts"]["catalogs"] = {"s2l2a": "embedded", "s1rtc": "planetary-computer"}
    (tmp_path / "shards").mkdir()
    (tmp_path / "shards/index.json").write_text(json.dumps(value))
    said = sides.synthetic_of_all([str(demo), str(tmp_path), str(tmp_path)])
    assert said.startswith(f"{value['dataset']}: Synthetic: pixels of s2l2a were made")
    assert said.count("Synthetic") == 1


def test_features_are_made_once_for_all_sides_and_kept_unless_told_not_to(demo, capsys, tmp_path, monkeypatch):
    from curation.worth.features import making

    asked = []
    before = making.made
    monkeypatch.setattr(making, "made", lambda *a, **k: asked.append(k["keep"]) or before(*a, **{**k, "keep": False}))
    how = {"arrays": ["s2l2a_20m"], "measures": ["mmd"], "permutations": 9}
    curation.distance(f"{demo}:season=summer", ":season=winter", **how)
    curation.distance(f"{demo}/shards:season=summer", f"{demo}/shards:season=winter", keep=False, **how)
    assert asked == [True, False]


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        ((":split=val",), "no dataset before it"),
        (("{demo}",), "expected two sides"),
        (("{demo}", "--by", "seasn"), "did you mean season"),
        (("{demo}", "--by", "region"), "marburg: expected two sides"),
        (("{demo}/nothing",), "no index of shards there"),
        (("{demo}:split=tests", "{demo}"), "split = tests; there are: train, val"),
        (("{demo}", "{demo}", "--with", "own.py:f"), "no file own.py"),
    ],
)
def test_what_cannot_be_compared_is_told(demo, capsys, argv: tuple[str, ...], says: str):
    assert run(*(a.format(demo=demo) for a in argv)) == 2
    assert says in capsys.readouterr().err


def test_a_page_that_cannot_be_written_is_told_before_anything_is_made(demo, capsys, monkeypatch):
    from curation.worth.features import making

    monkeypatch.delattr(making, "made")
    assert run(str(demo), ":split=val", "--out", f"{demo}/shards/index.json/page.html") == 2
    assert "--out" in capsys.readouterr().err


def test_a_side_beside_itself_is_two_sides_that_differ_in_nothing(demo, capsys):
    assert run(str(demo), str(demo), "--arrays", "s2l2a_20m", "--measures", "auc,mmd,coverage", "--json") == 0
    value = json.loads(capsys.readouterr().out)
    assert list(value["sides"]) == [str(demo), f"{demo} (2)"]
    assert value["pairs"][0]["shared"] == 2 * value["sides"][str(demo)][0]
    assert not any(e["p_holm"] <= 0.05 for e in value["pairs"][0]["estimates"])


def test_the_same_command_prints_the_same(demo, capsys):
    lines = []
    for _ in range(2):
        assert run(str(demo), "--by", "season", "--arrays", "s2l2a_20m", "--measures", "auc,kid,coverage,bands") == 0
        lines.append(capsys.readouterr().out)
    assert lines[0] == lines[1]
