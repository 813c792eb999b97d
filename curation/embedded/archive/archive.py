"""The archive: GeoTIFFs and netCDF files by collection, item and asset, rendered when first asked for and kept on disk.

Scenes of the cells (`cellscenes`) and aerial pictures (`pictures`) are rendered block by block, all else a file at a time.
"""

from __future__ import annotations

import contextlib
import threading
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import rasterio.shutil
from numpy.typing import NDArray
from rasterio.enums import Resampling

from curation.embedded.archive.blockfile import BlockFile
from curation.embedded.archive.cellscenes import CellScenes
from curation.embedded.archive.landsat import COLLECTION as LANDSAT
from curation.embedded.archive.landsat import SceneL, landsat_scenes
from curation.embedded.archive.pictures import Pictures
from curation.embedded.archive.published import published
from curation.embedded.archive.scenes import Lit, Scene1, dynamicworld_scenes, s1_scenes, s2_scenes, shift_of
from curation.embedded.sensors import columns, labels, level2, olci, oli, optics, orbits, radar, static
from curation.embedded.world import cells, floods, ground, terrain, view
from curation.embedded.world.cover import BANDS
from curation.embedded.world.grids import Grid
from curation.embedded.world.once import OnceCache
from curation.embedded.world.regions import Region

BLOCK = 512

QA = "qa_pixel"
"""The asset of Landsat's mask."""

OVERVIEWS = [4, 16]

CREATION: dict[str, Any] = {"driver": "COG", "blocksize": BLOCK, "compress": "DEFLATE", "level": 1}
"""Level 1: these files are written once and read a few times on the same machine."""


@dataclass(frozen=True, slots=True)
class Key:
    """One file of the archive."""

    collection: str
    item: str
    asset: str
    """Of a swath product: the file's own name, without its suffix."""

    @property
    def suffix(self) -> str:
        """Of its file."""
        return ".nc" if self.collection in (orbits.COLLECTION, olci.COLLECTION) else ".tif"

    @property
    def path(self) -> str:
        """Below the archive's root, on disk and in URLs."""
        return f"{self.collection}/{self.item}/{self.asset}{self.suffix}"


@dataclass(frozen=True, slots=True)
class Group:
    """Assets that are rendered together, because they share most of the work."""

    collection: str
    item: str
    assets: tuple[str, ...]


def groups() -> list[Group]:
    """Every asset that is rendered whole, in groups."""
    by_res = [tuple(b for b in BANDS if optics.RES_M[b] == res) for res in (10, 20, 60)]
    out = [Group("sentinel-2-l2a", s.id, assets) for s in s2_scenes() for assets in (*by_res, ("SCL",))]
    out += [Group("sentinel-1-rtc", s.id, (pol,)) for s in s1_scenes() for pol in radar.POLARISATIONS]
    out += [Group(LANDSAT, s.id, assets) for s in landsat_scenes() for assets in (oli.BANDS, (QA,))]
    out += [Group("dynamicworld", s.dynamicworld_id, ("label",)) for s in dynamicworld_scenes()]
    out += [Group("cop-dem-glo-30", p.id, ("data",)) for p in (*static.elevation_products(), *static.world_elevation())]
    out += [Group("esa-worldcover", p.id, ("map",)) for p in static.worldcover_products()]
    out += [Group(orbits.COLLECTION, f.id, (f.id,)) for f in columns.files()]
    out += [Group(olci.COLLECTION, g.id, olci.FILES) for g in olci.granules()]
    return out


