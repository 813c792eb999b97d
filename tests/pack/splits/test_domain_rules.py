"""Rules by domains: apart on the sphere, complete, and the same in whatever order places come."""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.errors import ConfigError
from curation.pack import passes, split
from curation.pack.sides import BUFFER, NO_DOMAIN, TWO_DOMAINS, apart_rad
from curation.pack.splits import blocks, wilds
from curation.places import grids
from curation.places.domains import block
from curation.places.locations import Locations
from curation.places.nearby import nearest, unit
from curation.recipe.dataset import load_dataset
from curation.recipe.schema import Recipe
from tests.properties import crossed

FILES = {"files": {"realm": {"file": "realms.gpkg", "column": "name"}}}
BASE = load_dataset("ssl4eo-s12-ml").recipe.model_dump() | {"domains": FILES}

OWN = {
    "leave-out": {"domain": "realm", "test": ["a"], "val_fraction": 0.3},
    "leave-out-val": {"rule": "leave-out", "domain": "realm", "test": ["a"], "val": ["b"]},
    "wilds": {"domain": "realm", "test": ["a"], "val": ["b"], "id_fraction": 0.3},
    "wilds-half": {"rule": "wilds", "domain": "realm", "test": ["a"], "val": ["b"], "scheme": "official-half"},
    "wilds-mixed": {"rule": "wilds", "domain": "realm", "test": ["a"], "val": ["b"], "scheme": "mixed-to-test"},
    "folds": {"domain": "realm", "k": 2},
}


def recipe(name: str, **more: Any) -> Recipe:
    its = {"rule": name, "buffer_km": 20.0, "block_deg": 0.5} | OWN[name] | more
    if its["rule"] == "folds":
        del its["block_deg"]
    return Recipe.model_validate(BASE | {"split": its})


def places(lon: Any, lat: Any, realm: Any) -> Locations:
    lon, lat = np.asarray(lon, np.float64), np.asarray(lat, np.float64)
    n = len(lon)
    columns = {"lon": lon, "lat": lat, "epsg": np.full(n, 32601), "x0_m": np.zeros(n), "y0_m": np.zeros(n)}
    ids = [hashlib.sha256(f"{a}{b}".encode()).hexdigest()[:12] for a, b in zip(lon, lat, strict=True)]
    own = {"id": ids, "size_m": np.full(n, 2640.0), "region": ["r"] * n}
    return Locations.of_columns(columns | own, {"domain_realm": pa.array(list(realm), pa.string())})


AROUND = st.sampled_from([(179.9, 0.0), (-179.9, 60.0), (0.0, 89.9), (10.0, -89.95), (10.0, 50.0)])
VALUES = st.sampled_from(["a", "b", "c", "d", "?at_sea", "a|c"])
POINTS = st.tuples(
    AROUND, st.floats(-0.4, 0.4), st.floats(-0.4, 0.4), st.sampled_from(["a", "b", "c", "d", "?at_sea", "a|c"])
)


@st.composite
def some(draw: st.DrawFn) -> Locations:
    its = draw(st.lists(POINTS, min_size=1, max_size=14, unique_by=lambda p: (p[0], p[1], p[2])))
    at = [((lon + e + 180) % 360 - 180, max(-90.0, min(90.0, lat + n)), v) for (lon, lat), e, n, v in its]
    sure = [(20.0, 0.0, "c"), (40.0, 0.0, "d")]  # folds want two values
    return places(*zip(*at, *sure, strict=True))


@pytest.mark.parametrize("name", OWN)
@given(its=some(), order=st.randoms(use_true_random=False))
def test_parts_are_apart_complete_never_reassigned_and_the_same_in_any_order(name, its, order):
    mine = recipe(name)
    found = split.sides(mine, its)
    free = split.sides(recipe(name, buffer_km=0.0), its.take(np.arange(len(its))))
    assert set(found) <= {*mine.split.parts, BUFFER, NO_DOMAIN, TWO_DOMAINS, wilds.MIXED}
    # What is dropped for being near is dropped, and what stays is of the part that its domain says.
    assert ((found == free) | (found == BUFFER) | (free == BUFFER)).all()
    values = its.column("domain_realm")
    assert ((found == NO_DOMAIN) == (values == "?at_sea")).all()
    # Nothing of two tiers is nearer than footprints and the buffer let it be.
    xyz, tier = unit(its.column("lon"), its.column("lat")), {p: n for n, t in enumerate(mine.split.tiers) for p in t}
    of = np.array([tier.get(side, -1) for side in found])
    apart = np.linalg.norm(xyz[:, None] - xyz[None], axis=-1)
    other = (of[:, None] != of[None]) & (of[:, None] >= 0) & (of[None] >= 0)
    assert (apart[other] > 2 * np.sin(apart_rad(mine.grid, 20.0) / 2) * (1 - 1e-9)).all()
    # The first tier loses nothing, and what is lost has a cause.
    first = list(mine.split.tiers[0])
    assert (found[np.isin(free, first)] != BUFFER).all()
    near = (apart <= 2 * np.sin(apart_rad(mine.grid, 20.0) / 2) * (1 + 1e-9)) & (of >= 0)[None]
    assert near[found == BUFFER].any(axis=1).all()
    shuffled = list(range(len(its)))
    order.shuffle(shuffled)
    again = split.sides(mine, its.take(np.array(shuffled)))
    assert (again == found[shuffled]).all()


