import dataclasses
import datetime as dt
import random

import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.errors.codes import Code
from curation.model import Location, Scene, Window
from curation.outcomes import Reject, Status
from curation.places import grid
from curation.scenes import rank

DAY = dt.datetime(2021, 7, 15, 10, 36, 29, tzinfo=dt.UTC)
SUMMER = Window("summer", *(dt.datetime(2021, m, d, tzinfo=dt.UTC) for m, d in ((6, 1), (9, 1), (7, 15))))


def location(lon: float = 9.0, lat: float = 48.0, size_m: float = 2640.0) -> Location:
    epsg, x0, y0 = grid.snapped(lon, lat, size_m)
    centre = grid.transformer(epsg, 4326).transform(x0 + size_m / 2, y0 - size_m / 2)
    return Location("a", *centre, epsg, x0, y0, size_m, "r")


HERE = location()
ROUND_HERE = shapely.box(8.5, 47.5, 9.5, 48.5)


def scene(name: str, days: float = 0, **what: object) -> Scene:
    known: dict[str, object] = {
        "source": "s",
        "time": DAY + dt.timedelta(days=days),
        "geometry": ROUND_HERE,
        "hrefs": {},
    }
    return Scene(id=name, **known | what)  # type: ignore[arg-type]


def ids(scenes: list[Scene]) -> list[str]:
    return [s.id for s in scenes]


# --- acquisitions ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("other", "together"),
    [
        ({}, True),
        ({"datatake": "GS2A_20210715T103629_031232"}, False),
        ({"platform": "S2B"}, False),
        ({"days": 0.2}, False),
        ({"datatake": None, "days": 0.0006}, True),  # 52 s
        ({"datatake": None, "days": 0.0008}, False),
    ],
)
def test_scenes_of_one_acquisition_are_one_group(other, together):
    known = {"platform": "S2A", "datatake": "GS2A_20210715T103629_031231"} | other
    days = float(known.pop("days", 0.0))
    groups = rank.in_acquisitions([scene("b", days, **known), scene("a", **SAME)], HERE)
    assert [ids(g) for g in groups] == ([["a", "b"]] if together else [["a"], ["b"]])


def test_of_two_tiles_of_an_acquisition_that_of_the_zone_comes_first_and_ids_tell_the_datatake_too():
    at = "S2A_MSIL2A_20210715T103629_N0500_R008_T3{}ULC_20210715T1"
    tiles = [scene(at.format(3), 0.003, epsg=HERE.epsg), scene(at.format(2), epsg=HERE.epsg + 1), scene("later", 5.0)]
    assert [ids(g) for g in rank.in_acquisitions(tiles, HERE)] == [[at.format(3), at.format(2)], ["later"]]


# --- reprocessed and split -----------------------------------------------------------------------------------------

SAME = {"platform": "S2A", "datatake": "GS2A_20210715T103629_031231", "tile": "32ULC", "relative_orbit": 8}


def test_of_a_scene_that_was_processed_again_the_newest_stays():
    old, new = scene("old", baseline="03.01", **SAME), scene("new", baseline="05.00", **SAME)
    assert ids(rank.newest([old, new])) == ids(rank.newest([new, old])) == ["new"]


def test_baselines_are_numbers_not_texts():
    assert ids(rank.newest([scene("a", baseline="10.00", **SAME), scene("b", baseline="05.11", **SAME)])) == ["a"]


def test_both_halves_of_a_split_datastrip_stay():
    halves = [scene("a", baseline="05.00", **SAME), scene("b", 0.0001, baseline="05.00", **SAME)]
    assert ids(rank.newest(halves)) == ["a", "b"]
    assert ids(rank.newest([*halves, scene("old", baseline="02.14", **SAME)])) == ["a", "b"]


@pytest.mark.parametrize("other", [{"tile": "32ULD"}, {"platform": "S2B"}, {"datatake": "x"}, {"relative_orbit": 51}])
def test_another_tile_satellite_acquisition_or_orbit_is_no_duplicate(other):
    both = [scene("old", baseline="03.01", **SAME), scene("new", baseline="05.00", **SAME | other)]
    assert set(ids(rank.newest(both))) == {"old", "new"}