class Archive:
    """Files under a folder. Any number of threads and processes may share it: a file is either whole or not there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._group = {Key(g.collection, g.item, a): g for g in groups() for a in g.assets}
        self._locks: dict[Group, threading.Lock] = {g: threading.Lock() for g in self._group.values()}
        self._s2 = {s.id: s for s in s2_scenes()}
        self._s1 = {s.id: s for s in s1_scenes()}
        self._dw = {s.dynamicworld_id: s for s in dynamicworld_scenes()}
        products = (*static.elevation_products(), *static.world_elevation(), *static.worldcover_products())
        self._static = {p.id: p for p in products}
        self._cells = CellScenes(folder / "blocks", lambda biome: self._stored_ground(cells.biome_region(biome)))
        self._landsat = {s.id: s for s in landsat_scenes()}
        self._pictures = Pictures(folder / "blocks", self._ground)
        self._s5p = {f.id: f for f in columns.files()}
        self._s3 = {g.id: g for g in olci.granules()}
        self._grounds: OnceCache[ground.Ground] = OnceCache(2)
        self._views: OnceCache[view.View] = OnceCache(3)
        self._lights: OnceCache[optics.Light] = OnceCache(2)

    def known(self, key: Key) -> bool:
        """Whether there is such an asset."""
        return key in self._group or self.in_blocks(key) is not None

    def ready(self, key: Key) -> Path | None:
        """The asset's file if it has been rendered."""
        path = self.folder / "archive" / key.path
        return path if path.exists() else None

    def in_blocks(self, key: Key) -> BlockFile | None:
        """Where everything lies in an asset that is rendered block by block; None where it is none, or unknown."""
        its = key.collection, key.item, key.asset
        return self._cells.file(*its) or self._pictures.file(*its)

    def read(self, key: Key, start: int, stop: int) -> bytes:
        """Bytes start to stop of an asset that is rendered block by block."""
        if self._pictures.file(key.collection, key.item, key.asset) is not None:
            return self._pictures.read(key.item, start, stop)
        return self._cells.read(key.collection, key.item, key.asset, start, stop)

    def path(self, key: Key) -> Path:
        """The asset's file, rendered now (all of it) if it has not been.

        Raises:
            KeyError: there is no such asset.
        """
        if (file := self.in_blocks(key)) is not None:
            path = self.folder / "archive" / key.path
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                with published(path) as part:
                    part.write_bytes(self.read(key, 0, file.size))
            return path
        group = self._group[key]
        with self._locks[group]:
            found = self.ready(key)
            if found is None:
                self._render(group)
                found = self.folder / "archive" / key.path
        return found

    def _render(self, group: Group) -> None:
        pixels: NDArray[Any]
        if group.collection in (orbits.COLLECTION, olci.COLLECTION):
            self._write_swath(group)
        elif group.collection == "sentinel-2-l2a":
            scene = self._s2[group.item]
            seen = self._view(scene)
            under = self._light(scene, seen)
            if group.assets == ("SCL",):
                self._write(
                    group, "SCL", optics.classification(scene, seen, under), scene.grid.coarser(2), predictor="NO"
                )
                return
            grid = scene.grid.coarser(optics.RES_M[group.assets[0]] // 10)
            for name, pixels in optics.bands(scene, seen, under, group.assets).items():
                self._write(group, name, pixels, grid, predictor=2)
        elif group.collection == "sentinel-1-rtc":
            radar_scene = self._s1[group.item]
            (pol,) = group.assets
            pixels = radar.gamma0(radar_scene, self._view(radar_scene), pol)
            self._write(group, pol, pixels, radar_scene.grid, nodata=radar.NODATA, compress="ZSTD")
        elif group.collection == LANDSAT:
            self._write_landsat(group, self._landsat[group.item])
        elif group.collection == "dynamicworld":
            scene = self._dw[group.item]
            seen = self._view(scene)
            pixels = labels.dynamicworld(scene, self._ground(scene.region), seen, self._light(scene, seen))
            self._write(group, "label", pixels, scene.grid, nodata=labels.DW_GAP)
        elif group.collection == "cop-dem-glo-30":
            product = self._static[group.item]
            if product.region is None:
                pixels = terrain.elevation(product.grid)
            else:
                pixels = labels.elevation(self._ground(product.region), product.region, product.grid)
            self._write(group, "data", pixels, product.grid, predictor=3)
        else:
            product = self._static[group.item]
            assert product.region is not None
            pixels = labels.worldcover(self._ground(product.region), product.region, product.grid, product.version)
            self._write(group, "map", pixels, product.grid, nodata=0)

    def _write_landsat(self, group: Group, scene: SceneL) -> None:
        seen, grid = self._view(scene), scene.grid.coarser(oli.FACTOR)
        under = self._light(scene, seen)
        if group.assets == (QA,):
            self._write(group, QA, oli.quality(scene, seen, under), grid, nodata=oli.QA_FILL, predictor="NO")
            return
        for name, pixels in oli.bands(scene, seen, under).items():
            self._write(group, name, pixels, grid, nodata=oli.FILL, predictor=2)

    def _write_swath(self, group: Group) -> None:
        with contextlib.ExitStack() as whole:
            paths = {}
            for name in group.assets:
                path = self.folder / "archive" / Key(group.collection, group.item, name).path
                path.parent.mkdir(parents=True, exist_ok=True)
                paths[name] = whole.enter_context(published(path))
            if group.collection == orbits.COLLECTION:
                level2.write(paths[group.item], self._s5p[group.item])
            else:
                olci.write(paths, self._s3[group.item])

    def _ground(self, region: Region) -> ground.Ground:
        return self._grounds.get(region.name, lambda: self._stored_ground(region))

    def _stored_ground(self, region: Region) -> ground.Ground:
        """The region's ground, mapped from disk: it takes some seconds to make, and 50 MB."""
        folder = self.folder / "ground"
        paths = {name: folder / f"{region.name}-{name}.npy" for name in ("code", "height")}
        if not all(p.exists() for p in paths.values()):
            made = ground.make(region)
            folder.mkdir(parents=True, exist_ok=True)
            for name, path in paths.items():
                with published(path) as part, part.open("wb") as file:
                    np.save(file, getattr(made, name))
        return ground.Ground(*(np.load(paths[name], mmap_mode="r") for name in ("code", "height")))

    def _view(self, scene: Scene1 | Lit) -> view.View:
        grid, level_m = scene.grid, floods.level_m(scene.region, scene.time)
        shift = shift_of(scene)
        return self._views.get(
            (grid, level_m, shift), lambda: view.make(self._seen(scene.region, level_m), scene.region, grid, shift)
        )

    def _seen(self, region: Region, level_m: float | None) -> ground.Ground:
        """The region's ground, under water where a flood has come over it."""
        dry = self._ground(region)
        if level_m is None:
            return dry
        return self._grounds.get((region.name, level_m), lambda: floods.under_water(dry, region, level_m))

    def _light(self, scene: Lit, seen: view.View) -> optics.Light:
        # Products of one acquisition and tile share it.
        return self._lights.get((scene.acquired, scene.grid), lambda: optics.light(scene, seen))

    def _write(self, group: Group, asset: str, pixels: NDArray[Any], grid: Grid, **options: object) -> None:
        path = self.folder / "archive" / Key(group.collection, group.item, asset).path
        path.parent.mkdir(parents=True, exist_ok=True)
        with published(path) as part:
            write_cog(part, pixels, grid, options)


def write_cog(path: Path, pixels: NDArray[Any], grid: Grid, options: Mapping[str, object]) -> None:
    """Writes pixels (rows, columns) as a Cloud-Optimised GeoTIFF of one band.

    The overviews are made in memory and few: made by the COG driver they would cost as much as everything else.
    """
    scratch = f"/vsimem/{uuid.uuid4().hex}.tif"
    with rasterio.open(
        scratch, "w+", driver="GTiff", height=grid.height, width=grid.width, count=1, dtype=pixels.dtype,
        crs=f"EPSG:{grid.epsg}", transform=grid.transform, nodata=options.get("nodata"),
        tiled=True, blockxsize=BLOCK, blockysize=BLOCK,
    ) as file:  # fmt: skip
        file.write(pixels, 1)
        file.build_overviews(OVERVIEWS, Resampling.nearest)
    try:
        rasterio.shutil.copy(scratch, path, **CREATION | {k: v for k, v in options.items() if k != "nodata"})
    finally:
        rasterio.shutil.delete(scratch)
