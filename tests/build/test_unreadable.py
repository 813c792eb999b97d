"""What becomes of a patch where scenes, or items, cannot be read: the next one is taken, or it says what was missed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

from curation.errors import PassingError
from curation.outcomes import Status
from curation.read.reader import Asset, Reader
from tests import world as tiny
from tests.build.dates import CLOUD, HERE, RADAR, Dates, built, outcomes
from tests.run import Curate

# --- what cannot be read -------------------------------------------------------------------------------------------


def spoil(path: Path) -> None:
    """Overwrites a file's first block: its header is well."""
    with rasterio.open(path) as file:
        offset, size = (int(file.get_tag_item(f"BLOCK_{what}_0_0", "TIFF", bidx=1)) for what in ("OFFSET", "SIZE"))
    data = path.read_bytes()
    path.write_bytes(data[:offset] + bytes(size) + data[offset + size :])


def test_a_mask_that_is_gone_is_passed_over_and_the_summary_says_so(dates: Dates, capsys):
    first = dates.mask("2021-07-15", {})
    second = dates.mask("2021-07-20", {CLOUD: 0.05})
    (dates.folder / first / "SCL.tif").unlink()
    curate = dates.ready()
    assert curate() == 0
    assert "1 patch passed over scenes that cannot be read" in capsys.readouterr().out
    source = built(curate)
    assert source.scenes == (second,)
    ((name, cause),) = source.passed_over
    assert name == first
    assert cause.startswith(f"ReadError: {first}/SCL.tif: could not be read in 1 tries: FileNotFoundError")
    assert curate("verify") == 0


def test_what_was_not_read_uses_up_no_mask(dates: Dates):
    for day in range(10, 14):
        (dates.folder / dates.mask(f"2021-07-{day}", {}) / "SCL.tif").unlink()
    last = dates.mask("2021-07-25", {})
    assert built(dates.ready(max_candidates=4)).status is Status.FAILED, "as many that cannot be read end it, too"
    dates.ready(max_candidates=5)
    source = built(Curate(dates, dates.folder / "more"))
    assert (source.scenes, len(source.passed_over)) == ((last,), 4)


def test_a_mask_that_could_not_be_read_leaves_its_turn_to_another(dates: Dates):
    for day in (14, 15):
        (dates.folder / dates.mask(f"2021-07-{day}", {}) / "SCL.tif").unlink()
    dates.mask("2021-07-16", {CLOUD: 0.9})
    last = dates.mask("2021-07-25", {})
    source = built(dates.ready(max_candidates=3))
    assert (source.scenes, len(source.passed_over)) == ((last,), 2)


def test_where_no_other_will_do_the_patch_fails_with_the_cause_and_a_rerun_tries_again(dates: Dates):
    first = dates.mask("2021-07-15", {})
    dates.mask("2021-07-20", {CLOUD: 0.5})
    file = dates.folder / first / "SCL.tif"
    whole = file.read_bytes()
    spoil(file)
    curate = dates.ready()
    assert curate() == 1
    source = outcomes(curate)[tiny.name(*HERE)].sources["s2l2a"]
    assert (source.status, source.code) == (Status.FAILED, "ReadError")
    assert "SCL.tif: could not be read in 2 tries" in str(source.cause)
    assert [name for name, _ in source.passed_over] == [first]
    file.write_bytes(whole)
    assert curate() == 0
    assert built(curate).scenes == (first,)


def test_a_recipe_may_want_a_patch_to_fail_for_what_cannot_be_read(dates: Dates):
    first = dates.mask("2021-07-15", {})
    dates.mask("2021-07-20", {})
    (dates.folder / first / "SCL.tif").unlink()
    curate = dates.ready(unreadable="fail")
    assert curate() == 1
    source = built(curate)
    assert (source.status, source.passed_over) == (Status.FAILED, ())


