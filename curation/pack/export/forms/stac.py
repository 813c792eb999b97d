"""A STAC collection of items over cubes and shards, in JSON files: no pixel is copied, and hrefs are relative.

```
collection.json                              the dataset
<region>/<season>/<slab>/catalog.json        some neighbouring patches
<region>/<season>/<slab>/<id>.json           an item per patch: its arrays in the cube, the shard that has it as a sample
```
"""

from __future__ import annotations

import datetime as dt
import json
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import pystac
import shapely
import shapely.affinity
from pystac.extensions.eo import Band, EOExtension
from pystac.extensions.projection import ProjectionExtension
from pystac.extensions.raster import DataType, RasterBand, RasterExtension
from pystac.extensions.sar import FrequencyBand, Polarization, SarExtension

from curation.errors import ConfigError
from curation.format.index import INDEX
from curation.model import STATIC, iso
from curation.pack.export import of_shards
from curation.pack.export.patch import ExportPatch
from curation.pack.export.pieces import ExportScope, Form, SlabPiece
from curation.pack.export.target import relative
from curation.places import grid
from curation.recipe import synthetic
from curation.recipe.arrays import ArraySpec
from curation.recipe.bands import BandSpec
from curation.recipe.dataset import Dataset
from curation.recipe.units import quantity, scale_of
from curation.store import paths
from curation.store.objects import Store

ZARR, TAR = "application/vnd.zarr; version=3", "application/x-tar"
"""Media types of assets."""

_SENTINEL_1 = re.compile(r"S1[A-Z]_(?P<mode>S[1-6]|IW|EW|WV)_(?P<product>GRD|SLC|OCN|RAW)[FHM_]?_")
"""How ESA names Sentinel-1 products: the instrument's mode and the product are told by nothing else that is kept."""

_FREQUENCIES_GHZ = (
    (0.25, FrequencyBand.P),
    (1, FrequencyBand.L),
    (2, FrequencyBand.S),
    (4, FrequencyBand.C),
    (8, FrequencyBand.X),
    (12.5, FrequencyBand.KU),
    (18, FrequencyBand.K),
    (26.5, FrequencyBand.KA),
)
"""From where on a radar's band is called so: the SAR extension's table of common frequency band names."""


@dataclass(frozen=True, slots=True)
class Stac(Form):
    """STAC 1.1 with the extensions projection, raster, eo and sar.

    Of an asset of pixels the href is the Zarr array in its cube; `curation:patch` is the patch's number along the array's
    first axis.
    """

    name: ClassVar[str] = "stac"

    def last_count(self, asked: ExportScope) -> int:
        """One."""
        return 1

    def prepared(self, asked: ExportScope, store: Store, to: Store) -> ExportScope:
        """The pieces, each with its way to the dataset's folder and the shards that have its places as samples.

        Raises:
            ConfigError: no relative href leads from the target to the dataset.
        """
        way = relative(to, store)
        if way is None:
            raise ConfigError(
                f"--to {to.where('')}: no relative href leads from there to {store.where('')}; expected a folder on the "
                "same machine, or a place in the same bucket"
            )
        shards = of_shards.shard_of_samples(store) if store.child(paths.SHARDS).head(INDEX) is not None else {}
        pieces = [
            replace(p, way=way, shards={s.id: shards[s.id] for s in p.places if s.id in shards}) for p in asked.pieces
        ]
        return replace(asked, pieces=tuple(pieces))

    def expected(self, piece: SlabPiece) -> tuple[int, int]:
        """An item per patch, and the catalog of these; no pixel."""
        return piece.count + 1, 0

    def files(self, piece: SlabPiece) -> Iterator[tuple[str, bytes]]:
        """The items, and the catalog that links them, last."""
        links = []
        for patch in piece.patches():
            name = f"{patch.place.id}.json"
            links.append({"rel": "item", "href": f"./{name}", "type": "application/geo+json"})
            yield f"{piece.name}/{name}", _json(_item(patch, piece))
        above = f"{_up(piece)}/collection.json"
        value = pystac.Catalog(_id(piece.name), f"Patches of slab {piece.slab} of cube {piece.cube.name}").to_dict(
            include_self_link=False
        )
        value["links"] = [_link("root", above), _link("parent", above), *links]
        yield f"{piece.name}/catalog.json", _json(value)

    def last(self, asked: ExportScope, written: Sequence[Sequence[str]]) -> Mapping[str, bytes]:
        """The collection."""
        return {paths.STAC_COLLECTION: _json(_collection(asked.dataset, asked.pieces))}


