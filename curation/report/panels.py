"""What is drawn of a patch: each source's arrays as pictures with words, units and colour bars; small or pixel for pixel."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from matplotlib.colors import Colormap
from numpy.typing import NDArray

from curation.cubes.contents import CubeContents
from curation.errors import DamageError
from curation.errors.codes import CODE_HELP, VALUE_HELP, Code
from curation.model import Location
from curation.outcomes import PatchOutcome, SourceOutcome, Status
from curation.recipe.arrays import ArraySpec
from curation.recipe.pictures import TRUE_COLOUR, Alone, Bands, Codes, Composite, Picture, Ranged, Relief
from curation.recipe.sources import SourceSpec
from curation.report import images, palette
from curation.report.images import Image, Stretch

SMALL_PX = 384
"""Small pictures of more pixels a side are reduced by a whole factor, which is told."""

Width = Literal["big", "half", "third"]


@dataclass(frozen=True, slots=True)
class Panel:
    """One picture of a patch, or the reason why there is none."""

    source: str
    """Title of the source it is of."""
    title: str
    detail: str = ""
    """What must stand beside the title: bands, or what is drawn, with its range."""
    more: str = ""
    """Pixel size, limits and unit, where there is room."""
    image: Image | None = None
    """None: `note` says why there is none."""
    note: str = ""
    damage: str = ""
    """Where what is stored is not what was recorded: what and where it is."""
    scale: tuple[Colormap, float, float, str] | None = None
    """Colour map, limits and unit of its colour bar."""
    legend: tuple[tuple[str, str], ...] = ()
    """Name with share, and colour, of each class that occurs."""
    width: Width = "half"
    """How wide it stands among others."""

    @property
    def caption(self) -> str:
        """Its words where there is little room."""
        return f"{self.title} {self.detail}".strip()


def of_patch(
    cube: CubeContents,
    location: str,
    *,
    small: bool = False,
    read: Callable[[str, int | None], NDArray[Any]] | None = None,
    stretches: Mapping[tuple[str, Bands], Stretch] | None = None,
    facts: Mapping[str, Any] | None = None,
) -> list[Panel]:
    """The pictures of an ok patch, source by source; of a source that is not ok, or damaged, why there is none.

    Of a source with a time axis one step is drawn (`drawn_step`), and told.

    Args:
        cube: where it lies.
        location: its location's id.
        small: only what tells most of each source, reduced to `SMALL_PX` a side.
        read: gives the pixels of an array as the cube does, and raises as it does; of a time axis those of a step.
        stretches: array and bands → how they are drawn, where several patches share that.
        facts: what is measured of the patch, where that is known; else it is read of one with a time axis.
    """
    outcome = cube.outcomes[location]
    place = cube.cube.locations[cube.numbers[location]]
    out: list[Panel] = []
    for spec in cube.cube.sources:
        its = outcome.sources.get(spec.name)
        if its is None or its.status is not Status.OK:
            out.append(Panel(spec.title, spec.title, spec.name, note=reason(its) if its else "not recorded"))
            continue
        arrays = {name: array for name, (of, array) in cube.cube.arrays.items() if of.name == spec.name}
        step, when = None, ""
        if spec.pick.most_steps is not None:
            try:
                facts = facts or cube.facts_of(location)
            except DamageError as err:
                note = "damaged: its facts, which tell its steps, are not what was recorded"
                out.append(Panel(spec.title, spec.title, spec.name, note=note, damage=str(err)))
                continue
            step, when = drawn_step(spec, facts)
        for name in _leading(arrays) if small else arrays:
            try:
                pixels = read(name, step) if read else cube.pixels(name, location, step)
            except DamageError as err:
                note = f"damaged: the stored chunk of {name} is not what was recorded"
                out.append(Panel(spec.title, spec.title, name, note=note, damage=str(err)))
                continue
            its_panels = of_array(spec, name, arrays[name], pixels, place, small=small, stretches=stretches or {})
            out += [replace(p, detail=" · ".join(filter(None, (p.detail, when)))) for p in its_panels]
    return out


def drawn_step(spec: SourceSpec, facts: Mapping[str, Any]) -> tuple[int, str]:
    """Which step is drawn of a patch of a source with a time axis, and how that is told.

    The clearest by its mask, the first of several; of a source without a mask that in the middle.
    """
    count, clear = int(facts[f"{spec.name}_steps"]), facts.get(f"{spec.name}_clear_fraction")
    step = (count - 1) // 2 if clear is None else int(np.argmax(clear[:count]))
    day = dt.datetime.fromtimestamp(facts[f"{spec.name}_time"][step], dt.UTC)
    return step, f"{day:%Y-%m-%d}, {step + 1} of {count}"


def _leading(arrays: Mapping[str, ArraySpec]) -> list[str]:
    """The one array of a source that is drawn small: that with the visible bands, or the first that is no mask."""
    data = [name for name, array in arrays.items() if not array.is_mask]
    return sorted(data, key=lambda name: not is_visible(arrays[name]))[:1]


def is_visible(array: ArraySpec) -> bool:
    """Whether an array has the bands of true colour."""
    return set(TRUE_COLOUR) <= set(array.bands)


def of_array(
    spec: SourceSpec,
    name: str,
    array: ArraySpec,
    pixels: NDArray[Any],
    place: Location,
    *,
    small: bool = False,
    stretches: Mapping[tuple[str, Bands], Stretch] | None = None,
) -> list[Panel]:
    """The pictures of one array (band, y, x); arguments as of `of_patch`."""
    by = -(-pixels.shape[-1] // SMALL_PX) if small else 1
    less = max(by, 2) if small else 1  # of those that stand small beside a greater one
    every = spec.pictures(array)
    drawn = ([p for p in every if not isinstance(p, Alone)] or every[:1]) if small else every
    return [
        _drawn(picture, spec, name, array, pixels, place, by if _is_main(picture) else less, stretches or {})
        for picture in drawn
    ]


def _is_main(picture: Picture) -> bool:
    """Whether a small picture is not made smaller still, beside another that tells more."""
    match picture:
        case Composite(bands=bands):
            return bands == TRUE_COLOUR
        case Ranged(channels=channels):
            return len(channels) > 1
    return True


def _drawn(
    picture: Picture,
    spec: SourceSpec,
    name: str,
    array: ArraySpec,
    pixels: NDArray[Any],
    place: Location,
    by: int,
    stretches: Mapping[tuple[str, Bands], Stretch],
) -> Panel:
    """One picture of an array (band, y, x), reduced by a factor."""
    match picture:
        case Codes():
            return _classes(picture, spec, array, pixels, by)
        case Composite():
            return _composite(picture, spec, array, pixels, by, stretches.get((name, picture.bands)))
        case Ranged():
            return _ranged(picture, spec, array, pixels, by)
        case Relief():
            return _relief(spec, array, pixels[array.bands.index(picture.band)], place, by)
        case Alone():
            return _plain(spec, picture.band, array, pixels[array.bands.index(picture.band)], by)


def said(used: Iterable[tuple[SourceSpec, Iterable[ArraySpec]]]) -> str:
    """What must be said of pictures whose range is fixed, of sources with their arrays; empty where there are none."""
    found: dict[tuple[str, tuple[float, float]], str] = {}
    for spec, arrays in used:
        for array in arrays:
            ranged = [p for p in spec.pictures(array) if isinstance(p, Ranged)]
            found |= {(c.name, c.limits): spec.kind.unit(array) for p in ranged for c in p.channels}
    spans = ", ".join(f"{name} {_span(limits)} {unit}" for (name, limits), unit in found.items()).replace("-", "−")
    return f"Drawn between the same values everywhere: {spans}." if spans else ""


def pick(pixels: NDArray[Any], array: ArraySpec, bands: Bands) -> NDArray[Any]:
    """The bands in the order asked for."""
    return pixels[[array.bands.index(b) for b in bands]]


def _classes(picture: Codes, spec: SourceSpec, array: ArraySpec, pixels: NDArray[Any], by: int) -> Panel:
    """A class map in its conventional colours."""
    codes = images.thinned(pixels[0], by)
    colours = palette.classes(picture.legend)
    names = {c.code: c.name.replace("_", " ") for c in picture.legend}
    counts = {int(c): int(n) for c, n in zip(*np.unique(codes, return_counts=True), strict=True)}
    known = {c: n for c, n in counts.items() if c in names}
    total = sum(known.values())
    legend = tuple((f"{names[c]} {percent(n / total)}", colours[c]) for c, n in known.items())
    width: Width = "big" if spec.timeless else "half"
    lacking = f" · no data {percent(1 - total / codes.size)}" if total < codes.size else ""
    more = f"{array.bands[0]} · {array.label}{lacking}"
    image = images.class_map(codes, colours)
    return Panel(spec.title, picture.title, _reduced(by), more, image, legend=legend, width=width)


def _composite(
    picture: Composite, spec: SourceSpec, array: ArraySpec, pixels: NDArray[Any], by: int, shared: Stretch | None
) -> Panel:
    """Three bands, stretched as several patches share it, or by their own values."""
    shown = pick(pixels, array, picture.bands)
    stretch = shared or images.optical_stretch([shown], array.nodata)
    more = f"{array.label} · {min(stretch.low):.0f}…{max(stretch.high):.0f} {array.unit}"
    image = stretch(_shrunk(shown, array.nodata, by))
    width: Width = "big" if picture.bands == TRUE_COLOUR else "third"
    return Panel(
        spec.title,
        picture.title,
        ", ".join(_named(spec, b) for b in picture.bands) + _reduced(by),
        more,
        image,
        width=width,
    )


def _ranged(picture: Ranged, spec: SourceSpec, array: ArraySpec, pixels: NDArray[Any], by: int) -> Panel:
    """Channels between fixed limits; averaged as they are stored, drawn as people compare them."""
    planes, unit = [], spec.kind.unit(array)
    for channel in picture.channels:
        first, *others = spec.kind.shown(_shrunk(pick(pixels, array, channel.bands), array.nodata, by), array)
        planes.append(first - others[0] if others else first)
    if len(planes) == 1:
        (limits,) = (c.limits for c in picture.channels)
        image = images.shaded(planes[0], limits, images.GREY)
        scale = (images.GREY, *limits, f"{unit} ({array.unit.split(',')[0]})")
        detail = f"{_span(limits)} {unit}{_reduced(by)}"
        return Panel(spec.title, picture.title, detail, array.label, image, scale=scale, width="third")
    more = f"{', '.join(f'{c.name} {_span(c.limits)}' for c in picture.channels)} {unit} · {array.label}"
    image = images.ranged(planes, [c.limits for c in picture.channels])
    detail = f"{', '.join(c.name for c in picture.channels)}{_reduced(by)}"
    return Panel(spec.title, picture.title, detail, more, image)


def _relief(spec: SourceSpec, array: ArraySpec, plane: NDArray[Any], place: Location, by: int) -> Panel:
    """A shaded relief of heights (y, x), coloured from the patch's lowest to its highest."""
    heights = _shrunk(plane, array.nodata, by)
    holes = ~np.isfinite(heights)
    pixel_m = images.pixel_m(place, array) * by
    low, high = images.height_limits(np.where(holes, array.nodata, heights), array.nodata)
    steep = images.exaggeration(np.where(holes, low, heights), pixel_m)
    span = "no data" if holes.all() else f"{np.nanmin(heights):.0f}…{np.nanmax(heights):.0f} {array.unit}"
    image = images.relief(np.where(holes, array.nodata, heights), pixel_m, array.nodata)
    detail = f"{span}, relief ×{steep}{_reduced(by)}"
    scale = (images.LAND, low, high, array.unit)
    return Panel(spec.title, spec.title, detail, array.label, image, scale=scale, width="big")


