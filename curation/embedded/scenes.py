"""Which scenes there are: the table of acquisitions, written by hand so that every fate of a patch occurs.

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
from dataclasses import dataclass
from functools import cache

import numpy as np
import shapely
import shapely.affinity

from curation.embedded import noise
from curation.embedded.grids import Grid, from_frame, s1_grid, s2_grid
from curation.embedded.regions import BBox, Region, Tile, by_name, frame, projected, transformer

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
NORTH_EAST = (0.74, 0.7, 1.2, 1.2)
"""The corner of lower-rhine that is cloudy all spring."""


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


_RHINE_EAST: Edge = (5.955, 51.08, 6.03, 51.54)
"""Autumn: orbit 8 covers what lies east of this line …"""
_RHINE_WEST: Edge = (6.033, 51.54, 5.958, 51.08)
"""… and orbit 51 what lies west of this: they overlap by some 200 m, far less than a patch is wide."""
_PAULO_CUT: Edge = (-46.66, -23.78, -46.83, -23.57)
"""Summer: everything north-east of this line, which leaves the south-west corner out."""

BOTH = "31UGS 32ULB"

S2 = (
    # ---- lower-rhine, winter: baselines 02.14, one year of Collection 1 (05.00)
    Pass2("lower-rhine", "2020-12-12", 8, Sky(0.55), BOTH, ("02.14",)),
    Pass2("lower-rhine", "2020-12-27", 8, Sky(0.05), BOTH, ("02.14",)),
    Pass2("lower-rhine", "2021-01-11", 8, Sky(0.13, over=(-0.2, -0.2, 0.26, 1.2)), BOTH, ("02.14",)),
    Pass2("lower-rhine", "2021-01-16", 8, OVERCAST, BOTH, ("02.14",)),
    Pass2("lower-rhine", "2021-01-21", 8, Sky(0.04), "31UGS", ("05.00",)),
    Pass2("lower-rhine", "2021-02-15", 8, Sky(0.3), BOTH, ("02.14",)),
    # ---- lower-rhine, spring
    Pass2("lower-rhine", "2021-03-17", 8, Sky(0.28, always=NORTH_EAST), BOTH, ("02.14",)),
    Pass2("lower-rhine", "2021-04-06", 8, OVERCAST, BOTH, ("03.00",)),
    Pass2("lower-rhine", "2021-04-11", 8, Sky(0.14, over=(-0.2, -0.2, 1.2, 0.22), always=NORTH_EAST), BOTH, ("03.00",)),
    Pass2("lower-rhine", "2021-04-26", 8, Sky(0.1, always=NORTH_EAST), BOTH, ("03.00", "05.00")),
    Pass2("lower-rhine", "2021-05-31", 8, Sky(0.17, always=NORTH_EAST), BOTH, ("03.00",)),
    # ---- lower-rhine, summer
    Pass2("lower-rhine", "2021-06-15", 8, Sky(0.07), BOTH, ("05.00",)),
    Pass2("lower-rhine", "2021-07-10", 8, Sky(0.6), BOTH, ("03.01",)),
    Pass2("lower-rhine", "2021-07-15", 8, Sky(0.03), "32ULB", ("03.01",)),
    Pass2("lower-rhine", "2021-07-20", 8, Sky(0.09, over=(0.5, 0.15, 0.95, 0.6)), BOTH, ("05.00",)),
    Pass2("lower-rhine", "2021-08-09", 8, OVERCAST, BOTH, ("03.01",)),
    Pass2("lower-rhine", "2021-08-24", 8, Sky(0.22), BOTH, ("03.01",)),
    # ---- lower-rhine, autumn: partial swaths of two orbits, each published in one tile: along the border there are places
    # that only the other zone's tile covers
    Pass2("lower-rhine", "2021-09-23", 8, Sky(0.06), "32ULB", ("05.00",), _RHINE_EAST),
    Pass2("lower-rhine", "2021-10-13", 8, Sky(0.05), "32ULB", ("03.01",), _RHINE_EAST),
    Pass2("lower-rhine", "2021-10-16", 51, Sky(0.06), "31UGS", ("03.01",), _RHINE_WEST),
    Pass2("lower-rhine", "2021-10-18", 8, Sky(0.92), "32ULB", ("03.01",), _RHINE_EAST),
    Pass2("lower-rhine", "2021-10-31", 51, Sky(0.2), "31UGS", ("03.01",), _RHINE_WEST),
    Pass2("lower-rhine", "2021-11-07", 8, Sky(0.25), "32ULB", ("05.00",), _RHINE_EAST),
    # ---- sao-paulo, winter of the north: the rainy season
    Pass2("sao-paulo", "2020-12-11", 124, Sky(0.75), "23KLP", ("02.14",)),
    Pass2("sao-paulo", "2020-12-31", 124, Sky(0.12), "23KLP", ("02.14",)),
    Pass2("sao-paulo", "2021-01-10", 124, OVERCAST, "23KLP", ("02.14",)),
    Pass2("sao-paulo", "2021-01-15", 124, Sky(0.07), "23KLP", ("05.00",)),
    Pass2("sao-paulo", "2021-01-25", 124, Sky(0.5), "23KLP", ("02.14",)),
    # ---- sao-paulo, spring
    Pass2("sao-paulo", "2021-03-16", 124, OVERCAST, "23KLP", ("02.14",)),
    Pass2("sao-paulo", "2021-04-10", 124, Sky(0.06), "23KLP", ("03.00",)),
    Pass2("sao-paulo", "2021-04-20", 124, Sky(0.09, over=(0.1, -0.2, 0.9, 0.24)), "23KLP", ("05.00",)),
    Pass2("sao-paulo", "2021-05-15", 124, Sky(0.22), "23KLP", ("03.00",)),
    # ---- sao-paulo, summer of the north: dry, but the swath ends short of the south-west corner
    Pass2("sao-paulo", "2021-06-19", 124, Sky(0.03), "23KLP", ("03.00",), _PAULO_CUT),
    Pass2("sao-paulo", "2021-07-14", 124, Sky(0.09, over=(0.3, 0.5, 0.8, 1.2)), "23KLP", ("05.00",), _PAULO_CUT),
    Pass2("sao-paulo", "2021-07-24", 124, Sky(0.05), "23KLP", ("03.01",), _PAULO_CUT),
    Pass2("sao-paulo", "2021-08-18", 124, Sky(0.45), "23KLP", ("03.01",), _PAULO_CUT),
    # ---- sao-paulo, autumn of the north
    Pass2("sao-paulo", "2021-09-12", 124, Sky(0.3), "23KLP", ("03.01",)),
    Pass2("sao-paulo", "2021-10-07", 124, Sky(0.08), "23KLP", ("03.01", "05.00")),
    Pass2("sao-paulo", "2021-10-17", 124, OVERCAST, "23KLP", ("03.01",)),
    Pass2("sao-paulo", "2021-10-27", 124, Sky(0.09, over=(0.55, 0.0, 1.0, 0.6)), "23KLP", ("05.00",)),
    Pass2("sao-paulo", "2021-11-21", 124, Sky(0.65), "23KLP", ("03.01",)),
)

ORBITS2 = {
    8: ("2021-06-15", "103629"),
    51: ("2021-06-18", "104619"),
    124: ("2021-06-09", "131241"),
}
"""Relative orbit: a day on which Sentinel-2B flew it, and the hour; 2A follows after five days, both return after ten."""


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


_PAULO_WEST: Edge = (-46.5, -23.35, -46.485, -23.8)
"""Winter: the Sentinel-1 dates near the clear ones cover what lies west of this line."""
_PAULO_FRINGE: Edge = (-46.445, -23.35, -46.43, -23.8)
_RHINE_FRINGE: Edge = (5.79, 51.06, 5.74, 51.56)

S1 = (
    # ---- lower-rhine: descending is the majority
    Pass1("lower-rhine", "2020-12-28", 37),
    Pass1("lower-rhine", "2021-01-15", 37),
    Pass1("lower-rhine", "2021-02-14", 37),
    Pass1("lower-rhine", "2020-12-25", 88, _RHINE_FRINGE, 900),
    Pass1("lower-rhine", "2021-01-18", 88),
    Pass1("lower-rhine", "2021-03-16", 37),
    Pass1("lower-rhine", "2021-04-15", 37),
    Pass1("lower-rhine", "2021-05-27", 37),
    Pass1("lower-rhine", "2021-04-24", 88),
    Pass1("lower-rhine", "2021-06-14", 37),
    Pass1("lower-rhine", "2021-07-14", 37),
    Pass1("lower-rhine", "2021-08-19", 37),
    Pass1("lower-rhine", "2021-06-23", 88, _RHINE_FRINGE, 900),
    Pass1("lower-rhine", "2021-07-17", 88),
    Pass1("lower-rhine", "2021-09-24", 37),
    Pass1("lower-rhine", "2021-10-12", 37),
    Pass1("lower-rhine", "2021-11-05", 37),
    Pass1("lower-rhine", "2021-10-15", 88),
    # ---- sao-paulo: ascending is the majority; in winter the east has only what is 25 days off
    Pass1("sao-paulo", "2020-12-30", 155, _PAULO_WEST),
    Pass1("sao-paulo", "2021-01-17", 155, _PAULO_WEST),
    Pass1("sao-paulo", "2021-02-16", 155),
    Pass1("sao-paulo", "2021-01-14", 53, _PAULO_WEST),
    Pass1("sao-paulo", "2021-03-18", 155),
    Pass1("sao-paulo", "2021-04-11", 155),
    Pass1("sao-paulo", "2021-05-17", 155),
    Pass1("sao-paulo", "2021-04-20", 53),
    Pass1("sao-paulo", "2021-06-22", 155),
    Pass1("sao-paulo", "2021-07-16", 155),
    Pass1("sao-paulo", "2021-08-15", 155),
    Pass1("sao-paulo", "2021-07-13", 53),
    Pass1("sao-paulo", "2021-09-14", 155),
    Pass1("sao-paulo", "2021-10-02", 155),
    Pass1("sao-paulo", "2021-10-08", 155, _PAULO_FRINGE, 2_400),
    Pass1("sao-paulo", "2021-11-19", 155),
    Pass1("sao-paulo", "2021-10-11", 53),
)

ORBITS1 = {
    37: ("2021-06-14", "054912", "descending", 32632),
    88: ("2021-06-17", "172451", "ascending", 32631),
    155: ("2021-06-16", "214720", "ascending", 32723),
    53: ("2021-06-19", "082734", "descending", 32723),
}
"""Relative orbit: a day on which Sentinel-1A flew it, the hour, the direction, and the CRS of its products.

