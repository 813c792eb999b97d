"""What a source's file says, held against one item of a catalog and one patch of its pixels: `curate source check`.

Everything that can be compared is, and each difference is told with what to do: the source against the files, the item
against the files, the files of one item against each other.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray

from curation.build import shapecheck
from curation.build.context import Slab, Source
from curation.build.pixels import assets_of
from curation.errors import CurationError
from curation.errors.causes import one_line
from curation.model import Location, Scene, iso
from curation.outcomes import Reject
from curation.places import grid
from curation.read.blocks import PixelWindow
from curation.read.raster import Raster
from curation.read.reader import Asset, Reader
from curation.read.swath import Swaths
from curation.recipe.arrays import ArraySpec
from curation.recipe.catalogs import Catalog
from curation.recipe.forms import CatalogForm
from curation.recipe.maskcodes import CODE_SETS
from curation.recipe.schema import QualitySpec
from curation.recipe.sources import SourceSpec
from curation.scenes import footprint, spelling
from curation.scenes.geotiffs import NO_TIME, outline
from curation.scenes.items import Unreadable, looked_at, name_of
from curation.scenes.saved import opened

MOST_ITEMS = 1000
"""Items that are looked at until one fits."""

LEAST_PX = 32
"""Along a side of the patch, of the coarsest array."""

RES_TOLERANCE = 0.1
"""How far a file's pixel may be from the array's `res_m`: MODIS calls 463 m 500 m."""

LEAST_INSIDE = 0.95
"""Share of an item's footprint that its files cover, and of the smallest file's ground that its other files do."""

MOST_RATIO = 1.5
"""Most times the ground of one file of an item that another's may be."""

NEAR_PX = 0.01
"""How far, in pixels, a stated transform may be from the file's: float32 and rounding."""

LOOK_PX = 512
"""Along a side of the window in the middle of a file in which it is looked whether pixels repeat."""

WRAPPED, MOST_WRAPPED = 63 / 64, 0.05
"""Numbers above such a share of what an unsigned type of 16 bits or more holds are few: where more than this are, and not
all of them one number (saturation), they look like negative ones that have lost their sign."""


@dataclass(slots=True)
class Checked:
    """What was found."""

    found: list[str] = field(default_factory=list)
    """What stands there, a line each."""
    wrong: list[str] = field(default_factory=list)
    """What is wrong, and what to do."""


@dataclass(frozen=True, slots=True)
class _Header:
    """What a file says of itself."""

    dtype: str
    bands: int
    width: int
    height: int
    crs: Any
    crs_name: str
    epsg: int | None
    transform: Affine
    res_m: float
    """Height of a pixel on the ground."""
    gaps: float | bool
    alpha: int | None
    """Band that is called transparency."""
    has_data: bool
    """Whether the source has pixels in that band, so that it is none."""
    outline: shapely.Polygon
    repeats: float
    """Pixels along a side that each are one of the original: 1 where the image was not enlarged."""
    wrapped: NDArray[Any] | None
    """Numbers that look like negative ones."""

    @property
    def ground(self) -> str:
        """What it covers, for a person."""
        return f"{self.height * self.res_m:,.0f} m from north to south"


