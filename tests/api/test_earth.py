"""The embedded Earth, served for a command."""

import sys
from pathlib import Path

import pytest

import curation
from curation.api import earth
from curation.errors import ConfigError, CurationError
from curation.recipe.catalogs import EARTHS, resolve


def test_a_server_that_ends_before_it_answers_is_told_as_any_other_error(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    said = "^embedded Earth: the server ended with 1 before it answered: it said nothing$"
    with pytest.raises(CurationError, match=said), earth.served():
        pass


def test_a_harder_earth_is_another_catalog_and_no_place_has_both(tmp_path: Path):
    plain, hard = (resolve(name, "http://127.0.0.1:4000/stac") for name in EARTHS)
    assert (plain.form, hard.form) == ("planetary-computer",) * 2
    assert plain.identity != hard.identity == "embedded-hard"
    made = curation.load("ssl4eo-s12-ml", tmp_path, catalog="embedded", catalogs={"dem": "embedded-hard"})
    with pytest.raises(ConfigError, match="embedded and embedded-hard: are two Earths"), made._served():
        raise AssertionError
