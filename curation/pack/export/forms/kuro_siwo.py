"""Samples of floods laid out and called as Kuro Siwo's are, so that loaders of the published set read them: GeoTIFFs.

```
data/<actid>/<aoi>/<grid>/                   of a sample with labels; without: data/<actid>/00/<gr>/<grid>/
  MS1_IVV_<actid>_<aoi>_<day>.tif …          post-event VV and VH; SL1_ the latest before, SL2_ the one before that
  MK0_MLU_ … MK0_MNA_ … MK0_DEM_ … MK0_SLOPE_   labels, validity, heights, slope: of the day of the post-event image
  info.json                                  what is known of the sample, and of each file
grid_dict_<split>.json                       grid → path, climate zone, what tells it: what loaders list samples by
```

Names and codes are those of `catalogue.py` and of the loaders of https://github.com/Orion-AI-Lab/KuroSiwo. Pixels are as
they were packed, on the sample's own UTM grid: what else differs from the published set, `manifests/README.md` says.
"""

from __future__ import annotations

import datetime as dt
import json
import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio.io import MemoryFile

from curation.errors import ConfigError
from curation.errors.printable import shown
from curation.format import payload
from curation.format.index import ArrayEntry
from curation.format.names import split_member
from curation.model import parse_time
from curation.pack.export.of_shards import ShardPiece, ShardSample
from curation.pack.export.pieces import ExportScope, Form
from curation.store.objects import Store

IMAGES = {"MS1": "post", "SL1": "pre1", "SL2": "pre2"}
"""Which season an image is of: SL1 is nearer to the flood than SL2 (`crank` of the published catalogue)."""

BANDS = {"IVV": "s1.vv", "IVH": "s1.vh"}
"""Which band a product of an image is, by its canonical name."""

UNLABELLED, VALID, INVALID = 3, 1, 0
"""Codes of MLU and of MNA."""

CODES = frozenset(range(4))
"""Of MLU: no water, permanent water, flood, and what is not labelled."""

NO_POWER = 0.0
"""What stands for missing pixels of images, as published: MNA tells them."""

ZONES = ("tropical", "arid", "temperate", "cold", "polar")
"""Climate zones in the order of their published numbers, from 1."""

ACTS, AOIS, DATES, CLIMATES = ("actid", "event"), ("aoiid",), ("flood_date", "date"), ("clz", "climate")
"""Columns of the table of events that say which event, area, date and climate zone: the first that is there."""

LABELLED, NO_LABELS = "01", "00"
"""The area that a sample is of where nothing says another, and that of one without labels."""

_ACT = re.compile(r"[A-Za-z0-9-]+")
"""What an event may be called: it is part of names whose parts `_` divides."""

Raster = tuple[NDArray[Any], float]
"""Pixels (y, x) and their nodata."""


class Shot(NamedTuple):
    """An image of a sample: when it was taken, UTC, and of which scenes it is."""

    time: dt.datetime
    scenes: Sequence[str]


@dataclass(frozen=True, slots=True)
class KuroSiwo(Form):
    """A folder per sample with a GeoTIFF per product, a band each: images float32, linear power; masks uint8."""

    name: ClassVar[str] = "kuro-siwo"
    of_shards: ClassVar[bool] = True
    noun: ClassVar[str] = "sample"

    def last_count(self, asked: ExportScope) -> int:
        """A table per split."""
        return len({piece.split for piece in asked.pieces})

    def prepared(self, asked: ExportScope, store: Store, to: Store) -> ExportScope:
        """As it is.

        Raises:
            ConfigError: samples have no such images, or not as numbers of power, or no event or date, or none that can be;
                or two have one grid.
        """
        for piece in asked.pieces[:1]:
            _check_arrays(piece)
            for what, columns in (("event", ACTS), ("date", DATES)):
                if not set(columns) & set(piece.rows.schema.names):
                    raise _refused(f"samples have no column of the {what}, expected {' or '.join(columns)}")
        _check_grids(asked.pieces)
        return asked

    def expected(self, piece: ShardPiece) -> tuple[int, int]:
        """Of each sample two files per image, one per other array, validity and `info.json`."""
        arrays = [piece.arrays[n] for n in (split_member(m).array for m in piece.members) if n in piece.arrays]
        return piece.count * (sum(len(a.bands) for a in arrays) + 2), piece.count * sum(a.room for a in arrays)

    def files(self, piece: ShardPiece) -> Iterator[tuple[str, bytes]]:
        """All of each sample, `info.json` last."""
        for sample in piece.samples():
            yield from _files(piece, sample)

    def last(self, asked: ExportScope, written: Sequence[Sequence[str]]) -> Mapping[str, bytes]:
        """A table per split."""
        grids: dict[str, dict[str, Any]] = {}
        for piece, keys in zip(asked.pieces, written, strict=True):
            paths = [key.removesuffix("/info.json") for key in keys if key.endswith("/info.json")]
            for row, path in zip(piece.rows.to_pylist(), paths, strict=True):
                its = {"path": path.removeprefix("data/"), "info": _identity(piece, row, path.split("/")[2])} | _zone(
                    row
                )
                grids.setdefault(piece.split, {})[path.rpartition("/")[2]] = its
        return {f"grid_dict_{split}.json": _json(its) for split, its in grids.items()}


