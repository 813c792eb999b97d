"""Which scenes a patch may use, best first. Pure: the last word needs pixels, and is `build`'s."""

from __future__ import annotations

import datetime as dt
import functools
import itertools
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import compress

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from curation.errors.codes import Code
from curation.model import Location, Scene, Window
from curation.outcomes import Reject, Status
from curation.places import grid
from curation.read import versions
from curation.scenes import acquisition
from curation.scenes.acquisition import Acquisition

COVER_TOLERANCE_DEG = 0.0005
"""Footprints in items are drawn with few points: a patch may stick out of one by some 50 m. Pixels decide in the end."""

CLOUD_STEP_PCT = 10
"""Scenes within one step of cloud cover are equally good: the number is of the whole scene, not of the patch."""

ANCHOR_STEP_DAYS = 10
"""Scenes within one step of days from the season's anchor are equally good."""

SAME_ACQUISITION_S = 60
"""Products cut from one acquisition state times that differ by seconds, where they state the same one."""

DATATAKE_DAYS = 0.1
"""An acquisition is no longer: Sentinel-2 is at most some 20 minutes of an orbit of 100 at it."""


def newest(scenes: Iterable[Scene]) -> list[Scene]:
    """Scenes without those that were processed again: of one acquisition and tile the newest baseline stays.

    Two items of one acquisition, tile and baseline are the two halves of a split datastrip: both stay.
    """
    groups: dict[tuple[object, ...], list[Scene]] = {}
    for scene in scenes:
        key = (scene.platform, scene.datatake or scene.time, scene.tile or scene.id, scene.relative_orbit)
        groups.setdefault(key, []).append(scene)
    newest = []
    for group in groups.values():
        best = max(versions.order(s.baseline) for s in group)
        newest += [s for s in group if versions.order(s.baseline) == best]
    return sorted(newest, key=lambda s: (s.time, s.id))


def covering(scenes: Iterable[Scene], location: Location) -> list[Scene]:
    """Scenes whose footprint covers the whole of the location's.

    Raises:
        Reject: `no_scene` (absent) where none touches it, `partial_coverage` with the largest covered share where some do.
    """
    outline = grid.footprint(location)
    scenes = list(scenes)
    shapes = _shapes(scenes, location)
    covered = shapely.covers(shapes, _inner(location))
    if covered.any():
        return list(compress(scenes, covered))
    shares = (shapely.area(shapely.intersection(shapes, outline)) / outline.area).tolist()
    if not any(shares):
        raise Reject(Code.NO_SCENE, status=Status.ABSENT)
    raise Reject(Code.PARTIAL_COVERAGE, round(max(shares), 4))


@functools.lru_cache(maxsize=1024)  # each source of a patch asks for it
def _inner(location: Location) -> shapely.Polygon:
    """The footprint without what may stick out of a scene's; never so much that nothing is left of a small patch."""
    outline = grid.footprint(location)
    return outline.buffer(-min(COVER_TOLERANCE_DEG, math.sqrt(outline.area) / 8))


def touching(scenes: Iterable[Scene], location: Location) -> list[Scene]:
    """Scenes whose footprint touches the location's ground, newest version first (the pieces of a mosaic).

    Raises:
        Reject: `no_scene` (absent) where there is none.
    """
    outline = grid.ground(location)
    scenes = list(scenes)
    found = list(compress(scenes, shapely.intersects(_shapes(scenes, location), outline)))
    if not found:
        raise Reject(Code.NO_SCENE, status=Status.ABSENT)
    by_id = sorted(found, key=lambda s: s.id)
    return sorted(by_id, key=lambda s: versions.order(s.version), reverse=True)


@functools.lru_cache(maxsize=4096)  # each band of each patch asks for it
def held(footprint: BaseGeometry) -> tuple[float, float] | None:
    """Longitude and latitude of a place well inside a footprint; None where it is empty."""
    point = shapely.point_on_surface(footprint)
    return None if point.is_empty else (float(point.x), float(point.y))


MODES = ("RPRO", "OFFL", "NRTI")
"""Processing modes, the better first: reprocessed, offline, near real time (Sentinel-5P Level 2 Product User Manuals)."""