def _plain(spec: SourceSpec, band: str, array: ArraySpec, plane: NDArray[Any], by: int) -> Panel:
    """A band between its 2nd and 98th percentile: in grey, or coloured where it is a field on a cell."""
    values = _shrunk(plane, array.nodata, by)
    valid = values[np.isfinite(values)]
    low, high = np.percentile(valid, [2, 98]).tolist() if valid.size else (0.0, 1.0)
    span = f"{low:.4g}" if low == high else f"{low:.4g}…{high:.4g}"
    high = max(high, low + max(1e-3 * abs(low), 1e-9))
    colours = images.FIELD if array.res_m is None else images.GREY
    image = images.shaded(values, (low, high), colours)
    unit = "" if array.unit == "1" else array.unit  # of counts and ratios; CF has it so
    detail = f"{span} {unit}".rstrip() + _reduced(by)
    return Panel(
        spec.title, f"{spec.name} {_named(spec, band)}", detail, array.label, image, scale=(colours, low, high, unit)
    )


def percent(share: float) -> str:
    """A share for a person: whole percents, and never 0 of what there is, or 100 of what is not all."""
    whole = f"{100 * share:.0f} %"
    return {"0 %": "<1 %", "100 %": ">99 %"}.get(whole, whole) if 0 < share < 1 else whole


