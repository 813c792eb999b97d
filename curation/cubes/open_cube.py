"""The cubes of a region as one xarray Dataset with a season axis, from a dataset's folder alone: no recipe, no catalog."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import odc.geo.xr  # noqa: F401 - gives arrays their `.odc`
import pyproj
import rioxarray  # noqa: F401 - gives arrays their `.rio`
import xarray as xr
from numpy.typing import DTypeLike, NDArray
from xarray.backends import BackendArray
from xarray.core import indexing

from curation.cubes import windows
from curation.cubes.arrays import has_pixels
from curation.cubes.chunks import each_hash
from curation.cubes.cube import FACTS, IDENTITY
from curation.cubes.facts import outcome_facts
from curation.cubes.open_patch import StoredCube, ledger_of, time_of
from curation.errors import ConfigError
from curation.errors.words import did_you_mean
from curation.model import STATIC
from curation.outcomes import PatchOutcome, Status
from curation.recipe.schema import OF_PLACE
from curation.store import paths
from curation.store.ledger import cube_names
from curation.store.objects import Store

READ_THREADS = 16
"""Facts are an object a slab: so many are read at once."""


def open_cube(folder: str | Path | Store, region: str) -> xr.Dataset:
    """All that is built of a region as one Dataset over seasons and locations; pixels and numbers are read when asked for.

        cube = open_cube("shards/ssl4eo-s12-ml", "lower-rhine")
        cube["s2l2a_10m"].sel(season="summer", location="utm31n-694020-5668560", s2l2a_10m_band="B04")
        cube.chunk("auto")     # for Dask; to_netcdf and xr.concat take it as it is
        at(cube, "utm31n-694020-5668560")["s2l2a_10m"].odc.geobox

    Pixel arrays are (season, location, band, y, x), of sources without time (location, band, y, x), in their stored dtype;
    what a patch lacks is `nodata` (in `attrs`), and its status says so: `status`, and per source `<source>_status` (0
    pending, 1 ok, 2 rejected, 3 failed, 4 absent), are those of the ledger, of the static cube `static_status`. A chunk of
    pixels that was recorded is checked against the ledger's hash of it when it is read, and so are facts, by object or by
    row: what is missing or damaged is an error, never nodata. Text is fixed-width and read at once.

    Of a source with a time axis they are (season, location, `<source>_step`, band, y, x), as many steps as the recipe says
    at most: nodata beyond those that a patch has (`<source>_steps`), in order of `<source>_time` (season, location,
    `<source>_step`), NaT beyond. Only the steps asked for are read.

    Of a season that lies around a date of each location `date`, `window_start` and `window_end` (season, location) say
    which, and from when until before when: NaT of seasons that are the same everywhere, and where there is no date.
    `date_of_<season>` is that of another season which decides pixels of this one; NaT of seasons where it decides none.

    `spatial_ref` has the CRS, for rioxarray and odc-geo, where all locations lie in one; `epsg` has each one's in any case
    (of cubes that are put together it alone is right: xarray keeps the first one's `spatial_ref`; `at` goes by `epsg`).
    Pixels of a cube lie apart on the ground, each at its location: `at` gives those of one the coordinates in its CRS.
    `dx_<pixel>` and `dy_<pixel>` are pixel centres from a location's north-west corner (`x0_m`, `y0_m`).

    Args:
        folder: the dataset's, `<root>/<dataset>`: a path, or a URL such as `s3://bucket/datasets/ssl4eo-s12-ml`.
        region: as ledgers name it; of children `<region>.children`.

    Raises:
        ConfigError: nothing of the region is built there, or its cubes do not go together.
        DamageError: what is stored is not what was recorded; of what is read later, when it is.
    """
    store = folder if isinstance(folder, Store) else Store(folder)
    seasons = [s for r, s in cube_names(store) if r == region]
    cubes = {s: c for s in seasons if (c := StoredCube(store, paths.cube(region, s), ledger_of(store, region, s))).made}
    if not cubes:
        known = sorted({r for r, _ in cube_names(store)})
        raise ConfigError(
            f"{store.where('')}: no cube of region {region!r}; {did_you_mean(region, known)}known: "
            f"{', '.join(known) or 'none'}. Expected the dataset's folder, <root>/<dataset>"
        )
    first = next(iter(cubes.values()))
    _check_alike(store, region, cubes)
    coords: dict[str, Any] = {n: ("location", _fixed(first.values(n)), IDENTITY[n]) for n in IDENTITY if n != "id"}
    coords["location"] = ("location", _fixed(first.values("id")), {"long_name": "location"})
    found = xr.Dataset(coords=coords, attrs={k: first.attributes[k] for k in ("dataset", "region")})
    found.attrs["licences"] = "; ".join(
        sorted({f"{source}: {text}" for c in cubes.values() for source, text in c.attributes["licences"].items()})
    )
    timed = {s: c for s, c in cubes.items() if s != STATIC}
    timed = dict(sorted(timed.items(), key=lambda kv: (_start(kv[1], kv[0]), kv[0])))
    for group in filter(None, ({STATIC: cubes[STATIC]} if STATIC in cubes else {}, timed)):
        found = found.assign(_variables(group)).pipe(_with_coordinates, group)
    codes = sorted(set(np.asarray(first.values("epsg")).tolist()))
    return _placed(found, codes[0]) if len(codes) == 1 else found


def at(cube: xr.Dataset, location: str) -> xr.Dataset:
    """One location of what `open_cube` gave, georeferenced: CRS, and pixel centres in it as `x_<pixel>` and `y_<pixel>`.

        at(cube, "utm31n-694020-5668560")["s2l2a_10m"].sel(season="summer").rio.to_raster("s2.tif")

    Works on what was selected of a cube by season, band, or slices of pixels.

    Raises:
        ConfigError: the cube has no such location.
    """
    known = np.atleast_1d(cube["location"].values).tolist()
    if location not in known:
        hint = did_you_mean(location, known)
        raise ConfigError(f"location {location!r}: the cube has none of that name; {hint}it has {len(known):,}")
    found = cube.sel(location=location) if cube["location"].ndim else cube
    crs = pyproj.CRS.from_epsg(int(found["epsg"]))
    for name in [str(n) for n in found.coords if str(n).startswith(("dx_", "dy_"))]:
        axis, dim = name[1], name[1:]
        if found[name].dims == (dim,):
            kind = {"x": "longitude", "y": "latitude"}[axis] if crs.is_geographic else f"projection_{axis}_coordinate"
            attrs = {"axis": axis.upper(), "standard_name": kind, "units": found[name].attrs["units"]}
            found = found.assign_coords({dim: (dim, (found[name] + found[f"{axis}0_m"]).values, attrs)})
    return _placed(found.drop_vars([n for n in found.coords if str(n).startswith(("dx_", "dy_"))]), int(found["epsg"]))


def _placed(found: xr.Dataset, epsg: int) -> xr.Dataset:
    """The Dataset with a CRS, by the conventions of CF, GDAL and rioxarray."""
    crs = pyproj.CRS.from_epsg(epsg)
    found = found.assign_coords(spatial_ref=((), 0, {**crs.to_cf(), "spatial_ref": crs.to_wkt()}))
    for name, array in found.data_vars.items():
        if any(str(d).startswith("y_") for d in array.dims):
            found[name].encoding["grid_mapping"] = "spatial_ref"
    return found


def _start(cube: StoredCube, season: str) -> str:
    """When a season begins, first of all its locations, as its cube says; empty where it does not."""
    if "window_start" in cube.arrays:
        starts = time_of(np.asarray(cube.values("window_start"), np.float64))
        return "" if np.isnat(starts).all() else str(starts[~np.isnat(starts)].min())
    pixels = cube.attributes["pixels"]
    found = [
        v["seasons"].get(season, {}) for v in (pixels, *pixels.values()) if isinstance(v, Mapping) and "seasons" in v
    ]
    return next((str(v["start"]) for v in found if isinstance(v, Mapping) and "start" in v), "")


def _check_alike(store: Store, region: str, cubes: Mapping[str, StoredCube]) -> None:
    """Passes where cubes have the same places in the same order, and arrays of a name are alike.

    Raises:
        ConfigError: they do not: they are of different draws or recipes.
    """
    first, *others = cubes
    for season in others:
        one, other = cubes[first], cubes[season]
        few, many = sorted((first, season), key=lambda s: len(cubes[s].values("id")))
        ids = [list(cubes[s].values("id")) for s in (few, many)]
        if len(ids[0]) < len(ids[1]) and ids[1][: len(ids[0])] == ids[0]:
            raise ConfigError(
                f"{store.where(paths.cube(region, few))}: has the first {len(ids[0]):,} of the {len(ids[1]):,} locations of "
                f"{many}: more were added since; build it, too (--season {few})"
            )
        wrong = [n for n in ("id", "epsg", "x0_m", "y0_m") if list(one.values(n)) != list(other.values(n))]
        shared = one.arrays.keys() & other.arrays.keys()
        wrong += sorted(n for n in shared if one.arrays[n] != other.arrays[n] and has_pixels(one.arrays[n]))
        if wrong:
            raise ConfigError(
                f"{store.where(paths.cube(region, season))}: {first} and {season} differ in {', '.join(wrong)}: they are of "
                "different recipes; open each with xarray.open_zarr"
            )


def _variables(cubes: Mapping[str, StoredCube]) -> dict[str, xr.Variable]:
    """Pixel arrays and facts of cubes that make one axis; of the static cube there is none."""
    first = next(iter(cubes.values()))
    static = STATIC in cubes
    count = len(first.values("id"))
    out: dict[str, xr.Variable] = {}

    def dims(meta: Mapping[str, Any]) -> tuple[str, ...]:
        return (*(() if static else ("season",)), "location", *meta["dimension_names"][1:])

    def lazy(
        read: Reader, meta: Mapping[str, Any], dtype: DTypeLike, attrs: Mapping[str, Any], at_once: int
    ) -> xr.Variable:
        shape = (*(() if static else (len(cubes),)), count, *meta["shape"][1:])
        data = indexing.LazilyIndexedArray(_Lazy(read, shape, np.dtype(dtype), seasons=not static))
        sizes = {"location": at_once} | dict(zip(meta["dimension_names"][1:], meta["shape"][1:], strict=True))
        return xr.Variable(
            dims(meta), data, dict(attrs), {"preferred_chunks": sizes | ({} if static else {"season": 1})}
        )

    arrays = {
        n: m for c in cubes.values() for n, m in c.arrays.items() if m.get("dimension_names", [None])[0] == "patch"
    }
    outcomes = _outcome_columns(cubes, count)
    texts = _texts(_measured_texts(arrays, outcomes), list(cubes.values()), count)
    for name, meta in arrays.items():
        of = meta["attributes"]
        stored = [c if name in c.arrays else None for c in cubes.values()]
        is_shared = name in ("status", "reason") or name.startswith(OF_PLACE)
        label = f"{STATIC}_{name}" if static and is_shared else name
        if has_pixels(meta):
            at_once = 1 if len(meta["shape"]) > 4 else first.slots  # with a time axis a patch is as much as a slab else
            out[name] = lazy(_Pixels(name, meta, stored), meta, meta["data_type"], of, at_once)
        elif name in IDENTITY or name == FACTS:
            continue
        elif (known := windows.attributes(name)) is not None:
            is_text = name.startswith(OF_PLACE)
            whole = [c.values(name) if c else ["" if is_text else np.nan] * count for c in stored]
            values = _fixed(whole) if is_text else time_of(np.array(whole, np.float64))
            out[label] = xr.Variable(dims(meta), values[0] if static else values, known)
        elif _of_ledger(name, outcomes):
            values = outcomes.get(name, np.zeros((len(cubes), count), "uint8" if name.endswith("status") else "U1"))
            out[label] = xr.Variable(dims(meta), values[0] if static else values, _flat(of))
        elif meta["data_type"] == "string":
            values = texts[name]
            out[label] = xr.Variable(dims(meta), values[0] if static else values, _flat(of))
        elif of.get("units", "").startswith("seconds since"):
            attributes = {k: v for k, v in of.items() if k not in ("units", "calendar")}
            out[name] = lazy(_Facts(name, meta, stored), meta, "datetime64[ns]", attributes, first.slots)
        else:
            out[name] = lazy(_Facts(name, meta, stored), meta, meta["data_type"], _flat(of), first.slots)
    return out


def _with_coordinates(found: xr.Dataset, cubes: Mapping[str, StoredCube]) -> xr.Dataset:
    """The Dataset with its seasons, and the names of bands and classes and the places of pixels along its axes."""
    coords: dict[str, Any] = {} if STATIC in cubes else {"season": ("season", _fixed(list(cubes)))}
    for cube in cubes.values():
        for name, meta in cube.arrays.items():
            if meta.get("dimension_names") == [name]:
                values = np.asarray(cube.values(name))
                if name.startswith(("x_", "y_")):
                    corner = "east of the west" if name[0] == "x" else "north of the north"
                    attrs = {"long_name": f"pixel centres, {corner} edge", "units": meta["attributes"]["units"]}
                    coords[f"d{name}"] = (name, values, attrs)
                else:
                    coords[name] = (name, _fixed(values))
                    for key, of_bands in meta["attributes"].items():
                        coords[f"{name}_{key}"] = (name, np.asarray([np.nan if v is None else v for v in of_bands]))
    facts = [n for n, v in found.data_vars.items() if not any(str(d).startswith("y_") for d in v.dims)]
    return found.assign_coords(coords).set_coords(facts)


def _outcome_columns(cubes: Mapping[str, StoredCube], count: int) -> dict[str, NDArray[Any]]:
    """Name → (season, location) of what the ledgers tell of each patch: status, reason and scenes, of it and its sources."""
    columns: dict[str, list[list[Any]]] = {}
    for n, cube in enumerate(cubes.values()):
        number = {i: k for k, i in enumerate(cube.values("id"))}
        for outcome in cube.ledger.outcomes():
            for name, value in outcome_facts(outcome).items():
                empty: Any = 0 if name.endswith("status") else ""
                column = columns.setdefault(name, [[empty] * count for _ in cubes])
                column[n][number[outcome.id]] = value
    return {n: np.array(c, "uint8") if n.endswith("status") else _fixed(c) for n, c in columns.items()}


def _of_ledger(name: str, outcomes: Collection[str]) -> bool:
    """Whether a ledger tells a fact, or would."""
    return name in outcomes or name.endswith(("status", "reason", "_scenes"))


def _measured_texts(arrays: Mapping[str, Mapping[str, Any]], outcomes: Collection[str]) -> dict[str, Sequence[int]]:
    """Facts that are text and that no ledger tells → their shape but patches."""
    known = {n for n in arrays if n in IDENTITY or n == FACTS or windows.attributes(n) is not None}
    return {
        n: m["shape"][1:]
        for n, m in arrays.items()
        if m["data_type"] == "string" and n not in known and not _of_ledger(n, outcomes)
    }


def _texts(shapes: Mapping[str, Sequence[int]], cubes: Sequence[StoredCube], count: int) -> dict[str, NDArray[Any]]:
    """Fact → (season, location) of text, or (season, location, step); empty where nothing was measured."""
    out = {name: np.full((len(cubes), count, *steps), "", object) for name, steps in shapes.items()}
    todo = [(n, c, slab) for n, c in enumerate(cubes) for slab in c.ledger.lines if out.keys() & c.arrays.keys()]
    with ThreadPoolExecutor(READ_THREADS) as pool:
        found = pool.map(lambda t: t[1].columns(out.keys() & t[1].arrays.keys(), t[2]), todo)
        for (n, cube, slab), columns in zip(todo, found, strict=True):
            first = slab * cube.slots
            for name, values in (columns or {}).items():
                out[name][n, first : first + cube.slots] = values[: count - first]
    return {name: _fixed(values) for name, values in out.items()}


def _fixed(values: Any) -> NDArray[Any]:
    """Text as fixed-width arrays, whose size is known: what Dask can chunk and netCDF can hold. Else as it is."""
    found = np.asarray(values)
    return np.array(found.tolist(), str) if found.dtype.kind in "OT" else found


def _flat(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes that netCDF can hold."""
    return {k: v for k, v in attributes.items() if not isinstance(v, Mapping)}


def _number(value: Any) -> Any:
    """A number as Zarr's metadata have it, which writes NaN as text."""
    return np.nan if value == "NaN" else value


@dataclass(frozen=True)
class _Pixels:
    """Reads a pixel array of a season, each chunk checked against the ledger's hash of it."""

    name: str
    meta: Mapping[str, Any]
    cubes: Sequence[StoredCube | None]
    """By season; None where a season's cube has no such array."""

    def __call__(self, season: int, locations: NDArray[np.int64], inner: tuple[Any, ...], out: NDArray[Any]) -> None:
        out[...] = _number(self.meta["attributes"]["nodata"])
        cube = self.cubes[season]
        if cube is None:
            return
        outcomes = dict[int, Mapping[str, PatchOutcome]]()
        for row, number in enumerate(locations.tolist()):
            slab = number // cube.slots
            if slab not in outcomes:
                record = cube.record(slab)
                outcomes[slab] = {o.id: o for o in record.patches} if record else {}
            outcome = outcomes[slab].get(cube.values("id")[number])
            if outcome is not None and outcome.status is Status.OK and self.name in outcome.chunks:
                chunk_hashes = outcome.chunks[self.name]
                if not cube.steps(self.name):
                    out[row] = cube.pixels(self.name, number, chunk_hashes)[inner]
                    continue
                asked, count = inner[0].ravel(), len(each_hash(chunk_hashes))
                have = np.flatnonzero(asked < count)  # beyond its own there is nodata
                each, which = np.unique(asked[have], return_inverse=True)
                found = cube.pixels(self.name, number, chunk_hashes, each.tolist())
                out[row, have] = found[np.ix_(which, *(axis.ravel() for axis in inner[1:]))]


@dataclass(frozen=True)
class _Facts:
    """Reads a measured coordinate of a season, checked as `StoredCube.columns` has it."""

    name: str
    meta: Mapping[str, Any]
    cubes: Sequence[StoredCube | None]

    def __call__(self, season: int, locations: NDArray[np.int64], inner: tuple[Any, ...], out: NDArray[Any]) -> None:
        cube, timed = self.cubes[season], out.dtype.kind == "M"
        out[...] = np.datetime64("NaT") if timed else _number(self.meta["fill_value"])
        if cube is None:
            return
        slabs = locations // cube.slots
        for slab in np.unique(slabs).tolist():
            columns = cube.columns([self.name], slab)
            if columns is not None:
                found = columns[self.name][locations[slabs == slab] % cube.slots][(slice(None), *inner)]
                out[slabs == slab] = time_of(found) if timed else found


Reader = Callable[[int, NDArray[np.int64], tuple[Any, ...], NDArray[Any]], None]
"""Fills (location, …) of a season, for numbers of locations and an index into what lies behind them."""


class _Lazy(BackendArray):
    """An array over seasons and locations that is read where it is indexed; xarray's own protocol, without Dask."""

    def __init__(self, read: Reader, shape: tuple[int, ...], dtype: np.dtype[Any], *, seasons: bool) -> None:
        self.read, self.shape, self.dtype, self.seasons = read, shape, dtype, seasons

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.OUTER, self._read)

    def _read(self, key: tuple[Any, ...]) -> NDArray[Any]:
        """What an outer key (an integer, slice or list of numbers per axis) names."""
        shape, key = (self.shape, key) if self.seasons else ((1, *self.shape), (0, *key))
        seasons, locations, *inner = (np.atleast_1d(np.arange(n)[k]) for n, k in zip(shape, key, strict=True))
        found = np.empty((len(seasons), len(locations), *map(len, inner)), self.dtype)
        for row, season in enumerate(seasons.tolist()):
            self.read(season, locations, np.ix_(*inner), found[row])
        return found[tuple(0 if isinstance(k, int | np.integer) else slice(None) for k in key)]
