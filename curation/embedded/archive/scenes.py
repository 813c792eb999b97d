"""Which scenes there are: those of a table of acquisitions, written by hand so that every fate of a patch occurs.

What each season is for:

lower-rhine (zones 31 and 32)
    winter  low cloud over the west on one date, so that patches there walk on; one date in zone 31 only; snow
    spring  the north-east corner is under cloud on every date: `cloudy`; one product in two baselines
    summer  one date in zone 32 only; little cloud, but all of it in one place
    autumn  two orbits meet in a strip that neither covers wholly: `partial_coverage`; and each is there in one zone only,
            so that some places have nothing but the other zone's tile
sao-paulo (zone 23 south)
    winter  the east's Sentinel-1 is over 12 days from every clear date: `time_gap`; a wholly cloudy date
    spring  two clear dates, one of them cloudy in the south
    summer  the swath's edge leaves the south-west corner without any scene: `no_scene`, `partial_coverage`
    autumn  zeros along the edge of the nearest Sentinel-1 scene; one product in two baselines
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

import numpy as np
import shapely
import shapely.affinity

from curation.embedded.world import noise, tables, traits
from curation.embedded.world.grids import Grid, from_frame, s1_grid, s2_grid
from curation.embedded.world.regions import BBox, Region, Tile, by_name, frame, projected, transformer

Edge = tuple[float, float, float, float]
"""A swath's edge, lon, lat to lon, lat: what lies to the right of it, looking along, is covered."""


@dataclass(frozen=True, slots=True)
class Sky:
    """The clouds of one acquisition."""

    cover: float
    """Share of the region under cloud (0 to 1)."""
    over: BBox | None = None
    """West, south, east, north as fractions of the region's box: where the cloud is, and nowhere else (None: anywhere)."""
    always: BBox | None = None
    """Where it is cloudy whatever `cover` says."""


CLEAR = Sky(0.0)
OVERCAST = Sky(1.0)


class Overpass(Hashable, Protocol):
    """An acquisition of a region, by whatever satellite: what its sky follows from."""

    @property
    def date(self) -> str:
        """The UTC day."""

    @property
    def sky(self) -> Sky:
        """Its clouds: those of one day are the same to all."""

    @property
    def edge(self) -> Edge | None:
        """The swath's edge; None where the swath covers the whole region."""


class Lit(Protocol):
    """A scene that the sun lights, of whatever satellite."""

    @property
    def id(self) -> str:
        """Of its item."""

    @property
    def acquired(self) -> Overpass:
        """When and under which sky."""

    @property
    def region(self) -> Region:
        """Of what ground."""

    @property
    def time(self) -> dt.datetime:
        """UTC."""

    @property
    def doy(self) -> int:
        """Day of the year."""

    @property
    def grid(self) -> Grid:
        """Its 10 m grid."""

    @property
    def part(self) -> Part | None:
        """What of it this is; None for the whole."""


@dataclass(frozen=True, slots=True)
class Pass2:
    """A Sentinel-2 acquisition of a region."""

    region: str
    date: str
    orbit: int
    sky: Sky
    tiles: str
    """Tiles that were published, by name."""
    baselines: tuple[str, ...]
    """Two where it was processed again and both products are kept."""
    edge: Edge | None = None
    """The swath's edge; None where the swath covers the whole region."""


@dataclass(frozen=True, slots=True)
class Pass1:
    """A Sentinel-1 acquisition of a region."""

    region: str
    date: str
    orbit: int
    edge: Edge | None = None
    """The swath's edge; None where it covers the whole region."""
    zeros_m: float = 0.0
    """Width of the border inside the edge that holds exact zeros instead of nodata."""


_TABLE = tables.beside(__file__)


def edge_of(row: Mapping[str, Any]) -> Edge | None:
    """The edge that a row of a table names; None of one that names none."""
    return tuple(_TABLE["edges"][row["edge"]]) if "edge" in row else None


def _box(row: Mapping[str, Any], name: str) -> BBox | None:
    return tuple(row[name]) if name in row else None


S2 = tuple(
    Pass2(
        region, row["date"], row["orbit"], Sky(row["cover"], _box(row, "over"), _box(row, "always")),
        row["tiles"], tuple(row["baselines"]), edge_of(row),
    )
    for region, rows in _TABLE["s2"].items()
    for row in rows
)  # fmt: skip
S1 = tuple(
    Pass1(region, row["date"], row["orbit"], edge_of(row), row.get("zeros_m", 0.0))
    for region, rows in _TABLE["s1"].items()
    for row in rows
)

