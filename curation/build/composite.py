"""Composites: what a pixel is of several scenes of a season that see it, and what of them that is made from."""

from __future__ import annotations

import dataclasses
import datetime as dt
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, NoReturn

import numpy as np
from numpy.typing import NDArray

from curation.build import clouds, masks, offset
from curation.build.context import Patch, Pixels, Reading, Slab, Source, is_lasting, note_passed_over, usable
from curation.build.orbits import ByOrbit
from curation.build.pixels import valid_fraction
from curation.errors.codes import Code
from curation.model import Location, Scene, Window
from curation.outcomes import Reject
from curation.read.reader import Read
from curation.recipe.arrays import ArraySpec
from curation.recipe.facts import Fact, Number
from curation.recipe.schema import QualitySpec
from curation.recipe.sources import Shift, SourceSpec
from curation.scenes import rank

EPOCH = dt.date(1970, 1, 1)
"""Day 0 of arrays with role `day`; 0 is their nodata, too, and no scene is as old."""


class Layers(ABC):
    """What is made of the layers of one array, which are seen one after the other, the best first."""

    is_full: bool = False
    """Whether no further layer would change it."""

    @abstractmethod
    def add(self, number: int, pixels: NDArray[Any], seen: NDArray[np.bool_]) -> None:
        """Takes up a layer.

        Args:
            number: which one it is, from 0.
            pixels: (band, y, x).
            seen: (y, x) True where it has data in all bands and is clear.
        """

    @abstractmethod
    def composed(self) -> Composed:
        """What is made of them (at least one was added)."""


class AllLayers(Layers):
    """What is made when all layers are there."""

    def __init__(self) -> None:
        self._layers: list[NDArray[Any]] = []
        self._seen: list[NDArray[np.bool_]] = []

    def add(self, number: int, pixels: NDArray[Any], seen: NDArray[np.bool_]) -> None:
        """Holds on to it."""
        self._layers.append(pixels)
        self._seen.append(seen)


@dataclass(frozen=True, slots=True)
class Composed:
    """One array of a composite."""

    pixels: NDArray[Any]
    """(band, y, x) as numbers of any dtype; what stands where nothing was seen means nothing."""
    count: NDArray[np.integer]
    """(y, x) how many layers see it: 0 where none does."""
    number: NDArray[np.integer] | None = None
    """(y, x) which layer it is of, where it is of one."""


@dataclass(frozen=True, slots=True)
class Observation:
    """A candidate: the scenes of one acquisition, and where its mask calls the ground seen."""

    scenes: list[Scene]
    clear: NDArray[np.bool_]
    """(y, x) of the mask; a single pixel, True, of a source without one."""

    @property
    def scene(self) -> Scene:
        """The first, which tells time and offset."""
        return self.scenes[0]


@dataclass(slots=True)
class _Seen:
    """What became of a patch's candidates."""

    usable: list[Observation] = field(default_factory=list)
    """Those that are clear somewhere, best first."""
    refused: list[Reject] = field(default_factory=list)
    """Why others are not what they should be, the best candidate's first."""
    fault: BaseException | None = None
    """Why the first could not be read that was passed over."""
    unread: int = 0
    """Candidates beyond the recipe's `max_candidates`."""
    valid: NDArray[np.bool_] | None = None
    """(y, x) of the mask, where any of them has a pixel; None of a source without one."""

    compared: list[Mapping[str, float | None]] = field(default_factory=list)
    """What each mask comes to beside the source's own, of one that a model says."""

    def clear_fraction(self) -> float:
        """Share of the mask's pixels that are clear in any that is usable."""
        return float(np.any([o.clear for o in self.usable], axis=0).mean()) if self.usable else 0.0


class _LeftOutError(Exception):
    """An observation turns out, by its bands, to be no part of the composite."""

    def __init__(self, observation: Observation) -> None:
        super().__init__(observation.scene.id)
        self.observation = observation


