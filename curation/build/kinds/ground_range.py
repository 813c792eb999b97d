"""Detected radar images in ground range: placed by their tie points, calibrated by their annotation, judged by heights."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from curation.build.context import Part, Patch, Slab, Source, is_lasting
from curation.build.pixels import assets_of
from curation.build.power import Power
from curation.errors import HeightsError, LostHeightsError, ReadError
from curation.errors.causes import one_line
from curation.errors.codes import Code
from curation.model import Location, Scene
from curation.outcomes import Reject, Status
from curation.places import grid
from curation.read import annotation, backscatter, groundrange
from curation.read.annotation import Calibration
from curation.read.geoid import sha256_of, undulation_m
from curation.read.groundrange import PlacedPixels, TiePoints
from curation.read.raster import Raster
from curation.read.reader import Asset, Read
from curation.read.sparse import BrokenError
from curation.recipe.arrays import ArraySpec
from curation.recipe.facts import Fact
from curation.recipe.sources import SourceSpec

MOST_DISPLACED_PX = 0.5
"""Further from where it says it is no pixel may lie."""

MOST_CORRECTED_M = 1400.0
"""Heights over those of the tie points that are corrected for. What is left out is of second order, by geometry on a plane
h² (cot² θ cos² θ - sin² θ) / (2 R sin θ): half a pixel of 10 m there, at a slant range R of 800 km and θ = 30°, the least of
IW, and less for all that lies further."""

CALIBRATION, NOISE = "calibration", "noise"
"""Files beside an image, behind the band's name and a colon."""


class GroundRange(Power):
    """An image in ground range of the numbers that a radar detected."""

    corrects_relief: ClassVar[bool] = True
    heights: str
    """The source of heights above EGM2008 that relief is judged by."""
    geoid: str = Field(pattern=r"^[a-z0-9_]+\.(tif|gtx)$")
    """PROJ's grid of how high that lies above the ellipsoid, which tie points are told from."""

    @property
    def judged_by(self) -> str | None:
        """That source."""
        return self.heights

    def check(self, source: SourceSpec) -> None:
        """Passes where all arrays are backscatter in metres."""
        super().check(source)
        if any(a.says_of_files for a in source.arrays):
            raise ValueError("scale, offset, file_nodata, bits and limits are of rasters that state a grid")
        if odd := [a.bands for a in source.arrays if not a.is_data or a.dtype != "float32" or a.res_m is None]:
            raise ValueError(f"arrays of 'ground-range' are data in float32 with 'res_m'; {odd[0]} are not")
        if len(source.arrays) != 1:
            raise ValueError("'ground-range' has one array, of all of its bands")

    def check_grid(self, size_deg: float | None, px: set[int]) -> str:
        """It is placed in metres."""
        return (
            ""
            if size_deg is None
            else "an image in ground range is placed in metres, and those are in degrees; leave it out"
        )

    def sought(self, bands: Sequence[str]) -> tuple[str, ...]:
        """Each band's image, and what is said of it."""
        return tuple(f"{band}{part}" for band in bands for part in ("", f":{CALIBRATION}", f":{NOISE}"))

    def facts(self, source: str) -> list[Fact]:
        """As of radar, and how relief displaces it."""
        moved = "greatest displacement by relief, pixels, of heights that differ from those of the tie points"
        return [
            *super().facts(source),
            Fact(f"{source}_relief_px", "float32", f"{moved}; taken back where {source}_relief_corrected is 1"),
            Fact(
                f"{source}_relief_corrected", "uint8", "1 where pixels were taken from where relief had displaced them"
            ),
            Fact(f"{source}_incidence_deg", "float32", "mean incidence angle on the ellipsoid, degrees"),
            Fact(
                f"{source}_geoid_m", "float32", "mean height of the geoid above the ellipsoid, metres, that was added"
            ),
            Fact(
                f"{source}_geoid_sha256",
                "string",
                "sha256 of the geoid's file on the machine that read; empty where PROJ took it from no file",
            ),
        ]

    def reads(self, source: Source, place: Location, scenes: Sequence[Scene], part: Part = "all") -> list[Read]:
        """Nothing: where a place appears in an image is known when its tie points are read."""
        return []

    def pixels(
        self, slab: Slab, source: Source, place: Location, name: str, scenes: Sequence[Scene]
    ) -> tuple[NDArray[Any], bool]:
        """(band, y, x) of the array of one scene.

        Raises:
            Reject: `old_annotation`, `relief`, `relief_unknown`; `impossible` where it holds what cannot be.
            ReadError: a file of it cannot be read.
            HeightsError: heights cannot be read, for which a rerun may have them.
        """
        array, (scene,) = source.arrays[name], scenes
        source.memo.clear()  # of another patch, or scene
        bands = [self._band(slab, source, place, array, band, scene) for band in array.bands]
        return backscatter.possible(np.stack(bands), array.nodata), True

    def scene_facts(self, source: Source, place: Location, scenes: Sequence[Scene]) -> dict[str, Any]:
        """As of radar, and of relief."""
        return {**super().scene_facts(source, place, scenes), **source.memo.get("facts", {})}

    def _band(
        self, slab: Slab, source: Source, place: Location, array: ArraySpec, band: str, scene: Scene
    ) -> NDArray[np.float32]:
        image, of_calibration, of_noise = (assets_of(source, part, [scene])[0] for part in self.sought([band]))
        reader, most = slab.reader, annotation.MOST_BYTES
        calibration = reader.parsed(of_calibration, annotation.calibration, band, most)
        noise = reader.parsed(of_noise, annotation.noise, band, most)
        if noise is None:
            raise Reject(Code.OLD_ANNOTATION)

        def points_of(raster: Raster) -> tuple[TiePoints, PlacedPixels]:
            points = groundrange.tie_points(raster)
            return points, groundrange.placed(points, place, array.step(place.size_m))

        points, nominal = reader.opened(image, points_of)
        where = self._judged(slab, source, place, array.step(place.size_m), points, nominal, calibration)

        def seen(raster: Raster) -> NDArray[np.float32]:
            if not groundrange.is_inside(points, where).any():
                _check_place(points, image)
            return groundrange.sigma0(raster, image.band, where, calibration, noise, array.nodata)

        return reader.opened(image, seen)

    def _judged(
        self, slab: Slab, source: Source, place: Location, step_m: float, points: TiePoints, nominal: PlacedPixels,
        calibration: Calibration,
    ) -> PlacedPixels:  # fmt: skip
        """Where pixels are taken from, by their heights; the same of all bands, whose tie points are the same."""
        if source.memo.get("points") == points:
            found: PlacedPixels = source.memo["where"]
            return found
        heights, geoid_m = _heights_m(slab, self, place, step_m / nominal.parts)
        metres = groundrange.displacement_m(nominal, calibration, heights)
        farthest_px = float(np.abs(metres).max()) / step_m
        if not source.corrects_relief and farthest_px > MOST_DISPLACED_PX:
            raise Reject(Code.RELIEF, farthest_px)
        if source.corrects_relief and np.abs(heights - nominal.height_m).max() > MOST_CORRECTED_M:
            raise Reject(Code.RELIEF, farthest_px)
        where = nominal.moved(metres) if source.corrects_relief else nominal
        cot = calibration.cot_incidence(nominal.rows - 0.5, nominal.cols - 0.5)
        measured = {
            "relief_px": farthest_px,
            "relief_corrected": int(source.corrects_relief),
            "incidence_deg": float(np.degrees(np.arctan(1 / cot)).mean()),
            "geoid_m": geoid_m,
            "geoid_sha256": sha256_of(self.geoid),
        }
        source.memo.update(points=points, where=where, facts={f"{source.name}_{k}": v for k, v in measured.items()})
        return where