def test_a_mask_of_another_legend_is_passed_over(dates: Dates):
    dates.mask("2021-07-15", {200: 0.01})
    second = dates.mask("2021-07-20", {CLOUD: 0.05})
    source = built(dates.ready())
    assert source.scenes == (second,)
    assert "the mask of s2l2a holds codes [200], expected one of [0, 1, " in source.passed_over[0][1]


def test_radar_that_cannot_be_read_is_passed_over_for_the_next_in_time(dates: Dates):
    dates.mask("2021-07-15", {})
    broken, next_ = dates.radar("2021-07-15"), dates.radar("2021-07-19")
    spoil(dates.folder / "s1" / broken / "vh.tif")
    source = built(dates.ready(sources=RADAR), "s1rtc")
    assert source.scenes == (next_,)
    assert [name for name, _ in source.passed_over] == [broken]


def busy(name: str) -> Callable[..., Any]:
    """Reads bands, but for those of files with a name, whose server has no time."""
    read = Reader.read_bands

    def bands(self: Reader, bands: Sequence[Sequence[Asset]], *args: Any, **more: Any) -> Any:
        for asset in (a for assets in bands for a in assets if name in a.href):
            raise PassingError(f"{asset.href}: HTTP 503")
        return read(self, bands, *args, **more)

    return bands


def test_radar_that_may_be_read_later_fails_the_patch(dates: Dates, monkeypatch: pytest.MonkeyPatch):
    dates.mask("2021-07-15", {})
    near = dates.radar("2021-07-15")
    dates.radar("2021-07-19")
    monkeypatch.setattr(Reader, "read_bands", busy(near))
    curate = dates.ready(sources=RADAR)
    assert curate() == 1
    source = built(curate, "s1rtc")
    assert (source.status, source.code, source.passed_over) == (Status.FAILED, "PassingError", ())


@pytest.mark.slow
def test_where_all_radar_of_a_scene_cannot_be_read_the_next_scene_is_taken(dates: Dates):
    first, second = dates.mask("2021-07-15", {}), dates.mask("2021-07-20", {CLOUD: 0.05})
    broken, good = dates.radar("2021-07-15"), dates.radar("2021-07-20")
    spoil(dates.folder / "s1" / broken / "vv.tif")
    curate = dates.ready(sources=RADAR, max_gap_days=1)
    optical = built(curate)
    assert (optical.scenes, [name for name, _ in optical.passed_over]) == ((second,), [first])
    assert "vv.tif" in optical.passed_over[0][1]
    assert built(curate, "s1rtc").scenes == (good,)
    spoil(dates.folder / "s1" / good / "vv.tif")
    failed = Curate(dates, dates.folder / "failed")
    assert failed() == 1
    source = outcomes(failed)[tiny.name(*HERE)].sources["s1rtc"]
    assert (source.status, source.code) == (Status.FAILED, "ReadError")


def map_of(dates: Dates, day: str) -> tuple[str, Path]:
    """A map of land cover of the scene of a day: its id, and its file."""
    name = f"S2A_{day.replace('-', '')}"
    pixels = np.random.default_rng(0).integers(0, 9, (tiny.SIDE_PX, tiny.SIDE_PX)).astype("u1")
    path = dates.raster(f"dw/{name}.tif", pixels, tiny._at(10), f"EPSG:{tiny.EPSG}", nodata=255)
    footprint = tiny._footprint(tiny.X0, tiny.Y0 - 6_000, tiny.X0 + 6_000, tiny.Y0)
    when = dt.datetime.fromisoformat(f"{day}T10:30:00+00:00")
    more = {"s2__mgrs_tile": "32ULC", "s2__datatake_id": name}
    dates.item("dynamicworld", f"dw_{name}", when, footprint, {"label": path}, **more)
    return f"dw_{name}", dates.folder / path


def cut(path: Path) -> None:
    """Leaves its header and nothing of its first block."""
    path.write_bytes(path.read_bytes()[:600])


