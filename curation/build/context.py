"""What the steps of a slab share: its task, its inputs, its patches, and how an error becomes an outcome."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NoReturn, Protocol, TypeGuard, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from curation.errors import CurationError, PassingError, ReadError, SettingsError
from curation.errors.causes import one_line
from curation.errors.codes import Code
from curation.model import Location, Scene
from curation.outcomes import SETTLED, PatchOutcome, Reject, SourceOutcome, Status
from curation.read.reader import Read, Reader
from curation.read.swath import Swaths
from curation.recipe import angles
from curation.recipe.access import Accesses
from curation.recipe.arrays import ArraySpec
from curation.recipe.catalogs import Catalogs
from curation.recipe.dataset import Dataset
from curation.recipe.forms import CatalogForm
from curation.recipe.schema import QualitySpec, Required
from curation.recipe.sources import Shift, SourceSpec
from curation.scenes.candidates import Candidates, Times, is_near
from curation.store import paths
from curation.store.objects import Store
from curation.store.records import SlabRecord

log = logging.getLogger(__name__)
T = TypeVar("T")
Pixels = dict[str, NDArray[Any]]
"""Array name → (band, y, x)."""

Reading = Generator[list[Read], None, T]
"""Work that says what it will read next, and goes on when that is on its way."""

Part = Literal["all", "mask", "bands"]
"""Which arrays of a scene: all, its mask alone, or all but that."""


@dataclass(frozen=True, slots=True)
class SlabJob:
    """One slab to build: small values only. Which scenes its patches may use, the worker finds in the saved searches."""

    dataset: Dataset
    catalogs: Catalogs
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


class Chooser(Protocol):
    """What is asked of a pick that chooses its scenes by itself."""

    def reads(self, slab: Slab, source: Source, place: Location) -> list[Read]:
        """What it will read for sure, known beforehand."""

    def read(self, slab: Slab, patch: Patch, source: Source) -> Reading[Scene | None]:
        """Reads the source into the patch; gives the scene that others may go with. Raises Reject where none will do."""


class Follower(Protocol):
    """What is asked of a pick that goes with the chosen scene of another source."""

    def check_any(self, source: Source, place: Location) -> None:
        """Passes where some scene of the other might do. Raises Reject where none will."""

    def partners(self, slab: Slab, source: Source, place: Location, to: Scene) -> list[Scene]:
        """What goes with the other's scene, best first. Raises Reject where nothing does."""

    def read_with(self, slab: Slab, patch: Patch, source: Source, to: Scene) -> None:
        """Reads the source into the patch, as it goes with the other's scene. Raises Reject where none will do."""

    def compare(self, slab: Slab, patch: Patch, source: Source) -> None:
        """Looks at what both have read. Raises Reject where they do not go together."""


class Files(Protocol):
    """What is asked of a kind: how its files are read."""

    def reads(self, source: Source, place: Location, scenes: Sequence[Scene], part: Part = "all") -> list[Read]:
        """What reading arrays of scenes takes, as far as it is known beforehand."""

    def pixels(
        self, slab: Slab, source: Source, place: Location, name: str, scenes: Sequence[Scene]
    ) -> tuple[NDArray[Any], bool]:
        """(band, y, x) of an array, and whether it was warped."""

    def measured_of(self, source: Source, place: Location, pixels: Pixels) -> dict[str, Any]:
        """Fact → value of what is measured of its pixels."""

    def scene_facts(self, source: Source, place: Location, scenes: Sequence[Scene]) -> dict[str, Any]:
        """Fact → value of what is known of the scenes that they come from."""