class CompositePick(ByOrbit):
    """Up to `max_candidates` acquisitions of a season as one, pixel by pixel, each where its mask calls the ground seen.

    Masks are read first; of what is nowhere clear nothing else is read. What cannot be read is passed over, as are scenes
    that are not what they say. One array is made at a time, so that no more is in memory than one array of all of them.
    """

    time: ClassVar[str] = "mean acquisition time of the scenes used, UTC"
    has_one_scene: ClassVar[bool] = False
    counts: ClassVar[bool] = True
    """Whether it is stored how many scenes a pixel is of."""
    dates: ClassVar[bool] = False
    """Whether it is stored of which day a pixel is."""
    one_by_one: ClassVar[bool] = False
    """Whether the next scene's bands are read only where that changes anything."""

    @property
    def wants_clear(self) -> bool:
        """Of what is cloudy all over nothing is clear."""
        return True

    @abstractmethod
    def layers(self) -> Layers:
        """What makes an array."""

    def check(self, source: SourceSpec) -> None:
        """Passes for rasters of measured values."""
        if not source.kind.composes or any(not (a.is_data or a.is_mask) for a in source.arrays):
            raise ValueError(
                f"pick = {self.name!r} is for rasters of measured values, such as kind = 'optical' or 'radar'"
            )
        if source.mask is not None and not source.clear:
            raise ValueError(f"pick = {self.name!r} wants the 'clear' codes of the mask")

    def stored(self, source: SourceSpec, arrays: dict[str, ArraySpec]) -> dict[str, ArraySpec]:
        """Those of data, each with what its pixels are of. A mask is of one scene, and a composite has none."""
        out: dict[str, ArraySpec] = {}
        for name, array in arrays.items():
            if not array.is_mask:
                out |= {name: array} | {source.array_name(a): a for a in self._beside(array)}
        return out

    def _beside(self, array: ArraySpec) -> list[ArraySpec]:
        """What says of an array's pixels what they are of."""
        out = []
        for name, is_wanted, unit in (("count", self.counts, "1"), ("day", self.dates, "days from 1970-01-01, UTC")):
            if is_wanted:
                own = {"bands": [name], "dtype": "uint16", "nodata": 0.0, "unit": unit, "role": name}
                suffix = "_".join(filter(None, [array.suffix, name]))
                out.append(array.model_copy(update=own | {"suffix": suffix, "up": "nearest", "down": "nearest"}))
        return out

    def most_scenes(self, limits: QualitySpec) -> int:
        """As many as are candidates."""
        return limits.max_candidates

    def facts(self, source: SourceSpec, shift: Shift | None) -> list[Fact]:
        """What it is of."""
        out = [
            Fact(f"{source.name}_observations", "int16", "acquisitions that any pixel of the composite is of"),
            Fact(f"{source.name}_dates", "string", "their days, UTC, separated by spaces"),
        ]
        if source.mask is not None:
            out += [
                Fact(
                    f"{source.name}_clear_fraction",
                    "float32",
                    "share of the patch's pixels clear in any of them, 0 to 1",
                ),
                Fact(f"{source.name}_baselines", "string", "their processing baselines, separated by spaces"),
                *masks.facts(source),
            ]
        if source.kind.states_orbit:
            out.append(Fact(f"{source.name}_orbits", "string", "their orbits, as `ascending-37`, separated by spaces"))
        return out

    def measured(self, source: str, limits: QualitySpec) -> list[Number]:
        """How many acquisitions."""
        return [Number(f"acquisitions, at most {limits.max_candidates}", f"{source}_observations")]

    def offered(self, scenes: Sequence[Scene]) -> list[Scene]:
        """The newest of each acquisition."""
        return rank.newest(scenes)

    def of_place(self, scenes: Sequence[Scene], place: Location) -> list[Scene]:
        """Those that touch it, of its orbit."""
        return self.of_orbit(rank.touching(scenes, place))

    def ranked(self, scenes: Sequence[Scene], place: Location, window: Window) -> list[list[Scene]]:
        """By acquisition: whole ones first, then by zone, cloud cover and anchor, in steps."""
        return rank.by_acquisition(scenes, place, window)

    def reads(self, slab: Slab, source: Source, place: Location) -> list[Read]:
        """The masks of all candidates."""
        groups = source.found[place.id].groups[: slab.quality.max_candidates]
        scenes = [s for group in groups for s in group if s.id not in slab.excluded]
        return masks.reads(source, place, scenes)

    def read(self, slab: Slab, patch: Patch, source: Source) -> Reading[Scene | None]:
        """The composite of what is clear; pixels that no scene sees clearly are nodata."""
        mine = source.found[patch.location.id]
        mine.check()
        usable(slab, mine.scenes)
        seen = _seen(slab, patch, source)
        yield [r for o in seen.usable for s in o.scenes for r in offset.looks(slab, source, s)]
        _check_offsets(slab, patch, source, seen)
        pixels, used = Pixels(), list[Observation]()
        while seen.usable:
            try:
                pixels, used = yield from self._composed(slab, patch, source, seen)
            except _LeftOutError as out:  # of every array: a scene is part of all of them, or of none
                seen.usable.remove(out.observation)
            else:
                break
        data = [(n, a) for n, a in source.arrays.items() if a.is_data]
        valid = min(valid_fraction(pixels[n], a) for n, a in data) if pixels else 0.0
        times = [o.scene.time for o in used]
        patch.note(
            source,
            valid_fraction=valid,
            observations=len(used),
            dates=" ".join(sorted({f"{t:%Y-%m-%d}" for t in times})),
            time=sum(t.timestamp() for t in times) / len(times) if times else None,
        )
        if seen.valid is not None:
            baselines = " ".join(sorted({o.scene.baseline for o in used if o.scene.baseline}))
            patch.note(source, clear_fraction=seen.clear_fraction(), baselines=baselines)
            patch.note(source, **masks.mean(seen.compared))
        if source.spec.kind.states_orbit:
            orbits = sorted({(o.scene.orbit_state or "", o.scene.relative_orbit or 0) for o in used})
            patch.note(source, orbits=" ".join(f"{state}-{number}" for state, number in orbits))
        if valid <= 0 or valid < source.min_valid:
            _refuse(source, seen, valid)
        patch.take(source, pixels, [s for o in used for s in o.scenes])
        return None

    def _composed(
        self, slab: Slab, patch: Patch, source: Source, seen: _Seen
    ) -> Reading[tuple[Pixels, list[Observation]]]:
        """All arrays that are stored, and what they are of, best first. Raises `_LeftOutError` where one is no part."""
        every, used, warped = list(enumerate(seen.usable)), set[int](), False
        pixels: Pixels = {}
        step, size = 1 if self.one_by_one else len(every), patch.location.size_m
        mask_step = size if source.spec.mask is None else source.arrays[source.mask].step(size)
        for name, array in source.arrays.items():
            if array.is_mask:
                continue
            alone, layers, seeing = dataclasses.replace(source, arrays={name: array}), self.layers(), set[int]()
            for start in range(0, len(every), step):
                batch = every[start : start + step]
                yield [r for _, o in batch for r in alone.files.reads(alone, patch.location, o.scenes)]
                for number, observation in batch:
                    layer, was_warped = _layer(slab, patch, alone, name, observation, seen)
                    clear = on_pixels(observation.clear, mask_step, layer.shape[-1], array.step(size))
                    sees = (layer != array.nodata).all(axis=0) & clear
                    layers.add(number, layer, sees)
                    seeing |= {number} if sees.any() else set()
                    warped |= was_warped
                if layers.is_full:
                    break
            made = layers.composed()
            pixels[name] = _as_stored(made, array)
            used |= seeing if made.number is None else set(made.number[made.count > 0].tolist())
            pixels |= {source.spec.array_name(its): self._plane(its, made, every) for its in self._beside(array)}
        patch.note(source, warped=int(warped))
        return pixels, [o for number, o in every if number in used]

    def _plane(self, its: ArraySpec, made: Composed, every: Sequence[tuple[int, Observation]]) -> NDArray[Any]:
        """(1, y, x) of what says of a composite's pixels what they are of."""
        plane = made.count
        if not its.is_count and made.number is not None:
            days = np.array([(o.scene.time.date() - EPOCH).days for _, o in every])
            plane = np.where(made.count > 0, days[made.number], 0)
        return plane[None].astype(its.dtype)


