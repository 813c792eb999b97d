"""What rows of labels come to, by column: the same as by the rule said row by row."""

from __future__ import annotations

import datetime as dt
from collections import Counter

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.errors import ConfigError
from curation.errors.codes import Code
from curation.model import STATIC, Location
from curation.outcomes import PatchOutcome, SourceOutcome, Status
from curation.pack.labels import coverage, imported
from curation.pack.labels.imported import Imported
from curation.pack.labels.listed import SCHEMA, key_of
from curation.places.locations import Locations
from curation.recipe.dataset import Dataset
from tests.properties import examples
from tests.recipe.test_seasons import recipe

SEASONS = """
[seasons]
pre = { around = "flood", days = [-30, -1] }
summer = { start = 2021-06-01, end = 2021-09-01 }
post = { around = "flood", days = [0, 12] }
"""
AT = dt.datetime(2021, 7, 1, tzinfo=dt.UTC)
# Edges of windows to the second, and anything near.
TIMES = st.none() | st.builds(
    lambda d, s: AT + dt.timedelta(days=d, seconds=s), st.integers(-60, 90), st.sampled_from([-1, 0, 1, 40_000])
)
IDS = st.sampled_from(["7", "007", "08", " 8 ", "a", "b", "elsewhere", ""])
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "location": st.none() | IDS,
            "start": TIMES,
            "sensed": TIMES,
            "day": st.none() | st.dates(dt.date(2021, 5, 1), dt.date(2021, 9, 30)),
            "labels": st.none() | st.lists(st.sampled_from(["water", "trees"]), max_size=2),
            "shares": st.none() | st.just([1.0] + [0.0] * 8),
        }
    ),
    max_size=12,
)
PLACES = st.lists(st.tuples(st.sampled_from(["007", "8", "a", "b", "c"]), TIMES), max_size=6)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return recipe(tmp_path_factory.mktemp("recipe"), SEASONS)


def labels(dataset: Dataset, rows: list[dict], *, seasonal: bool) -> Imported:
    whole = [dict.fromkeys(SCHEMA.names) | row | {"row": n + 1} for n, row in enumerate(rows)]
    table = pa.Table.from_pylist(whole, SCHEMA)
    return imported.unsaved(dataset, table, "l.csv", "0" * 64, seasonal=seasonal)


def located(spots: list[tuple[str, dt.datetime | None]]) -> Locations:
    """Places of some ids; one that is there twice (regions overlap) is the same place."""
    first: dict[str, dt.datetime | None] = {}
    for name, date in spots:
        first.setdefault(name, date)
    made = [Location(n, 8.0, 50.0, 32632, 0.0, 0.0, 480.0, "r", columns={"flood": first[n]}) for n, _ in spots]
    dates = pa.array([p.columns["flood"] for p in made], pa.timestamp("us", "UTC"))
    columns = {
        f: [getattr(p, f) for p in made] for f in ("id", "lon", "lat", "epsg", "x0_m", "y0_m", "size_m", "region")
    }
    return Locations.of_columns(columns, {"flood": dates})


def by_rule(
    dataset: Dataset, rows: list[dict], places: Locations, asked: list[str], *, seasonal: bool
) -> tuple[set[tuple[str, str]], int, int, list[tuple[int, Code]]]:
    """What can be labelled, of how many patches; how many rows say nothing; and which are of no patch, with why."""
    there = {key_of(p.id): p for p in places}
    names = dataset.seasons_of("dynamicworld" if seasonal else "worldcover")
    counted = [n for n in names if n in asked] or names
    can, lost = set(), []
    for n, row in enumerate(rows):
        place = None if row["location"] is None else there.get(key_of(row["location"]))
        if place is None:
            lost.append((n, Code.UNKNOWN_LOCATION))
            continue
        held = [STATIC]
        if seasonal:
            time = row["start"] or row["sensed"]
            if time is None and row["day"] is not None:
                time = dt.datetime.combine(row["day"], dt.time(), dt.UTC)
            windows = {s: dataset.recipe.season(s).window(place) for s in names}
            held = [s for s, w in windows.items() if w is not None and time is not None and w.holds(time)]
            if not held:
                lost.append((n, Code.OUTSIDE_SEASONS))
        if row["labels"] is not None or row["shares"] is not None:
            can |= {(key_of(place.id), s) for s in held if s in counted}
    empty = sum(row["labels"] is None and row["shares"] is None for row in rows)
    return can, len(there) * len(counted), empty, lost


def test_a_patch_that_failed_has_no_labels_though_the_source_that_they_go_with_is_ok(dataset):
    its = labels(dataset, [{"location": "a", "day": dt.date(2021, 7, 10), "labels": ["water"]}], seasonal=True)
    sources = {"s2l2a": SourceOutcome(Status.OK, scenes=("S2A_MSIL2A_20210710T103021_R108_T32UQA",))}
    facts = {"s2l2a_time": dt.datetime(2021, 7, 10, 10, 30, tzinfo=dt.UTC).timestamp()}
    for status, rows in ((Status.OK, [0]), (Status.FAILED, [])):
        assert its.matching(dataset, "summer", "a", PatchOutcome("a", status, sources), facts) == rows


@given(ROWS, PLACES, st.lists(st.sampled_from(["static", "pre", "summer", "post"]), max_size=3), st.booleans())
@settings(max_examples=examples(400))
@pytest.mark.slow
def test_columns_say_what_the_rule_says_of_each_row(dataset, rows, spots, asked, seasonal):
    places, its = located(spots), labels(dataset, rows, seasonal=seasonal)
    can, patches, empty, lost = by_rule(dataset, rows, places, asked, seasonal=seasonal)
    found = coverage.coverage(its, dataset, places, asked)
    assert (found.can, found.patches, found.empty) == (len(can), patches, empty)
    assert found.lost == Counter(code for _, code in lost)
    assert coverage.unmatched(its, dataset, places) == lost
    assert bool(found.fault) == (patches > 0 and not can)
    strangers = [r["location"] for n, r in enumerate(rows) if r["location"] is not None and n in unknown(lost)]
    assert found.examples == (strangers[0] if strangers else "", places[0].id if len(places) else "")


def unknown(lost: list[tuple[int, Code]]) -> set[int]:
    return {n for n, code in lost if code is Code.UNKNOWN_LOCATION}


def test_places_that_labels_cannot_tell_apart_are_refused(dataset: Dataset):
    with pytest.raises(ConfigError, match="locations '07' and '7': as numbers they are one"):
        coverage.coverage(labels(dataset, [], seasonal=True), dataset, located([("07", None), ("7", None)]), [])


@pytest.mark.slow
def test_a_million_rows_and_places_are_looked_at_by_column(dataset: Dataset, monkeypatch: pytest.MonkeyPatch):
    # Each place that is made, and each window that is asked for, is one of a date: there are 300 among 20,000.
    n, asked = 20_000, []
    places = located([(f"p{k}", AT + dt.timedelta(days=k % 300)) for k in range(n)])
    rows = [{"location": f"p{k}", "start": AT, "labels": ["water"]} for k in range(n)]
    its = labels(dataset, rows, seasonal=True)
    real = Locations.__getitem__
    monkeypatch.setattr(Locations, "__getitem__", lambda self, k: asked.append(k) or real(self, k))
    coverage.coverage(its, dataset, places, [])
    assert len(asked) <= 2 * 300 + 1