@dataclass(frozen=True, slots=True)
class Source:
    """One source of a slab, resolved: all that its patches are built from."""

    spec: SourceSpec
    arrays: dict[str, ArraySpec]
    """By name, as the recipe wants them."""
    form: CatalogForm | None
    """How its catalog offers it."""
    base: str
    """What relative hrefs of its scenes are told from: its catalog's."""
    access: Accesses
    """What lets one in where its scenes lie, by scheme."""
    found: dict[str, Candidates]
    """Location id → what its patch may use."""
    min_valid: float
    """Least fraction of pixels with data."""
    required: Required
    shift: Shift | None
    """What its shift against the one it goes with is measured on."""
    corrects_relief: bool = False
    """Whether the recipe wants pixels from where relief has displaced them, and no refusal."""
    model: Callable[[NDArray[np.float32]], Any] | None = None
    """What says its mask, of one whose mask is made: from (px, px, band) to (px, px, class)."""
    min_share: Mapping[str, float] = field(default_factory=dict)
    """Class or label → least share of a patch that has to be of it, of a class map."""
    memo: dict[Any, Any] = field(default_factory=dict)
    """What its kind keeps from one step of a patch to the next."""

    @property
    def name(self) -> str:
        """The source's."""
        return self.spec.name

    def is_required_at(self, place: Location) -> bool:
        """Whether a patch of a place is rejected without it; of one that is required where there is any: if there may be."""
        if isinstance(self.required, bool):
            return self.required
        its = self.found[place.id]
        return its.code is not Code.NO_SCENE or bool(its.unread)

    @property
    def mask(self) -> str:
        """Name of the array that is read first and decides."""
        return next(n for n, a in self.arrays.items() if a.is_mask)

    @property
    def chooser(self) -> Chooser:
        """Its pick, of one that chooses by itself."""
        return cast(Chooser, self.spec.pick)

    @property
    def follower(self) -> Follower:
        """Its pick, of one that goes with another."""
        return cast(Follower, self.spec.pick)

    @property
    def files(self) -> Files:
        """Its kind."""
        return cast(Files, self.spec.kind)

    @property
    def sign(self) -> Literal["none", "planetary-computer"]:
        """Who signs hrefs."""
        return self.form.sign if self.form else "none"


@dataclass(frozen=True, slots=True)
class StandingPatch:
    """What is recorded of a patch that is built again since its cube is given more sources; all of it is proven."""

    outcome: PatchOutcome
    facts: Mapping[str, Mapping[str, Any]]
    """Source → fact → value."""
    chunks: Mapping[str, Mapping[str, list[bytes]]]
    """Source → array → its chunk, or that of each step; none of a source without pixels."""

    def has(self, source: str) -> bool:
        """Whether it is known what a source came to: where the patch is ok, or would be but for one that failed."""
        its = self.outcome.sources.get(source)
        return bool(self.outcome.chunks) and its is not None and its.status in SETTLED


@dataclass(frozen=True, slots=True)
class Slab:
    """All that the patches of a slab are built from, resolved once: they ask no recipe, no catalog and no search."""

    folder: str
    season: str
    sources: tuple[Source, ...]
    """Those that choose by themselves first."""
    quality: QualitySpec
    excluded: frozenset[str]
    """Ids of scenes that are never used."""
    reader: Reader
    swaths: Swaths
    """What reads sources that are swaths."""
    searches: str
    """Name of the client's searches."""
    encode: Callable[[str, NDArray[Any]], bytes]
    """(band, y, x) of an array of the cube as its chunk: of a time axis steps are, as they are read."""
    judges: tuple[Source, ...] = ()
    """Sources of heights that others are judged by."""
    standing: Mapping[str, StandingPatch] = field(default_factory=dict)
    """Location id → what stands of its patch."""
    decode: Callable[[str, bytes], NDArray[Any]] | None = None
    """(band, y, x) of a chunk of an array of the cube."""

    def following(self, source: Source) -> list[Source]:
        """Those that go with a source; first what is looked for with each of its candidates."""
        found = [s for s in self.sources if s.spec.pick.follows == source.name]
        return sorted(found, key=lambda s: not s.spec.pick.tried)