def check(spec: SourceSpec, file: str, catalog: Catalog) -> Checked:
    """What of a source is as its file says, by one item of a catalog and one patch at its middle.

    Raises:
        ConfigError: the catalog does not answer, or cannot be read.
        CurationError: it does not, later.
    """
    out = Checked([f"{spec.name}: {spec.title}, by {file}"])
    form = catalog.form_of(spec)
    if form is None:
        forms = ", ".join(sorted(spec.catalogs)) or "none"
        out.wrong.append(
            f"catalog {catalog.label}: the source states no form of it; it has: {forms}. Add [catalogs.{catalog.form}]"
            + (' with file = { pattern = "…" }' if catalog.is_folder else ' with a collection, or [catalogs."*"]')
        )
        return out
    bands = spec.kind.sought([b for a in spec.arrays for b in a.bands])
    out.found.append(f"asked: {catalog.label} for {form.what}")
    item, scene = _one_item(spec, catalog, bands, out)
    if scene is None:
        return out
    middle = scene.geometry.representative_point()
    cloud = "" if scene.cloud_pct is None else f", cloud cover {scene.cloud_pct:g} %"
    time = "no time" if form.file is not None and scene.time == NO_TIME else iso(scene.time)
    out.found.append(f"item: {scene.id}, {time}, around {middle.x:.4f}, {middle.y:.4f} (lon, lat){cloud}")
    if spec.limits_cloud and form.cloud_cover and scene.cloud_pct is None and not catalog.is_file:
        out.wrong.append(
            f"item {scene.id} states no eo:cloud_cover, by which a build asks for what is not too cloudy: servers leave out "
            "what does not state it, so that nothing would be found; say cloud_cover = false in the catalog's form"
        )
    try:
        place = _place(spec, middle)
    except CurationError as err:
        out.wrong.append(f"no patch at its middle: {err}")
        return out
    out.found.append(
        f"patch: {place.size_m:g} m a side, EPSG:{place.epsg}, north-west corner {place.x0_m:.10g}, {place.y0_m:.10g}"
    )
    arrays = {spec.array_name(a): a for a in spec.arrays}
    access = catalog.access_of(spec)
    with Reader(catalog.base, folders=()) as reader, Swaths(catalog.base, folders=()) as swaths:
        source = Source(spec, arrays, form, catalog.base, access, {}, 0.0, required=True, shift=None)
        slab = Slab("check", "check", (source,), QualitySpec(), frozenset(), reader, swaths, "check", _plain)
        if spec.kind.holds_shapes:
            found, wrong = shapecheck.burnt(slab, source, place, scene)
            return Checked(out.found + found, out.wrong + wrong)
        if not source.files.reads(source, place, [scene]):
            out.wrong.append(
                "what is read of a file of this kind is known only in a build: try `--limit 1` with a recipe"
            )
            return out
        headers = dict(_headers(reader, source, scene, out))
        for name, array in arrays.items():
            for band in array.bands:
                if band in headers:
                    out.wrong += _differences(form, array, band, headers[band], item, scene)
                    _look_at_pixels(slab, source, place, name, array, band, scene, headers[band], out)
        out.wrong += _other_ground(headers, scene)
    return out


def _plain(name: str, pixels: NDArray[Any]) -> bytes:
    """Pixels as they are: no cube is written."""
    return pixels.tobytes()


def _one_item(spec: SourceSpec, catalog: Catalog, bands: Sequence[str], out: Checked) -> tuple[Any, Scene | None]:
    """The first item of a source that is a scene, and that; what others came to is told where there is none."""
    form = catalog.form_of(spec)
    assert form is not None
    reasons: dict[str, list[str]] = {}
    items = opened(catalog).any_items(spec, form, bands)
    for item in itertools.islice(items, MOST_ITEMS):
        made = item if isinstance(item, Unreadable) else looked_at(item, form.query, spec, bands, form, catalog)
        if isinstance(made, Scene):
            return item, made
        why = made.reason if isinstance(made, Unreadable) else made
        reasons.setdefault(why, []).append(made.id if isinstance(made, Unreadable) else name_of(item))
    if not reasons:
        out.wrong.append(
            f"catalog {catalog.label}: has no item of {form.what}: "
            + ("mend the pattern" if form.file else "mend the collection's id, or ask another catalog")
        )
    for why, ids in sorted(reasons.items(), key=lambda kv: -len(kv[1])):
        out.wrong.append(f"{len(ids)} items are no scene of it, such as {ids[0]}: {why}")
    return None, None


def _place(spec: SourceSpec, middle: shapely.Point) -> Location:
    """A footprint that holds whole pixels of all arrays, in the middle of an item."""
    res_m = [a.res_m for a in spec.arrays if a.res_m is not None] or [grid.STEP_M]
    step_mm = math.lcm(grid.STEP_M * 1000, *(round(r * 1000) for r in res_m))
    size_m = step_mm / 1000 * math.ceil(LEAST_PX * max(res_m) * 1000 / step_mm)
    epsg, x0, y0 = grid.snapped(middle.x, middle.y, size_m)
    return Location(grid.location_id(epsg, x0, y0, size_m), middle.x, middle.y, epsg, x0, y0, size_m, "check")