def on_pixels(clear: NDArray[np.bool_], step: float, px: int, px_step: float) -> NDArray[np.bool_]:
    """(px, px) of another grid from the same corner, True where all pixels of `clear` that one touches are.

    Args:
        clear: (y, x), as many rows as columns.
        step: side of its pixels.
        px: pixels along a side of the other grid; what reaches beyond `clear` is judged by what lies on it.
        px_step: side of these, in the same unit.
    """
    # By sums over rectangles: of any two sizes, without a loop. Edges that meet do so to a millionth of a pixel.
    sums = np.zeros((clear.shape[0] + 1, clear.shape[1] + 1), np.int64)
    sums[1:, 1:] = (~clear).cumsum(axis=0).cumsum(axis=1)
    edges = np.arange(px + 1) * px_step / step
    first = np.clip(np.floor(edges[:-1] + 1e-6).astype(int), 0, len(clear) - 1)
    last = np.clip(np.ceil(edges[1:] - 1e-6).astype(int), first + 1, len(clear))
    hidden = (
        sums[np.ix_(last, last)] - sums[np.ix_(first, last)] - sums[np.ix_(last, first)] + sums[np.ix_(first, first)]
    )
    found: NDArray[np.bool_] = hidden == 0
    return found


def _as_stored(made: Composed, array: ArraySpec) -> NDArray[Any]:
    """(band, y, x) in the array's dtype, whole numbers rounded to the nearest, of two the even one."""
    values = made.pixels if array.dtype == "float32" else np.rint(made.pixels)
    return np.where(made.count > 0, values, array.nodata).astype(array.dtype)