@dataclass(slots=True)
class Patch:
    """What is known of a patch while it is built."""

    location: Location
    pixels: Pixels = field(default_factory=dict)
    packed: dict[str, list[bytes]] = field(default_factory=dict)
    """Array with a time axis → its chunk at each step, in order: so that no more than one step is held decoded."""
    facts: dict[str, Any] = field(default_factory=dict)
    sources: dict[str, SourceOutcome] = field(default_factory=dict)
    passed_over: dict[str, dict[str, str]] = field(default_factory=dict)
    """Source → id of a scene that could not be read → why."""

    def note(self, source: Source, **facts: Any) -> None:
        """Takes up what was measured of a source, by names without the source's."""
        self.facts |= {f"{source.name}_{name}": value for name, value in facts.items()}

    def take(self, source: Source, pixels: Pixels, scenes: Iterable[Scene], **facts: Any) -> None:
        """Takes up a source that was read: its pixels, scenes and facts, and what its kind measures."""
        self.pixels |= pixels
        self.note(source, **facts)
        used = tuple(scenes)
        self.facts |= source.files.measured_of(source, self.location, pixels)
        self.facts |= source.files.scene_facts(source, self.location, used)
        self.facts |= angles.of_scenes(source.name, used) if source.spec.angles else {}
        self.sources[source.name] = SourceOutcome(Status.OK, scenes=tuple(s.id for s in used))


class SourceError(Exception):
    """Reading a source failed; the cause is the error it is raised from."""

    def __init__(self, source: str) -> None:
        super().__init__(source)
        self.source = source


_OF_OTHERS = (Code.UPSTREAM, Code.EXHAUSTED)
"""Codes that no other scene of the source would change: another source decided, or the recipe's own limit."""


def lost(slab: Slab, source: Source, place: Location, near: Times = None) -> Reject | None:
    """The refusal in place of another where an item that could not be read might have been chosen.

    One that goes with another only near enough in time to that; one that others must go with only near enough to theirs.

    Args:
        slab: what is built.
        source: the one that refuses all.
        place: where.
        near: of a source that goes with another, when its partner may have been taken.
    """
    mine, pick, gap = source.found[place.id], source.spec.pick, slab.quality.max_gap_days
    if pick.follows is not None:
        days = gap if pick.reach_days is None else pick.reach_days
        return mine.lost(lambda time: near is None or is_near(time, near, days))
    with_it = [s.found[place.id] for s in slab.following(source) if s.is_required_at(place) and s.spec.pick.tried]
    return mine.lost(lambda time: all(its.may_lie_near(time, gap) for its in with_it))


def refusal(slab: Slab, patch: Patch, source: Source, why: Reject, near: Times = None) -> SourceOutcome:
    """What becomes of a source that refuses all; where an item that could not be read might have passed, that is told."""
    other = lost(slab, source, patch.location, near)
    cause = why if other is None or why.code in _OF_OTHERS else other
    return SourceOutcome(cause.status, cause.code, cause.value, cause=cause.cause)


@contextlib.contextmanager
def outcome_of(slab: Slab, patch: Patch, source: Source, near: Times = None) -> Iterator[None]:
    """A Reject inside becomes the source's outcome; an error inside is told as the source's, and ends the patch."""
    try:
        yield
    except Reject as why:
        patch.sources[source.name] = refusal(slab, patch, source, why, near)
    except SourceError:
        raise
    except Exception as err:
        raise SourceError(source.name) from err


def refuse(slab: Slab, patch: Patch, anchor: Source, source: Source, why: Reject, near: Times = None) -> NoReturn:
    """Raises what becomes of the anchor where a source refuses all: that, or `upstream` where it is another's."""
    if source.name == anchor.name:
        raise why
    patch.sources[source.name] = refusal(slab, patch, source, why, near)
    raise Reject(Code.UPSTREAM)


def is_lasting(err: BaseException, slab: Slab) -> TypeGuard[ReadError]:
    """Whether the recipe wants the next scene for an error: a file cannot be read, and nothing but the file is to blame.

    What has a code of its own a person can mend: it is told as failed, whatever else there is.
    """
    wants_next = slab.quality.unreadable == "next"
    if not isinstance(err, ReadError) or isinstance(err, PassingError | SettingsError):
        return False
    return wants_next and err.code is None


def note_passed_over(slab: Slab, patch: Patch, source: Source, scene: Scene, err: BaseException) -> None:
    """Writes down that a scene was passed over, since it could not be read, and why."""
    patch.passed_over.setdefault(source.name, {})[scene.id] = one_line(err)
    where = f"{slab.folder}/{slab.season}/{patch.location.id}"
    log.warning("%s: %s scene %s is passed over: %s", where, source.name, scene.id, one_line(err))


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