def one_mode(scenes: Iterable[Scene]) -> list[Scene]:
    """Scenes of which each orbit is there in one processing mode, the best that it is there in; in order of time.

    Of what was processed again in that mode the last stays, by version and then by id, whose end is the time of processing.
    A near-real-time orbit comes in pieces, which all stay.
    """
    by_orbit: dict[object, list[Scene]] = {}
    for scene in scenes:
        by_orbit.setdefault(orbit_of(scene), []).append(scene)
    newest: list[Scene] = []
    for group in by_orbit.values():
        best = min(_mode(s) for s in group)
        last: dict[dt.datetime, Scene] = {}
        for scene in sorted((s for s in group if _mode(s) == best), key=lambda s: (versions.order(s.version), s.id)):
            last[scene.time] = scene
        newest += last.values()
    return sorted(newest, key=lambda s: (s.time, s.id))


LEAST_VERSION_SHARE = 0.5
"""Of the orbits that a version has which most have: a newer version with fewer is that of the last days before or after a
change of processor, and no mean of the season."""


def by_version(scenes: Iterable[Scene]) -> list[list[Scene]]:
    """Scenes by the version of their processor, each group as `one_mode` leaves it; the version to use first.

    That is the newest that has at least half as many orbits as the one that has most; then the others, newest first. A
    version that is not stated is the oldest.
    """
    groups: dict[tuple[int, ...], list[Scene]] = {}
    for scene in scenes:
        groups.setdefault(versions.order(scene.version), []).append(scene)
    orbits = {version: len({orbit_of(s) for s in group}) for version, group in groups.items()}
    least = LEAST_VERSION_SHARE * max(orbits.values(), default=0)
    ranked = sorted(sorted(groups, reverse=True), key=lambda version: orbits[version] < least)
    return [one_mode(groups[version]) for version in ranked]


def orbit_of(scene: Scene) -> object:
    """What tells its orbit from others; a scene that states none stands for itself."""
    return scene.id if scene.orbit is None else (scene.platform, scene.orbit)


def _mode(scene: Scene) -> int:
    return MODES.index(scene.mode) if scene.mode in MODES else len(MODES)


def _shapes(scenes: Sequence[Scene], location: Location) -> NDArray[np.object_]:
    """Footprints of scenes, those at the antimeridian on the location's side of it too."""
    found = np.empty(len(scenes), dtype=object)
    found[:] = [_beside(s.geometry, location.lon) for s in scenes]
    return found


def filled(scenes: Iterable[Scene], location: Location) -> bool:
    """Whether scenes together cover the whole of the location's footprint."""
    return bool(shapely.covers(shapely.union_all(_shapes(list(scenes), location)), _inner(location)))


def touches(shape: BaseGeometry, location: Location) -> bool:
    """Whether a footprint touches the location's."""
    return bool(shapely.intersects(_beside(shape, location.lon), grid.footprint(location)))


def _beside(shape: BaseGeometry, lon: float) -> BaseGeometry:
    """The shape together with itself a turn east or west, where that lies nearer: for places at the antimeridian."""
    if lon < -178:
        return shapely.union_all([shape, shapely.affinity.translate(shape, -360)])
    if lon > 178:
        return shapely.union_all([shape, shapely.affinity.translate(shape, 360)])
    return shape


def orbit_direction(scenes_by_season: Sequence[Sequence[Scene]], location: Location) -> str | None:
    """The one orbit direction of a location: the one that serves most seasons, then has most scenes, then by name.

    Fixed from the scenes of all of the recipe's seasons, so that every season agrees. None where no scene states one.
    """
    seasons: Counter[str] = Counter()
    scenes: Counter[str] = Counter()
    for found in scenes_by_season:
        covered = shapely.covers(_shapes(found, location), _inner(location))
        directions = [s.orbit_state for s in compress(found, covered) if s.orbit_state]
        scenes.update(directions)
        seasons.update(set(directions))
    return min(scenes, key=lambda d: (-seasons[d], -scenes[d], d), default=None)


