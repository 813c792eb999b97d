"""Labels are those of each row's own sample and season, or not known."""

import numpy as np
import pytest
from msgspec.structs import replace

from curation.errors import ConfigError
from curation.pack.export.of_shards import index_of
from curation.recipe.dataset import load_dataset
from curation.store.objects import Store
from curation.worth.probe import labels
from tests.stream.conftest import LABELS, key_of
from tests.worth.probe.conftest import CROPS, NAME, UNKNOWN, height_m, hot, shares_of

NUMBERS = [0, 50, UNKNOWN, UNKNOWN, 12]
SAMPLES = np.array([key_of(n) for n in NUMBERS])
SEASONS = np.array(["winter", "summer", "summer", "winter", "summer"])


@pytest.fixture
def facts(root) -> labels.SampleTables:
    store = Store(root / NAME)
    return labels.SampleTables(store, index_of(store))


def test_classes_are_of_the_row_s_own_sample_and_season(facts):
    for asked in ("labels", "seasonal"):
        its = labels.task_of(facts, asked, SAMPLES, SEASONS)
        assert (its.form, its.names, its.name) == ("classes", LABELS, "seasonal labels")
        assert its.is_known.tolist() == [True, True, False, True, True]
        want = [hot(n, s) for n, s in zip(NUMBERS, SEASONS, strict=True)]
        assert its.values[its.is_known].tolist() == [w for w, k in zip(want, its.is_known, strict=True) if k]


def test_annual_classes_are_the_same_in_each_season(facts):
    its = labels.task_of(facts, "annual", SAMPLES, SEASONS)
    assert its.values.tolist() == [hot(n, "static") for n in NUMBERS]


def test_where_no_season_has_labels_they_are_of_the_annual_map(facts):
    for season in ("summer", "winter"):
        facts._columns[f"labels_{season}"] = [None] * 64
    assert labels.task_of(facts, "labels", SAMPLES, SEASONS).name == "annual labels"
    assert not labels.task_of(facts, "seasonal", SAMPLES, SEASONS).is_known.any()


def test_shares_are_numbers_one_for_each_label(facts):
    its = labels.task_of(facts, "fractions", SAMPLES, SEASONS)
    assert (its.form, its.names) == ("number", LABELS)
    assert its.is_known.tolist() == [True, True, False, True, True]
    known = [(n, s) for n, s, k in zip(NUMBERS, SEASONS, its.is_known, strict=True) if k]
    assert its.values[its.is_known].tolist() == [list(shares_of(n, s)) for n, s in known]


def test_the_target_is_a_class_of_its_legend_and_what_is_asked_where_nobody_says(facts):
    for asked in ("target", "auto", "crop"):
        its = labels.task_of(facts, asked, SAMPLES, SEASONS)
        assert (its.form, its.names, its.name) == ("class", CROPS, "crop")
        assert its.is_known.tolist() == [True, True, False, False, True]
        known = [n for n in NUMBERS if n != UNKNOWN]
        assert its.values[its.is_known].argmax(axis=1).tolist() == [sum(hot(n, "summer")[:2]) for n in known]


def test_a_column_of_numbers_is_a_number(facts):
    its = labels.task_of(facts, "height_m", SAMPLES, SEASONS)
    assert (its.form, its.names) == ("number", ("height_m",))
    assert its.values[:, 0] == pytest.approx([height_m(n) for n in NUMBERS])


def test_without_a_target_labels_are_what_is_asked(root):
    store = Store(root / NAME)
    index = replace(index_of(store), target=None)
    facts = labels.SampleTables(store, index)
    assert labels.task_of(facts, "auto", SAMPLES, SEASONS).name == "seasonal labels"
    with pytest.raises(ConfigError, match=r"--labels target: .*index.json has none; it has labels, seasonal"):
        labels.task_of(facts, "target", SAMPLES, SEASONS)
    bare = labels.SampleTables(store, replace(index, label_names=()))
    with pytest.raises(ConfigError, match=r"has no labels; it has lon, lat, region, crop"):
        labels.task_of(bare, "labels", SAMPLES, SEASONS)


def test_what_is_misspelt_is_told(facts, monkeypatch):
    with pytest.raises(ConfigError, match="--labels crp: did you mean crop"):
        labels.task_of(facts, "crp", SAMPLES, SEASONS)
    monkeypatch.setattr(labels, "MOST_CLASSES", 1)
    facts._columns["name"] = [str(n) for n in range(64)]
    with pytest.raises(ConfigError, match="--labels name: it holds 4 texts"):
        labels.task_of(facts, "name", SAMPLES, SEASONS)


def test_domains_are_those_of_the_shards_or_follow_from_where_a_place_is():
    recipe = load_dataset(NAME).recipe
    lon, lat = np.array([6.1, -46.6, -140.0]), np.array([51.3, -23.5, 0.0])
    found = labels.domains_of(None, {"continent": np.array(["a", "?why", "c"])}, lon, lat, recipe)
    assert found["continent"].tolist() == ["a", "", "c"]
    assert found["climate_zone"].tolist() == ["Cfb", "Cfa", ""]
    assert labels.domains_of(["season", "hemisphere"], {}, lon, lat, recipe)["hemisphere"].tolist()[:2] == [
        "north",
        "south",
    ]
    with pytest.raises(ConfigError, match="--by climate: did you mean climate_zone"):
        labels.domains_of(["climate"], {}, lon, lat, recipe)