1B follows after six days.
"""


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


def _flown(orbit_day: str, date: str, cycle: int, orbit: int) -> tuple[bool, dt.date]:
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
    for p in S2:
        region = by_name(p.region)
        day, clock = ORBITS2[p.orbit]
        first, date = _flown(day, p.date, 5, p.orbit)
        time = clock_time(date, clock)
        tiles = {t.name: t for t in region.tiles}
        for name in p.tiles.split():
            out += [scene2(p, region, tiles[name], baseline, time, first=first) for baseline in p.baselines]
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
    kept = [s for s in s2_scenes() if newest[s.acquired, s.tile] is s]
    return tuple(s for s in kept if s.acquired.sky.cover <= DW_MAX_COVER)


@cache
def s1_scenes() -> tuple[Scene1, ...]:
    """Every Sentinel-1 product, in the table's order."""
    out = []
    for p in S1:
        day, clock, direction, epsg = ORBITS1[p.orbit]
        first, date = _flown(day, p.date, 6, p.orbit)
        out.append(Scene1(p, by_name(p.region), direction, "1A" if first else "1B", clock_time(date, clock), epsg))
    return tuple(out)


def swath(scene: Scene1 | Scene2) -> shapely.Polygon:
    """What the scene covers, in the CRS of its grid: its rectangle cut at the swath's edge."""
    return _in_grid(scene, 0.0)


def inner_swath(scene: Scene1) -> shapely.Polygon:
    """The part of the swath that holds signal: without the border of zeros."""
    return _in_grid(scene, scene.acquired.zeros_m)


def _in_grid(scene: Scene1 | Scene2, inset_m: float) -> shapely.Polygon:
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


def footprint(scene: Scene1 | Scene2) -> shapely.Polygon | shapely.MultiPolygon:
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