def _seen(slab: Slab, patch: Patch, source: Source) -> _Seen:
    """The candidates that are clear somewhere, by their masks: all, of a source that has none."""
    groups, most = source.found[patch.location.id].groups, slab.quality.max_candidates
    # Of a patch as a whole it is asked at the end how much is clear and valid; of a scene whether its mask is believed.
    limits = slab.quality.model_copy(update={"min_clear": 0.0})
    seen = _Seen(unread=len(groups[most:]))
    for group in groups[:most]:
        scenes = [s for s in group if s.id not in slab.excluded]
        if not scenes:
            continue
        if source.spec.mask is None:
            seen.usable.append(Observation(scenes, np.ones((1, 1), bool)))
            continue
        try:
            made = masks.read(slab, source, patch.location, scenes)
            mask = made.pixels
            seen.compared.append(made.compared)
            shares = clouds.shares(mask, source.spec, scenes[0].id)
            valid = ~np.isin(mask[0], source.spec.invalid)
            seen.valid = valid if seen.valid is None else seen.valid | valid
            shares.check(limits, 0.0)
        except Reject as why:
            seen.refused.append(why)
        except Exception as err:  # noqa: BLE001 - raised again unless it is the scene's
            _pass_over(slab, patch, source, scenes, seen, err)
        else:
            if shares.clear:
                seen.usable.append(Observation(scenes, clouds.clear(mask[0], source.spec)))
    return seen


def _check_offsets(slab: Slab, patch: Patch, source: Source, seen: _Seen) -> None:
    """Leaves out scenes whose pixels contradict what metadata say of their offset."""
    for observation in list(seen.usable):
        try:
            for scene in observation.scenes:
                offset.check(slab, Patch(patch.location), source, scene)
        except Reject as why:
            seen.refused.append(why)
            seen.usable.remove(observation)
        except Exception as err:  # noqa: BLE001 - as above
            _pass_over(slab, patch, source, observation.scenes, seen, err)
            seen.usable.remove(observation)


def _layer(
    slab: Slab, patch: Patch, source: Source, name: str, observation: Observation, seen: _Seen
) -> tuple[NDArray[Any], bool]:
    """(band, y, x) of an array of a scene, on the one scale of its source, and whether it was warped."""
    try:
        found, warped = source.files.pixels(slab, source, patch.location, name, observation.scenes)
        return (
            offset.harmonised(source, patch.location, name, found, observation.scene, observation.clear),
            warped,
        )
    except Reject as why:
        seen.refused.append(why)
        raise _LeftOutError(observation) from why
    except Exception as err:
        _pass_over(slab, patch, source, observation.scenes, seen, err)
        raise _LeftOutError(observation) from err


def _pass_over(
    slab: Slab, patch: Patch, source: Source, scenes: Sequence[Scene], seen: _Seen, err: BaseException
) -> None:
    """Takes down that scenes cannot be read. Raises it again where that may pass, or a person can mend it."""
    if not is_lasting(err, slab):
        raise err
    for scene in scenes:
        note_passed_over(slab, patch, source, scene, err)
    seen.fault = seen.fault or err


def _refuse(source: Source, seen: _Seen, valid: float) -> NoReturn:
    """Tells why the composite has too few pixels: what could not be read, or was not looked at, might have had them."""
    if seen.fault is not None:
        raise seen.fault
    if seen.unread:
        raise Reject(Code.EXHAUSTED, seen.unread)
    if seen.refused and not seen.usable:
        raise seen.refused[0]
    if seen.valid is not None and seen.valid.mean() >= source.min_valid:
        raise Reject(Code.CLOUDY, seen.clear_fraction())
    raise Reject(Code.NODATA, valid)