def _collection(dataset: Dataset, pieces: Sequence[SlabPiece]) -> dict[str, Any]:
    boxes = [_geometry(p, slot)[1] for p in pieces for slot in p.wanted]
    crosses = any(west > east for west, _, east, _ in boxes)
    west, south, east, north = zip(*boxes, strict=True)
    whole = [-180.0 if crosses else min(west), min(south), 180.0 if crosses else max(east), max(north)]
    places = [(p, p.places[slot]) for p in pieces for slot in p.wanted]
    windows = [
        w
        for p, place in places
        for s in (dataset.season_names() if p.season == STATIC else [p.season])
        if (w := p.dataset.recipe.season(s).window(place)) is not None
    ]
    start, end = min(w.start for w in windows), max(w.end for w in windows) - dt.timedelta(milliseconds=1)
    asked = {source: its for p in pieces for source, its in p.asked.items()}
    title = f"{dataset.recipe.title or dataset.name}."
    licences = "; ".join(f"{s.name}: {s.licence}" for s in dataset.specs.values())
    made = pystac.Collection(
        id=_id(dataset.name),
        title=dataset.recipe.title or dataset.name,
        description=" ".join(
            filter(None, [synthetic.about(asked), title, f"An item is a place in a season. Licences: {licences}"])
        ),
        extent=pystac.Extent(pystac.SpatialExtent([whole]), pystac.TemporalExtent([[start, end]])),
        license="other",
    )
    value = made.to_dict(include_self_link=False)
    children = [_link("child", f"./{p.name}/catalog.json") for p in pieces]
    value["links"] = [_link("root", "./collection.json"), *children]
    return value


def _item(patch: ExportPatch, piece: SlabPiece) -> dict[str, Any]:
    """A patch."""
    slot = patch.number - piece.slab * patch.cube.slab_patches
    geometry, box = _geometry(piece, slot)
    place, (first, last) = patch.place, patch.span()
    deciding = next((t[0] for s in patch.cube.sources if (t := patch.times(s.name))), None)
    item = pystac.Item(
        id=_id(patch.name),
        geometry=geometry,
        bbox=box,
        datetime=deciding,
        properties={"title": patch.name, "curation:location": place.id, "curation:season": patch.cube.season},
        start_datetime=first,
        end_datetime=last,
    )
    x0, y0, side = place.x0_m, place.y0_m, place.size_m
    ProjectionExtension.ext(item, add_if_missing=True).apply(
        code=f"EPSG:{place.epsg}", bbox=[x0, y0 - side, x0 + side, y0]
    )
    item.collection_id = _id(patch.cube.dataset.name)
    for name, (spec, array) in patch.arrays.items():
        href = posixpath.join(_up(piece), piece.way, patch.cube.prefix, name)
        asset = pystac.Asset(href, title=f"{spec.title}, {array.label}", media_type=ZARR, roles=[_role(array)])
        item.add_asset(name, asset)
        _tell(patch, name, asset)
    if place.id in piece.shards:
        href = posixpath.join(_up(piece), piece.way, piece.shards[place.id])
        own = {"curation:sample": place.id}
        item.add_asset(
            "shard", pystac.Asset(href, "Shard with this sample", media_type=TAR, roles=["data"], extra_fields=own)
        )
    _sar(patch, item)
    _cloud(patch, item)
    value: dict[str, Any] = item.to_dict(include_self_link=False)
    above = f"{_up(piece)}/collection.json"
    value["links"] = [_link("root", above), _link("collection", above), _link("parent", "./catalog.json")]
    return value