def _heights_m(slab: Slab, kind: GroundRange, place: Location, step_m: float) -> tuple[NDArray[np.float64], float]:
    """(y, x) heights above the ellipsoid of a place's pixels of a size, and the geoid's mean: by the pick of their source.

    Raises:
        Reject: `relief_unknown`, where any is missing.
        HeightsError: an item or a file of them cannot be read.
        ReadError: that may pass, or the recipe takes nothing in place of what cannot be read.
    """
    its = next(s for s in slab.judges if s.name == kind.heights)
    name, own = next(iter(its.arrays.items()))
    # Straight from the file's grid: what a recipe has of it, in pixels of 30 m, ends at the edge of the place.
    its = dataclasses.replace(its, arrays={name: own.model_copy(update={"res_m": step_m, "size_px": None})})
    trial = Patch(place)
    try:
        for _ in its.chooser.read(slab, trial, its):
            pass
    except Reject as why:
        if why.status is Status.FAILED:  # no refusal: a rerun asks again
            raise LostHeightsError(f"heights of {its.name!r}: {why.code}: {why.cause}") from why
        raise Reject(Code.RELIEF_UNKNOWN, why.value, cause=why.cause) from why
    except ReadError as err:
        if is_lasting(err, slab):  # and none of the scene: the next one has the same heights
            raise HeightsError(f"heights of {its.name!r}: {one_line(err)}") from err
        raise
    heights = trial.pixels[name][0].astype(np.float64)
    if (heights == own.nodata).any():
        raise Reject(Code.RELIEF_UNKNOWN, float((heights != own.nodata).mean()))
    x, y = np.meshgrid(place.x0_m + np.array([0, place.size_m]), place.y0_m - np.array([0, place.size_m]))
    lon, lat = grid.transformer(place.epsg, 4326).transform(x, y)
    corners = undulation_m(kind.geoid, np.asarray(lon), np.asarray(lat))
    return heights + corners.mean(), float(corners.mean())


def _check_place(points: TiePoints, asset: Asset) -> None:
    """Passes where an image that a place does not meet lies where its item says. Raises BrokenError otherwise."""
    if asset.holds is None:
        return
    lon, lat = asset.holds
    epsg = grid.utm_epsg(lon, min(max(lat, grid.MIN_LAT), math.nextafter(grid.MAX_LAT, 0)))
    x, y = grid.transformer(4326, epsg).transform(lon, lat)
    there = Location("there", lon, lat, epsg, x - 10, y + 10, 20, "there")
    if not groundrange.is_inside(points, groundrange.placed(points, there, 10)).any():
        raise BrokenError(
            f"its tie points put it elsewhere than its item does: longitude {lon:.4f}, latitude {lat:.4f} is not in it"
        )
