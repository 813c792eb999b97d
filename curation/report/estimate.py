"""What a build would search, read and write: `--dry-run`. Searches nothing and writes nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from curation.cubes import complete, selection
from curation.cubes.cube import Cube
from curation.cubes.unsettled import Unsettled
from curation.format.index import INDEX
from curation.model import STATIC, Location
from curation.pack import split as splits
from curation.pack.split import Split
from curation.places.locations import Locations
from curation.places.regions import Region
from curation.read.image import COARSE_BLOCKS
from curation.recipe import sourcefiles
from curation.recipe.arrays import ArraySpec
from curation.recipe.forms import CatalogForm
from curation.recipe.masked import read_first
from curation.scenes import candidates
from curation.store import paths
from curation.store.ledger import Ledger, cube_names
from curation.work.run import Run

BLOCK_PX = 512
"""Block side of the COGs that the public catalogs serve."""

PACKED = 0.65
"""Size of a compressed block over its raw size, for uint16 reflectance with deflate and predictor (measured: 0.6 to 0.7)."""

MASKS_PER_PATCH = 2.5
"""Masks read of scenes of equal rank, until one is clear enough (measured: `python -m tests.benchmarks.choice`)."""

REQUESTS_PER_WINDOW = 1.5
"""Range requests per band read; header requests are shared by the patches of a slab."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What one cube takes."""

    region: str
    season: str
    locations: int
    todo: int
    """Patches to build."""
    searches: int
    scenes: float
    """Scene reads: of winners, masks and maps, a scene counted once per patch."""
    requests: float
    read_bytes: float
    disk_bytes: float


def of_cube(run: Run, cube: Cube) -> Estimate:
    """The estimate for one cube as it stands."""
    region, season = cube.folder, cube.season
    left = Unsettled(cube, Ledger.replay(run.store, region, season), run.limit)
    todo = left.patches
    places = (p for slab in left.slabs for p in left.places(slab))
    wanted = candidates.wanted(cube.dataset, season, places)
    scenes = requests = read = disk = 0.0
    for spec in cube.sources:
        form = run.catalogs.form_of(spec)
        looked_at = sum(its.name == spec.name for its, _, _ in wanted) if todo and form and spec.pick.wants_clear else 0
        most = spec.pick.most_scenes(cube.dataset.recipe.quality)
        scenes += todo * max(most, MASKS_PER_PATCH if spec.mask else 1)
        # What says masks is read of all candidates; whatever that is, the coarse look has the source's own bands and mask.
        first = [(a, max(most, MASKS_PER_PATCH), a.is_mask) for a in read_first(spec)]
        then = [(a, most, True) for a in cube.dataset.read[spec.name].values() if not a.is_mask]
        for array, times, is_looked_at in [] if spec.kind.holds_shapes else [*first, *then]:
            windows = todo * len(array.bands) * times
            requests += windows * REQUESTS_PER_WINDOW
            block = _block_px(form, array)
            read += windows * _window_bytes(cube.dataset.recipe.grid.size, array, block)
            if form and form.tiles_px and form.offset != "none" and is_looked_at:
                # The coarse look at a scene, once: of JPEG 2000 there are no overviews, but whole tiles. A scene a search.
                looks = looked_at * len(array.bands) * COARSE_BLOCKS
                requests += looks
                read += looks * block**2 * np.dtype(array.dtype).itemsize * PACKED
        for array in cube.dataset.arrays[spec.name].values():
            px = array.px(cube.dataset.recipe.grid.size)
            disk += (
                todo
                * (spec.pick.most_steps or 1)
                * len(array.bands)
                * px
                * px
                * np.dtype(array.dtype).itemsize
                * PACKED
            )
    return Estimate(region, season, len(cube.locations), todo, len(wanted), scenes, requests, read, disk)


def _block_px(form: CatalogForm | None, array: ArraySpec) -> int:
    """Side of the blocks of an array's files, as far as it is known of their catalog."""
    return form.tiles_px.get(f"{array.res_m:g}", BLOCK_PX) if form and array.res_m else BLOCK_PX


def _window_bytes(size: float, array: ArraySpec, block: int) -> float:
    """Bytes of the blocks that a patch touches on average: a window of w pixels touches (1 + w / block)² blocks."""
    blocks = (1 + array.px(size) / block) ** 2
    return blocks * block**2 * np.dtype(array.dtype).itemsize * PACKED


