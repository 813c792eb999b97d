"""Shares that captions tell are of what is seen: snow and floods hide the ground, and no picture is more than whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from curation.embedded.sensors import labels, mistakes
from curation.embedded.world import ground, noise, regions
from curation.pack.annotations import captions, refined_labels
from curation.pack.annotations.refined_labels import fractions
from curation.pack.captions.facts import AMOUNTS, StoredFact, covers_of, facts_of
from curation.pack.captions.shares import NOISE_FLOOR, seen
from curation.pack.subject import Subject
from tests.captioned import DAYS, FOREST, HERE, NAMES, Codes, entry, stripes, subject

ROUNDED = 1e-4 * len(NAMES)
"""What shares may add up to beyond 1: each is rounded to four digits."""
SNOW = NAMES.index("snow_and_ice")
MONTH = {"winter": 1, "spring": 4, "summer": 7, "autumn": 10}
SIZE = 64


def in_seasons(annual: Codes, days: Mapping[str, Codes]) -> Subject:
    """A sample of as many seasons as there are maps of days."""
    its = subject(annual, None, place=HERE)
    map_of_day = entry("dynamicworld", "map", "classes", len(annual), static=False)
    return replace(
        its,
        seasons={s: {"labels": {"fractions": fractions(m, len(NAMES))[0].tolist()},
                     "sources": {"s2": {"time": f"2021-{MONTH[s]:02d}-14T10:00:00Z"}}} for s, m in days.items()},
        season_names=tuple(days),
        arrays={**its.arrays, **{f"dynamicworld_10m.{s}": m[None].astype(np.uint8) for s, m in days.items()}},
        entries={**its.entries, "dynamicworld_10m": map_of_day},
    )  # fmt: skip


def covered(codes: Codes, snow: float) -> Codes:
    """The map with snow over so much of each row, from the west."""
    out = codes.copy()
    out[:, : round(snow * codes.shape[1])] = SNOW
    return out


def told(its: Subject, season: str | None = None) -> dict[str, float]:
    """Class → share."""
    return {f.name.removeprefix("cover."): f.measured or 0 for f in covers_of(facts_of(its, season))}


def test_beneath_snow_is_seen_what_snow_leaves():
    its = in_seasons(FOREST, {"winter": covered(FOREST, 0.4), "summer": FOREST})
    summer = {"trees": 0.6, "crops": 0.3, "water": 0.1}
    winter = {"snow_and_ice": 0.4} | {n: 0.6 * s for n, s in summer.items()}
    assert told(its, "summer") == pytest.approx(summer, abs=1e-3)
    assert told(its, "winter") == pytest.approx(winter, abs=1e-3)
    assert told(its) == pytest.approx({n: 0.8 * s for n, s in summer.items()}, abs=1e-3)  # the mean; snow not in each


def test_under_snow_all_over_no_ground_is_told():
    its = in_seasons(FOREST, {"winter": covered(FOREST, 1.0), "summer": FOREST})
    assert told(its, "winter") == {"snow_and_ice": 1.0}
    made = captions.captions(its).value
    assert [n for n in made["seasons"]["winter"]["facts"] if n.startswith("cover.")] == ["cover.snow_and_ice"]


def test_a_flood_leaves_woods_what_it_does_not_cover():
    wet = stripes(("trees", 0.1), ("water", 0.9))
    dry = stripes(("trees", 0.9), ("water", 0.1))
    found = told(in_seasons(dry, {"winter": wet, "summer": dry, "autumn": dry}), "winter")
    assert found == pytest.approx({"water": 0.5, "trees": 0.5}, abs=1e-3)  # trees are 0.77 of all seasons


def test_of_any_maps_the_told_shares_add_up_to_one_at_most():
    rng = np.random.default_rng(0)
    most = 0.0
    for _ in range(60):
        maps = [rng.choice(len(NAMES), (8, 8), p=rng.dirichlet(np.full(len(NAMES), 0.4))).astype(np.int16).repeat(4, 0)
                .repeat(4, 1) for _ in range(4)]  # fmt: skip
        maps[0][maps[0] == SNOW] = 0
        dry = dict(zip(("winter", "spring", "summer"), maps[1:], strict=True))
        its = in_seasons(maps[0], dry | {"winter": covered(maps[0], float(rng.random()))})
        for season in (None, *its.seasons):
            most = max(most, sum(told(its, season).values()))
    assert 0.99 < most <= 1 + ROUNDED


# ---- samples of the embedded Earth, with snow of which it is known where it lies ------------------------------------------


@pytest.fixture(scope="module")
def snowy() -> list[tuple[Subject, Codes]]:
    """Samples of four seasons, of whose winter any share is under snow; and what is seen in that."""
    region = regions.by_name("sao-paulo")
    land, rng = ground.make(region), np.random.default_rng(0)
    return [_snowy(land, region, rng) for _ in range(60)]


def _snowy(land: ground.Ground, region: regions.Region, rng: np.random.Generator) -> tuple[Subject, Codes]:
    top, left = (int(rng.integers(n - SIZE)) for n in land.code.shape)
    row, col = np.mgrid[top : top + SIZE, left : left + SIZE].astype(np.int32)
    of_day = {s: labels.daily(region, str(DAYS[m][0]), DAYS[m][1]) for s, m in MONTH.items()}
    annual, *days = (mistakes.mapped(land, region, row, col, r).astype(np.int16)
                     for r in (labels.yearly("2.0.0"), *of_day.values()))  # fmt: skip
    field = noise.rolled(noise.texture(1.7), (SIZE, SIZE), int(rng.integers(2**31)))
    snow = field > np.quantile(field, rng.uniform())
    days[0][snow] = SNOW
    truth = np.where(snow, SNOW, mistakes.truth(land, row, col)).astype(np.int16)
    return in_seasons(annual, dict(zip(of_day, days, strict=True))), truth


@pytest.mark.slow
def test_of_every_sample_the_told_shares_add_up_to_one_at_most(snowy: list[tuple[Subject, Codes]]):
    most = 0.0
    for its, _ in snowy:
        made = captions.captions(its).value
        for one in (made, *made["seasons"].values()):
            facts = [StoredFact.from_json(n, f) for n, f in one["facts"].items()]
            most = max(most, sum(f.measured or 0 for f in covers_of(facts)))
    assert 0.99 < most <= 1 + ROUNDED


@pytest.mark.slow
def test_in_winter_few_statements_on_cover_are_false_by_what_is_seen(snowy: list[tuple[Subject, Codes]]):
    steps, refine = list(AMOUNTS.values()), snowy[0][0].rules.refine

    def step(share: float) -> int:
        return next(n for n, least in enumerate(steps) if share >= least)

    stated = [(share, float((truth == NAMES.index(label)).mean()))
              for its, truth in snowy for label, share in told(its, "winter").items()]  # fmt: skip
    assert len(stated) > 120
    assert np.mean([abs(step(share) - step(true)) > 1 for share, true in stated]) < 0.1
    assert np.mean([true < NOISE_FLOOR for _, true in stated]) < 0.1
    found = [refined_labels.of_sample(its) for its, _ in snowy]
    assert np.mean([np.nansum(f.fraction[0]) > 1.1 for f in found]) > 0.5  # as refined labels have it snow comes on top
    assert max(seen(f, NAMES, refine).sum(axis=1).max() for f in found) <= 1 + ROUNDED
