"""A catalog that is a folder of GeoTIFFs, or of vector files, without any STAC: items are made from what files say.

Which files are a scene, and of which band and time each is, the source's form says by the names of files (`FileForm`). Where
its pixels or shapes are the file itself says; and when it was taken its name, a file of JSON beside it, or its tag DateTime.
"""

from __future__ import annotations

import datetime as dt
import json
import logging
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import shapely
from affine import Affine
from pyproj.exceptions import ProjError
from shapely.geometry.base import BaseGeometry

from curation.errors import ReadError
from curation.errors.causes import one_line
from curation.errors.words import counted
from curation.model import iso, parse_time
from curation.places import grid
from curation.read import shapes
from curation.read.raster import Raster
from curation.read.reader import Asset, Reader
from curation.recipe.folders import geotiffs, vectors
from curation.recipe.forms import FileForm
from curation.scenes.items import Unreadable
from curation.scenes.itemtable import Item
from curation.store import local

log = logging.getLogger(__name__)

ALL_BANDS = "data"
"""What the one file of a scene is called that holds all of its bands."""

POINTS_PER_SIDE = 21
"""Of an outline: a straight side of a raster is curved in longitude and latitude."""

NO_TIME = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
"""Of a scene that nothing states a time of, and of which none is asked: of a source that is read once for `static`."""