@dataclass(frozen=True, slots=True)
class Estimates:
    """What several cubes take."""

    cubes: tuple[Estimate, ...]
    notes: tuple[str, ...]
    """What locations have come to so far, and what an estimate is."""

    def table(self) -> list[tuple[str, ...]]:
        """A head, a line per cube, and what they come to."""
        head = ("cube", "locations", "to build", "searches", "scene reads", "requests", "read", "disk")
        return [head, *(_line(f"{r.region}/{r.season}", [r]) for r in self.cubes), _line("all", self.cubes)]


def estimates(run: Run, asked: Sequence[Region], seasons: Sequence[str]) -> Estimates:
    """The estimates of all cubes of regions and seasons."""
    splits.check_values(run.dataset)
    every = selection.cubes(run, asked, run.dataset.cube_seasons(), keep=False)
    split = f"Split {_split_in_words(run, every)}."
    note = f"{STATIC} is built before seasons. Estimates; nothing was searched, read or written."
    rows = tuple(of_cube(run, c) for c in every if c.season in seasons)
    return Estimates(rows, (*_samples(run, every), split, *_special(run), note))


def _special(run: Run) -> list[str]:
    """Which sources are the user's own; and what is left out of what catalogs have, whose scenes are counted above."""
    recipe, out = run.dataset.recipe, []
    if own := sourcefiles.of_ones_own(recipe.sources, run.dataset.path):
        out.append(own)
    if names := [name for name in recipe.sources if run.dataset.wants_precise(name)]:
        out.append(f"Of {', '.join(names)} only scenes of precise orbits are used (POEORB).")
    if names := [s.name for level in run.dataset.levels for s in level.specs.values() if s.kind.holds_shapes]:
        out.append(f"Of {', '.join(names)} no request and no byte that is read is counted: shapes lie in no blocks.")
    for name, use in recipe.sources.items():
        if run.dataset.specs[name].kind.judged_by and use.relief != "correct":
            out.append(
                f"Of {name} patches are refused whose pixels relief displaces by over half a pixel, which is most land; "
                "relief = 'correct' takes them from where they are."
            )
    return out


def _split_in_words(run: Run, every: Sequence[Cube]) -> str:
    """What the locations are planned to be of; where shards stand, that those are another matter."""
    its = _split(run, every)
    if run.store.child(paths.SHARDS).head(INDEX) is None:
        return its.about
    return f"planned by the recipe, of these locations: {its.numbers}; shards that stand keep theirs"


def _split(run: Run, every: Sequence[Cube]) -> Split:
    """What the locations are planned to be of."""
    found = dict[str, Location]()
    for place in (p for cube in every if not cube.dataset.level for p in cube.locations):
        found.setdefault(place.id, place)  # the first region has it, as when it is packed
    return splits.planned(run.dataset.recipe, Locations.of(found.values()))


def _samples(run: Run, every: Sequence[Cube]) -> list[str]:
    """What locations have come to so far, by the rule that packing has; nothing where nothing is built."""
    built = set(cube_names(run.store))
    cubes = {(c.folder, c.season): c for c in every}
    outcomes = {
        key: {o.id: o for o in Ledger.replay(run.store, *key).outcomes()} if key in built else {} for key in cubes
    }
    if not any(outcomes.values()):
        return []
    places = {region: cube.locations for (region, _), cube in cubes.items()}
    roots = dict.fromkeys(c.region for c in every)
    found: Counter[str] = Counter()
    for region in roots:
        its = complete.standings(run.dataset, region, places, lambda f, s, i: outcomes[f, s].get(i))
        found.update(s.verdict.state for s in its)
    numbers = ", ".join(f"{n:,} {state}" for state, n in found.most_common())
    return [f"By complete = {run.dataset.recipe.pack.complete!r} locations are so far: {numbers}."]


def _line(name: str, rows: Sequence[Estimate]) -> tuple[str, ...]:
    total = [sum(getattr(r, f) for r in rows) for f in ("locations", "todo", "searches", "scenes", "requests")]
    sizes = [sum(getattr(r, f) for r in rows) for f in ("read_bytes", "disk_bytes")]
    return (name, *(f"{round(n):,}" for n in total), *map(size, sizes))


def size(n: float) -> str:
    """Bytes, for a person."""
    for unit in ("B", "kB", "MB", "GB"):
        if n < 1000:
            return f"{n:.1f} {unit}"
        n /= 1000
    return f"{n:.1f} TB"