def test_what_is_of_values_of_two_parts_is_of_none_and_of_one_part_s_of_it():
    its = places([0, 10, 20, 30, 40], [0] * 5, ["a", "a|c", "a|e", "c|d", "b"])
    assert split.sides(recipe("leave-out", test=["a", "e"], val_fraction=0.0), its).tolist() == [
        *("test", TWO_DOMAINS, "test", "train", "train")
    ]


def test_a_rule_that_asks_for_what_only_patches_tell_says_nothing_before_they_are_built():
    its = places([0, 10], [0, 0], ["a", "b"])
    assert split.sides(recipe("leave-out", domain="year"), its).tolist() == ["", ""]
    assert split.planned(recipe("leave-out", domain="year"), its).about.startswith("planned by the recipe, known once")


def test_places_tell_their_continent_without_any_column():
    table = places([2.0, 31.2, -53.0], [47.0, 25.0, 4.0], ["", "", ""]).table.drop_columns(["domain_realm"])
    mine = recipe("leave-out", domain="continent", test=["Africa", "South America"], val_fraction=0.0)
    assert split.sides(mine, Locations(table)).tolist() == ["train", "test", "test"]


@pytest.mark.parametrize("name", ["leave-out", "wilds", "folds"])
def test_nothing_is_shared_unless_the_recipe_says_what(name):
    timed = ["s2l2a", "s1rtc"]
    assert recipe(name).split.kinds(timed) == ("s2l2a", "s1rtc", "datatake", "event")
    assert recipe(name, unshared=[]).split.kinds(timed) == ()
    assert recipe(name, unshared=["datatake"]).split.kinds(timed) == ("datatake",)
    assert Recipe.model_validate(BASE | {"split": {"unshared": ["all", "era5-cell"]}}).split.kinds(["x"]) == (
        *("x", "datatake", "event", "era5-cell"),
    )


def test_a_datatake_is_told_by_names_of_products():
    def tell(scene: str) -> str | None:
        return next(iter(passes.of_scene(scene)), None)

    one = "S2A_MSIL2A_20210716T103629_N0500_R008_T31UFS_20230101T000000"
    assert tell(one) == tell(one.replace("T31UFS", "T33UUP")) == "S2 20210716T103629"
    radar = "S1A_IW_GRDH_1SDV_20170613T165043_20170613T165108_017019_01C5A0_rtc"
    assert (
        tell(radar)
        == tell(radar.replace("165043", "165108").replace("165108_0170", "165133_0170"))
        == "S1A 017019 01C5A0"
    )
    assert tell("mine") is None


def test_domains_that_are_empty_or_tiny_are_named_with_how_many_samples_they_have():
    mine = recipe("leave-out", test=["a", "z"], least_samples=5)
    parts = ["train"] * 6 + ["val"] * 5 + ["test"] * 5
    told = ["c"] * 11 + ["a"] * 4 + ["a|x"]
    few, *helps = split.faults(mine, parts, told)
    assert few == "test: realm 'z' has 0 samples, expected 5 at least (least_samples)"
    assert helps[0].startswith("test: leave out more values")
    assert helps[-1] == "samples of each realm: c 11, a 4, a|x 1"
    assert split.faults(mine, parts[:-1], told[:-1])[:3] == [
        "test has 4 samples, expected 5 at least (least_samples)",
        "test: realm 'a' has 4 samples, expected 5 at least (least_samples)",
        "test: realm 'z' has 0 samples, expected 5 at least (least_samples)",
    ]
    assert split.unmatched(mine, places([0], [0], ["a"])) == ["test: no location here is of realm 'z'; there are: a"]