_DIGITS = {4: "%Y", 6: "%Y%m", 7: "%Y%j", 8: "%Y%m%d", 10: "%Y%m%d%H", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
"""How many digits a time in a name has, whatever stands between them → what they are."""

MOST_SIDECAR_BYTES = 2**24


class GeoTiffs:
    """A folder of such files, opened: items of whatever source its form says how files are called of."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.parent if folder.is_file() else folder
        self._only = [folder] if folder.is_file() else None

    def batches(
        self, form: FileForm, keys: Sequence[str], *, timeless: bool, of_shapes: bool = False
    ) -> Iterator[Sequence[Item | Unreadable]]:
        """The item of each scene, or why it is none, in order of id.

        Args:
            form: how the source's files are called.
            keys: assets that are asked for: of scenes in one file each is that file.
            timeless: whether nothing is asked of its time.
            of_shapes: whether the source's are vector files.
        """
        files_ = self._only or (vectors if of_shapes else geotiffs)(self._folder)
        names = [p.relative_to(self._folder).as_posix() for p in files_]
        look = _shapes if of_shapes else _header
        scenes: dict[str, list[tuple[str, re.Match[str]]]] = {}
        others = []
        for name in names:
            if (match := re.search(form.pattern, name)) is None:
                others.append(name)
            else:
                scenes.setdefault(_id(match), []).append((name, match))
        if others and not scenes:
            log.warning("catalog %s: none of its %s is called as %r says (such as %s): no scene of the source is found",
                        self._folder, counted(len(others), "file"), form.pattern, others[0])  # fmt: skip
        for name, files in sorted(scenes.items()):
            yield [self._item(name, files, form, keys, look, timeless=timeless)]

    def _item(
        self,
        name: str,
        files: Sequence[tuple[str, re.Match[str]]],
        form: FileForm,
        keys: Sequence[str],
        look: Callable[[Path, Sequence[str]], _Said],
        *,
        timeless: bool,
    ) -> Item | Unreadable:
        first, match = files[0]
        covers = time = None
        try:
            assets = _assets(files, keys)
            stated = self._beside(name, first)
            named = {k: v for k, v in match.groupdict().items() if v is not None and k not in ("id", "band", "time")}
            tagged, epsg, covers = look(self._folder, [file for file, _ in files])
            time = _time(match, form, stated.get("properties", {}), tagged)
            if time is None and not timeless:
                raise ReadError(
                    f"{first}: nothing says when it was taken: neither a group 'time' of the pattern, nor 'datetime' of a "
                    "file of JSON beside it, nor its tag DateTime; give it one of these"
                )
        except Exception as err:  # noqa: BLE001 - what files and what lies beside them say may be anything, and raise anything
            reason = f"unreadable: {one_line(err)}".encode("ascii", "backslashreplace").decode()
            return Unreadable(name, reason, covers, time)
        properties = {"proj:epsg": epsg} | stated.get("properties", {}) | named
        return {
            "id": name,
            "geometry": stated.get("geometry") or covers,
            "properties": properties | {"datetime": iso(time or NO_TIME)},
            "assets": assets,
        }

    def _beside(self, name: str, first: str) -> dict[str, Any]:
        """What a file of JSON beside a scene's says of it: an item of STAC, or its properties alone; nothing where none is.

        It is called as the file is (`a_B02.json`, or `a_B02.tif.json`), or as the scene (`<id>.json`).
        """
        stem = first.rpartition(".")[0]
        for beside in dict.fromkeys((f"{stem}.json", f"{first}.json", f"{name}.json")):
            path = self._folder / beside
            if not path.is_file():
                continue
            local.check(path, str(path), MOST_SIDECAR_BYTES)
            said = json.loads(path.read_text(encoding="utf-8"))
            if not isinstance(said, dict):
                raise ReadError(f"{beside}: is no object of JSON, expected an item of STAC or its properties")
            return said if isinstance(said.get("properties"), dict) else {"properties": said}
        return {}


def outline(transform: Affine, width: int, height: int, crs: Any) -> shapely.Polygon:
    """What a raster covers, in lon/lat; its longitudes run on across the antimeridian (179.9, 180.1).

    Raises:
        ReadError: its CRS reaches no place on Earth there.
    """
    along = np.linspace(0, 1, POINTS_PER_SIDE, endpoint=False)
    ones, zeros = np.ones_like(along), np.zeros_like(along)
    cols = np.concatenate([along, ones, 1 - along, zeros]) * width
    rows = np.concatenate([zeros, along, ones, 1 - along]) * height
    t = transform
    x, y = t.a * cols + t.b * rows + t.c, t.d * cols + t.e * rows + t.f
    try:
        lon, lat = map(np.asarray, grid.transformer(crs.to_wkt(), 4326).transform(x, y))
    except ProjError as err:
        raise ReadError(f"its CRS cannot be used: {one_line(err)}") from err
    if not (np.isfinite(lon).all() and np.isfinite(lat).all()) or np.abs(lat).max() > 90:
        raise ReadError("its transform puts it beyond where its CRS reaches on Earth")
    lon = lon[0] + (lon - lon[0] + 180) % 360 - 180
    return shapely.Polygon(np.column_stack([lon, lat]))


_Said = tuple[str, int | None, BaseGeometry]
"""Of a scene's files: the tag DateTime, the EPSG code and the outline."""


def _header(folder: Path, names: Sequence[str]) -> _Said:
    """What the first of some GeoTIFFs says."""

    def said(raster: Raster) -> _Said:
        if raster.crs is None:
            raise ReadError(f"{raster.href}: states no CRS, so where its pixels are is not known")
        return raster.tagged_time, raster.epsg, outline(raster.transform, raster.width, raster.height, raster.crs)

    with Reader(str(folder), folders=()) as reader:
        return reader.opened(Asset(quote(names[0]), "none"), said)


def _shapes(folder: Path, names: Sequence[str]) -> _Said:
    """What vector files say together, of all of their layers that have shapes."""
    layers = [layer for name in names for layer in shapes.every(folder / name)]
    boxes = [
        outline(Affine(east - west, 0, west, 0, south - north, north), 1, 1, layer.crs)
        for layer in layers
        for west, south, east, north in shapes.extent(layer)
    ]
    if not boxes:
        raise ReadError(f"{', '.join(names)}: no shapes at all, so where it lies is not known; leave the file out")
    return "", None, shapely.MultiPolygon(boxes)


def _id(match: re.Match[str]) -> str:
    """What a scene is called: by the pattern's group `id`, or as its files are, without what differs by band."""
    groups = match.groupdict()
    if groups.get("id"):
        return str(groups["id"])
    stem = match.string.rpartition(".")[0]
    start, end = match.span("band") if "band" in groups else (0, 0)
    return (stem[:start] + stem[end:]).strip("_-. ") or stem


def _assets(files: Sequence[tuple[str, re.Match[str]]], keys: Sequence[str]) -> dict[str, dict[str, str]]:
    """Asset → where it is. Raises ReadError where two files would be one."""
    out: dict[str, dict[str, str]] = {}
    for name, match in files:
        href = quote(name)
        its = [match["band"] or ALL_BANDS] if "band" in match.groupdict() else dict.fromkeys(keys)
        for key in its:
            if key in out:
                raise ReadError(
                    f"{out[key]['href']} and {href}: both are {key!r} of one scene; tell them apart by a group 'id'"
                )
            out[key] = {"href": href}
    return out


def _time(match: re.Match[str], form: FileForm, stated: dict[str, Any], tagged: str) -> dt.datetime | None:
    """When a scene was taken, UTC: as its name says, else what lies beside it, else the file; None where nothing does.

    Raises:
        ValueError: what says so is no time.
    """
    if text := match.groupdict().get("time"):
        return _named_time(text, form.time_format)
    if (text := stated.get("datetime") or stated.get("start_datetime")) is not None:
        return parse_time(text)
    return _named_time(tagged, None) if tagged.strip("\0 ") else None


def _named_time(text: str, form: str | None) -> dt.datetime:
    digits = re.sub(r"\D", "", text) if form is None else text
    form = form or _DIGITS.get(len(digits))
    if form is None:
        raise ValueError(
            f"time {text!r}: has {len(digits)} digits, expected one of {sorted(_DIGITS)}, or a 'time_format'"
        )
    try:
        found = dt.datetime.strptime(digits, form)
    except ValueError:
        raise ValueError(f"time {text!r}: is none as {form!r} has it") from None
    return found.replace(tzinfo=dt.UTC) if found.tzinfo is None else found.astimezone(dt.UTC)