DW_MAX_COVER = 0.35
"""Dynamic World leaves cloudier scenes out."""

SENSING_S = 211
"""From a datatake's start to the sensing of these tiles."""

Part = tuple[int, int, int]
"""A square of a scene: first row, first column and side, in 10 m pixels."""


@dataclass(frozen=True, slots=True)
class Scene2:
    """One Sentinel-2 product: an acquisition of one tile in one baseline."""

    acquired: Pass2
    region: Region
    tile: Tile
    baseline: str
    platform: str
    """2A or 2B."""
    time: dt.datetime
    """Of the datatake, UTC."""
    made: dt.datetime
    """When the product was made."""
    part: Part | None = None
    """What of it this is; None for the whole."""

    @property
    def id(self) -> str:
        """As the Planetary Computer names its items: without the baseline."""
        return (
            f"S{self.platform}_MSIL2A_{self.time:%Y%m%dT%H%M%S}_R{self.acquired.orbit:03d}_T{self.tile.name}"
            f"_{self.made:%Y%m%dT%H%M%S}"
        )

    @property
    def datatake(self) -> str:
        """As in the products: it ends in the baseline."""
        return f"GS{self.platform}_{self.time:%Y%m%dT%H%M%S}_{self.absolute_orbit:06d}_N{self.baseline}"

    @property
    def dynamicworld_id(self) -> str:
        """Of its Dynamic World image, named as in Earth Engine."""
        return (
            f"{self.time:%Y%m%dT%H%M%S}_{self.time + dt.timedelta(seconds=SENSING_S):%Y%m%dT%H%M%S}_T{self.tile.name}"
        )

    @property
    def absolute_orbit(self) -> int:
        """Counted from a fixed day, 143 orbits in ten days."""
        first = 22_331 if self.platform == "2B" else 31_239
        return first + round(
            (self.time - dt.datetime(2021, 6, 15, 10, 36, 29, tzinfo=dt.UTC)) / dt.timedelta(days=10) * 143
        )

    @property
    def seed(self) -> int:
        """Follows from acquisition and tile alone: products of one acquisition show the same."""
        return noise.seed_of("s2", self.acquired.region, self.acquired.date, self.tile.name)

    @property
    def pixel_seed(self) -> int:
        """Of what differs from pixel to pixel: each part has its own."""
        return self.seed if self.part is None else noise.seed_of(self.seed, self.part)

    @property
    def offset(self) -> int:
        """What its digital numbers carry on top of reflectance × 10000."""
        return 1000 if self.baseline >= "04.00" else 0

    @property
    def grid(self) -> Grid:
        """Its 10 m grid."""
        whole = s2_grid(self.tile)
        return whole if self.part is None else whole.part(*self.part)

    @property
    def doy(self) -> int:
        """Day of the year."""
        return self.time.timetuple().tm_yday


@dataclass(frozen=True, slots=True)
class Scene1:
    """One Sentinel-1 product."""

    acquired: Pass1
    region: Region
    direction: str
    platform: str
    """1A or 1B."""
    time: dt.datetime
    epsg: int
    part: Part | None = None
    """What of it this is; None for the whole."""

    @property
    def id(self) -> str:
        """As the Planetary Computer names its items."""
        end = self.time + dt.timedelta(seconds=25)
        mission = noise.seed_of("datatake", self.acquired.region, self.acquired.date, self.acquired.orbit) & 0xFFFFF
        span = f"{self.time:%Y%m%dT%H%M%S}_{end:%Y%m%dT%H%M%S}"
        return f"S{self.platform}_IW_GRDH_1SDV_{span}_{self.absolute_orbit:06d}_{mission:06X}_rtc"

    @property
    def absolute_orbit(self) -> int:
        """Counted from a fixed day, 175 orbits in twelve days."""
        first = 38_326 if self.platform == "1A" else 27_312
        return first + round((self.time - dt.datetime(2021, 6, 14, tzinfo=dt.UTC)) / dt.timedelta(days=12) * 175)

    @property
    def seed(self) -> int:
        """Of what all of it has in common."""
        return noise.seed_of("s1", self.id)

    @property
    def pixel_seed(self) -> int:
        """Of its speckle: each part has its own."""
        return self.seed if self.part is None else noise.seed_of(self.seed, self.part)

    @property
    def grid(self) -> Grid:
        """Its 10 m grid."""
        whole = s1_grid(self.region, self.epsg)
        return whole if self.part is None else whole.part(*self.part)

    @property
    def doy(self) -> int:
        """Day of the year."""
        return self.time.timetuple().tm_yday


