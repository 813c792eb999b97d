"""The embedded Earth, served for a command."""

import sys

import pytest

from curation.api import earth
from curation.errors import CurationError


def test_a_server_that_ends_before_it_answers_is_told_as_any_other_error(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    said = "^embedded Earth: the server ended with 1 before it answered: it said nothing$"
    with pytest.raises(CurationError, match=said), earth.served():
        pass
