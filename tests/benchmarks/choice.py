"""What the choice of scenes costs and gains, on a real archive: `python -m tests.benchmarks.choice [FOLDER]`.

Takes a folder of real scenes of one site over many dates, with an ItemCollection `items.json` (default: the shared archive
of a field in Belgium, 118 dates of Sentinel-2 and 159 of Sentinel-1), cuts the site into four places and the time into
months and half months, and chooses for each window of place and time by the old rule and by the new one, at the same limits
and at several of them. No band is read: masks and times decide.

The old rule looked at scenes in order of rank and then of id, those without radar near enough included, and took the first
whose mask was good enough. Of the new one ranking, limits and comparison are the product's own.
"""

from __future__ import annotations

import datetime as dt
import itertools
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import shapely
from numpy.typing import NDArray

from curation.build import clouds
from curation.build.clouds import Shares
from curation.model import Location, Scene, Window, parse_time
from curation.outcomes import Reject
from curation.recipe import files
from curation.recipe.schema import QualitySpec
from curation.recipe.sources import SourceSpec
from curation.recipe.toml import read_toml
from curation.scenes import rank

MIN_VALID = 0.999

LIMITS = [
    ("old default", {"min_clear": 0.9, "max_doubtful": 0.5}),
    ("stricter doubt", {"min_clear": 0.9, "max_doubtful": 0.3}),
    ("stricter cloud", {"min_clear": 0.98, "max_doubtful": 0.3}),
]
"""Name and limits at which both rules are compared."""


@dataclass(frozen=True)
class Candidate:
    """A scene and what its mask says of one place."""

    scene: Scene
    shares: Shares


@dataclass(frozen=True)
class Choice:
    """What a rule took of one window."""

    taken: Candidate | None
    masks: int
    """Read."""
    ranks: list[list[Scene]]


def main(folder: Path) -> None:
    """Prints a table per cut of the time."""
    spec = read_toml(files.folder("stac_queries") / "s2l2a.toml", SourceSpec)
    items = json.loads((folder / "items.json").read_text())["features"]
    optical = [(scene(i), mask(folder, i)) for i in items if i["collection"] == "sentinel-2-l2a"]
    radar = [scene(i) for i in items if i["collection"] == "sentinel-1-rtc"]
    place = Location("site", 0, 0, optical[0][0].epsg or 0, 0, 0, 1, "r")
    print(f"{len(optical)} dates of Sentinel-2, {len(radar)} of Sentinel-1; four places, each a quarter of the site")
    for cut in ("months", "half months"):
        windows = []
        for season in seasons([s.time for s, _ in optical], halves=cut == "half months"):
            here = [(s, m) for s, m in optical if season.holds(s.time)]
            for rows, cols in [(r, c) for r in (0, 1) for c in (0, 1)]:
                n = here[0][1].shape[0] // 2 if here else 0
                found = [
                    Candidate(s, clouds.shares(m[rows * n : (rows + 1) * n, cols * n : (cols + 1) * n], spec, s.id))
                    for s, m in here
                ]
                if found:
                    windows.append((season, found))
        print(f"\n{cut}: {len(windows)} windows")
        print(
            f"{'limits':18}{'rule':6}{'lost':>6}{'masks':>7}{'clearer left':>14}{'doubtful':>10}{'days':>7}{'S1 gap':>8}"
        )
        for name, limits in LIMITS:
            quality = QualitySpec(**limits)
            for rule in (old, new):
                chosen = [(s, rule(found, place, s, radar, quality)) for s, found in windows]
                print(f"{name:18}{rule.__name__:6}{told(chosen, windows, radar, quality)}")


def told(
    chosen: Sequence[tuple[Window, Choice]],
    windows: Sequence[tuple[Window, list[Candidate]]],
    radar: Sequence[Scene],
    quality: QualitySpec,
) -> str:
    """Windows lost, masks read of each, how often an equally ranked scene was clearer, and means over what was taken."""
    taken = [(s, c, found) for (s, c), (_, found) in zip(chosen, windows, strict=True) if c.taken is not None]
    clearer = sum(is_clearer_left(c, found, radar, quality) for _, c, found in taken)
    doubtful = np.mean([c.taken.shares.doubtful for _, c, _ in taken if c.taken])
    days = np.mean([abs(c.taken.scene.time - s.anchor).total_seconds() / 86400 for s, c, _ in taken if c.taken])
    gap = np.mean([min(rank.gap_days(r, c.taken.scene.time) for r in radar) for _, c, _ in taken if c.taken])
    masks = np.mean([c.masks for _, c in chosen])
    lost = len(chosen) - len(taken)
    return f"{lost:6}{masks:7.2f}{f'{clearer} of {len(taken)}':>14}{doubtful:10.3f}{days:7.2f}{gap:8.2f}"