def test_folds_are_even_as_their_values_let_them_be_and_else_it_is_told():
    rng = np.random.default_rng(1)
    n = 600
    its = places(rng.uniform(-180, 180, n), rng.uniform(-60, 60, n), rng.choice([f"v{k}" for k in range(30)], n))
    mine = recipe("folds", k=5, buffer_km=0.0)
    found = Counter(split.sides(mine, its).tolist())
    assert set(found) - {BUFFER} == {f"fold{k}" for k in range(5)}
    assert max(found.values()) - min(v for k, v in found.items() if k != BUFFER) < 0.1 * n / 5
    assert split.notes(mine, ["fold0"] * 100 + [f"fold{k}" for k in range(1, 5)] * 100) == []
    (line,) = split.notes(mine, ["fold0"] * 150 + [f"fold{k}" for k in range(1, 5)] * 100)
    assert line.startswith("folds have fold0 150, fold1 100")
    assert "45% of their mean apart" in line
    assert set(split.sides(mine, places([0, 10], [0, 0], ["a", "b"]))) == {"fold0", "fold1"}
    first, *_, helps, _, there, last = split.faults(mine, ["fold0"] * 40 + ["fold1"] * 40, ["a"] * 40 + ["b"] * 40)
    assert first.startswith("fold2 has 0 samples, expected 10")
    assert helps == "fold2 and fold3 and fold4: take fewer folds (k = 5), or smaller pieces ([domains] block_deg)"
    assert there == "samples of each realm: a 40, b 40"
    assert last == "k = 5 folds of 2 values of realm: say fewer folds, or smaller blocks"


def test_a_value_is_whole_in_one_fold_and_one_that_is_of_several_in_none():
    its = places(np.arange(40.0) * 4 - 80, np.zeros(40), [f"v{k % 8}" for k in range(38)] + ["v1|v2", "?x"])
    found = split.sides(recipe("folds", k=3, buffer_km=0.0), its)
    values = its.column("domain_realm")
    assert all(len(set(found[values == v])) == 1 for v in set(values))
    assert found[-2:].tolist() == [TWO_DOMAINS, NO_DOMAIN]


def test_the_control_has_the_same_test_and_half_of_its_domains_in_train():
    rng = np.random.default_rng(2)
    n = 4000
    its = places(rng.uniform(-60, 60, n), rng.uniform(-60, 60, n), rng.choice(["a", "b", "c", "d"], n))
    half, mixed, official = (split.sides(recipe(k, buffer_km=1.0), its) for k in ("wilds-half", "wilds-mixed", "wilds"))
    values = its.column("domain_realm")
    assert ((half == "test") == (mixed == "test")).all()
    assert ((official == "test") == (values == "a")).all()
    assert set(values[(mixed == "train") & (half == wilds.MIXED)]) == {"a"}
    assert 0.4 < (half == "test").sum() / (official == "test").sum() < 0.6
    stay = recipe("wilds-mixed").split.to_size({f"p{k}": "a" if k % 3 else "c" for k in range(90)}, 50, 7)
    assert len(stay) == 50
    assert Counter("a" if int(name[1:]) % 3 else "c" for name in stay) == {"a": 25, "c": 25}
    many = {f"p{k}": "a" if k % 2 else "c" for k in range(40_000)}
    assert len(recipe("wilds-mixed").split.to_size(many, 20_000, 7)) == 20_000  # in no time that grows with its square
    with pytest.raises(ConfigError, match="25 samples of the domains of test and 10 of others, expected 50 in all"):
        recipe("wilds-mixed").split.to_size({f"p{k}": "a" if k >= 10 else "c" for k in range(90)}, 50, 7)


@pytest.mark.parametrize(
    ("name", "more", "said"),
    [
        ("leave-out", {"test": ["a", "a"]}, "named twice"),
        ("wilds", {"val": ["a"]}, "named twice"),
        ("leave-out", {"domain": "contnent"}, "no domain 'contnent'; did you mean continent"),
        (
            "leave-out",
            {"domain": "continent", "test": ["Eurpoe"]},
            "no continent is called 'Eurpoe'; did you mean Europe",
        ),
        (
            "leave-out",
            {"domain": "country", "test": ["FRA"], "val": ["DUE"]},
            "val: no country is called 'DUE'; did you",
        ),
        ("wilds", {"domain": "climate_zone", "test": ["Cfb"], "val": ["Cfx"]}, "val: no climate_zone is called 'Cfx'"),
        ("leave-out", {"domain": "season", "test": ["wintr"]}, "no season is called 'wintr'; did you mean winter"),
        ("leave-out", {"domain": "elevation_band", "test": ["0 - 200 m"]}, "did you mean 0-200 m"),
        ("leave-out", {"domain": "hemisphere", "test": ["South"]}, "did you mean south"),
        ("leave-out", {"domain": "orbit_direction", "test": ["ascendng"]}, "did you mean ascending"),
        ("folds", {"k": 1}, "greater than or equal to 2"),
        ("folds", {"unlabelled": "s2l2a"}, "no such part"),
        ("leave-out", {"test": []}, "at least 1 item"),
    ],
)
def test_a_rule_that_means_nothing_is_refused(name, more, said):
    with pytest.raises(ValueError, match=said):
        recipe(name, **more)