def _headers(reader: Reader, source: Source, scene: Scene, out: Checked) -> Iterator[tuple[str, _Header]]:
    """Band → what its file says of itself."""
    for band in (b for a in source.spec.arrays for b in a.bands):
        (asset,) = assets_of(source, band, [scene])
        try:
            yield band, reader.opened(asset, functools.partial(_header, asset))
        except CurationError as err:
            out.wrong.append(f"{band}: {one_line(err)}")


def _header(asset: Asset, raster: Raster) -> _Header:
    if raster.crs is None:
        raise CurationError(f"{raster.href}: states no CRS, so where its pixels are is not known: write one into it")
    if not 1 <= asset.band <= raster.bands:
        raise CurationError(f"{raster.href}: has {raster.bands} bands, expected a band {asset.band}: mend asset_bands")
    t = raster.transform
    unit_m = 111_195.0 if raster.is_geographic else float(raster.crs.linear_units_factor[1])
    width, height = min(LOOK_PX, raster.width), min(LOOK_PX, raster.height)
    middle = PixelWindow((raster.width - width) // 2, (raster.height - height) // 2, width, height)
    raw = raster.read(asset.band, middle)
    return _Header(
        str(raster.dtype), raster.bands, raster.width, raster.height, raster.crs,
        _named(raster), raster.epsg, t, math.hypot(t.b, t.e) * unit_m,
        raster.gaps(asset.band, asset.data), raster.alpha, raster.alpha in asset.data,
        outline(t, raster.width, raster.height, raster.crs),
        _repeats(raw), _wrapped(raw),
    )  # fmt: skip


def _named(raster: Raster) -> str:
    """The CRS of a file, for a person."""
    if raster.epsg:
        return f"EPSG:{raster.epsg}"
    return f"a CRS without an EPSG code ({raster.crs.to_dict().get('proj', 'unknown') if raster.crs else 'none'})"


def _repeats(raw: NDArray[Any]) -> float:
    """How many pixels along a side repeat each one of an image that was enlarged; 1 where that is not seen."""
    sides = []
    for pixels in (raw, raw.T):
        at = np.flatnonzero((pixels[:, 1:] != pixels[:, :-1]).any(axis=0))
        if len(at) < 2:  # too few to tell: one value, or one edge
            return 1.0
        sides.append(np.diff(at))
    return float(min(side.mean() for side in sides)) if min(side.min() for side in sides) >= 2 else 1.0


def _wrapped(raw: NDArray[Any]) -> NDArray[Any] | None:
    """Numbers of an unsigned type that look like negative ones; None where there are few."""
    if raw.dtype.kind != "u" or raw.dtype.itemsize < 2 or not raw.size:
        return None
    most = np.iinfo(raw.dtype).max
    found = np.unique(raw[raw > most * WRAPPED])
    is_much = float((raw > most * WRAPPED).mean()) > MOST_WRAPPED
    return found if is_much and len(found) > 1 else None


def _differences(
    form: CatalogForm, array: ArraySpec, band: str, its: _Header, item: Any, scene: Scene
) -> Iterator[str]:
    """What a file, its item and the source say differently of a band."""
    if array.res_m is not None and abs(its.res_m / array.res_m - 1) > RES_TOLERANCE:
        yield f"{band}: pixels of {its.res_m:.4g} m, the source says {array.res_m:g} m: say res_m = {its.res_m:.4g}"
    if array.is_data and its.repeats > 1:
        yield (
            f"{band}: the image was enlarged: of its {its.width} × {its.height} pixels each {its.repeats:.3g} along a side "
            f"are one of the original. Where its transform is still that of the original ({its.res_m:.4g} m a pixel) it "
            "covers too much ground: shrink the image to its own pixels, or give it pixels of "
            f"{its.res_m / its.repeats:.3g} m"
        )
    if array.is_data and its.wrapped is not None:
        low, high = (int(v) - np.iinfo(its.dtype).max - 1 for v in (its.wrapped[0], its.wrapped[-1]))
        yield (
            f"{band}: numbers up to {its.wrapped[-1]} of {its.dtype} look like negative ones that lost their sign ({low} to "
            f"{high}): write the file as int16 or float32"
        )
    stated = _stated(item, form, band)
    if (transform := stated.get("proj:transform")) is not None and not _is_alike(transform, its.transform):
        yield (
            f"{band}: its item states proj:transform {_short(transform)}, the file {_short(tuple(its.transform)[:6])}: one "
            "of them lies; the file's is read. Tell who made the item, or exclude it"
        )
    if (shape := stated.get("proj:shape")) is not None and list(shape) != [its.height, its.width]:
        yield (
            f"{band}: its item states proj:shape {list(shape)}, the file has {[its.height, its.width]}: the file's is read. "
            "Tell who made the item"
        )
    # An item that was made of the files says what the first of them does.
    if form.file is None and scene.epsg is not None and its.epsg is not None and scene.epsg != its.epsg:
        yield (
            f"{band}: its item states EPSG:{scene.epsg}, the file EPSG:{its.epsg}: the file's is read, the item's decides "
            "which scenes need no warping. Tell who made the item"
        )
    inside = scene.geometry.intersection(_on_globe(its.outline)).area / scene.geometry.area
    if inside < LEAST_INSIDE:
        yield (
            f"{band}: the file covers {100 * inside:.0f} % of its item's footprint ({its.ground}): CRS or transform of the "
            "file, or the footprint, is wrong"
        )
    yield from _other_numbers(array, band, its, stated)


def _other_numbers(array: ArraySpec, band: str, its: _Header, stated: dict[str, Any]) -> Iterator[str]:
    """What an item states of the numbers of a band, and the source does otherwise."""
    values = array.values(band)
    nodata = stated.get("nodata")
    if isinstance(nodata, int | float) and its.gaps is False and nodata not in (array.nodata, *values.missing):
        missing = f"file_nodata = [{nodata:g}]"
        yield f"{band}: its item states nodata {nodata:g}, which neither the file nor the source does: say {missing}"
    scale, offset = stated.get("scale"), stated.get("offset")
    if not (isinstance(scale, int | float) and isinstance(offset, int | float) and scale):
        return
    if array.scale is not None or array.offset is not None:
        # In whatever unit: what a number means 0 of is the same.
        wanted, found = offset / scale, values.offset / values.scale
        if not math.isclose(wanted, found, rel_tol=1e-6, abs_tol=1e-9):
            yield (
                f"{band}: its item states scale {scale:g} and offset {offset:g}, the source {values.scale:g} and "
                f"{values.offset:g}, which is no unit of the same: mend one of them"
            )


def _stated(item: Any, form: CatalogForm, band: str) -> dict[str, Any]:
    """What an item states of a band's file, whichever version of the extensions says it."""
    asset = item["assets"][spelling.key_of(item["assets"], form.assets.get(band, band))]
    out: dict[str, Any] = {}
    for holder in (item["properties"], asset):
        out |= {k: holder[k] for k in ("proj:transform", "proj:shape") if holder.get(k) is not None}
    listed = asset.get("raster:bands") or asset.get("bands") or []
    number = form.asset_bands.get(band, 1) - 1
    for holder in (asset, *(b for b in listed[number : number + 1] if isinstance(b, dict))):
        out |= {k: holder[n] for k in ("scale", "offset", "nodata") for n in (k, f"raster:{k}") if n in holder}
    return out


def _is_alike(stated: Any, own: Affine) -> bool:
    try:
        found = [float(v) for v in stated][:6]
    except (TypeError, ValueError):
        return False
    near = NEAR_PX * max(abs(own.a), abs(own.b))
    return len(found) == 6 and all(
        abs(a - b) <= (near if n in (2, 5) else near / 1000) for n, (a, b) in enumerate(zip(found, own, strict=False))
    )


def _short(numbers: Any) -> str:
    return str([round(v, 6) if isinstance(v, float) else v for v in numbers])


def _on_globe(shape: shapely.Polygon) -> Any:
    """An outline whose longitudes run on, as items state footprints: in two parts across the antimeridian."""
    return footprint.read(shape)


def _other_ground(headers: dict[str, _Header], scene: Scene) -> Iterator[str]:
    """Files of one item that do not cover the same ground."""
    by_area = sorted(headers.items(), key=lambda kv: kv[1].outline.area)
    if len({scene.hrefs[b] for b in headers}) < 2:
        return
    (small, least), (large, most) = by_area[0], by_area[-1]
    inside = least.outline.intersection(most.outline).area / least.outline.area
    if inside < LEAST_INSIDE or most.outline.area > MOST_RATIO * least.outline.area:
        yield (
            f"files of one item cover other ground: {small} {least.ground}, {large} {most.ground}; {100 * inside:.0f} % of "
            "the smaller lies in the larger: the transform of one of them lies, or they are no one scene"
        )


def _look_at_pixels(
    slab: Slab, source: Source, place: Location, name: str, array: ArraySpec, band: str, scene: Scene, its: _Header,
    out: Checked,
) -> None:  # fmt: skip
    """Reads a band of the patch as a build does, and tells what it holds."""
    one = dataclasses.replace(source, arrays={name: array.model_copy(update={"bands": [band]})})
    values = array.values(band)
    known = (
        f"band {its.alpha} called transparency, and read as data, as asset_bands says"
        if its.has_data
        else f"transparency in band {its.alpha}"
        if its.alpha
        else "a mask"
        if its.gaps is True
        else "no nodata"
        if its.gaps is False
        else f"nodata {its.gaps:g}"
    )
    said = (
        f"{band}: {its.dtype}, {known}, {its.crs_name}, {its.width} × {its.height} pixels of {its.res_m:.4g} m"
        + (f", × {values.scale:g} {values.offset:+g}" if values.is_made and values.sets is None else "")
        + (f", file_nodata {', '.join(f'{v:g}' for v in values.missing)}" if values.missing else "")
    )
    try:
        pixels, warped = source.files.pixels(slab, one, place, name, [scene])
        if not array.is_mask and (pixels != array.nodata).any():
            source.files.measured_of(one, place, {name: pixels})  # as of classes that the legend has not
    except Reject as why:
        out.found.append(said)
        out.wrong.append(f"{band}: {why.code}: its pixels are refused, since they cannot be {array.unit}")
        return
    except CurationError as err:
        out.found.append(said)
        out.wrong.append(f"{band}: {one_line(err)}")
        return
    way = "warped" if warped else "cropped"
    valid = pixels[pixels != array.nodata]
    if array.is_mask:
        said += f"; {way}: " + _codes(source.spec, pixels)
        if foreign := sorted({int(c) for c in np.unique(pixels)} - set(source.spec.mask_codes)):
            out.wrong.append(
                f"{band}: mask codes {foreign} are in none of {', '.join(CODE_SETS)}: add each to one of them"
            )
    elif not valid.size:
        out.wrong.append(
            f"{band}: no pixel in the middle of the item is valid, all are nodata ({array.nodata:g}): is that what means no "
            "data in its files?"
        )
    else:
        share = 100 * valid.size / pixels.size
        taken = f" (of which a build takes {scene.offset_dn} off)" if scene.offset_dn and array.is_data else ""
        said += f"; {way}: {valid.min():g} to {valid.max():g} {array.unit}{taken}, {share:.4g} % valid"
    out.found.append(said)


def _codes(spec: SourceSpec, pixels: NDArray[Any]) -> str:
    """The codes of a mask, and which set each is in."""
    of = {code: name for name in CODE_SETS for code in getattr(spec, name)}
    codes, counts = np.unique(pixels, return_counts=True)
    lines = [
        f"{code} {of.get(int(code), 'in no set')} {100 * n / pixels.size:.3g} %"
        for code, n in zip(codes, counts, strict=True)
    ]
    return ", ".join(lines)
