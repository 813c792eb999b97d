"""Tables beside modules, and how their places are filled."""

import datetime as dt
from pathlib import Path

import pytest

from curation import embedded
from curation.embedded.sensors import netcdf
from curation.embedded.world import tables

PACKAGE = Path(embedded.__file__).parent


def test_a_place_alone_is_the_value_itself_and_one_in_a_text_is_written_out():
    day = dt.datetime(2021, 6, 15, 10, 36, 29, 24_000)
    template = {"{key}": ["{day.year}", 7], "at": {"when": "{day:%Y-%m-%dT%H:%M:%S.%f}Z", "nothing": "{none}"}}
    found = tables.filled(template, key="years", day=day, none=None)
    assert found == {"years": [2021, 7], "at": {"when": "2021-06-15T10:36:29.024000Z", "nothing": None}}


def test_a_place_that_nothing_fills_is_an_error():
    with pytest.raises(KeyError):
        tables.filled({"id": "{scene}"}, tile=1)
    with pytest.raises(AttributeError):
        tables.filled({"id": "T{tile.name}"}, tile=1)


def test_an_attribute_has_the_type_that_its_table_states_and_one_without_a_value_is_left_out():
    template = {"least": {"uint8": "{n}"}, "name": "{none}", "factor": {"float32": "{none}"}}
    (item,) = netcdf.attributes(template, n=3, none=None).items()
    assert item == ("least", 3)
    assert item[1].dtype == "uint8"


def test_every_table_lies_beside_the_module_that_reads_it():
    # So it is part of the cache's mark where that module is.
    found = sorted(PACKAGE.rglob("*.toml"))
    assert found
    for path in found:
        assert "tables.beside(__file__)" in path.with_suffix(".py").read_text(), path.name