def shift_of(scene: Scene1 | Lit) -> tuple[float, float]:
    """How far down and right of its place what is seen lies, in 10 m pixels: of Sentinel-2 alone, of all of a datatake."""
    if not isinstance(scene, Scene2):
        return 0.0, 0.0
    return traits.shift_px(scene.region.traits, scene.acquired.region, scene.acquired.date)


def flown(orbit_day: str, date: str, cycle: int, orbit: int) -> tuple[bool, dt.date]:
    """Whether the orbit's first satellite flew on the date, and the date.

    Raises:
        ValueError: neither of the pair did.
    """
    day = dt.date.fromisoformat(date)
    steps, rest = divmod((day - dt.date.fromisoformat(orbit_day)).days, cycle)
    if rest:
        raise ValueError(
            f"orbit {orbit} on {date}: flown every {cycle} days, {rest} days before this; correct the table"
        )
    return steps % 2 == 0, day


def clock_time(day: dt.date, clock: str) -> dt.datetime:
    """A day at a time of day in UTC, such as 103629."""
    return dt.datetime.combine(day, dt.datetime.strptime(clock, "%H%M%S").time(), tzinfo=dt.UTC)


@cache
def s2_scenes() -> tuple[Scene2, ...]:
    """Every Sentinel-2 product, in the table's order."""
    out = []
    for p in (*S2, *(p for name in _TABLE["s2"] for p in more_passes(by_name(name)))):
        region = by_name(p.region)
        orbit = _TABLE["orbits2"][str(p.orbit)]
        first, date = flown(orbit["day"], p.date, 5, p.orbit)
        time = clock_time(date, orbit["clock"])
        tiles = {t.name: t for t in region.tiles}
        for name in p.tiles.split():
            out += [scene2(p, region, tiles[name], baseline, time, first=first) for baseline in p.baselines]
    return tuple(out)


CYCLE_DAYS, DENSE = 5, "lower-rhine"
"""From one pass of an orbit to the next; the region that has many dates where an Earth has `dates`."""

QUARTERS = (
    ("2020-12-01", "2021-03-01"),
    ("2021-03-01", "2021-06-01"),
    ("2021-06-01", "2021-09-01"),
    ("2021-09-01", "2021-12-01"),
)
"""Seasons of the north, half-open: in each there are to be so many dates."""