def _tell(patch: ExportPatch, name: str, asset: pystac.Asset) -> None:
    """Tells of an asset what its pixels are, and where."""
    spec, array = patch.arrays[name]
    px, times = array.px(patch.place.size_m), [iso(t) for t in patch.times(spec.name)]
    asset.extra_fields |= {"curation:source": spec.name, "curation:patch": patch.number}
    if patch.scenes(spec.name):
        asset.extra_fields["curation:scenes"] = list(patch.scenes(spec.name))
    if patch.cube.steps(name):
        asset.extra_fields["curation:times"] = times  # of the steps along the array's second axis
    elif times:
        asset.extra_fields["datetime"] = times[0]
    projection = ProjectionExtension.ext(asset)
    projection.shape, projection.transform = [px, px], list(patch.transform(name)[:6])
    scale = scale_of(array)
    one = RasterBand.create(
        nodata=array.nodata,
        data_type=DataType(array.dtype),
        spatial_resolution=array.step(patch.place.size_m),
        unit=quantity(array),
        scale=scale if scale != 1 else None,
    )
    RasterExtension.ext(asset, add_if_missing=True).apply([one] * len(array.bands))
    bands = [(b, spec.band(b)) for b in array.bands]
    if any(its.centre_nm is not None for _, its in bands):
        EOExtension.ext(asset, add_if_missing=True).bands = [_band(b, its) for b, its in bands]
    else:
        asset.extra_fields["bands"] = [{"name": b, "description": its.name} for b, its in bands]


def _band(name: str, its: BandSpec) -> Band:
    """A band of light; wavelengths in micrometres."""
    if its.centre_nm is None or its.width_nm is None:
        return Band.create(name, common_name=its.common_name, description=its.name)
    return Band.create(
        name,
        common_name=its.common_name,
        description=its.name,
        center_wavelength=round(its.centre_nm / 1000, 6),
        full_width_half_max=round(its.width_nm / 1000, 6),
    )


def _sar(patch: ExportPatch, item: pystac.Item) -> None:
    """What the SAR extension wants of an item, where radar is all of one kind and its scenes say which."""
    arrays = [(s, a) for s, a in patch.arrays.values() if all(s.band(b).centre_mhz is not None for b in a.bands)]
    named = [_SENTINEL_1.match(scene) for s, _ in arrays for scene in patch.scenes(s.name)]
    kinds = {(m["mode"], m["product"]) for m in named if m is not None}
    if not named or None in named or len(kinds) != 1:
        return
    bands = [s.band(b) for s, a in arrays for b in a.bands]
    ghz = {b.centre_mhz / 1000 for b in bands if b.centre_mhz is not None}
    known = {p.value for p in Polarization}
    ends = dict.fromkeys(b.polarisation or b.name.rpartition(".")[2].upper() for b in bands)
    if len(ghz) != 1 or not set(ends) <= known:
        return
    (mode, product), centre = kinds.pop(), ghz.pop()
    SarExtension.ext(item, add_if_missing=True).apply(
        instrument_mode=mode,
        frequency_band=next(band for least, band in reversed(_FREQUENCIES_GHZ) if centre >= least),
        polarizations=[Polarization(p) for p in ends],
        product_type=product,
        center_frequency=centre,
    )


def _cloud(patch: ExportPatch, item: pystac.Item) -> None:
    """The share of the patch, in percent, that is not clear by the mask of the source that decides."""
    shares = (patch.facts.get(f"{s.name}_clear_fraction") for s in patch.cube.sources)
    if (clear := next((c for c in shares if c is not None), None)) is not None:
        least = float(np.nanmin(clear))  # of steps that of the worst
        EOExtension.ext(item, add_if_missing=True).cloud_cover = round(100 * (1 - least), 2)


def _geometry(piece: SlabPiece, slot: int) -> tuple[dict[str, Any], list[float]]:
    """GeoJSON of a footprint, cut at the antimeridian, and its bbox, whose west is then greater than its east."""
    shape = grid.footprint(piece.places[slot])
    west, south, east, north = shape.bounds
    if west >= -180 and east <= 180:
        return shapely.geometry.mapping(shape), [west, south, east, north]
    parts = []
    for turn in (-360, 0, 360):
        part = shapely.affinity.translate(shape, turn).intersection(shapely.box(-180, -90, 180, 90))
        parts += [g for g in getattr(part, "geoms", [part]) if g.area > 0]
    box = [(west + 180) % 360 - 180, south, (east + 180) % 360 - 180, north]
    return shapely.geometry.mapping(shapely.MultiPolygon(parts)), box


def _role(array: ArraySpec) -> str:
    return "data" if array.is_data else "metadata"


def _up(piece: SlabPiece) -> str:
    """From a piece's folder to the target."""
    return "/".join([".."] * (piece.name.count("/") + 1))


def _id(name: str) -> str:
    """An id of STAC's, which has no `/`."""
    return name.replace("/", "_")


def _link(rel: str, href: str) -> dict[str, str]:
    return {"rel": rel, "href": href, "type": "application/json"}


def _json(value: Any) -> bytes:
    return (json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False) + "\n").encode()