def test_without_a_datatake_the_time_tells_the_acquisition():
    known = {k: v for k, v in SAME.items() if k != "datatake"}
    a, b, c = (
        scene(n, d, baseline=v, **known) for n, d, v in (("a", 0, "03.01"), ("b", 0, "05.00"), ("c", 5, "03.01"))
    )
    assert ids(rank.newest([a, b, c])) == ["b", "c"]


# --- coverage ------------------------------------------------------------------------------------------------------


def test_only_what_covers_the_whole_patch_is_covering():
    partly = scene("partly", geometry=shapely.box(9.0, 47.5, 9.5, 48.5))
    assert ids(rank.covering([scene("whole"), partly], HERE)) == ["whole"]


def test_partial_coverage_tells_the_largest_share():
    lon = HERE.lon
    half, less = (scene(n, geometry=shapely.box(west, 47, 10, 49)) for n, west in (("half", lon), ("less", lon + 0.01)))
    with pytest.raises(Reject) as caught:
        rank.covering([less, half], HERE)
    assert (caught.value.code, caught.value.status) == (Code.PARTIAL_COVERAGE, Status.REJECTED)
    assert caught.value.value == pytest.approx(0.5, abs=0.001)


@pytest.mark.parametrize("scenes", [[], [scene("far", geometry=shapely.box(20, 40, 21, 41))]])
def test_no_scene_at_all_is_absent(scenes):
    for rule in (rank.covering, rank.touching):
        with pytest.raises(Reject) as caught:
            rule(scenes, HERE)
        assert (caught.value.code, caught.value.status) == (Code.NO_SCENE, Status.ABSENT)


def test_a_footprint_drawn_with_few_points_may_leave_out_some_metres():
    outline = grid.footprint(HERE)
    west, south, east, north = outline.bounds
    near = scene("near", geometry=shapely.box(west + 0.0004, south, east, north))
    short = scene("short", geometry=shapely.box(west + 0.002, south, east, north))
    assert ids(rank.covering([near], HERE)) == ["near"]
    with pytest.raises(Reject):
        rank.covering([short], HERE)


@pytest.mark.parametrize("size_m", [60.0, 120.0, 240.0])
def test_small_patches_are_covered_too(size_m):
    small = location(size_m=size_m)
    assert ids(rank.covering([scene("a")], small)) == ["a"]
    far = scene("far", geometry=shapely.box(small.lon + 0.0001 * size_m / 60, 47.5, 9.5, 48.5))
    with pytest.raises(Reject) as caught:
        rank.covering([far], small)
    assert caught.value.code is Code.PARTIAL_COVERAGE
    assert rank.orbit_direction([[dataclasses.replace(scene("a"), orbit_state="ascending")]], small) == "ascending"


BOTH_SIDES = shapely.union_all([shapely.box(179, -18, 180, -16), shapely.box(-180, -18, -179, -16)])


@pytest.mark.parametrize("lon", [179.999, -179.999, 179.98, -179.98])
def test_a_footprint_on_both_sides_of_the_antimeridian_covers(lon):
    at = location(lon, -16.8)
    assert ids(rank.covering([scene("both", geometry=BOTH_SIDES)], at)) == ["both"]
    one_side = scene("east", geometry=shapely.box(-180, -18, -179, -16))
    other = scene("west", geometry=shapely.box(179, -18, 180, -16))
    assert ids(rank.touching([one_side, other, scene("here")], location(179.999, -16.8))) == ["east", "west"]
    with pytest.raises(Reject) as caught:
        rank.covering([one_side if lon > 0 else other], location(179.9999 if lon > 0 else -179.9999, -16.8))
    assert caught.value.code is Code.PARTIAL_COVERAGE
    assert 0.4 < caught.value.value < 0.6


def test_pieces_of_a_mosaic_come_newest_version_first_then_by_id():
    versions = {"b": "1.0.0", "a": "1.0.0", "c": "2.0.0", "d": "v200", "e": None, "f": "10.0.0"}
    found = rank.touching([scene(n, version=v) for n, v in versions.items()], HERE)
    assert ids(found) == ["d", "f", "c", "a", "b", "e"]


