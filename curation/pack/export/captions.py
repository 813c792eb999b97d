"""The texts that go with a sample's image: an annotation of text, or of JSON that lists several with their sources."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from curation.errors import ConfigError, CurationError
from curation.errors.printable import shown
from curation.errors.words import did_you_mean
from curation.format.annotations import AnnotationEntry, decoded

DEFAULTS = ("captions", "caption")
"""Annotations that are taken where none is named, the first that there is."""

FORM = '{"captions": [text, …], "sources": [one of each, …]}'
"""Of JSON; with `seasons`, season → the same, where what is said of a season differs."""


@dataclass(frozen=True, slots=True)
class Captions:
    """What is said of a sample."""

    texts: tuple[str, ...]
    """One at least."""
    sources: tuple[Any, ...]
    """What each is made of, as its function says it; the annotation's name where it says nothing."""


def named(annotations: Mapping[str, AnnotationEntry], asked: str | None) -> str:
    """The annotation that has the texts.

    Raises:
        ConfigError: there is no such annotation, or it is neither text nor JSON; or none is named, and which is not clear.
    """
    usable = {n for n, e in annotations.items() if e.is_words}
    if asked is not None and asked not in usable:
        raise ConfigError(
            f"--caption {asked}: samples have no such annotation of text or JSON; {did_you_mean(asked, usable)}"
            f"they have: {', '.join(sorted(usable)) or 'none'}"
        )
    texts = sorted(n for n, e in annotations.items() if e.is_text)
    found = asked or next((n for n in DEFAULTS if n in usable), None) or (texts[0] if len(texts) == 1 else None)
    if found is None:
        raise ConfigError(
            f"samples have {'no text' if not texts else 'several texts: ' + ', '.join(texts)}: "
            + (
                "name one with --caption"
                if texts
                else 'write [annotations.caption] with function = "caption" and type = "text" in the recipe, and pack again'
            )
        )
    return found


def of_member(name: str, entry: AnnotationEntry, data: bytes, where: str, season: str | None = None) -> Captions | None:
    """The texts of a member; None where it lists none.

    Args:
        name: of the annotation.
        entry: what the index says of it.
        data: the payload.
        where: how a person names it, for errors.
        season: of the image: what is said of that season alone is taken, where there is such.

    Raises:
        CurationError: JSON of another form.
        DamageError: it is not what the index says.
    """
    value = decoded(entry, data, where)
    if entry.is_text:
        return Captions((value,), (name,))
    of_seasons = value.get("seasons") if isinstance(value, dict) else None
    if isinstance(of_seasons, dict) and season in of_seasons:
        value = of_seasons[season]
    texts = value.get("captions") if isinstance(value, dict) else None
    if not isinstance(texts, list) or not all(isinstance(t, str) and t.strip() for t in texts):
        raise CurationError(f"{where}: got {shown(value, 80)}, expected {FORM}: name another annotation with --caption")
    sources = value.get("sources", [name] * len(texts))
    if not isinstance(sources, list) or len(sources) != len(texts):
        raise CurationError(f"{where}: sources are {shown(sources, 80)}, expected one of each of {len(texts)} captions")
    return Captions(tuple(texts), tuple(sources)) if texts else None