def _refused(why: str) -> ConfigError:
    return ConfigError(f"--format kuro-siwo: {why}: this form is of datasets such as manifests/kuro-siwo makes")


def _check_arrays(piece: ShardPiece) -> None:
    """Passes where samples have the three images as power, and labels, where they have some, in the published codes."""
    for season in IMAGES.values():
        _, entry = _image(piece, season)
        if entry.dtype != "float32":
            raise _refused(f"images are {entry.unit} ({entry.dtype}), expected power: say radar = 'float32' in [pack]")
    first: dict[str, str] = {}
    for member in piece.members:
        its = split_member(member)
        product = _product(piece.arrays[its.array], its.season) if its.array in piece.arrays else ""
        if product and (other := first.setdefault(product, member)) != member:
            raise _refused(
                f"{other} and {member} would both be {product}, expected one: leave a source out of the recipe"
            )
    for member in _having(piece, lambda entry: entry.role == "classes" and entry.seasons):
        if (entry := piece.arrays[split_member(member).array]).nodata != UNLABELLED:
            raise _refused(f"{member}: nodata is {entry.nodata:g}, expected labels 0 to 2 with nodata {UNLABELLED}")


def _check_grids(pieces: Sequence[ShardPiece]) -> None:
    """Passes where each sample has a grid of its own: by it folders are called, and loaders list samples."""
    first: dict[str, str] = {}
    for piece in pieces:
        columns = [n for n in piece.rows.schema.names if n in {"id", "grid_id", *ACTS, *AOIS, *DATES}]
        for row in piece.rows.select(columns).to_pylist():
            grid = _identity(piece, row, LABELLED)["grid_id"]
            if (other := first.setdefault(grid, row["id"])) != row["id"]:
                raise _refused(
                    f"samples {other} and {row['id']} have one grid, {grid}, of the column grid_id "
                    f"({row.get('grid_id')!r}): one would overwrite the other. Give each place its own, or leave "
                    "that column out of [places]"
                )


def _having(piece: ShardPiece, wanted: Any) -> list[str]:
    """Members of arrays that are such."""
    return [m for m in piece.members if (e := piece.arrays.get(split_member(m).array)) is not None and wanted(e)]


def _image(piece: ShardPiece, season: str) -> tuple[str, ArrayEntry]:
    """The member that is the image of a season, and its entry."""
    bands = {*BANDS.values()}
    found = [
        m for m in _having(piece, lambda e: bands <= {b.name for b in e.canonical}) if split_member(m).season == season
    ]
    if len(found) != 1:
        raise _refused(f"samples have {len(found)} images with VV and VH in season {season!r}, expected one")
    return found[0], piece.arrays[split_member(found[0]).array]


def _files(piece: ShardPiece, sample: ShardSample) -> Iterator[tuple[str, bytes]]:
    meta = json.loads(sample.meta)
    row = _columns(meta)
    rasters, shots = _rasters(piece, sample, meta)
    labelled = "MK0_MLU" in rasters
    its = _identity(piece, row | {"id": sample.key}, LABELLED if labelled else NO_LABELS)
    aoi = "NA" if its["aoiid"] is None else f"{its['aoiid']:02d}"
    grid = uuid.UUID(its["grid_id"]).hex
    folder = f"data/{its['actid']}/{aoi}/{grid}" if labelled else f"data/{its['actid']}/00/{grid[:2]}/{grid}"
    datasets = {}
    for product, (pixels, nodata) in rasters.items():
        day = shots.get(product[:3], shots["MS1"]).time
        name = f"{product}_{its['actid']}_{aoi}_{day:%Y%m%d}"
        datasets[name] = _product_entry(name, product, pixels, nodata, day)
        yield f"{folder}/{name}.tif", _tif(pixels, nodata, meta)
    yield f"{folder}/info.json", _json(its | _zone(row) | _known(rasters, shots, meta) | {"datasets": datasets})


