"""Controls know what they should, and nothing else."""

import numpy as np

from curation.worth.probe import controls
from curation.worth.probe.rows import ProbeTask
from tests.worth.probe import made


def test_shuffled_labels_are_those_of_another_place_whole_and_season_by_season():
    rows = made.rows(200)
    own = np.arange(len(rows), dtype=float)[:, None]
    found = controls.shuffled(ProbeTask("", "number", ("row",), own), rows, 0).values[:, 0].astype(int)
    assert (rows.seasons[found] == rows.seasons).all()
    assert (rows.places[found[::2]] == rows.places[found[1::2]]).all()
    assert (rows.places[found] == rows.places).mean() < 0.05
    assert len(set(found)) == len(rows)  # each once: shares of classes stay


def test_where_the_other_place_lacks_a_season_it_is_one_that_it_has():
    rows = made.rows(50).take(np.arange(3, 100))
    own = np.arange(len(rows), dtype=float)[:, None]
    found = controls.shuffled(ProbeTask("", "number", ("row",), own), rows, 0).values[:, 0].astype(int)
    assert (rows.seasons[found] == rows.seasons).mean() > 0.97


def test_metadata_know_place_and_season_alone():
    rows = made.rows(30)
    found = controls.metadata(rows, 0)
    assert found.purpose == "control"
    again = controls.metadata(made.rows(30), 0)
    assert np.array_equal(found.values, again.values)
    moved = rows.take(np.arange(len(rows)))
    moved.lon[:2] += 0.01
    assert (controls.metadata(moved, 0).values[:2] != found.values[:2]).any()
    assert (controls.metadata(moved, 0).values[2:] == found.values[2:]).all()
    assert (found.values[::2] != found.values[1::2]).any(axis=1).all()