def test_a_piece_that_only_the_pixels_beyond_the_footprint_touch_is_one_of_the_mosaic():
    place = location(size_m=2560)  # pixels of 60 m reach 20 m further east
    to_lonlat = grid.transformer(place.epsg, 4326)
    pieces = []
    for name, west, east in (("own", -500, 2570), ("beyond", 2570, 5000), ("farther", 2590, 5000)):
        x, y = (place.x0_m + west, place.x0_m + east), (place.y0_m - 3000, place.y0_m + 500)
        ring = [to_lonlat.transform(a, b) for a, b in ((x[0], y[0]), (x[0], y[1]), (x[1], y[1]), (x[1], y[0]))]
        pieces.append(scene(name, geometry=shapely.Polygon(ring)))
    assert ids(rank.touching(pieces, place)) == ["beyond", "own"]
    assert ids(rank.touching(pieces, dataclasses.replace(place, size_m=2520))) == ["own"]


# --- ranking -------------------------------------------------------------------------------------------------------


def test_the_same_zone_goes_before_a_clearer_scene_of_another():
    own, other = scene("own", epsg=HERE.epsg, cloud_pct=79.0), scene("other", epsg=HERE.epsg - 1, cloud_pct=0.0)
    assert grouped([other, own]) == [["own"], ["other"]]


def grouped(scenes: list[Scene]) -> list[list[str]]:
    return [ids(group) for group in rank.rank_clearest(scenes, HERE, SUMMER)]


def test_then_the_clearest_in_steps_then_the_nearest_to_the_anchor_in_steps_are_of_equal_rank():
    made = [
        scene("cloudier", 0, cloud_pct=10.0), scene("clear far", 25, cloud_pct=9.9), scene("clear near", 9, cloud_pct=9.0),
        scene("a clear near", -9, cloud_pct=9.9), scene("clear nearest", 8, cloud_pct=0.0), scene("unsaid", 0),
    ]  # fmt: skip
    near = ["clear nearest", "a clear near", "clear near"]
    assert grouped(made) == [near, ["clear far"], ["cloudier"], ["unsaid"]]


def test_the_nearest_in_time_within_the_limit_same_zone_first_on_one_day():
    made = [
        scene("next day", 1.2, epsg=HERE.epsg), scene("other zone", 0.1, epsg=1), scene("own zone", -0.9, epsg=HERE.epsg),
        scene("too far", 12.1, epsg=HERE.epsg),
    ]  # fmt: skip
    assert ids(rank.rank_nearest(made, HERE, DAY, None, 12)) == ["own zone", "other zone", "next day"]


def test_a_time_gap_tells_the_least_gap():
    with pytest.raises(Reject) as caught:
        rank.rank_nearest([scene("a", 20), scene("b", -14.25)], HERE, DAY, None, 12)
    assert (caught.value.code, caught.value.value) == (Code.TIME_GAP, 14.25)
    assert ids(rank.rank_nearest([scene("b", -14.25)], HERE, DAY, None, 14.25)) == ["b"], "the limit itself is allowed"


def test_only_the_fixed_orbit_direction_is_used():
    made = [scene("down", 0, orbit_state="descending"), scene("up", 3, orbit_state="ascending"), scene("unsaid", 0)]
    assert ids(rank.rank_nearest(made, HERE, DAY, "ascending", 12)) == ["up"]
    with pytest.raises(Reject) as caught:
        rank.rank_nearest(made[:1], HERE, DAY, "ascending", 12)
    assert caught.value.code is Code.NO_ORBIT


def up(name: str, **what: object) -> Scene:
    return scene(name, orbit_state="ascending", **what)


def down(name: str, **what: object) -> Scene:
    return scene(name, orbit_state="descending", **what)


def test_the_orbit_direction_is_the_one_that_serves_most_seasons_then_has_most_scenes_then_by_name():
    one_season = [[down(str(n)) for n in range(9)], []]
    assert rank.orbit_direction([[*one_season[0], up("a")], [up("b")]], HERE) == "ascending"
    assert rank.orbit_direction([[up("a"), down("b"), down("c")], []], HERE) == "descending"
    assert rank.orbit_direction([[down("b"), up("a")]], HERE) == "ascending"
    assert rank.orbit_direction([[scene("unsaid")], []], HERE) is None
    far = shapely.box(20, 40, 21, 41)
    assert rank.orbit_direction([[up("a", geometry=far), up("b", geometry=far)], [down("c")]], HERE) == "descending"


