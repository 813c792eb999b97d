"""A radar scene in ground range of known ground: an image, tie points and annotation, by the geometry that they state.

The sensor flies north by 11° west and looks to its right. Sample j of line i is seen at the incidence angle θ(j); ground at
the range `g` and the height `h` above the ellipsoid appears in the sample j for which g = g₀(j) + h cot θ(j). Tie points lie
on ground whose height is known along lines alone, as in real products. Files are written by GDAL and by hand, from the
published specification; nothing of `curation` is used.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import shapely
from affine import Affine
from pyproj import Transformer
from rasterio.control import GroundControlPoint

SPACING_M = 10.0
GEOID = "us_nga_egm08_25.tif"
Heights = Callable[[np.ndarray, np.ndarray], np.ndarray]


def undulation_m(lon: Any, lat: Any) -> np.ndarray:
    """A geoid of its own: longitude and latitude count differently."""
    return 41.5 + 0.3 * (np.asarray(lon) - 8) - 0.2 * (np.asarray(lat) - 54)


def write_geoid(folder: Path) -> None:
    """That, as a grid of PROJ by the name of the real one."""
    lon, lat = np.meshgrid(np.arange(-180, 181.0), np.arange(90, -91, -1.0))
    folder.mkdir(parents=True, exist_ok=True)
    profile = {"driver": "GTiff", "width": 361, "height": 181, "count": 1, "dtype": "float32", "crs": "EPSG:4326"}
    with rasterio.open(folder / GEOID, "w", **profile, transform=Affine(1, 0, -180.5, 0, -1, 90.5)) as file:
        file.write(undulation_m(lon, lat).astype("float32"), 1)
        file.update_tags(TYPE="VERTICAL_OFFSET_GEOGRAPHIC_TO_VERTICAL", AREA_OR_POINT="Point")
        file.set_band_description(1, "geoid_undulation")


@dataclass
class Scene:
    """A scene around a place of a UTM zone."""

    x: float
    y: float
    epsg: int = 32632
    lines: int = 900
    samples: int = 940
    heading_deg: float = -11.0
    height_m: Heights = field(default=lambda x, y: np.full(np.shape(x), 150.0))
    """Of the ground above the ellipsoid, by x and y."""
    tie_m: Callable[[np.ndarray], np.ndarray] = field(default=lambda lines: np.full(np.shape(lines), 150.0))
    """Of the tie points, by line."""
    zeros: tuple[slice, slice] | None = None
    """Lines and samples that are border."""

    # --- what is true ---------------------------------------------------------------------------------------------

    @staticmethod
    def sigma0(band: str, x: Any, y: Any) -> np.ndarray:
        """Linear power of the ground."""
        x, y = np.asarray(x), np.asarray(y)
        wave = np.sin(2 * np.pi * x / 310) * np.cos(2 * np.pi * y / 370)
        return (1.0 if band == "VV" else 0.4) * (1 + 0.5 * wave + 0.2 * np.sin(2 * np.pi * (x + y) / 1700))

    def incidence(self, j: Any) -> np.ndarray:
        """Radians, of samples."""
        return np.radians(33 + 1.5 * np.asarray(j) / self.samples)

    def cot(self, j: Any) -> np.ndarray:
        return 1 / np.tan(self.incidence(j))

    def ground_range_m(self, j: Any) -> np.ndarray:
        """Of samples, of ground on the ellipsoid; not quite even."""
        s = SPACING_M * np.asarray(j)
        return s + 4 * (s / 9000) ** 2

    def _axes(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Where sample 0 of line 0 is on the ellipsoid, and unit vectors along range and along the flight."""
        a = math.radians(self.heading_deg)
        flight, across = np.array([math.sin(a), math.cos(a)]), np.array([math.cos(a), -math.sin(a)])
        middle = self.ground_range_m(self.samples / 2) + 150 * self.cot(self.samples / 2)
        return np.array([self.x, self.y]) - middle * across - SPACING_M * self.lines / 2 * flight, across, flight

    def ground(self, i: Any, g: Any) -> tuple[np.ndarray, np.ndarray]:
        """x and y of lines and ranges."""
        start, across, flight = self._axes()
        i, g = np.asarray(i, float), np.asarray(g, float)
        return start[0] + g * across[0] + SPACING_M * i * flight[0], start[1] + g * across[1] + SPACING_M * i * flight[
            1
        ]

    def seen(self) -> tuple[np.ndarray, np.ndarray]:
        """x and y of the ground that each sample sees: gentle relief hides none."""
        i, j = np.mgrid[: self.lines, : self.samples].astype(float)
        base, cot = self.ground_range_m(j), self.cot(j)
        g = base + 150 * cot
        for _ in range(25):
            g = base + self.height_m(*self.ground(i, g)) * cot
        return self.ground(i, g)

    # --- calibration and noise -------------------------------------------------------------------------------------

    def gain(self, i: Any, j: Any) -> np.ndarray:
        return 1 + 0.3 * np.asarray(i) / self.lines + 0.6 * np.asarray(j) / self.samples

    def luts(self, i: Any, j: Any) -> dict[str, np.ndarray]:
        """A_σ, A_β and A_γ at lines and samples, by the note's formulas."""
        beta, angle = 237.0 * self.gain(i, j), self.incidence(j)
        return {
            "sigmaNought": beta / np.sqrt(np.sin(angle)),
            "betaNought": beta,
            "gamma": beta / np.sqrt(np.tan(angle)),
        }

    def noise(self, i: Any, j: Any) -> np.ndarray:
        """Of squared numbers: a tenth to a third of the signal."""
        half = self.samples // 2
        along = np.where(
            np.asarray(j) < half, 1 + 0.4 * np.asarray(i) / self.lines, 1.6 - 0.5 * np.asarray(i) / self.lines
        )
        return self.range_noise(i, j) * along

    def range_noise(self, i: Any, j: Any) -> np.ndarray:
        return 9000.0 + 12 * np.asarray(j) + 4 * np.asarray(i)

    def _vectors(self) -> tuple[np.ndarray, np.ndarray]:
        return np.unique([*range(-50, self.lines, 130), self.lines + 30]), np.unique(
            [*range(0, self.samples, 40), self.samples - 1]
        )

    def calibration_xml(self, band: str) -> str:
        lines, at = self._vectors()
        rows = []
        for i in lines:
            luts = "".join(f'<{k} count="{len(at)}">{_numbers(v)}</{k}>' for k, v in self.luts(i, at).items())
            rows.append(f"<calibrationVector><azimuthTime>2021-07-12T05:50:00.0</azimuthTime><line>{i}</line>"
                        f'<pixel count="{len(at)}">{" ".join(map(str, at))}</pixel>{luts}</calibrationVector>')  # fmt: skip
        body = f'<calibrationVectorList count="{len(rows)}">{"".join(rows)}</calibrationVectorList>'
        constant = "<absoluteCalibrationConstant>1.0</absoluteCalibrationConstant>"
        information = f"<calibrationInformation>{constant}</calibrationInformation>"
        return f'<?xml version="1.0" encoding="UTF-8"?>\n<calibration>{_header(band)}{information}{body}</calibration>'

    def noise_xml(self, band: str) -> str:
        lines, at = self._vectors()
        rows = "".join(
            f'<noiseRangeVector><line>{i}</line><pixel count="{len(at)}">{" ".join(map(str, at))}</pixel>'
            f"<noiseRangeLut>{_numbers(self.range_noise(i, at))}</noiseRangeLut></noiseRangeVector>"
            for i in lines
        )
        half, last = self.samples // 2, self.lines - 1
        blocks = ""
        for swath, first, end in (("IW1", 0, half - 1), ("IW2", half, self.samples - 1)):
            along = np.array([0, last])
            values = self.noise(along, first) / self.range_noise(along, first)
            blocks += (
                f"<noiseAzimuthVector><swath>{swath}</swath><firstAzimuthLine>0</firstAzimuthLine>"
                f"<firstRangeSample>{first}</firstRangeSample><lastAzimuthLine>{last}</lastAzimuthLine>"
                f'<lastRangeSample>{end}</lastRangeSample><line count="2">0 {last}</line>'
                f'<noiseAzimuthLut count="2">{_numbers(values)}</noiseAzimuthLut></noiseAzimuthVector>'
            )
        return (
            f'<?xml version="1.0" encoding="UTF-8"?>\n<noise>{_header(band)}'
            f"<noiseRangeVectorList>{rows}</noiseRangeVectorList>"
            f"<noiseAzimuthVectorList>{blocks}</noiseAzimuthVectorList></noise>"
        )

    # --- files -----------------------------------------------------------------------------------------------------

    def tie_points(self) -> list[GroundControlPoint]:
        """As products count: samples from 0, by their middles."""
        to_lonlat = Transformer.from_crs(self.epsg, 4326, always_xy=True)
        out = []
        for i in np.unique([*range(0, self.lines, 100), self.lines - 1]):
            for j in np.unique([*range(0, self.samples, 60), self.samples - 1]):
                z = float(self.tie_m(np.array(float(i))))
                x, y = self.ground(i, self.ground_range_m(j) + z * self.cot(j))
                lon, lat = to_lonlat.transform(float(x), float(y))
                out.append(GroundControlPoint(float(i), float(j), lon, lat, z))
        return out

    def numbers(self, band: str) -> np.ndarray:
        """(line, sample) uint16 as the sensor has them."""
        i, j = np.mgrid[: self.lines, : self.samples]
        squared = self.sigma0(band, *self.seen()) * self.luts(i, j)["sigmaNought"] ** 2 + self.noise(i, j)
        found = np.maximum(np.round(np.sqrt(squared)), 1).astype("uint16")
        if self.zeros is not None:
            found[self.zeros] = 0
        return found

    def write(self, folder: Path) -> dict[str, Path]:
        """Asset → file."""
        folder.mkdir(parents=True, exist_ok=True)
        out = {}
        for band in ("VV", "VH"):
            name = band.lower()
            out[name] = folder / f"iw-{name}.tiff"
            profile = {"driver": "GTiff", "width": self.samples, "height": self.lines, "count": 1, "dtype": "uint16"}
            profile |= {
                "tiled": True,
                "blockxsize": 128,
                "blockysize": 128,
                "compress": "deflate",
            }  # and no nodata, as they are
            with rasterio.open(out[name], "w", **profile, gcps=self.tie_points(), crs="EPSG:4326") as file:
                file.write(self.numbers(band), 1)
            for kind, text in (("calibration", self.calibration_xml(band)), ("noise", self.noise_xml(band))):
                out[f"schema-{kind}-{name}"] = folder / f"{kind}-iw-{name}.xml"
                out[f"schema-{kind}-{name}"].write_text(text)
        return out

    def outline(self) -> shapely.Polygon:
        """Longitudes and latitudes of the image, a little within."""
        to_lonlat = Transformer.from_crs(self.epsg, 4326, always_xy=True)
        i = np.array([10, 10, self.lines - 10, self.lines - 10])
        j = np.array([20, self.samples - 20, self.samples - 20, 20])
        return shapely.Polygon(
            np.column_stack(to_lonlat.transform(*self.ground(i, self.ground_range_m(j) + 150 * self.cot(j))))
        )

    def write_dem(self, path: Path) -> shapely.Polygon:
        """Heights above the geoid in a file of 1″, and where it lies."""
        west, south, east, north = self.outline().buffer(0.02).bounds
        step = 1 / 3600
        shape = (round((north - south) / step), round((east - west) / step))
        lon, lat = np.meshgrid(west + (np.arange(shape[1]) + 0.5) * step, north - (np.arange(shape[0]) + 0.5) * step)
        x, y = Transformer.from_crs(4326, self.epsg, always_xy=True).transform(lon, lat)
        heights = (self.height_m(x, y) - undulation_m(lon, lat)).astype("float32")
        path.parent.mkdir(parents=True, exist_ok=True)
        profile = {
            "driver": "GTiff",
            "width": shape[1],
            "height": shape[0],
            "count": 1,
            "dtype": "float32",
            "tiled": True,
        }
        with rasterio.open(
            path, "w", **profile, crs="EPSG:4326", transform=Affine(step, 0, west, 0, -step, north)
        ) as file:
            file.write(heights, 1)
        return shapely.box(west, north - shape[0] * step, west + shape[1] * step, north)


def _numbers(values: Any) -> str:
    return " ".join(f"{v:.6e}" for v in np.ravel(values))


def _header(band: str) -> str:
    return (
        f"<adsHeader><missionId>S1A</missionId><productType>GRD</productType><polarisation>{band}</polarisation>"
        "<mode>IW</mode><swath>IW</swath></adsHeader>"
    )