def relative_orbit(
    scenes_by_season: Sequence[Sequence[Scene]], location: Location, direction: str | None
) -> int | None:
    """The one relative orbit of a location: the one that serves most seasons, then has most scenes, then the least number.

    Of an orbit direction, where one is named. Fixed as `orbit_direction` is. None where no scene states one.
    """
    seasons: Counter[int] = Counter()
    scenes: Counter[int] = Counter()
    for found in scenes_by_season:
        covered = compress(found, shapely.covers(_shapes(found, location), _inner(location)))
        mine = [s for s in covered if direction in (None, s.orbit_state)]
        numbers = [s.relative_orbit for s in mine if s.relative_orbit is not None]
        scenes.update(numbers)
        seasons.update(set(numbers))
    return min(scenes, key=lambda n: (-seasons[n], -scenes[n], n), default=None)


def rank_clearest(scenes: Sequence[Scene], location: Location, window: Window) -> list[list[Scene]]:
    """Covering scenes in groups of equal rank, best first: same zone (an exact crop), clearest, nearest to the anchor.

    Cloud cover and days count in steps. Which of a group is the best, pixels say; within it scenes stand in the order in
    which they would be looked at: nearest to the anchor, then by id.

    Args:
        scenes: candidates that cover the location.
        location: the place.
        window: its anchor is what scenes should lie near to.
    """

    def days(scene: Scene) -> float:
        return abs(scene.time - window.anchor) / dt.timedelta(days=1)

    def rank(scene: Scene) -> tuple[bool, int, int]:
        cloud = int((scene.cloud_pct if scene.cloud_pct is not None else 100.0) // CLOUD_STEP_PCT)
        return (scene.epsg != location.epsg, cloud, int(days(scene) // ANCHOR_STEP_DAYS))

    ranked = sorted(scenes, key=lambda s: (rank(s), days(s), s.id))
    return [list(group) for _, group in itertools.groupby(ranked, rank)]


def in_acquisitions(scenes: Iterable[Scene], location: Location) -> list[list[Scene]]:
    """Scenes in groups of one acquisition each, in order of time; of a group that of the location's zone first.

    Tiles overlap, and so do slices of a pass: what a satellite saw once is there several times. What scenes state to name
    their acquisition decides, else the start of the datatake in their ids, else their times.
    """
    groups: list[list[Scene]] = []
    for scene in sorted(scenes, key=lambda s: (s.time, s.id)):
        its = next((group for group in reversed(groups) if at_once(group[0], scene)), None)
        if its is None:
            groups.append([scene])
        else:
            its.append(scene)
    return [sorted(group, key=lambda s: (s.epsg != location.epsg, s.time, s.id)) for group in groups]


def at_once(one: Scene, other: Scene) -> bool:
    """Whether two scenes, whose times are near, are of one acquisition."""
    if one.platform != other.platform or gap_days(one, other.time) > DATATAKE_DAYS:
        return False
    if one.datatake is not None and other.datatake is not None:
        return one.datatake == other.datatake
    starts = acquisition.of(one).start, acquisition.of(other).start
    if None not in starts:
        return starts[0] == starts[1]
    return abs((one.time - other.time).total_seconds()) <= SAME_ACQUISITION_S


def by_acquisition(scenes: Sequence[Scene], location: Location, window: Window) -> list[list[Scene]]:
    """Scenes that touch the location in groups that were seen at once, best first.

    First are those that cover it wholly, then as in `rank_clearest`. Of an acquisition that one scene of covers the location
    that one alone stays: another is the same pixels again, cut for a neighbouring tile. Else all of its pieces stay, of one
    radiometry, the best first.
    """
    ranked = [scene for group in rank_clearest(scenes, location, window) for scene in group]
    covers = dict(zip(ranked, shapely.covers(_shapes(ranked, location), _inner(location)).tolist(), strict=True))
    left = sorted(ranked, key=lambda s: not covers[s])
    groups = []
    while left:
        first = left[0]
        pieces = [s for s in left if s is first or at_once(first, s)]
        left = [s for s in left if not any(s is p for p in pieces)]
        groups.append([first] if covers[first] else [s for s in pieces if s.offset_dn == first.offset_dn])
    return groups


def of_direction(scenes: Sequence[Scene], direction: str | None, relative: int | None = None) -> list[Scene]:
    """Scenes of an orbit direction and a relative orbit; of any where that is None.

    Raises:
        Reject: `no_orbit` where there is none.
    """
    found = [s for s in scenes if direction in (None, s.orbit_state) and relative in (None, s.relative_orbit)]
    if not found:
        raise Reject(Code.NO_ORBIT)
    return found


PRECISE_ORBIT = "POEORB"
"""Precise orbit ephemerides, known some three weeks after the acquisition to within 5 cm; restituted ones (RESORB) to 10 cm,
and predicted ones (PREORB, DOWNLINK) to metres (Copernicus POD Service, Sentinel-1 products)."""


def is_precise(scene: Scene) -> bool:
    """Whether a scene says that it was made with a precise orbit; one that says nothing of it is not taken for one."""
    return scene.orbit_source == PRECISE_ORBIT


def precise(scenes: Sequence[Scene]) -> list[Scene]:
    """Scenes that were made with a precise orbit (at least one scene is given).

    Raises:
        Reject: `orbit_unstated` where none says where its orbit is from, `orbit_imprecise` where that is elsewhere.
    """
    found = [s for s in scenes if is_precise(s)]
    if not found:
        stated = any(s.orbit_source for s in scenes)
        raise Reject(Code.ORBIT_IMPRECISE if stated else Code.ORBIT_UNSTATED)
    return found


def rank_nearest(
    scenes: Sequence[Scene], location: Location, time: dt.datetime, direction: str | None, max_gap_days: float
) -> list[Scene]:
    """Covering scenes of the location's orbit direction, same zone first among those of one day, nearest in time first.

    Raises:
        Reject: `no_orbit` where none is of the direction, `time_gap` with the least gap in days where all are too far.
    """
    scenes = of_direction(scenes, direction)
    least = min(gap_days(s, time) for s in scenes)
    if least > max_gap_days:
        raise Reject(Code.TIME_GAP, round(least, 3))
    near = [s for s in scenes if gap_days(s, time) <= max_gap_days]
    return sorted(near, key=lambda s: (int(gap_days(s, time)), s.epsg != location.epsg, gap_days(s, time), s.id))


def rank_in_time(scenes: Sequence[Scene], location: Location, anchor: dt.datetime) -> list[list[Scene]]:
    """Scenes each in a group of its own, nearest to an instant first, to the day: of one day that of the same zone first.

    Raises:
        Reject: `wrong_side` (absent) where there is none.
    """
    if not scenes:
        raise Reject(Code.WRONG_SIDE, status=Status.ABSENT)
    return [[scene] for scene in rank_nearest(scenes, location, anchor, None, math.inf)]


def same_acquisition(scenes: Sequence[Scene], of: Scene) -> list[Scene]:
    """Scenes cut from the acquisition of another, its own tile first.

    What both state to name it decides; else their names and times do, as `acquisition.same` has it, where those of either
    tell the start of its datatake: what is named by that may state a time that is minutes from the other's.

    Raises:
        Reject: `no_match` (absent) where there is none.
    """
    image = acquisition.of(of)
    found = [(its.tile != image.tile, s) for s in scenes if _is_of(s, its := acquisition.of(s), of, image)]
    if not found:
        raise Reject(Code.NO_MATCH, status=Status.ABSENT)
    return [s for _, s in sorted(found, key=lambda ranked: (ranked[0], ranked[1].id))]


def _is_of(scene: Scene, its: Acquisition, of: Scene, image: Acquisition) -> bool:
    """Whether a scene of one source is of the image of another's.

    Not the rule of `at_once`, which compares scenes of one source: these name their acquisition and platform alike, so that
    what one lacks its time decides, and any two tiles are of one. Here one may be a map that states no platform, a time
    minutes from the image's, or the start of the datatake alone; and where it names a tile, it must be the image's.
    """
    if scene.datatake is not None and of.datatake is not None:
        return scene.datatake == of.datatake
    if its.start is None and image.start is None:
        return abs((scene.time - of.time).total_seconds()) <= SAME_ACQUISITION_S
    return acquisition.same(its, image)


def gap_days(scene: Scene, time: dt.datetime) -> float:
    """Days between a scene and an instant, unsigned."""
    return abs((scene.time - time).total_seconds()) / 86_400
