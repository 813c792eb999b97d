"""The season of a view that nobody names is one in which something is to be seen, and is told with how each looks."""

import dataclasses
import json
from pathlib import Path

import msgspec
import numpy as np
import pytest

from curation.format.index import INDEX, Index
from curation.pack.export import seasons
from curation.pack.export.forms.clip import Clip
from curation.pack.export.limits import Sampled
from curation.pack.export.of_shards import samples_table
from curation.pack.export.rendering import Rendering, channels_of
from curation.pack.export.seasons import SeasonLook
from curation.pack.export.views import ViewWish
from tests import world as tiny
from tests.pack.export.test_views import view
from tests.run import Curate

THREE = {"winter": SeasonLook(100, 0.1), "summer": SeasonLook(95, 0.4), "autumn": SeasonLook(91, 0.58)}


@pytest.mark.parametrize(
    ("changes", "taken"),
    [
        ({}, "autumn"),
        ({"autumn": SeasonLook(89, 0.5)}, "summer"),  # which more than a tenth of the samples lack
        ({"autumn": SeasonLook(100, 0.95)}, "summer"),  # washed out
        ({"autumn": SeasonLook(100, 0.6)}, "summer"),  # of two that are as good the first
        ({"autumn": SeasonLook(100, None), "summer": SeasonLook(100, None)}, "winter"),
    ],
)
def test_the_season_that_most_is_seen_in_is_taken(changes: dict[str, SeasonLook], taken: str):
    assert seasons.clearest(THREE | changes) == taken


def rendered(sampled: Sampled, **wish: object) -> dict:
    return Clip(ViewWish(**wish)).rendering(sampled.index, sampled.shards).to_json()


@pytest.fixture
def sampled(captioned: Curate) -> Sampled:
    shards = captioned.store.child("shards")
    return Sampled.of(shards, Index.from_bytes(shards.get(INDEX), INDEX))


def test_a_look_is_where_the_median_lies_between_the_percentiles(sampled: Sampled):
    found = rendered(sampled, bands=("B04", "B03", "B02"), percentiles=(10.0, 90.0))
    assert {*found["seasons"]} == {"summer", "autumn"}
    assert found["season_by"] == seasons.RULE
    its = found["seasons"]["summer"]
    at = {tiny.name(r, c): (r, c) for r in range(5) for c in range(5)}
    train = sampled.index.splits["train"]
    keys = samples_table(sampled.shards, train).column("id").to_pylist()
    assert its["samples"] == len(keys)
    taken = np.unique(np.linspace(0, len(keys) - 1, min(seasons.MOST_IMAGES, len(keys))).round().astype(int))
    bright = []
    for band in ("B04", "B03", "B02"):
        pixels = np.concatenate([tiny.crop(tiny.dn(band, 10), 10, *at[keys[n]]).ravel() for n in taken])
        low, median, high = np.percentile(pixels, (10, 50, 90))
        bright.append((median - low) / (high - low))
    assert its["brightness"] == pytest.approx(np.mean(bright), abs=1e-4)


def test_what_is_taken_and_why_is_told(
    captioned: Curate, sampled: Sampled, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    for name in ("clip", "dofa-clip"):
        assert view(captioned, name, tmp_path / name, "--limit", "1") == 0
        rule = json.loads((tmp_path / name / "view.json").read_text())["rendering"]
        assert rule["season"] == seasons.clearest({n: SeasonLook(**rule["seasons"][n]) for n in sampled.index.seasons})
        assert f"season: {rule['season']}, {seasons.RULE}: autumn " in capsys.readouterr().out
        assert view(captioned, name, tmp_path / "none", "--dry-run") == 0
        assert f"season: {rule['season']}, {seasons.RULE}: autumn " in capsys.readouterr().out
    assert view(captioned, "clip", tmp_path / "asked", "--season", "autumn", "--limit", "1") == 0
    assert "season: autumn, as stated\n" in capsys.readouterr().out
    rule = json.loads((tmp_path / "asked/view.json").read_text())["rendering"]
    assert (rule["season"], rule["season_by"], rule["seasons"]) == ("autumn", seasons.STATED, {})


@pytest.mark.parametrize(("known", "taken"), [(("summer",), ("summer", seasons.ALONE)), ((), (None, ""))])
def test_where_there_is_nothing_to_choose_nothing_is_looked_at(sampled: Sampled, known: tuple[str, ...], taken: object):
    arrays = {n: msgspec.structs.replace(entry, seasons=known) for n, entry in sampled.index.arrays.items()}
    of_one = dataclasses.replace(sampled, index=msgspec.structs.replace(sampled.index, arrays=arrays), table=None)
    channels = channels_of(("B04", "B03", "B02"), {n: e for n, e in arrays.items() if e.source == "s2l2a"})
    made = seasons.of_one(of_one, Rendering("s2l2a", None, channels), None, (2.0, 98.0))
    assert (made.season, made.season_by) == taken
    assert not made.seasons
