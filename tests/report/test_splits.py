"""Distances of a split on the report are of places all over it."""

import numpy as np
import pytest

from curation.model import Location
from curation.places.nearby import EARTH_RADIUS_KM
from curation.report import splits


def test_distances_of_many_places_are_of_all_regions_and_not_of_the_first_alone(monkeypatch):
    monkeypatch.setattr(splits, "MOST_PLACES", 11)
    lon = [*np.linspace(0, 1, 100), 170.0, 171.0, 172.0]  # the last region's lie far from what is learnt
    places = [Location(f"a{k}", x, 0.0, 32601, 0.0, 0.0, 100.0, "r") for k, x in enumerate([*lon, 0.5])]
    sides = {p.id: "test" for p in places[:-1]} | {places[-1].id: "train"}
    km = splits._distances(places, sides, ("train", "test"), ("train",))["test"]
    assert len(km) == 11
    assert km.max() == pytest.approx(np.radians(171.5) * EARTH_RADIUS_KM)
    few = splits._distances(places[90:], sides, ("train", "test"), ("train",))["test"]
    assert len(few) == 11  # of 13
    assert len(splits._distances(places[95:], sides, ("train", "test"), ("train",))["test"]) == 8  # all