@pytest.mark.parametrize("harm", [Path.unlink, cut, spoil])
@pytest.mark.slow
def test_where_the_map_of_a_scene_cannot_be_read_the_next_scene_is_taken_with_its_own(dates: Dates, harm):
    first, second = dates.mask("2021-07-15", {}), dates.mask("2021-07-20", {CLOUD: 0.05})
    (broken, file), (good, other) = map_of(dates, "2021-07-15"), map_of(dates, "2021-07-20")
    harm(file)
    curate = dates.ready(sources="dynamicworld = {}")
    optical = built(curate)
    assert (optical.status, optical.scenes) == (Status.OK, (second,))
    ((passed, cause),) = optical.passed_over
    assert passed == first
    assert file.name in cause
    label = built(curate, "dynamicworld")
    assert (label.status, label.scenes) == (Status.OK, (good,))
    assert [name for name, _ in label.passed_over] == [broken]
    harm(other)
    failed = Curate(dates, dates.folder / "failed")
    assert failed() == 1
    its = outcomes(failed)[tiny.name(*HERE)].sources
    assert (its["dynamicworld"].status, its["dynamicworld"].code) == (Status.FAILED, "ReadError")
    assert [name for name, _ in its["s2l2a"].passed_over] == [first, second]
    dates.ready(sources="dynamicworld = {}", unreadable="fail")
    own = Curate(dates, dates.folder / "own")
    assert own() == 1
    its = outcomes(own)[tiny.name(*HERE)].sources
    assert (its["dynamicworld"].status, its["dynamicworld"].passed_over) == (Status.FAILED, ())


@pytest.mark.parametrize("required", ["", " required = false "])
def test_what_a_person_can_mend_is_told_whether_it_is_required_or_not_and_no_other_scene_is_taken(dates, required):
    dates.mask("2021-07-15", {})
    dates.mask("2021-07-20", {CLOUD: 0.05})
    (_, file), _ = map_of(dates, "2021-07-15"), map_of(dates, "2021-07-20")
    with rasterio.open(file, "r+") as written:
        written.nodata = None
    curate = dates.ready(sources=f"dynamicworld = {{{required}}}")
    assert curate() == 1
    outcome = outcomes(curate)[tiny.name(*HERE)]
    assert (outcome.status, outcome.sources["dynamicworld"].code) == (Status.FAILED, "unmasked_map")
    assert outcome.sources["s2l2a"].passed_over == ()


def test_a_map_that_is_refused_is_no_reason_to_take_another_scene(dates: Dates):
    dates.mask("2021-07-15", {})
    dates.mask("2021-07-20", {CLOUD: 0.05})
    map_of(dates, "2021-07-20")
    curate = dates.ready(sources="dynamicworld = {}")
    curate()
    assert outcomes(curate)[tiny.name(*HERE)].reason == "no_match:dynamicworld"


@pytest.mark.parametrize(("source", "spoilt"), [("dynamicworld", "dw/"), ("s1rtc", "s1/")])
def test_what_is_not_required_and_cannot_be_read_is_refused_alone(dates: Dates, source, spoilt, monkeypatch):
    first = dates.mask("2021-07-15", {})
    dates.mask("2021-07-20", {CLOUD: 0.05})
    name, file = map_of(dates, "2021-07-15")
    if source == "s1rtc":
        name = dates.radar("2021-07-15")
        file = dates.folder / "s1" / name / "vv.tif"
    spoil(file)
    curate = dates.ready(sources=f"{source} = {{ required = false }}", max_gap_days=3)
    assert curate() == 0
    outcome = outcomes(curate)[tiny.name(*HERE)]
    assert (outcome.status, outcome.sources["s2l2a"].scenes) == (Status.OK, (first,))
    its = outcome.sources[source]
    assert (its.status, its.code) == (Status.REJECTED, "unreadable")
    assert file.name in str(its.cause)
    assert [passed for passed, _ in its.passed_over] == [name]
    assert curate("verify") == 0

    monkeypatch.setattr(Reader, "read_bands", busy(spoilt))
    later = Curate(dates, dates.folder / "later")
    assert later() == 1, "what may pass fails the patch, so that a rerun has it"


