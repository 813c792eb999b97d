"""`[card]` of a recipe: what a publisher says of a dataset, and nothing that its files say of themselves. Pure.

It changes no pixel and no shard, so that it stands in no digest: cards follow from it, and are written anew for it.
"""

from __future__ import annotations

import datetime as dt
import re
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, model_validator

from curation.recipe.strict import StrictTable

_DOI = re.compile(r"10\.\d{4,9}/\S+")
_DOI_URL = re.compile(r"https?://(?:dx\.)?doi\.org/", re.IGNORECASE)
_URL = re.compile(r"https?://[^\s\"<>]+")
_ORCID = re.compile(r"\d{4}-\d{4}-\d{4}-\d{3}[\dX]")

Line = Annotated[str, Field(min_length=1, pattern=r"^\S[^\r\n\x00-\x1f]*$")]
"""A line of text."""


def _url(value: Any) -> Any:
    if isinstance(value, str) and not _URL.fullmatch(value):
        raise ValueError("expected a URL: https://…")
    return value


def _day(value: Any) -> Any:
    """A day as TOML has it, or in quotes."""
    if isinstance(value, dt.date) and not isinstance(value, dt.datetime):
        return value
    try:
        return dt.date.fromisoformat(value)
    except (TypeError, ValueError) as err:
        raise ValueError("expected a day, in quotes or without: 2026-11-30") from err


Url = Annotated[str, BeforeValidator(_url)]


def _creator(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


class CreatorSpec(StrictTable):
    """Who made a dataset: a person or an organisation."""

    name: Line
    """As it is to be cited: "Family, Given" of a person."""
    orcid: str | None = Field(default=None, pattern=f"^{_ORCID.pattern}$")
    """Of a person: `0000-0002-1825-0097`."""
    affiliation: Line | None = None

    @property
    def is_person(self) -> bool:
        """Whether it is a person: by an ORCID, or a name that says which part of it is the family's."""
        return self.orcid is not None or ", " in self.name


class CardSpec(StrictTable):
    """What a publisher says. What is left out is left out of the cards, too, and told: nothing of it is made up."""

    title: Line | None = None
    """The recipe's where left out."""
    description: str | None = Field(default=None, min_length=1)
    """In a few sentences; what index and recipe say of it where left out."""
    creators: list[Annotated[CreatorSpec, BeforeValidator(_creator)]] = Field(default_factory=list)
    """In the order in which they are cited: names, or tables with `name`, `orcid`, `affiliation`."""
    publisher: Line | None = None
    identifier: str | None = None
    """A DOI that is reserved or registered, or the URL by which it is cited."""
    published: Annotated[dt.date, BeforeValidator(_day)] | None = None
    """The day of publication."""
    version: str | None = Field(default=None, pattern=r"^\d+\.\d+\.\d+$")
    """`1.0.0`."""
    licence: Annotated[str, Field(pattern=r"^([A-Za-z0-9.+-]+|https?://\S+)$")] | None = None
    """Of the collection as a whole: an id of SPDX (`CC-BY-4.0`) or a URL; those of its sources hold beside it."""
    url: Url | None = None
    """The page where it is found."""
    keywords: list[Line] = Field(default_factory=list)

    @model_validator(mode="after")
    def _names_something(self) -> Self:
        if self.identifier is not None and self.doi is None and not _URL.fullmatch(self.identifier):
            raise ValueError(
                f"identifier = {self.identifier!r}: expected a DOI (10.1234/abc) or a URL; leave it out where there is none"
            )
        return self

    @property
    def doi(self) -> str | None:
        """The identifier where it is a DOI, without a resolver before it."""
        bare = _DOI_URL.sub("", self.identifier or "")
        return bare if _DOI.fullmatch(bare) else None

    @property
    def missing(self) -> tuple[str, ...]:
        """What a hub or a registry asks for and nobody has said."""
        asked = ("creators", "publisher", "identifier", "published", "version", "licence")
        return tuple(key for key in asked if not getattr(self, key))
