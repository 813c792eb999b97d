"""Domains: what samples are of, by name (a continent, a climate), as numbers in batches. Pure."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping

from curation.format.strict import StrictObject, Text

UNTOLD = -1
"""The number of a sample of which a domain is not told."""


class DomainEntry(StrictObject, frozen=True):
    """One domain: a column of the samples table, `domain_<name>`, of text or null."""

    title: Text
    """For a person."""
    values: tuple[Text, ...]
    """Those of any sample, in the order of their numbers, from 0. Of a sample that is of several: `2020|2021`."""

    def __post_init__(self) -> None:
        """Raises ValueError where values cannot be told apart."""
        if len(set(self.values)) != len(self.values):
            raise ValueError(f"values: got {reprlib.repr(self.values)}, expected each once")

    @property
    def numbers(self) -> Mapping[str | None, int]:
        """Value → its number; `UNTOLD` of null."""
        return {None: UNTOLD, **{v: n for n, v in enumerate(self.values)}}