@pytest.mark.parametrize(("lon", "lat"), crossed([179.99, -180.0, 0.0], [0.0, 89.99, -90.0]))
def test_the_nearest_is_found_across_the_antimeridian_and_at_the_poles(lon, lat):
    rng = np.random.default_rng(5)
    of_lon, of_lat = rng.uniform(-180, 180, 300), np.degrees(np.arcsin(rng.uniform(-1, 1, 300)))
    found = nearest(np.array([lon]), np.array([lat]), of_lon, of_lat)[0]
    dot = (unit(np.array([lon]), np.array([lat])) @ unit(of_lon, of_lat).T).max()
    assert found == pytest.approx(np.arccos(dot), abs=1e-7)
    assert nearest(np.array([lon]), np.array([lat]), np.array([]), np.array([]))[0] == np.inf


def test_shares_of_blocks_are_those_by_which_the_rule_of_blocks_chooses():
    at = grids.snap(np.linspace(-170, 170, 50), np.linspace(-60, 60, 50), 2640.0)
    spec = blocks.Blocks(val_fraction=0.3, block_deg=2.0, buffer_km=0.0)
    val = blocks.splits_of(at.lon, at.lat, 7, spec, 0.0) == "val"
    assert (val == (block.shares(at.lon, at.lat, 7, 2.0) < 0.3)).all()
    assert len(set(block.names(at.lon, at.lat, 2.0))) > 40


def test_a_part_of_blocks_that_is_empty_says_what_to_change_and_what_there_is_of_each_domain():
    mine = recipe("leave-out", least_samples=5)
    lines = split.faults(mine, ["train"] * 20 + ["test"] * 9, ["c"] * 12 + ["d"] * 8 + ["a"] * 9)
    assert lines[0] == "val has 0 samples, expected 5 at least (least_samples)"
    assert lines[1].startswith(
        "val: raise val_fraction (0.3), lower block_deg (0.5), name values in val, or have no val"
    )
    assert "a smaller buffer_km" in lines[2]
    assert lines[3] == "samples of each realm: c 12, a 9, d 8"
    five = split.faults(recipe("wilds", least_samples=5), ["train"] * 9, ["c"] * 9)
    assert "id_val and id_test: raise id_fraction (0.3), or lower block_deg (0.5)" in five
    assert "val and test: leave out more values, or others with more samples" in five


SIZES = st.lists(st.integers(1, 60), min_size=3, max_size=40)


@given(sizes=SIZES, k=st.integers(2, 5))
def test_even_folds_are_no_further_apart_than_the_largest_value(sizes, k):
    its = _of_sizes(sizes)
    found = Counter(split.sides(recipe("folds", k=k, buffer_km=0.0), its).tolist())
    whole = [found[f"fold{n}"] for n in range(k)]
    assert sum(whole) == sum(sizes)
    assert max(whole) - min(whole) <= max(sizes)


@given(sizes=SIZES, k=st.integers(2, 5), nth=st.integers(0, 2))
def test_stable_folds_of_places_are_theirs_whatever_else_there_is(sizes, k, nth):
    mine, its = recipe("folds", k=k, buffer_km=0.0, dealt="stable"), _of_sizes(sizes)
    every = dict(zip(its.column("id").tolist(), split.sides(mine, its).tolist(), strict=True))
    few = its.take(np.flatnonzero(np.arange(len(its)) % 3 == nth))
    assert all(
        every[i] == side for i, side in zip(few.column("id").tolist(), split.sides(mine, few).tolist(), strict=True)
    )


def _of_sizes(sizes: list[int]) -> Locations:
    """Places of so many values, so many of each, far from one another."""
    n = np.arange(sum(sizes))
    lon, lat = n % 300 - 150.0, n // 300 * 5 - 60.0
    return places(lon, lat, np.repeat([f"v{k}" for k in range(len(sizes))], sizes))


def test_stable_folds_are_stable_where_even_ones_are_not_and_no_fold_is_left_empty_by_many_values():
    sizes = [5] * 40
    before, after = _of_sizes(sizes), _of_sizes([*sizes, *[50] * 3])
    same = before.column("domain_realm") == after.column("domain_realm")[: len(before)]
    assert same.all()
    for dealt, is_stable in (("even", False), ("stable", True)):
        mine = recipe("folds", k=4, buffer_km=0.0, dealt=dealt)
        old, new = split.sides(mine, before), split.sides(mine, after)[: len(before)]
        assert (old == new).all() == is_stable
        assert len(set(old)) == 4


def test_folds_by_season_are_refused_since_a_sample_has_several():
    with pytest.raises(ValueError, match="leave a season out at a time, by rule = 'leave-out'"):
        recipe("folds", domain="season")