# --- items that could not be read, and when they were taken ---------------------------------------------------------


def lose(dates: Dates, **properties: Any) -> None:
    """Makes the last item one that cannot be read, but for its place and time."""
    dates.items[-1]["assets"] = {}
    dates.items[-1]["properties"] |= properties


@pytest.mark.parametrize(("day", "told"), [("2021-08-20", "time_gap"), ("2021-07-20", "unreadable_item")])
def test_a_lost_partner_too_far_in_time_to_be_chosen_leaves_a_gap_a_gap(dates, day, told):
    dates.mask("2021-07-15", {})
    dates.mask("2021-08-18", {CLOUD: 0.8})  # near to the one that is lost, and too cloudy to want it
    dates.radar("2021-06-20")
    dates.radar(day)
    lose(dates)
    curate = dates.ready(sources="s1rtc = {}", max_gap_days=12)
    curate()
    its = outcomes(curate)[tiny.name(*HERE)].sources["s1rtc"]
    assert its.code == told
    assert its.status is (Status.FAILED if told == "unreadable_item" else Status.REJECTED)


@pytest.mark.parametrize(("day", "told"), [("2021-08-20", "no_scene"), ("2021-07-20", "unreadable_item")])
def test_a_lost_partner_where_there_is_no_other_is_told_only_where_it_might_have_been_chosen(dates, day, told):
    dates.mask("2021-07-15", {})
    dates.radar(day)
    lose(dates)
    curate = dates.ready(sources="s1rtc = {}", max_gap_days=12)
    curate()
    assert outcomes(curate)[tiny.name(*HERE)].sources["s1rtc"].code == told


@pytest.mark.parametrize("datetime", [None, "last summer", 5])
def test_a_lost_partner_of_whose_times_one_can_be_read_is_of_that_time(dates, datetime):
    dates.mask("2021-07-15", {})
    dates.radar("2021-08-20")
    lose(dates, datetime=datetime, start_datetime="2021-08-20T05:50:00Z")
    curate = dates.ready(sources="s1rtc = {}", max_gap_days=12)
    curate()
    assert outcomes(curate)[tiny.name(*HERE)].sources["s1rtc"].code == "no_scene"


def test_a_lost_partner_of_no_time_might_have_been_chosen(dates):
    dates.mask("2021-07-15", {})
    dates.radar("2021-08-20")
    lose(dates, datetime="last summer")
    curate = dates.ready(sources="s1rtc = {}", max_gap_days=12)
    curate()
    assert outcomes(curate)[tiny.name(*HERE)].sources["s1rtc"].code == "unreadable_item"


@pytest.mark.parametrize(("day", "told"), [("2021-08-20", "cloudy"), ("2021-07-20", "unreadable_item")])
def test_a_lost_date_that_no_partner_lies_near_leaves_a_cloudy_patch_cloudy(dates, day, told):
    dates.mask("2021-07-15", {CLOUD: 0.8})
    dates.radar("2021-07-16")
    dates.mask(day, {})
    lose(dates)
    curate = dates.ready(sources="s1rtc = {}", max_gap_days=12)
    curate()
    its = outcomes(curate)[tiny.name(*HERE)].sources["s2l2a"]
    assert its.code == told


@pytest.mark.parametrize(("hour", "told"), [(20, "no_scene"), (10, "unreadable_item")])
def test_a_lost_map_of_another_acquisition_leaves_labels_unknown(dates, hour, told):
    dates.mask("2021-07-15", {})
    footprint = tiny._footprint(tiny.X0, tiny.Y0 - 6_000, tiny.X0 + 6_000, tiny.Y0)
    dates.item("dynamicworld", "dw", dt.datetime(2021, 7, 15, hour, 30, tzinfo=dt.UTC), footprint, {})
    curate = dates.ready(sources="dynamicworld = { required = false }")
    curate()
    assert outcomes(curate)[tiny.name(*HERE)].sources["dynamicworld"].code == told