def place_in_words(place: Location) -> str:
    """Its latitude and longitude, degrees, with the side that each is on."""
    return (
        f"{abs(place.lat):.4f}°{'N' if place.lat >= 0 else 'S'}, {abs(place.lon):.4f}°{'E' if place.lon >= 0 else 'W'}"
    )


def _named(spec: SourceSpec, band: str) -> str:
    """A band as its source calls it, and what it is where that is another word: of a camera `B04 (red)`."""
    own = spec.band(band).name.rpartition(".")[2]
    return band if own.lower() == band.lower() else f"{band} ({own})"


def _span(limits: tuple[float, float]) -> str:
    return f"{limits[0]:g}…{limits[1]:g}"


def _reduced(by: int) -> str:
    return "" if by == 1 else f" · shown at 1/{by}"


def _shrunk(pixels: NDArray[Any], nodata: float, by: int) -> NDArray[Any]:
    """Block averages as float64; NaN where a pixel of the block has no data."""
    values = np.where(pixels == nodata, np.nan, pixels.astype(np.float64))
    return values if by == 1 else images.reduced(values, by)


def reason(outcome: SourceOutcome) -> str:
    """Why a source is not ok, for a person: what its code means, and the error's own words where one is the cause."""
    code = outcome.code or outcome.status.name.lower()
    meaning = CODE_HELP[Code(code)] if code in set(Code) else ""
    said = [f"{text[:1].upper()}{text[1:]}" for text in (meaning, outcome.cause) if text]
    form = VALUE_HELP[Code(code)] if code in VALUE_HELP else "{:.3g}"
    value = "" if outcome.value is None else f" ({form.format(outcome.value)})"
    return ". ".join([f"{outcome.status.name.lower()}: {code}{value}", *said]) + ("." if said else "")


def why(outcome: PatchOutcome) -> str:
    """Why a patch is not ok, for a person: its deciding source's reason."""
    code, _, source = outcome.reason.rpartition(":")
    return f"{source} {reason(outcome.sources[source])}" if code else outcome.reason
