"""The name of the region that a sample was selected by: a domain column for who holds regions apart."""

from __future__ import annotations

from typing import cast

from curation.pack.subject import Subject


def region(sample: Subject) -> str:
    """The region's name."""
    return cast(str, sample.location["region"])
