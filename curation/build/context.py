"""What the steps of a slab share: its task, its patches, and how an error becomes an outcome."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NoReturn, TypeGuard, TypeVar

from numpy.typing import NDArray

from curation.errors import CurationError, PassingError, ReadError, TrustError
from curation.errors.causes import one_line
from curation.errors.codes import Code
from curation.model import Location, Scene
from curation.outcomes import Reject, SourceOutcome
from curation.read.reader import Read
from curation.read.swath import Swaths
from curation.recipe.catalogs import Catalog
from curation.recipe.dataset import Dataset
from curation.recipe.sources import CatalogForm, SourceSpec
from curation.scenes import candidates
from curation.scenes.candidates import Candidates, Times
from curation.store import paths
from curation.store.objects import Store
from curation.store.records import SlabRecord

log = logging.getLogger(__name__)
T = TypeVar("T")
Pixels = dict[str, NDArray[Any]]
"""Array name → (band, y, x)."""

Reading = Generator[list[Read], None, T]
"""Work that says what it will read next, and goes on when that is on its way."""


@dataclass(frozen=True, slots=True)
class SlabJob:
    """One slab to build: small values only. Which scenes its patches may use, the worker finds in the saved searches."""

    dataset: Dataset
    catalog: Catalog
    region: str
    season: str
    slab: int
    locations: tuple[Location, ...]
    """All of the slab's, in order of slot."""
    todo: tuple[str, ...]
    """Ids of those to be built now."""
    store: Store
    per_host: int
    """Requests that one host may have of a worker at a time."""
    searches: str
    """Name of the client's searches: what a worker has read of them stays right."""
    prior: SlabRecord | None = None
    """What was committed of the slab before."""
    unsearched: CurationError | None = None
    """Why a search that it needs failed: its patches then fail with that."""

    @property
    def folder(self) -> str:
        """What its cube lies below."""
        return paths.folder(self.region, self.dataset.level)


@dataclass(frozen=True, slots=True)
class Slab:
    """What is known of a slab while it is built."""

    dataset: Dataset
    folder: str
    season: str
    candidates: dict[str, dict[str, Candidates]]
    """Source → location id → candidates."""
    forms: dict[str, CatalogForm | None]
    """Source → how the catalog offers it."""
    swaths: Swaths
    """What reads sources that are swaths."""
    excluded: frozenset[str]
    """Ids of scenes that are never used."""
    searches: str
    """Name of the client's searches."""


@dataclass(slots=True)
class Patch:
    """What is known of a patch while it is built."""

    location: Location
    pixels: Pixels = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    sources: dict[str, SourceOutcome] = field(default_factory=dict)
    passed_over: dict[str, dict[str, str]] = field(default_factory=dict)
    """Source → id of a scene that could not be read → why."""


class SourceError(Exception):
    """Reading a source failed; the cause is the error it is raised from."""

    def __init__(self, source: str) -> None:
        super().__init__(source)
        self.source = source


_OF_OTHERS = (Code.UPSTREAM, Code.EXHAUSTED)
"""Codes that no other scene of the source would change: another source decided, or the recipe's own limit."""


def refusal(slab: Slab, patch: Patch, source: str, why: Reject, near: Times = None) -> SourceOutcome:
    """What becomes of a source that refuses all; where an item that could not be read might have passed, that is told."""
    lost = candidates.lost(slab.dataset, slab.candidates, source, patch.location, near)
    told = why if lost is None or why.code in _OF_OTHERS else lost
    return SourceOutcome(told.status, told.code, told.value, cause=told.cause)


@contextlib.contextmanager
def outcome_of(slab: Slab, patch: Patch, spec: SourceSpec, near: Times = None) -> Iterator[None]:
    """A Reject inside becomes the source's outcome; an error inside is told as the source's, and ends the patch."""
    try:
        yield
    except Reject as why:
        patch.sources[spec.name] = refusal(slab, patch, spec.name, why, near)
    except SourceError:
        raise
    except Exception as err:
        raise SourceError(spec.name) from err


def refuse(slab: Slab, patch: Patch, anchor: SourceSpec, source: str, why: Reject, near: Times = None) -> NoReturn:
    """Raises what becomes of the anchor where a source refuses all: that, or `upstream` where it is another's."""
    if source == anchor.name:
        raise why
    patch.sources[source] = refusal(slab, patch, source, why, near)
    raise Reject(Code.UPSTREAM)


def is_lasting(err: Exception, slab: Slab) -> TypeGuard[ReadError]:
    """Whether the recipe wants the next scene for an error: a file cannot be read, and nothing but the file is to blame."""
    wants_next = slab.dataset.recipe.quality.unreadable == "next"
    return wants_next and isinstance(err, ReadError) and not isinstance(err, PassingError | TrustError)


def note_passed_over(slab: Slab, patch: Patch, spec: SourceSpec, scene: Scene, err: Exception) -> None:
    """Writes down that a scene was passed over, since it could not be read, and why."""
    patch.passed_over.setdefault(spec.name, {})[scene.id] = one_line(err)
    where = f"{slab.folder}/{slab.season}/{patch.location.id}"
    log.warning("%s: %s scene %s is passed over: %s", where, spec.name, scene.id, one_line(err))


def usable(slab: Slab, scenes: Iterable[Scene]) -> list[Scene]:
    """Scenes without those that the recipe excludes.

    Raises:
        Reject: `excluded` where none is left of some.
    """
    every = list(scenes)
    left = [s for s in every if s.id not in slab.excluded]
    if every and not left:
        raise Reject(Code.EXCLUDED)
    return left