def _rasters(
    piece: ShardPiece, sample: ShardSample, meta: Mapping[str, Any]
) -> tuple[dict[str, Raster], dict[str, Shot]]:
    """Product (`MS1_IVV`) → pixels, and image (`MS1`) → what it is.

    Raises:
        ConfigError: the sample lacks an image, which loaders stack; or its labels have other codes.
    """
    rasters: dict[str, Raster] = {}
    shots: dict[str, Shot] = {}
    valid = np.ones((), bool)
    for image, season in IMAGES.items():
        member, entry = _image(piece, season)
        if member not in sample.members:
            raise _refused(
                f"sample {sample.key} has no image of season {season!r}; leave such out, complete = 'all' in [pack]"
            )
        bands = _decoded(piece, sample, member)
        there = bands != entry.nodata
        valid = valid & there.all(axis=0)
        its = meta["seasons"][season]["sources"][entry.source]
        shots[image] = Shot(parse_time(its["time"]), its["scenes"])
        for product, canonical in BANDS.items():
            k = [b.name for b in entry.canonical].index(canonical)
            rasters[f"{image}_{product}"] = np.where(there[k], bands[k], np.float32(NO_POWER)), NO_POWER
    rasters["MK0_MNA"] = np.where(valid, VALID, INVALID).astype(np.uint8), INVALID
    return rasters | _others(piece, sample, valid), shots


def _others(piece: ShardPiece, sample: ShardSample, valid: NDArray[np.bool_]) -> dict[str, Raster]:
    """Labels, heights and slope, those that the sample has. Where an image has no pixel nothing is labelled."""
    out: dict[str, Raster] = {}
    for member in sorted(sample.members):
        entry = piece.arrays.get(split_member(member).array)
        product = "" if entry is None else _product(entry, split_member(member).season)
        if entry is None or not product:
            continue
        pixels = _decoded(piece, sample, member)[0]
        if pixels.shape != valid.shape:
            raise _refused(
                f"{member} has {pixels.shape} pixels, images {valid.shape}: say res_m, as the images have it"
            )
        if product == "MK0_MLU":
            if unknown := {*np.unique(pixels).tolist()} - CODES:
                raise _refused(f"{sample.key}.{member}: codes {sorted(unknown)}, expected 0 to {UNLABELLED}")
            pixels = np.where(valid, pixels, UNLABELLED).astype(np.uint8)
        out[product] = pixels, float(entry.nodata)
    return out


def _product(entry: ArrayEntry, season: str | None) -> str:
    """What an array beside the images is called; empty of one that the published set has not."""
    name = entry.canonical[0].name if len(entry.canonical) == 1 else ""
    if name and entry.role == "classes" and season == IMAGES["MS1"]:
        return "MK0_MLU"
    if entry.role == "data" and name.endswith(".height"):
        return "MK0_DEM"
    return "MK0_SLOPE" if name == "derived.slope" else ""


def _decoded(piece: ShardPiece, sample: ShardSample, member: str) -> NDArray[Any]:
    where = f"{piece.store.where(piece.entry.name)}: {sample.key}.{member}"
    return payload.decode(sample.members[member], split_member(member).encoding, where)