def more_passes(region: Region) -> tuple[Pass2, ...]:
    """Sentinel-2 passes beside those of the table, where a region has `dates`: every second one that the orbit flies.

    They see all of the region; their clouds follow from the date: in half of them under a fifth, in others up to all.
    """
    if not (region.traits.dates and region.name == DENSE):
        return ()
    before = [p for p in S2 if p.region == region.name]
    orbit, taken, tiles = before[0].orbit, {p.date for p in before}, " ".join(t.name for t in region.tiles)
    day, out = dt.date.fromisoformat(_TABLE["orbits2"][str(orbit)]["day"]), []
    first, last = (dt.date.fromisoformat(its) for its in (QUARTERS[0][0], QUARTERS[-1][1]))
    day += dt.timedelta(days=-(-(first - day).days // CYCLE_DAYS) * CYCLE_DAYS)
    while day < last:
        cover = np.random.default_rng(noise.seed_of("more", region.seed, str(day))).beta(0.5, 1.0)
        if str(day) not in taken and (day - first).days // CYCLE_DAYS % 2:
            baseline = "02.14" if day < dt.date(2021, 3, 30) else "03.00" if day < dt.date(2021, 6, 30) else "03.01"
            out.append(Pass2(region.name, str(day), orbit, Sky(round(float(cover), 2)), tiles, (baseline,)))
        day += dt.timedelta(days=CYCLE_DAYS)
    return tuple(out)


def scene2(acquired: Pass2, region: Region, tile: Tile, baseline: str, time: dt.datetime, *, first: bool) -> Scene2:
    """A Sentinel-2 product of the first of the pair (2B) or the second (2A), with the time at which it was made."""
    # Collection 1 came years later; what was made at the time came within a day and a half.
    wait = dt.timedelta(days=640, hours=7) if baseline == "05.00" else dt.timedelta(hours=13)
    jitter = dt.timedelta(seconds=noise.seed_of(acquired.date, tile.name, baseline) % 40_000)
    return Scene2(acquired, region, tile, baseline, "2B" if first else "2A", time, time + wait + jitter)


@cache
def dynamicworld_scenes() -> tuple[Scene2, ...]:
    """The acquisitions and tiles that Dynamic World was made of: those with little cloud; of two products the newer."""
    newest = {(s.acquired, s.tile): s for s in sorted(s2_scenes(), key=lambda s: s.baseline)}
    newest_scenes = [s for s in s2_scenes() if newest[s.acquired, s.tile] is s]
    return tuple(s for s in newest_scenes if s.acquired.sky.cover <= DW_MAX_COVER)


@cache
def s1_scenes() -> tuple[Scene1, ...]:
    """Every Sentinel-1 product, in the table's order."""
    out = []
    for p in S1:
        orbit = _TABLE["orbits1"][str(p.orbit)]
        first, date = flown(orbit["day"], p.date, 6, p.orbit)
        time, platform = clock_time(date, orbit["clock"]), "1A" if first else "1B"
        out.append(Scene1(p, by_name(p.region), orbit["direction"], platform, time, orbit["epsg"]))
    return tuple(out)


def swath(scene: Scene1 | Lit) -> shapely.Polygon:
    """What the scene covers, in the CRS of its grid: its rectangle cut at the swath's edge."""
    return _in_grid(scene, 0.0)


def inner_swath(scene: Scene1) -> shapely.Polygon:
    """The part of the swath that holds signal: without the border of zeros."""
    return _in_grid(scene, scene.acquired.zeros_m)


def _in_grid(scene: Scene1 | Lit, inset_m: float) -> shapely.Polygon:
    rectangle = shapely.box(*scene.grid.bounds)
    edge = scene.acquired.edge
    if edge is None:
        return rectangle
    side = from_frame(_right_of(edge, scene.region, inset_m), scene.region, scene.grid.epsg)
    cut = shapely.intersection(rectangle, side)
    if not isinstance(cut, shapely.Polygon) or cut.is_empty:
        raise ValueError(f"{scene.id}: its swath's edge leaves {cut.geom_type} of the tile; correct the table")
    return cut


def _right_of(edge: Edge, region: Region, inset_m: float) -> shapely.Polygon:
    """The half-plane right of the edge, in frame coordinates, `inset_m` from it."""
    x, y = transformer("EPSG:4326", frame(region).crs).transform([edge[0], edge[2]], [edge[1], edge[3]])
    a, b = np.array([x[0], y[0]]), np.array([x[1], y[1]])
    along = (b - a) / np.linalg.norm(b - a)
    right = np.array([along[1], -along[0]])
    far, a = 90_000.0, a + inset_m * right
    return shapely.Polygon([a - far * along, a + far * along, a + far * (along + right), a + far * (right - along)])


def footprint(scene: Scene1 | Lit) -> shapely.Polygon | shapely.MultiPolygon:
    """What the scene covers in longitude and latitude, a point about every 2 km; cut in two at the antimeridian."""
    ring = shapely.segmentize(swath(scene), 2_000)
    there = projected(ring, f"EPSG:{scene.grid.epsg}", "EPSG:4326")
    if there.bounds[2] - there.bounds[0] > 180:
        there = _cut_at_antimeridian(there)
    rounded = shapely.set_precision(there, 1e-7)
    assert isinstance(rounded, shapely.Polygon | shapely.MultiPolygon)
    return rounded


def _cut_at_antimeridian(shape: shapely.geometry.base.BaseGeometry) -> shapely.geometry.base.BaseGeometry:
    """A shape whose ring folds over the globe, as one part on either side (RFC 7946, 3.1.9)."""
    east = shapely.transform(shape, lambda xy: np.stack([xy[:, 0] % 360, xy[:, 1]], axis=1))
    near, far = (shapely.intersection(east, shapely.box(west, -90, west + 180, 90)) for west in (0, 180))
    assert isinstance(near, shapely.Polygon)
    assert isinstance(far, shapely.Polygon)
    return shapely.MultiPolygon([near, shapely.affinity.translate(far, -360)])