def is_clearer_left(choice: Choice, found: Sequence[Candidate], radar: Sequence[Scene], quality: QualitySpec) -> bool:
    """Whether a scene of equal rank that would have passed was clearer than the one taken."""
    assert choice.taken is not None
    by_id = {c.scene.id: c for c in found}
    (group,) = [g for g in choice.ranks if choice.taken.scene in g]
    rivals = [by_id[s.id] for s in group]
    return any(
        passes(c.shares, quality)
        and near(c.scene, radar, quality)
        and c.shares.clearness > choice.taken.shares.clearness + 1e-9
        for c in rivals
    )


def old(
    found: Sequence[Candidate], place: Location, season: Window, radar: Sequence[Scene], quality: QualitySpec
) -> Choice:
    """The first that passes, in order of rank and id; those without radar use up candidates."""
    by_id, masks = {c.scene.id: c for c in found}, 0
    ranks = rank.rank_clearest([c.scene for c in found], place, season)
    order = [s for group in ranks for s in sorted(group, key=lambda s: s.id)]
    for scene_ in order[: quality.max_candidates]:
        if not near(scene_, radar, quality):
            continue
        masks += 1
        if passes(by_id[scene_.id].shares, quality):
            return Choice(by_id[scene_.id], masks, ranks)
    return Choice(None, masks, ranks)


def new(
    found: Sequence[Candidate], place: Location, season: Window, radar: Sequence[Scene], quality: QualitySpec
) -> Choice:
    """The clearest of the first group in which any passes; what is mostly snow last."""
    by_id, masks = {c.scene.id: c for c in found}, 0
    ranks = rank.rank_clearest([c.scene for c in found], place, season)
    snowy: list[Candidate] = []
    for group in ranks:
        hopeful = [by_id[s.id] for s in group if near(s, radar, quality)][: quality.max_candidates - masks]
        masks += len(hopeful)
        good = sorted((c for c in hopeful if passes(c.shares, quality)), key=lambda c: -c.shares.clearness)
        snowy += [c for c in good if c.shares.mostly_snow]
        if sure := [c for c in good if not c.shares.mostly_snow]:
            return Choice(sure[0], masks, ranks)
    return Choice(snowy[0] if snowy else None, masks, ranks)


def passes(shares: Shares, quality: QualitySpec) -> bool:
    """Whether a mask is good enough."""
    try:
        shares.check(quality, MIN_VALID)
    except Reject:
        return False
    return True


def near(of: Scene, radar: Sequence[Scene], quality: QualitySpec) -> bool:
    """Whether there is radar near enough in time."""
    return any(rank.gap_days(r, of.time) <= quality.max_gap_days for r in radar)


def seasons(times: Sequence[dt.datetime], *, halves: bool) -> Iterator[Window]:
    """Months, or halves of them, from the first time to the last."""
    month = min(times).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    while month <= max(times):
        after = (month + dt.timedelta(days=32)).replace(day=1)
        edges = [month, month + dt.timedelta(days=15), after] if halves else [month, after]
        for start, end in itertools.pairwise(edges):
            yield Window(f"{start:%Y-%m-%d}", start, end, start + (end - start) / 2)
        month = after


def scene(item: dict[str, Any]) -> Scene:
    """What ranking needs of an item."""
    properties = item["properties"]
    epsg = properties.get("proj:epsg") or int(str(properties.get("proj:code", "0")).rpartition(":")[2])
    time = parse_time(properties["datetime"])
    return Scene(
        item["id"], "s", time, shapely.geometry.shape(item["geometry"]), {}, epsg, properties.get("eo:cloud_cover")
    )


def mask(folder: Path, item: dict[str, Any]) -> NDArray[np.uint8]:
    """The scene classification of an item's site, (y, x)."""
    with rasterio.open(folder / item["assets"]["SCL"]["href"]) as file:
        found: NDArray[np.uint8] = file.read(1)
    return found


if __name__ == "__main__":
    default = Path(__file__).parents[3] / "shared" / "data" / "real-archive-belgium"
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else default)