def _columns(meta: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = meta.get("columns", {})
    return found


def _first(row: Mapping[str, Any], names: Sequence[str]) -> Any:
    """What the first of some columns that says anything says."""
    return next((row[n] for n in names if row.get(n) is not None), None)


def _identity(piece: ShardPiece, row: Mapping[str, Any], aoi: str) -> dict[str, Any]:
    """Which event, area and grid a sample is of; `aoi` is `00` of one without labels."""
    act, when, area = _first(row, ACTS), _first(row, DATES), _first(row, AOIS)
    text = str(int(act)) if isinstance(act, float) and act.is_integer() else str(act)
    is_number = text.isdigit() and str(int(text)) == text  # "0470" is another event than "470"
    if not _ACT.fullmatch(text) or act != act:  # NaN, which is letters, too
        raise _refused(f"{row['id']}: event {shown(act)}, expected letters, digits and '-'")
    return {
        "actid": int(text) if is_number else text,
        "aoiid": None if aoi == NO_LABELS else _area(row["id"], 1 if area is None else area),
        "grid_id": str(_uuid(piece.dataset, str(row.get("grid_id") or row["id"]))),
        "flood_date": f"{_day(row['id'], when):%Y-%m-%d %H:%M:%S}",
    }


def _area(sample: str, said: Any) -> int:
    """The area's number, from 1: 0 would be that of samples without labels."""
    try:
        number = int(said)
    except (ValueError, TypeError, OverflowError):
        number = 0
    if number < 1 or (isinstance(said, float) and number != said):
        raise _refused(f"{sample}: aoiid {shown(said)}, expected a whole number from 1, or nothing")
    return number


def _day(sample: str, said: Any) -> dt.date:
    """The flood's date, of a column of dates, of times or of texts."""
    if isinstance(said, dt.date):  # a time is one, too
        return said
    try:
        return parse_time(said)
    except (ValueError, AttributeError) as err:
        raise _refused(f"{sample}: date {shown(said)}, expected one as 2021-11-09") from err


def _uuid(dataset: str, key: str) -> uuid.UUID:
    """Of a sample: its key where that is one, else what follows from dataset and key (RFC 9562, version 5)."""
    try:
        return uuid.UUID(key)
    except ValueError:
        return uuid.uuid5(uuid.NAMESPACE_URL, f"curation:{dataset}/{key}")


def _zone(row: Mapping[str, Any]) -> dict[str, Any]:
    """The climate zone by number, from 1, and name; None where nothing says it."""
    said = _first(row, CLIMATES)
    if isinstance(said, str) and said.lower() in ZONES:
        said = 1 + ZONES.index(said.lower())
    known = not isinstance(said, str) and said is not None and 1 <= said <= len(ZONES)
    return {"clz": int(said) if known else None, "clz_name": ZONES[int(said) - 1].title() if known else None}


def _known(rasters: Mapping[str, Raster], shots: Mapping[str, Shot], meta: Mapping[str, Any]) -> dict[str, Any]:
    """What `info.json` tells of a sample beside its names: shares in per cent of all pixels, scenes, and where it lies.

    Shares are those of `MLU` as it is written, None without it: no validity stands in, or what nobody mapped were covered.
    """
    labels = rasters["MK0_MLU"][0] if "MK0_MLU" in rasters else None
    x, y, side = meta["x0_m"], meta["y0_m"], meta["size_m"]
    return {
        "geom": shapely.box(x, y - side, x + side, y).wkt,
        "epsg": meta["epsg"],
        "gvalid": True,
        "mastercov": 1,
        "slavecov": len(shots) - 1,
        "pcovered": None if labels is None else _pct(labels != UNLABELLED),
        "pwater": None if labels is None else _pct(labels == 1),
        "pflood": None if labels is None else _pct(labels == 2),
        "sources": {i: {"source_date": f"{s.time:%Y-%m-%d}", "scenes": s.scenes} for i, s in shots.items()},
        "location": meta["id"],
        "split": meta["split"],
    }


def _pct(there: NDArray[np.bool_]) -> float:
    return round(100 * float(there.mean()), 4)


def _product_entry(name: str, product: str, pixels: NDArray[Any], nodata: float, day: dt.datetime) -> dict[str, Any]:
    kind, _, pname = product.partition("_")
    return {
        "name": name,
        "ptype": kind[:2],
        "rank": int(kind[2:]),
        "pname": pname,
        "master": kind == "MS1",
        "dtype": pixels.dtype.name,
        "nodata": nodata,
        "source_date": f"{day:%Y-%m-%d}",
    }


def _tif(pixels: NDArray[Any], nodata: float, meta: Mapping[str, Any]) -> bytes:
    """One band on the sample's grid."""
    height, width = pixels.shape
    step = meta["size_m"] / width
    form = {
        "driver": "GTiff",
        "count": 1,
        "height": height,
        "width": width,
        "dtype": pixels.dtype.name,
        "nodata": nodata,
    }
    where = {"crs": f"EPSG:{meta['epsg']}", "transform": Affine(step, 0, meta["x0_m"], 0, -step, meta["y0_m"])}
    with MemoryFile() as memory:
        with memory.open(**form, **where, compress="deflate") as out:
            out.write(pixels, 1)
        data: bytes = memory.read()
    return data


def _json(value: Any) -> bytes:
    return (json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()