def test_the_relative_orbit_is_the_one_that_serves_most_seasons_of_the_direction_that_is_asked_for():
    seasons = [[up("a", relative_orbit=15), up("b", relative_orbit=88), down("c", relative_orbit=110)]]
    seasons += [[up("d", relative_orbit=88), down("e", relative_orbit=110), down("f", relative_orbit=37)]]
    seasons += [[down("g", relative_orbit=110), up("h")]]
    assert rank.relative_orbit(seasons, HERE, None) == 110
    assert rank.relative_orbit(seasons, HERE, "ascending") == 88
    assert rank.relative_orbit([[up("h")]], HERE, None) is None
    far = shapely.box(20, 40, 21, 41)
    assert rank.relative_orbit([[up("a", relative_orbit=3, geometry=far), up("b", relative_orbit=4)]], HERE, None) == 4
    assert ids(rank.of_direction(seasons[0], None, 88)) == ["b"]
    with pytest.raises(Reject) as caught:
        rank.of_direction(seasons[0], "descending", 88)
    assert caught.value.code is Code.NO_ORBIT


def test_of_an_acquisition_the_scene_that_covers_the_place_stands_alone_and_else_its_pieces_together():
    west, east = shapely.box(8.5, 47.5, 9.0, 48.5), shapely.box(9.0, 47.5, 9.5, 48.5)
    made = [
        scene("whole, other zone", 1, datatake="A", epsg=1), scene("whole", 1, datatake="A", epsg=HERE.epsg),
        scene("piece of whole", 1.001, datatake="A", geometry=west),
        scene("west", 0, datatake="B", geometry=west), scene("east", 0.001, datatake="B", geometry=east),
        scene("east again", 0.001, datatake="B", geometry=east, offset_dn=1000),
        scene("another day", 9, datatake="C", epsg=HERE.epsg),
    ]  # fmt: skip
    found = [ids(group) for group in rank.by_acquisition(made, HERE, SUMMER)]
    assert found == [["whole"], ["another day"], ["west", "east"]]


def test_in_time_the_nearest_comes_first_to_the_day_and_none_is_on_the_wrong_side():
    made = [scene("2 days", 2), scene("same day", 0.4, epsg=HERE.epsg), scene("other zone", 0.1, epsg=1)]
    assert [ids(g) for g in rank.rank_in_time(made, HERE, DAY)] == [["same day"], ["other zone"], ["2 days"]]
    with pytest.raises(Reject) as caught:
        rank.rank_in_time([], HERE, DAY)
    assert (caught.value.code, caught.value.status) == (Code.WRONG_SIDE, Status.ABSENT)


def test_labels_go_with_the_scene_of_their_own_acquisition():
    image = scene("image", datatake="T1", tile="32ULC")
    made = [
        scene("next tile", 0.5, datatake="T1", tile="32ULD"), scene("own", 0.4, datatake="T1", tile="32ULC"),
        scene("seconds", 50 / 86400, tile="32ULB"), scene("another day", 5, datatake="T2", tile="32ULC"),
    ]  # fmt: skip
    assert ids(rank.same_acquisition(made, image)) == ["own", "next tile", "seconds"]
    with pytest.raises(Reject) as caught:
        rank.same_acquisition([made[-1], scene("later", 61 / 86400)], image)
    assert (caught.value.code, caught.value.status) == (Code.NO_MATCH, Status.ABSENT)


@pytest.mark.parametrize(
    ("name", "stated"),
    [
        ("S2A_MSIL2A_20210715T102559_R108_T32ULC_20210716T010203", {}),  # Planetary Computer
        ("S2A_32ULC_20210715_0_L2A", {"datatake": "GS2A_20210715T102559_031668"}),  # Earth Search
        ("S2A_32ULC_20210715_0_L2A", {}),
        ("made-here", {"tile": "32ULC"}),
    ],
)
@pytest.mark.parametrize("late_s", [0, 61, 300, 535])
def test_a_map_that_earth_engine_names_is_of_the_image_that_was_sensed_minutes_later(name, stated, late_s):
    """Its name is all that tells it: it has no property of Sentinel-2, and its time may be the datatake's or the image's."""
    start = dt.datetime(2021, 7, 15, 10, 25, 59, tzinfo=dt.UTC)

    def image(second: int, tile: str = "32ULC", at: dt.datetime = start) -> Scene:
        named = f"{start + dt.timedelta(seconds=second):%Y%m%dT%H%M%S}_{at:%Y%m%dT%H%M%S}_T{tile}"
        return scene(named, time=at)

    of = scene(name, time=start + dt.timedelta(seconds=late_s), **stated)
    for at in (start, of.time, start + dt.timedelta(seconds=535)):
        own = image(0, at=at)
        assert rank.same_acquisition([image(0, "32ULD", at), own, image(-6000, at=at)], of) == [own]
        with pytest.raises(Reject):
            rank.same_acquisition([image(0, "32ULD", at), image(-6000, at=at)], of)


