"""The ground itself: terrain, water, fields, woods and towns of a region, made once in its frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree

from curation.embedded.world import noise
from curation.embedded.world.cover import STEPS, kind
from curation.embedded.world.regions import FRAME_RES_M, Region, frame, transformer

COARSE = 4
"""Smooth things are made at 40 m."""

COARSE_M = FRAME_RES_M * COARSE
STRIP = 256
DISTRICT_M = 1_150
"""Mean spacing of districts: stretches of land whose fields or streets run the same way."""

HEDGE_M, HEDGED = 12.0, 0.45
"""Width of hedges, and the share of fields that have one along one side."""

TRACK_M, TRACKED = 9.0, 0.5
"""Width of tracks, and the share of fields along every second line that one leads by."""

POND_NET_M, PONDS, POND_M = 260.0, 0.3, (8.0, 24.0)
"""Side of the squares that have a pond each, the share of those that do, and the least and greatest radius of one."""

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Ground:
    """What a region's ground is, in its frame."""

    code: NDArray[np.uint16]
    """Kind × STEPS + parcel state, by 10 m pixel."""
    height: Floats
    """Terrain height in metres, by 40 m pixel, without what stands on it."""


def make(region: Region) -> Ground:
    """The region's ground; a pure function of the region."""
    rows, cols = (n // COARSE for n in frame(region).shape)
    field = {
        name: noise.power_law((rows, cols), slope, noise.seed_of(region.seed, name), cut / 1_000 * COARSE_M)
        for name, slope, cut in (
            ("hills", 1.9, 0.08),
            ("streams", 2.1, 0.2),
            ("lakes", 1.9, 0.7),
            ("woods", 1.55, 0.35),
            ("towns", 1.3, 0.6),
            ("wild", 1.6, 0.5),
        )
    }
    x, y = _metres(rows, cols)
    river = _river_distance(region, x, y)
    height, stream = _terrain(region, field, river)
    town = _town_density(region, x, y, field["towns"])
    seeds, turn, size = _districts(region, rows, cols)
    _, near = cKDTree(seeds).query(np.stack([x.ravel(), y.ravel()], axis=1), k=2, workers=2)
    near = near.reshape(rows, cols, 2)
    lay = _Layout(region, seeds, turn, size, height, river, stream, town, field, near)
    code = np.empty((rows * COARSE, cols * COARSE), dtype=np.uint16)
    for start in range(0, code.shape[0], STRIP):
        stop = min(start + STRIP, code.shape[0])
        code[start:stop] = _strip(lay, start, stop)
    return Ground(code, height)


@dataclass(frozen=True, slots=True)
class _Layout:
    """The coarse picture that `_strip` works out."""

    region: Region
    seeds: NDArray[np.float64]
    turn: NDArray[np.float64]
    size: NDArray[np.float64]
    height: Floats
    river: Floats
    stream: Floats
    town: Floats
    field: dict[str, Floats]
    near: NDArray[np.int64]


def _metres(rows: int, cols: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Frame coordinates of the coarse pixels' centres."""
    x = (np.arange(cols) + 0.5 - cols / 2) * COARSE_M
    y = (rows / 2 - np.arange(rows) - 0.5) * COARSE_M
    return np.broadcast_to(x, (rows, cols)), np.broadcast_to(y[:, None], (rows, cols))


def _river_distance(region: Region, x: NDArray[np.float64], y: NDArray[np.float64]) -> Floats:
    """Metres from the main river's axis, which winds from south to north."""
    rng = np.random.default_rng(noise.seed_of(region.seed, "river"))
    axis = y[:, 0]
    centre = np.full(axis.shape, (rng.random() - 0.35) * 6_000)
    slope = np.zeros(axis.shape)
    for wave, swing in ((26_000, 3_600), (9_000, 1_300), (3_700, 420), (1_900, 130)):
        phase = rng.random() * 2 * np.pi
        k = 2 * np.pi / (wave * (0.85 + 0.3 * rng.random()))
        centre += swing * np.sin(k * axis + phase)
        slope += swing * k * np.cos(k * axis + phase)
    out: Floats = (np.abs(x - centre[:, None]) / np.sqrt(1 + slope[:, None] ** 2)).astype(np.float32)
    return out


def _terrain(region: Region, field: dict[str, Floats], river: Floats) -> tuple[Floats, Floats]:
    """Heights in metres, and the distance in metres to the axis of the nearest stream (rough)."""
    hills = field["hills"]
    # Smoothed: far from the river its every bend would draw a line across the hills.
    rise = 1 - np.exp(-((gaussian_filter(river, 30) / 6_500) ** 1.5))
    relief = (0.25 + 0.75 * np.clip(0.5 + 0.42 * hills, 0, None)) * rise
    along = field["streams"]
    gy, gx = np.gradient(along)
    steep = gaussian_filter(np.hypot(gx, gy), 3) / COARSE_M
    stream = np.abs(along) / np.maximum(steep, 1e-6)
    valley = np.exp(-((stream / 700) ** 2))
    height = region.base_m + region.relief_m * relief * (1 - 0.55 * valley) + 1.5 * hills
    height -= 6 * np.exp(-((river / 350) ** 2))
    return height.astype(np.float32), stream.astype(np.float32)


def _town_density(region: Region, x: NDArray[np.float64], y: NDArray[np.float64], rough: Floats) -> Floats:
    rng = np.random.default_rng(noise.seed_of(region.seed, "villages"))
    rows, cols = x.shape
    to_frame = transformer("EPSG:4326", frame(region).crs)
    places = [(*to_frame.transform(lon, lat), 1000 * radius, peak) for lon, lat, radius, peak in region.towns]
    for _ in range(region.villages):
        at = (rng.random(2) - 0.5) * (cols, rows) * COARSE_M
        places.append((float(at[0]), float(at[1]), 260 + 480 * rng.random() ** 2, 0.75 + 0.3 * rng.random()))
    density = np.zeros((rows, cols), dtype=np.float32)
    for px, py, radius, peak in places:
        density = np.maximum(density, peak * np.exp(-0.5 * ((x - px) ** 2 + (y - py) ** 2) / radius**2)).astype(
            np.float32
        )
    return (density + 0.11 * rough * (density > 0.02)).astype(np.float32)


def _districts(
    region: Region, rows: int, cols: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Seeds (n, 2) in metres, the angle of each district's grid, and the sizes (n, 2) of its fields in metres."""
    rng = np.random.default_rng(noise.seed_of(region.seed, "districts"))
    ny, nx = rows * COARSE_M // DISTRICT_M + 3, cols * COARSE_M // DISTRICT_M + 3
    gy, gx = np.mgrid[0:ny, 0:nx]
    at = np.stack([gx - (nx - 1) / 2, gy - (ny - 1) / 2], axis=-1).reshape(-1, 2) + 0.85 * (
        rng.random((ny * nx, 2)) - 0.5
    )
    turn = rng.random(ny * nx) * np.pi
    size = np.stack([150 + 260 * rng.random(ny * nx), 70 + 130 * rng.random(ny * nx)], axis=1)
    return at * DISTRICT_M, turn, size


def upsampled(field: Floats, start: int, stop: int, factor: int = COARSE) -> Floats:
    """Rows start to stop of the field enlarged bilinearly by `factor`; edges are held."""
    rows = np.clip((np.arange(start, stop) + 0.5) / factor - 0.5, 0, field.shape[0] - 1)
    cols = np.clip((np.arange(field.shape[1] * factor) + 0.5) / factor - 0.5, 0, field.shape[1] - 1)
    r0 = np.minimum(rows.astype(int), field.shape[0] - 2)
    c0 = np.minimum(cols.astype(int), field.shape[1] - 2)
    wr, wc = (rows - r0).astype(np.float32)[:, None], (cols - c0).astype(np.float32)[None, :]
    part = field[r0] * (1 - wr)
    part += field[r0 + 1] * wr
    out: Floats = part[:, c0] * (1 - wc)
    out += part[:, c0 + 1] * wc
    return out


def _strip(lay: _Layout, start: int, stop: int) -> NDArray[np.uint16]:
    """The codes of rows start to stop (multiples of COARSE)."""
    rows, cols = (n * COARSE for n in lay.river.shape)
    x = np.broadcast_to(((np.arange(cols) + 0.5 - cols / 2) * FRAME_RES_M).astype(np.float32), (stop - start, cols))
    y = ((rows / 2 - np.arange(start, stop) - 0.5) * FRAME_RES_M).astype(np.float32)[:, None]

    # Which district, decided at 10 m between the two nearest seeds of the coarse pixel; their border is a road.
    seeds = lay.seeds.astype(np.float32)
    near = lay.near[start // COARSE : -(-stop // COARSE)].repeat(COARSE, axis=0).repeat(COARSE, axis=1)
    first, second = near[..., 0], near[..., 1]
    ax, ay, bx, by = (seeds[i, c] for i in (first, second) for c in (0, 1))
    apart = np.hypot(ax - bx, ay - by)
    lead = ((x - bx) ** 2 + (y - by) ** 2 - (x - ax) ** 2 - (y - ay) ** 2) / (2 * apart)
    district = np.where(lead >= 0, first, second)

    turn = lay.turn.astype(np.float32)
    cos, sin = np.cos(turn)[district], np.sin(turn)[district]
    u, v = x * cos + y * sin, y * cos - x * sin
    size = lay.size.astype(np.float32)
    wide, high = size[:, 0][district], size[:, 1][district]
    line = np.floor(v / high)
    shift = (line * np.float32(0.37) + district) % 1
    column = np.floor(u / wide + shift)
    parcel = noise.hash_u32(
        ((district.astype(np.int64) * 7919 + line.astype(np.int64)) * 10_007 + column.astype(np.int64)).astype(
            np.uint32
        )
    )
    r1, r2, r3 = ((parcel >> np.uint32(s) & np.uint32(1023)).astype(np.float32) / np.float32(1023) for s in (0, 10, 20))

    fields = {name: upsampled(f, start, stop) for name, f in lay.field.items() if name in ("lakes", "woods", "wild")}
    river, stream, town, height = (upsampled(f, start, stop) for f in (lay.river, lay.stream, lay.town, lay.height))
    grain = noise.texture()[np.arange(start, stop) % 1024][:, np.arange(cols) % 1024]
    low = height < lay.region.base_m + 0.16 * lay.region.relief_m

    out = _farmed(lay.region, np.asarray(r1, dtype=np.float32))
    state = (r2 * 255).astype(np.uint16)
    wild = fields["wild"] + 0.25 * grain
    # Woods: by noise with ragged edges, in part by whole parcels.
    limit = float(np.quantile(lay.field["woods"], 1 - lay.region.forest))
    woods = fields["woods"] + 0.5 * (r3 - 0.5) + 0.1 * grain
    wooded = woods > limit
    needles = (wild > 0.35) & (lay.region.evergreen < 0.5)
    out[(woods > limit - 0.22) & ~wooded & (wild > 0.1)] = kind("shrub")
    out[wooded] = kind("broadleaf")
    out[wooded & needles] = kind("conifer")
    out[~wooded & (wild > 1.75)] = kind("rough-grass")
    out[~wooded & (wild < -2.45)] = kind("quarry")
    out[low & (wild > 1.0) & (stream + 40 * grain < 260)] = kind("marsh")

    # Roads between districts, and a lane every few fields.
    road = (np.abs(lead) < 7) | ((line % 4 == 0) & (v - line * high < 7))
    out[road & ~wooded & (town < 0.7)] = kind("road")

    # Towns: a parcel is built where its draw lies under the density; inside, streets around blocks.
    built = (r3 * 0.75 + 0.16 < town) & (np.abs(wild) < 2.3)
    block_u, block_v = (u / 96) % 1, (v / 64) % 1
    house = noise.hash_u32(parcel + (u / 24).astype(np.int32).astype(np.uint32) * np.uint32(31)
                            + (v / 16).astype(np.int32).astype(np.uint32) * np.uint32(17))  # fmt: skip
    h1 = (house & np.uint32(1023)).astype(np.float32) / 1023
    inside = np.where(h1 < 0.32 + 0.42 * np.clip(town, 0, 1), kind("roof-tile"), kind("garden"))
    inside = np.where((inside == kind("roof-tile")) & (h1 * 1.4 < town - 0.42), kind("roof-grey"), inside)
    inside = np.where((r1 > 0.965) & (town > 0.3), kind("park"), inside)
    hall = (r1 < 0.07) & (town > 0.25)
    inside = np.where(hall, kind("hall"), inside)
    street = ((block_u < 0.13) | (block_v < 0.17)) & ~hall
    inside = np.where(street & (inside != kind("park")), kind("street"), inside)
    out = np.where(built, inside, out)
    state = np.where(built & ~hall, (house >> np.uint32(12) & np.uint32(255)).astype(np.uint16), state)

    if lay.region.traits.objects:
        open_land = ~wooded & ~built & (np.abs(lead) >= 7)
        across = (u / wide + shift - column) * wide
        out[open_land & (across < HEDGE_M) & (r3 < HEDGED)] = kind("shrub")
        out[open_land & (v - line * high < TRACK_M) & (line % 2 == 1) & (r1 < TRACKED)] = kind("road")
        out[open_land & _ponds(lay.region, x, y)] = kind("lake")

    # Water wins.
    bank = river + 12 * grain
    lake = low & (fields["lakes"] + 0.05 * grain > 1.85) & ~(built & (town > 0.8))
    out[low & (bank < lay.region.river_m * 1.4) & (r3 < 0.6) & ~built] = kind("marsh")
    out[lake] = kind("lake")
    out[(stream < 11) & (height < lay.region.base_m + 0.6 * lay.region.relief_m)] = kind("river")
    out[bank < lay.region.river_m / 2] = kind("river")
    water = (out == kind("river")) | (out == kind("lake"))
    state = np.where(water, np.uint16(128), state)
    forest = (out == kind("broadleaf")) | (out == kind("conifer"))
    # Woods have no parcels: their stands differ smoothly.
    state = np.where(forest, np.clip(128 + 55 * wild, 0, 255).astype(np.uint16), state)
    return (out.astype(np.uint16) * np.uint16(STEPS) + state).astype(np.uint16)


def _ponds(region: Region, x: Floats, y: Floats) -> NDArray[np.bool_]:
    """Where ponds lie, at frame coordinates in metres: in some of the squares of a net one, anywhere within it."""
    across, along = (np.floor(its / POND_NET_M) for its in (x, y))
    salt = np.uint32(noise.seed_of("ponds", region.seed))
    drawn = noise.hash_u32((across * 73_856_093 + along * 19_349_663).astype(np.int64).astype(np.uint32) ^ salt)
    s1, s2, s3, s4 = ((drawn >> np.uint32(s) & np.uint32(255)).astype(np.float32) / 255 for s in (0, 8, 16, 24))
    low, high = POND_M
    radius = low + (high - low) * s3
    px, py = ((net + 0.15 + 0.7 * s) * POND_NET_M for net, s in ((across, s1), (along, s2)))
    return np.asarray((s4 < PONDS) & ((x - px) ** 2 + (y - py) ** 2 < radius**2))


def _farmed(region: Region, draw: Floats) -> NDArray[np.int64]:
    """What a parcel of open land is, by its draw."""
    shares = (
        (("meadow", 0.34), ("rough-grass", 0.08), ("maize", 0.2), ("cane", 0.2), ("wheat", 0.08), ("shrub", 0.1))
        if region.evergreen
        else (("meadow", 0.27), ("wheat", 0.22), ("maize", 0.22), ("beet", 0.13), ("rape", 0.09), ("rough-grass", 0.07))
    )
    kinds = np.array([kind(name) for name, _ in shares])
    edges = np.cumsum([share for _, share in shares])
    table = kinds[np.minimum(np.searchsorted(edges / edges[-1], np.linspace(0, 1, 1024)), len(kinds) - 1)]
    return table[(draw * 1023).astype(np.int64)]