def test_what_both_state_to_name_their_acquisition_decides():
    """Two satellites that fly in tandem see one place within the minute."""
    stated = {"tile": "32ULC", "datatake": "GS2A_20210715T102559_031668"}
    of = scene("S2A_MSIL2A_20210715T102559_R108_T32ULC_20210716T010203", **stated)
    other = scene("map", 0.0003, **stated | {"datatake": "OF ANOTHER"})
    with pytest.raises(Reject):
        rank.same_acquisition([other], of)
    assert ids(rank.same_acquisition([other, scene("own", 0.3, **stated)], of)) == ["own"]


def test_unnamed_datatakes_do_not_match_each_other():
    with pytest.raises(Reject):
        rank.same_acquisition([scene("a", 5)], scene("image"))


SCENES = st.lists(
    st.builds(
        scene,
        st.text("abc", min_size=1, max_size=3),
        st.floats(-40, 40),
        cloud_pct=st.one_of(st.none(), st.floats(0, 100)),
        epsg=st.sampled_from([None, 32631, 32632]),
        baseline=st.sampled_from([None, "02.14", "05.00", "05.11"]),
        orbit_state=st.sampled_from([None, "ascending", "descending"]),
        datatake=st.sampled_from([None, "T1", "T2"]),
        tile=st.sampled_from([None, "32ULC", "32ULD"]),
        version=st.sampled_from([None, "1.0.0", "2.0.0"]),
    ),
    min_size=1,
    max_size=8,
    unique_by=lambda s: s.id,
)


@given(SCENES, st.randoms(use_true_random=False))
@settings(deadline=None)
def test_the_order_of_the_input_never_matters(scenes: list[Scene], chance: random.Random):
    def decided(given_: list[Scene]) -> list[object]:
        out: list[object] = [
            rank.newest(given_),
            sorted(ids(rank.covering(given_, HERE))),
            rank.touching(given_, HERE),
            rank.orbit_direction([given_[::2], given_], HERE) if given_ is scenes else None,
            rank.orbit_direction([given_], HERE),
            rank.rank_clearest(given_, HERE, SUMMER),
        ]
        for rule in (
            lambda: rank.rank_nearest(given_, HERE, DAY, "ascending", 12),
            lambda: rank.rank_nearest(given_, HERE, DAY, None, 12),
            lambda: rank.same_acquisition(given_, scene("image", datatake="T1", tile="32ULC")),
        ):
            try:
                out.append(rule())
            except Reject as reject:
                out.append((reject.code, reject.value))
        return out

    shuffled = list(scenes)
    chance.shuffle(shuffled)
    first, second = decided(scenes), decided(shuffled)
    assert [first[:3], *first[4:]] == [second[:3], *second[4:]]


def test_a_place_that_a_footprint_holds_lies_in_it_even_where_its_middle_does_not():
    ring = shapely.box(0, 0, 4, 4).difference(shapely.box(1, 1, 3, 3))
    halves = shapely.MultiPolygon([shapely.box(179, 0, 180, 1), shapely.box(-180, 0, -179, 1)])
    for footprint in (ring, halves):
        assert footprint.contains(shapely.Point(rank.held(footprint)))
    assert rank.held(shapely.Polygon()) is None


# --- one processing mode per orbit ---------------------------------------------------------------------------------


def test_of_an_orbit_the_best_mode_stays_and_of_that_mode_the_last_processing():
    nrti = [scene(f"NRTI_{k}", k / 1000, orbit=7, mode="NRTI") for k in range(3)]
    offline = [scene("OFFL_b", orbit=7, mode="OFFL", version="02")]
    again = [scene("RPRO_a", orbit=7, mode="RPRO", version="02"), scene("RPRO_b", orbit=7, mode="RPRO", version="03")]
    assert ids(rank.one_mode([*nrti, *offline, *again])) == ["RPRO_b"]
    assert ids(rank.one_mode([*offline, *nrti])) == ["OFFL_b"]
    assert ids(rank.one_mode(nrti)) == ["NRTI_0", "NRTI_1", "NRTI_2"]  # pieces of one orbit


def test_versions_are_compared_by_their_numbers():
    older, newer = scene("z", orbit=7, mode="OFFL", version="2.9"), scene("a", orbit=7, mode="OFFL", version="2.10")
    assert ids(rank.one_mode([newer, older])) == ["a"]
    old, new = (
        scene("old", datatake="d", tile="t", baseline="5.9"),
        scene("new", datatake="d", tile="t", baseline="5.10"),
    )
    assert ids(rank.newest([old, new])) == ["new"]


def test_each_orbit_has_a_mode_of_its_own():
    found = [
        scene("a", 0, orbit=7, mode="OFFL"),
        scene("b", 1, orbit=8, mode="NRTI"),
        scene("c", 1, orbit=8, mode="RPRO"),
    ]
    assert ids(rank.one_mode(found)) == ["a", "c"]
    unknown = [scene("x", mode=None), scene("y", mode="OFFL")]
    assert ids(rank.one_mode(unknown)) == ["x", "y"]  # without an orbit each stands for itself


# --- one version per mean ------------------------------------------------------------------------------------------


def orbits(version: str | None, numbers: range, mode: str = "OFFL") -> list[Scene]:
    return [scene(f"{mode}-{version}-{n}", n, orbit=n, mode=mode, version=version) for n in numbers]


def versions_of(groups: list[list[Scene]]) -> list[list[str | None]]:
    return [sorted({s.version for s in g}, key=str) for g in groups]


@pytest.mark.parametrize(
    ("older", "newer", "first"),
    [
        (range(10), range(10), "02.04.00"),  # all was processed again
        (range(10), range(1, 10), "02.04.00"),  # but for one orbit
        (range(10), range(5, 10), "02.04.00"),  # half of them
        (range(10), range(6, 10), "02.03.01"),  # the processor was changed when the season was nearly over
        (range(10), range(10, 13), "02.03.01"),
        (range(0), range(3), "02.04.00"),
    ],
)
def test_the_newest_version_that_has_half_of_the_orbits_comes_first_and_none_is_mixed(older, newer, first):
    found = [*orbits("02.03.01", older), *orbits("02.04.00", newer, "RPRO")]
    random.Random(3).shuffle(found)
    groups = rank.by_version(found)
    assert groups[0][0].version == first
    assert all(len(v) == 1 for v in versions_of(groups))
    assert sorted(s.id for g in groups for s in g) == sorted(s.id for s in found)
    assert all(g == sorted(g, key=lambda s: (s.time, s.id)) for g in groups)


def test_one_version_however_it_is_written_and_pieces_of_an_orbit_are_one_orbit():
    found = [*orbits("2.4.0", range(2)), *orbits("02.04.00", range(2, 4), "RPRO")]
    assert len(rank.by_version(found)) == 1
    pieces = [scene(f"p{k}", k / 1000, orbit=9, mode="NRTI", version="02.05.00") for k in range(5)]
    assert versions_of(rank.by_version([*orbits("02.04.00", range(3)), *pieces])) == [["02.04.00"], ["02.05.00"]]
    unknown = orbits(None, range(4), "RPRO")
    assert versions_of(rank.by_version([*unknown, *orbits("02.04.00", range(2))])) == [["02.04.00"], [None]]
    assert rank.by_version([]) == []


def test_of_a_version_each_orbit_is_there_in_its_best_mode():
    both = [*orbits("02.04.00", range(3)), *orbits("02.04.00", range(1, 3), "RPRO")]
    (group,) = rank.by_version(both)
    assert [s.mode for s in group] == ["OFFL", "RPRO", "RPRO"]


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from(rank.MODES), st.integers(0, 2)), max_size=12))
def test_no_orbit_is_lost_and_none_has_two_modes(given_scenes):
    found = [scene(f"{n}-{o}-{m}-{t}", t, orbit=o, mode=m) for n, (o, m, t) in enumerate(given_scenes)]
    kept = rank.one_mode(found)
    assert {s.orbit for s in kept} == {s.orbit for s in found}
    for orbit in {s.orbit for s in kept}:
        (mode,) = {s.mode for s in kept if s.orbit == orbit}
        assert mode == min((s.mode for s in found if s.orbit == orbit), key=rank.MODES.index)
        assert {s.time for s in kept if s.orbit == orbit} == {
            s.time for s in found if s.orbit == orbit and s.mode == mode
        }
